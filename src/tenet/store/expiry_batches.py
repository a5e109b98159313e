"""Shares out what sweepers want to commit to as few commits as hold it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Generic, TypeVar

from msgspec import Struct

from tenet.store.contract import Append, Check, IsStamp, Key, Limits, Put, Write

#: What one commit holds at the most beside its checks, far within the contract's limits.
_WRITES_MAX: Final = 3_000
_COMMIT_BYTES_MAX: Final = 4 * 1024 * 1024


class Item(Struct, frozen=True, gc=False):
    """What has to go into one commit.

    Args:
        checks: what must hold.
        writes: what is written; at least one.
        appends: log entries.
    """

    checks: Sequence[Check]
    writes: Sequence[Write]
    appends: Sequence[Append] = ()

    @property
    def byte_count(self) -> int:
        """Bytes of values, of records and of log entries."""
        logged = sum(len(append.old or b"") + len(append.new or b"") for append in self.appends)
        return logged + sum(len(write.value) for write in self.writes if isinstance(write, Put))

    @property
    def places(self) -> set[tuple[str, bytes]]:
        """The partitions that it touches."""
        checked = (check.of if isinstance(check, IsStamp) else check.key for check in self.checks)
        written = (write.key for write in self.writes)
        logged = (append.key for append in self.appends)
        return {(place.space, place.partition) for group in (checked, written, logged) for place in group}


ItemT = TypeVar("ItemT", bound=Item)


def packed(items: Iterable[ItemT], partitions_max: int, *, is_grouped: bool) -> Iterator[list[ItemT]]:
    """Shares items out to commits within the limits, so that none holds two writes of a key.

    Args:
        items: what is to be committed.
        partitions_max: how many partitions one commit may touch.
        is_grouped: whether a commit keeps to the partition of its first item's first write.
    """
    batch: _Batch[ItemT] = _Batch()
    for item in items:
        if batch.items and not (batch.has_room(item, partitions_max) and (not is_grouped or batch.is_beside(item))):
            yield batch.items
            batch = _Batch()
        batch.add(item)
    if batch.items:
        yield batch.items


class _Batch(Generic[ItemT]):
    """Items that go into one commit."""

    def __init__(self) -> None:
        self.items: list[ItemT] = []
        self._keys: set[Key] = set()
        self._places: set[tuple[str, bytes]] = set()
        self._checks = self._writes = self._bytes = 0

    def add(self, item: ItemT) -> None:
        self.items.append(item)
        self._keys.update(write.key for write in item.writes)
        self._places |= item.places
        self._checks += len(item.checks)
        self._writes += len(item.writes)
        self._bytes += item.byte_count

    def has_room(self, item: ItemT, partitions_max: int) -> bool:
        return (
            self._checks + len(item.checks) <= Limits.checks_max
            and self._writes + len(item.writes) <= _WRITES_MAX
            and self._bytes + item.byte_count <= _COMMIT_BYTES_MAX
            and len(self._places | item.places) <= partitions_max
            and self._keys.isdisjoint(write.key for write in item.writes)
        )

    def is_beside(self, item: ItemT) -> bool:
        first, other = self.items[0].writes[0].key, item.writes[0].key
        return (first.space, first.partition) == (other.space, other.partition)
