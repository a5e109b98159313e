"""What is left of deleted queues: their messages, and what is known of their message movement tasks.

A queue is deleted by one commit, which leaves a note of what remains. That is taken away at once where the store can
serve, else as soon as it can, or at the next start.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from tenet.base.errors import TenetError
from tenet.queues import keys

if TYPE_CHECKING:
    from tenet.queues.model import Queue
    from tenet.queues.ops.catalog import Catalog
    from tenet.queues.ops.mover import Mover
    from tenet.queues.ops.owning.owners import Owners
    from tenet.store.contract import Store

#: How long it waits while the store cannot serve, seconds; twice as long each time.
_PAUSE_S_MIN: Final = 1.0
_PAUSE_S_MAX: Final = 60.0

_log = structlog.get_logger(__name__)


class Remains:
    """Takes away what is left of deleted queues.

    Args:
        store: where it is.
        catalog: has notes of it.
        owners: may have queues in memory.
        mover: may be moving their messages.
    """

    def __init__(self, store: Store, catalog: Catalog, owners: Owners, mover: Mover) -> None:
        self._store = store
        self._catalog = catalog
        self._owners = owners
        self._mover = mover
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Takes away what an earlier process has left."""
        while remains := await self._catalog.remains():
            for account, queue_id in remains:
                await self._mover.forget(queue_id)
                await self._store.discard(keys.MESSAGES_SPACE, queue_id)
                await self._catalog.gone(account, queue_id)

    async def close(self) -> None:
        """Stops; the next start goes on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def remove(self, queue: Queue) -> None:
        """Takes away what is left of a queue; in the background where the store cannot serve now."""
        try:
            await self._remove(queue)
        except TenetError as error:
            _log.warning("messages of a deleted queue are still there", queue=queue.name, reason=error.message)
            task = asyncio.get_running_loop().create_task(self._remove_in_time(queue))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _remove(self, queue: Queue) -> None:
        await self._mover.forget(queue.id)
        await self._owners.forget(queue)
        await self._catalog.gone(queue.account, queue.id)

    async def _remove_in_time(self, queue: Queue) -> None:
        pause_s = _PAUSE_S_MIN
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self._remove(queue)
            except TenetError:
                pause_s = min(2 * pause_s, _PAUSE_S_MAX)
            else:
                return
