"""What stands in the rows: keys, cells, locks, fates and intents as bytes, and records read from rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from tenet.store.contract import NO_CELLS, Record, Version
from tenet.store.errors import StoreCorrupt

#: Before every partition key, because Cassandra takes no empty one.
_PREFIX: Final = b"\x00"

#: The first byte of a fate: the commit took effect; never will; one try of it was given up; it was carried out here.
COMMITTED, NEVER, GIVEN_UP, CARRIED_OUT = b"C", b"N", b"A", b"F"
NONCE_BYTES: Final = 6
#: How many bytes ``outbox_sort`` has; they stand before an entry in its log, too.
PLACE_BYTES: Final = 20
_VERSION_BYTES: Final = 16

PUT, DELETE, ADD, MAKE = range(4)


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
    return time.to_bytes(8, "big") + msgspec.msgpack.encode(dict(cells)) if cells else None


def decode_cells(data: bytes | None) -> Mapping[str, int]:
    """Returns the cells."""
    if data is None:
        return NO_CELLS
    try:
        return msgspec.msgpack.decode(data[8:], type=dict[str, int])
    except msgspec.DecodeError as error:
        raise StoreCorrupt(f"the cells of a record cannot be read: {error}") from error


class Row(Struct, frozen=True, gc=False):
    """A row of a record. One without a version is no record yet: a commit over several partitions may make it one."""

    version: bytes | None = None
    value: bytes | None = None
    cells: bytes | None = None

    def record(self, partition: bytes, sort: bytes) -> Record | None:
        """Returns the record, None where there is none."""
        if self.version is None:
            return None
        if len(self.version) != _VERSION_BYTES:
            raise StoreCorrupt(f"the version of a record has {len(self.version)} bytes")
        return Record(partition, sort, self.value or b"", Version(self.version), decode_cells(self.cells))


NO_ROW: Final = Row()


class Lock(Struct, frozen=True, array_like=True):
    """Which try of which commit holds a partition, and where its fate is decided."""

    commit_id: bytes
    nonce: bytes
    space_id: str
    anchor: bytes


def encode_lock(lock: Lock) -> bytes:
    """Returns the bytes of the column ``lk``."""
    return msgspec.msgpack.encode(lock)


def decode_lock(data: bytes) -> Lock:
    """Returns the lock."""
    try:
        return msgspec.msgpack.decode(data, type=Lock)
    except msgspec.DecodeError as error:
        raise StoreCorrupt(f"a lock cannot be read: {error}") from error


def committed(nonce: bytes, version: Version) -> bytes:
    """Returns the fate of a commit that took effect."""
    return COMMITTED + nonce.ljust(NONCE_BYTES, b"\x00") + version


def version_of(fate: bytes) -> Version:
    """Returns the version in the fate of a commit that took effect."""
    return Version(fate[1 + NONCE_BYTES :])


def nonce_of(fate: bytes) -> bytes:
    """Returns by which try a commit took effect."""
    return fate[1 : 1 + NONCE_BYTES]


class Entry(Struct, frozen=True, array_like=True):
    """A log entry on its way to the log, and in it."""

    commit_id: bytes
    version: bytes
    partition: bytes
    sort: bytes
    old: bytes | None
    new: bytes | None
    origin: str


def outbox_sort(log_id: bytes, time: int, index: int) -> bytes:
    """Returns where an entry stands among those of its partition on their way to the log: in order of commits."""
    return log_id + time.to_bytes(8, "big") + index.to_bytes(4, "big")


class IntendedWrite(Struct, frozen=True, array_like=True):
    """A write that a commit over several partitions will make: ``MAKE`` is an add that makes its record."""

    kind: int
    sort: bytes
    value: bytes = b""
    cells: dict[str, int] | None = None


class IntendedEntry(Struct, frozen=True, array_like=True):
    """A log entry that it will append; `index` is its place among all that the commit appends."""

    index: int
    sort: bytes
    old: bytes | None
    new: bytes | None
    origin: str


class Intent(Struct, frozen=True, array_like=True):
    """All that a commit over several partitions will do in one of them, so that anybody can carry it out."""

    log_id: bytes
    writes: list[IntendedWrite]
    entries: list[IntendedEntry]
    buckets: list[bytes]


def encode_intent(intent: Intent) -> bytes:
    """Returns the bytes of an intent."""
    return msgspec.msgpack.encode(intent)


def decode_intent(data: bytes) -> Intent:
    """Returns the intent."""
    try:
        return msgspec.msgpack.decode(data, type=Intent)
    except msgspec.DecodeError as error:
        raise StoreCorrupt(f"what a commit intends cannot be read: {error}") from error


def encode_entry(entry: Entry) -> bytes:
    """Returns the bytes of a log entry."""
    return msgspec.msgpack.encode(entry)


def decode_entry(data: bytes) -> Entry:
    """Returns the log entry."""
    try:
        return msgspec.msgpack.decode(data, type=Entry)
    except msgspec.DecodeError as error:
        raise StoreCorrupt(f"a log entry cannot be read: {error}") from error
