"""All keepers of this process: one for each shard of each table's log that is this process's to follow.

Which those are, an ``Assignment`` says; it is asked once a second, and at once when the application says that it has
changed (``reassign``). Were two processes to follow one shard, nothing would be lost but their time: the cursor lets
one of them get on. On an engine where commits over partitions are cheap there is nothing to keep, and nothing runs.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import structlog
from msgspec import Struct

from tenet.base.errors import TenetError
from tenet.store.contract import log_shard
from tenet.tables import keys
from tenet.tables.ops.indexing.keeper import Keeper, Tools
from tenet.tables.ops.indexing.measures import Delays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.mesh.shares import Assignment
    from tenet.store.contract import Store
    from tenet.store.expiry import ExpiryIndex
    from tenet.tables.model import Index, Table
    from tenet.tables.ops.catalog import Catalog

#: So many commits of all keepers are under way at a time.
COMMITS_MAX: Final = 64
#: How often the assignment is asked, and how often the catalog is looked through where no hint came, seconds.
ASSIGN_S: Final = 1.0
LOOK_S: Final = 10.0
#: The catalog is looked through for at most one part in so many of the time.
_DUTY: Final = 20
#: A log that nobody hints at is looked at every two seconds, or less often: all of them together so often a second.
_POLL_S: Final = 2.0
_POLLS_PER_S: Final = 50
#: How long a keeper may take to end in peace, seconds.
_STOP_S: Final = 2.0
#: How often the catalog is looked through at the most, seconds.
_LOOK_S_MIN: Final = 0.05

_log = structlog.get_logger(__name__)


class Shares:
    """The assignment of a process that has some of so many equal shares of all jobs.

    Jobs come and go with tables; shares stay, so that a lease for each of them is enough.

    Args:
        count: how many shares there are, the same for all processes.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._held: set[int] = set()

    def take(self, share: int) -> None:
        """Says that a share, from 0, is this process's from now on."""
        self._held.add(share)

    def leave(self, share: int) -> None:
        """Says that a share is this process's no longer."""
        self._held.discard(share)

    def owns(self, job: str) -> bool:
        """Whether a job lies in one of this process's shares."""
        return log_shard(job.encode(), self._count) in self._held


class Lag(Struct, frozen=True):
    """How far an index is behind, as far as the keepers of this process know.

    Args:
        table: its table.
        index: the index.
        lag_ms: how old the oldest change is that is not in it yet, milliseconds.
        written: how many entries were written to it since the process began.
    """

    table: Table
    index: Index
    lag_ms: int
    written: int


def job_name(table: Table, shard: int) -> str:
    """Returns the name of the job that follows a shard of a table's log."""
    return f"tables.indexes/{table.id}/{shard}"


class _Working:
    """A keeper at work."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.task = asyncio.get_running_loop().create_task(keeper.run())

    async def end(self) -> None:
        """Lets it end in peace, or ends it."""
        self.keeper.stop()
        _, late = await asyncio.wait((self.task,), timeout=_STOP_S)
        for task in late:
            task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def report(self, name: str) -> None:
        """Says why it ended, where that was a fault of its own."""
        if not self.task.cancelled() and self.task.exception() is not None:
            _log.error("a keeper of indexes failed", job=name, exc_info=self.task.exception())


class Keepers:
    """The keepers of this process.

    Args:
        store: the store.
        catalog: where tables are found.
        clock: time.
        ids: for commit ids.
        expiry: where it is noted that marks expire.
        assignment: which shards are this process's.
    """

    def __init__(
        self, store: Store, catalog: Catalog, *, clock: Clock, ids: Ids, expiry: ExpiryIndex, assignment: Assignment
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._clock = clock
        self._assignment = assignment
        self._tools = Tools(store, clock, ids, expiry, asyncio.Semaphore(COMMITS_MAX), Delays(), catalog)
        #: Every shard of every log that is kept for indexes, by the name of its job.
        self._jobs: dict[str, tuple[Table, int]] = {}
        self._working: dict[str, _Working] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        #: By TableId: who wakes its keepers, and these.
        self._ringing: dict[str, asyncio.Task[None]] = {}
        self._of_table: dict[str, list[Keeper]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()
        self._look_at_s = self._look_not_before_s = 0.0

    @property
    def delays(self) -> Delays:
        """How late entries were."""
        return self._tools.delays

    def open(self) -> None:
        """Begins to keep indexes in the background."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._tend()), loop.create_task(self._listen())]

    async def close(self) -> None:
        """Ends every keeper; what is unfinished is taken up by whoever comes next."""
        for task in self._tasks:
            await _ended(task)
        await asyncio.gather(*(working.end() for working in self._working.values()), *self._ending.values())
        self._working.clear()
        for task in self._ringing.values():
            await _ended(task)

    def jobs(self) -> Sequence[str]:
        """Returns the names of all jobs that there are, this process's or not, as the last look found them."""
        return sorted(self._jobs)

    def reassign(self) -> None:
        """Says that the assignment has changed."""
        self._wake.set()

    def look_again(self) -> None:
        """Says that tables have come or gone."""
        self._look_at_s = 0.0
        self._wake.set()

    def lags(self) -> Sequence[Lag]:
        """Returns how far the indexes are behind that this process keeps, those most behind first."""
        now_ms = self._clock.wall_ms()
        found: dict[str, Lag] = {}
        for working in self._working.values():
            table, progress = working.keeper.table, working.keeper.progress
            for index in table.global_indexes:
                space = keys.index_space(table.id, index.number)
                before = found.get(space)
                lag_ms, written = progress.lag_ms(space, now_ms), progress.written.get(space, 0)
                if before is not None:
                    lag_ms, written = max(lag_ms, before.lag_ms), written + before.written
                found[space] = Lag(table, index, lag_ms, written)
        return sorted(found.values(), key=lambda lag: (-lag.lag_ms, lag.table.id, lag.index.number))

    # ---- who does what -----------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        watch = self._store.watch(keys.CATALOG_SPACE)
        try:
            while True:
                if await watch.wait(LOOK_S):
                    self.look_again()
        finally:
            watch.close()

    async def _tend(self) -> None:
        while True:
            wait_s = ASSIGN_S
            now_s = self._clock.monotonic_s()
            if now_s >= self._look_at_s:
                if now_s >= self._look_not_before_s:
                    await self._try_to_look()
                else:
                    wait_s = min(wait_s, self._look_not_before_s - now_s)
            self._assign()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            self._wake.clear()

    async def _try_to_look(self) -> None:
        begun_s = self._clock.monotonic_s()
        # Set before the look, so that a hint that comes meanwhile is not forgotten.
        self._look_at_s = begun_s + LOOK_S
        try:
            self._jobs = await self._look()
        except TenetError as error:
            _log.warning("the tables whose indexes are kept were not looked up", error=error.code, reason=error.message)
            self._look_at_s = min(self._look_at_s, begun_s + ASSIGN_S)
        now_s = self._clock.monotonic_s()
        self._look_not_before_s = now_s + max(_LOOK_S_MIN, (now_s - begun_s) * _DUTY)

    async def _look(self) -> dict[str, tuple[Table, int]]:
        """Returns all jobs, by name."""
        spaces = {info.name: info for info in await self._store.list_spaces(keys.TABLE_SPACES)}
        jobs: dict[str, tuple[Table, int]] = {}
        last = None
        while page := await self._catalog.everything(last):
            last = page[-1]
            for table in page:
                info = spaces.get(table.space)
                if info is None or info.options.log is None or table.status not in {"ACTIVE", "UPDATING"}:
                    continue
                for shard in range(info.options.log.shards if table.has_log_for_indexes else 0):
                    jobs[job_name(table, shard)] = (table, shard)
            await asyncio.sleep(0)
        return jobs

    def _assign(self) -> None:
        """Starts and ends keepers, so that those run that are to."""
        wanted = {name: job for name, job in self._jobs.items() if self._assignment.owns(name)}
        for name in [name for name in self._working if name not in wanted]:
            self._end(name)
        for name, (table, shard) in wanted.items():
            working = self._working.get(name)
            if working is not None and not working.task.done():
                working.keeper.renew(table)
            elif name not in self._ending:
                if working is not None:
                    working.report(name)
                self._working[name] = _Working(Keeper(table, shard, self._tools))
        self._ring_for({table.id: table for table, _ in wanted.values()})

    def _end(self, name: str) -> None:
        task = asyncio.get_running_loop().create_task(self._working.pop(name).end())
        self._ending[name] = task
        task.add_done_callback(lambda _: self._ending.pop(name, None))
        task.add_done_callback(lambda _: self._wake.set())

    def _ring_for(self, tables: dict[str, Table]) -> None:
        """Sees to it that the keepers of these tables are woken, and nobody else."""
        self._of_table = {}
        for working in self._working.values():
            self._of_table.setdefault(working.keeper.table.id, []).append(working.keeper)
        for table_id in [one for one in self._ringing if one not in tables]:
            self._ringing.pop(table_id).cancel()
        for table_id, table in tables.items():
            if table_id not in self._ringing:
                self._ringing[table_id] = asyncio.get_running_loop().create_task(self._ring(table))

    async def _ring(self, table: Table) -> None:
        """Wakes the keepers of a table: at once when somebody has written, and now and then as hints may be lost."""
        watch = self._store.watch(table.space)
        try:
            while True:
                is_hint = await watch.wait(max(_POLL_S, len(self._working) / _POLLS_PER_S))
                for keeper in self._of_table.get(table.id, ()):
                    keeper.ring(is_hint=is_hint)
        finally:
            watch.close()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
