"""Commits until the outcome is known: what every caller does that has no better idea for ``Unknown``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from tenet.store.contract import Commit, Committed, Unknown, new_commit_id
from tenet.store.errors import DeadlineExceeded, OutcomeUnknown, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import Append, Check, Conflict, Settled, Store, Write

#: How long it waits before it settles again, seconds; twice as long each time.
_PAUSE_S_MIN: Final = 0.02
_PAUSE_S_MAX: Final = 1.0


async def land(
    store: Store,
    writes: Sequence[Write] = (),
    checks: Sequence[Check] = (),
    appends: Sequence[Append] = (),
    *,
    clock: Clock,
    ids: Ids,
    deadline: float,
    return_cells: bool = False,
) -> Committed | Conflict:
    """Commits; an unknown outcome is settled, and what never committed is tried again with a new id.

    Args:
        store: where to.
        writes: as in ``Commit``.
        checks: as in ``Commit``.
        appends: as in ``Commit``.
        clock: for commit ids.
        ids: for commit ids.
        deadline: when to give up, in seconds on the monotonic clock.
        return_cells: as in ``Commit``.

    Raises:
        StoreUnavailable: nothing was written.
        OutcomeUnknown: the store could not say before the deadline whether it was.
    """
    while True:
        commit = Commit(new_commit_id(clock, ids), writes, checks, appends, return_cells)
        outcome = await store.commit(commit, deadline=deadline)
        if not isinstance(outcome, Unknown):
            return outcome
        if not writes and not appends:
            # Nothing could have taken effect, and there is nothing to settle.
            continue
        settled = await _settled(store, commit, clock, deadline)
        if isinstance(settled, Committed):
            return settled


async def _settled(store: Store, commit: Commit, clock: Clock, deadline: float) -> Settled:
    """Settles a commit; tries again while the store cannot serve.

    It ends at the deadline, or when the store may have forgotten the commit (``Limits.settle_window_s``).
    """
    pause_s = _PAUSE_S_MIN
    while True:
        try:
            return await store.settle(commit, deadline=deadline)
        except StoreError as error:
            if not error.retryable or clock.monotonic_s() + pause_s > deadline:
                raise OutcomeUnknown(_unknown(error)) from error
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _PAUSE_S_MAX)


def _unknown(error: StoreError) -> str:
    """Returns what to say of a write that could not be settled."""
    if isinstance(error, DeadlineExceeded):
        # Its text is about the question what became of the write, which may not even have been sent.
        return "the deadline passed before the store could say whether the write took effect"
    return f"whether the write took effect is not known: {error.message}"
