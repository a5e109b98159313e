"""What updates compute: operands with arithmetic, ``if_not_exists`` and ``list_append``, and ADD and DELETE.

Source: "Update expressions" of the Developer Guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenet.tables.errors import ValidationException
from tenet.tables.rules import numbers
from tenet.tables.rules.attributes import sorted_set
from tenet.tables.rules.comparisons import ELEMENT_KINDS
from tenet.tables.rules.item_changes import REMOVED, Change
from tenet.tables.rules.operands import compile_path
from tenet.tables.rules.syntax_tree import Arithmetic, Call, Operand, Path, Truth, ValueName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tenet.tables.model import AttributeValue, Item
    from tenet.tables.rules.operands import Read, Values
    from tenet.tables.rules.paths import ResolvedPath

    Value = Callable[[Item, Values], AttributeValue]

_WRONG_TYPE: Final = "An operand in the update expression has an incorrect data type"
_MISSING: Final = "The provided expression refers to an attribute that does not exist in the item"


def compile_value(operand: Operand, resolved: Mapping[int, ResolvedPath]) -> Value:
    """Returns the function that computes what SET assigns; it raises where the item lacks what it needs.

    Args:
        operand: checked.
        resolved: its resolved paths, by the identity of their node.
    """
    match operand:
        case ValueName():
            name = operand.name
            return lambda _item, values: values[name]
        case Path():
            return _compile_required(compile_path(resolved[id(operand)]))
        case Arithmetic():
            compute = numbers.add if operand.operator == "+" else numbers.subtract
            return _compile_arithmetic(
                compute, compile_value(operand.left, resolved), compile_value(operand.right, resolved)
            )
        case Call(function="if_not_exists"):
            return _compile_if_not_exists(operand, resolved)
        case Call():
            first, second = (compile_value(part, resolved) for part in operand.operands)
            return lambda item, values: {"L": _content(first(item, values), "L") + _content(second(item, values), "L")}
        case Truth():
            raise AssertionError(f"no operand of an update: {operand}")


def _compile_required(read: Read) -> Value:
    def read_required(item: Item, values: Values) -> AttributeValue:
        value = read(item, values)
        if value is None:
            raise ValidationException(_MISSING)
        return value

    return read_required


def _compile_arithmetic(compute: Callable[[str, str], str], left: Value, right: Value) -> Value:
    return lambda item, values: {"N": compute(_content(left(item, values), "N"), _content(right(item, values), "N"))}


def _compile_if_not_exists(call: Call, resolved: Mapping[int, ResolvedPath]) -> Value:
    read = compile_path(resolved[id(call.operands[0])])
    otherwise = compile_value(call.operands[1], resolved)

    def read_or_default(item: Item, values: Values) -> AttributeValue:
        value = read(item, values)
        return otherwise(item, values) if value is None else value

    return read_or_default


def _content(value: AttributeValue, kind: str) -> Any:
    """Returns the content of a value, which must be of the type."""
    content = value.get(kind)
    if content is None:
        raise ValidationException(_WRONG_TYPE)
    return content


def add(old: AttributeValue | None, value: AttributeValue) -> AttributeValue:
    """Returns the number or set with another one added; an absent one counts as zero or empty.

    Raises:
        ValidationException: they are of different types, or the sum is out of range.
    """
    if old is None:
        return value
    ((kind, content),) = value.items()
    present = _content(old, kind)
    if kind == "N":
        return {"N": numbers.add(present, content)}
    return {kind: sorted_set(kind, {*present, *content})}


def delete(old: AttributeValue | None, value: AttributeValue) -> AttributeValue | Change | None:
    """Returns a set without the elements of another one; a set that becomes empty is removed.

    Raises:
        ValidationException: they are of different types.
    """
    if old is None:
        return None
    ((kind, content),) = value.items()
    present = _content(old, kind)
    assert kind in ELEMENT_KINDS
    left = [element for element in present if element not in content]
    return {kind: left} if left else REMOVED
