"""Conditions without expressions, of ``Expected``, ``QueryFilter``, ``ScanFilter`` and ``KeyConditions``.

They become the trees of expressions, and the same ``Condition``. An attribute is named as it is called: what
looks like a path is none. What operators mean of attributes that are absent: NE holds, as ``<>`` does; NOT_CONTAINS
does not, though ``NOT contains`` would.

Sources: "Legacy conditional parameters" of the Developer Guide; texts and order as the peers DynamoDB Local 3.3 and
dynoxide 3.2 have them, and what operators mean of absent attributes as the tests of ScyllaDB's Alternator show, which
also run against the service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenet.tables.errors import ValidationException
from tenet.tables.rules.attributes import check_item_size, check_name, check_value, invalid_parameter
from tenet.tables.rules.comparisons import ORDER_TESTS, ORDERED_KINDS, are_ordered, kind_of
from tenet.tables.rules.conditions import CompiledCondition, Condition, compile_tree
from tenet.tables.rules.operand_checks import OPERATORS_MAX
from tenet.tables.rules.syntax_tree import And, Between, Call, Comparison, Not, Path, ValueName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.tables.model import AttributeValue, Item
    from tenet.tables.rules.conditions import Test
    from tenet.tables.rules.operands import Values
    from tenet.tables.rules.syntax_tree import Comparator, ConditionTree

#: The operators that expressions have too, with their names there.
COMPARATORS: Final[dict[str, Comparator]] = {
    "EQ": "=",
    "NE": "<>",
    "LT": "<",
    "LE": "<=",
    "GT": ">",
    "GE": ">=",
}
#: The operators that look whether an attribute is there, and take no value.
_EXISTENCE: Final = {"NULL": "attribute_not_exists", "NOT_NULL": "attribute_exists"}
_BEGINNINGS: Final = frozenset(("S", "B"))
_PARTS: Final = ORDERED_KINDS | {"BOOL", "NULL"}
#: The types of values that operators take, where they do not take every one.
_KINDS: Final = {
    **dict.fromkeys(("LT", "LE", "GT", "GE", "BETWEEN", "IN"), ORDERED_KINDS),
    "BEGINS_WITH": _BEGINNINGS,
    "CONTAINS": _PARTS,
    "NOT_CONTAINS": _PARTS,
}
_BETWEEN_VALUES: Final = 2


class Conditions:
    """Gathers conditions on attributes."""

    def __init__(self) -> None:
        self._tests: list[Test] = []
        self._names: list[str] = []
        self._values: dict[str, AttributeValue] = {}

    def add(self, name: str, operator: str, values: Sequence[AttributeValue]) -> None:
        """Adds a condition.

        Args:
            name: the attribute's own name.
            operator: as ``ComparisonOperator`` has it.
            values: checked, and as many as the operator takes.

        Raises:
            ValidationException: there are 300 already, as many as an expression has operators.
        """
        if len(self._names) == OPERATORS_MAX:
            invalid_parameter(f"More than {OPERATORS_MAX} conditions")
        self._names.append(name)
        if operator == "IN":
            self._tests.append(_is_one_of(name, values))
            return
        path = Path((name,))
        placeholders = []
        for value in values:
            placeholders.append(ValueName(f":{len(self._values)}"))
            self._values[placeholders[-1].name] = value
        self._tests.append(compile_tree(_tree(operator, path, placeholders), {id(path): (name,)}))

    def joined(self, operator: str | None) -> Condition | None:
        """Returns all of them as one; None where there are none.

        Args:
            operator: ``AND`` or ``OR``; None stands for ``AND``.
        """
        if not self._tests:
            return None
        test = self._tests[0] if len(self._tests) == 1 else _joined(self._tests, is_any=operator == "OR")
        return Condition(CompiledCondition(test, frozenset(self._names), frozenset()), self._values)


def _joined(tests: list[Test], *, is_any: bool) -> Test:
    def test(item: Item, values: Values) -> bool:
        for part in tests:
            if part(item, values) is is_any:
                return is_any
        return not is_any

    return test


def _is_one_of(name: str, values: Sequence[AttributeValue]) -> Test:
    """Returns the test of IN, whose values are of one type that has an order; there may be thousands of them."""
    kind = kind_of(values[0])
    contents = frozenset(value[kind] for value in values)
    return lambda item, _values: name in item and item[name].get(kind) in contents


def _tree(operator: str, path: Path, values: Sequence[ValueName]) -> ConditionTree:
    if operator in COMPARATORS:
        return Comparison(COMPARATORS[operator], path, values[0])
    if operator in _EXISTENCE:
        return Call(_EXISTENCE[operator], (path,))
    if operator == "BETWEEN":
        return Between(path, values[0], values[1])
    if operator == "BEGINS_WITH":
        return Call("begins_with", (path, values[0]))
    contains = Call("contains", (path, values[0]))
    return contains if operator == "CONTAINS" else And((Call("attribute_exists", (path,)), Not(contains)))


def filter_of(conditions: dict[str, dict[str, Any]], operator: str | None) -> Condition | None:
    """Returns a ``QueryFilter`` or ``ScanFilter`` as a condition; None where it asks for nothing.

    Args:
        conditions: by attribute, their shape already checked; values are made canonical in place.
        operator: how they are joined (``ConditionalOperator``).

    Raises:
        SerializationException: a value is not of the JSON type that its member asks for.
        ValidationException: a name, a value, or how many there are of them or of which type.
    """
    found = Conditions()
    for name, condition in conditions.items():
        found.add(name, condition["ComparisonOperator"], arguments_of(name, condition))
    return found.joined(operator)


def arguments_of(name: str, condition: dict[str, Any]) -> list[AttributeValue]:
    """Returns the values of a condition after checking it, name included; they are made canonical in place.

    Raises:
        SerializationException: a value is not of the JSON type that its member asks for.
        ValidationException: the name, a value, or how many there are of them or of which type.
    """
    check_name(name)
    # Nobody has looked at them yet; where this is compiled, a type is more than a promise.
    values: list[Any] = condition.get("AttributeValueList") or []
    for value in values:
        check_value(value)
    _check_arguments(condition["ComparisonOperator"], values)
    return values


def expected_of(expected: dict[str, dict[str, Any]], operator: str | None) -> Condition | None:
    """Returns ``Expected`` as a condition; None where it asks for nothing.

    Args:
        expected: by attribute, their shape already checked; values are made canonical in place.
        operator: how they are joined (``ConditionalOperator``).

    Raises:
        SerializationException: a value is not of the JSON type that its member asks for.
        ValidationException: members contradict each other, or as for `filter_of`; or all is larger than an item may be.
    """
    found = Conditions()
    size = 0
    for name, wanted in expected.items():
        _check_form(name, wanted)
        values = [wanted["Value"]] if "Value" in wanted else wanted.get("AttributeValueList") or []
        size += sum(map(check_value, values))
        check_name(name)
        size += len(name.encode())
        check_item_size(size)
        comparison = wanted.get("ComparisonOperator")
        if comparison is None:
            comparison = "EQ" if values else "NULL"
        else:
            _check_arguments(comparison, values)
        found.add(name, comparison, values)
    return found.joined(operator)


def _check_form(name: str, wanted: dict[str, Any]) -> None:
    """Checks which members stand beside each other, in the order of DynamoDB Local's own checks."""
    exists, comparison = wanted.get("Exists"), wanted.get("ComparisonOperator")
    has_value, has_list = "Value" in wanted, "AttributeValueList" in wanted
    problem = ""
    if exists is not None and comparison is not None:
        problem = "Exists and ComparisonOperator cannot be used together"
    elif has_value and has_list:
        problem = "Value and AttributeValueList cannot be used together"
    elif has_list and comparison is None:
        problem = "AttributeValueList can only be used with a ComparisonOperator"
    elif has_value and exists is False:
        problem = "Value cannot be used when Exists is false"
    elif not (has_value or has_list):
        problem = _missing_value(wanted)
    if problem:
        invalid_parameter(f"{problem} for Attribute: {name}")


def _missing_value(wanted: dict[str, Any]) -> str:
    """Returns what is wrong with an expectation that has no value; empty where it needs none."""
    exists, comparison = wanted.get("Exists"), wanted.get("ComparisonOperator")
    if comparison is not None:
        if comparison in _EXISTENCE:
            return ""
        return f"Value or AttributeValueList must be used with ComparisonOperator: {comparison}"
    if exists is False:
        return ""
    return f"Value must be provided when Exists is {'null' if exists is None else 'true'}"


def _check_arguments(operator: str, values: Sequence[AttributeValue]) -> None:
    """Checks how many values an operator gets, of which types, and that bounds are in their order."""
    if not _takes(operator, len(values)):
        invalid_parameter(f"Invalid number of argument(s) for the {operator} ComparisonOperator")
    kinds = [kind_of(value) for value in values]
    allowed = _KINDS.get(operator)
    for kind in kinds:
        if allowed is not None and kind not in allowed:
            invalid_parameter(f"ComparisonOperator {operator} is not valid for {kind} AttributeValue type")
    if len(set(kinds)) > 1:
        invalid_parameter("AttributeValues inside AttributeValueList must be of same type")
    if operator == "BETWEEN" and are_ordered(ORDER_TESTS[">"], values[0], values[1]):
        raise ValidationException(
            "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound"
        )


def _takes(operator: str, count: int) -> bool:
    if operator == "IN":
        return count > 0
    if operator == "BETWEEN":
        return count == _BETWEEN_VALUES
    return count == (0 if operator in _EXISTENCE else 1)
