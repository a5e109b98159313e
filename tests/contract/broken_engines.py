"""Engines that are broken in one way each; the contract suite has to find out every one of them.

Each is the reference engine with one mistake of the kind that engines make: a pause between looking and writing, an
answer from what was, a marker forgotten, an end of a range taken wrongly.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tenet.store.contract import (
    EVERYTHING,
    Add,
    Commit,
    Committed,
    Conflict,
    Delete,
    IsStamp,
    Key,
    LogPage,
    NeverCommitted,
    Page,
    Put,
    Range,
    StampOf,
    Version,
    log_shard,
)
from tenet.store.memory import MemoryEngine
from tenet.store.suite.model import is_within
from tenet.store.versions import LOWEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.store.contract import Append, Check, CommitId, Outcome, Record, Settled, SpaceOptions, Write


class ChecksEarly(MemoryEngine):
    """Looks whether the checks hold, and writes a moment later without looking again: updates are lost."""

    async def commit(self, commit: Commit, *, deadline: float = float("inf")) -> Outcome:
        await self._begin(deadline)
        conflict = self._refusal(commit)
        if conflict is not None:
            return conflict
        await asyncio.sleep(0)
        return self._decide(replace(commit, checks=()))


class BoundsEarly(MemoryEngine):
    """Looks whether the bounds hold, and adds a moment later."""

    async def commit(self, commit: Commit, *, deadline: float = float("inf")) -> Outcome:
        await self._begin(deadline)
        conflict = self._refusal(commit)
        if conflict is not None:
            return conflict
        await asyncio.sleep(0)
        loose = [replace(w, at_least=None, at_most=None) if isinstance(w, Add) else w for w in commit.writes]
        return self._decide(replace(commit, writes=loose))


class ChecksOnlyWhatItWrites(MemoryEngine):
    """Ignores the checks of keys that the commit does not write: writes are skewed."""

    def _holds(self, check: Check) -> bool:
        return isinstance(check, IsStamp) or check.key not in self._written or super()._holds(check)

    def _decide(self, commit: Commit) -> Outcome:
        self._written = {write.key for write in commit.writes}
        return super()._decide(commit)


class IgnoresStamps(MemoryEngine):
    """Lets every check of a stamp pass."""

    def _holds(self, check: Check) -> bool:
        return isinstance(check, IsStamp) or super()._holds(check)


class WritesBitByBit(MemoryEngine):
    """Carries out the writes of a commit one after the other, so that others see half of it."""

    async def commit(self, commit: Commit, *, deadline: float = float("inf")) -> Outcome:
        await self._begin(deadline)
        conflict = self._refusal(commit)
        if conflict is not None or not commit.writes:
            return conflict or self._decide(commit)
        self._state.last_version = version = self._versions.draw()
        for write in commit.writes:
            self._write(write, version)
            await asyncio.sleep(0)
        return Committed(version)


class ReadsBitByBit(MemoryEngine):
    """Reads the keys of a snapshot one after the other."""

    async def read_together(
        self, reads: Sequence[Key | StampOf], *, deadline: float = float("inf")
    ) -> Sequence[Record | int | None]:
        answers: list[Record | int | None] = []
        for read in reads:
            answers += await super().read_together([read], deadline=deadline)
        return answers


class ReadsFromBefore(MemoryEngine):
    """Answers from a copy of the record that it made when the record was read last."""

    def _read(self, key: Key) -> Record | None:
        seen: dict[Key, Record | None] = self.__dict__.setdefault("_seen", {})
        now = super()._read(key)
        before = seen.get(key, now)
        seen[key] = now
        return before


class QueriesStamplessly(MemoryEngine):
    """Takes the stamp of a query a moment after its records."""

    async def query(self, space: str, partition: bytes, within: Range = EVERYTHING, **options: object) -> Page:
        of = options.pop("stamp", None)
        page: Page = await super().query(space, partition, within, **options)  # type: ignore[arg-type]  # - passed through
        if not isinstance(of, StampOf):
            return page
        await asyncio.sleep(0)
        return replace(page, stamp=self._read_stamp(of))


class AddsConflict(MemoryEngine):
    """Takes an add for a change of the version, as a read-modify-write would."""

    def _write(self, write: Write, version: Version) -> None:
        super()._write(write, version)
        if isinstance(write, Add):
            partition = self._space(write.key.space).make_partition(write.key.partition)
            partition.put(replace(partition.records[write.key.sort], version=version))


class AddsDoNotStamp(MemoryEngine):
    """Forgets that an add changes what a query shows."""

    def _write(self, write: Write, version: Version) -> None:
        space = self._space(write.key.space)
        stamps = dict(space.stamps)
        super()._write(write, version)
        if isinstance(write, Add):
            space.stamps = stamps


class PutsDropCells(MemoryEngine):
    """Drops the cells of a record that is put without any."""

    def _write(self, write: Write, version: Version) -> None:
        super()._write(replace(write, cells=write.cells or {}) if isinstance(write, Put) else write, version)


class ForgetsIds(MemoryEngine):
    """Does not know a commit again that comes a second time."""

    def _remember(self, commit_id: CommitId, settled: Settled) -> Settled:
        return settled


class SettlesWithoutAFence(MemoryEngine):
    """Says that a commit never took effect, and lets it come afterwards."""

    def _remember(self, commit_id: CommitId, settled: Settled) -> Settled:
        return settled if isinstance(settled, NeverCommitted) else super()._remember(commit_id, settled)


class SettlesByLooking(MemoryEngine):
    """Takes a commit for one that took effect if its value is there, instead of keeping a marker."""

    async def settle(self, commit: Commit, *, deadline: float = float("inf")) -> Settled:
        await self._begin(deadline)
        for write in commit.writes:
            record = self._read(write.key)
            if isinstance(write, Put) and (record is None or record.value != write.value):
                return self._remember(commit.id, NeverCommitted(commit.id))
        return await super().settle(commit, deadline=deadline)


class ConflictsFromBefore(MemoryEngine):
    """Brings records with its conflicts that were read a moment before the checks."""

    async def commit(self, commit: Commit, *, deadline: float = float("inf")) -> Outcome:
        early = self._refusal(commit)
        for _ in range(3):
            await asyncio.sleep(0)
        outcome = await super().commit(commit, deadline=deadline)
        if isinstance(outcome, Conflict) and early is not None and early.failed == outcome.failed:
            return replace(outcome, records={**outcome.records, **early.records})
        return outcome


class NamesTheFirstFailure(MemoryEngine):
    """Stops at the first check that fails."""

    def _refusal(self, commit: Commit) -> Conflict | None:
        conflict = super()._refusal(commit)
        return conflict and replace(conflict, failed=conflict.failed[:1])


class LogsLate(MemoryEngine):
    """Gives an entry its position when the commit begins, and appends it later: behind what it said was closed."""

    def _append(self, append: Append, commit_id: CommitId, version: Version) -> None:
        super()._append(append, commit_id, version)
        key = append.key
        shards = self._space(key.space).shards
        entries = shards[log_shard(key.partition, len(shards))].entries
        if self._state.position % 5 == 0:
            late = entries.pop()
            asyncio.get_running_loop().call_later(
                0.002, lambda: insort(entries, late, key=lambda entry: entry.position)
            )


class LogsInTheWrongOrder(MemoryEngine):
    """Swaps two entries of a shard now and then."""

    def _append(self, append: Append, commit_id: CommitId, version: Version) -> None:
        super()._append(append, commit_id, version)
        key = append.key
        shards = self._space(key.space).shards
        entries = shards[log_shard(key.partition, len(shards))].entries
        if len(entries) > 3 and self._state.position % 7 == 0:
            one, other = entries[-2:]
            entries[-2:] = [replace(other, position=one.position), replace(one, position=other.position)]


class TrimsForTheFastest(MemoryEngine):
    """Trims a log by the reader that has read most."""

    async def read_log(
        self,
        space: str,
        shard: int,
        *,
        after: int,
        limit: int,
        reader: str | None = None,
        stale: bool = False,
        deadline: float = float("inf"),
    ) -> LogPage:
        page = await super().read_log(
            space, shard, after=after, limit=limit, reader=reader, stale=stale, deadline=deadline
        )
        read_up_to = self._space(space).shards[shard].read_up_to
        options = self._space(space).info.options.log
        if reader is not None and options is not None:
            read_up_to.update(dict.fromkeys(options.readers, max(read_up_to.values())))
        return page


class LooksBeforeTheLast(MemoryEngine):
    """A stale read of a log neither shows its last entry nor says that there is one."""

    async def read_log(
        self,
        space: str,
        shard: int,
        *,
        after: int,
        limit: int,
        reader: str | None = None,
        stale: bool = False,
        deadline: float = float("inf"),
    ) -> LogPage:
        page = await super().read_log(
            space, shard, after=after, limit=limit, reader=reader, stale=stale, deadline=deadline
        )
        return replace(page, entries=page.entries[:-1]) if stale else page


class ScansByCount(MemoryEngine):
    """Goes on with a scan behind as many records as it has returned, instead of behind a key."""

    async def scan(self, space: str, within: Range = EVERYTHING, **options: object) -> Page:
        after = options.pop("after", None)
        counted: dict[object, int] = self.__dict__.setdefault("_counted", {})
        place = (space, within, options.get("slice_index", 0), options.get("slice_count", 1))
        skip = counted.get((*place, after), 0) if after is not None else 0
        limit = options.pop("limit")
        assert isinstance(limit, int)
        page: Page = await super().scan(space, within, limit=10_000, **options)  # type: ignore[arg-type]  # - passed through
        records = page.records[skip : skip + limit]
        if records:
            counted[*place, (records[-1].partition, records[-1].sort)] = skip + len(records)
        return Page(records, more=skip + limit < len(page.records))


class EndsTooEarly(MemoryEngine):
    """Says that a page that is full is the last."""

    async def query(self, space: str, partition: bytes, within: Range = EVERYTHING, **options: object) -> Page:
        page: Page = await super().query(space, partition, within, **options)  # type: ignore[arg-type]  # - passed through
        return replace(page, more=False)


class IncludesTheUpperEnd(MemoryEngine):
    """Takes the upper end of a range for a part of it."""

    async def query(self, space: str, partition: bytes, within: Range = EVERYTHING, **options: object) -> Page:
        wider = within if within.upper is None else Range(within.lower, within.upper + b"\x00")
        page: Page = await super().query(space, partition, wider, **options)  # type: ignore[arg-type]  # - passed through
        return page


class OrdersAsText(MemoryEngine):
    """Orders sort keys as text of a locale, where capitals and high bytes go elsewhere."""

    async def query(self, space: str, partition: bytes, within: Range = EVERYTHING, **options: object) -> Page:
        page: Page = await super().query(space, partition, within, **options)  # type: ignore[arg-type]  # - passed through
        signed = sorted(page.records, key=lambda record: [byte - 256 * (byte > 127) for byte in record.sort])
        return replace(page, records=signed[::-1] if options.get("reverse") else signed)


class VersionsByTheClock(MemoryEngine):
    """Makes versions of the wall clock alone."""

    def _decide(self, commit: Commit) -> Outcome:
        self._versions._time, self._state.last_version = 0, LOWEST
        return super()._decide(commit)


class KeepsStampsOfTheDropped(MemoryEngine):
    """Gives a space that is made again the records of the one before."""

    async def drop_space(self, name: str, *, deadline: float = float("inf")) -> None:
        graves: dict[str, object] = self.__dict__.setdefault("_graves", {})
        graves[name] = self._state.spaces.get(name)
        await super().drop_space(name, deadline=deadline)

    async def ensure_space(self, name: str, options: SpaceOptions, *, deadline: float = float("inf")) -> object:  # type: ignore[override]  # - broken
        info = await super().ensure_space(name, options, deadline=deadline)
        grave = self.__dict__.setdefault("_graves", {}).pop(name, None)
        if grave is not None:
            self._state.spaces[name].stamps = grave.stamps
        return info


class WritesBeforeItRefuses(MemoryEngine):
    """Carries out the deletes of a commit before it looks at the checks."""

    def _decide(self, commit: Commit) -> Outcome:
        for write in commit.writes:
            if isinstance(write, Delete) and is_within(write.key.sort, EVERYTHING):
                self._space(write.key.space).partition(write.key.partition).delete(write.key.sort)
        return super()._decide(commit)


class DiscardsTooMuch(MemoryEngine):
    """Discards whole partitions."""

    async def discard(
        self, space: str, partition: bytes, within: Range = EVERYTHING, *, deadline: float = float("inf")
    ) -> None:
        await super().discard(space, partition, EVERYTHING if within.upper else within, deadline=deadline)
