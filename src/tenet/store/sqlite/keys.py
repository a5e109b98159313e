"""How a record's key lies in the file: one byte string, whose order keeps a partition together and sorted.

``place (4 bytes) | length of the partition key (2 bytes) | partition key | sort key``

The place spreads partitions evenly, so that the slices of a scan are ranges of keys: CRC-32 and a multiplication by the
golden ratio (Knuth, TAOCP vol. 3, 6.4), the upper half of what ``contract.token`` gives. It is part of the stored
format and may not change. The length makes the partition key end where it ends without escaping a byte; that partitions
of one place lie in order of their lengths means nothing to anybody.
"""

from __future__ import annotations

from struct import Struct
from typing import Final
from zlib import crc32

from tenet.store.contract import Range

_HEAD: Final = Struct(">IH")
#: How many bytes of a stored key come before the partition key.
HEAD_BYTES: Final = _HEAD.size
_PLACES: Final = 1 << 32
_GOLDEN: Final = 0x9E3779B97F4A7C15


def prefix_of(partition: bytes) -> bytes:
    """Returns what every stored key of a partition begins with."""
    return _HEAD.pack(crc32(partition) * _GOLDEN >> 32 & 0xFFFFFFFF, len(partition)) + partition


def behind(prefix: bytes) -> bytes:
    """Returns the least byte string above everything that begins with the prefix."""
    # A prefix holds a length below 0xffff, so that a byte that can be raised is always left.
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes((kept[-1] + 1,))


def bounds(partition: bytes, within: Range) -> tuple[bytes, bytes]:
    """Returns the first stored key of a range of a partition, and the first one behind it."""
    prefix = prefix_of(partition)
    upper = behind(prefix) if within.upper is None else prefix + within.upper
    return prefix + within.lower, upper


def slice_bounds(slice_index: int, slice_count: int) -> tuple[bytes, bytes]:
    """Returns the first stored key of a slice, and the first one behind it."""
    return _slice_start(slice_index, slice_count), _slice_start(slice_index + 1, slice_count)


def _slice_start(slice_index: int, slice_count: int) -> bytes:
    place = -(-slice_index * _PLACES // slice_count)
    # Behind the last place lies a key that no partition can have: its head is longer.
    return place.to_bytes(4, "big") if place < _PLACES else b"\xff" * 7
