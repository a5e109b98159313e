"""Expiry keeps up on the embedded engine: 10,000 records a second, and a crowd of 100,000 of one second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.contract import Engine, Key, LogEntry, LogOptions, Put, Record, SpaceOptions
from tenet.store.expiry import ExpiryIndex, ExpiryRule, Removal, Sweeper, expiry_entry
from tenet.store.sqlite.engine import open_engine
from tenet.store.suite.stage import Client
from tenet.store.versions import version_ms
from tests.rounds import rounds

SPACE = "sessions"
CLOCK, IDS = SystemClock(), SystemIds()
LATE_MS_MAX = 5_000


class ByValue:
    """The first eight bytes of a value say when the record is due."""

    def expires_ms(self, key: Key, record: Record) -> int | None:
        return int.from_bytes(record.value[:8], "big")

    def removal(self, key: Key, record: Record) -> Removal:
        return Removal(appends=[expiry_entry(key, record)])


async def by_value(space: str) -> ExpiryRule | None:
    return ByValue()


async def fill(client: Client, index: ExpiryIndex, due_times_ms: list[int]) -> None:
    """Puts a record of 200 bytes for each of these times, with its pointer, as a service would."""
    for start in range(0, len(due_times_ms), 2_000):
        writes = []
        for number, due_ms in enumerate(due_times_ms[start : start + 2_000], start):
            key = Key(SPACE, b"p%d" % (number % 200), b"%d" % number)
            writes += [Put(key, due_ms.to_bytes(8, "big") + bytes(192)), *index.pointers_for(key, due_ms)]
        await client.write(*writes)


async def sweep_all(engine: Engine, due_times_ms: Callable[[], list[int]]) -> tuple[list[LogEntry], int]:
    """Fills a store, sweeps it until nothing is left, and returns the log with how late the latest record was."""
    client = Client(engine, CLOCK, IDS)
    await engine.ensure_space(SPACE, SpaceOptions(log=LogOptions(shards=4, readers=("tail",))))
    index = ExpiryIndex(engine, clock=CLOCK, ids=IDS)
    await index.ensure()
    times = due_times_ms()
    await fill(client, index, times)
    assert min(times) > CLOCK.wall_ms(), "the records were due before all of them were there"
    sweeper = Sweeper(index, by_value, clock=CLOCK, ids=IDS)
    async with asyncio.timeout(max(times) / 1_000 - CLOCK.wall_ms() / 1_000 + 20):
        while sweeper.figures()["expired"] < len(times):
            await sweeper.sweep()
            await asyncio.sleep(0.5)
    entries = [entry for shard in range(4) for entry in await client.log_all(SPACE, shard, limit=10_000)]
    late_ms = max(version_ms(entry.version) - int.from_bytes((entry.old or b"")[:8], "big") for entry in entries)
    assert await client.scan_all(SPACE) == []
    pointers = [record for record in await client.scan_all("expiry") if record.partition != b"marks"]
    assert pointers == []
    return entries, late_ms


def play(directory: Path, due_times_ms: Callable[[], list[int]]) -> tuple[list[LogEntry], int]:
    async def run() -> tuple[list[LogEntry], int]:
        engine = await open_engine(str(directory), clock=CLOCK, ids=IDS)
        try:
            return await sweep_all(engine, due_times_ms)
        finally:
            await engine.close()

    return asyncio.run(run())


@pytest.mark.alone
def test_ten_thousand_a_second_are_swept_within_five_seconds(tmp_path: Path) -> None:
    seconds = rounds(5, 30)

    def steadily() -> list[int]:
        # Far enough ahead that all of them are there before the first is due.
        start_ms = CLOCK.wall_ms() + 1_000 + 1_000 * seconds
        return [start_ms + number // 10 for number in range(10_000 * seconds)]

    entries, late_ms = play(tmp_path, steadily)
    assert len(entries) == 10_000 * seconds
    assert {entry.origin for entry in entries} == {"expiry"}
    assert late_ms <= LATE_MS_MAX


@pytest.mark.alone
def test_a_crowd_of_one_second_is_swept_at_the_same_rate(tmp_path: Path) -> None:
    count = rounds(40_000, 100_000)

    def at_once() -> list[int]:
        return [CLOCK.wall_ms() + 1_000 + count // 10] * count

    entries, late_ms = play(tmp_path, at_once)
    assert len(entries) == count
    assert late_ms <= max(LATE_MS_MAX, count // 10)
