"""Follows one shard of a table's log and brings the table's global indexes up to date.

It reads a batch, writes what the batch means to the partitions of indexes, many at a time and each in a commit of its
own, and only when all of them are durable begins with the next one, so that no change of an item overtakes another.
The cursor moves behind, at most twice a second: what was done and not noted is done again by whoever comes next, which
changes nothing, because it is the last word on each entry again.

It ends its claim, and makes a new one, whenever it cannot know what became of a commit of its own: then its former self
is one of the keepers that have to be kept out.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog
from msgspec import Struct

from tenet.store.cached import STALE_S
from tenet.store.contract import Committed, IsVersion
from tenet.store.errors import LogTrimmed, OutcomeUnknown, SpaceNotFound, StoreError, StoreUnavailable
from tenet.store.landing import land
from tenet.tables import keys
from tenet.tables.ops.indexing.batches import Batch, in_commits, outlook_of, read_batch
from tenet.tables.ops.indexing.cursor import CALL_S, Cursor, Superseded
from tenet.tables.ops.indexing.fences import Fences
from tenet.tables.ops.indexing.measures import Delays, Progress
from tenet.tables.rules.index_log import FILLING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import Delete, Put, Store, Write
    from tenet.store.expiry import ExpiryIndex
    from tenet.tables.model import Table
    from tenet.tables.ops.catalog import Catalog
    from tenet.tables.ops.indexing.batches import Outlook, Place

#: Two reads of a log are at least so far apart, seconds: what comes meanwhile shares commits.
PACE_S: Final = 0.03
#: A log that had nothing is read again after twice as long each time, up to this; then when somebody rings.
QUIET_S: Final = 0.5
#: How often the cursor moves at the most, seconds.
MOVE_S: Final = 0.5
#: How often entries are given back to the store while more come, seconds; that costs some engines commits.
GIVE_BACK_S: Final = 10.0
#: Older than this, a claim is looked at again before anything is written on the strength of it, seconds.
VALID_S: Final = 30.0
#: How long a keeper rests that another one has taken the place of, before it looks whether that one gets on, seconds.
STAND_BY_S: Final = 2.0
_RETRY_S_MIN: Final = 0.05
_MOMENT_S: Final = 1e-6
_RETRY_S_MAX: Final = 2.0

_log = structlog.get_logger(__name__)


class Tools(Struct, frozen=True):
    """What all keepers of a process work with.

    Args:
        store: the store.
        clock: time.
        ids: for commit ids.
        expiry: where it is noted that marks expire.
        commits: so many commits are under way at a time.
        delays: counts how late entries were.
        catalog: where tables are described.
    """

    store: Store
    clock: Clock
    ids: Ids
    expiry: ExpiryIndex
    commits: asyncio.Semaphore
    delays: Delays
    catalog: Catalog


class Keeper:
    """Keeps the indexes of a table as far as one shard of its log goes.

    Args:
        table: the table; ``renew`` has a newer description.
        shard: of the log of the table's space.
        tools: what it works with.
    """

    def __init__(self, table: Table, shard: int, tools: Tools) -> None:
        self.table = table
        self.shard = shard
        self.progress = Progress()
        self._tools = tools
        self._cursor = Cursor(tools.store, keys.cursor_key(table.id, shard), clock=tools.clock, ids=tools.ids)
        self._fences = Fences(shard, 0)
        self._ahead = Batch()
        self._position = 0
        self._given_back = -1
        self._moved_s = self._given_back_s = self._begun_s = self._took_s = 0.0
        self._looked_s = float("-inf")
        self._pause_s = PACE_S
        self._bell = asyncio.Event()
        self._is_hinted = False
        self._is_stopping = False

    def ring(self, *, is_hint: bool) -> None:
        """Has it read the log.

        Args:
            is_hint: whether somebody has written, so that it is worth looking again if there is nothing yet.
        """
        self._is_hinted = self._is_hinted or is_hint
        self._bell.set()

    def stop(self) -> None:
        """Asks it to end as soon as nothing of it is under way."""
        self._is_stopping = True
        self._bell.set()

    async def run(self) -> None:
        """Keeps the indexes until it is asked to stop, or the table is gone."""
        pause_s = _RETRY_S_MIN
        while not self._is_stopping:
            try:
                # At a start there may be thousands of them.
                async with self._tools.commits:
                    await self._begin()
                pause_s = _RETRY_S_MIN
                await self._follow()
            except Superseded:
                _log.info("another keeper follows the log", table=self.table.name, shard=self.shard)
                if not await self._stand_by():
                    return
            except SpaceNotFound:
                return
            except LogTrimmed as error:
                # Entries are lost; what to do about it nobody but an operator may decide.
                self._failed(error)
                await self._rest(_RETRY_S_MAX)
            except StoreError as error:
                self._failed(error)
                await self._rest(pause_s)
                pause_s = min(2 * pause_s, _RETRY_S_MAX)

    def _failed(self, error: StoreError) -> None:
        self.progress.fail(self._tools.clock.wall_ms())
        report = _log.info if isinstance(error, StoreUnavailable | OutcomeUnknown) else _log.error
        report(
            "indexes cannot be kept up to date and will be tried again",
            table=self.table.name,
            shard=self.shard,
            error=error.code,
            reason=error.message,
        )

    async def _rest(self, rest_s: float) -> None:
        """Rests; who asks it to stop need not wait for it."""
        until_s = self._tools.clock.monotonic_s() + rest_s
        # What is left may be no more than what sums of floating-point numbers are off by.
        while not self._is_stopping and (left_s := until_s - self._tools.clock.monotonic_s()) > _MOMENT_S:
            await self._rung(left_s)

    async def _rung(self, timeout_s: float | None) -> bool:
        """Waits until somebody rings; returns whether somebody has."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._bell.wait()
        except TimeoutError:
            return False
        self._bell.clear()
        return True

    # ---- the claim ---------------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        tools = self._tools
        # A table that is gone gets no cursor.
        deadline = tools.clock.monotonic_s() + CALL_S
        kept, _ = await self._cursor.look()
        await tools.store.read_log(self.table.space, self.shard, after=kept.position, limit=1, deadline=deadline)
        await self._cursor.claim()
        await self._look_up()
        self._fences = Fences(self.shard, self._cursor.kept.epoch)
        self._ahead = Batch()
        self._position = self._cursor.kept.position
        self._given_back = -1
        self._moved_s = tools.clock.monotonic_s()
        self._pause_s = PACE_S

    async def _look_up(self) -> None:
        """Reads the table's description, so that no index is passed by that was there before what is read of the log.

        Whoever claims later knows at least the indexes that his predecessor knew; and what fills an index is told to
        nobody who does not know it.
        """
        at_s = self._tools.clock.monotonic_s()
        found = await self._tools.catalog.find(self.table.account, self.table.name, deadline=at_s + CALL_S)
        self._looked_s = at_s
        if found is not None:
            self.renew(found)

    def renew(self, table: Table) -> None:
        """Goes by a description of its table from now on, unless it is older than the one that it has."""
        if table.id == self.table.id and table.revision >= self.table.revision:
            self.table = table

    async def _stand_by(self) -> bool:
        """Waits while another keeper gets on; returns whether the table still has a log."""
        seen = None
        while not self._is_stopping:
            await self._rest(STAND_BY_S)
            try:
                kept, version = await self._cursor.look()
                if seen is not None and version == seen:
                    deadline = self._tools.clock.monotonic_s() + CALL_S
                    # Stale: the log is not taken from the other one before it is known that it does not get on.
                    page = await self._tools.store.read_log(
                        self.table.space, self.shard, after=kept.position, limit=1, stale=True, deadline=deadline
                    )
                    if page.entries or page.waiting is not None:
                        return True
                seen = version
            except SpaceNotFound:
                return False
            except StoreError as error:
                self._failed(error)
                seen = None
        return True

    # ---- following the log -------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        pause_s = _RETRY_S_MIN
        while not self._is_stopping:
            try:
                await self._go_on()
                pause_s = _RETRY_S_MIN
            except StoreUnavailable as error:
                # Nothing is under way that could come late, so that the claim still stands for all that is done.
                self._failed(error)
                await self._rest(pause_s)
                pause_s = min(2 * pause_s, _RETRY_S_MAX)
        if self._cursor.kept.position != self._position or not self._cursor.kept.is_released:
            await self._cursor.move(self._position, is_released=True)

    async def _go_on(self) -> None:
        """Does one batch, or waits for one."""
        if self._ahead.is_full:
            await self._move()
        batch = await self._read()
        if batch.entries:
            await self._apply(batch)
            await self._note(batch)
        else:
            self.progress.end({})
            await self._idle()

    async def _read(self) -> Batch:
        """Reads the next batch, not too soon after the last one."""
        tools = self._tools
        # Where reads are slow, the store has much to do.
        early_s = self._begun_s + max(PACE_S, 2 * self._took_s) - tools.clock.monotonic_s()
        if early_s > 0:
            await asyncio.sleep(early_s)
        self._begun_s = tools.clock.monotonic_s()
        gives_back = self._may_give_back()
        try:
            batch = await read_batch(
                tools.store,
                self.table.space,
                self.shard,
                after=self._position,
                ahead=self._ahead,
                gives_back=gives_back,
                clock=tools.clock,
            )
        except LogTrimmed:
            # Usually a successor has read on and given it back.
            await self._cursor.validate()
            raise
        self._took_s = min(tools.clock.monotonic_s() - self._begun_s, QUIET_S)
        if gives_back:
            self._given_back, self._given_back_s = self._position, tools.clock.monotonic_s()
        return batch

    def _may_give_back(self) -> bool:
        """Whether the store can be told that what lies at or below the position is not needed any more."""
        if self._ahead.entries or self._given_back == self._position:
            return False
        is_quiet = self._pause_s > QUIET_S
        return is_quiet or self._tools.clock.monotonic_s() - self._given_back_s >= GIVE_BACK_S

    async def _note(self, batch: Batch) -> None:
        """Moves on behind a batch that is done, and the cursor as well now and then."""
        self._position = batch.entries[-1].position
        self._ahead.entries += batch.entries
        self._ahead.value_bytes += batch.value_bytes
        self._pause_s = PACE_S
        if self._tools.clock.monotonic_s() - self._moved_s >= MOVE_S:
            await self._move()

    async def _move(self) -> None:
        await self._cursor.move(self._position)
        self._moved_s = self._tools.clock.monotonic_s()
        self._ahead = Batch()

    async def _idle(self) -> None:
        """Waits for more: for a moment, then twice as long each time, and in the end for somebody who rings."""
        if self._pause_s <= QUIET_S:
            if not await self._rung(self._pause_s):
                self._pause_s *= 2
        elif self._ahead.entries:
            await self._move()
        elif self._given_back == self._position:
            await self._rung(None)
        if self._is_hinted:
            self._is_hinted, self._pause_s = False, PACE_S

    # ---- a batch -----------------------------------------------------------------------------------------------------

    async def _apply(self, batch: Batch) -> None:
        """Brings everything that a batch means into the indexes; durable when it returns.

        Raises:
            Superseded: another keeper has claimed the shard.
            OutcomeUnknown: the store cannot say what became of a commit.
            StoreError: some of it is not done, because the store refuses it.
        """
        tools = self._tools
        is_old = tools.clock.monotonic_s() - self._looked_s >= STALE_S
        # An index means nothing in the log until all writers know of it, which takes longer; by then this keeper does.
        if is_old or any(entry.origin == FILLING for entry in batch.entries):
            await self._look_up()
        outlook = await outlook_of(tools.store, self.table, self.shard, batch.entries, clock=tools.clock)
        self.progress.begin(outlook.since_ms)
        left = dict(outlook.places)
        pause_s = _RETRY_S_MIN
        while True:
            try:
                if self._cursor.age_s > VALID_S:
                    await self._cursor.validate()
                await self._write(left)
                break
            except StoreUnavailable as error:
                # Nothing of what is left was written; nothing of it is under way.
                self._failed(error)
                if self._is_stopping:
                    raise
            await self._rest(pause_s)
            pause_s = min(2 * pause_s, _RETRY_S_MAX)
        self._count(outlook)

    def _count(self, outlook: Outlook) -> None:
        now_ms = self._tools.clock.wall_ms()
        for space, count in outlook.counts.items():
            self._tools.delays.count(max(0, now_ms - outlook.since_ms[space]), count)
        self.progress.end(outlook.counts)

    async def _write(self, left: dict[Place, list[Put | Delete]]) -> None:
        """Writes to all partitions; those that are done leave `left`."""
        is_fencing = self._cursor.is_fencing
        if is_fencing:
            until_ms = self._cursor.kept.fence_until_ms
            pointers: list[Write] = []
            for place in self._fences.missing(left):
                pointers += self._tools.expiry.pointers_for(self._fences.key(place), until_ms)
            announced = await self._tools.expiry.announce(pointers, deadline=self._tools.clock.monotonic_s() + CALL_S)
            assert not announced, "pointers are written before their records where commits over partitions are dear"
        jobs = [self._write_place(place, writes, left, is_fencing=is_fencing) for place, writes in left.items()]
        errors = [one for one in await asyncio.gather(*jobs, return_exceptions=True) if one is not None]
        for kind in (Superseded, OutcomeUnknown, StoreError, BaseException):
            for error in errors:
                if isinstance(error, kind) and not isinstance(error, StoreUnavailable):
                    raise error
        if errors:
            raise errors[0]

    async def _write_place(
        self, place: Place, writes: Sequence[Put | Delete], left: dict[Place, list[Put | Delete]], *, is_fencing: bool
    ) -> None:
        for part in in_commits(writes):
            while not await self._commit(place, part, is_fencing=is_fencing):
                pass
        del left[place]

    async def _commit(self, place: Place, part: Sequence[Put | Delete], *, is_fencing: bool) -> bool:
        """Commits writes to one partition of an index; false where its mark was another than it was taken for.

        Raises:
            Superseded: it bears the mark of a later keeper.
        """
        tools, fences, cursor = self._tools, self._fences, self._cursor
        mark = fences.key(place)
        is_marking = is_fencing and bool(fences.missing((place,)))
        writes: list[Write] = [*part]
        if is_marking:
            writes.append(fences.mark(place, cursor.kept.fence_until_ms))
        async with tools.commits:
            deadline = tools.clock.monotonic_s() + CALL_S
            outcome = await land(
                tools.store,
                writes,
                (IsVersion(mark, fences.version(place)),),
                clock=cursor.dated,
                ids=tools.ids,
                deadline=deadline,
            )
        if isinstance(outcome, Committed):
            if is_marking:
                fences.landed(place, outcome.version)
            return True
        if mark in outcome.records:
            record = outcome.records[mark]
        else:
            (record,) = await tools.store.get((mark,), deadline=deadline)
        fences.learn(place, record)
        return False
