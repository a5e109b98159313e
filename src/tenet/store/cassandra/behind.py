"""What goes on behind answers: nobody waits for it, and whoever needs what it left undone does it again."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Behind:
    """Tasks whose failures are no loss."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def go(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts a task."""
        _ = self.begin(work)

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Starts a task, and returns it for who wants to know when it is over."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._is_over)
        return task

    def _is_over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # It was looked at.

    async def is_quiet(self) -> None:
        """Waits until nothing goes on."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def cancel(self) -> None:
        """Ends whatever goes on."""
        for task in tuple(self._tasks):
            task.cancel()
        await self.is_quiet()
