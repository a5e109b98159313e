"""What is held in memory of a queue: the messages at its front, who may have them when, and how many there are.

Nothing here waits for anything, and nothing is written: whoever calls has written it, or will. It promises:

* A message is ready, delayed, in flight or gone; ``ready``, ``delayed`` and ``in_flight`` are how many in memory are.
* ``live`` is how many messages the queue holds, those behind the window included that are not in memory.
* What is to leave (``mark``) is given to nobody any more; it leaves (``leave``), or stays after all (``stay``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from tenet.queues.ops.owning.due import Due
from tenet.queues.ops.owning.fifo import FifoLine
from tenet.queues.ops.owning.items import DELAYED, GONE, IN_FLIGHT, READY, Item, Segment
from tenet.queues.ops.owning.standard import StandardLine
from tenet.queues.rules.stored import Head, Message, Receive

#: What is lighter than this stays in memory while it is in flight: it would save little.
_BARE_LEAST: Final = 1_024
#: So many numbers of records are looked at with one commit.
_RECORDS_PASSED_MAX: Final = 10_000


class Working:
    """The working state of one queue.

    Args:
        is_fifo: whether it is a FIFO queue.
        head: as it was read; its counters go on from there.

    Attributes:
        items: messages in memory by sequence number.
        segments: their segments in order, up to where the window ends; by their first sequence numbers.
        beyond: segments behind the window of which something is in memory.
        live: how many messages the queue holds.
        next: the sequence number of the next message.
        sent: messages sent so far.
        received: messages received so far.
        deleted: messages deleted so far.
        purged_ms: when it was purged last; 0 for never.
        first: the lowest sequence number that a message may have.
        ready: how many messages in memory may be received.
        delayed: how many in memory are not visible for the first time yet.
        in_flight: how many were received.
        waiting_weight: of those that are ready or delayed, about bytes.
        flying_weight: of those that are in flight and not bare.
        bare: messages whose time has come, and whose bodies have to be read before anybody is given them.
        found: receives of messages that are not in memory yet, as they were read, with the numbers of their records.
        holding: how many changes of their visibility wait to be written, of messages that are not in memory; whoever
            takes one into it meanwhile hides it.
        buried: how many segments of `beyond` are gone; they are forgotten when nobody can have read them before.
        readers: how many are reading what is stored, or work with what they have read.
        obsolete: numbers of records of receives that nobody needs any more.
    """

    def __init__(self, *, is_fifo: bool, head: Head) -> None:
        self.is_fifo = is_fifo
        self.items: dict[int, Item] = {}
        self.segments: dict[int, Segment] = {}
        self.beyond: dict[int, Segment] = {}
        self.line: StandardLine | FifoLine = FifoLine() if is_fifo else StandardLine()
        self.due = Due()
        self.live = head.live
        self.next = head.next
        self.sent = head.sent
        self.received = head.received
        self.deleted = head.deleted
        self.purged_ms = head.purged_ms
        self.first = head.first
        self.ready = 0
        self.delayed = 0
        self.in_flight = 0
        self.waiting_weight = 0
        self.flying_weight = 0
        self.bare: deque[Item] = deque()
        self.found: dict[int, tuple[Receive, int]] = {}
        self.holding: dict[int, int] = {}
        self.buried = 0
        self.readers = 0
        self.obsolete: list[int] = []
        self._records: dict[int, int] = {}
        #: Below this number there is no record of receives that could be needed.
        self._records_first = head.receives_first
        #: First numbers of the segments in the window, in order; those that are gone stay until they stand first.
        self._order: deque[int] = deque()

    @property
    def unread(self) -> int:
        """How many messages are not in memory."""
        return self.live - len(self.items)

    # ---- coming ------------------------------------------------------------------------------------------------------

    def arrive(self, messages: Iterable[Message], segment: Segment, now_ms: int) -> list[Item]:
        """Takes messages into memory, each behind all of its group that came before.

        Args:
            messages: stored, not gone, and not in memory.
            segment: where they are stored.
            now_ms: milliseconds since 1970-01-01 UTC.
        """
        add = self.line.add
        arrived = []
        due: dict[int, list[Item]] = {}
        for message in messages:
            item = Item(message, segment)
            self.items[message.sequence] = item
            if self.found and (found := self.found.pop(message.sequence, None)) is not None:
                receive, item.record = found
                item.receives, item.first_ms = receive.receives, receive.first_ms
                item.received_ms, item.visible_ms = receive.received_ms, receive.visible_ms
                item.holds = self.holding.pop(message.sequence, 0)
                if item.visible_ms > now_ms or item.holds:
                    item.state = IN_FLIGHT
            elif item.visible_ms > now_ms:
                item.state = DELAYED
            if item.state == READY:
                self.ready += 1
                self.waiting_weight += item.weight
            elif item.state == DELAYED:
                self.delayed += 1
                self.waiting_weight += item.weight
                due.setdefault(item.visible_ms, []).append(item)
            else:
                self.in_flight += 1
                self.flying_weight += item.weight
                due.setdefault(item.visible_ms, []).append(item)
            add(item)
            arrived.append(item)
        for at_ms, items in due.items():
            self.due.push(at_ms, items, self.delayed + self.in_flight)
        return arrived

    def reach(self, segment: Segment) -> None:
        """Takes up the next segment of the window."""
        self.segments[segment.first] = segment
        self._order.append(segment.first)

    @property
    def front(self) -> Segment | None:
        """The first segment of the window; None: there is none."""
        order = self._order
        while order:
            segment = self.segments.get(order[0])
            if segment is not None:
                return segment
            order.popleft()
        return None

    # ---- being received ----------------------------------------------------------------------------------------------

    def take(self, most: int, receives_max: int) -> list[Item]:
        """Returns up to so many ready messages, which are in flight from now on; nothing else about them changes.

        Args:
            most: 1 or more.
            receives_max: how often a message may be received; 0: as often as anybody likes.
        """
        taken = self.line.take(most, receives_max)
        self.ready -= len(taken)
        self.in_flight += len(taken)
        for item in taken:
            # Whatever it waited for before does not concern this receive.
            item.visible_ms = 0
            self.waiting_weight -= item.weight
            self.flying_weight += item.weight
        return taken

    def strip(self, items: Sequence[Item], weight_max: int) -> None:
        """Keeps the bodies of messages in the store alone if too many of those in flight are in memory.

        Args:
            items: in flight, and given to a consumer.
            weight_max: of all in flight, about bytes.
        """
        if self.flying_weight <= weight_max:
            return
        for item in items:
            if not item.is_bare and item.state == IN_FLIGHT and item.weight > _BARE_LEAST:
                item.is_bare = True
                item.message = msgspec.structs.replace(item.message, body="", attributes=b"")
                self.flying_weight -= item.weight

    def clothe(self, item: Item, message: Message, now_ms: int) -> None:
        """Takes the body of a message into memory again, and makes it ready if its time has come."""
        if not item.is_bare or item.state != IN_FLIGHT:
            return
        item.is_bare = False
        item.message = message
        self.flying_weight += item.weight
        if item.visible_ms <= now_ms and not item.is_leaving:
            self.show(item)

    def hide(self, items: Sequence[Item], until_ms: int) -> None:
        """Has messages in flight, or delayed ones, become visible together at some time.

        Args:
            items: of which none may have left.
            until_ms: milliseconds since 1970-01-01 UTC.
        """
        for item in items:
            item.visible_ms = until_ms
        self.due.push(until_ms, items, self.delayed + self.in_flight)

    def withdraw(self, item: Item) -> None:
        """Puts a ready message of a standard queue in flight without anybody receiving it."""
        self.line.withdraw(item)
        item.state = IN_FLIGHT
        self.ready -= 1
        self.in_flight += 1
        self.waiting_weight -= item.weight
        self.flying_weight += item.weight

    def show(self, item: Item) -> None:
        """Makes a message ready that was delayed or in flight."""
        if item.state == DELAYED:
            item.state = READY
            self.delayed -= 1
            self.ready += 1
            self.line.wake(item)
        elif item.is_bare:
            self.bare.append(item)
        elif item.state == IN_FLIGHT:
            item.state = READY
            self.in_flight -= 1
            self.ready += 1
            self.flying_weight -= item.weight
            self.waiting_weight += item.weight
            self.line.come_back(item)

    def show_due(self, now_ms: int) -> None:
        """Makes all messages ready whose time has come."""
        for item in self.due.pop(now_ms):
            self.show(item)

    # ---- leaving -----------------------------------------------------------------------------------------------------

    def hold_back(self, item: Item) -> None:
        """Keeps a message in flight hidden until `let_on`, whenever its time comes."""
        item.holds += 1

    def let_on(self, item: Item) -> None:
        """Ends what `hold_back` began; where its visibility was not changed, its time may have come meanwhile."""
        item.holds -= 1
        if item.state == IN_FLIGHT and not item.holds:
            self.due.push(item.visible_ms, (item,), self.delayed + self.in_flight)

    def hold_back_unread(self, sequence: int) -> None:
        """Does what `hold_back` does for a message that is not in memory, for when it comes into it."""
        self.holding[sequence] = self.holding.get(sequence, 0) + 1

    def let_on_unread(self, sequence: int) -> None:
        """Ends what `hold_back_unread` began, wherever the message is by now."""
        item = self.items.get(sequence)
        if item is not None:
            self.let_on(item)
            return
        left = self.holding.pop(sequence, 0) - 1
        if left > 0:
            self.holding[sequence] = left

    def mark(self, item: Item) -> None:
        """Gives a message to nobody any more: it is going to leave."""
        item.is_leaving = True

    def stay(self, item: Item) -> None:
        """Takes a message back that did not leave after all."""
        if item.state == GONE:
            return
        item.is_leaving = False
        if item.state == READY:
            self.line.stay(item)
        else:
            # Its time may have come meanwhile.
            self.due.push(item.visible_ms, (item,), self.delayed + self.in_flight)

    def leave(self, item: Item) -> None:
        """Forgets a message that is gone, durably."""
        if item.state == IN_FLIGHT:
            self.in_flight -= 1
            if not item.is_bare:
                self.flying_weight -= item.weight
        else:
            self.waiting_weight -= item.weight
            if item.state == READY:
                self.ready -= 1
            else:
                self.delayed -= 1
        self.line.leave(item)
        item.state = GONE
        self.release(item.record)
        del self.items[item.message.sequence]
        self.live -= 1

    def bury(self, segment: Segment, gone: int) -> None:
        """Notes which messages of a segment are gone, durably, and forgets one that has no others.

        Args:
            segment: of this queue.
            gone: bit n: the n-th of its messages is gone.
        """
        segment.gone |= gone
        if segment.is_gone:
            self.segments.pop(segment.first, None)
            if segment.first in self.beyond:
                # It stays, so that whoever has read it before does not take it for what it was.
                self.buried += 1

    def forget_buried(self, end: int) -> None:
        """Forgets segments that are gone and lie before the end of the window; there may be many of them."""
        self.beyond = {first: segment for first, segment in self.beyond.items() if first >= end}
        self.buried = sum(segment.is_gone for segment in self.beyond.values())

    def forget_gone(self) -> None:
        """Forgets segments that are gone, wherever they lie; for when there are no readers."""
        self.beyond = {first: segment for first, segment in self.beyond.items() if not segment.is_gone}
        self.buried = 0

    def clear(self, first: int) -> None:
        """Forgets everything that was purged.

        Args:
            first: the lowest sequence number that a message may have from now on.
        """
        for item in self.items.values():
            item.state = GONE
        self.items.clear()
        self.segments.clear()
        self.beyond.clear()
        self.buried = 0
        self.line = FifoLine() if self.is_fifo else StandardLine()
        self.due = Due()
        self.bare.clear()
        self.found.clear()
        self.holding.clear()
        self.obsolete.clear()
        self._records.clear()
        self._order.clear()
        self.live = self.ready = self.delayed = self.in_flight = 0
        self.waiting_weight = self.flying_weight = 0
        self.first = first

    # ---- records of receives -----------------------------------------------------------------------------------------

    def first_record(self, behind: int) -> int:
        """Returns a number below which there is no record of receives that could be needed.

        Args:
            behind: the number of the next one.
        """
        records, first = self._records, self._records_first
        if not self.obsolete:
            behind = min(behind, first + _RECORDS_PASSED_MAX)
            while first < behind and first not in records:
                first += 1
            self._records_first = first
        return first

    def keep_records(self, numbers: Sequence[int]) -> None:
        """Takes up that obsolete records could not be removed."""
        self.obsolete += numbers
        self._records_first = min(self._records_first, min(numbers, default=self._records_first))

    def hold(self, item: Item, record: int) -> None:
        """Notes that the latest receive of a message is in a record; the one that had it before may be obsolete."""
        before, item.record = item.record, record
        self._records[record] = self._records.get(record, 0) + 1
        self.release(before)

    def spare(self, record: int) -> None:
        """Notes that a record of receives was written; if no message needs it, it is obsolete."""
        if record not in self._records:
            self.obsolete.append(record)

    def find(self, receive: Receive, record: int) -> None:
        """Takes up a receive as it was read, for a message that is not in memory yet; later ones replace earlier."""
        before = self.found.get(receive.sequence)
        self.found[receive.sequence] = (receive, record)
        self._records[record] = self._records.get(record, 0) + 1
        if before is not None:
            self.release(before[1])

    def lose(self, sequences: Iterable[int]) -> None:
        """Forgets receives of messages that turned out to be gone."""
        for sequence in sequences:
            found = self.found.pop(sequence, None)
            if found is not None:
                self.release(found[1])

    def release(self, record: int) -> None:
        """Notes that a record of receives is needed by one message less."""
        if not record:
            return
        left = self._records[record] - 1
        if left:
            self._records[record] = left
        else:
            del self._records[record]
            self.obsolete.append(record)
