"""Cassandra nodes killed and frozen under a server of tables: clients see neither an error nor a long pause."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config

from tenet.base.ids import SystemIds
from tests.servers import Server, running, start
from tools.cluster.cluster import Cluster

CLIENTS = 6
STANDARD = Config(retries={"mode": "standard", "max_attempts": 3}, connect_timeout=5, read_timeout=20)
#: The longest that an operation may take, with everything the SDK does by itself, on a machine that has two cores for
#: three nodes, the server and its clients; seconds.
KILLED_S_MAX = 3.0
FROZEN_S_MAX = 5.0

pytestmark = pytest.mark.time_limit_s(400)


@pytest.fixture
def server(tmp_path: Path, cassandra_faults: Cluster) -> Iterator[Server]:
    url = f"cassandra://{','.join(cassandra_faults.contact_points)}/faults_{SystemIds().draw(6).hex()}"
    with running(tmp_path / "data", "--store", url) as found:
        yield found


class Load:
    """Clients that write, read back and count, each on items of its own; and what they saw."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stop = threading.Event()
        self.errors: list[str] = []
        #: When each operation ended, and how long it took; seconds.
        self.took: list[tuple[float, float]] = []
        self.counted = [0] * CLIENTS
        #: Whether what goes wrong from now on is no error.
        self.is_over = False

    def run(self, number: int) -> None:
        client = self._server.client(config=STANDARD)
        while not self._stop.is_set() and not self.is_over:
            name = f"{number}-{self.counted[number]}"
            self._timed(lambda name=name: client.put_item(TableName="served", Item={"p": {"S": name}}))
            got = self._timed(
                lambda name=name: client.get_item(TableName="served", Key={"p": {"S": name}}, ConsistentRead=True)
            )
            if got is not None and "Item" not in got:
                self.errors.append(f"{name} was put and is not there")
            if self._timed(lambda: _count(client, number)) is not None:
                self.counted[number] += 1

    def _timed(self, call: Any) -> Any:
        begun = time.monotonic()
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - whatever the client sees is what is counted
            if not self.is_over:
                self.errors.append(f"after {time.monotonic() - begun:.1f} s: {error}")
            return None
        finally:
            ended = time.monotonic()
            self.took.append((ended, ended - begun))

    def longest_s(self, since: float) -> float:
        return max((took for ended, took in list(self.took) if ended >= since), default=0.0)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        with ThreadPoolExecutor(CLIENTS) as pool:
            for number in range(CLIENTS):
                pool.submit(self.run, number)
            try:
                yield
            finally:
                self._stop.set()


def _count(client: Any, number: int) -> Any:
    return client.update_item(
        TableName="served",
        Key={"p": {"S": f"counter-{number}"}},
        UpdateExpression="ADD n :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )


def _table(server: Server) -> Any:
    client = server.client(config=STANDARD)
    client.create_table(
        TableName="served",
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.get_waiter("table_exists").wait(TableName="served", WaiterConfig={"Delay": 1})
    return client


def test_a_node_is_killed_and_another_one_freezes(server: Server, cassandra_faults: Cluster) -> None:
    client = _table(server)
    load = Load(server)
    with load.going_on():
        time.sleep(3)
        killed = time.monotonic()
        cassandra_faults.kill9(2)
        time.sleep(6)
        longest_killed_s = load.longest_s(killed)
        cassandra_faults.start(2)
        cassandra_faults.wait_whole()
        time.sleep(1)
        frozen = time.monotonic()
        cassandra_faults.pause(3)
        time.sleep(10)
        cassandra_faults.resume(3)
        time.sleep(3)
        longest_frozen_s = load.longest_s(frozen)
    assert load.errors == []
    for number in range(CLIENTS):
        item = client.get_item(TableName="served", Key={"p": {"S": f"counter-{number}"}}, ConsistentRead=True)["Item"]
        assert int(item["n"]["N"]) == load.counted[number], "an update was lost, or applied twice"
    assert longest_killed_s <= KILLED_S_MAX
    assert longest_frozen_s <= FROZEN_S_MAX
    assert sum(load.counted) > 100


def test_everything_is_killed_at_once_and_nothing_answered_is_missing(
    tmp_path: Path, cassandra_faults: Cluster
) -> None:
    url = f"cassandra://{','.join(cassandra_faults.contact_points)}/faults_{SystemIds().draw(6).hex()}"
    server = start(tmp_path / "data", "--store", url, start_s_max=120)
    try:
        _table(server)
        load = Load(server)
        with load.going_on():
            time.sleep(4)
            load.is_over = True
            for number in (1, 2, 3):
                cassandra_faults.kill9(number)
            server.kill()
            time.sleep(1)
    finally:
        server.kill()
    cassandra_faults.start_all()
    with running(tmp_path / "data", "--store", url) as again:
        client = again.client(config=STANDARD)
        for number in range(CLIENTS):
            item = client.get_item(TableName="served", Key={"p": {"S": f"counter-{number}"}}, ConsistentRead=True)
            counted = int(item["Item"]["n"]["N"])
            # What was under way when everything died may have taken effect, and nobody was told.
            assert load.counted[number] <= counted <= load.counted[number] + 1
            for at in range(load.counted[number]):
                got = client.get_item(TableName="served", Key={"p": {"S": f"{number}-{at}"}}, ConsistentRead=True)
                assert "Item" in got, f"{number}-{at} was put and is not there"
    assert sum(load.counted) > CLIENTS
