"""What becomes due in a queue by itself: messages become visible or expire, receive counts are written, ids forgotten.

One timer per queue, set to when the next thing is due; none where nothing is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from tenet.queues.ops.owning.items import GONE, IN_FLIGHT, Item
from tenet.queues.ops.owning.leaving import Leave
from tenet.queues.ops.owning.receiving import Change
from tenet.store.errors import StoreError

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.queues.ops.owning.flushing import Flusher, Work
    from tenet.queues.ops.owning.state import State

#: After how long the receive counts of a standard queue's messages are written, unless they are deleted before.
COUNTED_MS: Final = 5_000
_COUNTED_MAX: Final = 2_000
#: How long deduplication ids stay in memory that nobody asks for any more; so many are forgotten together.
_FORGOTTEN_MS: Final = 5_000
#: How many messages that expired leave together, before others are looked for.
_EXPIRED_MAX: Final = 1_000
#: How long it waits before it has messages expire again that could not be removed.
_AGAIN_MS: Final = 1_000


class Upkeep:
    """The timer of a queue.

    Args:
        state: of the queue.
        flusher: writes.
        clock: time.
        on_due: called after something became visible.
    """

    def __init__(self, state: State, flusher: Flusher, *, clock: Clock, on_due: Callable[[], None]) -> None:
        self._state = state
        self._flusher = flusher
        self._clock = clock
        self._on_due = on_due
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0
        self._is_closed = False
        self._expires_from_ms = 0
        #: Receives whose counts are not written yet: when they were, and of which messages.
        self._counted: deque[tuple[int, list[int]]] = deque()

    def note_receive(self, items: Sequence[Item], now_ms: int) -> None:
        """Has the counts of a receive be written some time later."""
        self._counted.append((now_ms, [item.message.sequence for item in items]))
        if self._timer is None:
            self.expect(now_ms + COUNTED_MS)

    def expect(self, at_ms: int) -> None:
        """Has the timer go off no later than at some time, milliseconds since 1970-01-01 UTC."""
        if self._is_closed:
            return
        if self._timer is not None:
            if self._timer_ms <= at_ms:
                return
            self._timer.cancel()
        self._timer_ms = at_ms
        delay_s = max(0, at_ms - self._clock.wall_ms()) / 1000
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._go_off)

    def look(self) -> None:
        """Sets the timer to when the next thing is due."""
        next_ms = self._next_ms()
        if next_ms is not None:
            self.expect(next_ms)

    def close(self) -> None:
        """Stops the timer for good."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def expire(self, items: Sequence[Item]) -> None:
        """Has messages leave that are older than the queue keeps them."""
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(self._look_on)
        self.submit(Leave(self._state, items, future))

    def _look_on(self, left: asyncio.Future[Any]) -> None:
        """Looks for more that has expired once some has left; what could not leave is looked at a little later."""
        if not left.cancelled() and left.exception() is None:
            self._expires_from_ms = 0
            self.look()

    def _next_ms(self) -> int | None:
        found = [at_ms for at_ms in (self._state.working.due.first_ms(), self._expiry_ms()) if at_ms is not None]
        if self._counted:
            found.append(self._counted[0][0] + COUNTED_MS)
        ids = self._state.deduplication
        if ids is not None and (past_ms := ids.first_ms()) is not None:
            found.append(past_ms + _FORGOTTEN_MS)
        return min(found, default=None)

    def _expiry_ms(self) -> int | None:
        """Returns when the first segment expires as a whole."""
        segment = self._state.working.front
        if segment is None:
            return None
        # A message expires with the first millisecond that it is older than it may be.
        at_ms = segment.last_sent_ms + self._state.queue.settings.retention_s * 1000
        return max(at_ms, self._expires_from_ms)

    def _go_off(self) -> None:
        self._timer = None
        now_ms = self._clock.wall_ms()
        working = self._state.working
        working.show_due(now_ms)
        self._expire(now_ms)
        if self._state.deduplication is not None:
            self._state.deduplication.forget(now_ms)
        if self._counted and self._counted[0][0] + COUNTED_MS <= now_ms:
            self._write_counts(now_ms)
        self._on_due()
        self.look()

    def _expire(self, now_ms: int) -> None:
        """Has the messages leave of segments that expired as a whole, some at a time."""
        working = self._state.working
        oldest_ms = now_ms - self._state.queue.settings.retention_s * 1000
        expired: list[Item] = []
        for segment in working.segments.values():
            if segment.last_sent_ms > oldest_ms or len(expired) >= _EXPIRED_MAX:
                break
            for sequence in range(segment.first, segment.first + segment.count):
                item = working.items.get(sequence)
                if item is not None and not item.is_leaving:
                    expired.append(item)
        if expired:
            self.expire(expired)
        # What is on its way out is not looked at again at once.
        self._expires_from_ms = now_ms + _AGAIN_MS

    def _write_counts(self, now_ms: int) -> None:
        """Writes the counts of messages that were received a while ago and are still there."""
        working = self._state.working
        changes: list[tuple[Item, int]] = []
        while self._counted and self._counted[0][0] + COUNTED_MS <= now_ms and len(changes) < _COUNTED_MAX:
            _, sequences = self._counted.popleft()
            for sequence in sequences:
                item = working.items.get(sequence)
                if item is not None and item.state != GONE and not item.is_leaving:
                    changes.append((item, item.visible_ms if item.state == IN_FLIGHT else 0))
        if changes:
            self.submit(Change(self._state, changes, is_count=True))

    def submit(self, work: Work) -> None:
        """Has something written that nobody waits for; where it cannot be, it is as if nothing had been asked."""
        try:
            self._flusher.submit(work)
        except StoreError as error:
            work.undo(error)
