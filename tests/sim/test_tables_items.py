"""Items are written in every way the API has, on two nodes to which every fault happens: what was acknowledged holds.

Looked at when all is quiet: counters count every acknowledged increment once, transfers keep the sum, a token is used
at most once, and every index holds exactly the entries that its items call for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import orjson

from tenet.base.dice import Dice
from tenet.store.errors import OutcomeUnknown, StoreUnavailable
from tenet.tables import keys
from tenet.tables.api import Caller, Tables
from tenet.tables.model import Table
from tenet.tables.rules.images import ABSENT, Image
from tenet.tables.rules.indexes import changes
from tests.sim.harness import Simulation, seeds, simulate
from tests.sim.registers import DONE, REFUSED, Told, told
from tests.sim.tables_processes import ACCOUNT

Way: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

CALLER_S_MAX = 20.0
ACCOUNTS = 6
BALANCE = 100
TABLE: dict[str, Any] = {
    "TableName": "things",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [
        {"AttributeName": "p", "AttributeType": "S"},
        {"AttributeName": "s", "AttributeType": "N"},
        {"AttributeName": "g", "AttributeType": "S"},
        {"AttributeName": "l", "AttributeType": "S"},
    ],
    "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "s", "KeyType": "RANGE"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-g",
            "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}, {"AttributeName": "l", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "LocalSecondaryIndexes": [
        {
            "IndexName": "by-l",
            "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "l", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ],
}
#: The global index, with one attribute of each kind in its key and with several, by turns.
GLOBAL_INDEXES: tuple[dict[str, Any], ...] = (
    TABLE["GlobalSecondaryIndexes"][0],
    TABLE["GlobalSecondaryIndexes"][0]
    | {"KeySchema": [{"AttributeName": name, "KeyType": "HASH" if name in "gl" else "RANGE"} for name in "glsp"]},
)
#: What a caller may be told, whatever happens; each says that nothing was written.
REFUSALS = {
    "ConditionalCheckFailedException",
    "DuplicateItemException",
    "TransactionCanceledException",
    "TransactionInProgressException",
}


def index_of(sim: Simulation) -> dict[str, Any]:
    """The global index of a simulation."""
    return GLOBAL_INDEXES[sim.seed % 2]


def definition(sim: Simulation) -> dict[str, Any]:
    """The table of a simulation."""
    return TABLE | {"GlobalSecondaryIndexes": [index_of(sim)]}


def key(partition: str, sort: int) -> dict[str, Any]:
    return {"p": {"S": partition}, "s": {"N": str(sort)}}


class Ledger:
    """What callers were told."""

    def __init__(self) -> None:
        self.counted: dict[str, int] = {}
        self.perhaps: dict[str, int] = {}
        #: What may have been counted so far: what was sent and was not refused.
        self.begun: dict[str, int] = {}
        self.tokens: dict[str, int] = {}

    def begin(self, name: str) -> None:
        """Notes that a counter is about to be counted up."""
        self.begun[name] = self.begun.get(name, 0) + 1

    def end(self, name: str, outcome: str) -> None:
        """Notes what became of that."""
        if outcome == REFUSED:
            self.begun[name] -= 1
            return
        book = self.counted if outcome == DONE else self.perhaps
        book[name] = book.get(name, 0) + 1


class Program:
    """One caller that does everything an application does.

    Args:
        tables: the service on its node.
        sim: for deadlines.
        dice: decides what comes next.
        ledger: where it notes what it was told.
    """

    def __init__(self, tables: Tables, sim: Simulation, dice: Dice, ledger: Ledger) -> None:
        self._tables = tables
        self._sim = sim
        self._dice = dice
        self._ledger = ledger

    async def ask(self, operation: str, request: dict[str, Any]) -> Told:
        """Returns what it was told; the answer as it was parsed."""
        caller = Caller(ACCOUNT, deadline=self._sim.clock.monotonic_s() + CALLER_S_MAX)
        answer = await told(self._tables.call(operation, request, caller), REFUSALS)
        return answer._replace(answer=orjson.loads(answer.answer or b"{}"))

    async def call(self, operation: str, request: dict[str, Any]) -> str:
        """Returns ``done``, ``refused`` or ``perhaps``."""
        return (await self.ask(operation, request)).outcome

    async def count(self) -> None:
        name = f"counter-{self._dice.below(2)}"
        update = {
            "TableName": "things",
            "Key": key(name, 0),
            "UpdateExpression": "ADD n :one SET g = :g, l = :l",
            "ExpressionAttributeValues": {
                ":one": {"N": "1"},
                ":g": {"S": self._dice.pick("xyz")},
                ":l": {"S": self._dice.pick("abc")},
            },
        }
        self._ledger.begin(name)
        self._ledger.end(name, await self.call("UpdateItem", update))

    async def put(self) -> None:
        item = key(f"thing-{self._dice.below(3)}", self._dice.below(3))
        for attribute in ("g", "l", "other"):
            if self._dice.chance(0.6):
                item[attribute] = {"S": self._dice.pick("pqr")}
        await self.call("PutItem", {"TableName": "things", "Item": item})

    async def delete(self) -> None:
        gone = key(f"thing-{self._dice.below(3)}", self._dice.below(3))
        await self.call("DeleteItem", {"TableName": "things", "Key": gone})

    async def batch(self) -> None:
        wanted: list[dict[str, Any]] = [
            {"PutRequest": {"Item": key("thing-0", sort) | {"g": {"S": self._dice.pick("pq")}, "l": {"S": "b"}}}}
            for sort in range(3)
        ]
        wanted[2] = {"DeleteRequest": {"Key": key("thing-1", 0)}}
        await self.call("BatchWriteItem", {"RequestItems": {"things": wanted}})

    async def transfer(self) -> None:
        source, target = self._dice.sample(range(ACCOUNTS), 2)
        amount = {":a": {"N": str(1 + self._dice.below(30))}}
        take = {
            "TableName": "things",
            "Key": key("account", source),
            "UpdateExpression": "SET balance = balance - :a",
            "ConditionExpression": "balance >= :a",
            "ExpressionAttributeValues": dict(amount),
        }
        give = {
            "TableName": "things",
            "Key": key("account", target),
            "UpdateExpression": "SET balance = balance + :a",
            "ExpressionAttributeValues": dict(amount),
        }
        await self.call("TransactWriteItems", {"TransactItems": [{"Update": take}, {"Update": give}]})

    async def use_token(self) -> None:
        """Sends one request again and again; it may take effect once."""
        token = f"token-{self._dice.below(5)}"
        update = {
            "TableName": "things",
            "Key": key(token, 0),
            "UpdateExpression": "ADD n :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
        request = {"TransactItems": [{"Update": update}], "ClientRequestToken": token}
        if await self.call("TransactWriteItems", request) == DONE:
            self._ledger.tokens[token] = 1

    async def resend(self) -> None:
        """Sends one request a second time before the first has an answer: no try may be told that it was refused."""
        token = self._dice.bytes(8).hex()
        put = {
            "TableName": "things",
            "Item": key(f"once-{token}", 0),
            "ConditionExpression": "attribute_not_exists(p)",
        }
        request = {"TransactItems": [{"Put": put}], "ClientRequestToken": token}
        caller = Caller(ACCOUNT, deadline=self._sim.clock.monotonic_s() + CALLER_S_MAX)
        tries = (self._tables.call("TransactWriteItems", dict(request), caller) for _ in range(2))
        for answer in await asyncio.gather(*tries, return_exceptions=True):
            if isinstance(answer, BaseException) and not isinstance(answer, StoreUnavailable | OutcomeUnknown):
                raise answer

    def ways(self) -> list[Way]:
        """Returns what it does, the more often the more often it stands here."""
        return [
            self.count,
            self.count,
            self.put,
            self.put,
            self.delete,
            self.batch,
            self.transfer,
            self.transfer,
            self.use_token,
            self.resend,
        ]

    async def run(self, steps: int) -> None:
        ways = self.ways()
        for _ in range(steps):
            await self._dice.pick(ways)()


async def scene(sim: Simulation) -> None:
    ready = await Tables.open(sim.truth.store, clock=sim.clock, ids=sim.ids)
    await ready.call("CreateTable", definition(sim), Caller(ACCOUNT))
    for number in range(ACCOUNTS):
        item = key("account", number) | {"balance": {"N": str(BALANCE)}}
        await ready.call("PutItem", {"TableName": "things", "Item": item}, Caller(ACCOUNT))
    services = []
    for _ in range(2):
        node = sim.node()
        services.append(await opened(sim, node.store, node.ids))
    ledger = Ledger()

    async def act(actor: int) -> None:
        dice = Dice(sim.seed_of(f"program {actor}"))
        await Program(services[actor % 2], sim, dice, ledger).run(25)

    await sim.actors(8, act)
    await sim.calm()
    for service in services:
        await service.close()
    await check(sim, ready, ledger)
    await ready.close()


async def opened(sim: Simulation, store: Any, ids: Any) -> Tables:
    """A service that opened in the end."""
    while True:
        try:
            return await Tables.open(store, clock=sim.clock, ids=ids)
        except (StoreUnavailable, OutcomeUnknown):
            continue


async def read(tables: Tables, partition: str, sort: int) -> dict[str, Any]:
    request = {"TableName": "things", "Key": key(partition, sort), "ConsistentRead": True}
    item: dict[str, Any] = orjson.loads(await tables.call("GetItem", request, Caller(ACCOUNT))).get("Item", {})
    return item


def number_of(item: dict[str, Any], name: str) -> int:
    return int(item.get(name, {"N": "0"})["N"])


async def check(sim: Simulation, tables: Tables, ledger: Ledger) -> None:
    await check_ledger(tables, ledger)
    await check_indexes(sim)


async def check_ledger(tables: Tables, ledger: Ledger) -> None:
    """What callers were told is what the table holds."""
    for name in ("counter-0", "counter-1"):
        counted = number_of(await read(tables, name, 0), "n")
        acknowledged = ledger.counted.get(name, 0)
        assert acknowledged <= counted <= acknowledged + ledger.perhaps.get(name, 0)
    balances = [number_of(await read(tables, "account", number), "balance") for number in range(ACCOUNTS)]
    assert sum(balances) == ACCOUNTS * BALANCE
    assert min(balances) >= 0
    for number in range(5):
        used = number_of(await read(tables, f"token-{number}", 0), "n")
        assert ledger.tokens.get(f"token-{number}", 0) <= used <= 1


async def check_indexes(sim: Simulation) -> None:
    """Every index holds what the rules say of the items, and nothing else."""
    table = await table_of(sim)
    store = sim.truth.store
    found = {}
    wanted = {}
    for space in keys.spaces(table):
        for record in (await store.scan(space, limit=10_000, limit_bytes=1 << 30)).records:
            found[space, record.partition, record.sort] = record.value
    for (space, _, sort), value in list(found.items()):
        if space == table.space and sort.startswith(b"\x00"):
            for write in changes(table, ABSENT, Image(value)).writes:
                wanted[write.key.space, write.key.partition, write.key.sort] = getattr(write, "value", None)
    entries = {at: value for at, value in found.items() if not (at[0] == table.space and at[2].startswith(b"\x00"))}
    assert entries == wanted


async def table_of(sim: Simulation) -> Table:
    from tenet.tables.ops.catalog import decode_table

    (record,) = await sim.truth.store.get((keys.table_key(ACCOUNT, "things"),))
    assert record is not None
    return decode_table(record.value)


def test_items_on_nodes_to_which_everything_happens() -> None:
    for seed in seeds(12, 400):
        simulate(scene, seed)
