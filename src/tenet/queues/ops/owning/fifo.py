"""The line of a FIFO queue: a line per group, of which one that has messages in flight is held back.

Promises: the messages of a group are taken in the order of their sequence numbers; none is taken while an earlier one
of its group is delayed, in flight or on its way out. A message that comes back stands before all that were behind it.
Every step takes the same time, however long the lines; messages that come back are sorted among themselves.
"""

from __future__ import annotations

from collections import deque

from tenet.queues.ops.owning.items import GONE, IN_FLIGHT, READY, Item


class _Group:
    """A message group.

    Attributes:
        items: those that are not in flight, in order.
        returned: those that came back while others were in flight, in any order.
        in_flight: how many are.
        has_turn: whether it stands among the groups that messages can be taken from.
    """

    __slots__ = ("has_turn", "in_flight", "items", "name", "returned")

    def __init__(self, name: str) -> None:
        self.name = name
        self.items: deque[Item] = deque()
        self.returned: list[Item] = []
        self.in_flight = 0
        self.has_turn = False


class FifoLine:
    """What a FIFO queue holds, by group."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}
        self._turns: deque[_Group] = deque()

    @property
    def has_turn(self) -> bool:
        """Whether there is something to take."""
        return bool(self._turns)

    def add(self, item: Item) -> None:
        """Puts a message behind those of its group; none of a later number was added before."""
        name = item.message.group
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group(name)
        if item.state == IN_FLIGHT:
            group.in_flight += 1
            return
        group.items.append(item)
        if not group.has_turn:
            self._offer(group)

    def wake(self, item: Item) -> None:
        """Takes up that a message is not delayed any more."""
        self._offer(self._groups[item.message.group])

    def come_back(self, item: Item) -> None:
        """Takes up a message that was in flight and is visible again."""
        group = self._groups[item.message.group]
        group.returned.append(item)
        self._land(group)

    def withdraw(self, item: Item) -> None:  # noqa: ARG002 (as StandardLine has it)
        """Takes no message out of line: what a FIFO queue has in flight has been received."""
        raise AssertionError("a message of a FIFO queue is taken, or not at all")

    def leave(self, item: Item) -> None:
        """Forgets a message; its state is still what it was."""
        group = self._groups[item.message.group]
        if item.state == IN_FLIGHT:
            item.state = GONE
            self._land(group)
        else:
            item.state = GONE
            self._offer(group)

    def stay(self, item: Item) -> None:
        """Takes up that a message did not leave after all."""
        self._offer(self._groups[item.message.group])

    def take(self, most: int, receives_max: int) -> list[Item]:
        """Returns up to so many messages, which are in flight from now on; those of a group stand in their order.

        Args:
            most: 1 or more.
            receives_max: one that was received so often is the first or the last of its group to be taken; 0: there
                is no such number.
        """
        taken: list[Item] = []
        turns = self._turns
        while turns and len(taken) < most:
            group = turns.popleft()
            group.has_turn = False
            items = group.items
            if group.in_flight:
                # One in flight was read after the first that is ready.
                continue
            while items and len(taken) < most:
                item = items[0]
                if item.state == GONE:
                    items.popleft()
                    continue
                if item.state != READY or item.is_leaving:
                    break
                is_worn = 0 < receives_max <= item.receives
                if is_worn and group.in_flight:
                    break
                items.popleft()
                item.state = IN_FLIGHT
                group.in_flight += 1
                taken.append(item)
                if is_worn:
                    break
            # Where it came to nothing, the group is offered again when what is in its way has changed.
            if not items and not group.in_flight:
                del self._groups[group.name]
        return taken

    def waiting(self, group: str) -> int:
        """Returns about how many messages of a group stand in line."""
        found = self._groups.get(group)
        return 0 if found is None else len(found.items)

    def _land(self, group: _Group) -> None:
        group.in_flight -= 1
        if group.in_flight:
            return
        returned, items = group.returned, group.items
        if returned:
            last = max(map(_sequence, returned))
            # Of a queue that was just taken over, some may have been ready while later ones were in flight.
            while items and items[0].message.sequence < last:
                returned.append(items.popleft())
            returned.sort(key=_sequence, reverse=True)
            items.extendleft(returned)
            returned.clear()
        self._offer(group)

    def _offer(self, group: _Group) -> None:
        """Gives a group its turn if its first message can be taken, and forgets it if it has none."""
        if group.has_turn or group.in_flight:
            return
        items = group.items
        while items and items[0].state == GONE:
            items.popleft()
        if not items:
            self._groups.pop(group.name, None)
            return
        if items[0].state == READY and not items[0].is_leaving:
            group.has_turn = True
            self._turns.append(group)


def _sequence(item: Item) -> int:
    return item.message.sequence
