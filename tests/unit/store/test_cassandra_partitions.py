"""Beliefs, and the lines in which a process's commits to one partition wait."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import pytest

from tenet.base.clock import ManualClock
from tenet.store.cassandra import partitions as module
from tenet.store.cassandra.encoding import encode_cells
from tenet.store.cassandra.partitions import Partitions
from tenet.store.cassandra.schema import REMEMBERED_S
from tenet.store.cassandra.unit import Seen
from tenet.store.errors import DeadlineExceeded
from tests.sim.harness import SimulatedLoop

P, Q = ("space", b"p"), ("space", b"q")


def run(clock: ManualClock, test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(clock)) as runner:
        runner.run(test)


class TestBeliefs:
    """What is remembered of partitions."""

    def test_nothing_is_known_of_what_was_not_seen(self) -> None:
        assert Partitions(ManualClock()).believed(P)[:2] == (None, None)

    def test_what_was_seen_last_is_believed(self) -> None:
        partitions = Partitions(ManualClock())
        partitions.learn(P, 1, b"one")
        partitions.learn(P, 2, b"two")
        partitions.learn_seen(Q, Seen(3, None, b"three"))
        assert partitions.believed(P)[:2] == (2, b"two")
        assert partitions.believed(Q)[:2] == (3, b"three")

    def test_a_time_alone_leaves_the_pointer(self) -> None:
        partitions = Partitions(ManualClock())
        partitions.learn(P, 1, b"pointer")
        partitions.learn_time(P, 2)
        partitions.learn_time(Q, 2)
        assert partitions.believed(P)[:2] == (2, b"pointer")
        assert partitions.believed(Q)[:2] == (2, None)

    def test_a_time_is_forgotten_when_the_cluster_forgets_it_and_the_pointer_is_not(self) -> None:
        clock = ManualClock()
        partitions = Partitions(clock)
        partitions.learn(P, 1, b"pointer")
        clock.advance_ms(1000 * REMEMBERED_S - 1)
        assert partitions.believed(P)[:2] == (1, b"pointer")
        clock.advance_ms(1)
        assert partitions.believed(P)[:2] == (None, b"pointer")

    @pytest.mark.interpreted
    def test_no_more_is_remembered_than_there_is_room_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_BELIEVED_MAX", 2)
        partitions = Partitions(ManualClock())
        places = [("space", b"%d" % number) for number in range(3)]
        partitions.learn(places[0], 1, None)
        partitions.learn(places[1], 1, None)
        partitions.learn(places[0], 2, None)
        partitions.learn(places[2], 1, None)
        assert [partitions.believed(place)[0] for place in places] == [2, None, 1]


def cells(time: int, amount: int) -> bytes:
    data = encode_cells(time, {"n": amount})
    assert data is not None
    return data


class TestCells:
    """What is remembered of the cells of records."""

    def test_nothing_is_known_of_what_was_not_learnt(self) -> None:
        partitions = Partitions(ManualClock())
        partitions.learn_cells(P, b"a", cells(1, 1))
        assert partitions.cells(P, b"b") is None
        assert partitions.cells(Q, b"a") is None

    def test_the_newest_are_remembered_in_whatever_order_they_are_learnt(self) -> None:
        partitions = Partitions(ManualClock())
        for time in (256, 1, 255, 257, 2):
            partitions.learn_cells(P, b"a", cells(time, time))
        assert partitions.cells(P, b"a") == cells(257, 257)

    def test_a_record_without_cells_and_one_with_many_are_forgotten(self) -> None:
        partitions = Partitions(ManualClock())
        for forgotten in (None, encode_cells(3, {"n" * 60 + str(number): number for number in range(32)})):
            partitions.learn_cells(P, b"a", cells(2, 1))
            partitions.learn_cells(P, b"a", forgotten)
            assert partitions.cells(P, b"a") is None
        partitions.learn_cells(P, b"b", None)

    @pytest.mark.interpreted
    def test_no_more_is_remembered_than_there_is_room_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_CELLS_MAX", 2)
        partitions = Partitions(ManualClock())
        for time, sort in enumerate((b"a", b"b", b"a", b"c")):
            partitions.learn_cells(P, sort, cells(time, 1))
        assert [partitions.cells(P, sort) is not None for sort in (b"a", b"b", b"c")] == [True, False, True]


class TestLines:
    """One at a time, in the order in which they came."""

    def test_they_go_in_order_and_one_partition_does_not_wait_for_another(self) -> None:
        clock = ManualClock()
        partitions = Partitions(clock)
        seen: list[str] = []

        async def work(place: tuple[str, bytes], name: str) -> None:
            async with partitions.line(place):
                seen.append(f"{name} begins")
                await asyncio.sleep(1)
                seen.append(f"{name} ends")

        async def test() -> None:
            started = clock.monotonic_s()
            await asyncio.gather(work(P, "a"), work(P, "b"), work(Q, "other"), work(P, "c"))
            assert clock.monotonic_s() - started == pytest.approx(3, abs=0.01)

        run(clock, test())
        of_p = [one for one in seen if "other" not in one]
        assert of_p == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")]
        assert not partitions._lines

    def test_a_deadline_ends_the_waiting(self) -> None:
        clock = ManualClock()
        partitions = Partitions(clock)

        async def test() -> None:
            async with partitions.line(P):
                started = clock.monotonic_s()
                with pytest.raises(DeadlineExceeded, match="while other commits to the partition went on"):
                    async with partitions.line(P, started + 2):
                        pytest.fail("the line was not held")
                assert clock.monotonic_s() - started == pytest.approx(2, abs=0.01)
            async with partitions.line(P, clock.monotonic_s() + 1):
                pass

        run(clock, test())
        assert not partitions._lines

    def test_a_deadline_that_has_passed_is_no_matter_where_nobody_waits(self) -> None:
        clock = ManualClock()
        partitions = Partitions(clock)

        async def test() -> None:
            async with partitions.line(P, 0.0):
                pass

        run(clock, test())
        assert not partitions._lines

    @pytest.mark.parametrize("cancelled", [0, 1, 2])
    def test_one_that_is_cancelled_leaves_nothing_behind_and_the_others_go_on(self, cancelled: int) -> None:
        clock = ManualClock()
        partitions = Partitions(clock)
        done: list[int] = []

        async def work(number: int) -> None:
            async with partitions.line(P, clock.monotonic_s() + 100):
                await asyncio.sleep(1)
                done.append(number)

        async def test() -> None:
            tasks = [asyncio.ensure_future(work(number)) for number in range(3)]
            await asyncio.sleep(0.5)
            tasks[cancelled].cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task

        run(clock, test())
        assert done == [number for number in range(3) if number != cancelled]
        assert not partitions._lines

    def test_an_error_lets_the_next_one_in(self) -> None:
        clock = ManualClock()
        partitions = Partitions(clock)

        async def test() -> None:
            for _ in range(2):
                with pytest.raises(ZeroDivisionError):
                    async with partitions.line(P):
                        raise ZeroDivisionError

        run(clock, test())
        assert not partitions._lines
