"""Background jobs: what has to go on somewhere, at one node at a time, as long as there is a node.

A service says which jobs it has (``Job``); a ``Supervisor`` on every node runs them. Among several nodes, each shard of
a job is given to one of the nodes that can do it, evenly, as every node works it out from the members' records; that
node takes the shard's lease, and runs it under it. When nodes come, go, or drain, shards move: the former holder stops
and releases, the next one takes. A node that dies leaves leases that can be taken as soon as membership knows. On a
node without others, the same supervisor runs everything at once, without leases.

A job that fails is started again, after a pause that grows as long as it keeps failing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from tenet.base.clock import NEVER, Clock
from tenet.base.dice import Dice
from tenet.base.errors import TenetError
from tenet.base.ids import Ids
from tenet.mesh.errors import LeaseLost
from tenet.mesh.fenced import FencedStore
from tenet.mesh.leases import Lease, Leases
from tenet.mesh.members import SPACE, View
from tenet.mesh.rendezvous import spread
from tenet.mesh.tasks import Tasks
from tenet.store.contract import Key, Store
from tenet.store.errors import StoreError

SHARDS_MAX: Final = 1_024
#: How often a node tries to take the lease of a shard that is its own, or to release one that is not, seconds.
_TRY_S: Final = 0.25
#: How long a job that failed rests, seconds; twice as long each time, until it has run for the longest rest.
_REST_S: Final = 0.1
_REST_MAX_S: Final = 30.0
#: How long a job rests that has returned.
_AGAIN_S: Final = 1.0
_ROLL: Final = 1_000

_log = structlog.get_logger(__name__)


class Tenure:
    """A shard of a job, as long as this node has it.

    Args:
        shard: which one, from 0.
        store: the store, through which every commit of a job that is fenced checks the lease, where there are others.
        lease: the shard's lease; None where there are no other nodes.
    """

    def __init__(self, shard: int, store: Store, lease: Lease | None) -> None:
        self.shard = shard
        self.store = store
        self.lease = lease

    @property
    def number(self) -> int:
        """A fencing token for what is outside the store: larger than that of every tenure before; 0 without others."""
        return 0 if self.lease is None else self.lease.number

    def is_held(self) -> bool:
        """Whether this node still has it, as far as it can know."""
        return self.lease is None or self.lease.is_held()


@dataclass(frozen=True)
class Job:
    """A background job.

    Args:
        name: unique among all jobs, for ever: 1 to 64 characters.
        run: does it, until it is cancelled. When it returns, or raises, it is called again after a while. What it does
            may be done again by the next holder, wherever it was cancelled.
        shards: into how many parts it is divided, each with a lease of its own: 1 to ``SHARDS_MAX``. Nodes that know it
            with fewer shards do only those.
        lease_key: where a shard's lease lies: in the partition that it guards, if it guards one. By default in a
            partition of its own, so that each fenced commit costs a check in one partition more.
        is_fenced: whether ``Tenure.store`` checks the lease in every commit. False for jobs that do no harm where
            several do the same at a time: their lease only keeps them from doing it in vain.
    """

    name: str
    run: Callable[[Tenure], Awaitable[None]]
    shards: int = 1
    lease_key: Callable[[int], Key] | None = None
    is_fenced: bool = True

    def key_of(self, shard: int) -> Key:
        """Returns where the lease of a shard lies."""
        return Key(SPACE, f"job/{self.name}/{shard}".encode()) if self.lease_key is None else self.lease_key(shard)


class Cluster(Protocol):
    """What a supervisor has to know of the other nodes; ``Membership`` provides it."""

    @property
    def node(self) -> str:
        """This node."""
        ...

    @property
    def view(self) -> View:
        """Who there is."""
        ...

    @property
    def sure_until_s(self) -> float:
        """Until when others cannot hold this node to be dead."""
        ...

    def on_change(self, listener: Callable[[], None]) -> None:
        """Calls the listener whenever one of these has changed."""
        ...

    async def declare(self, *, jobs: Mapping[str, int] | None = None) -> None:
        """Says which jobs this node can do."""
        ...


def assignments(view: View) -> dict[tuple[str, int], str]:
    """Returns which node each shard of each job is given to, by the jobs' names and the shards' numbers.

    The nodes that can do a job are those that say so and do not drain; those that drain, where there are no others.
    """
    able: dict[str, list[str]] = {}
    draining: dict[str, list[str]] = {}
    shards: dict[str, tuple[str, int]] = {}
    for node in sorted(view.up):
        member = view.members[node]
        for name, count in member.jobs.items():
            for shard in range(min(count, SHARDS_MAX)):
                text = f"{name}/{shard}"
                shards[text] = (name, shard)
                (draining if member.is_draining else able).setdefault(text, []).append(node)
    given = spread({text: able.get(text) or draining[text] for text in shards})
    return {shards[text]: node for text, node in given.items()}


@dataclass
class _Seat:
    """A shard of a job on this node: whether it should run here, and how it does."""

    job: Job
    shard: int
    is_wanted: bool = False
    #: Whether nobody knows if this node has its lease.
    is_doubtful: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    lease: Lease | None = None
    running: asyncio.Task[None] | None = None
    #: When the job was started last, how often it has failed since it went well, and until when it rests.
    started_s: float = 0.0
    failures: int = 0
    rests_until_s: float = -NEVER

    @property
    def name(self) -> tuple[str, int]:
        return self.job.name, self.shard


class Supervisor:
    """Runs the jobs of this node.

    Args:
        store: the store.
        clock: time.
        ids: for the pauses of jobs that fail.
        leases: this node's leases; None: there are no other nodes.
        cluster: the other nodes; None: there are none.
    """

    def __init__(
        self, store: Store, *, clock: Clock, ids: Ids, leases: Leases | None = None, cluster: Cluster | None = None
    ) -> None:
        assert (leases is None) == (cluster is None), "leases go with a cluster"
        self._store = store
        self._clock = clock
        self._dice = Dice(ids)
        self._leases = leases
        self._cluster = cluster
        self._jobs: dict[str, Job] = {}
        self._seats: dict[tuple[str, int], _Seat] = {}
        self._tasks = Tasks()
        #: Set when the other nodes are to be told which jobs this one can do.
        self._declared = asyncio.Event()
        self._is_started = False
        #: Which node each shard is given to.
        self._given: Mapping[tuple[str, int], str] = {}
        self._counts = {"started": 0, "failed": 0, "taken": 0, "lost": 0}
        if cluster is not None:
            cluster.on_change(self._look)

    @property
    def declared(self) -> Mapping[str, int]:
        """The jobs that this node can do, with the number of their shards, as members' records name them."""
        return {job.name: job.shards for job in self._jobs.values()}

    def figures(self) -> Mapping[str, int]:
        """What it did since it was made, and how many shards run here now, for metrics."""
        return {**self._counts, "running": len(self.running())}

    def running(self) -> list[tuple[str, int]]:
        """Returns the shards that run on this node now, by job and number."""
        return sorted(seat.name for seat in self._seats.values() if seat.running is not None)

    def place_of(self, name: str, shard: int) -> str | None:
        """Returns the node that a shard is given to; None: none that is known, or there are no others."""
        return self._given.get((name, shard))

    def is_known_to_all(self, name: str) -> bool:
        """Whether every node that is up knows a job, as far as this one knows; a former version may not."""
        if self._cluster is None:
            return True
        view = self._cluster.view
        return all(name in view.members[node].jobs for node in view.up)

    # ---- which jobs there are ----------------------------------------------------------------------------------------

    async def add(self, *jobs: Job) -> None:
        """Runs jobs from now on, or from ``start`` on; those of the same names take the place of former ones."""
        for job in jobs:
            assert 1 <= job.shards <= SHARDS_MAX, f"{job.name} has {job.shards} shards"
            await self._close_job(job.name)
            self._jobs[job.name] = job
            for shard in range(job.shards):
                self._seats[job.name, shard] = _Seat(job, shard)
        if self._is_started:
            self.start()

    async def remove(self, name: str) -> None:
        """Stops a job on this node, waits until it has ended, and says that it cannot do it any more."""
        await self._close_job(name)
        self._jobs.pop(name, None)
        self._declared.set()

    async def _close_job(self, name: str) -> None:
        seats = [seat.name for seat in self._seats.values() if seat.job.name == name]
        # Side by side: each gives its lease back, for which it waits for the store.
        await asyncio.gather(*map(self._tasks.stop, seats))
        for seat in seats:
            del self._seats[seat]

    def start(self) -> None:
        """Begins, once this node is a member where there are others; safe to repeat."""
        self._is_started = True
        for seat in self._seats.values():
            self._tasks.start(seat.name, self._keep(seat))
        if self._cluster is not None:
            self._declared.set()
            self._tasks.start("declare", self._declare(self._cluster))
        self._look()

    async def close(self) -> None:
        """Stops all jobs and gives their leases back."""
        self._is_started = False
        await self._tasks.close()

    async def _declare(self, cluster: Cluster) -> None:
        """Tells the other nodes which jobs this one can do, whenever that has changed."""
        while True:
            await self._declared.wait()
            self._declared.clear()
            try:
                await cluster.declare(jobs=self.declared)
            except StoreError as error:
                _log.info("jobs are not declared yet", reason=error.message)
                self._declared.set()
                await asyncio.sleep(_TRY_S)

    def _look(self) -> None:
        """Finds out which shards are this node's now."""
        if not self._is_started:
            return
        given = None if self._cluster is None else assignments(self._cluster.view)
        self._given = given or {}
        for seat in self._seats.values():
            seat.is_wanted = given is None or (self._cluster is not None and given.get(seat.name) == self._cluster.node)
            seat.wake.set()

    # ---- one shard ---------------------------------------------------------------------------------------------------

    async def _keep(self, seat: _Seat) -> None:
        """Runs a shard while it is this node's, until it is cancelled."""
        try:
            while True:
                seat.wake.clear()
                if not seat.is_wanted:
                    pause_s = await self._leave(seat)
                elif await self._may_run(seat):
                    pause_s = self._go_on(seat)
                else:
                    await self._halt(seat)
                    pause_s = _TRY_S
                await _wait(seat, pause_s)
        finally:
            await self._leave(seat)

    async def _leave(self, seat: _Seat) -> float:
        """Stops a shard and gives its lease back; returns after how long to look again."""
        await self._halt(seat)
        if self._leases is None or (seat.lease is None and not seat.is_doubtful):
            return NEVER
        seat.lease, seat.is_doubtful = None, True
        try:
            await self._leases.release(seat.job.key_of(seat.shard))
        except StoreError as error:
            _log.info("a lease is not given back yet", job=seat.job.name, shard=seat.shard, reason=error.message)
            return _TRY_S
        seat.is_doubtful = False
        return NEVER

    async def _may_run(self, seat: _Seat) -> bool:
        """Takes the lease of a shard where this node does not have it; returns whether the shard may run now."""
        if self._leases is None:
            return True
        if seat.lease is not None and seat.lease.is_lost:
            self._counts["lost"] += 1
            seat.lease = None
            await self._halt(seat)
        if seat.lease is None:
            seat.is_doubtful = True
            try:
                seat.lease = await self._leases.take(seat.job.key_of(seat.shard))
            except StoreError as error:
                _log.info("a lease is not taken yet", job=seat.job.name, shard=seat.shard, reason=error.message)
                return False
            seat.is_doubtful = False
            if seat.lease is None:
                return False
            self._counts["taken"] += 1
            seat.lease.on_loss(seat.wake.set)
        return seat.lease.is_held()

    def _go_on(self, seat: _Seat) -> float:
        """Starts a shard that does not run; returns after how long to look again."""
        if seat.running is None:
            rest_s = seat.rests_until_s - self._clock.monotonic_s()
            if rest_s > 0:
                return rest_s
            store = self._store
            if seat.lease is not None and seat.job.is_fenced:
                store = FencedStore(self._store, seat.lease)
            tenure = Tenure(seat.shard, store, seat.lease)
            seat.started_s = self._clock.monotonic_s()
            seat.running = asyncio.get_running_loop().create_task(_call(seat.job, tenure))
            seat.running.add_done_callback(lambda ended: self._note_end(seat, ended))
            self._counts["started"] += 1
        return NEVER

    async def _halt(self, seat: _Seat) -> None:
        running = seat.running
        if running is not None:
            running.cancel()
            await asyncio.wait((running,))

    def _note_end(self, seat: _Seat, ended: asyncio.Task[None]) -> None:
        """Takes note that a job ended, by itself or by a mistake, and when to start it again."""
        seat.running = None
        seat.wake.set()
        if ended.cancelled():
            return
        now_s, error = self._clock.monotonic_s(), ended.exception()
        if error is None or now_s - seat.started_s > _REST_MAX_S:
            seat.failures = 0
        if error is None or isinstance(error, LeaseLost):
            seat.rests_until_s = now_s + _AGAIN_S
            return
        self._counts["failed"] += 1
        pause_s = min(_REST_MAX_S, _REST_S * 2.0**seat.failures)
        seat.failures += 1
        seat.rests_until_s = now_s + pause_s * (1 + self._dice.below(_ROLL) / _ROLL) / 2
        _log.warning(
            "a background job failed",
            job=seat.job.name,
            shard=seat.shard,
            failures=seat.failures,
            reason=error.message if isinstance(error, TenetError) else repr(error),
            exc_info=None if isinstance(error, TenetError) else error,
        )


async def _call(job: Job, tenure: Tenure) -> None:
    await job.run(tenure)


async def _wait(seat: _Seat, pause_s: float) -> None:
    """Waits until something has changed for a shard, at most for so long."""
    if pause_s == NEVER:
        await seat.wake.wait()
        return
    try:
        async with asyncio.timeout(pause_s):
            await seat.wake.wait()
    except TimeoutError:
        pass
