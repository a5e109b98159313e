"""When a process takes itself for cut off from the cluster, and when it does not, in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, cast

import pytest
import structlog

from tenet.base.clock import NEVER, ManualClock
from tenet.store.cassandra.driver import BEATS, Driver
from tenet.store.cassandra.location import Location
from tenet.store.cassandra.nodes import Nodes
from tenet.store.cassandra.supervision import Supervision
from tenet.store.cassandra.tries import Tries, Unsure
from tenet.store.errors import StoreUnavailable
from tests.sim.harness import SimulatedLoop

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
ALL = {A, B, C}
#: Within this long of a cut whoever waits, and whoever comes, must be refused; the issue asks for one second.
REFUSED_S_MAX = 0.9
#: What answers soon again is not cut off.
CALM_S_MIN = 0.5


class Cluster:
    """Nodes that answer, are silent, or are not there; it stands in for the driver of one process."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.location = Location((A,), "watched")
        self.silent: set[str] = set()
        self.gone: set[str] = set()
        self.sent = {"second": 0}
        self.nodes = Nodes(sorted(ALL), self.probe, self.reaches)
        self.tries = Tries(self.nodes, self.clock, 0.6, self.sent)
        self.refusals_s: list[float] = []
        self.connected = 0
        #: Keys whose replicas can still be asked where a majority of the others' cannot.
        self.readable: set[str] = set()

    async def _answer(self, nodes: set[str], least: int) -> bool:
        await asyncio.sleep(0.005)
        if len(nodes - self.silent - self.gone) < least:
            await asyncio.Event().wait()
        return True

    async def probe(self, address: str) -> bool:
        return await self._answer({address}, 1)

    async def reaches(self, address: str) -> bool:
        return await self._answer({address}, 1) and await self._answer(ALL, 2)

    async def listens(self, address: str, port: int) -> bool:
        assert port == self.location.port
        self.connected += 1
        if address in self.gone:
            await asyncio.Event().wait()
        return True

    async def select(
        self, _text: str, values: Sequence[Any], *, deadline: float = NEVER, even_cut_off: bool = False, **_: Any
    ) -> list[tuple[Any, ...]]:
        async def send(_profile: str, _timeout_s: float) -> list[tuple[Any, ...]]:
            await self._answer(ALL, 0 if self.readable.intersection(values) else 2)
            return []

        try:
            return cast("list[tuple[Any, ...]]", await self.tries.run(send, deadline, even_cut_off=even_cut_off))
        except Unsure as error:
            raise StoreUnavailable("too few nodes of the cluster answered the read in time") from error

    async def call_on(self, pause_s: float) -> None:
        """Sends one statement after the other, and notes when one was refused."""
        while True:
            try:
                await self.select("", ())
            except StoreUnavailable:
                self.refusals_s.append(self.clock.monotonic_s())
            await asyncio.sleep(pause_s)

    def run(self, test: Coroutine[Any, Any, None]) -> None:
        async def play() -> None:
            supervision = Supervision(cast("Driver", self), self.clock, listens=self.listens)
            beating = asyncio.ensure_future(supervision._beat_on())
            calling = asyncio.ensure_future(self.call_on(0.05))
            self.nodes.watch()
            try:
                await test
            finally:
                beating.cancel()
                calling.cancel()
                await self.nodes.close()

        with asyncio.Runner(loop_factory=lambda: SimulatedLoop(self.clock)) as runner:
            runner.run(play())

    async def is_cut_off_after_s(self) -> float:
        """Returns how long it takes until nothing is sent any more, and whoever waited was told."""
        begun = self.clock.monotonic_s()
        while not self.tries.cut_off:
            assert self.clock.monotonic_s() - begun < 10, "it never finds out"
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert self.refusals_s
        assert self.refusals_s[0] - begun < REFUSED_S_MAX
        return self.clock.monotonic_s() - begun - 0.1


#: Moments at which it may happen, against the probes and looks that go on; milliseconds.
MOMENTS_MS = range(0, 260, 20)


@pytest.mark.parametrize("after_ms", MOMENTS_MS)
def test_a_process_that_reaches_a_minority_refuses_in_less_than_a_second(after_ms: int) -> None:
    cluster = Cluster()

    async def test() -> None:
        await asyncio.sleep(5 + after_ms / 1000)
        assert not cluster.tries.cut_off
        cluster.gone = {B, C}
        assert CALM_S_MIN < await cluster.is_cut_off_after_s() < REFUSED_S_MAX
        cluster.gone = set()
        await asyncio.sleep(2)
        assert not cluster.tries.cut_off

    cluster.run(test())


def test_all_nodes_that_do_not_answer_are_named_while_it_is_cut_off() -> None:
    cluster = Cluster()

    async def test() -> None:
        await asyncio.sleep(5)
        assert cluster.nodes.not_answering() == []
        cluster.silent = {B, C}
        with structlog.testing.capture_logs() as said:
            assert await cluster.is_cut_off_after_s() < REFUSED_S_MAX
        (cut,) = [line for line in said if line["event"].startswith("cut off from the majority")]
        assert cut["not_answering"] == f"{B},{C}"
        await asyncio.sleep(1)
        assert cluster.nodes.not_answering() == [B, C]
        # One of them is enough for a majority; the other one stays named.
        cluster.silent = {C}
        await asyncio.sleep(3)
        assert not cluster.tries.cut_off
        assert cluster.nodes.not_answering() == [C]
        cluster.silent = set()
        await asyncio.sleep(3)
        assert cluster.nodes.not_answering() == []

    cluster.run(test())


@pytest.mark.parametrize("after_ms", MOMENTS_MS)
def test_a_process_that_reaches_no_node_at_all_says_so_in_less_than_a_second(after_ms: int) -> None:
    cluster = Cluster()

    async def test() -> None:
        await asyncio.sleep(5 + after_ms / 1000)
        assert not cluster.connected, "nobody is connected to where all answer"
        cluster.gone = set(ALL)
        assert CALM_S_MIN < await cluster.is_cut_off_after_s() < REFUSED_S_MAX
        connected = cluster.connected
        await asyncio.sleep(10)
        assert cluster.connected == connected
        cluster.gone = set()
        await asyncio.sleep(2)
        assert not cluster.tries.cut_off

    cluster.run(test())


def test_where_some_keys_can_still_be_read_not_all_requests_are_refused() -> None:
    cluster = Cluster()

    async def test() -> None:
        cluster.nodes.update([*sorted(ALL), "10.0.0.4", "10.0.0.5"])
        await asyncio.sleep(5)
        cluster.gone = {A, B, C}
        cluster.readable = {BEATS[5]}
        await asyncio.sleep(10)
        assert not cluster.tries.cut_off
        cluster.readable = set()
        assert await cluster.is_cut_off_after_s() < REFUSED_S_MAX
        cluster.readable = {BEATS[2]}
        await asyncio.sleep(3)
        assert not cluster.tries.cut_off, "what can be read again is served again"

    cluster.run(test())


@pytest.mark.parametrize("silent_s", [0.45, 1.5])
def test_a_cluster_that_is_late_as_a_whole_and_can_be_connected_to_is_not_given_up(silent_s: float) -> None:
    cluster = Cluster()

    async def test() -> None:
        await asyncio.sleep(5)
        for _ in range(5):
            cluster.silent = set(ALL)
            begun = cluster.clock.monotonic_s()
            while cluster.clock.monotonic_s() - begun < silent_s:
                await asyncio.sleep(0.01)
                assert not cluster.tries.cut_off
            cluster.silent = set()
            await asyncio.sleep(2)
        cluster.silent = set(ALL)
        await asyncio.sleep(4)
        assert cluster.tries.cut_off, "one that stands still for good is"

    cluster.run(test())
