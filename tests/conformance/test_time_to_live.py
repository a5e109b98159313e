"""Time to live as users of boto3 have it: switched on once, and what is expired goes while they look."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Key
from botocore.exceptions import ClientError

from tests.servers import Server

GONE_S_MAX = 30.0


@pytest.fixture
def sessions(server: Server, fresh_name: Callable[[str], str]) -> Iterator[Any]:
    """A table of sessions, with an index by user, whose items expire by the attribute `expires`."""
    client = server.client()
    name = fresh_name("sessions")
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": one, "AttributeType": "S"} for one in ("id", "user")],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-user",
                "KeySchema": [{"AttributeName": "user", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 10})
    specification = {"Enabled": True, "AttributeName": "expires"}
    told = client.update_time_to_live(TableName=name, TimeToLiveSpecification=specification)
    assert told["TimeToLiveSpecification"] == specification
    exports = server.exports
    resource = boto3.resource(
        "dynamodb",
        endpoint_url=server.endpoint,
        verify=exports["AWS_CA_BUNDLE"],
        region_name=exports["AWS_DEFAULT_REGION"],
        aws_access_key_id=exports["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=exports["AWS_SECRET_ACCESS_KEY"],
    )
    yield resource.Table(name)
    client.delete_table(TableName=name)


def left(table: Any) -> set[str]:
    return {item["id"] for item in table.scan(ConsistentRead=True)["Items"]}


def wait_until_left(table: Any, expected: set[str]) -> None:
    end_s = time.monotonic() + GONE_S_MAX
    while left(table) != expected and time.monotonic() < end_s:
        time.sleep(0.1)
    assert left(table) == expected


def test_sessions_end_by_themselves(sessions: Any) -> None:
    now = time.time()
    items: dict[str, dict[str, Any]] = {
        "past": {"expires": int(now) - 60},
        "fraction": {"expires": Decimal(str(now - 60))},
        "soon": {"expires": int(now) + 2},
        "later": {"expires": int(now) + 3_600},
        "never": {},
        "text": {"expires": str(int(now) - 60)},
        "ancient": {"expires": 162_777_600},
        "milliseconds": {"expires": int(now * 1000) - 60_000},
    }
    with sessions.batch_writer() as batch:
        for name, attributes in items.items():
            batch.put_item(Item={"id": name, "user": "ann", **attributes})
    assert "soon" in left(sessions)
    stay = {"later", "never", "text", "ancient", "milliseconds"}
    wait_until_left(sessions, stay)
    found = sessions.query(IndexName="by-user", KeyConditionExpression=Key("user").eq("ann"))
    assert {item["id"] for item in found["Items"]} == stay


def test_a_session_that_is_used_goes_on(sessions: Any) -> None:
    sessions.put_item(Item={"id": "used", "user": "ann", "expires": int(time.time()) + 2})
    sessions.put_item(Item={"id": "left", "user": "bob", "expires": int(time.time()) + 2})
    for _ in range(8):
        sessions.update_item(
            Key={"id": "used"},
            UpdateExpression="SET expires = :at",
            ConditionExpression="attribute_exists(id)",
            ExpressionAttributeValues={":at": int(time.time()) + 3},
        )
        time.sleep(0.5)
    wait_until_left(sessions, {"used"})


def test_it_is_described_and_changed_once_an_hour(sessions: Any) -> None:
    client, name = sessions.meta.client, sessions.name
    described = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert described == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
    refusals = {
        ("expires", True): "TimeToLive is already enabled",
        ("expires", False): "Time to live has been modified multiple times within a fixed interval",
        ("dog", True): "TimeToLive is active on a different AttributeName: current AttributeName is expires",
        ("dog", False): "TimeToLive is active on a different AttributeName: current AttributeName is expires",
    }
    for (attribute, enabled), words in refusals.items():
        with pytest.raises(ClientError, match="ValidationException") as refused:
            client.update_time_to_live(
                TableName=name, TimeToLiveSpecification={"AttributeName": attribute, "Enabled": enabled}
            )
        assert refused.value.response["Error"]["Message"] == words


def test_a_table_that_is_not_there(server: Server) -> None:
    client = server.client()
    with pytest.raises(client.exceptions.ResourceNotFoundException) as refused:
        client.update_time_to_live(
            TableName="no-such-table", TimeToLiveSpecification={"AttributeName": "t", "Enabled": True}
        )
    words = "Requested resource not found: Table: no-such-table not found"
    assert refused.value.response["Error"]["Message"] == words
