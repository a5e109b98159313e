"""Which of several wrong expressions of a request is told."""

from __future__ import annotations

import pytest

from tenet.tables.errors import ValidationException
from tenet.tables.rules.parameters import query_expressions


@pytest.mark.parametrize(
    ("key_condition", "condition", "message"),
    [
        (None, "b = ", "Invalid FilterExpression: "),
        (None, "b = :v", "Either the KeyConditions or KeyConditionExpression parameter must be specified"),
        ("a <> :v", "b = ", "Invalid FilterExpression: "),
        ("a = ", "b = ", "Invalid FilterExpression: "),
        ("a[0] = :v", "b = :v", "KeyConditionExpressions cannot have conditions on nested attributes"),
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
