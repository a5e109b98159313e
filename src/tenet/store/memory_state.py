"""What the engine ``memory`` holds: spaces, their records in order, their stamps and their logs, without any rule."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Final

from msgspec import Struct, field

from tenet.store.contract import (
    CommitId,
    Key,
    LogEntry,
    LogOptions,
    Range,
    Record,
    Settled,
    SpaceInfo,
    StampOf,
    Version,
    token,
)
from tenet.store.validate import bucket_of
from tenet.store.versions import LOWEST, version_ms


class Partition:
    """The records of one partition, ordered by sort key."""

    __slots__ = ("records", "sorts")

    def __init__(self) -> None:
        self.sorts: list[bytes] = []
        self.records: dict[bytes, Record] = {}

    def put(self, record: Record) -> None:
        """Puts a record, whether there was one or not."""
        if record.sort not in self.records:
            insort(self.sorts, record.sort)
        self.records[record.sort] = record

    def delete(self, sort: bytes) -> None:
        """Removes a record, if there is one."""
        if self.records.pop(sort, None) is not None:
            del self.sorts[bisect_left(self.sorts, sort)]

    def sorts_within(self, within: Range) -> list[bytes]:
        """Returns the sort keys of a range, ascending."""
        upper = len(self.sorts) if within.upper is None else bisect_left(self.sorts, within.upper)
        return self.sorts[bisect_left(self.sorts, within.lower) : upper]


_NO_PARTITION: Final = Partition()


class Shard:
    """One shard of a log."""

    __slots__ = ("entries", "read_up_to", "trimmed_up_to")

    def __init__(self) -> None:
        self.entries: list[LogEntry] = []
        self.trimmed_up_to = 0
        self.read_up_to: dict[str, int] = {}

    def trim(self, options: LogOptions, now_ms: int) -> None:
        """Drops the entries that every reader has read and that are older than the retention."""
        read_by_all = min((self.read_up_to.get(reader, 0) for reader in options.readers), default=None)
        count = 0
        for entry in self.entries:
            is_read = read_by_all is None or entry.position <= read_by_all
            if not is_read or version_ms(entry.version) + options.retention_ms > now_ms:
                break
            count += 1
        if count:
            self.trimmed_up_to = self.entries[count - 1].position
            del self.entries[:count]


class Space:
    """A space: its records, stamps and log."""

    __slots__ = ("info", "partitions", "ring", "shards", "stamps")

    def __init__(self, info: SpaceInfo) -> None:
        self.info = info
        self.partitions: dict[bytes, Partition] = {}
        #: Every partition that ever had a record, in the order of a scan.
        self.ring: list[tuple[int, bytes]] = []
        self.stamps: dict[tuple[bytes, bytes], int] = {}
        self.shards: list[Shard] = []
        self.change(info)

    def change(self, info: SpaceInfo) -> None:
        """Takes other options, which may make or drop its log."""
        self.info = info
        log = info.options.log
        if log is None:
            self.shards = []
        elif not self.shards:
            self.shards = [Shard() for _ in range(log.shards)]

    def partition(self, partition: bytes) -> Partition:
        """Returns a partition to read, an empty one where there is none."""
        return self.partitions.get(partition, _NO_PARTITION)

    def make_partition(self, partition: bytes) -> Partition:
        """Returns a partition to write to."""
        if partition not in self.partitions:
            self.partitions[partition] = Partition()
            insort(self.ring, (token(partition), partition))
        return self.partitions[partition]

    def record(self, key: Key) -> Record | None:
        """Returns the record at a key of this space."""
        return self.partition(key.partition).records.get(key.sort)

    def stamp(self, of: StampOf) -> int:
        """Returns a stamp."""
        return self.stamps.get((of.partition, of.bucket), 0)

    def raise_stamp(self, key: Key) -> None:
        """Raises the stamp that covers a key, where the space keeps stamps."""
        if self.info.options.stamps:
            bucket = (key.partition, bucket_of(key.sort, self.info.options))
            self.stamps[bucket] = self.stamps.get(bucket, 0) + 1


class MemoryState(Struct):
    """What an engine in memory holds; it outlives the engine that is opened on it."""

    spaces: dict[str, Space] = field(default_factory=dict)
    settled: dict[CommitId, Settled] = field(default_factory=dict)
    position: int = 0
    last_version: Version = LOWEST
