"""What a request consumes, in capacity units, and how an answer says it.

Source: "Read/write capacity mode" and "ConsumedCapacity" of the DynamoDB developer guide and API reference: reads count
4 KB steps, half for eventually consistent ones and double in transactions; writes count 1 KB steps, double in
transactions. A read of many items counts their sizes together; a batch counts each item by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tenet.tables.model import Table

_READ_STEP_BYTES: Final = 4096
_WRITE_STEP_BYTES: Final = 1024


def read_units(size_bytes: int, *, consistent: bool) -> float:
    """Returns the read units of `size_bytes` read at once; an absent item counts as the smallest one.

    Args:
        size_bytes: by the service's rules.
        consistent: whether it is a strongly consistent read.
    """
    steps = max(1, -(-size_bytes // _READ_STEP_BYTES))
    return float(steps) if consistent else steps / 2


def write_units(old_bytes: int, new_bytes: int) -> float:
    """Returns the write units of turning an item of one size into one of another; 0 bytes is no item."""
    return float(max(1, -(-max(old_bytes, new_bytes) // _WRITE_STEP_BYTES)))


class Consumed:
    """Adds up what one request consumes of one table.

    Args:
        table: the table.
    """

    __slots__ = ("_table", "indexes", "table_units")

    def __init__(self, table: Table) -> None:
        self._table = table
        self.table_units = 0.0
        #: Units by index name.
        self.indexes: dict[str, float] = {}

    def add(self, units: float, index: str | None = None) -> None:
        """Adds units to the table itself, or to one of its indexes."""
        if index is None:
            self.table_units += units
        else:
            self.indexes[index] = self.indexes.get(index, 0.0) + units

    def merge(self, other: Consumed) -> None:
        """Adds what another request, or another part of this one, took of the same table."""
        self.table_units += other.table_units
        for name, units in other.indexes.items():
            self.add(units, name)

    @property
    def total(self) -> float:
        """The units of the table and its indexes together."""
        return self.table_units + sum(self.indexes.values())

    def answer(self, mode: str, kind: str | None = None) -> dict[str, Any]:
        """Returns the ``ConsumedCapacity`` of an answer.

        Args:
            mode: ``TOTAL`` or ``INDEXES``.
            kind: ``Read`` or ``Write`` for transactions, which answer their units a second time under that name.
        """
        name = self._table.name
        out: dict[str, Any] = {"TableName": name, "CapacityUnits": self.total}
        if kind:
            out[f"{kind}CapacityUnits"] = self.total
        if mode == "INDEXES":
            out["Table"] = _detail(self.table_units, kind)
            for member, is_global in (("LocalSecondaryIndexes", False), ("GlobalSecondaryIndexes", True)):
                units = {
                    index.name: _detail(self.indexes[index.name], kind)
                    for index in self._table.indexes
                    if index.is_global is is_global and index.name in self.indexes
                }
                if units:
                    out[member] = units
        return out


def _detail(units: float, kind: str | None) -> dict[str, float]:
    return {"CapacityUnits": units, f"{kind}CapacityUnits": units} if kind else {"CapacityUnits": units}
