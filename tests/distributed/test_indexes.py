"""Global indexes on the distributed engine: two processes share the work, one of them ends in the middle of it."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.contract import Engine
from tenet.tables import keys
from tenet.tables.api import Caller, Shares, Tables
from tests.dear import caught_up
from tests.distributed.conftest import OpenEngine
from tests.sim.test_tables_indexes import called_for, entries_of, table_of
from tests.unit.tables import test_indexing as things
from tests.unit.tables.test_indexing import item

CLOCK, IDS = SystemClock(), SystemIds()
ACCOUNT = "0" * 12
SHARES = 8
ITEMS = 24
CATCH_UP_S_MAX = 60.0
#: The table with a third index, whose key has several attributes.
TABLE: dict[str, Any] = things.TABLE | {
    "GlobalSecondaryIndexes": [
        *things.TABLE["GlobalSecondaryIndexes"],
        {
            "IndexName": "by-both",
            "KeySchema": [
                {"AttributeName": name, "KeyType": kind}
                for name, kind in (("g", "HASH"), ("l", "HASH"), ("s", "RANGE"), ("p", "RANGE"))
            ],
            "Projection": {"ProjectionType": "ALL"},
        },
    ]
}


async def call(tables: Tables, operation: str, **request: Any) -> dict[str, Any]:
    answer: dict[str, Any] = orjson.loads(await tables.call(operation, request, Caller(ACCOUNT)))
    return answer


async def made(tables: Tables) -> None:
    """Makes the table, which takes a cluster some seconds."""
    await call(tables, "CreateTable", **TABLE)
    while True:
        if (await call(tables, "DescribeTable", TableName="things"))["Table"]["TableStatus"] == "ACTIVE":
            return
        await asyncio.sleep(0.1)


async def change(tables: Tables, round_: int) -> None:
    """Writes items in every way, side by side."""
    puts = [
        call(tables, "PutItem", TableName="things", Item=item(number, g=f"g-{(number + round_) % 3}", l=f"l-{round_}"))
        for number in range(ITEMS)
    ]
    await asyncio.gather(*puts)
    await asyncio.gather(
        *(
            call(
                tables,
                "UpdateItem",
                TableName="things",
                Key=item(number),
                UpdateExpression="SET g = :g REMOVE l",
                ExpressionAttributeValues={":g": {"S": "updated"}},
            )
            for number in range(0, ITEMS, 4)
        ),
        *(call(tables, "DeleteItem", TableName="things", Key=item(number)) for number in range(1, ITEMS, 4)),
    )
    actions = [{"Put": {"TableName": "things", "Item": item(number, g="both", l="both")}} for number in (2, 6)]
    await call(tables, "TransactWriteItems", TransactItems=actions)


async def check(store: Engine) -> None:
    table = await table_of(store)
    async with asyncio.timeout(CATCH_UP_S_MAX):
        await caught_up(store, table.space)
    wanted = await called_for(store, table)
    assert len(wanted) > ITEMS
    assert await entries_of(store, table) == wanted


async def found(tables: Tables) -> list[str]:
    """What a query of the third index finds that names all of its attributes but the last one by equality."""
    request: dict[str, Any] = {
        "IndexName": "by-both",
        "KeyConditionExpression": "g = :b AND l = :b AND s = :s AND p > :p",
        "ExpressionAttributeValues": {":b": {"S": "both"}, ":s": {"S": "s"}, ":p": {"S": "p-2"}},
    }
    page = await call(tables, "Query", TableName="things", **request)
    return [one["p"]["S"] for one in page["Items"]]


def test_indexes_follow_their_table_whoever_keeps_them(opened: OpenEngine) -> None:
    async def main() -> None:
        shares = [Shares(SHARES), Shares(SHARES)]
        for share in range(SHARES):
            shares[share % 2].take(share)
        async with opened() as first_store, opened() as second_store:
            first = await Tables.open(first_store, clock=CLOCK, ids=IDS, assignment=shares[0])
            second = await Tables.open(second_store, clock=CLOCK, ids=IDS, assignment=shares[1])
            try:
                await made(first)
                await asyncio.gather(change(first, 1), change(second, 2))
                await check(first_store)
                await asyncio.gather(change(first, 3), second.close())
                for share in range(SHARES):
                    shares[0].take(share)
                first.reassign()
                await check(first_store)
                assert await found(first) == ["p-6"]
                indexes = (await call(first, "DescribeTable", TableName="things"))["Table"]["GlobalSecondaryIndexes"]
                assert [index["IndexStatus"] for index in indexes] == ["ACTIVE"] * 3
                await call(first, "DeleteTable", TableName="things")
                async with asyncio.timeout(CATCH_UP_S_MAX):
                    while True:
                        if not (await first_store.scan(keys.KEEPERS_SPACE, limit=10)).records:
                            break
                        await asyncio.sleep(0.1)
            finally:
                await first.close()

    asyncio.run(main())
