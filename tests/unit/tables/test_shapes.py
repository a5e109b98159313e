"""Requests against the shapes of the API: what passes, what is converted, and the words for what is refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.tables.errors import SerializationException, ValidationException
from tenet.tables.rules import shape_model
from tenet.tables.rules.shape_constraints import utf16_length, violations
from tenet.tables.rules.shape_conversion import convert_request
from tenet.tables.rules.shapes import check_shape
from tools import generate_shapes

PUT: dict[str, Any] = {"TableName": "abc", "Item": {"a": {"S": "x"}}}
KEY: dict[str, Any] = {"TableName": "abc", "Key": {"a": {"S": "x"}}}
CREATE: dict[str, Any] = {
    "TableName": "abc",
    "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
}
RETURN_VALUES = "Member must satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]"
CONSUMED = "Member must satisfy enum value set: [INDEXES, TOTAL, NONE]"
NAME_PATTERN = "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"


def refusal(operation: str, request: dict[str, Any]) -> str:
    with pytest.raises(ValidationException) as caught:
        check_shape(operation, request)
    return caught.value.message


def conversion_error(operation: str, request: dict[str, Any]) -> str:
    with pytest.raises(SerializationException) as caught:
        check_shape(operation, request)
    return caught.value.message


def test_the_generated_file_is_current() -> None:
    assert generate_shapes.TARGET.read_text(encoding="utf-8") == generate_shapes.text(), (
        "botocore's model has changed: run tools/generate_shapes.py"
    )


# Every list of values that has been seen in an answer of us-east-1.
@pytest.mark.parametrize(
    ("shape", "printed"),
    [
        ("ReturnConsumedCapacity", "INDEXES, TOTAL, NONE"),
        ("ReturnValue", "ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW"),
        ("ReturnItemCollectionMetrics", "SIZE, NONE"),
        ("ScalarAttributeType", "B, N, S"),
        ("KeyType", "HASH, RANGE"),
        ("ProjectionType", "ALL, INCLUDE, KEYS_ONLY"),
        ("Select", "SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES"),
        ("ConditionalOperator", "OR, AND"),
        (
            "ComparisonOperator",
            "IN, NULL, BETWEEN, LT, NOT_CONTAINS, EQ, GT, NOT_NULL, NE, LE, BEGINS_WITH, GE, CONTAINS",
        ),
        ("AttributeAction", "ADD, DELETE, PUT"),
        ("BillingMode", "PROVISIONED, PAY_PER_REQUEST"),
    ],
)
def test_enumerations_are_listed_in_the_order_of_the_service(shape: str, printed: str) -> None:
    assert ", ".join(shape_model.SHAPES[shape].enum) == printed


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("PutItem", PUT),
        ("GetItem", {**KEY, "ConsistentRead": True, "ExpressionAttributeNames": {"#a": "a"}}),
        ("CreateTable", CREATE),
        ("ListTables", {}),
        ("Scan", {"TableName": "arn:aws:dynamodb:us-east-1:123456789012:table/abc", "Segment": 0, "TotalSegments": 1}),
        ("BatchWriteItem", {"RequestItems": {"abc": [{"DeleteRequest": {"Key": {"a": {"S": "x"}}}}] * 25}}),
        ("Query", {"TableName": "abc", "Unknown": [None, {"x": 1}]}),
    ],
)
def test_a_right_request_is_returned_as_it_is(operation: str, request_: dict[str, Any]) -> None:
    assert check_shape(operation, request_) is request_


def test_leniency_is_the_services() -> None:
    request = {**KEY, "ConsistentRead": "Yes", "ReturnConsumedCapacity": None, "Unknown": 1}
    assert check_shape("GetItem", request) == {**KEY, "ConsistentRead": True}
    assert check_shape("Scan", {"TableName": "abc", "Limit": 1.9})["Limit"] == 1
    assert check_shape("Scan", {"TableName": "abc", "Limit": 10**30})["Limit"] == 2**31 - 1


STRING = "cannot be converted to String"
PARAMETERIZED = (
    "class sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl cannot be cast to class java.lang.Class "
    "(sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl and java.lang.Class are in module java.base of "
    "loader 'bootstrap')"
)
JAVA = "com.amazonaws.dynamodb.v20120810"


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        ("GetItem", {"TableName": 1}, f"NUMBER_VALUE {STRING}"),
        ("GetItem", {"TableName": 1.5}, f"DECIMAL_VALUE {STRING}"),
        ("GetItem", {"TableName": True}, f"TRUE_VALUE {STRING}"),
        ("GetItem", {"TableName": False}, f"FALSE_VALUE {STRING}"),
        ("GetItem", {"TableName": []}, "Unrecognized collection type class java.lang.String"),
        ("GetItem", {"TableName": {}}, "Start of structure or map found where not expected"),
        ("Scan", {"Limit": "1"}, "STRING_VALUE cannot be converted to Integer"),
        ("Scan", {"Limit": True}, "TRUE_VALUE cannot be converted to Integer"),
        ("Scan", {"Limit": []}, "Unrecognized collection type class java.lang.Integer"),
        (
            "CreateTable",
            {"ProvisionedThroughput": {"ReadCapacityUnits": "1"}},
            "STRING_VALUE cannot be converted to Long",
        ),
        ("GetItem", {"ConsistentRead": "maybe"}, "Unexpected token received from parser"),
        ("GetItem", {"ConsistentRead": 1}, "NUMBER_VALUE cannot be converted to Boolean"),
        ("GetItem", {"ConsistentRead": []}, "Unrecognized collection type class java.lang.Boolean"),
        ("GetItem", {"AttributesToGet": "a"}, "Unexpected field type"),
        ("GetItem", {"AttributesToGet": {}}, "Start of structure or map found where not expected"),
        ("GetItem", {"AttributesToGet": [1]}, f"NUMBER_VALUE {STRING}"),
        ("GetItem", {"Key": "a"}, "Unexpected field type"),
        (
            "GetItem",
            {"Key": []},
            f"Unrecognized collection type java.util.Map<java.lang.String, {JAVA}.AttributeValue>",
        ),
        ("GetItem", {"Key": {"a": 1}}, "Unexpected value type in payload"),
        ("GetItem", {"Key": {"a": []}}, f"Unrecognized collection type class {JAVA}.AttributeValue"),
        ("GetItem", {"Key": {"a": {"S": 1}}}, f"NUMBER_VALUE {STRING}"),
        (
            "GetItem",
            {"ExpressionAttributeNames": []},
            "Unrecognized collection type java.util.Map<java.lang.String, java.lang.String>",
        ),
        ("CreateTable", {"ProvisionedThroughput": 1}, "Unexpected field type"),
        (
            "CreateTable",
            {"ProvisionedThroughput": []},
            f"Unrecognized collection type class {JAVA}.ProvisionedThroughput",
        ),
        ("CreateTable", {"KeySchema": ["a"]}, "Unexpected value type in payload"),
        ("BatchGetItem", {"RequestItems": {"abc": 1}}, "Unexpected value type in payload"),
        ("BatchGetItem", {"RequestItems": {"abc": {"Keys": [1]}}}, PARAMETERIZED),
        ("BatchWriteItem", {"RequestItems": {"abc": 1}}, PARAMETERIZED),
        (
            "BatchWriteItem",
            {"RequestItems": []},
            f"Unrecognized collection type java.util.Map<java.lang.String, java.util.List<{JAVA}.WriteRequest>>",
        ),
    ],
)
def test_types_that_cannot_be_converted(operation: str, request_: dict[str, Any], message: str) -> None:
    assert conversion_error(operation, request_) == message


def test_the_first_type_error_of_the_document_wins_over_every_constraint() -> None:
    request = {"ReturnValues": "X", "Item": {"a": {"S": 1}}, "TableName": {}}
    assert conversion_error("PutItem", request) == f"NUMBER_VALUE {STRING}"


# Answers of us-east-1, June 2026.
@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            {"Item": {}},
            (
                "1 validation error detected: Value null at 'tableName' failed to satisfy constraint: "
                "Member must not be null"
            ),
        ),
        (
            {"TableName": "", "Item": {}},
            (
                "1 validation error detected: Value '' at 'tableName' failed to satisfy constraint: "
                "Member must have length greater than or equal to 1"
            ),
        ),
        (
            {"TableName": "", "Item": {}, "ReturnValues": "INVALID"},
            (
                f"2 validation errors detected: Value 'INVALID' at 'returnValues' failed to satisfy constraint: "
                f"{RETURN_VALUES}; Value '' at 'tableName' failed to satisfy constraint: "
                "Member must have length greater than or equal to 1"
            ),
        ),
        (
            {"TableName": "a" * 256, "Item": {}},
            (
                f"1 validation error detected: Value '{'a' * 256}' at 'tableName' failed to satisfy constraint: "
                "Member must have length less than or equal to 255"
            ),
        ),
        (
            {"TableName": "bad table!@#", "Item": {}},
            (
                "1 validation error detected: Value 'bad table!@#' at 'tableName' failed to satisfy constraint: "
                f"{NAME_PATTERN}"
            ),
        ),
        (
            {
                **PUT,
                "ReturnConsumedCapacity": "INVALID",
                "ReturnItemCollectionMetrics": "INVALID",
                "ReturnValues": "INVALID",
            },
            (
                f"3 validation errors detected: Value 'INVALID' at 'returnValues' failed to satisfy constraint: "
                f"{RETURN_VALUES}; Value 'INVALID' at 'returnConsumedCapacity' failed to satisfy constraint: "
                f"{CONSUMED}; Value 'INVALID' at 'returnItemCollectionMetrics' failed to satisfy constraint: "
                "Member must satisfy enum value set: [SIZE, NONE]"
            ),
        ),
    ],
)
def test_put_item_in_the_words_of_the_service(request_: dict[str, Any], message: str) -> None:
    assert refusal("PutItem", request_) == message


def test_the_order_of_violations_differs_between_operations_as_it_does_in_the_service() -> None:
    bad = {**KEY, "ReturnValues": "X", "ReturnConsumedCapacity": "X"}
    assert refusal("DeleteItem", bad).index("returnValues") < refusal("DeleteItem", bad).index("returnConsumed")
    assert refusal("UpdateItem", bad).index("returnConsumed") < refusal("UpdateItem", bad).index("returnValues")


def test_a_batch_is_printed_as_java_prints_it() -> None:
    write = {"PutRequest": {"Item": {"pk": {"S": "bw"}}}}
    printed = (
        "WriteRequest(putRequest=PutRequest(item={pk=AttributeValue(s=bw, n=null, b=null, iNT=null, dECIMAL=null, "
        "dOUBLE=null, sS=null, nS=null, bS=null, iNTSET=null, dECIMALSET=null, dOUBLESET=null, m=null, l=null, "
        "nULL=null, bOOL=null)}, workloadProfileName=null), deleteRequest=null)"
    )
    assert refusal("BatchWriteItem", {"RequestItems": {"abc": [write] * 26}}) == (
        f"1 validation error detected: Value '{{abc=[{', '.join([printed] * 26)}]}}' at 'requestItems' failed to "
        "satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 25, "
        "Member must have length greater than or equal to 1]"
    )


def test_names_in_maps_are_checked() -> None:
    assert refusal("BatchGetItem", {"RequestItems": {"a;": {"Keys": [{}]}}}) == (
        "1 validation error detected: Value '{a;=KeysAndAttributes(keys=[{}], attributesToGet=null, "
        "consistentRead=null, projectionExpression=null, expressionAttributeNames=null)}' at 'requestItems' failed to "
        "satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 255, "
        f"Member must have length greater than or equal to 3, {NAME_PATTERN}]"
    )


def test_paths_name_lists_and_maps() -> None:
    message = refusal("BatchGetItem", {"RequestItems": {"abc": {"Keys": [{}] * 101}}})
    assert message.endswith(
        "at 'requestItems.abc.member.keys' failed to satisfy constraint: "
        "Member must have length less than or equal to 100"
    )
    schema = [{"AttributeName": "a", "KeyType": "INVALID"}]
    assert refusal("CreateTable", {**CREATE, "KeySchema": schema}) == (
        "1 validation error detected: Value 'INVALID' at 'keySchema.1.member.keyType' failed to satisfy constraint: "
        "Member must satisfy enum value set: [HASH, RANGE]"
    )


@pytest.mark.parametrize(
    ("operation", "name", "message"),
    [
        ("CreateTable", None, "The parameter 'TableName' is required but was not present in the request"),
        ("DescribeTable", None, "The parameter 'TableName' is required but was not present in the request"),
        (
            "CreateTable",
            "ab",
            (
                "1 validation error detected: Value 'ab' at 'tableName' failed to satisfy constraint: "
                "Member must have length greater than or equal to 3"
            ),
        ),
        (
            "DeleteTable",
            "ab",
            "TableName must be at least 3 characters long and at most 255 characters long",
        ),
        (
            "UpdateTable",
            "ab;d",
            "1 validation error detected: Value 'ab;d' at 'tableName' failed to satisfy constraint: " + NAME_PATTERN,
        ),
        (
            "DescribeTable",
            "arn:aws:dynamodb:us-east-1:123456789012:table/",
            "1 validation error detected: Value 'arn:aws:dynamodb:us-east-1:123456789012:table/' at 'tableName' "
            "failed to satisfy constraint: " + NAME_PATTERN,
        ),
    ],
)
def test_operations_on_tables_look_at_the_name_first(operation: str, name: str | None, message: str) -> None:
    request: dict[str, Any] = {"TableName": name, "BillingMode": "X", "KeySchema": []}
    assert refusal(operation, request) == message


def test_at_most_ten_violations_are_told() -> None:
    keys: list[dict[str, str]] = [{"AttributeName": "", "KeyType": "HASH"}] * 30
    message = refusal("CreateTable", {**CREATE, "KeySchema": keys})
    assert message.startswith("10 validation errors detected: ")
    assert message.count("'keySchema.") == 10


def test_lengths_count_utf_16_units() -> None:
    token = "\U0001f600" * 18
    items = [{"Put": PUT}]
    assert check_shape("TransactWriteItems", {"TransactItems": items, "ClientRequestToken": token})
    assert "less than or equal to 36" in refusal(
        "TransactWriteItems", {"TransactItems": items, "ClientRequestToken": token + "x"}
    )


def test_what_is_quoted_is_bounded() -> None:
    name = "!" * 2_000_000
    assert len(refusal("PutItem", {"TableName": name, "Item": {}})) < 200_000


def test_nulls_in_lists_and_maps_are_refused() -> None:
    assert "at 'keySchema.1.member' failed to satisfy constraint: Member must not be null" in refusal(
        "CreateTable", {**CREATE, "KeySchema": [None]}
    )
    assert "at 'expressionAttributeNames.#a.member'" in refusal(
        "GetItem", {**KEY, "ExpressionAttributeNames": {"#a": None}}
    )


def test_deep_values_neither_crash_nor_take_long() -> None:
    value: dict[str, Any] = {"S": "x"}
    for _ in range(500):
        value = {"L": [value]}
    request = {"TableName": "!", "Item": {"a": value}}
    assert "tableName" in refusal("PutItem", request)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    operation = draw(st.sampled_from(sorted(shape_model.REQUESTS)))
    members = sorted(shape_model.REQUESTS[operation].members)
    names = st.sampled_from(members) if members else st.text(max_size=3)
    return operation, draw(st.dictionaries(names, JSON, max_size=6))


@given(requests())
def test_whatever_is_sent_gets_an_answer_of_the_api(call: tuple[str, dict[str, Any]]) -> None:
    operation, request = call
    try:
        converted = check_shape(operation, request)
    except (SerializationException, ValidationException) as error:
        assert error.message  # noqa: PT017 - either outcome is fine
    else:
        assert check_shape(operation, converted) == converted


def test_the_quick_and_the_slow_way_agree() -> None:
    """What the compiled test accepts, the slow way accepts unchanged."""
    shape = shape_model.REQUESTS["PutItem"]
    assert convert_request(shape, PUT) == PUT
    assert violations(shape, PUT) == []


MANY = 300_000


def least_s(work: Callable[[], object]) -> float:
    """The least processor time of three tries, so that a collection of garbage in one of them counts for nothing."""

    def once() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return min(once() for _ in range(3))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("operation", "request_of", "said"),
    [
        ("TransactWriteItems", lambda: {"TransactItems": [{"Put": {}}] * MANY}, ("transactItems", 100)),
        ("TransactGetItems", lambda: {"TransactItems": [{}] * MANY}, ("transactItems", 100)),
        ("BatchGetItem", lambda: {"RequestItems": {f"t{at}": {} for at in range(MANY)}}, ("requestItems", 100)),
        (
            "BatchGetItem",
            lambda: {"RequestItems": {"abc": {"Keys": [{}] * MANY}}},
            ("requestItems.abc.member.keys", 100),
        ),
        ("BatchWriteItem", lambda: {"RequestItems": {"abc": [{}] * MANY}}, ("requestItems.abc.member", 25)),
        ("TagResource", lambda: {"ResourceArn": "arn", "Tags": [{}] * MANY}, ("tags", 10_000)),
        ("CreateTable", lambda: {"TableName": "abc", "KeySchema": [{}] * MANY}, ("keySchema", 10_000)),
        (
            "Query",
            lambda: {"TableName": "abc", "KeyConditions": {str(at): {} for at in range(MANY)}},
            ("keyConditions", 10_000),
        ),
        (
            "PutItem",
            lambda: PUT | {"ExpressionAttributeNames": {f"#{at}": "a" for at in range(MANY)}},
            ("expressionAttributeNames", 10_000),
        ),
        (
            "PutItem",
            lambda: PUT | {"ExpressionAttributeValues": {f":{at}": {"S": ""} for at in range(MANY)}},
            ("expressionAttributeValues", 10_000),
        ),
        ("GetItem", lambda: {"TableName": "abc", "Key": {str(at): {"S": ""} for at in range(MANY)}}, ("key", 10_000)),
    ],
)
def test_what_is_far_too_long_is_refused_without_looking_at_all_of_it(
    operation: str, request_of: Callable[[], dict[str, Any]], said: tuple[str, int]
) -> None:
    # Made when it is its turn, and not in every process that collects tests.
    request = request_of()
    message = refusal(operation, request)
    where, most = said
    assert message.startswith("1 validation error detected: Value '")
    assert message.endswith(
        f" at '{where}' failed to satisfy constraint: Member must have length less than or equal to {most}"
    )
    assert len(message) < 70_000
    # To look at every element takes Python itself ten times as long.
    assert least_s(lambda: refusal(operation, request)) < least_s(lambda: repr(request))


def test_what_is_wrong_at_the_beginning_of_something_far_too_long_is_said_first() -> None:
    said = conversion_error("TransactWriteItems", {"TransactItems": [{"Put": {"TableName": 1}}] * MANY})
    assert said == "NUMBER_VALUE cannot be converted to String"


def test_what_is_a_little_too_long_is_looked_at_and_printed_as_far_as_it_is_quoted() -> None:
    key = {"a": {"S": "x" * 1_000}}
    said = refusal("BatchGetItem", {"RequestItems": {"abc": {"Keys": [key] * 150}}, "ReturnConsumedCapacity": "X"})
    assert said.startswith("2 validation errors detected: Value 'X' at 'returnConsumedCapacity'")
    assert said.endswith("Member must have length less than or equal to 100")
    assert len(said) < 70_000


@pytest.mark.parametrize(
    ("text", "units"), [("", 0), ("abc", 3), ("\xe9", 1), ("\u20ac", 1), ("a\U0001f600", 3), ("\ud800", 1)]
)
def test_lengths_count_the_units_of_utf_16(text: str, units: int) -> None:
    assert utf16_length(text) == units
