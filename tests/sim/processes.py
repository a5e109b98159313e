"""Simulated processes on one loop that can be killed and frozen, each with everything that it has begun.

Whatever a process begins belongs to it: the tasks that it makes, and those that they make (a context variable follows
them). A frozen one makes no step, while timers and deadlines pass, as under SIGSTOP; a killed one never makes another.
What it has sent is under way all the same: commits that land late land.
"""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")

_process: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)
#: Sent by a process, and on its way without it.
_UNDER_WAY = ("Faulty._commit_late", "Faulty._come_back")


class Process:
    """One process. Made on a loop that ``install`` was called for."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()
        self._gates: list[asyncio.Future[None]] | None = None
        self._context = contextvars.copy_context()
        self._context.run(_process.set, self)

    def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """Calls something as this process."""
        return self._context.copy().run(call, *arguments)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts a task of this process."""
        return self.run(asyncio.get_running_loop().create_task, work)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts a task of this process that nobody waits for."""
        self.start(work).add_done_callback(_look_at)

    def freeze(self) -> None:
        """Makes no step from now on."""
        self._gates = self._gates if self._gates is not None else []

    def thaw(self) -> None:
        """Goes on."""
        gates, self._gates = self._gates or [], None
        for gate in gates:
            if not gate.done():
                gate.set_result(None)

    def kill(self) -> None:
        """Ends all tasks. What they do about it must reach nobody: whoever calls has cut them off."""
        self.thaw()
        for task in tuple(self.tasks):
            task.cancel()

    async def drive(self, work: Coroutine[Any, Any, T]) -> T:
        """Drives a coroutine, and holds it while the process is frozen."""
        return await self._step(work)

    @types.coroutine
    def _step(self, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        value: Any = None
        error: BaseException | None = None
        while True:
            while self._gates is not None:
                gate = asyncio.get_running_loop().create_future()
                self._gates.append(gate)
                try:
                    yield from gate
                except asyncio.CancelledError as cancelled:
                    error = cancelled
            try:
                waits_for = work.send(value) if error is None else work.throw(error)
            except StopIteration as stop:
                result: T = stop.value
                return result
            value, error = None, None
            try:
                value = yield waits_for
            except GeneratorExit:
                work.close()
                raise
            except BaseException as thrown:  # noqa: BLE001 - whatever it is, it is for the coroutine
                error = thrown


def _look_at(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.result()


def install(loop: asyncio.AbstractEventLoop) -> None:
    """Lets tasks that are made on a loop belong to the process that makes them."""

    def make(on: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        process = _process.get()
        if process is None or getattr(work, "__qualname__", "") in _UNDER_WAY:
            return asyncio.Task(work, loop=on, **options)
        task: asyncio.Task[Any] = asyncio.Task(process.drive(work), loop=on, **options)
        process.tasks.add(task)
        task.add_done_callback(process.tasks.discard)
        task.add_done_callback(lambda _: work.close())  # ended before its first step, perhaps
        return task

    loop.set_task_factory(make)
