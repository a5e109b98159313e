"""Where spans of requests go, if anywhere. OpenTelemetry is loaded only where the settings ask for traces."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tenet.app.configuration import ConfigurationError, Mistake
from tenet.app.versions import tenet_version

if TYPE_CHECKING:
    from tenet.app.settings import Settings
    from tenet.base.clock import Clock
    from tenet.wire.trace import Tracer


#: What the extra ``otlp`` brings.
_OTLP: Final = "opentelemetry.exporter.otlp.proto.http"


def mistakes_in(settings: Settings) -> Iterator[Mistake]:
    """Finds out whether spans can go where the settings say, on this machine. No collector is asked, no file made.

    Args:
        settings: name the place.
    """
    if settings.traces.otlp_endpoint and not _is_installed(_OTLP):
        yield Mistake(
            ("traces.otlp_endpoint",),
            "`traces.otlp_endpoint` is set, and what it takes is not installed: pip install 'tenet-cloud[otlp]'.",
        )
    why = _why_not_written(Path(settings.traces.file)) if settings.traces.file else ""
    if why:
        yield Mistake(("traces.file",), f"`traces.file` is '{settings.traces.file}': {why}.")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False  # nor is one of the packages that it is in


def _why_not_written(file: Path) -> str:
    """Returns why a file cannot be appended to, in the words of the system; "" where it can be, or can be made."""
    try:
        place = file if file.exists() else file.parent.resolve(strict=True)
    except OSError as error:
        return error.strerror or str(error)
    if place == file and place.is_dir():
        return os.strerror(errno.EISDIR)
    if place != file and not place.is_dir():
        return os.strerror(errno.ENOTDIR)
    return "" if os.access(place, os.W_OK) else os.strerror(errno.EACCES)


def tracer_of(settings: Settings, clock: Clock) -> Tracer | None:
    """Returns what takes spans; None where the settings name no place for them.

    Args:
        settings: name the place.
        clock: time.

    Raises:
        ConfigurationError: the file cannot be written to.
        TracesUnusable: the package that a collector takes is not installed.
    """
    if not settings.traces.file and not settings.traces.otlp_endpoint:
        return None
    from tenet.wire.spans import SpanTracer, lines_exporter, otlp_exporter

    if settings.traces.otlp_endpoint:
        return SpanTracer(otlp_exporter(settings.traces.otlp_endpoint), clock, tenet_version())
    try:
        file = Path(settings.traces.file).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 (as long as it serves)
    except OSError as error:
        raise ConfigurationError([f"`traces.file` is '{settings.traces.file}': {error.strerror}."]) from error
    return SpanTracer(lines_exporter(file), clock, tenet_version())
