"""The tries of a statement: which node it is sent through next, and what its caller is told in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from acsylla import errors

from tenet.base.clock import NEVER, ManualClock
from tenet.store.cassandra.nodes import USUAL, Nodes, only
from tenet.store.cassandra.tries import Doubt, TableMissing, Tries, Unsure, explained
from tenet.store.errors import DeadlineExceeded, StoreCorrupt, StoreFault, StoreUnavailable
from tests.sim.harness import SimulatedLoop

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
ALL = {A, B, C}
UNAVAILABLE = errors.CassErrorServerUnavailable("Cannot achieve consistency level QUORUM")
MISSING = errors.CassErrorServerInvalidQuery("table t does not exist")
REFUSED = errors.CassErrorServerWriteFailure("Operation failed")
UNREADABLE = errors.CassErrorLibInvalidData("what is this")


class Cluster:
    """Three nodes, the first of which holds every key.

    Args:
        silent: nodes that answer nothing at all.
        alone: nodes that answer what they know themselves, and nothing that they must ask others for.
        says: what nodes answer to statements, where that is an error.
    """

    def __init__(
        self,
        *,
        silent: frozenset[str] = frozenset(),
        alone: frozenset[str] = frozenset(),
        says: dict[str, Exception] | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.silent, self.alone, self.says = set(silent), set(alone), says or {}
        self.profiles: list[str] = []
        self.counts = {"second": 0}
        self.nodes = Nodes((A, B, C), self.probe, self.reaches)
        self.tries = Tries(self.nodes, self.clock, 1.5, self.counts)
        self.doubt = Doubt()

    async def probe(self, address: str) -> bool:
        await asyncio.sleep(0.001)
        if address in self.silent:
            await asyncio.Event().wait()
        return True

    async def reaches(self, address: str) -> bool:
        await asyncio.sleep(0.002)
        if address in self.alone:
            await asyncio.Event().wait()
        return True

    async def send(self, profile: str, timeout_s: float) -> str:
        self.profiles.append(profile)
        by = A if profile == USUAL else next(one for one in (B, C, A) if one in profile)
        if profile.startswith("without"):
            by = next(one for one in (A, B, C) if one not in profile)
        if by in self.silent | self.alone:
            await asyncio.sleep(timeout_s)
            raise errors.CassErrorLibRequestTimedOut("timed out")
        await asyncio.sleep(0.005)
        if by in self.says:
            raise self.says[by]
        return by

    def run(self, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def play() -> None:
            self.nodes.watch()
            try:
                await test()
            finally:
                await self.nodes.close()

        with asyncio.Runner(loop_factory=lambda: SimulatedLoop(self.clock)) as runner:
            runner.run(play())

    async def ask(self, for_s: float = NEVER) -> str:
        until = for_s if for_s == NEVER else self.clock.monotonic_s() + for_s
        answer: str = await self.tries.run(self.send, until, self.doubt)
        return answer


def test_one_try_is_enough_where_the_first_answers() -> None:
    cluster = Cluster()

    async def test() -> None:
        assert await cluster.ask() == A

    cluster.run(test)
    assert (cluster.profiles, cluster.counts, cluster.doubt.is_there) == ([USUAL], {"second": 0}, False)


def test_a_silent_node_costs_a_second_and_then_nothing() -> None:
    cluster = Cluster()

    async def test() -> None:
        cluster.silent.add(A)
        began = cluster.clock.monotonic_s()
        assert await cluster.ask() in {B, C}
        assert cluster.clock.monotonic_s() - began < 1.1
        began = cluster.clock.monotonic_s()
        assert await cluster.ask() in {B, C}
        assert cluster.clock.monotonic_s() - began < 0.01

    cluster.run(test)
    assert cluster.doubt.is_there


def test_a_node_that_answers_and_reaches_nobody_is_not_asked_twice_and_then_left_alone() -> None:
    cluster = Cluster(alone=frozenset({A}))

    async def test() -> None:
        began = cluster.clock.monotonic_s()
        assert await cluster.ask() in {B, C}
        assert cluster.clock.monotonic_s() - began < 1.7
        await asyncio.sleep(2.5)
        assert cluster.nodes.left_alone == [A]
        assert cluster.nodes.answering == 3
        began = cluster.clock.monotonic_s()
        assert await cluster.ask() in {B, C}
        assert cluster.clock.monotonic_s() - began < 0.01
        # It is used again when it reaches others, and not before.
        await asyncio.sleep(60)
        assert cluster.nodes.left_alone == [A]
        cluster.alone.clear()
        await asyncio.sleep(2)
        assert cluster.nodes.left_alone == []

    cluster.run(test)
    assert only(A) not in cluster.profiles


def test_what_one_node_is_not_able_to_do_another_one_does() -> None:
    for error in (UNAVAILABLE, MISSING):
        cluster = Cluster(says={A: error, B: error})

        async def test(cluster: Cluster = cluster) -> None:
            assert await cluster.ask() == C

        cluster.run(test)
        assert not cluster.doubt.is_there


@pytest.mark.parametrize(("error", "told"), [(UNAVAILABLE, StoreUnavailable), (MISSING, TableMissing)])
def test_what_no_node_is_able_to_do_is_told_when_each_was_asked_once(error: Exception, told: type[Exception]) -> None:
    cluster = Cluster(says=dict.fromkeys(ALL, error))

    async def test() -> None:
        with pytest.raises(told):
            await cluster.ask()

    cluster.run(test)
    assert cluster.profiles[0] == USUAL
    assert sorted(cluster.profiles[1:]) == [only(A), only(B), only(C)]
    assert not cluster.doubt.is_there


def test_a_doubt_outlives_what_others_say() -> None:
    """A try that may land is not made undone by a node that does not even know the table."""
    for error in (MISSING, UNAVAILABLE):
        cluster = Cluster(silent=frozenset({A}), says={B: error, C: error})

        async def test(cluster: Cluster = cluster) -> None:
            with pytest.raises(Unsure):
                await cluster.ask(5.0)

        cluster.run(test)
        assert cluster.doubt.is_there


def test_where_all_fail_at_once_they_are_asked_in_rounds_with_a_pause() -> None:
    cluster = Cluster(says=dict.fromkeys(ALL, REFUSED))

    async def test() -> None:
        with pytest.raises(Unsure):
            await cluster.ask(1.0)

    cluster.run(test)
    assert len(cluster.profiles) <= 1 + 3 * 10
    assert max(cluster.profiles.count(only(one)) for one in ALL) >= 5


def test_an_answer_that_cannot_be_read_leaves_a_doubt() -> None:
    cluster = Cluster(says=dict.fromkeys(ALL, UNREADABLE))

    async def test() -> None:
        with pytest.raises(StoreCorrupt):
            await cluster.ask()

    cluster.run(test)
    assert (cluster.profiles, cluster.doubt.is_there) == ([USUAL], True)


def test_deadlines_are_kept_while_nodes_are_looked_for() -> None:
    cluster = Cluster(silent=frozenset(ALL))

    async def test() -> None:
        began = cluster.clock.monotonic_s()
        with pytest.raises(Unsure):
            await cluster.ask(0.4)
        assert cluster.clock.monotonic_s() - began < 0.6
        with pytest.raises(DeadlineExceeded):
            await cluster.ask(0.0)

    cluster.run(test)


def test_nothing_is_sent_where_the_majority_is_out_of_reach() -> None:
    cluster = Cluster()

    async def test() -> None:
        cluster.tries.cut("no majority")
        with pytest.raises(StoreUnavailable, match="no majority"):
            await cluster.ask()
        assert await cluster.tries.run(cluster.send, NEVER, even_cut_off=True) == A
        cluster.tries.cut("")
        assert await cluster.ask() == A

    cluster.run(test)
    assert cluster.profiles == [USUAL, USUAL]


def test_whoever_waits_is_told_at_once_that_the_majority_is_out_of_reach() -> None:
    cluster = Cluster(silent=frozenset({B, C}), alone=frozenset({A}))

    async def test() -> None:
        for after_s in (0.1, 1.6):  # while it is sent, and while somebody is looked for who could send it
            began = cluster.clock.monotonic_s()
            asked = asyncio.ensure_future(cluster.ask())
            await asyncio.sleep(after_s)
            cluster.tries.cut("no majority")
            with pytest.raises(Unsure):
                await asked
            assert cluster.clock.monotonic_s() - began < after_s + 0.11
            cluster.tries.cut("")

    cluster.run(test)


def test_rights_that_cannot_be_looked_up_are_a_matter_of_time() -> None:
    text = "Unable to perform authorization of permissions: Unable to perform authorization of super-user permission"
    assert isinstance(explained(errors.CassErrorServerUnauthorized(text)), StoreUnavailable)
    with pytest.raises(StoreFault, match="does not let this user"):
        explained(errors.CassErrorServerUnauthorized("User tenet has no SELECT permission on <table k.registry>"))
