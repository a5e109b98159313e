"""Room ahead in the write-ahead log: blocks that were written before a commit needs them.

A commit that makes a file longer has the file system write down the new length and the new blocks too, which takes
about as long again as the commit's own pages. Over blocks that have been written before, ``fdatasync`` writes the
pages alone. SQLite goes round in its log, so it gets there by itself after a while; this gets there at the start, and
stays ahead while the log grows.

Zeros behind the last frame are no frames: what SQLite looks for after a crash ends at the first one whose salt and
checksum do not fit (https://www.sqlite.org/walformat.html, section 1.2).

Invariant: nothing that SQLite wrote is ever written over. Zeros are only appended, with ``O_APPEND``, for which the
system finds the end and writes in one step (https://pubs.opengroup.org/onlinepubs/9799919799/functions/write.html):
what SQLite has written by then lies before that end, and what it writes later replaces zeros.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tenet.store.sqlite.schema import PAGE_BYTES

#: A page with the header of its frame.
_FRAME_BYTES: Final = PAGE_BYTES + 24
#: How far ahead of what is in use: as far as that is, within these bounds.
_AHEAD_BYTES_MIN: Final = 16 * 1024 * 1024
_AHEAD_BYTES_MAX: Final = 64 * 1024 * 1024
#: The log is begun anew before it is much longer than this.
_LENGTH_BYTES_MAX: Final = 256 * 1024 * 1024
#: A commit that comes meanwhile waits for no more than such a piece.
_PIECE: Final = bytes(256 * 1024)
#: The share of the free space that may be taken; a disk that is nearly full is left alone.
_FREE_SHARE: Final = 1 / 16
_NEVER: Final = 1 << 62


class Runway:
    """Keeps the write-ahead log longer than it has to be.

    Args:
        path: the log's file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="tenet-runway")
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._is_halted = False
        #: From so many pages in use on, more room is wanted: first by the first commit.
        self.wanted_at = 0

    def extend(self, pages: int) -> None:
        """Sees to it that there is room ahead; returns at once.

        Args:
            pages: how many pages of the log are in use.
        """
        if self._task is None and not self._is_stopped:
            self._task = asyncio.get_running_loop().create_task(self._extend(pages * _FRAME_BYTES))

    async def halt(self) -> None:
        """Ends a growth that is under way; what is cut off behind this stays cut off until the next commit."""
        self._is_halted = True
        try:
            await self._ended()
        finally:
            self._is_halted = False

    def begin_anew(self) -> None:
        """To be called when the log was cut off: the next commit wants room again."""
        self.wanted_at = 0

    async def stop(self) -> None:
        """Ends it, before the last connection folds the log into the file and removes it."""
        self._is_stopped = True
        await self._ended()
        await asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)

    async def _ended(self) -> None:
        """Waits until nothing grows. Who is cancelled meanwhile takes no growth along."""
        if self._task is not None:
            await asyncio.wait((self._task,))

    async def _extend(self, used: int) -> None:
        ahead = min(max(used, _AHEAD_BYTES_MIN), _AHEAD_BYTES_MAX)
        wanted = min(used + ahead, _LENGTH_BYTES_MAX)
        try:
            length = await asyncio.get_running_loop().run_in_executor(self._executor, self._grow, wanted)
        except OSError:
            # Nobody depends on it: commits make the file longer by themselves, and tell of a disk that is full.
            length = 0
        self._task = None
        # Where it is as long as it gets, or the disk has no room to spare, no more is wanted.
        is_the_end = not wanted <= length < _LENGTH_BYTES_MAX
        self.wanted_at = _NEVER if is_the_end else (length - ahead // 2) // _FRAME_BYTES

    def _grow(self, to: int) -> int:
        """Appends zeros until the file has a length, or the disk no room to spare; returns the file's length."""
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            length = os.fstat(file).st_size
            while length < to and not (self._is_stopped or self._is_halted):
                disk = os.fstatvfs(file)
                if to - length > disk.f_bavail * disk.f_frsize * _FREE_SHARE:
                    break
                os.write(file, _PIECE)
                # Piece by piece: a commit's own synchronisation takes all of the file that waits for it along.
                os.fsync(file)
                length = os.fstat(file).st_size
            return length
        finally:
            os.close(file)
