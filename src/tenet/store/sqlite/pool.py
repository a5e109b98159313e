"""Where reads run: the small ones on the event loop, the long ones in a few threads, each on its own connection."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import apsw

from tenet.base.clock import NEVER, Clock
from tenet.store.errors import DeadlineExceeded, StoreUnavailable
from tenet.store.sqlite.faults import translate
from tenet.store.sqlite.schema import Execute, connect

T = TypeVar("T")

THREADS: Final = 2
#: Memory for pages of the file: of the loop's connection, and of each thread's.
LOOP_CACHE_BYTES: Final = 16 * 1024 * 1024
THREAD_CACHE_BYTES: Final = 4 * 1024 * 1024
#: How many reads wait for a thread at the most.
WAITING_MAX: Final = 1_000


class ReaderPool:
    """The connections that read.

    Args:
        path: the file.
        directory: the data directory, for messages.
        clock: for deadlines.
    """

    def __init__(self, path: str, *, directory: str, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self.connection = connect(path, cache_bytes=LOOP_CACHE_BYTES)
        self._idle: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()
        self._all = [connect(path, cache_bytes=THREAD_CACHE_BYTES) for _ in range(THREADS)]
        for connection in self._all:
            self._idle.put(connection)
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="tenet-read")
        self._waiting = 0

    def on_loop(self, read: Callable[[Execute], T]) -> T:
        """Reads at once; for what takes a fraction of a millisecond."""
        try:
            return read(self.connection.execute)
        except apsw.Error as error:
            raise translate(error, self.connection, self._directory) from error

    async def in_thread(self, read: Callable[[Execute], T], *, deadline: float = NEVER) -> T:
        """Reads in a thread.

        Raises:
            DeadlineExceeded: the deadline passed first; the read is broken off.
            StoreUnavailable: too many reads wait already.
        """
        if self._waiting >= WAITING_MAX:
            raise StoreUnavailable(f"{self._waiting} long reads wait already; no more are taken")
        self._waiting += 1
        broken_off: list[bool] = []
        try:
            future = asyncio.get_running_loop().run_in_executor(self._executor, self._read, read, broken_off)
            if deadline == NEVER:
                return await future
            async with asyncio.timeout(deadline - self._clock.monotonic_s()):
                return await future
        except TimeoutError as error:
            broken_off.append(True)
            raise DeadlineExceeded("the deadline passed during the read") from error
        finally:
            self._waiting -= 1

    def _read(self, read: Callable[[Execute], T], broken_off: list[bool]) -> T:
        connection = self._idle.get()
        try:
            if broken_off:
                raise DeadlineExceeded("the deadline passed before the read began")
            connection.set_progress_handler(lambda: bool(broken_off), 10_000)
            return read(connection.execute)
        except apsw.Error as error:
            raise translate(error, connection, self._directory) from error
        finally:
            self._idle.put(connection)

    def close(self) -> None:
        """Waits for reads that run, then closes the connections; blocks."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        for connection in (self.connection, *self._all):
            connection.close()
