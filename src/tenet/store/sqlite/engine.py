"""The embedded engine: what ``contract.Store`` promises, on one SQLite file in a data directory.

This module joins the parts: requests are checked here, writes wait for the ``writer``, reads run in the ``pool``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import apsw

from tenet.base.clock import NEVER, Clock
from tenet.base.ids import Ids
from tenet.store import validate
from tenet.store.contract import (
    EVERYTHING,
    Capabilities,
    Commit,
    Committed,
    Key,
    Limits,
    LogPage,
    NeverCommitted,
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
from tenet.store.errors import DeadlineExceeded, InvalidRequest, SettleWindowPassed, SpaceNotFound, StoreUnavailable
from tenet.store.sqlite import logs, reads, spaces
from tenet.store.sqlite.apply import Transaction
from tenet.store.sqlite.faults import from_system, translate
from tenet.store.sqlite.keys import bounds
from tenet.store.sqlite.lock import DirectoryLock
from tenet.store.sqlite.logs import Releases
from tenet.store.sqlite.outcomes import Outcomes, until_ms_of
from tenet.store.sqlite.pool import ReaderPool
from tenet.store.sqlite.schema import FILE_NAME, Execute, connect, prepare
from tenet.store.sqlite.spaces import Catalogue, Space
from tenet.store.sqlite.upkeep import Upkeep
from tenet.store.sqlite.watches import Watches
from tenet.store.sqlite.writer import Job, Writer

T = TypeVar("T")

CAPABILITIES: Final = Capabilities(
    engine="sqlite", partitions_max=Limits.writes_max + Limits.checks_max, cheap_commits_across_partitions=True
)
PAGE_BYTES: Final = 1024 * 1024
_WRITER_CACHE_BYTES: Final = 16 * 1024 * 1024
#: Up to so many keys are read on the loop.
_LOOP_KEYS_MAX: Final = 100
#: What a query reads on the loop before it is begun again in a thread.
_LOOP_RECORDS_MAX: Final = 100
_LOOP_BYTES_MAX: Final = 128 * 1024
_DISCARDED_PER_JOB: Final = 200
_POSITION_MAX: Final = 2**63 - 1
_LIMIT_BYTES_MAX: Final = 2**63 - 1
_DEFAULT_OPTIONS: Final = SpaceOptions()


async def open_engine(location: str, *, clock: Clock, ids: Ids, site: int = 0) -> SqliteEngine:
    """Opens the embedded engine; the entry point ``sqlite`` of ``tenet.engines``.

    Args:
        location: the data directory, made where it is missing.
        clock: time.
        ids: nonces of versions.
        site: the site's number, 0 to 65,535.

    Raises:
        StoreLocked: another process holds the directory.
        StoreCorrupt: the file is of a later version, damaged, or not one of ours.
        ReadOnlyStore: the directory cannot be written to.
        DiskFull: there is no room to open it.
    """
    lock = _locked(location)
    path = str(Path(location, FILE_NAME))
    try:
        connection = connect(path, cache_bytes=_WRITER_CACHE_BYTES, create=True)
    except apsw.Error:
        lock.release()
        raise
    try:
        prepare(connection)
        return SqliteEngine(connection, location, lock, clock=clock, ids=ids, site=site)
    except apsw.Error as error:
        refused = translate(error, connection, location)
        connection.close()
        lock.release()
        raise refused from error
    except BaseException:
        connection.close()
        lock.release()
        raise


def _locked(location: str) -> DirectoryLock:
    try:
        Path(location).mkdir(mode=0o700, parents=True, exist_ok=True)
        return DirectoryLock(location)
    except OSError as error:
        raise from_system(error, location) from error


class SqliteEngine:
    """The engine; see ``contract.Engine``.

    Args:
        connection: the writer's connection to a file whose format is this version's.
        directory: the data directory.
        lock: on the directory; released by ``close``.
        clock: time.
        ids: nonces of versions.
        site: the site's number.
    """

    def __init__(
        self, connection: apsw.Connection, directory: str, lock: DirectoryLock, *, clock: Clock, ids: Ids, site: int
    ) -> None:
        self._directory = directory
        self._is_closed = False
        self._path = str(Path(directory, FILE_NAME))
        self._lock = lock
        self._clock = clock
        self._connection = connection
        self._catalogue = Catalogue()
        self._catalogue.load(connection)
        self._outcomes = Outcomes(connection)
        self._outcomes.load()
        self._watches = Watches()
        self._releases = Releases()
        self._releases.load(connection.execute)
        self._pool = ReaderPool(self._path, directory=directory, clock=clock)
        self._writer = Writer(
            connection,
            directory=directory,
            catalogue=self._catalogue,
            outcomes=self._outcomes,
            clock=clock,
            ids=ids,
            site=site,
            on_commit=self._take_up,
        )
        self._upkeep = Upkeep(
            self._path,
            directory=directory,
            writer=self._writer,
            pool=self._pool,
            catalogue=self._catalogue,
            outcomes=self._outcomes,
            releases=self._releases,
            clock=clock,
            write=self._write,
        )

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

        def work(transaction: Transaction) -> Iterator[Space]:
            space = self._catalogue.get(name)
            if space is None:
                transaction.has_written = True
                yield spaces.create(transaction.connection, name, options)
                return
            validate.check_change(space.info(), options)
            if space.options != options:
                transaction.has_written = True
                space = spaces.change(transaction.execute, space, options, time=transaction.time)
            yield space

        space = await self._write(work, deadline=deadline, on_durable=self._set_space, is_alone=True)
        return space.info()

    async def drop_space(self, name: str, *, deadline: float = NEVER) -> None:
        """Drops the space with its records, stamps and log."""
        validate.check_space_name(name)

        def work(transaction: Transaction) -> Iterator[bool]:
            space = self._catalogue.get(name)
            if space is not None:
                transaction.has_written = True
                spaces.drop(transaction.connection, space)
            yield True

        def removed(_: bool) -> None:  # noqa: FBT001 - the result of the work above, which says nothing
            self._catalogue.remove(name)

        await self._write(work, deadline=deadline, on_durable=removed, is_alone=True)

    async def list_spaces(self, prefix: str = "", *, deadline: float = NEVER) -> Sequence[SpaceInfo]:
        """Returns the spaces whose names begin with `prefix`, by name."""
        self._check_open(deadline)
        return sorted(
            (space.info() for space in self._catalogue if space.name.startswith(prefix)), key=lambda info: info.name
        )

    # ---- reads -------------------------------------------------------------------------------------------------------

    async def get(
        self,
        keys: Sequence[Key],
        *,
        stale: bool = False,  # noqa: ARG002 - no read here would be cheaper for being stale
        deadline: float = NEVER,
    ) -> Sequence[Record | None]:
        """Returns the record of each key, None where absent."""
        validate.check_count("the number of keys", len(keys), Limits.get_keys_max)
        self._check_open(deadline)
        found = []
        for key in keys:
            validate.check_key(key)
            found.append(self._catalogue.find(key.space))

        def read(execute: Execute) -> list[Record | None]:
            return [reads.get(execute, space, key) for space, key in zip(found, keys, strict=True)]

        if len(keys) <= _LOOP_KEYS_MAX:
            return self._pool.on_loop(read)
        records = await self._pool.in_thread(read, deadline=deadline)
        self._check_alive(*found)
        return records

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
        validate.check_count("limit_bytes", limit_bytes, _LIMIT_BYTES_MAX, least=1)
        self._check_open(deadline)
        found = self._catalogue.find(space)
        if stamp is not None:
            validate.check_stamp_of(stamp, found.options)
        query = reads.Query(found, partition, within, limit, limit_bytes, reverse, stamp)
        if limit <= _LOOP_RECORDS_MAX and limit_bytes <= _LOOP_BYTES_MAX:
            return self._pool.on_loop(query.read)
        page = self._pool.on_loop(query.capped(_LOOP_RECORDS_MAX, _LOOP_BYTES_MAX).read)
        if not page.more:
            return page
        page = await self._pool.in_thread(query.read, deadline=deadline)
        self._check_alive(found)
        return page

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
        validate.check_count("limit_bytes", limit_bytes, _LIMIT_BYTES_MAX, least=1)
        validate.check_slices(slice_index, slice_count)
        self._check_open(deadline)
        found = self._catalogue.find(space)
        if after is not None:
            validate.check_key(Key(space, *after))
        scan = reads.Scan(found, within, limit, limit_bytes, slice_index, slice_count, after)
        page = await self._pool.in_thread(scan.read, deadline=deadline)
        self._check_alive(found)
        return page

    async def read_together(
        self, reads_asked: Sequence[Key | StampOf], *, deadline: float = NEVER
    ) -> Sequence[Record | int | None]:
        """Returns the record of each key (None: absent) and each stamp, all of one moment."""
        validate.check_count("the number of reads", len(reads_asked), Limits.together_max)
        self._check_open(deadline)
        found = [self._catalogue.find(read.space) for read in reads_asked]
        for read, space in zip(reads_asked, found, strict=True):
            if isinstance(read, StampOf):
                validate.check_stamp_of(read, space.options)
            else:
                validate.check_key(read)

        def together(execute: Execute) -> list[Record | int | None]:
            return reads.together(execute, found, reads_asked)

        if len(reads_asked) <= _LOOP_KEYS_MAX:
            return self._pool.on_loop(together)
        answers = await self._pool.in_thread(together, deadline=deadline)
        self._check_alive(*found)
        return answers

    # ---- writes ------------------------------------------------------------------------------------------------------

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        """Commits; one share of an fsync."""
        validate.check_commit(commit, partitions_max=CAPABILITIES.partitions_max, now_ms=self._clock.wall_ms())
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        job = Job(future, commit=commit, byte_count=validate.commit_bytes(commit), deadline=deadline)
        self._writer.submit(job)
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
        commit_id = commit.id

        def work(transaction: Transaction) -> Iterator[Settled]:
            version = transaction.committed.get(commit_id) or self._outcomes.find(commit_id)
            if version is not None:
                yield Committed(version)
                return
            transaction.has_written = True
            transaction.execute(
                "INSERT OR IGNORE INTO fences (id, until_ms) VALUES (?, ?)", (commit_id, until_ms_of(commit_id))
            )
            self._outcomes.fence(commit_id)
            yield NeverCommitted(commit_id)

        return await self._write(work, deadline=deadline)

    async def discard(
        self, space: str, partition: bytes, within: Range = EVERYTHING, *, deadline: float = NEVER
    ) -> None:
        """Removes a range of a partition, some hundred records per transaction."""
        validate.check_partition(partition)
        validate.check_range(within)
        found = self._catalogue.find(space)
        lower, upper = bounds(partition, within)
        sql = (
            f"DELETE FROM {found.records} WHERE id IN"
            f" (SELECT id FROM {found.records} WHERE key >= ? AND key < ? ORDER BY key LIMIT {_DISCARDED_PER_JOB})"
        )

        def work(transaction: Transaction) -> Iterator[int]:
            if self._catalogue.get(space) is not found:
                raise SpaceNotFound(f"there is no space {space!r}")
            transaction.execute(sql, (lower, upper))
            removed = transaction.connection.changes()
            transaction.has_written = transaction.has_written or removed > 0
            yield removed

        while await self._write(work, deadline=deadline) == _DISCARDED_PER_JOB:
            pass

    async def read_log(
        self,
        space: str,
        shard: int,
        *,
        after: int,
        limit: int,
        reader: str | None = None,
        deadline: float = NEVER,
    ) -> LogPage:
        """Returns entries of a shard behind a position."""
        validate.check_count("after", after, _POSITION_MAX)
        validate.check_count("limit", limit, Limits.page_records_max, least=1)
        self._check_open(deadline)
        found = self._catalogue.find(space)
        options = logs.check_shard(found, shard)
        if reader is not None:
            if reader not in options.readers:
                raise InvalidRequest(f"the log of {space} has no reader {reader!r}")
            if after > self._releases.of(found, shard, reader):
                release = logs.Release(found, shard, reader, after)
                await self._write(release.work, deadline=deadline, on_durable=self._releases.note)
                self._check_alive(found)
        return self._pool.on_loop(logs.LogRead(found, shard, after, limit, self._outcomes.closed_time).read)

    def watch(self, space: str, partition: bytes | None = None) -> Watch:
        """Watches a partition, or the whole space, for commits into it."""
        self._catalogue.find(space)
        return self._watches.add(space, partition)

    # ---- life --------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Carries out what waits, then releases the data."""
        if self._is_closed:
            return
        self._is_closed = True
        await self._upkeep.stop()
        await self._writer.close()
        await asyncio.get_running_loop().run_in_executor(None, self._pool.close)
        self._connection.close()
        self._lock.release()

    async def health(self) -> Mapping[str, str | int | float | bool]:
        """Figures about the state of the engine."""
        figures = self._writer.figures
        return {"transactions": figures.transactions, "commits": figures.jobs}

    # ---- inside ------------------------------------------------------------------------------------------------------

    async def _write(
        self,
        work: Callable[[Transaction], Iterator[T]],
        *,
        deadline: float = NEVER,
        on_durable: Callable[[T], None] | None = None,
        is_alone: bool = False,
    ) -> T:
        """Has the writer carry out something that is no commit."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writer.submit(Job(future, work=work, deadline=deadline, on_durable=on_durable, is_alone=is_alone))
        return await future

    def _check_open(self, deadline: float) -> None:
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        if deadline != NEVER and deadline < self._clock.monotonic_s():
            raise DeadlineExceeded("the deadline had passed before the read began")

    def _check_alive(self, *found: Space) -> None:
        """Raises if a space was dropped while a thread read it: its records may have been on the way out."""
        for space in found:
            now = self._catalogue.get(space.name)
            if now is None or now.number != space.number:
                raise SpaceNotFound(f"the space {space.name!r} was dropped during the read")

    def _set_space(self, space: Space) -> None:
        self._catalogue.set(space)
        self._releases.keep_readers(space)

    def _take_up(self, jobs: list[Job]) -> None:
        """Makes what became durable known to reads and watches."""
        self._pool.let_go()
        self._watches.hint(job.commit for job in jobs if job.commit is not None and isinstance(job.result, Committed))
