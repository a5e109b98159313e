"""A store is copied while it is written to, under every fault, killed at any step, until the copy has been switched to.

What must hold then: the copy is what the store is, every write that was acknowledged is in both, nothing comes late.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tenet.base.ids import SeededIds
from tenet.store.contract import Add, Committed, Delete, Key, Put
from tenet.store.copy_marks import take_into_service
from tenet.store.copying import Copying, LeftOut
from tenet.store.errors import CopyRefused, OutcomeUnknown, StoreMoved, StoreUnavailable
from tenet.store.faulty import EVERY_FAULT, Faulty
from tenet.store.guard import Guard
from tenet.store.landing import land
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState
from tests.copies import NAMES, Killed, held
from tests.sim.harness import ExpensiveEngine, Simulation, seeds, simulate

if TYPE_CHECKING:
    from tenet.store.contract import Engine, Write

SPACE = "items"
KEYS = 60
WRITERS = 3


class Scene:
    """A store that is served and copied by one process after the other.

    Args:
        sim: the simulation; its store is the source.
        target: the engine of the copy.
    """

    def __init__(self, sim: Simulation, target: type[MemoryEngine]) -> None:
        self.sim = sim
        self.target_state = MemoryState()
        self._target = target
        #: What has to be there: of every key the values that it may have, since a write's outcome may be unknown.
        self.may_be: dict[Key, set[bytes | None]] = {}
        self.counted = 0
        self.processes = 0

    def open_target(self) -> MemoryEngine:
        return self._target(self.target_state, clock=self.sim.clock, ids=SeededIds(self.sim.seed_of("target")))

    def faulty_target(self) -> Faulty:
        async def reopen(crashed: Engine) -> Engine:
            assert isinstance(crashed, MemoryEngine)
            crashed.crash()
            return self.open_target()

        seed = self.sim.seed_of(f"target {self.processes}")
        return Faulty(self.open_target(), EVERY_FAULT, seed=seed, clock=self.sim.clock, reopen=reopen)

    async def process(self) -> bool:
        """One process: serves and copies, until it is killed or the copy is complete; returns whether that is so."""
        sim, self.processes = self.sim, self.processes + 1
        node, target = sim.node(), self.faulty_target()
        guard = Guard(node.store, sim.clock)
        dies_at = 1 + sim.dice.below(40) if self.processes < 6 else None
        steps = 0

        async def step(_name: str) -> None:
            nonlocal steps
            steps += 1
            await asyncio.sleep(sim.dice.below(20) / 1_000)
            if steps == dies_at:
                raise Killed

        copy = Copying(
            guard, target, NAMES, left_out=LeftOut(), clock=sim.clock, ids=SeededIds(self.processes), step=step
        )
        writers = []
        if await self.is_served():
            writers = [asyncio.create_task(self.write_on(guard, number)) for number in range(WRITERS)]
        try:
            return await self.carry_out(copy)
        except Killed:
            return False
        finally:
            for writer in writers:
                writer.cancel()
            await asyncio.gather(*writers, return_exceptions=True)
            # With the process, what it had sent is on its way or lost.
            await node.store.quiet()
            await target.quiet()

    async def is_served(self) -> bool:
        """Whether a server that is started on the source serves."""
        try:
            await take_into_service(self.sim.truth.store, clock=self.sim.clock, ids=self.sim.ids)
        except StoreMoved:
            return False
        return True

    async def carry_out(self, copy: Copying) -> bool:
        """As an operator does it: again, where a store could not say what became of a mark."""
        try:
            if not await copy.begin():
                await copy.follow()
                await copy.switch()
        except (OutcomeUnknown, CopyRefused, StoreUnavailable):
            return False
        return True

    async def write_on(self, guard: Guard, writer: int) -> None:
        """Writes keys of its own, and counts, until writes are refused for good."""
        sim, number = self.sim, 0
        ids = SeededIds(sim.seed_of(f"writer {writer} of {self.processes}"))
        while True:
            number += 1
            key = Key(SPACE, b"%d" % sim.dice.below(8), b"%d/%d" % (writer, sim.dice.below(KEYS)))
            value = b"%d/%d/%d" % (self.processes, writer, number) if sim.dice.chance(0.7) else None
            writes: list[Write] = [Delete(key) if value is None else Put(key, value)]
            writes.append(Add(Key(SPACE, b"counted", b"%d" % writer), "count", 1))
            before = self.may_be.setdefault(key, {None})
            self.may_be[key] = before | {value}
            try:
                deadline = sim.clock.monotonic_s() + 5
                outcome = await land(guard, writes, clock=sim.clock, ids=ids, deadline=deadline)
            except StoreMoved:
                self.may_be[key] = before
            except OutcomeUnknown:
                continue
            except StoreUnavailable:
                self.may_be[key] = before
            else:
                assert isinstance(outcome, Committed)
                self.may_be[key] = {value}
                self.counted += 1
            await asyncio.sleep(sim.dice.below(30) / 1_000)


def scene_with(target: type[MemoryEngine]):  # type: ignore[no-untyped-def]  # noqa: ANN201 (a coroutine function)
    async def scene(sim: Simulation) -> None:
        await sim.truth.store.ensure_space(SPACE)
        played = Scene(sim, target)
        while not await played.process():
            # Where a process died, another one is started, which serves if it may.
            assert played.processes < 40
        await sim.calm()
        source, copied = await held(sim.truth.store), await held(played.open_target())
        assert copied == source
        for key, values in played.may_be.items():
            assert (copied[key][0] if key in copied else None) in values, key
        counts = sum(cells.get("count", 0) for key, (_, cells) in copied.items() if key.partition == b"counted")
        assert counts >= played.counted
        assert not await played.is_served()
        await take_into_service(played.open_target(), clock=sim.clock, ids=sim.ids)

    return scene


@pytest.mark.parametrize("target", [MemoryEngine, ExpensiveEngine])
def test_nothing_is_lost_under_faults_and_kills(target: type[MemoryEngine]) -> None:
    for seed in seeds(25, 400):
        simulate(scene_with(target), seed)
