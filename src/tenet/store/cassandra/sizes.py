"""How large the values of a space are, as far as reads have seen them: so many rows are asked for that a page is full.

A node reads all rows that it is asked for before anybody sees one of them, so that too many large ones are worse than
too few small ones, which another page follows. Partitions of one space differ: an item collection of documents lies
beside thousands of counters. So each has a size of its own as long as it is read now and then, and one that was not
read lately is taken to be as the space is on the whole, where a large one that was seen counts for long.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from tenet.store.contract import Limits

#: What a value has as long as none was seen, bytes: more than most. A page of what is small is soon followed by another
#: one, where one of what is large may be more than a node can read in time.
_UNSEEN: Final = 40_000.0
#: Of how many partitions of a space a size is remembered.
_PARTITIONS_MAX: Final = 1_000
#: How much one page of smaller values counts; one of larger ones counts whole.
_OF_SMALLER: Final = 0.3
#: How much larger values are taken to be where so many rows could not be read.
_LARGER: Final = 8.0


class Sizes:
    """Sizes of values, bytes."""

    __slots__ = ("_by_partition", "_whole")

    def __init__(self) -> None:
        self._whole = _UNSEEN
        self._by_partition: OrderedDict[bytes, float] = OrderedDict()

    def of(self, partition: bytes | None) -> float:
        """Returns about how many bytes a value has, in a partition or, None, in the whole space."""
        return self._whole if partition is None else self._by_partition.get(partition, self._whole)

    def learn(self, partition: bytes | None, mean: float) -> None:
        """Takes over how large the values of a page were on the average."""
        if partition is not None:
            self._keep(partition, _between(self._by_partition.get(partition, mean), mean))
        self._whole = _between(self._whole, mean)

    def enlarge(self, partition: bytes | None) -> None:
        """Takes values for larger where a page of them could not be read: that may be why."""
        larger = min(_LARGER * self.of(partition), float(Limits.value_bytes_max))
        if partition is None:
            self._whole = larger
        else:
            self._keep(partition, larger)

    def _keep(self, partition: bytes, size: float) -> None:
        self._by_partition[partition] = size
        self._by_partition.move_to_end(partition)
        if len(self._by_partition) > _PARTITIONS_MAX:
            self._by_partition.popitem(last=False)


def _between(known: float, mean: float) -> float:
    """Returns what is soon as large as a page, and slowly as small."""
    return mean if mean > known else known + _OF_SMALLER * (mean - known)
