"""What receipt handles lead to, and whether what is asked for by them is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tenet.queues import keys
from tenet.queues.errors import InvalidParameterValue, QueuesError, ReceiptHandleIsInvalid
from tenet.queues.ops.owning.items import IN_FLIGHT, READY, Item, Segment
from tenet.queues.ops.owning.window import read_gone
from tenet.queues.rules import stored
from tenet.queues.rules.receipts import decode_handle

if TYPE_CHECKING:
    from tenet.queues.ops.owning.state import State
    from tenet.store.contract import Store

#: A message is hidden at most so long from when it was received.
HIDDEN_MS_MAX: Final = 43_200 * 1000


class Deletions:
    """What is to be deleted.

    Args:
        state: of the queue.
        results: for each handle None, or why nothing is deleted by it.
        items: messages in memory.
        unread: sequence numbers of messages that are not.
    """

    __slots__ = ("_state", "items", "results", "unread")

    def __init__(self, state: State, results: list[QueuesError | None], items: list[Item], unread: list[int]) -> None:
        self._state = state
        self.results = results
        self.items = items
        self.unread = unread

    async def read(self, store: Store, deadline: float) -> Sequence[tuple[Segment, int]]:
        """Returns the segments of the messages that are not in memory; those that are gone are left out.

        Args:
            store: where they are.
            deadline: when to give up.
        """
        found = []
        working = self._state.working
        working.readers += 1
        try:
            for sequence in self.unread:
                segment = await _read_segment(store, self._state, sequence, deadline)
                if segment is not None:
                    found.append((segment, sequence))
        finally:
            working.readers -= 1
        return found


def find_deletions(state: State, handles: Sequence[str], now_ms: int) -> Deletions:
    """Returns what is to be deleted by receipt handles.

    Args:
        state: of the queue.
        handles: whatever a client has sent.
        now_ms: milliseconds since 1970-01-01 UTC.
    """
    working, queue_id = state.working, state.queue.id
    is_fifo = state.deduplication is not None
    results: list[QueuesError | None] = []
    items: list[Item] = []
    unread: list[int] = []
    for handle in handles:
        decoded = decode_handle(queue_id, handle)
        if decoded is None or not 0 < decoded[0] < working.next:
            results.append(_invalid(handle))
            continue
        sequence, receives = decoded
        item = working.items.get(sequence)
        if item is None:
            if sequence < state.window.end:
                # It was deleted before, which is as good.
                results.append(None)
                continue
            found = working.found.get(sequence)
            if is_fifo and found is not None and (found[0].receives != receives or found[0].visible_ms <= now_ms):
                results.append(_expired(handle))
                continue
            unread.append(sequence)
        elif is_fifo and not _holds(item, receives, now_ms):
            results.append(_expired(handle))
            continue
        else:
            items.append(item)
        results.append(None)
    return Deletions(state, results, items, unread)


def find_changes(
    state: State, changes: Sequence[tuple[str, int]], now_ms: int
) -> tuple[list[tuple[Item, int]], list[QueuesError | None]]:
    """Returns what becomes visible when, and for each change None, or why it cannot be made.

    Args:
        state: of the queue.
        changes: receipt handles with 0 to 43,200 seconds.
        now_ms: milliseconds since 1970-01-01 UTC.
    """
    working, queue_id = state.working, state.queue.id
    is_fifo = state.deduplication is not None
    found: list[tuple[Item, int]] = []
    results: list[QueuesError | None] = []
    for handle, visibility_s in changes:
        decoded = decode_handle(queue_id, handle)
        if decoded is None or not 0 < decoded[0] < working.next:
            results.append(_invalid(handle))
            continue
        sequence, receives = decoded
        item = working.items.get(sequence)
        if (
            item is None
            or item.is_leaving
            or item.state not in (READY, IN_FLIGHT)
            or (is_fifo and not _holds(item, receives, now_ms))
        ):
            results.append(_unavailable(handle))
        elif now_ms + visibility_s * 1000 - max(item.received_ms, 1) > HIDDEN_MS_MAX and item.received_ms:
            results.append(
                InvalidParameterValue(
                    f"Value {visibility_s} for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout"
                    " for the message is beyond the limit [43200 seconds]"
                )
            )
        else:
            found.append((item, now_ms + visibility_s * 1000))
            results.append(None)
    return found, results


def _holds(item: Item, receives: int, now_ms: int) -> bool:
    """Whether a message is in flight by a certain receive."""
    return item.state == IN_FLIGHT and item.receives == receives and item.visible_ms > now_ms


def _invalid(handle: str) -> QueuesError:
    return ReceiptHandleIsInvalid(f'The input receipt handle "{handle}" is not a valid receipt handle.')


def _expired(handle: str) -> QueuesError:
    return InvalidParameterValue(
        f"Value {handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."
    )


def _unavailable(handle: str) -> QueuesError:
    return InvalidParameterValue(
        f"Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for"
        " visibility timeout change."
    )


async def _read_segment(store: Store, queue_id: bytes, sequence: int, deadline: float) -> Segment | None:
    """Returns the segment of a message that is not in memory; None: the message is gone."""
    within = keys.numbers_of(keys.SEGMENT, 0, sequence + 1)
    page = await store.query(keys.MESSAGES_SPACE, queue_id, within, limit=1, reverse=True, deadline=deadline)
    if not page.records:
        return None
    messages = stored.decode_segment(page.records[0].value)
    first = messages[0].sequence
    if sequence >= first + len(messages):
        return None
    gone = (await read_gone(store, queue_id, first, first + 1)).get(first, 0)
    if gone >> (sequence - first) & 1:
        return None
    return Segment(first, len(messages), max(message.sent_ms for message in messages), gone)
