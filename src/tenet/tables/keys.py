"""Every key that the tables service writes, and the names of its spaces.

========================= ======================= ============================== =====================================
space                     partition               sort                           value
========================= ======================= ============================== =====================================
``tables.catalog``        account                 ``t`` + table name             the table's description
``tables.catalog``        account                 ``a``                          none; cell ``tables`` counts them
``tables.<id>``           partition key           ``00`` + sort key              an item
``tables.<id>``           partition key           ``01`` + index number + …      an entry of a local index
``tables.<id>.<number>``  index partition key     …                              an entry of a global index
========================= ======================= ============================== =====================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tenet.store.contract import Key, Range

if TYPE_CHECKING:
    from tenet.tables.model import Table

# ---- the catalog -----------------------------------------------------------------------------------------------------

CATALOG_SPACE: Final = "tables.catalog"
#: The cell of an account's record that counts its tables.
TABLES_CELL: Final = "tables"

_TABLE_PREFIX: Final = b"t"
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


#: The first byte of the sort keys in a table's space: of items, and of entries of local indexes, whose number follows.
ITEM_PREFIX: Final = b"\x00"
LOCAL_INDEX_PREFIX: Final = b"\x01"


def local_index_number(sort: bytes) -> int | None:
    """Returns the number of the local index that a record of a table's space belongs to; None for an item."""
    return sort[1] if sort.startswith(LOCAL_INDEX_PREFIX) else None


def spaces(table: Table) -> tuple[str, ...]:
    """Returns the names of all spaces of a table: its own, then one per global index."""
    return (table_space(table.id), *(index_space(table.id, index.number) for index in table.global_indexes))
