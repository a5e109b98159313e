"""Following a table: other rooms read its changes from the log of its space, each as a reader of a name of its own.

It promises:

* A change that was made by a request that began after ``follow`` has returned is in the log, with both images, from the
  commit that made it on. Changes of one item are in the order of their commits.
* The log keeps what a follower has not said that it has read.
* ``unfollow`` leaves nothing that is kept for the follower.

Followers of a table may come and go at the same moment, and so may its stream (``table_logs``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from msgspec import Struct

from tenet.base.clock import NEVER
from tenet.store.cached import STALE_S
from tenet.store.contract import commit_id_ms
from tenet.store.errors import LogTrimmed
from tenet.tables import keys
from tenet.tables.errors import ResourceNotFoundException
from tenet.tables.rules.images import Image
from tenet.tables.rules.index_log import FILLING, LOG_SHARDS, is_by_keys
from tenet.tables.rules.sizes import item_bytes

if TYPE_CHECKING:
    from tenet.store.contract import LogEntry, Store, Watch
    from tenet.tables.model import Table
    from tenet.tables.ops.catalog import Catalog
    from tenet.tables.ops.table_logs import TableLogs

#: How long after its description has changed other processes may still write by the former one: what they have cached,
#: and requests that are under way, seconds.
SETTLED_S: Final = STALE_S + 0.5

Event = Literal["INSERT", "MODIFY", "REMOVE"]


async def settle(store: Store) -> None:
    """Waits until no process goes by a description of a table from before; no time where one process has the store."""
    if store.capabilities.remote:
        await asyncio.sleep(SETTLED_S)


class Source(Struct, frozen=True):
    """A table that can be followed.

    Args:
        account: the tenant.
        name: of the table.
        id: its TableId.
        arn: its Amazon Resource Name.
        region: that it was made in.
        key_names: of its key attributes, partition key first.
        shards: into how many parts its log is divided; the changes of one item all lie in one of them.
    """

    account: str
    name: str
    id: str
    arn: str
    region: str
    key_names: tuple[str, ...]
    shards: int = LOG_SHARDS


class Change(Struct, frozen=True):
    """A change of an item.

    Args:
        position: where it stands in its shard of the log; later is larger.
        commit_id: the commit that made it, 16 bytes.
        at_ms: when that was begun, milliseconds since 1970.
        event: what was done.
        keys: the item's key attributes.
        old: the item before; None where there was none, or there was no room to keep it.
        new: the item after; None where there is none, or there was no room to keep it.
        has_images: whether `old` and `new` are what the item was and is; False where keys alone were kept.
        item_bytes: of the keys and of the images that are there, by the service's rules.
        origin: who caused it: ``client``, or ``expiry`` where the item's time had come.
    """

    position: int
    commit_id: bytes
    at_ms: int
    event: Event
    keys: dict[str, Any]
    old: dict[str, Any] | None
    new: dict[str, Any] | None
    has_images: bool
    item_bytes: int
    origin: str


class ChangePage(Struct, frozen=True):
    """Changes of a shard.

    Args:
        changes: in their order.
        closed: nothing that is not in the log yet will ever appear at or below this position.
        first: the lowest position that the log still holds, or the next one to come.
    """

    changes: Sequence[Change]
    closed: int
    first: int


class Following:
    """Lets other rooms follow tables.

    Args:
        store: where the logs are.
        catalog: finds tables.
        logs: has them kept.
    """

    def __init__(self, store: Store, catalog: Catalog, logs: TableLogs) -> None:
        self._store = store
        self._catalog = catalog
        self._logs = logs
        #: By space, shard and reader: behind a position, up to which one the log has nothing but what fills indexes.
        self._passed: dict[tuple[str, int, str | None], tuple[int, int]] = {}

    async def find(self, account: str, name: str, *, deadline: float = NEVER) -> Source:
        """Returns a table as a source of changes; one round trip where it is not cached.

        Raises:
            ResourceNotFoundException: there is none, or it is being made or deleted.
        """
        table = await self._catalog.table(account, name, deadline=deadline)
        return Source(table.account, table.name, table.id, table.arn, table.region, table.keys.names)

    async def follow(self, source: Source, reader: str) -> None:
        """Has the changes of a table kept for a reader from now on; safe to repeat.

        Eight round trips, and 1.5 s where other processes may write to the table.

        Args:
            source: the table.
            reader: the reader's name, of a-z, 0-9 and ``._-``, a letter first.

        Raises:
            ResourceNotFoundException: the table is gone, or about to go.
        """

        def add(table: Table | None) -> Table:
            table = _same(source, table)
            if reader in table.followers:
                return table
            return msgspec.structs.replace(table, followers=(*table.followers, reader))

        # The log first, so that no writer finds that there is none.
        found = _same(source, await self._catalog.find(source.account, source.name))
        await self._logs.keep(found, coming=reader)
        await self._catalog.change(source.account, source.name, add)
        # Others may have changed the log meanwhile, by a description without this reader.
        await self._logs.keep(found)
        await settle(self._store)

    async def unfollow(self, source: Source, reader: str) -> None:
        """Keeps nothing for a reader any more; safe to repeat, and done where the table is gone."""

        def remove(table: Table | None) -> Table | None:
            if table is None or table.id != source.id or reader not in table.followers:
                return table
            return msgspec.structs.replace(table, followers=tuple(one for one in table.followers if one != reader))

        table = await self._catalog.change(source.account, source.name, remove)
        if table is not None and table.id == source.id:
            await self._logs.keep(table)

    async def changes(
        self, source: Source, shard: int, *, after: int, limit: int, reader: str | None = None, deadline: float = NEVER
    ) -> ChangePage:
        """Returns changes of a shard behind a position; one round trip.

        Args:
            source: a table that is followed.
            shard: 0 to ``source.shards - 1``.
            after: the last position already read; 0 for the beginning.
            limit: the most changes, 1 to 10,000.
            reader: who says by this that it needs nothing at or below `after` again.
            deadline: when to give up.

        Raises:
            SpaceNotFound: the table is gone.
            LogTrimmed: changes behind `after` are gone; the error names the first position that is left.
        """
        space = keys.table_space(source.id)
        place = (space, shard, reader)
        begin, end = self._passed.pop(place, (after, after))
        at = end if begin == after else after
        # What is needed no longer is what the reader has read, not what is passed by.
        releases = reader if at == after else None
        while True:
            page = await self._store.read_log(space, shard, after=at, limit=limit, reader=releases, deadline=deadline)
            changes = [_change(source, entry) for entry in page.entries if entry.origin != FILLING]
            if changes or not page.entries:
                break
            at, releases = page.entries[-1].position, None
        if at != after and not changes:
            self._passed[place] = (after, at)
        return ChangePage(changes, page.closed, page.first)

    def watch(self, source: Source) -> Watch:
        """Watches a table for changes; hints may be missing, late or for nothing."""
        return self._store.watch(keys.table_space(source.id))


async def has_changes(store: Store, source: Source, shard: int, *, after: int) -> bool:
    """Whether a shard of a log holds changes behind a position, or some are on their way there; it stays as it is.

    Args:
        store: where the log is.
        source: a table that is followed.
        shard: 0 to ``source.shards - 1``.
        after: the position.

    Raises:
        SpaceNotFound: the table is gone.
    """
    while True:
        try:
            page = await store.read_log(keys.table_space(source.id), shard, after=after, limit=1, stale=True)
        except LogTrimmed as error:
            after = error.first - 1
            continue
        return bool(page.entries) or page.waiting is not None


def _same(source: Source, table: Table | None) -> Table:
    """Returns the table, where it is the one that was found as a source, and takes requests."""
    if table is None or table.id != source.id or table.status not in {"ACTIVE", "UPDATING"}:
        raise ResourceNotFoundException(f"Requested resource not found: Table: {source.name} not found")
    return table


def _change(source: Source, entry: LogEntry) -> Change:
    old, new = Image(entry.old), Image(entry.new)
    item = new.item or old.item
    assert item is not None, "an entry tells of an item before or after"
    found = {name: item[name] for name in source.key_names}
    has_images = not (is_by_keys(old) or is_by_keys(new))
    size = item_bytes(found) + (old.size + new.size if has_images else 0)
    event: Event = "INSERT" if entry.old is None else "REMOVE" if entry.new is None else "MODIFY"
    images = (old.item, new.item) if has_images else (None, None)
    at_ms = commit_id_ms(entry.commit_id)
    return Change(entry.position, entry.commit_id, at_ms, event, found, *images, has_images, size, entry.origin)
