"""Where spans of requests go, if anywhere. OpenTelemetry is loaded only where the settings ask for traces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tenet.app.configuration import ConfigurationError
from tenet.app.versions import tenet_version

if TYPE_CHECKING:
    from tenet.app.settings import Settings
    from tenet.base.clock import Clock
    from tenet.wire.trace import Tracer


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
