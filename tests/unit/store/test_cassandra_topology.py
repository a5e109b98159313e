"""Nodes that come and go while a process runs: who is asked for them, and what is made of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, cast

import pytest
from acsylla import errors

from tenet.base.clock import ManualClock
from tenet.store.cassandra.driver import Driver
from tenet.store.cassandra.location import Location
from tenet.store.cassandra.nodes import Nodes, only
from tenet.store.cassandra.supervision import Supervision
from tenet.store.cassandra.topology import addresses_now
from tenet.store.errors import StoreUnavailable
from tests.sim.harness import SimulatedLoop

A, B, C, D = (f"10.0.0.{number}" for number in range(1, 5))


class Cluster:
    """Nodes that know of each other; it stands in for the driver of one process."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.location = Location((A,), "some")
        self.datacenter = "here"
        self.there = [A, B, C]
        self.elsewhere: list[str] = []
        self.silent: set[str] = set()
        self.asked: list[str] = []
        self.renewed: list[Sequence[str]] = []
        self.closed = 0
        self.fails = False
        self.nodes = Nodes(list(self.there), self.probe, self.probe)
        self.tries: Any = None

    async def probe(self, address: str) -> bool:
        return address in self.there and address not in self.silent

    async def told_by(self, address: str, text: str, *, timeout_s: float) -> list[tuple[Any, ...]]:
        assert timeout_s > 0
        self.asked.append(address)
        if not await self.probe(address):
            raise errors.CassErrorLibRequestTimedOut("silent")
        if "system.local" in text:
            return [(address, self.datacenter)]
        peers = [(one, self.datacenter) for one in self.there if one != address]
        return [*peers, *((one, "elsewhere") for one in self.elsewhere), (None, self.datacenter), (D, None)]

    async def renew(self, addresses: Sequence[str]) -> None:
        if self.fails:
            raise StoreUnavailable("nobody lets this process in")
        self.renewed.append(addresses)
        self.nodes.update(addresses)

    async def close_former(self) -> None:
        self.closed += 1

    def run(self, test: Coroutine[Any, Any, None]) -> None:
        async def play() -> None:
            learning = asyncio.create_task(Supervision(cast("Driver", self), self.clock)._learn_on())
            self.nodes.watch()
            try:
                await test
            finally:
                learning.cancel()
                await self.nodes.close()

        with asyncio.Runner(loop_factory=lambda: SimulatedLoop(self.clock)) as runner:
            runner.run(play())


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_a_new_node_is_found_within_a_minute_and_then_sent_to_and_watched(cluster: Cluster) -> None:
    async def test() -> None:
        await asyncio.sleep(130)
        assert not cluster.renewed, "nothing has changed"
        assert len(cluster.asked) <= 2 * 2 * 3, "it asks all the time"
        cluster.there.append(D)
        cluster.elsewhere = ["10.1.0.1"]
        await asyncio.sleep(66)
        assert cluster.renewed == [[A, B, C, D]]
        assert only(D) in {cluster.nodes.usual(), *cluster.nodes.others(1)}
        cluster.silent = {D}
        await asyncio.sleep(2)
        assert cluster.nodes.left_alone == [D]
        assert cluster.closed, "former connections stay for ever"

    cluster.run(test())


def test_a_node_that_has_left_is_forgotten_soon_after_it_falls_silent(cluster: Cluster) -> None:
    async def test() -> None:
        await asyncio.sleep(62)
        cluster.there.remove(B)
        await asyncio.sleep(8)
        assert cluster.renewed == [[A, C]]
        assert cluster.nodes.left_alone == []
        assert cluster.nodes.answering == 2
        assert only(B) not in {cluster.nodes.usual(), *cluster.nodes.others(2)}

    cluster.run(test())


def test_one_that_is_only_silent_stays_and_so_do_all_where_nobody_can_tell(cluster: Cluster) -> None:
    async def test() -> None:
        cluster.silent = {B}
        await asyncio.sleep(100)
        assert cluster.nodes.left_alone == [B]
        cluster.silent = {A, B, C}
        assert not await addresses_now(cast("Driver", cluster))
        await asyncio.sleep(100)
        assert cluster.nodes.addresses == [A, B, C]
        assert not cluster.renewed

    cluster.run(test())


def test_where_new_connections_cannot_be_made_it_is_tried_again(cluster: Cluster) -> None:
    async def test() -> None:
        cluster.fails = True
        cluster.there.append(D)
        await asyncio.sleep(130)
        assert cluster.nodes.addresses == [A, B, C]
        cluster.fails = False
        await asyncio.sleep(66)
        assert cluster.nodes.addresses == [A, B, C, D]

    cluster.run(test())
