"""Where log lines go: to a file descriptor, without ever making the server wait for whoever reads them."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import Final

_LINES_MAX: Final = 10_000


class Sink:
    """Writes lines to a file descriptor from a thread of its own.

    A reader that stalls costs lines, not answers: what does not fit is dropped and counted.

    Args:
        descriptor: open for writing; 2 is standard error.
    """

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._lines: deque[bytes] = deque()
        self._wanted = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        #: Lines that were dropped because nobody read fast enough.
        self.dropped = 0

    def write(self, line: bytes) -> None:
        """Takes one line, with its end; returns at once."""
        if len(self._lines) >= _LINES_MAX:
            self.dropped += 1
            return
        self._lines.append(line)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="tenet-log", daemon=True)
            self._thread.start()
        self._wanted.set()

    def close(self, timeout_s: float = 2.0) -> None:
        """Writes what is left, at most for so long."""
        self._closed = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            while self._lines:
                pending = [self._lines.popleft() for _ in range(min(len(self._lines), 1_000))]
                self._put(b"".join(pending))
            if self._closed:
                return

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            self.dropped += 1
