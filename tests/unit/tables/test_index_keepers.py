"""The parts of a keeper of indexes, each by itself: cursor, marks, batches, figures."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tenet.base.clock import NEVER, ManualClock
from tenet.base.ids import SeededIds
from tenet.store.contract import (
    Append,
    Commit,
    Committed,
    Delete,
    Key,
    Limits,
    LogOptions,
    Put,
    Record,
    SpaceOptions,
    Version,
    new_commit_id,
)
from tenet.store.errors import InvalidRequest, StoreCorrupt
from tenet.store.landing import land
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState
from tenet.tables import keys
from tenet.tables.api import Shares
from tenet.tables.ops.indexing import batches
from tenet.tables.ops.indexing.batches import Batch, in_commits, outlook_of, read_batch
from tenet.tables.ops.indexing.behind import behind_ms
from tenet.tables.ops.indexing.cursor import LATENESS_MS, Cursor, Superseded, decode_kept
from tenet.tables.ops.indexing.fences import Fences, MarkRule, decode_mark
from tenet.tables.ops.indexing.measures import BOUNDS_S, Delays, Progress
from tenet.tables.rules.index_log import READER, entry_writes, logged_changes
from tenet.wire.door import Distribution, Measure, Measured
from tenet.wire.exposition import of_measure, render
from tests.cassandra_model.stand import Stand
from tests.unit.tables.test_index_log import PLACES, TABLE, image

CURSOR = keys.cursor_key(TABLE.id, 0)
INDEX = keys.index_space(TABLE.id, 1)
VERSIONS = [Version(bytes((number,)) * 16) for number in range(4)]


class Scene:
    """An engine with the spaces of the keepers and of a table, and what works on it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.ids = SeededIds(1)
        self.store = MemoryEngine(MemoryState(), clock=self.clock, ids=self.ids)

    async def prepare(self) -> None:
        await self.store.ensure_space(keys.KEEPERS_SPACE)
        await self.store.ensure_space(INDEX)
        await self.store.ensure_space(TABLE.space, SpaceOptions(log=LogOptions(readers=(READER,))))

    def cursor(self) -> Cursor:
        return Cursor(self.store, CURSOR, clock=self.clock, ids=self.ids)

    async def commit(self, writes: Sequence[Put | Delete], appends: Sequence[Append] = ()) -> None:
        done = await land(self.store, writes, (), appends, clock=self.clock, ids=self.ids, deadline=NEVER)
        assert isinstance(done, Committed)

    async def write(self, count: int, value_bytes: int = 10) -> None:
        """Appends entries to the table's log."""
        for number in range(count):
            key = Key(TABLE.space, b"p", b"\x00%d" % number)
            await self.commit((Put(key, b"v"),), (Append(key, None, bytes(value_bytes)),))

    async def read(self, ahead: Batch, *, after: int = 0) -> Batch:
        return await read_batch(
            self.store, TABLE.space, 0, after=after, ahead=ahead, gives_back=False, clock=self.clock
        )


def played(scene: Callable[[Scene], Awaitable[None]]) -> None:
    async def main() -> None:
        made = Scene()
        await made.prepare()
        await scene(made)

    asyncio.run(main())


# ---- the cursor ------------------------------------------------------------------------------------------------------


def test_the_first_claim_of_a_log_has_nobody_to_keep_out() -> None:
    async def scene(here: Scene) -> None:
        cursor = here.cursor()
        await cursor.claim()
        assert (cursor.kept.epoch, cursor.kept.position, cursor.is_fencing) == (1, 0, False)

    played(scene)


def test_whoever_follows_one_that_was_killed_has_to_keep_it_out_for_a_while() -> None:
    async def scene(here: Scene) -> None:
        killed, heir, last = here.cursor(), here.cursor(), here.cursor()
        await killed.claim()
        await killed.move(7)
        await heir.claim()
        assert (heir.kept.epoch, heir.kept.position, heir.is_fencing) == (2, 7, True)
        here.clock.advance_ms(1_000)
        await heir.move(8, is_released=True)
        await last.claim()
        assert (last.kept.epoch, last.kept.position) == (3, 8)
        assert last.kept.fence_until_ms == heir.kept.fence_until_ms, "one that ended in peace adds nothing"
        here.clock.advance_ms(LATENESS_MS)
        assert not last.is_fencing

    played(scene)


def test_a_cursor_moves_for_its_last_claimant_alone() -> None:
    async def scene(here: Scene) -> None:
        first, second = here.cursor(), here.cursor()
        await first.claim()
        await first.validate()
        await second.claim()
        with pytest.raises(Superseded):
            await first.move(5)
        with pytest.raises(Superseded):
            await first.validate()
        await second.move(6)
        (record,) = await here.store.get((CURSOR,))
        assert decode_kept(record).position == 6

    played(scene)


def test_a_cursor_that_is_gone_belongs_to_nobody() -> None:
    async def scene(here: Scene) -> None:
        cursor = here.cursor()
        await cursor.claim()
        await here.store.discard(keys.KEEPERS_SPACE, CURSOR.partition)
        with pytest.raises(Superseded):
            await cursor.move(5)
        assert (await here.store.scan(keys.KEEPERS_SPACE, limit=10)).records == []

    played(scene)


def test_a_cursor_written_anew_as_it_is_stays_its_keepers() -> None:
    async def scene(here: Scene) -> None:
        cursor = here.cursor()
        await cursor.claim()
        (record,) = await here.store.get((CURSOR,))
        assert record is not None
        await here.commit((Put(CURSOR, record.value),))
        await cursor.move(3)
        assert cursor.kept.position == 3

    played(scene)


def test_commits_on_the_strength_of_an_old_look_are_refused() -> None:
    async def scene(here: Scene) -> None:
        cursor = here.cursor()
        await cursor.claim()
        here.clock.advance_ms(Limits.settle_window_s * 1_000 + 1)
        put = Put(Key(INDEX, b"p", b"s"), b"late")
        late = Commit(new_commit_id(cursor.dated, here.ids), (put,))
        with pytest.raises(InvalidRequest):
            await here.store.commit(late)
        await cursor.validate()
        assert isinstance(await here.store.commit(Commit(new_commit_id(cursor.dated, here.ids), (put,))), Committed)

    played(scene)


@pytest.mark.parametrize("value", [b"", b"\x02{}", b"\x01{", b'\x01{"epoch":"x"}'])
def test_a_cursor_that_nobody_wrote_is_not_believed(value: bytes) -> None:
    with pytest.raises(StoreCorrupt, match="the cursor of an index keeper"):
        decode_kept(Record(CURSOR.partition, b"", value, VERSIONS[0]))


def test_the_table_of_a_cursor_is_told_by_its_place() -> None:
    assert keys.cursor_table(CURSOR.partition) == TABLE.id
    assert keys.cursor_key(TABLE.id, 0) != keys.cursor_key(TABLE.id, 1)


# ---- marks -----------------------------------------------------------------------------------------------------------


def mark(fences: Fences, version: Version, until_ms: int = 5) -> Record:
    put = fences.mark((INDEX, b"p"), until_ms)
    return Record(put.key.partition, put.key.sort, put.value, version)


def test_a_mark_is_believed_as_it_was_last_seen() -> None:
    place = (INDEX, b"p")
    fences, former, later = Fences(0, 5), Fences(0, 4), Fences(0, 6)
    assert (fences.version(place), fences.missing([place])) == (None, [place])
    fences.learn(place, mark(former, VERSIONS[1]))
    assert (fences.version(place), fences.missing([place])) == (VERSIONS[1], [place])
    fences.landed(place, VERSIONS[2])
    assert (fences.version(place), fences.missing([place])) == (VERSIONS[2], [])
    with pytest.raises(Superseded):
        fences.learn(place, mark(later, VERSIONS[3]))
    fences.learn(place, None)
    assert fences.version(place) is None


def test_shards_of_a_log_have_marks_of_their_own() -> None:
    assert Fences(0, 1).key((INDEX, b"p")) != Fences(1, 1).key((INDEX, b"p"))


def test_marks_expire_and_nothing_else_of_an_index_does() -> None:
    rule, record = MarkRule(), mark(Fences(0, 9), VERSIONS[0], until_ms=77)
    key = keys.mark_key(INDEX, b"p", 0)
    assert decode_mark(record.value) == (9, 77)
    assert rule.expires_ms(key, record) == 77
    assert rule.expires_ms(Key(INDEX, b"p", b"entry"), record) is None
    assert rule.expires_ms(Key(TABLE.space, b"p", key.sort), record) is None
    removal = rule.removal(key, record)
    assert not [*removal.writes, *removal.appends, *removal.checks]


# ---- batches ---------------------------------------------------------------------------------------------------------


def test_a_keeper_is_at_most_a_window_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "WINDOW_ENTRIES", 10)

    async def scene(here: Scene) -> None:
        await here.write(25)
        whole = await here.read(Batch())
        assert len(whole.entries) == 10
        begun = Batch()
        begun.take(whole.entries[:7])
        rest = await here.read(begun, after=begun.entries[-1].position)
        assert [one.position for one in (*begun.entries, *rest.entries)] == [one.position for one in whole.entries]
        assert (await here.read(whole, after=whole.entries[-1].position)).entries == []

    played(scene)


def test_large_entries_fill_a_window_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "WINDOW_BYTES", 1_000)

    async def scene(here: Scene) -> None:
        await here.write(20, value_bytes=300)
        whole = await here.read(Batch())
        assert len(whole.entries) == 4
        begun = Batch()
        begun.take(whole.entries[:3])
        rest = await here.read(begun, after=begun.entries[-1].position)
        assert [one.position for one in rest.entries] == [whole.entries[3].position]

    played(scene)


def test_the_last_word_on_every_place_is_written_and_no_place_is_left_out() -> None:
    async def scene(here: Scene) -> None:
        at = keys.item_key(TABLE, PLACES[0])
        states = [image(None), *(image(PLACES[0] | {"g": {"S": value}}) for value in "abc"), image(None)]
        for old, new in itertools.pairwise(states):
            await here.commit((), logged_changes(TABLE, at, old, new).appends)
        log = (await here.store.read_log(TABLE.space, 0, after=0, limit=10)).entries
        outlook = await outlook_of(here.store, TABLE, 0, log, clock=here.clock)
        assert {place for place in outlook.places if place[0] == INDEX} == {
            (INDEX, value) for value in (b"a", b"b", b"c")
        }
        assert all(isinstance(write, Delete) for writes in outlook.places.values() for write in writes)
        short = await outlook_of(here.store, TABLE, 0, log[:2], clock=here.clock)
        assert isinstance(short.places[INDEX, b"b"][0], Put)
        assert isinstance(short.places[INDEX, b"a"][0], Delete)
        assert short.counts[INDEX] == 2

    played(scene)


def test_what_is_told_by_its_keys_is_looked_up() -> None:
    async def scene(here: Scene) -> None:
        at, old = keys.item_key(TABLE, PLACES[0]), image(PLACES[0] | {"g": {"S": "a"}, "e": {"S": "x"}})
        new = image(PLACES[0] | {"g": {"S": "b"}, "h": {"S": "h"}, "e": {"S": "now"}})
        assert new.value is not None
        logged = logged_changes(TABLE, at, old, new, by_reference=True)
        await here.commit((Put(at, new.value),), logged.appends)
        log = (await here.store.read_log(TABLE.space, 0, after=0, limit=10)).entries
        outlook = await outlook_of(here.store, TABLE, 0, log, clock=here.clock)
        wanted = {write.key: write for write in entry_writes(TABLE, TABLE.global_indexes, old, new)}
        assert {write.key: write for writes in outlook.places.values() for write in writes} == wanted
        await here.store.discard(at.space, at.partition)
        gone = await outlook_of(here.store, TABLE, 0, log, clock=here.clock)
        assert all(isinstance(write, Delete) for writes in gone.places.values() for write in writes)

    played(scene)


def test_a_partition_is_written_in_portions_that_a_commit_has_room_for() -> None:
    small = [Put(Key(INDEX, b"p", b"%d" % number), b"v") for number in range(1_200)]
    assert [len(part) for part in in_commits(small)] == [500, 500, 200]
    large = [Put(Key(INDEX, b"p", b"%d" % number), bytes(900_000)) for number in range(5)]
    assert [len(part) for part in in_commits(large)] == [2, 2, 1]
    assert list(in_commits([])) == []


# ---- who, and how late -----------------------------------------------------------------------------------------------


def test_every_job_lies_in_one_share() -> None:
    shares = [Shares(3) for _ in range(3)]
    for number, of_process in enumerate(shares):
        of_process.take(number)
    jobs = [f"tables.indexes/{number}/0" for number in range(100)]
    owners = [[number for number, of_process in enumerate(shares) if of_process.owns(job)] for job in jobs]
    assert all(len(found) == 1 for found in owners)
    assert {found[0] for found in owners} == {0, 1, 2}
    shares[0].leave(0)
    assert not any(shares[0].owns(job) for job in jobs)


def test_an_index_is_as_late_as_its_oldest_change() -> None:
    progress = Progress()
    assert progress.lag_ms(INDEX, 1_000) == 0
    progress.begin({INDEX: 400})
    assert progress.lag_ms(INDEX, 1_000) == 600
    assert progress.lag_ms("another", 1_000) == 0
    progress.fail(900)
    progress.fail(950)
    assert progress.lag_ms("another", 1_000) == 100, "nobody knows what is in a log that cannot be read"
    progress.end({INDEX: 3})
    assert (progress.lag_ms(INDEX, 1_000), progress.written) == (0, {INDEX: 3})


def test_measures_of_a_service_are_on_the_page_of_metrics() -> None:
    delays = Delays()
    delays.count(4, 2)
    delays.count(150, 1)
    delays.count(90_000, 1)
    measures: list[Measure] = [
        Measured("tenet_index_lag_seconds", "Age.", ("table", "index"), {("t", "i"): 0.25}),
        Measured("tenet_index_entries", "Entries.", ("table",), {("t",): 7.0}, is_counter=True),
        Distribution("tenet_index_delay_seconds", "Time.", BOUNDS_S, delays.buckets, delays.seconds),
    ]
    page = render(lambda: map(of_measure, measures)).decode()
    assert 'tenet_index_lag_seconds{index="i",table="t"} 0.25' in page
    assert 'tenet_index_entries_total{table="t"} 7.0' in page
    families = {family.name: family for family in text_string_to_metric_families(page)}
    buckets = {sample.labels.get("le"): sample.value for sample in families["tenet_index_delay_seconds"].samples}
    assert (buckets["0.005"], buckets["0.1"], buckets["0.2"], buckets["60.0"], buckets["+Inf"]) == (2, 2, 3, 3, 4)


def test_whoever_asks_how_far_an_index_is_behind_is_in_nobodys_way() -> None:
    async def test(stand: Stand) -> None:
        keeper, asker = await stand.process("keeper"), await stand.process("asker")
        await keeper.engine.ensure_space(keys.KEEPERS_SPACE)
        await keeper.engine.ensure_space(TABLE.space, SpaceOptions(log=LogOptions(readers=(READER,))))

        async def ask() -> int:
            before = (asker.driver.sent["conditional"], asker.driver.sent["write"])
            behind = await behind_ms(asker.engine, TABLE, now_ms=stand.clock.wall_ms())
            assert (asker.driver.sent["conditional"], asker.driver.sent["write"]) == before
            return behind

        assert await ask() == 0
        for number in range(3):
            key = Key(TABLE.space, b"p", b"%d" % number)
            commit = Commit(keeper.client.new_id(), [Put(key, b"v")], appends=[Append(key, None, b"x")])
            assert await keeper.client.attempt_commit(commit)
            stand.clock.advance_ms(2_000)
            # On its way to the log first, then in the log and not in the index.
            assert await ask() == 2_000
            (record,) = await keeper.engine.get((CURSOR,))
            page = await keeper.engine.read_log(TABLE.space, 0, after=decode_kept(record).position, limit=9)
            assert await ask() == 2_000
            cursor = Cursor(keeper.engine, CURSOR, clock=stand.clock, ids=SeededIds(number))
            await cursor.claim()
            await cursor.move(page.entries[-1].position)
            assert await ask() == 0

    Stand().run(test)
