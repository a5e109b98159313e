"""Descriptions as they were read a moment ago: what a catalog answers from, where it may be so old.

It promises that what it answers is at most ``STALE_S`` seconds older than the store, on every engine, and never older
than a change that it was told of. A hint of the store's watch empties it earlier, so that what was changed elsewhere is
seen at once where hints arrive. It bounds how much it holds; what it holds, and how that is read, is its owner's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Final, Generic, TypeVar

from tenet.base.clock import Clock
from tenet.store.contract import Store

Described = TypeVar("Described")

#: How long a description is answered before the store is asked again, in seconds.
STALE_S: Final = 1.0
_HINT_WAIT_S: Final = 60.0


class Cached(Generic[Described]):
    """Holds descriptions by tenant and name.

    Args:
        store: where they are.
        space: the space that they lie in, whose hints are listened to.
        clock: for their age.
        count_max: how many are held; one more empties it.
    """

    def __init__(self, store: Store, space: str, *, clock: Clock, count_max: int) -> None:
        self._store = store
        self._space = space
        self._now = clock.monotonic_s
        self._count_max = count_max
        # With each: until when it is answered.
        self._held: dict[tuple[str, str], tuple[Described, float]] = {}
        # Counts what makes a read that is under way too old to be held.
        self._changes = 0
        self._watching: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begins to listen to hints; the space is there."""
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        """Stops listening."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
            self._watching = None

    def known(self, account: str, name: str) -> Described | None:
        """Returns a description without asking the store, or None where that has to be asked."""
        held = self._held.get((account, name))
        return held[0] if held is not None and self._now() < held[1] else None

    async def read(self, account: str, name: str, reading: Awaitable[Described | None]) -> Described | None:
        """Returns what a read finds, and holds it, unless something was changed meanwhile.

        Args:
            account: the tenant.
            name: by which it is asked for next.
            reading: the read, which begins now; None where there is nothing that may be answered.
        """
        until_s = self._now() + STALE_S
        changes = self._changes
        found = await reading
        if found is None:
            self._held.pop((account, name), None)
        elif changes == self._changes:
            if len(self._held) >= self._count_max:
                self._held.clear()
            self._held[account, name] = (found, until_s)
        return found

    def forget(self, account: str, name: str) -> None:
        """Drops one description, since it has changed."""
        self._changes += 1
        self._held.pop((account, name), None)

    def forget_all(self, account: str) -> None:
        """Drops all descriptions of a tenant, since some of them have changed."""
        self._changes += 1
        for key in [key for key in self._held if key[0] == account]:
            del self._held[key]

    async def _watch(self) -> None:
        watch = self._store.watch(self._space)
        try:
            while True:
                if await watch.wait(_HINT_WAIT_S):
                    self._changes += 1
                    self._held.clear()
        finally:
            watch.close()
