"""Keys, times, fates and cells as they stand in rows, and records read from them.

Every operation passes here, so that it is compiled; what has more parts than these stands in ``rows``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from tenet.store.contract import NO_CELLS, Record, Version
from tenet.store.errors import StoreCorrupt

#: Before every partition key, because Cassandra takes no empty one.
_PREFIX: Final = b"\x00"

#: The first byte of a fate: the commit took effect; never will; one try of it was given up; it was carried out here.
COMMITTED: Final = b"C"
NEVER: Final = b"N"
GIVEN_UP: Final = b"A"
CARRIED_OUT: Final = b"F"
NONCE_BYTES: Final = 6
_VERSION_BYTES: Final = 16
#: How long the time is that stands before cells; of two times the later one is the larger one as bytes.
TIME_BYTES: Final = 8


def to_key(partition: bytes) -> bytes:
    """Returns the partition key of the table."""
    return _PREFIX + partition


def from_key(key: bytes) -> bytes:
    """Returns the partition key of the contract."""
    return key[1:]


def hybrid_time(version: Version) -> int:
    """Returns the hybrid logical time of a version as the 64-bit integer that stands in the column ``h``."""
    return int.from_bytes(version[:8], "big")


def encode_cells(time: int, cells: Mapping[str, int]) -> bytes | None:
    """Returns cells as bytes that no other time has, so that a condition on them tells every change; None for none."""
    return time.to_bytes(TIME_BYTES, "big") + msgspec.msgpack.encode(dict(cells)) if cells else None


def decode_cells(data: bytes | None) -> Mapping[str, int]:
    """Returns the cells."""
    if data is None:
        return NO_CELLS
    try:
        return msgspec.msgpack.decode(data[TIME_BYTES:], type=dict[str, int])
    except msgspec.DecodeError as error:
        raise StoreCorrupt(f"the cells of a record cannot be read: {error}") from error


def committed(nonce: bytes, version: Version) -> bytes:
    """Returns the fate of a commit that took effect."""
    return COMMITTED + nonce.ljust(NONCE_BYTES, b"\x00") + version


def version_of(fate: bytes) -> Version:
    """Returns the version in the fate of a commit that took effect."""
    return Version(fate[1 + NONCE_BYTES :])


def nonce_of(fate: bytes) -> bytes:
    """Returns by which try a commit took effect."""
    return fate[1 : 1 + NONCE_BYTES]


def record_of(partition: bytes, sort: bytes, version: bytes, value: bytes | None, cells: bytes | None) -> Record:
    """Returns the record that a row with a version is."""
    if len(version) != _VERSION_BYTES:
        raise StoreCorrupt(f"the version of a record has {len(version)} bytes")
    return Record(partition, sort, value or b"", Version(version), NO_CELLS if cells is None else decode_cells(cells))
