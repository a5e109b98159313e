"""The catalog: which queues there are, found by name and changed one commit at a time.

It promises:

* ``queue`` answers from a cache (``store.cached``) what is at most a second older than the store, and never older than
  a change that was made through this very catalog and has been answered.
* ``create``, ``change`` and ``delete`` are race-free: they read, decide and commit under a check of what they read.
* A deleted queue leaves a note of its messages in the same commit, so that a crash before they are gone leaves them to
  the next start (``remains``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from tenet.base.clock import NEVER, Clock
from tenet.base.ids import Ids
from tenet.queues import keys
from tenet.queues.errors import OverLimit, QueueDeletedRecently, QueueDoesNotExist
from tenet.queues.model import Queue
from tenet.store.cached import Cached
from tenet.store.contract import Add, Check, Committed, Conflict, Delete, IsVersion, Key, Put, Record, Store, Write
from tenet.store.formats import decode_marked
from tenet.store.landing import land

#: How long a name is not free after its queue was deleted, in seconds (CreateQueue, QueueDeletedRecently).
DELETED_S: Final = 60
#: How many queues a tenant may have; the service itself names no limit.
QUEUES_MAX: Final = 1_000_000
#: The first byte of a stored description; a later layout takes another one.
FORMAT: Final = b"\x01"

_CACHED_MAX: Final = 20_000
#: Notes of deleted names that are taken away at a time, once their time has passed.
_NOTES_MAX: Final = 20
_PAGE_RECORDS: Final = 1_000
_PAGE_BYTES: Final = 4 * 1024 * 1024

#: Looks at a queue as it is stored and returns what becomes of it. May be called again with a newer one; raises to
#: refuse.
Decision: TypeAlias = Callable[[Queue], Queue]

_decoder = msgspec.json.Decoder(Queue)


def encode_queue(queue: Queue) -> bytes:
    """Returns the stored form of a queue's description."""
    return FORMAT + msgspec.json.encode(queue)


def decode_queue(value: bytes) -> Queue:
    """Returns the description that was stored.

    Raises:
        StoreCorrupt: the bytes are none that this or an older version writes.
    """
    return decode_marked(value, _decoder, "a queue's description", mark=FORMAT)


class Catalog:
    """Finds queues and changes their descriptions.

    Args:
        store: where they are.
        clock: for the age of what is cached, and of what was deleted.
        ids: for commit ids.
        queues_max: how many queues a tenant may have.
        deleted_s: how long a name is not free after its queue was deleted, seconds.
    """

    def __init__(
        self, store: Store, *, clock: Clock, ids: Ids, queues_max: int = QUEUES_MAX, deleted_s: int = DELETED_S
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._queues_max = queues_max
        self._deleted_ms = deleted_s * 1000
        self._cache: Cached[Queue] = Cached(store, keys.CATALOG_SPACE, clock=clock, count_max=_CACHED_MAX)

    async def open(self) -> None:
        """Creates the catalog's space where there is none, and begins to listen to hints."""
        await self._store.ensure_space(keys.CATALOG_SPACE)
        self._cache.open()

    async def close(self) -> None:
        """Stops listening."""
        await self._cache.close()

    # ---- reading -----------------------------------------------------------------------------------------------------

    def known(self, account: str, name: str) -> Queue | None:
        """Returns what `queue` would return without a round trip, or None."""
        return self._cache.known(account, name)

    async def queue(self, account: str, name: str, *, deadline: float = NEVER) -> Queue:
        """Returns a queue; no round trip where it is cached, else one.

        Args:
            account: that it belongs to.
            name: its name.
            deadline: when to give up, in seconds on the monotonic clock.

        Raises:
            QueueDoesNotExist: there is none.
        """
        known = self.known(account, name)
        if known is not None:
            return known
        queue = await self._cache.read(account, name, self.find(account, name, deadline=deadline))
        if queue is None:
            raise QueueDoesNotExist
        return queue

    async def find(self, account: str, name: str, *, deadline: float = NEVER) -> Queue | None:
        """Returns a queue as it is in the store, or None; one round trip."""
        (record,) = await self._store.get((keys.queue_key(account, name),), deadline=deadline)
        return None if record is None else decode_queue(record.value)

    async def page(
        self, account: str, *, prefix: str = "", after: str = "", limit: int, deadline: float = NEVER
    ) -> tuple[list[Queue], bool]:
        """Returns queues of a tenant in order of their names, and whether there may be more.

        One round trip for each ``_PAGE_BYTES`` of descriptions.

        Args:
            account: the tenant.
            prefix: what their names begin with.
            after: only names behind this one; "" for all.
            limit: the most queues, 1 to 1,000.
            deadline: when to give up.
        """
        queues: list[Queue] = []
        while len(queues) <= limit:
            page = await self._store.query(
                keys.CATALOG_SPACE,
                account.encode("ascii"),
                keys.queues_within(prefix, after),
                limit=limit + 1 - len(queues),
                limit_bytes=_PAGE_BYTES,
                deadline=deadline,
            )
            queues += [decode_queue(record.value) for record in page.records]
            if not page.more:
                break
            after = queues[-1].name
        return queues[:limit], len(queues) > limit

    async def dead_letter_sources(
        self, target: Queue, *, after: str = "", limit: int, deadline: float = NEVER
    ) -> tuple[list[Queue], bool]:
        """Returns queues whose dead letters go to a queue, and whether there may be more.

        Takes a round trip for every thousand queues of the tenant.
        """
        found: list[Queue] = []
        more = True
        while more:
            queues, more = await self.page(target.account, after=after, limit=_PAGE_RECORDS, deadline=deadline)
            for queue in queues:
                redrive = queue.settings.redrive
                if redrive is not None and redrive.target.rpartition(":")[2] == target.name:
                    found.append(queue)
                    if len(found) > limit:
                        return found[:limit], True
            after = queues[-1].name if queues else after
        return found, False

    # ---- changing ----------------------------------------------------------------------------------------------------

    async def create(self, queue: Queue, *, deadline: float = NEVER) -> Queue:
        """Makes a queue, unless there is one of its name; two round trips.

        Args:
            queue: as it is to be.
            deadline: when to give up.

        Returns:
            The queue that there is now: this one, or the one that there was.

        Raises:
            QueueDeletedRecently: a queue of the name was deleted within the last 60 s.
            OverLimit: the tenant has as many queues as it may have.
        """
        of_queue = keys.queue_key(queue.account, queue.name)
        of_deleted = keys.deleted_key(queue.account, queue.name)
        record, deleted = await self._store.get((of_queue, of_deleted), deadline=deadline)
        while record is None:
            if deleted is not None and self._is_recent(deleted):
                raise QueueDeletedRecently
            writes: list[Write] = [
                Put(of_queue, encode_queue(queue)),
                Add(keys.account_key(queue.account), keys.QUEUES_CELL, 1, at_most=self._queues_max),
            ]
            if deleted is not None:
                writes.append(Delete(of_deleted))
            checks = (_unchanged(of_queue, record), _unchanged(of_deleted, deleted))
            outcome = await self._land(queue.account, queue.name, writes, checks, deadline)
            if isinstance(outcome, Committed):
                return queue
            if outcome.out_of_bounds:
                raise OverLimit(f"An account may have {self._queues_max} queues.")
            record = outcome.records.get(of_queue, record)
            deleted = outcome.records.get(of_deleted, deleted)
        return decode_queue(record.value)

    async def change(self, queue: Queue, decide: Decision, *, deadline: float = NEVER) -> Queue:
        """Changes the description of a queue; two round trips where nobody else changes it.

        Args:
            queue: as it is known.
            decide: what to do; what it raises is raised here, and nothing is written.
            deadline: when to give up.

        Returns:
            The queue as it is now.

        Raises:
            QueueDoesNotExist: it was deleted.
        """
        key = keys.queue_key(queue.account, queue.name)
        (record,) = await self._store.get((key,), deadline=deadline)
        while True:
            before = _same(queue, record)
            after = decide(before)
            if after == before:
                return before
            # Of two descriptions the later one can be told, whichever node's clock it is by.
            modified_ms = max(self._clock.wall_ms(), before.modified_ms + 1)
            after = msgspec.structs.replace(after, modified_ms=modified_ms)
            outcome = await self._land(
                queue.account, queue.name, [Put(key, encode_queue(after))], (_unchanged(key, record),), deadline
            )
            if isinstance(outcome, Committed):
                return after
            record = outcome.records[key]

    async def delete(self, queue: Queue, *, deadline: float = NEVER) -> None:
        """Deletes a queue; two round trips where nobody else changes it. Its messages remain to be taken away.

        Args:
            queue: as it is known.
            deadline: when to give up.

        Raises:
            QueueDoesNotExist: it was deleted.
        """
        account, name = queue.account, queue.name
        key = keys.queue_key(account, name)
        (record,) = await self._store.get((key,), deadline=deadline)
        former = await self._former_notes(account, name, deadline)
        while True:
            _same(queue, record)
            writes: list[Write] = [
                Delete(key),
                Add(keys.account_key(account), keys.QUEUES_CELL, -1, at_least=0),
                Put(keys.remains_key(account, queue.id), b""),
                Put(keys.deleted_key(account, name), self._clock.wall_ms().to_bytes(8, "big")),
                *former,
            ]
            outcome = await self._land(account, name, writes, (_unchanged(key, record),), deadline)
            if isinstance(outcome, Committed):
                return
            record = outcome.records.get(key, record)

    async def remains(self) -> Sequence[tuple[str, bytes]]:
        """Returns account and id of deleted queues whose messages may not be gone yet; some of them, if any."""
        page = await self._store.scan(keys.CATALOG_SPACE, keys.CATALOG_REMAINS, limit=_PAGE_RECORDS)
        return [(record.partition.decode("ascii"), record.sort[1:]) for record in page.records]

    async def gone(self, account: str, queue_id: bytes) -> None:
        """Notes that no messages of a deleted queue are left."""
        (record,) = await self._store.get((keys.remains_key(account, queue_id),))
        if record is not None:
            outcome = await self._land(account, "", [Delete(keys.remains_key(account, queue_id))], (), NEVER)
            assert isinstance(outcome, Committed)

    def _is_recent(self, deleted: Record) -> bool:
        return self._clock.wall_ms() - int.from_bytes(deleted.value, "big") < self._deleted_ms

    async def _former_notes(self, account: str, name: str, deadline: float) -> list[Write]:
        """Returns what takes away notes of deleted names that have had their time, but for the one of `name`."""
        page = await self._store.query(
            keys.CATALOG_SPACE, account.encode("ascii"), keys.CATALOG_DELETED, limit=_NOTES_MAX, deadline=deadline
        )
        return [
            Delete(Key(keys.CATALOG_SPACE, record.partition, record.sort))
            for record in page.records
            if not self._is_recent(record) and record.sort[1:].decode("ascii") != name
        ]

    async def _land(
        self, account: str, name: str, writes: Sequence[Write], checks: Sequence[Check], deadline: float
    ) -> Committed | Conflict:
        try:
            return await land(self._store, writes, checks, clock=self._clock, ids=self._ids, deadline=deadline)
        finally:
            self._cache.forget(account, name)


def _unchanged(key: Key, record: Record | None) -> IsVersion:
    return IsVersion(key, None if record is None else record.version)


def _same(queue: Queue, record: Record | None) -> Queue:
    """Returns a queue as it is stored.

    Raises:
        QueueDoesNotExist: it was deleted, even if there is another one of its name.
    """
    stored = None if record is None else decode_queue(record.value)
    if stored is None or stored.id != queue.id:
        raise QueueDoesNotExist
    return stored
