"""A stream is read while a Cassandra node and a Tenet node are killed: nothing is lost, doubled, or out of order."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

from tests.clusters import new_store_url
from tests.servers import Server, join, running
from tools.cluster.cluster import Cluster

WRITERS = 4
#: Items that each writer counts up in turn.
KEYS = 5
ADDED_LEAST = 100
RETRIES = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=2, read_timeout=10)
#: How long the reader is given behind the last write, on a machine that has come back from failures.
READ_S_MAX = 60.0


class Writers:
    """Each adds one to items of its own, one after the other, at whichever node answers; and what they were told.

    Args:
        nodes: the nodes; a writer turns to the next one where one does not answer.
    """

    def __init__(self, nodes: Sequence[Server]) -> None:
        self._nodes = nodes
        self._is_over = threading.Event()
        #: How often adding was answered, and how often nobody knows whether it took effect, by key.
        self.added: dict[str, int] = defaultdict(int)
        self.in_doubt: dict[str, int] = defaultdict(int)

    def run(self, number: int) -> None:
        """Adds until it is over."""
        # No retries: each call that fails is one in doubt.
        once = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10)
        clients = [node.client(config=once) for node in self._nodes]
        at = number
        while not self._is_over.is_set():
            key = f"{number}-{at % KEYS}"
            try:
                add_one(clients[at % len(clients)], key)
                self.added[key] += 1
            except EndpointConnectionError:
                time.sleep(0.1)  # Nobody was there to be told.
            except (BotoCoreError, ClientError):
                self.in_doubt[key] += 1
            at += 1

    @contextmanager
    def going_on(self) -> Iterator[None]:
        with ThreadPoolExecutor(WRITERS) as pool:
            running_ones = [pool.submit(self.run, number) for number in range(WRITERS)]
            try:
                yield
            finally:
                self._is_over.set()
        for one in running_ones:
            one.result()


class Follower:
    """Reads all shards of a stream from their beginning on, children behind their parents, until it is stopped."""

    def __init__(self, server: Server, arn: str) -> None:
        self._client = server.client("dynamodbstreams", config=RETRIES)
        self._arn = arn
        self._is_over = threading.Event()
        #: Iterators of the shards that are being read; None where the shard was read to its end.
        self._iterators: dict[str, str | None] = {}
        #: Old and new counts as the records have them, by key, in the order in which they were read.
        self.seen: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.errors: list[str] = []

    def run(self) -> None:
        """Reads until it is stopped; what fails is tried again where it was."""
        while not self._is_over.is_set():
            with suppress(BotoCoreError, ClientError):
                self._find_shards()
                for shard, iterator in list(self._iterators.items()):
                    if iterator is not None:
                        self._iterators[shard] = self._read(iterator)
            time.sleep(0.2)

    def stop(self) -> None:
        self._is_over.set()

    def _find_shards(self) -> None:
        shards = self._client.describe_stream(StreamArn=self._arn)["StreamDescription"]["Shards"]
        names = {shard["ShardId"] for shard in shards}
        for shard in shards:
            name, parent = shard["ShardId"], shard.get("ParentShardId")
            is_first = parent is None or parent not in names or self._iterators.get(parent, "") is None
            if name not in self._iterators and is_first:
                self._iterators[name] = self._client.get_shard_iterator(
                    StreamArn=self._arn, ShardId=name, ShardIteratorType="TRIM_HORIZON"
                )["ShardIterator"]

    def _read(self, iterator: str) -> str | None:
        page = self._client.get_records(ShardIterator=iterator)
        for record in page["Records"]:
            images = record["dynamodb"]
            old = int(images["OldImage"]["n"]["N"]) if "OldImage" in images else 0
            if record["eventName"] != ("MODIFY" if old else "INSERT"):
                self.errors.append(f"{record['eventName']} behind {old}")
            self.seen[images["Keys"]["p"]["S"]].append((old, int(images["NewImage"]["n"]["N"])))
        following = page.get("NextShardIterator")
        return None if following is None else str(following)


def add_one(client: Any, key: str) -> None:
    client.update_item(
        TableName="counted",
        Key={"p": {"S": key}},
        UpdateExpression="ADD n :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )


def table_with_stream(server: Server) -> str:
    client = server.client(config=RETRIES)
    arn = client.create_table(
        TableName="counted",
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]["LatestStreamArn"]
    client.get_waiter("table_exists").wait(TableName="counted", WaiterConfig={"Delay": 1})
    return str(arn)


@pytest.mark.time_limit_s(400)
def test_a_stream_has_each_change_once_and_in_order_though_nodes_are_killed(
    cassandra_faults: Cluster, tmp_path: Path
) -> None:
    store_url = new_store_url(cassandra_faults)
    with ExitStack() as stack:
        stays = stack.enter_context(running(tmp_path / "stays", "--store", store_url))
        join(stays, tmp_path / "killed")
        killed = stack.enter_context(running(tmp_path / "killed", "--store", store_url))
        follower = Follower(stays, table_with_stream(stays))
        following = threading.Thread(target=follower.run)
        following.start()
        writers = Writers([stays, killed])
        try:
            with writers.going_on():
                time.sleep(5)
                cassandra_faults.kill9(2)
                time.sleep(5)
                cassandra_faults.start(2)
                cassandra_faults.wait_whole()
                killed.kill()
                time.sleep(8)
            client = stays.client(config=RETRIES)
            items = client.scan(TableName="counted", ConsistentRead=True)["Items"]
            counts = {item["p"]["S"]: int(item["n"]["N"]) for item in items}
            until_s = time.monotonic() + READ_S_MAX
            while time.monotonic() < until_s and any(len(follower.seen[key]) < count for key, count in counts.items()):
                time.sleep(0.2)
            # What would be there twice has time to come.
            time.sleep(2)
        finally:
            follower.stop()
            following.join()
    assert follower.errors == []
    assert {key: found for key, found in follower.seen.items() if found} == {
        key: [(before, before + 1) for before in range(count)] for key, count in counts.items()
    }
    for key, count in counts.items():
        assert writers.added[key] <= count <= writers.added[key] + writers.in_doubt[key], "more or less than was told"
    assert sum(writers.added.values()) >= ADDED_LEAST > sum(writers.in_doubt.values())
