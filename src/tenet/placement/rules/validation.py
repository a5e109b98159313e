"""Bodies and query strings against their schemas, with the texts that the service gives."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.exceptions import best_match
from jsonschema.validators import extend

from tenet.placement.errors import BadRequest
from tenet.placement.rules.quick_shapes import Test, quick_test
from tenet.placement.rules.schemas import Schema

_checker: Final = FormatChecker(())
#: Up to which size of a body all that is wrong with it is looked for and shown; beyond, only what is found first.
_SHOWN_BYTES_MAX: Final = 16 * 1024
_TOLD_CHARS_MAX: Final = 1000
#: A mistake is told with the schema that it is against, as the reference does, where that can be read by somebody.
_SHOWN_CHARS_MAX: Final = 3000
#: Whole numbers up to here are the same as floats (IEEE 754, binary64).
_EXACT_MAX: Final = 2**53
#: A uuid in its usual form, as nearly all come.
_CANONICAL: Final = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: Without these bytes there is no lone surrogate in a text: neither as an escape nor as it came.
_ESCAPE: Final = b"\\u"
_SURROGATE: Final = b"\xed"


def canonical_uuid(text: object) -> str | None:
    """Returns a uuid in its usual form, whatever its case, hyphens and braces; None for anything else."""
    if not isinstance(text, str):
        return None
    if _CANONICAL.fullmatch(text):
        return text
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
    """Returns the document of a body; numbers without a fraction are whole numbers, however they are written.

    Args:
        body: as it came.
        schema: one of ``schemas``.

    Raises:
        BadRequest: it is no JSON, has numbers or characters that are none, or another shape.
    """
    try:
        document = _documents.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
        if _ESCAPE in body or _SURROGATE in body:
            _ = json.dumps(document, ensure_ascii=False).encode()
    except ValueError as error:
        raise BadRequest(f"Malformed JSON: {error}") from None
    check_document(document, schema, is_large=len(body) > _SHOWN_BYTES_MAX)
    return document


def check_document(document: object, schema: Schema, *, is_large: bool = False) -> None:
    """Refuses a document that has another shape.

    Args:
        document: as JSON says it.
        schema: one of ``schemas``.
        is_large: whether to look for the first mistake alone, and not to show all of the document.

    Raises:
        BadRequest: it has another shape.
    """
    # Nearly all documents have the shape that they should have; what is wrong with the others costs ten times as much.
    if _quick(_Held(schema))(document):
        return
    mistake = _any_error(document, schema) if is_large else _best_error(document, schema)
    if mistake is not None:
        told = "" if is_large else str(mistake)
        if not told or len(told) > _SHOWN_CHARS_MAX:
            told = f"{_shortened(mistake.message)} (at {_shortened(mistake.json_path)})"
        raise BadRequest(f"JSON does not validate: {told}")


def _shortened(told: str) -> str:
    """Returns a sentence, a long one without its middle: it begins with what was sent and ends with what is wrong."""
    half = _TOLD_CHARS_MAX // 2
    return told if len(told) <= _TOLD_CHARS_MAX else f"{told[:half]} … {told[-half:]}"


def _number(text: str) -> float | int:
    """Returns a number with a fraction or an exponent: whole where it is, since what is stored is whole."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"Out of range: {text[:_TOLD_CHARS_MAX]}")
    return int(number) if number.is_integer() and abs(number) <= _EXACT_MAX else number


def _refuse_constant(text: str) -> None:
    """Refuses what is no JSON, though many write it (RFC 8259, section 6)."""
    raise ValueError(f"Not a number: {text}")


#: Made once: the function that reads JSON makes one for each text.
_documents: Final = json.JSONDecoder(parse_float=_number, parse_constant=_refuse_constant)


def check_query(query: Mapping[str, str], schema: Schema) -> None:
    """Checks the parameters of a query string.

    Args:
        query: the last value of each.
        schema: one of ``schemas``.

    Raises:
        BadRequest: one is missing, unknown or of another form.
    """
    document = dict(query)
    if _quick(_Held(schema))(document):
        return
    error = _best_error(document, schema)
    if error is not None:
        raise BadRequest(f"Invalid query string parameters: {error}")


def matches(value: object, schema: Schema) -> bool:
    """Tells whether a value is of the form that a schema says."""
    return _quick(_Held(schema))(value) or _any_error(value, schema) is None


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
def _whole(pattern: str) -> re.Pattern[str]:
    """Returns a pattern whose ``$`` is the end, and not also a line end before it (ECMA-262, as JSON Schema says)."""
    return re.compile(pattern.replace("$", r"\Z"))


def _check_pattern(_: object, pattern: str, value: object, __: Schema) -> Iterator[ValidationError]:
    if isinstance(value, str) and not _whole(pattern).search(value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _check_unique(_: object, is_unique: bool, value: object, __: Schema) -> Iterator[ValidationError]:  # noqa: FBT001 (jsonschema calls it so)
    """Looks for texts that are listed twice; whatever else is in a list, its items' schema refuses."""
    if is_unique and isinstance(value, list):
        texts = [item for item in value if isinstance(item, str)]
        if len(set(texts)) < len(texts):
            yield ValidationError(f"{value!r} has non-unique elements")


_Validator: Final[Any] = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"pattern": _check_pattern, "uniqueItems": _check_unique}
)


@lru_cache(maxsize=64)
def _validator(held: _Held) -> Any:
    return _Validator(held.schema, format_checker=_checker)


@lru_cache(maxsize=64)
def _quick(held: _Held) -> Test:
    return quick_test(held.schema)


def _best_error(document: object, schema: Schema) -> ValidationError | None:
    """Returns the mistake that says most about a document; None: there is none."""
    found: ValidationError | None = best_match(_validator(_Held(schema)).iter_errors(document))
    return found


def _any_error(document: object, schema: Schema) -> ValidationError | None:
    """Returns the first mistake in a document; None: there is none. Costs no more than to look up to there."""
    found: ValidationError | None = next(_validator(_Held(schema)).iter_errors(document), None)
    return found
