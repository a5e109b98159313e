"""Brings what checkpoints have copied to the disk bit by bit, before a checkpoint that others wait for has to.

A checkpoint copies pages into the file, and only the one that reaches the end of the write-ahead log synchronises it
(``walCheckpoint`` in https://www.sqlite.org/src/file/src/wal.c): all that was copied since the last time, while the
writer pauses. Where writes lie far apart, as an index's do, that is nearly as much as the log holds, and every commit
waits for it. What the disk has by then does not have to be written again; and as it gets one stretch of the file after
the other, a commit that comes meanwhile finds no more than that before it.

It promises nothing, and is not there where the system has no such call: the checkpoint synchronises the file in any
case. An error is that checkpoint's to find, too: the kernel tells it to each descriptor by itself, of which this is
another one than SQLite's (https://man7.org/linux/man-pages/man2/fsync.2.html, history).

Invariant: a descriptor is closed only when it is the last one of this process on its file. To close one gives up all
locks that the process has on the file, those of SQLite's connections included, a backup's for instance
(https://www.sqlite.org/howtocorrupt.html, section 2.2). One that is not stays open for who opens the file next; where
nobody can, since a restore has replaced it, it is closed with the next one of all.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

from tenet.store.sqlite.schema import opening

#: A file has at most so many stretches, so that enough is written at a time where its pages lie far apart.
_STRETCHES_MAX: Final = 64
STRETCH_BYTES_MIN: Final = 8 * 1024 * 1024
#: Waits for what is being written, writes the rest, and waits for that: the flags in linux/fs.h, all three of them.
_WAIT_WRITE_WAIT: Final = 0b111
#: The first Linux that tells an error of this call to every other descriptor as well.
_LINUX: Final = (4, 14)
_DESCRIPTORS: Final = Path("/proc/self/fd")

#: What a descriptor is on: the numbers of a device and a file.
_Place: TypeAlias = tuple[int, int]

#: Descriptors that could not be closed, by what they are on.
_left_open: dict[_Place, list[int]] = {}


def _is_supported() -> bool:
    if sys.platform != "linux" or not _DESCRIPTORS.is_dir():
        return False
    release = os.uname().release.split(".")
    return tuple(int(part) for part in release[:2] if part.isdigit()) >= _LINUX


_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None) if _is_supported() else None


class Writeback:
    """Brings one file to the disk, as far as it is not there.

    Args:
        path: the file.
    """

    def __init__(self, path: str) -> None:
        self._file = _opened(path) if _sync_file_range is not None else None
        self._is_stopped = False

    def run(self, is_enough: Callable[[], bool]) -> None:
        """Writes what waits in memory, one stretch after the other; takes as long as the disk does.

        Args:
            is_enough: asked before each stretch; where it is, the rest is left.
        """
        if self._file is None:
            return
        length = os.fstat(self._file).st_size
        stretch = max(STRETCH_BYTES_MIN, -(-length // _STRETCHES_MAX))
        for start in range(0, length, stretch):
            if self._is_stopped or is_enough() or not sync_stretch(self._file, start, stretch):
                return

    def stop(self) -> None:
        """Ends what runs behind the stretch that it is at."""
        self._is_stopped = True

    def close(self) -> None:
        """Lets go of the file, behind the closing of connections to it; looks through all that the process has open."""
        if self._file is None:
            return
        descriptor, self._file = self._file, None
        place = _place_of(os.fstat(descriptor))
        with opening:
            _left_open.setdefault(place, []).append(descriptor)
            _close_the_last(place)


def sync_stretch(file: int, start: int, byte_count: int) -> bool:
    """Writes a stretch of a file; returns whether that could be done.

    Source: https://man7.org/linux/man-pages/man2/sync_file_range.2.html
    """
    assert _sync_file_range is not None
    where, length = ctypes.c_int64(start), ctypes.c_int64(byte_count)
    return bool(_sync_file_range(file, where, length, ctypes.c_uint(_WAIT_WRITE_WAIT)) == 0)


def _opened(path: str) -> int | None:
    """Returns a descriptor of a file: one that was left open, or a new one; None where there can be none."""
    try:
        place = _place_of(Path(path).stat())
        with opening:
            left = _left_open.get(place)
            if not left:
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            descriptor = left.pop()
            if not left:
                del _left_open[place]
            return descriptor
    except OSError:
        return None


def _close_the_last(of: _Place) -> None:
    """Closes what was left open on one file, or on those that nobody can open any more, unless others have it open."""
    found: dict[_Place, set[int]] = {}
    try:
        for one in _DESCRIPTORS.iterdir():
            with suppress(FileNotFoundError):  # It was closed meanwhile; the listing's own always is.
                found.setdefault(_place_of(one.stat()), set()).add(int(one.name))
    except OSError:
        return  # Nobody knows what is open. The next one to be closed looks again.
    for place, left in list(_left_open.items()):
        if (place == of or os.fstat(left[0]).st_nlink == 0) and found.get(place, set()) <= set(left):
            for descriptor in left:
                os.close(descriptor)
            del _left_open[place]


def _place_of(status: os.stat_result) -> _Place:
    return status.st_dev, status.st_ino
