"""The catalog: which tables there are, found by name and changed one commit at a time.

It promises:

* ``table`` answers from a cache (``store.cached``) what is at most a second older than the store, and never older than
  a change that was made through this very catalog and has been answered.
* Whoever writes with a table that has meanwhile been deleted finds its spaces gone (``SpaceNotFound``): their names
  carry the TableId, which is never used again.
* ``change`` is race-free: it reads, decides and commits under a check of the version that it read.
* A table with streams that goes leaves a departed table behind, in the same commit (``ops/departed``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from tenet.base.clock import NEVER, Clock
from tenet.base.ids import Ids
from tenet.store.cached import Cached
from tenet.store.contract import Add, Committed, Delete, IsVersion, Key, Put, Range, SpaceOptions, Store, Write
from tenet.store.formats import decode_marked
from tenet.store.landing import land
from tenet.tables import keys
from tenet.tables.errors import AccessDeniedException, LimitExceededException, ResourceNotFoundException
from tenet.tables.model import Departed, Table

#: How many tables a tenant may have (the service's default quota).
TABLES_MAX: Final = 2_500
#: The first byte of a stored description; a later layout takes another one.
FORMAT: Final = b"\x01"
#: That of a table that has an index with several attributes in its key. Whoever does not know such keys would put
#: entries of the index into places that mean something else; by this number it refuses the table instead.
FORMAT_OF_SEVERAL: Final = b"\x02"

_ARN_PREFIX: Final = "arn:"
_SCAN_LIMIT: Final = 200
_CACHED_MAX: Final = 10_000

#: Looks at a table as it is stored (None: there is none) and returns what becomes of it (None: it goes). May be called
#: again with a newer one; raises to refuse.
Decision: TypeAlias = Callable[[Table | None], Table | None]

_decoder = msgspec.json.Decoder(Table)
_departed_decoder = msgspec.json.Decoder(Departed)


def encode_table(table: Table) -> bytes:
    """Returns the stored form of a table's description."""
    coming = () if table.pending is None else table.pending.indexes
    has_several = any(index.keys.more is not None for index in (*table.indexes, *coming))
    return (FORMAT_OF_SEVERAL if has_several else FORMAT) + msgspec.json.encode(table)


def decode_table(value: bytes) -> Table:
    """Returns the description that was stored.

    Raises:
        StoreCorrupt: the bytes are none that this or an older version writes.
    """
    mark = FORMAT if value.startswith(FORMAT) else FORMAT_OF_SEVERAL
    return decode_marked(value, _decoder, "a table's description", mark=mark)


def encode_departed(departed: Departed) -> bytes:
    """Returns the stored form of a departed table."""
    return FORMAT + msgspec.json.encode(departed)


def decode_departed(value: bytes) -> Departed:
    """Returns the departed table that was stored.

    Raises:
        StoreCorrupt: the bytes are none that this or an older version writes.
    """
    return decode_marked(value, _departed_decoder, "a departed table", mark=FORMAT)


def table_name(account: str, name_or_arn: str) -> str:
    """Returns the name of a table that was given by name or by ARN.

    Args:
        account: the caller's tenant.
        name_or_arn: as in a request, its characters already checked.

    Raises:
        AccessDeniedException: the ARN is of another tenant.
    """
    if not name_or_arn.startswith(_ARN_PREFIX):
        return name_or_arn
    owner, _, resource = name_or_arn.split(":", 4)[4].partition(":")
    if owner != account:
        raise AccessDeniedException(
            f"User: arn:aws:iam::{account}:root is not authorized to access resource: {name_or_arn}"
            " because no resource-based policy allows it"
        )
    return resource.removeprefix("table/")


class Catalog:
    """Finds tables and changes their descriptions.

    Args:
        store: where they are.
        clock: for the age of what is cached.
        ids: for commit ids.
        tables_max: how many tables a tenant may have.
    """

    def __init__(self, store: Store, *, clock: Clock, ids: Ids, tables_max: int = TABLES_MAX) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._tables_max = tables_max
        # By the name or the ARN that a request had.
        self._cache: Cached[Table] = Cached(store, keys.CATALOG_SPACE, clock=clock, count_max=_CACHED_MAX)

    async def open(self) -> None:
        """Creates the catalog's space where there is none, and begins to listen to hints."""
        await self._store.ensure_space(keys.CATALOG_SPACE, SpaceOptions())
        self._cache.open()

    async def close(self) -> None:
        """Stops listening."""
        await self._cache.close()

    # ---- reading -----------------------------------------------------------------------------------------------------

    def known(self, account: str, name_or_arn: str) -> Table | None:
        """Returns what `table` would return without a round trip, or None.

        Args:
            account: the caller's tenant.
            name_or_arn: as in the request.
        """
        return self._cache.known(account, name_or_arn)

    async def table(self, account: str, name_or_arn: str, *, deadline: float = NEVER) -> Table:
        """Returns a table that takes requests for items: one that is active or being updated.

        No round trip where it is cached, else one.

        Args:
            account: the caller's tenant.
            name_or_arn: as in the request.
            deadline: when to give up, in seconds on the monotonic clock.

        Raises:
            ResourceNotFoundException: there is none, or it is being created or deleted.
            AccessDeniedException: the ARN is of another tenant.
        """
        known = self.known(account, name_or_arn)
        if known is not None:
            return known
        reading = self._in_service(account, table_name(account, name_or_arn), deadline)
        table = await self._cache.read(account, name_or_arn, reading)
        if table is None:
            raise ResourceNotFoundException("Requested resource not found")
        return table

    async def _in_service(self, account: str, name: str, deadline: float) -> Table | None:
        table = await self.find(account, name, deadline=deadline)
        return table if table is not None and table.status in {"ACTIVE", "UPDATING"} else None

    async def find(self, account: str, name: str, *, deadline: float = NEVER) -> Table | None:
        """Returns a table of that name in any status as it is in the store, or None; one round trip."""
        (record,) = await self._store.get((keys.table_key(account, name),), deadline=deadline)
        return None if record is None else decode_table(record.value)

    async def describe(self, account: str, name_or_arn: str, *, deadline: float = NEVER) -> Table:
        """Returns a table in any status as it is in the store; one round trip.

        Raises:
            ResourceNotFoundException: there is none; the message names it.
            AccessDeniedException: the ARN is of another tenant.
        """
        name = table_name(account, name_or_arn)
        table = await self.find(account, name, deadline=deadline)
        if table is None:
            raise not_found(name)
        return table

    async def names(self, account: str, *, after: str, limit: int, deadline: float = NEVER) -> tuple[list[str], bool]:
        """Returns names of a tenant's tables in order, and whether there are more; one round trip.

        Args:
            account: the tenant.
            after: only names behind this one; "" for all.
            limit: the most names.
            deadline: when to give up.
        """
        within = keys.tables_after(after) if after else keys.CATALOG_TABLES
        page = await self._store.query(
            keys.CATALOG_SPACE, account.encode(), within, limit=limit + 1, limit_bytes=1 << 30, deadline=deadline
        )
        names = [record.sort[1:].decode() for record in page.records]
        return names[:limit], len(names) > limit or page.more

    async def tables_from(
        self, account: str, first: str, *, limit: int, deadline: float = NEVER
    ) -> tuple[list[Table], bool]:
        """Returns a tenant's tables in the order of their names, and whether there are more; one round trip.

        Args:
            account: the tenant.
            first: only this name and those behind it.
            limit: the most tables.
            deadline: when to give up.
        """
        within = Range(keys.table_key(account, first).sort, keys.CATALOG_TABLES.upper)
        page = await self._store.query(keys.CATALOG_SPACE, account.encode(), within, limit=limit, deadline=deadline)
        return [decode_table(record.value) for record in page.records], page.more

    async def everything(self, after: Table | None = None) -> Sequence[Table]:
        """Returns the next tables of all tenants behind one, in an order that stays the same; empty at the end."""
        position = None
        if after is not None:
            key = keys.table_key(after.account, after.name)
            position = (key.partition, key.sort)
        page = await self._store.scan(keys.CATALOG_SPACE, keys.CATALOG_TABLES, limit=_SCAN_LIMIT, after=position)
        return [decode_table(record.value) for record in page.records]

    # ---- changing ----------------------------------------------------------------------------------------------------

    async def change(self, account: str, name: str, decide: Decision, *, deadline: float = NEVER) -> Table | None:
        """Changes the description of a table, or makes or removes it; two round trips where nobody else changes it.

        Args:
            account: the tenant.
            name: the table's name.
            decide: what to do; what it raises is raised here, and nothing is written.
            deadline: when to give up.

        Returns:
            What `decide` returned at last, with its revision counted up.

        Raises:
            LimitExceededException: the tenant has as many tables as it may have.
        """
        key = keys.table_key(account, name)
        (record,) = await self._store.get((key,), deadline=deadline)
        while True:
            before = None if record is None else decode_table(record.value)
            after = decide(before)
            if after is before:
                return before
            if after is not None:
                after = msgspec.structs.replace(after, revision=after.revision + 1 if before is not None else 1)
            try:
                outcome = await land(
                    self._store,
                    self._writes(account, key, before, after),
                    (IsVersion(key, None if record is None else record.version),),
                    clock=self._clock,
                    ids=self._ids,
                    deadline=deadline,
                )
            finally:
                self.forget(account)
            if isinstance(outcome, Committed):
                return after
            if outcome.out_of_bounds:
                raise LimitExceededException(
                    f"Subscriber limit exceeded: There is a limit of {self._tables_max} tables per subscriber"
                )
            record = outcome.records[key]

    def _writes(self, account: str, key: Key, before: Table | None, after: Table | None) -> list[Write]:
        of_account = keys.account_key(account)
        if after is None:
            gone: list[Write] = [Delete(key), Add(of_account, keys.TABLES_CELL, -1, at_least=0)]
            if before is not None and before.streams:
                at = keys.departed_key(account, before.name, before.id)
                gone.append(Put(at, encode_departed(Departed(before))))
            return gone
        put = Put(key, encode_table(after))
        if before is None:
            return [put, Add(of_account, keys.TABLES_CELL, 1, at_most=self._tables_max)]
        return [put]

    def forget(self, account: str) -> None:
        """Drops what is cached of a tenant's tables, since some of it has changed."""
        self._cache.forget_all(account)


def not_found(name: str) -> ResourceNotFoundException:
    """Returns the error of the control plane for a table that does not exist."""
    return ResourceNotFoundException(f"Requested resource not found: Table: {name} not found")
