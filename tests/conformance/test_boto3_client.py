"""The low-level client of boto3: waiters, paginators, typed exceptions, transactions, as its users write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, SSLError

from tests.servers import Server

Json = dict[str, Any]


@pytest.fixture(scope="module")
def client(server: Server) -> Any:
    return server.client()


def definitions(**types: str) -> list[Json]:
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()]


def schema(*names: str) -> list[Json]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"), strict=False)]


@pytest.fixture
def orders(client: Any, fresh_name: Callable[[str], str]) -> Iterator[str]:
    """A table of customers' orders with an index by status and one by amount."""
    name = fresh_name("orders")
    client.create_table(
        TableName=name,
        AttributeDefinitions=definitions(customer="S", placed="S", status="S", amount="N"),
        KeySchema=schema("customer", "placed"),
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-status",
                "KeySchema": schema("status", "placed"),
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["amount"]},
            }
        ],
        LocalSecondaryIndexes=[
            {
                "IndexName": "by-amount",
                "KeySchema": schema("customer", "amount"),
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 10})
    yield name
    client.delete_table(TableName=name)
    client.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 10})


def order(customer: str, day: int, *, status: str = "open") -> Json:
    return {
        "customer": {"S": customer},
        "placed": {"S": f"2026-03-{day:02}"},
        "status": {"S": status},
        "amount": {"N": str(day * 10)},
        "lines": {"L": [{"M": {"sku": {"S": f"sku-{day}"}, "count": {"N": "1"}}}]},
    }


def fill(client: Any, table: str, customer: str, days: range) -> None:
    requests = [{"PutRequest": {"Item": order(customer, day)}} for day in days]
    for first in range(0, len(requests), 25):
        answer = client.batch_write_item(RequestItems={table: requests[first : first + 25]})
        assert answer["UnprocessedItems"] == {}


def test_table_describes_itself(client: Any, orders: str) -> None:
    table = client.describe_table(TableName=orders)["Table"]
    assert table["TableStatus"] == "ACTIVE"
    assert table["TableArn"].endswith(f":000000000000:table/{orders}")
    assert {index["IndexName"]: index["IndexStatus"] for index in table["GlobalSecondaryIndexes"]} == {
        "by-status": "ACTIVE"
    }
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    pages = client.get_paginator("list_tables").paginate(PaginationConfig={"PageSize": 1})
    assert orders in [name for page in pages for name in page["TableNames"]]


def test_item_goes_round(client: Any, orders: str) -> None:
    item = order("ada", 1) | {
        "note": {"S": "größer 😀"},
        "scan": {"B": b"\x00\xff"},
        "tags": {"SS": ["a", "b"]},
        "sizes": {"NS": ["1", "2.5"]},
        "parts": {"BS": [b"x"]},
        "gift": {"BOOL": True},
        "coupon": {"NULL": True},
        "weight": {"N": "12345678901234567890123456789012345678"},
    }
    assert client.put_item(TableName=orders, Item=item)["ResponseMetadata"]["HTTPStatusCode"] == 200
    key = {"customer": {"S": "ada"}, "placed": {"S": "2026-03-01"}}
    answer = client.get_item(TableName=orders, Key=key, ConsistentRead=True, ReturnConsumedCapacity="TOTAL")
    assert answer["Item"] == item
    assert answer["ConsumedCapacity"] == {"TableName": orders, "CapacityUnits": 1.0}
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert len(answer["ResponseMetadata"]["RequestId"]) == 52
    assert headers["x-amz-crc32"].isdigit()
    old = client.delete_item(TableName=orders, Key=key, ReturnValues="ALL_OLD")["Attributes"]
    assert old == item
    assert "Item" not in client.get_item(TableName=orders, Key=key)


def test_conditions_raise_their_own_exceptions(client: Any, orders: str) -> None:
    item = order("ada", 1)
    new = {"ConditionExpression": "attribute_not_exists(customer)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    client.put_item(TableName=orders, Item=item, **new)
    with pytest.raises(client.exceptions.ConditionalCheckFailedException) as failure:
        client.put_item(TableName=orders, Item=item, **new)
    assert failure.value.response["Item"] == item
    assert failure.value.response["Error"] == {
        "Code": "ConditionalCheckFailedException",
        "Message": "The conditional request failed",
    }
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="Requested resource not found"):
        client.get_item(TableName="no-such-table", Key={"customer": {"S": "ada"}})
    with pytest.raises(client.exceptions.ResourceInUseException):
        client.create_table(
            TableName=orders,
            AttributeDefinitions=definitions(customer="S"),
            KeySchema=schema("customer"),
            BillingMode="PAY_PER_REQUEST",
        )
    with pytest.raises(ClientError, match="The provided key element does not match the schema"):
        client.get_item(TableName=orders, Key={"customer": {"S": "ada"}})


def test_update_returns_what_it_touched(client: Any, orders: str) -> None:
    client.put_item(TableName=orders, Item=order("ada", 1))
    answer = client.update_item(
        TableName=orders,
        Key={"customer": {"S": "ada"}, "placed": {"S": "2026-03-01"}},
        UpdateExpression="SET #lines[0].#count = #lines[0].#count + :more, paid = :now REMOVE amount",
        ConditionExpression="#status = :open AND size(#lines) = :one",
        ExpressionAttributeNames={"#lines": "lines", "#count": "count", "#status": "status"},
        ExpressionAttributeValues={
            ":more": {"N": "2"},
            ":now": {"S": "2026-03-02"},
            ":open": {"S": "open"},
            ":one": {"N": "1"},
        },
        ReturnValues="UPDATED_NEW",
    )
    assert answer["Attributes"] == {"paid": {"S": "2026-03-02"}, "lines": {"L": [{"M": {"count": {"N": "3"}}}]}}


def test_query_pages_through_table_and_indexes(client: Any, orders: str) -> None:
    fill(client, orders, "ada", range(1, 29))
    fill(client, orders, "bob", range(1, 6))
    query = client.get_paginator("query")
    key = {
        "KeyConditionExpression": "customer = :customer",
        "ExpressionAttributeValues": {":customer": {"S": "ada"}},
        "TableName": orders,
    }
    pages = list(query.paginate(**key, PaginationConfig={"PageSize": 10}))
    assert [page["Count"] for page in pages] == [10, 10, 8]
    assert [item["placed"]["S"] for page in pages for item in page["Items"]] == [
        f"2026-03-{day:02}" for day in range(1, 29)
    ]
    backward = query.paginate(**key, ScanIndexForward=False, PaginationConfig={"MaxItems": 3, "PageSize": 2})
    assert [item["placed"]["S"][-2:] for item in backward.search("Items")] == ["28", "27", "26"]
    dear = client.query(
        TableName=orders,
        IndexName="by-amount",
        KeyConditionExpression="customer = :customer AND amount BETWEEN :low AND :high",
        ExpressionAttributeValues={":customer": {"S": "ada"}, ":low": {"N": "95"}, ":high": {"N": "120"}},
        ConsistentRead=True,
    )
    assert [item["amount"]["N"] for item in dear["Items"]] == ["100", "110", "120"]
    early = client.query(
        TableName=orders,
        IndexName="by-status",
        KeyConditionExpression="#status = :open AND placed < :day",
        FilterExpression="amount <> :ten",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":open": {"S": "open"}, ":day": {"S": "2026-03-03"}, ":ten": {"N": "10"}},
    )
    assert (early["Count"], early["ScannedCount"]) == (2, 4)
    assert all(set(item) == {"customer", "placed", "status", "amount"} for item in early["Items"])


def test_parallel_scan_reads_everything_once(client: Any, orders: str) -> None:
    fill(client, orders, "ada", range(1, 29))
    fill(client, orders, "bob", range(1, 29))
    found: list[tuple[str, str]] = []
    for segment in range(4):
        pages = client.get_paginator("scan").paginate(
            TableName=orders, Segment=segment, TotalSegments=4, PaginationConfig={"PageSize": 5}
        )
        found += [(item["customer"]["S"], item["placed"]["S"]) for item in pages.search("Items")]
    assert len(found) == len(set(found)) == 56
    assert client.scan(TableName=orders, Select="COUNT")["Count"] == 56


def test_batches(client: Any, orders: str) -> None:
    fill(client, orders, "ada", range(1, 11))
    keys = [{"customer": {"S": "ada"}, "placed": {"S": f"2026-03-{day:02}"}} for day in (1, 5, 30)]
    answer = client.batch_get_item(RequestItems={orders: {"Keys": keys, "ProjectionExpression": "amount"}})
    assert sorted(item["amount"]["N"] for item in answer["Responses"][orders]) == ["10", "50"]
    assert answer["UnprocessedKeys"] == {}
    with pytest.raises(ClientError, match="Provided list of item keys contains duplicates"):
        client.batch_get_item(RequestItems={orders: {"Keys": [keys[0], keys[0]]}})


def transfer(table: str, amount: str) -> list[Json]:
    """Takes an amount from one order and adds it to another, as long as it is there."""
    keys = [{"customer": {"S": name}, "placed": {"S": "2026-03-05"}} for name in ("ada", "bob")]
    values = {":amount": {"N": amount}}
    return [
        {
            "Update": {
                "TableName": table,
                "Key": keys[0],
                "UpdateExpression": "SET amount = amount - :amount",
                "ConditionExpression": "amount >= :amount",
                "ExpressionAttributeValues": values,
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        },
        {
            "Update": {
                "TableName": table,
                "Key": keys[1],
                "UpdateExpression": "SET amount = amount + :amount",
                "ExpressionAttributeValues": values,
            }
        },
    ]


def amounts(client: Any, table: str) -> list[str]:
    gets = [{"Get": {"TableName": table, "Key": one["Update"]["Key"]}} for one in transfer(table, "0")]
    return [one["Item"]["amount"]["N"] for one in client.transact_get_items(TransactItems=gets)["Responses"]]


def test_transactions_are_all_or_nothing_and_once_by_token(client: Any, orders: str) -> None:
    for customer in ("ada", "bob"):
        client.put_item(TableName=orders, Item=order(customer, 5))
    for _ in range(2):
        client.transact_write_items(TransactItems=transfer(orders, "20"), ClientRequestToken="transfer-of-20")
    assert amounts(client, orders) == ["30", "70"]
    with pytest.raises(client.exceptions.IdempotentParameterMismatchException):
        client.transact_write_items(TransactItems=transfer(orders, "21"), ClientRequestToken="transfer-of-20")
    with pytest.raises(client.exceptions.TransactionCanceledException) as failure:
        client.transact_write_items(TransactItems=transfer(orders, "31"))
    reasons = failure.value.response["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["ConditionalCheckFailed", "None"]
    assert reasons[0]["Item"]["amount"] == {"N": "30"}
    assert amounts(client, orders) == ["30", "70"]


def test_transactions_delete_without_a_look(client: Any, orders: str, fresh_name: Callable[[str], str]) -> None:
    plain = fresh_name("plain")
    client.create_table(
        TableName=plain,
        AttributeDefinitions=definitions(customer="S"),
        KeySchema=schema("customer"),
        BillingMode="PAY_PER_REQUEST",
    )
    client.get_waiter("table_exists").wait(TableName=plain, WaiterConfig={"Delay": 1, "MaxAttempts": 10})
    client.put_item(TableName=plain, Item={"customer": {"S": "ada"}})
    client.put_item(TableName=orders, Item=order("ada", 5))
    deletes = [
        {"Delete": {"TableName": plain, "Key": {"customer": {"S": "ada"}}}},
        {"Delete": {"TableName": orders, "Key": {"customer": {"S": "ada"}, "placed": {"S": "2026-03-05"}}}},
    ]
    client.transact_write_items(TransactItems=deletes)
    assert [client.scan(TableName=table)["Count"] for table in (plain, orders)] == [0, 0]


def test_tags_and_protection(client: Any, orders: str) -> None:
    arn = client.describe_table(TableName=orders)["Table"]["TableArn"]
    client.tag_resource(ResourceArn=arn, Tags=[{"Key": "team", "Value": "sales"}, {"Key": "cost", "Value": "7"}])
    client.untag_resource(ResourceArn=arn, TagKeys=["cost"])
    pages = client.get_paginator("list_tags_of_resource").paginate(ResourceArn=arn)
    assert list(pages.search("Tags")) == [{"Key": "team", "Value": "sales"}]
    client.update_table(TableName=orders, DeletionProtectionEnabled=True)
    with pytest.raises(ClientError, match="protected against deletion"):
        client.delete_table(TableName=orders)
    client.update_table(TableName=orders, DeletionProtectionEnabled=False)


def test_who_may_not_call_is_told_why(server: Server, client: Any) -> None:
    with pytest.raises(ClientError) as wrong_secret:
        server.client(secret_access_key="x" * 40).list_tables()
    assert wrong_secret.value.response["Error"]["Code"] == "InvalidSignatureException"
    with pytest.raises(ClientError) as wrong_key:
        server.client(access_key_id="AKIAIOSFODNN7EXAMPLE").list_tables()
    assert wrong_key.value.response["Error"]["Code"] == "UnrecognizedClientException"


def test_certificate_is_checked(server: Server) -> None:
    import boto3

    stranger = boto3.client(
        "dynamodb",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=server.exports["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=server.exports["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(SSLError):
        stranger.list_tables()


def test_what_is_not_available_says_so(client: Any, orders: str) -> None:
    with pytest.raises(ClientError, match="ListBackups is not available in this version of Tenet"):
        client.list_backups(TableName=orders)
