"""Nodes of the cluster that fall silent while statements wait for them, seen from the engine."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.cassandra.definitions import DEFINITION_S
from tenet.store.cassandra.engine import CassandraEngine, open_engine
from tenet.store.contract import Commit, Committed, Key, Put, SpaceOptions, new_commit_id
from tenet.store.errors import StoreUnavailable
from tests.rounds import rounds
from tools.cluster.cluster import Cluster

CALLERS = 8
#: The wait for one node; longer than any test waits, so that nothing but the watch can end it.
TRY_MS = 30_000
SILENT_S_MAX = 3.0
#: How long a request may wait where there is no majority any more: less than a second, on a machine that has time.
REFUSED_S_MAX = rounds(1.5, 1.0)


@asynccontextmanager
async def opened(cluster: Cluster) -> AsyncIterator[CassandraEngine]:
    location = f"//{','.join(cluster.contact_points)}/silent_{SystemIds().draw(6).hex()}?try_ms={TRY_MS}"
    engine = await open_engine(location, clock=SystemClock(), ids=SystemIds())
    try:
        await engine.ensure_space("some", SpaceOptions())
        yield engine
    finally:
        await engine.close()


def commit(number: int) -> Commit:
    return Commit(new_commit_id(SystemClock(), SystemIds()), (Put(Key("some", f"{number}".encode(), b""), b""),))


class Callers:
    """Puts one record after the other, each in a partition of its own, and notes how long each took."""

    def __init__(self, engine: CassandraEngine) -> None:
        self.engine = engine
        self.taken_s: list[float] = []
        #: How many were told that nothing was done, or that nobody knows.
        self.failed = 0
        self._numbers = itertools.count()
        self.is_over = False

    async def run(self) -> None:
        while not self.is_over:
            begun = time.monotonic()
            try:
                self.failed += not isinstance(await self.engine.commit(commit(next(self._numbers))), Committed)
            except StoreUnavailable:
                self.failed += 1
                await asyncio.sleep(0.01)
            self.taken_s.append(time.monotonic() - begun)

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(self.run())
            await asyncio.sleep(2)
            yield
            self.is_over = True


def test_nobody_waits_for_a_node_that_has_fallen_silent(cassandra_faults: Cluster) -> None:
    async def main() -> Callers:
        async with opened(cassandra_faults) as engine:
            callers = Callers(engine)
            async with callers.going_on():
                cassandra_faults.pause(2)
                await asyncio.sleep(5)
                assert engine.driver.nodes.left_alone == [cassandra_faults.spec.address(2)]
                cassandra_faults.resume(2)
            return callers

    callers = asyncio.run(main())
    assert callers.failed == 0
    assert max(callers.taken_s) < SILENT_S_MAX


@pytest.mark.parametrize("number", [1, 2])
def test_a_table_is_made_without_a_node_that_has_just_fallen_silent(cassandra_faults: Cluster, number: int) -> None:
    async def main() -> float:
        async with opened(cassandra_faults) as engine:
            cassandra_faults.pause(number)
            begun = time.monotonic()
            # One of them at most gets a table that was made before.
            await asyncio.gather(*(engine.ensure_space(name, SpaceOptions()) for name in ("more", "others")))
            taken_s = time.monotonic() - begun
            cassandra_faults.resume(number)
            return taken_s

    # Who waited until that node has the table as well would wait as long as a definition may take.
    assert asyncio.run(main()) < DEFINITION_S / 2


def test_a_table_is_made_though_the_node_that_was_chosen_to_define_it_falls_silent(cassandra_faults: Cluster) -> None:
    async def main() -> float:
        async with opened(cassandra_faults) as engine:
            nodes = engine.driver.nodes
            chosen = await nodes.first_to_reach_others()
            assert chosen is not None
            first_to_reach_others = nodes.first_to_reach_others

            async def just_chosen() -> str:
                nodes.first_to_reach_others = first_to_reach_others  # type: ignore[method-assign]
                cassandra_faults.pause(1)
                return chosen

            nodes.first_to_reach_others = just_chosen  # type: ignore[method-assign]
            begun = time.monotonic()
            await asyncio.gather(*(engine.ensure_space(name, SpaceOptions()) for name in ("more", "others")))
            taken_s = time.monotonic() - begun
            cassandra_faults.resume(1)
            assert chosen == cassandra_faults.spec.address(1)
            assert nodes.first_to_reach_others != just_chosen
            return taken_s

    assert asyncio.run(main()) < DEFINITION_S / 2


def test_a_process_starts_without_the_node_that_definitions_go_through(cassandra_faults: Cluster) -> None:
    async def main() -> None:
        cassandra_faults.pause(1)
        async with opened(cassandra_faults) as engine:
            assert engine.driver.nodes.left_alone == [cassandra_faults.spec.address(1)]
            assert await engine.get([Key("some", b"p")]) == [None]
            cassandra_faults.resume(1)

    asyncio.run(main())


def test_without_a_majority_requests_are_refused_at_once_until_it_is_back(cassandra_faults: Cluster) -> None:
    async def main() -> Callers:
        async with opened(cassandra_faults) as engine:
            callers = Callers(engine)
            async with callers.going_on():
                cassandra_faults.pause(2)
                cassandra_faults.pause(3)
                await asyncio.sleep(SILENT_S_MAX)
                health = await engine.health()
                assert not health["can_write"]
                assert "majority" in str(health["write_refusal"])
                begun = time.monotonic()
                with pytest.raises(StoreUnavailable, match="majority"):
                    await engine.commit(commit(-1))
                assert time.monotonic() - begun < 1
                cassandra_faults.resume(2)
                cassandra_faults.resume(3)
                await cut_off_ends(engine)
                await asyncio.sleep(0.1)
                failed = callers.failed
                await asyncio.sleep(2)
                assert callers.failed == failed
            return callers

    callers = asyncio.run(main())
    assert callers.failed > 0
    assert max(callers.taken_s) < REFUSED_S_MAX


async def cut_off_ends(engine: CassandraEngine) -> None:
    async with asyncio.timeout(60):
        while not (await engine.health())["can_write"]:  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(0.05)
