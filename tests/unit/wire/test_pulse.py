"""A process that stood still ends what came before, unheard; one that was merely busy ends nothing."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest
import uvloop

from tenet.base.clock import SystemClock
from tenet.wire.door import Request, Response
from tenet.wire.limits import EdgeLimits
from tenet.wire.pulse import BEAT_S, STILL_S, STILL_UNKNOWN_S, Pulse
from tenet.wire.witness import WitnessedProcessTime
from tests.edges import Client, Echo, call, connected, serving, until

#: The loop's own time goes on while the machine's is moved on: requests would seem to have waited for their turn.
LIMITS = EdgeLimits(loop_delay_ms_max=0)

OnLoop: TypeAlias = Callable[[Callable[[], Awaitable[None]]], None]


class Machine(SystemClock):
    """The machine's time, which a test moves on: as clock, and as what the process was busy."""

    def __init__(self, *, knows_waiting: bool = True) -> None:
        self._passed_s = 0.0
        self._busy_s = 0.0
        self._missed_s = 0.0
        self.knows_waiting = knows_waiting

    def monotonic_s(self) -> float:
        return time.monotonic() + self._passed_s

    def passed_s(self) -> float:
        return self.monotonic_s()

    def busy_s(self) -> float:
        return self._busy_s

    def missed_s(self) -> float:
        return self._missed_s

    def pass_by(self, seconds: float, *, busy_s: float = 0.0, is_waiting: bool = False) -> None:
        """Lets time pass, in which the process was busy for as long as it says, or its loop alone waited."""
        self._passed_s += seconds
        self._busy_s += busy_s
        self._missed_s += 0.0 if is_waiting else seconds


class Slow(Echo):
    """Says of which requests it came to the end; ``Wait`` waits for the gate before that."""

    def __init__(self, **mount: Any) -> None:
        super().__init__(**mount)
        self.done: list[bytes] = []

    async def answer(self, request: Request) -> Response:
        response = await super().answer(request)
        self.done.append(request.body)
        return response


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def on_loop(request: pytest.FixtureRequest) -> OnLoop:
    """Runs a test on one of the loops."""

    def run(body: Callable[[], Awaitable[None]]) -> None:
        async def main() -> None:
            async with asyncio.timeout(30):
                await body()

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(main())

    return run


async def is_cut_off(client: Client) -> bool:
    """Whether a connection ends without a byte."""
    try:
        return await client.is_ended()
    except ConnectionResetError:
        return True


class TestPulse:
    """The rule by itself."""

    def test_a_loop_that_waits_for_a_disk_has_not_stood_still_while_another_thread_went_on(self) -> None:
        machine = Machine()
        told: list[float] = []

        async def main() -> None:
            pulse = Pulse(machine, machine, told.append)
            pulse.begin()
            machine.pass_by(20, is_waiting=True)
            assert not pulse.look()
            machine.pass_by(20)
            assert pulse.look()
            pulse.end()

        asyncio.run(main())
        assert told == [pytest.approx(20, abs=0.5)]

    def test_a_thread_that_only_wakes_tells_that_it_went_on_while_this_one_slept(self) -> None:
        process = WitnessedProcessTime()
        before_s = process.missed_s()
        time.sleep(1.5)
        assert process.missed_s() - before_s < 1.0

    @pytest.mark.parametrize(
        ("passed_s", "busy_s", "knows_waiting", "stood_still"),
        [
            (STILL_S * 0.9, 0.0, True, False),
            (STILL_S * 1.1, 0.0, True, True),
            (20.0, 0.0, True, True),
            (20.0, 0.3, True, True),
            # A loop that is kept busy, by itself or by others that take the processor from it.
            (2.0, 2.0, True, False),
            (2.0, 1.2, True, False),
            (STILL_UNKNOWN_S * 0.9, 0.0, False, False),
            (STILL_UNKNOWN_S * 1.1, 0.0, False, True),
        ],
    )
    def test_it_tells_a_stop_from_a_busy_loop(
        self, passed_s: float, busy_s: float, knows_waiting: bool, stood_still: bool
    ) -> None:
        machine = Machine(knows_waiting=knows_waiting)
        told: list[float] = []

        async def main() -> None:
            pulse = Pulse(machine, machine, told.append)
            pulse.begin()
            assert not pulse.is_overdue()
            machine.pass_by(passed_s, busy_s=busy_s)
            assert pulse.is_overdue() == stood_still
            assert not pulse.is_overdue(), "it is found out once"
            pulse.end()

        asyncio.run(main())
        assert len(told) == stood_still
        if stood_still:
            assert told[0] == pytest.approx(passed_s - busy_s, abs=0.1)

    def test_a_beat_finds_it_out_where_nobody_asks(self) -> None:
        machine = Machine()
        told: list[float] = []

        async def main() -> None:
            pulse = Pulse(machine, machine, told.append)
            pulse.begin()
            machine.pass_by(20)
            await until(lambda: bool(told))
            # And an idle process is not one that stands still.
            await asyncio.sleep(3 * BEAT_S)
            pulse.end()

        asyncio.run(main())
        assert len(told) == 1

    @pytest.mark.thorough
    def test_what_the_system_says_of_a_process_that_works_and_of_one_that_waits(self) -> None:
        # Several processes share one processor: each works a part of the time, and waits for the rest of it.
        with multiprocessing.get_context("spawn").Pool(3, _share_a_processor) as pool:
            found = pool.map(_work, [0.6] * 3, chunksize=1)
        knows_waiting = WitnessedProcessTime().knows_waiting
        for passed_s, ran_s, busy_s in found:
            assert busy_s >= ran_s
            if knows_waiting:
                assert busy_s >= 0.8 * passed_s, found
        process = WitnessedProcessTime()
        passed_s, busy_s = process.passed_s(), process.busy_s()
        time.sleep(0.3)
        assert process.passed_s() - passed_s >= 0.3
        assert process.busy_s() - busy_s < 0.2


def _share_a_processor() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _work(seconds: float) -> tuple[float, float, float]:
    process = WitnessedProcessTime()
    passed_s, ran_s, busy_s = process.passed_s(), time.process_time(), process.busy_s()
    while process.passed_s() - passed_s < seconds:
        pass
    return process.passed_s() - passed_s, time.process_time() - ran_s, process.busy_s() - busy_s


class TestEdges:
    """What becomes of connections and requests."""

    def test_what_lay_in_the_sockets_is_not_read(self, on_loop: OnLoop) -> None:
        async def test() -> None:
            machine, echo = Machine(), Slow()
            async with (
                serving(echo, clock=machine, process=machine, limits=LIMITS) as edge,
                connected(edge) as used,
                connected(edge) as half,
                connected(edge) as idle,
            ):
                first = call("Echo", b"first")
                assert (await used.ask(first)).status == 200
                whole = call("Echo", b"half" * 1_000)
                await half.send(whole[:-1_000])
                await until(lambda: len(edge._shared.connections) == 3)
                machine.pass_by(5)
                # Nobody but these bytes can tell the server: they are there before its next beat.
                for client in (used, half):
                    client.writer.write(call("Echo", b"old") if client is used else whole[-1_000:])
                for client in (used, half, idle):
                    assert await is_cut_off(client)
                async with connected(edge) as new:
                    assert (await new.ask(call("Echo", b"new"))).status == 200
                assert echo.done == [b"first", b"new"]
                assert edge.metrics.standstills == 1
                assert edge._shared.body_bytes_held == 0

        on_loop(test)

    def test_what_was_under_way_is_ended_before_its_next_step(self, on_loop: OnLoop) -> None:
        async def test() -> None:
            machine, echo = Machine(), Slow()
            limits = EdgeLimits(loop_delay_ms_max=0, in_flight_max=2, waiting_ms_max=20_000)
            async with (
                serving(echo, clock=machine, process=machine, limits=limits) as edge,
                connected(edge) as one,
                connected(edge) as two,
                connected(edge) as waiting,
            ):
                # One with others behind it, one that was behind another, one that waits for a place.
                await one.send(call("Wait", b"one") + call("Echo", b"behind"))
                await two.send(call("Echo", b"zero") + call("Wait", b"two"))
                await until(lambda: len(echo.seen) == 3)
                await waiting.send(call("Echo", b"waits"))
                await until(lambda: edge.admission.waiting == 1)
                assert (await two.read()).body == b"zero"
                machine.pass_by(5)
                # What they waited for has come, and may be the first that they hear.
                echo.gate.set()
                for client in (one, two, waiting):
                    assert await is_cut_off(client)
                await until(lambda: edge.admission.in_flight == 0)
                assert echo.done == [b"zero"]
                assert edge._shared.body_bytes_held == 0
                async with connected(edge) as new:
                    assert (await new.ask(call("Wait", b"new"))).status == 200
                assert edge.admission.in_flight == edge.admission.waiting == 0

        on_loop(test)

    def test_what_is_lasting_goes_on_to_its_end(self, on_loop: OnLoop) -> None:
        async def test() -> None:
            machine, echo = Machine(), Slow(is_lasting=True)
            async with (
                serving(echo, clock=machine, process=machine, limits=LIMITS) as edge,
                connected(edge) as client,
                connected(edge) as idle,
            ):
                await client.send(call("Wait", b"begun"))
                await until(lambda: len(echo.seen) == 1)
                machine.pass_by(5)
                assert await is_cut_off(idle)
                assert echo.done == []
                echo.gate.set()
                # Whoever asked may still be there: what he is told (a secret, a token) is told once.
                assert (await client.read()).status == 200
                assert await client.is_ended()
                assert echo.done == [b"begun"]
                await until(lambda: edge.admission.in_flight == 0)
                assert edge._shared.body_bytes_held == 0

        on_loop(test)

    def test_a_connection_that_was_being_made_is_not_heard(self, on_loop: OnLoop) -> None:
        async def test() -> None:
            machine, echo = Machine(), Slow()
            async with serving(echo, clock=machine, process=machine, limits=LIMITS) as edge, connected(edge) as first:
                await until(lambda: len(edge._shared.connections) == 1)
                # More than are accepted in one turn; they are made and sent without a turn of the loop in between.
                others = [socket.create_connection(edge.address) for _ in range(100)]
                for other in others:
                    other.sendall(call("Echo", b"old"))
                    other.setblocking(False)
                machine.pass_by(5)
                first.writer.write(call("Echo", b"old"))
                assert await is_cut_off(first)
                for other in others:
                    with contextlib.suppress(ConnectionResetError):
                        assert await asyncio.get_running_loop().sock_recv(other, 1) == b""
                    other.close()
                await until(lambda: not edge._shared.connections and not edge._shared.greeted)
                assert echo.seen == []

        on_loop(test)

    def test_a_busy_loop_loses_no_connection(self, on_loop: OnLoop) -> None:
        async def test() -> None:
            machine, echo = Machine(), Slow()
            async with serving(echo, clock=machine, process=machine, limits=LIMITS) as edge, connected(edge) as client:
                await client.send(call("Wait", b"one"))
                await until(lambda: len(echo.seen) == 1)
                machine.pass_by(5, busy_s=4.5)
                echo.gate.set()
                assert (await client.read()).status == 200
                machine.pass_by(5, busy_s=4.5)
                assert (await client.ask(call("Echo", b"two"))).status == 200
                assert edge.metrics.standstills == 0

        on_loop(test)
