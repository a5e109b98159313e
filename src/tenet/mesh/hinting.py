"""A store whose commits wake watches on other nodes, and whose watches are woken by theirs."""

from __future__ import annotations

import asyncio

from tenet.base.clock import NEVER
from tenet.mesh.hints import Hints, Place
from tenet.store.contract import (
    Capabilities,
    Commit,
    Conflict,
    Engine,
    NeverCommitted,
    Outcome,
    Settled,
    Watch,
)


class HintingStore:
    """Passes everything on to an engine, tells other nodes what was committed, and adds their hints to its watches.

    Args:
        engine: the engine.
        hints: how other nodes are told, and tell.
    """

    def __init__(self, engine: Engine, hints: Hints) -> None:
        self._engine = engine
        self._hints = hints
        # What is passed on as it is costs nothing that way.
        self.ensure_space = engine.ensure_space
        self.drop_space = engine.drop_space
        self.list_spaces = engine.list_spaces
        self.get = engine.get
        self.query = engine.query
        self.scan = engine.scan
        self.read_together = engine.read_together
        self.read_log = engine.read_log
        self.discard = engine.discard
        self.health = engine.health

    @property
    def capabilities(self) -> Capabilities:
        """Those of the engine."""
        return self._engine.capabilities

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        """Commits; what may have taken effect is told. See ``Store``."""
        outcome = await self._engine.commit(commit, deadline=deadline)
        if not isinstance(outcome, Conflict):
            self._hints.committed(commit)
        return outcome

    async def settle(self, commit: Commit, *, deadline: float = NEVER) -> Settled:
        """Settles; what took effect is told. See ``Store``."""
        settled = await self._engine.settle(commit, deadline=deadline)
        if not isinstance(settled, NeverCommitted):
            self._hints.committed(commit)
        return settled

    def watch(self, space: str, partition: bytes | None = None) -> Watch:
        """Watches a place on all nodes. See ``Store``."""
        return _MeshWatch(self._engine.watch(space, partition), self._hints.watch(space, partition), self._hints)

    async def close(self) -> None:
        """Ends the hints, and closes the engine."""
        await self._hints.close()
        await self._engine.close()


class _MeshWatch:
    """A watch that is woken by the engine, or by another node."""

    def __init__(self, local: Watch, place: Place, hints: Hints) -> None:
        self._local = local
        self._place = place
        self._hints = hints

    async def wait(self, timeout_s: float) -> bool:
        """Waits for the next hint, at most `timeout_s` seconds; returns whether one came."""
        loop, event = asyncio.get_running_loop(), self._place.event
        here = loop.create_task(self._local.wait(timeout_s))
        there = loop.create_task(event.wait())
        try:
            await asyncio.wait((here, there), return_when=asyncio.FIRST_COMPLETED)
        finally:
            here.cancel()
            there.cancel()
        is_told = event.is_set()
        event.clear()
        return is_told or (here.done() and not here.cancelled() and here.result())

    def close(self) -> None:
        """Ends the watch; safe to call twice."""
        self._hints.end_watch(self._place)
        self._local.close()
