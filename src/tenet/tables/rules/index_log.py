"""Global indexes that are kept from the log: what a write of an item tells the log, and what is made of it later.

On an engine where commits over partitions are dear, a write of an item commits within its partition: the item, its
entries in local indexes, and one entry in the log of the table's space with the item as it was and as it is. What
changes no global index is not told. A large item is not written into the log as well: its two images there hold the
keys of table and indexes alone (the form that a reference in an index has), and whoever reads the log looks the item
up. He may then see a later state; the entries of the log that lead to it come behind and put right what was too early.

Entries of such indexes are never references: each is put by a commit that has room for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tenet.store.contract import Append, Delete, Key, LogOptions, Put, SpaceOptions
from tenet.tables.rules import stored
from tenet.tables.rules.images import ABSENT, Image
from tenet.tables.rules.indexes import IndexChanges, changes, changes_of, is_indexed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.tables.model import Index, Stream, Table

#: Images of an item that take more bytes together are told by their keys.
LOGGED_BYTES_MAX: Final = 64 * 1024
#: Who reads the log for the indexes, by the name that the store knows him by.
READER: Final = "indexes"
#: How many shards the log of a new table has: so many keepers share the work of one table.
LOG_SHARDS: Final = 4
#: How long streams keep their records.
RETENTION_MS: Final = 24 * 3_600_000
#: Who causes the entries of a log by which an index is filled that was added later.
FILLING: Final = "filling"

_PLAIN: Final = SpaceOptions()


def is_readable(stream: Stream, now_ms: int) -> bool:
    """Whether a stream can be read: one that is on, or off for less than 24 hours.

    Args:
        stream: the stream.
        now_ms: the time, milliseconds since 1970.
    """
    return not stream.disabled_ms or now_ms - stream.disabled_ms < RETENTION_MS


def space_options(table: Table, space: str, *, is_logging: bool, now_ms: int) -> SpaceOptions:
    """Returns what a space of a table has to keep.

    Args:
        table: the table.
        space: one of its spaces.
        is_logging: whether global indexes are kept from the log.
        now_ms: the time, milliseconds since 1970.
    """
    if space != table.space or not (table.followers or table.streams or (is_logging and table.has_log_for_indexes)):
        return _PLAIN
    return logged_options(table, is_logging=is_logging, now_ms=now_ms)


def logged_options(table: Table, *, is_logging: bool, now_ms: int) -> SpaceOptions:
    """Returns what the space of a table's items has to keep once it has a log, though nobody may read it any more.

    A log without readers and streams keeps nothing. It stays, because a write that began when somebody read it may
    still come. What a stream has that was switched off is kept as long as it can be read.

    Args:
        table: the table.
        is_logging: whether global indexes are kept from the log.
        now_ms: the time, milliseconds since 1970.
    """
    for_indexes = (READER,) if is_logging and (table.has_log_for_indexes or table.coming_indexes) else ()
    return SpaceOptions(
        log=LogOptions(
            shards=LOG_SHARDS,
            readers=(*for_indexes, *table.followers),
            retention_ms=RETENTION_MS if any(is_readable(stream, now_ms) for stream in table.streams) else 0,
        )
    )


def logged_changes(table: Table, at: Key, old: Image, new: Image, *, by_reference: bool = False) -> IndexChanges:
    """Returns what a write of an item means for its table's indexes where global ones are kept from the log.

    Args:
        table: the table.
        at: where the item lies.
        old: the item before, perhaps absent.
        new: the item after, perhaps absent.
        by_reference: whether local entries and the log hold keys alone; they do in any case where they are too large.
    """
    local = changes(table, old, new, by_reference=by_reference, among=table.local_indexes)
    later = changes_of(table, table.global_indexes, old, new, by_reference=False)
    if not later.writes:
        return local
    if by_reference or old.stored_bytes + new.stored_bytes > LOGGED_BYTES_MAX:
        append = Append(at, by_keys(table, old), by_keys(table, new))
    else:
        append = Append(at, old.value, new.value)
    return IndexChanges(local.writes, {**local.units, **later.units}, (append,))


def by_keys(table: Table, image: Image) -> bytes | None:
    """Returns the image that holds the keys of the table and of its entries alone; None where there is no item.

    What a global index names and has no entry of is left out: it may be as large as the item.
    """
    item = image.item
    if item is None:
        return None
    names = dict.fromkeys(table.keys.names)
    for index in table.global_indexes:
        if is_indexed(index, item):
            names.update(dict.fromkeys(index.keys.names))
    return stored.encode_reference({name: item[name] for name in names}, image.size)


def is_by_keys(image: Image) -> bool:
    """Whether an image from the log holds keys alone."""
    return image.value is not None and stored.is_reference(image.value)


def presented(table: Table, at: Key, image: Image) -> Append:
    """Returns the entry of the log by which an item is told as it is, though nothing changes: to fill indexes.

    Args:
        table: the table.
        at: where the item lies.
        image: the item; there is one.
    """
    value = by_keys(table, image) if image.stored_bytes > LOGGED_BYTES_MAX else image.value
    return Append(at, None, value, FILLING)


def indexes_at(table: Table, shard: int, position: int) -> tuple[Index, ...]:
    """Returns the global indexes that an entry of the log means something for.

    What comes before an index is filled may lack changes: those by writers who did not know of it yet.

    Args:
        table: the table.
        shard: of its log.
        position: of the entry.
    """
    indexes = table.global_indexes
    if not any(index.is_late and (index.since or index.status == "CREATING") for index in indexes):
        return indexes
    return tuple(index for index in indexes if _is_told(index, shard, position))


def _is_told(index: Index, shard: int, position: int) -> bool:
    if index.since:
        return position > index.since[shard]
    return not index.is_filling


def entry_writes(table: Table, among: Sequence[Index], old: Image, new: Image) -> tuple[Put | Delete, ...]:
    """Returns what a change of an item means for the entries of its table's global indexes.

    Args:
        table: the table.
        among: the global indexes that are looked at.
        old: the item before, as the log tells it.
        new: the item after; where the log told its keys alone, the item as it was looked up since.
    """
    if not is_by_keys(old):
        return changes_of(table, among, old, new, by_reference=False).writes
    # Of what was there the keys are known and nothing else, so that no entry can be called unchanged.
    writes: dict[Key, Put | Delete] = {}
    for before, after in ((old, ABSENT), (ABSENT, new)):
        for write in changes_of(table, among, before, after, by_reference=False).writes:
            writes[write.key] = write
    return tuple(writes.values())
