"""``tenet tables follow`` and boto3's client of streams, against a server as a user starts it."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.servers import TENET, Server, clean_environment, running

SCHEMA: dict[str, Any] = {
    "TableName": "orders",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": "Id", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "Id", "KeyType": "HASH"}],
}
STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running(tmp_path_factory.mktemp("tables") / "data") as started:
        yield started


@pytest.fixture
def orders(server: Server) -> Any:
    client = server.client()
    client.create_table(**SCHEMA, StreamSpecification=STREAM)
    client.get_waiter("table_exists").wait(TableName="orders", WaiterConfig={"Delay": 1})
    yield client
    client.delete_table(TableName="orders")


def streams(server: Server) -> Any:
    return server.client("dynamodbstreams")


def put(client: Any, at: str, value: str) -> None:
    client.put_item(TableName="orders", Item={"Id": {"S": at}, "v": {"S": value}})


def printed(server: Server, *flags: str) -> list[dict[str, Any]]:
    done = server.command("tables", "follow", "orders", "--once", *flags)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_boto3_reads_a_stream(server: Server, orders: Any) -> None:
    reader = streams(server)
    # Those of the tables of this name that other tests have deleted are listed too.
    *_, stream = reader.list_streams(TableName="orders")["Streams"]
    shards = reader.describe_stream(StreamArn=stream["StreamArn"])["StreamDescription"]["Shards"]
    at = [
        reader.get_shard_iterator(StreamArn=stream["StreamArn"], ShardId=shard["ShardId"], ShardIteratorType="LATEST")[
            "ShardIterator"
        ]
        for shard in shards
    ]
    put(orders, "a", "1")
    began_s = time.monotonic()
    found = [record for iterator in at for record in reader.get_records(ShardIterator=iterator)["Records"]]
    assert time.monotonic() - began_s < 5
    (record,) = found
    assert record["eventName"] == "INSERT"
    assert record["dynamodb"]["NewImage"] == {"Id": {"S": "a"}, "v": {"S": "1"}}
    assert record["dynamodb"]["ApproximateCreationDateTime"].year >= 2025
    with pytest.raises(reader.exceptions.ResourceNotFoundException, match="not found"):
        reader.describe_stream(StreamArn=stream["StreamArn"][:-4] + "9999")


def test_changes_are_printed_from_a_point_and_go_on_where_they_ended(
    server: Server, orders: Any, tmp_path: Path
) -> None:
    place = tmp_path / "place.json"
    put(orders, "a", "1")
    put(orders, "a", "2")
    assert [line["eventName"] for line in printed(server, "--from", "start")] == ["INSERT", "MODIFY"]
    assert printed(server) == []
    assert printed(server, "--resume", str(place)) == []
    put(orders, "a", "3")
    put(orders, "b", "1")
    lines = printed(server, "--resume", str(place))
    assert sorted((line["eventName"], line["dynamodb"]["Keys"]["Id"]["S"]) for line in lines) == [
        ("INSERT", "b"),
        ("MODIFY", "a"),
    ]
    assert printed(server, "--resume", str(place)) == []
    assert len(printed(server, "--from", "2020-01-01T00:00:00")) == 4


def test_what_cannot_be_followed(server: Server, orders: Any, tmp_path: Path) -> None:
    refused = server.command("tables", "follow", "nothing")
    assert refused.returncode == 1
    assert "ResourceNotFoundException" in refused.stderr
    assert "--from takes" in server.command("tables", "follow", "orders", "--from", "yesterday").stderr
    place = tmp_path / "place.json"
    place.write_text("{}", encoding="utf-8")
    assert "does not say how far" in server.command("tables", "follow", "orders", "--resume", str(place)).stderr
    orders.create_table(**SCHEMA | {"TableName": "plain"})
    assert "has no stream" in server.command("tables", "follow", "plain").stderr
    put(orders, "a", "1")
    printed(server, "--resume", str(tmp_path / "other.json"))
    other = server.command("tables", "follow", "plain", "--resume", str(tmp_path / "other.json"))
    assert other.returncode == 1
    orders.delete_table(TableName="plain")


def test_a_stream_that_is_switched_off_is_printed_to_its_end(server: Server, orders: Any) -> None:
    following = subprocess.Popen(
        [str(TENET), "tables", "follow", "orders", "--from", "start", "--data", str(server.data)],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    put(orders, "a", "1")
    orders.update_table(TableName="orders", StreamSpecification={"StreamEnabled": False})
    told, _ = following.communicate(timeout=60)
    assert following.returncode == 0
    assert [json.loads(line)["eventName"] for line in told.splitlines()] == ["INSERT"]


def test_a_deleted_table_is_printed_to_its_end(server: Server, orders: Any, tmp_path: Path) -> None:
    place = tmp_path / "place.json"
    put(orders, "a", "1")
    assert len(printed(server, "--from", "start", "--resume", str(place))) == 1
    put(orders, "a", "2")
    orders.delete_table(TableName="orders")
    orders.get_waiter("table_not_exists").wait(TableName="orders", WaiterConfig={"Delay": 1})
    reader = streams(server)
    *_, stream = reader.list_streams(TableName="orders")["Streams"]
    described = reader.describe_stream(StreamArn=stream["StreamArn"])["StreamDescription"]
    assert described["StreamStatus"] == "DISABLED"
    orders.create_table(**SCHEMA, StreamSpecification=STREAM)
    put(orders, "a", "3")
    lines = printed(server, "--resume", str(place))
    assert [line["dynamodb"]["NewImage"]["v"]["S"] for line in lines] == ["2", "3"]


def test_changes_that_are_gone_are_told_and_passed_by_where_that_is_wanted(
    server: Server, orders: Any, tmp_path: Path
) -> None:
    place = tmp_path / "place.json"
    put(orders, "a", "kept")
    assert printed(server, "--resume", str(place)) == []
    kept = json.loads(place.read_bytes())
    # As after days in which nobody looked: its stream is one that nobody knows any more.
    kept["stream"] = kept["stream"].partition("/stream/")[0] + "/stream/2020-01-01T00:00:00.000"
    kept |= {"read_ms": 1_577_836_800_000, "since_ms": 0}
    place.write_text(json.dumps(kept), encoding="utf-8")
    refused = server.command("tables", "follow", "orders", "--once", "--resume", str(place))
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert "changes of orders made from 2020-01-01T00:00:00Z to " in refused.stderr
    assert f"tenet tables follow orders --skip-lost --resume {place}" in refused.stderr.replace("\n", " ")
    done = server.command("tables", "follow", "orders", "--once", "--skip-lost", "--resume", str(place))
    assert done.returncode == 0
    assert done.stderr.startswith("missing: changes of orders made from 2020-01-01T00:00:00Z to ")
    assert json.loads(done.stdout.splitlines()[-1])["dynamodb"]["NewImage"]["v"]["S"] == "kept"
    assert printed(server, "--resume", str(place)) == []
