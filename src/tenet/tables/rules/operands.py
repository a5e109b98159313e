"""Compiles operands to functions of an item and the request's values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from tenet.tables.model import AttributeValue, Item
from tenet.tables.rules import paths
from tenet.tables.rules.comparisons import size
from tenet.tables.rules.syntax_tree import Call, Operand, Path, ValueName

if TYPE_CHECKING:
    from tenet.tables.rules.paths import ResolvedPath

Values: TypeAlias = Mapping[str, AttributeValue]
#: Returns a value, or None where there is none.
Read: TypeAlias = Callable[[Item, Values], AttributeValue | None]


def compile_operand(operand: Operand, resolved: Mapping[int, ResolvedPath]) -> Read:
    """Returns the function that reads an operand of a condition: a path, a value, or the size of one.

    Operands that are conditions themselves are for who compiles conditions.

    Args:
        operand: checked.
        resolved: its resolved paths, by the identity of their node.
    """
    match operand:
        case Path():
            return compile_path(resolved[id(operand)])
        case ValueName():
            return _compile_value(operand.name)
        case Call(function="size"):
            return _compile_size(compile_operand(operand.operands[0], resolved))
        case _:
            raise AssertionError(f"no operand of a condition: {operand}")


def compile_path(path: ResolvedPath) -> Read:
    """Returns the function that reads what lies at a path."""
    if len(path) == 1:
        name = path[0]
        return lambda item, _values: item.get(name)  # type: ignore[arg-type]  # a path begins with a name
    return lambda item, _values: paths.read(item, path)


def _compile_value(name: str) -> Read:
    return lambda _item, values: values[name]


def _compile_size(read: Read) -> Read:
    def read_size(item: Item, values: Values) -> AttributeValue | None:
        value = read(item, values)
        count = None if value is None else size(value)
        return None if count is None else {"N": str(count)}

    return read_size
