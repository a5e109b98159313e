"""Commits over several partitions: prepared in all but the anchor, decided there, carried out behind the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from tenet.store.cassandra.behind import Behind
from tenet.store.cassandra.deciding import Decided, Try
from tenet.store.cassandra.encoding import NONCE_BYTES
from tenet.store.cassandra.locks import Pending
from tenet.store.cassandra.rows import Lock, decode_lock
from tenet.store.cassandra.tries import Doubt, TableMissing, Unsure
from tenet.store.cassandra.unit import Believed, Refusals, Seen, Unit
from tenet.store.contract import Commit, Committed, new_commit_id
from tenet.store.errors import DeadlineExceeded, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.cassandra.ages import Age
    from tenet.store.cassandra.deciding import Deciding
    from tenet.store.cassandra.endings import Endings
    from tenet.store.cassandra.journal import Journal, Note
    from tenet.store.cassandra.locks import Locks
    from tenet.store.cassandra.partitions import Place
    from tenet.store.cassandra.reads import Reads
    from tenet.store.cassandra.turns import Turn, Turns

_TRIES_MAX: Final = 200
_PAUSE_S: Final = 0.01
_PAUSE_S_MAX: Final = 0.2


class Across:
    """Carries out commits over several partitions.

    Args:
        deciding: sends the batches.
        locks: knows what became of tries.
        journal: where they are noted.
        endings: brings them to their end.
        reads: looks at partitions.
        turns: of the commits of this process.
        clock: time.
        ids: for tries.
    """

    def __init__(
        self,
        deciding: Deciding,
        *,
        locks: Locks,
        journal: Journal,
        endings: Endings,
        reads: Reads,
        turns: Turns,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._deciding = deciding
        self._locks = locks
        self._journal = journal
        self._endings = endings
        self._reads = reads
        self._turns = turns
        self._clock = clock
        self._ids = ids
        self._behind = Behind()

    async def is_quiet(self) -> None:
        """Waits until nothing goes on behind answers."""
        await self._behind.is_quiet()

    async def run(self, commit: Commit, units: Sequence[Unit], deadline: float, doubt: Doubt) -> Committed | Refusals:
        """Tries until the commit took effect or is refused by a check or a bound.

        Raises:
            Unsure: the deadline passed, and whether it took effect is not known.
            StoreUnavailable: it did not, and will not, unless `doubt` says otherwise.
        """
        turn, age = self._turns.enter(commit, [unit.place for unit in units]), self._deciding.age(commit)
        try:
            while not await self._turns.wait(turn, deadline):
                # Reads are all that it takes to find out whether what was changed refuses it.
                if refused := (await self._as_it_is(commit, units, deadline))[0]:
                    return refused
            outcome = await self._run(commit, units, turn, age, deadline=deadline, doubt=doubt)
            turn.took_effect = isinstance(outcome, Committed)
            return outcome
        finally:
            self._leave(turn)

    def _leave(self, turn: Turn) -> None:
        """Ends a turn, behind what goes on of it."""
        if turn.endings:
            self._behind.go(self._leave_behind(turn))
        else:
            self._turns.leave(turn)

    async def _leave_behind(self, turn: Turn) -> None:
        await asyncio.wait(turn.endings)
        self._turns.leave(turn)

    def _end(self, turn: Turn, ending: Coroutine[Any, Any, None]) -> None:
        """Brings a try to its end behind the answer: until then its partitions are locked, or about to be."""
        turn.endings.append(self._behind.begin(ending))

    async def _run(
        self, commit: Commit, units: Sequence[Unit], turn: Turn, age: Age, *, deadline: float, doubt: Doubt
    ) -> Committed | Refusals:
        pause_s = _PAUSE_S
        for _ in range(_TRIES_MAX):
            outcome = await self._tried(commit, units, turn, age, deadline=deadline, doubt=doubt)
            if not isinstance(outcome, Try):
                return outcome
            age.begin_again()
            if outcome is not Try.BEHIND:
                if self._clock.monotonic_s() + pause_s > deadline:
                    raise DeadlineExceeded(
                        "the deadline passed while older commits over the same partitions went first"
                    )
                pause_s = await self._paused(pause_s)
            if refused := await self._refused_by_then(commit, units, age, deadline):
                return refused
        raise StoreUnavailable("too many commits go over the same partitions at once; nothing was written")

    async def _refused_by_then(self, commit: Commit, units: Sequence[Unit], age: Age, deadline: float) -> Refusals:
        """Waits, holding nothing, until no older commit has a partition; returns what refuses the commit then.

        Reads are all that it takes, where another try would hold up others for nothing. Whoever went first has often
        changed what it checks.
        """
        while True:
            refused, locked = await self._as_it_is(commit, units, deadline)
            if refused:
                return refused
            times = await asyncio.gather(*(self._locks.time_of(*place, lock, deadline) for place, lock in locked))
            older = [
                (place, lock)
                for (place, lock), time in zip(locked, times, strict=True)
                if time is not None and age.is_behind(time, decode_lock(lock).commit_id)
            ]
            if not older:
                return refused
            await asyncio.gather(*(self._locks.clear(*place, lock, deadline) for place, lock in older))

    async def _as_it_is(
        self, commit: Commit, units: Sequence[Unit], deadline: float
    ) -> tuple[Refusals, list[tuple[Place, bytes]]]:
        """Returns what refuses the commit by now, and which of its partitions others hold, with their locks.

        What a copy of the commit has changed itself refuses nothing; each partition says by the commit's fate whether
        one did.
        """
        seen = await self._reads.look_at_all(units, deadline, fate_of=commit.id)
        if any(commit.id in one.fates for one in seen):
            return Refusals(), []
        locked = [(unit.place, one.lock) for unit, one in zip(units, seen, strict=True) if one.lock is not None]
        return refusals(units, seen), locked

    async def _paused(self, pause_s: float) -> float:
        """Waits before the next try, for a random time, so that two do not meet again and again; returns the next."""
        await asyncio.sleep(pause_s * (0.5 + self._ids.draw(1)[0] / 256))
        return min(2 * pause_s, _PAUSE_S_MAX)

    async def _tried(
        self, commit: Commit, units: Sequence[Unit], turn: Turn, age: Age, *, deadline: float, doubt: Doubt
    ) -> Committed | Refusals | Try:
        anchor, others = units[0], units[1:]
        note = self._noted(commit, anchor, others)
        believed = [self._deciding.believed(unit) for unit in others]
        lingers = Doubt()
        prepared = await self._prepared(commit, others, believed, note, age, deadline=deadline, doubt=lingers)
        is_last = not lingers.is_there
        if any(one is not Try.PREPARED for one in prepared):
            self._end(turn, self._endings.undo(note, is_last=is_last))
            return await self._not_prepared(prepared, units, deadline)
        try:
            decided = await self._deciding.decide(commit, anchor, note.lock.nonce, deadline, doubt, age=age)
        except (Unsure, StoreError, TableMissing):
            self._end(turn, self._found_out(note, is_last=is_last))
            raise
        if isinstance(decided, Decided) and decided.is_mine:
            # What was answered each time was laid as it is believed to have been; else what stands there is looked up.
            intents = [unit.intent(belief) if is_last else None for unit, belief in zip(others, believed, strict=True)]
            self._end(turn, self._endings.carry_out(note, decided.committed.version, intents))
            return self._with_cells(commit, others, believed, decided.committed) if is_last else decided.committed
        end = self._found_out if doubt.is_there else self._endings.undo
        self._end(turn, end(note, is_last=is_last))
        if isinstance(decided, Decided):
            return decided.committed
        return await self._all_refusals([decided], units[1:], deadline) if isinstance(decided, Refusals) else decided

    def _noted(self, commit: Commit, anchor: Unit, others: Sequence[Unit]) -> Note:
        """Begins a try."""
        lock = Lock(commit.id, self._ids.draw(NONCE_BYTES), anchor.space.space_id, anchor.key)
        return self._journal.note(lock, [unit.place for unit in others])

    async def _found_out(self, note: Note, *, is_last: bool) -> None:
        await self._endings.find_out(note, self._clock.monotonic_s() + _GIVE_UP_S, is_last=is_last)

    async def _not_prepared(
        self, prepared: Sequence[object], units: Sequence[Unit], deadline: float
    ) -> Committed | Refusals | Try:
        """Answers for a try that could not be prepared everywhere."""
        for one in prepared:
            if isinstance(one, Decided):
                return one.committed
        refused = [one for one in prepared if isinstance(one, Refusals)]
        if refused:
            # Some hold now. What the anchor says, and those which were not asked to the end, belongs to the conflict.
            unsure = [
                unit
                for unit, one in zip(units[1:], prepared, strict=True)
                if one is not Try.PREPARED and not isinstance(one, Refusals)
            ]
            return await self._all_refusals(refused, [units[0], *unsure], deadline)
        for one in prepared:
            if isinstance(one, Unsure):
                # A lock alone has no effect, so that nothing is unknown.
                raise DeadlineExceeded("the deadline passed before the commit could be decided; nothing was written")
            if isinstance(one, BaseException):
                raise one
        return Try.BEHIND if Try.BEHIND in prepared else Try.GIVEN_UP

    async def _all_refusals(self, found: Sequence[Refusals], rest: Sequence[Unit], deadline: float) -> Refusals:
        """Adds what the partitions that were not asked yet say, so that a conflict tells every check that failed."""
        asked = _checking(rest)
        seen = await self._reads.look_at_all(asked, deadline)
        return _joined([*found, refusals(asked, seen)])

    def _with_cells(
        self, commit: Commit, others: Sequence[Unit], believed: Sequence[Believed], decided: Committed
    ) -> Committed:
        if not commit.return_cells:
            return decided
        cells = dict(decided.cells)
        for unit, belief in zip(others, believed, strict=True):
            cells.update(self._deciding.cells_left(commit, unit, belief))
        return Committed(decided.version, cells)

    # ---- reads -------------------------------------------------------------------------------------------------------

    async def look_under_locks(self, units: Sequence[Unit], deadline: float) -> list[Seen]:
        """Returns what stands in several partitions, all as of one moment: one in which this call holds all of them.

        Raises:
            StoreUnavailable: they could not all be held at once before the deadline.
        """
        # The same for every try, so that it grows old among those that it competes with, and goes first in the end.
        commit = Commit(new_commit_id(self._clock, self._ids))
        turn = self._turns.enter(commit, [unit.place for unit in units])
        try:
            await self._turns.wait(turn, deadline)
            return await self._look_under_locks(commit, units, turn, deadline)
        finally:
            self._leave(turn)

    async def _look_under_locks(self, commit: Commit, units: Sequence[Unit], turn: Turn, deadline: float) -> list[Seen]:
        bare = [Unit(unit.space, unit.partition) for unit in units]
        age, pause_s = self._deciding.age(commit), _PAUSE_S
        for _ in range(_TRIES_MAX):
            note, lingers = self._noted(commit, bare[0], bare), Doubt()
            believed = [self._deciding.believed(unit) for unit in bare]
            seen, is_last = None, False
            try:
                prepared = await self._prepared(commit, bare, believed, note, age, deadline=deadline, doubt=lingers)
                is_last = not lingers.is_there
                failed = next((one for one in prepared if isinstance(one, BaseException)), None)
                if all(one is Try.PREPARED for one in prepared):
                    seen = await self._reads.look_at_all(units, deadline)
                    # Whoever has given the try up meanwhile may have written since.
                    seen = seen if isinstance(await self._locks.fate(note.lock, deadline), Pending) else None
            finally:
                # Where it was ended before, a batch may be on its way.
                self._end(turn, self._endings.undo(note, is_last=is_last))
            if failed is not None:
                raise StoreUnavailable("the partitions could not be read together") from failed
            if seen is not None:
                return seen
            if self._clock.monotonic_s() + pause_s > deadline:
                raise DeadlineExceeded("the deadline passed before the partitions could be read together")
            if Try.BEHIND not in prepared:
                pause_s = await self._paused(pause_s)
            age.begin_again()
            await self._refused_by_then(commit, bare, age, deadline)
        raise StoreUnavailable("too many commits go over the same partitions at once")

    async def _prepared(
        self,
        commit: Commit,
        units: Sequence[Unit],
        believed: Sequence[Believed],
        note: Note,
        age: Age,
        *,
        deadline: float,
        doubt: Doubt,
    ) -> Sequence[object]:
        """Prepares partitions side by side, and notes the try; returns what became of each.

        Where that is an error, it stands there. A try of which nobody would know is taken to be prepared nowhere.
        """
        lock, over = (note.lock.nonce, note.data), asyncio.Event()

        async def prepare(unit: Unit, belief: Believed) -> object:
            found: object = None
            try:
                found = await self._deciding.prepare(
                    commit, unit, belief, lock, age, deadline=deadline, doubt=doubt, over=over
                )
            finally:
                if found is not Try.PREPARED:
                    over.set()
            return found

        written, *prepared = await asyncio.gather(
            self._journal.write(note, deadline),
            *(prepare(unit, belief) for unit, belief in zip(units, believed, strict=True)),
            return_exceptions=True,
        )
        if isinstance(written, BaseException):
            return [written if one is Try.PREPARED else one for one in prepared]
        return prepared


#: How long the end of a commit whose decision was not answered is sought here before others have to do it.
_GIVE_UP_S: Final = 10.0


def refusals(units: Sequence[Unit], seen: Sequence[Seen]) -> Refusals:
    """Returns what refuses a commit in several partitions, by what was seen in each."""
    return _joined([unit.refusals(one) for unit, one in zip(units, seen, strict=True)])


def _checking(units: Sequence[Unit]) -> Sequence[Unit]:
    """Returns the parts of a commit that something can refuse."""
    return [unit for unit in units if unit.sorts() or unit.stamps]


def _joined(found: Sequence[Refusals]) -> Refusals:
    """Returns the refusals of several partitions as one."""
    whole = Refusals()
    for one in found:
        whole.failed += one.failed
        whole.out_of_bounds += one.out_of_bounds
        whole.records.update(one.records)
        whole.stamps.update(one.stamps)
    return whole
