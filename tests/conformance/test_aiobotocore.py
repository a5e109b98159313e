"""The asynchronous client: many requests at once over shared connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from tests.servers import Server

HITS = 60


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Any]:
    exports = server.exports
    async with get_session().create_client(
        "dynamodb",
        endpoint_url=server.endpoint,
        verify=exports["AWS_CA_BUNDLE"],
        region_name=exports["AWS_DEFAULT_REGION"],
        aws_access_key_id=exports["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=exports["AWS_SECRET_ACCESS_KEY"],
        config=AioConfig(max_pool_connections=20),
    ) as client:
        yield client


def with_table(server: Server, name: str, program: Callable[[Any, str], Awaitable[None]]) -> None:
    """Runs a program with a client and a table of pages by site and path."""

    async def run() -> None:
        async with connected(server) as client:
            await client.create_table(
                TableName=name,
                AttributeDefinitions=[
                    {"AttributeName": "site", "AttributeType": "S"},
                    {"AttributeName": "path", "AttributeType": "S"},
                ],
                KeySchema=[{"AttributeName": "site", "KeyType": "HASH"}, {"AttributeName": "path", "KeyType": "RANGE"}],
                BillingMode="PAY_PER_REQUEST",
            )
            await client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
            await program(client, name)
            await client.delete_table(TableName=name)

    asyncio.run(run())


def test_concurrent_hits_are_all_counted(server: Server, fresh_name: Callable[[str], str]) -> None:
    async def program(client: Any, table: str) -> None:
        async def hit(number: int) -> str:
            answer = await client.update_item(
                TableName=table,
                Key={"site": {"S": "docs"}, "path": {"S": "/"}},
                UpdateExpression="ADD hits :one, visitors :visitor",
                ExpressionAttributeValues={":one": {"N": "1"}, ":visitor": {"SS": [f"v{number % 7}"]}},
                ReturnValues="UPDATED_NEW",
            )
            return str(answer["Attributes"]["hits"]["N"])

        counts = await asyncio.gather(*(hit(number) for number in range(HITS)))
        assert sorted(int(count) for count in counts) == list(range(1, HITS + 1))
        page = await client.get_item(TableName=table, Key={"site": {"S": "docs"}, "path": {"S": "/"}})
        assert len(page["Item"]["visitors"]["SS"]) == 7

    with_table(server, fresh_name("pages"), program)


def test_pages_come_as_they_are_asked_for(server: Server, fresh_name: Callable[[str], str]) -> None:
    async def program(client: Any, table: str) -> None:
        puts = (
            client.put_item(TableName=table, Item={"site": {"S": "docs"}, "path": {"S": f"/{number:03}"}})
            for number in range(HITS)
        )
        await asyncio.gather(*puts)
        paths: list[str] = []
        pages = client.get_paginator("query").paginate(
            TableName=table,
            KeyConditionExpression="site = :site AND begins_with(#path, :start)",
            ExpressionAttributeNames={"#path": "path"},
            ExpressionAttributeValues={":site": {"S": "docs"}, ":start": {"S": "/0"}},
            PaginationConfig={"PageSize": 7},
        )
        async for page in pages:
            assert page["Count"] <= 7
            paths += [item["path"]["S"] for item in page["Items"]]
        assert paths == [f"/{number:03}" for number in range(HITS)]

    with_table(server, fresh_name("pages"), program)


def test_only_one_of_many_wins_a_condition(server: Server, fresh_name: Callable[[str], str]) -> None:
    async def program(client: Any, table: str) -> None:
        key = {"site": {"S": "docs"}, "path": {"S": "/claim"}}

        async def claim(number: int) -> str:
            """Tries to be the first, and returns why not."""
            put = {
                "TableName": table,
                "Item": key | {"by": {"N": str(number)}},
                "ConditionExpression": "attribute_not_exists(site)",
            }
            try:
                await client.transact_write_items(TransactItems=[{"Put": put}])
            except client.exceptions.TransactionCanceledException as error:
                return str(error.response["CancellationReasons"][0]["Code"])
            return ""

        outcomes = await asyncio.gather(*(claim(number) for number in range(20)))
        item = await client.get_item(TableName=table, Key=key, ConsistentRead=True)
        winner = outcomes.index("")
        assert item["Item"]["by"] == {"N": str(winner)}
        assert sorted(outcomes) == ["", *["ConditionalCheckFailed"] * 19]

    with_table(server, fresh_name("pages"), program)
