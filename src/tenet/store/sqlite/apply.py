"""Carries out one commit within the open transaction: first everything that may refuse it, then its writes.

Because nothing is written before all checks and bounds are known to hold, a commit that is refused leaves nothing to
undo, and the commits of a transaction need no savepoints of their own. Each sees what the ones before it wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import apsw

from tenet.store.contract import (
    Add,
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
    commit_id_ms,
    log_shard,
)
from tenet.store.errors import InvalidRequest, LimitExceeded
from tenet.store.sqlite.keys import prefix_of
from tenet.store.sqlite.outcomes import Outcomes, entries_of, until_ms_of
from tenet.store.sqlite.rows import cells_from_bytes, cells_to_bytes, record_of
from tenet.store.sqlite.schema import Execute
from tenet.store.sqlite.spaces import Catalogue, Space
from tenet.store.validate import check_stamp_of

#: After so many statements a commit lets the loop do something else.
STATEMENTS_PER_TURN: Final = 200
_CELL_MIN: Final = -Limits.cell_max - 1

NO_SUMS: Final[Mapping[Key, Mapping[str, int]]] = {}

#: A row to be put: stored key, bytes before the sort key, version, value, cells.
_Row: TypeAlias = tuple[bytes, int, Version, bytes, None]
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
        "_outcomes",
        "_tail",
        "catalogue",
        "committed",
        "connection",
        "execute",
        "execute_many",
        "fenced",
        "find_space",
        "first",
        "has_written",
        "time",
    )

    def __init__(
        self, connection: apsw.Connection, catalogue: Catalogue, outcomes: Outcomes, *, time: int, tail: bytes
    ) -> None:
        self.connection = connection
        cursor = connection.cursor()
        self.execute: Execute = cursor.execute
        self.execute_many: Callable[[str, Sequence[tuple[object, ...]]], object] = cursor.executemany
        self.catalogue = catalogue
        self.find_space = catalogue.find
        self._outcomes = outcomes
        self._tail = tail
        self.first = time
        self.time = time
        self.committed: dict[CommitId, Version] = {}
        #: Ids that this transaction keeps from ever taking effect.
        self.fenced: set[CommitId] = set()
        #: Whether there is anything to make durable.
        self.has_written = False

    def next_version(self) -> Version:
        """Returns the version of the commit that uses `time`."""
        return Version(self.time.to_bytes(8, "big") + self._tail)

    def record(self, key: Key) -> Record | None:
        """Returns a record as it is now."""
        stored = prefix_of(key.partition) + key.sort
        rows = self.execute(self.find_space(key.space).get_sql, (stored,)).fetchall()
        return record_of(key.partition, key.sort, rows[0]) if rows else None

    def stamp(self, of: StampOf) -> int:
        """Returns a stamp as it is now."""
        space = self.find_space(of.space)
        rows = self.execute(space.stamp_sql, (prefix_of(of.partition) + of.bucket,)).fetchall()
        return int(rows[0][0]) if rows else 0

    def is_new(self, commit_id: CommitId) -> bool:
        """Whether the id is surely one that nothing is known of; False is no answer."""
        return commit_id not in self.committed and commit_id not in self.fenced and self._outcomes.is_new(commit_id)

    def find(self, commit_id: CommitId) -> Version | None:
        """Returns the version of a commit that took effect, or will with this transaction; None for any other."""
        return self.committed.get(commit_id) or self._outcomes.find(commit_id)

    def is_fenced(self, commit_id: CommitId) -> bool:
        """Whether a commit was settled as never committed."""
        return commit_id in self.fenced or self._outcomes.is_fenced(commit_id)

    def write_ids(self) -> None:
        """Writes the row that says which commits this transaction holds."""
        if self.committed:
            made_from_ms, until_ms = commit_id_ms(min(self.committed)), until_ms_of(max(self.committed))
            self.execute(
                "INSERT INTO commits (first, last, from_ms, until_ms, tail, ids) VALUES (?, ?, ?, ?, ?, ?)",
                (self.first, self.time, made_from_ms, until_ms, self._tail, entries_of(self.committed)),
            )


def apply(transaction: Transaction, commit: Commit) -> Progress:
    """Carries out a commit; yields None whenever the loop should have a turn, and at last the outcome.

    Raises:
        SpaceNotFound: it names a space that does not exist; nothing was written.
        InvalidRequest: it was settled as never committed, or asks for what its space does not keep.
    """
    writes, appends = commit.writes, commit.appends
    has_effect = bool(writes or appends)
    if has_effect and not transaction.is_new(commit.id):
        earlier = _earlier(transaction, commit)
        if earlier is not None:
            yield earlier
            return
    _check_spaces(transaction, commit)
    checks, version = commit.checks, transaction.next_version()
    if len(checks) == 1 == len(writes) and not appends:
        is_done = _replace(transaction, checks[0], writes[0], version)
        if is_done is not None:
            yield _committed(transaction, commit, version) if is_done else _conflict(transaction, commit, (0,), ())
            return
    failed = _failed(transaction, checks) if checks else ()
    sums: dict[Key, dict[str, int]] = {}
    out_of_bounds: list[int] = []
    if Add in map(type, writes):
        yield from _add_up(transaction, writes, sums, out_of_bounds)
    if failed or out_of_bounds:
        yield _conflict(transaction, commit, failed, out_of_bounds)
        return
    if len(writes) <= STATEMENTS_PER_TURN and not appends:
        _write(transaction, writes, version, sums)
    else:
        yield from _write_in_turns(transaction, commit, version, sums)
    yield _committed(transaction, commit, version, sums)


def _committed(
    transaction: Transaction, commit: Commit, version: Version, sums: Mapping[Key, Mapping[str, int]] = NO_SUMS
) -> Committed:
    """Notes that a commit was carried out, and returns its outcome."""
    if commit.writes or commit.appends:
        transaction.has_written = True
        transaction.committed[commit.id] = version
    # Every entry of a log has a hybrid time to itself: it is the entry's position.
    transaction.time += len(commit.appends) or 1
    return Committed(version, sums) if commit.return_cells else Committed(version)


def _replace(transaction: Transaction, check: Check, write: Write, version: Version) -> bool | None:
    """Carries out what most commits are, a put of the record whose version it checks, in one statement.

    Returns:
        Whether the check held; None for a commit of any other form, of which nothing is carried out.
    """
    if type(check) is not IsVersion or check.key != write.key:
        return None
    put = _plain_put(transaction, write, version)
    if put is None:
        return None
    space, row = put
    if check.version is None:
        transaction.execute(space.put_absent_sql, row)
    else:
        stored, _, _, value, _ = row
        transaction.execute(space.put_version_sql, (version, value, stored, check.version))
    return transaction.connection.changes() == 1


def _plain_put(transaction: Transaction, write: Write, version: Version) -> tuple[Space, _Row] | None:
    """Returns the space and the row of a put that is one statement: of a value alone, where no stamp is raised."""
    if type(write) is not Put or write.cells is not None:
        return None
    key = write.key
    space = transaction.find_space(key.space)
    if space.stamps:
        return None
    prefix = prefix_of(key.partition)
    return space, (prefix + key.sort, len(prefix), version, write.value, None)


def _write_in_turns(
    transaction: Transaction, commit: Commit, version: Version, sums: Mapping[Key, dict[str, int]]
) -> Iterator[None]:
    """Carries the writes and the log entries of a commit out, some at a time."""
    for first in range(0, len(commit.writes), STATEMENTS_PER_TURN):
        _write(transaction, commit.writes[first : first + STATEMENTS_PER_TURN], version, sums)
        yield None
    for first in range(0, len(commit.appends), STATEMENTS_PER_TURN):
        _append(transaction, commit, version, first)
        yield None


def _earlier(transaction: Transaction, commit: Commit) -> Committed | None:
    """Returns what became of a commit whose id was seen before; None where it was not, after all."""
    version = transaction.find(commit.id)
    if version is not None:
        return Committed(version)
    if transaction.is_fenced(commit.id):
        raise InvalidRequest("the commit was settled as one that never took effect")
    return None


def _check_spaces(transaction: Transaction, commit: Commit) -> None:
    """Refuses a commit that names a space that does not exist, or asks one for a log that it does not keep."""
    find = transaction.find_space
    for write in commit.writes:
        find(write.key.space)
    for append in commit.appends:
        if find(append.key.space).log is None:
            raise InvalidRequest(f"the space {append.key.space} keeps no log")


def _failed(transaction: Transaction, checks: Sequence[Check]) -> list[int]:
    return [index for index, check in enumerate(checks) if not _holds(transaction, check)]


def _holds(transaction: Transaction, check: Check) -> bool:
    if isinstance(check, IsStamp):
        check_stamp_of(check.of, transaction.find_space(check.of.space).options)
        return transaction.stamp(check.of) == check.stamp
    key = check.key
    sql = transaction.find_space(key.space).version_sql
    rows = transaction.execute(sql, (prefix_of(key.partition) + key.sort,)).fetchall()
    version = rows[0][0] if rows else None
    if isinstance(check, IsVersion):
        return bool(version == check.version)
    if isinstance(check, IsPresent):
        return version is not None
    assert isinstance(check, IsOlderThan)
    return version is None or version < check.version


def _add_up(
    transaction: Transaction, writes: Sequence[Write], sums: dict[Key, dict[str, int]], out_of_bounds: list[int]
) -> Iterator[None]:
    """Adds up what is added.

    Args:
        transaction: what the cells are read from.
        writes: of the commit.
        sums: takes the cells of each record that is added to, as the adds leave them.
        out_of_bounds: takes the indexes of the adds that break a bound.
    """
    for index, write in enumerate(writes):
        if index and not index % STATEMENTS_PER_TURN:
            yield None
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


def _cells(transaction: Transaction, key: Key) -> dict[str, int]:
    stored = prefix_of(key.partition) + key.sort
    rows = transaction.execute(transaction.find_space(key.space).cells_sql, (stored,)).fetchall()
    return dict(cells_from_bytes(rows[0][0])) if rows else {}


def _conflict(
    transaction: Transaction, commit: Commit, failed: Sequence[int], out_of_bounds: Sequence[int]
) -> Conflict:
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
    transaction: Transaction, writes: Sequence[Write], version: Version, sums: Mapping[Key, dict[str, int]]
) -> None:
    """Carries some writes out, and raises their stamps.

    The keys of a commit are different ones, so that it does not matter which of its statements runs first.
    """
    if len(writes) == 1 and (put := _plain_put(transaction, writes[0], version)) is not None:
        space, only_row = put
        transaction.execute(space.put_sql, only_row)
        return
    statements: dict[str, list[tuple[object, ...]]] = {}
    stamped: set[tuple[str, bytes]] = set()
    for write in writes:
        key = write.key
        space = transaction.find_space(key.space)
        prefix = prefix_of(key.partition)
        stored = prefix + key.sort
        row: tuple[object, ...]
        if type(write) is Put:
            cells = write.cells
            sql = space.put_sql if cells is None else space.put_cells_sql
            row = (stored, len(prefix), version, write.value, None if cells is None else cells_to_bytes(cells))
        elif type(write) is Delete:
            sql, row = space.delete_sql, (stored,)
        else:
            # Several adds to one record were summed up; to write the sum more than once does no harm.
            sql, row = space.add_sql, (stored, len(prefix), version, b"", cells_to_bytes(sums[key]))
        if sql in statements:
            statements[sql].append(row)
        else:
            statements[sql] = [row]
        if space.stamps:
            stamped.add((space.stamp_put_sql, prefix + key.sort[: space.stamp_prefix_bytes]))
    for sql, rows in statements.items():
        transaction.execute_many(sql, rows)
    for sql, bucket in stamped:
        # The hybrid time only grows, so that no stamp ever has the same number twice.
        transaction.execute(sql, (bucket, transaction.time))


def _append(transaction: Transaction, commit: Commit, version: Version, first: int) -> None:
    """Writes some log entries, from an index on."""
    appends = commit.appends[first : first + STATEMENTS_PER_TURN]
    for position, append in enumerate(appends, transaction.time + first):
        key = append.key
        space = transaction.find_space(key.space)
        assert space.log is not None
        shard = log_shard(key.partition, space.log.shards)
        row = (position, shard, commit.id, version, key.partition, key.sort, append.old, append.new, append.origin)
        transaction.execute(space.append_sql, row)
