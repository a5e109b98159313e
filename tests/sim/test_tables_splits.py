"""Shards of a stream split while two nodes write and read, fail, and are killed in the middle of splitting.

A consumer walks the shards, parents before children, each of its requests through another node, which may know an older
description than the one before. Every record comes to it once, and those of an item in their order.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from tenet.base.dice import Dice
from tenet.base.errors import TenetError
from tenet.store.errors import OutcomeUnknown, StoreUnavailable
from tenet.store.faulty import EVERY_FAULT, CallFaults, FaultPlan
from tenet.store.memory import MemoryEngine
from tenet.tables.api import Caller, SplitSettings, Tables
from tenet.tables.rules.index_log import LOG_SHARDS
from tests.sim.harness import Simulation, seeds, simulate
from tests.sim.tables_processes import ACCOUNT, Process, asked, caller_of, is_passing
from tests.sim.test_tables_streams import STREAMED, Remote
from tests.unit.tables.walking import Walker, check_order

OFTEN = SplitSettings(rate_per_s=0.5, look_s=0.2)
NEVER = SplitSettings(look_s=1e9)
KEYS = 24
WRITERS = 4
WRITES = 80
KILLS = 4


class World:
    """A table with a stream, and the processes that serve it.

    Args:
        sim: the simulation.
        count: of the processes.
    """

    def __init__(self, sim: Simulation, count: int) -> None:
        self.sim = sim
        self.processes = [Process(sim.node(), splits=OFTEN) for _ in range(count)]
        self._reading = Dice(sim.seed_of("reads"))

    async def ask(self, operation: str, **request: Any) -> dict[str, Any]:
        """Asks one of the processes, and again until it answers."""

        async def any_of_them() -> Tables:
            return await self.processes[self._reading.below(len(self.processes))].tables()

        return await asked(self.sim, any_of_them, operation, request)

    async def write(self, writer: int) -> None:
        """Writes, through all processes, as one of several that write the same items."""
        dice = Dice(self.sim.seed_of(f"writer {writer}"))
        for number in range(WRITES):
            key = {"p": {"S": f"k-{dice.below(KEYS)}"}, "s": {"N": "0"}}
            what = dice.below(4)
            request: dict[str, Any] = {"TableName": "things"}
            request |= {"Key": key} if what == 0 else {"Item": key | {"v": {"S": f"{writer}/{number}"}}}
            tables = await self.processes[dice.below(len(self.processes))].tables()
            try:
                await tables.call("PutItem" if what else "DeleteItem", request, caller_of(self.sim))
            except (StoreUnavailable, OutcomeUnknown):
                continue
            except TenetError as error:
                if not is_passing(error):
                    raise
            await asyncio.sleep(dice.below(200) / 1_000)


async def scene(sim: Simulation, processes: int) -> int:
    """Returns how many shards the stream had in the end."""
    ready = await Tables.open(sim.truth.store, clock=sim.clock, ids=sim.ids, splits=NEVER)
    made = orjson.loads(await ready.call("CreateTable", dict(STREAMED), Caller(ACCOUNT)))
    arn = made["TableDescription"]["LatestStreamArn"]
    await asyncio.sleep(3)
    world = World(sim, processes)
    walker = Walker(world.ask, arn)
    is_writing = True

    async def write() -> None:
        nonlocal is_writing
        await asyncio.gather(*(world.write(writer) for writer in range(WRITERS)))
        is_writing = False

    async def kill() -> None:
        dice = Dice(sim.seed_of("kills"))
        for _ in range(KILLS):
            await asyncio.sleep(dice.below(4_000) / 1_000)
            await world.processes[dice.below(len(world.processes))].die()

    async def read() -> None:
        dice = Dice(sim.seed_of("reader"))
        while is_writing:
            await walker.step(1 + dice.below(20))
            if dice.chance(0.1):
                walker.begin_anew()
            await asyncio.sleep(dice.below(100) / 1_000)

    await sim.actors(3, lambda actor: (write, kill, read)[actor]())
    await sim.calm()
    for process in world.processes:
        await process.die()
    await sim.calm()
    # One that is left ends what was begun.
    walker.begin_anew()
    survivor = await Tables.open(sim.truth.store, clock=sim.clock, ids=sim.ids, splits=OFTEN)
    await asyncio.sleep(10)

    async def ask(operation: str, **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = orjson.loads(await survivor.call_streams(operation, request, Caller(ACCOUNT)))
        return answer

    walker.ask = ask
    records = await walker.to_the_end()
    assert len(walker.ended) < len(await walker.shards())
    scanned = orjson.loads(await ready.call("Scan", {"TableName": "things"}, Caller(ACCOUNT)))["Items"]
    items = {str(sorted({"p": one["p"], "s": one["s"]}.items())): one for one in scanned}
    assert check_order(records) == items
    again = await Walker(ask, arn).to_the_end(7)
    assert {one["eventID"] for one in again} == {one["eventID"] for one in records}
    assert check_order(again) == items
    shards = len(await walker.shards())
    await survivor.close()
    await ready.close()
    return shards


def test_shards_split_and_no_record_is_lost_doubled_or_overtaken() -> None:
    shards = [simulate(lambda sim: scene(sim, 2), seed, EVERY_FAULT, Remote) for seed in seeds(8, 300)]
    assert sum(shards) > 2 * LOG_SHARDS * len(shards)


def test_shards_split_where_one_process_has_the_store_to_itself() -> None:
    shards = [simulate(lambda sim: scene(sim, 1), seed, EVERY_FAULT, MemoryEngine) for seed in seeds(4, 100)]
    assert 2 * sum(shards) > 3 * LOG_SHARDS * len(shards)


def test_a_read_that_takes_longer_than_a_split_does_no_harm() -> None:
    late = FaultPlan(calls=CallFaults(delayed=0.2, delay_ms_max=4_000))
    for seed in seeds(4, 200):
        simulate(lambda sim: scene(sim, 2), seed, late, Remote)
