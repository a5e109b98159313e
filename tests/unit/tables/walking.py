"""A consumer of a stream as libraries write them: it reads a shard when it has read that shard's parent to its end."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

Json = dict[str, Any]


class Ask(Protocol):
    """Calls an operation of the API of streams."""

    def __call__(self, operation: str, **request: Any) -> Awaitable[Json]: ...


class Walker:
    """Reads a stream from its beginning, shard by shard.

    Args:
        ask: calls operations.
        arn: of the stream.
    """

    def __init__(self, ask: Ask, arn: str) -> None:
        self.ask = ask
        self.arn = arn
        #: In the order in which they came.
        self.records: list[Json] = []
        #: By shard: the number of its last record, once there was one.
        self.places: dict[str, str] = {}
        self.ended: set[str] = set()
        self._iterators: dict[str, str] = {}

    async def shards(self, limit: int = 100) -> list[Json]:
        """All shards of the stream, page by page."""
        found: list[Json] = []
        more: Json = {}
        while True:
            answer = await self.ask("DescribeStream", StreamArn=self.arn, Limit=limit, **more)
            described = answer["StreamDescription"]
            found += described["Shards"]
            if "LastEvaluatedShardId" not in described:
                return found
            more = {"ExclusiveStartShardId": described["LastEvaluatedShardId"]}

    def begin_anew(self) -> None:
        """Forgets all iterators, as a program does that was started again."""
        self._iterators = {}

    async def step(self, limit: int = 1_000) -> int:
        """Reads once from every shard whose turn has come; returns how many records came, and shards ended."""
        progress = 0
        shards = await self.shards()
        listed = {shard["ShardId"] for shard in shards}
        for shard in shards:
            name, parent = shard["ShardId"], shard.get("ParentShardId")
            if name in self.ended or (parent in listed and parent not in self.ended):
                continue
            progress += await self._read(name, limit)
        return progress

    async def _read(self, shard: str, limit: int) -> int:
        if shard not in self._iterators:
            at: Json = {"ShardIteratorType": "TRIM_HORIZON"}
            if shard in self.places:
                at = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": self.places[shard]}
            answer = await self.ask("GetShardIterator", StreamArn=self.arn, ShardId=shard, **at)
            self._iterators[shard] = answer["ShardIterator"]
        answer = await self.ask("GetRecords", ShardIterator=self._iterators.pop(shard), Limit=limit)
        self.records += answer["Records"]
        if answer["Records"]:
            self.places[shard] = answer["Records"][-1]["dynamodb"]["SequenceNumber"]
        if "NextShardIterator" in answer:
            self._iterators[shard] = answer["NextShardIterator"]
            return len(answer["Records"])
        self.ended.add(shard)
        return len(answer["Records"]) + 1

    async def to_the_end(self, limit: int = 1_000) -> list[Json]:
        """Reads until nothing more comes; returns all records so far."""
        while await self.step(limit):
            pass
        return self.records


def check_order(records: list[Json]) -> dict[str, Json]:
    """Checks that no record is doubled, and that each one's old image is the new one of the one before of its item.

    Returns:
        The items that the records lead to, by their keys.
    """
    ids = [record["eventID"] for record in records]
    assert len(set(ids)) == len(ids), "a record came twice"
    state: dict[str, Json] = {}
    for record in records:
        told = record["dynamodb"]
        at = str(sorted(told["Keys"].items()))
        assert state.get(at) == told.get("OldImage"), f"a record of {at} does not follow the one before"
        state.pop(at, None)
        if "NewImage" in told:
            state[at] = told["NewImage"]
    return state
