"""Receives that wait at one node for messages of a queue that another one has.

The node that has the queue is asked once. Where it has nothing to give, it notes that the node that asked is interested
(``Interests``), and tells it when there is something to take, unless somebody takes it there. A note is used up with
that; the next question that finds nothing makes another. The node that waits (``Waits``) then has as many of its
receives ask again as there are messages, and every one that got some has the next one ask. Whatever is lost on the way,
one receive of each queue asks again every second; with more than 200 queues, so much less often that 200 ask in a
second, and every ten seconds at the least.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from tenet.queues.rules.asked import decode, encode

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.mesh.places import NodeId, Places
    from tenet.queues.ops.owning.owner import Owner

#: How long a node is taken to be interested that has not asked again, seconds.
INTERESTED_S: Final = 30.0
#: How often one of the receives that wait for a queue asks by itself, seconds, and how many do in a second at the most.
ASK_S: Final = 1.0
ASK_S_MAX: Final = 10.0
_ASK_RATE: Final = 200
#: How many of them are woken together.
_WOKEN_MAX: Final = 16

_READY: Final = "queues.ready"
_DECLINED: Final = "queues.declined"


class Ready(Struct, array_like=True, gc=False):
    """That there is something to receive.

    Args:
        queue_id: of which queue.
        count: about how many messages.
    """

    queue_id: bytes
    count: int = 1


class Line:
    """The receives of this node that wait for one queue of another.

    Attributes:
        users: how many receives look at it.
        signals: counts how often there was something to take.
    """

    __slots__ = ("asked_s", "place", "signals", "slot", "users", "waiting")

    def __init__(self, slot: int, place: NodeId | None, now_s: float) -> None:
        self.slot = slot
        self.place = place
        self.asked_s = now_s
        self.users = 0
        self.signals = 0
        self.waiting: deque[asyncio.Future[None]] = deque()

    def wake(self, count: int) -> None:
        """Has so many receives ask again, those first that wait for the longest time."""
        self.signals += 1
        waiting = self.waiting
        while waiting and count > 0:
            future = waiting.popleft()
            if not future.done():
                future.set_result(None)
                count -= 1

    async def wait(self, signals: int, timeout_s: float) -> None:
        """Waits until it is this receive's turn to ask again, at most for some time.

        Args:
            signals: what they were when it asked; where there were more meanwhile it does not wait.
            timeout_s: seconds.
        """
        if signals != self.signals:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                # It was this one's turn, which somebody else has now.
                self.wake(1)
            raise
        finally:
            if not future.done():
                future.cancel()
            if future.cancelled() and future in self.waiting:
                self.waiting.remove(future)


class Waits:
    """The receives of this node that wait for queues of others.

    Args:
        places: who has which queues.
        clock: time.
    """

    def __init__(self, places: Places, clock: Clock) -> None:
        self._places = places
        self._now = clock.monotonic_s
        self._lines: dict[bytes, Line] = {}
        self._ticking: asyncio.Task[None] | None = None
        places.receive(_READY, self._take_ready)
        places.on_change(self._look)

    @contextmanager
    def line(self, queue_id: bytes) -> Iterator[Line]:
        """The line of a queue, for one receive."""
        line = self._lines.get(queue_id)
        if line is None:
            slot = self._places.slot_of(queue_id)
            line = self._lines[queue_id] = Line(slot, self._places.place_of(slot), self._now())
        line.users += 1
        if self._ticking is None:
            self._ticking = asyncio.get_running_loop().create_task(self._tick())
        try:
            yield line
        finally:
            line.users -= 1
            if not line.users:
                del self._lines[queue_id]

    def end(self) -> None:
        """Wakes all of them."""
        for line in self._lines.values():
            line.wake(len(line.waiting))

    def close(self) -> None:
        """Stops asking by itself."""
        self.end()
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    def _take_ready(self, sender: NodeId, body: bytes) -> None:
        try:
            ready = decode(body, Ready)
        except msgspec.MsgspecError:
            return
        line = self._lines.get(ready.queue_id)
        if line is None:
            self._places.notify(sender, _DECLINED, body)
            return
        line.wake(min(ready.count, _WOKEN_MAX))

    def _look(self) -> None:
        """Has receives ask whoever has their queue now."""
        for line in self._lines.values():
            place = self._places.place_of(line.slot)
            if self._places.is_here(line.slot):
                line.wake(len(line.waiting))
            elif place != line.place:
                line.wake(1)
            line.place = place

    async def _tick(self) -> None:
        """Has one receive of each queue ask again from time to time."""
        while self._lines:
            await asyncio.sleep(ASK_S / 4)
            now_s = self._now()
            pause_s = min(max(ASK_S, len(self._lines) / _ASK_RATE), ASK_S_MAX)
            for line in tuple(self._lines.values()):
                if line.asked_s + pause_s <= now_s:
                    line.asked_s = now_s
                    line.wake(1)
        self._ticking = None


class Interests:
    """Which other nodes have receives that wait for queues of this one.

    Args:
        places: who has which queues.
        clock: time.
    """

    def __init__(self, places: Places, clock: Clock) -> None:
        self._places = places
        self._now = clock.monotonic_s
        self._nodes: dict[bytes, dict[NodeId, float]] = {}
        self._owners: dict[bytes, Owner] = {}
        places.receive(_DECLINED, self._take_declined)

    def add(self, owner: Owner, node: NodeId) -> None:
        """Notes that a node waits for messages of a queue; tells it at once where there are some by now."""
        queue_id = owner.queue.id
        nodes = self._nodes.setdefault(queue_id, {})
        nodes.pop(node, None)
        nodes[node] = self._now() + INTERESTED_S
        self._owners[queue_id] = owner
        owner.on_ready = self._tell
        owner.look()

    def forget(self, owner: Owner) -> None:
        """Forgets who waits for a queue that this node does not have any more."""
        owner.on_ready = None
        self._nodes.pop(owner.queue.id, None)
        self._owners.pop(owner.queue.id, None)

    def _tell(self, owner: Owner, count: int) -> None:
        """Tells as many nodes as there are messages, those first that wait for the longest time."""
        queue_id = owner.queue.id
        nodes = self._nodes.get(queue_id, {})
        now_s = self._now()
        told = 0
        while nodes and told < count:
            node = next(iter(nodes))
            until_s = nodes.pop(node)
            share = -(-(count - told) // (len(nodes) + 1))
            if until_s > now_s and self._places.notify(node, _READY, encode(Ready(queue_id, share))):
                told += share
        if not nodes:
            self.forget(owner)

    def _take_declined(self, _: NodeId, body: bytes) -> None:
        try:
            ready = decode(body, Ready)
        except msgspec.MsgspecError:
            return
        owner = self._owners.get(ready.queue_id)
        if owner is not None:
            owner.look()
