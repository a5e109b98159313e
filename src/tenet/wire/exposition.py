"""The page of metrics: what was counted, in Prometheus's text format, by ``prometheus_client``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate, chain
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from tenet.wire.door import Measure, Measured
from tenet.wire.metrics import BOUNDS_S, Metrics

if TYPE_CHECKING:
    from tenet.wire.admission import Admission
    from tenet.wire.shared import Shared


def exposition(
    metrics: Metrics,
    admission: Admission,
    shared: Shared,
    measures: Iterable[Measure] = (),
) -> bytes:
    """Returns the page.

    Args:
        metrics: what was counted.
        admission: says what is worked on, waits, and was shed.
        shared: says what the connections hold.
        measures: what the store, the mesh and the services say about themselves.
    """
    return render(lambda: chain(_collect(metrics, admission, shared), map(of_measure, measures)))


def _collect(metrics: Metrics, admission: Admission, shared: Shared) -> Iterator[Metric]:
    yield from requests(metrics)
    yield counter("tenet_requests_shed", "Requests refused to shed load.", "reason", admission.shed)
    yield counter(
        "tenet_malformed_messages",
        "Messages that were no requests, by the status that they were answered with.",
        "status",
        {str(status): count for status, count in metrics.malformed.items()},
    )
    yield GaugeMetricFamily("tenet_requests_in_flight", "Requests worked on now.", value=admission.in_flight)
    yield GaugeMetricFamily("tenet_requests_waiting", "Requests that wait for a place.", value=admission.waiting)
    yield GaugeMetricFamily("tenet_connections", "Connections open now.", value=len(shared.connections))
    yield GaugeMetricFamily("tenet_body_bytes_held", "Bodies in memory now.", value=shared.body_bytes_held)
    yield CounterMetricFamily("tenet_connections_accepted", "Connections accepted.", value=metrics.connections_accepted)
    yield CounterMetricFamily("tenet_connections_refused", "Connections refused.", value=metrics.connections_refused)
    yield CounterMetricFamily(
        "tenet_handshakes_failed", "TLS handshakes that came to nothing.", value=metrics.handshakes_failed
    )
    yield CounterMetricFamily(
        "tenet_standstills", "Times that the process stood still, and ended its connections.", value=metrics.standstills
    )


def of_measure(measure: Measure) -> Metric:
    """Returns what a service measured as a metric."""
    if isinstance(measure, Measured):
        kind = CounterMetricFamily if measure.is_counter else GaugeMetricFamily
        family: CounterMetricFamily | GaugeMetricFamily = kind(measure.name, measure.words, labels=measure.labels)
        for values, figure in measure.values.items():
            family.add_metric(values, figure)
        return family
    return HistogramMetricFamily(
        measure.name, measure.words, buckets=_cumulative(measure.bounds, measure.counts), sum_value=measure.total
    )


def _cumulative(bounds: Iterable[float], counts: Iterable[int]) -> list[tuple[str, float]]:
    """Returns the buckets of a histogram as the format has them: with everything below."""
    sums = accumulate(counts)
    return [(str(bound), float(sum_)) for bound, sum_ in zip((*bounds, "+Inf"), sums, strict=True)]


def requests(metrics: Metrics) -> Iterator[Metric]:
    """Yields what was counted of requests."""
    total = CounterMetricFamily(
        "tenet_requests", "Requests answered, by error code.", labels=("service", "operation", "code")
    )
    seconds = HistogramMetricFamily(
        "tenet_request_seconds", "Time from a request's last byte to its answer.", labels=("service", "operation")
    )
    received = CounterMetricFamily("tenet_received_bytes", "Bodies of requests.", labels=("service", "operation"))
    sent = CounterMetricFamily("tenet_sent_bytes", "Bodies of answers.", labels=("service", "operation"))
    for names, series in metrics.known.items():
        for code, count in series.codes.items():
            total.add_metric((*names, code), count)
        seconds.add_metric(names, buckets=_cumulative(BOUNDS_S, series.buckets), sum_value=series.seconds)
        received.add_metric(names, series.received_bytes)
        sent.add_metric(names, series.sent_bytes)
    yield from (total, seconds, received, sent)


def counter(name: str, words: str, label: str, counts: Mapping[str, int]) -> Metric:
    """Returns a counter with one label."""
    family = CounterMetricFamily(name, words, labels=(label,))
    for value, count in counts.items():
        family.add_metric((value,), count)
    return family


class _Once(Collector):
    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        return self._collect()


def render(collect: Callable[[], Iterator[Metric]]) -> bytes:
    """Returns metrics in Prometheus's text format.

    Args:
        collect: yields them.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(collect))
    return generate_latest(registry)
