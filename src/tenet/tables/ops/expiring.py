"""Removes items whose time has come, by looking through their tables again and again.

Requests pay nothing for it: no write keeps a note of when its item expires, and switching time to live on, off or to
another attribute rewrites nothing. Every node looks through its share of the tables that have time to live, page by
page, at ``TABLES_AT_ONCE`` of them at a time, and rests after each page for ``DUTY - 1`` times as long as it read. So
an expired item goes at the latest after

    ``PAUSE_S`` (``PAUSE_REMOTE_S`` over a network) + ``DUTY`` times what reading the table through takes

plus ``LOOK_S`` where time to live was switched on through another node: seconds for a small table, about a minute for
each million small items of a large one. Where a node has many tables, they share its time, and it begins at most
``LOOKS_PER_S`` looks a second. The service promises a few days.

A page only says which items may have expired. Each of them goes through the same door as a client's DeleteItem
(``ops.writing``), with its index entries, in a commit that looks at the item as it is then: what was updated meanwhile
stays, and of two nodes that remove the same item one does. How far a long look has come is kept in the store every
``SAVE_S``; whoever takes it over goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import structlog

from tenet.base.errors import TenetError
from tenet.base.keycodec import delimit, split_delimited
from tenet.store.contract import Delete, Key, Put
from tenet.store.errors import SpaceNotFound, StoreCorrupt, StoreError
from tenet.store.formats import unmarked
from tenet.store.landing import land
from tenet.tables import keys
from tenet.tables.context import Caller
from tenet.tables.errors import ResourceNotFoundException
from tenet.tables.ops.writing import TURN_BYTES, Plan, write
from tenet.tables.rules.followed import EXPIRY
from tenet.tables.rules.images import ABSENT, Image
from tenet.tables.rules.time_to_live import Sieve, attribute_of, is_expired
from tenet.wire.door import Measured

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from tenet.mesh.shares import Assignment
    from tenet.store.contract import Record
    from tenet.tables.context import Context
    from tenet.tables.model import Table
    from tenet.wire.door import Measure

#: How many items are read at a time.
PAGE_RECORDS: Final = 500
#: A table is read one part in so many of the time; what is expired is removed in half of it.
DUTY: Final = 10
#: How long a node rests between two looks through a table, seconds, and where reading costs a round over a network.
PAUSE_S: Final = 1.0
PAUSE_REMOTE_S: Final = 10.0
#: How often the catalog is looked through for tables that have time to live, seconds.
LOOK_S: Final = 10.0
#: How often it is written down how far a look has come, seconds.
SAVE_S: Final = 10.0
#: So many items of a table are removed at a time, and so many tables are read at a time.
REMOVED_AT_ONCE: Final = 8
TABLES_AT_ONCE: Final = 2
#: All tables of a node together are begun anew so often a second at the most.
LOOKS_PER_S: Final = 50
#: How long one call of the store may take, seconds.
_CALL_S: Final = 30.0
_FORMAT: Final = b"\x01"
#: Of so many tables figures are given.
_MEASURED_MAX: Final = 1_000

_log = structlog.get_logger(__name__)


class Figures:
    """What was done about one table since the process began."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.removed = 0
        self.failed = 0
        #: When the last whole look through the table began, milliseconds since 1970; at first, when the first did.
        self.looked_ms = 0


class Expiring:
    """Removes expired items of the tables that are this process's.

    Args:
        assignment: which tables those are.
    """

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._tending: asyncio.Task[None] | None = None
        #: By TableId: who looks through it.
        self._sweeping: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._gate = asyncio.Semaphore(TABLES_AT_ONCE)
        self._figures: dict[str, Figures] = {}

    async def open(self, context: Context) -> None:
        """Begins to look in the background."""
        await context.store.ensure_space(keys.SWEEPS_SPACE)
        self._tending = asyncio.get_running_loop().create_task(self._tend(context))

    async def close(self) -> None:
        """Stops; what was under way is taken up by whoever comes next."""
        if self._tending is not None:
            await _ended(self._tending)
            self._tending = None
        for table_id in list(self._sweeping):
            await self._stop(table_id)

    def look_again(self) -> None:
        """Says that a table has got time to live, or that the assignment has changed."""
        self._wake.set()

    def figures(self) -> Sequence[Figures]:
        """Returns what was done about the tables that are this process's."""
        return list(self._figures.values())

    # ---- which tables ------------------------------------------------------------------------------------------------

    async def _tend(self, context: Context) -> None:
        while True:
            self._wake.clear()
            begun_s = context.clock.monotonic_s()
            try:
                await self._look(context)
            except TenetError as error:
                _log.warning("tables with time to live were not looked up", error=error.code, reason=error.message)
            rest_s = max(LOOK_S, (context.clock.monotonic_s() - begun_s) * DUTY)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest_s):
                    await self._wake.wait()

    async def _look(self, context: Context) -> None:
        """Starts a look through every table that has time to live and is this process's, and ends those of others."""
        # Notes first: whose table is not in the catalog later has lost it for good.
        noted = await _noted(context)
        last: Table | None = None
        wanted: dict[str, Table] = {}
        while page := await context.catalog.everything(last):
            last = page[-1]
            for table in page:
                noted.discard(table.id)
                if table.time_to_live is not None and table.time_to_live.is_enabled and self._assignment.owns(table.id):
                    wanted[table.id] = table
            await asyncio.sleep(0)
        for gone in [one for one in self._figures if one not in wanted]:
            await self._stop(gone)
            del self._figures[gone]
        for table in wanted.values():
            figures = self._figures.setdefault(table.id, Figures(table))
            if table.id not in self._sweeping:
                self._start(table.id, self._sweep(context, figures))
        for table_id in sorted(noted):
            await _note(context, table_id, None)

    def _start(self, table_id: str, sweep: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(sweep)
        self._sweeping[table_id] = task
        task.add_done_callback(lambda ended: self._forget(table_id, ended))

    def _forget(self, table_id: str, ended: asyncio.Task[None]) -> None:
        """Takes note that a table is not looked through any more; the next look at the catalog may begin it again."""
        self._sweeping.pop(table_id, None)
        if not ended.cancelled() and ended.exception() is not None:
            _log.error("looking for expired items failed", table_id=table_id, exc_info=ended.exception())

    async def _stop(self, table_id: str) -> None:
        if table_id in self._sweeping:
            await _ended(self._sweeping[table_id])

    # ---- one table ---------------------------------------------------------------------------------------------------

    async def _sweep(self, context: Context, figures: Figures) -> None:
        """Looks through a table again and again, until it has no time to live any more."""
        pause_s = PAUSE_REMOTE_S if context.store.capabilities.remote else PAUSE_S
        while True:
            try:
                if not await Look(context, figures, self._gate).run():
                    return
            except (SpaceNotFound, ResourceNotFoundException):
                return
            except TenetError as error:
                figures.failed += 1
                _log.info(
                    "expired items will be looked for again",
                    table=figures.table.name,
                    error=error.code,
                    reason=error.message,
                )
            await asyncio.sleep(max(pause_s, len(self._figures) / LOOKS_PER_S))


class Look:
    """One look through a table.

    Args:
        context: the service.
        figures: of the table; the look counts what it does.
        gate: lets so many pages of all tables be read at a time.
    """

    def __init__(self, context: Context, figures: Figures, gate: asyncio.Semaphore) -> None:
        self._context = context
        self._figures = figures
        self._gate = gate
        self._saved_s = context.clock.monotonic_s()
        self._is_noted = False

    async def run(self) -> bool:
        """Removes what is expired; returns whether the table has time to live still.

        Raises:
            StoreError: the store could not serve.
            ResourceNotFoundException: the table is gone.
        """
        begun_ms = self._context.clock.wall_ms()
        self._figures.looked_ms = self._figures.looked_ms or begun_ms
        after = await self._noted_position()
        is_whole = after is None
        more = True
        while more:
            known = self._figures.table
            table = await self._context.catalog.table(known.account, known.name, deadline=self._deadline())
            attribute = attribute_of(table.time_to_live, self._context.clock.wall_ms())
            if table.id != known.id or table.time_to_live is None or not table.time_to_live.is_enabled:
                return False
            if attribute is None:
                # It is being enabled.
                return True
            async with self._gate:
                after, more, rest_s = await self._page(table, attribute, after)
                # Within the gate, so that many tables together get no more of the time than few.
                await asyncio.sleep(rest_s)
            await self._save(after if more else None)
        if is_whole:
            self._figures.looked_ms = begun_ms
        return True

    async def _page(
        self, table: Table, attribute: str, after: tuple[bytes, bytes] | None
    ) -> tuple[tuple[bytes, bytes] | None, bool, float]:
        """Deals with one page; returns where it ended, whether there is more, and how long to rest now."""
        clock = self._context.clock
        begun_s = clock.monotonic_s()
        # An older state will do: what is removed is looked at again, and what is missed is found by the next look.
        page = await self._context.store.scan(
            table.space,
            keys.everything_of(None),
            limit=PAGE_RECORDS,
            after=after,
            stale=True,
            deadline=self._deadline(),
        )
        due = await self._due(page.records, attribute)
        read_s = clock.monotonic_s() - begun_s
        for at in range(0, len(due), REMOVED_AT_ONCE):
            if not await self._remove_some(table, attribute, due[at : at + REMOVED_AT_ONCE]):
                break
        removed_s = clock.monotonic_s() - begun_s - read_s
        if page.records:
            after = (page.records[-1].partition, page.records[-1].sort)
        return after, page.more, read_s * (DUTY - 1) + removed_s

    async def _due(self, records: Sequence[Record], attribute: str) -> list[Key]:
        """Returns where those lie that are expired as they were read."""
        sieve = Sieve(attribute)
        now_ms = self._context.clock.wall_ms()
        space = self._figures.table.space
        due: list[Key] = []
        looked_at = 0
        for record in records:
            if sieve.may_expire(record.value):
                try:
                    if sieve.is_expired(record.value, now_ms):
                        due.append(Key(space, record.partition, record.sort))
                except StoreError:
                    # Of a later version, perhaps; whoever can read it will remove it.
                    self._figures.failed += 1
                looked_at += len(record.value)
                if looked_at > TURN_BYTES:
                    looked_at = 0
                    await asyncio.sleep(0)
        return due

    async def _remove_some(self, before: Table, attribute: str, due: Sequence[Key]) -> bool:
        """Removes items by their table's description as it is now; returns whether the table is what it was.

        It may have been given an index since it was looked up. Who fills that waits for this as for a request.
        """
        context = self._context
        phase = context.barrier.enter()
        try:
            table = await context.catalog.table(before.account, before.name, deadline=self._deadline())
            if table.id != before.id or table.time_to_live != before.time_to_live:
                return False
            await self._remove_all(table, attribute, due)
        finally:
            context.barrier.leave(phase)
        return True

    async def _remove_all(self, table: Table, attribute: str, due: Sequence[Key]) -> None:
        results = await asyncio.gather(*(self._remove(table, attribute, key) for key in due), return_exceptions=True)
        for result in results:
            if isinstance(result, StoreError) and not isinstance(result, SpaceNotFound):
                # It is expired still when the next look comes, or it was removed after all.
                self._figures.failed += 1
            elif isinstance(result, BaseException):
                raise result
            else:
                self._figures.removed += int(result)

    async def _remove(self, table: Table, attribute: str, key: Key) -> bool:
        """Removes an item if it is expired at the moment of the commit; returns whether it did."""
        clock = self._context.clock

        def decide(old: Image) -> Image:
            return ABSENT if old.exists and is_expired(old.item, attribute, clock.wall_ms()) else old

        caller = Caller(table.account, table.region, clock.monotonic_s() + _CALL_S)
        written = await write(self._context, caller, Plan(table, key, decide, origin=EXPIRY), look=True)
        return written.new is not written.old

    # ---- how far -----------------------------------------------------------------------------------------------------

    async def _noted_position(self) -> tuple[bytes, bytes] | None:
        (record,) = await self._context.store.get((keys.sweep_key(self._figures.table.id),), deadline=self._deadline())
        self._is_noted = record is not None
        return None if record is None else decode_position(record.value)

    async def _save(self, after: tuple[bytes, bytes] | None) -> None:
        """Writes down how far the look has come, now and then; forgets it at the end."""
        now_s = self._context.clock.monotonic_s()
        if after is None:
            if self._is_noted:
                await _note(self._context, self._figures.table.id, None)
        elif now_s - self._saved_s >= SAVE_S:
            await _note(self._context, self._figures.table.id, after)
            self._saved_s, self._is_noted = now_s, True

    def _deadline(self) -> float:
        return self._context.clock.monotonic_s() + _CALL_S


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))


def encode_position(position: tuple[bytes, bytes]) -> bytes:
    """Returns the stored form of how far a look has come: the partition and the sort key of an item."""
    return _FORMAT + delimit(position[0]) + position[1]


def decode_position(value: bytes) -> tuple[bytes, bytes]:
    """Returns how far a look has come.

    Raises:
        StoreOfLaterVersion: a later version wrote it.
        StoreCorrupt: the bytes are none that this or an older version writes.
    """
    data = bytes(unmarked(value, "the position of a look for expired items", mark=_FORMAT))
    try:
        partition, end = split_delimited(data)
    except ValueError as error:
        raise StoreCorrupt(f"the position of a look for expired items cannot be read: {error}") from error
    return partition, data[end:]


async def _note(context: Context, table_id: str, position: tuple[bytes, bytes] | None) -> None:
    """Writes down how far a look has come, or forgets it; of two who do so at once either may be right."""
    key = keys.sweep_key(table_id)
    change = Delete(key) if position is None else Put(key, encode_position(position))
    deadline = context.clock.monotonic_s() + _CALL_S
    await land(context.store, (change,), clock=context.clock, ids=context.ids, deadline=deadline)


async def _noted(context: Context) -> set[str]:
    """Returns the TableIds of all looks that are noted."""
    found: set[str] = set()
    after: tuple[bytes, bytes] | None = None
    more = True
    while more:
        deadline = context.clock.monotonic_s() + _CALL_S
        page = await context.store.scan(keys.SWEEPS_SPACE, limit=PAGE_RECORDS, after=after, deadline=deadline)
        found.update(record.partition.decode("ascii") for record in page.records)
        if page.records:
            after = (page.records[-1].partition, page.records[-1].sort)
        more = page.more
    return found


def measures_of(figures: Sequence[Figures], now_ms: int) -> Sequence[Measure]:
    """Returns the figures of this process for the page of metrics."""
    labels = ("account", "table")
    shown = {(one.table.account, one.table.name): one for one in figures[:_MEASURED_MAX]}
    return (
        Measured(
            "tenet_ttl_removed",
            "Items that were removed because their time had come.",
            labels,
            {names: one.removed for names, one in shown.items()},
            is_counter=True,
        ),
        Measured(
            "tenet_ttl_failed",
            "Removals, and looks for expired items, that the store could not serve and that were or will be repeated.",
            labels,
            {names: one.failed for names, one in shown.items()},
            is_counter=True,
        ),
        Measured(
            "tenet_ttl_look_age_seconds",
            "Since the last whole look through the table for expired items began: no item is overdue by more.",
            labels,
            {names: max(0, now_ms - one.looked_ms) / 1000 if one.looked_ms else 0.0 for names, one in shown.items()},
        ),
    )
