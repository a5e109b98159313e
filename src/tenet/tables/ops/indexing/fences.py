"""Keeps the commits of former keepers out of the partitions of indexes.

A keeper may be paused at any instruction, for any time, and go on as if nothing had happened. So each of its commits
into a partition of an index checks the *mark* there, a record that says which keeper of its shard has been there: none,
or one that is not newer than itself. While commits of former keepers may still come (``Cursor.is_fencing``), a keeper
puts its own mark with the first thing that it writes into a partition; from then on those of former keepers are refused
there. Before that they do no harm: they can only do what lies behind the cursor, all of which the keeper does again, in
order, with the last word.

Once nothing of the past can come any more, marks are neither written nor needed, and expiry removes those that are
left.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from tenet.store.contract import Key, Put
from tenet.store.expiry import Removal
from tenet.store.formats import refuse_later
from tenet.tables import keys
from tenet.tables.ops.indexing.cursor import Superseded

if TYPE_CHECKING:
    from collections.abc import Collection

    from tenet.store.contract import Record, Version
    from tenet.tables.ops.indexing.batches import Place

#: A mark: format, epoch of the keeper, and when it may be forgotten, milliseconds since 1970.
_MARK: Final = struct.Struct(">BQQ")
_FORMAT: Final = 1
#: Of so many marks it is remembered how they were last seen; of others a refused commit tells.
_REMEMBERED_MAX: Final = 10_000


def encode_mark(epoch: int, until_ms: int) -> bytes:
    """Returns the stored form of a mark.

    Args:
        epoch: of the keeper.
        until_ms: when it may be forgotten, milliseconds since 1970.
    """
    return _MARK.pack(_FORMAT, epoch, until_ms)


def decode_mark(value: bytes) -> tuple[int, int]:
    """Returns the epoch of a mark, and when it may be forgotten.

    Raises:
        StoreOfLaterVersion: a later version wrote it.
    """
    refuse_later("the mark of an index keeper", value[0], _FORMAT)
    _, epoch, until_ms = _MARK.unpack(value)
    return epoch, until_ms


class Fences:
    """The marks of one shard, as its keeper knows them.

    Args:
        shard: of the table's log.
        epoch: of the keeper.
    """

    def __init__(self, shard: int, epoch: int) -> None:
        self._shard = shard
        self._epoch = epoch
        self._seen: dict[Place, tuple[Version, int]] = {}

    def key(self, place: Place) -> Key:
        """Returns where the mark of a partition lies."""
        return keys.mark_key(*place, self._shard)

    def version(self, place: Place) -> Version | None:
        """Returns the version that the mark of a partition was last seen with; None where it was not seen."""
        seen = self._seen.get(place)
        return None if seen is None else seen[0]

    def missing(self, places: Collection[Place]) -> list[Place]:
        """Returns the partitions which do not bear this keeper's own mark, as far as it knows."""
        return [place for place in places if place not in self._seen or self._seen[place][1] < self._epoch]

    def mark(self, place: Place, until_ms: int) -> Put:
        """Returns what puts this keeper's mark."""
        return Put(self.key(place), encode_mark(self._epoch, until_ms))

    def landed(self, place: Place, version: Version) -> None:
        """Notes that this keeper's mark was put."""
        self._remember(place, version, self._epoch)

    def learn(self, place: Place, record: Record | None) -> None:
        """Notes how a mark is now.

        Raises:
            Superseded: it is that of a later keeper.
        """
        if record is None:
            self._seen.pop(place, None)
            return
        epoch, _ = decode_mark(record.value)
        if epoch > self._epoch:
            raise Superseded
        self._remember(place, record.version, epoch)

    def _remember(self, place: Place, version: Version, epoch: int) -> None:
        if len(self._seen) >= _REMEMBERED_MAX:
            self._seen.pop(next(iter(self._seen)))
        self._seen[place] = (version, epoch)


class MarkRule:
    """When marks are forgotten. Implements ``tenet.store.expiry.ExpiryRule``."""

    def expires_ms(self, key: Key, record: Record) -> int | None:
        """Returns when a mark is due, milliseconds since 1970; None for what is none."""
        return decode_mark(record.value)[1] if keys.is_mark(key) else None

    def removal(self, key: Key, record: Record) -> Removal:  # noqa: ARG002 - the protocol's
        """Returns what goes with it: nothing."""
        return Removal()
