"""What receipt handles lead to, and whether what is asked for by them is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from tenet.queues import keys
from tenet.queues.errors import InvalidParameterValue, QueuesError, ReceiptHandleIsInvalid
from tenet.queues.ops.owning.items import IN_FLIGHT, READY, Item, Segment
from tenet.queues.ops.owning.window import read_gone
from tenet.queues.rules import stored
from tenet.queues.rules.receipts import decode_handle

if TYPE_CHECKING:
    from tenet.queues.ops.owning.state import State
    from tenet.store.contract import Store

#: Messages that were read, with their segments, by their sequence numbers.
Found: TypeAlias = dict[int, tuple[Segment, stored.Message]]
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
        working = self._state.working
        working.readers += 1
        try:
            found = await read_messages(store, self._state, self.unread, deadline)
        finally:
            working.readers -= 1
        return [(segment, sequence) for sequence, (segment, _) in found.items()]


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


class Changes:
    """New visibilities of messages.

    Args:
        state: of the queue.
        now_ms: milliseconds since 1970-01-01 UTC.
        read: the messages that had to be looked up, of which nothing was forgotten since (``Working.readers``); None:
            none were yet.

    Attributes:
        results: for each change None, or why it cannot be made.
        items: messages in memory with when they become visible, milliseconds since 1970-01-01 UTC.
        hidden: messages of a FIFO queue that are not in memory: sequence number, number of the receive, and when.
        unread: sequence numbers of messages that are not in memory and have to be looked up first.
    """

    __slots__ = ("_now_ms", "_read", "_state", "hidden", "items", "results", "unread")

    def __init__(self, state: State, now_ms: int, read: Found | None) -> None:
        self._state = state
        self._now_ms = now_ms
        self._read = read
        self.results: list[QueuesError | None] = []
        self.items: list[tuple[Item, int]] = []
        self.hidden: list[tuple[int, int, int]] = []
        self.unread: list[int] = []

    def find(self, handle: str, visibility_s: int) -> QueuesError | None:
        """Takes up a change, or returns why it cannot be made."""
        state, now_ms = self._state, self._now_ms
        decoded = decode_handle(state.queue.id, handle)
        if decoded is None or not 0 < decoded[0] < state.working.next:
            return _invalid(handle)
        sequence, receives = decoded
        is_fifo = state.deduplication is not None
        item = state.working.items.get(sequence)
        if item is None and sequence >= state.window.end:
            if is_fifo:
                return self._find_hidden(handle, sequence, receives, visibility_s)
            if self._read is None:
                self.unread.append(sequence)
                return None
            if sequence in self._read:
                segment, message = self._read[sequence]
                item = state.window.take_in(segment, message, now_ms)
        if (
            item is None
            or item.is_leaving
            or item.state not in (READY, IN_FLIGHT)
            or (is_fifo and not _holds(item, receives, now_ms))
        ):
            return _unavailable(handle)
        if self._is_too_long(item.received_ms, visibility_s):
            return _too_long(visibility_s)
        self.items.append((item, now_ms + visibility_s * 1000))
        return None

    def _find_hidden(self, handle: str, sequence: int, receives: int, visibility_s: int) -> QueuesError | None:
        """Does the same for a message of a FIFO queue that is not in memory.

        It stays where it is, since messages of its group may lie before it that are not in memory either.
        """
        receive, _ = self._state.working.found.get(sequence, (None, 0))
        if receive is None or receive.receives != receives or receive.visible_ms <= self._now_ms:
            return _unavailable(handle)
        if self._read is None:
            self.unread.append(sequence)
            return None
        if sequence not in self._read:
            return _unavailable(handle)
        if self._is_too_long(receive.received_ms, visibility_s):
            return _too_long(visibility_s)
        self.hidden.append((sequence, receives, self._now_ms + visibility_s * 1000))
        return None

    def _is_too_long(self, received_ms: int, visibility_s: int) -> bool:
        return received_ms > 0 and self._now_ms + visibility_s * 1000 - received_ms > HIDDEN_MS_MAX


async def read_messages(store: Store, state: State, sequences: Sequence[int], deadline: float) -> Found:
    """Returns messages that are not in memory, with their segments, by their numbers; those that are gone are left out.

    Args:
        store: where they are.
        state: of the queue.
        sequences: their numbers.
        deadline: when to give up.
    """
    found: Found = {}
    for sequence in sequences:
        one = await _read(store, state, sequence, deadline)
        if one is not None:
            found[sequence] = one
    return found


def find_changes(state: State, changes: Sequence[tuple[str, int]], now_ms: int, read: Found | None = None) -> Changes:
    """Returns what becomes visible when, and for each change None, or why it cannot be made.

    A message of a standard queue that had to be looked up is in memory from now on.

    Args:
        state: of the queue.
        changes: receipt handles with 0 to 43,200 seconds.
        now_ms: milliseconds since 1970-01-01 UTC.
        read: as `Changes` has it.
    """
    found = Changes(state, now_ms, read)
    for handle, visibility_s in changes:
        found.results.append(found.find(handle, visibility_s))
    return found


def _holds(item: Item, receives: int, now_ms: int) -> bool:
    """Whether a message is in flight by a certain receive."""
    return item.state == IN_FLIGHT and item.receives == receives and item.visible_ms > now_ms


def _invalid(handle: str) -> QueuesError:
    return ReceiptHandleIsInvalid(f'The input receipt handle "{handle}" is not a valid receipt handle.')


def _expired(handle: str) -> QueuesError:
    return InvalidParameterValue(
        f"Value {handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."
    )


def _too_long(visibility_s: int) -> QueuesError:
    return InvalidParameterValue(
        f"Value {visibility_s} for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout"
        " for the message is beyond the limit [43200 seconds]"
    )


def _unavailable(handle: str) -> QueuesError:
    return InvalidParameterValue(
        f"Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for"
        " visibility timeout change."
    )


async def _read(store: Store, state: State, sequence: int, deadline: float) -> tuple[Segment, stored.Message] | None:
    """Returns a message that is not in memory, and its segment; None: the message is gone."""
    queue_id = state.queue.id
    # No further back than a segment reaches: there may be many records of deleted ones.
    lower = max(state.working.first, sequence + 1 - stored.SEGMENT_MESSAGES_MAX)
    within = keys.numbers_of(keys.SEGMENT, lower, sequence + 1)
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
    segment = Segment(first, len(messages), max(message.sent_ms for message in messages), gone)
    return segment, messages[sequence - first]
