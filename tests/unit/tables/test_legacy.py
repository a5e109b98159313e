"""Legacy parameters: what may stand beside what, what errors say, and that operations get what expressions give."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tenet.tables.model import Item, KeyAttribute, KeySchema
from tenet.tables.rules.legacy import (
    condition_of,
    projection_of,
    query_expressions,
    query_selection,
    scan_selection,
    update_of,
)
from tenet.tables.rules.parameters import ReadExpressions
from tenet.tables.rules.selection import check_select
from tenet.tables.rules.shapes import check_shape
from tests.unit.tables.outcomes import refusal_of

A = {"S": "a"}
ONE = {"N": "1"}
MIXED = "Can not use both expression and non-expression parameters in the same request: "
TOO_FEW = "ConditionalOperator can only be used when Filter or Expected has two or more elements"
NONE_AT_ALL = "ConditionalOperator cannot be used without Filter or Expected"
ALONE = "ExpressionAttributeValues can only be specified when using expressions"
EMPTY_KEY = (
    "One or more parameter values are not valid. "
    "The AttributeValue for a key attribute cannot contain an empty string value. Key: p"
)
SCHEMA = KeySchema(KeyAttribute("p", "S"), KeyAttribute("r", "N"))


def comparing(operator: str, *values: Any) -> dict[str, Any]:
    return {"ComparisonOperator": operator, "AttributeValueList": copy.deepcopy(list(values))}


def read_of(request: dict[str, Any]) -> ReadExpressions:
    return query_expressions(request, query_selection(request))


# ---- both kinds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "request_", "legacy", "expressions"),
    [
        (condition_of, {"Expected": {}, "ConditionExpression": "a"}, "Expected", "ConditionExpression"),
        (
            condition_of,
            {"ConditionalOperator": "AND", "Expected": {}, "ConditionExpression": "a"},
            "Expected, ConditionalOperator",
            "ConditionExpression",
        ),
        (
            update_of,
            {
                "ConditionalOperator": "AND",
                "Expected": {},
                "AttributeUpdates": {},
                "ConditionExpression": "a",
                "UpdateExpression": "b",
            },
            "AttributeUpdates, Expected, ConditionalOperator",
            "UpdateExpression, ConditionExpression",
        ),
        (
            projection_of,
            {"AttributesToGet": ["a"], "ProjectionExpression": "a"},
            "AttributesToGet",
            "ProjectionExpression",
        ),
        (
            query_selection,
            {
                "KeyConditions": {},
                "QueryFilter": {},
                "ConditionalOperator": "OR",
                "KeyConditionExpression": "a",
                "FilterExpression": "b",
                "ProjectionExpression": "c",
            },
            "QueryFilter, ConditionalOperator, KeyConditions",
            "ProjectionExpression, FilterExpression, KeyConditionExpression",
        ),
        (
            scan_selection,
            {"ScanFilter": {}, "AttributesToGet": ["a"], "FilterExpression": "b"},
            "AttributesToGet, ScanFilter",
            "FilterExpression",
        ),
    ],
)
def test_legacy_parameters_and_expressions_are_not_mixed(
    call: Any, request_: dict[str, Any], legacy: str, expressions: str
) -> None:
    told = f"{MIXED}Non-expression parameters: {{{legacy}}} Expression parameters: {{{expressions}}}"
    assert refusal_of(lambda: call(request_)) == told


def test_conditions_on_keys_may_stand_beside_other_expressions() -> None:
    request = {
        "KeyConditions": {"p": comparing("EQ", A)},
        "FilterExpression": "b = :v",
        "ProjectionExpression": "c",
        "ExpressionAttributeValues": {":v": A},
    }
    found = read_of(request)
    assert found.filter is not None
    assert found.projection is not None
    assert found.filter.test({"b": A})
    assert found.projection.names == {"c"}


@pytest.mark.parametrize(
    ("call", "request_", "message"),
    [
        (
            condition_of,
            {"Expected": {"a": {}}, "ExpressionAttributeValues": {":v": A}},
            f"{ALONE}: ConditionExpression is null",
        ),
        (
            update_of,
            {"AttributeUpdates": {"a": {}}, "ExpressionAttributeNames": {"#a": "a"}},
            "ExpressionAttributeNames can only be specified when using expressions",
        ),
        (
            projection_of,
            {"AttributesToGet": ["a"], "ExpressionAttributeNames": {"#a": "a"}},
            "ExpressionAttributeNames can only be specified when using expressions",
        ),
        (
            query_selection,
            {"QueryFilter": {"a": comparing("EQ")}, "ExpressionAttributeValues": {":v": A}},
            f"{ALONE}: FilterExpression and KeyConditionExpression are null",
        ),
        (
            scan_selection,
            {"ScanFilter": {"a": comparing("EQ")}, "ExpressionAttributeValues": {":v": A}},
            f"{ALONE}: FilterExpression is null",
        ),
    ],
)
def test_names_and_values_come_with_expressions_alone(call: Any, request_: dict[str, Any], message: str) -> None:
    assert refusal_of(lambda: call(request_)) == message


@pytest.mark.parametrize(
    ("call", "conditions"),
    [
        (condition_of, "Expected"),
        (update_of, "Expected"),
        (query_selection, "QueryFilter"),
        (scan_selection, "ScanFilter"),
    ],
)
def test_a_conditional_operator_joins_two_conditions_at_least(call: Any, conditions: str) -> None:
    joined: dict[str, Any] = {"ConditionalOperator": "OR"}
    assert refusal_of(lambda: call(joined)) == NONE_AT_ALL
    assert refusal_of(lambda: call(joined | {conditions: {}})) == NONE_AT_ALL
    assert refusal_of(lambda: call(joined | {conditions: {"a": comparing("EQ")}})) == TOO_FEW
    assert call(joined | {conditions: {"a": comparing("EQ", A), "b": comparing("NULL")}}) is not None


def test_parameters_of_other_operations_mean_nothing() -> None:
    assert condition_of({"ScanFilter": 1, "AttributeUpdates": 1}) is None
    assert update_of({"AttributesToGet": 1}) == (None, None)
    assert projection_of({"Expected": 1}) is None
    assert scan_selection({"KeyConditions": 1, "QueryFilter": 1}) is None
    assert query_selection({"ScanFilter": 1}) is None


def test_empty_parameters_ask_for_nothing() -> None:
    assert condition_of({"Expected": {}}) is None
    assert update_of({"Expected": {}, "AttributeUpdates": {}}) == (None, None)
    nothing = scan_selection({"ScanFilter": {}})
    assert nothing is not None
    assert (nothing.key_condition, nothing.filter, nothing.projection) == (None, None, None)


def test_expressions_alone_are_left_to_expressions() -> None:
    condition = condition_of({"ConditionExpression": "a = :v", "ExpressionAttributeValues": {":v": A}})
    assert condition is not None
    assert condition.test({"a": A})
    update, _ = update_of({"UpdateExpression": "REMOVE a"})
    assert update is not None
    assert update.apply({"a": A}, {}) == {}
    projection = projection_of({"ProjectionExpression": "a"})
    assert projection is not None
    assert projection.apply({"a": A, "b": A}) == {"a": A}
    request = {"KeyConditionExpression": "a = :v", "ExpressionAttributeValues": {":v": A}}
    assert query_selection(request) is None
    assert read_of(request).key_condition is not None


# ---- AttributesToGet -------------------------------------------------------------------------------------------------


def test_names_to_get_are_no_paths() -> None:
    projection = projection_of({"AttributesToGet": ["a.b", "c[0]", "d"]})
    assert projection is not None
    item: Item = {"a": {"M": {"b": A}}, "a.b": ONE, "c": {"L": [A]}, "d": {"M": {"x": A}}, "e": A}
    assert projection.apply(item) == {"a.b": ONE, "d": {"M": {"x": A}}}
    assert projection.nested_names == frozenset()


def test_more_names_than_an_item_has_attributes_find_what_is_there() -> None:
    projection = projection_of({"AttributesToGet": [f"a{number}" for number in range(9_000)]})
    assert projection is not None
    assert projection.apply({"a8999": A, "b": ONE, "a7": ONE}) == {"a8999": A, "a7": ONE}
    assert projection.apply({"b": ONE}) == {}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b", "a"], "One or more parameter values were invalid: Duplicate value in attribute name: a"),
        ([""], "Empty attribute name"),
        (["x" * 65_536], "Attribute name is too large, must be less than 65536 bytes"),
    ],
)
def test_names_to_get_that_are_refused(names: list[str], message: str) -> None:
    assert refusal_of(lambda: projection_of({"AttributesToGet": names})) == message
    assert refusal_of(lambda: scan_selection({"AttributesToGet": names})) == message


@pytest.mark.parametrize(
    ("select", "of_what"),
    [("COUNT", "only the Count"), ("ALL_ATTRIBUTES", "ALL_ATTRIBUTES")],
)
def test_names_to_get_rule_out_other_selections(select: str, of_what: str) -> None:
    request = {"AttributesToGet": ["a"], "Select": select}
    assert refusal_of(lambda: check_select(request)) == (
        f"Cannot specify the AttributesToGet when choosing to get {of_what}"
    )
    check_select({"AttributesToGet": ["a"], "Select": "SPECIFIC_ATTRIBUTES"})


# ---- JSON types ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1, "Unexpected field type"),
        ("a", "Unexpected field type"),
        ([], "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue"),
        ({"S": 1}, "NUMBER_VALUE cannot be converted to String"),
    ],
)
def test_a_value_of_another_json_type_is_told_as_a_member(value: Any, message: str) -> None:
    request = {"TableName": "abc", "Key": {}, "AttributeUpdates": {"a": {"Value": value}}}

    def update() -> None:
        update_of(check_shape("UpdateItem", request))

    assert refusal_of(update) == message


@pytest.mark.parametrize("parameter", ["Expected", "AttributeUpdates"])
def test_a_null_in_place_of_what_is_wanted_of_an_attribute_is_refused(parameter: str) -> None:
    request = {"TableName": "abc", "Key": {}, parameter: {"a": None}}
    told = refusal_of(lambda: check_shape("UpdateItem", request))
    assert "failed to satisfy constraint: Member must not be null" in told


# ---- KeyConditions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "values", "found"),
    [
        ("EQ", [ONE], "="),
        ("LT", [ONE], "<"),
        ("LE", [ONE], "<="),
        ("GT", [ONE], ">"),
        ("GE", [ONE], ">="),
        ("BETWEEN", [ONE, {"N": "2"}], "BETWEEN"),
    ],
)
def test_conditions_on_keys_are_those_of_expressions(operator: str, values: list[Any], found: str) -> None:
    conditions = read_of({"KeyConditions": {"r": comparing(operator, *values), "p": comparing("EQ", A)}}).key_condition
    assert conditions is not None
    wanted = conditions.against(SCHEMA)
    assert (wanted.partition, wanted.operator, wanted.values) == (A, found, tuple(values))


def test_a_sort_key_can_be_looked_up_by_its_beginning() -> None:
    schema = KeySchema(KeyAttribute("p", "S"), KeyAttribute("a.b", "S"))
    request = {"KeyConditions": {"p": comparing("EQ", A), "a.b": comparing("BEGINS_WITH", A)}}
    conditions = read_of(request).key_condition
    assert conditions is not None
    assert conditions.against(schema).operator == "begins_with"


_OF_ONE = {"p": comparing("EQ", A)}
_TOO_MANY = "The number of query conditions (3) exceeds the number of key attributes defined in the schema (2)"
_TYPE = "One or more parameter values were invalid: Condition parameter type does not match schema type"


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({}, "Conditions can be of length 1 or 2 only"),
        (_OF_ONE | {"r": comparing("EQ", ONE), "x": comparing("EQ", A)}, _TOO_MANY),
        ({"r": comparing("EQ", ONE)}, "Query condition missed key schema element: p"),
        (_OF_ONE | {"x": comparing("EQ", A)}, "Query condition missed key schema element: r"),
        (_OF_ONE | {"r": comparing("EQ", A)}, _TYPE),
        ({"p": comparing("LT", ONE)}, _TYPE),
        ({"p": comparing("BETWEEN", A, A)}, "Query key condition not supported"),
        ({"p": comparing("NE", A)}, "Attempted conditional constraint is not an indexable operation"),
        (_OF_ONE | {"r": comparing("NULL")}, "Attempted conditional constraint is not an indexable operation"),
        (_OF_ONE | {"r": comparing("IN", ONE)}, "Attempted conditional constraint is not an indexable operation"),
        (
            {"p": comparing("EQ", {"S": ""})},
            EMPTY_KEY,
        ),
        (
            {"p": comparing("EQ")},
            "One or more parameter values were invalid: Invalid number of argument(s) for the EQ ComparisonOperator",
        ),
        ({"": comparing("EQ", A)}, "Empty attribute name"),
        ({"p": comparing("EQ", {"N": "x"})}, "The parameter cannot be converted to a numeric value: x"),
    ],
)
def test_conditions_on_keys_that_are_refused(conditions: dict[str, Any], message: str) -> None:
    def look_up() -> None:
        found = read_of({"KeyConditions": copy.deepcopy(conditions)}).key_condition
        assert found is not None
        found.check_form()
        found.against(SCHEMA)

    assert refusal_of(look_up) == message


def test_a_table_without_a_sort_key_takes_one_condition() -> None:
    conditions = read_of({"KeyConditions": _OF_ONE | {"r": comparing("NE", ONE)}}).key_condition
    assert conditions is not None
    assert refusal_of(lambda: conditions.against(KeySchema(SCHEMA.partition))) == "Query key condition not supported"


def test_a_query_needs_a_condition_on_keys() -> None:
    told = "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."
    assert refusal_of(lambda: read_of({"QueryFilter": {"a": comparing("EQ", A)}})) == told
    assert refusal_of(lambda: read_of({})) == told


def test_a_filter_is_looked_at_before_conditions_on_keys() -> None:
    request = {"KeyConditions": {}, "QueryFilter": {"a": comparing("GT", {"BOOL": True})}}
    assert "ComparisonOperator GT is not valid for BOOL" in refusal_of(lambda: read_of(request))
