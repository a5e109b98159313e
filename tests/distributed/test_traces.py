"""Reads of what is deleted all the time, on real nodes: past the number of traces at which they fail a read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tenet.base.clock import NEVER, SystemClock
from tenet.store.cassandra.driver import Driver
from tenet.store.cassandra.sending import Bound
from tenet.store.contract import LogOptions, SpaceOptions
from tests.distributed.conftest import OpenEngine

#: More than ``tombstone_failure_threshold`` of a node.
DELETIONS = 101_000
BATCH = 100
SIDE_BY_SIDE = 4
KEY = b"\x00p"


async def write(driver: Driver, make: Callable[[int], Bound]) -> None:
    """Sends so many deletions."""
    gate = asyncio.Semaphore(SIDE_BY_SIDE)

    async def send(first: int) -> None:
        async with gate:
            await driver.write([make(number) for number in range(first, first + BATCH)])

    await asyncio.gather(*(send(first) for first in range(0, DELETIONS, BATCH)))


@pytest.mark.time_limit_s(240)
def test_outboxes_and_pointers_are_read_however_much_was_deleted_from_them(opened: OpenEngine) -> None:
    async def run() -> None:
        async with opened() as engine:
            await engine.ensure_space("traces", SpaceOptions(log=LogOptions(readers=("tail",))))
            space = (await engine._find(["traces"], NEVER))["traces"]
            driver, log = engine.driver, space.log_statements
            begun_us = (SystemClock().wall_ms() - 3_600_000) * 1000

            def moved(number: int) -> Bound:
                end = space.log_id + number.to_bytes(12, "big") + b"\x00"
                return space.statements.outbox_moved, [begun_us + number, KEY, space.log_id, end]

            await write(driver, moved)
            values = (KEY, space.log_id, space.log_id + b"\xff" * 13, 10)
            assert await driver.select(space.statements.get_outbox, values) == []

            unpoint = log.unpoint.replace(" WHERE", " USING TIMESTAMP ? WHERE")
            await write(driver, lambda number: (unpoint, [begun_us + number, space.log_id, 0, b"%08d" % number, 1]))
            await driver.write([(log.point, [space.log_id, 0, b"%08d" % DELETIONS, 1])])
            await driver.write([(log.unpoint_before, [begun_us + DELETIONS, space.log_id, 0])])
            pointers = await driver.select(log.pointers, (space.log_id, 0, b"", 0, 1_000), is_serial=False)
            assert pointers == [(b"%08d" % DELETIONS, 1)]

    asyncio.run(run())
