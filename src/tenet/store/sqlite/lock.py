"""Keeps a data directory to one process.

The lock is the kernel's (``fcntl``, on the whole file): it goes with the process, however that ends. The file also
holds the owner's process id, for the message that a second process gets.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from tenet.store.errors import StoreLocked

FILE_NAME = "tenet.lock"

#: Directories that this process holds: locks of ``fcntl`` do not keep a process from itself.
_held: set[str] = set()


class DirectoryLock:
    """A lock on a data directory, held from its making until ``release``.

    Args:
        directory: the data directory, made where it is missing.

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
            owner = os.read(self._file, 32).decode("ascii", "replace").strip()
            os.close(self._file)
            raise StoreLocked(_message(directory, owner)) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode("ascii"), 0)
        _held.add(self._directory)

    def release(self) -> None:
        """Lets the directory go."""
        if self._directory in _held:
            _held.discard(self._directory)
            os.close(self._file)


def _message(directory: str, owner: str) -> str:
    who = f"the process {owner}" if owner else "another process"
    return f"the data directory {directory} is in use by {who}; stop that one first, or use another directory"
