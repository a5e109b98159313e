"""Many commits over the same few partitions at once: how soon each of them hears, in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from itertools import product
from statistics import mean
from typing import Any

import pytest

from tenet.base.clock import NEVER, Clock, ManualClock
from tenet.base.ids import SeededIds
from tenet.store.cassandra.engine import CassandraEngine
from tenet.store.cassandra.location import Location
from tenet.store.contract import Commit, Committed, Conflict, Key, Outcome, Put, SpaceOptions
from tenet.store.suite.histories import LongHistory
from tenet.store.suite.stage import Client
from tests.cassandra_model.cluster import Cluster, ModelDriver, Skewed
from tests.cassandra_model.slow import SlowTurns
from tests.rounds import rounds
from tests.sim.harness import SimulatedLoop

LOCATION = Location(("127.0.0.1",), "contention")
#: For how long callers write without a pause.
WRITING_S = 8.0


class Timed(CassandraEngine):
    """Keeps how long each refusal, and each success, took to be told."""

    def __init__(self, clock: Clock, ids: SeededIds, driver: ModelDriver) -> None:
        super().__init__(LOCATION, clock=clock, ids=ids, driver=driver)
        self._timed_by = clock
        self.took_s: dict[type[Outcome], list[float]] = {Committed: [], Conflict: []}

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        begun = self._timed_by.monotonic_s()
        outcome = await super().commit(commit, deadline=deadline)
        self.took_s[type(outcome)].append(self._timed_by.monotonic_s() - begun)
        return outcome


class Stage:
    """Processes on a cluster whose statements take time."""

    def __init__(self, seed: int) -> None:
        self.clock = ManualClock()
        self.turns = SlowTurns(seed)
        self._cluster = Cluster(self.clock)
        self.engines: list[Timed] = []
        self.clients: list[Client] = []

    async def begin(self, *ahead_ms: int) -> None:
        """Starts a process for each of the figures, by which its clock is ahead."""
        for number, ahead in enumerate(ahead_ms):
            ids, clock = SeededIds(number), Skewed(self.clock, ahead)
            driver = ModelDriver(LOCATION, clock, cluster=self._cluster, turns=self.turns, name=str(number))
            engine = Timed(clock, ids, driver)
            await engine.start()
            self.engines.append(engine)
            self.clients.append(Client(engine, clock, ids))
        for space in ("plain", "stamped"):
            await self.engines[0].ensure_space(space, SpaceOptions(stamps=space == "stamped"))

    async def end(self) -> None:
        for engine in self.engines:
            await engine.close()

    def took_s(self, kind: type[Outcome]) -> list[float]:
        return [took_s for engine in self.engines for took_s in engine.took_s[kind]]

    def run(self, scene: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=lambda: SimulatedLoop(self.clock)) as runner:
            runner.run(scene)


@pytest.mark.parametrize(
    ("processes", "mean_s", "longest_s", "conditional_max"), [(1, 0.12, 0.35, 300), (3, 0.30, 1.0, 700)]
)
def test_callers_over_few_partitions_hear_soon_that_they_are_refused(
    processes: int, mean_s: float, longest_s: float, conditional_max: int
) -> None:
    # Twelve callers who read and change up to four of twelve records in six partitions, without a pause. With a batch
    # of 10 ms those who were refused heard after 1.3 s on the average, and 5.9 s at the most, for 1,200 batches,
    # as long as whoever held locks waited for others.
    for seed in range(rounds(3, 30)):
        stage = Stage(seed)

        async def play(stage: Stage = stage, seed: int = seed) -> None:
            await stage.begin(*[0] * processes)
            partitions = [(space, partition) for space in ("plain", "stamped") for partition in (b"1", b"2", b"3")]
            keys = [Key(*partition, b"%d" % sort) for partition in partitions for sort in range(2)]
            await LongHistory(stage.clients, keys, seed).play(callers=12, each=14)
            await stage.end()

        stage.run(play())
        refused = stage.took_s(Conflict)
        assert len(refused) > 20, "nothing was in anybody's way"
        assert mean(refused) <= mean_s, seed
        assert max(refused) <= longest_s, seed
        assert stage.turns.sent["conditional"] <= conditional_max, seed


@pytest.mark.parametrize("ahead_ms", [0, 240_000, -240_000])
def test_nobody_is_starved_wherever_clocks_are(ahead_ms: int) -> None:
    # Two processes whose callers write to two of six partitions each, and one that writes to all. As long as ages were
    # wall clocks, that one got through once all others had ended where its clock was ahead, and 50 times where it was
    # behind; with clocks that agree it is 12 to 16 times.
    for seed in range(rounds(2, 20)):
        stage = Stage(seed)

        async def play(stage: Stage = stage) -> None:
            await stage.begin(0, 0, ahead_ms)
            keys = [Key("plain", b"%d" % partition) for partition in range(6)]
            until_s = stage.clock.monotonic_s() + WRITING_S

            async def write_on(process: int, some: Sequence[Key]) -> None:
                client, puts = stage.clients[process], [Put(key, b"x") for key in some]
                while stage.clock.monotonic_s() < until_s:
                    outcome = await stage.engines[process].commit(Commit(client.new_id(), puts))
                    assert isinstance(outcome, Committed)

            async with asyncio.TaskGroup() as group:
                for process, first in product((0, 1), (0, 2, 4)):
                    pair = [keys[(process + first + at) % len(keys)] for at in (0, 1)]
                    group.create_task(write_on(process, pair))
                group.create_task(write_on(2, keys))
            await stage.end()

        stage.run(play())
        assert 2 <= len(stage.engines[2].took_s[Committed]) <= 30, seed
        assert max(stage.took_s(Committed)) <= 6.0, seed
