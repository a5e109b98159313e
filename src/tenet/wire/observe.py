"""What is noted of every answer: always a count; for failed, slow and sampled ones a log line and a trace.

Failed and slow requests are also kept, the latest of them, for whoever has to find out later (``tenet doctor``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import Any, Final

import structlog

from tenet.base.clock import Clock
from tenet.wire.door import Request, Response
from tenet.wire.errors import STORE_ERROR
from tenet.wire.limits import ObservedRules
from tenet.wire.metrics import BOUNDS_S, OTHER, Metrics
from tenet.wire.trace import Finished, Tracer

_RECENT_MAX: Final = 200
_OPERATION_CHARS_MAX: Final = 64
_PATH_CHARS_MAX: Final = 128
#: What clients name that is no operation is counted as one.
_UNKNOWN: Final = "UnknownOperationException"
#: What sheds load says so in a count once a second, not in a line each: it must not cost what it saves.
_SUMMED_UP: Final = frozenset({"ThrottlingException", "ServiceUnavailable"})

_log = structlog.get_logger("tenet.request")


class Observer:
    """Notes answers.

    Args:
        metrics: where they are counted.
        clock: time.
        rules: which ones leave a line.
        tracer: takes their spans; None for no traces.
    """

    def __init__(self, metrics: Metrics, clock: Clock, rules: ObservedRules, tracer: Tracer | None = None) -> None:
        self._metrics = metrics
        self._known = metrics.known
        self._clock = clock
        self._tracer = tracer
        self._recent: deque[dict[str, Any]] = deque(maxlen=_RECENT_MAX)
        self._shed = 0
        self._until_sample = 0
        self.rules = rules

    @property
    def rules(self) -> ObservedRules:
        """Which requests leave a line."""
        return self._rules

    @rules.setter
    def rules(self, rules: ObservedRules) -> None:
        self._rules = rules
        self._slow_s = rules.slow_ms / 1000
        self._every = round(1 / rules.sample_ratio) if rules.sample_ratio > 0 else 0
        self._until_sample = self._every

    def note(self, request: Request, service: str, response: Response, seconds: float, received_bytes: int) -> None:
        """Notes one answer.

        Args:
            request: what was answered.
            service: label of the service's mount.
            response: the answer, its body as it is sent.
            seconds: from the request's last byte to its answer.
            received_bytes: of the request's body as it came.
        """
        code = response.error_code
        operation = OTHER if code == _UNKNOWN else request.operation
        series = self._known.get((service, operation)) or self._metrics.series(service, operation)
        try:
            series.codes[code] += 1
        except KeyError:
            series.count_code(code)
        series.buckets[bisect_left(BOUNDS_S, seconds)] += 1
        series.seconds += seconds
        series.received_bytes += received_bytes
        series.sent_bytes += len(response.body) + response.sent_bytes
        self._until_sample = left = self._until_sample - 1
        if code or seconds > self._slow_s:
            self._note_closely(request, service, response, seconds)
        elif not left:
            self._until_sample = self._every
            self._tell(self._describe(request, service, response, seconds))
            self._trace(request, service, response, seconds)
        elif "traceparent" in request.headers and request.trace.is_sampled:
            self._trace(request, service, response, seconds)

    def _note_closely(self, request: Request, service: str, response: Response, seconds: float) -> None:
        # A request whose store failed was not shed.
        is_shed = response.error_code in _SUMMED_UP and STORE_ERROR not in request.notes
        if is_shed and seconds <= self._slow_s:
            self._shed += 1
            return
        described = self._describe(request, service, response, seconds)
        self._recent.append(described)
        self._tell(described)
        self._trace(request, service, response, seconds)

    def _trace(self, request: Request, service: str, response: Response, seconds: float) -> None:
        if self._tracer is None:
            return
        attributes: dict[str, str | int | float] = {
            "request_id": request.request_id,
            "tenant": request.principal.tenant,
            "region": request.region,
            **request.notes,
        }
        self._tracer.leave(
            Finished(
                request.trace, service, request.operation, response.status, response.error_code, seconds, attributes
            )
        )

    def _describe(self, request: Request, service: str, response: Response, seconds: float) -> dict[str, Any]:
        described: dict[str, Any] = {
            "service": service,
            "operation": request.operation[:_OPERATION_CHARS_MAX],
            "status": response.status,
            "ms": round(seconds * 1000, 3),
            "request_id": request.request_id,
            "trace_id": request.trace.trace_id,
            "tenant": request.principal.tenant,
            "access_key_id": request.principal.access_key_id,
            "peer": request.peer,
            "received_bytes": len(request.body),
            "sent_bytes": len(response.body) + response.sent_bytes,
            "at_ms": self._clock.wall_ms(),
        }
        if not request.operation:
            described["path"] = request.path[:_PATH_CHARS_MAX]
        if response.error_code:
            described["code"] = response.error_code
        described.update(request.notes)
        return described

    def _tell(self, described: dict[str, Any]) -> None:
        if described["status"] >= 500:  # noqa: PLR2004 (the server's own errors, RFC 9110 section 15.6)
            _log.error("request", **described)
        else:
            _log.info("request", **described)

    def sum_up(self) -> None:
        """Tells how much was shed since the last call. Called about once a second."""
        if self._shed:
            _log.warning("requests shed", count=self._shed)
            self._shed = 0

    def recent(self) -> list[dict[str, Any]]:
        """Returns the latest failed and slow requests, the oldest first; without secrets."""
        return list(self._recent)
