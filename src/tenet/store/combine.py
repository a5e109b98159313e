"""Read-modify-write of single records; what arrives for one key while it is being written is combined into one commit.

A *step* looks at a record and decides what becomes of it. Steps for one key form a line: while the commit of the
first is under way the others wait, and are then carried out one after another in memory, on what the last commit left,
and committed together. A hot key so costs its own throughput and nobody else's, and a step never loses a race against
another one of this process.

Whoever has to change several keys at once can hold their lines for the time of a commit of his own.

What it leaves to others: blind puts need no line and may go straight to the store, if ``is_busy`` says that the key has
none (otherwise they could starve the line, whose commits check the version).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from tenet.base.clock import NEVER, Clock
from tenet.store.combine_waiting import Deadlines, Waiting
from tenet.store.contract import (
    NO_CELLS,
    Append,
    Committed,
    Delete,
    IsVersion,
    Key,
    Put,
    Record,
    Version,
    Write,
)
from tenet.store.errors import DeadlineExceeded, LineNotFree
from tenet.store.landing import land
from tenet.store.remembered import Remembered

if TYPE_CHECKING:
    from tenet.base.ids import Ids
    from tenet.store.contract import Check, Store

T = TypeVar("T")

#: How many steps, further writes and bytes one commit carries at the most; far within the contract's limits.
STEPS_MAX: Final = 128
WRITES_MAX: Final = 3_000
STEP_BYTES_MAX: Final = 4 * 1024 * 1024
_NOT_YET: Final = Version(bytes(16))


class Keep(Enum):
    """Says that a step leaves the record's value as it is."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


class Change(Generic[T]):
    """What a step decides.

    Args:
        result: what its caller gets once the change is durable.
        value: the record's new value, None to delete it, ``KEEP`` to leave it.
        writes: puts and deletes of other keys that go with it; a later step's override an earlier one's.
        appends: log entries that go with it.
    """

    __slots__ = ("appends", "result", "value", "writes")

    def __init__(
        self,
        result: T,
        value: bytes | Keep | None = KEEP,
        writes: Sequence[Put | Delete] = (),
        appends: Sequence[Append] = (),
    ) -> None:
        self.result = result
        self.value = value
        self.writes = writes
        self.appends = appends


#: Looks at the record (None: absent) and decides. May be called again with a newer record; must not have effects.
#: An exception refuses its caller and leaves the record alone.
Step = Callable[[Record | None], "Change[T]"]


class _Seen:
    """A record as it was seen, and whether by a read made for the steps at hand."""

    __slots__ = ("is_fresh", "is_known", "record")

    def __init__(self, record: Record | None, *, is_fresh: bool, is_known: bool = True) -> None:
        self.record = record
        self.is_fresh = is_fresh
        self.is_known = is_known


_UNSEEN: Final = _Seen(None, is_fresh=False, is_known=False)


class _Batch:
    """Steps carried out in memory on one record, and what has to be committed for them."""

    __slots__ = ("_after", "_base", "_bytes", "_changed", "_key", "_was_deleted", "_writes", "appends", "results")

    def __init__(self, key: Key, base: Record | None) -> None:
        self._key = key
        self._base = base
        self._after = base
        self._changed = False
        self._was_deleted = False
        self._writes: dict[Key, Put | Delete] = {}
        #: Entries for logs.
        self.appends: list[Append] = []
        self._bytes = 0
        #: Who waits for what.
        self.results: list[tuple[asyncio.Future[Any], Any, Exception | None]] = []

    @property
    def is_full(self) -> bool:
        """Whether a further step might pass the limits of a commit."""
        return len(self._writes) >= WRITES_MAX or self._bytes >= STEP_BYTES_MAX

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not (self._changed or self._writes or self.appends)

    def carry_out(self, waiting: Waiting) -> None:
        """Carries out one more step."""
        assert waiting.step is not None
        try:
            change = waiting.step(self._after)
        except Exception as error:  # noqa: BLE001 - a step's error is its caller's, and no other's
            self.results.append((waiting.future, None, error))
            return
        if change.value is not KEEP:
            self._changed = True
            self._was_deleted = self._was_deleted or change.value is None
            self._after = self._with_value(change.value)
        for write in change.writes:
            self._writes[write.key] = write
            self._bytes += len(write.value) if isinstance(write, Put) else 0
        for append in change.appends:
            self.appends.append(append)
            self._bytes += len(append.old or b"") + len(append.new or b"")
        self.results.append((waiting.future, change.result, None))

    def _with_value(self, value: bytes | None) -> Record | None:
        version = _NOT_YET if self._after is None else self._after.version
        return _landed(self._key, self._after, value, version)

    def writes(self) -> list[Write]:
        """Returns all that has to be written, the record itself last."""
        writes: list[Write] = list(self._writes.values())
        if self._changed:
            after = self._after
            cells = NO_CELLS if self._was_deleted else None
            writes.append(Delete(self._key) if after is None else Put(self._key, after.value, cells))
        return writes

    @property
    def check(self) -> Check:
        """What must hold: the record is still what the steps were carried out on."""
        return IsVersion(self._key, None if self._base is None else self._base.version)

    def landed(self, version: Version) -> Record | None:
        """Returns the record as the commit left it."""
        after = self._after
        if not self._changed or after is None:
            return after
        return _landed(self._key, after, after.value, version)


class Combiner:
    """Carries out steps on single records of a store.

    Args:
        store: where the records are.
        clock: for deadlines.
        ids: for commit ids.
    """

    def __init__(self, store: Store, *, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        # A key is in here as long as somebody works on it; the deque holds who waits behind.
        self._lines: dict[Key, deque[Waiting]] = {}
        self._drains: set[asyncio.Task[None]] = set()
        self._deadlines = Deadlines(clock)
        self._remembered = Remembered() if store.capabilities.remote else None

    def is_busy(self, key: Key) -> bool:
        """Whether a line stands at the key."""
        return key in self._lines

    async def mutate(self, key: Key, step: Step[T], *, deadline: float = NEVER) -> T:
        """Carries out a step and returns its result once the change is durable.

        One read and one commit where the key is cold; a share of one commit where it is hot. Over a network the read
        is left out where this process has seen the record before, and nobody has changed it since.

        Args:
            key: the record.
            step: what to do with it.
            deadline: when to give up, in seconds on the monotonic clock.

        Raises:
            TenetError: whatever the step refused with.
            StoreUnavailable: nothing was written.
            OutcomeUnknown: the store could not say before the deadline whether the change took effect.
        """
        line = self._lines.get(key)
        if line is None:
            return await self._carry_out_first(key, step, deadline)
        waiting = Waiting(step, deadline, asyncio.get_running_loop().create_future())
        line.append(waiting)
        self._deadlines.watch(waiting)
        return await waiting.future  # type: ignore[no-any-return]

    async def _carry_out_first(self, key: Key, step: Step[T], deadline: float) -> T:
        """Opens a line and carries out a step by itself: most keys are cold, and most lines end with their first step.

        What ``_carry_out`` does for many, without the means to answer many.
        """
        store = self._store
        line = self._lines[key] = deque()
        left = _UNSEEN
        try:
            record, is_fresh = await self._begin_with(key, deadline)
            while True:
                change = step(record) if is_fresh else _change_of(step, record)
                if change is None:
                    (record,) = await store.get((key,), deadline=deadline)
                    is_fresh = True
                    continue
                value = change.value
                writes: list[Write] = [*change.writes]
                if value is not KEEP:
                    writes.append(Delete(key) if value is None else Put(key, value))
                elif not writes and not change.appends:
                    return change.result
                checks = (IsVersion(key, None if record is None else record.version),)
                outcome = await land(
                    store, writes, checks, change.appends, clock=self._clock, ids=self._ids, deadline=deadline
                )
                if isinstance(outcome, Committed):
                    if line or self._remembered is not None:
                        left = self._left(key, _landed(key, record, value, outcome.version))
                    return change.result
                is_fresh = True
                if key in outcome.records:
                    record = outcome.records[key]
                else:
                    (record,) = await store.get((key,), deadline=deadline)
        finally:
            self._pass_on(key, left)

    async def _begin_with(self, key: Key, deadline: float) -> tuple[Record | None, bool]:
        """Returns a record as it is, or as it was seen last; and which of the two."""
        remembered = self._remembered
        if remembered is not None and key in remembered:
            record = remembered.get(key)
            remembered.forget(key)  # until the commit under way has ended
            return record, False
        (record,) = await self._store.get((key,), deadline=deadline)
        return record, True

    def _left(self, key: Key, record: Record | None) -> _Seen:
        """Takes note of a record as a commit has left it."""
        if self._remembered is not None:
            self._remembered.put(key, record)
        return _Seen(record, is_fresh=False)

    def hold(self, keys: Iterable[Key], *, deadline: float = NEVER) -> _Hold:
        """Keeps every step for these keys waiting for as long as the block runs.

        Taken in the order of the keys, so that two holders never wait for each other.

        Args:
            keys: the keys.
            deadline: when to give up, in seconds on the monotonic clock.

        Raises:
            LineNotFree: on entering the block: the lines did not get free in time.
        """
        return _Hold(self, sorted(set(keys)), deadline)

    async def _hold_all(self, keys: list[Key], deadline: float, held: list[Key]) -> None:
        try:
            for key in keys:
                await self._hold_one(key, deadline, held)
        except BaseException:
            self._let_go(held)
            raise

    def _let_go(self, held: list[Key]) -> None:
        for key in held:
            self._pass_on(key, _UNSEEN)

    async def _hold_one(self, key: Key, deadline: float, held: list[Key]) -> None:
        line = self._lines.get(key)
        if line is None:
            self._lines[key] = deque()
            held.append(key)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(Waiting(None, deadline, turn))
        try:
            await asyncio.wait((turn,), timeout=None if deadline == NEVER else deadline - self._clock.monotonic_s())
        finally:
            # The turn may have come in the moment in which the wait ended: then the line is ours to pass on.
            if turn.done():
                held.append(key)
            else:
                turn.cancel()
        if turn.cancelled():
            raise LineNotFree("the request's deadline passed while other writes to the same key were carried out")

    def _pass_on(self, key: Key, left: _Seen) -> None:
        """Gives the line to whoever is next, or closes it."""
        line = self._lines[key]
        while line and line[0].future.done():
            line.popleft()
        if not line:
            del self._lines[key]
        elif line[0].step is None:
            line.popleft().future.set_result(None)
        else:
            task = asyncio.get_running_loop().create_task(self._drain(key, line, left))
            self._drains.add(task)
            task.add_done_callback(self._drains.discard)

    async def _drain(self, key: Key, line: deque[Waiting], left: _Seen) -> None:
        """Carries out who waits, up to the next holder."""
        try:
            while taken := _take(line):
                left = await self._carry_out(key, line, taken, left)
        finally:
            self._pass_on(key, left)

    async def _carry_out(self, key: Key, line: deque[Waiting], taken: list[Waiting], left: _Seen) -> _Seen:
        """Commits steps and answers their callers; never raises but for cancellation.

        Args:
            key: the record's key.
            line: where steps go back to for which this commit has no room.
            taken: the steps.
            left: the record as the last commit left it, where that is known.

        Returns:
            The record as it is now, or ``_UNSEEN``.
        """
        try:
            seen = left
            while True:
                if not seen.is_known:
                    # Read after the steps were taken: a batch that changes nothing is answered from it.
                    (record,) = await self._store.get((key,), deadline=_latest(taken))
                    seen = _Seen(record, is_fresh=True)
                batch = self._apply(key, line, taken, seen.record)
                if not batch.results or (batch.is_empty and seen.is_fresh):
                    _answer(batch)
                    return seen
                for waiting in taken:
                    waiting.is_committing = True
                outcome = await land(
                    self._store,
                    batch.writes(),
                    (batch.check,),
                    batch.appends,
                    clock=self._clock,
                    ids=self._ids,
                    deadline=_latest(taken),
                )
                if isinstance(outcome, Committed):
                    _answer(batch)
                    return self._left(key, batch.landed(outcome.version))
                for waiting in taken:
                    waiting.is_committing = False
                known = key in outcome.records
                seen = _Seen(outcome.records[key], is_fresh=True) if known else _UNSEEN
        except Exception as error:  # noqa: BLE001 - it is the callers' error, and their futures carry it to them
            for waiting in taken:
                if not waiting.future.done():
                    waiting.future.set_exception(error)
            return _UNSEEN

    def _apply(self, key: Key, line: deque[Waiting], taken: list[Waiting], base: Record | None) -> _Batch:
        """Carries out steps in memory; those that are cancelled, too late or too many leave `taken`."""
        batch = _Batch(key, base)
        now = self._clock.monotonic_s()
        waiting_on = list(taken)
        taken.clear()
        for index, waiting in enumerate(waiting_on):
            if waiting.future.done():
                continue
            if batch.is_full:
                line.extendleft(reversed(waiting_on[index:]))
                break
            if waiting.deadline < now:
                waiting.future.set_exception(
                    DeadlineExceeded("the request's deadline passed before it was carried out")
                )
                continue
            taken.append(waiting)
            batch.carry_out(waiting)
        return batch


def _landed(key: Key, before: Record | None, value: bytes | Keep | None, version: Version) -> Record | None:
    """Returns what a record becomes with a new value, which leaves its cells as they are."""
    if value is KEEP:
        return before
    if value is None:
        return None
    return Record(key.partition, key.sort, value, version, NO_CELLS if before is None else before.cells)


def _change_of(step: Step[T], record: Record | None) -> Change[T] | None:
    """Returns what a step decides on a record that may be out of date; None where that would be answered as it is."""
    try:
        change = step(record)
    except Exception:  # noqa: BLE001 - it is asked again with the record as it is
        return None
    return None if change.value is KEEP and not change.writes and not change.appends else change


def _take(line: deque[Waiting]) -> list[Waiting]:
    taken: list[Waiting] = []
    while line and line[0].step is not None and len(taken) < STEPS_MAX:
        taken.append(line.popleft())
    return taken


def _latest(taken: Sequence[Waiting]) -> float:
    return max(waiting.deadline for waiting in taken)


def _answer(batch: _Batch) -> None:
    for future, result, error in batch.results:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


class _Hold:
    """The lines of some keys, for the time of a block."""

    __slots__ = ("_combiner", "_deadline", "_held", "_keys")

    def __init__(self, combiner: Combiner, keys: list[Key], deadline: float) -> None:
        self._combiner = combiner
        self._keys = keys
        self._deadline = deadline
        self._held: list[Key] = []

    async def __aenter__(self) -> None:
        await self._combiner._hold_all(self._keys, self._deadline, self._held)  # noqa: SLF001 (of one piece with it)

    async def __aexit__(self, *_raised: object) -> None:
        self._combiner._let_go(self._held)  # noqa: SLF001 (the same)
