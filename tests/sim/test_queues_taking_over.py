"""Taking a queue over where others do so at the same time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tenet.queues import keys
from tenet.queues.model import Queue, Settings
from tenet.queues.ops.owning.taking_over import take_over
from tenet.store.contract import Page
from tenet.store.faulty import NO_FAULTS
from tenet.store.memory import MemoryEngine
from tests.sim.harness import Simulation, seeds, simulate

READING_S = 0.01
TAKING_S_MAX = 10.0


class _Slow(MemoryEngine):
    """Takes its time for pages."""

    async def query(self, *arguments: Any, **options: Any) -> Page:
        await asyncio.sleep(READING_S)
        return await super().query(*arguments, **options)


@pytest.mark.parametrize("processes", [2, 5])
def test_processes_that_take_a_queue_over_at_the_same_time_do_not_keep_each_other_from_it(processes: int) -> None:
    async def scene(sim: Simulation) -> None:
        queue = Queue(b"q" * 16, "123456789012", "q", 0, 0, Settings())
        await _Slow(sim.state, clock=sim.clock, ids=sim.ids).ensure_space(keys.MESSAGES_SPACE)
        deadline = sim.clock.monotonic_s() + TAKING_S_MAX

        async def taken(number: int) -> int:
            # Each of them begins while another one reads, which finds it taken over then, and takes it over again.
            await asyncio.sleep(number * READING_S / processes)
            store = _Slow(sim.state, clock=sim.clock, ids=sim.ids)
            found, _ = await take_over(store, queue, clock=sim.clock, ids=sim.ids, deadline=deadline)
            return found.epoch

        epochs = await asyncio.gather(*map(taken, range(processes)))
        assert len(set(epochs)) == processes

    for seed in seeds(5, 100):
        simulate(scene, seed, NO_FAULTS)
