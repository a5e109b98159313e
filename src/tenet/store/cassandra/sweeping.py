"""Looks for commits over several partitions whose processes died before their end, and brings them to it.

Each slot of the journal is looked at twice: when it is young, for what a living process would have ended by then; and
when it is so old that nothing of its commits can be on its way any more, for what came in between. The *mark* says up
to which slot there is nothing open, and is kept in the registry for whoever sweeps next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from tenet.store.cassandra.journal import SLOT_MS
from tenet.store.cassandra.schema import REMEMBERED_S, equal
from tenet.store.cassandra.tries import Unsure
from tenet.store.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.cassandra.driver import Driver
    from tenet.store.cassandra.endings import Endings
    from tenet.store.cassandra.journal import Journal, Note

#: How old a slot is when it is young, from its end; and how long one ending may take; seconds.
YOUNG_S: Final = 15.0
_ENDING_S: Final = 10.0
#: How far the mark moves before it is kept again.
_KEPT_EVERY: Final = 30
_PART: Final = "swept"

_log = structlog.get_logger(__name__)


class Sweeping:
    """The look for commits that were left open.

    Args:
        driver: the cluster.
        journal: where they are noted.
        endings: brings them to their end.
        clock: time.
    """

    def __init__(self, driver: Driver, *, journal: Journal, endings: Endings, clock: Clock) -> None:
        self._driver = driver
        self._journal = journal
        self._endings = endings
        self._clock = clock
        table = f"{driver.location.keyspace}.registry"
        self._get_mark = f"SELECT options FROM {table} WHERE part = ? AND name = ?"
        self._keep_mark = f"UPDATE {table} SET options = ? WHERE part = ? AND name = ? IF "
        #: The first slot that may hold something open, and the same as it was kept last.
        self._mark = 0
        self._kept: int | None = None
        #: The first slot that was not looked at yet; and those that were, and have something open.
        self._next = 0
        self._again: set[int] = set()
        #: How many tries were brought to their end here.
        self.ended = 0

    @property
    def swept_ms(self) -> int:
        """The time, in milliseconds, before which no commit was begun that is open yet."""
        return self._mark * SLOT_MS

    async def ensure(self) -> None:
        """Sets the mark where there is none, before anything is noted in the journal.

        Raises:
            StoreUnavailable: it could not.
        """
        if await self._read() is None:
            self._mark = self._slot_before(REMEMBERED_S)
            await self._keep()

    async def begin(self) -> None:
        """Goes on where the last one left off.

        Raises:
            StoreUnavailable: the registry cannot be read.
        """
        kept, oldest = await self._read(), self._slot_before(REMEMBERED_S)
        self._kept = kept
        self._mark = oldest if kept is None else min(kept, oldest)
        # What is older than that is looked at once.
        self._next = max(self._mark, oldest)

    async def _read(self) -> int | None:
        rows = await self._driver.select(self._get_mark, (_PART, ""), counts_as="registry")
        return int(rows[0][0]) if rows and rows[0][0] else None

    async def _keep(self) -> None:
        """Keeps the mark for whoever sweeps next, unless somebody else has."""
        condition, wanted = equal("options", None if self._kept is None else str(self._kept))
        values = [str(self._mark), _PART, "", *wanted]
        try:
            refused = await self._driver.decide([(self._keep_mark + condition, values)])
        except Unsure as error:
            raise StoreUnavailable("how far the journal was looked through could not be written") from error
        self._kept = self._mark if refused is None else await self._read()

    async def sweep(self) -> None:
        """Looks at all slots that it is time for.

        Raises:
            StoreUnavailable: the journal cannot be read; what was begun is gone on with by the next call.
        """
        young = self._slot_before(YOUNG_S)
        for slot in sorted(self._again):
            await self._look(slot, is_last=False)
        while self._next < young:
            await self._look(self._next, is_last=False)
            self._next += 1
        old = self._slot_before(REMEMBERED_S)
        while self._mark < min(old, self._next) and await self._look(self._mark, is_last=True):
            self._mark += 1
            if self._mark - (self._kept or 0) >= _KEPT_EVERY:
                await self._keep()

    def _slot_before(self, age_s: float) -> int:
        """Returns the first slot that is not yet so old, from its end."""
        return (self._clock.wall_ms() - int(1000 * age_s)) // SLOT_MS

    async def _look(self, slot: int, *, is_last: bool) -> bool:
        """Brings what is open in a slot to its end; returns whether nothing is open there any more."""
        is_clear = True
        for note in await self._journal.open_in(slot, self._clock.monotonic_s() + _ENDING_S):
            is_clear = await self._end(note, is_last=is_last) and is_clear
        if is_clear:
            self._again.discard(slot)
        else:
            self._again.add(slot)
        return is_clear

    async def _end(self, note: Note, *, is_last: bool) -> bool:
        """Brings a try to its end; returns whether it is there."""
        try:
            await self._endings.find_out(note, self._clock.monotonic_s() + _ENDING_S, is_last=is_last)
        except StoreUnavailable as error:
            _log.info("a commit that was left open is not ended yet", reason=error.message)
            return False
        except StoreError as error:
            _log.error("a commit that was left open cannot be ended", commit=note.id.hex(), reason=error.message)
            return False
        self.ended += 1
        return True
