"""What a write of an item means for the table's secondary indexes.

An index holds an entry for each item that has all of the index's key attributes. The entry carries the projected
attributes, and the keys of table and index always. The same rules serve an engine on which entries are written in the
item's own commit and one on which those of global indexes are kept up from the log (``rules.index_log``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tenet.store.contract import Append, Delete, Key, Put
from tenet.tables import keys
from tenet.tables.rules import stored
from tenet.tables.rules.capacity import write_units
from tenet.tables.rules.images import ABSENT, Image
from tenet.tables.rules.key_values import can_be_key
from tenet.tables.rules.multi_attribute_keys import can_hold
from tenet.tables.rules.sizes import item_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.tables.model import Index, Item, Table

#: Entries of one item that take more bytes together are written by reference: a commit has a limit, and an item of
#: 400 KB may have 25 entries.
ENTRIES_BYTES_MAX: Final = 3 * 1024 * 1024


class IndexChanges:
    """What has to be written to the indexes of a table.

    Args:
        writes: puts and deletes of entries.
        units: write capacity units by index name, for the indexes that are written to.
        appends: what the log is told instead, of indexes that are kept from it.
    """

    __slots__ = ("appends", "units", "writes")

    def __init__(
        self, writes: tuple[Put | Delete, ...], units: dict[str, float], appends: tuple[Append, ...] = ()
    ) -> None:
        self.writes = writes
        self.units = units
        self.appends = appends

    @property
    def value_bytes(self) -> int:
        """The bytes of all values that are put."""
        return sum(len(write.value) for write in self.writes if isinstance(write, Put))

    @property
    def logged_bytes(self) -> int:
        """The bytes of all values of log entries."""
        return sum(len(append.old or b"") + len(append.new or b"") for append in self.appends)


#: No index is touched.
NOTHING = IndexChanges((), {})


def is_indexed(index: Index, item: Item | None) -> bool:
    """Whether an item has an entry in an index."""
    if item is None or not all(name in item for name in index.keys.names):
        return False
    return not index.is_late or _has_keys_for(index, item)


def _has_keys_for(index: Index, item: Item) -> bool:
    """Whether an index can hold an item that may have been written before there was the index."""
    keys = index.keys
    partition, sort = keys.partition, keys.sort
    if keys.more is None:
        return can_be_key(item[partition.name], partition, is_partition=True) and (
            sort is None or can_be_key(item[sort.name], sort, is_partition=False)
        )
    return (
        all(can_be_key(item[each.name], each, is_partition=True) for each in keys.partitions)
        and all(can_be_key(item[each.name], each, is_partition=False) for each in keys.sorts)
        and can_hold(index, item)
    )


def indexes_of(table: Table, item: Item) -> list[Index]:
    """Returns the indexes in which an item has entries."""
    return [index for index in table.indexes if is_indexed(index, item)]


def projected(table: Table, index: Index, image: Image) -> Image:
    """Returns the image of the entry that stands for an item in an index."""
    if index.projection == "ALL":
        return image
    item = image.item
    assert item is not None
    wanted = table.projections[index.name]
    entry = {name: value for name, value in item.items() if name in wanted}
    return Image.of_item(entry, item_bytes(entry))


def changes(
    table: Table, old: Image, new: Image, *, by_reference: bool = False, among: Sequence[Index] | None = None
) -> IndexChanges:
    """Returns what a write of an item means for the indexes of its table.

    Args:
        table: the table.
        old: the item before, perhaps absent.
        new: the item after, perhaps absent.
        by_reference: whether entries hold their keys alone; they do in any case where they are too large together.
        among: the indexes that are looked at; None for all.
    """
    if among is None:
        among = table.indexes
    if not among:
        return NOTHING
    found = changes_of(table, among, old, new, by_reference=by_reference)
    if not by_reference and len(found.writes) > 1 and found.value_bytes > ENTRIES_BYTES_MAX:
        return changes_of(table, among, old, new, by_reference=True)
    return found


def changes_of(table: Table, some: Sequence[Index], old: Image, new: Image, *, by_reference: bool) -> IndexChanges:
    """Returns what a write of an item means for some indexes of its table, however much that is.

    Args:
        table: the table.
        some: the indexes.
        old: the item before, perhaps absent.
        new: the item after, perhaps absent.
        by_reference: whether entries hold their keys alone.
    """
    writes: list[Put | Delete] = []
    units: dict[str, float] = {}
    for index in some:
        before_key, before = _entry(table, index, old)
        after_key, after = _entry(table, index, new)
        spent = 0.0
        if before_key is not None and before_key != after_key:
            writes.append(Delete(before_key))
            spent += write_units(before.size, 0)
            before = ABSENT
        if after_key is not None and after.value != before.value:
            assert after.value is not None
            value = reference(table, index, new, after.size) if by_reference else after.value
            writes.append(Put(after_key, value))
            spent += write_units(before.size, after.size)
        if spent:
            units[index.name] = spent
    return IndexChanges(tuple(writes), units)


def reference(table: Table, index: Index, image: Image, size: int) -> bytes:
    """Returns the entry that holds the keys of an item alone.

    Args:
        table: the table.
        index: one of its indexes, in which the item has an entry.
        image: the item.
        size: the bytes of the whole entry.
    """
    item = image.item
    assert item is not None
    return stored.encode_reference({name: item[name] for name in (*table.keys.names, *index.keys.names)}, size)


def resolved(table: Table, index: Index, at: tuple[bytes, bytes], image: Image) -> Image:
    """Returns the entry that a reference stands for; ``ABSENT`` where the item has changed its place in the index.

    Args:
        table: the table.
        index: the index in which the reference was found.
        at: its partition and sort key there.
        image: the item as it is now.
    """
    key, entry = _entry(table, index, image)
    return entry if key is not None and (key.partition, key.sort) == at else ABSENT


def _entry(table: Table, index: Index, image: Image) -> tuple[Key | None, Image]:
    item = image.item
    if item is None or not is_indexed(index, item):
        return None, ABSENT
    return keys.entry_key(table, index, item), projected(table, index, image)
