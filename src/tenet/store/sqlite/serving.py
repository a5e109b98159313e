"""What requests ask of the embedded engine most: reads, and commits. It checks them and hands them on.

Writes wait for the ``writer``, reads run in the ``pool``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from tenet.base.clock import NEVER, Clock
from tenet.store import validate
from tenet.store.contract import (
    EVERYTHING,
    Capabilities,
    Commit,
    Key,
    Limits,
    LogPage,
    Outcome,
    Page,
    Range,
    Record,
    StampOf,
)
from tenet.store.errors import DeadlineExceeded
from tenet.store.sqlite import logs, reads
from tenet.store.sqlite.opened import OpenFile
from tenet.store.sqlite.reads import Together
from tenet.store.sqlite.schema import Execute
from tenet.store.sqlite.spaces import Space
from tenet.store.sqlite.writer import Job

CAPABILITIES: Final = Capabilities(
    engine="sqlite", partitions_max=Limits.writes_max + Limits.checks_max, cheap_commits_across_partitions=True
)
PAGE_BYTES: Final = 1024 * 1024
#: Up to so many keys are read on the loop, until their values have come to so many bytes; then a thread goes on.
_LOOP_KEYS_MAX: Final = 100
_LOOP_VALUE_BYTES_MAX: Final = 512 * 1024
#: What a query reads on the loop before it is begun again in a thread.
_LOOP_RECORDS_MAX: Final = 100
_LOOP_BYTES_MAX: Final = 128 * 1024
#: How many rows a scan looks at for each record that is wanted before it looks whether it has found any; and at most.
_ROWS_PER_RECORD: Final = 4
_SCANNED_ROWS_MAX: Final = 5_000
_INTEGER_MAX: Final = 2**63 - 1


class Serving:
    """Reads and commits, as ``contract.Store`` has them.

    Args:
        clock: time.
        ready: waits for the file to be open until a deadline, in seconds on the monotonic clock.
    """

    __slots__ = ("_clock", "_loop", "_ready", "file")

    def __init__(self, clock: Clock, ready: Callable[[float], Awaitable[OpenFile]]) -> None:
        self._clock = clock
        self._ready = ready
        self._loop = asyncio.get_running_loop()
        #: None while there is none: it is not open yet, a backup takes its place, or the engine is closed.
        self.file: OpenFile | None = None

    async def get(
        self,
        keys: Sequence[Key],
        *,
        stale: bool = False,  # noqa: ARG002 - no read here would be cheaper for being stale
        deadline: float = NEVER,
    ) -> Sequence[Record | None]:
        """Returns the record of each key, None where absent."""
        if len(keys) > _LOOP_KEYS_MAX:
            return await self._get_many(keys, deadline)
        file = self.file or await self._ready(deadline)
        if deadline < self._clock.monotonic_s():
            raise _late()
        get = file.pool.get
        if len(keys) == 1:
            (key,) = keys
            validate.check_key(key)
            return [get(file.catalogue.find(key.space), key)]
        found = []
        for key in keys:
            validate.check_key(key)
            found.append(file.catalogue.find(key.space))
        records: list[Record | None] = []
        bytes_left = _LOOP_VALUE_BYTES_MAX
        for space, key in zip(found, keys, strict=True):
            if bytes_left <= 0:
                done = len(records)
                return records + await self._get_in_thread(file, found[done:], keys[done:], deadline)
            record = get(space, key)
            records.append(record)
            if record is not None:
                bytes_left -= len(record.value)
        return records

    async def _get_many(self, keys: Sequence[Key], deadline: float) -> Sequence[Record | None]:
        """Reads so many keys that a thread does it from the beginning."""
        validate.check_count("the number of keys", len(keys), Limits.get_keys_max)
        file = await self.to_read(deadline)
        found = []
        for key in keys:
            validate.check_key(key)
            found.append(file.catalogue.find(key.space))
        return await self._get_in_thread(file, found, keys, deadline)

    async def _get_in_thread(
        self, file: OpenFile, found: Sequence[Space], keys: Sequence[Key], deadline: float
    ) -> list[Record | None]:
        def read(execute: Execute) -> list[Record | None]:
            return [reads.get(execute, space, key) for space, key in zip(found, keys, strict=True)]

        return await file.read_in_thread(read, *found, deadline=deadline)

    async def query(
        self,
        space: str,
        partition: bytes,
        within: Range = EVERYTHING,
        *,
        limit: int,
        limit_bytes: int = PAGE_BYTES,
        reverse: bool = False,
        stamp: StampOf | None = None,
        stale: bool = False,  # noqa: ARG002 - no read here would be cheaper for being stale
        deadline: float = NEVER,
    ) -> Page:
        """Returns records of one partition in order of their sort keys, as of one moment."""
        validate.check_partition(partition)
        validate.check_range(within)
        validate.check_count("limit", limit, Limits.page_records_max, least=1)
        validate.check_count("limit_bytes", limit_bytes, _INTEGER_MAX, least=1)
        file = await self.to_read(deadline)
        found = file.catalogue.find(space)
        stamped = None
        if stamp is not None:
            stamped = file.catalogue.find(stamp.space)
            validate.check_stamp_of(stamp, stamped.options)
        query = reads.Query(found, partition, within, limit, limit_bytes, reverse=reverse, stamp=stamp, stamped=stamped)
        one_moment = stamp is not None
        if limit <= _LOOP_RECORDS_MAX and limit_bytes <= _LOOP_BYTES_MAX:
            return file.pool.on_loop(query.read, one_moment=one_moment)
        page = file.pool.on_loop(query.capped(_LOOP_RECORDS_MAX, _LOOP_BYTES_MAX).read, one_moment=one_moment)
        if not page.more:
            return page
        return await file.read_in_thread(query.read, found, one_moment=one_moment, deadline=deadline)

    async def scan(
        self,
        space: str,
        within: Range = EVERYTHING,
        *,
        limit: int,
        limit_bytes: int = PAGE_BYTES,
        slice_index: int = 0,
        slice_count: int = 1,
        after: tuple[bytes, bytes] | None = None,
        stale: bool = False,  # noqa: ARG002 - no read here would be cheaper for being stale
        deadline: float = NEVER,
    ) -> Page:
        """Returns records of a space in the order of their stored keys."""
        validate.check_range(within)
        validate.check_count("limit", limit, Limits.page_records_max, least=1)
        validate.check_count("limit_bytes", limit_bytes, _INTEGER_MAX, least=1)
        validate.check_slices(slice_index, slice_count)
        if after is not None:
            validate.check_key(Key(space, *after))
        file = await self.to_read(deadline)
        found = file.catalogue.find(space)
        scan = reads.Scan(found, within, limit, limit_bytes, slice_index, slice_count, after)
        start = scan.begin()
        if within == EVERYTHING:
            return await file.read_in_thread(scan.read, found, deadline=deadline)
        # Where few of the rows are asked for, a page takes many of them; the thread is given back now and then.
        row_count = limit * _ROWS_PER_RECORD
        while True:
            read = partial(scan.read_among, start=start, row_count=row_count)
            page, behind = await file.read_in_thread(read, found, deadline=deadline)
            if page.records or behind is None:
                return page
            start = behind
            row_count = min(row_count * 2, _SCANNED_ROWS_MAX)

    async def read_together(
        self,
        reads: Sequence[Key | StampOf],
        *,
        deadline: float = NEVER,
    ) -> Sequence[Record | int | None]:
        """Returns the record of each key (None: absent) and each stamp, all of one moment."""
        validate.check_count("the number of reads", len(reads), Limits.together_max)
        file = await self.to_read(deadline)
        found = [file.catalogue.find(read.space) for read in reads]
        for read, space in zip(reads, found, strict=True):
            if isinstance(read, StampOf):
                validate.check_stamp_of(read, space.options)
            else:
                validate.check_key(read)

        together = Together(reads, found)
        if len(reads) <= _LOOP_KEYS_MAX:
            read_some = partial(together.read_up_to, value_bytes=_LOOP_VALUE_BYTES_MAX)
            answers = file.pool.on_loop(read_some, one_moment=True)
            if answers is not None:
                return answers
        return await file.read_in_thread(together.read, *found, one_moment=True, deadline=deadline)

    async def read_log(
        self,
        space: str,
        shard: int,
        *,
        after: int,
        limit: int,
        reader: str | None = None,
        stale: bool = False,
        deadline: float = NEVER,
    ) -> LogPage:
        """Returns entries of a shard behind a position; a release costs a share of an fsync.

        None is ever on its way: positions are given in the commit itself.
        """
        validate.check_reads_log(reader, stale=stale)
        validate.check_count("after", after, _INTEGER_MAX)
        validate.check_count("limit", limit, Limits.page_records_max, least=1)
        file = await self.to_read(deadline)
        found = file.catalogue.find(space)
        options = logs.check_shard(found, shard)
        if reader is not None:
            logs.check_reader(found, options, reader)
            if after > file.releases.of(found, shard, reader):
                release = logs.Release(found, shard, reader, after)
                await file.write(release.work, deadline=deadline, on_durable=file.releases.note)
                file.check_there(found)
        read = logs.LogRead(found, shard, after, limit, file.outcomes.closed_time).read
        return file.pool.on_loop(read, one_moment=True)

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        """Commits; one share of an fsync."""
        byte_count = validate.check_commit(
            commit, partitions_max=CAPABILITIES.partitions_max, now_ms=self._clock.wall_ms()
        )
        file = self.file or await self._ready(deadline)
        future: asyncio.Future[Outcome] = self._loop.create_future()
        cost = 1 + len(commit.writes) + len(commit.checks) + len(commit.appends)
        file.writer.submit(Job(future, cost, commit, byte_count=byte_count, deadline=deadline))
        return await future

    async def to_read(self, deadline: float) -> OpenFile:
        """Returns the open file for a read whose deadline has not passed."""
        if deadline < self._clock.monotonic_s():
            raise _late()
        return self.file or await self._ready(deadline)


def _late() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline had passed before the read began")
