"""What the schemas of ``/v1`` are put together from."""

from __future__ import annotations

from typing import Any, Final

from tenet.placement.rules.schemas import Schema

_JSON: Final = "application/json"

UUID: Final[Schema] = {"type": "string", "format": "uuid"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}


def record(properties: Schema, required: tuple[str, ...] = (), **more: Any) -> Schema:
    """Returns the schema of an object that has these members and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


def listed(items: Schema, least: int, most: int) -> Schema:
    """Returns the schema of a list of so many items."""
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def body(schema: Schema) -> Schema:
    """Returns the body of a request, for OpenAPI."""
    return {"required": True, "content": {_JSON: {"schema": schema}}}


def answers(schemas: dict[str, tuple[str, Schema]]) -> Schema:
    """Returns the responses of an operation, for OpenAPI.

    Args:
        schemas: by status, a sentence and the schema of the body.
    """
    return {
        status: {"description": told, "content": {_JSON: {"schema": schema}}}
        for status, (told, schema) in schemas.items()
    }


def refusals(errors: Schema) -> dict[str, tuple[str, Schema]]:
    """Returns the responses that every operation has.

    Args:
        errors: schema of the body of every error.
    """
    return {
        "400": ("The request is malformed.", errors),
        "401": ("Nobody knows who sent it.", errors),
        "403": ("The sender may not, or a project's quota does not let it.", errors),
        "503": ("The server cannot serve now; nothing was written.", errors),
    }
