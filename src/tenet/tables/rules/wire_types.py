"""The JSON types of attribute values, and what the service's deserializer says where they are not met.

Texts as the peer dynalite 4 recorded them from the service.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from typing import TYPE_CHECKING, Final, NoReturn

from tenet.tables.errors import SerializationException

if TYPE_CHECKING:
    from collections.abc import Callable

#: The members that an attribute value can have.
KINDS: Final = frozenset(("S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS"))
#: What the deserializer takes for a boolean beside JSON's own, in any case.
BOOLEAN_TEXTS: Final = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}
#: So many values are looked at, which takes some 50 ms.
VALUES_MAX: Final = 100_000

_ATTRIBUTE_VALUE: Final = "com.amazonaws.dynamodb.v20120810.AttributeValue"
_STRUCTURE_NOT_EXPECTED: Final = "Start of structure or map found where not expected"
_FIELD_TYPE_NOT_EXPECTED: Final = "Unexpected field type"


def check_wire_types(values: object) -> None:
    """Checks that attribute values by name have the JSON types of the API, to any depth.

    Of more than ``VALUES_MAX`` values, the first so many are looked at; what lies behind them is not worth the time.

    Raises:
        SerializationException: one has not; the first one in the order of the request.
    """
    if not isinstance(values, dict):
        return
    # Values yet to be looked at, the next one last: no recursion, since nothing has bounded the depth here.
    pending = list(reversed(values.values()))
    looked_at = 0
    while pending and looked_at < VALUES_MAX:
        looked_at += 1
        value = pending.pop()
        if value is None:
            continue
        if not isinstance(value, dict):
            if isinstance(value, list):
                raise SerializationException(f"Unrecognized collection type class {_ATTRIBUTE_VALUE}")
            raise SerializationException("Unexpected value type in payload")
        for kind, content in value.items():
            if content is not None and kind in KINDS:
                pending.extend(reversed(_check_member(kind, content)))


def decode_binary(text: str) -> bytes:
    """Returns the bytes of a canonical base64 text.

    Raises:
        SerializationException: the text is not that.
    """
    try:
        data = a2b_base64(text, strict_mode=True)
    except (Base64Error, ValueError) as error:
        if len(text) % 4:
            raise SerializationException(
                f"Base64 encoded length is expected a multiple of 4 bytes but found: {len(text)}"
            ) from error
        raise SerializationException("Invalid last non-pad Base64 character dectected") from error
    tail = len(data) % 3
    if tail and b2a_base64(data[-tail:], newline=False).decode() != text[-4:]:
        raise SerializationException("Invalid last non-pad Base64 character dectected")
    return data


def _check_member(kind: str, content: object) -> list[object]:
    """Checks the content of one type member; returns the attribute values within it."""
    if kind == "M":
        if isinstance(content, list):
            _refuse(f"Unrecognized collection type java.util.Map<java.lang.String, {_ATTRIBUTE_VALUE}>")
        if not isinstance(content, dict):
            _refuse(_FIELD_TYPE_NOT_EXPECTED)
        return list(content.values())
    check_scalar = _SCALARS.get(kind)
    if check_scalar is not None:
        check_scalar(content)
        return []
    if isinstance(content, dict):
        _refuse(_STRUCTURE_NOT_EXPECTED)
    if not isinstance(content, list):
        _refuse(_FIELD_TYPE_NOT_EXPECTED)
    if kind == "L":
        return content
    for member in content:
        if member is not None:
            _SCALARS[kind[0]](member)
    return []


def _check_text(content: object) -> None:
    if isinstance(content, str):
        return
    _refuse_collection(content, "java.lang.String")
    _refuse(f"{_scalar_name(content)} cannot be converted to String")


def _check_blob(content: object) -> None:
    if isinstance(content, str):
        decode_binary(content)
        return
    _refuse_collection(content, "java.nio.ByteBuffer")
    _refuse("only base-64-encoded strings are convertible to bytes")


def _check_boolean(content: object) -> None:
    if isinstance(content, bool):
        return
    if isinstance(content, str):
        if content.lower() in BOOLEAN_TEXTS:
            return
        _refuse("Unexpected token received from parser")
    _refuse_collection(content, "java.lang.Boolean")
    _refuse(f"{_scalar_name(content)} cannot be converted to Boolean")


def _refuse_collection(content: object, expected: str) -> None:
    if isinstance(content, list):
        _refuse(f"Unrecognized collection type class {expected}")
    if isinstance(content, dict):
        _refuse(_STRUCTURE_NOT_EXPECTED)


def _scalar_name(content: object) -> str:
    """Returns the name of the token that the deserializer met."""
    if isinstance(content, bool):
        return "TRUE_VALUE" if content else "FALSE_VALUE"
    return "DECIMAL_VALUE" if isinstance(content, float) else "NUMBER_VALUE"


def _refuse(message: str) -> NoReturn:
    raise SerializationException(message)


_SCALARS: Final[dict[str, Callable[[object], None]]] = {
    "S": _check_text,
    "N": _check_text,
    "B": _check_blob,
    "BOOL": _check_boolean,
    "NULL": _check_boolean,
}
