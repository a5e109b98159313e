"""Which nodes are sent to: a node that is silent twice is left alone, until it has answered twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import islice
from typing import Any

import pytest

from tenet.base.clock import ManualClock
from tenet.store.cassandra.nodes import USUAL, Nodes, only, without
from tests.sim.harness import SimulatedLoop

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"


class Cluster:
    """Nodes that answer probes, or refuse, or say nothing."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.silent: set[str] = set()
        self.refusing: set[str] = set()
        self.probes: list[str] = []
        self.nodes = Nodes((A, B, C), self.probe)

    async def probe(self, address: str) -> bool:
        self.probes.append(address)
        if address in self.refusing:
            raise ConnectionRefusedError
        if address in self.silent:
            await asyncio.Event().wait()
        return True

    def run(self, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def play() -> None:
            try:
                await test()
            finally:
                await self.nodes.close()

        with asyncio.Runner(loop_factory=lambda: SimulatedLoop(self.clock)) as runner:
            runner.run(play())

    def first_way(self) -> str:
        return next(self.nodes.ways(1))


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_where_all_is_well_nobody_is_probed(cluster: Cluster) -> None:
    async def test() -> None:
        for _ in range(10):
            list(cluster.nodes.ways(2))
        await asyncio.sleep(60)

    cluster.run(test)
    assert cluster.probes == []


def test_a_suspicion_that_is_not_borne_out_ends_with_one_round_of_probes(cluster: Cluster) -> None:
    async def test() -> None:
        cluster.nodes.suspect()
        cluster.nodes.suspect()
        await asyncio.sleep(60)

    cluster.run(test)
    assert sorted(cluster.probes) == [A, B, C]
    assert cluster.nodes.left_alone == []


@pytest.mark.parametrize("how", ["silent", "refusing"])
def test_a_node_that_does_not_answer_twice_is_left_alone_and_comes_back(cluster: Cluster, how: str) -> None:
    async def test() -> None:
        getattr(cluster, how).add(B)
        cluster.nodes.suspect()
        await asyncio.sleep(2)
        assert cluster.nodes.left_alone == [B]
        assert cluster.first_way() == without(B)
        assert only(B) not in list(cluster.nodes.ways(3))
        await asyncio.sleep(30)
        assert cluster.nodes.left_alone == [B]
        getattr(cluster, how).clear()
        await asyncio.sleep(3)
        assert cluster.nodes.left_alone == []
        assert cluster.first_way() == USUAL
        probes = len(cluster.probes)
        await asyncio.sleep(60)
        assert len(cluster.probes) == probes

    cluster.run(test)


def test_it_is_found_out_within_a_second_and_a_half(cluster: Cluster) -> None:
    async def test() -> None:
        cluster.silent.add(A)
        cluster.nodes.suspect()
        await asyncio.sleep(1.5)
        assert cluster.nodes.left_alone == [A]

    cluster.run(test)


def test_a_node_that_answers_every_other_time_is_not_left_alone(cluster: Cluster) -> None:
    async def test() -> None:
        for _ in range(6):
            cluster.refusing = set() if cluster.refusing else {B}
            cluster.nodes.suspect()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        cluster.refusing = set()
        await asyncio.sleep(5)
        assert cluster.nodes.left_alone == []

    cluster.run(test)


def test_one_answer_does_not_bring_it_back(cluster: Cluster) -> None:
    async def test() -> None:
        cluster.silent.add(B)
        cluster.nodes.suspect()
        await asyncio.sleep(5)
        cluster.silent.clear()
        seen = cluster.probes.count(B)
        for _ in range(500):
            await asyncio.sleep(0.01)
            if cluster.probes.count(B) > seen:
                break
        assert cluster.probes.count(B) == seen + 1
        assert cluster.nodes.left_alone == [B]

    cluster.run(test)


def test_where_two_are_left_alone_everything_goes_through_the_third(cluster: Cluster) -> None:
    async def test() -> None:
        cluster.silent = {A, B}
        cluster.nodes.suspect()
        await asyncio.sleep(3)
        assert cluster.nodes.left_alone == [A, B]
        assert set(cluster.nodes.ways(2)) == {only(C)}

    cluster.run(test)


def test_where_none_answers_all_are_tried(cluster: Cluster) -> None:
    async def test() -> None:
        cluster.silent = {A, B, C}
        cluster.nodes.suspect()
        await asyncio.sleep(3)
        assert cluster.first_way() == USUAL
        assert set(cluster.nodes.ways(1)) == {USUAL, only(A), only(B), only(C)}

    cluster.run(test)


def test_every_node_gets_its_turn_in_every_round_and_not_always_the_same_first(cluster: Cluster) -> None:
    firsts = set()
    for _ in range(3):
        ways = list(cluster.nodes.ways(2))
        assert ways[0] == USUAL
        assert sorted(ways[1:4]) == sorted(ways[4:]) == [only(A), only(B), only(C)]
        firsts.add(next(islice(ways, 1, None)))
    assert len(firsts) == 3


def test_the_first_that_answers_gets_the_next_try() -> None:
    async def probe(address: str) -> bool:
        if address == "slow":
            await asyncio.sleep(0.05)
        return address != "silent"

    async def main() -> None:
        assert await Nodes(["silent", "slow", "quick"], probe).quickest() == "quick"
        assert await Nodes(["silent", "slow"], probe).quickest() == "slow"
        assert await Nodes(["silent"], probe).quickest() is None

    asyncio.run(main())
