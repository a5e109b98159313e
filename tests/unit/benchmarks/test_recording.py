"""What the benchmark over a cluster takes for the statements of a request: what the engine sends, in its order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest

from benchmarks.generator import Request
from benchmarks.recording import Recorded, Recorder

TABLE = "hosts"


def key(rack: int) -> dict[str, Any]:
    return {"rack": {"S": f"rack-{rack}"}, "slot": {"S": "slot-0"}}


def put(rack: int) -> dict[str, Any]:
    return {"TableName": TABLE, "Item": key(rack) | {"n": {"N": "1"}}}


def update(rack: int) -> dict[str, Any]:
    return {
        "TableName": TABLE,
        "Key": key(rack),
        "UpdateExpression": "ADD n :one",
        "ConditionExpression": "attribute_exists(rack)",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }


def query(rack: int) -> dict[str, Any]:
    return {
        "TableName": TABLE,
        "KeyConditionExpression": "rack = :rack",
        "Limit": 20,
        "ConsistentRead": True,
        "ExpressionAttributeValues": {":rack": {"S": f"rack-{rack}"}},
    }


def recorded(test: Callable[[Callable[[str, dict[str, Any]], Coroutine[Any, Any, Recorded]]], Any]) -> Recorder:
    async def run() -> Recorder:
        recorder = await Recorder.open("bench_test")
        try:
            await recorder.make_table(TABLE)
            await test(lambda operation, body: recorder.record(Request(0, operation, body)))
        finally:
            await recorder.close()
        return recorder

    return asyncio.run(run())


def shape(of: Recorded) -> list[str]:
    """Each stage in words: how many statements of which kind."""
    return [f"{len(stage)} {stage[0].kind}" for stage in of.stages]


def test_operations_within_a_partition_take_one_statement() -> None:
    async def test(record: Callable[[str, dict[str, Any]], Coroutine[Any, Any, Recorded]]) -> None:
        # The first request at a table reads what that is.
        await record("PutItem", put(2))
        requests = [
            ("PutItem", put(1), "1 conditional"),
            ("PutItem", put(1), "1 conditional"),
            ("GetItem", {"TableName": TABLE, "Key": key(1), "ConsistentRead": True}, "1 read"),
            ("Query", query(1), "1 read"),
        ]
        for operation, body, wanted in requests:
            found = await record(operation, body)
            assert (shape(found), found.answered, found.statements) == ([wanted], 1, 1)
            assert all(statement.is_serial for statement in found.stages[0] if statement.kind == "read")
        # The first update reads what it updates; the next one has seen it.
        assert shape(await record("UpdateItem", update(1))) == ["1 read", "1 conditional"]
        assert shape(await record("UpdateItem", update(1))) == ["1 conditional"]

    recorded(test)


def test_a_transaction_over_partitions_ends_behind_its_answer() -> None:
    async def test(record: Callable[[str, dict[str, Any]], Coroutine[Any, Any, Recorded]]) -> None:
        for rack in range(4):
            await record("PutItem", put(rack))
        actions = [{"Put": put(0)}, {"Put": put(1)}, {"Update": update(2)}, {"Update": update(3)}]
        found = await record("TransactWriteItems", {"TransactItems": actions})
        before = ["2 read", "2 read", "4 write", "1 conditional"]
        behind = ["3 conditional", "1 write"]
        assert shape(found) == before + behind
        assert found.answered == len(before)
        assert found.statements == 13
        assert found.partitions == {"rack-0", "rack-1", "rack-2", "rack-3"}

    recorded(test)


def test_what_a_batch_checks_follows_from_the_one_before() -> None:
    versions: list[tuple[bytes, bytes]] = []

    async def test(record: Callable[[str, dict[str, Any]], Coroutine[Any, Any, Recorded]]) -> None:
        await record("PutItem", put(1))
        await record("UpdateItem", update(1))
        for _ in range(3):
            found = await record("UpdateItem", update(1))
            ((statement,),) = found.stages
            text, values = next(bound for bound in statement.bound if "IF ver = ?" in bound[0])
            assert text.startswith("UPDATE bench_test.s_")
            versions.append((values[1], values[4]))

    recorder = recorded(test)
    for (written, _), (_, checked) in pairwise(versions):
        assert checked == written
    assert any(name.startswith("bench_test.s_") for name in recorder.definitions)


def test_an_update_of_what_was_put_meanwhile_is_made_again() -> None:
    async def test(record: Callable[[str, dict[str, Any]], Coroutine[Any, Any, Recorded]]) -> None:
        for operation, body in (("PutItem", put(1)), ("UpdateItem", update(1)), ("PutItem", put(1))):
            await record(operation, body)
        found = await record("UpdateItem", update(1))
        assert shape(found) == ["1 conditional", "1 conditional"]
        assert [stage[0].is_refused for stage in found.stages] == [True, False]
        assert shape(await record("UpdateItem", update(1))) == ["1 conditional"]

    recorded(test)


def test_requests_of_which_one_is_refused_are_no_load() -> None:
    async def test(record: Callable[[str, dict[str, Any]], Coroutine[Any, Any, Recorded]]) -> None:
        with pytest.raises(Exception, match="conditional request failed"):
            await record("UpdateItem", update(7))

    recorded(test)
