"""What happens to a table while its status is CREATING, UPDATING or DELETING.

The operation that begins a transition commits the status and nothing else. Everything after it is idempotent and done
by whoever gets to it: the process that began, or, when that one died, any process that finds the table in the catalog.
Spaces are made after the description is stored and dropped before it is removed, so that a crash at any point leaves
nothing that nobody finds.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import structlog

from tenet.base.errors import TenetError
from tenet.store.contract import SpaceOptions
from tenet.tables import keys
from tenet.tables.rules.table_update import end_transition

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.contract import Store
    from tenet.tables.model import Table
    from tenet.tables.ops.catalog import Catalog

#: How long the operation that begins a transition waits for its end before it answers.
WAIT_S: Final = 0.5
#: How often the catalog is looked through for transitions whose process died, and how long a failed step rests.
LOOK_S: Final = 30.0
RETRY_S: Final = 1.0

_log = structlog.get_logger(__name__)


class Lifecycle:
    """Carries tables through their transitions.

    Args:
        catalog: where their descriptions are.
        store: where their spaces are.
        clock: time.
        transition_ms: how long a transition takes at the least, milliseconds. With 0 it is usually over before the
            operation that began it is answered.
    """

    def __init__(self, catalog: Catalog, store: Store, *, clock: Clock, transition_ms: int = 0) -> None:
        self._catalog = catalog
        self._store = store
        self._clock = clock
        self._transition_ms = transition_ms
        self._tasks: dict[str, asyncio.Task[None]] = {}
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
        task = self._tasks.get(table.id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._carry(table))
            self._tasks[table.id] = task
            task.add_done_callback(lambda _: self._tasks.pop(table.id, None))
        return task

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._look()
            except TenetError as error:
                _log.warning("the catalog could not be looked through", error=error.code, reason=error.message)

    async def _look(self) -> None:
        last = None
        while page := await self._catalog.everything(last):
            last = page[-1]
            for table in page:
                if table.status != "ACTIVE":
                    _ = self._take_up(table)

    async def _carry(self, table: Table) -> None:
        """Carries a table to the end of all its transitions."""
        current: Table | None = table
        while current is not None and current.status != "ACTIVE":
            try:
                await asyncio.sleep(max(0, current.status_until_ms - self._clock.wall_ms()) / 1000)
                current = await self._finish(current)
            except TenetError as error:
                _log.warning(
                    "a table's transition will be tried again",
                    table=table.name,
                    status=table.status,
                    error=error.code,
                    reason=error.message,
                )
                await asyncio.sleep(RETRY_S)

    async def _finish(self, table: Table) -> Table | None:
        """Does the work of one transition and commits its end; returns what became of the table."""
        if table.status == "CREATING":
            for space in keys.spaces(table):
                await self._store.ensure_space(space, SpaceOptions())
        elif table.status == "DELETING":
            for space in keys.spaces(table):
                await self._store.drop_space(space)

        def decide(now: Table | None) -> Table | None:
            if now is None or now.id != table.id or now.revision != table.revision:
                return now
            return end_transition(now)

        after = await self._catalog.change(table.account, table.name, decide)
        return after if after is not None and after.id == table.id else None
