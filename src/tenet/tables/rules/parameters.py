"""From the expression parameters of a request to compiled expressions.

The order of the checks is the service's: names and values may only come with expressions; then the names, then the
values, then each expression, the update or filter first; then what is not used; last whether a key condition is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenet.tables.errors import ValidationException
from tenet.tables.rules.bindings import Bindings
from tenet.tables.rules.conditions import Condition, compile_condition
from tenet.tables.rules.key_conditions import KeyConditions, compile_key_condition
from tenet.tables.rules.prepared import Prepared
from tenet.tables.rules.projections import Projection, compile_projection
from tenet.tables.rules.updates import Update, compile_update

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.tables.rules.operands import Values


class ReadExpressions:
    """The expressions of a Query or Scan."""

    __slots__ = ("filter", "key_condition", "projection")

    def __init__(
        self,
        key_condition: KeyConditions | None,
        filter: Condition | None,  # noqa: A002 (the API's word)
        projection: Projection | None,
    ) -> None:
        self.key_condition = key_condition
        self.filter = filter
        self.projection = projection

    def with_values(self, values: Values) -> ReadExpressions:
        """Returns the same expressions with the values of another request."""
        return ReadExpressions(
            None if self.key_condition is None else self.key_condition.with_values(values),
            None if self.filter is None else self.filter.with_values(values),
            self.projection,
        )


def _with_values(
    both: tuple[Update | None, Condition | None], values: Values
) -> tuple[Update | None, Condition | None]:
    update, condition = both
    return (
        None if update is None else update.with_values(values),
        None if condition is None else condition.with_values(values),
    )


_CONDITION: Final = ("ConditionExpression",)
_UPDATE: Final = ("UpdateExpression", "ConditionExpression")
_QUERY: Final = ("KeyConditionExpression", "FilterExpression", "ProjectionExpression")
_CONDITIONS: Final[Prepared[Condition]] = Prepared(_CONDITION, Condition.with_values)
_UPDATES: Final[Prepared[tuple[Update | None, Condition | None]]] = Prepared(_UPDATE, _with_values)
_QUERIES: Final[Prepared[ReadExpressions]] = Prepared(_QUERY, ReadExpressions.with_values)


def condition_of(request: dict[str, Any], *, values_alone: bool = False) -> Condition | None:
    """Returns the condition of a Put, Delete or ConditionCheck, or None.

    Args:
        request: the request.
        values_alone: whether values may come without a condition, as in a transaction's Put; none at all may come too.

    Raises:
        ValidationException: names, values or the condition are wrong.
    """
    text = request.get("ConditionExpression")
    if text is not None and (condition := _CONDITIONS.find(request)) is not None:
        return condition
    bindings = _bindings(request, _CONDITION, values_for=() if values_alone else _CONDITION)
    if bindings is None or text is None:
        return None
    condition = compile_condition(text, bindings)
    bindings.check_all_used()
    _CONDITIONS.keep(request, condition, bindings.checks)
    return condition


def update_of(request: dict[str, Any]) -> tuple[Update | None, Condition | None]:
    """Returns the update and the condition of an Update, each None where there is none.

    Raises:
        ValidationException: names, values or an expression are wrong.
    """
    if (found := _UPDATES.find(request)) is not None:
        return found
    bindings = _bindings(request, _UPDATE, values_for=_UPDATE)
    if bindings is None:
        return None, None
    text = request.get("UpdateExpression")
    update = None if text is None else compile_update(text, bindings)
    text = request.get("ConditionExpression")
    condition = None if text is None else compile_condition(text, bindings)
    bindings.check_all_used()
    _UPDATES.keep(request, (update, condition), bindings.checks)
    return update, condition


def projection_of(request: dict[str, Any]) -> Projection | None:
    """Returns the projection of a Get, or None. A Get has no values; what is sent as such means nothing.

    Raises:
        ValidationException: names or the projection are wrong.
    """
    text = request.get("ProjectionExpression")
    names = request.get("ExpressionAttributeNames")
    if text is None:
        if names is not None:
            raise ValidationException("ExpressionAttributeNames can only be specified when using expressions")
        return None
    bindings = Bindings(names)
    projection = compile_projection(text, bindings)
    bindings.check_all_used()
    return projection


def query_expressions(request: dict[str, Any]) -> ReadExpressions:
    """Returns the expressions of a Query; the filter is the first to be looked at, as captures of us-east-1 show.

    Raises:
        ValidationException: names, values or an expression are wrong, or the key condition is missing.
    """
    if (found := _QUERIES.find(request)) is not None:
        return found
    bindings = _bindings(request, _QUERY, values_for=("FilterExpression", "KeyConditionExpression"))
    condition = None if bindings is None else _filter(request, bindings)
    text = request.get("KeyConditionExpression")
    if text is None:
        raise no_key_condition()
    assert bindings is not None
    key_condition = compile_key_condition(text, bindings)
    projection = _last_projection(request, bindings)
    key_condition.check_form()
    found = ReadExpressions(key_condition, condition, projection)
    _QUERIES.keep(request, found, bindings.checks)
    return found


def scan_expressions(request: dict[str, Any]) -> ReadExpressions:
    """Returns the expressions of a Scan.

    Raises:
        ValidationException: names, values or an expression are wrong.
    """
    return _filter_and_projection(request, values_for=("FilterExpression",))


def expressions_beside_keys(request: dict[str, Any]) -> ReadExpressions:
    """Returns the filter and projection of a Query that names its keys without an expression.

    Raises:
        ValidationException: names, values or an expression are wrong.
    """
    return _filter_and_projection(request, values_for=("FilterExpression", "KeyConditionExpression"))


def no_key_condition() -> ValidationException:
    """Returns the error for a Query that does not say which keys it wants."""
    return ValidationException(
        "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."
    )


def _filter_and_projection(request: dict[str, Any], *, values_for: Sequence[str]) -> ReadExpressions:
    bindings = _bindings(request, ("FilterExpression", "ProjectionExpression"), values_for=values_for)
    if bindings is None:
        return ReadExpressions(None, None, None)
    condition = _filter(request, bindings)
    return ReadExpressions(None, condition, _last_projection(request, bindings))


def _filter(request: dict[str, Any], bindings: Bindings) -> Condition | None:
    text = request.get("FilterExpression")
    return None if text is None else compile_condition(text, bindings, "FilterExpression")


def _last_projection(request: dict[str, Any], bindings: Bindings) -> Projection | None:
    """Compiles the projection, after which every name and value has been used."""
    text = request.get("ProjectionExpression")
    projection = None if text is None else compile_projection(text, bindings)
    bindings.check_all_used()
    return projection


def _bindings(request: dict[str, Any], expressions: Sequence[str], *, values_for: Sequence[str]) -> Bindings | None:
    """Returns the names and values of a request; None where it has no expressions.

    Args:
        request: the request.
        expressions: the parameters that may use names.
        values_for: the parameters that may use values, in the order of the text; empty where values may stand alone.
    """
    names = request.get("ExpressionAttributeNames")
    values = request.get("ExpressionAttributeValues")
    given = not request.keys().isdisjoint(expressions)
    if names is not None and not given:
        raise ValidationException("ExpressionAttributeNames can only be specified when using expressions")
    if values is not None and values_for and request.keys().isdisjoint(values_for):
        missing = " and ".join(values_for)
        verb = "is" if len(values_for) == 1 else "are"
        raise ValidationException(
            f"ExpressionAttributeValues can only be specified when using expressions: {missing} {verb} null"
        )
    return Bindings(names, values) if given or values else None
