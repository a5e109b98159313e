"""What filling an index costs that is added to a table: how long it takes, and what requests feel of it.

    python -m benchmarks.filling [--items 1000000] [--requests 300]

Requests go to the service in this process, without a listener, over the embedded engine in a directory of its own. Puts
and gets of random items are sent at a steady rate, for a while without filling and then all the while that an index is
filled; figures are of their times from when they were due, in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from random import Random
from typing import Any

import orjson

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.contract import Put
from tenet.store.landing import land
from tenet.store.sqlite.engine import open_engine
from tenet.tables.api import Caller, Tables
from tenet.tables.keys import item_key
from tenet.tables.ops.catalog import decode_table
from tenet.tables.rules.images import Image
from tenet.tables.rules.sizes import item_bytes

CLOCK, IDS = SystemClock(), SystemIds()
ACCOUNT = "0" * 12
LOADED_AT_ONCE = 2_000
#: How long it waits until the disk has taken what was loaded, and then measures without filling, seconds.
SETTLED_S = 10.0
QUIET_S = 30.0
GROUPS = 1_000
INDEX = {
    "IndexName": "by-group",
    "KeySchema": [{"AttributeName": "group", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}],
    "Projection": {"ProjectionType": "ALL"},
}


def item(number: int) -> dict[str, Any]:
    """An item of about 200 bytes."""
    return {
        "id": {"S": f"item-{number:09}"},
        "group": {"S": f"group-{number * 7919 % GROUPS}"},
        "at": {"N": str(number)},
        "text": {"S": "x" * 120},
    }


async def call(tables: Tables, operation: str, **request: Any) -> dict[str, Any]:
    """Sends a request and returns its answer."""
    answer: dict[str, Any] = orjson.loads(await tables.call(operation, request, Caller(ACCOUNT)))
    return answer


async def fill(store: Any, items: int) -> None:
    """Makes the items as the service stores them."""
    page = await store.scan("tables.catalog", limit=10)
    table = decode_table(next(one.value for one in page.records if one.sort.startswith(b"t")))
    for start in range(0, items, LOADED_AT_ONCE):
        some = [item(number) for number in range(start, min(items, start + LOADED_AT_ONCE))]
        puts = [Put(item_key(table, one), Image.of_item(one, item_bytes(one)).value or b"") for one in some]
        await land(store, puts, clock=CLOCK, ids=IDS, deadline=float("inf"))


class Load:
    """Puts and gets at a steady rate.

    Args:
        tables: the service.
        items: how many there are.
        rate: requests a second.
    """

    def __init__(self, tables: Tables, items: int, rate: int) -> None:
        self._tables = tables
        self._items = items
        self._rate = rate
        self.is_over = False

    async def run(self, until_s: float) -> list[float]:
        """Returns how long each request took from when it was due, seconds."""
        taken: list[float] = []
        chance, began, sent = Random(1), time.perf_counter(), 0
        async with asyncio.TaskGroup() as group:
            while not self.is_over and time.perf_counter() - began < until_s:
                due = began + sent / self._rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(self._one(chance.randrange(self._items), sent % 2 == 0, due, taken))
                sent += 1
        return taken

    async def _one(self, number: int, is_put: bool, due: float, taken: list[float]) -> None:  # noqa: FBT001 (a flag of its own)
        if is_put:
            await call(self._tables, "PutItem", TableName="items", Item=item(number))
        else:
            await call(self._tables, "GetItem", TableName="items", Key={"id": item(number)["id"]})
        taken.append(time.perf_counter() - due)


def told(name: str, taken: list[float]) -> str:
    """Returns a line with the figures of some requests."""
    ordered = sorted(taken)
    p50, p99 = (1_000 * ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
    return f"{name:24} {len(ordered):8} requests   p50 {p50:7.2f} ms   p99 {p99:7.2f} ms"


async def watch(tables: Tables) -> None:
    """Asks for the table's description every second, as whoever waits for an index does."""
    while True:
        await call(tables, "DescribeTable", TableName="items")
        await asyncio.sleep(1.0)


async def measure(items: int, rate: int) -> None:
    """Prints the figures."""
    with tempfile.TemporaryDirectory() as directory:
        store = await open_engine(directory, clock=CLOCK, ids=IDS)
        tables = await Tables.open(store, clock=CLOCK, ids=IDS)
        await call(
            tables,
            "CreateTable",
            TableName="items",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        await fill(store, items)
        await asyncio.sleep(SETTLED_S)
        watching = asyncio.create_task(watch(tables))
        print(told("without filling", await Load(tables, items, rate).run(QUIET_S)), flush=True)
        watching.cancel()
        load = Load(tables, items, rate)
        loading = asyncio.create_task(load.run(float("inf")))
        began = time.perf_counter()
        await call(
            tables,
            "UpdateTable",
            TableName="items",
            AttributeDefinitions=[
                {"AttributeName": "group", "AttributeType": "S"},
                {"AttributeName": "at", "AttributeType": "N"},
            ],
            GlobalSecondaryIndexUpdates=[{"Create": INDEX}],
        )
        while True:
            (index,) = (await call(tables, "DescribeTable", TableName="items"))["Table"]["GlobalSecondaryIndexes"]
            if index["IndexStatus"] == "ACTIVE":
                break
            await asyncio.sleep(1.0)
        taken_s = time.perf_counter() - began
        load.is_over = True
        print(told("while an index is filled", await loading))
        print(f"{items} items in {taken_s:.1f} s, {items / taken_s:.0f} a second")
        await tables.close()
        await store.close()


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=300, help="a second")
    given = parser.parse_args()
    asyncio.run(measure(given.items, given.requests))


if __name__ == "__main__":
    main()
