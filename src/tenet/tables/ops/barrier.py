"""Tells when all writes have ended that had begun before a moment: what they know of tables may be of before it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tenet.store.cached import STALE_S

if TYPE_CHECKING:
    from tenet.store.contract import Store


def others_s(store: Store, request_s_max: float) -> float:
    """Returns for how long other processes may write by a former description, seconds; 0 where there are none.

    Args:
        store: where they write to.
        request_s_max: how long a request may be under way, seconds; it may begin by what is cached.
    """
    return STALE_S + request_s_max if store.capabilities.remote else 0.0


class Barrier:
    """Counts the requests that are under way, by the phase in which they began; one caller after the other waits.

    Args:
        others_s: for how long requests of other processes may go by what was before, seconds.
    """

    def __init__(self, others_s: float = 0.0) -> None:
        self.others_s = others_s
        self._running = [0, 0]
        self._phase = 0
        self._ended = asyncio.Event()
        self._turn = asyncio.Lock()

    def enter(self) -> int:
        """Notes that a request begins; returns what is to be given back at its end."""
        phase = self._phase
        self._running[phase] += 1
        return phase

    def leave(self, phase: int) -> None:
        """Notes that a request has ended.

        Args:
            phase: what `enter` has returned.
        """
        self._running[phase] -= 1
        if phase != self._phase and not self._running[phase]:
            self._ended.set()

    async def passed_everywhere(self) -> None:
        """Waits until nobody goes by what was before the call: what it has cached is old, and requests have ended."""
        if self.others_s:
            await asyncio.sleep(self.others_s)
        await self.passed()

    async def passed(self) -> None:
        """Waits until every request of this process has ended that had begun before the call."""
        async with self._turn:
            # Whoever waited before may have been cancelled: the phase that begins now has to be empty.
            await self._empty(1 - self._phase)
            before, self._phase = self._phase, 1 - self._phase
            await self._empty(before)

    async def _empty(self, phase: int) -> None:
        self._ended.clear()
        while self._running[phase]:
            await self._ended.wait()
            self._ended.clear()
