"""Global indexes that are kept from the log hold what the rules say once it was followed to its end, whatever happened.

Keepers are killed at every step, paused for seconds and for longer than commits are remembered, and work on one shard at
the same time; answers are lost, commits come late. Looked at is that no entry is missing, wrong or left behind, that no
place in an index ever goes back to an older state, and that nothing is left of marks and cursors in the end.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, ClassVar

import orjson
import pytest

from tenet.base.dice import Dice
from tenet.store.contract import Commit, Committed, Engine, Key, Outcome, Put
from tenet.store.expiry import ExpiryIndex
from tenet.store.faulty import EVERY_FAULT, NO_FAULTS, CallFaults, FaultPlan
from tenet.tables import keys
from tenet.tables.api import Caller, Tables
from tenet.tables.model import Table
from tenet.tables.ops.catalog import Catalog, decode_table
from tenet.tables.ops.indexing.cursor import LATENESS_MS, decode_kept
from tenet.tables.ops.indexing.keepers import Everything, Keepers
from tenet.tables.rules.images import ABSENT, Image
from tenet.tables.rules.indexes import changes
from tests.sim import test_tables_items as items
from tests.sim.harness import ExpensiveEngine, Simulation, seeds, simulate
from tests.sim.interrupted import Interrupted

ACCOUNT = items.ACCOUNT
CALM_S_MAX = 120.0


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


async def table_of(store: Engine) -> Table:
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


async def entries_of(store: Engine, table: Table) -> dict[Key, bytes]:
    """Returns everything that lies in the spaces of a table's global indexes, marks left out."""
    found = {}
    for space in keys.spaces(table)[1:]:
        page = await store.scan(space, keys.GLOBAL_ENTRIES, limit=10_000, limit_bytes=1 << 30)
        found |= {Key(space, record.partition, record.sort): record.value for record in page.records}
    return found


async def called_for(store: Engine, table: Table) -> dict[Key, bytes]:
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


async def marks_of(store: Engine, table: Table) -> list[Key]:
    found = []
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
    await ready.call("CreateTable", dict(items.TABLE), Caller(ACCOUNT))
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


def of_keepers(call: str, spaces: set[str]) -> bool:
    """Whether a call is one of a keeper's."""
    return call == "read_log" or any(space == keys.KEEPERS_SPACE or keys.is_index_space(space) for space in spaces)


async def interrupted(sim: Simulation, at: int, *, is_before: bool, pause_s: float | None) -> bool:
    """A keeper is killed or paused at its step `at` while another one takes over; returns whether it got so far."""
    writing = await opened(sim, assignment=Nothing())
    await writing.call("CreateTable", dict(items.TABLE), Caller(ACCOUNT))
    writer = Writer(writing, Dice(sim.seed_of("writer")))
    await writer.write(12)
    # The first keeper finds the cursors of one that was killed, so that it has to fence, too.
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
    await asyncio.sleep((pause_s or 0) + 5)
    await writer.write(2)
    await caught_up(sim)
    await asyncio.sleep(1)
    await check(sim)
    for service in (first, heir, writing):
        await service.close()
    return store.stopped.is_set()


#: How long a keeper is paused, seconds: for good, for as long as it takes another one to get ahead, for longer than
#: anybody stands by, and for longer than marks are kept.
PAUSES = {"killed": None, "paused shortly": 0.7, "paused": 5.0, "forgotten": LATENESS_MS / 1_000 + 60}


@pytest.mark.parametrize("pause", PAUSES)
@pytest.mark.parametrize("is_before", [True, False], ids=["before the call", "before the answer"])
def test_a_keeper_is_interrupted_at_every_step(pause: str, *, is_before: bool, seed: int) -> None:
    for at in itertools.count(1):

        async def scene(sim: Simulation, at: int = at) -> bool:
            return await interrupted(sim, at, is_before=is_before, pause_s=PAUSES[pause])

        if not simulate(scene, seed, NO_FAULTS, watched()):
            assert at > 50, "a keeper does more than that"
            break
