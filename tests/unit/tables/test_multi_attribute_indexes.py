"""Global indexes with keys of several attributes, asked as the edge asks, on both kinds of engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cmp_to_key
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenet.tables import keys
from tenet.tables.errors import TablesError, ValidationException
from tenet.tables.model import AttributeValue, Item
from tests.dear import caught_up
from tests.rounds import examples
from tests.unit.tables.test_filling import Service, kinds, serving
from tests.unit.tables.test_key_conditions import CONTENTS, TESTS, comparable
from tests.unit.tables.values import canonical


def schema(partition: str, sort: str = "") -> list[dict[str, str]]:
    """The elements of a key, whose attributes have names of one letter."""
    return [
        {"AttributeName": name, "KeyType": kind}
        for kind, names in (("HASH", partition), ("RANGE", sort))
        for name in names
    ]


def defined(**types: str) -> list[dict[str, str]]:
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()]


def index(partition: str, sort: str, projection: str = "ALL") -> dict[str, Any]:
    return {"IndexName": "gsi", "KeySchema": schema(partition, sort), "Projection": {"ProjectionType": projection}}


#: Matches of tournaments, as the vendor's guide has them: by tournament and region, sorted by round, bracket and match.
MATCHES = index("tr", "obm")
TYPES = {"p": "S", "t": "S", "r": "S", "o": "S", "b": "S", "m": "N"}


async def prepare(service: Service, **more: Any) -> None:
    await service.create(AttributeDefinitions=defined(**TYPES), **{"GlobalSecondaryIndexes": [MATCHES], **more})


def match(number: int, *, round_: str = "semi", bracket: str = "upper", region: str = "EU") -> Item:
    return {
        "p": {"S": f"p-{number}"},
        "t": {"S": "winter"},
        "r": {"S": region},
        "o": {"S": round_},
        "b": {"S": bracket},
        "m": {"N": str(number)},
    }


async def settled(service: Service, kind: str) -> None:
    """Waits until the index holds what was written."""
    if kind == "dear":
        table = await service.table()
        await caught_up(service.store, keys.table_space(table["TableId"]))


async def asked(service: Service, condition: str, **more: Any) -> list[str]:
    """The keys of what a Query answers; placeholders are named after the values: strings, or numbers."""
    page = await query(service, condition, **more)
    return [item["p"]["S"] for item in page["Items"]]


async def query(service: Service, condition: str, **more: Any) -> dict[str, Any]:
    texts = {word.strip("(),").lstrip(":") for word in condition.split() if word.startswith(":")}
    values = {f":{text}": {"N": text} if text.isdigit() else {"S": text} for text in texts}
    return await service(
        "Query", IndexName="gsi", KeyConditionExpression=condition, ExpressionAttributeValues=values, **more
    )


IN_EU = "t = :winter AND r = :EU"


@kinds
def test_entries_are_found_and_sorted_by_all_attributes(kind: str) -> None:
    async def work(service: Service) -> None:
        await prepare(service)
        await service("PutItem", Item=match(10))
        await service("PutItem", Item=match(9))
        await service("PutItem", Item=match(8, bracket="lower"))
        await service("PutItem", Item=match(7, round_="final"))
        await service("PutItem", Item=match(6, region="US"))
        await settled(service, kind)
        assert await asked(service, IN_EU) == ["p-7", "p-8", "p-9", "p-10"]
        assert await asked(service, IN_EU, ScanIndexForward=False) == ["p-10", "p-9", "p-8", "p-7"]
        assert await asked(service, f"{IN_EU} AND o = :semi") == ["p-8", "p-9", "p-10"]
        assert await asked(service, f"o = :semi AND {IN_EU} AND b = :upper") == ["p-9", "p-10"]
        assert await asked(service, f"{IN_EU} AND o = :semi AND b = :upper AND m > :9") == ["p-10"]
        assert await asked(service, f"{IN_EU} AND o = :semi AND begins_with(b, :low )") == ["p-8"]
        assert await asked(service, f"{IN_EU} AND o < :semi") == ["p-7"]
        assert await asked(service, "t = :winter AND r = :US") == ["p-6"]
        assert set(await service.everything("gsi")) == {f"p-{number}" for number in range(6, 11)}
        described = await service.table()
        assert described["GlobalSecondaryIndexes"][0]["KeySchema"] == MATCHES["KeySchema"]

    serving(kind, work)


@kinds
def test_entries_follow_their_items(kind: str) -> None:
    async def work(service: Service) -> None:
        await prepare(service)
        await service("PutItem", Item={name: value for name, value in match(1).items() if name != "b"})
        await service("PutItem", Item=match(2))

        async def update(text: str, **values: AttributeValue) -> None:
            given_values = {f":{name}": value for name, value in values.items()}
            more = {"ExpressionAttributeValues": given_values} if given_values else {}
            await service("UpdateItem", Key={"p": {"S": "p-1"}}, UpdateExpression=text, **more)

        steps: list[tuple[Callable[[], Awaitable[Any]], list[str]]] = [
            (lambda: update("SET b = :b", b={"S": "upper"}), ["p-1", "p-2"]),
            (lambda: update("SET m = :m", m={"N": "3"}), ["p-2", "p-1"]),
            (lambda: update("SET r = :r", r={"S": "US"}), ["p-2"]),
            (lambda: update("SET r = :r", r={"S": "EU"}), ["p-2", "p-1"]),
            (lambda: update("REMOVE t"), ["p-2"]),
            (
                lambda: service.tables_call(
                    "TransactWriteItems",
                    TransactItems=[
                        {"Put": {"TableName": "things", "Item": match(1)}},
                        {"Delete": {"TableName": "things", "Key": {"p": {"S": "p-2"}}}},
                    ],
                ),
                ["p-1"],
            ),
            (lambda: service("DeleteItem", Key={"p": {"S": "p-1"}}), []),
        ]
        await settled(service, kind)
        assert await asked(service, IN_EU) == ["p-2"]
        for step, wanted in steps:
            await step()
            await settled(service, kind)
            assert await asked(service, IN_EU) == wanted

    serving(kind, work)


@kinds
def test_pages_of_one_entry_lead_through_the_index(kind: str) -> None:
    async def work(service: Service) -> None:
        await prepare(service)
        for number in range(12):
            item = match(number, round_="ab"[number % 2], bracket="xyz"[number % 3], region=("EU", "US")[number // 8])
            await service("PutItem", Item=item)
        await settled(service, kind)
        whole = await asked(service, IN_EU)
        for forward in (True, False):
            found: list[str] = []
            more: dict[str, Any] = {"Limit": 1, "ScanIndexForward": forward}
            while True:
                page = await query(service, IN_EU, **more)
                found += [item["p"]["S"] for item in page["Items"]]
                if "LastEvaluatedKey" not in page:
                    break
                assert set(page["LastEvaluatedKey"]) == set(TYPES)
                more["ExclusiveStartKey"] = page["LastEvaluatedKey"]
            assert found == (whole if forward else whole[::-1])
        scanned: list[str] = []
        more = {"IndexName": "gsi", "Limit": 1}
        while True:
            page = await service("Scan", **more)
            scanned += [item["p"]["S"] for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                break
            assert set(page["LastEvaluatedKey"]) == set(TYPES)
            more["ExclusiveStartKey"] = page["LastEvaluatedKey"]
        assert sorted(scanned) == sorted(f"p-{number}" for number in range(12))

    serving(kind, work)


@kinds
def test_an_index_that_is_added_later_holds_what_it_can(kind: str) -> None:
    async def work(service: Service) -> None:
        await service.create()
        for number in range(20):
            await service("PutItem", Item=match(number))
        too_long = match(20) | {"o": {"S": "x" * 600}, "b": {"S": "x" * 600}}
        for item in (too_long, match(21) | {"m": {"S": "1"}}, match(22) | {"r": {"S": ""}}, {"p": {"S": "p-23"}}):
            await service("PutItem", Item=item)
        await service.add(MATCHES, defined(**{name: kind for name, kind in TYPES.items() if name != "p"}))
        await service.is_full("gsi")
        wanted = {f"p-{number}" for number in range(20)}
        assert set(await service.everything("gsi")) == wanted
        change = {"UpdateExpression": "SET more = :o", "ExpressionAttributeValues": {":o": {"S": "x"}}}
        await service("UpdateItem", Key={"p": {"S": "p-20"}}, **change)
        with pytest.raises(ValidationException, match="Aggregate size for RANGE key attributes o, b, m of index gsi"):
            await service("PutItem", Item=too_long)
        await service("PutItem", Item=match(20))
        await settled(service, kind)
        assert set(await service.everything("gsi")) == wanted | {"p-20"}

    serving(kind, work)


def test_an_index_of_each_sort_beside_the_others() -> None:
    async def work(service: Service) -> None:
        plain = {"IndexName": "plain", "KeySchema": schema("t", "m"), "Projection": {"ProjectionType": "KEYS_ONLY"}}
        await prepare(
            service, GlobalSecondaryIndexes=[MATCHES | {"Projection": {"ProjectionType": "KEYS_ONLY"}}, plain]
        )
        await service("PutItem", Item=match(1) | {"other": {"S": "x"}})
        assert (await service.everything("gsi"))["p-1"] == match(1)
        assert (await service.everything("plain"))["p-1"] == {name: match(1)[name] for name in "ptm"}

    serving("cheap", work)


CONDITIONS = {"t": {"S": "winter"}, "r": {"S": "EU"}, "o": {"S": "semi"}, "b": {"S": "upper"}}


def legacy(*names: str, **last: Any) -> dict[str, Any]:
    found = {name: {"ComparisonOperator": "EQ", "AttributeValueList": [CONDITIONS[name]]} for name in names}
    return {"IndexName": "gsi", "KeyConditions": found | last}


def test_conditions_from_before_expressions() -> None:
    async def work(service: Service) -> None:
        await prepare(service)
        for number in (1, 2, 3):
            await service("PutItem", Item=match(number))
        above = {"ComparisonOperator": "GT", "AttributeValueList": [{"N": "1"}]}

        async def found(request: dict[str, Any]) -> list[str]:
            return [item["p"]["S"] for item in (await service("Query", **request))["Items"]]

        assert await found(legacy("t", "r")) == ["p-1", "p-2", "p-3"]
        assert await found(legacy("b", "o", "t", "r", m=above)) == ["p-2", "p-3"]
        with pytest.raises(ValidationException, match=r"^RANGE key attributes o, b must have equality conditions"):
            await found(legacy("t", "r", m=above))
        with pytest.raises(ValidationException, match=r"^HASH key attributes t must have equality conditions"):
            await found(legacy("r", "o"))

    serving("cheap", work)


@pytest.mark.parametrize("name", ["o", "b", "p"])
def test_a_starting_key_of_any_length_is_behind_what_begins_like_it(name: str) -> None:
    async def work(service: Service) -> None:
        plain = {"IndexName": "plain", "KeySchema": schema("t", "o"), "Projection": {"ProjectionType": "ALL"}}
        await prepare(service, GlobalSecondaryIndexes=[MATCHES, plain])
        for number in (1, 2):
            await service("PutItem", Item=match(number) | {name: {"S": "ac"[number - 1]}})
        start = match(1) | {name: {"S": "b" * 70_000}}
        assert len(await asked(service, "t = :winter AND r = :EU", ExclusiveStartKey=start)) == 1
        request = {
            "IndexName": "plain",
            "KeyConditionExpression": "t = :t",
            "ExpressionAttributeValues": {":t": {"S": "winter"}},
            "ExclusiveStartKey": {each: start[each] for each in "top"},
        }
        if name != "b":
            assert (await service("Query", **request))["Count"] == 1

    serving("cheap", work)


async def refusal(work: Awaitable[Any]) -> str:
    try:
        await work
    except TablesError as error:
        return error.message
    return ""


NO_STATEMENT = (
    "PartiQL statements cannot be executed on tables with multi-attribute HASH keys or multi-attribute RANGE keys."
)


def test_statements_read_the_table_and_not_the_index() -> None:
    async def work(service: Service) -> None:
        await prepare(service)
        await service.tables_call("ExecuteStatement", Statement="INSERT INTO things VALUE {'p': 'p-1', 'm': 1}")
        await service.tables_call(
            "ExecuteStatement", Statement="UPDATE things SET t='winter', r='EU', o='semi', b='upper' WHERE p='p-1'"
        )
        assert await asked(service, IN_EU) == ["p-1"]
        for clause in ("", " WHERE t = 'winter' AND r = 'EU'", " WHERE t = 5", " WHERE t = 'winter' ORDER BY o"):
            statement = f'SELECT * FROM "things"."gsi"{clause}'
            for more in ({}, {"ConsistentRead": True}, {"NextToken": "nothing"}):
                call = service.tables_call("ExecuteStatement", Statement=statement, **more)
                assert await refusal(call) == NO_STATEMENT
        call = service.tables_call("ExecuteStatement", Statement='SELECT * FROM "things"."gs" WHERE t = 5')
        assert await refusal(call) == "The table does not have the specified index: gs"
        statements = [f"SELECT * FROM \"things\"{end} WHERE p = 'p-1'" for end in ('."gsi"', "")]
        answer = await service.tables_call(
            "BatchExecuteStatement", Statements=[{"Statement": statement} for statement in statements]
        )
        refused, read = answer["Responses"]
        assert (refused["Error"]["Code"], refused["Error"]["Message"]) == ("ValidationError", NO_STATEMENT)
        assert read["Item"]["r"] == {"S": "EU"}

    serving("cheap", work)


def test_what_the_key_of_an_index_may_not_be_asked_for() -> None:
    async def work(service: Service) -> None:
        await prepare(service)
        filtered = {"FilterExpression": "b <> :winter"}
        assert await refusal(query(service, IN_EU, **filtered)) == (
            "Filter Expression can only contain non-primary key attributes: Primary key attribute: b"
        )
        told = await refusal(query(service, IN_EU, FilterExpression="m.x <> :winter"))
        assert told.startswith("Filter Expression can only contain") or "IndexKey: m" in told
        assert await refusal(query(service, IN_EU, ConsistentRead=True)) == (
            "Consistent reads are not supported on global secondary indexes"
        )
        item = match(1) | {"b": {"N": "1"}}
        told = await refusal(service("PutItem", Item=item))
        assert told.endswith("Type mismatch for Index Key b Expected: S Actual: N IndexName: gsi")

    serving("cheap", work)


# ---- queries of all kinds, against a model ---------------------------------------------------------------------------


class Plan:
    """An index, items and queries, all drawn from a seed; and what a plain list of the items says of a query.

    Args:
        seed: determines everything.
    """

    def __init__(self, seed: int) -> None:
        self._chance = Random(seed)
        names = "abcdefgh"[: self._chance.randint(2, 8)]
        least = max(1, len(names) - 4)
        split = self._chance.randint(least, min(4, len(names)))
        self.partition, self.sort = names[:split], names[split:]
        self.types = {name: self._chance.choice(sorted(CONTENTS)) for name in names}
        # Few values of each attribute, so that many items agree in many of them.
        self._values = {name: [self._value(name) for _ in range(1 if name in self.partition else 3)] for name in names}
        self.items = [self._item(number) for number in range(self._chance.randint(1, 25))]

    def _value(self, name: str) -> AttributeValue:
        kind = self.types[name]
        return canonical({"v": {kind: self._chance.choice(CONTENTS[kind])}})["v"]

    def _item(self, number: int) -> Item:
        item: Item = {"p": {"S": f"p-{number:02}"}}
        for name, values in self._values.items():
            if self._chance.random() < 0.95:
                item[name] = self._chance.choice(values)
        return item

    @property
    def indexed(self) -> list[Item]:
        """The items of the index, in its order."""
        found = [item for item in self.items if all(name in item for name in self.types)]
        return sorted(found, key=cmp_to_key(self._order))

    def _order(self, first: Item, second: Item) -> int:
        for name in (*self.sort, "p"):
            one, other = comparable(first[name]), comparable(second[name])
            if one != other:
                return -1 if one < other else 1
        return 0

    def query(self) -> tuple[dict[str, Any], list[str]]:
        """A Query, and the keys of the items that it finds."""
        chosen = {name: self._chance.choice(self._values[name]) for name in self.types}
        count = self._chance.randint(0, len(self.sort))
        conditions = [(name, "=", [chosen[name]]) for name in self.partition + self.sort[: max(0, count - 1)]]
        if count:
            conditions.append(self._last(self.sort[count - 1]))
        self._chance.shuffle(conditions)
        values: dict[str, AttributeValue] = {}
        texts = []
        for name, operator, bounds in conditions:
            marks = [f":v{len(values) + at}" for at in range(len(bounds))]
            values |= dict(zip(marks, bounds, strict=True))
            texts.append(_text(name, operator, marks))
        found = [
            item["p"]["S"]
            for item in self.indexed
            if all(
                TESTS[operator](comparable(item[name]), [*map(comparable, some)]) for name, operator, some in conditions
            )
        ]
        request: dict[str, Any] = {
            "IndexName": "gsi",
            "KeyConditionExpression": " AND ".join(texts),
            "ExpressionAttributeValues": values,
        }
        if self._chance.random() < 0.5:
            request["ScanIndexForward"] = False
            found.reverse()
        if self._chance.random() < 0.7:
            request["Limit"] = self._chance.randint(1, 4)
        return request, found

    def _last(self, name: str) -> tuple[str, str, list[AttributeValue]]:
        """A condition on the last attribute that a query names."""
        operator = self._chance.choice([each for each in TESTS if self.types[name] != "N" or each != "begins_with"])
        bounds = sorted((self._chance.choice([*self._values[name], self._value(name)]) for _ in "ab"), key=comparable)
        return name, operator, bounds if operator == "BETWEEN" else bounds[:1]


def _text(name: str, operator: str, marks: list[str]) -> str:
    if operator == "BETWEEN":
        return f"{name} BETWEEN {marks[0]} AND {marks[1]}"
    return f"begins_with({name}, {marks[0]})" if operator == "begins_with" else f"{name} {operator} {marks[0]}"


async def all_pages(service: Service, request: dict[str, Any]) -> list[str]:
    found: list[str] = []
    while True:
        page = await service("Query", **request)
        found += [item["p"]["S"] for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            return found
        request = request | {"ExclusiveStartKey": page["LastEvaluatedKey"]}


async def queried(service: Service, kind: str, plan: Plan) -> None:
    await service.create(
        AttributeDefinitions=defined(p="S", **plan.types),
        GlobalSecondaryIndexes=[index(plan.partition, plan.sort)],
    )
    for item in plan.items:
        await service("PutItem", Item=item)
    await settled(service, kind)
    assert set(await service.everything("gsi")) == {item["p"]["S"] for item in plan.indexed}
    for _ in range(8):
        request, wanted = plan.query()
        assert await all_pages(service, request) == wanted, request


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 2**32))
def test_queries_find_what_a_plain_list_says(seed: int) -> None:
    serving("cheap", lambda service: queried(service, "cheap", Plan(seed)))


@pytest.mark.parametrize("number", range(4))
def test_queries_find_what_a_plain_list_says_where_entries_follow_from_the_log(number: int, seed: int) -> None:
    serving("dear", lambda service: queried(service, "dear", Plan(seed + number)))
