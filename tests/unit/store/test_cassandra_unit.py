"""The part of a commit in one partition: what refuses it, what it asks of the cluster, and what it writes there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.base.clock import ManualClock
from tenet.base.ids import SeededIds
from tenet.store.cassandra import encoding, rows, schema
from tenet.store.cassandra.spaces import Space
from tenet.store.cassandra.unit import Believed, Seen, Unit, carried_out, given_up, split
from tenet.store.contract import (
    Add,
    Append,
    Check,
    Commit,
    CommitId,
    Conflict,
    Delete,
    IsOlderThan,
    IsPresent,
    IsStamp,
    IsVersion,
    Key,
    Limits,
    LogOptions,
    Put,
    SpaceOptions,
    StampOf,
    Version,
    Write,
    new_commit_id,
)
from tenet.store.errors import InvalidRequest, LimitExceeded
from tenet.store.memory import MemoryEngine
from tests.cassandra_model.cluster import Cluster

OPTIONS = SpaceOptions(stamps=True, log=LogOptions())
SPACE = Space("s", "0123456789abcdef", OPTIONS, "ab" * 8, "k")
PLAIN = Space("plain", "fedcba9876543210", SpaceOptions(), "", "k")
SPACES = {"s": SPACE, "plain": PLAIN}
SORTS = (b"a", b"b", b"c")
OF = StampOf("s", b"p")
ID = CommitId(bytes(16))
LOW, HIGH = Version(bytes(16)), Version(b"\xff" * 16)


def key(sort: bytes) -> Key:
    return Key("s", b"p", sort)


sorts = st.sampled_from(SORTS)
held = st.dictionaries(sorts, st.dictionaries(st.sampled_from(("m", "n")), st.integers(-3, 3), max_size=2))
bounds = st.none() | st.integers(-3, 6)
adds = st.builds(
    lambda sort, cell, amount, low, high: Add(key(sort), cell, amount, low, high),
    sorts,
    st.sampled_from(("m", "n")),
    st.integers(-4, 4) | st.sampled_from((2**63 - 1, -(2**63))),
    bounds,
    bounds,
)
#: A check, whose version is that of the record, a lower or a higher one.
checks = st.tuples(st.sampled_from(("is", "absent", "older", "present", "stamp")), sorts, st.sampled_from("=<>"))


def check_of(kind: str, sort: bytes, relation: str, version: Version, stamp: int) -> Check:
    other = {"=": version, "<": LOW, ">": HIGH}[relation]
    made: dict[str, Check] = {
        "is": IsVersion(key(sort), other),
        "absent": IsVersion(key(sort), None),
        "older": IsOlderThan(key(sort), other),
        "present": IsPresent(key(sort)),
        "stamp": IsStamp(OF, stamp if relation == "=" else stamp + 1),
    }
    return made[kind]


async def as_memory_does(
    records: Mapping[bytes, Mapping[str, int]], drawn: list[tuple[str, bytes, str]], writes: list[Add]
) -> None:
    clock, ids = ManualClock(), SeededIds(1)
    engine = MemoryEngine(clock=clock, ids=ids)
    await engine.ensure_space("s", OPTIONS)
    version, stamp = LOW, 0
    if records:
        puts = [Put(key(sort), b"v", cells) for sort, cells in records.items()]
        version = getattr(await engine.commit(Commit(new_commit_id(clock, ids), puts)), "version", LOW)
        (found,) = await engine.read_together([OF])
        assert isinstance(found, int)
        stamp = found
    wanted = [check_of(*one, version, stamp) for one in drawn]
    commit = Commit(new_commit_id(clock, ids), writes, wanted)
    outcome = await engine.commit(commit)
    seen = Seen(5)
    seen.stamps = {b"": stamp}
    for sort, cells in records.items():
        seen.rows[sort] = rows.Row(version, b"v", encoding.encode_cells(4, cells))
    units = split(commit, SPACES)
    refusals = units[0].refusals(seen) if units else None
    failed, outside = (outcome.failed, outcome.out_of_bounds) if isinstance(outcome, Conflict) else ([], [])
    assert sorted(refusals.failed if refusals else []) == list(failed)
    assert sorted(refusals.out_of_bounds if refusals else []) == list(outside)
    if refusals and isinstance(outcome, Conflict):
        for one, record in refusals.records.items():
            other = outcome.records[one]
            assert (record and (record.value, record.version, dict(record.cells))) == (
                other and (other.value, other.version, dict(other.cells))
            )
        assert refusals.stamps == outcome.stamps


@given(held, st.lists(checks, max_size=5), st.lists(adds, max_size=3, unique_by=lambda add: (add.key, add.cell)))
def test_what_refuses_a_commit_is_what_refuses_it_in_memory(
    records: dict[bytes, dict[str, int]], drawn: list[tuple[str, bytes, str]], writes: list[Add]
) -> None:
    asyncio.run(as_memory_does(records, drawn, writes))


@given(held, st.lists(checks, min_size=1, max_size=4))
def test_the_conditions_of_a_batch_hold_exactly_where_no_check_refuses(
    records: dict[bytes, dict[str, int]], drawn: list[tuple[str, bytes, str]]
) -> None:
    """On tables that a batch can be tried on."""
    cluster = Cluster(ManualClock())
    cluster.define(schema.space("k", SPACE.space_id, 86_400))
    statements, place = SPACE.statements, encoding.to_key(b"p")
    version, stamp = Version(b"\x55" * 16), 7
    for sort, cells in records.items():
        values = [b"v", version, encoding.encode_cells(4, cells), place, sort]
        cluster.write([(statements.put_cells, values)], 1)
    cluster.write([(statements.bucket, [stamp, place, b""])], 1)
    (unit,) = split(Commit(ID, [], [check_of(*one, version, stamp) for one in drawn]), SPACES)
    seen = Seen(None)
    seen.stamps = {b"": stamp}
    for sort, cells in records.items():
        seen.rows[sort] = rows.Row(version, b"v", encoding.encode_cells(4, cells))
    believed = Believed()
    believed.absent = {index for sort, some in unit.checks.items() if sort not in records for index, _ in some}
    shown = cluster.decide(unit.preparation(believed))
    assert (shown is None) == (not unit.refusals(seen))
    if shown is not None:
        again = Seen.of(shown)
        assert unit.refusals(again).failed == unit.refusals(seen).failed
        assert all(again.row(sort) == seen.row(sort) for sort in unit.sorts())


class TestWrites:
    """What a batch leaves behind, tried on tables in memory."""

    WRITES: tuple[Write, ...] = (
        Put(key(b"a"), b"new"),
        Put(key(b"b"), b"new", {"n": 2}),
        Delete(key(b"c")),
        Add(key(b"d"), "n", 5),
        Add(key(b"e"), "n", 5),
    )

    def prepared(self) -> tuple[Cluster, Unit, Believed]:
        cluster = Cluster(ManualClock())
        cluster.define(schema.space("k", SPACE.space_id, 86_400))
        old, place = Version(bytes(7) + b"\x01" + bytes(8)), encoding.to_key(b"p")
        before = [[b"old", old, encoding.encode_cells(1, {"n": 1}), place, sort] for sort in (b"a", b"b", b"c", b"d")]
        cluster.write([(SPACE.statements.put_cells, values) for values in before], 1)
        (unit,) = split(Commit(ID, self.WRITES, [], [Append(key(b"a"), b"old", b"new")]), SPACES)
        believed = Believed(1)
        believed.rows = {b"d": rows.Row(old, b"old", encoding.encode_cells(1, {"n": 1})), b"e": rows.NO_ROW}
        return cluster, unit, believed

    def assert_written(self, cluster: Cluster, version: Version) -> None:
        read = f"SELECT sort, v, ver, c, i FROM {SPACE.statements.table} WHERE p = ? AND kind = 1"
        found = {
            sort: (value, ver == version, dict(encoding.decode_cells(cells)), mark)
            for sort, value, ver, cells, mark in cluster.select(read, [encoding.to_key(b"p")])
        }
        assert found == {
            b"a": (b"new", True, {"n": 1}, None),
            b"b": (b"new", True, {"n": 2}, None),
            b"d": (b"old", False, {"n": 6}, None),
            b"e": (b"", True, {"n": 5}, None),
        }
        outbox = f"SELECT sort FROM {SPACE.statements.table} WHERE p = ? AND kind = 4"
        assert len(cluster.select(outbox, [encoding.to_key(b"p")])) == 1
        stamps = f"SELECT st FROM {SPACE.statements.table} WHERE p = ? AND kind = 2"
        assert cluster.select(stamps, [encoding.to_key(b"p")]) == [(encoding.hybrid_time(version),)]

    def test_a_decision_writes_all_of_it(self) -> None:
        cluster, unit, believed = self.prepared()
        version = Version(bytes(6) + b"\x01\x00" + bytes(8))
        assert cluster.decide(unit.decision(believed, ID, version)) is None
        self.assert_written(cluster, version)

    def test_an_intent_that_is_carried_out_leaves_the_same(self) -> None:
        cluster, unit, believed = self.prepared()
        version = Version(bytes(6) + b"\x01\x00" + bytes(8))
        assert cluster.decide(unit.preparation(believed)) is None
        intent = rows.decode_intent(rows.encode_intent(unit.intent(believed)))
        cluster.write(carried_out(SPACE.statements, unit.key, ID, version, intent), 2_000_000_000_000_000)
        self.assert_written(cluster, version)

    def test_an_intent_that_is_given_up_leaves_nothing(self) -> None:
        cluster, unit, believed = self.prepared()
        before = cluster.table(SPACE.statements.table).content(0)
        assert cluster.decide(unit.preparation(believed)) is None
        assert cluster.table(SPACE.statements.table).content(0) != before
        cluster.write(given_up(SPACE.statements, unit.key, unit.intent(believed)), 2_000_000_000_000_000)
        assert cluster.table(SPACE.statements.table).content(0) == before

    def test_an_add_to_what_has_changed_since_is_refused_and_shows_it(self) -> None:
        cluster, unit, believed = self.prepared()
        believed.rows[b"d"] = rows.NO_ROW
        shown = cluster.decide(unit.decision(believed, ID, HIGH))
        assert shown is not None
        assert dict(encoding.decode_cells(Seen.of(shown).row(b"d").cells)) == {"n": 1}


class TestSplit:
    """A commit in parts."""

    def test_the_first_write_is_in_the_anchor(self) -> None:
        writes = [Put(Key("s", b"2", b""), b""), Put(Key("s", b"1", b""), b""), Put(Key("s", b"2", b"x"), b"")]
        units = split(Commit(ID, writes, [IsPresent(Key("s", b"0", b""))]), SPACES)
        assert [unit.partition for unit in units] == [b"2", b"1", b"0"]
        assert [unit.changes for unit in units] == [True, True, False]

    def test_partitions_of_two_spaces_are_two(self) -> None:
        writes = [Put(Key("s", b"p", b""), b""), Put(Key("plain", b"p", b""), b"")]
        assert len(split(Commit(ID, writes), SPACES)) == 2

    def test_what_a_space_does_not_keep_is_refused(self) -> None:
        with pytest.raises(InvalidRequest, match="the space plain has no log"):
            split(Commit(ID, [], [], [Append(Key("plain", b"p"), None, b"")]), SPACES)
        with pytest.raises(InvalidRequest):
            split(Commit(ID, [], [IsStamp(StampOf("plain", b"p"), 0)]), SPACES)

    def test_one_cell_too_many_is_refused(self) -> None:
        full = {f"c{number}": 1 for number in range(Limits.cells_max)}
        (unit,) = split(Commit(ID, [Add(key(b"a"), "one more", 1)]), SPACES)
        believed = Believed(1)
        believed.rows[b"a"] = rows.Row(LOW, b"", encoding.encode_cells(1, full))
        with pytest.raises(LimitExceeded, match="at most 32 cells"):
            unit.cells_after(believed)
