"""What became of a commit is known as long as its id is good, wherever it is remembered."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tenet.base.clock import ManualClock
from tenet.store.contract import Commit, Committed, Limits, NeverCommitted, Put
from tenet.store.errors import InvalidRequest, SettleWindowPassed
from tenet.store.sqlite import outcomes
from tenet.store.sqlite.engine import SqliteEngine
from tests.unit.store.sqlite_helpers import commit_of, file_of, key, opened, run, value_of

WINDOW_MS = Limits.settle_window_s * 1_000


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps ten ids in memory instead of thousands, so that most have to be looked for in the file."""
    monkeypatch.setattr(outcomes, "_RECENT_MAX", 10)


async def land(engine: SqliteEngine, commit: Commit) -> Committed:
    outcome = await engine.commit(commit)
    assert isinstance(outcome, Committed)
    return outcome


async def land_many(engine: SqliteEngine, clock: ManualClock, count: int) -> list[tuple[Commit, Committed]]:
    landed: list[tuple[Commit, Committed]] = []
    for number in range(count):
        commits = [commit_of(Put(key(number), b"%d.%d" % (number, one)), clock=clock) for one in range(3)]
        landed += zip(commits, await asyncio.gather(*(land(engine, commit) for commit in commits)), strict=True)
        clock.advance_ms(7)
    return landed


@pytest.mark.usefixtures("little_memory")
def test_a_commit_is_found_in_the_file_when_memory_has_let_go_of_it(tmp_path: Path) -> None:
    async def test() -> None:
        clock = ManualClock()
        async with opened(tmp_path, clock) as engine:
            landed = await land_many(engine, clock, 40)
            for commit, committed in landed:
                assert await engine.settle(commit) == Committed(committed.version)
                assert await engine.commit(commit) == Committed(committed.version)
            never = commit_of(Put(key(0), b"never"), clock=clock)
            assert await engine.settle(never) == NeverCommitted(never.id)

    run(test())


@pytest.mark.usefixtures("little_memory")
def test_a_clock_that_steps_back_makes_no_commit_forgotten_and_none_taken_twice(tmp_path: Path) -> None:
    async def test() -> None:
        clock = ManualClock()
        async with opened(tmp_path, clock) as engine:
            landed = []
            for step_ms in (0, -150, 90, -40):
                clock.step_wall_ms(step_ms)
                landed += await land_many(engine, clock, 15)
            # Ids that were made in a time that has been before are new all the same.
            assert len({committed.version for _, committed in landed}) == len(landed)
            for commit, committed in landed:
                assert await engine.settle(commit) == Committed(committed.version)

    run(test())


def test_what_was_settled_is_known_after_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        clock = ManualClock()
        async with opened(tmp_path, clock) as engine:
            landed = await land_many(engine, clock, 5)
            never = commit_of(Put(key(99), b"never"), clock=clock)
            assert await engine.settle(never) == NeverCommitted(never.id)
        async with opened(tmp_path, clock) as engine:
            for commit, committed in landed:
                assert await engine.settle(commit) == Committed(committed.version)
                assert await engine.commit(commit) == Committed(committed.version)
            with pytest.raises(InvalidRequest):
                await engine.commit(never)
            assert await value_of(engine, 99) is None

    run(test())


def test_the_same_id_twice_in_one_transaction_takes_effect_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as engine:
            commit = commit_of(Put(key(1), b"x"))
            outcomes = await asyncio.gather(*(engine.commit(commit) for _ in range(10)))
            assert len(set(map(repr, outcomes))) == 1
            settled = commit_of(Put(key(2), b"x"))
            ends = await asyncio.gather(engine.settle(settled), engine.commit(settled), return_exceptions=True)
            assert ends[0] == NeverCommitted(settled.id)
            assert isinstance(ends[1], InvalidRequest)
            assert await value_of(engine, 2) is None

    run(test())


def test_what_the_window_has_left_behind_is_forgotten(tmp_path: Path) -> None:
    async def test() -> None:
        clock = ManualClock()
        async with opened(tmp_path, clock) as engine:
            landed = await land_many(engine, clock, 30)
            never = commit_of(Put(key(99), b"never"), clock=clock)
            await engine.settle(never)
            clock.advance_ms(WINDOW_MS + 1)
            with pytest.raises(SettleWindowPassed):
                await engine.settle(landed[0][0])
            await put_surely_at(engine, clock)
            await file_of(engine).upkeep._forget()
            assert (_rows(engine, "commits"), _rows(engine, "fences")) == (1, 0)
            # The last row stays, because versions go on from it.
            last = await put_surely_at(engine, clock)
        async with opened(tmp_path, clock) as engine:
            assert (await put_surely_at(engine, clock)).version > last.version

    run(test())


async def put_surely_at(engine: SqliteEngine, clock: ManualClock) -> Committed:
    return await land(engine, commit_of(Put(key(1), b"later"), clock=clock))


def _rows(engine: SqliteEngine, table: str) -> int:
    ((count,),) = file_of(engine).pool.on_loop(lambda execute: execute(f"SELECT count(*) FROM {table}").fetchall())
    assert isinstance(count, int)
    return count


def test_an_id_from_the_future_is_kept_for_longer(tmp_path: Path) -> None:
    async def test() -> None:
        clock = ManualClock()
        ahead = ManualClock(clock.wall_ms() + 60_000)
        async with opened(tmp_path, clock) as engine:
            commit = commit_of(Put(key(1), b"x"), clock=ahead)
            committed = await land(engine, commit)
            await land(engine, commit_of(Put(key(1), b"y"), clock=clock))
            clock.advance_ms(WINDOW_MS + 30_000)
            for _ in range(3):
                await land(engine, commit_of(Put(key(2), b"x"), clock=clock))
            await file_of(engine).upkeep._forget()
            assert await engine.settle(commit) == Committed(committed.version)

    run(test())
