"""Commits and what became of them, as the contract has them; see ``deciding`` and ``across`` for how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from tenet.store.cassandra.across import refusals
from tenet.store.cassandra.deciding import NO_NONCE, Decided, Try
from tenet.store.cassandra.encoding import NEVER, version_of
from tenet.store.cassandra.tries import Doubt, TableMissing, Unsure
from tenet.store.cassandra.unit import Refusals, Unit
from tenet.store.contract import Committed, Conflict, Key, Limits, NeverCommitted, Record, Unknown
from tenet.store.errors import StoreError, StoreSlow, StoreUnavailable

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.cassandra.across import Across
    from tenet.store.cassandra.deciding import Deciding
    from tenet.store.cassandra.driver import Driver
    from tenet.store.cassandra.locks import Locks
    from tenet.store.cassandra.partitions import Partitions
    from tenet.store.cassandra.reads import Reads
    from tenet.store.cassandra.spaces import Space
    from tenet.store.cassandra.turns import Turns
    from tenet.store.contract import Commit, Outcome, Range, Settled
    from tenet.store.versions import VersionSource

_TRIES_MAX: Final = 50


class Commits:
    """Carries out commits and settles them.

    Args:
        driver: the cluster.
        deciding: sends batches within a partition.
        locks: resolves what is met.
        across: commits over several partitions.
        reads: looks at partitions.
        partitions: the lines of commits.
        turns: of commits over several partitions.
        versions: gives versions.
        clock: time.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        deciding: Deciding,
        locks: Locks,
        across: Across,
        reads: Reads,
        partitions: Partitions,
        turns: Turns,
        versions: VersionSource,
        clock: Clock,
    ) -> None:
        self._driver = driver
        self._deciding = deciding
        self._locks = locks
        self._across = across
        self._reads = reads
        self._partitions = partitions
        self._turns = turns
        self._versions = versions
        self._clock = clock

    async def commit(self, commit: Commit, units: Sequence[Unit], deadline: float) -> Outcome:
        """Commits; see ``Store.commit``."""
        if not commit.writes and not commit.appends:
            return await self._check_only(units, deadline)
        doubt = Doubt()
        try:
            outcome = await self._run(commit, units, deadline, doubt)
        except Unsure:
            return Unknown(commit.id)
        except (StoreError, TableMissing):
            if doubt.is_there:
                return Unknown(commit.id)
            raise
        if not isinstance(outcome, Refusals):
            return outcome
        if doubt.is_there:
            # A batch that was not answered could take effect behind the conflict that is to be told.
            try:
                settled = await self.settle(commit, units[0], deadline)
            except (StoreError, TableMissing):
                return Unknown(commit.id)
            if isinstance(settled, Committed):
                return settled
        return _conflict(outcome)

    async def _run(self, commit: Commit, units: Sequence[Unit], deadline: float, doubt: Doubt) -> Committed | Refusals:
        if len(units) > 1:
            return await self._across.run(commit, units, deadline, doubt)
        (unit,) = units
        if self._turns.are_taken(unit.place):
            # A lock stands there now and then, which would refuse it.
            decided = await self._decided_in_turn(commit, unit, deadline, doubt)
        else:
            decided = await self._deciding.decide(commit, unit, NO_NONCE, deadline, doubt)
        if isinstance(decided, Decided):
            return decided.committed
        assert isinstance(decided, Refusals)
        return decided

    async def _decided_in_turn(
        self, commit: Commit, unit: Unit, deadline: float, doubt: Doubt
    ) -> Decided | Refusals | Try:
        turn = self._turns.enter(commit, (unit.place,))
        try:
            while not await self._turns.wait(turn, deadline):
                pass  # Its batch finds out what has changed.
            decided = await self._deciding.decide(commit, unit, NO_NONCE, deadline, doubt)
            turn.took_effect = isinstance(decided, Decided)
            return decided
        finally:
            self._turns.leave(turn)

    async def _check_only(self, units: Sequence[Unit], deadline: float) -> Outcome:
        """Carries out a commit that has checks alone: it reads until all that it saw was so at one moment."""
        seen = await self._reads.look_together(units, deadline)
        found = refusals(units, seen)
        return _conflict(found) if found else Committed(self._versions.draw())

    async def settle(self, commit: Commit, anchor: Unit, deadline: float) -> Settled:
        """Says for good whether a commit took effect; see ``Store.settle``."""
        statements, key = anchor.space.statements, anchor.key
        never = (statements.fate, [NEVER, key, commit.id])
        while True:
            rows = await self._driver.select(statements.get_fates, (key, [commit.id]), deadline=deadline)
            if rows and rows[0][1]:
                fate = rows[0][1]
                return NeverCommitted(commit.id) if fate.startswith(NEVER) else Committed(version_of(fate))
            try:
                async with self._partitions.line((anchor.space.space_id, key), deadline):
                    if await self._driver.decide([never], deadline=deadline) is None:
                        return NeverCommitted(commit.id)
            except Unsure:
                if deadline <= self._clock.monotonic_s():
                    raise StoreSlow("too few nodes of the cluster answered in time") from None

    async def discard(self, space: Space, partition: bytes, within: Range, deadline: float) -> None:
        """Removes a range of a partition; see ``Store.discard``."""
        if within.upper is not None and within.lower >= within.upper:
            return
        unit = Unit(space, partition)
        statements, key = space.statements, unit.key
        if within.upper is None:
            gone = (statements.discard_all, [key, within.lower])
        else:
            gone = (statements.discard_below, [key, within.lower, within.upper])
        # Conditional, as every change of a partition: beside lightweight transactions a plain one may be lost.
        for _ in range(_TRIES_MAX):
            try:
                async with self._partitions.line((space.space_id, key), deadline):
                    batch = [(statements.guard, [key]), (statements.look_at_header, [key]), gone]
                    shown = await self._driver.decide(batch, deadline=deadline)
            except Unsure:
                continue
            if shown is None:
                return
            # It goes before every commit: it waits for none of them for long.
            await self._locks.clear(space.space_id, key, shown[0]["lk"], deadline, is_older=True)
        raise StoreUnavailable("the range could not be removed: too many commits go on in its partition")


def _conflict(found: Refusals) -> Conflict:
    return Conflict(sorted(found.failed), sorted(found.out_of_bounds), _records_that_fit(found.records), found.stamps)


def _records_that_fit(found: Mapping[Key, Record | None]) -> Mapping[Key, Record | None]:
    records: dict[Key, Record | None] = {}
    value_bytes = 0
    for key, record in found.items():
        value_bytes += len(record.value) if record is not None else 0
        if value_bytes > Limits.commit_bytes_max:
            break
        records[key] = record
    return records
