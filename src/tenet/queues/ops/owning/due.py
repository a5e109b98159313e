"""What becomes visible when: one heap for delayed messages and for those in flight.

An entry is for messages that were made invisible together. Whether one still waits for its time is looked up when the
time has come: a message that was deleted, or whose visibility was changed, is passed over. Entries that nobody waits
for any more are swept out when there are more of them than others.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Final

from tenet.queues.ops.owning.items import DELAYED, IN_FLIGHT, Item

#: So many messages more than there are may stand in the heap.
_SLACK: Final = 1_000
_WAITING: Final = (IN_FLIGHT, DELAYED)


class Due:
    """Messages by the time at which they become visible."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Sequence[Item]]] = []
        self._count = 0
        self._pushed = 0

    def push(self, at_ms: int, items: Sequence[Item], waiting: int) -> None:
        """Takes up messages that become visible together.

        Args:
            at_ms: milliseconds since 1970-01-01 UTC; the ``visible_ms`` of all of them.
            items: delayed or in flight.
            waiting: how many messages are delayed or in flight at all.
        """
        self._pushed += 1
        heapq.heappush(self._heap, (at_ms, self._pushed, items))
        self._count += len(items)
        if self._count > 2 * waiting + _SLACK:
            self._sweep()

    def pop(self, now_ms: int) -> list[Item]:
        """Returns the messages whose time has come; those that are held or on their way out are left out."""
        heap = self._heap
        found: list[Item] = []
        while heap and heap[0][0] <= now_ms:
            at_ms, _, items = heapq.heappop(heap)
            self._count -= len(items)
            found += [item for item in items if _waits(item, at_ms) and not item.is_leaving and not item.holds]
        return found

    def first_ms(self) -> int | None:
        """Returns when the next message becomes visible, milliseconds since 1970-01-01 UTC; None: none will."""
        heap = self._heap
        while heap:
            at_ms, _, items = heap[0]
            if any(_waits(item, at_ms) for item in items):
                return at_ms
            heapq.heappop(heap)
            self._count -= len(items)
        return None

    def is_past(self, now_ms: int) -> bool:
        """Whether some entry's time has come."""
        return bool(self._heap) and self._heap[0][0] <= now_ms

    def _sweep(self) -> None:
        kept = [(at_ms, number, [item for item in items if _waits(item, at_ms)]) for at_ms, number, items in self._heap]
        self._heap = [entry for entry in kept if entry[2]]
        heapq.heapify(self._heap)
        self._count = sum(len(items) for _, _, items in self._heap)


def _waits(item: Item, at_ms: int) -> bool:
    return item.visible_ms == at_ms and item.state in _WAITING
