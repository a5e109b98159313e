"""Messages on their way to a consumer: what a receive returns, and what of it has to be written."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from tenet.base.clock import NEVER
from tenet.queues.errors import InvalidParameterValue, QueuesError
from tenet.queues.model import Received
from tenet.queues.ops.owning.flushing import Work
from tenet.queues.ops.owning.items import GONE, IN_FLIGHT, Item
from tenet.queues.rules.receipts import encode_handle, message_id
from tenet.queues.rules.stored import Attempt, Receive

if TYPE_CHECKING:
    import asyncio

    from tenet.queues.ops.owning.flushing import Staged
    from tenet.queues.ops.owning.state import State

#: How long a receive can be repeated by its ReceiveRequestAttemptId.
ATTEMPT_MS: Final = 5 * 60 * 1000
#: What the id begins with that another node gives to a receive, so that it can repeat it; no client's id does. For how
#: long it can.
NODE_ATTEMPT: Final = "\x00"
NODE_ATTEMPT_MS: Final = 15_000
_FORGOTTEN_AT_ONCE: Final = 10
#: In the words of the service: https://github.com/awslabs/amazon-sqs-java-messaging-lib/issues/213.
_NOT_RETRYABLE: Final = "The receiveRequestAttemptId is not valid anymore since the receive call is not retryable."


def received(queue_id: bytes, item: Item, *, is_fifo: bool) -> Received:
    """Returns what a consumer is told of a message that it receives.

    Args:
        queue_id: of its queue.
        item: the message, its receive counted.
        is_fifo: whether its queue is a FIFO queue.
    """
    message = item.message
    sequence = message.sequence
    return Received(
        message.id or message_id(queue_id, sequence),
        encode_handle(queue_id, sequence, item.receives),
        message.body,
        message.attributes,
        hashlib.md5(message.body.encode(), usedforsecurity=False).hexdigest(),
        message.md5_of_attributes,
        message.sender,
        message.sent_ms,
        item.receives,
        item.first_ms,
        message.group,
        message.deduplication_id,
        sequence if is_fifo else 0,
        message.trace_header,
        message.source,
    )


def count_receive(items: Sequence[Item], now_ms: int) -> None:
    """Counts a receive of messages.

    Args:
        items: that are given to a consumer.
        now_ms: milliseconds since 1970-01-01 UTC.
    """
    for item in items:
        item.receives += 1
        item.received_ms = now_ms
        if not item.first_ms:
            item.first_ms = now_ms


class _Attempt(NamedTuple):
    """A receive that can be repeated.

    Args:
        at_ms: when it was.
        receives: the sequence number of each message and the number of its receive.
        visible_ms: when the messages become visible; 0: that is not known.
    """

    at_ms: int
    receives: list[tuple[int, int]]
    visible_ms: int


#: What has become of a message that an attempt returned: it is as it was; it was deleted, or its visibility changed;
#: its visibility timeout has ended, or it was given back, so that it is to be received anew.
_AS_IT_WAS: Final = 0
_MODIFIED: Final = 1
_ENDED: Final = 2


class Attempts:
    """Receives of a FIFO queue that can be repeated by their ReceiveRequestAttemptId, for five minutes.

    Source: "ReceiveRequestAttemptId" of
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html.
    """

    def __init__(self) -> None:
        self._attempts: dict[str, _Attempt] = {}
        #: Those of other nodes, which repeat a receive only until they have its answer.
        self._of_nodes: dict[str, _Attempt] = {}

    def note(self, attempt_id: str, now_ms: int, receives: list[tuple[int, int]], visible_ms: int) -> None:
        """Takes up a receive.

        Args:
            attempt_id: its ReceiveRequestAttemptId.
            now_ms: when it was.
            receives: the sequence number of each message and the number of its receive; 0: the message is gone.
            visible_ms: when the messages become visible; 0: that is not known.
        """
        attempts = self._of_nodes if attempt_id.startswith(NODE_ATTEMPT) else self._attempts
        attempts.pop(attempt_id, None)
        attempts[attempt_id] = _Attempt(now_ms, receives, visible_ms)

    def prune(self, now_ms: int) -> None:
        """Lets go of some that cannot be repeated any more: of more than come, so that few are left for long."""
        for attempts, valid_ms in ((self._attempts, ATTEMPT_MS), (self._of_nodes, NODE_ATTEMPT_MS)):
            # The oldest stand first.
            past = [one for one in islice(attempts, _FORGOTTEN_AT_ONCE) if attempts[one].at_ms + valid_ms <= now_ms]
            for one in past:
                del attempts[one]

    def forget(self, attempt_id: str) -> None:
        """Lets go of a receive whose messages are given back, or some of them."""
        self._attempts.pop(attempt_id, None)
        self._of_nodes.pop(attempt_id, None)

    def find(self, attempt_id: str, items: dict[int, Item], now_ms: int, *, read_to: int) -> list[Item]:
        """Returns the messages of a receive, if all of them are still in flight by it.

        Args:
            attempt_id: a ReceiveRequestAttemptId.
            items: messages in memory.
            now_ms: milliseconds since 1970-01-01 UTC.
            read_to: messages of lower sequence numbers are in memory, or gone.

        Returns:
            Those; none where there was no such receive in the last five minutes, or its visibility timeout has
            ended: the messages are visible again then, and the receive is as good as a new one.

        Raises:
            InvalidParameterValue: one of them was deleted, or had its visibility changed; a node is told of none
                instead, since whoever asked it knows of no attempt.
        """
        is_of_node = attempt_id.startswith(NODE_ATTEMPT)
        attempt = (self._of_nodes if is_of_node else self._attempts).get(attempt_id)
        if attempt is None or attempt.at_ms + ATTEMPT_MS <= now_ms:
            return []
        found = []
        states = set()
        for sequence, number in attempt.receives:
            item = items.get(sequence)
            if item is not None:
                found.append(item)
                states.add(_state_of(item, number, attempt, now_ms))
            else:
                states.add(_MODIFIED if sequence < read_to else _ENDED)
        if _MODIFIED in states and not is_of_node:
            raise InvalidParameterValue.of("ReceiveRequestAttemptId", attempt_id, _NOT_RETRYABLE)
        return found if states == {_AS_IT_WAS} else []


def _state_of(item: Item, number: int, attempt: _Attempt, now_ms: int) -> int:
    """Returns what has become of a message in memory that an attempt returned.

    Args:
        item: the message.
        number: of the receive by the attempt.
        attempt: the attempt.
        now_ms: milliseconds since 1970-01-01 UTC.
    """
    if item.state == GONE or item.is_leaving:
        return _MODIFIED
    if item.receives < number or (item.receives == number and item.received_ms > attempt.at_ms):
        # It was given back since, and may be somebody else's by a receive of the same number.
        return _ENDED
    is_received_by_it = item.state == IN_FLIGHT and item.receives == number
    visible_ms = attempt.visible_ms or item.visible_ms
    if is_received_by_it and item.visible_ms != visible_ms:
        return _MODIFIED
    if visible_ms <= now_ms or item.is_bare:
        return _ENDED
    if is_received_by_it:
        return _AS_IT_WAS
    return _MODIFIED if attempt.visible_ms else _ENDED


class Hide(Work):
    """A receive of a FIFO queue: its messages are hidden durably before they are given to anybody.

    Args:
        state: of the queue.
        items: taken from the line, or, of a repeated attempt, in flight already; their receives are counted.
        visibility_s: how long they are hidden.
        attempt_id: the ReceiveRequestAttemptId; empty for none.
        is_repeated: whether they were received by the same attempt before.
        deadline: when to give up.
        future: gets the messages.
    """

    __slots__ = ("_attempt_id", "_is_repeated", "_items", "_state", "_visibility_ms")

    def __init__(
        self,
        state: State,
        items: Sequence[Item],
        visibility_s: int,
        attempt_id: str,
        *,
        is_repeated: bool,
        deadline: float,
        future: asyncio.Future[Any],
    ) -> None:
        super().__init__(deadline, future, count=len(items))
        self._state = state
        self._items = items
        self._visibility_ms = visibility_s * 1000
        self._attempt_id = attempt_id
        self._is_repeated = is_repeated
        for item in items if is_repeated else ():
            state.working.hold_back(item)

    def stage(self, staged: Staged) -> None:
        """Writes that they are received, and until when they are hidden."""
        until_ms = staged.now_ms + self._visibility_ms
        here = [item for item in self._items if item.state != GONE]
        for item in here:
            staged.receives.append(
                Receive(item.message.sequence, item.receives, item.first_ms, item.received_ms, until_ms)
            )
            staged.received.append(item)
        if self._attempt_id and here:
            sequences = [item.message.sequence for item in here]
            staged.attempts.append(Attempt(self._attempt_id, _attempted_ms(staged, here), sequences, until_ms))

    def take_effect(self, staged: Staged) -> None:
        """Gives the messages to who asked; if nobody waits any more they are given back."""
        state, working = self._state, self._state.working
        here = [item for item in self._items if item.state != GONE]
        until_ms = staged.now_ms + self._visibility_ms
        working.hide(here, until_ms)
        self._let_on()
        if self.future is None or self.future.done():
            if not self._is_repeated:
                put_back(state, here)
            return
        if self._attempt_id and here:
            numbers = [(item.message.sequence, item.receives) for item in here]
            state.attempts.note(self._attempt_id, _attempted_ms(staged, here), numbers, until_ms)
        state.attempts.prune(staged.now_ms)
        if not self._is_repeated:
            working.received += len(here)
        self.answer([received(state.queue.id, item, is_fifo=True) for item in here])
        state.window.strip(here)

    def undo(self, error: Exception) -> None:
        """Puts the messages back where they stood, and tells who asked."""
        self._let_on()
        if not self._is_repeated:
            put_back(self._state, self._items)
        self.refuse(error)

    def _let_on(self) -> None:
        for item in self._items if self._is_repeated else ():
            self._state.working.let_on(item)


def _attempted_ms(staged: Staged, items: Sequence[Item]) -> int:
    """Returns when an attempt was: not before its messages were taken, whatever the clock has done since."""
    return max(staged.now_ms, *(item.received_ms for item in items))


def put_back(state: State, items: Sequence[Item]) -> None:
    """Has messages as if they had not been received the last time; they are ready again."""
    for item in items:
        if item.state == IN_FLIGHT:
            item.receives -= 1
            if not item.receives:
                item.first_ms = 0
            state.working.show(item)


class Change(Work):
    """New visibilities of messages of a FIFO queue, or receive counts of a standard one: written, then taken up.

    Args:
        state: of the queue.
        changes: messages with when they become visible, milliseconds since 1970-01-01 UTC.
        future: gets the results; None: nobody waits.
        results: what to answer.
        deadline: when to give up.
        is_count: whether only the counts are to be written, and memory is ahead of them.
        hidden: messages that are not in memory: sequence number, number of the receive, and when they become visible.
    """

    __slots__ = ("_changes", "_hidden", "_is_count", "_results", "_state")

    def __init__(
        self,
        state: State,
        changes: Sequence[tuple[Item, int]],
        future: asyncio.Future[Any] | None = None,
        *,
        results: Sequence[QueuesError | None] = (),
        deadline: float = NEVER,
        is_count: bool = False,
        hidden: Sequence[tuple[int, int, int]] = (),
    ) -> None:
        super().__init__(deadline, future, count=len(changes) + len(hidden))
        self._state = state
        self._changes = changes
        self._results = results
        self._is_count = is_count
        self._hidden = hidden
        for item, _ in () if is_count else changes:
            state.working.hold_back(item)
        for sequence, _, _ in hidden:
            state.working.hold_back_unread(sequence)

    def stage(self, staged: Staged) -> None:
        """Writes them."""
        for item, visible_ms in self._changes:
            if item.state != GONE:
                staged.receives.append(
                    Receive(item.message.sequence, item.receives, item.first_ms, item.received_ms, visible_ms)
                )
                staged.received.append(item)
        working = self._state.working
        for sequence, receives, visible_ms in self._hidden:
            item_there = working.items.get(sequence)
            receive = _receive_of(item_there) if item_there is not None else working.found.get(sequence, (None, 0))[0]
            if receive is not None and receive.receives == receives:
                staged.receives.append(msgspec.structs.replace(receive, visible_ms=visible_ms))
                staged.received.append(item_there)

    def take_effect(self, staged: Staged) -> None:  # noqa: ARG002 - as of every work
        """Takes them up, and answers."""
        if not self._is_count:
            for item, visible_ms in self._changes:
                if item.state == IN_FLIGHT:
                    item.visible_ms = visible_ms
                self._state.working.let_on(item)
        working = self._state.working
        for sequence, receives, visible_ms in self._hidden:
            item_there = working.items.get(sequence)
            if item_there is not None and item_there.state == IN_FLIGHT and item_there.receives == receives:
                item_there.visible_ms = visible_ms
            working.let_on_unread(sequence)
        self.answer(self._results)

    def undo(self, error: Exception) -> None:
        """Has the visibilities as they were, and tells who asked."""
        for item, _ in () if self._is_count else self._changes:
            self._state.working.let_on(item)
        for sequence, _, _ in self._hidden:
            self._state.working.let_on_unread(sequence)
        self.refuse(error)


def _receive_of(item: Item) -> Receive:
    """Returns the latest receive of a message, as it is stored."""
    return Receive(item.message.sequence, item.receives, item.first_ms, item.received_ms, item.visible_ms)
