"""What one process does for all of them: ends commits that were left open, and removes what nobody needs any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from tenet.base.clock import NEVER
from tenet.store.cassandra.removal import Removal
from tenet.store.cassandra.sweeping import Sweeping
from tenet.store.cassandra.tries import Unsure
from tenet.store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenet.base.clock import Clock
    from tenet.store.cassandra.driver import Driver
    from tenet.store.cassandra.endings import Endings
    from tenet.store.cassandra.journal import Journal

#: How often commits that were left open are looked for, and what is to be removed; seconds.
SWEEP_S: Final = 5.0
REMOVE_S: Final = 300.0

_log = structlog.get_logger(__name__)


class Upkeep:
    """The two of them, by the clock.

    Args:
        driver: the cluster.
        journal: where commits are noted.
        endings: brings them to their end.
        clock: time.
    """

    def __init__(self, driver: Driver, *, journal: Journal, endings: Endings, clock: Clock) -> None:
        self.sweeping = Sweeping(driver, journal=journal, endings=endings, clock=clock)
        self.removal = Removal(driver, clock)
        self._clock = clock

    async def run(self) -> None:
        """Goes on until it is cancelled.

        Raises:
            StoreError: it could not begin.
        """
        await self.sweeping.begin()
        remove_at = -NEVER
        while True:
            await _tried(self.sweeping.sweep, "looking for commits that were left open")
            if self._clock.monotonic_s() >= remove_at:
                remove_at = self._clock.monotonic_s() + REMOVE_S
                await _tried(self.remove, "removing tables of dropped spaces")
            await asyncio.sleep(SWEEP_S)

    async def remove(self) -> None:
        """Removes what is due, as far as the sweeping has come.

        Raises:
            StoreUnavailable: the cluster did not do it; the rest is left for the next call.
        """
        await self.removal.remove(self.sweeping.swept_ms)


async def _tried(work: Callable[[], Awaitable[None]], name: str) -> None:
    try:
        await work()
    except StoreError as error:
        _log.info("upkeep of the store is tried again later", work=name, reason=error.message)
    except Unsure:
        _log.info("upkeep of the store is tried again later", work=name, reason="the cluster did not answer")
