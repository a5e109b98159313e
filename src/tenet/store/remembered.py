"""Records as this process saw them last: what a write may begin with where a read costs a round over a network.

Nothing is answered from here. Whoever writes on what he finds checks it in the same commit; whoever would refuse
because of it, or change nothing, reads first.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tenet.store.contract import Key, Record

RECORDS_MAX: Final = 20_000
BYTES_MAX: Final = 32 * 1024 * 1024
#: Larger records are read again: few of them would leave no room for the others.
RECORD_BYTES_MAX: Final = 64 * 1024


class Remembered:
    """The records that were seen last, within bounds of number and bytes."""

    __slots__ = ("_bytes", "_records")

    def __init__(self) -> None:
        self._records: OrderedDict[Key, Record | None] = OrderedDict()
        self._bytes = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._records

    def get(self, key: Key) -> Record | None:
        """Returns a record that is in here; None is one that was absent."""
        self._records.move_to_end(key)
        return self._records[key]

    def put(self, key: Key, record: Record | None) -> None:
        """Remembers a record as it is now, and forgets the oldest ones where there are too many."""
        self.forget(key)
        size = _size(key, record)
        if size > RECORD_BYTES_MAX:
            return
        self._records[key] = record
        self._bytes += size
        while len(self._records) > RECORDS_MAX or self._bytes > BYTES_MAX:
            self._bytes -= _size(*self._records.popitem(last=False))

    def forget(self, key: Key) -> None:
        """Forgets a record."""
        if key in self._records:
            self._bytes -= _size(key, self._records.pop(key))


def _size(key: Key, record: Record | None) -> int:
    return 200 + len(key.partition) + len(key.sort) + (len(record.value) if record is not None else 0)
