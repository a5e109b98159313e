"""The journal: which commits over several partitions are open, so that those of dead processes are found.

A try of such a commit is noted beside its preparations, and not decided before it stands there. What has come to its
end is marked so. Notes lie in *slots* of time and some *lanes*, so that whoever looks for what was left open reads
each slot twice and never reads over what lies in others. A mark is a value with a time to live, not a deletion: a
slot has no tombstones while anybody reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from tenet.store.cassandra import schema
from tenet.store.cassandra.rows import Lock, encode_lock
from tenet.store.errors import StoreCorrupt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.cassandra.driver import Driver
    from tenet.store.cassandra.sending import Bound

SLOT_MS: Final = 20_000
LANES: Final = 4
_PAGE: Final = 500


class Note(Struct, frozen=True, array_like=True):
    """A try of a commit over several partitions.

    Args:
        lock: what it lays into all partitions but the anchor.
        others: these partitions: the ids of their spaces, and their keys.
        slot: where it stands in the journal.
        lane: the same.
    """

    lock: Lock
    others: list[tuple[str, bytes]]
    slot: int
    lane: int

    @property
    def data(self) -> bytes:
        """The lock as it stands in the partitions."""
        return encode_lock(self.lock)

    @property
    def id(self) -> bytes:
        """What names the try within its slot."""
        return self.lock.commit_id + self.lock.nonce


class Journal:
    """Writes and reads the journal.

    Args:
        driver: the cluster.
        clock: time.
        ids: draws the lane of this process.
    """

    def __init__(self, driver: Driver, *, clock: Clock, ids: Ids) -> None:
        self._driver = driver
        self._clock = clock
        self._lane = ids.draw(1)[0] % LANES
        self._statements = schema.JournalStatements(driver.location.keyspace)

    def note(self, lock: Lock, others: Sequence[tuple[str, bytes]]) -> Note:
        """Returns the note of a try that begins now; it is not written yet."""
        return Note(lock, list(others), self._clock.wall_ms() // SLOT_MS, self._lane)

    async def write(self, note: Note, deadline: float) -> None:
        """Writes a note.

        Raises:
            StoreUnavailable: it may stand there or not.
        """
        values = [msgspec.msgpack.encode(note), note.slot, note.lane, note.id]
        await self._driver.write([(self._statements.open, values)], deadline=deadline)

    def ended(self, note: Note) -> Bound:
        """Returns the write that marks a try as one that has come to its end.

        Whoever writes it has another clock than who wrote the note: its timestamp is above both.
        """
        return self._statements.ended, [schema.above_us(self._clock), note.slot, note.lane, note.id]

    async def open_in(self, slot: int, deadline: float) -> list[Note]:
        """Returns the tries of a slot that are not marked as ended."""
        found: list[Note] = []
        for lane in range(LANES):
            after = b""
            while True:
                values = (slot, lane, after, _PAGE)
                rows = await self._driver.select(
                    self._statements.read, values, deadline=deadline, is_serial=False, counts_as="beat"
                )
                found += [_decoded(data) for _, data in rows if data]
                if len(rows) < _PAGE:
                    break
                after = rows[-1][0]
        return found


def _decoded(data: bytes) -> Note:
    try:
        return msgspec.msgpack.decode(data, type=Note)
    except msgspec.DecodeError as error:
        raise StoreCorrupt(f"the note of a commit cannot be read: {error}") from error
