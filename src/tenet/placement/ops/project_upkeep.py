"""Removes what projects leave behind: counts that are at 0, of users and of projects that have nothing any more.

No check says that a count is at 0: adds leave the version of a record as it is, and a commit that removes a record
cannot add to it. But every commit that changes what a project has also adds to the revision of its quota, within exact
bounds. So a project is *shut* first: its revision is taken below 0, to a random number. Nothing is added to its counts
then, and what is read to be 0 stays 0. The commit that removes it takes the revision back from that very number; it is
refused where anybody has opened the project before, which every claim does that meets a shut one. Who cannot go on, or
is stopped, in between opens it before he ends.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from tenet.base.errors import TenetError
from tenet.placement import keys
from tenet.placement.ops.quota_keeping import find_quotas
from tenet.placement.ops.reading import scanned
from tenet.placement.rules.quotas import revision_write
from tenet.store.contract import Committed, Delete, IsVersion, Key, Limits, Range
from tenet.store.errors import StoreCorrupt, StoreUnavailable
from tenet.store.landing import land

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.placement.rules.quotas import Quota
    from tenet.store.contract import Check, Record, Store, Version, Write

#: How long after its start it looks first, and how long it rests between two looks, seconds.
FIRST_LOOK_S: Final = 300.0
LOOK_S: Final = 3_600.0
#: How many records are looked at in a row, and removed by a commit at the most.
PAGE: Final = 1_000
#: How long it may take to clear a part of a project, seconds.
_CALL_S: Final = 10.0
#: How long it may take to open a project that is not cleared after all, seconds; who stops a process waits for it.
OPENING_S: Final = 3.0
#: How many projects in a row the store may fail to serve before the others are left to a later look.
_FAILURES_MAX: Final = 10
_NOT_YET: Final = "what projects left behind is not removed yet"

_log = structlog.get_logger(__name__)


class ProjectUpkeep:
    """Looks through all projects now and then. Several do no harm.

    Args:
        store: where they lie.
        clock: for commit ids and deadlines.
        ids: randomness.
    """

    def __init__(self, store: Store, *, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._opening: set[asyncio.Future[bool]] = set()

    async def run(self) -> None:
        """Looks again and again until it is cancelled. What it could not do is done by a later look."""
        pause_s = FIRST_LOOK_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = LOOK_S
            try:
                await self.look()
            except TenetError as error:
                _log.warning(_NOT_YET, error=error.code, reason=error.message)

    async def look(self) -> int:
        """Clears every project that counts nobody of a user and type; returns how many records were removed.

        A scan of the counts of consumers, in pages; a few round trips for each such project. One that cannot be cleared
        is told to the log, and keeps nobody else from it.

        Raises:
            StoreError: the store could not serve the scan, or many projects in a row.
        """
        removed = failed = 0
        try:
            async for records in scanned(self._store, keys.PROJECTS_SPACE, keys.PROJECT_CONSUMERS, limit=PAGE):
                idle = dict.fromkeys(record.partition for record in records if not record.cells.get(keys.CONSUMERS, 0))
                for project in map(bytes.decode, idle):
                    try:
                        async for some in self._parts(project):
                            removed += some
                        failed = 0
                    except TenetError as error:
                        # A store that serves nobody is not asked about each of them.
                        failed += not isinstance(error, StoreCorrupt)
                        if failed == _FAILURES_MAX:
                            raise
                        _log.warning(_NOT_YET, project=project, error=error.code, reason=error.message)
        finally:
            if removed:
                _log.info("what projects left behind was removed", records=removed)
        return removed

    async def clear(self, project: str) -> int:
        """Removes the counts of a project that are at 0; returns how many records that are.

        Five round trips, three of them commits, and as many again for each thousand of records.

        Raises:
            StoreError: the store could not serve; the project may be shut until somebody claims for it.
            StoreCorrupt: its quota cannot be read.
        """
        return sum([some async for some in self._parts(project)])

    async def _parts(self, project: str) -> AsyncIterator[int]:
        """Clears a project, a part at a time; yields of each how many records were removed."""
        more = True
        while more:
            removed, more, may_be_forgotten = await self._clear_some(project)
            yield removed
            if may_be_forgotten:
                # Nobody ever set a quota, so that the revision is 0 as if it were absent. Where it has been shut again
                # meanwhile, who did so removes nothing.
                deadline = self._clock.monotonic_s() + _CALL_S
                await self._land(project, None, [Delete(keys.quota_revision_key(project))], deadline)

    async def _clear_some(self, project: str) -> tuple[int, bool, bool]:
        """Shuts a project, and opens it as it removes what is at 0.

        Returns:
            How many records were removed; whether there may be more; whether nothing is left but the revision of a
            quota that there never was. Nothing of it where somebody was faster.
        """
        deadline = self._clock.monotonic_s() + _CALL_S
        found = (await find_quotas(self._store, [project], deadline=deadline))[project]
        revision, version = found.quota.revision, found.version
        # Whoever has shut it before, and may be dead, finds another number.
        shut = revision - 1 - (int.from_bytes(self._ids.draw(8), "big") >> 2)
        opens = revision_write(project, revision, shut)
        shutting = asyncio.ensure_future(
            self._land(project, version, [revision_write(project, shut, found.counted)], deadline)
        )
        try:
            if not await asyncio.shield(shutting):
                return 0, False, False
            keys_at_zero, is_all, is_empty = await self._at_zero(project, found.quota, deadline)
            if not await self._land(project, version, [*map(Delete, keys_at_zero), opens], deadline):
                return 0, False, False
        except (asyncio.CancelledError, Exception):
            await self._open(project, version, opens, shutting)
            raise
        return len(keys_at_zero), not is_all, is_all and is_empty and version is None

    async def _open(self, project: str, version: Version | None, opens: Write, shutting: asyncio.Future[bool]) -> None:
        """Opens a project that this process has shut, or is about to, and will not clear; for a bounded time.

        It would be opened by the next claim anyway, but not by one of a node of the version before.
        """

        async def is_open() -> bool:
            try:
                # What is under way might land behind the commit that opens.
                is_shut = await shutting
            except TenetError as error:
                is_shut = not isinstance(error, StoreUnavailable)  # of which nothing was written
            if not is_shut:
                return True
            try:
                # Refused where somebody else, or the removal itself, has opened it.
                await self._land(project, version, [opens], self._clock.monotonic_s() + OPENING_S)
            except TenetError:
                return False
            return True

        opening = asyncio.ensure_future(is_open())
        # Who is cancelled once more ends at once, and leaves it under way.
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        await asyncio.wait((opening,), timeout=OPENING_S)
        if not opening.done() or not opening.result():
            opening.cancel()
            _log.warning("a project may be shut until somebody claims for it", project=project)

    async def _at_zero(self, project: str, quota: Quota, deadline: float) -> tuple[Sequence[Key], bool, bool]:
        """Returns what may go of a project that is shut: uses before the counts of consumers that they belong to.

        Returns:
            Where it lies; whether that is all; whether nothing is left but what is about the quota.
        """
        found: list[Key] = []
        within, more, is_empty = keys.PROJECT_COUNTS, True, True
        while more:
            page = await self._store.query(
                keys.PROJECTS_SPACE,
                project.encode(),
                within,
                limit=Limits.page_records_max,
                reverse=True,
                deadline=deadline,
            )
            for record in page.records:
                if record.sort in {keys.QUOTA, keys.QUOTA_REVISION}:
                    continue
                if not _may_go(record, quota):
                    is_empty = False
                    continue
                if len(found) == PAGE:
                    return found, False, False
                found.append(Key(keys.PROJECTS_SPACE, record.partition, record.sort))
            more = page.more
            if page.records:
                within = Range(within.lower, page.records[-1].sort)
        return found, True, is_empty

    async def _land(self, project: str, version: Version | None, writes: Sequence[Write], deadline: float) -> bool:
        """Commits, where the quota is of the version that was found; returns whether that was not refused."""
        checks: list[Check] = [IsVersion(keys.quota_key(project), version)]
        outcome = await land(self._store, writes, checks, clock=self._clock, ids=self._ids, deadline=deadline)
        return isinstance(outcome, Committed)


def _may_go(record: Record, quota: Quota) -> bool:
    """Tells whether a count is at 0, or is a total that nobody keeps."""
    if keys.is_total(record.sort):
        return keys.split_total_key(record.sort) not in quota.counted
    return not any(record.cells.values())
