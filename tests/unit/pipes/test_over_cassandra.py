"""A pipe over the distributed engine, on a cluster in memory in simulated time: another process writes to the table."""

from __future__ import annotations

import pytest

from tenet.base.ids import SystemIds
from tenet.tables.api import Caller, Tables
from tests.cassandra_model.stand import Stand
from tests.unit.pipes.world import ACCOUNT, World, told


@pytest.mark.parametrize("is_indexed", [True, False])
def test_what_other_processes_write_is_told_in_its_order(*, is_indexed: bool) -> None:
    async def test(stand: Stand) -> None:
        runs, writes = await stand.process("runs"), await stand.process("writes", behind_ms=40)
        async with World(runs.engine, clock=runs.clock) as world:
            await world.make_table(is_indexed=is_indexed)
            url = await world.make_queue("out.fifo")
            tables = await Tables.open(writes.engine, clock=writes.clock, ids=SystemIds())
            try:
                # The other process knows the table from before there was a pipe.
                await put(tables, "before", 0)
                await world.make_pipe()
                for number in range(10):
                    for key in "abc":
                        await put(tables, key, number)
                    await world.put("a", v=f"own-{number}")
                records = await world.records(url, 40)
            finally:
                await tables.close()
            by_key = {key: [told(one)[2] for one in records if told(one)[1] == key] for key in "abc"}
            numbers = [str(number) for number in range(10)]
            assert by_key["b"] == by_key["c"] == numbers
            assert by_key["a"] == [value for number in numbers for value in (number, f"own-{number}")]
        # Another process goes on at the cursors.
        later = await stand.process("later")
        async with World(later.engine, clock=later.clock) as world:
            await world.put("d", v="later")
            assert [told(one)[2] for one in await world.records(url, 1)] == ["later"]

    Stand().run(test)


async def put(tables: Tables, key: str, number: int) -> None:
    item = {"Id": {"S": key}, "v": {"S": str(number)}, "g": {"S": "g"}}
    await tables.call("PutItem", {"TableName": "orders", "Item": item}, Caller(ACCOUNT))
