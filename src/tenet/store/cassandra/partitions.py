"""What this process believes of partitions, and the lines in which its commits to one partition wait.

A belief saves a round where it is right and costs one where it is wrong; nothing depends on it. The line keeps the
commits of one process to one partition from competing with each other, which lightweight transactions bear badly.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from tenet.base.clock import NEVER
from tenet.store.cassandra.schema import REMEMBERED_S
from tenet.store.errors import DeadlineExceeded

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.cassandra.unit import Seen

_BELIEVED_MAX: Final = 100_000

Place = tuple[str, bytes]


class Partitions:
    """Beliefs and lines.

    Args:
        clock: time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._believed: OrderedDict[Place, tuple[int | None, bytes | None, float]] = OrderedDict()
        self._lines: dict[Place, tuple[asyncio.Lock, int]] = {}

    def believed(self, place: Place) -> tuple[int | None, bytes | None]:
        """Returns the hybrid time of a partition and its column ``pe``, as far as they are known."""
        time, pointer, until = self._believed.get(place, (None, None, 0.0))
        return time if until > self._clock.monotonic_s() else None, pointer

    def learn(self, place: Place, time: int | None, pointer: bytes | None) -> None:
        """Remembers what was seen of a partition."""
        self._believed[place] = (time, pointer, self._clock.monotonic_s() + REMEMBERED_S)
        self._believed.move_to_end(place)
        if len(self._believed) > _BELIEVED_MAX:
            self._believed.popitem(last=False)

    def learn_time(self, place: Place, time: int) -> None:
        """Remembers the time of a partition, and leaves what is known of its pointer."""
        self.learn(place, time, self._believed.get(place, (None, None, 0.0))[1])

    def learn_seen(self, place: Place, seen: Seen) -> None:
        """Remembers what a refusal or a look showed."""
        self.learn(place, seen.time, seen.pointer)

    @asynccontextmanager
    async def line(self, place: Place, deadline: float = NEVER) -> AsyncIterator[None]:
        """Waits until this process sends nothing else to the partition.

        Raises:
            DeadlineExceeded: the deadline passed first; nothing was sent.
        """
        lock, waiting = self._lines.get(place, (None, 0))
        lock = lock or asyncio.Lock()
        self._lines[place] = (lock, waiting + 1)
        try:
            if lock.locked() and deadline != NEVER:
                try:
                    async with asyncio.timeout(max(0.0, deadline - self._clock.monotonic_s())):
                        await lock.acquire()
                except TimeoutError as error:
                    raise DeadlineExceeded(
                        "the deadline passed while other commits to the partition went on"
                    ) from error
            else:
                await lock.acquire()
            try:
                yield
            finally:
                lock.release()
        finally:
            lock, waiting = self._lines[place]
            if waiting == 1:
                del self._lines[place]
            else:
                self._lines[place] = (lock, waiting - 1)
