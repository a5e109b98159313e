"""Several partitions are read as of one moment, also while somebody writes to them all the time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest

from tenet.store.cassandra.sending import Bound
from tenet.store.contract import Commit, Committed, Key, Put, Record
from tenet.store.errors import StoreUnavailable
from tests.cassandra_model.cluster import Dead, Fate, ModelDriver
from tests.cassandra_model.stand import Process, Script, Stand, statement

PARTITIONS = (b"a", b"b", b"c")
LOCKED = statement("SET lk = ? WHERE")
INTENT = 5


class Slow(Script):
    """Lets every statement take its time, so that what waits for time gets its turn."""

    async def take(self, driver: ModelDriver, kind: str, bound: Sequence[Bound]) -> Fate:
        await asyncio.sleep(0.002)
        return await super().take(driver, kind, bound)


async def process_of(stand: Stand, name: str) -> Process:
    process = await stand.process(name)
    process.script = process.driver._turns = Slow()
    return process


async def write(process: Process, number: int) -> None:
    puts = [Put(Key("plain", partition), b"%d" % number) for partition in PARTITIONS]
    with suppress(StoreUnavailable):
        outcome = await process.engine.commit(Commit(process.client.new_id(), puts))
        assert isinstance(outcome, Committed)


async def read(process: Process) -> list[bytes]:
    found = await process.engine.read_together([Key("plain", partition) for partition in PARTITIONS])
    assert all(isinstance(record, Record) for record in found)
    return [record.value for record in found if isinstance(record, Record)]


@pytest.mark.thorough
@pytest.mark.parametrize("writers", [1, 3])
def test_a_reader_is_not_starved_by_those_who_write(writers: int) -> None:
    async def test(stand: Stand) -> None:
        reader = await process_of(stand, "reader")
        await reader.engine.ensure_space("plain")
        await write(reader, 0)
        processes = [await process_of(stand, f"writer {at}") for at in range(writers)]
        stop = asyncio.Event()
        await reader.engine.is_quiet()
        before = reader.driver.sent["conditional"]

        async def write_on(process: Process) -> None:
            number = 1
            while not stop.is_set():
                await write(process, number)
                number += 1

        async with asyncio.TaskGroup() as group:
            for process in processes:
                group.create_task(write_on(process))
            for _ in range(60):
                async with asyncio.timeout(20):
                    values = await read(reader)
                assert len(set(values)) == 1, "no moment had these"
            stop.set()
        for process in (reader, *processes):
            await process.engine.is_quiet()
        # Whoever was given up by another one may have left what the next to come there takes away.
        await read(reader)
        assert stand.rows(INTENT) == []
        locked.append(reader.driver.sent["conditional"] > before)

    locked: list[bool] = []
    Stand().run(test)
    assert locked == [True], "it never had to hold anybody up, and shows nothing"


def test_whom_a_dead_reader_held_up_goes_on() -> None:
    async def test(stand: Stand) -> None:
        reader, writer = await process_of(stand, "reader"), await process_of(stand, "writer")
        await writer.engine.ensure_space("plain")
        await write(writer, 0)
        units = [Key("plain", partition) for partition in PARTITIONS]
        reader.script.then(LOCKED, Fate.DONE, Fate.DONE, Fate.DIED)
        spaces = await reader.engine._find(["plain"], float("inf"))
        from tenet.store.cassandra.unit import Unit

        with suppress(Dead, StoreUnavailable):
            locked = [Unit(spaces["plain"], key.partition) for key in units]
            await reader.engine._across.look_under_locks(locked, float("inf"))
        begun_s = stand.clock.monotonic_s()
        await write(writer, 1)
        assert stand.clock.monotonic_s() - begun_s < 1.0, "a dead reader holds nobody up for longer"
        assert await read(writer) == [b"1"] * 3
        await writer.engine.is_quiet()
        assert stand.rows(INTENT) == []

    Stand().run(test)
