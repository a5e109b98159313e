"""How a try of a commit over several partitions ends: carried out in each of them, or undone; then its note is marked.

Its own process does it behind the answer; where that has died, ``sweeping`` does, by what the journal says of the try.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tenet.store.cassandra.encoding import committed
from tenet.store.cassandra.schema import above_us
from tenet.store.cassandra.tries import TableMissing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.base.clock import Clock
    from tenet.store.cassandra.driver import Driver
    from tenet.store.cassandra.journal import Journal, Note
    from tenet.store.cassandra.locks import Locks
    from tenet.store.cassandra.rows import Intent
    from tenet.store.contract import Version


class Endings:
    """Brings tries to their end.

    Args:
        driver: the cluster.
        locks: carries out, or removes, what was prepared.
        journal: where the tries are noted.
        clock: time.
    """

    def __init__(self, driver: Driver, *, locks: Locks, journal: Journal, clock: Clock) -> None:
        self._driver = driver
        self._locks = locks
        self._journal = journal
        self._clock = clock

    async def carry_out(self, note: Note, version: Version, intents: Sequence[Intent | None] | None = None) -> None:
        """Carries out what was decided; then nobody needs the fate for longer than other fates.

        Args:
            note: of the try.
            version: by which it took effect.
            intents: what it laid into each partition of the note; None where that has to be looked up.
        """
        await self._resolve(note, version, intents)
        lock, statements = note.lock, self._locks.statements(note.lock.space_id)
        fate = committed(lock.nonce, version)
        aged = (statements.fate_aged, [above_us(self._clock), fate, lock.anchor, lock.commit_id])
        try:
            await self._driver.write([aged, self._journal.ended(note)])
        except TableMissing:
            await self._locks.check_dropped(lock.space_id)
            await self._driver.write([self._journal.ended(note)])

    async def undo(self, note: Note, *, is_last: bool) -> None:
        """Removes what was prepared for a decision that was never asked for, or was refused.

        Args:
            note: of the try.
            is_last: whether nothing of the try can still be on its way: then its note is marked.
        """
        await self._resolve(note, None)
        if is_last:
            await self._driver.write([self._journal.ended(note)])

    async def find_out(self, note: Note, deadline: float, *, is_last: bool) -> None:
        """Gives the try up, unless it took effect, and brings it to its end either way."""
        version = await self._locks.give_up(note.lock, deadline)
        if version is None:
            await self.undo(note, is_last=is_last)
        else:
            await self.carry_out(note, version)

    async def _resolve(
        self, note: Note, version: Version | None, intents: Sequence[Intent | None] | None = None
    ) -> None:
        laid = intents or [None] * len(note.others)
        await asyncio.gather(
            *(
                self._resolve_one(*place, note.data, version, intent)
                for place, intent in zip(note.others, laid, strict=True)
            )
        )

    async def _resolve_one(
        self, space_id: str, key: bytes, data: bytes, version: Version | None, intent: Intent | None
    ) -> None:
        try:
            await self._locks.resolve(space_id, key, data, version, intent=intent)
        except TableMissing:
            await self._locks.check_dropped(space_id)
