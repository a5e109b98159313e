"""Fills global indexes that were added to tables that there were already, while requests go on.

A table's items are read in the order of a scan, some at a time, and an entry is written for each that has one: many are
collected, and written in the order of the index (``entries.py``). It takes effect only if the item is still what was
read, so that an entry never tells of a former state; a write behind it knows the index and keeps the entry up. Before
the first item is read, every request has ended that may not know of the index.

Where global indexes are kept from the log, an item's *presentation* goes there instead, in its own partition under the
same check, and keepers make the entry of it. Up to where the log reached when filling began, it means nothing for the
index: writers that did not know of it may not have told the log of their changes.

How far it has come is noted in the index's own space. Whoever fills next goes on there; doing some items twice does no
harm, nor do two who fill at the same time.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import structlog
from msgspec import Struct

from tenet.base.errors import TenetError
from tenet.store.contract import Committed, Delete, IsVersion, Key, Put
from tenet.store.errors import LogTrimmed, SpaceNotFound, StoreUnavailable
from tenet.store.formats import decode_marked
from tenet.store.landing import land
from tenet.tables import keys
from tenet.tables.ops.indexing.cursor import CALL_S, decode_kept
from tenet.tables.ops.indexing.entries import WEIGHT_MAX, Entries, Entry, entry_of, grouped
from tenet.tables.rules import index_changes
from tenet.tables.rules.images import Image
from tenet.tables.rules.index_log import LOG_SHARDS, presented
from tenet.tables.rules.indexes import is_indexed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import Record, Store
    from tenet.tables.model import Index, Table
    from tenet.tables.ops.barrier import Barrier
    from tenet.tables.ops.catalog import Catalog

T = TypeVar("T")

#: How many items are read at a time, and their bytes: no more than holds requests up for a millisecond or two.
PAGE_RECORDS: Final = 50
PAGE_BYTES: Final = 512 * 1024
#: How many presentations are under way at once.
PRESENTED_AT_ONCE: Final = 16
#: So many items are read at the most before the entries of them are written, and that is noted.
READ_MAX: Final = 100_000
#: How often it is noted how far an index is, and how often the catalog is looked through, seconds.
NOTE_S: Final = 2.0
LOOK_S: Final = 10.0
#: How long it works before it rests, seconds, and how long it rests, in parts of that: a loop counts in milliseconds.
_WORK_S: Final = 0.004
_REST: Final = 0.25
_RETRY_S: Final = 1.0
#: How often a read is tried on the way through a table: what was collected since the last note would be anew else.
_READS_MAX: Final = 10
_POLL_S: Final = 0.1
_FORMAT: Final = b"\x01"

_log = structlog.get_logger(__name__)


class Filled(Struct, frozen=True):
    """How far an index is filled.

    Args:
        items: that were looked at.
        entries: that were made.
        skipped: items whose key attributes the index cannot hold.
        partition: of the last item, hexadecimal; empty before the first one.
        sort: the same of its sort key.
    """

    items: int = 0
    entries: int = 0
    skipped: int = 0
    partition: str = ""
    sort: str = ""

    @property
    def after(self) -> tuple[bytes, bytes] | None:
        """Where the last item lies; None before the first one."""
        return (bytes.fromhex(self.partition), bytes.fromhex(self.sort)) if self.sort else None


_decoder: Final = msgspec.json.Decoder(Filled)


def decode_filled(record: Record | None) -> Filled:
    """Returns how far an index is filled, by its record.

    Raises:
        StoreCorrupt: the bytes are none that this or an older version writes.
    """
    if record is None:
        return Filled()
    return decode_marked(record.value, _decoder, "how far an index is filled", mark=_FORMAT)


class _Course:
    """An index on its way.

    Args:
        table: its table.
        index: the index.
        filled: how far it is, as it is noted.
        noted_s: when that was looked at last.
    """

    def __init__(self, table: Table, index: Index, filled: Filled, noted_s: float) -> None:
        self.table = table
        self.index = index
        self.filled = self.noted = filled
        self.noted_s = noted_s
        #: How far items were read whose entries are not all written.
        self.read = filled
        self.entries = Entries()
        #: How long it has worked since it rested, seconds.
        self.worked_s = 0.0


class Filling:
    """Fills the indexes that are added to tables.

    Args:
        store: where everything lies.
        catalog: where tables are described.
        barrier: tells when requests have ended.
        clock: time.
        ids: for commit ids.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        barrier: Barrier,
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self.barrier = barrier
        self._clock = clock
        self._ids = ids
        self._is_logging = not store.capabilities.cheap_commits_across_partitions
        self._wake = asyncio.Event()
        #: Of the indexes that this process fills, by account, table and index.
        self.progress: dict[tuple[str, str, str], Filled] = {}

    def look_again(self) -> None:
        """Says that a table may have been given an index."""
        self._wake.set()

    async def run(self) -> None:
        """Fills indexes until it is cancelled."""
        watch = self._store.watch(keys.CATALOG_SPACE)
        try:
            while True:
                self._wake.clear()
                is_done = await self._fill_all()
                hint = asyncio.ensure_future(watch.wait(LOOK_S if is_done else _RETRY_S))
                woken = asyncio.ensure_future(self._wake.wait())
                try:
                    await asyncio.wait((hint, woken), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    hint.cancel()
                    woken.cancel()
        finally:
            watch.close()

    async def _fill_all(self) -> bool:
        """Fills every index that is to be filled; returns whether all of them are full."""
        try:
            wanted = await self._wanted()
        except TenetError as error:
            _log.warning("the tables with new indexes were not looked up", error=error.code, reason=error.message)
            return False
        done = await asyncio.gather(*(self._try_to_fill(table, index) for table, index in wanted))
        return all(done)

    async def _wanted(self) -> list[tuple[Table, Index]]:
        found: list[tuple[Table, Index]] = []
        last = None
        while page := await self._catalog.everything(last):
            last = page[-1]
            for table in page:
                if table.status in {"ACTIVE", "UPDATING"}:
                    found += [(table, index) for index in table.global_indexes if index.is_filling]
        return found

    async def _try_to_fill(self, table: Table, index: Index) -> bool:
        name = (table.account, table.name, index.name)
        try:
            await self._fill(table, index, name)
        except SpaceNotFound:
            _log.info("an index was removed while it was filled", table=table.name, index=index.name)
        except TenetError as error:
            _log.warning(
                "an index cannot be filled and will be tried again",
                table=table.name,
                index=index.name,
                error=error.code,
                reason=error.message,
            )
            return False
        finally:
            self.progress.pop(name, None)
        return True

    async def _fill(self, table: Table, index: Index, name: tuple[str, str, str]) -> None:
        place = keys.filled_key(table.id, index.number)
        (record,) = await self._store.get((place,), deadline=self._deadline())
        filled = decode_filled(record)
        self.progress[name] = filled
        must_tell = self._is_logging and not await self._is_told(table, index)
        if record is None or must_tell:
            # Behind that all writers know of the index.
            await self.barrier.passed_everywhere()
            if must_tell:
                now = await self._tell(table, index)
                if now is None:
                    return
                table, index = now
            await self._note(place, filled)
        _log.info("an index is filled", table=table.name, index=index.name, items=filled.items)
        filled = await self._go_through(table, index, name, filled)
        if self._is_logging:
            await self._wait_for_keepers(table)
        # First, so that it is not left there for good; who dies in between has it filled once more.
        await self._land(Delete(place))
        await self._catalog.change(table.account, table.name, lambda now: _whole(table, index, now))
        _log.info(
            "an index is full",
            table=table.name,
            index=index.name,
            items=filled.items,
            entries=filled.entries,
            skipped=filled.skipped,
        )

    def _deadline(self) -> float:
        return self._clock.monotonic_s() + CALL_S

    async def _note(self, place: Key, filled: Filled) -> None:
        await self._land(Put(place, _FORMAT + msgspec.json.encode(filled)))

    async def _land(self, write: Put | Delete) -> None:
        await land(self._store, (write,), clock=self._clock, ids=self._ids, deadline=self._deadline())

    async def _is_told(self, table: Table, index: Index) -> bool:
        """Whether the description says from where on the log means something for an index.

        Positions behind the end of the log are those of another one: of the store that this one is a copy of.
        """
        if not index.since:
            return False
        ends = await self._ends(table, await self._positions(table))
        return all(end >= since for end, since in zip(ends, index.since, strict=True))

    async def _tell(self, table: Table, index: Index) -> tuple[Table, Index] | None:
        """Says in the description from where on the log means something for an index; None where there is none now."""
        since = await self._ends(table, await self._positions(table))

        def decide(now: Table | None) -> Table | None:
            found = None if now is None or now.id != table.id else now.index(index.name)
            if now is None or found is None or found.number != index.number or not found.is_filling:
                return now
            if found.since != index.since:
                return now
            return index_changes.told_since(now, index.number, since)

        after = await self._catalog.change(table.account, table.name, decide)
        found = None if after is None or after.id != table.id else after.index(index.name)
        return None if after is None or found is None or not found.is_filling else (after, found)

    # ---- the items ---------------------------------------------------------------------------------------------------

    async def _go_through(self, table: Table, index: Index, name: tuple[str, str, str], filled: Filled) -> Filled:
        course = _Course(table, index, filled, self._clock.monotonic_s())
        within, more = keys.everything_of(None), True
        while more:
            begun_s = self._clock.monotonic_s()
            page = await _persistently(
                lambda: self._store.scan(
                    table.space,
                    within,
                    limit=PAGE_RECORDS,
                    limit_bytes=PAGE_BYTES,
                    after=course.read.after,
                    deadline=self._deadline(),
                )
            )
            more = page.more
            if page.records:
                await self._take(course, page.records)
            await self._rest(course, begun_s)
            if self._is_logging or self._is_due(course) or not more:
                await self._enter_all(course)
                self.progress[name] = course.filled = course.read
            await self._say_how_far(course)
        return course.filled

    def _is_due(self, course: _Course) -> bool:
        """Whether what was collected of an index is to be written now."""
        weight_max = WEIGHT_MAX // max(1, len(self.progress))
        return course.entries.weight >= weight_max or course.read.items - course.filled.items >= READ_MAX

    async def _rest(self, course: _Course, begun_s: float) -> None:
        """Lets others go first behind some pieces of work, of which the last began at some time."""
        course.worked_s += self._clock.monotonic_s() - begun_s
        if course.worked_s >= _WORK_S:
            worked_s, course.worked_s = course.worked_s, 0.0
            await asyncio.sleep(worked_s * _REST)

    async def _say_how_far(self, course: _Course) -> None:
        """Notes how far an index is, every few seconds.

        Raises:
            SpaceNotFound: nobody wants the index any more.
        """
        now_s = self._clock.monotonic_s()
        if now_s - course.noted_s >= NOTE_S:
            course.noted_s = now_s
            place = keys.filled_key(course.table.id, course.index.number)
            if course.noted is not course.filled:
                await self._note(place, course.filled)
                course.noted = course.filled
            if not await self._is_wanted(course.table, course.index):
                raise SpaceNotFound(place.space)

    async def _is_wanted(self, table: Table, index: Index) -> bool:
        now = await _persistently(lambda: self._catalog.find(table.account, table.name, deadline=self._deadline()))
        found = None if now is None or now.id != table.id else now.index(index.name)
        return found is not None and found.number == index.number and found.is_filling

    async def _take(self, course: _Course, records: Sequence[Record]) -> None:
        """Takes up a page of items: their entries are collected, or presented to those who make them."""
        table, index = course.table, course.index
        held: list[tuple[Key, Record, Image]] = []
        skipped = 0
        for record in records:
            image = Image.of_record(record)
            item = image.item
            if is_indexed(index, item):
                held.append((Key(table.space, record.partition, record.sort), record, image))
            elif item is not None and all(name in item for name in index.keys.names):
                skipped += 1
        if self._is_logging:
            for start in range(0, len(held), PRESENTED_AT_ONCE):
                some = held[start : start + PRESENTED_AT_ONCE]
                await asyncio.gather(*(self._present(table, index, key, record) for key, record, _ in some))
        else:
            course.entries.add([entry_of(table, index, key, record.version, image) for key, record, image in held])
        read, last = course.read, records[-1]
        course.read = Filled(
            read.items + len(records),
            read.entries + len(held),
            read.skipped + skipped,
            last.partition.hex(),
            last.sort.hex(),
        )

    async def _enter_all(self, course: _Course) -> None:
        """Writes what was collected."""
        for some in course.entries.take():
            begun_s = self._clock.monotonic_s()
            await self._enter(course.table, course.index, some)
            await self._rest(course, begun_s)
            await self._say_how_far(course)

    async def _enter(self, table: Table, index: Index, entries: Sequence[Entry]) -> None:
        """Writes the entries of some items, each as of the moment at which it is the item's."""
        waiting = [entries]
        while waiting:
            some = waiting.pop()
            writes = [entry.write for entry in some]
            checks = [IsVersion(entry.key, entry.version) for entry in some]
            outcome = await land(
                self._store, writes, checks, clock=self._clock, ids=self._ids, deadline=self._deadline()
            )
            if not isinstance(outcome, Committed):
                # Items may have grown.
                waiting += grouped(await self._read_again(table, index, some))

    async def _read_again(self, table: Table, index: Index, entries: Sequence[Entry]) -> list[Entry]:
        """Returns the entries of the same items as they are now, of those that have one."""
        found = await self._store.get([entry.key for entry in entries], deadline=self._deadline())
        now = [
            (entry.key, record, Image.of_record(record)) for entry, record in zip(entries, found, strict=True) if record
        ]
        return [
            entry_of(table, index, key, record.version, image)
            for key, record, image in now
            if is_indexed(index, image.item)
        ]

    async def _present(self, table: Table, index: Index, key: Key, record: Record | None) -> None:
        """Tells the log of an item as it is."""
        while record is not None and is_indexed(index, (image := Image.of_record(record)).item):
            check, append = IsVersion(key, record.version), presented(table, key, image)
            outcome = await land(
                self._store, (), (check,), (append,), clock=self._clock, ids=self._ids, deadline=self._deadline()
            )
            if isinstance(outcome, Committed):
                return
            record = outcome.records[key]

    # ---- the log -----------------------------------------------------------------------------------------------------

    async def _positions(self, table: Table) -> list[int]:
        """Returns how far the keepers have moved their cursors, by shard."""
        places = [keys.cursor_key(table.id, shard) for shard in range(LOG_SHARDS)]
        records = await self._store.get(places, deadline=self._deadline())
        return [decode_kept(record).position for record in records]

    async def _ends(self, table: Table, positions: Sequence[int]) -> tuple[int, ...]:
        """Returns, by shard, a position at or below which everything lies that was answered before the call."""
        return tuple([await self._end(table, shard, position) for shard, position in enumerate(positions)])

    async def _end(self, table: Table, shard: int, after: int) -> int:
        while True:
            try:
                page = await self._store.read_log(table.space, shard, after=after, limit=1, deadline=self._deadline())
            except LogTrimmed as error:
                after = error.first - 1
                continue
            return page.closed

    async def _wait_for_keepers(self, table: Table) -> None:
        """Waits until everything that was presented is in the index."""
        ends = await self._ends(table, await self._positions(table))
        while True:
            positions = await self._positions(table)
            behind = [shard for shard in range(LOG_SHARDS) if positions[shard] < ends[shard]]
            waiting = [shard for shard in behind if await self._holds_more(table, shard, positions[shard])]
            if not waiting:
                return
            await asyncio.sleep(_POLL_S)

    async def _holds_more(self, table: Table, shard: int, after: int) -> bool:
        """Whether the log holds an entry behind a position: a cursor does not move where there is none."""
        try:
            page = await self._store.read_log(
                table.space, shard, after=after, limit=1, stale=True, deadline=self._deadline()
            )
        except LogTrimmed:
            return True
        return bool(page.entries) or page.waiting is not None


async def _persistently(read: Callable[[], Awaitable[T]]) -> T:
    """Reads, and again after a while where the store could not serve."""
    for _ in range(_READS_MAX - 1):
        with contextlib.suppress(StoreUnavailable):
            return await read()
        await asyncio.sleep(_RETRY_S)
    return await read()


def _whole(table: Table, index: Index, now: Table | None) -> Table | None:
    if now is None or now.id != table.id:
        return now
    return index_changes.whole(now, index.number)
