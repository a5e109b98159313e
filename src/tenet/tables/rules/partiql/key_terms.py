"""Which parts of a WHERE clause say something about a key, and what is left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from tenet.tables.errors import ValidationException
from tenet.tables.model import KeyAttribute
from tenet.tables.rules.comparisons import kind_of
from tenet.tables.rules.key_values import check_key_value
from tenet.tables.rules.syntax_tree import And, Between, Call, Comparison, ConditionTree, In, ValueName, children

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from tenet.tables.model import AttributeValue
    from tenet.tables.rules.partiql.values import Values

#: A comparison with the attribute on its right says the same with it on the left.
_MIRRORED: Final = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
#: What says which values an attribute may have, each by itself.
POINTS: Final = frozenset(("=", "IN"))


class KeyTerm(Struct, frozen=True):
    """A condition on an attribute of a key.

    Args:
        attribute: of the key.
        operator: ``=``, ``<``, ``<=``, ``>``, ``>=``, ``BETWEEN``, ``begins_with`` or ``IN``.
        values: placeholders of what it is compared with.
    """

    attribute: KeyAttribute
    operator: str
    values: tuple[ValueName, ...]

    def bound(self, values: Mapping[str, AttributeValue], *, is_partition: bool) -> tuple[AttributeValue, ...]:
        """Returns what the attribute is compared with in a request.

        Args:
            values: of the request, by placeholder.
            is_partition: whether it is the partition key.

        Raises:
            ValidationException: a value has not the type of the key, or is none that a key can have.
        """
        found = tuple(values[name.name] for name in self.values)
        for value in found:
            if kind_of(value) != self.attribute.type:
                raise wrong_type(self.attribute.name)
            check_key_value(self.attribute, value, is_partition=is_partition)
        return found


def wrong_type(name: str) -> ValidationException:
    """Returns the error for a key attribute of another type than in the schema."""
    return ValidationException(f"Key attribute's data type should match its data type in table's schema: Key {name}")


def terms_of(where: ConditionTree | None) -> tuple[ConditionTree, ...]:
    """Returns what a WHERE clause joins by AND, also where it was written in parentheses."""
    if where is None:
        return ()
    if not isinstance(where, And):
        return (where,)
    return tuple(term for part in where.conditions for term in terms_of(part))


def joined(terms: Sequence[ConditionTree]) -> ConditionTree:
    """Returns one or more conditions as one."""
    return terms[0] if len(terms) == 1 else And(tuple(terms))


def key_term(tree: ConditionTree, attribute: KeyAttribute, operators: Container[str], values: Values) -> KeyTerm | None:
    """Returns what a term says about an attribute, if it says just that.

    Args:
        tree: the term.
        attribute: of a key.
        operators: those that are looked for, as in `KeyTerm`.
        values: of the statement.
    """
    operator, operands = _operator(tree), children(tree)
    if len(operands) > 1 and operator in _MIRRORED and values.is_attribute(operands[1], attribute.name):
        operator, operands = _MIRRORED[operator], (operands[1], operands[0])
    # How many operands a function has, is checked later.
    if operator not in operators or not operands or not values.is_attribute(operands[0], attribute.name):
        return None
    others = tuple(operand for operand in operands[1:] if isinstance(operand, ValueName))
    return KeyTerm(attribute, operator, others) if others and len(others) == len(operands) - 1 else None


def _operator(tree: ConditionTree) -> str:
    match tree:
        case Comparison():
            return tree.operator
        case Call():
            return tree.function
    return {Between: "BETWEEN", In: "IN"}.get(type(tree), "")
