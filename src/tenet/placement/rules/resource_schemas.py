"""The shapes of what is asked and answered about resource classes and capabilities under ``/v1``, and their OpenAPI."""

from __future__ import annotations

from typing import Any, Final

from tenet.placement.rules.capabilities import PUT_CAPABILITIES
from tenet.placement.rules.claim_schemas import ERRORS
from tenet.placement.rules.schema_parts import COUNT, UUID, answers, body, listed, record, refusals
from tenet.placement.rules.schemas import Schema

#: Classes in one description of a provider.
RESOURCES_MAX: Final = 256

#: Body of ``PUT …/resources``.
PUT_RESOURCES: Final = record(
    {
        "resource_provider_generation": {"type": "integer"},
        "resources": {
            "type": "object",
            "propertyNames": {"type": "string", "minLength": 1, "maxLength": 255},
            "maxProperties": RESOURCES_MAX,
            "description": "All that the provider has, by class: as the class is described, or an inventory.",
        },
    },
    ("resource_provider_generation", "resources"),
)
_TEXT: Final[Schema] = {"type": "string"}
_TEXTS: Final[Schema] = {"type": "array", "items": _TEXT}
_SHOWN: Final = record(
    {
        "resource_provider_generation": {"type": "integer"},
        "resources": {
            "type": "object",
            "additionalProperties": record({"described": {}, "used": {}, "free": {}}, ("described", "used", "free")),
        },
    },
    ("resource_provider_generation", "resources"),
)
_CLASS: Final[Schema] = {
    "name": _TEXT,
    "summary": _TEXT,
    "unit": {**_TEXT, "description": "Of amounts that are numbers."},
    "amount": {"description": "An example of what a claim asks for."},
    "described": {"description": "An example of what a provider is described with."},
    "resource_classes": {**_TEXTS, "description": "OpenStack's, in which it is kept; `*` stands for several."},
    "traits": {**_TEXTS, "description": "That its providers have, and its claims ask for."},
    "step": COUNT,
    "is_exclusive": {"type": "boolean", "description": "Whether the allocation ratio is always 1."},
    "is_of_one": {"type": "boolean", "description": "Whether it comes from one provider: its group needs a suffix."},
}
_CLASSES: Final = record(
    {
        "resource_classes": {"type": "array", "items": record(_CLASS, tuple(_CLASS))},
        "unusable": listed(record({"name": _TEXT, "problem": _TEXT}, ("name", "problem")), 0, 10_000),
    },
    ("resource_classes", "unusable"),
)
_PROVIDER: Final = [{"name": "uuid", "in": "path", "required": True, "schema": UUID}]
_REFUSALS: Final = {**refusals(ERRORS), "404": ("There is no such provider.", ERRORS)}
_CHANGED: Final = ("The generation is another one, or something is in use of what is left out.", ERRORS)


def _show(name: str, what: str, schema: Schema) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": f"Shows {what}.",
        "parameters": _PROVIDER,
        "responses": answers({"200": ("As it is now.", schema), **_REFUSALS}),
    }


def _set(name: str, what: str, asked: Schema, schema: Schema) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": f"Replaces {what}.",
        "parameters": _PROVIDER,
        "requestBody": body(asked),
        "responses": answers({"200": ("As it is now.", schema), "409": _CHANGED, **_REFUSALS}),
    }


def resource_paths() -> Schema:
    """Returns the paths of the OpenAPI document that are about resource classes and capabilities."""
    return {
        "/v1/resource-classes": {
            "get": {
                "operationId": "list_classes",
                "summary": "Shows the resource classes that have units of their own.",
                "responses": answers({"200": ("All of them.", _CLASSES), **refusals(ERRORS)}),
            }
        },
        "/v1/resource-providers/{uuid}/resources": {
            "get": _show("show_resources", "what a provider has, and what is in use of it", _SHOWN),
            "put": _set("set_resources", "all that a provider has", PUT_RESOURCES, _SHOWN),
        },
        "/v1/resource-providers/{uuid}/capabilities": {
            "get": _show("show_capabilities", "the capabilities of a provider", PUT_CAPABILITIES),
            "put": _set("set_capabilities", "the capabilities of a provider", PUT_CAPABILITIES, PUT_CAPABILITIES),
        },
    }
