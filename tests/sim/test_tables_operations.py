"""Items are read and written in every way, by statements too, on nodes to which everything happens.

What is read is looked at while others write: a consistent read finds what some order of the writes explains, a
transaction finds all that it reads as it was at one moment, and an index finds nothing that was never written.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import count
from typing import Any

from tenet.base.dice import Dice
from tenet.store.faulty import EVERY_FAULT
from tenet.tables.api import Caller, Tables
from tests.sim import test_tables_items as items
from tests.sim.harness import ExpensiveEngine, Simulation, seeds, simulate
from tests.sim.registers import DONE, PERHAPS, REFUSED, Moment, Registers, Told, Write
from tests.sim.tables_processes import ACCOUNT

PARTITIONS = 3
SORTS = 3
#: What is looked at of an item: who wrote it, and where its indexes have it.
Seen = tuple[str, str, str]
#: An item by its key's values.
Name = tuple[str, int]
#: Two items that are always written together, with the same text.
PAIR: tuple[Name, Name] = (("pair-0", 0), ("pair-1", 0))
FIRST: Seen = ("first", "p", "p")
WHERE = "WHERE p = ? AND s = ?"
COUNTERS = ("counter-0", "counter-1")


def seen(item: dict[str, Any] | None) -> Seen | None:
    """Returns what is looked at of an item; None where there is none."""
    if not item:
        return None
    v, g, l_ = (item.get(name, {"S": ""})["S"] for name in "vgl")
    return v, g, l_


def is_listed_as(text: str, value: Seen | None) -> bool:
    """Whether an item is in the local index under a text; empty: whether it is not there."""
    return (value or ("", "", ""))[2] == text


def item_of(name: Name, value: Seen) -> dict[str, Any]:
    return items.key(*name) | {attribute: {"S": text} for attribute, text in zip("vgl", value, strict=True) if text}


def name_of(item: dict[str, Any]) -> Name:
    return item["p"]["S"], int(item["s"]["N"])


def parameters(name: Name) -> list[dict[str, Any]]:
    return list(items.key(*name).values())


def select(name: Name) -> dict[str, Any]:
    return {"Statement": f"SELECT * FROM things {WHERE}", "Parameters": parameters(name)}


class Change:
    """One statement, and what it is taken for.

    Args:
        kind: ``INSERT``, ``UPDATE`` or ``DELETE``.
        name: of the item.
        value: what it is then.
    """

    def __init__(self, kind: str, name: Name, value: Seen | None) -> None:
        self.kind = kind
        self.name = name
        self.value = value

    @property
    def request(self) -> dict[str, Any]:
        """The statement with its parameters."""
        if self.value is None:
            return {"Statement": f"DELETE FROM things {WHERE}", "Parameters": parameters(self.name)}
        texts = [{"S": text} for text in self.value]
        if self.kind == "INSERT":
            statement = "INSERT INTO things VALUE {'p': ?, 's': ?, 'v': ?, 'g': ?, 'l': ?}"
            return {"Statement": statement, "Parameters": parameters(self.name) + texts}
        return {
            "Statement": f"UPDATE things SET v = ? SET g = ? SET l = ? {WHERE}",
            "Parameters": texts + parameters(self.name),
        }

    def check_refusal(self, registers: Registers, asked: Moment, code: str) -> None:
        """Fails where a statement was refused for what was not so."""
        if code.startswith("DuplicateItem"):
            assert self.kind == "INSERT"
            registers.check(self.name, asked, lambda value: value is not None)
        elif code.startswith("ConditionalCheckFailed"):
            assert self.kind == "UPDATE"
            registers.check(self.name, asked, lambda value: value is None)


class Everything(items.Program):
    """A caller who does what an application does that uses every operation on items.

    Args:
        tables: the service on its node.
        sim: for deadlines.
        dice: decides what comes next.
        ledger: where it notes what it was told of counters.
        registers: where it notes what it was told of items.
    """

    def __init__(
        self, tables: Tables, sim: Simulation, dice: Dice, ledger: items.Ledger, *, registers: Registers
    ) -> None:
        super().__init__(tables, sim, dice, ledger)
        self._registers = registers
        self._texts = (f"{dice.bytes(3).hex()}-{number}" for number in count())

    def ways(self) -> list[items.Way]:
        reading = [self.get, self.query, self.query_local, self.query_global, self.scan, self.get_batch]
        together = [self.get_together, self.select_together, self.read_accounts]
        selecting = [self.select, self.select_one, self.select_batch]
        writing = [self.put_thing, self.delete_thing, self.write_batch, self.change, self.change_batch, self.change_all]
        counting = [self.count, self.count_by_statement, self.read_counter]
        paying = [self.transfer, self.transfer_by_statements, self.write_pair]
        return [*reading, *together, *selecting, *writing, *writing, *counting, *paying, self.use_token, self.resend]

    # ---- writing -----------------------------------------------------------------------------------------------------

    def thing(self) -> Name:
        return f"thing-{self._dice.below(PARTITIONS)}", self._dice.below(SORTS)

    def things(self, number: int) -> list[Name]:
        """Returns so many different ones."""
        return [(f"thing-{at // SORTS}", at % SORTS) for at in self._dice.sample(range(PARTITIONS * SORTS), number)]

    def value(self) -> Seen:
        return next(self._texts), self._dice.pick("pqr"), self._dice.pick("pqr")

    async def written(self, operation: str, request: dict[str, Any], values: dict[Name, Seen | None]) -> Told:
        """Writes items that are written all or none."""
        writes = [self._registers.begin(name, value) for name, value in values.items()]
        told = await self.ask(operation, request)
        for write in writes:
            self._registers.end(write, told.outcome)
        return told

    async def put_thing(self) -> None:
        name, (text, g, l_) = self.thing(), self.value()
        value = text, g if self._dice.chance(0.7) else "", l_ if self._dice.chance(0.7) else ""
        await self.written("PutItem", {"TableName": "things", "Item": item_of(name, value)}, {name: value})

    async def delete_thing(self) -> None:
        name = self.thing()
        await self.written("DeleteItem", {"TableName": "things", "Key": items.key(*name)}, {name: None})

    async def write_batch(self) -> None:
        """Puts and deletes, each by itself: some may stay undone."""
        values = {name: self.value() if self._dice.chance(0.7) else None for name in self.things(3)}
        requests = [
            {"DeleteRequest": {"Key": items.key(*name)}}
            if value is None
            else {"PutRequest": {"Item": item_of(name, value)}}
            for name, value in values.items()
        ]
        writes = {name: self._registers.begin(name, value) for name, value in values.items()}
        told = await self.ask("BatchWriteItem", {"RequestItems": {"things": requests}})
        undone = told.answer.get("UnprocessedItems", {}).get("things", ())
        left = {name_of(next(iter(one.values())).get("Item") or one["DeleteRequest"]["Key"]) for one in undone}
        for name, write in writes.items():
            self._registers.end(write, REFUSED if name in left else told.outcome)

    def some_change(self, name: Name) -> Change:
        kind = self._dice.pick(["INSERT", "UPDATE", "UPDATE", "DELETE"])
        return Change(kind, name, None if kind == "DELETE" else self.value())

    async def change(self) -> None:
        change, asked = self.some_change(self.thing()), self._registers.now()
        told = await self.written("ExecuteStatement", change.request, {change.name: change.value})
        change.check_refusal(self._registers, asked, told.code)

    async def change_batch(self) -> None:
        """Carries out statements, each by itself."""
        changes, asked = [self.some_change(name) for name in self.things(3)], self._registers.now()
        writes = [self._registers.begin(change.name, change.value) for change in changes]
        told = await self.ask("BatchExecuteStatement", {"Statements": [change.request for change in changes]})
        for write, outcome, code in zip(writes, *self.outcomes(told, len(changes)), strict=True):
            self._registers.end(write, outcome)
            changes[writes.index(write)].check_refusal(self._registers, asked, code)

    def outcomes(self, told: Told, number: int) -> tuple[list[str], list[str]]:
        """Returns what became of each statement of a batch, and the code of what refused it."""
        if told.outcome != DONE:
            return [told.outcome] * number, [""] * number
        codes = [one.get("Error", {}).get("Code", "") for one in told.answer["Responses"]]
        assert set(codes) <= {"", "ConditionalCheckFailed", "DuplicateItem", "InternalServerError"}, codes
        of_code = {"": DONE, "InternalServerError": PERHAPS}
        return [of_code.get(code, REFUSED) for code in codes], codes

    async def change_all(self) -> None:
        """Carries out statements, all of them or none."""
        changes, asked = [self.some_change(name) for name in self.things(2)], self._registers.now()
        request = {"TransactStatements": [change.request for change in changes]}
        told = await self.written("ExecuteTransaction", request, {change.name: change.value for change in changes})
        for change, reason in zip(changes, self.reasons(told), strict=False):
            change.check_refusal(self._registers, asked, reason)

    def reasons(self, told: Told) -> list[str]:
        """Returns why each part of a transaction kept it from being carried out, if they did."""
        found = getattr(told.error, "members", {}).get("CancellationReasons", ())
        return [reason["Code"] for reason in found]

    async def write_pair(self) -> None:
        value = self.value()
        if self._dice.chance(0.5):
            puts = [{"Put": {"TableName": "things", "Item": item_of(name, value)}} for name in PAIR]
            await self.written("TransactWriteItems", {"TransactItems": puts}, dict.fromkeys(PAIR, value))
            return
        changes = [Change("UPDATE", name, value).request for name in PAIR]
        told = await self.written("ExecuteTransaction", {"TransactStatements": changes}, dict.fromkeys(PAIR, value))
        assert "ConditionalCheckFailed" not in self.reasons(told), "both are there all the time"

    async def count_by_statement(self) -> None:
        name = self._dice.pick(COUNTERS)
        request = {"Statement": f"UPDATE things SET n = n + 1 {WHERE}", "Parameters": parameters((name, 0))}
        self._ledger.begin(name)
        told = await self.ask("ExecuteStatement", request)
        self._ledger.end(name, told.outcome)
        assert not told.code, "it is there all the time"

    async def transfer_by_statements(self) -> None:
        source, target = self._dice.sample(range(items.ACCOUNTS), 2)
        amount = {"N": str(1 + self._dice.below(30))}
        take = {
            "Statement": f"UPDATE things SET balance = balance - ? {WHERE} AND balance >= ?",
            "Parameters": [amount, *parameters(("account", source)), amount],
        }
        give = {
            "Statement": f"UPDATE things SET balance = balance + ? {WHERE}",
            "Parameters": [amount, *parameters(("account", target))],
        }
        request: dict[str, Any] = {"TransactStatements": [take, give]}
        if self._dice.chance(0.5):
            request["ClientRequestToken"] = self._dice.bytes(8).hex()
        await self.ask("ExecuteTransaction", request)

    # ---- reading -----------------------------------------------------------------------------------------------------

    def found(self, asked: Moment, names: Iterable[Name], answered: Iterable[dict[str, Any]]) -> None:
        """Looks at items that were read, or not found, by who had asked at a moment."""
        by_name = {name_of(item): seen(item) for item in answered}
        for name in names:
            value = by_name.pop(name, None)
            self._registers.check_is(name, asked, value)
        assert not by_name, f"nobody asked for {by_name}"

    async def get(self) -> None:
        name, asked = self.thing(), self._registers.now()
        told = await self.ask("GetItem", {"TableName": "things", "Key": items.key(*name), "ConsistentRead": True})
        if told.outcome == DONE:
            self.found(asked, [name], [told.answer["Item"]] if "Item" in told.answer else [])

    async def pages(
        self, operation: str, request: dict[str, Any], begin: str, last: str
    ) -> list[dict[str, Any]] | None:
        """Reads page after page; None where the store could not serve."""
        found: list[dict[str, Any]] = []
        while True:
            told = await self.ask(operation, request)
            if told.outcome != DONE:
                return None
            assert len(told.answer["Items"]) <= request.get("Limit", 1_000)
            found += told.answer["Items"]
            if last not in told.answer:
                return found
            request = request | {begin: told.answer[last]}

    def in_partition(self, number: int) -> list[Name]:
        return [(f"thing-{number}", sort) for sort in range(SORTS)]

    async def query(self) -> None:
        partition, asked = self._dice.below(PARTITIONS), self._registers.now()
        is_forward = self._dice.chance(0.5)
        request: dict[str, Any] = {
            "TableName": "things",
            "KeyConditionExpression": "p = :p",
            "ExpressionAttributeValues": {":p": {"S": f"thing-{partition}"}},
            "ConsistentRead": True,
            "ScanIndexForward": is_forward,
        }
        if self._dice.chance(0.6):
            request["Limit"] = 1 + self._dice.below(SORTS)
        found = await self.pages("Query", request, "ExclusiveStartKey", "LastEvaluatedKey")
        if found is not None:
            self.found(asked, self.in_partition(partition), found)
            assert [name_of(item) for item in found] == sorted(map(name_of, found), reverse=not is_forward)

    async def query_local(self) -> None:
        """Reads the local index, which is as consistent as the items: of one page all is found where it is."""
        partition, asked = self._dice.below(PARTITIONS), self._registers.now()
        request = {
            "TableName": "things",
            "IndexName": "by-l",
            "KeyConditionExpression": "p = :p",
            "ExpressionAttributeValues": {":p": {"S": f"thing-{partition}"}},
            "ConsistentRead": True,
        }
        told = await self.ask("Query", request)
        if told.outcome != DONE:
            return
        texts = [item["l"]["S"] for item in told.answer["Items"]]
        assert texts == sorted(texts)
        by_name = {name_of(item): item["l"]["S"] for item in told.answer["Items"]}
        assert len(by_name) == len(texts), "an item stands twice"
        for name in self.in_partition(partition):
            text = by_name.get(name, "")
            self._registers.check(name, asked, partial(is_listed_as, text))

    async def query_global(self) -> None:
        """Reads the global index, which may be behind: what is found was written once."""
        request = {
            "TableName": "things",
            "IndexName": "by-g",
            "KeyConditionExpression": "g = :g AND l = :l",
            "ExpressionAttributeValues": {f":{name}": {"S": self._dice.pick("pqr")} for name in "gl"},
        }
        told = await self.ask("Query", request)
        for item in told.answer.get("Items", ()):
            assert {f":{name}": item[name] for name in "gl"} == request["ExpressionAttributeValues"]
            if item["p"]["S"].startswith("thing-"):
                self._registers.check_ever(name_of(item), seen(item))

    async def scan(self) -> None:
        asked = self._registers.now()
        request: dict[str, Any] = {"TableName": "things", "ConsistentRead": True}
        if self._dice.chance(0.3):
            request["Limit"] = 8
        found = await self.pages("Scan", request, "ExclusiveStartKey", "LastEvaluatedKey")
        if found is not None:
            names = [name for number in range(PARTITIONS) for name in self.in_partition(number)]
            self.found(
                asked, [*names, *PAIR], [item for item in found if item["p"]["S"].startswith(("thing-", "pair-"))]
            )

    async def get_batch(self) -> None:
        names, asked = self.things(4), self._registers.now()
        wanted = {"Keys": [items.key(*name) for name in names], "ConsistentRead": True}
        told = await self.ask("BatchGetItem", {"RequestItems": {"things": wanted}})
        if told.outcome == DONE:
            left = {name_of(key) for key in told.answer["UnprocessedKeys"].get("things", {}).get("Keys", ())}
            self.found(asked, [name for name in names if name not in left], told.answer["Responses"]["things"])

    def found_together(self, asked: Moment, names: list[Name], told: Told) -> None:
        """Looks at the items of a transaction, PAIR among them."""
        if told.outcome != DONE:
            return
        assert len(told.answer["Responses"]) == len(names)
        answered = [one["Item"] for one in told.answer["Responses"] if "Item" in one]
        self.found(asked, names, answered)
        one, other = (next(item for item in answered if name_of(item) == name) for name in PAIR)
        assert seen(one) == seen(other), "they are written together, and were read at two moments"

    async def get_together(self) -> None:
        names, asked = [*self.things(2), *PAIR], self._registers.now()
        gets = [{"Get": {"TableName": "things", "Key": items.key(*name)}} for name in names]
        self.found_together(asked, names, await self.ask("TransactGetItems", {"TransactItems": gets}))

    async def select_together(self) -> None:
        names, asked = [*self.things(2), *PAIR], self._registers.now()
        request = {"TransactStatements": [select(name) for name in names]}
        self.found_together(asked, names, await self.ask("ExecuteTransaction", request))

    async def read_accounts(self) -> None:
        """Reads all accounts at one moment: money is neither made nor lost."""
        names: list[Name] = [("account", number) for number in range(items.ACCOUNTS)]
        if self._dice.chance(0.5):
            gets = [{"Get": {"TableName": "things", "Key": items.key(*name)}} for name in names]
            told = await self.ask("TransactGetItems", {"TransactItems": gets})
        else:
            told = await self.ask("ExecuteTransaction", {"TransactStatements": [select(name) for name in names]})
        if told.outcome == DONE:
            balances = [items.number_of(one["Item"], "balance") for one in told.answer["Responses"]]
            assert sum(balances) == items.ACCOUNTS * items.BALANCE, balances
            assert min(balances) >= 0

    async def select(self) -> None:
        partition, asked = self._dice.below(PARTITIONS), self._registers.now()
        request: dict[str, Any] = {
            "Statement": "SELECT * FROM things WHERE p = ?",
            "Parameters": [{"S": f"thing-{partition}"}],
            "ConsistentRead": True,
        }
        if self._dice.chance(0.6):
            request["Limit"] = 1 + self._dice.below(SORTS)
        found = await self.pages("ExecuteStatement", request, "NextToken", "NextToken")
        if found is not None:
            self.found(asked, self.in_partition(partition), found)

    async def select_one(self) -> None:
        name, asked = self.thing(), self._registers.now()
        told = await self.ask("ExecuteStatement", select(name) | {"ConsistentRead": True})
        if told.outcome == DONE:
            self.found(asked, [name], told.answer["Items"])

    async def select_batch(self) -> None:
        names, asked = self.things(3), self._registers.now()
        statements = [select(name) | {"ConsistentRead": True} for name in names]
        told = await self.ask("BatchExecuteStatement", {"Statements": statements})
        outcomes, _ = self.outcomes(told, len(names))
        for name, outcome, part in zip(names, outcomes, told.answer.get("Responses", ()), strict=False):
            if outcome == DONE:
                self.found(asked, [name], [part["Item"]] if "Item" in part else [])

    async def read_counter(self) -> None:
        name = self._dice.pick(COUNTERS)
        least = self._ledger.counted.get(name, 0)
        told = await self.ask("ExecuteStatement", select((name, 0)) | {"ConsistentRead": True})
        if told.outcome == DONE:
            (item,) = told.answer["Items"]
            assert least <= items.number_of(item, "n") <= self._ledger.begun.get(name, 0)


async def scene(sim: Simulation) -> None:
    ready = await Tables.open(sim.truth.store, clock=sim.clock, ids=sim.ids)
    await ready.call("CreateTable", items.definition(sim), Caller(ACCOUNT))
    ledger, registers = items.Ledger(), Registers(sim.clock)
    first = [items.key("account", number) | {"balance": {"N": str(items.BALANCE)}} for number in range(items.ACCOUNTS)]
    first += [items.key(name, 0) | {"n": {"N": "0"}} for name in COUNTERS]
    begun: list[Write] = [registers.begin(name, FIRST) for name in PAIR]
    for item in (*first, *(item_of(name, FIRST) for name in PAIR)):
        await ready.call("PutItem", {"TableName": "things", "Item": item}, Caller(ACCOUNT))
    for write in begun:
        registers.end(write, DONE)
    nodes = [sim.node(), sim.node()]
    services = [await items.opened(sim, node.store, node.ids) for node in nodes]

    async def act(actor: int) -> None:
        dice = Dice(sim.seed_of(f"program {actor}"))
        await Everything(services[actor % 2], sim, dice, ledger, registers=registers).run(30)

    await sim.actors(8, act)
    await sim.calm()
    for service in services:
        await service.close()
    await sim.calm()
    await items.check_ledger(ready, ledger)
    asked = registers.now()
    for name in [(f"thing-{number}", sort) for number in range(PARTITIONS) for sort in range(SORTS)] + [*PAIR]:
        value = seen(await items.read(ready, *name))
        registers.check_is(name, asked, value)
    if sim.truth.store.capabilities.cheap_commits_across_partitions:
        await items.check_indexes(sim)
    await ready.close()


def test_every_operation_on_items_where_everything_happens() -> None:
    for seed in seeds(10, 400):
        simulate(scene, seed, EVERY_FAULT)


def test_every_operation_on_items_where_commits_over_partitions_are_expensive() -> None:
    for seed in seeds(5, 200):
        simulate(scene, seed, EVERY_FAULT, ExpensiveEngine)
