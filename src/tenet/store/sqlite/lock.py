"""Keeps a data directory to one process.

The lock is the kernel's (``fcntl``, on the whole file): it goes with the process, however that ends. The file also
holds the owner's process id, for the message that a second process gets, and whether a store was ever opened.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from tenet.store.errors import StoreLocked

FILE_NAME = "tenet.lock"
_OPENED = b"a store was opened\n"

#: Directories that this process holds: locks of ``fcntl`` do not keep a process from itself.
_held: set[str] = set()


class DirectoryLock:
    """A lock on a data directory, held from its making until ``release``.

    Args:
        directory: the data directory, made where it is missing.

    Attributes:
        had_store: whether a store was opened here before.

    Raises:
        StoreLocked: another process, or another engine of this one, holds it.
        OSError: the directory or the file cannot be made or written to.
    """

    def __init__(self, directory: str) -> None:
        self._directory = str(Path(directory).resolve())
        Path(directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._directory in _held:
            raise StoreLocked(_message(directory, str(os.getpid())))
        self._file = os.open(Path(directory, FILE_NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            owner, *_ = os.pread(self._file, 32, 0).decode("ascii", "replace").splitlines() or [""]
            os.close(self._file)
            raise StoreLocked(_message(directory, owner)) from error
        self.had_store = _OPENED in os.pread(self._file, 64, 0)
        self._write(_OPENED if self.had_store else b"")
        _held.add(self._directory)

    def note_opened(self) -> None:
        """Keeps in mind that there is a store."""
        if not self.had_store:
            self._write(_OPENED)

    def _write(self, more: bytes) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, b"%d\n%s" % (os.getpid(), more), 0)

    def release(self) -> None:
        """Lets the directory go."""
        if self._directory in _held:
            _held.discard(self._directory)
            os.close(self._file)


def _message(directory: str, owner: str) -> str:
    who = f"the process {owner}" if owner else "another process"
    return f"the data directory {directory} is in use by {who}; stop that one first, or use another directory"
