"""Which constraints of its shape a converted request violates, in the service's order and words."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

from tenet.tables.rules.shape_facts import (
    NAME_PATTERN,
    PRINTED_MEMBERS,
    TABLE_ARN_SHAPE,
    TABLE_NAME,
    TABLE_NAME_CHARS_MAX,
    TABLE_NAME_CHARS_MIN,
)
from tenet.tables.rules.shape_model import ATTRIBUTE_VALUE, SHAPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tenet.tables.rules.shape_model import Shape

#: So many violations are reported; the service looks for no more.
VIOLATIONS_MAX: Final = 10
#: A value is quoted up to here: an answer must not be as large as the largest request.
QUOTED_CHARS_MAX: Final = 64 * 1024
#: What a list or map, other than an item, may hold where the model names no limit. An expression has 4 KB, and so room
#: for far fewer names and values; a table has 50 tags and 20 indexes.
ELEMENTS_MAX: Final = 10_000
_ITEM: Final = "PutItemInputAttributeMap"

_NOT_NULL: Final = "Member must not be null"
_NAME: Final = re.compile(NAME_PATTERN)


def violations(shape: Shape, request: dict[str, Any]) -> list[str]:
    """Returns the text of every constraint that a request violates, in order, at most ``VIOLATIONS_MAX``.

    Args:
        shape: of the request.
        request: converted.
    """
    found: list[str] = []
    for text in _structure(shape, request, ""):
        found.append(text)
        if len(found) == VIOLATIONS_MAX:
            break
    return found


def endless(shape: Shape, value: Any, path: str = "") -> tuple[Shape, Any, str] | None:
    """Returns the first list or map that is far too long for any right request, with its shape and its path, or None.

    Items are left to ``rules.attributes``, which knows how large they may be.

    Args:
        shape: of the value.
        value: a request as parsed, or a part of it.
        path: where the value stands.
    """
    if shape.kind == "structure" and isinstance(value, dict):
        parts = [
            (SHAPES[of], value.get(name), f"{path}.{_lower(name)}" if path else _lower(name))
            for name, of in shape.members.items()
        ]
    elif shape.kind in {"list", "map"} and isinstance(value, list | dict):
        if len(value) > endless_from(shape):
            return shape, value, path
        inner = SHAPES[shape.member or shape.value]
        if inner.name == ATTRIBUTE_VALUE or inner.kind not in {"structure", "list", "map"}:
            return None
        elements = value.items() if isinstance(value, dict) else enumerate(value, 1)
        parts = [(inner, element, f"{path}.{at}.member") for at, element in elements]
    else:
        return None
    return next((found for part in parts if (found := endless(*part)) is not None), None)


def endless_from(shape: Shape) -> float:
    """Returns above how many elements a list or map is not looked at any more."""
    if shape.name == _ITEM:
        return math.inf
    return ELEMENTS_MAX if shape.max is None else 2 * shape.max


def endless_violation(shape: Shape, beginning: Any, path: str) -> str:
    """Returns what is said of a list or map that is far too long.

    Args:
        shape: its shape.
        beginning: its first elements, converted.
        path: where it stands.
    """
    most = ELEMENTS_MAX if shape.max is None else shape.max
    return _violation(_java_text(shape, beginning), path, _at_most(most))


def table_name_problem(operation: str, name: str | None) -> str | None:
    """Returns what an operation on tables says of its TableName, before it looks at anything else; None if it is good.

    Args:
        operation: one of ``TABLE_NAME_FIRST``.
        name: the name or ARN; None where there is none.
    """
    if name is None:
        return "The parameter 'TableName' is required but was not present in the request"
    if TABLE_NAME.fullmatch(name):
        return None
    length = utf16_length(name)
    if operation != "CreateTable" and not TABLE_NAME_CHARS_MIN <= length <= TABLE_NAME_CHARS_MAX:
        return (
            f"TableName must be at least {TABLE_NAME_CHARS_MIN} characters long and at most {TABLE_NAME_CHARS_MAX} "
            "characters long"
        )
    texts = [_violation(name, "tableName", constraint) for constraint in _table_name_constraints(name)]
    plural = "s" if len(texts) > 1 else ""
    return f"{len(texts)} validation error{plural} detected: {'; '.join(texts)}"


def utf16_length(text: str) -> int:
    """Returns the length of a string as the service counts it, in UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


# ---- the walk --------------------------------------------------------------------------------------------------------


def _structure(shape: Shape, value: dict[str, Any], path: str) -> Iterator[str]:
    for name, of in shape.members.items():
        member = value.get(name)
        where = f"{path}.{_lower(name)}" if path else _lower(name)
        if member is not None:
            yield from _value(SHAPES[of], member, where)
        elif name in shape.required:
            yield _violation(None, where, _NOT_NULL)


def _value(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if shape.name == ATTRIBUTE_VALUE:
        return
    for constraint in _broken(shape, value):
        yield _violation(_java_text(shape, value), path, constraint)
    if shape.kind == "structure":
        yield from _structure(shape, value, path)
    elif shape.kind == "list":
        yield from _elements(SHAPES[shape.member], enumerate(value, 1), path)
    elif shape.kind == "map":
        yield from _map(shape, value, path)


def _elements(shape: Shape, elements: Any, path: str) -> Iterator[str]:
    """Checks what stands in a list or a map, each element with its index or key."""
    if shape.name == ATTRIBUTE_VALUE:
        return
    for at, element in elements:
        where = f"{path}.{at}.member"
        if element is None:
            yield _violation(None, where, _NOT_NULL)
        else:
            yield from _value(shape, element, where)


def _map(shape: Shape, value: dict[str, Any], path: str) -> Iterator[str]:
    of_key, of_value = SHAPES[shape.key], SHAPES[shape.value]
    if of_value.name == ATTRIBUTE_VALUE:
        return
    if any(any(_broken(of_key, key)) for key in value):
        limits = ", ".join(_limits(of_key))
        yield _violation(_java_text(shape, value), path, f"Map keys must satisfy constraint: [{limits}]")
    if any(element is not None and any(_broken(of_value, element)) for element in value.values()):
        limits = ", ".join(_limits(of_value))
        yield _violation(_java_text(shape, value), path, f"Map value must satisfy constraint: [{limits}]")
    inner = of_value
    if inner.kind == "structure":
        yield from _elements(inner, value.items(), path)
    elif inner.kind == "list":
        for key, elements in value.items():
            if elements is None:
                yield _violation(None, f"{path}.{key}.member", _NOT_NULL)
            else:
                yield from _elements(SHAPES[inner.member], enumerate(elements, 1), f"{path}.{key}.member")
    else:
        for key, element in value.items():
            if element is None:
                yield _violation(None, f"{path}.{key}.member", _NOT_NULL)


# ---- single constraints ----------------------------------------------------------------------------------------------


def _broken(shape: Shape, value: Any) -> Iterator[str]:
    """Yields the constraints of a shape itself, not of what it holds, that a value violates."""
    if shape.name == TABLE_ARN_SHAPE:
        if not TABLE_NAME.fullmatch(value):
            yield from ([_at_least(1)] if value == "" else _table_name_constraints(value))
        return
    yield from _broken_text(shape, value)
    if shape.min is None and shape.max is None:
        return
    if shape.kind in {"integer", "long", "double"}:
        measure, measured = "value", value
    else:
        measure, measured = "length", utf16_length(value) if isinstance(value, str) else len(value)
    if shape.min is not None and measured < shape.min:
        yield _at_least(shape.min, measure)
    if shape.max is not None and measured > shape.max:
        yield _at_most(shape.max, measure)


def _broken_text(shape: Shape, value: Any) -> Iterator[str]:
    if shape.enum and value not in shape.enum:
        yield f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"
    if shape.pattern and not re.fullmatch(shape.pattern, value):
        yield f"Member must satisfy regular expression pattern: {shape.pattern}"


def _table_name_constraints(name: str) -> Iterator[str]:
    """Yields what is wrong with a table's name that is none."""
    length = utf16_length(name)
    if not _NAME.fullmatch(name):
        yield f"Member must satisfy regular expression pattern: {NAME_PATTERN}"
    if length < TABLE_NAME_CHARS_MIN:
        yield _at_least(TABLE_NAME_CHARS_MIN)
    if length > TABLE_NAME_CHARS_MAX:
        yield _at_most(TABLE_NAME_CHARS_MAX)


def _limits(shape: Shape) -> list[str]:
    """Returns all constraints of a map's keys or values, as the service lists them when one is violated."""
    if shape.name == TABLE_ARN_SHAPE:
        return [
            _at_most(TABLE_NAME_CHARS_MAX),
            _at_least(TABLE_NAME_CHARS_MIN),
            f"Member must satisfy regular expression pattern: {NAME_PATTERN}",
        ]
    limits = [] if shape.max is None else [_at_most(shape.max)]
    if shape.min is not None:
        limits.append(_at_least(shape.min))
    if shape.pattern:
        limits.append(f"Member must satisfy regular expression pattern: {shape.pattern}")
    if shape.enum:
        limits.append(f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    return limits


def _at_least(least: int, measure: str = "length") -> str:
    return f"Member must have {measure} greater than or equal to {least}"


def _at_most(most: int, measure: str = "length") -> str:
    return f"Member must have {measure} less than or equal to {most}"


# ---- how values are printed ------------------------------------------------------------------------------------------


def _violation(value: str | None, path: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{value[:QUOTED_CHARS_MAX]}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]


def _java_text(shape: Shape, value: Any) -> str:
    """Returns a value as Java's ``toString`` prints it, at least as far as it is quoted."""
    pieces: list[str] = []
    chars = 0
    for piece in _java_pieces(shape, value, 0):
        pieces.append(piece)
        chars += len(piece)
        if chars > QUOTED_CHARS_MAX:
            break
    return "".join(pieces)


def _java_pieces(shape: Shape, value: Any, depth: int) -> Iterator[str]:
    if value is None:
        yield "null"
    elif depth > VIOLATIONS_MAX:
        yield "..."
    elif shape.kind == "structure":
        yield from _java_members(shape, value, depth)
    elif shape.kind == "list":
        yield "["
        for at, element in enumerate(value):
            yield ", " if at else ""
            yield from _java_pieces(SHAPES[shape.member], element, depth + 1)
        yield "]"
    elif shape.kind == "map":
        yield "{"
        for at, (key, element) in enumerate(value.items()):
            yield f"{', ' if at else ''}{key}="
            yield from _java_pieces(SHAPES[shape.value], element, depth + 1)
        yield "}"
    elif isinstance(value, bool):
        yield "true" if value else "false"
    else:
        yield str(value)


def _java_members(shape: Shape, value: dict[str, Any], depth: int) -> Iterator[str]:
    yield f"{shape.name}("
    for at, name in enumerate(PRINTED_MEMBERS.get(shape.name, tuple(shape.members))):
        yield f"{', ' if at else ''}{_lower(name)}="
        if name in shape.members:
            yield from _java_pieces(SHAPES[shape.members[name]], value.get(name), depth + 1)
        else:
            yield "null"
    yield ")"
