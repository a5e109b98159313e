"""Which nodes are sent to: a node that is silent three times is left alone, until it has answered twice."""

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
        self.told = self.refused = 0
        self.every_other = ""
        self.slow_s = 0.0
        self.alone: set[str] = set()
        self.looks: list[str] = []
        self.nodes = Nodes((A, B, C), self.probe, self.reaches)
        self.nodes.on_silent = self.tell

    def tell(self) -> None:
        self.told += 1

    async def probe(self, address: str) -> bool:
        self.probes.append(address)
        if address == self.every_other and self.probes.count(address) % 2:
            self.refused += 1
            raise ConnectionRefusedError
        if address in self.refusing:
            raise ConnectionRefusedError
        await asyncio.sleep(self.slow_s)
        if address in self.silent:
            await asyncio.Event().wait()
        return True

    async def reaches(self, address: str) -> bool:
        self.looks.append(address)
        if address in self.alone:
            raise ConnectionRefusedError
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
        return self.nodes.usual()

    def ways(self, rounds: int) -> list[str]:
        return [self.nodes.usual(), *self.nodes.others(rounds)]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_every_node_is_probed_four_times_a_second(cluster: Cluster) -> None:
    async def test() -> None:
        cluster.nodes.watch()
        await asyncio.sleep(10)

    cluster.run(test)
    assert [cluster.probes.count(one) for one in (A, B, C)] == pytest.approx([40, 40, 40], abs=2)
    assert cluster.nodes.left_alone == []


def test_where_there_are_many_they_are_probed_less_often() -> None:
    clock, probes = ManualClock(), 0

    async def probe(_address: str) -> bool:
        nonlocal probes
        probes += 1
        return True

    async def main() -> None:
        nodes = Nodes([str(number) for number in range(200)], probe, probe)
        nodes.watch()
        await asyncio.sleep(50)
        await nodes.close()

    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(clock)) as runner:
        runner.run(main())
    assert probes == pytest.approx(50 * 40, abs=200)


@pytest.mark.parametrize("how", ["silent", "refusing"])
def test_a_node_that_does_not_answer_three_times_is_left_alone_and_comes_back(cluster: Cluster, how: str) -> None:
    async def test() -> None:
        getattr(cluster, how).add(B)
        cluster.nodes.watch()
        await asyncio.sleep(2)
        assert cluster.nodes.left_alone == [B]
        assert cluster.first_way() == without(B)
        assert only(B) not in cluster.ways(3)
        await asyncio.sleep(30)
        assert cluster.nodes.left_alone == [B]
        getattr(cluster, how).clear()
        await asyncio.sleep(3)
        assert cluster.nodes.left_alone == []
        assert cluster.first_way() == USUAL

    cluster.run(test)


def test_it_is_found_out_and_told_within_a_second(cluster: Cluster) -> None:
    async def test() -> None:
        cluster.nodes.watch()
        await asyncio.sleep(10.1)
        assert cluster.told == 0
        cluster.silent.add(A)
        await asyncio.sleep(1.01)
        assert cluster.nodes.left_alone == [A]
        assert cluster.told == 1

    cluster.run(test)


def test_a_node_that_answers_every_other_time_is_not_left_alone(cluster: Cluster) -> None:
    async def test() -> None:
        cluster.every_other = B
        cluster.nodes.watch()
        await asyncio.sleep(20)
        assert cluster.nodes.left_alone == []
        assert cluster.refused > 10

    cluster.run(test)


def test_where_all_are_slow_one_has_more_time_and_a_silent_one_is_found_out_all_the_same(cluster: Cluster) -> None:
    async def test() -> None:
        cluster.nodes.watch()
        for milliseconds in range(0, 400, 4):
            cluster.slow_s = milliseconds / 1000
            await asyncio.sleep(0.5)
        assert cluster.nodes.left_alone == []
        assert cluster.nodes.answering == 3
        cluster.silent.add(C)
        await asyncio.sleep(2)
        assert cluster.nodes.left_alone == [C]
        # Silence makes nobody patient: it was the slow answers that did.
        cluster.slow_s = 0.0
        await asyncio.sleep(120)
        cluster.silent.add(B)
        await asyncio.sleep(1.01)
        assert cluster.nodes.left_alone == [B, C]

    cluster.run(test)


def test_all_who_look_for_the_quickest_at_once_ask_each_node_once(cluster: Cluster) -> None:
    async def test() -> None:
        cluster.silent.add(A)
        cluster.slow_s = 0.01
        assert set(await asyncio.gather(*(cluster.nodes.quickest() for _ in range(100)))) <= {B, C}
        assert sorted(cluster.probes) == [A, B, C]
        looks = [asyncio.ensure_future(cluster.nodes.quickest()) for _ in range(2)]
        await asyncio.sleep(0)
        looks[0].cancel()
        assert await looks[1] in {B, C}
        cluster.silent |= {B, C}
        assert await cluster.nodes.quickest() is None

    cluster.run(test)


def test_one_answer_does_not_bring_it_back(cluster: Cluster) -> None:
    async def test() -> None:
        cluster.silent.add(B)
        cluster.nodes.watch()
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
        cluster.nodes.watch()
        await asyncio.sleep(3)
        assert cluster.nodes.left_alone == [A, B]
        assert set(cluster.ways(2)) == {only(C)}

    cluster.run(test)


def test_where_none_answers_all_are_tried(cluster: Cluster) -> None:
    async def test() -> None:
        cluster.silent = {A, B, C}
        cluster.nodes.watch()
        await asyncio.sleep(3)
        assert cluster.nodes.left_alone == []
        assert cluster.nodes.answering == 0
        assert cluster.first_way() == USUAL
        assert set(cluster.ways(1)) == {USUAL, only(A), only(B), only(C)}
        cluster.silent = {A, B}
        await asyncio.sleep(1)
        assert cluster.nodes.left_alone == [A, B]
        assert cluster.nodes.answering == 1

    cluster.run(test)


def test_every_node_gets_its_turn_in_every_round_and_not_always_the_same_first(cluster: Cluster) -> None:
    firsts = set()
    for _ in range(3):
        ways = cluster.ways(2)
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
        assert await Nodes(["silent", "slow", "quick"], probe, probe).quickest() == "quick"
        assert await Nodes(["silent", "slow"], probe, probe).quickest() == "slow"
        assert await Nodes(["silent"], probe, probe).quickest() is None

    asyncio.run(main())
