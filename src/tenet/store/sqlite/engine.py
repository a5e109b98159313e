"""The embedded engine: what ``contract.Store`` promises, on one SQLite file in a data directory.

This module checks what is asked and hands it on: writes wait for the ``writer``, reads run in the ``pool``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from tenet.base.clock import NEVER, Clock
from tenet.base.ids import Ids
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
    Settled,
    SpaceInfo,
    SpaceOptions,
    StampOf,
    Watch,
    commit_id_ms,
)
from tenet.store.errors import DeadlineExceeded, InvalidRequest, SettleWindowPassed, StoreCorrupt, StoreUnavailable
from tenet.store.sqlite import backup, logs, reads, works
from tenet.store.sqlite.faults import from_system
from tenet.store.sqlite.health import RESTORING, health_of
from tenet.store.sqlite.lock import FILE_NAME as LOCK_FILE
from tenet.store.sqlite.lock import DirectoryLock
from tenet.store.sqlite.opened import OpenFile
from tenet.store.sqlite.outcomes import until_ms_of
from tenet.store.sqlite.reads import Together
from tenet.store.sqlite.removals import discard
from tenet.store.sqlite.schema import FILE_NAME, Execute
from tenet.store.sqlite.spaces import Space
from tenet.store.sqlite.writer import ALONE, Job
from tenet.store.watches import Watches

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
_DEFAULT_OPTIONS: Final = SpaceOptions()

_log = structlog.get_logger(__name__)


async def open_engine(location: str, *, clock: Clock, ids: Ids, site: int = 0) -> SqliteEngine:
    """Opens the embedded engine; the entry point ``sqlite`` of ``tenet.engines``.

    Args:
        location: the data directory, made where it is missing.
        clock: time.
        ids: nonces of versions.
        site: the site's number, 0 to 65,535.

    Raises:
        StoreLocked: another process holds the directory.
        StoreCorrupt: the file is of a later version, damaged, not one of ours, or missing where there was one.
        ReadOnlyStore: the directory cannot be written to.
        DiskFull: there is no room to open it.
    """
    try:
        lock = DirectoryLock(location)
    except OSError as error:
        raise from_system(error, location) from error
    try:
        _check_there(location, lock)
        backup.remove_staged(location)
        engine = SqliteEngine(location, lock, clock=clock, ids=ids, site=site)
        lock.note_opened()
        return engine  # noqa: TRY300 (what is made here is let go below)
    except BaseException:
        lock.release()
        raise


def _check_there(directory: str, lock: DirectoryLock) -> None:
    """Refuses to begin with an empty store where there was another one."""
    if lock.had_store and not Path(directory, FILE_NAME).exists():
        raise StoreCorrupt(
            f"the store's file {FILE_NAME} is missing from {directory}, though there was one: put it back, or restore a"
            f" backup; to begin with an empty store, remove {Path(directory, LOCK_FILE)}"
        )


class SqliteEngine:
    """The engine; see ``contract.Engine`` and ``contract.Backups``.

    Args:
        directory: the data directory.
        lock: on the directory; released by ``close``.
        clock: time.
        ids: nonces of versions.
        site: the site's number.
    """

    def __init__(self, directory: str, lock: DirectoryLock, *, clock: Clock, ids: Ids, site: int) -> None:
        self._directory = directory
        self._lock = lock
        self._clock = clock
        self._ids = ids
        self._site = site
        self._loop = asyncio.get_running_loop()
        self._watches = Watches()
        self._is_closed = False
        #: None while a backup takes the file's place, and after ``close``.
        self._file: OpenFile | None = self._open()
        self._reopened = asyncio.Event()
        self._life = asyncio.Lock()
        self._is_restoring = False
        self._restoring: asyncio.Task[None] | None = None

    def _open(self) -> OpenFile:
        return OpenFile(self._directory, clock=self._clock, ids=self._ids, site=self._site, watches=self._watches)

    async def _ready(self, deadline: float) -> OpenFile:
        """Returns the open file; waits for it while a backup is restored."""
        file = self._file
        if file is None:
            try:
                async with asyncio.timeout(None if deadline == NEVER else deadline - self._clock.monotonic_s()):
                    while file is None and not self._is_closed:
                        await self._reopened.wait()
                        file = self._file
            except TimeoutError as error:
                raise DeadlineExceeded("the deadline passed while a backup was being restored") from error
        if self._is_closed or file is None:
            raise StoreUnavailable("the store is closed")
        return file

    async def _to_read(self, deadline: float) -> OpenFile:
        """Returns the open file for a read whose deadline has not passed."""
        if deadline < self._clock.monotonic_s():
            raise _late()
        return self._file or await self._ready(deadline)

    @property
    def capabilities(self) -> Capabilities:
        """What the engine declares about itself."""
        return CAPABILITIES

    # ---- spaces ------------------------------------------------------------------------------------------------------

    async def ensure_space(
        self, name: str, options: SpaceOptions = _DEFAULT_OPTIONS, *, deadline: float = NEVER
    ) -> SpaceInfo:
        """Creates the space, or changes it to these options."""
        validate.check_space_name(name)
        validate.check_options(options)
        file = await self._ready(deadline)
        work = works.ensure_space(name, options)
        space = await file.write(work, deadline=deadline, on_durable=file.set_space, cost=ALONE)
        return space.info()

    async def drop_space(self, name: str, *, deadline: float = NEVER) -> None:
        """Drops the space with its records, stamps and log."""
        validate.check_space_name(name)
        file = await self._ready(deadline)
        await file.write(
            works.drop_space(name),
            deadline=deadline,
            on_durable=lambda _: file.catalogue.remove(name),
            cost=ALONE,
        )

    async def list_spaces(self, prefix: str = "", *, deadline: float = NEVER) -> Sequence[SpaceInfo]:
        """Returns the spaces whose names begin with `prefix`, by name."""
        file = await self._to_read(deadline)
        found = [space.info() for space in file.catalogue if space.name.startswith(prefix)]
        return sorted(found, key=lambda info: info.name)

    # ---- reads -------------------------------------------------------------------------------------------------------

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
        file = self._file or await self._ready(deadline)
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
        file = await self._to_read(deadline)
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
        file = await self._to_read(deadline)
        found = file.catalogue.find(space)
        stamped = None
        if stamp is not None:
            stamped = file.catalogue.find(stamp.space)
            validate.check_stamp_of(stamp, stamped.options)
        query = reads.Query(found, partition, within, limit, limit_bytes, reverse, stamp, stamped)
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
        file = await self._to_read(deadline)
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
        file = await self._to_read(deadline)
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
        file = await self._to_read(deadline)
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

    # ---- writes ------------------------------------------------------------------------------------------------------

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        """Commits; one share of an fsync."""
        byte_count = validate.check_commit(
            commit, partitions_max=CAPABILITIES.partitions_max, now_ms=self._clock.wall_ms()
        )
        file = self._file or await self._ready(deadline)
        future: asyncio.Future[Outcome] = self._loop.create_future()
        cost = 1 + len(commit.writes) + len(commit.checks) + len(commit.appends)
        file.writer.submit(Job(future, cost, commit, None, byte_count, deadline))
        return await future

    async def settle(self, commit: Commit, *, deadline: float = NEVER) -> Settled:
        """Says whether a commit took effect; if it has not, it never will."""
        if not commit.writes and not commit.appends:
            raise InvalidRequest("a commit without writes and appends has no effect that could be settled")
        now_ms = self._clock.wall_ms()
        if now_ms > until_ms_of(commit.id):
            raise SettleWindowPassed(
                f"the commit was made {now_ms - commit_id_ms(commit.id)} ms ago; it can be settled for"
                f" {Limits.settle_window_s} s"
            )
        file = await self._ready(deadline)
        return await file.write(works.settle(commit), deadline=deadline)

    async def discard(
        self, space: str, partition: bytes, within: Range = EVERYTHING, *, deadline: float = NEVER
    ) -> None:
        """Removes a range of a partition, some hundred records or a mebibyte per transaction."""
        validate.check_partition(partition)
        validate.check_range(within)
        file = await self._ready(deadline)
        await file.remove_all(discard(file.catalogue.find(space), partition, within), deadline=deadline)

    def watch(self, space: str, partition: bytes | None = None) -> Watch:
        """Watches a partition, or the whole space, for commits into it."""
        if self._file is not None:
            self._file.catalogue.find(space)
        return self._watches.add(space, partition)

    # ---- life --------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Carries out what waits, then releases the data; safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = True
        async with self._life:
            file, self._file = self._file, None
            if file is not None:
                await file.close()
        self._lock.release()

    async def health(self) -> Mapping[str, str | int | float | bool]:
        """Figures about the state of the engine; names as ``health.health_of`` gives them."""
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        if self._file is None:
            return {"directory": self._directory, **RESTORING}
        return health_of(self._file, self._directory, is_restoring=self._is_restoring)

    async def backup(self, path: str) -> Mapping[str, int]:
        """Writes a consistent copy to a new file, while the store serves.

        Args:
            path: the file; its folder exists, it does not.

        Returns:
            ``bytes`` and ``records``.

        Raises:
            InvalidRequest: there is a file of that name, or no such folder.
            DiskFull: there is no room for it.
        """
        file = await self._ready(NEVER)
        return await self._loop.run_in_executor(None, backup.write_backup, file.path, path)

    async def restore(self, path: str) -> None:
        """Puts a backup in the place of everything that is stored. Calls wait meanwhile; later ones see the backup.

        Once begun it goes on to its end, even if nobody waits for it any more.

        Args:
            path: a file that ``backup`` wrote, of this format or an older one.

        Raises:
            InvalidRequest: there is no such file, or another restore runs.
            StoreCorrupt: it is no backup, or damaged, or of a later version; the store is left as it was.
            DiskFull: there is no room for it beside the store.
            StoreUnavailable: the store was closed before the backup took its place, or something still reads it, such
                as a backup that is being written; it is left as it was.
        """
        if self._is_restoring:
            raise InvalidRequest("another backup is being restored")
        self._is_restoring = True
        self._restoring = asyncio.create_task(self._restore(path))
        await asyncio.shield(self._restoring)

    async def _restore(self, path: str) -> None:
        try:
            staged = await self._loop.run_in_executor(None, backup.stage_restore, self._directory, path)
            try:
                async with self._life:
                    await self._swap(staged)
            finally:
                await self._loop.run_in_executor(None, backup.discard_staged, staged)
        except Exception as error:
            _log.warning("a backup could not be restored", path=path, error=str(error))
            raise
        finally:
            self._is_restoring = False

    async def _swap(self, staged: Path) -> None:
        """Closes the file, puts a staged copy in its place and opens that; the old one, should it go wrong."""
        file = await self._ready(NEVER)
        self._reopened.clear()
        self._file = None
        try:
            await file.close()
            await self._loop.run_in_executor(None, backup.swap, staged)
        finally:
            try:
                self._file = self._open()
            except BaseException:
                # Without a file every call would wait for ever.
                self._is_closed = True
                self._lock.release()
                raise
            finally:
                self._reopened.set()
                self._watches.hint_all()


def _late() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline had passed before the read began")
