"""The shapes of what is asked and answered under ``/v1/quotas``, as JSON Schema (draft 2020-12)."""

from __future__ import annotations

from typing import Any, Final

from tenet.placement.rules.claim_schemas import ERRORS
from tenet.placement.rules.schema_parts import COUNT, answers, body, record, refusals
from tenet.placement.rules.schemas import Schema

#: Limits of one quota: each is a count more that claims of the project add to.
LIMITS_MAX: Final = 256
_LIMIT_MAX: Final = 2**53 - 1


_NAME: Final[Schema] = {"type": "string", "pattern": "^[A-Z0-9_]+$", "minLength": 1, "maxLength": 255}
_TYPE: Final[Schema] = {"type": "string", "pattern": "^([A-Z0-9_]+|unknown)$", "minLength": 1, "maxLength": 255}
_LIMIT: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": _LIMIT_MAX}


def _by(names: Schema, values: Schema) -> Schema:
    return {"type": "object", "propertyNames": names, "additionalProperties": values, "maxProperties": LIMITS_MAX}


_LIMITS: Final[dict[str, Any]] = {"resources": _by(_NAME, _LIMIT), "consumers": _LIMIT}
#: Body of ``PUT /v1/quotas/{project_id}``.
PUT_QUOTA: Final = record({**_LIMITS, "consumer_types": _by(_TYPE, record(_LIMITS))})

_ENTRY: Final = record(
    {
        "limit": {"type": ["integer", "null"], "description": "null: not limited."},
        "used": COUNT,
        "left": {"type": ["integer", "null"], "minimum": 0},
    },
    ("limit", "used", "left"),
)
_SHOWN: Final[dict[str, Any]] = {
    "resources": {"type": "object", "propertyNames": _NAME, "additionalProperties": _ENTRY},
    "consumers": _ENTRY,
}
#: Body of the answer to ``GET`` and ``PUT``.
QUOTA: Final = record(
    {
        "project_id": {"type": "string"},
        **_SHOWN,
        "consumer_types": {"type": "object", "additionalProperties": record(_SHOWN, ("resources",))},
        "updated_ms": {"type": ["integer", "null"], "description": "Milliseconds since 1970; null: there is no quota."},
    },
    ("project_id", "resources", "consumers", "consumer_types", "updated_ms"),
)

_REFUSALS: Final = refusals(ERRORS)
_PROJECT: Final[Schema] = {
    "name": "project_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def quota_paths() -> Schema:
    """Returns what the OpenAPI document says of quotas."""
    return {
        "/v1/quotas/{project_id}": {
            "get": {
                "operationId": "show_quota",
                "summary": "Shows what a project may have, what it has, and what is left.",
                "parameters": [_PROJECT],
                "responses": answers({"200": ("The quota; without one, what is in use.", QUOTA), **_REFUSALS}),
            },
            "put": {
                "operationId": "set_quota",
                "summary": "Sets all limits of a project. What is above one may stay, and become less.",
                "parameters": [_PROJECT],
                "requestBody": body(PUT_QUOTA),
                "responses": answers({"200": ("The quota as it is now.", QUOTA), **_REFUSALS}),
            },
            "delete": {
                "operationId": "delete_quota",
                "summary": "Takes all limits from a project.",
                "parameters": [_PROJECT],
                "responses": {"204": {"description": "It has none."}, **answers(_REFUSALS)},
            },
        }
    }
