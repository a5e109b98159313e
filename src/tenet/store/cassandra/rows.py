"""What stands in rows and has several parts: records, locks, intents and log entries; see ``encoding`` for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from tenet.store.cassandra.encoding import record_of
from tenet.store.errors import StoreCorrupt

if TYPE_CHECKING:
    from tenet.store.contract import Record

#: How many bytes ``outbox_sort`` has; they stand before an entry in its log, too.
PLACE_BYTES: Final = 20

PUT, DELETE, ADD, MAKE = range(4)


class Row(Struct, frozen=True, gc=False):
    """A row of a record. One without a version is no record yet: a commit over several partitions may make it one."""

    version: bytes | None = None
    value: bytes | None = None
    cells: bytes | None = None

    def record(self, partition: bytes, sort: bytes) -> Record | None:
        """Returns the record, None where there is none."""
        if self.version is None:
            return None
        return record_of(partition, sort, self.version, self.value, self.cells)


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
