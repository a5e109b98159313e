"""Bodies and query strings against their schemas, with the texts that the service gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.exceptions import best_match

from tenet.placement.errors import BadRequest
from tenet.placement.rules.schemas import Schema

_checker: Final = FormatChecker(())


def canonical_uuid(text: object) -> str | None:
    """Returns a uuid in its usual form, whatever its case, hyphens and braces; None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        return str(UUID(text))
    except ValueError:
        return None


_HEX: Final = frozenset("0123456789abcdef")
_UUID_DIGITS: Final = 32


@_checker.checks("uuid")
def is_uuid_like(text: object) -> bool:
    """Tells whether a text is a uuid in one of the forms that clients use (RFC 9562; with or without hyphens)."""
    if not isinstance(text, str):
        return True
    plain = text.replace("urn:", "").replace("uuid:", "").strip("{}").replace("-", "").lower()
    return len(plain) == _UUID_DIGITS and _HEX.issuperset(plain)


def read_body(body: bytes, schema: Schema) -> Any:
    """Returns the document of a body.

    Args:
        body: as it came.
        schema: one of ``schemas``.

    Raises:
        BadRequest: it is no JSON, or has another shape.
    """
    try:
        document = json.loads(body)
    except ValueError as error:
        raise BadRequest(f"Malformed JSON: {error}") from None
    mistake = _first_error(document, schema)
    if mistake is not None:
        raise BadRequest(f"JSON does not validate: {mistake}")
    return document


def check_query(query: Mapping[str, str], schema: Schema) -> None:
    """Checks the parameters of a query string.

    Args:
        query: the last value of each.
        schema: one of ``schemas``.

    Raises:
        BadRequest: one is missing, unknown or of another form.
    """
    error = _first_error(dict(query), schema)
    if error is not None:
        raise BadRequest(f"Invalid query string parameters: {error}")


def matches(value: object, schema: Schema) -> bool:
    """Tells whether a value is of the form that a schema says."""
    return _validator(_Held(schema)).is_valid(value)


class _Held:
    """Makes a schema, which is a constant, a key of a cache by its identity."""

    __slots__ = ("schema",)

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.schema is self.schema

    def __hash__(self) -> int:
        return id(self.schema)


@lru_cache(maxsize=64)
def _validator(held: _Held) -> Draft202012Validator:
    return Draft202012Validator(held.schema, format_checker=_checker)


def _first_error(document: object, schema: Schema) -> ValidationError | None:
    found: ValidationError | None = best_match(_validator(_Held(schema)).iter_errors(document))
    return found
