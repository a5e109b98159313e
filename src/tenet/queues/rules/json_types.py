"""Whether the JSON of a request has the types of its shape, and what it becomes where it can be converted.

It converts as the service does: a null member is absent, a fraction is cut off where an integer is expected. Members
that the API does not have stay, and nobody looks at them. Texts: those of the service's JSON parser, which the tables
room has from recordings too.
"""

from __future__ import annotations

import math
from typing import Any, Final

from tenet.queues.errors import SerializationException
from tenet.queues.rules.shapes import INTEGER_MAX, REQUESTS, STRING, Shape

_OBJECT: Final = "Start of structure or map found where not expected"
_UNEXPECTED_FIELD: Final = "Unexpected field type"
_JAVA_TYPES: Final = {"string": "java.lang.String", "integer": "java.lang.Integer", "blob": "java.nio.ByteBuffer"}


def check_types(operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """Returns a request with the types of its shape: itself where it has them, as almost every one does.

    Args:
        operation: its name, one of ``REQUESTS``.
        request: the parsed body.

    Raises:
        SerializationException: a value cannot be converted; the first one in the order of the document.
    """
    shape = REQUESTS[operation]
    if _fits(shape, request):
        return request
    converted: dict[str, Any] = _convert(shape, request)
    return converted


def _fits(shape: Shape, value: Any) -> bool:
    """Whether nothing has to be converted."""
    kind = shape.kind
    if kind == "structure":
        return type(value) is dict and _members_fit(shape.members, value)
    if kind == "integer":
        return type(value) is int and -INTEGER_MAX <= value <= INTEGER_MAX
    of = shape.of
    if of is None:
        return type(value) is str
    if kind == "list":
        return type(value) is list and all(_fits(of, element) for element in value)
    return type(value) is dict and all(_fits(of, element) for element in value.values())


def _members_fit(members: dict[str, Shape], value: dict[str, Any]) -> bool:
    for name, member in value.items():
        expected = members.get(name)
        if expected is STRING:
            if type(member) is not str:
                return False
        elif expected is not None and not _fits(expected, member):
            return False
    return True


def _convert(shape: Shape, value: Any) -> Any:
    kind = shape.kind
    if kind == "structure":
        return _structure(shape, value)
    if kind == "list":
        if isinstance(value, dict):
            raise SerializationException(_OBJECT)
        if not isinstance(value, list):
            raise SerializationException(_UNEXPECTED_FIELD)
        assert shape.of is not None
        return [_convert(shape.of, element) for element in value if element is not None]
    if kind == "map":
        if not isinstance(value, dict):
            raise SerializationException(_UNEXPECTED_FIELD)
        assert shape.of is not None
        return {name: _convert(shape.of, element) for name, element in value.items() if element is not None}
    return _scalar(kind, value)


def _structure(shape: Shape, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SerializationException(_UNEXPECTED_FIELD)
    members = shape.members
    return {
        name: _convert(members[name], member)
        for name, member in value.items()
        if member is not None and name in members
    }


def _scalar(kind: str, value: Any) -> str | int:
    if isinstance(value, list):
        raise SerializationException(f"Unrecognized collection type class {_JAVA_TYPES[kind]}")
    if isinstance(value, dict):
        raise SerializationException(_OBJECT)
    if kind == "integer":
        if isinstance(value, bool | str):
            raise SerializationException(f"{_token(value)} can not be converted to an Integer")
        number: int = min(max(math.trunc(value), -INTEGER_MAX - 1), INTEGER_MAX)
        return number
    if isinstance(value, str):
        return value
    if kind == "blob":
        raise SerializationException("only base-64-encoded strings are convertible to bytes")
    raise SerializationException(f"{_token(value)} can not be converted to a String")


def _token(value: bool | float | str) -> str:  # noqa: FBT001 - the value may be of any JSON type
    """Returns the parser's name for a scalar, as the service's messages say it."""
    if value is True:
        return "TRUE_VALUE"
    if value is False:
        return "FALSE_VALUE"
    if isinstance(value, str):
        return "STRING_VALUE"
    return "NUMBER_VALUE" if float(value).is_integer() else "DECIMAL_VALUE"
