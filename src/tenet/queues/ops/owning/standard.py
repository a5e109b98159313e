"""The line of a standard queue: messages that are ready, with their groups taking turns.

A message goes to the end of its group's line. A receive takes from one group after the other, so that a group with a
long line holds up none with a short one. A group is noisy while 30 of its messages and more than a tenth of all are in
flight; of two groups whose turn is next, a noisy one goes after one that is not, and after one with fewer in flight.
Messages without a group share a line that is never noisy. Every step takes the same time, however long the lines.

Source: "Amazon SQS fair queues",
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from tenet.queues.ops.owning.items import IN_FLIGHT, READY, Item

#: A group is noisy with so many messages in flight, if they are more than this part of all.
NOISY_LEAST: Final = 30
NOISY_SHARE: Final = 10
#: So many may stand in line that have left, before they are swept out.
_STALE_LEAST: Final = 1_000


class StandardLine:
    """What is ready in a standard queue."""

    def __init__(self) -> None:
        self._groups: dict[str, deque[Item]] = {}
        self._turns: deque[str] = deque()
        #: How many messages are in flight: of each group, and of all.
        self._in_flight: dict[str, int] = {}
        self._flying = 0
        #: How many stand in all lines, and how many of them have left at least.
        self._standing = 0
        self._stale = 0

    @property
    def has_turn(self) -> bool:
        """Whether there is something to take."""
        return bool(self._turns)

    def add(self, item: Item) -> None:
        """Puts a message that is ready at the end of its group's line; one that is delayed comes when it wakes."""
        if item.state == IN_FLIGHT:
            self._fly(item.message.group)
        elif item.state == READY:
            self._append(item)

    def wake(self, item: Item) -> None:
        """Takes up a message that is visible for the first time now."""
        self._append(item)

    def come_back(self, item: Item) -> None:
        """Takes up a message that was in flight and is visible again."""
        self._end_flight(item.message.group)
        self._append(item)

    def withdraw(self, item: Item) -> None:
        """Takes a ready message out of line, whose state is to be that of one in flight."""
        self._fly(item.message.group)

    def leave(self, item: Item) -> None:
        """Forgets a message, before its state is changed; one that is in line is passed over when its turn comes."""
        if item.state == IN_FLIGHT:
            self._end_flight(item.message.group)
        elif item.state == READY:
            self._stale += 1
            if self._stale > _STALE_LEAST and 2 * self._stale > self._standing:
                self._sweep(item)

    def _sweep(self, leaving: Item) -> None:
        """Takes those out of line that have left."""
        self._standing = self._stale = 0
        for group in tuple(self._groups):
            line = deque(item for item in self._groups[group] if item.state == READY and item is not leaving)
            self._standing += len(line)
            if line:
                self._groups[group] = line
            else:
                del self._groups[group]
                self._turns.remove(group)

    def stay(self, item: Item) -> None:
        """Takes up a message again that did not leave after all."""
        if item.state == READY:
            self._append(item)

    def take(self, most: int, receives_max: int) -> list[Item]:  # noqa: ARG002 (as FifoLine has it)
        """Returns up to so many messages, which are in flight from now on.

        Args:
            most: 1 or more.
            receives_max: how often a message may be received; of no importance to the order here.
        """
        taken: list[Item] = []
        turns = self._turns
        while turns and len(taken) < most:
            group = self._next_turn()
            line = self._groups[group]
            while line:
                item = line.popleft()
                self._standing -= 1
                # One that left while it stood in line, or stands in line twice, is passed over.
                if item.state == READY and not item.is_leaving:
                    item.state = IN_FLIGHT
                    self._fly(group)
                    taken.append(item)
                    if turns or len(taken) >= most:
                        break
            if line:
                turns.append(group)
            else:
                del self._groups[group]
        return taken

    def waiting(self, group: str) -> int:
        """Returns about how many messages of a group stand in line."""
        line = self._groups.get(group)
        return 0 if line is None else len(line)

    def _next_turn(self) -> str:
        turns = self._turns
        group = turns.popleft()
        if turns and group:
            flying = self._in_flight.get(group, 0)
            is_noisy = flying >= NOISY_LEAST and flying * NOISY_SHARE > self._flying
            if is_noisy and flying > self._in_flight.get(turns[0], 0):
                other = turns.popleft()
                turns.appendleft(group)
                return other
        return group

    def _append(self, item: Item) -> None:
        group = item.message.group
        self._standing += 1
        line = self._groups.get(group)
        if line is None:
            self._groups[group] = deque((item,))
            self._turns.append(group)
        else:
            line.append(item)

    def _fly(self, group: str) -> None:
        self._flying += 1
        if not group:
            return
        self._in_flight[group] = self._in_flight.get(group, 0) + 1

    def _end_flight(self, group: str) -> None:
        self._flying -= 1
        if not group:
            return
        left = self._in_flight[group] - 1
        if left:
            self._in_flight[group] = left
        else:
            del self._in_flight[group]
