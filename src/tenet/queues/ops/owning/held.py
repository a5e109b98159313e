"""A queue in the hands of this process: what belongs together of it, whether it is ours, and what it holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tenet.queues.model import Figures

if TYPE_CHECKING:
    from tenet.queues.ops.owning.flushing import Flusher
    from tenet.queues.ops.owning.state import State
    from tenet.queues.ops.owning.upkeep import Upkeep


class Tenancy:
    """Whether a queue is this node's, where there are others.

    Args:
        is_ours: whether it is, as far as this node can know.
        exists: whether there is such a queue, as the store has it now.
    """

    __slots__ = ("exists", "is_ours")

    def __init__(self, is_ours: Callable[[], bool], exists: Callable[[], Awaitable[bool]]) -> None:
        self.is_ours = is_ours
        self.exists = exists


class Held:
    """A queue that was taken over, with everything that works on it."""

    __slots__ = ("flusher", "state", "upkeep", "working")

    def __init__(self, state: State, flusher: Flusher, upkeep: Upkeep) -> None:
        self.state = state
        self.working = state.working
        self.flusher = flusher
        self.upkeep = upkeep

    @property
    def is_at_rest(self) -> bool:
        """Whether the queue is empty, nothing is being done with it, and no deduplication id is remembered."""
        state, working, ids = self.state, self.working, self.state.deduplication
        is_empty = not working.live and not working.items and (ids is None or ids.is_empty)
        return is_empty and self.flusher.is_idle and not state.window.is_reading and not working.readers

    def let_go(self, reason: str) -> None:
        """Does nothing any more; what is still asked of it is refused. Nothing is written."""
        self.flusher.give_up(reason)
        self.upkeep.close()
        self.state.window.close()


def figures_of(held: Held, now_ms: int) -> Figures:
    """Returns what a queue holds, and what went through it.

    Args:
        held: the queue.
        now_ms: milliseconds since 1970-01-01 UTC.
    """
    working = held.working
    oldest_ms = now_ms
    segment = working.front
    if segment is not None:
        sequences = range(segment.first, segment.first + segment.count)
        items = (working.items.get(sequence) for sequence in sequences)
        oldest_ms = min((item.message.sent_ms for item in items if item is not None), default=now_ms)
    delayed = working.delayed + held.state.window.delayed(now_ms)
    return Figures(
        visible=max(0, working.live - working.in_flight - delayed),
        in_flight=working.in_flight,
        delayed=delayed,
        oldest_age_s=max(0, now_ms - oldest_ms) // 1000,
        sent=working.sent,
        received=working.received,
        deleted=working.deleted,
    )
