"""Global indexes that are kept from the log hold what the rules say, once it was followed to its end.

Keepers are killed at every step, paused for seconds and for longer than commits are remembered, and work on one shard
at the same time; answers are lost, commits come late. Looked at is that no entry is missing, wrong or left behind, that
no place in an index ever goes back to an older state, and that nothing is left of marks and cursors in the end.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, ClassVar

import orjson
import pytest

from tenet.base.dice import Dice
from tenet.mesh.shares import Everything
from tenet.store.contract import Commit, Committed, Key, Outcome, Put, Store
from tenet.store.expiry import ExpiryIndex
from tenet.store.faulty import EVERY_FAULT, NO_FAULTS, CallFaults, FaultPlan
from tenet.store.memory import MemoryEngine
from tenet.tables import keys
from tenet.tables.api import Caller, Shares, Tables
from tenet.tables.model import Table
from tenet.tables.ops.catalog import Catalog, decode_table
from tenet.tables.ops.indexing.cursor import LATENESS_MS, decode_kept
from tenet.tables.ops.indexing.keepers import Keepers
from tenet.tables.rules.images import ABSENT, Image
from tenet.tables.rules.indexes import changes
from tenet.wire.door import Distribution, Measured
from tests.rounds import rounds
from tests.sim import test_tables_items as items
from tests.sim.harness import ExpensiveEngine, Simulation, seeds, simulate
from tests.sim.interrupted import Interrupted
from tests.sim.tables_processes import ACCOUNT

CALM_S_MAX = 120.0
SHARES = 16


# ---- what must hold --------------------------------------------------------------------------------------------------


class Nothing:
    """The assignment of a process that does nothing in the background."""

    def owns(self, job: str) -> bool:
        del job
        return False


class Watched(ExpensiveEngine):
    """Looks at every commit: it keeps to one partition, and no place of an index goes back to an older state.

    Items count their changes in the attribute ``n``.
    """

    newest: ClassVar[dict[Key, int]] = {}

    async def commit(self, commit: Commit, *, deadline: float = float("inf")) -> Outcome:
        places = {(one.key.space, one.key.partition) for one in (*commit.writes, *commit.appends)}
        assert len(places) <= 1 or any(space == keys.CATALOG_SPACE for space, _ in places), places
        outcome = await super().commit(commit, deadline=deadline)
        if isinstance(outcome, Committed):
            for write in commit.writes:
                if isinstance(write, Put) and keys.is_index_space(write.key.space) and not keys.is_mark(write.key):
                    self._note(write.key, Image(write.value))
        return outcome

    def _note(self, key: Key, image: Image) -> None:
        assert image.item is not None
        change = int(image.item["n"]["N"])
        assert change >= self.newest.get(key, 0), f"an older state overtook a newer one at {key}"
        self.newest[key] = change


def watched() -> type[Watched]:
    """An engine that knows nothing of others."""
    return type("Watched", (Watched,), {"newest": {}})


async def table_of(store: Store) -> Table:
    (record,) = await store.get((keys.table_key(ACCOUNT, "things"),))
    assert record is not None
    return decode_table(record.value)


async def caught_up(sim: Simulation) -> None:
    """Waits until the cursor of every shard stands at the end of its log."""
    store = sim.truth.store
    table = await table_of(store)
    (info,) = [info for info in await store.list_spaces(table.space) if info.name == table.space]
    assert info.options.log is not None
    ends_s = sim.clock.monotonic_s() + CALM_S_MAX
    for shard in range(info.options.log.shards):
        while True:
            (record,) = await store.get((keys.cursor_key(table.id, shard),))
            page = await store.read_log(table.space, shard, after=decode_kept(record).position, limit=1)
            if not page.entries:
                break
            assert sim.clock.monotonic_s() < ends_s, f"shard {shard} is not followed"
            await asyncio.sleep(0.05)


async def entries_of(store: Store, table: Table) -> dict[Key, bytes]:
    """Returns everything that lies in the spaces of a table's global indexes, marks left out."""
    found: dict[Key, bytes] = {}
    for space in keys.spaces(table)[1:]:
        page = await store.scan(space, keys.GLOBAL_ENTRIES, limit=10_000, limit_bytes=1 << 30)
        found |= {Key(space, record.partition, record.sort): record.value for record in page.records}
    return found


async def called_for(store: Store, table: Table) -> dict[Key, bytes]:
    """Returns what the rules derive from the items."""
    wanted = {}
    page = await store.scan(table.space, keys.everything_of(None), limit=10_000, limit_bytes=1 << 30)
    for record in page.records:
        for write in changes(table, ABSENT, Image(record.value), among=table.global_indexes).writes:
            wanted[write.key] = getattr(write, "value", b"")
    return wanted


async def check(sim: Simulation) -> None:
    store = sim.truth.store
    table = await table_of(store)
    assert await entries_of(store, table) == await called_for(store, table)


async def marks_of(store: Store, table: Table) -> list[Key]:
    found: list[Key] = []
    for space in keys.spaces(table)[1:]:
        page = await store.scan(space, limit=10_000)
        found += [Key(space, record.partition, record.sort) for record in page.records]
    return [key for key in found if keys.is_mark(key)]


async def opened(sim: Simulation, *, assignment: Any = None) -> Tables:
    """The service on a store without faults."""
    return await Tables.open(
        sim.truth.store, clock=sim.clock, ids=sim.ids, **({} if assignment is None else {"assignment": assignment})
    )


# ---- everything at once ----------------------------------------------------------------------------------------------


async def everything(sim: Simulation) -> None:
    """Programs write in every way that the API has, while every node believes that all shards are its own."""
    ready = await opened(sim)
    await ready.call("CreateTable", items.definition(sim), Caller(ACCOUNT))
    for number in range(items.ACCOUNTS):
        item = items.key("account", number) | {"balance": {"N": str(items.BALANCE)}}
        await ready.call("PutItem", {"TableName": "things", "Item": item}, Caller(ACCOUNT))
    nodes = [sim.node(), sim.node()]
    services = [await items.opened(sim, node.store, node.ids) for node in nodes]
    ledger = items.Ledger()

    async def act(actor: int) -> None:
        dice = Dice(sim.seed_of(f"program {actor}"))
        await items.Program(services[actor % 2], sim, dice, ledger).run(25)

    async def die(number: int) -> None:
        """A node's service ends and another one begins, now and then."""
        dice = Dice(sim.seed_of(f"death {number}"))
        for _ in range(3):
            await asyncio.sleep(0.2 + dice.below(2_000) / 1_000)
            await services[number].close()
            services[number] = await items.opened(sim, nodes[number].store, nodes[number].ids)

    await sim.actors(10, lambda actor: act(actor) if actor < 8 else die(actor - 8))
    await sim.calm()
    await caught_up(sim)
    for service in services:
        await service.close()
    await sim.calm()
    await items.check_ledger(ready, ledger)
    await check(sim)
    await ready.close()


def test_indexes_on_nodes_to_which_everything_happens() -> None:
    for seed in seeds(8, 300):
        simulate(everything, seed, EVERY_FAULT, ExpensiveEngine)


# ---- a keeper that is killed or paused at each of its steps ----------------------------------------------------------


class Writer:
    """Moves a few items about between a few partitions of an index, puts them and deletes them.

    Args:
        tables: the service.
        dice: what comes next.
    """

    def __init__(self, tables: Tables, dice: Dice) -> None:
        self._tables = tables
        self._dice = dice
        self._changes = itertools.count(1)

    async def write(self, count: int) -> None:
        for _ in range(count):
            at = items.key("thing", self._dice.below(4))
            if self._dice.chance(0.2):
                await self._tables.call("DeleteItem", {"TableName": "things", "Key": at}, Caller(ACCOUNT))
                continue
            item = at | {"n": {"N": str(next(self._changes))}, "l": {"S": self._dice.pick("ab")}}
            if self._dice.chance(0.8):
                item["g"] = {"S": self._dice.pick("xy")}
            if self._dice.chance(0.1):
                item["text"] = {"S": "z" * 40_000}
            await self._tables.call("PutItem", {"TableName": "things", "Item": item}, Caller(ACCOUNT))


async def keepers_on(sim: Simulation, store: Any) -> Keepers:
    """The keepers of a process that believes that all shards are its own, and nothing else of it."""
    ids = sim.nodes[-1].ids
    catalog = Catalog(store, clock=sim.clock, ids=ids)
    expiry = ExpiryIndex(store, clock=sim.clock, ids=ids, space=keys.EXPIRY_SPACE)
    keepers = Keepers(store, catalog, clock=sim.clock, ids=ids, expiry=expiry, assignment=Everything())
    keepers.open()
    return keepers


async def long_after(sim: Simulation) -> None:
    """Lets so much time pass that no commit from before can come any more, and marks are gone."""
    sim.clock.advance_ms(LATENESS_MS)
    await asyncio.sleep(3)


def of_keepers(call: str, spaces: set[str]) -> bool:
    """Whether a call is one of a keeper's."""
    own = {keys.KEEPERS_SPACE, keys.EXPIRY_SPACE}
    return call == "read_log" or any(space in own or keys.is_index_space(space) for space in spaces)


async def interrupted(sim: Simulation, at: int, *, is_before: bool, pause_s: float | None) -> bool:
    """A keeper is killed or paused at its step `at` while another one takes over; returns whether it got so far."""
    writing = await opened(sim, assignment=Nothing())
    await writing.call("CreateTable", dict(items.TABLE), Caller(ACCOUNT))
    writer = Writer(writing, Dice(sim.seed_of("writer")))
    await writer.write(12)
    # One was killed already, so that the one that is interrupted has somebody to keep out, too.
    killed = await keepers_on(sim, Interrupted(sim.node().store, 22, of_keepers, is_before=False, pause_s=None))
    for _ in range(4):
        await writer.write(2)
        await asyncio.sleep(0.1)
    store = Interrupted(sim.node().store, at, of_keepers, is_before=is_before, pause_s=pause_s)
    first = await keepers_on(sim, store)
    ends_s = sim.clock.monotonic_s() + 1
    while not store.stopped.is_set() and sim.clock.monotonic_s() < ends_s:
        await writer.write(2)
        await asyncio.sleep(0.1)
    heir = await keepers_on(sim, sim.node().store)
    for _ in range(10):
        await writer.write(2)
        await asyncio.sleep(0.15)
    await caught_up(sim)
    await check(sim)
    # Whoever was paused does now what he was about to do.
    left_s = pause_s or 0.0
    if left_s > LATENESS_MS / 1_000:
        await long_after(sim)
        left_s -= LATENESS_MS / 1_000
    await asyncio.sleep(left_s + 5)
    await writer.write(2)
    await caught_up(sim)
    await asyncio.sleep(1)
    await check(sim)
    for service in (killed, first, heir, writing):
        await service.close()
    return store.stopped.is_set()


#: How long a keeper is paused, seconds: for good, for as long as it takes another one to get ahead, and for longer than
#: anybody stands by.
PAUSES = {"killed": None, "paused shortly": 0.7, "paused": 5.0}


def at_every_step(seed: int, *, is_before: bool, pause_s: float | None, stride: int = 1) -> None:
    """Plays the scene for each step of a keeper that there is."""
    for at in itertools.count(1, stride):

        async def scene(sim: Simulation, at: int = at) -> bool:
            return await interrupted(sim, at, is_before=is_before, pause_s=pause_s)

        if not simulate(scene, seed, NO_FAULTS, watched()):
            assert at > 50, "a keeper does more than that"
            break


@pytest.mark.parametrize("pause", PAUSES)
@pytest.mark.parametrize("is_before", [True, False], ids=["before the call", "before the answer"])
def test_a_keeper_is_interrupted_at_every_step(pause: str, *, is_before: bool, seed: int) -> None:
    at_every_step(seed, is_before=is_before, pause_s=PAUSES[pause])


@pytest.mark.parametrize("is_before", [True, False], ids=["before the call", "before the answer"])
def test_a_keeper_wakes_when_marks_are_long_forgotten(*, is_before: bool, seed: int) -> None:
    at_every_step(seed, is_before=is_before, pause_s=LATENESS_MS / 1_000 + 60, stride=rounds(13, 1))


# ---- what is left, and when ------------------------------------------------------------------------------------------


async def orphaned(sim: Simulation) -> None:
    """A keeper is killed; marks keep its late commits out, for as long as there could be any, and are gone then."""
    writing = await opened(sim, assignment=Nothing())
    await writing.call("CreateTable", dict(items.TABLE), Caller(ACCOUNT))
    writer = Writer(writing, Dice(sim.seed_of("writer")))
    killed = await keepers_on(sim, Interrupted(sim.node().store, 20, of_keepers, is_before=True, pause_s=None))
    for _ in range(20):
        await writer.write(1)
        await asyncio.sleep(0.1)
    heir = await keepers_on(sim, sim.node().store)
    for _ in range(20):
        await writer.write(1)
        await asyncio.sleep(0.1)
    await caught_up(sim)
    store, table = sim.truth.store, await table_of(sim.truth.store)
    assert await marks_of(store, table)
    await long_after(sim)
    await writer.write(10)
    await caught_up(sim)
    assert await marks_of(store, table) == []
    await check(sim)
    # A keeper that ends in peace leaves its heir nothing to keep out.
    await heir.close()
    last = await keepers_on(sim, sim.node().store)
    await writer.write(10)
    await caught_up(sim)
    assert await marks_of(store, table) == []
    await check(sim)
    await writing.call("DeleteTable", {"TableName": "things"}, Caller(ACCOUNT))
    await asyncio.sleep(1)
    assert (await store.scan(keys.KEEPERS_SPACE, limit=10)).records == []
    for service in (killed, last, writing):
        await service.close()


def test_marks_and_cursors_go_when_nobody_needs_them(seed: int) -> None:
    simulate(orphaned, seed, NO_FAULTS, watched())


async def reassigned(sim: Simulation) -> None:
    """Shards move from process to process while programs write; nobody works on what is not his for long."""
    shares = [Shares(SHARES) for _ in range(3)]
    services = [
        await Tables.open(sim.node().store, clock=sim.clock, ids=sim.nodes[-1].ids, assignment=of_process)
        for of_process in shares
    ]
    await services[0].call("CreateTable", dict(items.TABLE), Caller(ACCOUNT))
    writer = Writer(services[0], Dice(sim.seed_of("writer")))
    for _ in range(15):
        await writer.write(5)
        for share in range(SHARES):
            owner = sim.dice.below(3)
            for number, of_process in enumerate(shares):
                (of_process.take if number == owner else of_process.leave)(share)
        for service in services[: 1 + sim.dice.below(3)]:
            service.reassign()
        await asyncio.sleep(sim.dice.below(1_500) / 1_000)
    jobs = services[0].jobs()
    assert len(jobs) == 4, "one for each shard of the log"
    assert all(sum(of_process.owns(job) for of_process in shares) == 1 for job in jobs)
    await caught_up(sim)
    await check(sim)
    for service in services:
        await service.close()


def test_jobs_move_between_processes() -> None:
    delays = FaultPlan(calls=CallFaults(delayed=0.3, delay_ms_max=50), hint_lost=0.3)
    for seed in seeds(5, 200):
        simulate(reassigned, seed, delays, watched())


# ---- how late, and at what cost --------------------------------------------------------------------------------------

#: Every call takes up to 15 ms on its way there, and as much on its way back.
FAR_AWAY = FaultPlan(calls=CallFaults(delayed=1.0, delay_ms_max=15))
LAG_S_MAX = 0.2


async def steady(sim: Simulation) -> None:
    """Items are written at a steady rate to a store that is far away; indexes are hardly ever 0.2 s behind."""
    tables = await Tables.open(sim.node().store, clock=sim.clock, ids=sim.nodes[-1].ids)
    await tables.call("CreateTable", dict(items.TABLE), Caller(ACCOUNT))
    await asyncio.sleep(2)

    async def write(number: int) -> None:
        item = items.key(f"thing-{number % 50}", 0) | {"g": {"S": f"g-{number % 7}"}, "l": {"S": "l"}}
        await tables.call("PutItem", {"TableName": "things", "Item": item | {"n": {"N": str(number)}}}, Caller(ACCOUNT))

    async with asyncio.TaskGroup() as group:
        for number in range(2_000):
            group.create_task(write(number))
            await asyncio.sleep(0.01)
    await caught_up(sim)
    delay = next(measure for measure in tables.measures() if isinstance(measure, Distribution))
    within = sum(count for bound, count in zip(delay.bounds, delay.counts, strict=False) if bound <= LAG_S_MAX)
    assert sum(delay.counts) > 1_000
    assert within >= 0.99 * sum(delay.counts), delay
    lags = next(measure for measure in tables.measures() if measure.name == "tenet_index_lag_seconds")
    assert isinstance(lags, Measured)
    assert set(lags.values) == {(ACCOUNT, "things", "by-g")}
    await tables.close()


def test_indexes_are_hardly_behind(seed: int) -> None:
    simulate(steady, seed, FAR_AWAY, ExpensiveEngine)


async def deaf(sim: Simulation) -> None:
    """Where no hint ever comes, indexes are behind by a few seconds, and no more."""
    tables = await Tables.open(sim.node().store, clock=sim.clock, ids=sim.nodes[-1].ids)
    await tables.call("CreateTable", dict(items.TABLE), Caller(ACCOUNT))
    await asyncio.sleep(20)
    writer = Writer(tables, Dice(sim.seed_of("writer")))
    for _ in range(5):
        await writer.write(1)
        await asyncio.sleep(4)
        await check(sim)
    await tables.close()


def test_a_lost_hint_costs_seconds(seed: int) -> None:
    simulate(deaf, seed, FaultPlan(hint_lost=1.0), watched())


async def described(sim: Simulation) -> None:
    """DescribeTable shows an index that nobody keeps as one that is being filled, until somebody does."""
    tables = await opened(sim, assignment=Nothing())
    await tables.call("CreateTable", dict(items.TABLE), Caller(ACCOUNT))

    async def index() -> dict[str, Any]:
        answer = orjson.loads(await tables.call("DescribeTable", {"TableName": "things"}, Caller(ACCOUNT)))
        found: dict[str, Any] = answer["Table"]["GlobalSecondaryIndexes"][0]
        return found

    assert (await index())["IndexStatus"] == "ACTIVE"
    for number in range(20):
        item = items.key("thing", number) | {"n": {"N": "1"}, "g": {"S": "g"}, "l": {"S": "l"}}
        await tables.call("PutItem", {"TableName": "things", "Item": item}, Caller(ACCOUNT))
    assert (await index())["IndexStatus"] == "ACTIVE", "a moment is what every index of the kind is behind"
    await asyncio.sleep(2)
    behind = await index()
    assert (behind["IndexStatus"], behind["Backfilling"], behind["ItemCount"]) == ("UPDATING", True, 0)
    keepers = await keepers_on(sim, sim.node().store)
    await caught_up(sim)
    filled = await index()
    assert (filled["IndexStatus"], filled["ItemCount"]) == ("ACTIVE", 20)
    assert "Backfilling" not in filled
    for service in (keepers, tables):
        await service.close()


def test_what_is_behind_is_described_as_such(seed: int) -> None:
    simulate(described, seed, NO_FAULTS, watched())


async def brought_here(sim: Simulation) -> None:
    """A table that was made where it needed no log gets one before it is written to."""
    there = await Tables.open(MemoryEngine(sim.state, clock=sim.clock, ids=sim.ids), clock=sim.clock, ids=sim.ids)
    await there.call("CreateTable", dict(items.TABLE), Caller(ACCOUNT))
    await Writer(there, Dice(1)).write(10)
    await there.close()
    here = await opened(sim)
    await Writer(here, Dice(2)).write(20)
    await caught_up(sim)
    await check(sim)
    await here.close()


def test_a_table_from_another_engine_gets_its_log(seed: int) -> None:
    simulate(brought_here, seed, NO_FAULTS, ExpensiveEngine)
