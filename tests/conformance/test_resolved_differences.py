"""What the differential test once found Tenet to answer otherwise than the service, each with the right answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.conformance.differential.schemas import INDEXED
from tests.conformance.differential.targets import Target
from tests.servers import Server

Json = dict[str, Any]
KEY = {"p": {"S": "a"}, "r": {"S": "b"}}
ITEM = KEY | {"g": {"S": "g"}, "h": {"N": "1"}, "k": {"B": b"k"}, "s": {"S": "s"}, "t": {"S": "t"}}
NOT_VALID = "One or more parameter values are not valid. "
EMPTY = "The AttributeValue for a key attribute cannot contain an empty string value."


@pytest.fixture(scope="module")
def client(server: Server) -> Any:
    """A client that sends whatever it is given."""
    return server.client(config=Config(parameter_validation=False))


@pytest.fixture(scope="module")
def table(client: Any, fresh_name: Callable[[str], str]) -> str:
    """A table with every kind of index, and one item."""
    name = fresh_name("indexed")
    client.create_table(**INDEXED.create_request() | {"TableName": name})
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    client.put_item(TableName=name, Item=ITEM)
    return name


def refusal(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    """Code and text of the error that a call ends with."""
    with pytest.raises(ClientError) as failure:
        call(**request)
    error = failure.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_text_may_be_condition_and_key_condition(client: Any, table: str) -> None:
    values = {":p": {"S": "a"}}
    query = {"TableName": table, "KeyConditionExpression": "p = :p", "ExpressionAttributeValues": values}
    assert client.query(**query)["Count"] == 1
    put = {"TableName": table, "Item": ITEM, "ConditionExpression": "p = :p", "ExpressionAttributeValues": values}
    client.put_item(**put)
    assert client.query(**query)["Count"] == 1


def test_a_query_does_not_filter_by_what_its_index_lacks(client: Any, table: str) -> None:
    for index, condition, value in (("local-keys", "p = :p", KEY["p"]), ("global-keys", "k = :p", ITEM["k"])):
        code, text = refusal(
            client.query,
            TableName=table,
            IndexName=index,
            KeyConditionExpression=condition,
            FilterExpression="t = :t",
            ExpressionAttributeValues={":p": value, ":t": ITEM["t"]},
        )
        assert code == "ValidationException"
        assert text == (
            f"One or more parameter values were invalid: Secondary index {index} does not project one or more filter "
            "attributes: [t]"
        )


def test_a_scan_finds_nothing_by_what_its_index_lacks(client: Any, table: str) -> None:
    scan = {"TableName": table, "FilterExpression": "t = :t", "ExpressionAttributeValues": {":t": ITEM["t"]}}
    assert client.scan(**scan)["Count"] == 1
    for index in ("local-keys", "global-keys"):
        page = client.scan(**scan, IndexName=index)
        assert (page["Count"], page["ScannedCount"]) == (0, 1)
    all_of_it = client.scan(**scan, IndexName="local-keys", Select="ALL_ATTRIBUTES")
    assert all_of_it["Items"] == [ITEM]


def test_a_get_has_no_values_to_leave_unused(server: Server, table: str) -> None:
    target = Target.of_server(server)
    get = {"TableName": table, "Key": KEY, "ProjectionExpression": "t", "ExpressionAttributeValues": {":v": {"S": "a"}}}
    assert target.call("GetItem", get).body == {"Item": {"t": ITEM["t"]}}
    together = target.call("TransactGetItems", {"TransactItems": [{"Get": get}]})
    assert together.body == {"Responses": [{"Item": {"t": ITEM["t"]}}]}
    target.close()


@pytest.mark.parametrize("value", [{"N": "1"}, {"BOOL": True}, {"L": [{"S": "a"}]}])
def test_a_batch_words_keys_of_another_type_in_its_own_way(client: Any, table: str, value: Json) -> None:
    put = {"PutRequest": {"Item": ITEM | {"r": value}}}
    code, text = refusal(client.batch_write_item, RequestItems={table: [put]})
    assert (code, text) == ("ValidationException", "The provided key element does not match the schema")


@pytest.mark.parametrize("action", ["Put", "Update", "Delete", "ConditionCheck"])
def test_an_empty_key_refuses_the_whole_transaction(client: Any, table: str, action: str) -> None:
    empty = {"r": {"S": ""}}
    body: Json = {"TableName": table} | ({"Item": ITEM | empty} if action == "Put" else {"Key": KEY | empty})
    if action == "Update":
        body["UpdateExpression"] = "REMOVE t"
    if action == "ConditionCheck":
        body["ConditionExpression"] = "attribute_exists(p)"
    code, text = refusal(client.transact_write_items, TransactItems=[{action: body}])
    assert (code, text) == ("ValidationException", f"{NOT_VALID}{EMPTY} Key: r")


def test_an_empty_key_refuses_a_reading_transaction(client: Any, table: str) -> None:
    get = {"Get": {"TableName": table, "Key": KEY | {"r": {"S": ""}}}}
    code, text = refusal(client.transact_get_items, TransactItems=[get])
    assert (code, text) == ("ValidationException", f"{NOT_VALID}{EMPTY} Key: r")


def test_an_update_words_empty_keys_of_indexes_in_its_own_way(client: Any, table: str) -> None:
    update = {
        "TableName": table,
        "Key": KEY,
        "UpdateExpression": "SET g = :empty",
        "ExpressionAttributeValues": {":empty": {"S": ""}},
    }
    text = (
        f"{NOT_VALID}The update expression attempted to update a secondary index key to a value that is not "
        f"supported. {EMPTY}"
    )
    assert refusal(client.update_item, **update) == ("ValidationException", text)
    assert refusal(client.transact_write_items, TransactItems=[{"Update": update}]) == ("ValidationException", text)
    put_text = f"{NOT_VALID}A value specified for a secondary index key is not supported. {EMPTY}"
    code, text = refusal(client.put_item, TableName=table, Item=ITEM | {"g": {"S": ""}})
    assert (code, text) == ("ValidationException", f"{put_text} IndexName: global-all, IndexKey: g")


def test_no_path_leads_into_a_key(client: Any, table: str) -> None:
    get = {"TableName": table, "Key": KEY | {"r": {"S": "absent"}}, "ProjectionExpression": "p.a"}
    update = {"TableName": table, "Key": KEY, "ExpressionAttributeValues": {":n": {"N": "1"}}}
    for expression in ("SET g.a = :n", "ADD g.a :n", "SET x = if_not_exists(g.a, :n)"):
        code, text = refusal(client.update_item, **update, UpdateExpression=expression)
        assert (code, text.rpartition(" ")[2]) == ("ValidationException", "g")
        assert text.startswith("Key attributes must be scalars")
    wanted = {"Keys": [get["Key"]], "ProjectionExpression": "p.a"}
    text = "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: p"
    assert refusal(client.get_item, **get)[1] == text
    assert refusal(client.transact_get_items, TransactItems=[{"Get": get}])[1] == text
    assert refusal(client.batch_get_item, RequestItems={table: wanted})[1] == text


def test_a_scan_goes_on_only_in_the_segment_in_which_it_ended(client: Any, fresh_name: Callable[[str], str]) -> None:
    name = fresh_name("segments")
    keys = [{"AttributeName": "p", "KeyType": "HASH"}]
    attributes = [{"AttributeName": "p", "AttributeType": "S"}]
    client.create_table(TableName=name, KeySchema=keys, AttributeDefinitions=attributes, BillingMode="PAY_PER_REQUEST")
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    for number in range(20):
        client.put_item(TableName=name, Item={"p": {"S": str(number)}})
    for segment in range(3):
        page = client.scan(TableName=name, Segment=segment, TotalSegments=3, Limit=1)
        behind = page["LastEvaluatedKey"]
        assert client.scan(TableName=name, Segment=segment, TotalSegments=3, ExclusiveStartKey=behind)["Count"] > 0
        assert client.scan(TableName=name, ExclusiveStartKey=behind)["Count"] > 0
        code, text = refusal(
            client.scan, TableName=name, Segment=(segment + 1) % 3, TotalSegments=3, ExclusiveStartKey=behind
        )
        assert code == "ValidationException"
        assert text == (
            "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct"
            f" Segment. TotalSegments: 3 Segment: {(segment + 1) % 3}"
        )


def test_too_many_digits_are_told_after_all_else(client: Any, table: str) -> None:
    update: Json = {
        "TableName": table,
        "Key": KEY,
        "UpdateExpression": "SET x = :big + :one, y = absent",
        "ExpressionAttributeValues": {":big": {"N": "1" + "0" * 50}, ":one": {"N": "1"}},
    }
    text = "The provided expression refers to an attribute that does not exist in the item"
    assert refusal(client.update_item, **update) == ("ValidationException", text)
    update["UpdateExpression"] = "SET x = :big + :one"
    with pytest.raises(ClientError) as failure:
        client.transact_write_items(TransactItems=[{"Update": update}])
    (reason,) = failure.value.response["CancellationReasons"]
    assert reason["Code"] == "ValidationError"
    assert reason["Message"].startswith("Number overflow.")


def test_two_conditions_on_a_key_of_one_attribute(client: Any, table: str) -> None:
    code, text = refusal(
        client.query,
        TableName=table,
        IndexName="global-all",
        KeyConditionExpression="h = :h AND k = :k",
        ExpressionAttributeValues={":h": ITEM["h"], ":k": ITEM["k"]},
    )
    assert (code, text) == ("ValidationException", "Query key condition not supported")


def test_a_filter_is_looked_at_before_the_key_condition(client: Any, table: str) -> None:
    for condition in ("p[0] = :p", "p = :p AND", "p <> :p"):
        code, text = refusal(
            client.query,
            TableName=table,
            KeyConditionExpression=condition,
            FilterExpression="size(t) BETWEEN :p AND",
            ExpressionAttributeValues={":p": {"S": "a"}},
        )
        assert (code, text[:25]) == ("ValidationException", "Invalid FilterExpression:")


def test_the_length_of_a_key_comes_before_capacity(client: Any) -> None:
    keys = [{"AttributeName": name, "KeyType": "RANGE" if name > "a" else "HASH"} for name in "abc"]
    attributes = [{"AttributeName": name, "AttributeType": "S"} for name in "abc"]
    code, text = refusal(client.create_table, TableName="abc", KeySchema=keys, AttributeDefinitions=attributes)
    assert code == "ValidationException"
    assert text.endswith("at 'keySchema' failed to satisfy constraint: Member must have length less than or equal to 2")


def test_a_global_index_with_two_partition_attributes(client: Any, fresh_name: Callable[[str], str]) -> None:
    name = fresh_name("several")
    index = {
        "IndexName": "both",
        "KeySchema": [{"AttributeName": attribute, "KeyType": "HASH"} for attribute in "ab"],
        "Projection": {"ProjectionType": "ALL"},
    }
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "a", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": attribute, "AttributeType": "S"} for attribute in "ab"],
        GlobalSecondaryIndexes=[index],
        BillingMode="PAY_PER_REQUEST",
    )
    client.get_waiter("table_exists").wait(TableName=name)
    item = {"a": {"S": "x"}, "b": {"S": "y"}}
    client.put_item(TableName=name, Item=item)
    request: Json = {
        "TableName": name,
        "IndexName": "both",
        "KeyConditionExpression": "a = :a AND b = :b",
        "ExpressionAttributeValues": {":a": {"S": "x"}, ":b": {"S": "y"}},
    }
    assert client.query(**request)["Items"] == [item]
    told = "HASH key attributes b must have equality conditions specified in the query"
    request["KeyConditionExpression"] = "a = :a AND b > :b"
    assert refusal(client.query, **request) == ("ValidationException", told)
    client.delete_table(TableName=name)


def put_of(table: str, item: Json, **more: Any) -> Json:
    return {"Put": {"TableName": table, "Item": item, **more}}


@pytest.mark.parametrize(
    "actions",
    [
        lambda table: [put_of(table, ITEM), put_of(table, ITEM)],
        lambda table: [put_of(table, {"s": {"S": "no key"}})],
        lambda table: [put_of(table, {"p": {"S": ""}, "r": {"S": "b"}})],
        lambda _table: [put_of("no-such-table", ITEM)],
    ],
    ids=["an item twice", "no key", "an empty key", "no table"],
)
def test_a_token_is_looked_up_before_keys_and_tables(
    client: Any, table: str, fresh_name: Callable[[str], str], actions: Callable[[str], list[Json]]
) -> None:
    token = fresh_name("token")[-36:]
    client.transact_write_items(TransactItems=[put_of(table, ITEM)], ClientRequestToken=token)
    code, _ = refusal(client.transact_write_items, TransactItems=actions(table), ClientRequestToken=token)
    assert code == "IdempotentParameterMismatchException"


def test_expressions_are_checked_before_a_token(client: Any, table: str, fresh_name: Callable[[str], str]) -> None:
    token = fresh_name("token")[-36:]
    client.transact_write_items(TransactItems=[put_of(table, ITEM)], ClientRequestToken=token)
    wrong = put_of(table, ITEM, ConditionExpression="a =")
    code, text = refusal(client.transact_write_items, TransactItems=[wrong], ClientRequestToken=token)
    assert code == "ValidationException"
    assert text.startswith("Invalid ConditionExpression: Syntax error")


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("PutItem", {"Item": {"p": {"S": "a"}}, "ExpressionAttributeValues": {":v": {"S": 1}}}),
        ("DeleteItem", {"Key": {"p": {"S": "a"}}, "ExpressionAttributeValues": {":v": "a"}}),
        ("UpdateItem", {"Key": {"p": {}, "r": {"S": 1}}}),
        ("Query", {"ExclusiveStartKey": {"p": {"S": 1}}}),
    ],
)
def test_wrong_json_types_come_before_all_else(server: Server, table: str, operation: str, request_: Json) -> None:
    target = Target.of_server(server)
    assert target.call(operation, {"TableName": table} | request_).code == "SerializationException"
    target.close()


@pytest.mark.parametrize(("values", "is_taken"), [({}, True), ({":v": {"S": "a"}}, True), ({":v": {}}, False)])
def test_a_put_in_a_transaction_has_values_without_a_condition(
    client: Any, table: str, values: Json, is_taken: bool
) -> None:
    put = {"Put": {"TableName": table, "Item": ITEM, "ExpressionAttributeValues": values}}
    if is_taken:
        client.transact_write_items(TransactItems=[put])
    else:
        assert refusal(client.transact_write_items, TransactItems=[put])[0] == "ValidationException"


def test_of_a_batch_the_first_fault_is_told(client: Any, table: str) -> None:
    twice, wrong = {"PutRequest": {"Item": ITEM}}, {"PutRequest": {"Item": {"t": {"S": "a"}}}}
    for batch, message in (
        ([twice, twice, wrong], "Provided list of item keys contains duplicates"),
        ([twice, wrong, twice], "The provided key element does not match the schema"),
    ):
        assert refusal(client.batch_write_item, RequestItems={table: batch}) == ("ValidationException", message)


def test_what_a_query_does_not_use_is_told_before_its_key_condition(client: Any, table: str) -> None:
    query = {"TableName": table, "KeyConditionExpression": "p <> :p", "ExpressionAttributeValues": {":p": {"S": "a"}}}
    assert refusal(client.query, **query)[1] == "Invalid operator used in KeyConditionExpression: <>"
    query["ExpressionAttributeNames"] = {"#unused": "a"}
    assert refusal(client.query, **query)[1].startswith("Value provided in ExpressionAttributeNames unused")


def test_what_an_update_cannot_add_is_told_first(client: Any, table: str) -> None:
    code, text = refusal(
        client.update_item,
        TableName=table,
        Key=KEY,
        UpdateExpression="SET x = absent REMOVE y.z ADD t :n",
        ExpressionAttributeValues={":n": {"N": "1"}},
    )
    assert (code, text) == ("ValidationException", "An operand in the update expression has an incorrect data type")
