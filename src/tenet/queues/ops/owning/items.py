"""Messages and segments that are held in memory."""

from __future__ import annotations

from typing import Final

from tenet.queues.rules.stored import Message, message_weight

#: What a message in memory is: to be received; not visible for the first time yet; received; no more.
READY: Final = 0
DELAYED: Final = 1
IN_FLIGHT: Final = 2
GONE: Final = 3


class Segment:
    """Messages that were written together.

    Args:
        first: the sequence number of its first message.
        count: how many messages it was written with.
        last_sent_ms: when the last of them was sent, milliseconds since 1970-01-01 UTC.
        gone: bit n: the n-th of them is gone, and this is durable.
    """

    __slots__ = ("count", "first", "gone", "last_sent_ms")

    def __init__(self, first: int, count: int, last_sent_ms: int, gone: int = 0) -> None:
        self.first = first
        self.count = count
        self.last_sent_ms = last_sent_ms
        self.gone = gone

    @property
    def is_gone(self) -> bool:
        """Whether all of its messages are gone."""
        return self.gone == (1 << self.count) - 1


class Item:
    """A message in memory, and what has come of it so far.

    Args:
        message: as it is stored.
        segment: where it is stored.

    Attributes:
        state: ``READY``, ``DELAYED``, ``IN_FLIGHT`` or ``GONE``.
        receives: how often it has been received.
        first_ms: when that was for the first time, milliseconds since 1970-01-01 UTC.
        received_ms: when that was for the last time.
        visible_ms: when it becomes visible, unless it is ``READY``.
        record: the number of the stored record that has its latest receive; 0: there is none.
        holds: how many changes of its visibility wait to be written; it stays hidden meanwhile.
        is_leaving: whether the next commit, or the one under way, takes it away.
        weight: what it counts towards the limits of memory, about bytes.
        is_bare: whether its body and attributes are in the store alone, as long as it is in flight.
    """

    __slots__ = (
        "first_ms",
        "holds",
        "is_bare",
        "is_leaving",
        "message",
        "received_ms",
        "receives",
        "record",
        "segment",
        "state",
        "visible_ms",
        "weight",
    )

    def __init__(self, message: Message, segment: Segment) -> None:
        self.message = message
        self.segment = segment
        self.state = READY
        self.receives = message.receives
        self.first_ms = 0
        self.received_ms = 0
        self.visible_ms = message.visible_ms
        self.record = 0
        self.holds = 0
        self.is_leaving = False
        self.is_bare = False
        self.weight = message_weight(message)
