"""Where reads run: the small ones on the event loop, the long ones in a few threads, each on its own connection."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

import apsw

from tenet.base.clock import NEVER, Clock
from tenet.store.contract import Key, Record
from tenet.store.errors import DeadlineExceeded, StoreCorrupt, StoreError, StoreUnavailable
from tenet.store.sqlite.faults import translate
from tenet.store.sqlite.keys import prefix_of
from tenet.store.sqlite.rows import record_of
from tenet.store.sqlite.schema import Execute, connect
from tenet.store.sqlite.spaces import Space

T = TypeVar("T")

THREADS: Final = 2
#: Memory for pages of the file: of the loop's connection, and of each thread's.
LOOP_CACHE_BYTES: Final = 16 * 1024 * 1024
THREAD_CACHE_BYTES: Final = 4 * 1024 * 1024
#: How many reads wait for a thread at the most.
WAITING_MAX: Final = 1_000
#: After so many reads without a commit between them, the loop's connection keeps what it sees.
_READS_TO_KEEP: Final = 8
#: How often a read in a thread looks whether it was broken off, in instructions of SQLite's machine.
_STEPS_TO_LOOK: Final = 10_000


class ReaderPool:
    """The connections that read.

    Args:
        path: the file.
        directory: the data directory, for messages.
        clock: for deadlines.
        writers: the writer's connection, which is the loop's, too, while it is at rest.
    """

    def __init__(self, path: str, *, directory: str, clock: Clock, writers: apsw.Connection) -> None:
        self._directory = directory
        self._clock = clock
        self._connection = connect(path, cache_bytes=LOOP_CACHE_BYTES)
        self._execute: Execute = self._connection.execute
        # A cursor that is kept saves making one; only for statements whose rows are fetched to the end.
        self._get: Execute = self._connection.cursor().execute
        # A connection forgets all pages when another one has changed the file. The writer's never has to.
        self._get_at_rest: Execute = writers.cursor().execute
        #: Whether the writer has nothing to do, and no transaction open.
        self.is_at_rest = False
        self._reads = 0
        self._keeps = False
        self._reads_to_keep = _READS_TO_KEEP
        self._is_changing = False
        self._may_be_behind = False
        self._threads = [connect(path, cache_bytes=THREAD_CACHE_BYTES) for _ in range(THREADS)]
        self._idle: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()
        for connection in self._threads:
            self._idle.put(connection)
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="tenet-read")
        self._waiting = 0
        #: What was found to be damaged, ever.
        self.damage = ""

    @property
    def waiting(self) -> int:
        """How many reads wait for a thread, or run in one."""
        return self._waiting

    def on_loop(self, read: Callable[[Execute], T], *, one_moment: bool = False) -> T:
        """Reads at once; for what takes a fraction of a millisecond.

        Args:
            read: what to read.
            one_moment: whether its statements have to see the same state.
        """
        try:
            if not self._keeps:
                self._count_read()
            if not one_moment or self._keeps:
                return read(self._execute)
            return _at_one_moment(self._execute, read)
        except apsw.Error as error:
            raise self._refusal_on_loop(error) from error

    def get(self, space: Space, key: Key) -> Record | None:
        """Reads one record on the loop: what `on_loop` with ``reads.get`` does, for half of the cost."""
        try:
            if not self._keeps:
                self._count_read()
            get = self._get_at_rest if self.is_at_rest and not self._keeps else self._get
            rows = get(space.get_sql, (prefix_of(key.partition) + key.sort,)).fetchall()
        except apsw.Error as error:
            raise self._refusal_on_loop(error) from error
        return record_of(key.partition, key.sort, rows[0]) if rows else None

    def _count_read(self) -> None:
        # Beginning and ending a read costs as much as reading a record. As this process makes all commits, the
        # connection can keep what it sees until the next one has ended.
        self._reads += 1
        if self._reads > self._reads_to_keep and not self._may_be_behind:
            self._execute("BEGIN")
            self._keeps = True

    def begin_change(self) -> None:
        """To be called before a COMMIT, which is durable for others before the loop hears of it.

        Until the loop does, its own reads may go on to show the state before: nobody has been told of the new one. A
        read in a thread may see that, however; if a read on the loop then showed an older state, whoever does one
        after the other would see time go backwards. So the loop keeps what it sees only while no thread reads.
        """
        self._is_changing = True
        if self._waiting:
            self._see_the_newest()

    def end_change(self) -> None:
        """To be called after a COMMIT."""
        self._is_changing = self._may_be_behind = False
        # Where many reads come between two commits, the next ones will too.
        self._reads_to_keep = 0 if self._reads > _READS_TO_KEEP else _READS_TO_KEEP
        self.let_go()

    def _see_the_newest(self) -> None:
        """Makes every read on the loop look for itself until the COMMIT that is under way has ended."""
        self._may_be_behind = True
        self.let_go()

    def let_go(self) -> None:
        """Makes the loop's connection give up what it sees."""
        self._reads = 0
        if self._keeps:
            self._keeps = False
            try:
                self._execute("COMMIT")
            except apsw.Error:
                # After some errors SQLite has ended it by itself: https://www.sqlite.org/lang_transaction.html, 2.3.
                if self._connection.in_transaction:
                    self._execute("ROLLBACK")

    async def in_thread(self, read: Callable[[Execute], T], *, one_moment: bool = False, deadline: float = NEVER) -> T:
        """Reads in a thread.

        Args:
            read: what to read.
            one_moment: whether its statements have to see the same state.
            deadline: when it is of no use any more, in seconds on the monotonic clock.

        Raises:
            DeadlineExceeded: the deadline passed first; the read is broken off.
            StoreUnavailable: too many reads wait already.
        """
        if self._waiting >= WAITING_MAX:
            raise StoreUnavailable(f"{self._waiting} long reads wait already; no more are taken")
        broken_off: list[bool] = []
        in_order = partial(_at_one_moment, read=read) if one_moment else read
        if self._is_changing:
            self._see_the_newest()
        self._waiting += 1
        try:
            async with asyncio.timeout(None if deadline == NEVER else deadline - self._clock.monotonic_s()):
                return await asyncio.get_running_loop().run_in_executor(
                    self._executor, self._read, in_order, broken_off
                )
        except TimeoutError as error:
            raise DeadlineExceeded("the deadline passed during the read") from error
        finally:
            # Whoever asked has gone, or has the answer.
            broken_off.append(True)
            self._waiting -= 1

    def _read(self, read: Callable[[Execute], T], broken_off: list[bool]) -> T:
        connection = self._idle.get()
        try:
            connection.set_progress_handler(lambda: bool(broken_off), _STEPS_TO_LOOK)
            return read(connection.execute)
        except apsw.Error as error:
            raise self._refusal(error, connection) from error
        finally:
            connection.set_progress_handler(None)
            self._idle.put(connection)

    def _refusal_on_loop(self, error: apsw.Error) -> StoreError:
        refusal = self._refusal(error, self._connection)
        # Whatever SQLite has left of what the connection kept: the next reads must not take it for one moment.
        self.let_go()
        return refusal

    def _refusal(self, error: apsw.Error, connection: apsw.Connection) -> StoreError:
        refusal = translate(error, connection, self._directory)
        if isinstance(refusal, StoreCorrupt):
            self.damage = refusal.message
        return refusal

    async def close(self) -> None:
        """Waits for the reads that run or wait, then closes the connections."""
        await asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)
        self.let_go()
        for connection in (self._connection, *self._threads):
            connection.close()


def _at_one_moment(execute: Execute, read: Callable[[Execute], T]) -> T:
    execute("BEGIN")
    try:
        answer = read(execute)
    except BaseException:
        # SQLite may have ended it by itself; the caller has to hear of what came first.
        with suppress(apsw.Error):
            execute("ROLLBACK")
        raise
    execute("COMMIT")
    return answer
