"""Keeps every process that has a store open to the marks of a copy (``copy_marks``), without asking at each write.

A copy is right if its maker alone writes to the store from before the first record is read until ``moved`` is written,
and nobody does afterwards. Other processes may have the store open all the time: one that is just starting, a command,
one that was frozen long ago and wakes. What holds of all of them, members of a cluster or not:

1. Whoever copies writes its claim into the store first, and then waits ``ALONE_S`` before it reads a record.
2. A write is acknowledged only where a look at the marks, which began at most ``FRESH_S`` before the store had answered
   the write, found no claim but the process's own, and no ``moved``. Where the last look is older, there is another one
   between the store's answer and the client's.
3. ``moved`` is written over the claim as it was made, and over nothing else: whoever has ended the claim, or taken it
   over, has ended that copy with it.

By 1 and 2 an acknowledged write took effect before the copy's maker read its first record, or is its own, which it
notes (``guard``). What a process that wakes had sent before may still take effect in the store; nobody is told that it
did. Looks are made while there are writes, beside them, so that a write waits for one only after a pause.

This rests on clocks, as leases do: that they run equally fast, to a fifth, and that after a process has stood still its
monotonic clock or the machine's wall clock shows it. A process is frozen, or its machine sleeps, and they do. A virtual
machine whose hypervisor stops both its clocks, and starts it again after the switch, may acknowledge writes for
``FRESH_S``: end machines that were stopped like this before a move.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from tenet.base.clock import NEVER
from tenet.store.contract import Range
from tenet.store.copy_marks import IN, OUT, SPACE, Incoming, Outgoing, decode, why_no_writes
from tenet.store.errors import SpaceNotFound, StoreError, StoreMoved

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.contract import Store

#: How old a look may be at which a write is acknowledged, seconds.
FRESH_S: Final = 5.0
#: How long whoever copies waits until no other process acknowledges a write any more, seconds.
ALONE_S: Final = 6.0
#: From this age on another look is made beside the writes.
_AGAIN_S: Final = FRESH_S / 2
#: How often it is looked whether a store that took no writes takes them again.
_REFUSED_S: Final = 1.0
#: What a look may take; then the write that waits for it is told that the outcome is not known.
_LOOK_S: Final = 2.0
_BOTH: Final = Range(IN.sort, OUT.sort + b"\x00")


class Fence:
    """What a process knows of the marks of a store that others may have open too.

    Args:
        store: the store.
        clock: time.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        #: What this process itself has claimed.
        self.claim = ""
        self._store = store
        self._clock = clock
        self._refusal = ""
        self._has_looked = False
        #: When the last look began, on both clocks.
        self._began_s = -NEVER
        self._began_ms = 0
        self._looking: asyncio.Task[None] | None = None

    @property
    def refusal(self) -> str:
        """Why the store takes no writes from this process, as of the last look; empty where it does."""
        return self._refusal

    def is_open(self) -> bool:
        """Whether a write may be sent without another word."""
        return not self._refusal and self._age_s() < _AGAIN_S

    def holds(self) -> bool:
        """Whether a write that the store has just answered may be acknowledged without another look."""
        return not self._refusal and self._age_s() < FRESH_S

    async def enter(self) -> None:
        """Is called before a write is sent, unless ``is_open``; has another look begun.

        Raises:
            StoreMoved: the store takes no writes from this process.
            StoreUnavailable: the marks cannot be read, and never were.
        """
        if not self._has_looked or (self._refusal and self._age_s() >= _REFUSED_S):
            await self._look()
        else:
            self.look_soon()
        if self._refusal:
            raise StoreMoved(self._refusal)

    async def confirm(self) -> None:
        """Is called when a write was answered, unless ``holds``; returns if it may be acknowledged.

        Raises:
            StoreMoved: it may not.
            StoreUnavailable: the marks cannot be read.
        """
        while self._age_s() >= FRESH_S:
            await self._look()
        if self._refusal:
            raise StoreMoved(self._refusal)

    def look_soon(self) -> None:
        """Looks at the marks beside what goes on, unless that was done lately."""
        if self._age_s() >= (_REFUSED_S if self._refusal else _AGAIN_S):
            _ = self._look_beside()

    def close(self) -> None:
        """Ends a look that is under way."""
        if self._looking is not None:
            self._looking.cancel()

    def _age_s(self) -> float:
        """Returns how long ago the last look began, by the clock that says more; seconds, 0 or more."""
        by_wall_s = abs(self._clock.wall_ms() - self._began_ms) / 1000
        return max(self._clock.monotonic_s() - self._began_s, by_wall_s)

    async def _look(self) -> None:
        # Whoever waits may give up without ending it for the others.
        await asyncio.shield(self._look_beside())

    def _look_beside(self) -> asyncio.Task[None]:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._read())
            self._looking.add_done_callback(_ask_for_outcome)
        return self._looking

    async def _read(self) -> None:
        began_s, began_ms = self._clock.monotonic_s(), self._clock.wall_ms()
        refusal = await self._found(began_s + _LOOK_S)
        self._began_s, self._began_ms, self._refusal = began_s, began_ms, refusal
        self._has_looked = True

    async def _found(self, deadline: float) -> str:
        try:
            page = await self._store.query(SPACE, OUT.partition, _BOTH, limit=2, deadline=deadline)
        except SpaceNotFound:
            return ""
        found = {record.sort: record for record in page.records}
        outgoing, incoming = decode(found.get(OUT.sort), Outgoing), decode(found.get(IN.sort), Incoming)
        return why_no_writes(outgoing, incoming, self.claim)


def _ask_for_outcome(task: asyncio.Task[None]) -> None:
    """Takes note of how a look ended that perhaps nobody waits for; whoever needs one makes another."""
    if not task.cancelled() and not isinstance(task.exception(), StoreError | None):
        task.result()
