"""Reads: by Paxos within a partition, as of one moment; over partitions by looking until nothing has moved.

Whatever is read may be held by a commit over several partitions (see ``locks``). While that is not decided, what was
read is what is there; once it is, it is carried out first, and read again.

Where an older state will do, a quorum is read without a round of Paxos: that shows every commit that was answered, and
may miss one that was not. Locks are seen and resolved by it all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from tenet.store.cassandra.encoding import from_key, record_of, to_key
from tenet.store.cassandra.murmur3 import TOKEN_MAX, TOKEN_MIN, token
from tenet.store.cassandra.tries import Unanswered
from tenet.store.cassandra.unit import Seen, Unit
from tenet.store.contract import IsStamp, Key, Page, Range, Record, StampOf, Version
from tenet.store.errors import OutsideSlice

if TYPE_CHECKING:
    from tenet.store.cassandra.driver import Driver
    from tenet.store.cassandra.locks import Locks
    from tenet.store.cassandra.partitions import Partitions
    from tenet.store.cassandra.spaces import Space
    from tenet.store.versions import VersionSource

#: The most rows that one statement asks for, and reads under way for one call.
_ROWS_MAX: Final = 2_000
_SORTS_MAX: Final = 100
_SIDE_BY_SIDE: Final = 32
#: How often several partitions are looked at again before they are locked for a moment.
_LOOKS_MAX: Final = 5
_TOKENS: Final = 2**64
#: The columns that a look shows, as a refusal does.
_SEEN: Final = ("kind", "sort", "v", "ver", "c", "st", "mk", "h", "lk", "pe")


class Reads:
    """Reads records.

    Args:
        driver: the cluster.
        partitions: told what is seen of partitions.
        locks: resolves what is met.
        versions: shown every version that is met.
    """

    def __init__(self, driver: Driver, partitions: Partitions, locks: Locks, versions: VersionSource) -> None:
        self._driver = driver
        self._partitions = partitions
        self._locks = locks
        self._versions = versions
        #: Looks at several partitions while nobody can write to them; given by whoever lays locks.
        self.look_under_locks: Callable[[Sequence[Unit], float], Awaitable[list[Seen]]] | None = None

    # ---- records by key ----------------------------------------------------------------------------------------------

    async def get(
        self, space: Space, partition: bytes, sorts: Sequence[bytes], deadline: float, *, is_stale: bool = False
    ) -> list[Record | None]:
        """Returns records of one partition."""
        if len(sorts) == 1:
            return [await self.get_one(space, partition, sorts[0], deadline, is_stale=is_stale)]
        found: dict[bytes, Record] = {}
        wanted = list(dict.fromkeys(sorts))
        for at in range(0, len(wanted), _SORTS_MAX):
            some = wanted[at : at + _SORTS_MAX]
            text = space.statements.get_in
            rows = await self._rows(space, to_key(partition), text, [some], deadline, is_stale=is_stale)
            found.update((record.sort, record) for record in self._records(partition, rows))
        return [found.get(sort) for sort in sorts]

    async def get_one(
        self, space: Space, partition: bytes, sort: bytes, deadline: float, *, is_stale: bool = False
    ) -> Record | None:
        """Returns a record."""
        rows = await self._rows(space, to_key(partition), space.statements.get, [sort], deadline, is_stale=is_stale)
        if not rows:
            return None
        row = rows[0]
        if row[1] is None:
            return None
        record = record_of(partition, sort, row[1], row[0], row[2])
        self._versions.observe(record.version)
        return record

    async def _rows(
        self, space: Space, key: bytes, text: str, values: Sequence[Any], deadline: float, *, is_stale: bool = False
    ) -> list[tuple[Any, ...]]:
        """Reads rows (v, ver, c, lk, h, …) of a partition that nothing decided is about to change."""
        while True:
            rows = await self._driver.select(text, [key, *values], deadline=deadline, is_serial=not is_stale)
            if not rows:
                return rows
            lock, time = rows[0][3], rows[0][4]
            if lock is None or await self._locks.is_pending(space.space_id, key, lock, deadline):
                # An older time than the one that is believed would cost the next commit a round.
                if time is not None and not is_stale:
                    self._partitions.learn_time((space.space_id, key), time)
                return rows
            # What was carried out just now must be seen, also where somebody else did it.
            is_stale = False

    def _records(self, partition: bytes, rows: Sequence[tuple[Any, ...]]) -> list[Record]:
        """Returns the records among rows (v, ver, c, …, sort, …) of a partition."""
        records = []
        newest = b""
        for row in rows:
            version = row[1]
            if version is not None:
                records.append(record_of(partition, row[5], version, row[0], row[2]))
                newest = max(newest, version)
        if newest:
            self._versions.observe(Version(newest))
        return records

    # ---- ranges ------------------------------------------------------------------------------------------------------

    async def query(
        self,
        space: Space,
        partition: bytes,
        within: Range,
        *,
        limit: int,
        limit_bytes: int,
        reverse: bool,
        stamp: StampOf | None,
        deadline: float,
        is_stale: bool = False,
    ) -> Page:
        """Returns records of one partition; see ``Store.query``. One with a stamp is never stale."""
        if within.upper is not None and within.lower >= within.upper:
            within = Range(within.lower, within.lower)
        key = to_key(partition)
        bucket = b"" if stamp is None else stamp.bucket
        is_stale = is_stale and stamp is None
        while True:
            before = None if stamp is None else await self._stamp(space, key, bucket, deadline)
            page, time = await self._page(
                space, partition, within, limit, limit_bytes, reverse=reverse, deadline=deadline, is_stale=is_stale
            )
            if before is None:
                return page
            if time is None:
                time = (await self._stamp(space, key, bucket, deadline))[0]
            if time == before[0]:
                return Page(page.records, page.more, before[1])

    async def _stamp(self, space: Space, key: bytes, bucket: bytes, deadline: float) -> tuple[int, int]:
        """Returns the partition's time and a stamp, of one moment."""
        unit = Unit(space, from_key(key))
        unit.stamps.append((0, IsStamp(StampOf(space.name, unit.partition, bucket), 0)))
        seen = await self.look(unit, deadline)
        return seen.time or 0, seen.stamp(bucket)

    async def _page(
        self,
        space: Space,
        partition: bytes,
        within: Range,
        limit: int,
        limit_bytes: int,
        *,
        reverse: bool,
        deadline: float,
        is_stale: bool = False,
    ) -> tuple[Page, int | None]:
        """Returns a page of one moment and the partition's time then, None where nothing showed it."""
        text = space.statements.range(has_upper=within.upper is not None, reverse=reverse)
        ends = [within.lower] if within.upper is None else [within.lower, within.upper]
        wanted = _rows_wanted(space, partition, limit, limit_bytes)
        while True:
            values = [*ends, wanted + 1]
            try:
                rows = await self._rows(space, to_key(partition), text, values, deadline, is_stale=is_stale)
            except Unanswered:
                _take_for_larger(space, partition, wanted)
                raise
            is_more = len(rows) > wanted
            records = self._records(partition, rows[:wanted] if is_more else rows)
            if records or not is_more:
                page = _page_of(space, partition, records, limit, limit_bytes, is_more=is_more)
                return page, (rows[0][4] or 0) if rows else None
            # Nothing but rows that a commit over several partitions is about to make.
            wanted = min(4 * wanted, 10_000)

    async def scan(
        self,
        space: Space,
        within: Range,
        *,
        limit: int,
        limit_bytes: int,
        slice_index: int,
        slice_count: int,
        after: tuple[bytes, bytes] | None,
        deadline: float,
    ) -> Page:
        """Returns records of a slice of a space, by the token of their partition; see ``Store.scan``."""
        first, last = _slice(slice_index, slice_count)
        wanted = _rows_wanted(space, None, limit, limit_bytes)
        if within.upper is not None and within.lower >= within.upper:
            return Page([], more=False)
        if after is not None:
            first_token = token(to_key(after[0]))
            if not first <= first_token <= last:
                raise OutsideSlice(f"the record to go on behind is not in slice {slice_index} of {slice_count}")
            first = first_token
            rest = Range(max(within.lower, after[1] + b"\x00"), within.upper)
            if rest.upper is None or rest.lower < rest.upper:
                page, _ = await self._page(space, after[0], rest, limit, limit_bytes, reverse=False, deadline=deadline)
                if page.records:
                    return Page(page.records, more=True)  # Other partitions may follow.
        text = space.statements.scan(has_upper=within.upper is not None)
        ends = [within.lower] if within.upper is None else [within.lower, within.upper]
        passed = None if after is None else to_key(after[0])
        while True:
            values = [first, last, *ends, wanted + 1]
            rows = await self._slice_rows(space, text, values, wanted, deadline)
            if await self._resolved(space, rows, deadline):
                continue
            is_more = len(rows) > wanted
            records = self._scanned(rows[:wanted], passed)
            if records or not is_more:
                return _page_of(space, None, records, limit, limit_bytes, is_more=is_more)
            # Everything was behind us already, or is only about to be made: go on behind the last partition seen.
            last_token = token(rows[wanted - 1][6])
            if last_token == first:
                wanted = min(4 * wanted, 100_000)
            else:
                first, passed = last_token, None

    async def _slice_rows(
        self, space: Space, text: str, values: Sequence[Any], wanted: int, deadline: float
    ) -> list[tuple[Any, ...]]:
        try:
            return await self._driver.select(text, values, deadline=deadline, is_serial=False)
        except Unanswered:
            _take_for_larger(space, None, wanted)
            raise

    def _scanned(self, rows: Sequence[tuple[Any, ...]], passed: bytes | None) -> list[Record]:
        """Returns the records of a scan's rows, but for those of the partition that was passed, and those before it."""
        passed_token = None if passed is None else token(passed)
        records = []
        for row in rows:
            key = row[6]
            if passed is not None and (key == passed or (key < passed and token(key) == passed_token)):
                continue
            records += self._records(from_key(key), (row,))
        return records

    async def _resolved(self, space: Space, rows: Sequence[tuple[Any, ...]], deadline: float) -> bool:
        """Returns whether something that was decided had to be carried out, so that the rows must be read again."""
        locks = {row[6]: row[3] for row in rows if row[3] is not None}
        pending = [await self._locks.is_pending(space.space_id, key, lock, deadline) for key, lock in locks.items()]
        return not all(pending)

    # ---- several records of one moment -------------------------------------------------------------------------------

    async def look(self, unit: Unit, deadline: float, *, fate_of: bytes | None = None) -> Seen:
        """Returns what a part of a commit checks or adds to, and perhaps the fate of a commit, as of one moment.

        A lock that it shows is of a commit which was not decided then.
        """
        places: list[bytes] = []
        marks = ["(0, 0x)"]
        for sort in unit.sorts():
            marks.append("(1, ?)")
            places.append(sort)
        for bucket in unit.buckets_checked():
            marks.append("(2, ?)")
            places.append(bucket)
        if fate_of is not None:
            marks.append("(3, ?)")
            places.append(fate_of)
        text = (
            f"SELECT {', '.join(_SEEN)} FROM {unit.space.statements.table} WHERE p = ?"
            f" AND (kind, sort) IN ({', '.join(marks)})"
        )
        while True:
            rows = await self._driver.select(text, [unit.key, *places], deadline=deadline)
            seen = Seen.of([dict(zip(_SEEN, row, strict=True)) for row in rows])
            lock = seen.lock
            if lock is None or await self._locks.is_pending(unit.space.space_id, unit.key, lock, deadline):
                return seen

    async def look_together(self, units: Sequence[Unit], deadline: float) -> list[Seen]:
        """Returns what parts of a commit check, all as of one moment."""
        before = await self.look_at_all(units, deadline)
        if len(units) <= 1:
            return before
        for _ in range(_LOOKS_MAX):
            now = await self.look_at_all(units, deadline)
            if all(_is_unmoved(unit, one, other) for unit, one, other in zip(units, before, now, strict=True)):
                return now
            before = now
        # Somebody writes there all the time: he has to wait for a moment.
        assert self.look_under_locks is not None
        return await self.look_under_locks(units, deadline)

    async def look_at_all(self, units: Sequence[Unit], deadline: float, *, fate_of: bytes | None = None) -> list[Seen]:
        """Returns what parts of a commit check, and perhaps its fate there, each as of a moment of its own."""
        gate = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def look(unit: Unit) -> Seen:
            async with gate:
                return await self.look(unit, deadline, fate_of=fate_of)

        return list(await asyncio.gather(*map(look, units)))

    async def read_together(
        self, reads: Sequence[Key | StampOf], spaces: dict[str, Space], deadline: float
    ) -> list[Record | int | None]:
        """Returns records and stamps of one moment; see ``Store.read_together``."""
        units: dict[tuple[str, bytes], Unit] = {}
        for read in reads:
            unit = units.setdefault((read.space, read.partition), Unit(spaces[read.space], read.partition))
            if isinstance(read, Key):
                unit.checks.setdefault(read.sort, [])
            else:
                unit.stamps.append((0, IsStamp(read, 0)))
        seen = await self.look_together(list(units.values()), deadline)
        found = dict(zip(units, seen, strict=True))
        return [self._read_of(read, found[read.space, read.partition]) for read in reads]

    def _read_of(self, read: Key | StampOf, seen: Seen) -> Record | int | None:
        if isinstance(read, Key):
            return seen.row(read.sort).record(read.partition, read.sort)
        return seen.stamp(read.bucket)


def _is_unmoved(unit: Unit, before: Seen, now: Seen) -> bool:
    """Whether nothing that was looked at has changed between two looks.

    A version, and the bytes of cells, never come back; of a record that is absent the partition's time must tell.
    """
    if before.time == now.time:
        return True
    buckets = unit.buckets_checked()
    return all(before.stamp(bucket) == now.stamp(bucket) for bucket in buckets) and _are_rows_unmoved(unit, before, now)


def _are_rows_unmoved(unit: Unit, before: Seen, now: Seen) -> bool:
    for sort in unit.checks:
        one, other = before.row(sort), now.row(sort)
        if one.version is None or other.version is None or (one.version, one.cells) != (other.version, other.cells):
            return False
    return True


def _rows_wanted(space: Space, partition: bytes | None, limit: int, limit_bytes: int) -> int:
    by_bytes = int(1.25 * limit_bytes / max(space.sizes.of(partition), 1.0)) + 1
    return max(1, min(limit, by_bytes, _ROWS_MAX))


def _take_for_larger(space: Space, partition: bytes | None, wanted: int) -> None:
    """Takes values for larger where so many rows could not be read: that may be why."""
    if wanted > 1:
        space.sizes.enlarge(partition)


def _page_of(
    space: Space, partition: bytes | None, records: list[Record], limit: int, limit_bytes: int, *, is_more: bool
) -> Page:
    """Cuts a page behind the record that makes it reach a limit, and learns how large values are here."""
    records, is_more = records[:limit], is_more or len(records) > limit
    value_bytes = 0
    for at, record in enumerate(records):
        value_bytes += len(record.value)
        if value_bytes >= limit_bytes and at + 1 < len(records):
            records, is_more = records[: at + 1], True
            break
    if records:
        space.sizes.learn(partition, value_bytes / len(records))
    return Page(records, is_more)


def _slice(index: int, count: int) -> tuple[int, int]:
    """Returns the first and the last token of a slice."""
    first = TOKEN_MIN + index * _TOKENS // count
    last = TOKEN_MIN + (index + 1) * _TOKENS // count - 1
    return first, min(last, TOKEN_MAX)
