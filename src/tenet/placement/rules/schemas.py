"""The shapes of request bodies and query strings, by microversion, as JSON Schema (draft 2020-12).

Source: the API reference of placement; limits and patterns are part of the protocol, since clients are told them.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from tenet.placement.model import AMOUNT_MAX

Schema: TypeAlias = dict[str, Any]

_RATIO_MAX: Final = 3.40282e38
_UUID_PATTERN: Final = "^[0-9a-fA-F-]{36}$"
_NAME_PATTERN: Final = "^[A-Z0-9_]+$"
_CUSTOM_PATTERN: Final = "^CUSTOM_[A-Z0-9_]+$"
_TYPE_QUERY_PATTERN: Final = "^[A-Z0-9_]+$|^all|^unknown$"
_GROUP_PATTERN: Final = "[a-zA-Z0-9_-]{1,64}"

_UUID: Final[Schema] = {"type": "string", "format": "uuid"}
_ID: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 255}
_INTEGER: Final[Schema] = {"type": "integer"}
_TEXT: Final[Schema] = {"type": "string"}


def _record(properties: Schema, required: list[str] | None = None, **more: Any) -> Schema:
    """Returns the schema of an object that has these members and no others."""
    return {
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": False,
        **more,
    }


def _amount(minimum: int) -> Schema:
    return {"type": "integer", "maximum": AMOUNT_MAX, "minimum": minimum}


# ---- providers -------------------------------------------------------------------------------------------------------

_PROVIDER_NAME: Final[Schema] = {"type": "string", "maxLength": 200}
_PARENT: Final[Schema] = {"anyOf": [_UUID, {"type": "null"}]}
POST_PROVIDER: Final = _record({"name": _PROVIDER_NAME, "uuid": _UUID}, ["name"])
POST_PROVIDER_14: Final = _record({"name": _PROVIDER_NAME, "uuid": _UUID, "parent_provider_uuid": _PARENT}, ["name"])
PUT_PROVIDER: Final = _record({"name": _PROVIDER_NAME}, ["name"])
PUT_PROVIDER_14: Final = _record({"name": _PROVIDER_NAME, "parent_provider_uuid": _PARENT}, ["name"])

# ---- inventories -----------------------------------------------------------------------------------------------------

_INVENTORY: Final[Schema] = {
    "resource_provider_generation": _INTEGER,
    "total": _amount(1),
    "reserved": _amount(0),
    "min_unit": _amount(1),
    "max_unit": _amount(1),
    "step_size": _amount(1),
    "allocation_ratio": {"type": "number", "maximum": _RATIO_MAX},
}
PUT_INVENTORY: Final = _record(_INVENTORY, ["total", "resource_provider_generation"])
POST_INVENTORY: Final = _record(
    {**_INVENTORY, "resource_class": {"type": "string", "pattern": _NAME_PATTERN}}, ["total", "resource_class"]
)
INVENTORIES: Final[Schema] = {"type": "object", "additionalProperties": _record(_INVENTORY, ["total"])}
PUT_INVENTORIES: Final = _record(
    {
        "resource_provider_generation": _INTEGER,
        # Names of another form are told of as classes that do not exist.
        "inventories": INVENTORIES,
    },
    ["resource_provider_generation", "inventories"],
)

# ---- classes, traits, aggregates -------------------------------------------------------------------------------------

RESOURCE_CLASS: Final = _record({"name": {"type": "string", "pattern": _CUSTOM_PATTERN, "maxLength": 255}}, ["name"])
CUSTOM_TRAIT: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": _CUSTOM_PATTERN}
PUT_TRAITS: Final = _record(
    {
        "traits": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 255}},
        "resource_provider_generation": _INTEGER,
    },
    ["traits", "resource_provider_generation"],
)
LIST_TRAITS: Final = _record({"name": _TEXT, "associated": _TEXT})
PUT_AGGREGATES: Final[Schema] = {"type": "array", "items": _UUID, "uniqueItems": True}
PUT_AGGREGATES_19: Final = _record(
    {"aggregates": PUT_AGGREGATES, "resource_provider_generation": _INTEGER},
    ["aggregates", "resource_provider_generation"],
)

# ---- allocations -----------------------------------------------------------------------------------------------------

_RESOURCES: Final[Schema] = {
    "type": "object",
    "minProperties": 1,
    "patternProperties": {_NAME_PATTERN: {"type": "integer", "minimum": 1}},
    "additionalProperties": False,
}
_LISTED: Final = _record(
    {"resource_provider": _record({"uuid": _UUID}, ["uuid"]), "resources": _RESOURCES},
    ["resource_provider", "resources"],
)
_LIST: Final[Schema] = {"type": "array", "minItems": 1, "items": _LISTED}
PUT_ALLOCATIONS: Final = _record({"allocations": _LIST}, ["allocations"])
PUT_ALLOCATIONS_8: Final = _record(
    {"allocations": _LIST, "project_id": _ID, "user_id": _ID}, ["allocations", "project_id", "user_id"]
)
_MAPPINGS: Final[Schema] = {
    "type": "object",
    "minProperties": 1,
    "patternProperties": {_GROUP_PATTERN: {"type": "array", "minItems": 1, "items": _UUID}},
}
_CONSUMER_GENERATION: Final[Schema] = {"type": ["integer", "null"], "additionalProperties": False}
_CONSUMER_TYPE: Final[Schema] = {"type": "string", "pattern": _NAME_PATTERN, "minLength": 1, "maxLength": 255}


def _by_provider(least: int) -> Schema:
    entry = _record({"generation": _INTEGER, "resources": _RESOURCES}, ["resources"])
    return {
        "type": "object",
        "minProperties": least,
        "patternProperties": {_UUID_PATTERN: entry},
        "additionalProperties": False,
    }


def _consumer(version: int, *, least: int = 0) -> Schema:
    """Returns the schema of one consumer's allocations, in the form that is keyed by provider."""
    properties: Schema = {"allocations": _by_provider(least), "project_id": _ID, "user_id": _ID}
    required = ["allocations", "project_id", "user_id"]
    if version >= 28:  # noqa: PLR2004 (microversions stand as they are called)
        properties["consumer_generation"] = _CONSUMER_GENERATION
        required.append("consumer_generation")
    if version >= 34:  # noqa: PLR2004 (the same)
        properties["mappings"] = _MAPPINGS
    if version >= 38:  # noqa: PLR2004 (the same)
        properties["consumer_type"] = _CONSUMER_TYPE
        required.append("consumer_type")
    return _record(properties, required)


def _consumers(version: int, *, least: int = 1) -> Schema:
    return {
        "type": "object",
        "minProperties": least,
        "additionalProperties": False,
        "patternProperties": {_UUID_PATTERN: _consumer(version)},
    }


PUT_ALLOCATIONS_12: Final = _consumer(12, least=1)
PUT_ALLOCATIONS_28: Final = _consumer(28)
PUT_ALLOCATIONS_34: Final = _consumer(34)
PUT_ALLOCATIONS_38: Final = _consumer(38)
POST_ALLOCATIONS_13: Final = _consumers(13)
POST_ALLOCATIONS_28: Final = _consumers(28)
POST_ALLOCATIONS_34: Final = _consumers(34)
POST_ALLOCATIONS_38: Final = _consumers(38)

# ---- reshaper, usages ------------------------------------------------------------------------------------------------


def _reshaper(version: int) -> Schema:
    inventories = {
        "type": "object",
        "patternProperties": {_UUID_PATTERN: PUT_INVENTORIES},
        "minProperties": 1,
        "additionalProperties": False,
    }
    return _record(
        {"inventories": inventories, "allocations": _consumers(version, least=0)}, ["inventories", "allocations"]
    )


RESHAPER_30: Final = _reshaper(30)
RESHAPER_34: Final = _reshaper(34)
RESHAPER_38: Final = _reshaper(38)
GET_USAGES: Final = _record({"project_id": _ID, "user_id": _ID}, ["project_id"])
GET_USAGES_38: Final = _record(
    {"project_id": _ID, "user_id": _ID, "consumer_type": {**_CONSUMER_TYPE, "pattern": _TYPE_QUERY_PATTERN}},
    ["project_id"],
)


def of_version(version: int, *steps: tuple[int, Schema]) -> Schema:
    """Returns the schema of a microversion.

    Args:
        version: of the request.
        *steps: schemas with the microversions that they begin at, ascending; the first begins at or below `version`.
    """
    return [schema for since, schema in steps if since <= version][-1]
