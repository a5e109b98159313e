"""From PartiQL expressions to the trees of conditions and updates that expressions of the API are parsed to as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn, cast

from tenet.tables.errors import ValidationException
from tenet.tables.rules import syntax_tree as api
from tenet.tables.rules.partiql.tree import Apply, Call, Constant, Is, Missing, Name, Parameter, Sequence, Tuple
from tenet.tables.rules.partiql.values import build

if TYPE_CHECKING:
    from tenet.tables.rules.partiql.tree import Assignment, Expression
    from tenet.tables.rules.partiql.values import Values

_COMPARATORS: Final = frozenset(("=", "<>", "<", "<=", ">", ">="))
_TESTS: Final = frozenset(("attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains"))
_SET_OPERATIONS: Final = frozenset(("set_add", "set_delete"))
#: Names of types behind IS, by the types of attributes.
_TYPES: Final = {
    "NULL": "NULL",
    "BOOLEAN": "BOOL",
    "BOOL": "BOOL",
    "BLOB": "B",
    "STRING": "S",
    "NUMERIC": "N",
    "STRUCT": "M",
    "TUPLE": "M",
    "LIST": "L",
}
_NO_BOOLEAN: Final = "WHERE clause must contain an expression that resolves to a boolean"
_OF_AND_OR: Final = "The arguments to AND/OR must be Expressions"
_OF_NOT: Final = "The argument to NOT must be a Type or Expression"
_NO_SEQUENCE: Final = (
    "IN operator must have a left hand argument of type Variable Reference and right hand argument of type Seq with at "
    "least one member"
)
_MISSING: Final = "MISSING must be compared using IS operator"
_NO_EXISTS: Final = "EXISTS can only be used in ExecuteTransaction write requests."


def condition_of(tree: Expression, values: Values, otherwise: str = _NO_BOOLEAN) -> api.ConditionTree:
    """Returns the condition that an expression says.

    Conditions are operands of others as deep as there are operators, at most 300: each takes two frames.

    Args:
        tree: at most 100 levels deep, with at most 300 operators.
        values: gets the values.
        otherwise: what is said of an expression that is none.

    Raises:
        ValidationException: it is none.
    """
    match tree:
        case Apply(operator="and" | "or"):
            parts: list[api.ConditionTree] = []
            for part in tree.operands:
                parts.append(condition_of(part, values, _OF_AND_OR))  # noqa: PERF401 - one more frame for every level
            return api.And(tuple(parts)) if tree.operator == "and" else api.Or(tuple(parts))
        case Apply(operator="not"):
            return api.Not(condition_of(tree.operands[0], values, _OF_NOT))
        case Is():
            return _type_test(tree, values)
        case Apply() | Call():
            operands: list[api.Operand] = []
            for part in _operands(tree):
                operands.append(_operand(part, values))  # noqa: PERF401 - one more frame for every level
            return _relation(tree, tuple(operands))
    if isinstance(tree, Sequence | Tuple):
        # What is no literal in it is told first.
        build(tree)
    raise ValidationException(otherwise)


def _operands(tree: Apply | Call) -> tuple[Expression, ...]:
    """Returns what a comparison, BETWEEN, IN or a function looks at; refuses what is no condition."""
    if isinstance(tree, Call):
        _check_test(tree.function)
        return tree.operands
    if tree.operator == "in":
        first, options = tree.operands
        if not isinstance(options, Sequence) or not options.elements:
            raise ValidationException(_NO_SEQUENCE)
        return (first, *options.elements)
    if tree.operator != "between" and tree.operator not in _COMPARATORS:
        _refuse_operator("Condition", tree.operator)
    return tree.operands


def _check_test(function: str) -> None:
    if function == "size":
        raise ValidationException(_NO_BOOLEAN)
    if function == "exists":
        raise ValidationException(_NO_EXISTS)
    if function not in _TESTS:
        raise ValidationException(f"Unrecognized function: {function}")


def _relation(tree: Apply | Call, operands: tuple[api.Operand, ...]) -> api.ConditionTree:
    if isinstance(tree, Call):
        return api.Call(tree.function, operands)
    if tree.operator == "in":
        return api.In(operands[0], operands[1:])
    if tree.operator == "between":
        operand, lower, upper = operands
        return api.Between(operand, lower, upper)
    left, right = operands
    return api.Comparison(cast("api.Comparator", tree.operator), left, right)


def _refuse_operator(kind: str, operator: str) -> NoReturn:
    name = "-" if operator == "neg" else operator
    raise ValidationException(f"Unsupported operator in {kind} Expression. Operator: {name}")


def _type_test(tree: Is, values: Values) -> api.ConditionTree:
    if not isinstance(tree.operand, Name):
        raise ValidationException("The left hand side argument to IS must be a Variable Reference, Literal, or Path")
    path = values.path(tree.operand)
    if tree.type == "MISSING":
        return api.Call("attribute_not_exists", (path,))
    kind = _TYPES.get(tree.type)
    if kind is None:
        raise ValidationException(
            f"Unsupported data type for IS operator: {tree.type}. Supported data types are "
            "[MISSING, NULL, BOOLEAN, BLOB, STRING, NUMERIC, STRUCT, TUPLE, LIST]"
        )
    return api.Call("attribute_type", (path, values.name(Constant({"S": kind}))))


def _operand(tree: Expression, values: Values) -> api.Operand:
    """Returns an operand of a condition, which may be a condition itself."""
    match tree:
        case Name():
            return values.path(tree)
        case Missing():
            raise ValidationException(_MISSING)
        case Call(function="size"):
            return api.Call("size", tuple(_operand(part, values) for part in tree.operands))
        case Call(function="exists"):
            raise ValidationException("Unrecognized function: exists")
        case Apply() | Is() | Call():
            return api.Truth(condition_of(tree, values))
    return values.name(tree)


def action_of(assignment: Assignment, values: Values) -> api.UpdateAction:
    """Returns the action of an update that an assignment says.

    Args:
        assignment: of an UPDATE.
        values: gets the values.

    Raises:
        ValidationException: what is assigned cannot be.
    """
    path, value = assignment.path, assignment.value
    if value is None:
        return api.RemoveAction(values.path(path))
    if isinstance(value, Call) and value.function in _SET_OPERATIONS:
        return _set_operation(path, value, values)
    return api.SetAction(values.path(path), _assigned(value, values))


def _set_operation(path: Name, call: Call, values: Values) -> api.UpdateAction:
    name = call.function.upper()
    if len(call.operands) != 2:  # noqa: PLR2004 - the set and its elements
        raise ValidationException(f"{name} must have exactly two arguments at {call.at}")
    first, second = call.operands
    if not isinstance(first, Name) or first.path != path.path:
        raise ValidationException(f"The first argument to {name} must equal the assignment value")
    if not (isinstance(second, Parameter) or (isinstance(second, Sequence) and second.kind == "bag")):
        raise ValidationException(f"The second argument to {name} must be a value with type SET at {first.at}")
    target, elements = values.path(path), values.name(second)
    return api.AddAction(target, elements) if name == "SET_ADD" else api.DeleteAction(target, elements)


def _assigned(tree: Expression, values: Values) -> api.Operand:
    """Returns an operand of an update; as deep as there are operators, at most 300."""
    match tree:
        case Name():
            return values.path(tree)
        case Apply(operator="+" | "-"):
            left, right = (_assigned(part, values) for part in tree.operands)
            return api.Arithmetic("+" if tree.operator == "+" else "-", left, right)
        case Apply():
            _refuse_operator("Update", tree.operator)
        case Is():
            raise ValidationException("IS operator is not supported in update expressions")
        case Missing():
            raise ValidationException(_MISSING)
        case Call():
            return _computed(tree, values)
    return values.name(tree)


def _computed(tree: Call, values: Values) -> api.Operand:
    function = tree.function
    if function in ("list_append", "if_not_exists"):
        return api.Call(function, tuple(_assigned(part, values) for part in tree.operands))
    if function in _TESTS or function == "size":
        raise ValidationException(f"The function is not allowed in an update expression; function: {function}")
    raise ValidationException(f"Unrecognized function: {function}")
