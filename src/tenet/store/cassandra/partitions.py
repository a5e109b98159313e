"""What this process believes of partitions, and the lines in which its commits to one partition wait.

A belief saves a round where it is right and costs one where it is wrong: each batch asks the cluster whether it holds.
The line keeps the commits of one process to one partition from competing with each other, which lightweight
transactions bear badly.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

from tenet.base.clock import NEVER
from tenet.store.cassandra.encoding import TIME_BYTES
from tenet.store.cassandra.schema import REMEMBERED_S
from tenet.store.cassandra.waits import Waits
from tenet.store.errors import DeadlineExceeded

if TYPE_CHECKING:
    from types import TracebackType

    from tenet.base.clock import Clock
    from tenet.store.cassandra.unit import Seen

_BELIEVED_MAX: Final = 100_000
#: Of how many records the cells are remembered, and how many bytes of one at the most.
_CELLS_MAX: Final = 20_000
_CELLS_BYTES_MAX: Final = 1_024

Place = tuple[str, bytes]


class Partitions:
    """Beliefs and lines.

    Args:
        clock: time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._believed: OrderedDict[Place, tuple[int | None, bytes | None, float]] = OrderedDict()
        self._cells: OrderedDict[tuple[Place, bytes], bytes] = OrderedDict()
        #: Who waits for his turn, at each partition at which somebody has it.
        self._lines: dict[Place, deque[asyncio.Future[None]] | None] = {}
        self._waits = Waits()

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

    def cells(self, place: Place, sort: bytes) -> bytes | None:
        """Returns the cells of a record as they were last known to stand in its row; None where nothing is known."""
        return self._cells.get((place, sort))

    def learn_cells(self, place: Place, sort: bytes, cells: bytes | None) -> None:
        """Remembers the cells of a record, unless newer ones are known.

        Args:
            place: the partition.
            sort: the record's sort key.
            cells: as they stand in its row, with their time; None where there is no record, or it has none.
        """
        record = (place, sort)
        if cells is None or len(cells) > _CELLS_BYTES_MAX:
            self._cells.pop(record, None)
            return
        if cells[:TIME_BYTES] < self._cells.get(record, b"")[:TIME_BYTES]:
            return
        self._cells[record] = cells
        self._cells.move_to_end(record)
        if len(self._cells) > _CELLS_MAX:
            self._cells.popitem(last=False)

    # ---- lines -------------------------------------------------------------------------------------------------------

    def line(self, place: Place, deadline: float = NEVER) -> Line:
        """Waits, at the beginning of a block, until this process sends nothing else to the partition.

        Args:
            place: the partition.
            deadline: when to give up.

        Raises:
            DeadlineExceeded: the deadline passed first; nothing was sent.
        """
        return Line(self, place, deadline)

    def take(self, place: Place) -> bool:
        """Takes the turn at a partition where nobody has it, and returns whether; then ``give`` has to follow."""
        if place in self._lines:
            return False
        self._lines[place] = None
        return True

    async def wait(self, place: Place, deadline: float) -> None:
        """Waits for the turn where ``take`` did not get it; then ``give`` has to follow.

        Raises:
            DeadlineExceeded: the deadline passed first.
        """
        line = self._lines[place]
        if line is None:
            line = self._lines[place] = deque()
        turn = asyncio.get_running_loop().create_future()
        line.append(turn)
        wait = self._waits.begin(max(0.0, deadline - self._clock.monotonic_s()), begun=NEVER)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                # It came too late.
                self.give(place)
            if wait.was_ended():
                raise DeadlineExceeded("the deadline passed while other commits to the partition went on") from None
            raise
        finally:
            self._waits.close(wait)

    def give(self, place: Place) -> None:
        """Gives the turn to whoever waits longest."""
        line = self._lines[place]
        while line:
            turn = line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._lines[place]


class Line:
    """A block in which this process sends nothing else to a partition; see ``Partitions.line``."""

    __slots__ = ("_deadline", "_partitions", "_place")

    def __init__(self, partitions: Partitions, place: Place, deadline: float) -> None:
        self._partitions: Final = partitions
        self._place: Final = place
        self._deadline: Final = deadline

    async def __aenter__(self) -> None:
        if not self._partitions.take(self._place):
            await self._partitions.wait(self._place, self._deadline)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._partitions.give(self._place)
