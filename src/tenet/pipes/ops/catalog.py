"""Which pipes there are: found by account and name, and changed under a check of what was read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from tenet.base.clock import NEVER
from tenet.pipes import keys
from tenet.pipes.errors import NotFoundException, ServiceQuotaExceededException
from tenet.pipes.model import Pipe
from tenet.store.contract import Add, Committed, Delete, IsVersion, Key, Put, Write
from tenet.store.formats import decode_marked
from tenet.store.landing import land

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import Store, Watch

#: How many pipes a tenant may have (the service's default quota).
PIPES_MAX: Final = 1_000
#: The first byte of a stored description; a later layout takes another one.
FORMAT: Final = b"\x01"
_SCAN_LIMIT: Final = 500

#: Looks at a pipe as it is stored (None: there is none) and returns what becomes of it (None: it goes). May be called
#: again with a newer one; raises to refuse.
Decision: TypeAlias = Callable[[Pipe | None], Pipe | None]

_decoder = msgspec.json.Decoder(Pipe)


def encode_pipe(pipe: Pipe) -> bytes:
    """Returns the stored form of a pipe's description."""
    return FORMAT + msgspec.json.encode(pipe)


def decode_pipe(value: bytes) -> Pipe:
    """Returns the description that was stored.

    Raises:
        StoreCorrupt: the bytes are none that this or an older version writes.
    """
    return decode_marked(value, _decoder, "a pipe's description", mark=FORMAT)


class Catalog:
    """Finds pipes and changes their descriptions.

    Args:
        store: where they are.
        clock: for commit ids.
        ids: for commit ids.
        pipes_max: how many pipes a tenant may have.
    """

    def __init__(self, store: Store, *, clock: Clock, ids: Ids, pipes_max: int = PIPES_MAX) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._pipes_max = pipes_max

    async def open(self) -> None:
        """Creates the catalog's space where there is none."""
        await self._store.ensure_space(keys.CATALOG_SPACE)

    def watch(self) -> Watch:
        """Watches for pipes that come, go or change."""
        return self._store.watch(keys.CATALOG_SPACE)

    async def find(self, account: str, name: str, *, deadline: float = NEVER) -> Pipe | None:
        """Returns a pipe, or None; one round trip."""
        (record,) = await self._store.get((keys.pipe_key(account, name),), deadline=deadline)
        return None if record is None else decode_pipe(record.value)

    async def pipe(self, account: str, name: str, *, deadline: float = NEVER) -> Pipe:
        """Returns a pipe; one round trip.

        Raises:
            NotFoundException: there is none.
        """
        pipe = await self.find(account, name, deadline=deadline)
        if pipe is None:
            raise not_found(name)
        return pipe

    async def of_account(
        self, account: str, *, prefix: str, after: str, limit: int, deadline: float = NEVER
    ) -> tuple[list[Pipe], bool]:
        """Returns pipes of a tenant by name, and whether there are more; one round trip.

        Args:
            account: the tenant.
            prefix: what their names begin with; "" for all.
            after: only names behind this one; "" for all.
            limit: the most pipes.
            deadline: when to give up.
        """
        within = keys.pipes_between(prefix, after)
        page = await self._store.query(
            keys.CATALOG_SPACE, account.encode(), within, limit=limit + 1, limit_bytes=1 << 30, deadline=deadline
        )
        pipes = [decode_pipe(record.value) for record in page.records]
        return pipes[:limit], len(pipes) > limit or page.more

    async def everything(self) -> Sequence[Pipe]:
        """Returns the pipes of all tenants; a round trip for each five hundred."""
        found: list[Pipe] = []
        after: tuple[bytes, bytes] | None = None
        more = True
        while more:
            page = await self._store.scan(keys.CATALOG_SPACE, keys.PIPES, limit=_SCAN_LIMIT, after=after)
            for record in page.records:
                found.append(decode_pipe(record.value))
                after = (record.partition, record.sort)
            more = page.more
        return found

    async def change(self, account: str, name: str, decide: Decision, *, deadline: float = NEVER) -> Pipe | None:
        """Changes the description of a pipe, or makes or removes it; two round trips where nobody else changes it.

        Args:
            account: the tenant.
            name: the pipe's name.
            decide: what to do; what it raises is raised here, and nothing is written.
            deadline: when to give up.

        Returns:
            What `decide` returned at last, with its revision counted up.

        Raises:
            ServiceQuotaExceededException: the tenant has as many pipes as it may have.
        """
        key = keys.pipe_key(account, name)
        (record,) = await self._store.get((key,), deadline=deadline)
        while True:
            before = None if record is None else decode_pipe(record.value)
            after = decide(before)
            if after is before:
                return before
            if after is not None and before is not None:
                after = msgspec.structs.replace(after, revision=before.revision + 1)
            outcome = await land(
                self._store,
                self._writes(account, key, before, after),
                (IsVersion(key, None if record is None else record.version),),
                clock=self._clock,
                ids=self._ids,
                deadline=deadline,
            )
            if isinstance(outcome, Committed):
                return after
            if outcome.out_of_bounds:
                raise ServiceQuotaExceededException(
                    f"An account has at most {self._pipes_max} pipes",
                    {"resourceId": name, "resourceType": "pipe", "serviceCode": "pipes", "quotaCode": "pipes"},
                )
            record = outcome.records[key]

    def _writes(self, account: str, key: Key, before: Pipe | None, after: Pipe | None) -> list[Write]:
        of_account = keys.account_key(account)
        if after is None:
            return [Delete(key), Add(of_account, keys.PIPES_CELL, -1, at_least=0)]
        put = Put(key, encode_pipe(after))
        if before is None:
            return [put, Add(of_account, keys.PIPES_CELL, 1, at_most=self._pipes_max)]
        return [put]


def not_found(name: str) -> NotFoundException:
    """Returns the error for a pipe that does not exist."""
    return NotFoundException(f"Pipe {name} does not exist.")
