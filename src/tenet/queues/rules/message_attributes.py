"""Message attributes, and the system attributes that a sender may give.

Source: Amazon SQS Developer Guide, "Amazon SQS message metadata"; API Reference, MessageAttributeValue.
"""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from typing import Any, Final

import msgspec
import orjson

from tenet.queues.errors import (
    InvalidMessageContents,
    InvalidParameterValue,
    SerializationException,
    UnsupportedOperation,
)

ATTRIBUTES_MAX: Final = 10
_CHARS_MAX: Final = 256
_NAME: Final = re.compile(r"[A-Za-z0-9_\-.]+")
_NUMBER: Final = re.compile(r"[+-]?(?:([0-9]+)\.?([0-9]*)|\.([0-9]+))(?:[eE]([+-]?[0-9]{1,4}))?")
_RESERVED: Final = ("aws.", "amazon.")
_TYPES: Final = ("Binary", "Number", "String")
#: Of a number: digits that count, and the powers of ten that it may reach.
_DIGITS_MAX: Final = 38
_POWER_MAX: Final = 126
_POWER_MIN: Final = -128

TRACE_HEADER: Final = "AWSTraceHeader"
TRACE_CHARS_MAX: Final = 1_024
_TRACE: Final = re.compile(r"[ -~]{1,1024}")
#: Message attributes that are longer as JSON are stored otherwise.
_JSON_BYTES_MAX: Final = 256 * 1024

#: What XML 1.0 has no place for, as UTF-8 has it (section 2.2): control characters, U+FFFE and U+FFFF.
_CONTROLS: Final = bytes(byte for byte in range(32) if byte not in b"\t\n\r")
_NO_CHARACTERS: Final = (b"\xef\xbf\xbe", b"\xef\xbf\xbf")


def has_bad_characters(data: bytes) -> bool:
    """Whether a text in UTF-8 has a character that a message may not have."""
    if len(data.translate(None, _CONTROLS)) != len(data):
        return True
    return b"\xef\xbf" in data and any(character in data for character in _NO_CHARACTERS)


def attributes_bytes(attributes: dict[str, dict[str, Any]]) -> int:
    """Returns how much message attributes add to the size of their message: names, types and values."""
    size = 0
    for name, value in attributes.items():
        size += (
            len(name.encode()) + len(value.get("DataType", "").encode()) + len(value.get("StringValue", "").encode())
        )
        binary = value.get("BinaryValue")
        if binary:
            size += len(binary) // 4 * 3 - binary.count("=", -2)
    return size


def read_attributes(given: dict[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Returns message attributes as they are kept and given out: a value and its type, by name.

    Raises:
        QueuesError: one is not right; the first in the order of the request.
    """
    if len(given) > ATTRIBUTES_MAX:
        raise InvalidParameterValue(
            f"Number of message attributes [{len(given)}] exceeds the allowed maximum [{ATTRIBUTES_MAX}]."
        )
    return {name: _read(name, value) for name, value in given.items()}


def _read(name: str, value: dict[str, Any]) -> dict[str, str]:
    _check_name(name)
    kind = value.get("DataType", "")
    _check_type(name, kind, value)
    if value.get("StringListValues") or value.get("BinaryListValues"):
        raise UnsupportedOperation("Message attribute list values in SendMessage operation are not supported.")
    if kind.startswith("Binary"):
        _refuse_field(name, kind, value, "StringValue")
        data = _decoded(value.get("BinaryValue", ""))
        if not data:
            raise _empty(name, "Binary")
        return {"BinaryValue": b64encode(data).decode("ascii"), "DataType": kind}
    _refuse_field(name, kind, value, "BinaryValue")
    text = value.get("StringValue", "")
    if not text:
        raise _empty(name, "String")
    if has_bad_characters(text.encode()):
        raise InvalidParameterValue(InvalidMessageContents.text)
    if kind.startswith("Number") and not _is_number(text):
        raise InvalidParameterValue(f"Can't cast the value of message (user) attribute '{name}' to a number.")
    return {"StringValue": text, "DataType": kind}


def _check_name(name: str) -> None:
    if not name:
        raise InvalidParameterValue("The request must contain non-empty message (user) attribute names.")
    if len(name) > _CHARS_MAX:
        raise InvalidParameterValue("Message (user) attribute name must be shorter than 256 bytes.")
    if not _NAME.fullmatch(name):
        raise InvalidParameterValue(
            "Message (user) attributes name can only contain upper and lower score characters, digits, periods, "
            "hyphens and underscores. "
        )
    if name.lower().startswith(_RESERVED):
        raise InvalidParameterValue(
            "You can't use message attribute names beginning with 'AWS.' or 'Amazon'. "
            "These strings are reserved for internal use."
        )
    if name.startswith(".") or name.endswith(".") or ".." in name:
        raise InvalidParameterValue(
            "You can't use message attribute names that begin or end with a period or have periods in succession."
        )


def _check_type(name: str, kind: str, value: dict[str, Any]) -> None:
    if not kind:
        if any(value.values()):
            raise InvalidParameterValue(f"The message (user) attribute '{name}' must contain a non-empty type.")
        raise InvalidParameterValue(
            f"The message (user) attribute '{name}' must contain a non-empty message attribute value."
        )
    if len(kind) > _CHARS_MAX:
        raise InvalidParameterValue("Message (user) attribute type must be shorter than 256 bytes.")
    base, dot, label = kind.partition(".")
    if base not in _TYPES or (dot and not label) or has_bad_characters(kind.encode()):
        raise InvalidParameterValue(
            f"The type of message (user) attribute '{name}' is invalid. You must use only the following supported type "
            "prefixes: Binary, Number, String."
        )


def _refuse_field(name: str, kind: str, value: dict[str, Any], wrong: str) -> None:
    """Refuses a value in the field of another type; an empty one, as old clients send it, counts for none."""
    if value.get(wrong):
        right = "BinaryValue" if wrong == "StringValue" else "StringValue"
        raise InvalidParameterValue(
            f"The message (user) attribute '{name}' with type '{kind}' must use field '{right}'."
        )


def _empty(name: str, kind: str) -> InvalidParameterValue:
    return InvalidParameterValue(f"Message (user) attribute '{name}' must contain a non-empty value of type '{kind}'.")


def _decoded(text: str) -> bytes:
    try:
        return a2b_base64(text, strict_mode=True)
    except (Base64Error, ValueError) as error:
        raise SerializationException("The value of a binary attribute is not valid base64") from error


def _is_number(text: str) -> bool:
    found = _NUMBER.fullmatch(text)
    if found is None:
        return False
    whole, fraction, alone, power = found[1] or "", found[2] or found[3] or "", found[3], int(found[4] or 0)
    del alone
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return True
    # The power of ten of the first digit that counts.
    first = len(digits) - 1 - len(fraction) + power
    return len(digits.rstrip("0")) <= _DIGITS_MAX and _POWER_MIN <= first <= _POWER_MAX


def is_trace(text: str) -> bool:
    """Whether a text may be a message's trace header: printable, and of so many characters."""
    return _TRACE.fullmatch(text) is not None


def read_trace(given: dict[str, dict[str, Any]]) -> str:
    """Returns the trace header of system attributes, of which it is the only one.

    It does not count towards the size of its message, so that it has a bound of its own.

    Raises:
        QueuesError: there is another one, or it is no trace header.
    """
    for name, value in given.items():
        if name != TRACE_HEADER:
            raise InvalidParameterValue(f"Message system attribute name '{name}' is invalid.")
        if value.get("DataType") != "String" or value.get("BinaryValue"):
            raise InvalidParameterValue(
                f"The type of message system attribute '{name}' is invalid. "
                "You must use only the following supported type prefixes: String."
            )
    text: str = given[TRACE_HEADER].get("StringValue", "")
    if not text:
        raise InvalidParameterValue(
            f"Message system attribute '{TRACE_HEADER}' must contain a non-empty value of type 'String'."
        )
    if not is_trace(text):
        raise InvalidParameterValue(
            f"The value of message system attribute '{TRACE_HEADER}' is invalid. "
            f"It must have 1 to {TRACE_CHARS_MAX} printable ASCII characters."
        )
    return text


def pack_attributes(attributes: dict[str, dict[str, str]]) -> bytes:
    """Returns message attributes as they are stored: as JSON, the form in which they are given out.

    The escapes of JSON can make twice as much of a text. Where that might be more than a store takes, they are
    MessagePack, whose maps begin otherwise than JSON's.
    """
    packed = orjson.dumps(attributes)
    return packed if len(packed) <= _JSON_BYTES_MAX else msgspec.msgpack.encode(attributes)


def is_json(packed: bytes) -> bool:
    """Whether stored message attributes are JSON."""
    return packed.startswith(b"{")


def unpack_attributes(packed: bytes) -> dict[str, dict[str, str]]:
    """Returns message attributes that were stored."""
    attributes: dict[str, dict[str, str]] = orjson.loads(packed) if is_json(packed) else msgspec.msgpack.decode(packed)
    return attributes


def selected(attributes: dict[str, dict[str, str]], names: list[str]) -> dict[str, dict[str, str]]:
    """Returns those of a message's attributes that a receive asks for.

    Args:
        attributes: of the message.
        names: names, ``All``, ``.*``, or the beginning of names followed by ``.*``; what matches nothing is no error.
    """
    if any(name in {"All", ".*"} for name in names):
        return attributes
    exact = {name for name in names if not name.endswith(".*")}
    prefixes = tuple(name[:-2] for name in names if name.endswith(".*"))
    return {
        name: value for name, value in attributes.items() if name in exact or (prefixes and name.startswith(prefixes))
    }
