"""A batch of a shard's log: what it means for the index spaces, with the last word on every entry.

Of many changes that touch one place in an index, only the last is written; and every place that any of them touches is
written, though it may be absent before and after: a keeper that was paused could still be about to fill it, and must
find its partition taken (``fences``).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from tenet.store.contract import Key, Limits, Put, commit_id_ms
from tenet.tables.ops.indexing.cursor import CALL_S
from tenet.tables.rules.images import ABSENT, Image
from tenet.tables.rules.index_log import READER, entry_writes, indexes_at, is_by_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tenet.base.clock import Clock
    from tenet.store.contract import Delete, LogEntry, Store
    from tenet.tables.model import Table

#: So many entries and bytes a keeper may be ahead of its cursor; a successor begins with all of them at once, so that
#: nothing that its predecessor did is undone even for a moment.
WINDOW_ENTRIES: Final = 1_000
WINDOW_BYTES: Final = 8 * 1024 * 1024
#: What one commit carries at the most, far within the contract's limits.
_COMMIT_WRITES_MAX: Final = 500
_COMMIT_BYTES_MAX: Final = 2 * 1024 * 1024
#: After so many entries others have a turn of the loop.
_TURN_ENTRIES: Final = 32

#: A partition of an index: its space and its partition key.
Place: TypeAlias = tuple[str, bytes]


@dataclass
class Batch:
    """Entries of a log behind a position.

    Args:
        entries: in the order of the log.
        value_bytes: of their values.
    """

    entries: list[LogEntry] = field(default_factory=list)
    value_bytes: int = 0

    @property
    def is_full(self) -> bool:
        """Whether it is as much as a keeper may be ahead of its cursor."""
        return len(self.entries) >= WINDOW_ENTRIES or self.value_bytes >= WINDOW_BYTES

    def take(self, entries: Sequence[LogEntry]) -> None:
        """Takes entries in, up to the one that fills it."""
        for entry in entries:
            if self.is_full:
                return
            self.entries.append(entry)
            self.value_bytes += len(entry.old or b"") + len(entry.new or b"")


@dataclass
class Outlook:
    """What a batch means for the indexes.

    Args:
        places: what is to be written, by partition of an index.
        since_ms: when the oldest change in it was committed, by the name of the index space, milliseconds since 1970.
        counts: how many entries are written, by the name of the index space.
    """

    places: dict[Place, list[Put | Delete]]
    since_ms: dict[str, int]
    counts: dict[str, int]


async def read_batch(
    store: Store, space: str, shard: int, *, after: int, ahead: Batch, gives_back: bool, clock: Clock
) -> Batch:
    """Reads what a keeper may work on next; a round trip for each page of the log.

    Args:
        store: the store.
        space: a table's.
        shard: of its log.
        after: the last position that was applied.
        ahead: what was applied since the cursor moved; together with it, the batch is at most a window.
        gives_back: whether the store is told that nothing up to `after` is needed any more.
        clock: for deadlines.
    """
    batch = Batch([], ahead.value_bytes)
    room = WINDOW_ENTRIES - len(ahead.entries)
    while room > 0 and not batch.is_full:
        deadline = clock.monotonic_s() + CALL_S
        reader = READER if gives_back and not batch.entries else None
        page = await store.read_log(space, shard, after=after, limit=room, reader=reader, deadline=deadline)
        batch.take(page.entries)
        room -= len(page.entries)
        if not page.entries or page.entries[-1].position >= page.closed:
            break
        after = page.entries[-1].position
    batch.value_bytes -= ahead.value_bytes
    return batch


async def outlook_of(store: Store, table: Table, shard: int, entries: Sequence[LogEntry], *, clock: Clock) -> Outlook:
    """Returns what entries of a shard of a table's log mean for its global indexes.

    No round trip, or one for each thousand items that the log tells by their keys alone.
    """
    now = await _looked_up(store, table, entries, clock)
    last: dict[Key, Put | Delete] = {}
    since_ms: dict[str, int] = {}
    for number, entry in enumerate(entries):
        old, new = Image(entry.old), Image(entry.new)
        if is_by_keys(new):
            new = now[entry.partition, entry.sort]
        for write in entry_writes(table, indexes_at(table, shard, entry.position), old, new):
            # Anew at the end, so that the writes of a place are in the order of their last changes.
            last.pop(write.key, None)
            last[write.key] = write
            since_ms.setdefault(write.key.space, commit_id_ms(entry.commit_id))
        if number % _TURN_ENTRIES == _TURN_ENTRIES - 1:
            await asyncio.sleep(0)
    places: dict[Place, list[Put | Delete]] = {}
    counts: dict[str, int] = {}
    for key, write in last.items():
        places.setdefault((key.space, key.partition), []).append(write)
        counts[key.space] = counts.get(key.space, 0) + 1
    return Outlook(places, since_ms, counts)


async def _looked_up(
    store: Store, table: Table, entries: Sequence[LogEntry], clock: Clock
) -> dict[tuple[bytes, bytes], Image]:
    """Returns the items, as they are now, that entries tell by their keys alone."""
    wanted = list(dict.fromkeys((one.partition, one.sort) for one in entries if is_by_keys(Image(one.new))))
    found: dict[tuple[bytes, bytes], Image] = {}
    for start in range(0, len(wanted), Limits.get_keys_max):
        some = wanted[start : start + Limits.get_keys_max]
        places = [Key(table.space, partition, sort) for partition, sort in some]
        records = await store.get(places, deadline=clock.monotonic_s() + CALL_S)
        for at, record in zip(some, records, strict=True):
            found[at] = ABSENT if record is None else Image(record.value)
    return found


def in_commits(writes: Sequence[Put | Delete]) -> Iterator[Sequence[Put | Delete]]:
    """Returns the writes of one partition in portions that a commit has room for."""
    part: list[Put | Delete] = []
    part_bytes = 0
    for write in writes:
        value_bytes = len(write.value) if isinstance(write, Put) else 0
        if part and (len(part) >= _COMMIT_WRITES_MAX or part_bytes + value_bytes > _COMMIT_BYTES_MAX):
            yield part
            part, part_bytes = [], 0
        part.append(write)
        part_bytes += value_bytes
    if part:
        yield part
