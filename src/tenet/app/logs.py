"""Sets up the log: JSON lines on standard error, in Coordinated Universal Time; of a command, lines in words."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import orjson
import structlog

from tenet.wire.log import Sink

_LEVELS: Final = logging.getLevelNamesMapping()


class _Lines:
    """Hands lines to the sink; what structlog calls a logger.

    Args:
        sink: where they go.
        name: of the module that logs.
    """

    def __init__(self, sink: Sink, name: str = "tenet") -> None:
        self._sink = sink
        self.name = name

    def msg(self, line: bytes) -> None:
        self._sink.write(line + b"\n")

    debug = info = warning = error = critical = exception = msg


def set_up(sink: Sink, level: str) -> None:
    """Sets the log up, or changes its level.

    Args:
        sink: where lines go.
        level: the least that is written: debug, info, warning or error.
    """
    structlog.configure(
        processors=[
            _add_name,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_dump),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level.upper()]),
        logger_factory=lambda *names: _Lines(sink, *names),
        cache_logger_on_first_use=False,
    )


def set_up_for_command() -> None:
    """Makes what is logged while a command works on a data directory itself lines like the command's own.

    They go to standard error, so that what the command prints can be read by a program, and begin with what is wrong.
    Only warnings and errors are shown.
    """
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.format_exc_info, _in_words],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=lambda *_names: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _in_words(_logger: object, _method: str, line: MutableMapping[str, Any]) -> str:
    event, _ = line.pop("event"), line.pop("level")
    trace = line.pop("exception", "")
    parts = [f"tenet: {event}", *(f"{name}: {value}" for name, value in line.items())]
    return "; ".join(parts) + (f"\n{trace}" if trace else "")


def _add_name(logger: _Lines, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    line["logger"] = logger.name
    return line


def _dump(line: MutableMapping[str, Any], **_options: object) -> bytes:
    return orjson.dumps(line, default=str)
