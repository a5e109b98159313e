"""Checks of a parsed expression that need the names or the values of the request.

``checks`` goes through an expression, parts before wholes, and resolves its paths. What depends on the values becomes a
list of small checks, which can be made again for the next request with the same expression and the same names.

Source of texts and order: the peer DynamoDB Local 3.3, whose parser is the service's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from tenet.tables.errors import ValidationException
from tenet.tables.rules.bindings import undefined_value
from tenet.tables.rules.comparisons import ORDER_TESTS, ORDERED_KINDS, are_ordered, kind_of
from tenet.tables.rules.paths import ResolvedPath, show
from tenet.tables.rules.syntax_tree import (
    AddAction,
    And,
    Arithmetic,
    Between,
    Call,
    Comparison,
    DeleteAction,
    In,
    Not,
    Operand,
    Or,
    Path,
    Tree,
    Truth,
    ValueName,
    parts_first,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tenet.tables.model import AttributeValue
    from tenet.tables.rules.bindings import Bindings

    Values: TypeAlias = Mapping[str, AttributeValue]
    #: Raises a ValidationException where the values do not fit.
    Check: TypeAlias = Callable[[Values], None]

OPERATORS_MAX: Final = 300
IN_OPERANDS_MAX: Final = 100
_ARITIES: Final = {"attribute_exists": 1, "attribute_not_exists": 1, "size": 1}
_NEEDS_PATH: Final = frozenset(("attribute_exists", "attribute_not_exists", "if_not_exists"))
_NEEDS_DISTINCT: Final = frozenset(("begins_with", "contains", "if_not_exists"))
#: What functions take as operands, where they do not take everything.
_FUNCTION_KINDS: Final = {
    "begins_with": frozenset(("S", "B")),
    "size": frozenset(("S", "B", "SS", "NS", "BS", "L", "M")),
    "list_append": frozenset(("L",)),
}
_NUMBER_ONLY: Final = frozenset(("N",))
_ADD_KINDS: Final = frozenset(("N", "SS", "NS", "BS"))
_DELETE_KINDS: Final = frozenset(("SS", "NS", "BS"))
_KIND_WORDS: Final = {"S": "STRING", "N": "NUMBER", "B": "BINARY", "BOOL": "BOOLEAN", "L": "LIST", "M": "MAP"}
_TYPE_NAMES: Final = ("B", "NULL", "SS", "BOOL", "L", "BS", "N", "NS", "S", "M")


def checks(
    trees: Iterable[Tree], bindings: Bindings, resolved: dict[int, ResolvedPath], *, types_last: bool = False
) -> list[Check]:
    """Checks expressions against names and values; returns the checks to make again when the values change.

    Args:
        trees: conditions or actions, in order.
        bindings: names and values.
        resolved: where the resolved paths go, by the identity of their node.
        types_last: whether the types of values are looked at only when all are known to be there.

    Raises:
        ValidationException: the first fault.
    """
    found: list[Check] = []
    of_types: list[Check] = []
    operator_count = 0
    for tree in trees:
        for node in parts_first(tree):
            if isinstance(node, Path):
                resolved[id(node)] = bindings.resolve(node)
                continue
            operator_count += _operator_count(node)
            if operator_count > OPERATORS_MAX:
                raise ValidationException(
                    f"The expression contains too many operators; operator count: {OPERATORS_MAX + 1}"
                )
            for check in _checks_of(node, resolved):
                if types_last and not isinstance(node, ValueName):
                    of_types.append(check)
                    continue
                check(bindings.values)
                found.append(check)
    for check in of_types:
        check(bindings.values)
    return [*found, *of_types]


def _operator_count(node: Tree) -> int:
    if isinstance(node, And | Or):
        return len(node.conditions) - 1
    return 1 if isinstance(node, Comparison | Between | In | Not | Call | Arithmetic) else 0


def _checks_of(node: Tree, resolved: dict[int, ResolvedPath]) -> list[Check]:
    """Checks one node, whose parts are checked; returns what its values must be checked for."""
    match node:
        case ValueName():
            return [_is_defined(node.name)]
        case Call():
            return _call_checks(node, resolved)
        case Comparison():
            operands = (node.left, node.right)
            found = _kind_checks(node.operator, operands, ORDERED_KINDS) if node.operator in ORDER_TESTS else []
            _check_distinct(node.operator, operands, resolved)
            return found
        case Between():
            return _between_checks(node, resolved)
        case In():
            _check_in(node, resolved)
        case Arithmetic():
            return _kind_checks(node.operator, (node.left, node.right), _NUMBER_ONLY)
        case AddAction():
            return [_action_check("ADD", node.value.name, _ADD_KINDS)]
        case DeleteAction():
            return [_action_check("DELETE", node.value.name, _DELETE_KINDS)]
    return []


def _between_checks(node: Between, resolved: dict[int, ResolvedPath]) -> list[Check]:
    operands = (node.operand, node.lower, node.upper)
    found = _kind_checks("BETWEEN", operands, ORDERED_KINDS)
    _check_distinct("BETWEEN", operands, resolved)
    if isinstance(node.lower, ValueName) and isinstance(node.upper, ValueName):
        found.append(_bounds_check(node.lower.name, node.upper.name))
    return found


def _check_in(node: In, resolved: dict[int, ResolvedPath]) -> None:
    if len(node.options) > IN_OPERANDS_MAX:
        raise ValidationException(
            f"The IN operator is provided with too many operands; number of operands: {len(node.options)}"
        )
    _check_distinct("IN", (node.operand, *node.options), resolved)


def _is_defined(name: str) -> Check:
    def check(values: Values) -> None:
        if name not in values:
            raise undefined_value(name)

    return check


def _call_checks(call: Call, resolved: dict[int, ResolvedPath]) -> list[Check]:
    function, operands = call.function, call.operands
    if len(operands) != _ARITIES.get(function, 2):
        raise ValidationException(
            "Incorrect number of operands for operator or function; "
            f"operator or function: {function}, number of operands: {len(operands)}"
        )
    if function in _NEEDS_PATH and not isinstance(operands[0], Path):
        raise ValidationException(f"Operator or function requires a document path; operator or function: {function}")
    if function == "attribute_type":
        return [_type_name_check(operands[1])]
    kinds = _FUNCTION_KINDS.get(function)
    found = [] if kinds is None else _kind_checks(function, operands, kinds)
    if function in _NEEDS_DISTINCT:
        _check_distinct(function, operands, resolved)
    return found


def _kind_checks(operator: str, operands: Iterable[Operand], kinds: frozenset[str]) -> list[Check]:
    """Returns the checks of the values among operands; refuses a size where a number does not belong."""
    found: list[Check] = []
    for operand in operands:
        if isinstance(operand, ValueName):
            found.append(_kind_check(operator, operand.name, kinds))
        elif isinstance(operand, Call) and operand.function == "size" and "N" not in kinds:
            raise _wrong_kind(operator, "N")
        elif isinstance(operand, Truth):
            found.append(_truth_check(operator))
    return found


def _kind_check(operator: str, name: str, kinds: frozenset[str]) -> Check:
    def check(values: Values) -> None:
        kind = kind_of(values[name])
        if kind not in kinds:
            raise _wrong_kind(operator, kind)

    return check


def _truth_check(operator: str) -> Check:
    """Returns what refuses a condition where not every type belongs, in its turn among the checks of values."""

    def check(_values: Values) -> None:
        raise _wrong_kind(operator, "BOOL")

    return check


def _wrong_kind(operator: str, kind: str) -> ValidationException:
    return ValidationException(
        f"Incorrect operand type for operator or function; operator or function: {operator}, operand type: {kind}"
    )


def _action_check(action: str, name: str, kinds: frozenset[str]) -> Check:
    def check(values: Values) -> None:
        kind = kind_of(values[name])
        if kind not in kinds:
            raise ValidationException(
                f"Incorrect operand type for operator or function; operator: {action}, "
                f"operand type: {_KIND_WORDS.get(kind, kind)}, typeSet: ALLOWED_FOR_{action}_OPERAND"
            )

    return check


def _type_name_check(operand: Operand) -> Check:
    if isinstance(operand, Truth):
        raise _wrong_kind("attribute_type", "BOOL")
    if not isinstance(operand, ValueName):
        raise _wrong_kind("attribute_type", "{NS,SS,L,BS,N,M,B,BOOL,NULL,S}")
    name = operand.name

    def check(values: Values) -> None:
        ((kind, content),) = values[name].items()
        if kind != "S":
            raise _wrong_kind("attribute_type", kind)
        if content not in _TYPE_NAMES:
            raise ValidationException(
                f"Invalid attribute type name found; type: {content}, valid types: {{{','.join(_TYPE_NAMES)}}}"
            )

    return check


def _bounds_check(lower: str, upper: str) -> Check:
    def check(values: Values) -> None:
        low, high = values[lower], values[upper]
        shown = f"lower bound operand: AttributeValue: {show_value(low)}, upper bound operand: AttributeValue: "
        if kind_of(low) != kind_of(high):
            raise ValidationException(
                f"The BETWEEN operator requires same data type for lower and upper bounds; {shown}{show_value(high)}"
            )
        if are_ordered(ORDER_TESTS[">"], low, high):
            raise ValidationException(
                "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; "
                f"{shown}{show_value(high)}"
            )

    return check


def show_value(value: AttributeValue) -> str:
    """Returns a scalar value as errors show it: ``{S:x}``."""
    ((kind, content),) = value.items()
    return f"{{{kind}:{content}}}"


def _check_distinct(operator: str, operands: tuple[Operand, ...], resolved: dict[int, ResolvedPath]) -> None:
    """Checks that no other operand is the same path as the first."""
    first = operands[0]
    if not isinstance(first, Path):
        return
    path = resolved[id(first)]
    if any(isinstance(operand, Path) and resolved[id(operand)] == path for operand in operands[1:]):
        raise ValidationException(
            "The first operand must be distinct from the remaining operands for this operator or function; "
            f"operator: {operator}, first operand: {show(path)}"
        )
