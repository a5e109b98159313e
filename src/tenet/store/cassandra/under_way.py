"""Work that goes on to its end although nobody may wait for it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from tenet.base.clock import NEVER
from tenet.store.cassandra.waits import Waits

T = TypeVar("T")


class UnderWay(Generic[T]):
    """What was begun and has not ended."""

    def __init__(self) -> None:
        #: Each with what wakes up who waits for it.
        self._tasks: dict[asyncio.Task[T], asyncio.Future[None]] = {}
        self._waits = Waits()

    def __len__(self) -> int:
        return len(self._tasks)

    async def run(self, work: Coroutine[Any, Any, T], timeout_s: float) -> asyncio.Task[T]:
        """Begins something and waits for it; it goes on where that takes too long, or who waits is cancelled.

        ``asyncio.wait`` does as much for any number of tasks, and takes as many steps for one of them.

        Args:
            work: what to do.
            timeout_s: how long to wait, seconds; ``NEVER`` for as long as it takes.

        Returns:
            The task, which is done unless the time has passed.
        """
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)
        over = self._tasks[task] = loop.create_future()
        task.add_done_callback(self._is_over)
        wait = self._waits.begin(timeout_s, begun=NEVER)
        try:
            await over
        except asyncio.CancelledError:
            if not wait.was_ended():
                raise
        finally:
            self._waits.close(wait)
        return task

    def _is_over(self, task: asyncio.Task[T]) -> None:
        over = self._tasks.pop(task)
        if not over.done():
            over.set_result(None)

    async def is_quiet(self) -> None:
        """Waits until nothing is under way."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))
