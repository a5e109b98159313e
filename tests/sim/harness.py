"""Runs a scene in simulated time on a store that everything happens to that the contract allows.

A scene is a coroutine that is given a ``Simulation``: a clock, randomness, and any number of nodes, each of which sees
the same store through faults of its own. Nothing waits for real: when every task of the scene sleeps, the clock jumps
to where the first of them wakes. There are no threads and no I/O, so that a seed determines a run to the last step.

    def test_orders_are_never_lost() -> None:
        for seed in seeds(20, 500):
            simulate(scene, seed)

    async def scene(sim: Simulation) -> None:
        node = sim.node()
        service = Orders(node.store, clock=sim.clock, ids=sim.ids)
        await sim.actors(8, lambda actor: place_orders(service, sim.dice))
        await sim.calm()
        ...  # what must hold now, looked at through sim.truth, which has no faults

A failure carries its seed and the last faults; ``TENET_SIM_SEED=<seed> pytest <test>`` runs that one again.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from tenet.base.clock import ManualClock
from tenet.base.dice import Dice
from tenet.base.ids import SeededIds
from tenet.store.contract import Capabilities, Engine
from tenet.store.faulty import EVERY_FAULT, NO_FAULTS, FaultPlan, Faulty
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState
from tenet.store.suite.stage import Client
from tests.rounds import rounds

T = TypeVar("T")

#: A scene that takes longer than this, in its own time, is stuck in a loop.
SCENE_S_MAX = 7 * 86_400.0


class Stuck(AssertionError):
    """Nothing is left that could ever happen, and the scene has not ended."""


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting for time to pass, moves the clock."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("every task waits for something that will never happen")
        if timeout > 0:
            # Whole milliseconds, and at least to where the timer is.
            self._clock.advance_ms(max(1, math.ceil(timeout * 1_000 - 1e-6)))
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is a manual clock's."""

    def __init__(self, clock: ManualClock) -> None:
        self._simulated_clock = clock
        super().__init__(_JumpingSelector(clock))

    def time(self) -> float:
        return self._simulated_clock.monotonic_s()


class Node:
    """One process of the simulated installation.

    Args:
        store: the store as this node sees it, with faults.
        clock: its time.
        ids: its randomness.
    """

    def __init__(self, store: Faulty, clock: ManualClock, ids: SeededIds) -> None:
        self.store = store
        self.clock = clock
        self.ids = ids
        #: Calls the store as a careful caller does.
        self.client = Client(store, clock, ids)


class ExpensiveEngine(MemoryEngine):
    """Declares, as a distributed engine does, that commits over partitions are not cheap."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(engine="memory", partitions_max=200, cheap_commits_across_partitions=False, durable=False)


class Simulation:
    """What a scene works with.

    Args:
        seed: determines everything.
        plan: what goes wrong on its nodes.
        engine: what the nodes open.
    """

    def __init__(self, seed: int, plan: FaultPlan, engine: type[MemoryEngine] = MemoryEngine) -> None:
        self.seed = seed
        self.clock = ManualClock()
        self.ids = SeededIds(self.seed_of("ids"))
        self.dice = Dice(self.seed_of("dice"))
        self.state = MemoryState()
        self.nodes: list[Node] = []
        self._plan = plan
        self._engine = engine
        self._truth = Client(self._open(), self.clock, self.ids)

    @property
    def truth(self) -> Client:
        """A client that no faults happen to, to prepare a scene and to look at how it ended."""
        return self._truth

    def seed_of(self, purpose: str) -> int:
        """Returns a seed of its own for each purpose: two of the same would draw the same commit ids."""
        return int.from_bytes(hashlib.blake2b(f"{self.seed}/{purpose}".encode(), digest_size=8).digest(), "big")

    def _open(self) -> MemoryEngine:
        return self._engine(self.state, clock=self.clock, ids=self.ids)

    def node(self, plan: FaultPlan | None = None) -> Node:
        """Starts another process on the same store.

        Args:
            plan: what goes wrong on it; by default what goes wrong on all.
        """

        async def reopen(crashed: Engine) -> Engine:
            assert isinstance(crashed, MemoryEngine)
            crashed.crash()
            return self._open()

        number = len(self.nodes)
        seed = self.seed_of(f"faults of node {number}")
        store = Faulty(self._open(), plan or self._plan, seed=seed, clock=self.clock, reopen=reopen)
        self.nodes.append(Node(store, self.clock, SeededIds(self.seed_of(f"ids of node {number}"))))
        return self.nodes[-1]

    async def actors(self, count: int, act: Callable[[int], Coroutine[Any, Any, T]]) -> list[T]:
        """Lets actors act side by side, each from a moment of its own; the first error ends all."""

        async def enter(actor: int, after_ms: int) -> T:
            await asyncio.sleep(after_ms / 1_000)
            return await act(actor)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(enter(actor, self.dice.below(50))) for actor in range(count)]
        return [task.result() for task in tasks]

    async def calm(self) -> None:
        """Waits until nothing that was sent is under way any more."""
        for node in self.nodes:
            await node.store.quiet()

    def counts(self) -> Mapping[str, int]:
        """How often each fault has happened on all nodes."""
        total: dict[str, int] = {}
        for node in self.nodes:
            for fault, count in node.store.counts.items():
                total[fault] = total.get(fault, 0) + count
        return total

    def report(self) -> str:
        """What went wrong on each node, for a failure."""
        return "\n".join(f"node {at}: {node.store.report()}" for at, node in enumerate(self.nodes))


def simulate(
    scene: Callable[[Simulation], Awaitable[T]],
    seed: int,
    plan: FaultPlan = EVERY_FAULT,
    engine: type[MemoryEngine] = MemoryEngine,
) -> T:
    """Plays a scene; what fails bears the seed that plays it again.

    Args:
        scene: what happens.
        seed: any integer.
        plan: what goes wrong.
        engine: what the nodes open: ``MemoryEngine``, or ``ExpensiveEngine`` with what services do there.
    """
    sim = Simulation(seed, plan, engine)

    async def play() -> T:
        limit = asyncio.timeout(SCENE_S_MAX)
        try:
            async with limit:
                result = await scene(sim)
        except TimeoutError as error:
            if limit.expired():
                raise Stuck(f"the scene has not ended after {SCENE_S_MAX:,.0f} s of its own time") from error
            raise
        for node in sim.nodes:
            await node.store.close()
        return result

    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(sim.clock)) as runner:
        try:
            return runner.run(play())
        except BaseException as error:
            error.add_note(f"to play it again: TENET_SIM_SEED={seed}\n{sim.report()}")
            raise


def seeds(short: int, long: int) -> list[int]:
    """Returns the seeds of a test's runs: TENET_SIM_SEED alone, or so many that follow from TENET_TEST_SEED."""
    single = os.environ.get("TENET_SIM_SEED")
    if single is not None:
        return [int(single)]
    first = int(os.environ.get("TENET_TEST_SEED", "0")) * 100_000
    return [first + number for number in range(rounds(short, long))]


__all__ = [
    "NO_FAULTS",
    "ExpensiveEngine",
    "Node",
    "Simulation",
    "Stuck",
    "seeds",
    "simulate",
]
