"""Carries out one commit within the open transaction: first everything that may refuse it, then its writes.

Because nothing is written before all checks and bounds are known to hold, a commit that is refused leaves nothing to
undo, and the commits of a transaction need no savepoints of their own. Each sees what the ones before it wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import apsw

from tenet.store.contract import (
    Add,
    Append,
    Check,
    Commit,
    CommitId,
    Committed,
    Conflict,
    Delete,
    IsOlderThan,
    IsPresent,
    IsStamp,
    IsVersion,
    Key,
    Limits,
    Outcome,
    Put,
    Record,
    StampOf,
    Version,
    Write,
    log_shard,
)
from tenet.store.errors import InvalidRequest, LimitExceeded
from tenet.store.sqlite.keys import prefix_of
from tenet.store.sqlite.outcomes import Outcomes, entry_of, until_ms_of, version_of
from tenet.store.sqlite.rows import cells_from_bytes, cells_to_bytes, record_of
from tenet.store.sqlite.schema import Execute
from tenet.store.sqlite.spaces import Catalogue, Space
from tenet.store.validate import check_stamp_of

#: After so many statements a commit lets the loop do something else.
STATEMENTS_PER_TURN: Final = 200
_CELL_MIN: Final = -Limits.cell_max - 1

#: What a job has come to: None is "not done, call again".
Progress: TypeAlias = Iterator[Outcome | None]


class Transaction:
    """The open transaction of the writer, with the hybrid times and the ids that it uses up.

    Args:
        connection: the writer's connection, in a transaction.
        catalogue: the spaces.
        outcomes: what became of earlier commits.
        time: the first hybrid time that it may use.
        tail: site and nonce of its versions.
    """

    __slots__ = (
        "_cursor",
        "catalogue",
        "committed",
        "connection",
        "execute",
        "fenced",
        "first",
        "has_written",
        "ids",
        "outcomes",
        "tail",
        "time",
    )

    def __init__(
        self, connection: apsw.Connection, catalogue: Catalogue, outcomes: Outcomes, *, time: int, tail: bytes
    ) -> None:
        self.connection = connection
        self._cursor = connection.cursor()
        self.execute: Execute = self._cursor.execute
        self.catalogue = catalogue
        self.outcomes = outcomes
        self.first = time
        self.time = time
        self.tail = tail
        self.committed: dict[CommitId, Version] = {}
        #: Ids that this transaction keeps from ever taking effect.
        self.fenced: set[CommitId] = set()
        self.ids = bytearray()
        #: Whether there is anything to make durable.
        self.has_written = False

    def record(self, key: Key) -> Record | None:
        """Returns a record as it is now."""
        stored = prefix_of(key.partition) + key.sort
        rows = self.execute(self.catalogue.find(key.space).get_sql, (stored,)).fetchall()
        return record_of(key.partition, key.sort, rows[0]) if rows else None

    def stamp(self, of: StampOf) -> int:
        """Returns a stamp as it is now."""
        space = self.catalogue.find(of.space)
        rows = self.execute(space.stamp_sql, (prefix_of(of.partition) + of.bucket,)).fetchall()
        return int(rows[0][0]) if rows else 0

    def find(self, commit_id: CommitId) -> Version | None:
        """Returns the version of a commit that took effect, or will with this transaction; None for any other."""
        return self.committed.get(commit_id) or self.outcomes.find(commit_id)

    def is_fenced(self, commit_id: CommitId) -> bool:
        """Whether a commit was settled as never committed."""
        return commit_id in self.fenced or self.outcomes.is_fenced(commit_id)

    def write_ids(self) -> None:
        """Writes the row that says which commits this transaction holds."""
        if self.committed:
            until_ms = max(map(until_ms_of, self.committed))
            self.execute(
                "INSERT INTO commits (first, last, until_ms, tail, ids) VALUES (?, ?, ?, ?, ?)",
                (self.first, self.time, until_ms, self.tail, bytes(self.ids)),
            )


def apply(transaction: Transaction, commit: Commit) -> Progress:
    """Carries out a commit; yields None whenever the loop should have a turn, and at last the outcome.

    Raises:
        SpaceNotFound: it names a space that does not exist; nothing was written.
        InvalidRequest: it was settled as never committed, or asks for what its space does not keep.
    """
    has_effect = bool(commit.writes or commit.appends)
    if has_effect:
        version = transaction.find(commit.id)
        if version is not None:
            yield Committed(version)
            return
        if transaction.is_fenced(commit.id):
            raise InvalidRequest("the commit was settled as one that never took effect")
    spaces = _spaces_of(transaction, commit)
    failed = [index for index, check in enumerate(commit.checks) if not _holds(transaction, check)]
    sums, out_of_bounds = _add_up(transaction, commit.writes)
    if failed or out_of_bounds:
        yield _conflict(transaction, commit, failed, out_of_bounds)
        return
    version = version_of(transaction.time, transaction.tail)
    transaction.has_written = transaction.has_written or has_effect
    statements = 0
    for write, space in zip(commit.writes, spaces, strict=True):
        _write(transaction, space, write, version, sums)
        statements += 1
        if not statements % STATEMENTS_PER_TURN:
            yield None
    _raise_stamps(transaction, commit.writes, spaces)
    for offset, append in enumerate(commit.appends):
        _append(transaction, commit.id, version, append, transaction.time + offset)
        statements += 1
        if not statements % STATEMENTS_PER_TURN:
            yield None
    if has_effect:
        transaction.committed[commit.id] = version
        transaction.ids += entry_of(commit.id, transaction.time - transaction.first)
    # Every entry of a log has a hybrid time to itself: it is the entry's position.
    transaction.time += max(1, len(commit.appends))
    yield Committed(version, {key: dict(cells) for key, cells in sums.items()} if commit.return_cells else {})


def _spaces_of(transaction: Transaction, commit: Commit) -> list[Space]:
    """Returns the space of each write, after looking whether every space that is named keeps what it is asked for."""
    find = transaction.catalogue.find
    for check in commit.checks:
        if isinstance(check, IsStamp):
            check_stamp_of(check.of, find(check.of.space).options)
        else:
            find(check.key.space)
    for append in commit.appends:
        if find(append.key.space).log is None:
            raise InvalidRequest(f"the space {append.key.space} keeps no log")
    return [find(write.key.space) for write in commit.writes]


def _holds(transaction: Transaction, check: Check) -> bool:
    if isinstance(check, IsStamp):
        return transaction.stamp(check.of) == check.stamp
    key = check.key
    stored = prefix_of(key.partition) + key.sort
    rows = transaction.execute(transaction.catalogue.find(key.space).version_sql, (stored,)).fetchall()
    version = rows[0][0] if rows else None
    if isinstance(check, IsVersion):
        return bool(version == check.version)
    if isinstance(check, IsPresent):
        return version is not None
    assert isinstance(check, IsOlderThan)
    return version is None or version < check.version


def _add_up(transaction: Transaction, writes: Sequence[Write]) -> tuple[dict[Key, dict[str, int]], list[int]]:
    """Returns the cells of each record that is added to as the adds leave them, and which adds break a bound."""
    sums: dict[Key, dict[str, int]] = {}
    out_of_bounds: list[int] = []
    for index, write in enumerate(writes):
        if type(write) is not Add:
            continue
        cells = sums.get(write.key)
        if cells is None:
            cells = sums[write.key] = _cells(transaction, write.key)
        total = cells.get(write.cell, 0) + write.amount
        least = _CELL_MIN if write.at_least is None else write.at_least
        most = Limits.cell_max if write.at_most is None else write.at_most
        if not least <= total <= most:
            out_of_bounds.append(index)
        cells[write.cell] = total
        if len(cells) > Limits.cells_max:
            raise LimitExceeded(f"a record has at most {Limits.cells_max} cells; {write.key} would have more")
    return sums, out_of_bounds


def _cells(transaction: Transaction, key: Key) -> dict[str, int]:
    stored = prefix_of(key.partition) + key.sort
    rows = transaction.execute(transaction.catalogue.find(key.space).cells_sql, (stored,)).fetchall()
    return dict(cells_from_bytes(rows[0][0])) if rows else {}


def _conflict(transaction: Transaction, commit: Commit, failed: list[int], out_of_bounds: list[int]) -> Conflict:
    """Returns the conflict with the records of what refused the commit, up to as many bytes as a commit may have."""
    records: dict[Key, Record | None] = {}
    stamps: dict[StampOf, int] = {}
    value_bytes = 0
    keys = [check.key for check in map(commit.checks.__getitem__, failed) if not isinstance(check, IsStamp)]
    keys += [commit.writes[index].key for index in out_of_bounds]
    for check in map(commit.checks.__getitem__, failed):
        if isinstance(check, IsStamp):
            stamps[check.of] = transaction.stamp(check.of)
    for key in keys:
        if key in records or value_bytes > Limits.commit_bytes_max:
            continue
        record = records[key] = transaction.record(key)
        value_bytes += len(record.value) if record is not None else 0
    return Conflict(failed, out_of_bounds, records, stamps)


def _write(
    transaction: Transaction, space: Space, write: Write, version: Version, sums: Mapping[Key, dict[str, int]]
) -> None:
    key = write.key
    prefix = prefix_of(key.partition)
    stored = prefix + key.sort
    if isinstance(write, Put):
        cells = write.cells
        if cells is None:
            transaction.execute(space.put_sql, (stored, len(prefix), version, write.value, None))
        else:
            transaction.execute(space.put_cells_sql, (stored, len(prefix), version, write.value, cells_to_bytes(cells)))
    elif isinstance(write, Delete):
        transaction.execute(space.delete_sql, (stored,))
    else:
        # Several adds to one record were summed up; to write the sum more than once does no harm.
        transaction.execute(space.add_sql, (stored, len(prefix), version, b"", cells_to_bytes(sums[key])))


def _raise_stamps(transaction: Transaction, writes: Sequence[Write], spaces: list[Space]) -> None:
    """Sets the stamp of every bucket that was written to; the hybrid time only grows, so that no stamp comes twice."""
    touched = {
        (space, prefix_of(write.key.partition) + write.key.sort[: space.stamp_prefix_bytes])
        for write, space in zip(writes, spaces, strict=True)
        if space.stamps
    }
    for space, bucket in touched:
        transaction.execute(space.stamp_put_sql, (bucket, transaction.time))


def _append(transaction: Transaction, commit_id: CommitId, version: Version, append: Append, position: int) -> None:
    key = append.key
    space = transaction.catalogue.find(key.space)
    assert space.log is not None
    shard = log_shard(key.partition, space.log.shards)
    transaction.execute(
        space.append_sql,
        (position, shard, commit_id, version, key.partition, key.sort, append.old, append.new, append.origin),
    )
