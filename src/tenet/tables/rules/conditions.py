"""Conditions and filters: ``compile_condition`` gives a ``Condition``, whose ``test`` looks at an item.

Source: "Condition and filter expressions, operators, and functions" of the Developer Guide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tenet.tables.errors import ValidationException
from tenet.tables.model import AttributeValue, Item
from tenet.tables.rules import comparisons
from tenet.tables.rules.comparisons import ORDER_TESTS, are_ordered, is_between, kind_of
from tenet.tables.rules.expressions import compiled_with, parsed_condition, refuse
from tenet.tables.rules.operand_checks import checks
from tenet.tables.rules.operands import Read, Values, compile_operand
from tenet.tables.rules.syntax_tree import And, Between, Call, Comparison, ConditionTree, In, Not, Or, Truth

if TYPE_CHECKING:
    from tenet.tables.rules.bindings import Bindings
    from tenet.tables.rules.expressions import Parsed
    from tenet.tables.rules.operand_checks import Check
    from tenet.tables.rules.paths import ResolvedPath
    from tenet.tables.rules.syntax_tree import Comparator, Kind, Operand

Test: TypeAlias = Callable[[Item, Values], bool]

_NO_ITEM: Final[Item] = {}
_TRUE: Final[AttributeValue] = {"BOOL": True}
_FALSE: Final[AttributeValue] = {"BOOL": False}


@dataclass(frozen=True)
class CompiledCondition:
    """A condition without its values.

    Args:
        test: whether it holds for an item and values.
        names: the attributes that it looks at.
        nested_names: those of them into which a path leads.
    """

    test: Test
    names: frozenset[str]
    nested_names: frozenset[str]


class Condition:
    """A condition with the values of its request.

    Args:
        compiled: the condition.
        values: by placeholder, canonical.
    """

    __slots__ = ("_compiled", "_test", "_values")

    def __init__(self, compiled: CompiledCondition, values: Values) -> None:
        self._compiled = compiled
        self._test = compiled.test
        self._values = values

    def with_values(self, values: Values) -> Condition:
        """Returns the same condition with the values of another request."""
        return Condition(self._compiled, values)

    def test(self, item: Item | None) -> bool:
        """Whether the condition holds for an item; None stands for an item that does not exist."""
        return self._test(_NO_ITEM if item is None else item, self._values)

    @property
    def names(self) -> frozenset[str]:
        """The attributes that the condition looks at."""
        return self._compiled.names

    @property
    def nested_names(self) -> frozenset[str]:
        """The attributes into which a path of the condition leads."""
        return self._compiled.nested_names


def compile_condition(text: str, bindings: Bindings, kind: Kind = "ConditionExpression") -> Condition:
    """Compiles a condition or filter.

    Args:
        text: the expression.
        bindings: the request's names and values, where what the expression uses is noted.
        kind: the parameter, for the error.

    Raises:
        ValidationException: the expression is not valid.
    """
    try:
        compiled = compiled_with(parsed_condition(text), bindings, _compile)
    except ValidationException as error:
        refuse(kind, error)
    return Condition(compiled, bindings.values)


def compile_condition_tree(parsed: Parsed[ConditionTree], bindings: Bindings) -> Condition:
    """Compiles a condition that was not written as an expression; arguments and errors as for `compile_condition`."""
    return Condition(compiled_with(parsed, bindings, _compile), bindings.values)


def _compile(tree: ConditionTree, bindings: Bindings) -> tuple[list[Check], CompiledCondition]:
    resolved: dict[int, ResolvedPath] = {}
    value_checks = checks((tree,), bindings, resolved)
    return value_checks, CompiledCondition(
        test=compile_tree(tree, resolved),
        names=frozenset(str(path[0]) for path in resolved.values()),
        nested_names=frozenset(str(path[0]) for path in resolved.values() if len(path) > 1),
    )


def compile_tree(tree: ConditionTree, resolved: Mapping[int, ResolvedPath]) -> Test:
    """Returns the function that tests a condition.

    Args:
        tree: checked, so that it nests at most 300 levels deep.
        resolved: its resolved paths, by the identity of their node.
    """
    match tree:
        case And():
            return _compile_and([compile_tree(part, resolved) for part in tree.conditions])
        case Or():
            return _compile_or([compile_tree(part, resolved) for part in tree.conditions])
        case Not():
            return _compile_not(compile_tree(tree.condition, resolved))
        case Comparison():
            return _compile_comparison(
                tree.operator, _compile_read(tree.left, resolved), _compile_read(tree.right, resolved)
            )
        case Between():
            operands = (tree.operand, tree.lower, tree.upper)
            return _compile_present(is_between, [_compile_read(operand, resolved) for operand in operands])
        case In():
            options = [_compile_read(option, resolved) for option in tree.options]
            return _compile_in(_compile_read(tree.operand, resolved), options)
        case Call():
            return _compile_function(tree.function, [_compile_read(operand, resolved) for operand in tree.operands])


def _compile_read(operand: Operand, resolved: Mapping[int, ResolvedPath]) -> Read:
    if isinstance(operand, Truth):
        return _compile_truth(compile_tree(operand.condition, resolved))
    return compile_operand(operand, resolved)


def _compile_truth(test: Test) -> Read:
    return lambda item, values: _TRUE if test(item, values) else _FALSE


def _compile_and(tests: list[Test]) -> Test:
    if len(tests) == 2:  # noqa: PLR2004 - the usual case, without a loop
        first, second = tests
        return lambda item, values: first(item, values) and second(item, values)

    def test(item: Item, values: Values) -> bool:
        for part in tests:  # noqa: SIM110 - a generator would be one more frame for every level
            if not part(item, values):
                return False
        return True

    return test


def _compile_or(tests: list[Test]) -> Test:
    def test(item: Item, values: Values) -> bool:
        for part in tests:  # noqa: SIM110 - a generator would be one more frame for every level
            if part(item, values):
                return True
        return False

    return test


def _compile_not(inner: Test) -> Test:
    return lambda item, values: not inner(item, values)


def _compile_comparison(operator: Comparator, left: Read, right: Read) -> Test:
    order_test = ORDER_TESTS.get(operator)
    if order_test is not None:
        return _compile_order(order_test, left, right)

    def is_equal(item: Item, values: Values) -> bool:
        value = left(item, values)
        return value is not None and value == right(item, values)

    def is_unequal(item: Item, values: Values) -> bool:
        value = left(item, values)
        return value is None or value != right(item, values)

    # Neither calls the other: where conditions are operands, that would be one more frame for every level.
    return is_equal if operator == "=" else is_unequal


def _compile_order(test: Callable[[Any, Any], bool], left: Read, right: Read) -> Test:
    def is_ordered(item: Item, values: Values) -> bool:
        left_value = left(item, values)
        right_value = right(item, values)
        return left_value is not None and right_value is not None and are_ordered(test, left_value, right_value)

    return is_ordered


def _compile_in(read: Read, options: list[Read]) -> Test:
    def is_one(item: Item, values: Values) -> bool:
        value = read(item, values)
        return value is not None and any(value == option(item, values) for option in options)

    return is_one


def _compile_present(test: Callable[..., bool], reads: list[Read]) -> Test:
    """Returns the test of values that must all be there."""

    def test_present(item: Item, values: Values) -> bool:
        found = [read(item, values) for read in reads]
        return None not in found and test(*found)

    return test_present


def _compile_function(function: str, reads: list[Read]) -> Test:
    first = reads[0]
    if function == "attribute_exists":
        return lambda item, values: first(item, values) is not None
    if function == "attribute_not_exists":
        return lambda item, values: first(item, values) is None
    return _compile_present(_VALUE_TESTS[function], reads)


def _is_of_type(value: AttributeValue, name: AttributeValue) -> bool:
    return name == {"S": kind_of(value)}


_VALUE_TESTS: Final[dict[str, Callable[[AttributeValue, AttributeValue], bool]]] = {
    "attribute_type": _is_of_type,
    "begins_with": comparisons.begins_with,
    "contains": comparisons.contains,
}
