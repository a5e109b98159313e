"""What a request asks of the store: an engine that counts it, for each request by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tenet.store.contract import Capabilities, Commit, Engine

ROUND_TRIPS = {"get", "query", "scan", "read_together", "commit", "settle", "read_log", "discard"}

#: The tally of the request that a task works for; tasks that the service had before have none.
_tally: ContextVar[Tally | None] = ContextVar("_tally", default=None)


class Tally:
    """What went to the store for one request."""

    def __init__(self) -> None:
        self.trips: Counter[str] = Counter()
        self.writes: list[int] = []
        self.records_read = 0


class Counting:
    """An engine that counts what is asked of it for the sake of a request.

    Args:
        engine: the engine.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def capabilities(self) -> Capabilities:
        return self._engine.capabilities

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._engine, name)
        return self._counted(name, method) if name in ROUND_TRIPS else method

    def _counted(self, name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any, **options: Any) -> Any:
            tally = _tally.get()
            if tally is not None:
                tally.trips[name] += 1
                if arguments and isinstance(arguments[0], Commit):
                    tally.writes.append(len(arguments[0].writes))
            result = await method(*arguments, **options)
            if tally is not None and name in {"query", "scan"}:
                tally.records_read += len(result.records)
            return result

        return call


@contextmanager
def tallied() -> Iterator[Tally]:
    """Counts what goes to the store for the sake of a block, and of the tasks that are begun in it."""
    tally = Tally()
    reset = _tally.set(tally)
    try:
        yield tally
    finally:
        _tally.reset(reset)
