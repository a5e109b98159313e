"""Requests of single items, Query and Scan, whose parameters may be expressions or the legacy ones before them.

What the operations get is the same in both cases. A request without legacy parameters pays for a look at their names.

The order of the checks is the service's: both kinds may not be mixed; names and values may only come with expressions;
``ConditionalOperator`` joins two or more; then the parameters. ``KeyConditions`` may stand beside other expressions
than one for keys.

Sources: "Legacy conditional parameters" of the Developer Guide; the order, as DynamoDB Local 3.3 and dynoxide 3.2 show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tenet.tables.errors import ValidationException
from tenet.tables.rules import parameters
from tenet.tables.rules.attributes import check_name, invalid_parameter
from tenet.tables.rules.legacy_conditions import expected_of, filter_of
from tenet.tables.rules.legacy_keys import key_conditions_of
from tenet.tables.rules.legacy_updates import attribute_updates_of
from tenet.tables.rules.parameters import ReadExpressions
from tenet.tables.rules.projections import Projection

if TYPE_CHECKING:
    from tenet.tables.rules.conditions import Condition
    from tenet.tables.rules.updates import Update


@dataclass(frozen=True)
class _Kind:
    """A kind of request.

    Args:
        legacy: its legacy parameters, in the order in which the error lists them.
        expressions: its expressions, in that order.
        conditions: the legacy parameter that holds its conditions, which ``ConditionalOperator`` joins.
    """

    legacy: tuple[str, ...]
    expressions: tuple[str, ...]
    conditions: str = ""


_WRITE: Final = _Kind(("Expected", "ConditionalOperator"), ("ConditionExpression",), "Expected")
_UPDATE: Final = _Kind(
    ("AttributeUpdates", "Expected", "ConditionalOperator"), ("UpdateExpression", "ConditionExpression"), "Expected"
)
_GET: Final = _Kind(("AttributesToGet",), ("ProjectionExpression",))
_QUERY: Final = _Kind(
    ("AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions"),
    ("ProjectionExpression", "FilterExpression", "KeyConditionExpression"),
    "QueryFilter",
)
_SCAN: Final = _Kind(
    ("AttributesToGet", "ScanFilter", "ConditionalOperator"), ("ProjectionExpression", "FilterExpression"), "ScanFilter"
)
_OF_WRITE: Final = frozenset(_WRITE.legacy)
_OF_UPDATE: Final = frozenset(_UPDATE.legacy)
_OF_QUERY: Final = frozenset(_QUERY.legacy)
_OF_SCAN: Final = frozenset(_SCAN.legacy)


def condition_of(request: dict[str, Any]) -> Condition | None:
    """Returns the condition of a PutItem or DeleteItem, or None.

    Raises:
        SerializationException: a value is not of the JSON type that its member asks for.
        ValidationException: the condition is wrong, or both kinds of parameters are mixed.
    """
    if _OF_WRITE.isdisjoint(request):
        return parameters.condition_of(request)
    _check_mixing(request, _WRITE)
    parameters.condition_of(request)
    return _expected(request, _WRITE)


def update_of(request: dict[str, Any]) -> tuple[Update | None, Condition | None]:
    """Returns the update and the condition of an UpdateItem, each None where there is none.

    Raises:
        SerializationException: a value is not of the JSON type that its member asks for.
        ValidationException: one of them is wrong, or both kinds of parameters are mixed.
    """
    if _OF_UPDATE.isdisjoint(request):
        return parameters.update_of(request)
    _check_mixing(request, _UPDATE)
    parameters.update_of(request)
    _check_operator(request, _UPDATE)
    update = attribute_updates_of(request.get("AttributeUpdates", {}))
    return update, _expected(request, _UPDATE)


def projection_of(request: dict[str, Any]) -> Projection | None:
    """Returns the projection of a GetItem, or of what a BatchGetItem asks of a table, or None.

    Raises:
        ValidationException: it is wrong, or both kinds of parameters are mixed.
    """
    if "AttributesToGet" not in request:
        return parameters.projection_of(request)
    _check_mixing(request, _GET)
    parameters.projection_of(request)
    return _attributes_to_get(request)


def query_selection(request: dict[str, Any]) -> ReadExpressions | None:
    """Returns the filter and projection of a Query with legacy parameters; None where it has no such parameters.

    Raises:
        SerializationException: a value is not of the JSON type that its member asks for.
        ValidationException: one of them is wrong, or both kinds of parameters are mixed.
    """
    if _OF_QUERY.isdisjoint(request):
        return None
    _check_mixing(request, _QUERY)
    return _selection(request, _QUERY, parameters.expressions_beside_keys(request))


def scan_selection(request: dict[str, Any]) -> ReadExpressions | None:
    """Returns the filter and projection of a Scan with legacy parameters; None where it has no such parameters.

    Raises:
        SerializationException: a value is not of the JSON type that its member asks for.
        ValidationException: one of them is wrong, or both kinds of parameters are mixed.
    """
    if _OF_SCAN.isdisjoint(request):
        return None
    _check_mixing(request, _SCAN)
    return _selection(request, _SCAN, parameters.scan_expressions(request))


def query_expressions(request: dict[str, Any], selection: ReadExpressions | None) -> ReadExpressions:
    """Returns what a Query reads and answers.

    Args:
        request: the request.
        selection: what `query_selection` found.

    Raises:
        SerializationException: a value is not of the JSON type that its member asks for.
        ValidationException: the key condition is wrong or missing; without a selection, or an expression is.
    """
    if selection is None:
        return parameters.query_expressions(request)
    conditions = request.get("KeyConditions")
    if conditions is None:
        raise parameters.no_key_condition()
    return ReadExpressions(key_conditions_of(conditions), selection.filter, selection.projection)


def _selection(request: dict[str, Any], kind: _Kind, expressions: ReadExpressions) -> ReadExpressions:
    """Returns the filter and projection of a request, which are expressions, legacy parameters, or not there."""
    _check_operator(request, kind)
    condition, projection = expressions.filter, expressions.projection
    if kind.conditions in request:
        condition = filter_of(request[kind.conditions], request.get("ConditionalOperator"))
    if "AttributesToGet" in request:
        projection = _attributes_to_get(request)
    return ReadExpressions(None, condition, projection)


def _expected(request: dict[str, Any], kind: _Kind) -> Condition | None:
    _check_operator(request, kind)
    return expected_of(request.get("Expected", {}), request.get("ConditionalOperator"))


def _check_mixing(request: dict[str, Any], kind: _Kind) -> None:
    """Refuses legacy parameters beside expressions; conditions on keys are none of them where no expression is one."""
    expressions = [name for name in kind.expressions if name in request]
    legacy = [
        name
        for name in kind.legacy
        if name in request and (name != "KeyConditions" or "KeyConditionExpression" in request)
    ]
    if expressions and legacy:
        raise ValidationException(
            "Can not use both expression and non-expression parameters in the same request: "
            f"Non-expression parameters: {{{', '.join(legacy)}}} Expression parameters: {{{', '.join(expressions)}}}"
        )


def _check_operator(request: dict[str, Any], kind: _Kind) -> None:
    """Checks that a ``ConditionalOperator`` has something to join."""
    if "ConditionalOperator" not in request:
        return
    count = len(request.get(kind.conditions) or ())
    if count == 0:
        raise ValidationException("ConditionalOperator cannot be used without Filter or Expected")
    if count == 1:
        raise ValidationException(
            "ConditionalOperator can only be used when Filter or Expected has two or more elements"
        )


def _attributes_to_get(request: dict[str, Any]) -> Projection:
    names: dict[str, None] = {}
    for name in request["AttributesToGet"]:
        check_name(name)
        if name in names:
            invalid_parameter(f"Duplicate value in attribute name: {name}")
        names[name] = None
    return Projection([(name,) for name in names])
