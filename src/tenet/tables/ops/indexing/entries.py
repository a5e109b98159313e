"""Entries of an index that is filled, collected and given out in the order in which the index keeps them.

The order of a table's items says nothing of the index: written as they come, each entry lies in a page of its own, so
that a commit of 25 writes 25 pages and those above them, and a million entries several times what the index takes.
Beside each other they share their pages. The more are collected, the fewer pages are written, and the more memory is
taken meanwhile.

Nothing here takes long at once: few are sorted at a time, and those runs are merged, and let go of, one by one.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct

from tenet.store.contract import Key, Put, Version, token
from tenet.tables.rules.images import ABSENT, Image
from tenet.tables.rules.indexes import changes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tenet.tables.model import Index, Table

#: How much memory the entries take that are collected for all indexes of a process, about bytes.
WEIGHT_MAX: Final = 40 * 1024 * 1024
#: How many entries share a commit, and how many bytes of them: no more than holds requests up for a millisecond or two.
GROUP: Final = 25
GROUP_BYTES: Final = 512 * 1024
#: What an entry takes beside its bytes: its objects, and its place in a run.
_ENTRY_WEIGHT: Final = 600
#: How many are sorted at a time.
_RUN: Final = 250


class Entry(Struct, frozen=True, gc=False):
    """An item's entry.

    Args:
        key: of the item.
        version: of the item that the entry is of.
        write: puts the entry.
        byte_count: how many bytes a commit has of it, about.
    """

    key: Key
    version: Version
    write: Put
    byte_count: int


def entry_of(table: Table, index: Index, key: Key, version: Version, image: Image) -> Entry:
    """Returns the entry of an item that has one.

    Args:
        table: the table.
        index: the index.
        key: of the item.
        version: of the item.
        image: the item.
    """
    (write,) = changes(table, ABSENT, image, among=(index,)).writes
    assert isinstance(write, Put)
    there = write.key
    byte_count = len(key.partition) + len(key.sort) + len(there.partition) + len(there.sort) + len(write.value)
    return Entry(key, version, write, byte_count)


#: An entry behind its place in the index and a number of its own, so that no two are compared themselves.
_Placed: TypeAlias = tuple[int, bytes, bytes, int, Entry]


class Entries:
    """Collects entries of one index."""

    def __init__(self) -> None:
        self._fresh: list[_Placed] = []
        self._runs: list[list[_Placed]] = []
        self._numbers = count()
        #: What they take, about bytes of memory.
        self.weight = 0

    def __len__(self) -> int:
        return len(self._fresh) + sum(map(len, self._runs))

    def add(self, entries: Iterable[Entry]) -> None:
        """Takes up some: no more than a page of items has."""
        for entry in entries:
            key = entry.write.key
            # As the embedded engine keeps partitions, but for those that collide.
            self._fresh.append((token(key.partition), key.partition, key.sort, next(self._numbers), entry))
            self.weight += entry.byte_count + _ENTRY_WEIGHT
        if len(self._fresh) >= _RUN:
            self._end_run()

    def take(self) -> Iterator[list[Entry]]:
        """Gives out all of them in order, as many at a time as share a commit, and is empty."""
        self._end_run()
        runs, self._runs, self.weight = self._runs, [], 0
        merged = heapq.merge(*map(_used_up, runs))
        runs.clear()
        return grouped(entry for *_, entry in merged)

    def _end_run(self) -> None:
        # The last one stands first, so that what is given out can be let go of.
        self._runs.append(sorted(self._fresh, reverse=True))
        self._fresh = []


def grouped(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Gives out entries as many at a time as share a commit; one alone may be larger than that."""
    group: list[Entry] = []
    byte_count = 0
    for entry in entries:
        if group and (len(group) == GROUP or byte_count + entry.byte_count > GROUP_BYTES):
            yield group
            group, byte_count = [], 0
        group.append(entry)
        byte_count += entry.byte_count
    if group:
        yield group


def _used_up(run: list[_Placed]) -> Iterator[_Placed]:
    while run:
        yield run.pop()
