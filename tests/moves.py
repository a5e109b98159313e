"""A program that writes while the store under it is moved, and finds everything in the other one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004 (botocore's own)

from tests.servers import Server

ONCE = Config(retries={"mode": "standard", "max_attempts": 1}, connect_timeout=5, read_timeout=30)
TABLE = "moved"


def make_table(client: Any, name: str = TABLE) -> None:
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "kind", "AttributeType": "S"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-kind",
                "KeySchema": [{"AttributeName": "kind", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})


def fill(client: Any, count: int) -> dict[str, int]:
    """Puts items; returns them by id."""
    found = {f"filled-{number}": number for number in range(count)}
    names = [*found]
    for begin in range(0, count, 25):
        puts = [{"PutRequest": {"Item": item(name, found[name])}} for name in names[begin : begin + 25]]
        assert client.batch_write_item(RequestItems={TABLE: puts})["UnprocessedItems"] == {}
    return found


def item(name: str, number: int) -> dict[str, Any]:
    return {"id": {"S": name}, "n": {"N": str(number)}, "kind": {"S": f"kind-{number % 3}"}}


class Writers:
    """Threads that put, change and remove items of their own until writes are refused or they are stopped.

    Args:
        server: where.
        count: of threads.
        pace_s: how long each rests between two writes, so that a store that is copied to can keep up.
        first: the number of the first thread; those of others that write at the same time have to be different ones.
    """

    def __init__(self, server: Server, count: int = 4, *, pace_s: float = 0.0, first: int = 0) -> None:
        self._pace_s = pace_s
        self._client = server.client(config=ONCE)
        self._stop = threading.Event()
        #: What was acknowledged last, by id: the number, or None where the item was removed.
        self.acknowledged: dict[str, int | None] = {}
        #: Ids of writes whose outcome the client does not know.
        self.in_doubt: set[str] = set()
        #: Statuses of the answers that ended them.
        self.refusals: list[int] = []
        self._pool = ThreadPoolExecutor(count)
        self._running = [self._pool.submit(self._write_on, writer) for writer in range(first, first + count)]

    def stop(self) -> None:
        """Waits until all have stopped."""
        self._stop.set()
        for one in self._running:
            one.result()
        self._pool.shutdown()

    def _write_on(self, writer: int) -> None:
        number = 0
        while not self._stop.wait(self._pace_s):
            number += 1
            name = f"{writer}-{number % 50}"
            try:
                self._write(name, number)
            except ClientError as error:
                self.refusals.append(error.response["ResponseMetadata"]["HTTPStatusCode"])
                return
            except (ConnectionError, HTTPClientError):
                self.in_doubt |= _written(name, number)
                return

    def _write(self, name: str, number: int) -> None:
        if number % 5 == 0:
            self._client.delete_item(TableName=TABLE, Key={"id": {"S": name}})
            self.acknowledged[name] = None
        elif number % 7 == 0:
            both = _written(name, number)
            puts = [{"Put": {"TableName": TABLE, "Item": item(one, number)}} for one in sorted(both)]
            self._client.transact_write_items(TransactItems=puts)
            self.acknowledged |= dict.fromkeys(both, number)
        else:
            self._client.put_item(TableName=TABLE, Item=item(name, number))
            self.acknowledged[name] = number


def _written(name: str, number: int) -> set[str]:
    """Returns the ids that the write of a number is about: two, where it is a transaction."""
    return {name, f"{name}-twin"} if number % 7 == 0 and number % 5 else {name}


def check(client: Any, filled: dict[str, int], *writers: Writers) -> None:
    """Asserts that a table and its index hold what was acknowledged, and nothing else."""
    wanted: dict[str, int | None] = dict(filled)
    in_doubt: set[str] = set()
    for one in writers:
        wanted |= one.acknowledged
        in_doubt |= one.in_doubt
    pages = client.get_paginator("scan").paginate(TableName=TABLE, ConsistentRead=True)
    found = {one["id"]["S"]: one for page in pages for one in page["Items"]}
    for name in {*wanted, *found} - in_doubt:
        number = wanted.get(name)
        assert found.get(name) == (None if number is None else item(name, number)), name
    indexed: dict[str, Any] = {}
    for kind in range(3):
        queried = client.get_paginator("query").paginate(
            TableName=TABLE,
            IndexName="by-kind",
            KeyConditionExpression="kind = :k",
            ExpressionAttributeValues={":k": {"S": f"kind-{kind}"}},
        )
        indexed |= {one["id"]["S"]: one for page in queried for one in page["Items"]}
    assert indexed == found
