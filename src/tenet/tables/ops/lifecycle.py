"""What happens to a table while its status is CREATING, UPDATING or DELETING.

The operation that begins a transition commits the status and nothing else. Everything after it is idempotent and done
by whoever gets to it: the process that began, or, when that one died, any process that finds the table in the catalog.
Spaces are made after the description is stored and dropped before it is removed, so that a crash at any point leaves
nothing that nobody finds. The one exception is the space of a table whose streams outlive it: the commit that removes
the description says that it is left (``ops/departed``).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING, Final

import structlog

from tenet.base.errors import TenetError
from tenet.store.cached import STALE_S
from tenet.tables import keys
from tenet.tables.ops.stream_switching import Streams
from tenet.tables.ops.table_logs import TableLogs
from tenet.tables.rules.index_log import LOG_SHARDS, space_options
from tenet.tables.rules.table_update import end_transition

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenet.base.clock import Clock
    from tenet.store.contract import SpaceInfo, SpaceOptions, Store
    from tenet.tables.model import Table
    from tenet.tables.ops.barrier import Barrier
    from tenet.tables.ops.catalog import Catalog
    from tenet.tables.ops.departed import DepartedTables

#: How long the operation that begins a transition waits for its end before it answers.
WAIT_S: Final = 0.5
#: How often the catalog is looked through for transitions whose process died, and how long a failed step rests.
LOOK_S: Final = 60.0
RETRY_S: Final = 1.0
_SCAN_LIMIT: Final = 1_000

_log = structlog.get_logger(__name__)


class Lifecycle:
    """Carries tables through their transitions.

    Args:
        catalog: where their descriptions are.
        store: where their spaces are.
        clock: time.
        departed: what is left of tables whose streams can still be read.
        barrier: tells when the requests have ended that had begun before a moment.
        transition_ms: how long a transition takes at the least, milliseconds. With 0 it is usually over before the
            operation that began it is answered.
        ended: called whenever a transition has ended here.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        *,
        clock: Clock,
        departed: DepartedTables,
        barrier: Barrier,
        transition_ms: int = 0,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._clock = clock
        self.departed = departed
        self._transition_ms = transition_ms
        #: Whether global indexes are kept from the log of their table's space.
        self._is_logging = not store.capabilities.cheap_commits_across_partitions
        self._ended = ended
        self.logs = TableLogs(catalog, store, clock=clock, is_logging=self._is_logging)
        self._streams = Streams(catalog, store, clock=clock, logs=self.logs, barrier=barrier)
        #: By TableId: the task that carries it, and a description that was handed in since it last looked.
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._handed: dict[str, Table] = {}
        self._looking: asyncio.Task[None] | None = None

    def until_ms(self) -> int:
        """Returns when a transition that begins now is over, for ``Table.status_until_ms``."""
        return self._clock.wall_ms() + self._transition_ms

    async def open(self) -> None:
        """Takes up the transitions that were left by a process that died, and looks for such ones from now on."""
        await self._look()
        self._looking = asyncio.get_running_loop().create_task(self._look_again())

    async def close(self) -> None:
        """Leaves off; what is unfinished is found in the catalog at the next start."""
        tasks = [*self._tasks.values(), *([self._looking] if self._looking else [])]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()

    async def begin(self, table: Table) -> None:
        """Carries a table through the transition that was just committed; returns soon, perhaps before it is over."""
        task = self._take_up(table)
        if self._transition_ms == 0:
            await asyncio.wait((task,), timeout=WAIT_S)

    def _take_up(self, table: Table) -> asyncio.Task[None]:
        """Sees to it that a table is carried on from here, by the task that carries it already or by a new one."""
        self._handed[table.id] = table
        task = self._tasks.get(table.id)
        if task is None or task.done():
            task = asyncio.get_running_loop().create_task(self._carry(table.id))
            self._tasks[table.id] = task
            task.add_done_callback(functools.partial(self._let_go, table.id))
        return task

    def _let_go(self, table_id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(table_id) is task:
            del self._tasks[table_id]
        if not task.cancelled() and task.exception() is not None:
            _log.error("a table's transition failed", table_id=table_id, exc_info=task.exception())

    async def _carry(self, table_id: str) -> None:
        """Carries a table to the end of all its transitions, those that begin meanwhile included."""
        while (table := self._handed.pop(table_id, None)) is not None:
            current: Table | None = table
            while current is not None and current.status != "ACTIVE":
                current = await self._step(current)

    async def _step(self, table: Table) -> Table | None:
        """Waits for the end of a transition and makes it; where the store cannot serve, the table is as it was."""
        try:
            await asyncio.sleep(max(0, table.status_until_ms - self._clock.wall_ms()) / 1000)
            return await self._finish(table)
        except TenetError as error:
            _log.warning(
                "a table's transition will be tried again",
                table=table.name,
                status=table.status,
                error=error.code,
                reason=error.message,
            )
            await asyncio.sleep(RETRY_S)
            return table

    async def _finish(self, table: Table) -> Table | None:
        """Does the work of one transition and commits its end; returns what became of the table."""
        if table.status == "DELETING":
            left = await self._streams.leave(table)
            if left is None:
                return None
            table = left
            await self._drop_spaces(table)
        else:
            await self._make_spaces(table)
            switched = await self._streams.switch(table)
            if switched is None or switched.id != table.id:
                return None
            if not _is_same_transition(table, switched):
                # Another process has ended this one meanwhile; what there is to do since then has not been done here.
                return switched
            table = switched

        def decide(now: Table | None) -> Table | None:
            if now is None or now.id != table.id or now.revision != table.revision:
                return now
            return end_transition(now)

        after = await self._catalog.change(table.account, table.name, decide)
        self._ended()
        if after is not None and after.id == table.id:
            await self._drop_lost(table, after)
            return after
        if table.status == "CREATING":
            # Others made, deleted and removed the table meanwhile; the spaces may be those that this call made again.
            await self._drop_spaces(table)
        elif table.streams:
            self.departed.empty(table)
            await self.departed.keep_few(table.account)
        return None

    async def _make_spaces(self, table: Table) -> None:
        """Makes the spaces that a table has at the end of its transition and may not have yet."""
        becomes = end_transition(table)
        assert becomes is not None
        wanted = keys.spaces(becomes) if table.status == "CREATING" else self._new_spaces(table, becomes)
        if wanted and table.status != "CREATING" and self._is_logging:
            # That of its items needs a log for them now.
            await self.logs.keep(table)
        for space in wanted:
            await self._store.ensure_space(space, self._options(becomes, space))

    def _new_spaces(self, before: Table, after: Table) -> list[str]:
        """Returns the spaces that an update makes: those of new indexes."""
        return [keys.space_of(after, index) for index in after.global_indexes if before.index(index.name) is None]

    async def _drop_lost(self, before: Table, after: Table) -> None:
        """Drops the spaces of indexes that a table has lost, when nobody writes to them any more.

        Should it be interrupted, they are found to be nobody's (``_look``).
        """
        lost = [space for space in keys.spaces(before) if space not in keys.spaces(after)]
        if lost and self._store.capabilities.remote:
            await asyncio.sleep(STALE_S)
        for space in lost:
            await self._store.drop_space(space)

    def _options(self, table: Table, space: str) -> SpaceOptions:
        return space_options(table, space, is_logging=self._is_logging, now_ms=self._clock.wall_ms())

    async def _drop_spaces(self, table: Table) -> None:
        """Drops the spaces of a table that goes; that of its items stays where it has streams, which outlive it."""
        for space in keys.spaces(table):
            if space != table.space or not table.streams:
                await self._store.drop_space(space)
        if self._is_logging and table.has_log_for_indexes:
            # Behind the spaces: whoever still follows the log has lost it by now, and makes no new cursor.
            for shard in range(LOG_SHARDS):
                await self._discard_cursor(keys.cursor_key(table.id, shard).partition)

    async def _discard_cursor(self, partition: bytes) -> None:
        await self._store.discard(keys.KEEPERS_SPACE, partition)

    # ---- what dead processes left ------------------------------------------------------------------------------------

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._look()
            except TenetError as error:
                _log.warning("the catalog could not be looked through", error=error.code, reason=error.message)

    async def _look(self) -> None:
        """Takes up every transition, and drops the spaces and cursors of tables that are gone."""
        # Spaces first: a space that exists now and whose table is not in the catalog later has lost it for good.
        spaces = {info.name: info for info in await self._store.list_spaces(keys.TABLE_SPACES)}
        cursors = await self._cursors() if self._is_logging else {}
        last = None
        while page := await self._catalog.everything(last):
            last = page[-1]
            for table in page:
                await self._give_log(table, spaces.get(table.space))
                for space in keys.spaces(table):
                    spaces.pop(space, None)
                cursors.pop(table.id, None)
                if table.status != "ACTIVE" and table.id not in self._tasks:
                    _ = self._take_up(table)
            await asyncio.sleep(0)
        # Behind the tables: one that was deleted meanwhile is seen here, if not there.
        await self.departed.look_after_all(spaces)
        for space in spaces:
            if keys.is_table_space(space):
                _log.info("a space without a table is dropped", space=space)
                await self._store.drop_space(space)
        for partitions in cursors.values():
            for partition in partitions:
                await self._discard_cursor(partition)

    async def _give_log(self, table: Table, info: SpaceInfo | None) -> None:
        """Sees to the log of a table, also where the table came here from an engine that needs none."""
        if info is None:
            return
        try:
            await self._streams.look_after(table, info)
        except TenetError as error:
            # The tables behind it are looked at all the same.
            _log.warning("a table's log was not looked after", table=table.name, error=error.code, reason=error.message)

    async def _cursors(self) -> dict[str, list[bytes]]:
        """Returns the partitions of all cursors, by TableId."""
        found: dict[str, list[bytes]] = {}
        after: tuple[bytes, bytes] | None = None
        more = True
        while more:
            page = await self._store.scan(keys.KEEPERS_SPACE, limit=_SCAN_LIMIT, after=after)
            for record in page.records:
                found.setdefault(keys.cursor_table(record.partition), []).append(record.partition)
                after = (record.partition, record.sort)
            more = page.more
        return found


def _is_same_transition(before: Table, now: Table) -> bool:
    """Tells whether a table is in the transition that it was in when it was looked at before."""
    of_before = (before.status, before.status_until_ms, before.pending)
    return of_before == (now.status, now.status_until_ms, now.pending)
