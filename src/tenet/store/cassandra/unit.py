"""The part of a commit in one partition: its conditions and writes as statements, and what a refusal means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from tenet.store.cassandra import schema
from tenet.store.cassandra.encoding import decode_cells, encode_cells, from_key, hybrid_time, to_key
from tenet.store.cassandra.rows import (
    ADD,
    DELETE,
    MAKE,
    NO_ROW,
    PUT,
    Entry,
    IntendedEntry,
    IntendedWrite,
    Intent,
    Row,
    encode_entry,
    outbox_sort,
)
from tenet.store.contract import (
    NO_CELLS,
    Add,
    Append,
    Check,
    Commit,
    IsOlderThan,
    IsPresent,
    IsStamp,
    IsVersion,
    Key,
    Limits,
    Put,
    Record,
    StampOf,
    Version,
    Write,
)
from tenet.store.errors import InvalidRequest, LimitExceeded
from tenet.store.validate import bucket_of, check_stamp_of

if TYPE_CHECKING:
    from tenet.store.cassandra.partitions import Place
    from tenet.store.cassandra.sending import Bound, Shown
    from tenet.store.cassandra.spaces import Space

_CELL_MIN: Final = -Limits.cell_max - 1
_UNCONDITIONAL: Final[tuple[str, list[object]]] = ("", [])


class Seen:
    """What was seen of a partition at one moment.

    Args:
        time: the hybrid time of its last commit; None where none is remembered.
        lock: the commit that holds it, or None.
        pointer: its column ``pe``; see ``pointers``.
    """

    __slots__ = ("fates", "lock", "pointer", "rows", "stamps", "time")

    def __init__(self, time: int | None = None, lock: bytes | None = None, pointer: bytes | None = None) -> None:
        self.time = time
        self.lock = lock
        self.pointer = pointer
        self.rows: dict[bytes, Row] = {}
        self.fates: dict[bytes, bytes] = {}
        #: By bucket; the whole partition is the empty one.
        self.stamps: dict[bytes, int] = {}

    @classmethod
    def of(cls, shown: Sequence[Shown]) -> Seen:
        """Reads the rows of a refusal, or of a look at the same rows."""
        first = shown[0] if shown else {}
        seen = cls(first.get("h"), first.get("lk"), first.get("pe"))
        for row in shown:
            kind, sort = row.get("kind"), row.get("sort", b"")
            if kind == schema.RECORD:
                seen.rows[sort] = Row(row.get("ver"), row.get("v"), row.get("c"))
            elif kind == schema.FATE and row.get("mk"):
                seen.fates[sort] = row["mk"]
            elif kind == schema.BUCKET:
                seen.stamps[sort] = row.get("st") or 0
        return seen

    def row(self, sort: bytes) -> Row:
        """Returns the row of a record."""
        return self.rows.get(sort, NO_ROW)

    def stamp(self, bucket: bytes) -> int:
        """Returns a stamp."""
        return self.stamps.get(bucket, 0)


class Believed:
    """What a partition is taken to hold when a batch is made; a wrong belief is refused and costs a round.

    Args:
        time: the hybrid time of its last commit, None for none remembered.
        pointer: its column ``pe``; see ``pointers``.
    """

    __slots__ = ("absent", "pointer", "rows", "time")

    def __init__(self, time: int | None = None, pointer: bytes | None = None) -> None:
        self.time = time
        self.pointer = pointer
        #: Rows that are added to, as they were last seen.
        self.rows: dict[bytes, Row] = {}
        #: Indexes of checks "is older than" whose record is taken to be absent.
        self.absent: set[int] = set()


class Refusals:
    """Which checks and bounds refuse a commit, in one of its partitions."""

    __slots__ = ("failed", "out_of_bounds", "records", "stamps")

    def __init__(self) -> None:
        self.failed: list[int] = []
        self.out_of_bounds: list[int] = []
        self.records: dict[Key, Record | None] = {}
        self.stamps: dict[StampOf, int] = {}

    def __bool__(self) -> bool:
        return bool(self.failed or self.out_of_bounds)


class Unit:
    """What a commit checks and writes in one partition of one space.

    Args:
        space: the space.
        partition: the partition key.
    """

    __slots__ = ("adds", "appends", "checks", "key", "partition", "space", "stamps", "writes")

    def __init__(self, space: Space, partition: bytes) -> None:
        self.space = space
        self.partition = partition
        self.key = to_key(partition)
        #: With the indexes that they have in the commit.
        self.checks: dict[bytes, list[tuple[int, Check]]] = {}
        self.stamps: list[tuple[int, IsStamp]] = []
        self.writes: list[Write] = []
        self.adds: dict[bytes, list[tuple[int, Add]]] = {}
        self.appends: list[tuple[int, Append]] = []

    @property
    def changes(self) -> bool:
        """Whether it writes or appends anything."""
        return bool(self.writes or self.adds or self.appends)

    @property
    def place(self) -> Place:
        """Its partition, as locks and beliefs name it."""
        return self.space.space_id, self.key

    # ---- what it needs to know ---------------------------------------------------------------------------------------

    def sorts(self) -> list[bytes]:
        """Returns the sort keys of the records that it checks or adds to."""
        return list({**self.checks, **self.adds})

    def buckets_checked(self) -> list[bytes]:
        """Returns the buckets whose stamps it checks."""
        return list({check.of.bucket for _, check in self.stamps})

    def refusals(self, seen: Seen) -> Refusals:
        """Returns which of its checks and bounds do not hold for what was seen."""
        found = Refusals()
        name, partition = self.space.name, self.partition
        for sort, checks in self.checks.items():
            failed = [index for index, check in checks if not _holds(check, seen.row(sort).version)]
            if failed:
                found.failed += failed
                found.records[Key(name, partition, sort)] = seen.row(sort).record(partition, sort)
        for index, check in self.stamps:
            stamp = seen.stamp(check.of.bucket)
            if stamp != check.stamp:
                found.failed.append(index)
                found.stamps[check.of] = stamp
        for sort, adds in self.adds.items():
            cells = decode_cells(seen.row(sort).cells)
            outside = [index for index, add in adds if not _is_in_bounds(add, cells)]
            if outside:
                found.out_of_bounds += outside
                found.records[Key(name, partition, sort)] = seen.row(sort).record(partition, sort)
        return found

    def cells_written(self, believed: Believed) -> dict[bytes, Mapping[str, int]]:
        """Returns the cells of all records that it writes, as it leaves them; none: no cells, or no record."""
        left: dict[bytes, Mapping[str, int]] = {}
        for write in self.writes:
            left[write.key.sort] = (write.cells or NO_CELLS) if isinstance(write, Put) else NO_CELLS
        left.update(self.cells_after(believed))
        return left

    def is_in_bounds(self, rows: Mapping[bytes, Row]) -> bool:
        """Returns whether all that it adds is within bounds where the rows that it adds to are these.

        A batch asks the cluster whether they are these, and not for bounds: whoever takes rows for granted asks here.
        """
        for sort, adds in self.adds.items():
            cells = decode_cells(rows[sort].cells)
            if not all(_is_in_bounds(add, cells) for _, add in adds):
                return False
            if len(cells.keys() | {add.cell for _, add in adds}) > Limits.cells_max:
                return False
        return True

    def cells_after(self, believed: Believed) -> dict[bytes, dict[str, int]]:
        """Returns the cells of the records that it adds to, as it leaves them.

        Raises:
            LimitExceeded: one would have too many.
        """
        after = {}
        for sort, adds in self.adds.items():
            cells = dict(decode_cells(believed.rows[sort].cells))
            for _, add in adds:
                cells[add.cell] = cells.get(add.cell, 0) + add.amount
            if len(cells) > Limits.cells_max:
                raise LimitExceeded(f"a record has at most {Limits.cells_max} cells")
            after[sort] = cells
        return after

    # ---- statements --------------------------------------------------------------------------------------------------

    def time_condition(self, believed: Believed, time: int) -> tuple[str, list[int]]:
        """Returns what is asked of the partition's time."""
        return ("h = null", []) if believed.time is None else ("h < ?", [time])

    def conditions(self, believed: Believed) -> dict[bytes, tuple[str, list[object]]]:
        """Returns the conditions on each record's row, as text behind ``IF`` and values."""
        found: dict[bytes, tuple[str, list[object]]] = {}
        if not self.checks and not self.adds:
            return found
        for sort in self.sorts():
            texts: list[str] = []
            values: list[object] = []
            for index, check in self.checks.get(sort, ()):
                text, value = _condition(check, is_absent=index in believed.absent)
                texts.append(text)
                values += value
            if sort in self.adds:
                row = believed.rows[sort]
                texts.append("ver = null" if row.version is None else "ver != null")
                text, value = schema.equal("c", row.cells)
                texts.append(text)
                values += value
            else:
                texts.append("c != ?")
                values.append(schema.NEVER_WRITTEN)
            texts.append("v != ?")
            values.append(schema.NEVER_WRITTEN)
            found[sort] = (" IF " + " AND ".join(texts), values)
        return found

    def stamp_conditions(self, *, written: Sequence[bytes]) -> list[Bound]:
        """Returns the checks of stamps, but for those of buckets that are written: their statements have them."""
        found: list[Bound] = []
        if not self.stamps:
            return found
        for bucket in self.buckets_checked():
            if bucket not in written:
                condition, values = self._stamp_condition(bucket)
                found.append((self.space.statements.check_bucket + condition, [self.key, bucket, *values]))
        return found

    def _raised_stamps(self, written: Sequence[bytes], time: int) -> list[Bound]:
        """Returns the statements that raise the stamps of buckets, with the checks of the same ones."""
        found: list[Bound] = []
        for bucket in written:
            condition, values = self._stamp_condition(bucket)
            found.append((self.space.statements.bucket + condition, [time, self.key, bucket, *values]))
        return found

    def _stamp_condition(self, bucket: bytes) -> tuple[str, list[object]]:
        """Returns all that is asked of a stamp, empty where nothing is."""
        asked = [schema.equal("st", check.stamp or None) for _, check in self.stamps if check.of.bucket == bucket]
        texts, values = [text for text, _ in asked], [value for _, some in asked for value in some]
        return " IF " + " AND ".join(texts) if texts else "", values

    def decision(self, believed: Believed, commit_id: bytes, version: Version) -> list[Bound]:
        """Returns the statements that carry it out where its checks hold, but for what concerns the partition."""
        statements, time, key = self.space.statements, hybrid_time(version), self.key
        conditions = self.conditions(believed)
        found: list[Bound] = []
        for write in self.writes:
            sort = write.key.sort
            condition, values = conditions.pop(sort, _UNCONDITIONAL)
            if not isinstance(write, Put):
                found.append((statements.delete + condition, [key, sort, *values]))
            elif write.cells is None:
                found.append((statements.put + condition, [write.value, version, key, sort, *values]))
            else:
                cells = encode_cells(time, write.cells)
                found.append((statements.put_cells + condition, [write.value, version, cells, key, sort, *values]))
        if self.adds:
            found += self._added(believed, version, conditions)
        for sort, (condition, values) in conditions.items():
            found.append((statements.check + condition, [key, sort, *values]))
        written = self._buckets_written()
        found += self.stamp_conditions(written=written)
        found += self._raised_stamps(written, time)
        for at, one in self.appends:
            entry = Entry(commit_id, version, self.partition, one.key.sort, one.old, one.new, one.origin)
            found.append((statements.outbox, [encode_entry(entry), key, outbox_sort(self.space.log_id, time, at)]))
        return found

    def _added(
        self, believed: Believed, version: Version, conditions: dict[bytes, tuple[str, list[object]]]
    ) -> list[Bound]:
        """Returns the statements that add to cells; takes out of the conditions what they check."""
        statements, time, key = self.space.statements, hybrid_time(version), self.key
        found: list[Bound] = []
        for sort, cells_after in self.cells_after(believed).items():
            condition, values = conditions.pop(sort)
            data = encode_cells(time, cells_after)
            if believed.rows[sort].version is None:
                found.append((statements.put_cells + condition, [b"", version, data, key, sort, *values]))
            else:
                found.append((statements.add + condition, [data, key, sort, *values]))
        return found

    def _buckets_written(self) -> list[bytes]:
        options = self.space.options
        if not options.stamps:
            return []
        sorts = [write.key.sort for write in self.writes] + list(self.adds)
        return sorted({bucket_of(sort, options) for sort in sorts})

    def intent(self, believed: Believed) -> Intent:
        """Returns all that it will do here, for a commit over several partitions."""
        writes = []
        for write in self.writes:
            if isinstance(write, Put):
                cells = None if write.cells is None else dict(write.cells)
                writes.append(IntendedWrite(PUT, write.key.sort, write.value, cells))
            else:
                writes.append(IntendedWrite(DELETE, write.key.sort))
        for sort, cells in self.cells_after(believed).items():
            kind = MAKE if believed.rows[sort].version is None else ADD
            writes.append(IntendedWrite(kind, sort, b"", cells))
        entries = [IntendedEntry(at, one.key.sort, one.old, one.new, one.origin) for at, one in self.appends]
        return Intent(self.space.log_id, writes, entries, self._buckets_written())

    def preparation(self, believed: Believed) -> list[Bound]:
        """Returns the statements that check everything and mark the records that will be written, and write none."""
        statements, key = self.space.statements, self.key
        conditions = self.conditions(believed)
        found: list[Bound] = []
        for sort in [*(write.key.sort for write in self.writes), *self.adds]:
            condition, values = conditions.pop(sort, _UNCONDITIONAL)
            found.append((statements.intend + condition, [key, sort, *values]))
        found += [
            (statements.check + condition, [key, sort, *values]) for sort, (condition, values) in conditions.items()
        ]
        return found + self.stamp_conditions(written=())


def carried_out(
    statements: schema.Statements, key: bytes, commit_id: bytes, version: Version, intent: Intent
) -> list[Bound]:
    """Returns the statements that carry an intent out."""
    time = hybrid_time(version)
    found: list[Bound] = []
    for write in intent.writes:
        if write.kind == DELETE:
            found.append((statements.delete, [key, write.sort]))
        elif write.kind == ADD:
            found.append((statements.add, [encode_cells(time, write.cells or {}), key, write.sort]))
        elif write.cells is None:
            found.append((statements.put, [write.value, version, key, write.sort]))
        else:
            cells = encode_cells(time, write.cells)
            found.append((statements.put_cells, [write.value, version, cells, key, write.sort]))
    found += given_up(statements, key, intent)
    found += [(statements.bucket, [time, key, bucket]) for bucket in intent.buckets]
    for one in intent.entries:
        entry = Entry(commit_id, version, from_key(key), one.sort, one.old, one.new, one.origin)
        found.append((statements.outbox, [encode_entry(entry), key, outbox_sort(intent.log_id, time, one.index)]))
    return found


def given_up(statements: schema.Statements, key: bytes, intent: Intent) -> list[Bound]:
    """Returns the statements that remove the marks of an intent."""
    return [(statements.check, [key, write.sort]) for write in intent.writes]


def spaces_of(commit: Commit) -> list[str]:
    """Returns the names of the spaces that a commit touches; some may stand there more than once."""
    names = [write.key.space for write in commit.writes]
    names += [append.key.space for append in commit.appends]
    names += [check.of.space if isinstance(check, IsStamp) else check.key.space for check in commit.checks]
    return names


def split(commit: Commit, spaces: Mapping[str, Space]) -> list[Unit]:
    """Returns the parts of a commit; the first is its anchor, where its fate is decided.

    Raises:
        InvalidRequest: it asks of a space what that does not keep.
    """
    units: dict[tuple[str, bytes], Unit] = {}

    def unit_of(place: Key | StampOf) -> Unit:
        at = (place.space, place.partition)
        unit = units.get(at)
        if unit is None:
            unit = units[at] = Unit(spaces[place.space], place.partition)
        return unit

    for index, write in enumerate(commit.writes):
        if isinstance(write, Add):
            unit_of(write.key).adds.setdefault(write.key.sort, []).append((index, write))
        else:
            unit_of(write.key).writes.append(write)
    for index, append in enumerate(commit.appends):
        if spaces[append.key.space].log is None:
            raise InvalidRequest(f"the space {append.key.space} has no log")
        unit_of(append.key).appends.append((index, append))
    for index, check in enumerate(commit.checks):
        if isinstance(check, IsStamp):
            check_stamp_of(check.of, spaces[check.of.space].options)
            unit_of(check.of).stamps.append((index, check))
        else:
            unit_of(check.key).checks.setdefault(check.key.sort, []).append((index, check))
    return list(units.values())


def _holds(check: Check, version: bytes | None) -> bool:
    if isinstance(check, IsVersion):
        return version == check.version
    if isinstance(check, IsOlderThan):
        return version is None or version < check.version
    assert isinstance(check, IsPresent)
    return version is not None


def _condition(check: Check, *, is_absent: bool) -> tuple[str, list[object]]:
    if isinstance(check, IsVersion):
        return schema.equal("ver", check.version)
    if isinstance(check, IsOlderThan):
        return ("ver = null", []) if is_absent else ("ver < ?", [check.version])
    return "ver != null", []


def _is_in_bounds(add: Add, cells: Mapping[str, int]) -> bool:
    total = cells.get(add.cell, 0) + add.amount
    at_least = _CELL_MIN if add.at_least is None else add.at_least
    at_most = Limits.cell_max if add.at_most is None else add.at_most
    return at_least <= total <= at_most
