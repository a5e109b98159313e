"""Messages on their way out of a queue: deleted, expired, or moved elsewhere; and purges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tenet.base.clock import NEVER
from tenet.queues.ops.owning.flushing import Work
from tenet.queues.ops.owning.items import GONE, Item, Segment

if TYPE_CHECKING:
    import asyncio

    from tenet.queues.ops.owning.flushing import Staged
    from tenet.queues.ops.owning.state import State


class Leave(Work):
    """Messages that leave.

    Args:
        state: of the queue.
        items: those that are in memory; nobody is given them from now on.
        future: gets the results; None: nobody waits.
        results: what to answer.
        deadline: when to give up.
        unread: those that are not in memory, with their segments.
    """

    __slots__ = ("_items", "_results", "_state", "_unread")

    def __init__(
        self,
        state: State,
        items: Sequence[Item],
        future: asyncio.Future[Any] | None = None,
        *,
        results: object = None,
        deadline: float = NEVER,
        unread: Sequence[tuple[Segment, int]] = (),
    ) -> None:
        super().__init__(deadline, future, count=len(items) + len(unread))
        self._state = state
        self._items = items
        self._results = results
        self._unread = unread
        if unread:
            # What has been read is of use only as long as nobody forgets what goes meanwhile.
            state.working.readers += 1
        for item in items:
            state.working.mark(item)

    def stage(self, staged: Staged) -> None:
        """Takes those away that are still there, once."""
        for item in self._items:
            # A purge may have been faster.
            if item.state != GONE and staged.take_away(item.segment, item.message.sequence):
                staged.leaving.append(item)
        for segment, sequence in self._unread:
            self._stage_unread(staged, segment, sequence)

    def _stage_unread(self, staged: Staged, segment: Segment, sequence: int) -> None:
        """Takes a message away that was not in memory when it was looked for."""
        working = self._state.working
        item = working.items.get(sequence)
        if item is not None:
            if staged.take_away(item.segment, sequence):
                working.mark(item)
                staged.leaving.append(item)
        elif sequence >= self._state.window.end:
            segment = working.beyond.setdefault(segment.first, segment)
            if not segment.gone >> (sequence - segment.first) & 1 and staged.take_away(segment, sequence):
                staged.leaving_unread.append(sequence)

    def take_effect(self, staged: Staged) -> None:  # noqa: ARG002 - as of every work
        """Answers."""
        if self._unread:
            self._state.working.readers -= 1
        self.answer(self._results)

    def undo(self, error: Exception) -> None:
        """Has the messages stay, and tells who asked."""
        if self._unread:
            self._state.working.readers -= 1
        for item in self._items:
            self._state.working.stay(item)
        self.refuse(error)


class Purge(Work):
    """Everything that was sent so far leaves."""

    __slots__ = ()
    is_alone = True

    def __init__(self, deadline: float, future: asyncio.Future[Any]) -> None:
        super().__init__(deadline, future, count=0)

    def stage(self, staged: Staged) -> None:
        """Has everything go."""
        staged.purges = True

    def take_effect(self, staged: Staged) -> None:  # noqa: ARG002 - as of every work
        """Answers."""
        self.answer(None)
