"""Whoever watches an engine in memory is told in the order in which the watches were begun, run after run."""

from __future__ import annotations

import asyncio

from tenet.base.clock import SystemClock
from tenet.base.ids import SeededIds
from tenet.store.contract import Commit, Committed, Key, Put, new_commit_id
from tenet.store.memory import MemoryEngine

WATCHES = 60
KEY = Key("s", b"p", b"s")


def test_watches_are_told_in_the_order_in_which_they_were_begun() -> None:
    async def main() -> None:
        clock, ids = SystemClock(), SeededIds(1)
        engine = MemoryEngine(clock=clock, ids=ids)
        await engine.ensure_space("s")
        told: list[int] = []

        async def wait(number: int) -> None:
            # What lies between them in memory is not the same each time.
            held = [bytearray(16 * (number * 37 % 61)) for _ in range(3)]
            watch = engine.watch("s", b"p" if number % 2 else None)
            if number % 5 == 0:
                watch.close()
                watch = engine.watch("s")
            assert await watch.wait(60)
            told.append(number)
            watch.close()
            del held

        async with asyncio.TaskGroup() as group:
            for number in range(WATCHES):
                group.create_task(wait(number))
            await asyncio.sleep(0)
            outcome = await engine.commit(Commit(new_commit_id(clock, ids), (Put(KEY, b"x"),)))
            assert isinstance(outcome, Committed)
        assert told == list(range(WATCHES))
        await engine.close()

    asyncio.run(main())
