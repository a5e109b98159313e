"""Which of several wrong expressions of a request is told."""

from __future__ import annotations

import pytest

from tenet.tables.errors import ValidationException
from tenet.tables.rules.parameters import query_expressions


@pytest.mark.parametrize(
    ("key_condition", "condition", "message"),
    [
        ("a <> :v", "b = ", "Invalid FilterExpression: "),
        ("a = ", "b = ", "Invalid FilterExpression: "),
        ("a[0] = :v", "b = :v", "KeyConditionExpressions cannot have conditions on nested attributes"),
    ],
)
def test_a_query_looks_at_its_filter_before_its_key_condition(key_condition: str, condition: str, message: str) -> None:
    request = {
        "KeyConditionExpression": key_condition,
        "FilterExpression": condition,
        "ProjectionExpression": "c, c",
        "ExpressionAttributeValues": {":v": {"S": "x"}},
    }
    with pytest.raises(ValidationException) as caught:
        query_expressions(request)
    assert caught.value.message.startswith(message)
