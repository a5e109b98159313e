"""Writes to a copy: records of another store, so that what comes late or twice does no harm.

Every write checks the version that the record had in the copy when it was looked at, so that a commit of an earlier
try, or of a process that died, is refused when it comes after a newer one.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from tenet.store.contract import Conflict, Delete, IsVersion, Key, Limits, Put
from tenet.store.errors import SpaceNotFound, StoreError
from tenet.store.landing import land

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import Check, Committed, Record, Store, Write

#: A commit holds so much: few enough for the checks, small enough to be cheap to repeat.
_RECORDS_MAX: Final = Limits.checks_max
_COMMIT_BYTES_MAX: Final = 1024 * 1024
#: So many commits are under way at a time.
_COMMITS_MAX: Final = 16
#: So many keys are read at a time.
_READ_MAX: Final = 250
_CALL_S: Final = 60.0
#: How long a store that cannot serve is asked again, and how often.
PATIENCE_S: Final = 300.0
_PAUSE_S_MIN: Final = 0.05
_PAUSE_S_MAX: Final = 5.0

Result = TypeVar("Result")


async def patiently(
    call: Callable[[float], Awaitable[Result]], clock: Clock, *, again: type[StoreError] = StoreError
) -> Result:
    """Calls a store, again where it cannot serve; what is called does no harm when it is repeated.

    Args:
        call: takes the deadline of one call.
        clock: time.
        again: after which errors it is called again, if they are retryable.

    Raises:
        StoreError: it could not serve for ``PATIENCE_S``, or the call is wrong.
    """
    pause_s, until_s = _PAUSE_S_MIN, clock.monotonic_s() + PATIENCE_S
    while True:
        try:
            return await call(clock.monotonic_s() + _CALL_S)
        except StoreError as error:
            if not isinstance(error, again) or not error.retryable or clock.monotonic_s() > until_s:
                raise
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _PAUSE_S_MAX)


class Writer:
    """Makes records of the copy those of the store that is copied.

    Args:
        target: the copy.
        clock: time.
        ids: for commit ids.
    """

    def __init__(self, target: Store, *, clock: Clock, ids: Ids) -> None:
        self.target = target
        self._clock = clock
        self._ids = ids
        self._room = asyncio.Semaphore(_COMMITS_MAX)

    async def make_so(self, wanted: Mapping[Key, Record | None], seen: Mapping[Key, Record | None]) -> int:
        """Writes what differs; returns how many records did.

        Args:
            wanted: what is to be there; None: nothing.
            seen: what was there when it was looked at, for each of these keys; it may have changed.
        """
        differing = [key for key, record in wanted.items() if not same(record, seen[key])]
        try:
            async with asyncio.TaskGroup() as group:
                for keys in self._batches(differing, wanted):
                    group.create_task(self._land({key: wanted[key] for key in keys}, seen))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return len(differing)

    def _batches(self, keys: Iterable[Key], wanted: Mapping[Key, Record | None]) -> Iterable[Sequence[Key]]:
        """Yields what goes into one commit each: of one partition, where others would be dear."""
        is_cheap = self.target.capabilities.cheap_commits_across_partitions
        groups: dict[tuple[str, bytes] | None, list[Key]] = {}
        for key in keys:
            groups.setdefault(None if is_cheap else (key.space, key.partition), []).append(key)
        for group in groups.values():
            batch: list[Key] = []
            bytes_left = _COMMIT_BYTES_MAX
            for key in group:
                record = wanted[key]
                byte_count = len(key.partition) + len(key.sort) + (0 if record is None else len(record.value))
                if batch and (len(batch) == _RECORDS_MAX or byte_count > bytes_left):
                    yield batch
                    batch, bytes_left = [], _COMMIT_BYTES_MAX
                batch.append(key)
                bytes_left -= byte_count
            if batch:
                yield batch

    async def _land(self, wanted: Mapping[Key, Record | None], seen: Mapping[Key, Record | None]) -> None:
        async with self._room:
            now: Mapping[Key, Record | None] = seen
            while differing := [key for key, record in wanted.items() if not same(record, now[key])]:
                writes = [_write(key, wanted[key]) for key in differing]
                checks = [_check(key, now[key]) for key in differing]
                if not await self._try(writes, checks):
                    return
                now = await read(self.target, differing, self._clock)
                wanted = {key: wanted[key] for key in differing}

    async def _try(self, writes: Sequence[Write], checks: Sequence[Check]) -> bool:
        """Commits; returns whether the records are others than were seen.

        That a commit landed whose answer was lost shows when it is tried again: the records are others then.
        """

        async def call(deadline: float) -> Committed | Conflict:
            return await land(self.target, writes, checks, clock=self._clock, ids=self._ids, deadline=deadline)

        return isinstance(await patiently(call, self._clock), Conflict)


async def read(store: Store, keys: Sequence[Key], clock: Clock) -> dict[Key, Record | None]:
    """Returns the records of any number of keys of one store, as they are now."""
    found: dict[Key, Record | None] = {}
    for begin in range(0, len(keys), _READ_MAX):
        some = keys[begin : begin + _READ_MAX]
        records = await patiently(functools.partial(_get, store, some), clock)
        found.update(zip(some, records, strict=True))
    return found


async def _get(store: Store, keys: Sequence[Key], deadline: float) -> Sequence[Record | None]:
    """Reads keys; those whose space is gone are absent."""
    try:
        return await store.get(keys, deadline=deadline)
    except SpaceNotFound:
        names = {info.name for info in await store.list_spaces(deadline=deadline)}
        if {key.space for key in keys} <= names:
            raise
    there = [key for key in keys if key.space in names]
    found = dict(zip(there, await store.get(there, deadline=deadline), strict=True))
    return [found.get(key) for key in keys]


def same(one: Record | None, other: Record | None) -> bool:
    """Whether two records are the same but for their versions."""
    if one is None or other is None:
        return one is other
    return one.value == other.value and dict(one.cells) == dict(other.cells)


def _write(key: Key, record: Record | None) -> Write:
    return Delete(key) if record is None else Put(key, record.value, record.cells)


def _check(key: Key, record: Record | None) -> Check:
    return IsVersion(key, None if record is None else record.version)
