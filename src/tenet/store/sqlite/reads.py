"""The reads of the contract, each on whatever connection it is given: the loop's, or one of a reading thread.

A connection that is not the writer's sees the last durable transaction, and waits for nobody. What needs *one moment*
runs several statements that have to see the same state; ``pool`` gives it that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tenet.store.contract import NO_CELLS, Key, Page, Range, Record, StampOf
from tenet.store.errors import OutsideSlice
from tenet.store.sqlite.keys import HEAD_BYTES, bounds, prefix_of, slice_bounds
from tenet.store.sqlite.rows import cells_from_bytes, record_of
from tenet.store.sqlite.schema import Execute
from tenet.store.sqlite.spaces import Space


def get(execute: Execute, space: Space, key: Key) -> Record | None:
    """Returns the record of a key, or None."""
    stored = prefix_of(key.partition) + key.sort
    rows = execute(space.get_sql, (stored,)).fetchall()
    return record_of(key.partition, key.sort, rows[0]) if rows else None


def stamp(execute: Execute, space: Space, of: StampOf) -> int:
    """Returns a stamp; 0 where nothing was committed yet into what it covers."""
    rows = execute(space.stamp_sql, (prefix_of(of.partition) + of.bucket,)).fetchall()
    return int(rows[0][0]) if rows else 0


class Query:
    """A query of one partition; arguments as ``contract.Store.query`` has them, and the space of its stamp."""

    __slots__ = ("limit", "limit_bytes", "partition", "reverse", "space", "stamp", "stamped", "within")

    def __init__(
        self,
        space: Space,
        partition: bytes,
        within: Range,
        limit: int,
        limit_bytes: int,
        *,
        reverse: bool = False,
        stamp: StampOf | None = None,
        stamped: Space | None = None,
    ) -> None:
        self.space = space
        self.partition = partition
        self.within = within
        self.limit = limit
        self.limit_bytes = limit_bytes
        self.reverse = reverse
        self.stamp = stamp
        self.stamped = stamped

    def capped(self, limit: int, limit_bytes: int) -> Query:
        """Returns the query with smaller limits."""
        return Query(
            self.space,
            self.partition,
            self.within,
            min(limit, self.limit),
            min(limit_bytes, self.limit_bytes),
            reverse=self.reverse,
            stamp=self.stamp,
            stamped=self.stamped,
        )

    def read(self, execute: Execute) -> Page:
        """Returns the page; needs one moment if it asks for a stamp."""
        read_stamp = None
        if self.stamp is not None and self.stamped is not None:
            read_stamp = stamp(execute, self.stamped, self.stamp)
        partition = self.partition
        lower, upper = bounds(partition, self.within)
        head = HEAD_BYTES + len(partition)
        records: list[Record] = []
        bytes_left = self.limit_bytes
        rows = execute(
            self.space.query_down_sql if self.reverse else self.space.query_sql, (lower, upper, self.limit + 1)
        )
        for key, version, value, cells in rows:
            if len(records) == self.limit or bytes_left <= 0:
                return Page(records, more=True, stamp=read_stamp)
            records.append(
                Record(partition, key[head:], value, version, cells_from_bytes(cells) if cells else NO_CELLS)
            )
            bytes_left -= len(value)
        return Page(records, more=False, stamp=read_stamp)


@dataclass(frozen=True)
class Scan:
    """A page of a scan; arguments as ``contract.Store.scan`` has them."""

    space: Space
    within: Range
    limit: int
    limit_bytes: int
    slice_index: int = 0
    slice_count: int = 1
    after: tuple[bytes, bytes] | None = None

    def begin(self) -> Start:
        """Returns where it begins.

        Raises:
            OutsideSlice: `after` lies in another slice.
        """
        lower, upper = slice_bounds(self.slice_index, self.slice_count)
        if self.after is None:
            return Start(lower)
        partition, sort = self.after
        key = prefix_of(partition) + sort
        if not lower <= key < upper:
            raise OutsideSlice(f"the record to go on behind is not in slice {self.slice_index} of {self.slice_count}")
        return Start(key, ">")

    def read(self, execute: Execute) -> Page:
        """Returns the page."""
        return self._read(execute, self.begin(), self._end)

    def read_among(self, execute: Execute, start: Start, row_count: int) -> tuple[Page, Start | None]:
        """Returns what of the page is among the next rows, and where to go on behind them; None: the slice ends there.

        The page may be empty, whatever follows: to look at a row takes as long where its sort key is not asked for.

        Args:
            execute: of a connection.
            start: where to begin.
            row_count: how many rows are looked at.
        """
        ends = execute(
            f"SELECT key FROM {self.space.records} WHERE key {start.comparison} ? AND key < ? ORDER BY key"
            " LIMIT 1 OFFSET ?",
            (start.key, self._end, row_count),
        ).fetchall()
        if not ends:
            return self._read(execute, start, self._end), None
        ((end,),) = ends
        page = self._read(execute, start, end)
        return Page(page.records, more=True), Start(end)

    @property
    def _end(self) -> bytes:
        return slice_bounds(self.slice_index, self.slice_count)[1]

    def _read(self, execute: Execute, start: Start, end: bytes) -> Page:
        within = self.within
        parameters: list[bytes | int] = [start.key, end]
        if within.lower:
            parameters.append(within.lower)
        if within.upper is not None:
            parameters.append(within.upper)
        parameters.append(self.limit + 1)
        sql = self.space.scan_sql(start.comparison, has_lower=bool(within.lower), has_upper=within.upper is not None)
        records: list[Record] = []
        bytes_left = self.limit_bytes
        for key, head, version, value, cells in execute(sql, parameters):
            if len(records) == self.limit or bytes_left <= 0:
                return Page(records, more=True)
            partition, sort = key[HEAD_BYTES:head], key[head:]
            records.append(Record(partition, sort, value, version, cells_from_bytes(cells) if cells else NO_CELLS))
            bytes_left -= len(value)
        return Page(records, more=False)


@dataclass(frozen=True)
class Start:
    """Where a scan begins or goes on: at a stored key (``>=``) or behind it (``>``)."""

    key: bytes
    comparison: str = ">="


class Together:
    """Records and stamps of one moment.

    Args:
        reads: what is read.
        spaces: the space of each.
    """

    __slots__ = ("reads", "spaces")

    def __init__(self, reads: Sequence[Key | StampOf], spaces: Sequence[Space]) -> None:
        self.reads = reads
        self.spaces = spaces

    def read(self, execute: Execute) -> list[Record | int | None]:
        """Returns them all; needs one moment."""
        return [self._read_one(execute, space, read) for space, read in zip(self.spaces, self.reads, strict=True)]

    def read_up_to(self, execute: Execute, value_bytes: int) -> list[Record | int | None] | None:
        """Returns them all, or None when their values have come to so many bytes before the last; needs one moment."""
        answers: list[Record | int | None] = []
        for space, read in zip(self.spaces, self.reads, strict=True):
            if value_bytes <= 0:
                return None
            answer = self._read_one(execute, space, read)
            value_bytes -= len(answer.value) if isinstance(answer, Record) else 0
            answers.append(answer)
        return answers

    def _read_one(self, execute: Execute, space: Space, read: Key | StampOf) -> Record | int | None:
        return stamp(execute, space, read) if isinstance(read, StampOf) else get(execute, space, read)
