"""Logs: reading a shard, remembering how far its readers have come, and trimming what nobody needs any more.

An entry's position is a hybrid time of its commit, which no other entry has, so that it says where the entry stands and
when it was written. Entries are in the file in the moment in which their commit is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from tenet.store.contract import LogEntry, LogOptions, LogPage
from tenet.store.errors import InvalidRequest, LogTrimmed
from tenet.store.sqlite.apply import Transaction
from tenet.store.sqlite.removals import ENTRY_SIZE, remove_some
from tenet.store.sqlite.schema import TRIMMING, Execute
from tenet.store.sqlite.spaces import Space

#: What a page holds at the most, whatever was asked for; a reader goes on behind it.
PAGE_ENTRIES_MAX: Final = 500
PAGE_BYTES_MAX: Final = 512 * 1024
_POSITION_SQL: Final = (
    "INSERT INTO log_positions (space, shard, reader, position) VALUES (?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET position = max(position, excluded.position)"
)


def check_shard(space: Space, shard: int) -> LogOptions:
    """Returns the log's options, after refusing a shard that it does not have."""
    if space.log is None:
        raise InvalidRequest(f"the space {space.name} keeps no log")
    if not 0 <= shard < space.log.shards:
        raise InvalidRequest(f"the log of {space.name} has the shards 0 to {space.log.shards - 1}, not {shard}")
    return space.log


def check_reader(space: Space, options: LogOptions, reader: str) -> None:
    """Refuses a reader that the log does not know."""
    if reader not in options.readers:
        raise InvalidRequest(f"the log of {space.name} has no reader {reader!r}")


class LogRead(Struct, frozen=True, gc=False):
    """A read of one shard.

    Args:
        space: the space.
        shard: the shard.
        after: the last position already read.
        limit: the most entries.
        closed: nothing can appear at or below this position any more.
    """

    space: Space
    shard: int
    after: int
    limit: int
    closed: int

    def read(self, execute: Execute) -> LogPage:
        """Returns the page; needs one moment.

        Raises:
            LogTrimmed: entries behind `after` are gone.
        """
        space, shard = self.space, self.shard
        oldest = execute(f"SELECT min(position) FROM l{space.number} WHERE shard = ?", (shard,)).fetchall()[0][0]
        first = self.closed + 1 if oldest is None else min(oldest, self.closed + 1)
        if self.after < position_of(execute, space.number, shard, TRIMMING):
            raise LogTrimmed(
                f"entries behind {self.after} of shard {shard} of the log of {space.name} are gone; the first that is"
                f" left is {first}",
                first=first,
            )
        rows = execute(
            "SELECT position, commit_id, version, partition, sort, old, new, origin"
            f" FROM l{space.number} WHERE shard = ? AND position > ? AND position <= ? ORDER BY position LIMIT ?",
            (shard, self.after, self.closed, min(self.limit, PAGE_ENTRIES_MAX)),
        )
        entries: list[LogEntry] = []
        bytes_left = PAGE_BYTES_MAX
        for row in rows:
            entry = LogEntry(*row)
            entries.append(entry)
            bytes_left -= len(entry.old or b"") + len(entry.new or b"")
            if bytes_left <= 0:
                break
        return LogPage(entries, self.closed, first)


def position_of(execute: Execute, space_number: int, shard: int, reader: str) -> int:
    """Returns how far a reader has come; 0 where it has not begun."""
    rows = execute(
        "SELECT position FROM log_positions WHERE space = ? AND shard = ? AND reader = ?",
        (space_number, shard, reader),
    ).fetchall()
    return int(rows[0][0]) if rows else 0


class Release(Struct, frozen=True, gc=False):
    """A reader says that it needs nothing at or below a position of a shard again."""

    space: Space
    shard: int
    reader: str
    position: int

    def work(self, transaction: Transaction) -> Iterator[Release]:
        """Writes it down."""
        catalogue = transaction.catalogue
        now = catalogue.find(self.space.name)
        check_reader(now, check_shard(now, self.shard), self.reader)
        transaction.has_written = True
        transaction.execute(_POSITION_SQL, (now.number, self.shard, self.reader, self.position))
        yield self


class Releases:
    """How far the readers of logs have come, as the last durable transaction left it."""

    def __init__(self) -> None:
        self._positions: dict[tuple[int, int, str], int] = {}

    def load(self, execute: Execute) -> None:
        """Reads what the file knows."""
        rows = execute("SELECT space, shard, reader, position FROM log_positions").fetchall()
        self._positions = {(space, shard, reader): position for space, shard, reader, position in rows}

    def note(self, release: Release) -> None:
        """Takes up a release that is durable."""
        place = (release.space.number, release.shard, release.reader)
        self._positions[place] = max(release.position, self._positions.get(place, 0))

    def keep_readers(self, space: Space) -> None:
        """Forgets whoever is no reader of the space's log any more."""
        readers = () if space.log is None else space.log.readers
        self._positions = {
            place: position
            for place, position in self._positions.items()
            if place[0] != space.number or place[2] in readers
        }

    def of(self, space: Space, shard: int, reader: str) -> int:
        """Returns how far a reader has come."""
        return self._positions.get((space.number, shard, reader), 0)

    def floor(self, space: Space, shard: int, *, closed: int, now_ms: int) -> int:
        """Returns the position up to which entries may go: read by all readers, and older than the retention."""
        if space.log is None:
            return 0
        read_by_all = min((self.of(space, shard, reader) for reader in space.log.readers), default=closed)
        by_age = closed if not space.log.retention_ms else (now_ms - space.log.retention_ms) << 16
        return min(read_by_all, by_age, closed)


class Trimming(Struct, frozen=True, gc=False):
    """A trimming of one shard of a log.

    Args:
        space: the space.
        shard: the shard.
        floor: up to which position entries go.
    """

    space: Space
    shard: int
    floor: int

    def is_needed(self, execute: Execute) -> bool:
        """Whether there is anything to trim."""
        table = f"l{self.space.number}"
        sql = f"SELECT EXISTS (SELECT 1 FROM {table} WHERE shard = ? AND position <= ?)"
        return bool(execute(sql, (self.shard, self.floor)).fetchall()[0][0])

    def work(self, transaction: Transaction) -> Iterator[bool]:
        """Trims some entries; yields whether there may be more."""
        number, shard = self.space.number, self.shard
        now = transaction.catalogue.get(self.space.name)
        if now is None or not transaction.catalogue.has(self.space) or now.log is None:
            yield False
            return
        removed = remove_some(
            transaction.execute,
            f"l{number}",
            ENTRY_SIZE,
            where="shard = ? AND position <= ?",
            parameters=(shard, self.floor),
            order="position",
        )
        if removed.numbers:
            transaction.has_written = True
            # An entry's row number is its position.
            transaction.execute(_POSITION_SQL, (number, shard, TRIMMING, removed.numbers[-1]))
        yield removed.more
