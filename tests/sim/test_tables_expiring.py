"""Items expire on two nodes to which everything happens: all that is expired goes, each once, and nothing else does.

What is looked at: what callers were told, the log of the table, its indexes, and what the looks leave behind.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from tenet.base.dice import Dice
from tenet.store.contract import Key, Page, Put
from tenet.store.errors import OutcomeUnknown, StoreUnavailable
from tenet.store.faulty import EVERY_FAULT, CallFaults, FaultPlan
from tenet.store.memory import MemoryEngine
from tenet.store.versions import version_ms
from tenet.tables import keys
from tenet.tables.api import Caller, Tables
from tenet.tables.errors import ConditionalCheckFailedException
from tenet.tables.ops import expiring
from tenet.tables.rules import stored
from tenet.tables.rules.index_log import LOG_SHARDS
from tenet.tables.rules.time_to_live import AGE_S_MAX, CHANGE_MS_MIN, is_expired
from tenet.wire.door import Measured
from tests.sim import test_tables_items as items
from tests.sim.harness import NO_FAULTS, ExpensiveEngine, Simulation, seeds, simulate
from tests.sim.tables_processes import ACCOUNT
from tests.sim.test_tables_indexes import long_after

CALLER = Caller(ACCOUNT)
ENGINES = pytest.mark.parametrize("engine", [MemoryEngine, ExpensiveEngine])
#: Longer than this, no expired item may stay once the store serves again, seconds.
OVERDUE_S_MAX = 60
#: Every call takes a while, so that something can come between two of them.
SLOW = FaultPlan(calls=CallFaults(delayed=1.0, delay_ms_max=40))
UNKNOWN: dict[str, Any] = {"?": True}


async def call(tables: Tables, operation: str, **request: Any) -> dict[str, Any]:
    answer: dict[str, Any] = orjson.loads(await tables.call(operation, {"TableName": "things", **request}, CALLER))
    return answer


async def enable(tables: Tables, attribute: str = "t", *, enabled: bool = True) -> None:
    await call(tables, "UpdateTimeToLive", TimeToLiveSpecification={"AttributeName": attribute, "Enabled": enabled})


async def ready(sim: Simulation) -> Tables:
    """A healthy node with a table that has indexes, time to live, and somebody who follows it."""
    tables = await Tables.open(sim.truth.store, clock=sim.clock, ids=sim.ids)
    await tables.call("CreateTable", items.definition(sim), CALLER)
    await asyncio.sleep(1)
    await tables.following.follow(await tables.following.find(ACCOUNT, "things"), "witness")
    return tables


class Owner:
    """A caller with items of its own, who knows what it was told of them.

    Args:
        tables: the service on its node.
        sim: for time.
        name: of its partition.
    """

    def __init__(self, tables: Tables, sim: Simulation, name: str) -> None:
        self._tables = tables
        self._sim = sim
        self._name = name
        self._dice = Dice(sim.seed_of(name))
        #: What is known of each item: its last state, {} where there is none, UNKNOWN where it was not told.
        self.known: dict[int, dict[str, Any]] = {}

    def key(self, sort: int) -> dict[str, Any]:
        return items.key(self._name, sort)

    def some_time(self) -> dict[str, Any]:
        now_s = self._sim.clock.wall_ms() // 1000
        return self._dice.pick(
            [
                {"N": str(now_s - self._dice.below(100_000))},
                {"N": str(now_s + self._dice.below(30))},
                {"N": str(now_s + self._dice.below(3_000)) + ".25"},
                {"N": str(now_s - AGE_S_MAX - 5)},
                {"N": str(self._sim.clock.wall_ms())},
                {"S": str(now_s - 5)},
            ]
        )

    async def step(self) -> None:
        sort = self._dice.below(6)
        item = self.key(sort) | {"t": self.some_time(), "g": {"S": self._dice.pick("xy")}, "l": {"S": "a"}}
        if self._dice.chance(0.5):
            await self.send(sort, item, "PutItem", Item=item)
        elif self._dice.chance(0.8):
            await self.prolong(sort)
        else:
            await self.send(sort, {}, "DeleteItem", Key=self.key(sort))
        await asyncio.sleep(self._dice.below(3_000) / 1_000)

    async def prolong(self, sort: int) -> None:
        """Pushes an item's time back, if it is there still: it must be there then, whoever was about to remove it."""
        later = {"N": str(self._sim.clock.wall_ms() // 1000 + 10_000)}
        await self.send(
            sort,
            {"t": later},
            "UpdateItem",
            Key=self.key(sort),
            UpdateExpression="SET t = :t",
            ConditionExpression="attribute_exists(p)",
            ExpressionAttributeValues={":t": later},
        )

    async def send(self, sort: int, becomes: dict[str, Any], operation: str, **request: Any) -> None:
        caller = Caller(ACCOUNT, deadline=self._sim.clock.monotonic_s() + items.CALLER_S_MAX)
        self.known.setdefault(sort, UNKNOWN)
        try:
            await self._tables.call(operation, {"TableName": "things", **request}, caller)
        except OutcomeUnknown:
            self.known[sort] = UNKNOWN
        except StoreUnavailable:
            pass
        except ConditionalCheckFailedException:
            self.known[sort] = {}
        else:
            self.known[sort] = becomes

    async def check(self, tables: Tables) -> None:
        now_ms = self._sim.clock.wall_ms()
        for sort, known in self.known.items():
            found = (await call(tables, "GetItem", Key=self.key(sort), ConsistentRead=True)).get("Item")
            assert not is_expired(found, "t", now_ms - OVERDUE_S_MAX * 1_000)
            if known is not UNKNOWN:
                is_left = bool(known) and not is_expired(known, "t", now_ms)
                assert (found is not None) == is_left, (known, found)


async def expiries(sim: Simulation) -> int:
    """Checks every entry of the log against the one before it of the same item; returns how many items expired."""
    table = await items.table_of(sim)
    last: dict[tuple[bytes, bytes], bytes | None] = {}
    expired = 0
    shards = [await sim.truth.log_all(table.space, shard, limit=10_000) for shard in range(LOG_SHARDS)]
    for entry in (entry for shard in shards for entry in shard):
        at = (entry.partition, entry.sort)
        assert entry.old == last.get(at)
        last[at] = entry.new
        if entry.origin == "expiry":
            assert entry.new is None
            assert entry.old is not None
            assert is_expired(stored.decode(entry.old), "t", version_ms(entry.version))
            expired += 1
    found = (await sim.truth.store.scan(table.space, keys.everything_of(None), limit=1_000)).records
    assert {(one.partition, one.sort): one.value for one in found} == {at: value for at, value in last.items() if value}
    return expired


async def scene(sim: Simulation) -> int:
    healthy = await ready(sim)
    services = []
    for _ in range(2):
        node = sim.node()
        services.append(await items.opened(sim, node.store, node.ids))
    await enable(healthy)
    await healthy.close()
    owners = [Owner(services[number % 2], sim, f"owner-{number}") for number in range(6)]

    async def act(actor: int) -> None:
        for _ in range(25):
            await owners[actor].step()

    await sim.actors(len(owners), act)
    await sim.calm()
    for service in services:
        await service.close()
    healthy = await Tables.open(sim.truth.store, clock=sim.clock, ids=sim.ids)
    await asyncio.sleep(OVERDUE_S_MAX)
    for owner in owners:
        await owner.check(healthy)
    expired = await expiries(sim)
    await long_after(sim)
    await items.check_indexes(sim)
    assert (await sim.truth.store.scan(keys.SWEEPS_SPACE, limit=10)).records == []
    await healthy.close()
    return expired


@ENGINES
@pytest.mark.parametrize("plan", [NO_FAULTS, EVERY_FAULT], ids=["healthy", "faulty"])
def test_what_is_expired_goes_once_and_nothing_else_does(engine: type[MemoryEngine], plan: FaultPlan) -> None:
    expired = [simulate(scene, seed, plan, engine) for seed in seeds(4, 100)]
    assert min(expired) > 5


async def large(sim: Simulation, count: int) -> tuple[Tables, Tables]:
    """A healthy node that has left a table of expired items, and one that is to be interrupted."""
    healthy = await ready(sim)
    past = {"N": str(sim.clock.wall_ms() // 1000 - 10)}
    for number in range(count):
        await call(healthy, "PutItem", Item=items.key(f"p-{number}", 0) | {"t": past})
    return healthy, await Tables.open(sim.node().store, clock=sim.clock, ids=sim.ids)


async def taking_over(sim: Simulation) -> None:
    """A look through a large table is interrupted; the next node goes on where it was, and comes to the end."""
    healthy, first = await large(sim, 60)
    await healthy.close()
    await enable(first)
    await asyncio.sleep(1.5)
    await first.close()
    space = (await items.table_of(sim)).space
    left = [one.partition for one in (await sim.truth.store.scan(space, keys.everything_of(None), limit=100)).records]
    assert 0 < len(left) < 60
    (noted,) = (await sim.truth.store.scan(keys.SWEEPS_SPACE, limit=10)).records
    partition, _ = expiring.decode_position(noted.value)
    assert partition not in left
    second = await Tables.open(sim.truth.store, clock=sim.clock, ids=sim.ids)
    await asyncio.sleep(OVERDUE_S_MAX)
    assert await expiries(sim) == 60
    assert (await sim.truth.store.scan(keys.SWEEPS_SPACE, limit=10)).records == []
    await second.close()


@ENGINES
def test_a_look_that_was_interrupted_goes_on_elsewhere(
    engine: type[MemoryEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiring, "PAGE_RECORDS", 4)
    monkeypatch.setattr(expiring, "SAVE_S", 0)
    simulate(taking_over, 1, SLOW, engine)


async def switching(sim: Simulation) -> None:
    """What is switched off stays off on every node, and another attribute counts from when it is named."""
    first = await ready(sim)
    second = await Tables.open(sim.node().store, clock=sim.clock, ids=sim.ids)
    await enable(first, "t")
    sim.clock.advance_ms(CHANGE_MS_MIN)
    await enable(second, "t", enabled=False)
    past = {"N": str(sim.clock.wall_ms() // 1000 - 10)}
    await call(first, "PutItem", Item=items.key("by-t", 0) | {"t": past})
    await call(first, "PutItem", Item=items.key("by-u", 0) | {"u": past})
    await asyncio.sleep(OVERDUE_S_MAX)
    assert (await call(first, "Scan"))["Count"] == 2
    sim.clock.advance_ms(CHANGE_MS_MIN)
    await enable(second, "u")
    await asyncio.sleep(OVERDUE_S_MAX)
    assert [item["p"] for item in (await call(first, "Scan"))["Items"]] == [{"S": "by-t"}]
    await first.close()
    await second.close()


@ENGINES
def test_time_to_live_is_switched_off_and_to_another_attribute(engine: type[MemoryEngine]) -> None:
    simulate(switching, 1, NO_FAULTS, engine)


async def deleting(sim: Simulation) -> None:
    """A table goes while it is looked through; nothing is left of the look, and nothing fails."""
    healthy, other = await large(sim, 40)
    await enable(other)
    await asyncio.sleep(0.2)
    await call(healthy, "DeleteTable")
    await asyncio.sleep(OVERDUE_S_MAX)
    assert (await sim.truth.store.scan(keys.SWEEPS_SPACE, limit=10)).records == []
    await healthy.close()
    await other.close()


@ENGINES
def test_a_table_that_goes_leaves_nothing_behind(engine: type[MemoryEngine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiring, "PAGE_RECORDS", 4)
    monkeypatch.setattr(expiring, "SAVE_S", 0)
    simulate(deleting, 1, SLOW, engine)


async def unreadable(sim: Simulation) -> None:
    """An item that a later version has written is left alone, and stops nobody from removing others."""
    healthy, other = await large(sim, 5)
    await other.close()
    space = (await items.table_of(sim)).space
    later = Put(Key(space, b"later", b"\x00"), b"\x09" + bytes(40))
    await sim.truth.write(later)
    await enable(healthy)
    await asyncio.sleep(OVERDUE_S_MAX)
    left = (await sim.truth.store.scan(space, keys.everything_of(None), limit=100)).records
    assert [one.value for one in left] == [later.value]
    (figures,) = healthy.measures()[-3:-2]
    assert isinstance(figures, Measured)
    assert list(figures.values.values()) == [5]
    await healthy.close()


@ENGINES
def test_an_item_that_cannot_be_read_stops_nobody(engine: type[MemoryEngine]) -> None:
    simulate(unreadable, 1, NO_FAULTS, engine)


class CountingEngine(MemoryEngine):
    """Counts how often a table is scanned."""

    scans = 0

    async def scan(self, space: str, *arguments: Any, **options: Any) -> Page:
        CountingEngine.scans += keys.is_table_space(space)
        return await super().scan(space, *arguments, **options)


async def idle(sim: Simulation, tables: int) -> float:
    """How often a second a node looks at tables in which nothing expires."""
    healthy = await Tables.open(sim.truth.store, clock=sim.clock, ids=sim.ids)
    for number in range(tables):
        await healthy.call("CreateTable", {**items.TABLE, "TableName": f"things-{number}"}, CALLER)
        await asyncio.sleep(0.1)
        specification = {"AttributeName": "t", "Enabled": True}
        request = {"TableName": f"things-{number}", "TimeToLiveSpecification": specification}
        await healthy.call("UpdateTimeToLive", request, CALLER)
    await asyncio.sleep(60)
    CountingEngine.scans = 0
    await asyncio.sleep(60)
    rate = CountingEngine.scans / 60
    await healthy.close()
    return rate


@pytest.mark.parametrize(("tables", "most"), [(1, 1.0), (10, 10.0), (120, expiring.LOOKS_PER_S)])
def test_idle_tables_cost_a_bounded_number_of_looks(tables: int, most: float) -> None:
    rate = simulate(lambda sim: idle(sim, tables), 1, NO_FAULTS, CountingEngine)
    assert 0.9 * most <= rate <= most


async def racing(sim: Simulation) -> tuple[int, int]:
    """Items are pushed back in the very moments in which they are found to be expired; returns how that ended."""
    count = 40
    healthy = await ready(sim)
    sweeping = await Tables.open(sim.node().store, clock=sim.clock, ids=sim.ids)
    await healthy.close()
    await enable(sweeping)
    soon = {"N": str(sim.clock.wall_ms() // 1000 + 20)}
    for number in range(count):
        await call(healthy, "PutItem", Item=items.key(f"p-{number}", 0) | {"t": soon})
    owners = [Owner(healthy, sim, f"p-{number}") for number in range(count)]
    await asyncio.sleep(int(soon["N"]) - sim.clock.wall_ms() / 1000)

    async def prolong(actor: int) -> None:
        await asyncio.sleep(sim.dice.below(1_500) / 1_000)
        await owners[actor].prolong(0)

    await sim.actors(count, prolong)
    await asyncio.sleep(OVERDUE_S_MAX)
    for owner in owners:
        await owner.check(healthy)
    await sweeping.close()
    return sum(bool(owner.known[0]) for owner in owners), await expiries(sim)


@ENGINES
def test_an_update_that_comes_before_the_removal_wins(engine: type[MemoryEngine]) -> None:
    ends = [simulate(racing, seed, SLOW, engine) for seed in seeds(6, 100)]
    assert all(stayed + expired == 40 for stayed, expired in ends)
    assert sum(stayed for stayed, _ in ends) > 20
    assert sum(expired for _, expired in ends) > 20
