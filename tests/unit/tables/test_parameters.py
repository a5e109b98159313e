"""Which of several wrong expressions of a request is told, and what may come without an expression."""

from __future__ import annotations

import pytest

from tenet.tables.errors import ValidationException
from tenet.tables.rules.parameters import condition_of, query_expressions


@pytest.mark.parametrize(
    ("key_condition", "condition", "message"),
    [
        (None, "b = ", "Invalid FilterExpression: "),
        (None, "b = :v", "Either the KeyConditions or KeyConditionExpression parameter must be specified"),
        ("a <> :v", "b = ", "Invalid FilterExpression: "),
        ("a = ", "b = ", "Invalid FilterExpression: "),
        ("a[0] = :v", "b = :v", "Invalid ProjectionExpression: Two document paths overlap"),
    ],
)
def test_a_query_looks_at_its_filter_before_its_key_condition(
    key_condition: str | None, condition: str, message: str
) -> None:
    request = ({} if key_condition is None else {"KeyConditionExpression": key_condition}) | {
        "FilterExpression": condition,
        "ProjectionExpression": "c, c",
        "ExpressionAttributeValues": {":v": {"S": "x"}},
    }
    with pytest.raises(ValidationException) as caught:
        query_expressions(request)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("values", [{}, {":v": {"S": "x"}}])
def test_values_of_a_put_in_a_transaction_need_no_condition(values: dict[str, object]) -> None:
    request = {"ExpressionAttributeValues": values}
    assert condition_of(request, values_alone=True) is None
    with pytest.raises(ValidationException, match="can only be specified when using expressions"):
        condition_of(request)


def test_values_beside_a_condition_are_not_empty() -> None:
    request = {"ConditionExpression": "attribute_exists(a)", "ExpressionAttributeValues": {}}
    with pytest.raises(ValidationException, match="ExpressionAttributeValues must not be empty"):
        condition_of(request, values_alone=True)


@pytest.mark.parametrize(
    ("key_condition", "message"),
    [
        ("a[0] = :v", "KeyConditionExpressions cannot have conditions on nested attributes"),
        ("a <> :v", "Invalid operator used in KeyConditionExpression: <>"),
        ("a = :v AND a = :v", "KeyConditionExpressions must only contain one condition per key"),
    ],
)
def test_whether_a_key_condition_is_one_is_told_last(key_condition: str, message: str) -> None:
    request = {"KeyConditionExpression": key_condition, "ExpressionAttributeValues": {":v": {"S": "x"}}}
    for _ in range(2):
        with pytest.raises(ValidationException) as caught:
            query_expressions(request)
        assert caught.value.message == message
    request["ExpressionAttributeValues"] = {":v": {"S": "x"}, ":w": {"S": "x"}}
    with pytest.raises(ValidationException, match="unused in expressions"):
        query_expressions(request)
