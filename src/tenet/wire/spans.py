"""Spans of OpenTelemetry. Loaded only where the settings ask for traces: the package takes its time and memory."""

from __future__ import annotations

from typing import Final, TextIO

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from tenet.base.clock import Clock
from tenet.wire.errors import TracesUnusable
from tenet.wire.trace import Finished

_SAMPLED: Final = 1
_SERVER_ERROR: Final = 500


class SpanTracer:
    """Hands spans to an exporter of OpenTelemetry, in batches, from a thread of its own; it drops what is too much.

    Args:
        exporter: where they go.
        clock: time.
        version: of this program.
    """

    def __init__(self, exporter: SpanExporter, clock: Clock, version: str) -> None:
        self._clock = clock
        self._resource = Resource.create({"service.name": "tenet", "service.version": version})
        self._processor = BatchSpanProcessor(exporter)

    def leave(self, finished: Finished) -> None:
        """Leaves a span; returns at once."""
        context = finished.context
        trace_id = int(context.trace_id, 16)
        ended_ns = self._clock.wall_ms() * 1_000_000
        parent = None
        if context.parent_id:
            flags = TraceFlags(_SAMPLED if context.is_sampled else 0)
            parent = SpanContext(trace_id, int(context.parent_id, 16), is_remote=True, trace_flags=flags)
        attributes: dict[str, str | int | float] = {
            "rpc.system": "aws-api",
            "rpc.service": finished.service,
            "rpc.method": finished.operation,
            "http.response.status_code": finished.status,
            **{f"tenet.{name}": value for name, value in finished.attributes.items()},
        }
        if finished.code:
            attributes["error.type"] = finished.code
        self._processor.on_end(
            ReadableSpan(
                name=f"{finished.service}.{finished.operation}" if finished.operation else finished.service,
                context=SpanContext(
                    trace_id, int(context.span_id, 16), is_remote=False, trace_flags=TraceFlags(_SAMPLED)
                ),
                parent=parent,
                resource=self._resource,
                attributes=attributes,
                kind=SpanKind.SERVER,
                # A client's own mistake is no error of the server (OpenTelemetry's conventions for HTTP spans).
                status=Status(StatusCode.ERROR if finished.status >= _SERVER_ERROR else StatusCode.UNSET),
                start_time=ended_ns - round(finished.seconds * 1e9),
                end_time=ended_ns,
            )
        )

    def close(self) -> None:
        """Hands over what is left."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]


def lines_exporter(file: TextIO) -> SpanExporter:
    """Returns an exporter that writes a JSON object per line.

    Args:
        file: open for writing.
    """
    return ConsoleSpanExporter(out=file, formatter=lambda span: span.to_json(indent=None) + "\n")


def otlp_exporter(endpoint: str) -> SpanExporter:
    """Returns an exporter that sends spans by OTLP over HTTP.

    Args:
        endpoint: URL of a collector, for instance ``http://127.0.0.1:4318/v1/traces``.

    Raises:
        TracesUnusable: the package that it takes is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise TracesUnusable("traces by OTLP take the extra `otlp`: pip install 'tenet-cloud[otlp]'") from error
    return OTLPSpanExporter(endpoint=endpoint)
