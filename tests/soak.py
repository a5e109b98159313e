"""A mixed load at a fixed rate through the public API, and what it costs and leaves behind in every process.

The load goes over a bounded set of items, so that whatever grows with the number of operations is what they leave
behind. Values are random, so that no compression hides what is kept of them. What expires are the tokens of
transactions, after ten minutes.
"""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from botocore.config import Config

from tests.servers import Server
from tools.cluster.cluster import Cluster, ClusterFailed

TABLE = "soaked"
WORKERS = 4
PARTITIONS, SORTS, GROUPS = 40, 10, 20
VALUE_BYTES = 1_024
STANDARD = Config(retries={"mode": "standard", "max_attempts": 3}, connect_timeout=5, read_timeout=20)
#: For what comes before the load: tables are made one after the other, and each takes the nodes a second or more.
PATIENT = Config(retries={"mode": "standard", "max_attempts": 20}, connect_timeout=5, read_timeout=60)
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def make_table(client: Any) -> None:
    """Makes a table with an index."""
    names = {"p": "S", "s": "S", "g": "S"}
    client.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "s", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, kind in names.items()],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-group",
                "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}, {"AttributeName": "s", "KeyType": "RANGE"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    client.get_waiter("table_exists").wait(TableName=TABLE, WaiterConfig={"Delay": 1})


class Mix:
    """The operations, by their number: each kind comes as often as any other."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._kinds: Sequence[Callable[[int], Any]] = (
            self._put,
            self._get,
            self._update,
            self._query,
            self._query_index,
            self._delete,
            self._transact,
            self._put_new,
        )

    def run(self, number: int) -> None:
        """Carries an operation out."""
        self._kinds[number % len(self._kinds)](number // len(self._kinds))

    def _key(self, number: int) -> dict[str, Any]:
        place = number * 7_919 % (PARTITIONS * SORTS)
        return {"p": {"S": f"p{place // SORTS}"}, "s": {"S": f"s{place % SORTS}"}}

    def _item(self, number: int, **more: Any) -> dict[str, Any]:
        group = {"S": f"g{number % GROUPS}"}
        return self._key(number) | {"g": group, "v": {"B": os.urandom(VALUE_BYTES)}} | more

    def _put(self, number: int) -> None:
        self._client.put_item(TableName=TABLE, Item=self._item(number))

    def _get(self, number: int) -> None:
        self._client.get_item(TableName=TABLE, Key=self._key(number), ConsistentRead=True)

    def _update(self, number: int) -> None:
        self._client.update_item(
            TableName=TABLE,
            Key=self._key(number),
            UpdateExpression="SET v = :v ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}, ":v": {"B": os.urandom(VALUE_BYTES)}},
        )

    def _query(self, number: int) -> None:
        self._client.query(
            TableName=TABLE,
            KeyConditionExpression="p = :p AND s >= :s",
            ExpressionAttributeValues={":p": self._key(number)["p"], ":s": {"S": "s5"}},
            ConsistentRead=True,
        )

    def _query_index(self, number: int) -> None:
        self._client.query(
            TableName=TABLE,
            IndexName="by-group",
            KeyConditionExpression="g = :g",
            ExpressionAttributeValues={":g": {"S": f"g{number % GROUPS}"}},
            Limit=10,
        )

    def _delete(self, number: int) -> None:
        self._client.delete_item(TableName=TABLE, Key=self._key(number))

    def _transact(self, number: int) -> None:
        # Far enough from each other to be in two partitions.
        items = [self._item(number), self._item(number + PARTITIONS * SORTS // 3)]
        self._client.transact_write_items(TransactItems=[{"Put": {"TableName": TABLE, "Item": item}} for item in items])

    def _put_new(self, number: int) -> None:
        with suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.put_item(
                TableName=TABLE, Item=self._item(number), ConditionExpression="attribute_not_exists(p)"
            )


@dataclass
class Window:
    """What a part of the load cost.

    Args:
        took_s: how long each operation took.
        errors: what clients saw beside answers.
        tenet_s: processor time of Tenet.
        cassandra_s: processor time of all nodes of Cassandra.
    """

    took_s: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    tenet_s: float = 0.0
    cassandra_s: float = 0.0

    @property
    def p50_ms(self) -> float:
        """The median latency."""
        return 1_000 * statistics.median(self.took_s)

    @property
    def cpu_ms(self) -> float:
        """Processor time for each operation, of Tenet and Cassandra together."""
        return 1_000 * (self.tenet_s + self.cassandra_s) / len(self.took_s)

    def __str__(self) -> str:
        return json.dumps(
            {
                "operations": len(self.took_s),
                "p50_ms": round(self.p50_ms, 2),
                "tenet_ms": round(1_000 * self.tenet_s / len(self.took_s), 2),
                "cassandra_ms": round(1_000 * self.cassandra_s / len(self.took_s), 2),
            }
        )


class Soak:
    """A load on one server.

    Args:
        server: of tables.
        cluster: where it keeps them.
        rate: operations a second, which it can well keep up with.
    """

    def __init__(self, server: Server, cluster: Cluster, rate: float) -> None:
        self._server = server
        self._cluster = cluster
        self._rate = rate
        self._lock = threading.Lock()
        self.number = 0

    def go_on(self, seconds: float) -> Window:
        """Goes on with the load for so long, and returns what that cost."""
        window, begun = Window(), time.monotonic()
        tenet_s, cassandra_s = self._tenet_s(), self._cassandra_s()
        ends = begun + seconds
        with ThreadPoolExecutor(WORKERS) as pool:
            for _ in range(WORKERS):
                pool.submit(self._work, window, begun, ends)
        window.tenet_s, window.cassandra_s = self._tenet_s() - tenet_s, self._cassandra_s() - cassandra_s
        return window

    def _work(self, window: Window, begun: float, ends: float) -> None:
        mix = Mix(self._server.client(config=STANDARD))
        first = self.number
        while True:
            with self._lock:
                number = self.number
                due = begun + (number - first) / self._rate
                if max(due, time.monotonic()) >= ends:
                    return
                self.number += 1
            time.sleep(max(0.0, due - time.monotonic()))
            sent = time.monotonic()
            try:
                mix.run(number)
            except Exception as error:  # noqa: BLE001 - whatever the client sees is what is counted
                window.errors.append(str(error))
            window.took_s.append(time.monotonic() - sent)

    def _tenet_s(self) -> float:
        return cpu_s(self._server.process.pid)

    def _cassandra_s(self) -> float:
        return sum(cpu_s(self._cluster.state(number)["pid"]) for number in self._cluster.spec.numbers)


def cpu_s(pid: int) -> float:
    """Returns the processor time that a process has taken."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - as short as it is read often
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@dataclass(frozen=True)
class Kept:
    """What processes keep at a moment at which nothing goes on; bytes.

    Args:
        tenet: memory of Tenet.
        heap: of all nodes of Cassandra together, behind a collection of what is not used.
        tables: files of the spaces' tables on all nodes together, behind a compaction.
        logs: the same of the table that holds the logs.
        journal: the same of the table of open commits.
    """

    tenet: int
    heap: int
    tables: int
    logs: int
    journal: int


def kept(server: Server, cluster: Cluster, keyspace: str) -> Kept:
    """Returns what is kept now."""
    with open(f"/proc/{server.process.pid}/statm", encoding="ascii") as file:  # noqa: PTH123 - see above
        tenet = int(file.read().split()[1]) * _PAGE
    heap, sizes = 0, dict.fromkeys(("s_", "logs-", "commits-"), 0)
    for number in cluster.spec.numbers:
        for command in (("flush", keyspace), ("compact", keyspace)):
            _nodetool(cluster, number, *command)
        heap += _heap(cluster, number)
        folder = cluster.spec.node_folder(number) / "data" / keyspace
        for path in folder.rglob("*"):
            table = path.relative_to(folder).parts[0]
            for prefix in sizes:
                if table.startswith(prefix) and path.is_file():
                    sizes[prefix] += path.stat().st_size
    return Kept(tenet, heap, *sizes.values())


def _heap(cluster: Cluster, number: int) -> int:
    memory = ("sjk", "mx", "-b", "java.lang:type=Memory")
    _nodetool(cluster, number, *memory, "-mc", "-op", "gc")
    lines = _nodetool(cluster, number, *memory, "-mg", "-f", "HeapMemoryUsage").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("used:"))


def _nodetool(cluster: Cluster, number: int, *arguments: str) -> str:
    done = cluster.nodetool(number, *arguments)
    if done.returncode:
        raise ClusterFailed(f"nodetool {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout
