"""A partition with very many records costs what a small one does, also in its middle."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import pytest

from tenet.base.clock import SystemClock
from tenet.base.ids import SeededIds, SystemIds
from tenet.store.cassandra.engine import CassandraEngine, open_engine
from tenet.store.contract import Commit, Committed, Key, Put, Range, Unknown, new_commit_id
from tests.rounds import LONG, rounds
from tools.cluster.cluster import Cluster

RECORDS, SMALL = rounds(20_000, 5_000_000), 200
#: Puts of one commit, which is how records are written cheapest; and how long nothing is sent between two, seconds.
EACH, REST_S = 2_000, rounds(0.0, 0.2)
VALUE = bytes(32)
PAGE, DISCARDED = 20, 10
#: Rounds that are measured, and how much more the wide partition may cost. Other work on the machine hits both, as they
#: take turns.
ROUNDS, COST_MAX = rounds((40, 2.5), (200, 2.0))
SPACE = "wide"
WIDE, NARROW = b"wide", b"narrow"
CLOCK, IDS = SystemClock(), SystemIds()

pytestmark = pytest.mark.time_limit_s(3 * 3600 if LONG else 300)


def sort(number: int) -> bytes:
    return number.to_bytes(8, "big")


async def commit(engine: CassandraEngine, *writes: Put) -> None:
    one = Commit(new_commit_id(CLOCK, IDS), writes)
    outcome = await engine.commit(one)
    known = await engine.settle(one) if isinstance(outcome, Unknown) else outcome
    assert isinstance(known, Committed), known


async def fill(engine: CassandraEngine, partition: bytes, records: int) -> None:
    for first in range(0, records, EACH):
        numbers = range(first, min(first + EACH, records))
        await commit(engine, *(Put(Key(SPACE, partition, sort(number)), VALUE) for number in numbers))
        await asyncio.sleep(REST_S)


class Operations:
    """What is measured, each at random places of a partition."""

    def __init__(self, engine: CassandraEngine, dice: SeededIds) -> None:
        self._engine = engine
        self._dice = dice
        #: What brings back what was discarded.
        self.again: list[Put] = []

    def place(self, partition: bytes) -> int:
        """Returns the number of a record somewhere in a partition, none of those at its end."""
        records = RECORDS if partition == WIDE else SMALL
        return int.from_bytes(self._dice.draw(8), "big") % (records - 2 * PAGE)

    async def put(self, partition: bytes) -> None:
        await commit(self._engine, Put(Key(SPACE, partition, sort(self.place(partition))), VALUE))

    async def get(self, partition: bytes) -> None:
        await self._engine.get([Key(SPACE, partition, sort(self.place(partition)))])

    async def page(self, partition: bytes) -> None:
        lower = sort(self.place(partition))
        page = await self._engine.query(SPACE, partition, Range(lower), limit=PAGE)
        assert len(page.records) == PAGE
        assert page.records[0].sort >= lower

    async def page_backwards(self, partition: bytes) -> None:
        upper = sort(self.place(partition) + PAGE)
        page = await self._engine.query(SPACE, partition, Range(upper=upper), limit=PAGE, reverse=True)
        assert page.records[0].sort < upper

    async def discard(self, partition: bytes) -> None:
        first = self.place(partition)
        await self._engine.discard(SPACE, partition, Range(sort(first), sort(first + DISCARDED)))
        # Put back, outside of what is measured, so that the small one does not run empty.
        self.again = [Put(Key(SPACE, partition, sort(first + at)), VALUE) for at in range(DISCARDED)]


async def cost_of(operation: Callable[[bytes], Awaitable[None]], then: Callable[[], Awaitable[None]]) -> float:
    """Returns how many times as long an operation takes in the wide partition as in the narrow one, at the median."""
    took: dict[bytes, list[float]] = {WIDE: [], NARROW: []}
    for number in range(2 * ROUNDS):
        partition = (WIDE, NARROW)[number % 2]
        begun = time.perf_counter()
        await operation(partition)
        took[partition].append(time.perf_counter() - begun)
        await then()
    # The first ones prepare statements.
    wide, narrow = (statistics.median(one[2:]) for one in (took[WIDE], took[NARROW]))
    return wide / narrow


def test_a_wide_partition_costs_what_a_narrow_one_does(cassandra_cluster: Cluster) -> None:
    keyspace = f"wide_{IDS.draw(6).hex()}"

    async def test() -> None:
        engine = await open_engine(f"//{','.join(cassandra_cluster.contact_points)}/{keyspace}", clock=CLOCK, ids=IDS)
        try:
            await engine.ensure_space(SPACE)
            await fill(engine, NARROW, SMALL)
            await fill(engine, WIDE, RECORDS)
            # What is asked for lies in files, as it does where partitions are that wide.
            for number in cassandra_cluster.spec.numbers:
                assert cassandra_cluster.nodetool(number, "flush", keyspace).returncode == 0
            of = Operations(engine, SeededIds(1))

            async def put_back() -> None:
                await commit(engine, *of.again)

            async def nothing() -> None:
                return

            costs = {
                operation.__name__: await cost_of(operation, put_back if operation == of.discard else nothing)
                for operation in (of.put, of.get, of.page, of.page_backwards, of.discard)
            }
        finally:
            await engine.close()
        print({name: round(cost, 2) for name, cost in costs.items()})
        assert all(cost <= COST_MAX for cost in costs.values()), costs

    asyncio.run(test())
