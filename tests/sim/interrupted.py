"""A store as a process sees it that is killed, or stopped for a while, at one of its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tenet.store.contract import Capabilities, Commit, Engine, Key, Watch

#: Calls that a process which is stopped does not make.
CALLS = frozenset({"get", "commit", "settle", "read_log", "query", "scan", "read_together"})
#: Says whether a call counts, by its name and the spaces that it is about.
Counts = Callable[[str, set[str]], bool]


class Interrupted:
    """Passes every call on, until one of them is where the process stops.

    Args:
        engine: the store.
        at: the call at which it stops, from 1.
        counts: which calls are counted.
        is_before: whether it stops before the call has reached the store, or before its answer is seen.
        pause_s: for how long; None for good, as ``kill -9`` would have it.
    """

    def __init__(self, engine: Engine, at: int, counts: Counts, *, is_before: bool, pause_s: float | None) -> None:
        self._engine = engine
        self._at = at
        self._counts = counts
        self._is_before = is_before
        self._pause_s = pause_s
        self._calls = 0
        self._runs = asyncio.Event()
        self._runs.set()
        #: Set once it has stopped.
        self.stopped = asyncio.Event()

    @property
    def capabilities(self) -> Capabilities:
        return self._engine.capabilities

    def watch(self, space: str, partition: bytes | None = None) -> Watch:
        return self._engine.watch(space, partition)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._engine, name)
        return self._passed_on(name, method) if name in CALLS else method

    def _passed_on(self, name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any, **options: Any) -> Any:
            # A process that is stopped makes no call and sees no answer. What it was about to send may come very late.
            if not self._runs.is_set():
                options.pop("deadline", None)
                await self._runs.wait()
            is_counted = self._counts(name, _spaces(arguments[0]))
            self._calls += is_counted
            is_here = is_counted and self._calls == self._at
            if is_here and self._is_before:
                options.pop("deadline", None)
                await self._stop()
            answer = await method(*arguments, **options)
            if is_here and not self._is_before:
                await self._stop()
            await self._runs.wait()
            return answer

        return call

    async def _stop(self) -> None:
        self._runs.clear()
        self.stopped.set()
        if self._pause_s is None:
            await asyncio.get_running_loop().create_future()
        else:
            await asyncio.sleep(self._pause_s)
            self._runs.set()


def _spaces(about: Any) -> set[str]:
    """Returns the spaces that the first argument of a call names."""
    if isinstance(about, str):
        return {about}
    if isinstance(about, Commit):
        return {one.key.space for one in (*about.writes, *about.appends)}
    return {one.space for one in about if isinstance(one, Key)}
