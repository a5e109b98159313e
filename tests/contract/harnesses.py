"""How the contract suite opens the engines of this project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.cassandra.engine import CassandraEngine
from tenet.store.cassandra.location import parse_location
from tenet.store.faulty import EVERY_FAULT, Faulty
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState
from tenet.store.sqlite.engine import open_engine
from tenet.store.suite.harness import EngineHarness, Gate, Hold
from tests.cassandra_model.cluster import Cluster, ModelDriver
from tests.rounds import rounds

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import CommitId, Engine


class MemoryHarness(EngineHarness):
    """The reference engine; what it holds outlives an engine, but not the harness."""

    held_s = rounds(1.0, 10.0)

    def __init__(self) -> None:
        self._states: dict[str, MemoryState] = {}
        self._gate = Gate()

    async def open(self, location: str, *, clock: Clock, ids: Ids) -> Engine:
        return self.open_memory(location, clock, ids)

    def open_memory(self, location: str, clock: Clock, ids: Ids) -> MemoryEngine:
        state = self._states.setdefault(location, MemoryState())
        return MemoryEngine(state, clock=clock, ids=ids, gate=self._gate.pass_through)

    @property
    def can_crash(self) -> bool:
        return True

    async def crash(self, engine: Engine) -> None:
        assert isinstance(engine, MemoryEngine)
        engine.crash()

    def hold(self, engine: Engine, commit_id: CommitId) -> Hold:
        return self._gate.hold(commit_id)


#: What the suite's careful caller can live with. Rivals are left out: nobody but the suite writes to its records.
FAULTS = replace(
    EVERY_FAULT,
    calls=replace(EVERY_FAULT.calls, delayed=0.1, delay_ms_max=2),
    commits=replace(EVERY_FAULT.commits, rival=0.0, late_ms_max=20),
    crash=0.001,
    down_ms_max=5,
)


class FaultyHarness(MemoryHarness):
    """The reference engine with every fault that the contract allows.

    Args:
        seed: of the faults.
    """

    hints = False
    held_s = rounds(0.5, 10.0)
    spaces_many = 30

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    async def open(self, location: str, *, clock: Clock, ids: Ids) -> Engine:
        async def reopen(crashed: Engine) -> Engine:
            assert isinstance(crashed, MemoryEngine)
            crashed.crash()
            return self.open_memory(location, clock, ids)

        engine = self.open_memory(location, clock, ids)
        self._seed += 1
        return Faulty(engine, FAULTS, seed=self._seed, clock=clock, reopen=reopen)

    async def crash(self, engine: Engine) -> None:
        assert isinstance(engine, Faulty)
        await super().crash(engine.engine)
        await engine.close()


class SqliteHarness(EngineHarness):
    """The embedded engine, each location a data directory. Crashes are tested with real processes, in tests/e2e.

    No commit can be held up: one writer carries all of them out in the order in which they came, so that whatever comes
    behind one that stands still waits as well, settling it included.

    Args:
        directory: where the data directories are made.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def open(self, location: str, *, clock: Clock, ids: Ids) -> Engine:
        return await open_engine(str(self._directory / location), clock=clock, ids=ids)


class CassandraHarness(EngineHarness):
    """The distributed engine, each location a keyspace of one cluster.

    Args:
        hosts: contact points of the cluster, with commas between them.
    """

    spaces_many = 4
    held_s = rounds(3.0, 10.0)
    pace = rounds(0.1, 0.2)

    def __init__(self, hosts: str) -> None:
        self._hosts = hosts
        self._run = SystemIds().draw(4).hex()
        self._gate = Gate()

    async def open(self, location: str, *, clock: Clock, ids: Ids) -> Engine:
        keyspace = f"t{self._run}_{location}".replace("-", "_").replace(".", "_")[:48]
        at = parse_location(f"//{self._hosts}/{keyspace}")
        engine = CassandraEngine(at, clock=clock, ids=ids, gate=self._gate.pass_through)
        await engine.start()
        return engine

    def hold(self, engine: Engine, commit_id: CommitId) -> Hold:
        return self._gate.hold(commit_id)


class ModelledCassandraHarness(EngineHarness):
    """The distributed engine on a cluster in memory, each location a keyspace."""

    held_s = rounds(0.5, 10.0)
    spaces_many = 30
    pace = 0.1

    def __init__(self) -> None:
        self._cluster = Cluster(SystemClock())
        self._gate = Gate()

    async def open(self, location: str, *, clock: Clock, ids: Ids) -> Engine:
        at = parse_location("//127.0.0.1/" + location.replace("-", "_").replace(".", "_")[:48])
        driver = ModelDriver(at, clock, cluster=self._cluster)
        engine = CassandraEngine(at, clock=clock, ids=ids, gate=self._gate.pass_through, driver=driver)
        await engine.start()
        return engine

    @property
    def can_crash(self) -> bool:
        return True

    async def crash(self, engine: Engine) -> None:
        assert isinstance(engine, CassandraEngine)
        assert isinstance(engine.driver, ModelDriver)
        engine.driver.is_dead = True
        await engine.close()

    def hold(self, engine: Engine, commit_id: CommitId) -> Hold:
        return self._gate.hold(commit_id)
