"""The owners of all queues that this process owns. Over an embedded store it owns all there are.

Among several nodes each has those of its slots; what is asked of others goes to the nodes that have them (`shared`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

import structlog

from tenet.base.clock import NEVER
from tenet.base.errors import TenetError
from tenet.queues import keys
from tenet.queues.model import Queue
from tenet.queues.ops.owning.dead_letters import DeadLetters
from tenet.queues.ops.owning.held import Tenancy
from tenet.queues.ops.owning.owner import Owner
from tenet.queues.ops.owning.window import Budget
from tenet.store.contract import SpaceOptions

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.mesh.places import Places
    from tenet.queues.ops.owning.shared import SharedOwner
    from tenet.queues.ops.owning.sharing import Moves, Sharing
    from tenet.store.contract import Store

#: So many queues that were deleted last are known as such.
_FORGOTTEN_MAX: Final = 10_000
#: How long a queue that is empty has not been used, at the least, when it is let go from memory, seconds.
REST_S: Final = 300.0
#: How many are looked at in one go, and how long it waits in between, seconds.
_LOOKED_AT: Final = 200
_PAUSE_S: Final = 0.01
#: How long the node that has a queue may take to end what it does with it, once it was deleted, seconds.
_FORGET_S: Final = 2.0

_log = structlog.get_logger(__name__)


class Owners:
    """Finds the owner of a queue.

    Args:
        store: where queues are.
        clock: time.
        ids: randomness.
        find: finds a queue by its ARN; None: there is none.
        places: which queues are this node's; None: all are.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        ids: Ids,
        find: Callable[[str], Awaitable[Queue | None]],
        places: Places | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._find = find
        self._owners: dict[bytes, Owner] = {}
        self._dead_letters = DeadLetters(find, self.of, clock=clock)
        self._budget = Budget()
        #: Owners of queues that were deleted lately.
        self._forgotten: dict[bytes, Owner] = {}
        self._places = places
        self._resting: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._sharing: Sharing | None = None
        self._share: Callable[[Sharing, Queue], SharedOwner]

    @classmethod
    async def open(
        cls,
        store: Store,
        *,
        clock: Clock,
        ids: Ids,
        find: Callable[[str], Awaitable[Queue | None]],
        places: Places | None = None,
    ) -> Owners:
        """Makes the space of messages where there is none, and returns the owners of its queues; arguments as above."""
        await store.ensure_space(keys.MESSAGES_SPACE, SpaceOptions())
        return cls(store, clock=clock, ids=ids, find=find, places=places)

    async def share(self, moves: Moves) -> None:
        """Takes part in the work of several nodes, where there can be others; asks and answers from now on.

        Args:
            moves: the tasks that move messages out of this node's queues.
        """
        if self._places is None:
            return
        # A process that has its store for itself does not load what nodes ask each other.
        from tenet.queues.ops.owning.shared import SharedOwner  # noqa: PLC0415 (of clusters)
        from tenet.queues.ops.owning.sharing import Sharing  # noqa: PLC0415 (of clusters)

        self._share = SharedOwner
        self._sharing = Sharing(self._places, self, clock=self._clock, ids=self._ids)
        self._sharing.moves = moves
        await self._sharing.open()

    def of(self, queue: Queue) -> Owner | SharedOwner:
        """Returns who can be asked about a queue: its owner, or what asks the owner, wherever that is.

        Args:
            queue: as the catalog has it; what changed in it since the last time is taken up.
        """
        return self.local(queue) if self._sharing is None else self._share(self._sharing, queue)

    def shared(self, queue: Queue) -> SharedOwner | None:
        """Returns what asks the owner of a queue, wherever it is; None where there are no other nodes."""
        return None if self._sharing is None else self._share(self._sharing, queue)

    def is_here(self, queue_id: bytes) -> bool:
        """Whether a queue is this node's now."""
        return self._places is None or self._places.is_here(self._places.slot_of(queue_id))

    def local(self, queue: Queue) -> Owner:
        """Returns the owner of a queue of this process, which takes the queue over with the first call.

        Args:
            queue: as somebody knows it; what is newer in it is taken up.
        """
        owner = self._owners.get(queue.id)
        if owner is None:
            owner = self._forgotten.get(queue.id)
            if owner is not None:
                return owner
            owner = self._owners[queue.id] = self._make(queue)
        elif owner.queue is not queue and owner.queue != queue and queue.modified_ms >= owner.queue.modified_ms:
            owner.update(queue)
        owner.is_used = True
        if self._resting is None and not self._is_closed:
            self._resting = asyncio.get_running_loop().call_later(REST_S, self.rest)
        return owner

    def rest(self) -> None:
        """Lets go of queues that are empty and were not used since the last time; again, as long as some are left."""
        self._rest(iter(self.known()), is_left=False)

    def _rest(self, owners: Iterator[Owner], *, is_left: bool) -> None:
        count = 0
        for owner in islice(owners, _LOOKED_AT):
            count += 1
            if owner.is_used or not owner.rest():
                owner.is_used = False
                is_left = True
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        if self._is_closed:
            return
        loop = asyncio.get_running_loop()
        if count == _LOOKED_AT:
            self._resting = loop.call_later(_PAUSE_S, lambda: self._rest(owners, is_left=is_left))
        elif is_left:
            self._resting = loop.call_later(REST_S, self.rest)

    def _make(self, queue: Queue) -> Owner:
        return Owner(
            self._store,
            queue,
            clock=self._clock,
            ids=self._ids,
            dead_letters=self._dead_letters,
            budget=self._budget,
            tenancy=None if self._places is None else self._tenancy(self._places, queue),
        )

    def _tenancy(self, places: Places, queue: Queue) -> Tenancy:
        slot = places.slot_of(queue.id)

        async def exists() -> bool:
            found = await self._find(queue.arn)
            return found is not None and found.id == queue.id

        return Tenancy(lambda: places.is_here(slot), exists)

    def get(self, queue_id: bytes) -> Owner | None:
        """Returns the owner of a queue that this process has, if it was asked for so far."""
        return self._owners.get(queue_id)

    def drop(self, queue_id: bytes) -> Owner | None:
        """Takes an owner out, if it is there, and leaves it to the caller to close it."""
        return self._owners.pop(queue_id, None)

    def known(self) -> list[Owner]:
        """Returns the owners of the queues that were asked for so far."""
        return list(self._owners.values())

    async def forget(self, queue: Queue) -> None:
        """Ends what is done with a queue that was deleted, and removes its messages.

        Raises:
            StoreUnavailable: they may be there still; it can be called again.
        """
        shared = self.shared(queue)
        if shared is not None:
            try:
                await shared.forget(within_s=_FORGET_S)
            except TenetError as error:
                # Its next commit finds the queue gone.
                _log.info("who owned a deleted queue was not told", queue=queue.name, reason=error.message)
        owner = self._owners.pop(queue.id, None)
        if owner is None:
            owner = self._make(queue)
        # Who has found the queue before it was deleted, and comes now, is not to write to it any more.
        self._forgotten.pop(queue.id, None)
        self._forgotten[queue.id] = owner
        if len(self._forgotten) > _FORGOTTEN_MAX:
            del self._forgotten[next(iter(self._forgotten))]
        await owner.delete_queue()
        await self._store.discard(keys.MESSAGES_SPACE, queue.id, deadline=NEVER)

    def end_waits(self) -> None:
        """Ends all receives that wait, with empty answers, and lets none wait any more that other nodes answer."""
        if self._sharing is not None:
            self._sharing.end_waits()
        for owner in self._owners.values():
            owner.end_waits()

    async def close(self) -> None:
        """Ends all receives that wait with empty answers, writes what is known, and stops."""
        self._is_closed = True
        if self._resting is not None:
            self._resting.cancel()
        if self._sharing is not None:
            await self._sharing.close()
        await asyncio.gather(*(owner.close(hands_over=True) for owner in self._owners.values()))
