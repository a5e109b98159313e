"""A stream is the sequence of the writes of its table, on nodes to which everything happens.

Callers write in every way that the API has; answers are lost, commits come late, nodes die, and a reader reads all the
while and goes on where it was whenever it fails. Looked at is that the images of each item follow one on another from
nothing to what the table holds, that no record is doubled, and that counters counted in the stream as in the table.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import orjson

from tenet.base.dice import Dice
from tenet.store.errors import OutcomeUnknown, StoreUnavailable
from tenet.store.faulty import EVERY_FAULT
from tenet.store.memory import MemoryEngine
from tenet.tables.api import Caller, Tables
from tests.sim import test_tables_items as items
from tests.sim.harness import ExpensiveEngine, Simulation, seeds, simulate
from tests.sim.tables_processes import ACCOUNT, asked

STREAMED = {**items.TABLE, "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}}
STEPS = 25


class Reader:
    """A program that reads every shard of a stream from its beginning, and keeps what it was given.

    Args:
        tables: the service on its node.
        sim: for deadlines.
        arn: of the stream.
    """

    def __init__(self, tables: Tables, sim: Simulation, arn: str) -> None:
        self.tables = tables
        self._sim = sim
        self._arn = arn
        self.records: dict[str, list[dict[str, Any]]] = {}

    async def ask(self, operation: str, **request: Any) -> dict[str, Any]:
        async def mine() -> Tables:
            return self.tables

        return await asked(self._sim, mine, operation, request)

    async def read(self, limit: int) -> int:
        """Reads every shard to its end, behind the last record that it has; returns how many there were."""
        described = (await self.ask("DescribeStream", StreamArn=self._arn))["StreamDescription"]
        count = 0
        for shard in described["Shards"]:
            mine = self.records.setdefault(shard["ShardId"], [])
            if mine:
                number = mine[-1]["dynamodb"]["SequenceNumber"]
                at = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": number}
            else:
                at = {"ShardIteratorType": "TRIM_HORIZON"}
            begun = await self.ask("GetShardIterator", StreamArn=self._arn, ShardId=shard["ShardId"], **at)
            iterator = begun["ShardIterator"]
            while True:
                answer = await self.ask("GetRecords", ShardIterator=iterator, Limit=limit)
                mine += answer["Records"]
                count += len(answer["Records"])
                iterator = answer["NextShardIterator"]
                if not answer["Records"]:
                    break
        return count


async def everything(sim: Simulation) -> None:
    ready = await Tables.open(sim.truth.store, clock=sim.clock, ids=sim.ids)
    made = orjson.loads(await ready.call("CreateTable", dict(STREAMED), Caller(ACCOUNT)))
    arn = made["TableDescription"]["LatestStreamArn"]
    for number in range(items.ACCOUNTS):
        item = items.key("account", number) | {"balance": {"N": str(items.BALANCE)}}
        await ready.call("PutItem", {"TableName": "things", "Item": item}, Caller(ACCOUNT))
    nodes = [sim.node(), sim.node()]
    services = [await items.opened(sim, node.store, node.ids) for node in nodes]
    ledger = items.Ledger()
    reader = Reader(services[1], sim, arn)
    is_writing = True

    async def act(actor: int) -> None:
        dice = Dice(sim.seed_of(f"program {actor}"))
        await items.Program(services[actor % 2], sim, dice, ledger).run(STEPS)

    async def read() -> None:
        dice = Dice(sim.seed_of("reader"))
        while is_writing:
            await reader.read(1 + dice.below(20))
            (listed,) = (await reader.ask("ListStreams", TableName="things"))["Streams"]
            assert listed["StreamArn"] == arn
            await asyncio.sleep(0.05)

    async def write() -> None:
        nonlocal is_writing
        await asyncio.gather(*(act(actor) for actor in range(8)))
        is_writing = False

    await sim.actors(2, lambda actor: write() if actor else read())
    await sim.calm()
    for service in services:
        await service.close()
    await sim.calm()
    reader.tables = ready
    await reader.read(1_000)
    assert await reader.read(1_000) == 0
    await items.check_ledger(ready, ledger)
    await check(ready, reader, ledger)
    await ready.close()


async def check(tables: Tables, reader: Reader, ledger: items.Ledger) -> None:
    """The records tell how each item came to be what it is."""
    records = [record for shard in reader.records.values() for record in shard]
    assert len({record["eventID"] for record in records}) == len(records)
    for shard in reader.records.values():
        numbers = [int(record["dynamodb"]["SequenceNumber"]) for record in shard]
        assert numbers == sorted(set(numbers))
    state: dict[bytes, dict[str, Any]] = {}
    counted: dict[str, int] = {}
    for record in records:
        told = record["dynamodb"]
        at = orjson.dumps(told["Keys"], option=orjson.OPT_SORT_KEYS)
        old, new = told.get("OldImage"), told.get("NewImage")
        assert state.get(at) == old, f"a record of {at!r} does not follow the one before"
        assert old != new
        event = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
        assert record["eventName"] == event
        state.pop(at, None)
        if new is not None:
            state[at] = new
        name = told["Keys"]["p"]["S"]
        counted[name] = counted.get(name, 0) + 1
    scanned = orjson.loads(await tables.call("Scan", {"TableName": "things"}, Caller(ACCOUNT)))["Items"]
    found = {orjson.dumps({"p": one["p"], "s": one["s"]}, option=orjson.OPT_SORT_KEYS): one for one in scanned}
    assert found == state
    for name in ("counter-0", "counter-1"):
        assert counted.get(name, 0) == items.number_of(await items.read(tables, name, 0), "n")
        assert counted.get(name, 0) >= ledger.counted.get(name, 0)


def test_a_stream_is_the_sequence_of_writes() -> None:
    for seed in seeds(6, 300):
        simulate(everything, seed, EVERY_FAULT, MemoryEngine)


def test_a_stream_is_the_sequence_of_writes_where_indexes_are_kept_from_the_log() -> None:
    for seed in seeds(4, 300):
        simulate(everything, seed, EVERY_FAULT, ExpensiveEngine)


# ---- switched on and off while others write --------------------------------------------------------------------------


class Remote(ExpensiveEngine):
    """An engine that several processes write to over a network."""

    @property
    def capabilities(self) -> Any:
        return msgspec.structs.replace(super().capabilities, remote=True)


async def switching(sim: Simulation) -> None:
    """A node switches the stream; another, which is told late, writes all the while: what begins later is told."""
    ready = await Tables.open(sim.truth.store, clock=sim.clock, ids=sim.ids)
    await ready.call("CreateTable", dict(items.TABLE), Caller(ACCOUNT))
    node = sim.node()
    other = await items.opened(sim, node.store, node.ids)
    streams: list[tuple[str, int, int]] = []
    written = 0

    async def status() -> dict[str, Any]:
        described = orjson.loads(await ready.call("DescribeTable", {"TableName": "things"}, Caller(ACCOUNT)))
        found: dict[str, Any] = described["Table"]
        return found

    async def switch(specification: dict[str, Any]) -> str:
        request = {"TableName": "things", "StreamSpecification": specification}
        await ready.call("UpdateTable", request, Caller(ACCOUNT))
        described = await status()
        for _ in range(10_000):
            if described["TableStatus"] == "ACTIVE":
                break
            await asyncio.sleep(0.02)
            described = await status()
        return str(described["LatestStreamArn"])

    async def write(is_over: asyncio.Event) -> None:
        nonlocal written
        while not is_over.is_set():
            item = items.key("thing", 0) | {"n": {"N": str(written + 1)}}
            caller = Caller(ACCOUNT, deadline=sim.clock.monotonic_s() + items.CALLER_S_MAX)
            try:
                await other.call("PutItem", {"TableName": "things", "Item": item}, caller)
                written += 1
            except (OutcomeUnknown, StoreUnavailable):
                continue
            await asyncio.sleep(0.02)

    is_over = asyncio.Event()
    writing = asyncio.create_task(write(is_over))
    for _ in range(3):
        arn = await switch({"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})
        first = written + 1
        await asyncio.sleep(1)
        last = written
        await switch({"StreamEnabled": False})
        streams.append((arn, first, last))
        await asyncio.sleep(0.3)
    is_over.set()
    await writing
    await sim.calm()
    for arn, first, last in streams:
        reader = Reader(ready, sim, arn)
        numbers = await closed(reader, arn)
        assert numbers == sorted(set(numbers))
        assert set(range(first + 1, last)) <= set(numbers), (arn, first, last)
    await other.close()
    await ready.close()


async def closed(reader: Reader, arn: str) -> list[int]:
    """Reads a stream that is switched off to its end; returns the numbers that were written."""
    described = (await reader.ask("DescribeStream", StreamArn=arn))["StreamDescription"]
    assert described["StreamStatus"] == "DISABLED"
    numbers: list[int] = []
    for shard in described["Shards"]:
        at = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        iterator = (await reader.ask("GetShardIterator", **at))["ShardIterator"]
        while iterator is not None:
            answer = await reader.ask("GetRecords", ShardIterator=iterator, Limit=7)
            numbers += [int(one["dynamodb"]["NewImage"]["n"]["N"]) for one in answer["Records"]]
            iterator = answer.get("NextShardIterator")
    return numbers


def test_what_is_written_while_a_stream_is_on_is_told_whoever_writes() -> None:
    for seed in seeds(4, 200):
        simulate(switching, seed, EVERY_FAULT, Remote)
