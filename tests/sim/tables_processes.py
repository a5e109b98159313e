"""Processes that serve tables in a simulation, and callers who ask until they are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from tenet.base.clock import Clock
from tenet.base.errors import TenetError
from tenet.base.ids import Ids
from tenet.store.contract import Store
from tenet.store.errors import OutcomeUnknown, StoreError, StoreUnavailable
from tenet.tables.api import Caller, Tables
from tests.sim.harness import Node, Simulation

ACCOUNT = "0" * 12
READ_S_MAX = 5.0


async def opened(store: Store, clock: Clock, ids: Ids, **options: Any) -> Tables:
    """A service that opened in the end.

    Args:
        store: what it works on.
        clock: its time.
        ids: its randomness.
        options: what else ``Tables.open`` takes.
    """
    while True:
        try:
            return await Tables.open(store, clock=clock, ids=ids, **options)
        except StoreError:
            await asyncio.sleep(0.1)


class Process:
    """A node's service, which dies now and then and is started again.

    Args:
        node: what it runs on.
        options: what else ``Tables.open`` takes, every time.
    """

    def __init__(self, node: Node, **options: Any) -> None:
        self._node = node
        self._options = options
        self._tables: Tables | None = None
        self._starting = asyncio.Lock()

    async def tables(self) -> Tables:
        """The service, started where it does not run."""
        async with self._starting:
            if self._tables is None:
                node = self._node
                self._tables = await opened(node.store, node.clock, node.ids, **self._options)
            return self._tables

    async def die(self) -> None:
        """Ends everything that the service does, wherever it is."""
        tables, self._tables = self._tables, None
        if tables is not None:
            await tables.close()


def caller_of(sim: Simulation) -> Caller:
    """A caller who waits for ``READ_S_MAX``."""
    return Caller(ACCOUNT, deadline=sim.clock.monotonic_s() + READ_S_MAX)


def is_passing(error: TenetError) -> bool:
    """Whether a caller who is told this may ask again."""
    return error.retryable or error.code == "DeadlineExceeded"


async def asked(
    sim: Simulation, service: Callable[[], Awaitable[Tables]], operation: str, request: dict[str, Any]
) -> dict[str, Any]:
    """Asks for something of a stream, and again until there is an answer.

    Args:
        sim: for deadlines.
        service: whom to ask, each time.
        operation: its name.
        request: its parameters.

    Raises:
        TenetError: a refusal that would come again.
    """
    while True:
        tables = await service()
        try:
            answer: dict[str, Any] = orjson.loads(await tables.call_streams(operation, request, caller_of(sim)))
        except (StoreUnavailable, OutcomeUnknown):
            await asyncio.sleep(0.05)
        except TenetError as error:
            if not is_passing(error):
                raise
        else:
            return answer
