"""``tenet up`` over a real cluster, as its users have it: an unchanged boto3 program, and servers that are killed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004 (botocore's own)

from tests.servers import Server, running, start

TABLE = "places"
PATIENT = Config(retries={"mode": "standard", "max_attempts": 3}, connect_timeout=5, read_timeout=30)
ONCE = Config(retries={"mode": "standard", "max_attempts": 1}, connect_timeout=5, read_timeout=30)

pytestmark = pytest.mark.time_limit_s(300)


@pytest.fixture
def server(node_data: Path, store_url: str) -> Iterator[Server]:
    with running(node_data, "--store", store_url) as found:
        yield found


def make_table(client: Any, name: str = TABLE) -> None:
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "country", "KeyType": "HASH"}, {"AttributeName": "name", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "country", "AttributeType": "S"},
            {"AttributeName": "name", "AttributeType": "S"},
            {"AttributeName": "height", "AttributeType": "N"},
        ],
        LocalSecondaryIndexes=[
            {
                "IndexName": "by-height",
                "KeySchema": [
                    {"AttributeName": "country", "KeyType": "HASH"},
                    {"AttributeName": "height", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})


def place(country: str, name: str, height: int) -> dict[str, Any]:
    return {"country": {"S": country}, "name": {"S": name}, "height": {"N": str(height)}}


def key(country: str, name: str) -> dict[str, Any]:
    return {"country": {"S": country}, "name": {"S": name}}


def test_a_program_works_as_it_does_on_the_embedded_engine(server: Server) -> None:
    client = server.client(config=PATIENT)
    make_table(client)
    heights = {f"peak-{number:02}": 1_000 + 37 * number % 400 for number in range(60)}
    for some in ([*heights][:25], [*heights][25:50], [*heights][50:]):
        puts = [{"PutRequest": {"Item": place("Schweiz", name, heights[name])}} for name in some]
        assert client.batch_write_item(RequestItems={TABLE: puts})["UnprocessedItems"] == {}

    # Conditions, and what they refuse with.
    with pytest.raises(ClientError, match="ConditionalCheckFailed") as refused:
        client.put_item(
            TableName=TABLE,
            Item=place("Schweiz", "peak-00", 1),
            ConditionExpression="attribute_not_exists(country)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert refused.value.response["Item"] == place("Schweiz", "peak-00", 1_000)

    # Pages, forwards and backwards, by the table's own key and by the index.
    by_name = _query(client, "country = :c", Limit=7)
    assert [item["name"]["S"] for item in by_name] == sorted(heights)
    assert _query(client, "country = :c", Limit=11, ScanIndexForward=False) == by_name[::-1]
    by_height = _query(client, "country = :c", IndexName="by-height", Limit=9, ConsistentRead=True)
    assert [int(item["height"]["N"]) for item in by_height] == sorted(heights.values())
    scanned = [item for part in range(3) for item in _scan(client, Segment=part, TotalSegments=3, Limit=8)]
    assert sorted(item["name"]["S"] for item in scanned) == sorted(heights)

    # A transaction over partitions: all of it or nothing.
    put = {"Put": {"TableName": TABLE, "Item": place("Österreich", "Großglockner", 3_798)}}
    check = {
        "ConditionCheck": {
            "TableName": TABLE,
            "Key": key("Schweiz", "peak-01"),
            "ConditionExpression": "height < :h",
            "ExpressionAttributeValues": {":h": {"N": "0"}},
        }
    }
    with pytest.raises(ClientError, match=r"\[None, ConditionalCheckFailed\]"):
        client.transact_write_items(TransactItems=[put, check])
    assert "Item" not in client.get_item(TableName=TABLE, Key=key("Österreich", "Großglockner"), ConsistentRead=True)
    del check["ConditionCheck"]["ExpressionAttributeValues"]
    check["ConditionCheck"]["ConditionExpression"] = "attribute_exists(height)"
    client.transact_write_items(TransactItems=[put, check])
    gets = [{"Get": {"TableName": TABLE, "Key": key("Österreich", "Großglockner")}}]
    (got,) = client.transact_get_items(TransactItems=gets)["Responses"]
    assert got["Item"] == put["Put"]["Item"]


def _query(client: Any, condition: str, **more: Any) -> list[dict[str, Any]]:
    values = {":c": {"S": "Schweiz"}}
    pages = client.get_paginator("query").paginate(
        TableName=TABLE, KeyConditionExpression=condition, ExpressionAttributeValues=values, **more
    )
    return [item for page in pages for item in page["Items"]]


def _scan(client: Any, **more: Any) -> list[dict[str, Any]]:
    return [item for page in client.get_paginator("scan").paginate(TableName=TABLE, **more) for item in page["Items"]]


def test_a_counter_that_many_raise_misses_none(server: Server) -> None:
    client = server.client(config=PATIENT)
    make_table(client, "counted")

    def count(_number: int) -> None:
        client.update_item(
            TableName="counted",
            Key=key("a", "b"),
            UpdateExpression="ADD height :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(count, range(240)))
    assert client.get_item(TableName="counted", Key=key("a", "b"), ConsistentRead=True)["Item"]["height"]["N"] == "240"


def test_nothing_that_was_answered_is_lost_when_the_server_is_killed(node_data: Path, store_url: str) -> None:
    server = start(node_data, "--store", store_url)
    try:
        client = server.client(config=ONCE)
        make_table(client, "killed")
        answered: list[str] = []
        stop = threading.Event()

        def write_on(writer: int) -> None:
            for number in range(10_000):
                name = f"{writer}-{number}"
                items = [place(f"{name}-{part}", name, number) for part in range(2)]
                try:
                    if number % 3:
                        client.put_item(TableName="killed", Item=items[0])
                        client.put_item(TableName="killed", Item=items[1])
                    else:
                        puts = [{"Put": {"TableName": "killed", "Item": item}} for item in items]
                        client.transact_write_items(TransactItems=puts)
                except (ClientError, ConnectionError, HTTPClientError):
                    return
                answered.append(name)
                if stop.is_set():
                    return

        with ThreadPoolExecutor(6) as pool:
            running_on = [pool.submit(write_on, writer) for writer in range(6)]
            while len(answered) < 60 and not all(one.done() for one in running_on):
                stop.wait(0.01)
            server.kill()
            stop.set()
    finally:
        server.kill()
    assert len(answered) >= 60
    with running(node_data, "--store", store_url) as again:
        client = again.client(config=PATIENT)
        for name in answered:
            for part in range(2):
                got = client.get_item(TableName="killed", Key=key(f"{name}-{part}", name), ConsistentRead=True)
                assert "Item" in got, f"{name} was answered, and is lost"
        halves = [item for item in _scan_all(client, "killed") if int(item["height"]["N"]) % 3 == 0]
        names = [item["name"]["S"] for item in halves]
        assert all(names.count(name) == 2 for name in set(names)), "half a transaction"


def _scan_all(client: Any, table: str) -> list[dict[str, Any]]:
    pages = client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return [item for page in pages for item in page["Items"]]
