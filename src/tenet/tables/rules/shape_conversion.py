"""How JSON becomes the values that a shape asks for, and what the service says where it cannot.

It converts as the service does: a null member is absent, unknown members are dropped, ``"true"``, ``"1"`` and ``"yes"``
are booleans, a fraction is cut off where an integer is expected. Attribute values are only checked. The first value
that cannot be converted, in the order of the document, is the one that is reported. Texts: the type conversion errors
that dynalite's suite recorded.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from tenet.tables.errors import SerializationException
from tenet.tables.rules.shape_model import ATTRIBUTE_VALUE, SHAPES
from tenet.tables.rules.wire_types import BOOLEAN_TEXTS, check_wire_types

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenet.tables.rules.shape_model import Shape

_PACKAGE: Final = "com.amazonaws.dynamodb.v20120810."
_UNEXPECTED_FIELD: Final = "Unexpected field type"
_UNEXPECTED_VALUE: Final = "Unexpected value type in payload"
_OBJECT: Final = "Start of structure or map found where not expected"
_PARAMETERIZED: Final = (
    "class sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl cannot be cast to class java.lang.Class "
    "(sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl and java.lang.Class are in module java.base of "
    "loader 'bootstrap')"
)
_JAVA_TYPES: Final = {
    "string": "java.lang.String",
    "boolean": "java.lang.Boolean",
    "integer": "java.lang.Integer",
    "long": "java.lang.Long",
    "double": "java.lang.Double",
    "timestamp": "java.util.Date",
}
_NUMBER_NAMES: Final = {"integer": "Integer", "long": "Long", "double": "Double", "timestamp": "Date"}
_NUMBER_BITS: Final = {"integer": 31, "long": 63}


def convert_request(shape: Shape, request: dict[str, Any]) -> dict[str, Any]:
    """Returns a copy of a request with its values converted; null and unknown members are gone.

    Raises:
        SerializationException: a value cannot be converted.
    """
    converted: dict[str, Any] = _structure(shape, request, is_element=False)
    return converted


def convert(shape: Shape, value: Any) -> Any:
    """Returns a part of a request with its values converted; errors as for `convert_request`."""
    return _convert(shape, value, is_element=False)


def _convert(shape: Shape, value: Any, *, is_element: bool) -> Any:
    """Converts a value.

    Args:
        shape: what is expected.
        value: what is there.
        is_element: whether it stands in a list or a map rather than in a structure; the service words that otherwise.
    """
    if value is None:
        return None
    if shape.name == ATTRIBUTE_VALUE:
        if not isinstance(value, dict | list):
            raise SerializationException(_UNEXPECTED_FIELD)
        check_wire_types({"": value})
        return value
    convert = _CONVERSIONS.get(shape.kind)
    if convert is not None:
        return convert(shape, value, is_element=is_element)
    if isinstance(value, list):
        raise SerializationException(f"Unrecognized collection type class {_JAVA_TYPES[shape.kind]}")
    if isinstance(value, dict):
        raise SerializationException(_OBJECT)
    return _SCALARS[shape.kind](shape, value)


# ---- collections -----------------------------------------------------------------------------------------------------


def _structure(shape: Shape, value: Any, *, is_element: bool) -> dict[str, Any]:
    if isinstance(value, list):
        raise SerializationException(f"Unrecognized collection type class {_PACKAGE}{shape.name}")
    if not isinstance(value, dict):
        raise SerializationException(_UNEXPECTED_VALUE if is_element else _UNEXPECTED_FIELD)
    members = shape.members
    return {
        name: _convert(SHAPES[members[name]], member, is_element=False)
        for name, member in value.items()
        if member is not None and name in members
    }


def _list(shape: Shape, value: Any, *, is_element: bool) -> list[Any]:
    if isinstance(value, dict):
        raise SerializationException(_OBJECT)
    if not isinstance(value, list):
        raise SerializationException(_PARAMETERIZED if is_element else _UNEXPECTED_FIELD)
    of_member = SHAPES[shape.member]
    if of_member.name == ATTRIBUTE_VALUE:
        check_wire_types(dict(enumerate(value)))
        return list(value)
    return [_convert(of_member, member, is_element=True) for member in value]


def _map(shape: Shape, value: Any, *, is_element: bool) -> dict[str, Any]:
    if isinstance(value, list):
        raise SerializationException(f"Unrecognized collection type {_java_type(shape)}")
    if not isinstance(value, dict):
        raise SerializationException(_PARAMETERIZED if is_element else _UNEXPECTED_FIELD)
    of_value = SHAPES[shape.value]
    if of_value.name == ATTRIBUTE_VALUE:
        check_wire_types(value)
        return dict(value)
    return {name: _convert(of_value, member, is_element=True) for name, member in value.items()}


def _java_type(shape: Shape) -> str:
    """Returns how the service names a shape's type in its messages."""
    if shape.kind == "structure":
        return _PACKAGE + shape.name
    if shape.kind == "list":
        return f"java.util.List<{_java_type(SHAPES[shape.member])}>"
    if shape.kind == "map":
        return f"java.util.Map<java.lang.String, {_java_type(SHAPES[shape.value])}>"
    return _JAVA_TYPES[shape.kind]


_CONVERSIONS: Final[dict[str, Callable[..., Any]]] = {"structure": _structure, "list": _list, "map": _map}


# ---- scalars ---------------------------------------------------------------------------------------------------------


def _token(value: bool | float | str) -> str:  # noqa: FBT001 - the value may be of any JSON type
    """Returns the parser's name for a scalar, as the service's messages say it."""
    if value is True:
        return "TRUE_VALUE"
    if value is False:
        return "FALSE_VALUE"
    if isinstance(value, str):
        return "STRING_VALUE"
    return "NUMBER_VALUE" if float(value).is_integer() else "DECIMAL_VALUE"


def _string(_: Shape, value: Any) -> str:
    if not isinstance(value, str):
        raise SerializationException(f"{_token(value)} cannot be converted to String")
    return value


def _boolean(_: Shape, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise SerializationException(f"{_token(value)} cannot be converted to Boolean")
    boolean = BOOLEAN_TEXTS.get(value.lower())
    if boolean is None:
        raise SerializationException("Unexpected token received from parser")
    return boolean


def _number(shape: Shape, value: Any) -> int | float:
    if isinstance(value, bool | str):
        raise SerializationException(f"{_token(value)} cannot be converted to {_NUMBER_NAMES[shape.kind]}")
    bits = _NUMBER_BITS.get(shape.kind)
    number: int | float = value
    if bits is None:
        return number
    return min(max(math.trunc(number), -(1 << bits)), (1 << bits) - 1)


_SCALARS: Final[dict[str, Callable[[Shape, Any], Any]]] = {
    "string": _string,
    "boolean": _boolean,
    "integer": _number,
    "long": _number,
    "double": _number,
    "timestamp": _number,
}
