"""How far pipes have come: a cursor for each shard of a table's log, moved under a check of what was seen last.

Whoever finds that somebody else has moved a cursor meanwhile runs a pipe that another process runs by now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tenet.base.clock import NEVER
from tenet.pipes import keys
from tenet.pipes.model import Cursor
from tenet.store.contract import Committed, IsVersion, Put
from tenet.store.formats import decode_marked
from tenet.store.landing import land

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import Store, Version

#: The first byte of a stored cursor; a later layout takes another one.
FORMAT: Final = b"\x01"
_SHARDS_MAX: Final = 1_024

_decoder = msgspec.json.Decoder(Cursor)


class Superseded(Exception):
    """Somebody else has moved the cursor, or removed it with its pipe."""


def decode_cursor(value: bytes) -> Cursor:
    """Returns the cursor that was stored.

    Raises:
        StoreCorrupt: the bytes are none that this or an older version writes.
    """
    return decode_marked(value, _decoder, "a pipe's cursor", mark=FORMAT)


class Cursors:
    """The cursors of all pipes.

    Args:
        store: where they are.
        clock: for commit ids.
        ids: for commit ids.
    """

    def __init__(self, store: Store, *, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    async def open(self) -> None:
        """Creates the space of cursors where there is none."""
        await self._store.ensure_space(keys.CURSORS_SPACE)

    async def read(self, pipe_id: str, shard: int) -> tuple[Cursor | None, Version | None]:
        """Returns a cursor with its version, None where there is none; one round trip."""
        (record,) = await self._store.get((keys.cursor_key(pipe_id, shard),))
        return (None, None) if record is None else (decode_cursor(record.value), record.version)

    async def write(self, pipe_id: str, shard: int, cursor: Cursor, version: Version | None) -> Version:
        """Moves a cursor, and returns its new version; one round trip.

        Args:
            pipe_id: of the pipe.
            shard: of the table's log.
            cursor: what it becomes.
            version: that it has; None: there is none.

        Raises:
            Superseded: it has another one.
        """
        key = keys.cursor_key(pipe_id, shard)
        put = Put(key, FORMAT + msgspec.json.encode(cursor))
        checks = (IsVersion(key, version),)
        outcome = await land(self._store, (put,), checks, clock=self._clock, ids=self._ids, deadline=NEVER)
        if isinstance(outcome, Committed):
            return outcome.version
        raise Superseded

    async def of(self, pipe_id: str, *, deadline: float = NEVER) -> Mapping[int, Cursor]:
        """Returns the cursors of a pipe by their shards; one round trip."""
        partition = keys.cursors_partition(pipe_id)
        page = await self._store.query(keys.CURSORS_SPACE, partition, limit=_SHARDS_MAX, deadline=deadline)
        return {int.from_bytes(record.sort, "big"): decode_cursor(record.value) for record in page.records}

    async def discard(self, pipe_id: str) -> None:
        """Removes the cursors of a pipe that nobody runs any more."""
        await self._store.discard(keys.CURSORS_SPACE, keys.cursors_partition(pipe_id))
