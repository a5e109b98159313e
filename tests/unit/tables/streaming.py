"""A table with a stream, and a reader of it as programs are: through the operations of the API."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import orjson

from tenet.store.contract import Engine
from tenet.tables.api import Caller, SplitSettings, Tables
from tests.unit.pipes.world import ACCOUNT, IDS, INDEX, SCHEMA

#: How long a request takes where each one has ended before the next one, and nobody has to wait for others.
ONE_BY_ONE_S = 0.5
NEVER_SPLIT = SplitSettings(look_s=1e6)
VIEWS = ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES")


class Streamed:
    """The tables service over a store, and a table ``orders`` in it.

    Args:
        store: stays when the service is closed.
        clock: time.
        splits: when shards of streams split; by default only when a test says so.
        request_s_max: how long a request may be under way, seconds.
    """

    def __init__(
        self, store: Engine, clock: Any, splits: SplitSettings = NEVER_SPLIT, *, request_s_max: float = 30.0
    ) -> None:
        self.store = store
        self._splits = splits
        self._request_s_max = request_s_max
        self.clock = clock
        self.tables: Tables

    async def __aenter__(self) -> Self:
        self.tables = await Tables.open(
            self.store, clock=self.clock, ids=IDS, splits=self._splits, request_s_max=self._request_s_max
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.tables.close()

    async def call(self, operation: str, account: str = ACCOUNT, **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = orjson.loads(await self.tables.call(operation, request, Caller(account)))
        return answer

    async def ask(self, operation: str, account: str = ACCOUNT, **request: Any) -> dict[str, Any]:
        """Calls an operation of the API of streams."""
        answer: dict[str, Any] = orjson.loads(await self.tables.call_streams(operation, request, Caller(account)))
        return answer

    async def make(
        self, view: str | None = "NEW_AND_OLD_IMAGES", *, name: str = "orders", indexed: bool = False
    ) -> str:
        """Makes a table; returns the ARN of its stream, empty where it has none."""
        more: dict[str, Any] = {} if view is None else {"StreamSpecification": on(view)}
        definitions = SCHEMA["AttributeDefinitions"] if indexed else SCHEMA["AttributeDefinitions"][:1]
        more |= {"GlobalSecondaryIndexes": [INDEX]} if indexed else {}
        made = await self.call(
            "CreateTable", **SCHEMA | more | {"AttributeDefinitions": definitions, "TableName": name}
        )
        await self.active(name)
        return str(made["TableDescription"].get("LatestStreamArn", ""))

    async def status(self, name: str) -> str:
        return str((await self.call("DescribeTable", TableName=name))["Table"]["TableStatus"])

    async def active(self, name: str = "orders") -> None:
        """Waits until a table is in no transition."""
        while await self.status(name) != "ACTIVE":  # noqa: ASYNC110 - what is waited for happens in the store
            await asyncio.sleep(0.01)

    async def switch(self, specification: dict[str, Any]) -> dict[str, Any]:
        answer = await self.call("UpdateTable", TableName="orders", StreamSpecification=specification)
        described: dict[str, Any] = answer["TableDescription"]
        return described

    async def put(self, at: str, **attributes: str) -> None:
        await self.call("PutItem", TableName="orders", Item=item(at, **attributes))

    async def delete(self, at: str) -> None:
        await self.call("DeleteItem", TableName="orders", Key=item(at))

    async def shards(self, arn: str) -> list[dict[str, Any]]:
        described = await self.ask("DescribeStream", StreamArn=arn)
        found: list[dict[str, Any]] = described["StreamDescription"]["Shards"]
        return found

    async def iterator(self, arn: str, shard: str, kind: str = "TRIM_HORIZON", **more: Any) -> str:
        answer = await self.ask("GetShardIterator", StreamArn=arn, ShardId=shard, ShardIteratorType=kind, **more)
        return str(answer["ShardIterator"])

    async def drain(self, iterator: str | None, *, limit: int = 1_000) -> tuple[list[dict[str, Any]], str | None]:
        """Reads until an answer has no records; returns all of them, and where to go on."""
        records: list[dict[str, Any]] = []
        while iterator is not None:
            answer = await self.ask("GetRecords", ShardIterator=iterator, Limit=limit)
            records += answer["Records"]
            iterator = answer.get("NextShardIterator")
            if not answer["Records"]:
                break
        return records, iterator

    async def split(self, arn: str, shard: str) -> None:
        """Splits a shard of a stream, as the background does with a busy one."""
        table = await self.tables._context.catalog.describe(ACCOUNT, arn.split("/")[1])
        await self.tables._splitting.split(table, arn.rpartition("/")[2], int(shard[-8:], 16))

    async def records(self, arn: str, *, limit: int = 1_000) -> list[dict[str, Any]]:
        """All records of a stream, shard by shard."""
        found: list[dict[str, Any]] = []
        for shard in await self.shards(arn):
            found += (await self.drain(await self.iterator(arn, shard["ShardId"]), limit=limit))[0]
        return found

    async def shard_with(self, arn: str, at: str) -> str:
        """The name of the shard that holds the records of an item."""
        for shard in await self.shards(arn):
            records, _ = await self.drain(await self.iterator(arn, shard["ShardId"]))
            if any(one["dynamodb"]["Keys"] == item(at) for one in records):
                return str(shard["ShardId"])
        raise AssertionError(f"no shard holds {at}")


def on(view: str) -> dict[str, Any]:
    return {"StreamEnabled": True, "StreamViewType": view}


OFF: dict[str, Any] = {"StreamEnabled": False}


def item(at: str, **attributes: str) -> dict[str, Any]:
    return {"Id": {"S": at}} | {name: {"S": value} for name, value in attributes.items()}
