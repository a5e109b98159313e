"""A global index that is added to a table while programs write to it and nodes die is exact in the end.

On an engine on which indexes go with the item there is one node, which dies now and then; on one on which they follow
from the log there are two, each with a description of its own that may be old, and all of them fill.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import pytest

from tenet.base.dice import Dice
from tenet.base.errors import TenetError
from tenet.store.contract import Capabilities
from tenet.store.errors import OutcomeUnknown, StoreUnavailable
from tenet.store.faulty import EVERY_FAULT
from tenet.store.memory import MemoryEngine
from tenet.tables import keys
from tenet.tables.api import Caller, Tables
from tenet.tables.ops.barrier import Barrier
from tenet.tables.ops.indexing import filling
from tests.sim import test_tables_items as items
from tests.sim.harness import ExpensiveEngine, Simulation, seeds, simulate
from tests.sim.tables_processes import ACCOUNT
from tests.sim.test_tables_indexes import called_for, caught_up, entries_of, table_of

#: In the time of the simulation.
FULL_S_MAX = 900.0
#: A former try was carried out, or something else goes on.
REFUSALS = {"ResourceInUseException", "LimitExceededException", "ValidationException"} | {
    kind.code for kind in (OutcomeUnknown, StoreUnavailable)
}


class RemoteEngine(ExpensiveEngine):
    """Other processes have it open as well."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            engine="memory",
            partitions_max=200,
            cheap_commits_across_partitions=False,
            durable=False,
            remote=True,
        )


class Changing:
    """Adds the index to the table, and takes it away again, by a service that may answer or not.

    Args:
        sim: for time.
        truth: a service without faults, to look.
        service: returns the service that is asked.
    """

    def __init__(self, sim: Simulation, truth: Tables, service: Callable[[], Tables]) -> None:
        self._sim = sim
        self._truth = truth
        self._service = service

    async def status(self) -> str | None:
        answer = orjson.loads(await self._truth.call("DescribeTable", {"TableName": "things"}, Caller(ACCOUNT)))
        found = [one for one in answer["Table"].get("GlobalSecondaryIndexes", ()) if one["IndexName"] == "by-g"]
        if not found or answer["Table"]["TableStatus"] != "ACTIVE":
            return None if not found else "UPDATING"
        return "ACTIVE" if table_is_full(await table_of(self._sim.truth.store)) else "CREATING"

    async def add(self) -> None:
        index = items.index_of(self._sim)
        used = {element["AttributeName"] for element in index["KeySchema"]}
        definitions = [one for one in items.TABLE["AttributeDefinitions"] if one["AttributeName"] in used]
        update = {"AttributeDefinitions": definitions, "GlobalSecondaryIndexUpdates": [{"Create": index}]}
        await self._until("ACTIVE", update)

    async def remove(self) -> None:
        await self._until(None, {"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "by-g"}}]})

    async def _until(self, status: str | None, update: dict[str, Any]) -> None:
        ends_s = self._sim.clock.monotonic_s() + FULL_S_MAX
        while (now := await self.status()) != status:
            assert self._sim.clock.monotonic_s() < ends_s, f"the index is {now}"
            if (status is None) is (now is not None) and now != "UPDATING":
                try:
                    await self._service().call("UpdateTable", {"TableName": "things", **update}, Caller(ACCOUNT))
                except TenetError as error:
                    if error.code not in REFUSALS:
                        raise
            await asyncio.sleep(0.5)


def table_is_full(table: Any) -> bool:
    return not any(index.is_filling for index in table.indexes)


async def prepared(sim: Simulation) -> Tables:
    """A service without faults, and the table, with a few items and without the index."""
    ready = await Tables.open(sim.truth.store, clock=sim.clock, ids=sim.ids)
    table = {name: value for name, value in items.TABLE.items() if name != "GlobalSecondaryIndexes"}
    table["AttributeDefinitions"] = [one for one in table["AttributeDefinitions"] if one["AttributeName"] != "g"]
    await ready.call("CreateTable", table, Caller(ACCOUNT))
    for number in range(items.ACCOUNTS):
        item = items.key("account", number) | {"balance": {"N": str(items.BALANCE)}, "g": {"S": "x"}, "l": {"S": "a"}}
        await ready.call("PutItem", {"TableName": "things", "Item": item}, Caller(ACCOUNT))
    return ready


class Scene:
    """Nodes that die, programs that write, and the index that is added.

    Args:
        sim: the simulation.
        count: how many nodes there are.
    """

    def __init__(self, sim: Simulation, count: int) -> None:
        self._sim = sim
        self._nodes = [sim.node() for _ in range(count)]
        self.services: list[Tables] = []
        self.ledger = items.Ledger()
        self._is_over = asyncio.Event()
        # A process that ends takes its requests with it.
        self._serving = [asyncio.Event() for _ in range(count)]
        self._requests = [Barrier() for _ in range(count)]

    async def open(self) -> None:
        self.services = [await items.opened(self._sim, node.store, node.ids) for node in self._nodes]
        for serving in self._serving:
            serving.set()

    async def play(self, ready: Tables) -> None:
        acts: list[Callable[[], Coroutine[Any, Any, None]]] = [lambda: self._change(ready)]
        acts += [lambda at=at: self._write(at) for at in range(4)]  # type: ignore[misc]
        acts += [lambda at=at: self._die(at) for at in range(len(self._nodes))]  # type: ignore[misc]
        await self._sim.actors(len(acts), lambda actor: acts[actor]())
        await self._sim.calm()

    async def _change(self, ready: Tables) -> None:
        changing = Changing(self._sim, ready, lambda: self.services[0])
        await changing.add()
        if self._sim.dice.chance(0.5):
            await changing.remove()
            await changing.add()
        await asyncio.sleep(2)
        self._is_over.set()

    async def _write(self, actor: int) -> None:
        dice, number = Dice(self._sim.seed_of(f"program {actor}")), actor % len(self._nodes)
        while not self._is_over.is_set():
            await self._serving[number].wait()
            phase = self._requests[number].enter()
            await items.Program(self.services[number], self._sim, dice, self.ledger).run(1)
            self._requests[number].leave(phase)
            await asyncio.sleep(dice.below(200) / 1_000)

    async def _die(self, number: int) -> None:
        dice, node = Dice(self._sim.seed_of(f"death {number}")), self._nodes[number]
        while not self._is_over.is_set():
            await asyncio.sleep(1 + dice.below(20_000) / 1_000)
            self._serving[number].clear()
            await self._requests[number].passed()
            await self.services[number].close()
            self.services[number] = await items.opened(self._sim, node.store, node.ids)
            self._serving[number].set()


async def filled(sim: Simulation, count: int) -> None:
    ready = await prepared(sim)
    scene = Scene(sim, count)
    await scene.open()
    if count == 1:
        # One process alone has such an engine open; what is asked of this one is no more than to look.
        await ready.close()
    await scene.play(ready)
    if count > 1:
        await caught_up(sim)
        await ready.close()
    for service in scene.services:
        await service.close()
    await sim.calm()
    last = await Tables.open(sim.truth.store, clock=sim.clock, ids=sim.ids)
    await items.check_ledger(last, scene.ledger)
    await last.close()
    store, table = sim.truth.store, await table_of(sim.truth.store)
    assert await entries_of(store, table) == await called_for(store, table)
    if count == 1:
        index = table.index("by-g")
        assert index is not None
        (left,) = await store.get((keys.filled_key(table.id, index.number),))
        assert left is None, "it is forgotten how far the index was"


def test_an_index_is_added_where_it_follows_from_the_log() -> None:
    async def scene(sim: Simulation) -> None:
        await filled(sim, 2)

    for seed in seeds(4, 200):
        simulate(scene, seed, EVERY_FAULT, RemoteEngine)


def test_an_index_is_added_where_it_goes_with_the_item(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(sim: Simulation) -> None:
        await filled(sim, 1)

    monkeypatch.setattr(filling, "PAGE_RECORDS", 4)
    monkeypatch.setattr(filling, "NOTE_S", 0.0)
    for seed in seeds(6, 300):
        # All entries are collected before the first one is written, or a few.
        monkeypatch.setattr(filling, "READ_MAX", 100_000 if seed % 2 else 6)
        simulate(scene, seed, EVERY_FAULT, MemoryEngine)
