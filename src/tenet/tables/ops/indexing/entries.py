"""Entries of an index that is filled, collected and given out in the order in which the index keeps them.

The order of a table's items says nothing of the index: written as they come, each entry lies in a page of its own, so
that a commit of 25 writes 25 pages and those above them, and a million entries several times what the index takes.
Beside each other they share their pages. The more are collected, the fewer pages are written, and the more memory is
taken meanwhile.
"""

from __future__ import annotations

import heapq
from itertools import count, islice
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct

from tenet.store.contract import Key, Put, Version, token

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: How many entries are collected, and bytes of their values: some 50 MiB of memory for each index that is filled.
ENTRIES_MAX: Final = 50_000
ENTRIES_BYTES_MAX: Final = 16 * 1024 * 1024


class Entry(Struct, frozen=True, gc=False):
    """An item's entry.

    Args:
        key: of the item.
        version: of the item that the entry is of.
        write: puts the entry.
    """

    key: Key
    version: Version
    write: Put


#: An entry behind its place in the index and a number of its own, so that no two are compared themselves.
_Placed: TypeAlias = tuple[int, bytes, bytes, int, Entry]


class Entries:
    """Collects entries of one index."""

    def __init__(self) -> None:
        self._runs: list[list[_Placed]] = []
        self._numbers = count()
        self._count = 0
        self._bytes = 0

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        """Whether no more are to be collected before these are taken."""
        return self._count >= ENTRIES_MAX or self._bytes >= ENTRIES_BYTES_MAX

    def add(self, entries: Sequence[Entry]) -> None:
        """Takes up some, no more than can be sorted at once without holding anybody up."""
        if entries:
            self._runs.append(sorted(map(self._placed, entries)))
            self._count += len(entries)
            self._bytes += sum(len(entry.write.value) for entry in entries)

    def take(self, size: int) -> Iterator[list[Entry]]:
        """Gives out all of them in order, and is empty.

        Args:
            size: how many at a time.
        """
        runs, self._runs, self._count, self._bytes = self._runs, [], 0, 0
        merged = heapq.merge(*runs)
        while some := [entry for *_, entry in islice(merged, size)]:
            yield some

    def _placed(self, entry: Entry) -> _Placed:
        key = entry.write.key
        # As the embedded engine keeps partitions, but for those that collide.
        return token(key.partition), key.partition, key.sort, next(self._numbers), entry
