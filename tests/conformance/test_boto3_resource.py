"""The resource layer of boto3: Table objects, native Python values, condition builders, the batch writer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Attr, Key
from boto3.dynamodb.types import Binary
from botocore.exceptions import ClientError

from tests.servers import Server


@pytest.fixture(scope="module")
def dynamodb(server: Server) -> Any:
    exports = server.exports
    return boto3.resource(
        "dynamodb",
        endpoint_url=server.endpoint,
        verify=exports["AWS_CA_BUNDLE"],
        region_name=exports["AWS_DEFAULT_REGION"],
        aws_access_key_id=exports["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=exports["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.fixture
def readings(dynamodb: Any, fresh_name: Callable[[str], str]) -> Iterator[Any]:
    """A table of sensors' readings, with provisioned capacity and an index by room."""
    capacity = {"ReadCapacityUnits": 1_000, "WriteCapacityUnits": 1_000}
    table = dynamodb.create_table(
        TableName=fresh_name("readings"),
        AttributeDefinitions=[
            {"AttributeName": "sensor", "AttributeType": "S"},
            {"AttributeName": "at", "AttributeType": "N"},
            {"AttributeName": "room", "AttributeType": "S"},
        ],
        KeySchema=[{"AttributeName": "sensor", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}],
        ProvisionedThroughput=capacity,
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-room",
                "KeySchema": [{"AttributeName": "room", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
                "ProvisionedThroughput": capacity,
            }
        ],
    )
    table.wait_until_exists()
    yield table
    table.delete()
    table.wait_until_not_exists()


def test_table_object_knows_its_table(readings: Any) -> None:
    readings.reload()
    assert readings.table_status == "ACTIVE"
    assert readings.key_schema[1] == {"AttributeName": "at", "KeyType": "RANGE"}
    assert readings.provisioned_throughput["ReadCapacityUnits"] == 1_000
    assert readings.item_count == 0


def test_native_values_go_round(readings: Any) -> None:
    item = {
        "sensor": "s1",
        "at": Decimal(1),
        "value": Decimal("21.123456789012345678901234567890123456"),
        "labels": {"indoor", "new"},
        "levels": {Decimal(1), Decimal("2.5")},
        "raw": Binary(b"\x01\x02"),
        "nested": {"list": [True, None, "text", Decimal(-7)], "empty": {}},
    }
    readings.put_item(Item=item)
    assert readings.get_item(Key={"sensor": "s1", "at": 1})["Item"] == item


def test_batch_writer_flushes_and_dedupes(readings: Any) -> None:
    with readings.batch_writer(overwrite_by_pkeys=["sensor", "at"]) as batch:
        for number in range(120):
            batch.put_item(Item={"sensor": f"s{number % 3}", "at": number % 60, "value": number, "room": "hall"})
        batch.delete_item(Key={"sensor": "s0", "at": 0})
    assert readings.scan(Select="COUNT")["Count"] == 59


def test_condition_builders(readings: Any) -> None:
    with readings.batch_writer() as batch:
        for at in range(20):
            batch.put_item(Item={"sensor": "s1", "at": at, "value": at * at, "room": "hall" if at % 2 else "attic"})
    found = readings.query(
        KeyConditionExpression=Key("sensor").eq("s1") & Key("at").between(3, 12),
        FilterExpression=Attr("value").gt(20) & ~Attr("room").begins_with("at") | Attr("value").is_in([16, 36]),
        ProjectionExpression="#at, #value",
        ExpressionAttributeNames={"#at": "at", "#value": "value"},
    )
    assert [item["at"] for item in found["Items"]] == [4, 5, 6, 7, 9, 11]
    assert set(found["Items"][0]) == {"at", "value"}
    in_attic = readings.query(IndexName="by-room", KeyConditionExpression=Key("room").eq("attic"))
    assert sorted(item["at"] for item in in_attic["Items"]) == list(range(0, 20, 2))
    some = readings.scan(
        FilterExpression=Attr("value").attribute_type("N") & Attr("value").lt(2) & Attr("sensor").exists()
    )
    assert some["Count"] == 2


def test_counters_and_conditions(readings: Any) -> None:
    key = {"sensor": "s1", "at": 1}
    answers = [
        readings.update_item(
            Key=key,
            UpdateExpression="ADD hits :one SET seen = list_append(if_not_exists(seen, :none), :now)",
            ExpressionAttributeValues={":one": 1, ":none": [], ":now": ["now"]},
            ReturnValues="ALL_NEW",
        )
        for _ in range(3)
    ]
    assert [answer["Attributes"]["hits"] for answer in answers] == [1, 2, 3]
    assert answers[-1]["Attributes"]["seen"] == ["now"] * 3
    readings.put_item(Item=key | {"hits": 0}, ConditionExpression=Attr("hits").eq(3))
    with pytest.raises(ClientError) as failure:
        readings.delete_item(Key=key, ConditionExpression=Attr("hits").ne(0) | Attr("seen").exists())
    assert failure.value.response["Error"]["Code"] == "ConditionalCheckFailedException"


def test_resource_finds_tables_and_reads_batches(dynamodb: Any, readings: Any) -> None:
    assert readings.name in [table.name for table in dynamodb.tables.all()]
    readings.put_item(Item={"sensor": "s1", "at": 1, "value": Decimal("0.5")})
    answer = dynamodb.batch_get_item(RequestItems={readings.name: {"Keys": [{"sensor": "s1", "at": 1}]}})
    assert answer["Responses"][readings.name][0]["value"] == Decimal("0.5")
    changed = readings.update(ProvisionedThroughput={"ReadCapacityUnits": 1_100, "WriteCapacityUnits": 1_000})
    assert changed.name == readings.name
