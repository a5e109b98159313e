"""Event patterns: what each operator matches, what is refused, and how they go together."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.pipes.errors import ValidationException
from tenet.pipes.rules.patterns import DEPTH_MAX, compile_pattern

RECORD: dict[str, Any] = {
    "eventName": "MODIFY",
    "dynamodb": {
        "Keys": {"Id": {"S": "order-7"}},
        "NewImage": {"Total": {"N": "12"}, "Paid": {"BOOL": True}, "Note": {"NULL": True}, "Tags": {"SS": ["a", "b"]}},
        "SizeBytes": 26,
        "Lines": [{"sku": "x", "count": 1}, {"sku": "y", "count": 2}],
        "Empty": [],
    },
}


def matches(pattern: Any, event: Any = RECORD) -> bool:
    return compile_pattern(orjson.dumps(pattern).decode())(event)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"eventName": ["MODIFY"]}, True),
        ({"eventName": ["INSERT", "MODIFY"]}, True),
        ({"eventName": ["modify"]}, False),
        ({"eventName": ["MODIFY"], "dynamodb": {"SizeBytes": [27]}}, False),
        ({"dynamodb": {"SizeBytes": [26]}}, True),
        ({"dynamodb": {"SizeBytes": ["26"]}}, False),
        ({"dynamodb": {"NewImage": {"Paid": {"BOOL": [True]}}}}, True),
        ({"dynamodb": {"NewImage": {"Paid": {"BOOL": [1]}}}}, False),
        ({"dynamodb": {"NewImage": {"Total": {"N": ["12"]}}}}, True),
        ({"dynamodb": {"NewImage": {"Total": {"N": [{"numeric": [">", 1]}]}}}}, False),
        ({"dynamodb": {"NewImage": {"Tags": {"SS": ["b", "c"]}}}}, True),
        ({"dynamodb": {"Keys": {"Id": {"S": [{"prefix": "order-"}]}}}}, True),
        ({"dynamodb": {"Keys": {"Id": {"S": [{"prefix": "Order-"}]}}}}, False),
        ({"dynamodb": {"Keys": {"Id": {"S": [{"prefix": {"equals-ignore-case": "ORDER-"}}]}}}}, True),
        ({"dynamodb": {"Keys": {"Id": {"S": [{"suffix": "-7"}]}}}}, True),
        ({"dynamodb": {"Keys": {"Id": {"S": [{"suffix": {"equals-ignore-case": "R-7"}}]}}}}, True),
        ({"eventName": [{"equals-ignore-case": "modify"}]}, True),
        ({"eventName": [{"equals-ignore-case": "mod"}]}, False),
        ({"eventName": [{"anything-but": "REMOVE"}]}, True),
        ({"eventName": [{"anything-but": ["REMOVE", "MODIFY"]}]}, False),
        ({"nothing": [{"anything-but": "REMOVE"}]}, False),
        ({"dynamodb": {"SizeBytes": [{"anything-but": [25, 26]}]}}, False),
        ({"dynamodb": {"SizeBytes": [{"numeric": ["=", 26]}]}}, True),
        ({"dynamodb": {"SizeBytes": [{"numeric": [">", 20, "<=", 26]}]}}, True),
        ({"dynamodb": {"SizeBytes": [{"numeric": [">=", 20, "<", 26]}]}}, False),
        ({"dynamodb": {"NewImage": {"Paid": {"BOOL": [{"numeric": ["=", 1]}]}}}}, False),
        ({"dynamodb": {"SizeBytes": [{"exists": True}]}}, True),
        ({"dynamodb": {"OldImage": {"Total": {"N": [{"exists": False}]}}}}, True),
        ({"dynamodb": {"NewImage": {"Total": {"N": [{"exists": False}]}}}}, False),
        # A value that has members of its own is no leaf.
        ({"dynamodb": {"NewImage": [{"exists": True}]}}, False),
        ({"dynamodb": {"Empty": [{"exists": False}]}}, True),
        # Members of one element of a list have to match together.
        ({"dynamodb": {"Lines": {"sku": ["x"], "count": [1]}}}, True),
        ({"dynamodb": {"Lines": {"sku": ["x"], "count": [2]}}}, False),
        ({"$or": [{"eventName": ["REMOVE"]}, {"dynamodb": {"SizeBytes": [26]}}]}, True),
        ({"$or": [{"eventName": ["REMOVE"]}, {"dynamodb": {"SizeBytes": [27]}}]}, False),
        ({"eventName": ["REMOVE"], "$or": [{"a": [{"exists": False}]}, {"b": ["x"]}]}, False),
        ({"dynamodb": {"$or": [{"SizeBytes": [1]}, {"Keys": {"Id": {"S": [{"prefix": "order"}]}}}]}}, True),
        ({"dynamodb": {"NewImage": {"Gone": {"NULL": [None, {"exists": False}]}}}}, True),
    ],
)
def test_what_matches(pattern: Any, expected: bool) -> None:
    assert matches(pattern) is expected


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("", "it is not JSON"),
        ("{", "it is not JSON"),
        ("[]", "has to be an object that is not empty"),
        ("{}", "has to be an object that is not empty"),
        ('{"a": {}}', "a has to be an object that is not empty"),
        ('{"a": {"b": []}}', "a.b has to be a list that is not empty, or an object"),
        ('{"a": "x"}', "a has to be a list"),
        ('{"a": [["x"]]}', "a list within a list"),
        ('{"a": [{"prefix": "x", "suffix": "y"}]}', "no single operator"),
        ('{"a": [{"wildcard": "x*"}]}', "the operator 'wildcard'; pipes take anything-but"),
        ('{"a": [{"cidr": "10.0.0.0/8"}]}', "the operator 'cidr'"),
        ('{"a": [{"prefix": 1}]}', "needs a text"),
        ('{"a": [{"prefix": ""}]}', "not empty"),
        ('{"a": [{"prefix": {"suffix": "x"}}]}', "or equals-ignore-case"),
        ('{"a": [{"equals-ignore-case": ["x"]}]}', "needs a text"),
        ('{"a": [{"anything-but": []}]}', "or a list of either kind"),
        ('{"a": [{"anything-but": ["x", 1]}]}', "or a list of either kind"),
        ('{"a": [{"anything-but": {"prefix": "x"}}]}', "or a list of either kind"),
        ('{"a": [{"numeric": [">"]}]}', "a comparison and a number"),
        ('{"a": [{"numeric": ["~", 1]}]}', "compares by one of"),
        ('{"a": [{"numeric": [">", "1"]}]}', "needs numbers"),
        ('{"a": [{"numeric": [">", 5e10]}]}', "needs numbers"),
        ('{"a": [{"numeric": ["<", 1, ">", 0]}]}', "a lower bound, then an upper one"),
        ('{"a": [{"exists": "yes"}]}', "needs true or false"),
        ('{"$or": [{"a": [1]}]}', "needs two objects"),
        ('{"$or": [{"a": [1]}, {}]}', "has to be an object"),
        ('{"a":' * (DEPTH_MAX + 2) + "[1]" + "}" * (DEPTH_MAX + 2), "nested deeper"),
    ],
)
def test_what_is_refused(pattern: str, words: str) -> None:
    with pytest.raises(ValidationException, match="Invalid event pattern") as raised:
        compile_pattern(pattern)
    assert words in raised.value.message
    assert raised.value.members["fieldList"][0]["name"] == "SourceParameters.FilterCriteria.Filters.Pattern"


LEAVES = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "a", "A", "ab", "b"])
EVENTS = st.dictionaries(
    st.sampled_from("abc"), LEAVES | st.dictionaries(st.sampled_from("de"), LEAVES, max_size=2), max_size=3
)


def exactly(event: dict[str, Any]) -> dict[str, Any]:
    """The pattern that asks for every value that an event has."""
    return {
        name: exactly(value) if isinstance(value, dict) else [value]
        for name, value in event.items()
        if not isinstance(value, dict) or value
    }


@given(event=EVENTS)
def test_an_event_matches_what_it_is_and_not_what_it_is_not(event: dict[str, Any]) -> None:
    pattern = exactly(event)
    if not pattern:
        return
    assert matches(pattern, event)
    assert matches({"$or": [pattern, {"z": ["x"]}]}, event)
    assert not matches({**pattern, "z": [{"exists": True}]}, event)
    assert matches({**pattern, "z": [{"exists": False}]}, event)


@given(value=LEAVES, other=LEAVES)
def test_anything_but_is_the_opposite_of_the_value(value: Any, other: Any) -> None:
    if isinstance(other, bool) or other is None:
        return
    assert matches({"a": [{"anything-but": other}]}, {"a": value}) is not matches({"a": [other]}, {"a": value})


@given(value=st.integers(-5, 5), lower=st.integers(-5, 5), upper=st.integers(-5, 5))
def test_numbers_lie_between_their_bounds(value: int, lower: int, upper: int) -> None:
    assert matches({"a": [{"numeric": [">", lower, "<=", upper]}]}, {"a": value}) is (lower < value <= upper)
