"""What a write of an item tells those who follow its table: one entry in the log of its space, with both images.

The entry goes with the item's own commit, so that a change is told if and only if it is made. The table's stream and
all its followers read the same entry; where its global indexes are kept from the log as well, it serves them too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tenet.store.contract import Append
from tenet.tables.rules.index_log import by_keys
from tenet.tables.rules.indexes import IndexChanges

if TYPE_CHECKING:
    from tenet.store.contract import Key
    from tenet.tables.model import Table
    from tenet.tables.rules.images import Image

#: Who causes a change: a client, or the expiry of the item.
CLIENT: Final = "client"
EXPIRY: Final = "expiry"
#: Images of an item that take more bytes together are compressed in the log. Two of them, the item itself and its
#: entries in indexes stay within a commit then.
PLAIN_BYTES_MAX: Final = 256 * 1024


def is_same(old: Image, new: Image) -> bool:
    """Whether two images are of the same item, in whichever order its attributes were given; or of none."""
    if old.value is None or new.value is None:
        return old.value is new.value
    return old.value == new.value or (old.size == new.size and old.item == new.item)


def told(
    table: Table,
    at: Key,
    old: Image,
    new: Image,
    changes: IndexChanges,
    *,
    origin: str = CLIENT,
    squeezed: bool = False,
) -> IndexChanges:
    """Returns what a write means for the indexes of its table, with the entry for those who follow the table.

    Args:
        table: the table; somebody follows it, or it has a stream.
        at: where the item lies.
        old: the item before, perhaps absent.
        new: the item after, perhaps absent.
        changes: what the write means for indexes.
        origin: who causes it.
        squeezed: whether the commit has hardly any room: then the entry has keys alone, and the images that the stream
            shows, compressed.
    """
    if old.value == new.value:
        return changes
    if squeezed:
        append = _squeezed(table, at, old, new, origin)
    elif old.stored_bytes + new.stored_bytes > PLAIN_BYTES_MAX:
        append = Append(at, old.deflated().value, new.deflated().value, origin)
    else:
        append = Append(at, old.value, new.value, origin)
    return IndexChanges(changes.writes, changes.units, (append,))


def _squeezed(table: Table, at: Key, old: Image, new: Image, origin: str) -> Append:
    view = "KEYS_ONLY" if table.streaming is None else table.streaming.view
    shows_old = view in {"OLD_IMAGE", "NEW_AND_OLD_IMAGES"}
    # Whoever keeps indexes from the log is told the new image wherever he is told the old one.
    shows_new = view in {"NEW_IMAGE", "NEW_AND_OLD_IMAGES"} or (shows_old and bool(table.global_indexes))
    return Append(
        at,
        old.deflated().value if shows_old else by_keys(table, old),
        new.deflated().value if shows_new else by_keys(table, new),
        origin,
    )
