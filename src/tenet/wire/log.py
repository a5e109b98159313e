"""Log lines: JSON objects on standard error, by structlog, that never make the server wait for whoever reads them."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import Final

import orjson
import structlog

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


class _SinkLogger:
    """What structlog hands its rendered lines to."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def msg(self, message: bytes) -> None:
        """Writes one rendered line."""
        self._sink.write(message + b"\n")

    debug = info = warning = error = critical = exception = log = fatal = msg


def configure(sink: Sink, level: str) -> None:
    """Makes every logger of structlog write JSON lines to the sink; may be called again to change the level.

    Args:
        sink: where to.
        level: the least that is written: debug, info, warning or error.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_render),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _SinkLogger(sink),
        cache_logger_on_first_use=False,
    )


def _render(event: object, **_options: object) -> bytes:
    return orjson.dumps(event, default=str)
