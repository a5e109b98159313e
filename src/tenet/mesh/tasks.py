"""Tasks of the background that end with their owner, and whose mistakes are not lost."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Hashable
from typing import Any

import structlog

_log = structlog.get_logger(__name__)


class Tasks:
    """The tasks of one owner, at most one under each name."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}

    def start(self, name: Hashable, work: Coroutine[Any, Any, None]) -> None:
        """Starts a task, unless one of that name runs."""
        running = self._tasks.get(name)
        if running is not None and not running.done():
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[name] = task
        task.add_done_callback(lambda ended: self._end(name, ended))

    def _end(self, name: Hashable, ended: asyncio.Task[None]) -> None:
        if self._tasks.get(name) is ended:
            del self._tasks[name]
        if not ended.cancelled() and ended.exception() is not None:
            _log.error("a task of the background failed", task=str(name), exc_info=ended.exception())

    async def stop(self, name: Hashable) -> None:
        """Cancels the task of that name, if there is one, and waits until it has ended."""
        task = self._tasks.get(name)
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    async def close(self) -> None:
        """Cancels all of them, and waits until they have ended."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
