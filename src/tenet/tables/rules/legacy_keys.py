"""``KeyConditions`` of Query: the same as what a key condition expression compiles to.

Sources: "KeyConditions" of the Developer Guide's legacy conditional parameters; texts as dynalite 4 and DynamoDB Local
3.3 have them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenet.tables.errors import ValidationException
from tenet.tables.rules.key_conditions import KeyConditions, OneCondition
from tenet.tables.rules.legacy_conditions import COMPARATORS, arguments_of

if TYPE_CHECKING:
    from tenet.tables.model import AttributeValue

#: What operators are called in key condition expressions; those that are not here are refused beside the schema.
_OPERATORS: Final = {**COMPARATORS, "BEGINS_WITH": "begins_with"}


def key_conditions_of(conditions: dict[str, dict[str, Any]]) -> KeyConditions:
    """Returns ``KeyConditions`` in the form that expressions compile to.

    Args:
        conditions: by attribute, their shape already checked; values are made canonical in place.

    Raises:
        SerializationException: a value is not of the JSON type that its member asks for.
        ValidationException: a condition is wrong in itself, or there are none.
    """
    values: dict[str, AttributeValue] = {}
    compiled: dict[str, OneCondition] = {}
    for name, condition in conditions.items():
        placeholders = []
        for value in arguments_of(name, condition):
            placeholders.append(f":{len(values)}")
            values[placeholders[-1]] = value
        operator = condition["ComparisonOperator"]
        compiled[name] = OneCondition(name, _OPERATORS.get(operator, operator), tuple(placeholders))
    if not compiled:
        raise ValidationException("Conditions can be of length 1 or 2 only")
    return KeyConditions(compiled, values)
