"""Tables in memory that keep what Cassandra keeps: cells with timestamps, static ones, tombstones, times to live.

Of the rules of Apache Cassandra 5.0 those are here that the engine leans on, as decision 0002 found them on real nodes:

* A cell is what the write with the largest timestamp left; of two with the same one, a deletion wins, else the larger
  value. What was deleted at a timestamp does not come back by a write with the same or a smaller one.
* A row exists while it has a cell that lives, or was inserted. An update that sets nothing but null makes none.
* Static columns come with a row; where no row matches they come alone, if no clustering column was asked about.
* A read of a range, or of a whole partition, fails that meets too many rows which are gone before it has what it
  asks for (``tombstone_failure_threshold``); one of rows by their whole keys meets none. A conditional batch whose
  conditions are all on static columns looks for the first row there is (``CQL3CasRequest.readCommand`` of 5.0).
* A conditional batch sees one partition of one table as of one moment. It takes effect whole, at a timestamp above
  every earlier one of the partition; or not at all, and then shows the rows that its conditions look at and that exist,
  with their keys and the columns that conditions name; where none of them exists, the static columns alone.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from operator import ge, gt, le, lt
from typing import Any

from tenet.store.cassandra.murmur3 import token
from tests.cassandra_model.cql import Change, Definition, NotUnderstood, Relation, Select

#: Timestamp (microseconds), value (None: deleted), and when it expires (milliseconds, None: never).
Cell = tuple[int, Any, int | None]
Clustering = tuple[Any, ...]

_MARKER = "[exists]"
_TYPES: dict[str, type] = {"blob": bytes, "text": str, "bigint": int, "int": int, "tinyint": int}
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


def _lives(cell: Cell | None, now_ms: int) -> bool:
    return cell is not None and cell[1] is not None and (cell[2] is None or now_ms < cell[2])


def _value(cells: dict[str, Cell], name: str, now_ms: int) -> Any:
    cell = cells.get(name)
    return cell[1] if cell is not None and _lives(cell, now_ms) else None


def _put(cells: dict[str, Cell], name: str, new: Cell) -> None:
    old = cells.get(name)
    if (
        old is None
        or new[0] > old[0]
        or (new[0] == old[0] and old[1] is not None and (new[1] is None or new[1] > old[1]))
    ):
        cells[name] = new


def holds(operator: str, left: Any, right: Any) -> bool:
    """Whether a condition holds; null is equal to null alone, and never less."""
    if operator == "=":
        return bool(left == right)
    if operator == "!=":
        return bool(left != right)
    return left is not None and right is not None and _COMPARED[operator](left, right)


class _Row:
    __slots__ = ("cells", "deleted_us")

    def __init__(self) -> None:
        self.cells: dict[str, Cell] = {}
        self.deleted_us = -1

    def delete(self, timestamp: int) -> None:
        self.deleted_us = max(self.deleted_us, timestamp)
        self.cells = {name: cell for name, cell in self.cells.items() if cell[0] > timestamp}

    def is_there(self, now_ms: int) -> bool:
        return any(_lives(cell, now_ms) for cell in self.cells.values())


class _Partition:
    __slots__ = ("deleted", "key", "last_us", "order", "rows", "static")

    def __init__(self, key: Clustering) -> None:
        self.key = key
        self.static = _Row()
        self.rows: dict[Clustering, _Row] = {}
        self.order: list[Clustering] = []
        #: Ranges that were deleted: first, end (None: none), timestamp.
        self.deleted: list[tuple[Clustering, Clustering | None, int]] = []
        #: The timestamp of the last conditional batch.
        self.last_us = 0

    def row(self, at: Clustering) -> _Row:
        found = self.rows.get(at)
        if found is None:
            found = self.rows[at] = _Row()
            insort(self.order, at)
            for first, end, timestamp in self.deleted:
                if first <= at and (end is None or at < end):
                    found.delete(timestamp)
        return found

    def between(self, first: Clustering, end: Clustering | None) -> list[Clustering]:
        return self.order[
            bisect_left(self.order, first) : len(self.order) if end is None else bisect_left(self.order, end)
        ]


class TooManyTraces(Exception):
    """A read met more rows that are gone than a node lets it."""


class Table:
    """One table."""

    #: ``tombstone_failure_threshold``; tests make it less.
    traces_max = 100_000

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.partitions: dict[Clustering, _Partition] = {}

    # ---- changes -----------------------------------------------------------------------------------------------------

    def change(self, change: Change, values: Sequence[Any], timestamp: int, now_ms: int) -> None:
        """Carries out an update, an insert or a delete."""
        partition = self._partition_of(change, values)
        if change.timestamp is not None:
            timestamp = change.timestamp.of(values)
        if change.verb == "DELETE":
            self._delete(partition, change, values, timestamp)
            return
        expires_ms = None if change.ttl is None else now_ms + 1000 * change.ttl.of(values)
        sets = {name: term.of(values) for name, term in change.sets}
        self._check_types(sets)
        at = self._clustering_of(change, values)
        if change.verb == "INSERT":
            sets = {name: value for name, value in sets.items() if name not in self._keys()} | {_MARKER: 1}
        for name, value in sets.items():
            is_static = name in self.definition.static
            if not is_static and at is None:
                raise NotUnderstood(f"{change}: a column of a row needs the whole key")
            row = partition.static if is_static or at is None else partition.row(at)
            if timestamp > row.deleted_us:
                _put(row.cells, name, (timestamp, value, None if value is None else expires_ms))

    def _delete(self, partition: _Partition, change: Change, values: Sequence[Any], timestamp: int) -> None:
        at = self._clustering_of(change, values)
        if at is not None:
            partition.row(at).delete(timestamp)
            return
        first, end = self._range(change.where, values)
        if not first:
            partition.static.delete(timestamp)
        for one in partition.between(first, end):
            partition.rows[one].delete(timestamp)
        partition.deleted.append((first, end, timestamp))

    def decide(
        self, batch: Sequence[tuple[Change, Sequence[Any]]], timestamp: int, now_ms: int
    ) -> list[dict[str, Any]] | None:
        """Carries out a conditional batch; returns None, or what it shows if it is refused."""
        partitions = {id(partition): partition for partition in (self._partition_of(*one) for one in batch)}
        if len(partitions) != 1:
            raise NotUnderstood("a conditional batch is on one partition")
        if not any(change.conditions for change, _ in batch):
            raise NotUnderstood("a conditional batch has a condition")
        (partition,) = partitions.values()
        if not any(self._looks_at_row(*one) for one in batch):
            self._check_traces(partition, partition.order, 1, now_ms)
        if all(self._holds(partition, *one, now_ms=now_ms) for one in batch):
            timestamp = partition.last_us = max(partition.last_us + 1, timestamp)
            for change, values in batch:
                self.change(change, values, timestamp, now_ms)
            return None
        return self._shown(partition, batch, now_ms)

    def _holds(self, partition: _Partition, change: Change, values: Sequence[Any], *, now_ms: int) -> bool:
        at = self._clustering_of(change, values)
        cells = partition.rows[at].cells if at is not None and at in partition.rows else {}
        for one in change.conditions:
            (name,) = one.columns
            if name not in self.definition.static and at is None:
                raise NotUnderstood(f"{change}: a condition on a column of a row needs the whole key")
            here = partition.static.cells if name in self.definition.static else cells
            right = one.right(values)
            self._check_types({name: right})
            if not holds(one.operator, _value(here, name, now_ms), right):
                return False
        return True

    def _shown(
        self, partition: _Partition, batch: Sequence[tuple[Change, Sequence[Any]]], now_ms: int
    ) -> list[dict[str, Any]]:
        named = dict.fromkeys(name for change, _ in batch for one in change.conditions for name in one.columns)
        looked_at: set[Clustering] = set()
        for change, values in batch:
            at = self._clustering_of(change, values)
            if at is not None and self._looks_at_row(change, values):
                looked_at.add(at)
        shown = []
        columns = [*self._keys(), *named]
        for at in sorted(looked_at):
            if at in partition.rows and partition.rows[at].is_there(now_ms):
                cells = self._cells(partition, at, now_ms)
                shown.append({"[applied]": False} | {name: cells.get(name) for name in columns})
        if not shown and partition.static.is_there(now_ms):
            cells = self._cells(partition, None, now_ms)
            shown.append({"[applied]": False} | {name: cells.get(name) for name in columns})
        return shown or [{"[applied]": False}]

    def _looks_at_row(self, change: Change, values: Sequence[Any]) -> bool:
        """Whether one of the conditions is on a column of the row, and not of the partition."""
        names = {name for one in change.conditions for name in one.columns}
        return self._clustering_of(change, values) is not None and not names <= set(self.definition.static)

    def _check_traces(self, partition: _Partition, rows: Sequence[Clustering], limit: int | None, now_ms: int) -> None:
        met = found = 0
        for at in rows:
            if limit is not None and found >= limit:
                return
            is_there = partition.rows[at].is_there(now_ms)
            found, met = found + is_there, met + (not is_there)
            if met > self.traces_max:
                raise TooManyTraces(f"{self.definition.table}: more than {self.traces_max} rows that are gone")

    # ---- reads -------------------------------------------------------------------------------------------------------

    def select(self, select: Select, values: Sequence[Any], now_ms: int) -> list[tuple[Any, ...]]:
        """Carries out a read."""
        asked = {name for one in select.where for name in one.columns}
        if asked & set(self.definition.clustering) and {name for name, _ in select.columns} <= set(
            self.definition.static
        ):
            raise NotUnderstood("Cannot restrict clustering columns when selecting only static columns")
        found: list[tuple[Any, ...]] = []
        limit = select.limit.of(values) if select.limit is not None else None
        for partition in self._partitions(select, values):
            matching = self._matching(partition, select, values)
            self._check_traces(partition, matching, limit, now_ms)
            rows = [at for at in matching if partition.rows[at].is_there(now_ms)]
            for at in reversed(rows) if select.is_reverse else rows:
                found.append(self._result(partition, at, select, now_ms))
                if limit is not None and len(found) >= limit:
                    return found
            is_whole = not any(name in self.definition.clustering for one in select.where for name in one.columns)
            if not rows and is_whole and partition.static.is_there(now_ms):
                found.append(self._result(partition, None, select, now_ms))
        return found if limit is None else found[:limit]

    def _partitions(self, select: Select, values: Sequence[Any]) -> Iterator[_Partition]:
        tokens = [one for one in select.where if one.is_token]
        if not tokens:
            key = self._key(select.where, values)
            if key in self.partitions:
                yield self.partitions[key]
            return
        for of, key in sorted((token(key[0]), key) for key in self.partitions):
            if all(holds(one.operator, of, one.right(values)) for one in tokens):
                yield self.partitions[key]

    def _matching(self, partition: _Partition, select: Select, values: Sequence[Any]) -> list[Clustering]:
        names = self.definition.clustering
        asked = [one for one in select.where if not one.is_token and one.columns[0] in names]
        lists = [one for one in asked if one.operator == "IN"]
        if lists and len(lists[0].columns) == len(names):
            wanted = lists[0].right(values)
            return sorted(at for at in wanted if at in partition.rows)
        if lists:
            (one,) = lists
            head = tuple(self._equal(name, select.where, values) for name in names[: names.index(one.columns[0])])
            return sorted(at for at in (head + choice for choice in one.right(values)) if at in partition.rows)
        first, end = self._range(select.where, values)
        return [
            at
            for at in partition.between(first, end)
            if all(holds(one.operator, _of(at, names, one), one.right(values)) for one in asked)
        ]

    def _result(self, partition: _Partition, at: Clustering | None, select: Select, now_ms: int) -> tuple[Any, ...]:
        cells = self._cells(partition, at, now_ms)
        row = partition.rows[at].cells if at is not None else {}
        return tuple(row[name][0] if is_time else cells.get(name) for name, is_time in select.columns)

    def _cells(self, partition: _Partition, at: Clustering | None, now_ms: int) -> dict[str, Any]:
        cells = dict(zip(self.definition.partition, partition.key, strict=True))
        cells |= {name: _value(partition.static.cells, name, now_ms) for name in partition.static.cells}
        if at is not None:
            cells |= zip(self.definition.clustering, at, strict=True)
            row = partition.rows[at].cells
            cells |= {name: _value(row, name, now_ms) for name in row}
        return cells

    # ---- keys --------------------------------------------------------------------------------------------------------

    def _keys(self) -> tuple[str, ...]:
        return self.definition.partition + self.definition.clustering

    def _equal(self, name: str, where: Sequence[Relation], values: Sequence[Any]) -> Any:
        found = [one.right(values) for one in where if one.columns == (name,) and one.operator == "="]
        if len(found) != 1:
            raise NotUnderstood(f"{self.definition.table}: {name} = … is missing in {where}")
        self._check_types({name: found[0]})
        return found[0]

    def _key(self, where: Sequence[Relation], values: Sequence[Any]) -> Clustering:
        key = tuple(self._equal(name, where, values) for name in self.definition.partition)
        if key == (b"",):
            raise NotUnderstood("Key may not be empty")
        return key

    def _partition_of(self, change: Change, values: Sequence[Any]) -> _Partition:
        if len(values) != change.markers:
            raise NotUnderstood(f"{change}: {len(values)} values for {change.markers} markers")
        if change.verb == "INSERT":
            given = {name: term.of(values) for name, term in change.sets}
            key: Clustering = tuple(given[name] for name in self.definition.partition)
        else:
            key = self._key(change.where, values)
        found = self.partitions.get(key)
        if found is None:
            found = self.partitions[key] = _Partition(key)
        return found

    def _clustering_of(self, change: Change, values: Sequence[Any]) -> Clustering | None:
        """Returns the whole clustering key, None where the statement has none or only a part of it."""
        names = self.definition.clustering
        if change.verb == "INSERT":
            given = {name: term.of(values) for name, term in change.sets}
            return tuple(given[name] for name in names)
        bound = {one.columns[0] for one in change.where if one.operator == "="}
        if not all(name in bound for name in names):
            return None
        return tuple(self._equal(name, change.where, values) for name in names)

    def _range(self, where: Sequence[Relation], values: Sequence[Any]) -> tuple[Clustering, Clustering | None]:
        """Returns a first clustering key and an end between which everything lies that is asked for."""
        first: Clustering = ()
        for name in self.definition.clustering:
            here = {one.operator: one.right(values) for one in where if one.columns == (name,)}
            self._check_types(dict.fromkeys([name], next(iter(here.values()), None)))
            if "=" in here:
                first = (*first, here["="])
                continue
            lower, upper = here.get(">=", here.get(">")), here.get("<")
            end = (*first, upper) if upper is not None else _behind(first)
            return (first if lower is None else (*first, lower)), end
        return first, _behind(first)

    def _check_types(self, given: dict[str, Any]) -> None:
        for name, value in given.items():
            wanted = _TYPES[self.definition.types[name]]
            if value is not None and type(value) is not wanted:
                raise NotUnderstood(f"{self.definition.table}.{name} is {wanted.__name__}, not {value!r}")

    # ---- for tests ---------------------------------------------------------------------------------------------------

    def content(self, now_ms: int) -> dict[Clustering, tuple[dict[str, Cell], dict[Clustering, dict[str, Cell]]]]:
        """Returns everything that lives: by partition its static cells, and those of its rows."""
        found = {}
        for key, partition in sorted(self.partitions.items()):
            static = {name: cell for name, cell in sorted(partition.static.cells.items()) if _lives(cell, now_ms)}
            rows = {
                at: {name: cell for name, cell in sorted(partition.rows[at].cells.items()) if _lives(cell, now_ms)}
                for at in partition.order
                if partition.rows[at].is_there(now_ms)
            }
            if static or rows:
                found[key] = (static, rows)
        return found


def _of(at: Clustering, names: tuple[str, ...], relation: Relation) -> Any:
    """Returns what a relation looks at in a clustering key."""
    found = tuple(at[names.index(name)] for name in relation.columns)
    return found if len(found) > 1 else found[0]


def _behind(head: Clustering) -> Clustering | None:
    """Returns the first key behind all those that begin with these columns; None for none."""
    if not head:
        return None
    last = head[-1]
    following = {int: lambda: last + 1, bytes: lambda: last + b"\x00", str: lambda: last + "\x00"}
    return (*head[:-1], following[type(last)]())
