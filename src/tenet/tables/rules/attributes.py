"""Checks attribute values as they come in, makes them canonical, and counts their bytes in the same pass.

Values stay in the form that goes over the wire. Canonical means: numbers in the one text that the service answers with,
sets sorted and without superfluous forms, ``BOOL`` and ``NULL`` as JSON booleans, nothing but the one type member. Two
canonical values are equal as DynamoDB sees it exactly when they are equal in Python.

Two kinds of errors: a value of the wrong JSON type (``SerializationException``, found before anything else in a
request) and a value that breaks a rule (``ValidationException``). One pass looks for both; where it meets the second
kind, the values are looked through for the first before it is raised.

Sources: "Supported data types and naming rules" and "Item sizes and formats" of the Developer Guide; texts as the peers
dynalite 4 and dynoxide 1.5 recorded them from the service, in the wording that us-east-1 used before 2026.
"""

from __future__ import annotations

from binascii import a2b_base64
from typing import TYPE_CHECKING, Any, Final, NoReturn

from tenet.tables.errors import ValidationException
from tenet.tables.rules import numbers
from tenet.tables.rules.wire_types import BOOLEAN_TEXTS, KINDS, check_wire_types, decode_binary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sized
    from typing import TypeAlias

    from tenet.tables.model import Item

ITEM_BYTES_MAX: Final = 400 * 1024
ATTRIBUTE_NAME_BYTES_MAX: Final = 65_535
#: All names and values that expressions of a request stand for, with their placeholders ("Expression parameters" in the
#: service's quotas).
SUBSTITUTES_BYTES_MAX: Final = 2 * 1024 * 1024
#: A list or map may hold others to this depth, counted from the attribute's own value as 1.
LEVELS_MAX: Final = 32

EMPTY_VALUE: Final = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
MORE_THAN_ONE_TYPE: Final = (
    "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
)
TOO_DEEP: Final = (
    "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
)
_TOO_LARGE: Final = "Item size has exceeded the maximum allowed size"
_UPDATED_TOO_LARGE: Final = "Item size to update has exceeded the maximum allowed size"

if TYPE_CHECKING:
    #: Checks the content of an attribute value, which it may replace, and returns its size in bytes.
    _Check: TypeAlias = Callable[[Any, Any, int], int]


def invalid_parameter(why: str) -> NoReturn:
    """Raises a refusal of a parameter's value in the service's usual form."""
    raise ValidationException(f"One or more parameter values were invalid: {why}")


class TooLarge(ValidationException):
    """An item is so large that the rest of it is not looked at."""


class SubstitutesTooLarge(TooLarge):
    """Values of expressions are so large together that the rest of them is not looked at."""


def check_item(item: Item) -> int:
    """Checks an item or a key, makes it canonical in place, and returns its size in bytes.

    Args:
        item: attribute values by name, as parsed from JSON; owned by the caller, since it is changed.

    Raises:
        SerializationException: a value is not of the JSON type that its member asks for.
        ValidationException: a value breaks a rule of its type.
        TooLarge: the item passes 400 KB before its last value; a single value may. What is behind is not looked at.
    """
    try:
        return _check_members(item, 1)
    except TooLarge:
        raise
    except ValidationException:
        check_wire_types(item)
        raise


def check_value(value: Any) -> int:
    """Checks one attribute value, makes it canonical in place, and returns its size in bytes.

    Args:
        value: as parsed from JSON; owned by the caller.

    Raises:
        SerializationException: it is not of the JSON type that its member asks for.
        ValidationException: it breaks a rule of its type.
    """
    try:
        return _check_all((value,), 1)
    except ValidationException:
        check_wire_types({"": value})
        raise


def check_expression_values(values: dict[str, Any]) -> int:
    """Checks the values that a request hands to its expressions, and makes them canonical in place.

    Args:
        values: by placeholder; owned by the caller.

    Returns:
        The bytes of placeholders and values; where they pass ``SUBSTITUTES_BYTES_MAX``, only that they do.

    Raises:
        SerializationException: a value is not of the JSON type that its member asks for.
        ValidationException: a value breaks a rule of its type; the message names its placeholder.
    """
    try:
        return _check_members(values, 1, SUBSTITUTES_BYTES_MAX)
    except SubstitutesTooLarge:
        return SUBSTITUTES_BYTES_MAX + 1
    except TooLarge:
        raise ValidationException(_UPDATED_TOO_LARGE) from None
    except ValidationException:
        check_wire_types(values)
        for placeholder, value in values.items():
            _check_expression_value(placeholder, value)
        raise


def _check_expression_value(placeholder: str, value: Any) -> None:
    try:
        _check_all((value,), 1)
    except ValidationException as error:
        raise ValidationException(
            f"ExpressionAttributeValues contains invalid value: {error.message} for key {placeholder}"
        ) from error


def check_item_size(size_bytes: int) -> None:
    """Checks the size of an item that is put.

    Raises:
        ValidationException: it is over 400 KB.
    """
    if size_bytes > ITEM_BYTES_MAX:
        raise ValidationException(_TOO_LARGE)


def check_updated_item_size(size_bytes: int) -> None:
    """Checks the size of an item as an update leaves it.

    Raises:
        ValidationException: it is over 400 KB.
    """
    if size_bytes > ITEM_BYTES_MAX:
        raise ValidationException(_UPDATED_TOO_LARGE)


def _check_members(members: dict[str, Any], level: int, bytes_max: int = ITEM_BYTES_MAX) -> int:
    """Checks the attributes of an item or the members of a map; returns the bytes of names and values.

    Raises:
        TooLarge: they pass `bytes_max` before the last one.
    """
    if len(members) > bytes_max:
        raise TooLarge(_TOO_LARGE)
    if "" in members:
        check_name("")
    size = _check_all(members.values(), level, bytes_max)
    names = "".join(members)
    size += len(names) if names.isascii() else len(names.encode())
    if len(names) > ATTRIBUTE_NAME_BYTES_MAX // 4:
        for name in members:
            check_name(name)
    return size


def _check_all(values: Iterable[Any], level: int, bytes_max: int = ITEM_BYTES_MAX) -> int:
    """Checks values that stand side by side, and returns their bytes.

    Raises:
        TooLarge: they pass `bytes_max` before the last one.
    """
    size = 0
    for value in values:
        if size > bytes_max:
            if bytes_max == SUBSTITUTES_BYTES_MAX:
                raise SubstitutesTooLarge(_TOO_LARGE)
            raise TooLarge(_TOO_LARGE)
        try:
            (kind,) = value
            content = value[kind]
        except (TypeError, ValueError, LookupError):
            kind, content = _the_one_type(value)
        if content.__class__ is str:
            if kind == "S":
                size += len(content) if content.isascii() else len(content.encode())
                continue
            if kind == "N" and numbers.is_plain(content):
                # What ``numbers.size_bytes`` says of it.
                size += 1 + ((len(content.rstrip("0")) + 1) >> 1)
                continue
        check: _Check = _CHECKS.get(kind, _check_unknown)
        size += check(value, content, level)
    return size


def check_name(name: str) -> None:
    """Checks the length of an attribute's name.

    Raises:
        ValidationException: it is empty, or over 65,535 bytes.
    """
    if not name:
        raise ValidationException("Empty attribute name")
    if len(name.encode()) > ATTRIBUTE_NAME_BYTES_MAX:
        raise ValidationException(
            f"Attribute name is too large, must be less than {ATTRIBUTE_NAME_BYTES_MAX + 1} bytes"
        )


def _the_one_type(value: object) -> tuple[str, object]:
    """Returns the type and content of a value that has not just one member, and drops members that do not count."""
    if not isinstance(value, dict):
        check_wire_types({"": value})
        raise ValidationException(EMPTY_VALUE)
    for member in [member for member, content in value.items() if content is None or member not in KINDS]:
        del value[member]
    if not value:
        raise ValidationException(EMPTY_VALUE)
    if len(value) > 1:
        _refuse_more_than_one(value)
    return next(iter(value.items()))


def _refuse_more_than_one(value: Any) -> NoReturn:
    """Raises for a value of several types: for what is wrong within a member first."""
    check_wire_types({"": value})
    for kind in ("SS", "NS", "BS", "N", "NULL"):
        if kind in value:
            _CHECKS[kind](value, value[kind], 1)
    raise ValidationException(MORE_THAN_ONE_TYPE)


def _check_unknown(_value: Any, _content: object, _level: int) -> int:
    """Looks again at a value whose one member is none of the types: that is an empty value."""
    raise ValidationException(EMPTY_VALUE)


def _wrong_type(value: Any) -> NoReturn:
    """Raises for a value whose content is not of the JSON type that its member asks for."""
    check_wire_types({"": value})
    raise ValidationException(EMPTY_VALUE)


def _check_string(value: Any, content: object, _level: int) -> int:
    if content.__class__ is not str:
        _wrong_type(value)
    assert isinstance(content, str)
    return len(content) if content.isascii() else len(content.encode())


def _check_number(value: Any, content: object, _level: int) -> int:
    if not isinstance(content, str):
        _wrong_type(value)
    text = numbers.canonical(content)
    value["N"] = text
    return numbers.size_bytes(text)


def _check_binary(value: Any, content: object, _level: int) -> int:
    if not isinstance(content, str):
        _wrong_type(value)
    return len(decode_binary(content))


def _check_boolean(value: Any, content: object, _level: int) -> int:
    if content is not True and content is not False:
        value["BOOL"] = _boolean(value, content)
    return 1


def _check_null(value: Any, content: object, _level: int) -> int:
    if content is not True:
        if not _boolean(value, content):
            invalid_parameter("Null attribute value types must have the value of true")
        value["NULL"] = True
    return 1


def _boolean(value: Any, content: object) -> bool:
    """Returns the boolean that a member's content stands for: the service also takes texts such as ``yes``."""
    if isinstance(content, bool):
        return content
    if not isinstance(content, str):
        _wrong_type(value)
    check_wire_types({"": value})
    return BOOLEAN_TEXTS[content.lower()]


def _check_list(value: Any, content: object, level: int) -> int:
    if not isinstance(content, list):
        _wrong_type(value)
    if level >= LEVELS_MAX:
        raise ValidationException(TOO_DEEP)
    _check_count(content)
    return 3 + len(content) + _check_all(content, level + 1)


def _check_count(elements: Sized) -> None:
    """Refuses so many elements that they alone pass the size of an item: each counts as a byte at least."""
    if len(elements) > ITEM_BYTES_MAX:
        raise TooLarge(_TOO_LARGE)


def _check_map(value: Any, content: object, level: int) -> int:
    if not isinstance(content, dict):
        _wrong_type(value)
    if level >= LEVELS_MAX:
        raise ValidationException(TOO_DEEP)
    return 3 + len(content) + _check_members(content, level + 1)


def _check_string_set(value: Any, content: object, _level: int) -> int:
    members = _set_members(value, content)
    if not members:
        invalid_parameter("An string set  may not be empty")
    if sum(map(len, members)) > ITEM_BYTES_MAX:
        raise TooLarge(_TOO_LARGE)
    if len(set(members)) != len(members):
        invalid_parameter(f"Input collection [{', '.join(members)}] contains duplicates.")
    joined = "".join(members)
    if joined.isascii():
        members.sort()
        return len(joined)
    members.sort(key=str.encode)
    return len(joined.encode())


def _check_number_set(value: Any, content: object, _level: int) -> int:
    members = _set_members(value, content)
    if not members:
        invalid_parameter("An number set  may not be empty")
    texts: list[str] = []
    size = 0
    for member in members:
        if size > ITEM_BYTES_MAX:
            raise TooLarge(_TOO_LARGE)
        text = numbers.canonical(member)
        texts.append(text)
        size += numbers.size_bytes(text)
    if len(set(texts)) != len(texts):
        raise ValidationException("Input collection contains duplicates")
    texts.sort(key=numbers.value)
    value["NS"] = texts
    return size


def _check_binary_set(value: Any, content: object, _level: int) -> int:
    members = _set_members(value, content)
    if not members:
        invalid_parameter("Binary sets should not be empty")
    if sum(map(len, members)) > 2 * ITEM_BYTES_MAX:
        raise TooLarge(_TOO_LARGE)
    decoded = {member: decode_binary(member) for member in members}
    if len(decoded) != len(members):
        invalid_parameter(f"Input collection [{', '.join(members)}]of type BS contains duplicates.")
    members.sort(key=decoded.__getitem__)
    return sum(map(len, decoded.values()))


def _set_members(value: Any, content: object) -> list[str]:
    """Returns the members of a set, which are strings."""
    if not isinstance(content, list):
        _wrong_type(value)
    _check_count(content)
    for member in content:
        if member.__class__ is not str:
            check_wire_types({"": value})
            _refuse_null_member(next(iter(value)))
    return content


def _refuse_null_member(kind: str) -> NoReturn:
    if kind == "NS":
        raise ValidationException(numbers.NOT_A_NUMBER)
    if kind == "BS":
        invalid_parameter("Binary sets may not contain null or empty values")
    invalid_parameter("An string set may not have a null string as a member")


def sorted_set(kind: str, elements: Iterable[str]) -> list[str]:
    """Returns the canonical content of a set.

    Args:
        kind: ``SS``, ``NS`` or ``BS``.
        elements: canonical and distinct.
    """
    return sorted(elements, key=_SET_ORDERS[kind])


#: In which order the service returns the elements of sets: by their bytes, numbers by value.
_SET_ORDERS: Final[dict[str, Callable[[str], Any]]] = {"SS": str.encode, "NS": numbers.value, "BS": a2b_base64}
#: By type member.
_CHECKS: Final[dict[str, _Check]] = {
    "S": _check_string,
    "N": _check_number,
    "B": _check_binary,
    "BOOL": _check_boolean,
    "NULL": _check_null,
    "L": _check_list,
    "M": _check_map,
    "SS": _check_string_set,
    "NS": _check_number_set,
    "BS": _check_binary_set,
}
