"""Key conditions of Query: ``compile_key_condition`` gives a ``KeyConditions``, and its ``against`` what to read.

Source: "Key condition expressions" of the Developer Guide; texts and order as dynalite 4 and DynamoDB Local 3.3 have
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn, cast

from tenet.tables.errors import ValidationException
from tenet.tables.model import AttributeValue, KeyAttribute, KeySchema
from tenet.tables.rules.comparisons import kind_of
from tenet.tables.rules.expressions import compiled_with, parsed_key_condition, refuse
from tenet.tables.rules.key_values import check_key_value, check_length
from tenet.tables.rules.multi_attribute_keys import check_number, conditions_by_kind
from tenet.tables.rules.operand_checks import checks
from tenet.tables.rules.sizes import value_bytes
from tenet.tables.rules.syntax_tree import (
    And,
    Between,
    Call,
    Comparison,
    ConditionTree,
    In,
    Not,
    Or,
    Path,
    ValueName,
    children,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenet.tables.rules.bindings import Bindings
    from tenet.tables.rules.operand_checks import Check
    from tenet.tables.rules.paths import ResolvedPath
    from tenet.tables.rules.syntax_tree import Operand

_OPERATORS: Final = frozenset(("=", "<", "<=", ">", ">=", "BETWEEN", "begins_with"))
#: A comparison with the attribute on its right says the same with it on the left.
_MIRRORED: Final = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
#: So many attributes have the keys of tables at most.
_PAIR: Final = 2
_SHAPE: Final = "Invalid condition in KeyConditionExpression"


@dataclass(frozen=True)
class OneCondition:
    """A condition on one attribute.

    Args:
        name: the attribute.
        operator: ``=``, ``<``, ``<=``, ``>``, ``>=``, ``BETWEEN`` or ``begins_with``.
        values: placeholders of what it compares with: two for BETWEEN, else one.
    """

    name: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class KeyCondition:
    """What a Query reads.

    Args:
        partition: the partition key's value, or that of its first attribute.
        operator: of the condition on the sort key, as in ``OneCondition``; empty where there is none.
        values: what the sort key is compared with: two for BETWEEN, else one.
        more: of a partition key of several attributes, the values of the others.
        before: of a sort key of several attributes, what those before the compared one are equal to.
    """

    partition: AttributeValue
    operator: str = ""
    values: tuple[AttributeValue, ...] = ()
    more: tuple[AttributeValue, ...] = ()
    before: tuple[AttributeValue, ...] = ()


class KeyConditions:
    """Conditions on attributes, not yet compared with a key schema.

    Args:
        conditions: by the attributes' names, one at least; or what is wrong with them, if they are none on keys.
        values: of the request, by placeholder.
    """

    __slots__ = ("_conditions", "_problem", "_values")

    def __init__(self, conditions: Mapping[str, OneCondition] | str, values: Mapping[str, AttributeValue]) -> None:
        self._problem = conditions if isinstance(conditions, str) else ""
        self._conditions: Mapping[str, OneCondition] = {} if isinstance(conditions, str) else conditions
        self._values = values

    def with_values(self, values: Mapping[str, AttributeValue]) -> KeyConditions:
        """Returns the same conditions with the values of another request."""
        return KeyConditions(self._problem or self._conditions, values)

    def check_form(self) -> None:
        """Checks that they are conditions by which keys can be looked up.

        Raises:
            ValidationException: they are valid, but not on keys.
        """
        if self._problem:
            raise ValidationException(self._problem)

    def against(self, keys: KeySchema) -> KeyCondition:
        """Returns what the conditions say about a key.

        Args:
            keys: the schema of the table or index that is queried.

        Raises:
            ValidationException: they do not fit the schema.
        """
        if keys.more is not None:
            return self._against_several(keys)
        count = len(self._conditions)
        if count > _PAIR:
            check_number(count, keys)
        if count > 1 and keys.sort is None:
            _not_supported()
        partition = self._conditions.get(keys.partition.name)
        if partition is None:
            _missed(keys.partition.name)
        others = [condition for name, condition in self._conditions.items() if name != keys.partition.name]
        if others and keys.sort is not None and others[0].name != keys.sort.name:
            _missed(keys.sort.name)
        partition_values = self._checked(partition, keys.partition, is_partition=True)
        if partition.operator != "=":
            _check_indexable(partition.operator)
            _not_supported()
        (value,) = partition_values
        if not others or keys.sort is None:
            return KeyCondition(value)
        _check_indexable(others[0].operator)
        sort_values = self._checked(others[0], keys.sort, is_partition=False)
        return KeyCondition(value, others[0].operator, sort_values)

    def _against_several(self, keys: KeySchema) -> KeyCondition:
        """Returns what the conditions say about a key that has several attributes."""
        check_number(len(self._conditions), keys)
        partition, sort = conditions_by_kind(self._conditions, keys)
        for condition in sort:
            _check_indexable(condition.operator)
        first, *more = (
            value for one in self._all_checked(partition, keys.partitions, is_partition=True) for value in one
        )
        if not sort:
            return KeyCondition(first, more=tuple(more))
        *before, last = self._all_checked(sort, keys.sorts, is_partition=False)
        return KeyCondition(first, sort[-1].operator, last, tuple(more), tuple(value for (value,) in before))

    def _all_checked(
        self, conditions: Sequence[OneCondition], attributes: Sequence[KeyAttribute], *, is_partition: bool
    ) -> list[tuple[AttributeValue, ...]]:
        """Returns the values of conditions on the first attributes of a key, each by itself and all not too long."""
        found = [
            self._checked(condition, attribute, is_partition=is_partition)
            for condition, attribute in zip(conditions, attributes, strict=False)
        ]
        check_length(sum(max(map(value_bytes, values)) for values in found), is_partition=is_partition)
        return found

    def _checked(
        self, condition: OneCondition, attribute: KeyAttribute, *, is_partition: bool
    ) -> tuple[AttributeValue, ...]:
        values = tuple(self._values[name] for name in condition.values)
        for value in values:
            if kind_of(value) != attribute.type:
                raise ValidationException(
                    "One or more parameter values were invalid: Condition parameter type does not match schema type"
                )
            check_key_value(attribute, value, is_partition=is_partition)
        return values


def compile_key_condition(text: str, bindings: Bindings) -> KeyConditions:
    """Compiles a key condition.

    Args:
        text: the expression.
        bindings: the request's names and values, where what the expression uses is noted.

    Raises:
        ValidationException: the expression is not valid. Whether it is a key condition, `check_form` says.
    """
    try:
        conditions = compiled_with(parsed_key_condition(text), bindings, _compile)
    except ValidationException as error:
        refuse("KeyConditionExpression", error)
    return KeyConditions(conditions, bindings.values)


class _NoKeyCondition(ValidationException):
    """A condition is valid, but not on a key; said without the parameter's name in front."""


def _compile(tree: ConditionTree, bindings: Bindings) -> tuple[list[Check], dict[str, OneCondition] | str]:
    resolved: dict[int, ResolvedPath] = {}
    value_checks = checks((tree,), bindings, resolved)
    try:
        return value_checks, _conditions(tree, resolved)
    except _NoKeyCondition as unfit:
        return value_checks, unfit.message


def _conditions(tree: ConditionTree, resolved: Mapping[int, ResolvedPath]) -> dict[str, OneCondition]:
    conditions: dict[str, OneCondition] = {}
    for part in _parts(tree):
        condition = _one_condition(part, resolved)
        if condition.name in conditions:
            raise _NoKeyCondition("KeyConditionExpressions must only contain one condition per key")
        conditions[condition.name] = condition
    return conditions


def _parts(tree: ConditionTree) -> list[ConditionTree]:
    """Returns what is joined by AND."""
    pending: list[ConditionTree] = [tree]
    parts: list[ConditionTree] = []
    while pending:
        node = pending.pop()
        if isinstance(node, And):
            pending.extend(reversed(node.conditions))
        else:
            parts.append(node)
    return parts


def _one_condition(tree: ConditionTree, resolved: Mapping[int, ResolvedPath]) -> OneCondition:
    operator, operands = _operator(tree), tuple(cast("tuple[Operand, ...]", children(tree)))
    if operator in ("BETWEEN", "begins_with") and not isinstance(operands[0], Path):
        raise _NoKeyCondition(f"{_SHAPE}: {operator} operator must have the key attribute as its first operand")
    names: list[str] = []
    for operand in operands:
        if isinstance(operand, Call):
            raise _NoKeyCondition("KeyConditionExpressions cannot contain nested operations")
        if isinstance(operand, Path):
            if names:
                raise _NoKeyCondition(f"{_SHAPE}: Multiple attribute names used in one condition")
            path = resolved[id(operand)]
            if len(path) > 1:
                raise _NoKeyCondition("KeyConditionExpressions cannot have conditions on nested attributes")
            names.append(str(path[0]))
    if not names:
        raise _NoKeyCondition(f"{_SHAPE}: No key attribute specified")
    if not isinstance(operands[0], Path):
        operator = _MIRRORED[operator]
    values = tuple(operand.name for operand in operands if isinstance(operand, ValueName))
    return OneCondition(names[0], operator, values)


def _operator(tree: ConditionTree) -> str:
    """Returns the operator of a condition, which must be one that a key can be looked up by."""
    operator: str
    match tree:
        case Comparison():
            operator = tree.operator
        case Between():
            operator = "BETWEEN"
        case Call():
            operator = tree.function
        case _:
            operator = {Or: "OR", Not: "NOT", In: "IN"}[type(tree)]
    if operator not in _OPERATORS:
        raise _NoKeyCondition(f"Invalid operator used in KeyConditionExpression: {operator}")
    return operator


def _check_indexable(operator: str) -> None:
    """Refuses what only legacy conditions can ask of keys."""
    if operator not in _OPERATORS:
        raise ValidationException("Attempted conditional constraint is not an indexable operation")


def _missed(name: str) -> NoReturn:
    raise ValidationException(f"Query condition missed key schema element: {name}")


def _not_supported() -> NoReturn:
    raise ValidationException("Query key condition not supported")
