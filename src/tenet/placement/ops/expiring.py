"""When claims become free that nobody confirms: noted beside them, and swept in the background.

The notes are pointers of the store's expiry: in the claim's own commit where that is cheap, else written before it, so
that no claim that expires is without one. They are hints: the consumers' records decide.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import structlog

from tenet.base.clock import NEVER
from tenet.base.errors import TenetError
from tenet.placement import keys
from tenet.placement.ops.confirming import expire_claim
from tenet.placement.rules.stored import decode_consumer
from tenet.store.contract import Delete
from tenet.store.errors import StoreCorrupt, StoreError
from tenet.store.expiry import ExpiryIndex, Sweeper, pointer_key
from tenet.store.landing import land

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.placement.context import Context
    from tenet.placement.model import Reservation
    from tenet.store.contract import Key, Record, Store, Write
    from tenet.store.expiry import Remover

#: How long a sweeper rests where each look costs a round over a network, seconds: what is due is free within 5.
_PAUSE_REMOTE_S: Final = 2.0
#: How long freeing one claim, and forgetting one's pointers, may take, seconds.
_CALL_S: Final = 10.0

_log = structlog.get_logger(__name__)


class Deadlines:
    """Notes until when claims have to be confirmed.

    Args:
        store: where to.
        clock: time.
        ids: for commit ids.
    """

    def __init__(self, store: Store, *, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._index = ExpiryIndex(store, clock=clock, ids=ids, space=keys.EXPIRY_SPACE)
        self._forgetting: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Makes the space of the notes where there is none."""
        await self._index.ensure()

    async def pointers(self, reserved: Reservation, *, deadline: float = NEVER) -> Sequence[Write]:
        """Returns what a claim's own commit has to write; writes the rest now, in up to 16 commits at once.

        Raises:
            StoreError: the claim must not be made.
        """
        pointers = [
            write
            for uuid in reserved.consumers
            for write in self._index.pointers_for(keys.consumer_key(uuid), reserved.expires_ms)
        ]
        return await self._index.announce(pointers, deadline=deadline)

    def pointers_gone(self, reserved: Reservation) -> list[Write]:
        """Returns what the commit of a confirmation has to write so that nothing is left to be swept."""
        if not self._index.is_in_same_commit:
            return []
        return [Delete(key) for key in self._pointers_of(reserved)]

    def forget(self, reserved: Reservation) -> None:
        """Removes in the background what a confirmation did not, at which sweepers would look for 15 minutes."""
        if not self._index.is_in_same_commit:
            task = asyncio.get_running_loop().create_task(self._forget(reserved))
            self._forgetting.add(task)
            task.add_done_callback(self._forgetting.discard)

    async def _forget(self, reserved: Reservation) -> None:
        partitions: dict[bytes, list[Write]] = {}
        for key in self._pointers_of(reserved):
            partitions.setdefault(key.partition, []).append(Delete(key))
        deadline = self._clock.monotonic_s() + _CALL_S
        with contextlib.suppress(StoreError):  # they are swept later
            for writes in partitions.values():
                _ = await land(self._store, writes, clock=self._clock, ids=self._ids, deadline=deadline)

    def _pointers_of(self, reserved: Reservation) -> list[Key]:
        return [
            pointer_key(keys.EXPIRY_SPACE, keys.consumer_key(uuid), reserved.expires_ms) for uuid in reserved.consumers
        ]

    async def close(self) -> None:
        """Ends what is done in the background."""
        for task in list(self._forgetting):
            task.cancel()
        await asyncio.gather(*self._forgetting, return_exceptions=True)


class Expired:
    """Frees claims that were not confirmed. Implements ``tenet.store.expiry.Remover`` for consumers.

    Args:
        opening: opens the service, which is needed once there is something to free, and not before.
        clock: time.
    """

    def __init__(self, opening: Callable[[], Awaitable[Context]], *, clock: Clock) -> None:
        self._opening = opening
        self._clock = clock
        #: How many consumers were freed here, and how long after their time the latest was, milliseconds.
        self.count = 0
        self.late_ms_max = 0

    def expires_ms(self, key: Key, record: Record) -> int | None:
        """Implements ``Remover``. What cannot be read is looked at again and again, until it can."""
        try:
            reserved = decode_consumer(keys.uuid_text(key.partition), record.value).reserved
        except StoreCorrupt:
            return 0
        return None if reserved is None else reserved.expires_ms

    async def remove(self, key: Key, record: Record) -> bool:
        """Implements ``Remover``."""
        uuid = keys.uuid_text(key.partition)
        try:
            context = await self._opening()
            gone = await expire_claim(context, uuid, deadline=self._clock.monotonic_s() + _CALL_S)
        except TenetError as error:
            _log.warning("a claim that has expired is not freed yet", consumer=uuid, reason=error.message)
            return False
        self.count += len(gone)
        if gone:
            self.late_ms_max = max(self.late_ms_max, self._clock.wall_ms() - (self.expires_ms(key, record) or 0))
        return True


def sweeper(store: Store, expired: Expired, *, clock: Clock, ids: Ids) -> Sweeper:
    """Returns a sweeper of claims; several of them, paused or not, do no harm."""

    async def rules(space: str) -> Remover | None:
        return expired if space == keys.CONSUMERS_SPACE else None

    pause_s = _PAUSE_REMOTE_S if store.capabilities.remote else None
    index = ExpiryIndex(store, clock=clock, ids=ids, space=keys.EXPIRY_SPACE)
    return Sweeper(index, rules, clock=clock, ids=ids, pause_s=pause_s)
