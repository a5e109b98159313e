"""The embedded engine: what ``contract.Store`` promises, on one SQLite file in a data directory.

This module has its life and its spaces; what requests ask for most is in ``serving``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
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
    Limits,
    Range,
    Settled,
    SpaceInfo,
    SpaceOptions,
    Watch,
    commit_id_ms,
)
from tenet.store.errors import DeadlineExceeded, InvalidRequest, SettleWindowPassed, StoreCorrupt, StoreUnavailable
from tenet.store.sqlite import backup, works
from tenet.store.sqlite.faults import from_system
from tenet.store.sqlite.health import RESTORING, health_of
from tenet.store.sqlite.lock import FILE_NAME as LOCK_FILE
from tenet.store.sqlite.lock import DirectoryLock
from tenet.store.sqlite.opened import OpenFile
from tenet.store.sqlite.outcomes import until_ms_of
from tenet.store.sqlite.removals import discard
from tenet.store.sqlite.schema import FILE_NAME
from tenet.store.sqlite.serving import CAPABILITIES, Serving
from tenet.store.sqlite.writer import ALONE
from tenet.store.watches import Watches

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
            f" backup; to begin with an empty store, put an empty file in the place of {Path(directory, LOCK_FILE)}"
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
        serving = self._serving = Serving(clock, self._ready)
        serving.file = self._open()
        # What requests ask for most goes there without a detour.
        self.get = serving.get
        self.query = serving.query
        self.scan = serving.scan
        self.read_together = serving.read_together
        self.read_log = serving.read_log
        self.commit = serving.commit
        self._reopened = asyncio.Event()
        self._life = asyncio.Lock()
        self._is_restoring = False
        self._restoring: asyncio.Task[None] | None = None

    def _open(self) -> OpenFile:
        return OpenFile(self._directory, clock=self._clock, ids=self._ids, site=self._site, watches=self._watches)

    async def _ready(self, deadline: float) -> OpenFile:
        """Returns the open file; waits for it while a backup is restored."""
        file = self._serving.file
        if file is None:
            try:
                async with asyncio.timeout(None if deadline == NEVER else deadline - self._clock.monotonic_s()):
                    while file is None and not self._is_closed:
                        await self._reopened.wait()
                        file = self._serving.file
            except TimeoutError as error:
                raise DeadlineExceeded("the deadline passed while a backup was being restored") from error
        if self._is_closed or file is None:
            raise StoreUnavailable("the store is closed")
        return file

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
        file = await self._serving.to_read(deadline)
        found = [space.info() for space in file.catalogue if space.name.startswith(prefix)]
        return sorted(found, key=lambda info: info.name)

    # ---- writes ------------------------------------------------------------------------------------------------------

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
        if self._serving.file is not None:
            self._serving.file.catalogue.find(space)
        return self._watches.add(space, partition)

    # ---- life --------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Carries out what waits, then releases the data; safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = True
        async with self._life:
            file, self._serving.file = self._serving.file, None
            if file is not None:
                await file.close()
        self._lock.release()

    async def health(self) -> Mapping[str, str | int | float | bool]:
        """Figures about the state of the engine; names as ``health.health_of`` gives them."""
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        if self._serving.file is None:
            return {"directory": self._directory, **RESTORING}
        return health_of(self._serving.file, self._directory, is_restoring=self._is_restoring)

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
        self._serving.file = None
        try:
            await file.close()
            await self._loop.run_in_executor(None, backup.swap, staged)
        finally:
            try:
                self._serving.file = self._open()
            except BaseException:
                # Without a file every call would wait for ever.
                self._is_closed = True
                self._lock.release()
                raise
            finally:
                self._reopened.set()
                self._watches.hint_all()
