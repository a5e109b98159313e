"""Attribute values: what is refused and how, what becomes canonical, and what everything counts."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.tables.errors import SerializationException, ValidationException
from tenet.tables.rules.attributes import (
    SUBSTITUTES_BYTES_MAX,
    check_expression_values,
    check_item,
    check_item_size,
    check_updated_item_size,
    check_value,
)
from tenet.tables.rules.sizes import item_bytes
from tests.unit.tables.outcomes import outcome_of, refusal_of
from tests.unit.tables.values import values

INVALID = "One or more parameter values were invalid: "
EMPTY = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
MANY = "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
TOO_DEEP = (
    "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
)
NO_MAP = "Unrecognized collection type java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>"
NO_STRUCTURE = "Start of structure or map found where not expected"


def nested(kind: str, levels: int) -> dict[str, Any]:
    """A string in so many lists or maps."""
    value: dict[str, Any] = {"S": "x"}
    for _ in range(levels):
        value = {"L": [value]} if kind == "L" else {"M": {"k": value}}
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, EMPTY),
        (None, EMPTY),
        ({"X": "y"}, EMPTY),
        ({"s": "x"}, EMPTY),
        ({"S": None}, EMPTY),
        ({"S": "x", "N": "1"}, MANY),
        ({"S": "x", "BOOL": True}, MANY),
        ({"S": "x", "N": "x"}, "The parameter cannot be converted to a numeric value: x"),
        ({"S": "x", "SS": []}, INVALID + "An string set  may not be empty"),
        ({"S": "x", "NULL": False}, INVALID + "Null attribute value types must have the value of true"),
        ({"N": ""}, "The parameter cannot be converted to a numeric value"),
        ({"N": "abc"}, "The parameter cannot be converted to a numeric value: abc"),
        ({"NULL": False}, INVALID + "Null attribute value types must have the value of true"),
        ({"NULL": "no"}, INVALID + "Null attribute value types must have the value of true"),
        ({"SS": []}, INVALID + "An string set  may not be empty"),
        ({"NS": []}, INVALID + "An number set  may not be empty"),
        ({"BS": []}, INVALID + "Binary sets should not be empty"),
        ({"SS": ["a", "b", "a"]}, INVALID + "Input collection [a, b, a] contains duplicates."),
        ({"NS": ["1", "2", "1.0"]}, "Input collection contains duplicates"),
        ({"BS": ["YQ==", "YQ=="]}, INVALID + "Input collection [YQ==, YQ==]of type BS contains duplicates."),
        ({"SS": [None]}, INVALID + "An string set may not have a null string as a member"),
        ({"NS": ["1", None]}, "The parameter cannot be converted to a numeric value"),
        ({"BS": [None]}, INVALID + "Binary sets may not contain null or empty values"),
        ({"NS": ["x"]}, "The parameter cannot be converted to a numeric value: x"),
        ({"L": [{"N": "x"}]}, "The parameter cannot be converted to a numeric value: x"),
        ({"L": [None]}, EMPTY),
        ({"L": [{}]}, EMPTY),
        ({"M": {"a": None}}, EMPTY),
        ({"M": {"a": {"SS": []}}}, INVALID + "An string set  may not be empty"),
        ({"M": {"": {"S": "x"}}}, "Empty attribute name"),
        (nested("L", 32), TOO_DEEP),
        (nested("M", 32), TOO_DEEP),
        (nested("L", 5_000), TOO_DEEP),
    ],
)
def test_values_that_break_a_rule_are_refused(value: Any, message: str) -> None:
    with pytest.raises(ValidationException) as caught:
        check_item({"pk": {"S": "x"}, "v": value})
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("x", "Unexpected value type in payload"),
        (1, "Unexpected value type in payload"),
        (True, "Unexpected value type in payload"),
        ([], "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue"),
        ({"S": 1}, "NUMBER_VALUE cannot be converted to String"),
        ({"S": 1.5}, "DECIMAL_VALUE cannot be converted to String"),
        ({"S": True}, "TRUE_VALUE cannot be converted to String"),
        ({"S": False}, "FALSE_VALUE cannot be converted to String"),
        ({"S": []}, "Unrecognized collection type class java.lang.String"),
        ({"S": {}}, NO_STRUCTURE),
        ({"N": 1}, "NUMBER_VALUE cannot be converted to String"),
        ({"B": 1}, "only base-64-encoded strings are convertible to bytes"),
        ({"B": True}, "only base-64-encoded strings are convertible to bytes"),
        ({"B": []}, "Unrecognized collection type class java.nio.ByteBuffer"),
        ({"B": {}}, NO_STRUCTURE),
        ({"B": "x"}, "Base64 encoded length is expected a multiple of 4 bytes but found: 1"),
        ({"B": "xyz"}, "Base64 encoded length is expected a multiple of 4 bytes but found: 3"),
        ({"B": "xyz*"}, "Invalid last non-pad Base64 character dectected"),
        ({"B": "YR=="}, "Invalid last non-pad Base64 character dectected"),
        ({"B": "YWF="}, "Invalid last non-pad Base64 character dectected"),
        ({"B": "a b="}, "Invalid last non-pad Base64 character dectected"),
        ({"B": "é==="}, "Invalid last non-pad Base64 character dectected"),
        ({"BOOL": "x"}, "Unexpected token received from parser"),
        ({"BOOL": 1}, "NUMBER_VALUE cannot be converted to Boolean"),
        ({"BOOL": 0.5}, "DECIMAL_VALUE cannot be converted to Boolean"),
        ({"BOOL": []}, "Unrecognized collection type class java.lang.Boolean"),
        ({"NULL": {}}, NO_STRUCTURE),
        ({"SS": "x"}, "Unexpected field type"),
        ({"SS": {}}, NO_STRUCTURE),
        ({"SS": [1]}, "NUMBER_VALUE cannot be converted to String"),
        ({"NS": [[]]}, "Unrecognized collection type class java.lang.String"),
        ({"BS": [1]}, "only base-64-encoded strings are convertible to bytes"),
        ({"BS": ["x"]}, "Base64 encoded length is expected a multiple of 4 bytes but found: 1"),
        ({"L": "x"}, "Unexpected field type"),
        ({"L": {}}, NO_STRUCTURE),
        ({"L": [1]}, "Unexpected value type in payload"),
        ({"L": [[]]}, "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue"),
        ({"M": "x"}, "Unexpected field type"),
        ({"M": []}, NO_MAP),
        ({"M": {"a": 1}}, "Unexpected value type in payload"),
        ({"M": {"a": {"S": 1}}}, "NUMBER_VALUE cannot be converted to String"),
        ({"S": "x", "N": 1}, "NUMBER_VALUE cannot be converted to String"),
    ],
)
def test_values_of_the_wrong_json_type_are_refused(value: Any, message: str) -> None:
    with pytest.raises(SerializationException) as caught:
        check_item({"pk": {"S": "x"}, "v": value})
    assert caught.value.message == message
    # A wrong type is found before a broken rule, wherever it stands.
    with pytest.raises(SerializationException) as caught:
        check_item({"broken": {"N": "x"}, "v": {"L": [{"SS": []}, value]}})
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("value", "canonical", "size_bytes"),
    [
        ({"S": ""}, {"S": ""}, 0),
        ({"S": "é"}, {"S": "é"}, 2),
        ({"S": "x", "N": None}, {"S": "x"}, 1),
        ({"S": "x", "Y": 1}, {"S": "x"}, 1),
        ({"N": "1.50"}, {"N": "1.5"}, 3),
        ({"B": ""}, {"B": ""}, 0),
        ({"B": "YQ=="}, {"B": "YQ=="}, 1),
        ({"B": "YWE="}, {"B": "YWE="}, 2),
        ({"BOOL": False}, {"BOOL": False}, 1),
        ({"BOOL": "TRUE"}, {"BOOL": True}, 1),
        ({"BOOL": "0"}, {"BOOL": False}, 1),
        ({"NULL": True}, {"NULL": True}, 1),
        ({"NULL": "yes"}, {"NULL": True}, 1),
        ({"SS": ["b", "a", ""]}, {"SS": ["", "a", "b"]}, 2),
        ({"SS": ["é", "z"]}, {"SS": ["z", "é"]}, 3),
        ({"NS": ["10", "9.0", "-1"]}, {"NS": ["-1", "9", "10"]}, 7),
        ({"BS": ["YQ==", "AA=="]}, {"BS": ["AA==", "YQ=="]}, 2),
        ({"BS": ["/w==", "AA==", "Kw=="]}, {"BS": ["AA==", "Kw==", "/w=="]}, 3),
        ({"L": []}, {"L": []}, 3),
        ({"L": [{"N": "01"}, {"S": "ab"}]}, {"L": [{"N": "1"}, {"S": "ab"}]}, 9),
        ({"M": {}}, {"M": {}}, 3),
        ({"M": {"ab": {"NS": ["2", "1"]}}}, {"M": {"ab": {"NS": ["1", "2"]}}}, 10),
        (nested("L", 31), nested("L", 31), 31 * 4 + 1),
        (nested("M", 31), nested("M", 31), 31 * 5 + 1),
    ],
)
def test_values_become_canonical_and_are_counted(value: Any, canonical: Any, size_bytes: int) -> None:
    item = {"nam": copy.deepcopy(value)}
    assert check_item(item) == 3 + size_bytes
    assert item == {"nam": canonical}
    assert item_bytes(item) == 3 + size_bytes
    assert check_value(value) == size_bytes


def test_names_count_their_bytes() -> None:
    assert check_item({"né": {"S": "x"}}) == 4
    assert refusal_of(lambda: check_item({"": {"S": "x"}})) == "Empty attribute name"
    assert check_item({"é" * 32_767: {"S": "x"}}) == 65_535
    for item in ({"é" * 32_768: {"S": "x"}}, {"a": {"L": [{"M": {"x" * 65_536: {"S": "x"}}}]}}):
        assert refusal_of(lambda item=item: check_item(item)) == (  # type: ignore[misc]
            "Attribute name is too large, must be less than 65536 bytes"
        )


@pytest.mark.parametrize(
    ("size_bytes", "said"), [(409_600, ""), (409_601, "Item size has exceeded the maximum allowed")]
)
def test_an_item_has_at_most_400_kb(size_bytes: int, said: str) -> None:
    item = {"pk": {"S": "x" * (size_bytes - 2)}}
    assert check_item(item) == size_bytes
    assert outcome_of(lambda: check_item_size(size_bytes))[1].startswith(said)
    assert ("Item size to update has exceeded the maximum allowed size" if said else "") == outcome_of(
        lambda: check_updated_item_size(size_bytes)
    )[1]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"N": "x"}, "The parameter cannot be converted to a numeric value: x"),
        ({}, EMPTY),
        ({"S": "x", "N": "1"}, MANY),
        ({"SS": []}, INVALID + "An string set  may not be empty"),
        (
            {"L": [{"N": "1e126"}]},
            "Number overflow. Attempting to store a number with magnitude larger than supported range",
        ),
    ],
)
def test_expression_values_are_refused_with_their_placeholder(value: Any, message: str) -> None:
    given_values = {":ok": {"N": "1"}, ":bad": value, ":worse": {"SS": []}}
    said = refusal_of(lambda: check_expression_values(given_values))
    assert said == f"ExpressionAttributeValues contains invalid value: {message} for key :bad"


def test_expression_values_of_a_wrong_json_type_are_found_first() -> None:
    with pytest.raises(SerializationException, match=r"^NUMBER_VALUE cannot be converted to String$"):
        check_expression_values({":broken": {"N": "x"}, ":v": {"S": 1}})


TOO_LARGE = "Item size has exceeded the maximum allowed size"


@pytest.mark.thorough
@pytest.mark.parametrize(
    "value_of",  # each is made when it is its turn, and not in every process that collects tests
    [
        lambda: {"L": [{"S": ""}] * 409_601},
        lambda: {"L": [*[{"N": "1"}] * 300_000, {"N": "x"}]},
        lambda: {"L": [{"L": [{"S": ""}] * 300_000}, {"L": [{"S": ""}] * 300_000}, {}]},
        lambda: {"M": {str(at): {"S": ""} for at in range(409_601)}},
        lambda: {"SS": [""] * 409_601},
        lambda: {"SS": [str(at) for at in range(100_000)]},
        lambda: {"NS": [*(str(at) for at in range(200_000)), "x"]},
        lambda: {"BS": [f"{at:08}" for at in range(110_000)]},
        lambda: {"L": [{"S": "x" * 410_000}, {}]},
    ],
)
def test_what_lies_behind_400_kb_of_an_item_is_not_looked_at(value_of: Callable[[], dict[str, Any]]) -> None:
    item = {"p": {"S": "a"}, "v": value_of()}
    assert refusal_of(lambda: check_item(item)) == TOO_LARGE


def test_one_value_may_be_larger_than_an_item_until_it_is_known_what_it_is_for() -> None:
    assert check_item({"p": {"S": "x" * 500_000}}) == 500_001
    assert refusal_of(lambda: check_item({"p": {"S": "x" * 500_000}, "q": {}})) == TOO_LARGE


def test_values_of_expressions_may_be_larger_than_an_item_together() -> None:
    assert check_expression_values({f":{at}": {"S": "x" * 300_000} for at in range(6)}) == 6 * 300_002
    assert check_expression_values({f":{at}": {"S": "x" * 300_000} for at in range(9)}) > SUBSTITUTES_BYTES_MAX
    said = refusal_of(lambda: check_expression_values({":v": {"L": [{"S": "x" * 300_000}] * 3}}))
    assert said == "Item size to update has exceeded the maximum allowed size"


def test_wrong_json_types_are_looked_for_among_so_many_values() -> None:
    item = {"bad": {}, "v": {"L": [*[{"S": ""}] * 99_000, {"S": 1}]}}
    with pytest.raises(SerializationException):
        check_item(item)
    item = {"bad": {}, "v": {"L": [*[{"S": ""}] * 101_000, {"S": 1}]}}
    assert refusal_of(lambda: check_item(item)) == EMPTY


@given(values())
def test_checking_twice_changes_nothing(value: dict[str, Any]) -> None:
    size_bytes = check_value(value)
    once = copy.deepcopy(value)
    assert check_value(value) == size_bytes
    assert value == once
    assert item_bytes({"a": value}) == size_bytes + 1


@given(st.binary(max_size=40))
def test_every_binary_is_taken_as_its_base64(data: bytes) -> None:
    assert check_value({"B": base64.b64encode(data).decode()}) == len(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS", "x", ""]), inner, max_size=2
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["a", "b", ""]), json_values, max_size=3))
def test_whatever_json_comes_is_taken_or_refused(item: Any) -> None:
    size_bytes, said = outcome_of(lambda: check_item(item))
    assert said or size_bytes == item_bytes(item)
