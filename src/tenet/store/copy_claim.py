"""The mark of whoever copies a store, in that store: that it alone writes to it, and at last that it was moved."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tenet.store.copy_fence import ALONE_S
from tenet.store.copy_marks import OUT, Outgoing
from tenet.store.errors import CopyRefused, OutcomeUnknown, StoreUnavailable

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import Version
    from tenet.store.copy_marks import End
    from tenet.store.guard import Guard

_CLAIM_BYTES: Final = 8
#: How often it is tried to end a claim, each time for as long as the store is given to answer.
_TRIES_MAX: Final = 10


class Claim:
    """One try to copy a store, as the others see it.

    Args:
        out: the marks of the store.
        guard: the store, as this process writes to it.
        node: whose process this is; empty where it is no node's.
        clock: time.
        ids: randomness.
    """

    def __init__(self, out: End, guard: Guard, node: str, *, clock: Clock, ids: Ids) -> None:
        self._out = out
        self._guard = guard
        self._node = node
        self._clock = clock
        self._ids = ids
        self._made: Outgoing | None = None
        self._version: Version | None = None
        self._made_s = 0.0

    async def make(self, outgoing: Outgoing, version: Version | None) -> None:
        """Claims the store for this process; one that another process has made ends with it, and so does its copy.

        Args:
            outgoing: which copy.
            version: of its mark as it is now; None: there is none.

        Raises:
            CopyRefused: another process has written the mark meanwhile.
        """
        claim = self._ids.draw(_CLAIM_BYTES).hex()
        self._made = replace(outgoing, claim=claim, node=self._node)
        if self._guard.fence is not None:
            self._guard.fence.claim = claim
        self._version = await self._out.write(OUT, self._made, version)
        self._made_s = self._clock.monotonic_s()

    async def wait_until_alone(self) -> None:
        """Returns when no other process acknowledges a write to the store any more (``copy_fence``)."""
        if self._guard.fence is None:
            return
        while (left_s := self._made_s + ALONE_S - self._clock.monotonic_s()) > 0:  # noqa: ASYNC110 (it is time)
            await asyncio.sleep(left_s)

    async def mark_moved(self) -> None:
        """Marks the store as moved.

        Where this fails it may be, or become so, until ``end`` has found out.

        Raises:
            CopyRefused: the claim is not this process's any more.
        """
        assert self._made is not None
        try:
            self._version = await self._out.write(OUT, replace(self._made, state="moved"), self._version)
        except CopyRefused as error:
            raise CopyRefused(
                "the copy was given up meanwhile by `tenet store copy --abort`, or another process has taken it over"
            ) from error

    async def end(self) -> None:
        """Lets this process write to the store again, and others; does nothing where it is marked as moved.

        Whatever was sent to mark it can never land once this process may write: the mark has another version by then,
        or is gone. Safe to repeat.

        Raises:
            StoreError: that cannot be brought about. Writes are refused as before.
        """
        if self._made is None:
            return
        for _ in range(_TRIES_MAX):
            outgoing, version = await self._out.read(OUT, Outgoing)
            if outgoing is not None and outgoing.state == "moved":
                return
            if outgoing is None or outgoing.claim != self._made.claim:
                self._guard.allow()
                return
            with contextlib.suppress(CopyRefused, OutcomeUnknown):
                await self._out.write(OUT, replace(outgoing, claim="", node=""), version)
        raise StoreUnavailable(
            "whether the store is marked as moved cannot be found out; writes are refused until it is"
        )
