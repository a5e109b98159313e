"""Waits end in time, all by one timer, and a cancellation that was meant for the task stays one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from tenet.base.clock import NEVER, ManualClock
from tenet.store.cassandra.under_way import UnderWay
from tenet.store.cassandra.waits import Waits
from tests.sim.harness import SimulatedLoop


class Scene:
    """Waits in simulated time."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.waits = Waits()
        self.ended: list[tuple[str, float]] = []
        self._began = self.clock.monotonic_s()

    def now_s(self) -> float:
        return round(self.clock.monotonic_s() - self._began, 3)

    async def wait(self, name: str, timeout_s: float, awaited: Coroutine[Any, Any, object]) -> None:
        """Waits as users of ``Waits`` do, and notes how that ended, and when."""
        how = name
        wait = self.waits.begin(timeout_s, begun=self.now_s())
        try:
            await awaited
        except asyncio.CancelledError:
            if not wait.was_ended():
                self.ended.append((f"{name} cancelled", self.now_s()))
                raise
            how = f"{name} late"
        finally:
            self.waits.close(wait)
        self.ended.append((how, self.now_s()))

    def run(self, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
        with asyncio.Runner(loop_factory=lambda: SimulatedLoop(self.clock)) as runner:
            runner.run(test())


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def for_ever() -> None:
    await asyncio.Event().wait()


def test_each_ends_when_its_own_time_is_over_in_whichever_order_they_began(scene: Scene) -> None:
    async def test() -> None:
        await asyncio.gather(
            scene.wait("long", 3.0, for_ever()),
            scene.wait("short", 0.5, for_ever()),
            scene.wait("answered", 1.0, asyncio.sleep(0.2)),
            scene.wait("middle", 2.0, for_ever()),
        )

    scene.run(test)
    assert scene.ended == [("answered", 0.2), ("short late", 0.5), ("middle late", 2.0), ("long late", 3.0)]


def test_one_that_is_over_first_is_seen_though_it_began_last(scene: Scene) -> None:
    async def test() -> None:
        long = asyncio.ensure_future(scene.wait("long", 60.0, for_ever()))
        await asyncio.sleep(0.1)
        await scene.wait("short", 0.01, for_ever())
        await long

    scene.run(test)
    assert scene.ended == [("short late", 0.11), ("long late", 60.0)]


def test_no_time_at_all_is_over_at_once_and_one_without_end_never(scene: Scene) -> None:
    async def test() -> None:
        for_good = asyncio.ensure_future(scene.wait("for good", NEVER, for_ever()))
        await scene.wait("none", 0.0, for_ever())
        await asyncio.sleep(1_000_000)
        for_good.cancel()
        with suppress(asyncio.CancelledError):
            await for_good

    scene.run(test)
    assert [name for name, _ in scene.ended] == ["none late", "for good cancelled"]


def test_those_that_began_by_a_time_can_be_ended_before_it_is_over(scene: Scene) -> None:
    async def test() -> None:
        first = asyncio.ensure_future(scene.wait("first", 60.0, for_ever()))
        await asyncio.sleep(1)
        second = asyncio.ensure_future(scene.wait("second", 60.0, for_ever()))
        await asyncio.sleep(1)
        scene.waits.end_those(begun_by=0.5)
        await first
        scene.waits.end_those(begun_by=NEVER)
        scene.waits.end_those(begun_by=NEVER)
        await second

    scene.run(test)
    assert scene.ended == [("first late", 2.0), ("second late", 2.0)]


@pytest.mark.parametrize("is_first", [True, False])
def test_who_is_cancelled_when_his_time_is_over_is_cancelled(scene: Scene, *, is_first: bool) -> None:
    async def test() -> None:
        task = asyncio.ensure_future(scene.wait("both", 60.0, for_ever()))
        await asyncio.sleep(1)
        if is_first:
            task.cancel()
        scene.waits.end_those(begun_by=NEVER)
        if not is_first:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    scene.run(test)
    assert scene.ended == [("both cancelled", 1.0)]


def test_a_wait_that_was_ended_leaves_nothing_that_others_take_for_a_cancellation(scene: Scene) -> None:
    async def deaf() -> None:
        with suppress(asyncio.CancelledError):
            await for_ever()

    async def test() -> None:
        for awaited in (for_ever(), deaf()):
            await scene.wait("it", 1.0, awaited)
            task = asyncio.current_task()
            assert task is not None
            assert not task.cancelling()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.0):
                    await for_ever()

    scene.run(test)
    assert [name for name, _ in scene.ended] == ["it late", "it"]


def test_waits_within_waits_end_by_themselves(scene: Scene) -> None:
    async def test() -> None:
        await scene.wait("outer", 2.0, scene.wait("inner", 1.0, for_ever()))
        await scene.wait("outer", 1.0, scene.wait("inner", 2.0, for_ever()))

    scene.run(test)
    assert scene.ended == [("inner late", 1.0), ("outer", 1.0), ("inner cancelled", 2.0), ("outer late", 2.0)]


class TestUnderWay:
    """What goes on to its end."""

    def test_who_waits_gets_what_became_of_it(self, scene: Scene) -> None:
        async def fail() -> None:
            await asyncio.sleep(1)
            raise ZeroDivisionError

        async def test() -> None:
            under_way: UnderWay[object] = UnderWay()
            assert (await under_way.run(asyncio.sleep(1, "done"), NEVER)).result() == "done"
            with pytest.raises(ZeroDivisionError):
                (await under_way.run(fail(), 5.0)).result()
            assert not len(under_way)

        scene.run(test)

    def test_it_goes_on_when_nobody_waits_for_it_any_more(self, scene: Scene) -> None:
        async def test() -> None:
            under_way: UnderWay[str] = UnderWay()
            late = await under_way.run(asyncio.sleep(3, "late"), 1.0)
            assert (late.done(), scene.now_s()) == (False, 1.0)
            waiting = asyncio.ensure_future(under_way.run(asyncio.sleep(3, "left"), NEVER))
            await asyncio.sleep(0.5)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                _ = await waiting
            assert len(under_way) == 2
            await under_way.is_quiet()
            assert (late.result(), len(under_way), scene.now_s()) == ("late", 0, 4.0)

        scene.run(test)
