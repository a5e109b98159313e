"""How far a shard of a table's log has been read for the indexes, and who may go on: one record per shard.

The cursor promises:

* Of all keepers of a shard, one at a time can move the cursor: whoever claimed it last. Each claim has an *epoch* of
  its own, larger than all before.
* What lies at or below the position is in the indexes, durably.
* ``validated_ms`` is a time at which nobody had claimed it behind this keeper's back. Commits that are made on the
  strength of it bear ids of that time (``dated``): an engine refuses them once ``Limits.settle_window_s`` has passed.
* Until ``fence_until_ms``, commits of an earlier keeper may still come: its successor has to keep them out by marks
  (``fences``). A keeper that ends in peace leaves none behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tenet.store.contract import Committed, IsVersion, Limits, Put
from tenet.store.formats import decode_marked
from tenet.store.landing import land

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import Conflict, Key, Record, Store, Version

#: Later than this after a claim, no commit of an earlier keeper can come any more: the time for which a commit id is
#: good, and clocks that are 5 minutes apart.
LATENESS_MS: Final = Limits.settle_window_s * 1_000 + 300_000
#: How long one call of the store may take.
CALL_S: Final = 10.0
_FORMAT: Final = b"\x01"


class Superseded(Exception):
    """Another keeper has claimed the shard."""


class Kept(msgspec.Struct, frozen=True):
    """What the record of a cursor says.

    Args:
        epoch: of the last claim, 1 or more.
        position: up to where the log is in the indexes.
        fence_until_ms: until when commits of earlier keepers may come, milliseconds since 1970; 0: none can.
        is_released: whether the keeper of this epoch has ended and left nothing under way.
    """

    epoch: int = 0
    position: int = 0
    fence_until_ms: int = 0
    is_released: bool = True


_decoder = msgspec.json.Decoder(Kept)


def encode_kept(kept: Kept) -> bytes:
    """Returns the stored form of a cursor."""
    return _FORMAT + msgspec.json.encode(kept)


def decode_kept(record: Record | None) -> Kept:
    """Returns what a cursor says; where there is none, that of a log which nobody has read yet.

    Raises:
        StoreCorrupt: the bytes are none that this or an older version writes.
    """
    if record is None:
        return Kept()
    return decode_marked(record.value, _decoder, "the cursor of an index keeper", mark=_FORMAT)


class DatedClock:
    """A clock whose wall time stands still: ids that are made by it are as old as the right to use them.

    Args:
        clock: for everything else.
        wall_ms: the wall time, milliseconds since 1970.
    """

    def __init__(self, clock: Clock, wall_ms: int) -> None:
        self._wall_ms = wall_ms
        self.monotonic_s = clock.monotonic_s

    def wall_ms(self) -> int:
        """The wall time at which it stands."""
        return self._wall_ms


class Cursor:
    """The cursor of one shard, as one keeper sees it.

    Args:
        store: where it lies.
        key: its place.
        clock: time.
        ids: for commit ids.
    """

    def __init__(self, store: Store, key: Key, *, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._key = key
        self._clock = clock
        self._ids = ids
        self._version: Version | None = None
        self._validated_s = 0.0
        self.kept = Kept()
        #: When it was last seen that nobody else has claimed the shard, milliseconds since 1970.
        self.validated_ms = 0

    @property
    def is_fencing(self) -> bool:
        """Whether commits of earlier keepers may still come."""
        return self._clock.wall_ms() < self.kept.fence_until_ms

    @property
    def dated(self) -> DatedClock:
        """The clock for commits on the strength of this claim."""
        return DatedClock(self._clock, self.validated_ms)

    @property
    def age_s(self) -> float:
        """How long ago it was last validated, in seconds."""
        return self._clock.monotonic_s() - self._validated_s

    async def look(self) -> tuple[Kept, Version | None]:
        """Returns the cursor as it is in the store; one round trip."""
        record = await self._read()
        return decode_kept(record), None if record is None else record.version

    async def claim(self) -> None:
        """Makes this keeper the one; two round trips.

        Raises:
            OutcomeUnknown: the store could not say whether it is.
        """
        record = await self._read()
        while True:
            begun = self._now()
            after = _claimed(decode_kept(record), begun[0])
            outcome = await self._land(after, None if record is None else record.version)
            if isinstance(outcome, Committed):
                self._take(after, outcome.version, begun)
                return
            record = await self._after(outcome)

    async def move(self, position: int, *, is_released: bool = False) -> None:
        """Says that the log is in the indexes up to a position; one round trip.

        Args:
            position: 0 or more, not before the one that it has.
            is_released: whether nothing of this keeper is under way any more, and nothing will be.

        Raises:
            Superseded: another keeper has claimed the shard.
            OutcomeUnknown: the store could not say whether it was moved.
        """
        after = msgspec.structs.replace(self.kept, position=position, is_released=is_released)
        while True:
            begun = self._now()
            outcome = await self._land(after, self._version)
            if isinstance(outcome, Committed):
                self._take(after, outcome.version, begun)
                return
            self._check(await self._after(outcome))

    async def validate(self) -> None:
        """Makes sure that nobody else has claimed the shard; one round trip.

        Raises:
            Superseded: somebody has.
        """
        begun = self._now()
        self._check(await self._read())
        self.validated_ms, self._validated_s = begun

    def _check(self, record: Record | None) -> None:
        if record is None or decode_kept(record).epoch != self.kept.epoch:
            raise Superseded
        self._version = record.version

    def _take(self, kept: Kept, version: Version, begun: tuple[int, float]) -> None:
        self.kept, self._version = kept, version
        self.validated_ms, self._validated_s = begun

    def _now(self) -> tuple[int, float]:
        return self._clock.wall_ms(), self._clock.monotonic_s()

    async def _read(self) -> Record | None:
        (record,) = await self._store.get((self._key,), deadline=self._clock.monotonic_s() + CALL_S)
        return record

    async def _after(self, conflict: Conflict) -> Record | None:
        return conflict.records[self._key] if self._key in conflict.records else await self._read()

    async def _land(self, kept: Kept, version: Version | None) -> Committed | Conflict:
        return await land(
            self._store,
            (Put(self._key, encode_kept(kept)),),
            (IsVersion(self._key, version),),
            clock=self._clock,
            ids=self._ids,
            deadline=self._clock.monotonic_s() + CALL_S,
        )


def _claimed(before: Kept, now_ms: int) -> Kept:
    """Returns what a cursor says once it is claimed."""
    fence_until_ms = before.fence_until_ms if before.is_released else max(before.fence_until_ms, now_ms + LATENESS_MS)
    return Kept(before.epoch + 1, before.position, fence_until_ms, is_released=False)
