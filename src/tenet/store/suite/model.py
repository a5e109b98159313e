"""The contract as a plain model: what every answer must be, given the state that it was made from.

An *observation* is a call with its answer. It either explains itself from a state, and says which state it leaves, or
it cannot have happened in that state. Observations that come one after the other are checked in their order; those
that overlap, by looking for an order (``linearizability``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from tenet.store.contract import (
    Add,
    Check,
    Commit,
    Committed,
    Conflict,
    Delete,
    IsOlderThan,
    IsStamp,
    IsVersion,
    Key,
    Limits,
    Page,
    Put,
    Range,
    Record,
    SpaceOptions,
    StampOf,
    Version,
    Write,
)

#: A partition of a space.
Place: TypeAlias = tuple[str, bytes]


class Stamp(Struct, frozen=True):
    """What is known of a stamp: its value, or, once it was raised, only that it is above it."""

    value: int = 0
    is_exact: bool = True

    def seen(self, value: int) -> Stamp | None:
        """Returns what is known once it was seen to be this value; None where it cannot be."""
        fits = value == self.value if self.is_exact else value > self.value
        return Stamp(value) if fits else None


class State(Struct, frozen=True):
    """Everything that a store holds.

    Args:
        spaces: their options, by name.
        records: those that are there.
        stamps: those that were ever raised or seen.
    """

    spaces: Mapping[str, SpaceOptions]
    records: Mapping[Key, Record] = {}
    stamps: Mapping[StampOf, Stamp] = {}

    def fingerprint(self) -> str:
        """Returns the same text for states that are the same."""
        records = [(key, r.version, r.value, sorted(r.cells.items())) for key, r in sorted(self.records.items())]
        stamps = sorted((of.space, of.partition, of.bucket, s.value, s.is_exact) for of, s in self.stamps.items())
        return repr((records, stamps))

    def see_stamps(self, stamps: Iterable[tuple[StampOf, int]]) -> State | None:
        """Returns the state once these stamps were seen; None where they cannot be."""
        known = dict(self.stamps)
        for of, value in stamps:
            seen = known.get(of, Stamp()).seen(value)
            if seen is None:
                return None
            known[of] = seen
        return replace(self, stamps=known)

    def has(self, records: Mapping[Key, Record | None]) -> bool:
        """Whether these are the records that it holds, byte for byte."""
        return all(same_record(self.records.get(key), record) for key, record in records.items())

    def holds(self, check: Check) -> bool:
        """Whether a check holds, stamps aside."""
        if isinstance(check, IsStamp):
            return True
        record = self.records.get(check.key)
        if isinstance(check, IsVersion):
            return (record.version if record is not None else None) == check.version
        if isinstance(check, IsOlderThan):
            return record is None or record.version < check.version
        return record is not None

    def is_in_bounds(self, write: Write) -> bool:
        """Whether a write is no add that breaks a bound."""
        if not isinstance(write, Add):
            return True
        record = self.records.get(write.key)
        total = write.amount + (record.cells.get(write.cell, 0) if record is not None else 0)
        lower = -Limits.cell_max - 1 if write.at_least is None else write.at_least
        upper = Limits.cell_max if write.at_most is None else write.at_most
        return lower <= total <= upper

    def after(self, writes: Sequence[Write], version: Version) -> State:
        """Returns the state that writes leave."""
        records = dict(self.records)
        stamps = dict(self.stamps)
        for write in writes:
            record = _written(records.get(write.key), write, version)
            if record is None:
                records.pop(write.key, None)
            else:
                records[write.key] = record
            options = self.spaces[write.key.space]
            if options.stamps:
                of = StampOf(write.key.space, write.key.partition, write.key.sort[: options.stamp_prefix_bytes])
                stamps[of] = Stamp(stamps.get(of, Stamp()).value, is_exact=False)
        return replace(self, records=records, stamps=stamps)


def same_record(one: Record | None, other: Record | None) -> bool:
    """Whether two records are the same, whatever kind of mapping their cells are in."""
    if one is None or other is None:
        return one is other
    same = (one.partition, one.sort, one.value, one.version) == (
        other.partition,
        other.sort,
        other.value,
        other.version,
    )
    return same and dict(one.cells) == dict(other.cells)


def _written(old: Record | None, write: Write, version: Version) -> Record | None:
    cells = old.cells if old is not None else {}
    key = write.key
    if isinstance(write, Delete):
        return None
    if isinstance(write, Put):
        return Record(key.partition, key.sort, write.value, version, cells if write.cells is None else write.cells)
    cells = {**cells, write.cell: cells.get(write.cell, 0) + write.amount}
    return Record(key.partition, key.sort, b"", version, cells) if old is None else replace(old, cells=cells)


# ---- observations ----------------------------------------------------------------------------------------------------


class Observation(Protocol):
    """A call with its answer."""

    def explain(self, state: State) -> State | None:
        """Returns the state after it, or None where the answer is wrong in this state."""
        ...


class SawTogether(Struct, frozen=True):
    """Records and stamps of one moment, from ``read_together``, or from ``get`` of one key."""

    reads: Sequence[Key | StampOf]
    answers: Sequence[Record | int | None]

    def explain(self, state: State) -> State | None:
        """See ``Observation``."""
        records: dict[Key, Record | None] = {}
        stamps: list[tuple[StampOf, int]] = []
        for read, answer in zip(self.reads, self.answers, strict=True):
            if isinstance(read, StampOf):
                assert isinstance(answer, int)
                stamps.append((read, answer))
            else:
                assert not isinstance(answer, int)
                records[read] = answer
        return state.see_stamps(stamps) if state.has(records) else None


class SawPage(Struct, frozen=True):
    """A page of a query; it may end early, if it says so."""

    place: Place
    within: Range
    limit: int
    limit_bytes: int
    reverse: bool
    stamp_of: StampOf | None
    page: Page

    def explain(self, state: State) -> State | None:
        """See ``Observation``."""
        all_of_it = records_within(state, self.place, self.within, reverse=self.reverse)
        wanted = all_of_it[: length_of_page(all_of_it, self.limit, self.limit_bytes)]
        got = self.page.records
        is_prefix = all(same_record(one, other) for one, other in zip(got, wanted, strict=False))
        may_end_here = len(got) == len(all_of_it) or (self.page.more and len(got) > 0)
        if len(got) > len(wanted) or not is_prefix or not may_end_here:
            return None
        if self.stamp_of is None:
            return state
        assert self.page.stamp is not None
        return state.see_stamps([(self.stamp_of, self.page.stamp)])


class SawCommitted(Struct, frozen=True):
    """A commit that took effect."""

    commit: Commit
    committed: Committed

    def explain(self, state: State) -> State | None:
        """See ``Observation``."""
        checks, writes = self.commit.checks, self.commit.writes
        if not all(map(state.holds, checks)) or not all(map(state.is_in_bounds, writes)):
            return None
        before = state.see_stamps((check.of, check.stamp) for check in checks if isinstance(check, IsStamp))
        if before is None:
            return None
        after = before.after(writes, self.committed.version)
        for key, cells in self.committed.cells.items():
            if dict(after.records[key].cells) != dict(cells):
                return None
        return after


class SawConflict(Struct, frozen=True):
    """What a conflict says about one partition. Partitions may have been looked at in different moments."""

    commit: Commit
    conflict: Conflict
    place: Place

    def explain(self, state: State) -> State | None:
        """See ``Observation``."""
        stamps: list[tuple[StampOf, int]] = []
        for index, check in enumerate(self.commit.checks):
            if place_of(check) != self.place:
                continue
            says_failed = index in self.conflict.failed
            if isinstance(check, IsStamp):
                now = self.conflict.stamps.get(check.of) if says_failed else check.stamp
                if now is None or (says_failed and now == check.stamp):
                    return None
                stamps.append((check.of, now))
            elif state.holds(check) == says_failed:
                return None
        for index, write in enumerate(self.commit.writes):
            if place_of(write) == self.place and state.is_in_bounds(write) == (index in self.conflict.out_of_bounds):
                return None
        here = {key: record for key, record in self.conflict.records.items() if place_of_key(key) == self.place}
        return state.see_stamps(stamps) if state.has(here) else None


def conflict_observations(commit: Commit, conflict: Conflict) -> list[SawConflict]:
    """Returns a conflict as one observation for each partition that it speaks of."""
    places = {place_of(part): None for part in (*commit.checks, *commit.writes)}
    return [SawConflict(commit, conflict, place) for place in places]


def place_of_key(key: Key) -> Place:
    """Returns the partition of a key."""
    return key.space, key.partition


def place_of(part: Check | Write) -> Place:
    """Returns the partition of a check or a write."""
    return (part.of.space, part.of.partition) if isinstance(part, IsStamp) else place_of_key(part.key)


def is_within(sort: bytes, within: Range) -> bool:
    """Whether a sort key lies in a range."""
    return within.lower <= sort and (within.upper is None or sort < within.upper)


def records_within(state: State, place: Place, within: Range, *, reverse: bool = False) -> list[Record]:
    """Returns the records of a range of a partition in the order of a query."""
    found = [r for key, r in state.records.items() if place_of_key(key) == place and is_within(key.sort, within)]
    return sorted(found, key=lambda record: record.sort, reverse=reverse)


def length_of_page(records: Sequence[Record], limit: int, limit_bytes: int) -> int:
    """Returns how many records the longest page has that begins with these."""
    value_bytes = 0
    for index, record in enumerate(records[:limit]):
        value_bytes += len(record.value)
        if value_bytes >= limit_bytes:
            return index + 1
    return min(limit, len(records))
