"""Every key that the tables service writes, and the names of its spaces.

=================== ====================== ========================================================= ===================
space               partition              sort                                                      value
=================== ====================== ========================================================= ===================
``tables.catalog``  account                ``t`` + table name                                        a description
``tables.catalog``  account                ``a``                                                     cell ``tables``
``tables.catalog``  account                ``d`` + table name + 0x00 + TableId                       a departed table
``tables.ID``       partition key          0x00 + sort key                                           an item
``tables.ID``       partition key          0x01 + index number + index sort key* + sort key          a local entry
``tables.ID.N``     index partition key    index sort key* + table partition key* + table sort key   a global entry
``tables.ID.N``     index partition key    0x00 0x00 + shard of the table's log                      a keeper's mark
``tables.ID.N``     0x00 0x00              0x00 0x00 0xff 0xff 0xff                                  how far it is full
``tables.keepers``  TableId ``/`` shard    empty                                                     a cursor
``tables.sweeps``   TableId                empty                                                     how far a look went
``tables.tokens``   account ``/`` token     ``c``                                                     cell ``used``
``tables.tokens``   account ``/`` token     ``d``                                                     its request
``tables.expiry``   as ``store.expiry`` has it                                                       what expires when
=================== ====================== ========================================================= ===================

Marks and cursors are there only where the entries of global indexes are kept from the log (``ops/indexing``), what is
about a sweep only while a look through a large table is under way (``ops/expiring``).

Key values are the UTF-8 of strings, the bytes of binaries and the order-preserving encoding of numbers
(``base.keycodec``); where a star stands, delimited, since something follows. Absent parts of a key are empty.

A global index may have several attributes in its key. Its partition key is then the join of their values, each but the
last one behind its length in 4 bytes: partitions need no order, and zero bytes no escape. Its index sort key* is the
join of the delimited values, which sorts as the values do one after the other.
"""

from __future__ import annotations

import re
from base64 import b64decode
from typing import TYPE_CHECKING, Final

from tenet.base.keycodec import delimit, encode_number, escape, prefix_end, successor
from tenet.store.contract import Key, Range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.tables.model import AttributeValue, Index, Item, Table

# ---- the catalog -----------------------------------------------------------------------------------------------------

CATALOG_SPACE: Final = "tables.catalog"
#: The cell of an account's record that counts its tables.
TABLES_CELL: Final = "tables"

_TABLE_PREFIX: Final = b"t"
_DEPARTED_PREFIX: Final = b"d"
#: Sort keys of all deleted tables of an account whose streams can still be read, in the order of their names.
CATALOG_DEPARTED: Final = Range(b"d", b"e")
#: Sort keys of all tables of an account, in the order of their names.
CATALOG_TABLES: Final = Range(b"t", b"u")


def table_key(account: str, name: str) -> Key:
    """Returns where a table's description lies.

    Args:
        account: the tenant, 12 digits.
        name: the table's name, ASCII.
    """
    return Key(CATALOG_SPACE, account.encode("ascii"), _TABLE_PREFIX + name.encode("ascii"))


def account_key(account: str) -> Key:
    """Returns where the figures of an account lie."""
    return Key(CATALOG_SPACE, account.encode("ascii"), b"a")


def departed_key(account: str, name: str, table_id: str) -> Key:
    """Returns where lies what is kept of a deleted table for those who read its streams.

    Args:
        account: the tenant, 12 digits.
        name: the table's name, ASCII.
        table_id: its TableId, a UUID in text form.
    """
    sort = _DEPARTED_PREFIX + name.encode("ascii") + b"\x00" + table_id.encode("ascii")
    return Key(CATALOG_SPACE, account.encode("ascii"), sort)


def departed_from(name: str) -> Range:
    """Returns the range of an account's departed tables from a name on.

    Args:
        name: of a table, or with a zero behind it: then only what comes behind that name; "" for all.
    """
    begin = name[:-1].encode("ascii") + b"\x01" if name.endswith("\0") else name.encode("ascii") + b"\x00"
    return Range(_DEPARTED_PREFIX + begin, CATALOG_DEPARTED.upper)


def departed_named(name: str) -> Range:
    """Returns the range of an account's departed tables of this name."""
    prefix = _DEPARTED_PREFIX + name.encode("ascii")
    return Range(prefix + b"\x00", prefix + b"\x01")


def tables_after(name: str) -> Range:
    """Returns the range of an account's tables behind this name."""
    return Range(_TABLE_PREFIX + name.encode("ascii") + b"\x00", CATALOG_TABLES.upper)


# ---- a table's spaces ------------------------------------------------------------------------------------------------


def table_space(table_id: str) -> str:
    """Returns the name of the space of a table's items and local index entries.

    Args:
        table_id: the TableId, a UUID in text form.
    """
    return "tables." + table_id.replace("-", "")


def index_space(table_id: str, number: int) -> str:
    """Returns the name of the space of a global index's entries.

    Args:
        table_id: the TableId, a UUID in text form.
        number: the index's number within the table.
    """
    return f"{table_space(table_id)}.{number}"


def local_index_number(sort: bytes) -> int | None:
    """Returns the number of the local index that a record of a table's space belongs to; None for an item."""
    return sort[1] if sort.startswith(_LOCAL_PREFIX) else None


#: What the names of all spaces of the service begin with.
TABLE_SPACES: Final = "tables."
_TABLE_SPACE: Final = re.compile(r"tables\.[0-9a-f]{32}(\.[0-9]+)?")


def is_table_space(name: str) -> bool:
    """Whether a space belongs to a table: its own, or that of a global index."""
    return _TABLE_SPACE.fullmatch(name) is not None


def is_index_space(name: str) -> bool:
    """Whether a space is that of a global index."""
    found = _TABLE_SPACE.fullmatch(name)
    return found is not None and found[1] is not None


def spaces(table: Table) -> tuple[str, ...]:
    """Returns the names of all spaces of a table: its own, then one per global index, those to come included."""
    indexes = (*table.global_indexes, *table.coming_indexes)
    return (table_space(table.id), *(index_space(table.id, index.number) for index in indexes))


# ---- items and index entries -----------------------------------------------------------------------------------------

ITEM_PREFIX: Final = b"\x00"
_LOCAL_PREFIX: Final = b"\x01"
#: Sort keys of a global index's entries. The first value of one is never empty and its zero bytes are escaped, so that
#: what begins with a zero byte and anything but 0xff is free.
GLOBAL_ENTRIES: Final = Range(b"\x00\xff")
_MARK_PREFIX: Final = b"\x00\x00"
_LENGTH_BYTES: Final = 4


def plain(value: AttributeValue) -> bytes:
    """Returns the encoding of a key value behind which nothing follows."""
    ((kind, text),) = value.items()
    if kind == "S":
        return text.encode()  # type: ignore[no-any-return]
    return encode_number(text) if kind == "N" else b64decode(text)


def delimited(value: AttributeValue) -> bytes:
    """Returns the encoding of a key value behind which something follows."""
    encoded = plain(value)
    return encoded if "N" in value else delimit(encoded)


def joined(values: Sequence[AttributeValue]) -> bytes:
    """Returns the partition of an index whose partition key has several attributes, by all of their values.

    For one value it is what `plain` gives: whether a sort key has several attributes changes no partition.
    """
    *first, last = map(plain, values)
    return b"".join(len(value).to_bytes(_LENGTH_BYTES, "big") + value for value in first) + last


def item_key(table: Table, item: Item) -> Key:
    """Returns where an item lies.

    Args:
        table: its table.
        item: the item or its key; its key values are valid.
    """
    keys = table.keys
    sort = ITEM_PREFIX if keys.sort is None else ITEM_PREFIX + plain(item[keys.sort.name])
    return Key(table.space, plain(item[keys.partition.name]), sort)


def plain_key_at(table: Table, partition: bytes, sort: bytes) -> Item:
    """Returns the key of the item that lies at a place, of a table whose keys are strings."""
    values = (partition, sort[len(ITEM_PREFIX) :])
    return {name: {"S": value.decode()} for name, value in zip(table.plain_key_names, values, strict=False)}


def entry_key(table: Table, index: Index, item: Item) -> Key:
    """Returns where the entry of an item lies in an index.

    Args:
        table: the item's table.
        index: one of its indexes.
        item: an item that has the index's key attributes, or the key of its entry.
    """
    of_item = item_key(table, item)
    if index.keys.more is not None:
        return _entry_key_of_several(table, index, item, of_item)
    sort = b"" if index.keys.sort is None else delimited(item[index.keys.sort.name])
    if not index.is_global:
        return Key(of_item.space, of_item.partition, local_prefix(index) + sort + of_item.sort[1:])
    base = delimit(of_item.partition) + of_item.sort[1:]
    return Key(space_of(table, index), plain(item[index.keys.partition.name]), sort + base)


def _entry_key_of_several(table: Table, index: Index, item: Item, of_item: Key) -> Key:
    sort = b"".join([delimited(item[attribute.name]) for attribute in index.keys.sorts])
    base = delimit(of_item.partition) + of_item.sort[1:]
    partition = joined([item[attribute.name] for attribute in index.keys.partitions])
    return Key(space_of(table, index), partition, sort + base)


def local_prefix(index: Index) -> bytes:
    """Returns what the sort keys of a local index's entries begin with."""
    return _LOCAL_PREFIX + bytes((index.number,))


def sort_prefix(index: Index | None) -> bytes:
    """Returns what the sort keys of a table's items (index None), or of an index's entries, begin with."""
    if index is None:
        return ITEM_PREFIX
    return b"" if index.is_global else local_prefix(index)


def everything_of(index: Index | None) -> Range:
    """Returns the sort keys of a table's items (index None), or of an index's entries."""
    if index is not None and index.is_global:
        return GLOBAL_ENTRIES
    prefix = sort_prefix(index)
    return Range(prefix, prefix_end(prefix))


def space_of(table: Table, index: Index | None) -> str:
    """Returns the space in which a table's items (index None), or an index's entries, lie."""
    return table.space if index is None or not index.is_global else index_space(table.id, index.number)


def position(table: Table, index: Index | None, start: Item) -> tuple[bytes, bytes]:
    """Returns where a page ended: partition and sort key of an item, or of an entry of the index that is read."""
    key = item_key(table, start) if index is None else entry_key(table, index, start)
    return key.partition, key.sort


def sort_within(
    index: Index | None,
    operator: str,
    values: tuple[AttributeValue, ...],
    before: tuple[AttributeValue, ...] = (),
) -> Range:
    """Returns the sort keys that a condition on the sort key allows.

    Args:
        index: the index that is read, or None for the table.
        operator: ``=``, ``<``, ``<=``, ``>``, ``>=``, ``BETWEEN`` or ``begins_with``.
        values: what it compares with: two for BETWEEN, else one.
        before: of a sort key of several attributes, what those before the compared one are equal to.
    """
    prefix = sort_prefix(index)
    whole = everything_of(index)
    if before:
        prefix += b"".join(map(delimited, before))
        whole = Range(prefix, prefix_end(prefix))
    encode = plain if index is None else delimited
    # The end of what begins with an encoding: of the entries that have the very value, or of the one item that has.
    end = successor if index is None else prefix_end
    if operator == "begins_with":
        begin = prefix + (plain(values[0]) if index is None else escape(plain(values[0])))
        return Range(max(begin, whole.lower), prefix_end(begin))
    first = prefix + encode(values[0])
    last = prefix + encode(values[-1])
    if operator in {"=", "BETWEEN"}:
        return Range(first, end(last))
    if operator in {"<", "<="}:
        return Range(whole.lower, first if operator == "<" else end(first))
    return Range(first if operator == ">=" else end(first) or first, whole.upper)


# ---- keepers of global indexes ---------------------------------------------------------------------------------------

#: How far the keepers of indexes have come in the logs of tables (``ops/indexing``).
KEEPERS_SPACE: Final = "tables.keepers"


def cursor_key(table_id: str, shard: int) -> Key:
    """Returns where lies how far a shard of a table's log has been read for its global indexes.

    Args:
        table_id: the TableId, a UUID in text form.
        shard: of the log of the table's space, 0 to 65,535.
    """
    return Key(KEEPERS_SPACE, f"{table_id}/{shard}".encode("ascii"))


def cursor_table(partition: bytes) -> str:
    """Returns the TableId of the table that a cursor belongs to, by the cursor's partition."""
    return partition.partition(b"/")[0].decode("ascii")


def mark_key(space: str, partition: bytes, shard: int) -> Key:
    """Returns where a keeper says that its predecessors may not write to a partition of an index any more.

    Args:
        space: of a global index.
        partition: of the index.
        shard: of the log of the table's space, 0 to 65,535.
    """
    return Key(space, partition, _MARK_PREFIX + shard.to_bytes(2, "big"))


def filled_key(table_id: str, number: int) -> Key:
    """Returns where lies how far a global index is filled that was added later; a place among the marks.

    Args:
        table_id: the TableId, a UUID in text form.
        number: the index's number within the table.
    """
    return Key(index_space(table_id, number), _MARK_PREFIX, _MARK_PREFIX + b"\xff\xff\xff")


def is_mark(key: Key) -> bool:
    """Whether a key is a keeper's mark, or says how far an index is filled."""
    return key.sort.startswith(_MARK_PREFIX) and is_index_space(key.space)


# ---- looking for expired items ---------------------------------------------------------------------------------------

#: How far looks for expired items went that take long (``ops/expiring``).
SWEEPS_SPACE: Final = "tables.sweeps"


def sweep_key(table_id: str) -> Key:
    """Returns where lies how far a look through a table for expired items went.

    Args:
        table_id: the TableId, a UUID in text form.
    """
    return Key(SWEEPS_SPACE, table_id.encode("ascii"), b"")


# ---- client tokens ---------------------------------------------------------------------------------------------------

TOKENS_SPACE: Final = "tables.tokens"
#: Pointers to what expires (``tenet.store.expiry``).
EXPIRY_SPACE: Final = "tables.expiry"
#: The cell that says that a token was used.
USED_CELL: Final = "used"


def token_keys(account: str, token: str) -> tuple[Key, Key]:
    """Returns where lies that a client token was used, and for what."""
    partition = f"{account}/{token}".encode()
    return Key(TOKENS_SPACE, partition, b"c"), Key(TOKENS_SPACE, partition, b"d")


def token_cell(detail: Key) -> Key:
    """Returns where lies that a token was used, by where lies for what."""
    return Key(TOKENS_SPACE, detail.partition, b"c")
