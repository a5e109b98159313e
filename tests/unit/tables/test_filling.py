"""Global indexes that are added to a table and taken from it while it is written to, on both kinds of engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final

import orjson
import pytest

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store import memory
from tenet.store.contract import EVERYTHING, Engine, Page, Range
from tenet.tables import keys
from tenet.tables.api import ROUTES, Caller, Tables
from tenet.tables.calls import WRITES
from tenet.tables.errors import LimitExceededException, ResourceNotFoundException, TablesError, ValidationException
from tenet.tables.model import Table
from tenet.tables.ops import expiring
from tenet.tables.ops.barrier import Barrier
from tenet.tables.ops.catalog import Catalog
from tenet.tables.ops.indexing import filling
from tenet.tables.ops.indexing.filling import decode_filled
from tenet.tables.rules.index_changes import told_since
from tenet.wire.door import Measured
from tests.dear import Dear

CLOCK, IDS = SystemClock(), SystemIds()
ACCOUNT: Final = "0" * 12
WAIT_S_MAX: Final = 30.0
NAME: Final = "things"
BY_G: Final[dict[str, Any]] = {
    "IndexName": "by-g",
    "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}],
    "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["kept"]},
}
DEFINITIONS: Final = [{"AttributeName": "g", "AttributeType": "S"}, {"AttributeName": "n", "AttributeType": "N"}]


class Service:
    """The service, asked as the edge asks it."""

    def __init__(self, tables: Tables, store: Engine) -> None:
        self.tables = tables
        self.store = store

    async def __call__(self, operation: str, **request: Any) -> dict[str, Any]:
        return await self.tables_call(operation, TableName=NAME, **request)

    async def tables_call(self, operation: str, **request: Any) -> dict[str, Any]:
        """Calls an operation that is not about one table alone."""
        answer: dict[str, Any] = orjson.loads(await self.tables.call(operation, request, Caller(ACCOUNT)))
        return answer

    async def create(self, **more: Any) -> None:
        await self(
            "CreateTable",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
            **{"AttributeDefinitions": [{"AttributeName": "p", "AttributeType": "S"}], **more},
        )
        await self.until(lambda table: table["TableStatus"] == "ACTIVE")

    async def table(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self("DescribeTable"))["Table"]
        return found

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_S_MAX):
            while not holds(table := await self.table()):  # noqa: ASYNC110 (as a client waits)
                await asyncio.sleep(0.01)
        return table

    async def add(
        self, index: dict[str, Any] = BY_G, definitions: list[dict[str, str]] = DEFINITIONS
    ) -> dict[str, Any]:
        updates = [{"Create": index}]
        answer = await self("UpdateTable", AttributeDefinitions=definitions, GlobalSecondaryIndexUpdates=updates)
        return answer["TableDescription"]  # type: ignore[no-any-return]

    async def remove(self, name: str = "by-g") -> None:
        await self("UpdateTable", GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": name}}])
        await self.until(lambda table: table["TableStatus"] == "ACTIVE" and status_of(table, name) is None)

    async def is_full(self, name: str = "by-g") -> None:
        await self.until(lambda table: status_of(table, name) == "ACTIVE")

    async def put(self, partition: str, **attributes: dict[str, Any]) -> None:
        await self("PutItem", Item={"p": {"S": partition}, **attributes})

    async def everything(self, index: str | None = None) -> dict[str, dict[str, Any]]:
        """All items, or all entries of an index, by their partition key."""
        found: dict[str, dict[str, Any]] = {}
        more: dict[str, Any] = {} if index is None else {"IndexName": index}
        while True:
            page = await self("Scan", **more)
            for item in page["Items"]:
                assert item["p"]["S"] not in found
                found[item["p"]["S"]] = item
            if "LastEvaluatedKey" not in page:
                return found
            more["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def status_of(table: dict[str, Any], name: str) -> str | None:
    found = [one["IndexStatus"] for one in table.get("GlobalSecondaryIndexes", ()) if one["IndexName"] == name]
    return found[0] if found else None


def entries_of(items: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What an index ``BY_G`` is to hold: worked out here in its own way."""
    wanted = {}
    for partition, item in items.items():
        group, number = item.get("g", {}), item.get("n", {})
        if "N" in number and 0 < len(group.get("S", "").encode()) <= 2048:
            wanted[partition] = {name: value for name, value in item.items() if name in {"p", "g", "n", "kept"}}
    return wanted


@asynccontextmanager
async def opened(kind: str, store: Engine | None = None) -> AsyncIterator[Service]:
    if store is None:
        made: Engine = await memory.open_engine("", clock=CLOCK, ids=IDS)
        store = Dear(made) if kind == "dear" else made
    tables = await Tables.open(store, clock=CLOCK, ids=IDS)
    try:
        yield Service(tables, store)
    finally:
        await tables.close()


def serving(kind: str, work: Callable[[Service], Awaitable[None]]) -> None:
    async def run() -> None:
        async with opened(kind) as service:
            await work(service)

    asyncio.run(run())


kinds = pytest.mark.parametrize("kind", ["cheap", "dear"])


@kinds
def test_an_index_that_is_added_holds_what_was_there(kind: str) -> None:
    async def work(service: Service) -> None:
        await service.create()
        for number in range(20):
            await service.put(f"p-{number}", g={"S": f"g-{number % 3}"}, n={"N": str(number)}, lost={"S": "x"})
        await service.put("no-group", n={"N": "1"})
        await service.put("wrong-type", g={"N": "1"}, n={"N": "1"})
        await service.put("empty", g={"S": ""}, n={"N": "1"})
        await service.put("too-long", g={"S": "x" * 2049}, n={"N": "1"})
        described = await service.add()
        assert described["TableStatus"] == "UPDATING"
        (index,) = described["GlobalSecondaryIndexes"]
        assert (index["IndexStatus"], index["Backfilling"]) == ("CREATING", False)
        await service.is_full()
        table = await service.table()
        (index,) = table["GlobalSecondaryIndexes"]
        assert "Backfilling" not in index
        assert {one["AttributeName"] for one in table["AttributeDefinitions"]} == {"p", "g", "n"}
        items = await service.everything()
        assert await service.everything("by-g") == entries_of(items)
        assert len(entries_of(items)) == 20

    serving(kind, work)


class Writer:
    """Puts, updates and deletes items, some of which the index holds.

    Args:
        service: the service.
        seed: determines everything.
    """

    def __init__(self, service: Service, seed: int) -> None:
        self._service = service
        self._chance = Random(seed)
        self.is_over = False

    async def write(self) -> None:
        chance, service = self._chance, self._service
        place, group = f"p-{chance.randrange(40)}", {"S": chance.choice("abc")}
        kind = chance.randrange(4)
        if kind == 0:
            await service("DeleteItem", Key={"p": {"S": place}})
        elif kind == 1:
            number, kept = {"N": str(chance.randrange(9))}, {"S": chance.choice("xy")}
            await service.put(place, g=group, n=number, kept=kept)
        elif kind == 2:
            await service.put(place, other={"S": "z"})
        else:
            values = {":g": group, ":k": {"S": chance.choice("xy")}, ":one": {"N": "1"}}
            update = "SET g = :g, kept = :k ADD n :one"
            await service(
                "UpdateItem", Key={"p": {"S": place}}, UpdateExpression=update, ExpressionAttributeValues=values
            )

    async def keep_writing(self) -> None:
        while not self.is_over:
            await self.write()
            await asyncio.sleep(0)


@pytest.mark.thorough
@kinds
def test_an_index_that_is_added_while_the_table_is_written_to(kind: str, seed: int) -> None:
    async def work(service: Service) -> None:
        writer = Writer(service, seed)
        await service.create()
        for _ in range(60):
            await writer.write()
        writers = [asyncio.create_task(writer.keep_writing()) for _ in range(4)]
        for number in range(3):
            if number:
                await service.remove()
            await service.add()
            await service.is_full()
            await asyncio.sleep(0.05)
        writer.is_over = True
        await asyncio.gather(*writers)
        wanted = entries_of(await service.everything())
        async with asyncio.timeout(WAIT_S_MAX):
            while kind == "dear" and await service.everything("by-g") != wanted:  # noqa: ASYNC110 (the log is followed behind the answers)
                await asyncio.sleep(0.02)
        assert await service.everything("by-g") == wanted

    serving(kind, work)


class Blocking:
    """An engine of which scans of items wait, so that an index stays half filled.

    Args:
        engine: the engine.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.scans = 0
        #: So many scans go through.
        self.room = 0
        self.after: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def scan(self, space: str, within: Range = EVERYTHING, **options: Any) -> Page:
        if options.get("limit") == filling.PAGE_RECORDS:
            while self.room <= 0:  # noqa: ASYNC110 (two services look at it)
                await asyncio.sleep(0.005)
            self.room -= 1
            self.after.append(options["after"])
        return await self._engine.scan(space, within, **options)


@asynccontextmanager
async def half_filled(kind: str) -> AsyncIterator[tuple[Service, Blocking]]:
    made = await memory.open_engine("", clock=CLOCK, ids=IDS)
    blocking = Blocking(Dear(made) if kind == "dear" else made)
    async with opened(kind, blocking) as service:
        await service.create()
        for number in range(10):
            await service.put(f"p-{number}", g={"S": "g"}, n={"N": "1"})
        await service.add()
        await service.until(lambda table: table["TableStatus"] == "ACTIVE")
        yield service, blocking


def refused(kind: type[TablesError], call: Awaitable[Any]) -> Awaitable[str]:
    async def message() -> str:
        with pytest.raises(kind) as caught:
            await call
        return caught.value.message

    return message()


@kinds
def test_an_index_that_is_being_filled(kind: str) -> None:
    async def run() -> None:
        async with half_filled(kind) as (service, blocking):
            table = await service.table()
            (index,) = table["GlobalSecondaryIndexes"]
            assert (table["TableStatus"], index["IndexStatus"], index["Backfilling"]) == ("ACTIVE", "CREATING", True)
            said = await refused(ValidationException, service.everything("by-g"))
            assert said == "Cannot read from backfilling global secondary index: by-g"
            said = await refused(LimitExceededException, service.add({**BY_G, "IndexName": "other"}))
            assert "Only 1 online index can be created or deleted simultaneously per table" in said
            # Its keys are checked from now on; what was there before may stay.
            said = await refused(ValidationException, service.put("p", g={"N": "1"}, n={"N": "1"}))
            assert "Type mismatch for Index Key g" in said
            # The table may be changed otherwise meanwhile, and the index is still not whole then.
            await service("UpdateTable", TableClass="STANDARD")
            table = await service.until(lambda table: table["TableStatus"] == "ACTIVE")
            assert status_of(table, "by-g") == "CREATING"
            blocking.room = 1_000
            await service.is_full()
            assert len(await service.everything("by-g")) == 10

    asyncio.run(run())


@kinds
def test_an_index_is_removed_while_it_is_filled(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "NOTE_S", 0.0)

    async def run() -> None:
        async with half_filled(kind) as (service, blocking):
            await service.remove()
            blocking.room = 1
            names = [info.name for info in await service.store.list_spaces(keys.TABLE_SPACES)]
            assert not any(keys.is_index_space(name) for name in names)
            table = await service.table()
            assert "GlobalSecondaryIndexes" not in table
            assert table["AttributeDefinitions"] == [{"AttributeName": "p", "AttributeType": "S"}]
            blocking.room = 1_000
            await service.add()
            await service.is_full()
            assert len(await service.everything("by-g")) == 10

    asyncio.run(run())


def test_what_was_read_and_not_written_when_a_process_died_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "NOTE_S", 0.0)
    monkeypatch.setattr(filling, "PAGE_RECORDS", 3)

    async def run() -> None:
        async with half_filled("cheap") as (service, blocking):
            blocking.room = 2
            async with asyncio.timeout(WAIT_S_MAX):
                while len(blocking.after) < 2 or blocking.room:  # noqa: ASYNC110 (it is done behind the answers)
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.1)
            place = keys.filled_key((await service.table())["TableId"], 1)
            (record,) = await service.store.get((place,))
            assert record is not None
            assert decode_filled(record).items == 0
        blocking.room = 1_000
        async with opened("cheap", blocking) as again:
            await again.is_full()
            assert len(await again.everything("by-g")) == 10
        assert blocking.after[2] is None

    asyncio.run(run())


def test_large_items_have_entries() -> None:
    """Each is in memory and in a commit with others only as long as there is room."""

    async def run() -> None:
        made = await memory.open_engine("", clock=CLOCK, ids=IDS)
        async with opened("cheap", made) as service:
            await service.create()
            for number in range(30):
                await service.put(f"p-{number}", g={"S": "g"}, n={"N": "1"}, text={"S": "x" * 380_000})
            await service.add({**BY_G, "Projection": {"ProjectionType": "ALL"}})
            await service.is_full()
            found = await service.everything("by-g")
            assert [len(item["text"]["S"]) for item in found.values()] == [380_000] * 30

    asyncio.run(run())


def test_of_an_index_with_few_entries_it_is_noted_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "NOTE_S", 0.0)
    monkeypatch.setattr(filling, "PAGE_RECORDS", 5)
    monkeypatch.setattr(filling, "READ_MAX", 20)

    async def run() -> None:
        async with half_filled("cheap") as (service, blocking):
            for number in range(90):
                await service.put(f"without-{number}")
            blocking.room = 10
            place = keys.filled_key((await service.table())["TableId"], 1)
            async with asyncio.timeout(WAIT_S_MAX):
                while decode_filled((await service.store.get((place,)))[0]).items < 40:  # noqa: ASYNC110 (it is done behind the answers)
                    await asyncio.sleep(0.01)
            blocking.room = 1_000
            await service.is_full()
            assert len(await service.everything("by-g")) == 10

    asyncio.run(run())


@kinds
def test_measures_say_how_far_an_index_is(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "PAGE_RECORDS", 3)
    monkeypatch.setattr(filling, "READ_MAX", 3)

    async def run() -> None:
        made = await memory.open_engine("", clock=CLOCK, ids=IDS)
        blocking = Blocking(Dear(made) if kind == "dear" else made)
        async with opened(kind, blocking) as service:

            def told() -> dict[str, float]:
                """How many items were looked at, and how many were skipped, while the index is filled."""
                of_this = (ACCOUNT, NAME, "by-g")
                measured = [one for one in service.tables.measures() if isinstance(one, Measured)]
                return {one.name: one.values[of_this] for one in measured if "_filling_" in one.name and one.values}

            await service.create()
            for number in range(10):
                # What is no string the index cannot hold.
                await service.put(f"p-{number}", g={"N": "1"} if number % 2 else {"S": "g"}, n={"N": "1"})
            assert told() == {}
            await service.add()
            blocking.room = 2
            async with asyncio.timeout(WAIT_S_MAX):
                while told().get("tenet_index_filling_items", 0) < 6:  # noqa: ASYNC110 (it is done behind the answers)
                    await asyncio.sleep(0.01)
            assert told()["tenet_index_filling_items"] == 6
            assert 1 <= told()["tenet_index_filling_skipped"] <= 5
            blocking.room = 1_000
            await service.is_full()
            assert len(await service.everything("by-g")) == 5
            await service.until(lambda _: told() == {})

    asyncio.run(run())


@kinds
def test_filling_goes_on_where_it_was_interrupted(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "NOTE_S", 0.0)
    monkeypatch.setattr(filling, "PAGE_RECORDS", 3)
    monkeypatch.setattr(filling, "READ_MAX", 3)

    async def run() -> None:
        async with half_filled(kind) as (service, blocking):
            blocking.room = 2
            place = keys.filled_key((await service.table())["TableId"], 1)
            async with asyncio.timeout(WAIT_S_MAX):
                while decode_filled((await service.store.get((place,)))[0]).items < 6:  # noqa: ASYNC110 (it is done behind the answers)
                    await asyncio.sleep(0.01)
        assert len(blocking.after) == 2
        blocking.room = 1_000
        async with opened(kind, blocking) as again:
            await again.is_full()
            assert len(await again.everything("by-g")) == 10
            assert (await again.store.get((place,)))[0] is None
        assert blocking.after[2] is not None, "it does not begin anew"
        assert len(blocking.after) == 4

    asyncio.run(run())


def test_positions_of_another_log_are_taken_for_what_they_are() -> None:
    """A copy of a store has the description, and a log of its own."""

    async def run() -> None:
        async with half_filled("dear") as (service, blocking):
            while not (await described(service)).indexes[0].since:  # noqa: ASYNC110 (it is done behind the answers)
                await asyncio.sleep(0.01)

        def foreign(now: Table | None) -> Table | None:
            assert now is not None
            return told_since(now, 1, (1 << 80,) * 4)

        await Catalog(blocking, clock=CLOCK, ids=IDS).change(ACCOUNT, NAME, foreign)
        blocking.room = 1_000
        async with opened("dear", blocking) as copy:
            await copy.is_full()
            assert len(await copy.everything("by-g")) == 10

    async def described(service: Service) -> Table:
        return await Catalog(service.store, clock=CLOCK, ids=IDS).describe(ACCOUNT, NAME)

    asyncio.run(run())


@kinds
def test_what_an_index_cannot_hold_may_stay_as_it_is(kind: str) -> None:
    async def work(service: Service) -> None:
        await service.create()
        await service.put("p", g={"N": "1"}, n={"N": "1"}, text1={"S": "a"})
        await service.add()
        await service.is_full()
        update = {"Key": {"p": {"S": "p"}}, "UpdateExpression": "SET text1 = :v"}
        await service("UpdateItem", **update, ExpressionAttributeValues={":v": {"S": "b"}})
        assert await service.everything("by-g") == {}
        update["UpdateExpression"] = "SET g = :v"
        said = await refused(
            ValidationException, service("UpdateItem", **update, ExpressionAttributeValues={":v": {"N": "2"}})
        )
        assert "Type mismatch for Index Key g" in said
        await service("UpdateItem", **update, ExpressionAttributeValues={":v": {"S": "right"}})
        async with asyncio.timeout(WAIT_S_MAX):
            while list(await service.everything("by-g")) != ["p"]:  # noqa: ASYNC110 (the log is followed behind the answers)
                await asyncio.sleep(0.01)
        await service("DeleteItem", Key={"p": {"S": "p"}})

    serving(kind, work)


@kinds
@pytest.mark.parametrize("zeros", [{"B": "AAA="}, {"S": "\0\0"}])
def test_entries_lie_beside_what_is_noted_of_filling(kind: str, zeros: dict[str, str]) -> None:
    """Notes lie in a partition of the index that a key may have as well, of two zero bytes."""
    index = BY_G | {"KeySchema": BY_G["KeySchema"][:1], "Projection": {"ProjectionType": "KEYS_ONLY"}}
    item = {"p": {"S": "p"}, "g": zeros}

    async def work(service: Service) -> None:
        await service.create()
        await service.put("p", g=zeros)
        await service.add(index, [{"AttributeName": "g", "AttributeType": next(iter(zeros))}])
        await service.is_full()
        assert await service.everything("by-g") == {"p": item}

    serving(kind, work)


@kinds
def test_what_expires_meanwhile_has_no_entry(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, go = asyncio.Event(), asyncio.Event()
    look = expiring.Look._due

    async def held_up(self: expiring.Look, *given: Any) -> Any:
        found = await look(self, *given)
        if found:
            seen.set()
            await go.wait()
        return found

    monkeypatch.setattr(expiring.Look, "_due", held_up)

    async def work(service: Service) -> None:
        await service.create()
        for number in range(10):
            due = {"N": str(int(CLOCK.wall_ms() / 1000) - 60)} if number % 2 else {"N": "1"}
            await service.put(f"p-{number}", g={"S": "g"}, n={"N": "1"}, until=due)
        specification = {"AttributeName": "until", "Enabled": True}
        await service("UpdateTimeToLive", TimeToLiveSpecification=specification)
        await seen.wait()
        # What is expired is found by now; it is removed when there is an index.
        await service.add()
        await service.is_full()
        assert len(await service.everything("by-g")) == 10
        go.set()
        async with asyncio.timeout(WAIT_S_MAX):
            while len(await service.everything("by-g")) > 5:  # noqa: ASYNC110 (it is done behind the answers)
                await asyncio.sleep(0.01)
        assert (await service.everything("by-g")).keys() == (await service.everything()).keys()

    serving(kind, work)


WRONG: Final[tuple[tuple[dict[str, Any], type[TablesError], str], ...]] = (
    ({"Update": None}, ValidationException, "must not be null"),
    ({"Delete": {"IndexName": "by-g"}, "Create": BY_G}, ValidationException, "Only one global"),
    ({"Delete": {"IndexName": "nothing"}}, ResourceNotFoundException, "Requested resource not found: Index nothing"),
    ({"Create": {**BY_G, "IndexName": "there"}}, ValidationException, "Attempting to create an index which already"),
    (
        {"Create": {**BY_G, "KeySchema": [{"AttributeName": "x", "KeyType": "HASH"}]}},
        ValidationException,
        "Some index key attributes are not defined in AttributeDefinitions. Keys: [x], AttributeDefinitions: [g, n]",
    ),
    (
        {"Create": {**BY_G, "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}}},
        ValidationException,
        "can be specified for index: by-g when BillingMode is PAY_PER_REQUEST",
    ),
)


@pytest.mark.parametrize(("update", "kind", "said"), WRONG, ids=[said[:24] for _, _, said in WRONG])
def test_an_update_that_is_wrong_is_refused(update: dict[str, Any], kind: type[TablesError], said: str) -> None:
    async def work(service: Service) -> None:
        there = [{**BY_G, "IndexName": "there"}]
        definitions = [{"AttributeName": "p", "AttributeType": "S"}, *DEFINITIONS]
        await service.create(AttributeDefinitions=definitions, GlobalSecondaryIndexes=there)
        before = await service.table()
        updates = [{name: value for name, value in update.items() if value is not None}]
        call = service("UpdateTable", AttributeDefinitions=DEFINITIONS, GlobalSecondaryIndexUpdates=updates)
        assert said in await refused(kind, call)
        assert await service.table() == before

    async def fresh(service: Service) -> None:
        await service.create()
        updates = [{name: value for name, value in update.items() if value is not None}]
        call = service("UpdateTable", AttributeDefinitions=DEFINITIONS, GlobalSecondaryIndexUpdates=updates)
        assert said in await refused(kind, call)

    serving("cheap", fresh if "Definitions are" in said else work)


def test_a_definition_of_another_type_and_one_index_too_many_are_refused() -> None:
    async def work(service: Service) -> None:
        await service.create()
        keyed = [{"AttributeName": "p", "KeyType": "HASH"}]
        other = service.add({**BY_G, "KeySchema": keyed}, [{"AttributeName": "p", "AttributeType": "N"}])
        assert "is of type S in the table" in await refused(ValidationException, other)
        definitions = [{"AttributeName": "p", "AttributeType": "S"}]
        for number in range(20):
            index = {"IndexName": f"by-{number}", "KeySchema": keyed, "Projection": {"ProjectionType": "ALL"}}
            await service.add(index, definitions)
            await service.is_full(f"by-{number}")
        said = await refused(
            LimitExceededException, service.add({**BY_G, "IndexName": "by-20"}, [*definitions, *DEFINITIONS])
        )
        assert said == ("Subscriber limit exceeded: Number of global secondary indexes exceeds per-table limit of 20")

    serving("cheap", work)


def test_a_barrier_waits_for_what_began_before_it_and_for_nothing_else() -> None:
    async def run() -> None:
        barrier = Barrier()
        await barrier.passed()
        first, second = barrier.enter(), barrier.enter()
        waiting = asyncio.create_task(barrier.passed())
        await asyncio.sleep(0)
        later = barrier.enter()
        barrier.leave(first)
        await asyncio.sleep(0.01)
        assert not waiting.done()
        barrier.leave(second)
        await asyncio.wait_for(waiting, 1)
        next_one = asyncio.create_task(barrier.passed())
        await asyncio.sleep(0.01)
        assert not next_one.done(), "it began behind the first barrier and before this one"
        barrier.leave(later)
        await asyncio.wait_for(next_one, 1)

    asyncio.run(run())


def test_a_barrier_waits_for_what_one_that_was_given_up_has_waited_for() -> None:
    async def run() -> None:
        barrier = Barrier()
        before = barrier.enter()
        given_up = asyncio.create_task(barrier.passed())
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait((given_up,))
        waiting = asyncio.create_task(barrier.passed())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        barrier.leave(before)
        await asyncio.wait_for(waiting, 1)

    asyncio.run(run())


def test_every_operation_that_writes_items_is_waited_for() -> None:
    others = {
        *("BatchGetItem", "GetItem", "Query", "Scan", "TransactGetItems"),
        *("CreateTable", "DeleteTable", "UpdateTable", "UpdateTimeToLive", "TagResource", "UntagResource"),
        *(name for name in ROUTES if name.startswith(("Describe", "List"))),
    }
    assert set(ROUTES) == WRITES | others
    assert not WRITES & others
