"""Messages on their way into a queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tenet.queues.model import NewMessage, Sent
from tenet.queues.ops.owning.flushing import Work
from tenet.queues.rules.receipts import deduplication_key, message_id
from tenet.queues.rules.stored import MESSAGE_OVERHEAD, Message, message_weight

if TYPE_CHECKING:
    import asyncio

    from tenet.queues.ops.owning.flushing import Staged
    from tenet.queues.ops.owning.state import State

#: What of messages that come from another queue goes into one commit, if it is more than one: characters.
PART_WEIGHT_MAX: Final = 1_000_000


class Send(Work):
    """Messages of one request.

    Args:
        state: of the queue.
        messages: valid and measured.
        deadline: when to give up.
        future: gets a ``Sent`` for each message.
    """

    __slots__ = ("_messages", "_sequences", "_state")

    def __init__(
        self, state: State, messages: Sequence[NewMessage], deadline: float, future: asyncio.Future[Any]
    ) -> None:
        weight = 0
        for message in messages:
            weight += len(message.body) + len(message.attributes) + len(message.trace_header) + MESSAGE_OVERHEAD
        super().__init__(deadline, future, count=len(messages), weight=weight)
        self._state = state
        self._messages = messages
        self._sequences: list[int] = []

    def stage(self, staged: Staged) -> None:
        """Gives the messages their numbers, but for those that were sent before."""
        settings = self._state.queue.settings
        now_ms = staged.now_ms
        is_fifo = self._state.deduplication is not None
        sequences = self._sequences
        for new in self._messages:
            if is_fifo and (known := take_up_id(self._state, staged, new.deduplication_id, new.group)):
                sequences.append(known)
                continue
            delay_s = settings.delay_s if new.delay_s is None else new.delay_s
            sequence = staged.next
            staged.next = sequence + 1
            staged.messages.append(
                Message(
                    sequence,
                    now_ms,
                    now_ms + delay_s * 1000 if delay_s else 0,
                    new.body,
                    new.attributes,
                    new.md5_of_attributes,
                    new.trace_header,
                    new.sender,
                    new.group,
                    new.deduplication_id,
                )
            )
            sequences.append(sequence)

    def take_effect(self, staged: Staged) -> None:  # noqa: ARG002 - as of every work
        """Answers with the ids of the messages."""
        queue_id = self._state.queue.id
        if self._state.deduplication is None:
            self.answer([Sent(message_id(queue_id, sequence)) for sequence in self._sequences])
        else:
            self.answer([Sent(message_id(queue_id, sequence), sequence) for sequence in self._sequences])


class Transfer(Work):
    """Messages that come from another queue; of a standard one with when they were sent first, if that is known.

    Args:
        state: of the queue that they come to.
        messages: as they are to be, but for their numbers.
        tokens: what keeps a FIFO queue from taking each of them twice; none for those whose own ids do.
        deadline: when to give up.
        future: gets None.
    """

    __slots__ = ("_messages", "_state", "_tokens")

    def __init__(
        self,
        state: State,
        messages: Sequence[Message],
        tokens: Sequence[str],
        deadline: float,
        future: asyncio.Future[Any],
    ) -> None:
        super().__init__(deadline, future, count=len(messages), weight=sum(map(message_weight, messages)))
        self._state = state
        self._messages = messages
        self._tokens = tokens

    def stage(self, staged: Staged) -> None:
        """Gives the messages their numbers, but for those that came before."""
        is_fifo = self._state.deduplication is not None
        delay_s = self._state.queue.settings.delay_s
        for message, token in zip(self._messages, self._tokens, strict=True):
            if is_fifo and take_up_id(self._state, staged, token, message.group):
                continue
            staged.messages.append(
                msgspec.structs.replace(
                    message,
                    sequence=staged.next,
                    sent_ms=message.sent_ms if message.sent_ms and not is_fifo else staged.now_ms,
                    visible_ms=staged.now_ms + delay_s * 1000 if delay_s else 0,
                )
            )
            staged.next += 1

    def take_effect(self, staged: Staged) -> None:  # noqa: ARG002 - as of every work
        """Answers."""
        self.answer(None)


def parts(messages: Sequence[Message]) -> list[tuple[int, int]]:
    """Returns where to cut messages so that each part fits into a commit with ease."""
    cuts = [0]
    weight = 0
    for at, message in enumerate(messages):
        weight += message_weight(message)
        if weight > PART_WEIGHT_MAX and at > cuts[-1]:
            cuts.append(at)
            weight = message_weight(message)
    return list(zip(cuts, [*cuts[1:], len(messages)], strict=True))


def take_up_id(state: State, staged: Staged, deduplication_id: str, group: str) -> int:
    """Takes up the deduplication id of the message that is next, in a FIFO queue.

    Returns:
        The sequence number of the message that was sent with it before; 0: there is none.
    """
    assert state.deduplication is not None
    if not deduplication_id:
        return 0
    scope = group if state.queue.settings.deduplication_scope == "messageGroup" else ""
    key = deduplication_key(deduplication_id, scope)
    known = state.deduplication.find(key)
    if known is None:
        known = staged.keys.get(key)
    if known is not None:
        return known
    staged.keys[key] = staged.next
    return 0
