"""Brings what checkpoints have copied to the disk bit by bit, before a checkpoint that others wait for has to.

A checkpoint copies pages into the file, and only the one that reaches the end of the write-ahead log synchronises it
(https://www.sqlite.org/wal.html, section 2.1): all that was copied since the last time, while the writer pauses. Where
writes lie far apart, as an index's do, that is nearly as much as the log holds, and every commit waits for it. What the
disk has by then does not have to be written again; and as it gets one stretch of the file after the other, a commit
that comes meanwhile finds no more than that before it.

It promises nothing: whatever is left, fails or was written since, the checkpoint's own synchronisation sees to.

Invariant: the file stays open here until every connection to it is closed. A process that closes a file loses all of
its locks on it, those of SQLite's connections included (https://www.sqlite.org/howtocorrupt.html, section 2.2).
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

#: How long a stretch is: where pages lie far apart, few of them are in it.
STRETCH_BYTES: Final = 8 * 1024 * 1024
#: Waits for what is being written, writes the rest, and waits for that: the flags in linux/fs.h, all three of them.
_WAIT_WRITE_WAIT: Final = 0b111

_LIBC: Final = ctypes.CDLL(None)
#: What Linux has for it (https://man7.org/linux/man-pages/man2/sync_file_range.2.html); None where there is no such.
_sync_file_range = getattr(_LIBC, "sync_file_range", None)


class Writeback:
    """Brings one file to the disk, as far as it is not there.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def run(self) -> None:
        """Writes what waits in memory, one stretch after the other; takes as long as the disk does."""
        for start in range(0, os.fstat(self._file).st_size, STRETCH_BYTES):
            if not sync_stretch(self._file, start, STRETCH_BYTES):
                return

    def close(self) -> None:
        """Lets go of the file; to be called behind the closing of the last connection to it."""
        os.close(self._file)


def sync_stretch(file: int, start: int, byte_count: int) -> bool:
    """Writes a stretch of a file; returns whether it was, which it is not where the system cannot do that."""
    if _sync_file_range is None:
        return False
    where, length = ctypes.c_int64(start), ctypes.c_int64(byte_count)
    return bool(_sync_file_range(file, where, length, ctypes.c_uint(_WAIT_WRITE_WAIT)) == 0)
