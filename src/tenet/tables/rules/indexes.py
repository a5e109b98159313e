"""What a write of an item means for the table's secondary indexes.

An index holds an entry for each item that has all of the index's key attributes. The entry carries the projected
attributes, and the keys of table and index always. The same rules serve an engine on which entries are written in the
item's own commit and one on which they are kept up from the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from tenet.store.contract import Delete, Key, Put
from tenet.tables import keys
from tenet.tables.rules.capacity import write_units
from tenet.tables.rules.images import ABSENT, Image
from tenet.tables.rules.sizes import item_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tenet.tables.model import Index, Item, Table


class IndexChanges(Struct, frozen=True, gc=False):
    """What has to be written to the indexes of a table.

    Args:
        writes: puts and deletes of entries.
        units: write capacity units by index name, for the indexes that are written to.
    """

    writes: tuple[Put | Delete, ...]
    units: dict[str, float]


#: No index is touched.
NOTHING = IndexChanges((), {})


def is_indexed(index: Index, item: Item | None) -> bool:
    """Whether an item has an entry in an index."""
    return item is not None and all(name in item for name in index.keys.names)


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


def changes(table: Table, old: Image, new: Image, indexes: Iterable[Index] | None = None) -> IndexChanges:
    """Returns what a write of an item means for indexes.

    Args:
        table: the table.
        old: the item before, perhaps absent.
        new: the item after, perhaps absent.
        indexes: which indexes; by default all of the table that are not being deleted.
    """
    chosen = table.indexes if indexes is None else indexes
    if not chosen:
        return NOTHING
    writes: list[Put | Delete] = []
    units: dict[str, float] = {}
    for index in chosen:
        before_key, before = _entry(table, index, old)
        after_key, after = _entry(table, index, new)
        spent = 0.0
        if before_key is not None and before_key != after_key:
            writes.append(Delete(before_key))
            spent += write_units(before.size, 0)
            before = ABSENT
        if after_key is not None and after.value != before.value:
            assert after.value is not None
            writes.append(Put(after_key, after.value))
            spent += write_units(before.size, after.size)
        if spent:
            units[index.name] = spent
    return IndexChanges(tuple(writes), units)


def _entry(table: Table, index: Index, image: Image) -> tuple[Key | None, Image]:
    item = image.item
    if item is None or not is_indexed(index, item):
        return None, ABSENT
    return keys.entry_key(table, index, item), projected(table, index, image)
