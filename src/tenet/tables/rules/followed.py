"""What a write of an item tells those who follow its table: one entry in the log of its space, with both images.

The entry goes with the item's own commit, so that a change is told if and only if it is made. Where the table's global
indexes are kept from the log as well, one entry serves both.
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


def told(
    table: Table,
    at: Key,
    old: Image,
    new: Image,
    changes: IndexChanges,
    *,
    keys_alone: bool = False,
    origin: str = CLIENT,
) -> IndexChanges:
    """Returns what a write means for the indexes of its table, with the entry for those who follow the table.

    Args:
        table: the table; somebody follows it.
        at: where the item lies.
        old: the item before, perhaps absent.
        new: the item after, perhaps absent.
        changes: what the write means for indexes.
        keys_alone: whether the commit has room for keys alone.
        origin: who causes it.
    """
    if old.value == new.value:
        return changes
    if keys_alone:
        append = Append(at, by_keys(table, old), by_keys(table, new), origin)
    elif old.stored_bytes + new.stored_bytes > PLAIN_BYTES_MAX:
        append = Append(at, old.deflated().value, new.deflated().value, origin)
    else:
        append = Append(at, old.value, new.value, origin)
    return IndexChanges(changes.writes, changes.units, (append,))
