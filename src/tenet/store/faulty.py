"""Wraps any engine and lets happen to its callers, by a seed, whatever the contract allows to happen.

* A call is delayed, before it takes effect or before it is answered.
* A call finds the store unavailable; nothing was written.
* A commit's outcome is unknown: it took effect, or never came, or comes later, unless it is settled first.
* A commit that checks versions or stamps meets a rival, who really changed a record a moment before.
* Hints of a watch are lost, or come for nothing.
* The engine crashes: it is closed (or ended as the caller of ``Faulty`` can) and opened again, and what was under way
  is answered as unavailable or unknown.

Every choice is drawn from the seed in the order of the calls. On an event loop that is deterministic itself (see
``tests/sim``) a run is repeated by its seed, which every injected error bears in its message.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

from msgspec import Struct

from tenet.base.clock import NEVER, Clock
from tenet.base.dice import Dice
from tenet.base.ids import SeededIds
from tenet.store.contract import (
    EVERYTHING,
    Capabilities,
    Commit,
    Engine,
    IsStamp,
    IsVersion,
    Key,
    LogPage,
    Outcome,
    Page,
    Put,
    Range,
    Record,
    Settled,
    SpaceInfo,
    SpaceOptions,
    StampOf,
    Unknown,
    Watch,
    new_commit_id,
)
from tenet.store.errors import DeadlineExceeded, StoreError, StoreUnavailable
from tenet.store.validate import check_commit

T = TypeVar("T")

_MIB: Final = 1024 * 1024
_NO_OPTIONS: Final = SpaceOptions()
_REMEMBERED_MAX: Final = 60


class CallFaults(Struct, frozen=True):
    """What may happen to any call. Probabilities are from 0 to 1.

    Args:
        unavailable: that it raises ``StoreUnavailable`` before it has done anything.
        answer_lost: that a read is carried out, and raises ``StoreUnavailable`` all the same.
        delayed: that it waits before it takes effect, and again that it waits before it is answered.
        delay_ms_max: the longest wait, milliseconds; each wait is between 0 and it.
    """

    unavailable: float = 0.0
    answer_lost: float = 0.0
    delayed: float = 0.0
    delay_ms_max: int = 20


class CommitFaults(Struct, frozen=True):
    """What may happen to a commit that has writes or appends, beside what may happen to any call.

    Args:
        unknown_done: that it is carried out, and its outcome is ``Unknown``.
        unknown_lost: that it never reaches the engine, and its outcome is ``Unknown``.
        unknown_late: that its outcome is ``Unknown`` at once, and it reaches the engine later.
        late_ms_max: how much later at the most, milliseconds.
        rival: that another writer puts one of the records that it checks, as it is, a moment before: its version is
            another then, and the stamp of what covers it.
    """

    unknown_done: float = 0.0
    unknown_lost: float = 0.0
    unknown_late: float = 0.0
    late_ms_max: int = 200
    rival: float = 0.0


class FaultPlan(Struct, frozen=True):
    """How often each fault happens.

    Args:
        calls: what may happen to any call.
        methods: instead of `calls`, for single methods of ``Store`` by name.
        commits: what may happen to commits.
        crash: that the engine crashes at a call.
        down_ms_max: how long it is down then at the most, milliseconds.
        hint_lost: that a watch does not pass a hint on.
        hint_for_nothing: that a wait is answered with a hint at once though nothing happened.
    """

    calls: CallFaults = CallFaults()
    methods: Mapping[str, CallFaults] = {}
    commits: CommitFaults = CommitFaults()
    crash: float = 0.0
    down_ms_max: int = 50
    hint_lost: float = 0.0
    hint_for_nothing: float = 0.0


#: Nothing goes wrong.
NO_FAULTS: Final = FaultPlan()
#: Everything that the contract allows, often enough that a few hundred calls meet all of it.
EVERY_FAULT: Final = FaultPlan(
    calls=CallFaults(unavailable=0.03, answer_lost=0.02, delayed=0.3, delay_ms_max=20),
    commits=CommitFaults(unknown_done=0.04, unknown_lost=0.03, unknown_late=0.04, late_ms_max=100, rival=0.05),
    crash=0.002,
    hint_lost=0.3,
    hint_for_nothing=0.1,
)


async def _reopen_nothing(engine: Engine) -> Engine:
    """Stands in for a crash where nobody said how to open the engine again."""
    return engine


class Faulty:
    """A store that faults happen to.

    Args:
        engine: the engine that it wraps.
        plan: how often each fault happens.
        seed: determines which calls they happen to.
        clock: time; delays are waited for on the event loop, whose time should be this clock's.
        reopen: ends the engine as a crash does and returns it opened again. Without it, only what is under way is
            lost in a crash.
    """

    def __init__(
        self,
        engine: Engine,
        plan: FaultPlan,
        *,
        seed: int,
        clock: Clock,
        reopen: Callable[[Engine], Awaitable[Engine]] = _reopen_nothing,
    ) -> None:
        self._engine = engine
        self._plan = plan
        self._seed = seed
        self._clock = clock
        self._reopen = reopen
        self._ids = SeededIds(seed)
        self._dice = Dice(self._ids)
        self._calls = 0
        self._counts: dict[str, int] = {}
        self._recent: deque[str] = deque(maxlen=_REMEMBERED_MAX)
        self._generation = 0
        self._is_down = False
        self._is_closed = False
        self._background: set[asyncio.Task[None]] = set()

    @property
    def capabilities(self) -> Capabilities:
        """Those of the engine that it wraps."""
        return self._engine.capabilities

    @property
    def engine(self) -> Engine:
        """The engine that it wraps, as it is open now: without faults."""
        return self._engine

    @property
    def counts(self) -> Mapping[str, int]:
        """How often each fault has happened so far, by name."""
        return dict(self._counts)

    def report(self) -> str:
        """Returns the seed and the last faults, for whoever reports a failure."""
        return f"faults by seed {self._seed}, the last of {self._calls} calls:\n" + "\n".join(self._recent)

    # ---- what happens ------------------------------------------------------------------------------------------------

    def _note(self, fault: str, method: str) -> None:
        self._counts[fault] = self._counts.get(fault, 0) + 1
        self._recent.append(f"call {self._calls}: {method}: {fault}")

    def _unavailable(self, method: str, fault: str) -> StoreUnavailable:
        self._note(fault, method)
        return StoreUnavailable(f"injected into {method}: {fault} (seed {self._seed}, call {self._calls})")

    async def _pause(self, faults: CallFaults, method: str) -> None:
        if self._dice.chance(faults.delayed):
            self._note("delayed", method)
            await asyncio.sleep(self._dice.below(faults.delay_ms_max + 1) / 1_000)

    async def _enter(self, method: str) -> CallFaults:
        """Lets happen what happens before a call takes effect."""
        self._calls += 1
        faults = self._plan.methods.get(method, self._plan.calls)
        await self._pause(faults, method)
        if self._dice.chance(faults.unavailable):
            raise self._unavailable(method, "unavailable")
        if self._dice.chance(self._plan.crash):
            self._crash()
            raise self._unavailable(method, "crashed before the call")
        if self._is_down or self._is_closed:
            raise self._unavailable(method, "down")
        return faults

    async def _write(self, method: str, call: Callable[[Engine], Awaitable[T]]) -> T:
        """A call that says only whether it was carried out: it is not, or it is and says so."""
        faults = await self._enter(method)
        answer = await call(self._engine)
        await self._pause(faults, method)
        return answer

    async def _read(self, method: str, call: Callable[[Engine], Awaitable[T]]) -> T:
        """A call whose answer may be lost."""
        faults = await self._enter(method)
        generation = self._generation
        answer = await call(self._engine)
        await self._pause(faults, method)
        if generation != self._generation:
            raise self._unavailable(method, "crashed before the answer")
        if self._dice.chance(faults.answer_lost):
            raise self._unavailable(method, "answer lost")
        return answer

    def _crash(self) -> None:
        self._generation += 1
        if not self._is_down:
            self._is_down = True
            self._in_background(self._come_back())

    async def _come_back(self) -> None:
        self._engine = await self._reopen(self._engine)
        await asyncio.sleep(self._dice.below(self._plan.down_ms_max + 1) / 1_000)
        self._is_down = False

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # ---- commits -----------------------------------------------------------------------------------------------------

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        """Commits, or does not, or later; see ``Store``."""
        faults = await self._enter("commit")
        # What is wrong in itself or comes too late, an engine refuses before it sends anything.
        if self._clock.monotonic_s() >= deadline:
            raise DeadlineExceeded(f"the deadline passed before the commit was sent (seed {self._seed})")
        check_commit(commit, partitions_max=self.capabilities.partitions_max, now_ms=self._clock.wall_ms())
        if not commit.writes and not commit.appends:
            return await self._engine.commit(commit, deadline=deadline)
        plan = self._plan.commits
        if self._dice.chance(plan.rival):
            await self._meet_rival(commit)
        fate = self._fate(plan)
        if fate == "lost":
            self._note("unknown, never sent", "commit")
            return Unknown(commit.id)
        if fate == "late":
            self._note("unknown, sent later", "commit")
            self._in_background(self._commit_late(commit, self._dice.below(plan.late_ms_max + 1)))
            return Unknown(commit.id)
        generation = self._generation
        outcome = await self._engine.commit(commit, deadline=deadline)
        await self._pause(faults, "commit")
        if fate == "done" or generation != self._generation:
            self._note("unknown, sent", "commit")
            return Unknown(commit.id)
        return outcome

    def _fate(self, plan: CommitFaults) -> str:
        roll = self._dice.below(1_000_000) / 1_000_000
        for fate, probability in (
            ("lost", plan.unknown_lost),
            ("late", plan.unknown_late),
            ("done", plan.unknown_done),
        ):
            if roll < probability:
                return fate
            roll -= probability
        return "none"

    async def _commit_late(self, commit: Commit, delay_ms: int) -> None:
        await asyncio.sleep(delay_ms / 1_000)
        try:
            outcome = await self._engine.commit(commit)
        except StoreError as error:
            self._note(f"refused late: {error.code}", "commit")
        else:
            self._note(f"landed late: {type(outcome).__name__}", "commit")

    async def _meet_rival(self, commit: Commit) -> None:
        """Puts one of the records that the commit checks as it is, under a new version."""
        checks = [check for check in commit.checks if isinstance(check, IsVersion | IsStamp)]
        if not checks:
            return
        check = self._dice.pick(checks)
        try:
            key = check.key if isinstance(check, IsVersion) else await self._key_in(check.of)
            (record,) = await self._engine.get((key,)) if key is not None else (None,)
            if key is None or record is None:
                return
            same = Commit(
                new_commit_id(self._clock, self._ids), (Put(key, record.value),), (IsVersion(key, record.version),)
            )
            outcome = await self._engine.commit(same)
        except StoreError:
            return
        self._note(f"met a rival: {type(outcome).__name__}", "commit")

    async def _key_in(self, of: StampOf) -> Key | None:
        """Returns a key that the stamp covers, if there is a record."""
        page = await self._engine.query(of.space, of.partition, Range(of.bucket), limit=1)
        if not page.records or not page.records[0].sort.startswith(of.bucket):
            return None
        return Key(of.space, of.partition, page.records[0].sort)

    async def settle(self, commit: Commit, *, deadline: float = NEVER) -> Settled:
        """Settles; its answer may be lost, and it asked again."""
        return await self._read("settle", lambda engine: engine.settle(commit, deadline=deadline))

    # ---- the other calls, each as it is in the contract --------------------------------------------------------------

    async def ensure_space(
        self, name: str, options: SpaceOptions = _NO_OPTIONS, *, deadline: float = NEVER
    ) -> SpaceInfo:
        """See ``Store``."""
        return await self._write("ensure_space", lambda engine: engine.ensure_space(name, options, deadline=deadline))

    async def drop_space(self, name: str, *, deadline: float = NEVER) -> None:
        """See ``Store``."""
        await self._write("drop_space", lambda engine: engine.drop_space(name, deadline=deadline))

    async def list_spaces(self, prefix: str = "", *, deadline: float = NEVER) -> Sequence[SpaceInfo]:
        """See ``Store``."""
        return await self._read("list_spaces", lambda engine: engine.list_spaces(prefix, deadline=deadline))

    async def get(
        self, keys: Sequence[Key], *, stale: bool = False, deadline: float = NEVER
    ) -> Sequence[Record | None]:
        """See ``Store``."""
        return await self._read("get", lambda engine: engine.get(keys, stale=stale, deadline=deadline))

    async def query(
        self,
        space: str,
        partition: bytes,
        within: Range = EVERYTHING,
        *,
        limit: int,
        limit_bytes: int = _MIB,
        reverse: bool = False,
        stamp: StampOf | None = None,
        stale: bool = False,
        deadline: float = NEVER,
    ) -> Page:
        """See ``Store``."""
        return await self._read(
            "query",
            lambda engine: engine.query(
                space,
                partition,
                within,
                limit=limit,
                limit_bytes=limit_bytes,
                reverse=reverse,
                stamp=stamp,
                stale=stale,
                deadline=deadline,
            ),
        )

    async def scan(
        self,
        space: str,
        within: Range = EVERYTHING,
        *,
        limit: int,
        limit_bytes: int = _MIB,
        slice_index: int = 0,
        slice_count: int = 1,
        after: tuple[bytes, bytes] | None = None,
        stale: bool = False,
        deadline: float = NEVER,
    ) -> Page:
        """See ``Store``."""
        return await self._read(
            "scan",
            lambda engine: engine.scan(
                space,
                within,
                limit=limit,
                limit_bytes=limit_bytes,
                slice_index=slice_index,
                slice_count=slice_count,
                after=after,
                stale=stale,
                deadline=deadline,
            ),
        )

    async def read_together(
        self, reads: Sequence[Key | StampOf], *, deadline: float = NEVER
    ) -> Sequence[Record | int | None]:
        """See ``Store``."""
        return await self._read("read_together", lambda engine: engine.read_together(reads, deadline=deadline))

    async def read_log(
        self,
        space: str,
        shard: int,
        *,
        after: int,
        limit: int,
        reader: str | None = None,
        stale: bool = False,
        deadline: float = NEVER,
    ) -> LogPage:
        """See ``Store``."""
        return await self._read(
            "read_log",
            lambda engine: engine.read_log(
                space, shard, after=after, limit=limit, reader=reader, stale=stale, deadline=deadline
            ),
        )

    async def discard(
        self, space: str, partition: bytes, within: Range = EVERYTHING, *, deadline: float = NEVER
    ) -> None:
        """See ``Store``."""
        await self._write("discard", lambda engine: engine.discard(space, partition, within, deadline=deadline))

    def watch(self, space: str, partition: bytes | None = None) -> Watch:
        """See ``Store``; hints are lost and come for nothing."""
        return _FaultyWatch(self, space, partition)

    async def quiet(self) -> None:
        """Waits until commits that land late have landed, and an engine that crashed is back."""
        while self._background:
            await asyncio.wait(tuple(self._background))

    async def close(self) -> None:
        """Closes the engine. What was yet to land late never does."""
        self._is_closed = True
        for task in tuple(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._engine.close()

    async def health(self) -> Mapping[str, str | int | float | bool]:
        """The figures of the engine, and how many faults were injected."""
        return {**await self._engine.health(), "injected_faults": sum(self._counts.values())}


class _FaultyWatch:
    """A watch that does not pass every hint on, and forgets its own when the engine crashes."""

    def __init__(self, faulty: Faulty, space: str, partition: bytes | None) -> None:
        self._faulty = faulty
        self._place = (space, partition)
        self._generation = faulty._generation  # noqa: SLF001 - a part of the same wrapper
        self._watch = faulty.engine.watch(space, partition)

    async def wait(self, timeout_s: float) -> bool:
        """Waits for a hint; see ``Watch``."""
        faulty, loop = self._faulty, asyncio.get_running_loop()
        ends = loop.time() + timeout_s
        if faulty._dice.chance(faulty._plan.hint_for_nothing):  # noqa: SLF001 - a part of the same wrapper
            return True
        while True:
            self._look_again()
            if not await self._watch.wait(max(0.0, ends - loop.time())):
                return False
            if not faulty._dice.chance(faulty._plan.hint_lost):  # noqa: SLF001 - a part of the same wrapper
                return True

    def _look_again(self) -> None:
        generation = self._faulty._generation  # noqa: SLF001 - a part of the same wrapper
        if generation != self._generation:
            self._watch.close()
            self._generation = generation
            self._watch = self._faulty.engine.watch(*self._place)

    def close(self) -> None:
        """Ends the watch."""
        self._watch.close()
