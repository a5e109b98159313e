"""Commits over several partitions: prepared in all but the anchor, decided there, carried out behind the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tenet.store.cassandra.behind import Behind
from tenet.store.cassandra.deciding import Decided, Try
from tenet.store.cassandra.driver import Doubt, Unsure
from tenet.store.cassandra.locks import Pending
from tenet.store.cassandra.rows import NONCE_BYTES, Lock, committed, encode_lock
from tenet.store.cassandra.schema import REMEMBERED_S
from tenet.store.cassandra.unit import Believed, Refusals, Seen, Unit
from tenet.store.contract import Commit, Committed, new_commit_id
from tenet.store.errors import DeadlineExceeded, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.cassandra.deciding import Deciding
    from tenet.store.cassandra.driver import Driver
    from tenet.store.cassandra.locks import Locks
    from tenet.store.cassandra.reads import Reads
    from tenet.store.contract import Version

_TRIES_MAX: Final = 200
_PAUSE_S: Final = 0.01
_PAUSE_S_MAX: Final = 0.2


class Across:
    """Carries out commits over several partitions.

    Args:
        driver: the cluster.
        deciding: sends the batches.
        locks: brings what was prepared to its end.
        reads: looks at partitions.
        clock: time.
        ids: for tries.
    """

    def __init__(
        self, driver: Driver, deciding: Deciding, locks: Locks, reads: Reads, *, clock: Clock, ids: Ids
    ) -> None:
        self._driver = driver
        self._deciding = deciding
        self._locks = locks
        self._reads = reads
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
        pause_s = _PAUSE_S
        for _ in range(_TRIES_MAX):
            outcome = await self._tried(commit, units, deadline, doubt)
            if not isinstance(outcome, Try):
                return outcome
            if self._clock.monotonic_s() + pause_s > deadline:
                raise DeadlineExceeded("the deadline passed while older commits over the same partitions went first")
            pause_s = await self._paused(pause_s)
        raise StoreUnavailable("too many commits go over the same partitions at once; nothing was written")

    async def _paused(self, pause_s: float) -> float:
        """Waits before the next try, for a random time, so that two do not meet again and again; returns the next."""
        await asyncio.sleep(pause_s * (0.5 + self._ids.draw(1)[0] / 256))
        return min(2 * pause_s, _PAUSE_S_MAX)

    async def _tried(
        self, commit: Commit, units: Sequence[Unit], deadline: float, doubt: Doubt
    ) -> Committed | Refusals | Try:
        anchor, others = units[0], units[1:]
        nonce = self._ids.draw(NONCE_BYTES)
        lock = Lock(commit.id, nonce, anchor.space.space_id, anchor.key)
        data = encode_lock(lock)
        believed = [self._deciding.believed(unit) for unit in others]
        prepared = await self._prepared(commit, others, believed, (nonce, data), deadline=deadline)
        if any(one is not Try.PREPARED for one in prepared):
            self._behind.go(self._undone(others, data))
            return await self._not_prepared(prepared, units, deadline)
        try:
            decided = await self._deciding.decide(commit, anchor, nonce, deadline, doubt)
        except (Unsure, StoreError):
            self._behind.go(self._resolved(lock, others, data))
            raise
        if isinstance(decided, Decided) and decided.is_mine:
            self._behind.go(self._carried_out(lock, others, data, decided.committed.version))
            return self._with_cells(commit, others, believed, decided.committed)
        self._behind.go(self._resolved(lock, others, data) if doubt.is_there else self._undone(others, data))
        if isinstance(decided, Decided):
            return decided.committed
        return await self._all_refusals([decided], units[1:], deadline) if isinstance(decided, Refusals) else decided

    async def _not_prepared(
        self, prepared: Sequence[object], units: Sequence[Unit], deadline: float
    ) -> Committed | Refusals | Try:
        """Answers for a try that could not be prepared everywhere."""
        for one in prepared:
            if isinstance(one, Decided):
                return one.committed
        refused = [one for one in prepared if isinstance(one, Refusals)]
        if refused:
            # The others hold now, or had no answer; what the anchor and they say belongs to the conflict, too.
            unsure = [
                unit for unit, one in zip(units[1:], prepared, strict=True) if not isinstance(one, Refusals | Try)
            ]
            return await self._all_refusals(refused, [units[0], *unsure], deadline)
        for one in prepared:
            if isinstance(one, Unsure):
                # A lock alone has no effect, so that nothing is unknown.
                raise DeadlineExceeded("the deadline passed before the commit could be decided; nothing was written")
            if isinstance(one, BaseException):
                raise one
        return Try.GIVEN_UP

    async def _all_refusals(self, found: Sequence[Refusals], rest: Sequence[Unit], deadline: float) -> Refusals:
        """Adds what the partitions that were not asked yet say, so that a conflict tells every check that failed."""
        asked = [unit for unit in rest if unit.sorts() or unit.stamps]
        seen = await asyncio.gather(*(self._reads.look(unit, deadline) for unit in asked))
        return joined([*found, *(unit.refusals(one) for unit, one in zip(asked, seen, strict=True))])

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
        bare = [Unit(unit.space, unit.partition) for unit in units]
        # The same for every try, so that it grows old among those that it competes with, and goes first in the end.
        commit = Commit(new_commit_id(self._clock, self._ids))
        pause_s = _PAUSE_S
        for _ in range(_TRIES_MAX):
            nonce = self._ids.draw(NONCE_BYTES)
            lock = Lock(commit.id, nonce, bare[0].space.space_id, bare[0].key)
            data = encode_lock(lock)
            believed = [self._deciding.believed(unit) for unit in bare]
            prepared = await self._prepared(commit, bare, believed, (nonce, data), deadline=deadline)
            failed = next((one for one in prepared if isinstance(one, BaseException)), None)
            seen = None
            if all(one is Try.PREPARED for one in prepared):
                seen = await self._reads.look_at_all(units, deadline)
                # Whoever has given the try up meanwhile may have written since.
                seen = seen if isinstance(await self._locks.fate(lock, deadline), Pending) else None
            self._behind.go(self._undone(bare, data))
            if failed is not None:
                raise StoreUnavailable("the partitions could not be read together") from failed
            if seen is not None:
                return seen
            if self._clock.monotonic_s() + pause_s > deadline:
                raise DeadlineExceeded("the deadline passed before the partitions could be read together")
            pause_s = await self._paused(pause_s)
        raise StoreUnavailable("too many commits go over the same partitions at once")

    async def _prepared(
        self,
        commit: Commit,
        units: Sequence[Unit],
        believed: Sequence[Believed],
        lock: tuple[bytes, bytes],
        *,
        deadline: float,
    ) -> list[object]:
        """Prepares partitions side by side; returns what became of each, an error where it came to one."""
        return await asyncio.gather(
            *(
                self._deciding.prepare(commit, unit, belief, lock, deadline)
                for unit, belief in zip(units, believed, strict=True)
            ),
            return_exceptions=True,
        )

    # ---- behind the answer -------------------------------------------------------------------------------------------

    async def _carried_out(self, lock: Lock, others: Sequence[Unit], data: bytes, version: Version) -> None:
        """Carries out what was decided; then nobody needs the fate for longer than other fates."""
        await asyncio.gather(*(self._locks.resolve(unit.space.space_id, unit.key, data, version) for unit in others))
        statements = self._locks.statements(lock.space_id)
        above_us = (self._clock.wall_ms() + 1000 * REMEMBERED_S) * 1000
        aged = (statements.fate_aged, [above_us, committed(lock.nonce, version), lock.anchor, lock.commit_id])
        await self._driver.write([aged])

    async def _undone(self, others: Sequence[Unit], data: bytes) -> None:
        """Removes what was prepared for a decision that was never asked for, or was refused."""
        await asyncio.gather(*(self._locks.resolve(unit.space.space_id, unit.key, data, None) for unit in others))

    async def _resolved(self, lock: Lock, others: Sequence[Unit], data: bytes) -> None:
        """Gives the try up, unless it took effect, and brings it to its end either way."""
        version = await self._locks.give_up(lock, self._clock.monotonic_s() + _GIVE_UP_S)
        if version is None:
            await self._undone(others, data)
        else:
            await self._carried_out(lock, others, data, version)


#: How long the end of a commit whose decision was not answered is sought here before others have to do it.
_GIVE_UP_S: Final = 10.0


def joined(found: Sequence[Refusals]) -> Refusals:
    """Returns the refusals of several partitions as one."""
    whole = Refusals()
    for one in found:
        whole.failed += one.failed
        whole.out_of_bounds += one.out_of_bounds
        whole.records.update(one.records)
        whole.stamps.update(one.stamps)
    return whole
