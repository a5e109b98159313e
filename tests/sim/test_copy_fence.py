"""A store is copied while other processes have it open, start on it, freeze in the middle of a write, and wake later.

What must hold then, without anybody stopping them: every write that was acknowledged, to whomever, is in the copy.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tenet.base.ids import SeededIds
from tenet.store import copy_claim, copy_fence
from tenet.store.contract import Capabilities, Committed, Key, Put
from tenet.store.copy_marks import check_service, take_into_service
from tenet.store.copying import Copying, LeftOut
from tenet.store.errors import CopyDiffers, CopyRefused, OutcomeUnknown, StoreMoved, StoreUnavailable
from tenet.store.faulty import CallFaults, FaultPlan
from tenet.store.guard import Guard, guarded
from tenet.store.landing import land
from tenet.store.memory import MemoryEngine
from tests.copies import NAMES, held
from tests.sim.harness import ExpensiveEngine, Simulation, seeds, simulate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SPACE = "items"
OTHERS = 3
#: How long the others go on, seconds: longer than a copy with all its tries.
LIFE_S = 120.0
#: Slow enough for freezes to meet every step, and not so bad that no copy ever ends.
PLAN = FaultPlan(calls=CallFaults(unavailable=0.01, delayed=0.3, delay_ms_max=200))


class Distant(ExpensiveEngine):
    """Declares, as a distributed engine does, that other processes may have the same store open."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            engine="memory", partitions_max=200, cheap_commits_across_partitions=False, durable=False, remote=True
        )


class Freezing:
    """A store as a process has it that stands still now and then: before a call is sent, and when it was answered.

    Args:
        store: the store.
        sim: says when, and for how long.
    """

    def __init__(self, store: Any, sim: Simulation) -> None:
        self._store = store
        self._sim = sim
        self._until_s = 0.0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in {"commit", "settle", "query", "get", "list_spaces", "ensure_space"}:
            return found

        async def called(*arguments: Any, **options: Any) -> Any:
            await self._stand_still()
            answer = await found(*arguments, **options)
            await self._stand_still()
            return answer

        return called

    async def _stand_still(self) -> None:
        now_s = self._sim.clock.monotonic_s()
        if now_s >= self._until_s and self._sim.dice.chance(0.02):
            self._until_s = now_s + self._sim.dice.below(40_000) / 1_000
        # The whole process does, whichever of its tasks it was that froze it.
        while (left_s := self._until_s - self._sim.clock.monotonic_s()) > 0:  # noqa: ASYNC110 (it is time)
            await asyncio.sleep(left_s)


class Scene:
    """One store, the process that copies it, and others.

    Args:
        sim: the simulation; its store is the source.
    """

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.target = MemoryEngine(clock=sim.clock, ids=SeededIds(sim.seed_of("target")))
        self.acknowledged: dict[Key, bytes] = {}
        self.by_others = 0
        self.refused = 0
        self.tries = 0

    async def live(self, number: int) -> None:
        """Another process: starts, serves for a while, ends, and starts again, whatever goes on."""
        sim, until_s = self.sim, self.sim.clock.monotonic_s() + LIFE_S
        while sim.clock.monotonic_s() < until_s:
            store = Freezing(sim.node().store, sim)
            try:
                await check_service(store, node=f"node-{number}", clock=sim.clock, ids=sim.ids)
            except (StoreMoved, StoreUnavailable, OutcomeUnknown):
                self.refused += 1
                await asyncio.sleep(1)
                continue
            guard = guarded(store, sim.clock)
            ends_s = sim.clock.monotonic_s() + sim.dice.below(60)
            while sim.clock.monotonic_s() < min(ends_s, until_s):
                self.by_others += await self.write(guard, b"%d" % number)

    async def write(self, guard: Guard, writer: bytes) -> bool:
        """Writes a key of its own; returns whether that was acknowledged."""
        sim = self.sim
        key, value = Key(SPACE, b"%d" % sim.dice.below(8), writer + b"/" + sim.ids.draw(6)), sim.ids.draw(6)
        await asyncio.sleep(sim.dice.below(400) / 1_000)
        try:
            deadline = sim.clock.monotonic_s() + 10
            outcome = await land(guard, [Put(key, value)], clock=sim.clock, ids=sim.ids, deadline=deadline)
        except StoreMoved:
            self.refused += 1
        except (OutcomeUnknown, StoreUnavailable):
            pass
        else:
            assert isinstance(outcome, Committed)
            self.acknowledged[key] = value
            return True
        return False

    async def copy(self) -> None:
        """The process that copies, and serves all the time; as an operator does it, until it is complete."""
        sim, store = self.sim, self.sim.node().store
        guard = guarded(store, sim.clock)
        serving = asyncio.create_task(self.serve(guard))
        await asyncio.sleep(sim.dice.below(15))
        while not await self.try_to_copy(guard):
            self.tries += 1
            assert self.tries < 60
            await asyncio.sleep(0.1)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    async def serve(self, guard: Guard) -> None:
        while True:
            await self.write(guard, b"own")

    async def try_to_copy(self, guard: Guard) -> bool:
        sim = self.sim
        ids = SeededIds(sim.seed_of(f"copy {self.tries}"))
        copy = Copying(guard, self.target, NAMES, left_out=LeftOut(), clock=sim.clock, ids=ids, node="copies")
        try:
            if not await copy.begin():
                await copy.follow()
                await copy.switch()
        except (CopyDiffers, CopyRefused, OutcomeUnknown, StoreUnavailable):
            await _patiently(copy.leave_off)
            return False
        return True


async def _patiently(call: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await call()
        except StoreUnavailable:
            await asyncio.sleep(0.1)


async def scene(sim: Simulation) -> Scene:
    await sim.truth.store.ensure_space(SPACE)
    played = Scene(sim)
    async with asyncio.TaskGroup() as group:
        for number in range(OTHERS):
            group.create_task(played.live(number))
        group.create_task(played.copy())
    await sim.calm()
    copied = await held(played.target)
    for key, value in played.acknowledged.items():
        assert key in copied, f"{key} was acknowledged, and is not in the copy"
        assert copied[key][0] == value
    await take_into_service(played.target, clock=sim.clock, ids=sim.ids)
    return played


def test_no_write_is_acknowledged_that_the_copy_does_not_have() -> None:
    by_others = refused = 0
    for seed in seeds(25, 400):
        played = simulate(scene, seed, PLAN, Distant)
        by_others, refused = by_others + played.by_others, refused + played.refused
    assert by_others > 0
    assert refused > 0


@pytest.mark.parametrize(
    ("module", "name", "value"), [(copy_fence, "FRESH_S", 1e9), (copy_claim, "ALONE_S", 0.0)], ids=["looks", "waits"]
)
def test_each_half_of_the_fence_is_needed(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, value: float
) -> None:
    """Where looks are never too old, or nobody waits for them to become so, this finds writes that are lost."""
    monkeypatch.setattr(module, name, value)
    lost = 0
    for seed in range(60):
        try:
            simulate(scene, seed, PLAN, Distant)
        except AssertionError as error:
            lost += "is not in the copy" in str(error)
    assert lost > 0
