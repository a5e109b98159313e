"""Turns: who goes first of one process's commits over several partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from tenet.base.clock import NEVER, ManualClock
from tenet.base.ids import SeededIds
from tenet.store.cassandra.turns import Turn, Turns
from tenet.store.contract import Commit, IsStamp, IsVersion, Key, Put, StampOf, new_commit_id
from tenet.store.errors import DeadlineExceeded
from tests.sim.harness import SimulatedLoop

A, B, C = (("s", name) for name in (b"a", b"b", b"c"))
KEY_A, KEY_B = Key("s", b"a", b"1"), Key("s", b"b", b"1")


def came(*turns: Turn) -> list[bool]:
    return [turn.has_come for turn in turns]


class Scene:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.ids = SeededIds(1)
        self.turns = Turns(self.clock)

    def enter(self, *places: tuple[str, bytes], writes: Any = (), checks: Any = ()) -> Turn:
        return self.turns.enter(Commit(new_commit_id(self.clock, self.ids), writes, checks), places)

    def run(self, play: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=lambda: SimulatedLoop(self.clock)) as runner:
            runner.run(play)


def test_those_that_share_no_partition_go_at_once_and_the_others_in_their_order() -> None:
    scene = Scene()

    async def play() -> None:
        first, beside, second, third = scene.enter(A, B), scene.enter(C), scene.enter(B, C), scene.enter(B)
        assert came(first, beside, second, third) == [True, True, False, False]
        scene.turns.leave(beside)
        assert came(second) == [False]
        scene.turns.leave(first)
        assert came(second, third) == [True, False]
        scene.turns.leave(second)
        assert came(third) == [True]
        scene.turns.leave(third)
        assert not any(map(scene.turns.are_taken, (A, B, C)))

    scene.run(play())


def test_one_that_waits_for_another_partition_is_overtaken_but_not_for_long() -> None:
    scene = Scene()

    async def play() -> None:
        held, waits = scene.enter(A), scene.enter(A, B)
        soon = scene.enter(B)
        assert came(soon) == [True], "a partition that nobody uses stands still"
        scene.turns.leave(soon)
        scene.clock.advance_ms(400)
        late = scene.enter(B)
        assert came(late) == [False], "it is overtaken for ever"
        scene.turns.leave(held)
        assert came(waits, late) == [True, False]
        scene.turns.leave(waits)
        assert came(late) == [True]
        scene.turns.leave(late)

    scene.run(play())


@pytest.mark.parametrize(
    ("check", "is_told"),
    [
        (IsVersion(KEY_A, None), True),
        (IsStamp(StampOf("s", b"a"), 1), True),
        (IsVersion(KEY_B, None), False),
        (IsVersion(Key("s", b"a", b"2"), None), False),
    ],
)
def test_who_waits_is_told_of_a_change_of_what_he_checks_and_of_nothing_else(check: Any, is_told: bool) -> None:
    scene = Scene()

    async def play() -> None:
        first, second = scene.enter(A, writes=[Put(KEY_A, b"1")]), scene.enter(A, B)
        third = scene.enter(A, B, checks=[check])
        first.took_effect = True
        scene.turns.leave(first)
        assert came(second) == [True]
        if is_told:
            assert not await scene.turns.wait(third, NEVER)
        scene.turns.leave(second)
        assert await scene.turns.wait(third, NEVER)
        scene.turns.leave(third)

    scene.run(play())


def test_one_whose_deadline_passes_is_waited_for_by_nobody() -> None:
    scene = Scene()

    async def play() -> None:
        first, second = scene.enter(A), scene.enter(A, B)
        scene.clock.advance_ms(400)
        third = scene.enter(B)
        with pytest.raises(DeadlineExceeded):
            await scene.turns.wait(second, scene.clock.monotonic_s() + 0.1)
        assert came(third) == [False]
        scene.turns.leave(second)
        assert came(third) == [True]
        scene.turns.leave(first)
        scene.turns.leave(third)
        assert not any(map(scene.turns.are_taken, (A, B)))

    scene.run(play())


def test_a_turn_that_lasts_is_out_of_the_way_after_a_second() -> None:
    scene = Scene()

    async def play() -> None:
        first, second = scene.enter(A), scene.enter(A)
        assert await scene.turns.wait(second, NEVER)
        assert scene.clock.monotonic_s() >= 1.0
        scene.turns.leave(first)
        assert scene.turns.are_taken(A), "the end of the first took the turn of the second"
        scene.turns.leave(second)

    scene.run(play())
