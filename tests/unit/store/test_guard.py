"""Whoever copies a store misses no change of it, and nothing changes any more once it stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from tenet.base.clock import ManualClock, SystemClock
from tenet.base.ids import SeededIds, SystemIds
from tenet.store import guard as module
from tenet.store.contract import Commit, Committed, Key, Limits, Put, Unknown, new_commit_id
from tenet.store.errors import StoreMoved, StoreUnavailable
from tenet.store.faulty import CommitFaults, FaultPlan, Faulty
from tenet.store.guard import Guard
from tenet.store.memory import MemoryEngine
from tenet.store.suite.harness import Gate

KEY = Key("s", b"p", b"k")
MOVES = "the store moves to memory:there"


def commit_of(key: Key = KEY, value: bytes = b"v") -> Commit:
    return Commit(new_commit_id(SystemClock(), SystemIds()), [Put(key, value)])


class Stand:
    """A guarded engine whose commits can be held up."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.engine = MemoryEngine(clock=SystemClock(), ids=SeededIds(1), gate=self.gate.pass_through)
        self.guard = Guard(self.engine, SystemClock())


def played(scene: Callable[[Stand], Coroutine[None, None, None]]) -> None:
    async def main() -> None:
        stand = Stand()
        await stand.engine.ensure_space("s")
        async with asyncio.timeout(20):
            await scene(stand)

    asyncio.run(main())


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_commit_that_is_under_way_is_noted_before_and_after_it_lands() -> None:
    async def scene(stand: Stand) -> None:
        commit = commit_of()
        hold = stand.gate.hold(commit.id)
        committing = asyncio.create_task(stand.guard.commit(commit))
        await hold.reached()
        # It began before anybody followed.
        assert list(stand.guard.follow().keys) == [KEY]
        later = stand.guard.follow()
        assert list(later.keys) == [KEY]
        later.keys.clear()
        hold.release()
        assert isinstance(await committing, Committed)
        assert list(later.keys) == [KEY]
        assert not stand.guard.follow().keys

    played(scene)


def test_standing_still_waits_for_what_is_under_way() -> None:
    async def scene(stand: Stand) -> None:
        commit = commit_of()
        hold = stand.gate.hold(commit.id)
        committing = asyncio.create_task(stand.guard.commit(commit))
        await hold.reached()
        standing = asyncio.create_task(stand.guard.stand_still(MOVES))
        await turns()
        assert not standing.done()
        with pytest.raises(StoreMoved, match=MOVES):
            _ = await stand.guard.commit(commit_of(Key("s", b"other")))
        hold.release()
        await standing
        # What had begun before is answered as ever.
        assert isinstance(await committing, Committed)

    played(scene)


def test_a_commit_whose_caller_has_gone_is_settled_before_it_stands_still() -> None:
    async def scene(stand: Stand) -> None:
        commit = commit_of()
        hold = stand.gate.hold(commit.id)
        committing = asyncio.create_task(stand.guard.commit(commit))
        await hold.reached()
        committing.cancel()
        await asyncio.gather(committing, return_exceptions=True)
        changes = stand.guard.follow()
        assert list(changes.keys) == [KEY]
        changes.keys.clear()
        stand.guard.note_doubtful()
        assert list(changes.keys) == [KEY]
        await stand.guard.stand_still(MOVES)
        before = await stand.engine.get([KEY])
        hold.release()
        await turns()
        assert await stand.engine.get([KEY]) == before

    played(scene)


def test_a_commit_that_would_come_later_is_settled_before_it_stands_still() -> None:
    async def main() -> None:
        engine = MemoryEngine(clock=SystemClock(), ids=SeededIds(1))
        late = FaultPlan(commits=CommitFaults(unknown_late=1.0, late_ms_max=50))
        faulty = Faulty(engine, late, seed=7, clock=SystemClock())
        guard = Guard(faulty, SystemClock())
        await engine.ensure_space("s")
        changes = guard.follow()
        for number in range(20):
            key = Key("s", b"p", b"%d" % number)
            assert isinstance(await guard.commit(commit_of(key)), Unknown)
            assert key in changes.keys
        # A copy is made in that order, whatever keys hash to.
        assert list(changes.keys) == [Key("s", b"p", b"%d" % number) for number in range(20)]
        changes.keys.clear()
        await guard.stand_still(MOVES)
        assert len(changes.keys) == 20
        before = (await engine.query("s", b"p", limit=100)).records
        await faulty.quiet()
        assert (await engine.query("s", b"p", limit=100)).records == before

    asyncio.run(main())


def test_where_it_stands_still_everything_that_writes_is_refused_and_reads_are_not() -> None:
    async def scene(stand: Stand) -> None:
        guard = stand.guard
        assert isinstance(await guard.commit(commit_of()), Committed)
        assert (await guard.health())["can_write"]
        await guard.stand_still(MOVES)
        for write in (
            guard.ensure_space("other"),
            guard.drop_space("s"),
            guard.discard("s", b"p"),
            guard.commit(commit_of()),
        ):
            with pytest.raises(StoreMoved, match=MOVES) as refused:
                await write
            assert refused.value.retryable
        (record,) = await guard.get([KEY])
        assert record is not None
        health = await guard.health()
        assert (health["can_write"], health["write_refusal"]) == (False, MOVES)
        guard.allow()
        await guard.drop_space("s")

    played(scene)


def test_what_changes_spaces_is_noted() -> None:
    async def scene(stand: Stand) -> None:
        changes = stand.guard.follow()
        assert changes.count() == 0
        await stand.guard.discard("s", b"p")
        await stand.guard.drop_space("s")
        assert (changes.partitions, changes.dropped) == ({("s", b"p")}, {"s"})
        assert changes.count() > 0
        stand.guard.unfollow()
        await stand.guard.drop_space("t")
        assert changes.dropped == {"s"}

    played(scene)


@pytest.mark.interpreted
def test_too_many_commits_without_an_answer_are_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DOUBTFUL_MAX", 3)

    async def main() -> None:
        clock, ids = ManualClock(), SeededIds(2)
        engine = MemoryEngine(clock=clock, ids=SeededIds(1))
        lost = FaultPlan(commits=CommitFaults(unknown_lost=1.0))
        guard = Guard(Faulty(engine, lost, seed=1, clock=clock), clock)
        await engine.ensure_space("s")
        for number in range(4):
            commit = Commit(new_commit_id(clock, ids), [Put(Key("s", b"%d" % number), b"")])
            assert isinstance(await guard.commit(commit), Unknown)
        with pytest.raises(StoreUnavailable, match="wait 600 s"):
            guard.follow()
        clock.advance_ms(Limits.settle_window_s * 1_000)
        assert len(guard.follow().keys) == 3

    asyncio.run(main())
