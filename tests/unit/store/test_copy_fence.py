"""Whoever has a store open learns in time that another process copies it, or has moved it; and what that costs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from tenet.base.clock import NEVER, ManualClock
from tenet.base.ids import SeededIds
from tenet.store.contract import (
    EVERYTHING,
    Capabilities,
    Commit,
    Committed,
    Conflict,
    IsVersion,
    Key,
    Outcome,
    Page,
    Put,
    Range,
    Settled,
    Unknown,
    new_commit_id,
)
from tenet.store.copy_fence import ALONE_S, FRESH_S
from tenet.store.copy_marks import (
    IN,
    OUT,
    SPACE,
    Incoming,
    Outgoing,
    check_opened,
    check_service,
    decode,
    take_into_service,
)
from tenet.store.copying import Copying, abort
from tenet.store.errors import CopyRefused, OutcomeUnknown, SettleWindowPassed, StoreMoved, StoreUnavailable
from tenet.store.guard import Guard, guarded
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState
from tests.copies import LEFT_OUT, NAMES, held, write

KEY = Key("s", b"p", b"k")


class Shared(MemoryEngine):
    """A store that other processes may have open too; its commits can be answered late."""

    def __init__(self, state: MemoryState, clock: ManualClock, seed: int) -> None:
        super().__init__(state, clock=clock, ids=SeededIds(seed))
        self.answers = asyncio.Event()
        self.answers.set()
        self.looks = 0
        #: Answers commits with what nobody knows, and nothing else at all.
        self.is_away = False

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(engine="shared", partitions_max=200, cheap_commits_across_partitions=False, remote=True)

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        outcome = await super().commit(commit, deadline=deadline)
        await self.answers.wait()
        return Unknown(commit.id) if self.is_away else outcome

    async def query(self, space: str, partition: bytes, within: Range = EVERYTHING, **more: Any) -> Page:
        self.looks += space == SPACE
        if self.is_away:
            raise StoreUnavailable("cut off from the majority")
        return await super().query(space, partition, within, **more)


class Scene:
    """One process that copies the store, and another one that has it open."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.ids = SeededIds(9)
        state = MemoryState()
        self.mine, self.others = Shared(state, self.clock, 1), Shared(state, self.clock, 2)
        self.guard, self.other = guarded(self.mine, self.clock), guarded(self.others, self.clock)
        self.target = MemoryEngine(clock=self.clock, ids=SeededIds(3))

    def commit_of(self, value: bytes = b"v") -> Commit:
        return Commit(new_commit_id(self.clock, self.ids), [Put(KEY, value)])

    async def write(self, guard: Guard, value: bytes = b"v") -> None:
        await write(guard, [Put(KEY, value)], clock=self.clock, ids=self.ids)

    def copying(self, node: str = "") -> Copying:
        return Copying(self.guard, self.target, NAMES, left_out=LEFT_OUT, clock=self.clock, ids=self.ids, node=node)

    async def move(self) -> None:
        copy = self.copying()
        await copy.begin()
        self.clock.advance_ms(round(ALONE_S * 1_000))
        await copy.follow()
        await copy.switch()


def played(scene: Callable[[Scene], Coroutine[None, None, None]]) -> None:
    async def main() -> None:
        stage = Scene()
        await stage.mine.ensure_space("s")
        async with asyncio.timeout(20):
            await scene(stage)

    asyncio.run(main())


def test_a_process_that_wakes_after_the_switch_acknowledges_nothing() -> None:
    async def scene(stage: Scene) -> None:
        await stage.write(stage.other)
        await stage.move()
        with pytest.raises(OutcomeUnknown):
            # What it sends at once may take effect, in a store that nobody uses any more; nobody is told that it did.
            await _land(stage, stage.other)
        with pytest.raises(StoreMoved, match="was moved to memory:there"):
            await stage.write(stage.other)
        with pytest.raises(StoreMoved):
            await stage.other.ensure_space("late")
        health = await stage.other.health()
        assert health["can_write"] is False
        assert "moved to memory:there" in str(health["write_refusal"])
        (copied,) = await stage.target.get([KEY])
        assert copied is not None
        assert copied.value == b"v"

    played(scene)


async def _finish(copy: Copying) -> None:
    await copy.follow()
    await copy.switch()


async def _land(stage: Scene, guard: Guard) -> None:
    """Writes with a deadline that is over before anybody can settle for long."""
    commit = stage.commit_of(b"late")
    outcome = await guard.commit(commit, deadline=NEVER)
    assert outcome == Unknown(commit.id)
    with pytest.raises(StoreMoved):
        _ = await guard.settle(commit)
    raise OutcomeUnknown


@pytest.mark.parametrize("stands_still", ["process", "machine"])
def test_a_write_that_froze_before_its_answer_is_not_acknowledged(stands_still: str) -> None:
    """The machine's monotonic clock stands still while it sleeps; its wall clock is right when it wakes."""

    async def scene(stage: Scene) -> None:
        await stage.write(stage.other)
        stage.others.answers.clear()
        commit = stage.commit_of(b"frozen")
        committing = asyncio.create_task(stage.other.commit(commit))
        for _ in range(20):
            await asyncio.sleep(0)
        copy = stage.copying()
        await copy.begin()
        if stands_still == "machine":
            stage.clock.step_wall_ms(60_000)
        else:
            stage.clock.advance_ms(round(FRESH_S * 1_000))
        stage.others.answers.set()
        assert await committing == Unknown(commit.id)
        with pytest.raises(StoreMoved, match="a command copies the store to memory:there, and it alone writes"):
            _ = await stage.other.settle(commit)

    played(scene)


def test_nobody_reads_the_first_record_before_all_others_look_again() -> None:
    async def scene(stage: Scene) -> None:
        await stage.write(stage.other)
        copy = stage.copying()
        await copy.begin()
        following = asyncio.create_task(copy.follow())
        for _ in range(20):
            await asyncio.sleep(0)
        assert copy.progress.phase == "waiting until nobody else can write"
        assert [info.name for info in await stage.target.list_spaces()] == ["store.copies"]
        # What it looked up before the claim still counts, and what is acknowledged by it is in the copy.
        await stage.write(stage.other, b"in time")
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        stage.clock.advance_ms(round(ALONE_S * 1_000))
        await copy.follow()
        await copy.switch()
        assert (await held(stage.target))[KEY][0] == b"in time"

    played(scene)


def test_looks_are_few_and_none_is_made_where_nothing_is_written() -> None:
    async def scene(stage: Scene) -> None:
        await stage.write(stage.other)
        looks = stage.others.looks
        for number in range(200):
            await stage.write(stage.other, b"%d" % number)
            stage.clock.advance_ms(50)
        # One every 2.5 s of ten.
        assert stage.others.looks - looks <= 4
        looks = stage.others.looks
        stage.clock.advance_ms(3_600_000)
        await asyncio.sleep(0)
        assert stage.others.looks == looks
        # Where no other process can have a store open, nobody looks at all.
        assert guarded(stage.target, stage.clock).fence is None

    played(scene)


def test_what_nobody_knows_is_told_so_also_where_the_marks_cannot_be_read() -> None:
    async def scene(stage: Scene) -> None:
        await stage.write(stage.other)
        stage.others.answers.clear()
        commit = stage.commit_of()
        sent = asyncio.ensure_future(stage.other.commit(commit))
        await asyncio.sleep(0)
        stage.clock.advance_ms(round(FRESH_S * 1000) + 1)
        stage.others.is_away = True
        stage.others.answers.set()
        assert isinstance(await sent, Unknown)
        stage.others.is_away = False
        assert isinstance(await stage.other.settle(commit), Committed)

    played(scene)


def test_a_refused_process_writes_again_when_the_copy_was_given_up() -> None:
    async def scene(stage: Scene) -> None:
        await stage.write(stage.other)
        copy = stage.copying(node="mine")
        await copy.begin()
        stage.clock.advance_ms(round(FRESH_S * 1_000))
        with pytest.raises(OutcomeUnknown):
            await _land(stage, stage.other)
        with pytest.raises(StoreMoved, match="the node mine copies the store to memory:there"):
            await stage.write(stage.other)
        # Whoever copies goes on writing.
        await stage.write(stage.guard)
        await copy.leave_off()
        stage.clock.advance_ms(1_000)
        await stage.write(stage.other, b"again")
        # As after a move that was taken back.
        await stage.move()
        stage.clock.advance_ms(round(FRESH_S * 1_000))
        with pytest.raises(OutcomeUnknown):
            await _land(stage, stage.other)
        await abort(stage.mine, stage.target, NAMES, clock=stage.clock, ids=stage.ids)
        stage.clock.advance_ms(1_000)
        await stage.write(stage.other, b"and again")

    played(scene)


def test_what_failed_and_what_was_only_looked_at_is_not_told_of_a_store_that_moved() -> None:
    async def scene(stage: Scene) -> None:
        await stage.write(stage.other)
        stage.clock.advance_ms(1)
        check = IsVersion(KEY, None)
        refused = Commit(new_commit_id(stage.clock, stage.ids), [Put(KEY, b"x")], [check])
        assert isinstance(await stage.other.commit(refused), Conflict)
        await stage.move()
        again = Commit(new_commit_id(stage.clock, stage.ids), [Put(KEY, b"x")], [check])
        with pytest.raises(StoreMoved):
            _ = await stage.other.commit(again)
        looked = Commit(new_commit_id(stage.clock, stage.ids), [], [IsVersion(KEY, None)])
        with pytest.raises(StoreMoved):
            _ = await stage.other.commit(looked)

    played(scene)


def test_another_node_does_not_start_while_one_copies_and_the_same_one_ends_its_claim() -> None:
    async def scene(stage: Scene) -> None:
        copy = stage.copying(node="mine")
        await copy.begin()
        with pytest.raises(StoreMoved, match="the node mine copies the store to memory:there"):
            await check_service(stage.others, node="other", clock=stage.clock, ids=stage.ids)
        with pytest.raises(StoreMoved):
            await take_into_service(stage.others, clock=stage.clock, ids=stage.ids)
        # Nor does a command open it, or write to it, if it had looked a moment before.
        with pytest.raises(StoreMoved):
            await check_opened(stage.others, clock=stage.clock, ids=stage.ids)
        with pytest.raises(StoreMoved):
            await stage.write(guarded(stage.others, stage.clock))
        # A server of the same node takes its place: what copied before cannot switch any more.
        await check_service(stage.others, node="mine", clock=stage.clock, ids=stage.ids)
        stage.clock.advance_ms(round(ALONE_S * 1_000))
        await stage.write(stage.other, b"of the new one")
        await copy.follow()
        with pytest.raises(CopyRefused, match="another process has taken it over"):
            await copy.switch()
        await stage.write(stage.guard)

    played(scene)


def test_where_one_process_has_the_store_for_itself_a_dead_one_s_claim_is_in_nobody_s_way() -> None:
    async def main() -> None:
        clock, ids = ManualClock(), SeededIds(1)
        source, target = MemoryEngine(clock=clock, ids=SeededIds(2)), MemoryEngine(clock=clock, ids=SeededIds(3))
        await source.ensure_space("s")
        dead = Copying(Guard(source, clock), target, NAMES, left_out=LEFT_OUT, clock=clock, ids=ids)
        await dead.begin()
        await check_opened(source, clock=clock, ids=ids)
        await check_service(source, clock=clock, ids=ids)
        (record,) = await source.get([OUT])
        left = decode(record, Outgoing)
        assert left is not None
        assert (left.state, left.claim, left.node) == ("copying", "", "")
        # What it may have sent before it died finds another mark than it was sent for.
        with pytest.raises(CopyRefused):
            await _finish(dead)

    asyncio.run(main())


def test_a_copy_that_another_process_takes_over_ends() -> None:
    async def scene(stage: Scene) -> None:
        first = stage.copying()
        await first.begin()
        second = Copying(stage.other, stage.target, NAMES, left_out=LEFT_OUT, clock=stage.clock, ids=stage.ids)
        await second.begin()
        stage.clock.advance_ms(round(ALONE_S * 1_000))
        await second.follow()
        with pytest.raises(CopyRefused):
            await _finish(first)
        await second.switch()
        with pytest.raises(StoreMoved):
            await check_service(stage.mine, clock=stage.clock, ids=stage.ids)

    played(scene)


class Forgetful(MemoryEngine):
    """An engine that sends the mark of a move, and does not know what becomes of it."""

    lingering: Commit | None = None

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        if self.lingering is None and any(isinstance(one, Put) and b'"moved"' in one.value for one in commit.writes):
            self.lingering = commit
            return Unknown(commit.id)
        return await super().commit(commit, deadline=deadline)

    async def settle(self, commit: Commit, *, deadline: float = NEVER) -> Settled:
        if commit is self.lingering:
            raise SettleWindowPassed("nobody knows")
        return await super().settle(commit, deadline=deadline)


def test_a_mark_that_comes_late_comes_never_once_writes_are_taken_again() -> None:
    async def main() -> None:
        clock, ids = ManualClock(), SeededIds(1)
        source, target = Forgetful(clock=clock, ids=SeededIds(2)), MemoryEngine(clock=clock, ids=SeededIds(3))
        await source.ensure_space("s")
        guard = Guard(source, clock)
        copy = Copying(guard, target, NAMES, left_out=LEFT_OUT, clock=clock, ids=ids)
        await copy.begin()
        await copy.follow()
        with pytest.raises(OutcomeUnknown):
            await copy.switch()
        await write(guard, [Put(KEY, b"acknowledged")], clock=clock, ids=ids)
        # Only now the network brings it.
        assert source.lingering is not None
        assert isinstance(await MemoryEngine.commit(source, source.lingering), Conflict)
        await take_into_service(source, clock=clock, ids=ids)
        again = Copying(guard, target, NAMES, left_out=LEFT_OUT, clock=clock, ids=ids)
        assert not await again.begin()
        await again.follow()
        await again.switch()
        assert (await held(target))[KEY][0] == b"acknowledged"

    asyncio.run(main())


def test_a_mark_that_landed_though_nobody_said_so_keeps_writes_refused() -> None:
    class Late(Forgetful):
        async def settle(self, commit: Commit, *, deadline: float = NEVER) -> Settled:
            if commit is self.lingering:
                assert isinstance(await MemoryEngine.commit(self, commit), Committed)
            return await super().settle(commit, deadline=deadline)

    async def main() -> None:
        clock, ids = ManualClock(), SeededIds(1)
        source, target = Late(clock=clock, ids=SeededIds(2)), MemoryEngine(clock=clock, ids=SeededIds(3))
        await source.ensure_space("s")
        guard = Guard(source, clock)
        copy = Copying(guard, target, NAMES, left_out=LEFT_OUT, clock=clock, ids=ids)
        await copy.begin()
        await copy.follow()
        with pytest.raises(OutcomeUnknown):
            await copy.switch()
        with pytest.raises(StoreMoved):
            await write(guard, [Put(KEY, b"late")], clock=clock, ids=ids)
        assert await Copying(guard, target, NAMES, left_out=LEFT_OUT, clock=clock, ids=ids).begin()
        await take_into_service(target, clock=clock, ids=ids)

    asyncio.run(main())


def test_a_command_leaves_a_finished_copy_alone() -> None:
    async def scene(stage: Scene) -> None:
        await stage.move()
        with pytest.raises(StoreMoved, match="complete copy of memory:here, and no server was started on it yet"):
            await check_opened(stage.target, clock=stage.clock, ids=stage.ids)
        with pytest.raises(StoreMoved, match="was moved to memory:there"):
            await check_opened(stage.mine, clock=stage.clock, ids=stage.ids)
        # Nor does a server that does not come to take requests.
        await check_service(stage.target, clock=stage.clock, ids=stage.ids)
        await abort(stage.mine, stage.target, NAMES, clock=stage.clock, ids=stage.ids)
        await check_opened(stage.mine, clock=stage.clock, ids=stage.ids)
        stage.guard.allow()
        await stage.move()
        await take_into_service(stage.target, clock=stage.clock, ids=stage.ids)
        await check_opened(stage.target, clock=stage.clock, ids=stage.ids)

    played(scene)


def test_a_copy_is_not_written_to_before_it_is_complete() -> None:
    """By a server that was about to start on the empty store when the copy began."""

    async def scene(stage: Scene) -> None:
        incoming = Incoming(1, "c", "memory:elsewhere", "copying", 0, 0)
        await stage.write(stage.other)
        await stage.mine.ensure_space(IN.space)
        await write(stage.mine, [Put(IN, msgspec.json.encode(incoming))], clock=stage.clock, ids=stage.ids)
        stage.clock.advance_ms(round(FRESH_S * 1_000))
        with pytest.raises(OutcomeUnknown):
            await _land(stage, stage.other)

    played(scene)


def test_marks_of_an_earlier_version_are_read_and_a_copy_that_it_began_is_resumed() -> None:
    async def scene(stage: Scene) -> None:
        earlier = b'{"version":1,"copy":"c0ffee","target":"memory:there","state":"copying"}'
        await stage.mine.ensure_space(OUT.space)
        await write(stage.mine, [Put(OUT, earlier)], clock=stage.clock, ids=stage.ids)
        await check_service(stage.others, node="any", clock=stage.clock, ids=stage.ids)
        await stage.write(stage.other)
        stage.clock.advance_ms(60_000)
        await stage.move()
        (record,) = await stage.mine.get([OUT])
        moved = decode(record, Outgoing)
        assert moved is not None
        assert (moved.copy, moved.state, bool(moved.claim)) == ("c0ffee", "moved", True)

    played(scene)
