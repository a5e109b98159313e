"""Shares out what sweepers want to commit to as few commits as hold it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Generic, TypeVar

from msgspec import Struct

from tenet.store.contract import Append, Check, IsStamp, Key, Limits, Put, Write

#: Checks, writes and log entries of one commit, and bytes of values; far within the contract's limits.
_PARTS_MAX: Final = 3_000
_COMMIT_BYTES_MAX: Final = 4 * 1024 * 1024


class Item(Struct, frozen=True, gc=False):
    """What has to go into one commit.

    Args:
        checks: what must hold.
        writes: what is written; at least one.
        appends: log entries.
        removed_bytes: of the values that its deletes remove, which an engine has to free.
    """

    checks: Sequence[Check]
    writes: Sequence[Write]
    appends: Sequence[Append] = ()
    removed_bytes: int = 0

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
    batch: _Batch[ItemT] = _Batch(partitions_max)
    for item in items:
        if (is_grouped and not batch.is_beside(item)) or not batch.take(item):
            yield batch.items
            batch = _Batch(partitions_max)
            batch.take(item)
    if batch.items:
        yield batch.items


class _Batch(Generic[ItemT]):
    """Items that go into one commit."""

    def __init__(self, partitions_max: int) -> None:
        self.items: list[ItemT] = []
        self._partitions_max = partitions_max
        self._keys: set[Key] = set()
        self._checks = self._parts = self._bytes = 0

    def take(self, item: ItemT) -> bool:
        """Takes an item in, if there is room for it; the first one always."""
        keys = [write.key for write in item.writes]
        checks = self._checks + len(item.checks)
        parts = self._parts + len(item.checks) + len(keys) + len(item.appends)
        byte_count = self._bytes + _value_bytes(item)
        if self.items and (
            checks > Limits.checks_max
            or parts > _PARTS_MAX
            or byte_count > _COMMIT_BYTES_MAX
            or not self._keys.isdisjoint(keys)
            # Counting partitions is dear, and needless where there are not so many parts.
            or (parts > self._partitions_max and not self._fits_partitions(item))
        ):
            return False
        self.items.append(item)
        self._keys.update(keys)
        self._checks, self._parts, self._bytes = checks, parts, byte_count
        return True

    def _fits_partitions(self, item: ItemT) -> bool:
        return len(set().union(item.places, *(one.places for one in self.items))) <= self._partitions_max

    def is_beside(self, item: ItemT) -> bool:
        """Whether an item begins in the partition in which the batch begins."""
        if not self.items:
            return True
        first, other = self.items[0].writes[0].key, item.writes[0].key
        return (first.space, first.partition) == (other.space, other.partition)


def _value_bytes(item: Item) -> int:
    """Returns the bytes of an item's values: of records, written and removed, and of log entries."""
    total = item.removed_bytes
    for append in item.appends:
        total += len(append.old or b"") + len(append.new or b"")
    for write in item.writes:
        if isinstance(write, Put):
            total += len(write.value)
    return total
