"""Simulations of expiry: hours of it in seconds, with faults, steps of the clock, restarts and crowds."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from tenet.base.clock import NEVER
from tenet.store.contract import (
    Add,
    Commit,
    Committed,
    Delete,
    IsVersion,
    Key,
    LogEntry,
    LogOptions,
    Outcome,
    Put,
    Record,
    SpaceOptions,
    Unknown,
    Write,
)
from tenet.store.errors import OutcomeUnknown, StoreError
from tenet.store.expiry import (
    LATENESS_MS,
    PERIOD_MS,
    SHARDS,
    ExpiryIndex,
    ExpiryRule,
    Removal,
    Rules,
    Sweeper,
    expiry_entry,
    mark_key,
    pointer_key,
)
from tenet.store.faulty import EVERY_FAULT, CallFaults, CommitFaults, FaultPlan
from tenet.store.memory import MemoryEngine
from tenet.store.versions import version_ms
from tests.rounds import rounds
from tests.sim.harness import NO_FAULTS, ExpensiveEngine, Node, Simulation, seeds, simulate

SPACE = "sessions"
LOGGED = SpaceOptions(log=LogOptions(readers=("tail",)))
NEVER_MS = 2**62
ENGINES = (MemoryEngine, ExpensiveEngine)


class ByValue:
    """The first eight bytes of a value say when the record is due; an index entry goes with it."""

    def expires_ms(self, key: Key, record: Record) -> int | None:
        due_ms = int.from_bytes(record.value[:8], "big")
        return None if due_ms == NEVER_MS else due_ms

    def removal(self, key: Key, record: Record) -> Removal:
        return Removal(writes=[Delete(index_key(key))], appends=[expiry_entry(key, record)])


def index_key(key: Key) -> Key:
    """Where the index entry of a record lies: in its partition, so that it is cheap on every engine."""
    return replace(key, sort=b"by-name/" + key.sort)


def value_of(due_ms: int, name: bytes = b"") -> bytes:
    return due_ms.to_bytes(8, "big") + name


async def by_value(space: str) -> ExpiryRule | None:
    return ByValue() if space.startswith(SPACE) else None


class Host:
    """What one node runs: a service that puts records with a time, and a sweeper."""

    def __init__(self, node: Node, rules: Rules = by_value, *, pause_s: float = 0.5) -> None:
        self.client = node.client
        self.index = ExpiryIndex(node.store, clock=node.clock, ids=node.ids)
        self.sweeper = Sweeper(self.index, rules, clock=node.clock, ids=node.ids, pause_s=pause_s)

    async def put(self, key: Key, due_ms: int, *, replaces_ms: int | None = None, name: bytes = b"") -> Committed:
        expires_ms = None if due_ms == NEVER_MS else due_ms
        pointers = self.index.pointers_for(key, expires_ms, replaces_ms=replaces_ms)
        writes = await self._announced(pointers)
        entry = Put(index_key(key), key.sort)
        return await self.client.write(Put(key, value_of(due_ms, name)), entry, *writes)

    async def _announced(self, pointers: Sequence[Write]) -> Sequence[Write]:
        while True:
            try:
                return await self.client.patiently(lambda: self.index.announce(pointers))
            except OutcomeUnknown:
                # A pointer may be written twice; that it is written is what matters.
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def sweeping(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.sweeper.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def prepare(sim: Simulation, *spaces: str) -> ExpiryIndex:
    """Makes the spaces; returns the index as nothing goes wrong with it."""
    for space in spaces or (SPACE,):
        await sim.truth.store.ensure_space(space, LOGGED)
    index = ExpiryIndex(sim.truth.store, clock=sim.clock, ids=sim.ids)
    await index.ensure()
    return index


async def records_of(sim: Simulation, space: str = SPACE) -> dict[bytes, int]:
    """When each record that is there is due, by its sort key."""
    found = await sim.truth.scan_all(space)
    return {r.sort: int.from_bytes(r.value[:8], "big") for r in found if not r.sort.startswith(b"by-name/")}


async def expiries(sim: Simulation) -> list[LogEntry]:
    return [entry for entry in await sim.truth.log_all(SPACE, limit=10_000) if entry.origin == "expiry"]


async def pointers(sim: Simulation) -> list[Record]:
    return [record for record in await sim.truth.scan_all("expiry") if record.partition != b"marks"]


def late_ms(entries: Sequence[LogEntry]) -> int:
    """How long after its time the latest record was removed."""
    return max(
        (version_ms(entry.version) - int.from_bytes((entry.old or b"")[:8], "big") for entry in entries), default=0
    )


# ---- the whole of it, under faults -----------------------------------------------------------------------------------


async def sessions(sim: Simulation) -> None:
    """Sessions are made, prolonged, made to stay and deleted on two nodes, while sweepers run on both and a third."""
    await prepare(sim)
    hosts = [Host(sim.node(), pause_s=1.5) for _ in range(3)]
    start_ms = sim.clock.wall_ms()

    async def user(number: int) -> None:
        host, key = hosts[number % 2], Key(SPACE, b"p%d" % (number % 7), b"%d" % number)
        due_ms: int | None = None
        for _ in range(8):
            await asyncio.sleep(sim.dice.below(20_000) / 1_000)
            if sim.dice.chance(0.1):
                await host.client.write(Delete(key), Delete(index_key(key)))
                continue
            new_ms = sim.clock.wall_ms() + sim.dice.below(30_000) - 2_000
            if sim.dice.chance(0.1):
                new_ms = NEVER_MS
            await host.put(key, new_ms, replaces_ms=due_ms, name=b"%d" % number)
            due_ms = None if new_ms == NEVER_MS else new_ms

    async with hosts[0].sweeping(), hosts[1].sweeping(), hosts[2].sweeping():
        await sim.actors(40, user)
        await asyncio.sleep(35)
        await sim.calm()
        await asyncio.sleep(65)
        left = await records_of(sim)
        assert not [name for name, due_ms in left.items() if due_ms < sim.clock.wall_ms()], "left over"
        for entry in await expiries(sim):
            due_ms = int.from_bytes((entry.old or b"")[:8], "big")
            assert start_ms - 5_000 <= due_ms <= version_ms(entry.version), "removed before its time"
        versions = [(entry.old, entry.sort, entry.version) for entry in await expiries(sim)]
        assert len(versions) == len(set(versions)), "logged twice"
        index_entries = {record.value for record in await sim.truth.scan_all(SPACE) if record.sort.startswith(b"by-")}
        assert index_entries == set(left), "index entries and records differ"
    # Once no commit can be under way any more, every pointer that leads nowhere is gone.
    last = Host(sim.node(NO_FAULTS), pause_s=20)
    async with last.sweeping():
        await asyncio.sleep(LATENESS_MS / 1_000 + 150)
        assert await pointers(sim) == []


@pytest.mark.parametrize("seed", seeds(4, 60))
@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_due_goes_and_nothing_else(engine: type[MemoryEngine], seed: int) -> None:
    plan = replace(EVERY_FAULT, commits=replace(EVERY_FAULT.commits, late_ms_max=20_000))
    simulate(sessions, seed, plan, engine)


async def landing_late(sim: Simulation) -> None:
    """Commits arrive minutes after they were given up, most of them after the time of their record."""
    await prepare(sim)
    writer, sweeper = Host(sim.node()), Host(sim.node(NO_FAULTS), pause_s=20)
    due_ms = sim.clock.wall_ms() + 30_000
    async with sweeper.sweeping():
        for number in range(40):
            key = Key(SPACE, b"p", b"%d" % number)
            found = writer.index.pointers_for(key, due_ms)
            writes = found if writer.index.is_in_same_commit else await sweeper.index.announce(found)
            commit = Commit(writer.client.new_id(), [Put(key, value_of(due_ms)), *writes])
            # Nobody settles it, so that it lands whenever it does.
            assert isinstance(await writer.client.store.commit(commit), Unknown)
        await sim.calm()
        assert sim.counts()["landed late: Committed"] == 40
        await asyncio.sleep(LATENESS_MS / 1_000 + 150)
        assert await records_of(sim) == {}
        assert len(await expiries(sim)) == 40


@pytest.mark.parametrize("seed", seeds(2, 40))
@pytest.mark.parametrize("engine", ENGINES)
def test_a_record_that_lands_after_its_time_is_found(engine: type[MemoryEngine], seed: int) -> None:
    simulate(landing_late, seed, FaultPlan(commits=CommitFaults(unknown_late=1.0, late_ms_max=580_000)), engine)


# ---- one thing at a time ---------------------------------------------------------------------------------------------


def test_everything_is_swept_within_five_seconds() -> None:
    async def scene(sim: Simulation) -> None:
        await prepare(sim)
        host = Host(sim.node())
        start_ms = sim.clock.wall_ms()
        for number in range(500):
            await host.put(Key(SPACE, b"p%d" % (number % 9), b"%d" % number), start_ms + 1_000 + number * 97)
        async with host.sweeping():
            await asyncio.sleep(60)
        entries = await expiries(sim)
        assert len(entries) == 500
        assert 0 <= late_ms(entries) <= 1_000
        assert host.sweeper.figures()["expired"] == 500
        assert 0 <= host.sweeper.figures()["late_ms_max"] <= 1_000

    simulate(scene, 0, NO_FAULTS)


def test_a_crowd_of_one_second_is_swept_in_bounded_batches() -> None:
    count = rounds(10_000, 100_000)
    largest = 0

    class Measured(MemoryEngine):
        def _decide(self, commit: Commit) -> Outcome:
            nonlocal largest
            if any(append.origin == "expiry" for append in commit.appends):
                largest = max(largest, len(commit.appends))
            return super()._decide(commit)

    async def scene(sim: Simulation) -> None:
        index = await prepare(sim)
        due_ms = sim.clock.wall_ms() + 10_000
        for start in range(0, count, 1_000):
            keys = [Key(SPACE, b"p%d" % (number % 50), b"%d" % number) for number in range(start, start + 1_000)]
            pointers_of = [write for key in keys for write in index.pointers_for(key, due_ms)]
            await sim.truth.write(*(Put(key, value_of(due_ms)) for key in keys), *pointers_of)
        hosts = [Host(sim.node()) for _ in range(2)]
        async with hosts[0].sweeping(), hosts[1].sweeping():
            await asyncio.sleep(30)
        assert await records_of(sim) == {}
        assert await pointers(sim) == []
        assert len(await sim.truth.log_all(SPACE, limit=10_000)) == count
        assert 0 < largest <= 100

    simulate(scene, 0, NO_FAULTS, Measured)


def test_records_are_read_in_batches_that_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenet.store.expiry._READ_BYTES_MAX", 64 * 1024)
    value_bytes, largest = 4_000, 0

    class Measured(MemoryEngine):
        async def get(
            self, keys: Sequence[Key], *, stale: bool = False, deadline: float = NEVER
        ) -> Sequence[Record | None]:
            nonlocal largest
            records = await super().get(keys, stale=stale, deadline=deadline)
            largest = max(largest, sum(len(record.value) for record in records if record is not None))
            return records

    async def scene(sim: Simulation) -> None:
        index = await prepare(sim)
        due_ms = sim.clock.wall_ms() + 10_000
        for start in range(0, 2_000, 200):
            keys = [Key(SPACE, b"p", b"%d" % number) for number in range(start, start + 200)]
            pointers_of = [write for key in keys for write in index.pointers_for(key, due_ms)]
            await sim.truth.write(*(Put(key, value_of(due_ms, bytes(value_bytes))) for key in keys), *pointers_of)
        host = Host(sim.node())
        async with host.sweeping():
            await asyncio.sleep(30)
        assert await records_of(sim) == {}
        # Each of the 16 shards has some 125. Half of the bound are 8 of them: no more than 16 are read at a time.
        assert largest == 16 * (value_bytes + 8)

    simulate(scene, 0, NO_FAULTS, Measured)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stale_pointer_removes_nothing_but_itself(engine: type[MemoryEngine]) -> None:
    async def scene(sim: Simulation) -> None:
        await prepare(sim)
        host = Host(sim.node(), pause_s=20)
        now_ms = sim.clock.wall_ms()
        later, never, gone = (Key(SPACE, b"p", name) for name in (b"later", b"never", b"gone"))
        for key in (later, never, gone):
            await host.put(key, now_ms + 2_000)
        # The service does not say what it replaces, so that the pointers to two seconds from now stay.
        await host.put(later, now_ms + 3_600_000)
        await host.put(never, NEVER_MS)
        await sim.truth.write(Delete(gone))
        async with host.sweeping():
            await asyncio.sleep(LATENESS_MS / 1_000 + 100)
            assert await records_of(sim) == {b"later": now_ms + 3_600_000, b"never": NEVER_MS}
            assert len(await pointers(sim)) == 1
            assert await expiries(sim) == []
            await asyncio.sleep(3_600)
            assert await records_of(sim) == {b"never": NEVER_MS}

    simulate(scene, 0, NO_FAULTS, engine)


def test_what_is_replaced_needs_no_sweeping() -> None:
    async def scene(sim: Simulation) -> None:
        index = await prepare(sim)
        host, key, now_ms = Host(sim.node()), Key(SPACE, b"p", b"k"), sim.clock.wall_ms()
        await host.put(key, now_ms + 60_000)
        for step in range(1, 6):
            await host.put(key, now_ms + 60_000 + step, replaces_ms=now_ms + 60_000 + step - 1)
        (pointer,) = await pointers(sim)
        assert pointer.sort[:8] == (now_ms + 60_005).to_bytes(8, "big")
        # The same time again needs nothing at all, and no time at all takes the pointer away.
        assert index.pointers_for(key, now_ms + 60_005, replaces_ms=now_ms + 60_005) == ()
        await host.put(key, NEVER_MS, replaces_ms=now_ms + 60_005)
        assert await pointers(sim) == []

    simulate(scene, 0, NO_FAULTS)


def test_a_time_in_the_past_is_now() -> None:
    async def scene(sim: Simulation) -> None:
        await prepare(sim)
        host = Host(sim.node())
        async with host.sweeping():
            await asyncio.sleep(100)
            now_ms = sim.clock.wall_ms()
            for number, due_ms in enumerate((0, 1, now_ms - 10**9, now_ms - 1, now_ms)):
                await host.put(Key(SPACE, b"p", b"%d" % number), due_ms)
            await asyncio.sleep(2)
            assert await records_of(sim) == {}

    simulate(scene, 0, NO_FAULTS)


def test_a_time_beyond_all_times_is_kept() -> None:
    async def scene(sim: Simulation) -> None:
        await prepare(sim)
        host = Host(sim.node())
        await host.put(Key(SPACE, b"p", b"far"), 2**63 - 1)
        index = host.index
        assert index.pointers_for(Key(SPACE, b"p", b"farther"), 2**80)
        async with host.sweeping():
            await asyncio.sleep(10)
        assert len(await records_of(sim)) == 1

    simulate(scene, 0, NO_FAULTS)


class TestClocks:
    """Steps of the wall clock."""

    @pytest.mark.parametrize("step_ms", [-3 * 3_600_000, -60_000, 60_000, 3 * 3_600_000])
    def test_after_a_step_records_go_by_the_new_time(self, step_ms: int) -> None:
        async def scene(sim: Simulation) -> None:
            await prepare(sim)
            host = Host(sim.node(), pause_s=3)
            async with host.sweeping():
                await host.put(Key(SPACE, b"p", b"before"), sim.clock.wall_ms() + 120_000)
                await asyncio.sleep(10)
                sim.clock.step_wall_ms(step_ms)
                for number in range(20):
                    await host.put(Key(SPACE, b"p", b"%d" % number), sim.clock.wall_ms() + 1_000 + number * 1_500)
                # Before the next thorough pass, which would find them anyway.
                await asyncio.sleep(33)
                assert set(await records_of(sim)) == ({b"before"} if step_ms <= 60_000 else set())
                await asyncio.sleep(max(0, -step_ms) / 1_000 + 120)
                assert await records_of(sim) == {}

        simulate(scene, 0, NO_FAULTS)

    def test_a_mark_of_the_future_is_taken_back(self) -> None:
        async def scene(sim: Simulation) -> None:
            await prepare(sim)
            host = Host(sim.node())
            sim.clock.step_wall_ms(86_400_000)
            assert await host.sweeper.sweep() is not None
            sim.clock.step_wall_ms(-86_400_000)
            async with host.sweeping():
                await asyncio.sleep(70)
            # The process ends; what becomes due while none runs is found by the next.
            await host.put(Key(SPACE, b"p", b"k"), sim.clock.wall_ms() + 1_000)
            await asyncio.sleep(7_200)
            other = Host(sim.node())
            async with other.sweeping():
                await asyncio.sleep(1)
            assert await records_of(sim) == {}

        simulate(scene, 0, NO_FAULTS)


@pytest.mark.parametrize("engine", ENGINES)
def test_after_days_without_a_sweeper_the_next_one_catches_up(engine: type[MemoryEngine]) -> None:
    async def scene(sim: Simulation) -> None:
        await prepare(sim)
        first = Host(sim.node(), pause_s=20)
        now_ms = sim.clock.wall_ms()
        for number in range(50):
            await first.put(Key(SPACE, b"p", b"%d" % number), now_ms + number * 3_600_000)
        async with first.sweeping():
            await asyncio.sleep(5 * 3_600 + 30)
        assert len(await records_of(sim)) == 44
        await asyncio.sleep(3 * 86_400)
        second = Host(sim.node(), pause_s=2)
        async with second.sweeping():
            await asyncio.sleep(5)
            assert await records_of(sim) == {}
            await asyncio.sleep(120)
        # It has made its mark, so that the one after it does not begin in the past again.
        for shard in range(SHARDS):
            mark = await sim.truth.read(mark_key("expiry", shard))
            assert mark is not None
            behind_ms = sim.clock.wall_ms() - int.from_bytes(mark.value, "big")
            assert LATENESS_MS <= behind_ms <= LATENESS_MS + 2 * PERIOD_MS

    simulate(scene, 0, NO_FAULTS, engine)


def test_an_idle_sweeper_writes_nothing_but_its_marks() -> None:
    async def scene(sim: Simulation) -> None:
        await prepare(sim)
        host = Host(sim.node())
        async with host.sweeping():
            await asyncio.sleep(60)
            before = sim.state.last_version
            await asyncio.sleep(540)
            written = sum(record.version > before for record in await sim.truth.scan_all("expiry"))
        assert written <= SHARDS
        assert host.sweeper.figures()["failed_passes"] == 0

    simulate(scene, 0, NO_FAULTS)


class TestRules:
    """What a service says, and what it gets wrong."""

    def test_pointers_into_a_dropped_space_are_dropped(self) -> None:
        async def scene(sim: Simulation) -> None:
            await prepare(sim, SPACE, SPACE + "-2")
            host = Host(sim.node())
            now_ms = sim.clock.wall_ms()
            for number in range(10):
                await host.put(Key(SPACE, b"p", b"%d" % number), now_ms + 1_000)
                await host.put(Key(SPACE + "-2", b"p", b"%d" % number), now_ms + 1_000)
            await sim.truth.store.drop_space(SPACE + "-2")
            async with host.sweeping():
                await asyncio.sleep(3)
            assert await pointers(sim) == []
            assert await records_of(sim) == {}
            assert host.sweeper.figures()["stale"] == 10

        simulate(scene, 0, NO_FAULTS)

    def test_a_space_without_a_rule_keeps_its_records(self) -> None:
        async def no_rule(space: str) -> ExpiryRule | None:
            return None

        async def scene(sim: Simulation) -> None:
            await prepare(sim)
            host = Host(sim.node(), no_rule)
            await host.put(Key(SPACE, b"p", b"k"), sim.clock.wall_ms() + 1_000)
            async with host.sweeping():
                await asyncio.sleep(3)
            assert len(await records_of(sim)) == 1
            assert await pointers(sim) == []

        simulate(scene, 0, NO_FAULTS)

    def test_a_rule_that_is_wrong_stops_no_other(self) -> None:
        class Wrong(ByValue):
            def removal(self, key: Key, record: Record) -> Removal:
                return Removal(appends=[expiry_entry(Key("without-a-log", b"", b""), record)])

        async def rules(space: str) -> ExpiryRule | None:
            return Wrong() if space == SPACE + "-wrong" else ByValue()

        async def scene(sim: Simulation) -> None:
            await prepare(sim, SPACE, SPACE + "-wrong")
            await sim.truth.store.ensure_space("without-a-log")
            host = Host(sim.node(), rules)
            now_ms = sim.clock.wall_ms()
            for number in range(40):
                space = SPACE + "-wrong" if number % 4 == 0 else SPACE
                await host.put(Key(space, b"p", b"%d" % number), now_ms + 1_000)
            async with host.sweeping():
                await asyncio.sleep(4)
            assert await records_of(sim) == {}
            assert len(await records_of(sim, SPACE + "-wrong")) == 10
            assert len(await pointers(sim)) == 10
            assert host.sweeper.figures()["refused"] > 0

        simulate(scene, 0, NO_FAULTS)

    @pytest.mark.parametrize("refused_s", [4, 7_200])
    def test_a_check_of_the_service_keeps_the_record_while_it_fails(self, refused_s: int) -> None:
        guard = Key("guards", b"", b"")

        class Guarded(ByValue):
            def removal(self, key: Key, record: Record) -> Removal:
                return Removal(checks=[IsVersion(guard, None)])

        async def rules(space: str) -> ExpiryRule | None:
            return Guarded()

        async def scene(sim: Simulation) -> None:
            await prepare(sim)
            await sim.truth.store.ensure_space("guards")
            await sim.truth.write(Put(guard, b""))
            host = Host(sim.node(), rules, pause_s=refused_s / 8)
            await host.put(Key(SPACE, b"p", b"k"), sim.clock.wall_ms() + 1_000)
            async with host.sweeping():
                await asyncio.sleep(refused_s + 0.1)
                assert len(await records_of(sim)) == 1
                await sim.truth.write(Delete(guard))
                if refused_s < 60:
                    await asyncio.sleep(1)
                    assert await records_of(sim) == {}
            # A process that has only the mark to go by finds it too.
            other = Host(sim.node(), rules)
            async with other.sweeping():
                await asyncio.sleep(1)
            assert await records_of(sim) == {}

        simulate(scene, 0, NO_FAULTS)

    def test_a_record_that_is_prolonged_while_it_is_swept_stays(self) -> None:
        async def scene(sim: Simulation) -> None:
            index = await prepare(sim)
            key, now_ms = Key(SPACE, b"p", b"k"), sim.clock.wall_ms()

            class Prolonged(ByValue):
                """Is asked between the sweeper's read and its commit, which is when the service commits."""

                def removal(self, key: Key, record: Record) -> Removal:
                    engine = sim.truth.store
                    assert isinstance(engine, MemoryEngine)
                    pointers_of = index.pointers_for(key, now_ms + 60_000, replaces_ms=now_ms + 1_000)
                    outcome = engine._decide(
                        Commit(sim.truth.new_id(), [Put(key, value_of(now_ms + 60_000)), *pointers_of])
                    )
                    assert isinstance(outcome, Committed)
                    return super().removal(key, record)

            async def rules(space: str) -> ExpiryRule | None:
                return Prolonged()

            host = Host(sim.node(), rules)
            await host.put(key, now_ms + 1_000)
            await asyncio.sleep(2)
            await host.sweeper.sweep()
            assert await records_of(sim) == {b"k": now_ms + 60_000}
            last = Host(sim.node())
            async with last.sweeping():
                await asyncio.sleep(61)
            assert await records_of(sim) == {}

        simulate(scene, 0, NO_FAULTS)

    def test_a_stale_pointer_that_is_written_again_while_it_is_swept_stays(self) -> None:
        async def scene(sim: Simulation) -> None:
            index = await prepare(sim)
            key, due_ms = Key(SPACE, b"p", b"k"), sim.clock.wall_ms() + 10_000
            has_come = False

            class Hastened(ByValue):
                """Says first that the record is due later, while the service makes it due now, by the same pointer."""

                def expires_ms(self, key: Key, record: Record) -> int | None:
                    nonlocal has_come
                    if not has_come:
                        has_come = True
                        engine = sim.truth.store
                        assert isinstance(engine, MemoryEngine)
                        writes = [Put(key, value_of(due_ms)), *index.pointers_for(key, due_ms)]
                        assert isinstance(engine._decide(Commit(sim.truth.new_id(), writes)), Committed)
                    return super().expires_ms(key, record)

            async def rules(space: str) -> ExpiryRule | None:
                return Hastened()

            host = Host(sim.node(), rules)
            await host.put(key, due_ms)
            await host.put(key, due_ms + 3_600_000)
            await asyncio.sleep((due_ms - sim.clock.wall_ms()) / 1_000)
            assert sim.clock.wall_ms() == due_ms
            await host.sweeper.sweep()
            await asyncio.sleep(1)
            await host.sweeper.sweep()
            assert await records_of(sim) == {}

        simulate(scene, 0, NO_FAULTS)

    def test_removals_that_write_the_same_record_go_one_after_the_other(self) -> None:
        counter = Key(SPACE, b"counter", b"by-name/")

        class Counted(ByValue):
            def removal(self, key: Key, record: Record) -> Removal:
                return Removal(writes=[Add(counter, "expired", 1)])

        async def rules(space: str) -> ExpiryRule | None:
            return Counted()

        async def scene(sim: Simulation) -> None:
            await prepare(sim)
            host = Host(sim.node(), rules)
            now_ms = sim.clock.wall_ms()
            for number in range(30):
                await host.put(Key(SPACE, b"p", b"%d" % number), now_ms + 1_000)
            async with host.sweeping():
                await asyncio.sleep(4)
            assert await sim.truth.cells(counter) == {"expired": 30}

        simulate(scene, 0, NO_FAULTS)


def test_a_store_that_cannot_serve_is_tried_again() -> None:
    async def scene(sim: Simulation) -> None:
        await prepare(sim)
        host = Host(sim.node(FaultPlan(calls=CallFaults(unavailable=1.0))))
        with pytest.raises(StoreError):
            await host.sweeper.sweep()
        async with host.sweeping():
            await asyncio.sleep(5)
        assert host.sweeper.figures()["failed_passes"] >= 5
        assert host.sweeper.figures()["expired"] == 0

    simulate(scene, 0)


def test_pointers_of_a_second_lie_in_every_shard() -> None:
    keys = [pointer_key("expiry", Key(SPACE, b"p", b"%d" % number), 10**12) for number in range(2_000)]
    counts = Counter(key.partition for key in keys)
    assert len(counts) == SHARDS
    assert max(counts.values()) < 2 * min(counts.values())
    assert len({key.sort for key in keys}) == 2_000
