"""Processes on the cluster in memory for single tests: their statements can be held up, lost and made to linger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from tenet.base.clock import ManualClock
from tenet.base.ids import SeededIds
from tenet.store.cassandra.engine import CassandraEngine
from tenet.store.cassandra.location import Location
from tenet.store.cassandra.sending import Bound
from tenet.store.suite.stage import Client
from tests.cassandra_model.cluster import Cluster, Fate, ModelDriver, Skewed, Turns
from tests.sim.harness import SimulatedLoop

T = TypeVar("T")

Wanted = Callable[[str, Sequence[Bound]], bool]


def statement(part: str) -> Wanted:
    """Returns what picks statements of which one has this in its text."""
    return lambda _kind, bound: any(part in text for text, _ in bound)


class Hold:
    """A statement that waits."""

    def __init__(self, wanted: Wanted, fate: Fate) -> None:
        self.wanted = wanted
        self.fate = fate
        self.reached = asyncio.Event()
        self.go = asyncio.Event()


class Script(Turns):
    """What becomes of the statements of one process: as it is told."""

    def __init__(self) -> None:
        self._fates: list[tuple[Wanted, list[Fate]]] = []
        self._holds: list[Hold] = []
        self._lingering: list[Callable[[], object]] = []

    def then(self, wanted: Wanted, *fates: Fate) -> None:
        """Says what becomes of the next statements of a kind."""
        self._fates.append((wanted, list(fates)))

    def hold(self, wanted: Wanted, fate: Fate = Fate.DONE) -> Hold:
        """Holds the next statement of a kind up until it is told to go."""
        self._holds.append(Hold(wanted, fate))
        return self._holds[-1]

    async def take(self, driver: ModelDriver, kind: str, bound: Sequence[Bound]) -> Fate:
        """Returns what was said, when it was said."""
        await asyncio.sleep(0)
        for wanted, fates in self._fates:
            if fates and wanted(kind, bound):
                return fates.pop(0)
        for hold in self._holds:
            if not hold.reached.is_set() and hold.wanted(kind, bound):
                hold.reached.set()
                await hold.go.wait()
                return hold.fate
        return Fate.DONE

    def linger(self, land: Callable[[], object], what: Sequence[Bound]) -> None:
        """Keeps what may land later."""
        self._lingering.append(land)

    def land(self) -> int:
        """Lets everything land that lingers; returns how many statements that were."""
        landed = len(self._lingering)
        while self._lingering:
            self._lingering.pop(0)()
        return landed


class Process:
    """One engine on the cluster.

    Args:
        stand: where it stands.
        name: of the process.
        behind_ms: by how much its clock is behind that of the others.
    """

    def __init__(self, stand: Stand, name: str, behind_ms: int) -> None:
        at = Location(("127.0.0.1",), "stand")
        self.clock = Skewed(stand.clock, -behind_ms)
        self.script = Script()
        ids = SeededIds(sum(name.encode()))
        self.driver = ModelDriver(at, self.clock, cluster=stand.cluster, turns=self.script, name=name)
        self.engine = CassandraEngine(at, clock=self.clock, ids=ids, driver=self.driver)
        self.client = Client(self.engine, self.clock, ids)


class Stand:
    """A cluster in memory in simulated time.

    Args:
        ahead_ms: by how much the clocks of its nodes are ahead of those of the processes.
    """

    def __init__(self, ahead_ms: int = 0) -> None:
        self.clock = ManualClock()
        self.cluster = Cluster(self.clock, ahead_ms=ahead_ms)
        self._processes: list[Process] = []

    async def process(self, name: str, *, behind_ms: int = 0) -> Process:
        """Starts a process."""
        process = Process(self, name, behind_ms)
        await process.engine.start()
        # These nodes are never silent, and looking out for it twenty times a second makes days of simulated time long.
        await process.engine._supervision.close()
        self._processes.append(process)
        return process

    def run(self, test: Callable[[Stand], Coroutine[Any, Any, T]]) -> T:
        """Runs a test in simulated time."""

        async def play() -> T:
            try:
                return await test(self)
            finally:
                for process in self._processes:
                    process.driver.is_dead = True
                await asyncio.gather(*(process.engine.close() for process in self._processes))

        with asyncio.Runner(loop_factory=lambda: SimulatedLoop(self.clock)) as runner:
            return runner.run(play())

    def rows(self, kind: int) -> list[tuple[bytes, bytes]]:
        """Returns partition and sort of all rows of a kind in tables of spaces."""
        return [
            (key[0][1:], at[1])
            for name, table in self.cluster.tables.items()
            if ".s_" in name
            for key, (_, rows) in table.content(self.clock.wall_ms()).items()
            for at in rows
            if at[0] == kind
        ]
