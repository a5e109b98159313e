"""Tables are made, changed and deleted on several nodes that fail and die: nothing is lost, nothing is left behind."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from tenet.base.dice import Dice
from tenet.base.errors import TenetError
from tenet.store.errors import StoreUnavailable
from tenet.store.faulty import CallFaults, FaultPlan
from tenet.tables import keys
from tenet.tables.api import Caller, Tables, TablesSettings
from tenet.tables.errors import ResourceInUseException
from tenet.tables.ops.catalog import decode_table
from tests.sim.harness import ExpensiveEngine, Simulation, seeds, simulate
from tests.sim.tables_processes import ACCOUNT, Process

NAMES = ("abc", "abd", "abe", "abf")
TABLES_MAX = 3
#: What a caller may be told, whatever happens.
REFUSALS = {
    "ResourceInUseException",
    "ResourceNotFoundException",
    "LimitExceededException",
    "ValidationException",
    "OutcomeUnknown",
}
INDEX = {
    "IndexName": "gsi",
    "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "ALL"},
}
TABLE: dict[str, Any] = {
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in "pg"],
    "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}],
    "BillingMode": "PAY_PER_REQUEST",
    "GlobalSecondaryIndexes": [INDEX],
}


def settings_of(transition_ms: int) -> TablesSettings:
    return TablesSettings(transition_ms=transition_ms, tables_max=TABLES_MAX)


class Witness:
    """What callers were told of tables, by TableId."""

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.deleted: set[str] = set()
        self.perhaps_deleted: set[str] = set()


async def act(process: Process, dice: Dice, witness: Witness) -> None:
    name = NAMES[dice.below(len(NAMES))]
    operation, request = [
        ("CreateTable", TABLE),
        ("CreateTable", TABLE),
        ("DeleteTable", {}),
        ("UpdateTable", {"DeletionProtectionEnabled": False}),
        ("UpdateTable", {"TableClass": "STANDARD"}),
        ("DescribeTable", {}),
        ("ListTables", {}),
        ("GetItem", {"Key": {"p": {"S": "x"}}}),
    ][dice.below(8)]
    named = {} if operation == "ListTables" else {"TableName": name}
    tables = await process.tables()
    try:
        body = await tables.call(operation, {**named, **request}, Caller(ACCOUNT))
    except StoreUnavailable:
        return
    except TenetError as error:
        if error.code not in REFUSALS:
            raise
        if error.code == "OutcomeUnknown" and operation == "DeleteTable":
            witness.perhaps_deleted.add(name)
        return
    answer = orjson.loads(body)
    if operation == "CreateTable":
        witness.made.add(answer["TableDescription"]["TableId"])
    elif operation == "DeleteTable":
        witness.deleted.add(answer["TableDescription"]["TableId"])


async def scene(sim: Simulation) -> None:
    processes = [Process(sim.node(), settings=settings_of(transition_ms)) for transition_ms in (0, 40, 200)]
    witness = Witness()

    async def caller(number: int) -> None:
        dice = Dice(sim.seed * 100 + number)
        for _ in range(25):
            process = processes[dice.below(len(processes))]
            if dice.chance(0.05):
                await process.die()
            await act(process, dice, witness)
            await asyncio.sleep(dice.below(60) / 1_000)

    await sim.actors(6, caller)
    for process in processes:
        await process.die()
    await sim.calm()
    await check(sim, witness)


async def check(sim: Simulation, witness: Witness) -> None:
    """One healthy node cleans up whatever the dead ones left."""
    store = sim.truth.store
    survivor = await Tables.open(store, clock=sim.clock, ids=sim.ids)
    await asyncio.sleep(5)
    page = await store.scan(keys.CATALOG_SPACE, keys.CATALOG_TABLES, limit=100)
    tables = [decode_table(record.value) for record in page.records]
    assert len(tables) <= TABLES_MAX
    for table in tables:
        assert (table.status, table.pending) == ("ACTIVE", None)
        assert {index.status for index in table.indexes} == {"ACTIVE"}
    (account,) = await store.get((keys.account_key(ACCOUNT),))
    assert (account.cells[keys.TABLES_CELL] if account else 0) == len(tables)
    spaces = {info.name for info in await store.list_spaces() if keys.is_table_space(info.name)}
    assert spaces == {space for table in tables for space in keys.spaces(table)}
    ids = {table.id for table in tables}
    if not store.capabilities.cheap_commits_across_partitions:
        cursors = (await store.scan(keys.KEEPERS_SPACE, limit=1_000)).records
        assert {keys.cursor_table(cursor.partition) for cursor in cursors} <= ids
    assert not ids & witness.deleted
    if not witness.perhaps_deleted:
        assert witness.made - witness.deleted <= ids
    await survivor.close()


async def insist(tables: Tables, operation: str, request: dict[str, Any]) -> None:
    """Calls until no other transition is in the way."""
    while True:
        try:
            await tables.call(operation, request, Caller(ACCOUNT))
        except ResourceInUseException:
            await asyncio.sleep(0.001)
        else:
            return


async def impatient_scene(sim: Simulation) -> None:
    """A table is deleted in the very moment in which its last transition ends, and is gone soon all the same."""
    node = sim.node()
    tables = await Tables.open(node.store, clock=sim.clock, ids=sim.ids)
    for _ in range(10):
        made = orjson.loads(await tables.call("CreateTable", {"TableName": "abc", **TABLE}, Caller(ACCOUNT)))
        await insist(tables, "UpdateTable", {"TableName": "abc", "TableClass": "STANDARD"})
        await insist(tables, "DeleteTable", {"TableName": "abc"})
        await asyncio.sleep(10)
        table_id = made["TableDescription"]["TableId"]
        left = [info.name for info in await sim.truth.store.list_spaces(keys.table_space(table_id))]
        assert left == []
    await tables.close()


def test_no_transition_is_forgotten() -> None:
    delays = FaultPlan(calls=CallFaults(delayed=0.7, delay_ms_max=600))
    for seed in seeds(10, 100):
        simulate(impatient_scene, seed, delays)


def test_tables_on_nodes_that_fail_and_die() -> None:
    for seed in seeds(15, 300):
        simulate(scene, seed)


def test_tables_where_commits_over_partitions_are_expensive() -> None:
    for seed in seeds(5, 100):
        simulate(scene, seed, engine=ExpensiveEngine)
