"""Starts that the store is too slow for are tried again: whatever a start makes, the next one goes on with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from tenet.store.errors import DeadlineExceeded, OutcomeUnknown, StoreSlow, StoreUnavailable

#: How long is waited before the next try, seconds. Nodes that start at once on a busy machine have as long to settle.
_PAUSES_S: Final = (1.0, 2.0, 4.0)

_log = structlog.get_logger(__name__)


class StoreTooSlow(StoreUnavailable):
    """The store did not answer a start in time, however often it was tried."""

    code = "StoreTooSlow"


async def tried_again(begin: Callable[[], Awaitable[None]]) -> None:
    """Begins something, and once more where the store took longer than its deadlines allow.

    Args:
        begin: what is begun; it leaves nothing open where it raises, and is safe to repeat.

    Raises:
        StoreTooSlow: the store was too slow each time.
        TenetError: whatever else ``begin`` raises.
    """
    for pause_s in _PAUSES_S:
        try:
            await begin()
        except (DeadlineExceeded, StoreSlow, OutcomeUnknown) as error:
            _log.warning(
                "the store was too slow for the start, which is tried again", reason=error.message, again_s=pause_s
            )
        else:
            return
        await asyncio.sleep(pause_s)
    try:
        await begin()
    except (DeadlineExceeded, StoreSlow, OutcomeUnknown) as error:
        raise StoreTooSlow(
            f"the store was too slow for the start, {len(_PAUSES_S) + 1} times in a row ({error.message}). Start again"
            " when it has less to do; nothing is lost"
        ) from error
