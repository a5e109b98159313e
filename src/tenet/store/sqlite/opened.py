"""An open file with everything that works on it: the writer, the readers, the upkeep, and what they share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import apsw

from tenet.base.clock import NEVER, Clock
from tenet.base.ids import Ids
from tenet.store.contract import Committed
from tenet.store.errors import SpaceNotFound, StoreError
from tenet.store.sqlite.faults import translate
from tenet.store.sqlite.logs import Releases
from tenet.store.sqlite.migrations import prepare
from tenet.store.sqlite.outcomes import Outcomes
from tenet.store.sqlite.pool import ReaderPool
from tenet.store.sqlite.removals import STEP_COST
from tenet.store.sqlite.runway import Runway
from tenet.store.sqlite.schema import FILE_NAME, Execute, connect
from tenet.store.sqlite.spaces import Catalogue, Space
from tenet.store.sqlite.upkeep import Upkeep
from tenet.store.sqlite.works import Work
from tenet.store.sqlite.writeback import Writeback
from tenet.store.sqlite.writer import Job, Writer
from tenet.store.watches import Watches

T = TypeVar("T")

_WRITER_CACHE_BYTES: Final = 16 * 1024 * 1024


class OpenFile:
    """The store's file, open.

    Args:
        directory: the data directory, which this process holds.
        clock: time.
        ids: nonces of versions.
        site: the site's number.
        watches: told of the commits that became durable.

    Raises:
        StoreCorrupt: the file is of a later version, damaged, or not one of ours.
        ReadOnlyStore: it cannot be written to.
        DiskFull: there is no room to open it.
    """

    def __init__(self, directory: str, *, clock: Clock, ids: Ids, site: int, watches: Watches) -> None:
        self.path = str(Path(directory, FILE_NAME))
        self._watches = watches
        self._connection = _open(self.path, directory)
        self.catalogue = Catalogue()
        self.catalogue.load(self._connection.execute)
        self.outcomes = Outcomes(self._connection)
        self.outcomes.load()
        self.releases = Releases()
        self.releases.load(self._connection.execute)
        self.pool = ReaderPool(self.path, directory=directory, clock=clock, writers=self._connection)
        self.writer = Writer(
            self._connection,
            directory=directory,
            catalogue=self.catalogue,
            outcomes=self.outcomes,
            clock=clock,
            ids=ids,
            site=site,
            pool=self.pool,
            on_commit=self._hint,
        )
        self.runway = Runway(self.path + "-wal")
        self.writeback = Writeback(self.path)
        self.upkeep = Upkeep(self, directory=directory, clock=clock)

    async def close(self) -> None:
        """Carries out what waits, then closes the file."""
        await self.upkeep.stop()
        await self.runway.stop()
        await self.writer.close()
        await self.pool.close()
        await asyncio.get_running_loop().run_in_executor(None, self._let_go)

    def _let_go(self) -> None:
        try:
            # The last connection folds the write-ahead log into the file.
            self._connection.close()
        finally:
            self.writeback.close()

    async def write(
        self,
        work: Work[T],
        *,
        deadline: float = NEVER,
        on_durable: Callable[[T], None] | None = None,
        cost: int = 1,
    ) -> T:
        """Has the writer carry out something that is no commit; arguments as ``writer.Job`` has them."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.writer.submit(Job(future, work=work, deadline=deadline, on_durable=on_durable, cost=cost))
        return await future

    async def remove_all(self, step: Work[bool], *, deadline: float = NEVER) -> None:
        """Repeats a step of ``removals`` as long as there may be more to remove."""
        while await self.write(step, deadline=deadline, cost=STEP_COST):
            pass

    async def read_in_thread(
        self, read: Callable[[Execute], T], *spaces: Space, one_moment: bool = False, deadline: float = NEVER
    ) -> T:
        """Reads from spaces in a thread; arguments as ``ReaderPool.in_thread`` has them.

        Raises:
            SpaceNotFound: a space was dropped meanwhile: what was read of it may have been on the way out.
        """
        try:
            answer = await self.pool.in_thread(read, one_moment=one_moment, deadline=deadline)
        except StoreError:
            # Where its very table has gone, that is the reason.
            self.check_there(*spaces)
            raise
        self.check_there(*spaces)
        return answer

    def check_there(self, *read: Space) -> None:
        """Raises if a space was dropped while a thread read it: its records may have been on the way out."""
        for space in read:
            if not self.catalogue.has(space):
                raise SpaceNotFound(f"the space {space.name!r} was dropped during the read")

    def set_space(self, space: Space) -> None:
        """Takes up a space that was made or changed."""
        self.catalogue.set(space)
        self.releases.keep_readers(space)

    def _hint(self, jobs: list[Job]) -> None:
        """Tells watches of what became durable, and has the log made longer where it nears its end."""
        if (pages := self.writer.figures.wal_pages) >= self.runway.wanted_at:
            self.runway.extend(pages)
        if self._watches.are_there:
            commits = [job.commit for job in jobs if job.commit is not None and isinstance(job.result, Committed)]
            self._watches.hint(commits)


def _open(path: str, directory: str) -> apsw.Connection:
    connection = connect(path, cache_bytes=_WRITER_CACHE_BYTES, create=True)
    try:
        prepare(connection)
    except apsw.Error as error:
        refused = translate(error, connection, directory)
        connection.close()
        raise refused from error
    except BaseException:
        connection.close()
        raise
    return connection
