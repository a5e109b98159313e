"""Streams outlive their tables, on nodes that fail and die in the middle of deleting them: no record is lost, and after
a day nothing is left.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from tenet.base.dice import Dice
from tenet.base.errors import TenetError
from tenet.store.errors import StoreUnavailable
from tenet.store.memory import MemoryEngine
from tenet.tables import keys
from tenet.tables.api import Caller, Tables
from tenet.tables.ops.catalog import decode_departed
from tests.sim.harness import ExpensiveEngine, Simulation, seeds, simulate
from tests.sim.tables_processes import ACCOUNT, Process, opened
from tests.sim.test_tables_control_plane import REFUSALS, TABLE, settings_of
from tests.sim.test_tables_streams import Reader, Remote, closed

VIEW = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}}
NAMES = ("abc", "abd")
DAY_MS = 24 * 3_600_000


class Told:
    """What callers know: streams that were made, and what was surely written into each before its table was deleted."""

    def __init__(self) -> None:
        self.written: dict[str, set[int]] = {}
        #: How many writes nobody knows the outcome of: they may land when the table is long gone.
        self.unknown = 0


async def called(tables: Tables, operation: str, request: dict[str, Any]) -> dict[str, Any] | None:
    """Calls an operation; None where it was refused, or nobody knows."""
    try:
        answer: dict[str, Any] = orjson.loads(await tables.call(operation, request, Caller(ACCOUNT)))
    except StoreUnavailable:
        return None
    except TenetError as error:
        if error.code not in REFUSALS:
            raise
        return None
    return answer


async def live(process: Process, dice: Dice, told: Told, name: str) -> None:
    """Makes a table, writes to it, and has it deleted, as far as the nodes let it."""
    made = await called(await process.tables(), "CreateTable", {"TableName": name, **TABLE, **VIEW})
    if made is None:
        return
    arn = made["TableDescription"]["LatestStreamArn"]
    written = told.written.setdefault(arn, set())
    for number in range(dice.below(12)):
        item = {"p": {"S": f"k-{dice.below(4)}"}, "n": {"N": str(number)}}
        if await called(await process.tables(), "PutItem", {"TableName": name, "Item": item}) is not None:
            written.add(number)
        else:
            told.unknown += 1
        await asyncio.sleep(dice.below(30) / 1_000)
    for _ in range(dice.below(6)):
        if await called(await process.tables(), "DeleteTable", {"TableName": name}) is not None:
            return
        await asyncio.sleep(0.05)


async def scene(sim: Simulation) -> None:
    processes = [Process(sim.node(), settings=settings_of(transition_ms)) for transition_ms in (0, 40)]
    told = Told()

    async def act(actor: int) -> None:
        dice = Dice(sim.seed_of(f"actor {actor}"))
        if actor == len(NAMES):
            for _ in range(12):
                await asyncio.sleep(dice.below(800) / 1_000)
                await processes[dice.below(2)].die()
            return
        for _ in range(4):
            # One name is one actor's, so that nobody else deletes what it has just made.
            await live(processes[dice.below(2)], dice, told, NAMES[actor])

    await sim.actors(len(NAMES) + 1, act)
    for process in processes:
        await process.die()
    await sim.calm()
    await check(sim, told)


async def check(sim: Simulation, told: Told) -> None:
    """One healthy node ends what the dead ones began; a day later it has removed everything."""
    store = sim.truth.store
    survivor = await opened(store, sim.clock, sim.ids)
    await asyncio.sleep(10)
    for name in NAMES:
        await called(survivor, "DeleteTable", {"TableName": name})
    await asyncio.sleep(10)
    reader = Reader(survivor, sim, "")
    listed = [one["StreamArn"] for one in (await reader.ask("ListStreams"))["Streams"]]
    assert set(told.written) <= set(listed), "every stream that was made outlives its table"
    for arn, written in told.written.items():
        numbers = await closed(reader, arn)
        assert written <= set(numbers), arn
    spaces = [info.name for info in await store.list_spaces() if keys.is_table_space(info.name)]
    assert len(spaces) == len(listed)
    departed = (await store.scan(keys.CATALOG_SPACE, keys.CATALOG_DEPARTED, limit=100)).records
    assert all(decode_departed(one.value).is_empty for one in departed)
    left = [len((await store.scan(space, limit=100)).records) for space in spaces]
    assert sum(left) <= told.unknown, "items go at once"
    await survivor.close()
    sim.clock.advance_ms(DAY_MS)
    survivor = await opened(store, sim.clock, sim.ids)
    assert [info.name for info in await store.list_spaces() if keys.is_table_space(info.name)] == []
    assert await tables_cell(sim) == 0
    assert not (await store.scan(keys.CATALOG_SPACE, keys.CATALOG_DEPARTED, limit=10)).records
    await survivor.close()


async def tables_cell(sim: Simulation) -> int:
    (account,) = await sim.truth.store.get((keys.account_key(ACCOUNT),))
    return account.cells[keys.TABLES_CELL] if account is not None else 0


def test_streams_outlive_their_tables_whoever_dies() -> None:
    for seed in seeds(5, 200):
        simulate(scene, seed, engine=MemoryEngine)


def test_streams_outlive_their_tables_over_a_network() -> None:
    for seed in seeds(5, 200):
        simulate(scene, seed, engine=Remote)


def test_streams_outlive_their_tables_where_indexes_are_kept_from_the_log() -> None:
    for seed in seeds(3, 100):
        simulate(scene, seed, engine=ExpensiveEngine)
