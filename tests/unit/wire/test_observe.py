"""What an answer leaves behind: a count always; a line, a trace and a place among the recent where it is worth it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tenet.base.clock import ManualClock
from tenet.wire.door import Request, Response
from tenet.wire.errors import TracesUnusable
from tenet.wire.exposition import counter, of_measure, render, requests
from tenet.wire.limits import ObservedRules
from tenet.wire.log import Sink
from tenet.wire.metrics import OTHER, Metrics, undescribed
from tenet.wire.observe import Observer
from tenet.wire.spans import SpanTracer, lines_exporter, otlp_exporter
from tenet.wire.trace import Finished, context_of
from tests.edges import Echo, call, connected, on_loop, serving

REQUEST_ID = "0123456789ABCDEF" * 3 + "0000"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def lines(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Log lines as they would be written."""
    request.getfixturevalue("logging_restored")
    captured: list[dict[str, Any]] = []

    def capture(_logger: object, level: str, event: MutableMapping[str, Any]) -> str:
        captured.append({**event, "level": level})
        raise structlog.DropEvent

    structlog.configure(processors=[capture])
    return captured


class Spans:
    """Implements ``tenet.wire.trace.Tracer`` by a list."""

    def __init__(self) -> None:
        self.left: list[Finished] = []

    def leave(self, finished: Finished) -> None:
        self.left.append(finished)

    def close(self) -> None:
        pass


def request(operation: str = "GetItem", headers: dict[str, str] | None = None) -> Request:
    return Request("POST", "/", "", headers or {}, b"{}", operation=operation, request_id=REQUEST_ID)


def observer(spans: Spans | None = None, **rules: Any) -> Observer:
    return Observer(Metrics(), ManualClock(), ObservedRules(**rules), spans)


OK = Response(200, b"{}")
FAILED = Response(400, b"{}", error_code="ValidationException")


def test_failed_and_slow_requests_are_told_kept_and_traced(lines: list[dict[str, Any]]) -> None:
    spans = Spans()
    watching = observer(spans, slow_ms=100, sample_ratio=0)
    noted = request()
    noted.notes["table"] = "music"
    watching.note(noted, "dynamodb", FAILED, 0.001, 2)
    watching.note(request("Scan"), "dynamodb", OK, 0.101, 2)
    watching.note(request(), "dynamodb", OK, 0.099, 2)
    watching.note(request(), "dynamodb", Response(500, b"", error_code="InternalServerError"), 0.001, 2)
    assert [(line["level"], line["operation"], line["status"], line.get("code")) for line in lines] == [
        ("info", "GetItem", 400, "ValidationException"),
        ("info", "Scan", 200, None),
        ("error", "GetItem", 500, "InternalServerError"),
    ]
    assert lines[0]["table"] == "music"
    assert lines[0]["request_id"] == REQUEST_ID
    assert [kept["operation"] for kept in watching.recent()] == ["GetItem", "Scan", "GetItem"]
    assert [span.operation for span in spans.left] == ["GetItem", "Scan", "GetItem"]
    assert spans.left[0].attributes["table"] == "music"


def test_of_the_others_a_share_is_told_which_can_be_changed(lines: list[dict[str, Any]]) -> None:
    spans = Spans()
    watching = observer(spans, sample_ratio=0.1)
    for _ in range(100):
        watching.note(request(), "dynamodb", OK, 0.001, 2)
    assert len(lines) == len(spans.left) == 10
    watching.rules = ObservedRules(sample_ratio=0)
    for _ in range(100):
        watching.note(request(), "dynamodb", OK, 0.001, 2)
    assert len(lines) == 10
    watching.rules = ObservedRules(sample_ratio=1)
    watching.note(request(), "dynamodb", OK, 0.001, 2)
    assert len(lines) == 11
    assert watching.recent() == []


def test_what_is_shed_is_told_in_one_line_a_second(lines: list[dict[str, Any]]) -> None:
    watching = observer(sample_ratio=0)
    for _ in range(1000):
        watching.note(request(), "dynamodb", Response(400, b"", error_code="ThrottlingException"), 0.0001, 2)
    assert not lines
    watching.sum_up()
    watching.sum_up()
    assert [(line["event"], line["count"]) for line in lines] == [("requests shed", 1000)]


def test_what_failed_in_the_store_is_not_taken_for_shed(lines: list[dict[str, Any]]) -> None:
    watching = observer(sample_ratio=0)
    failed = request("PutItem")
    failed.notes["store_error"] = "DiskFull: no space is left"
    watching.note(failed, "dynamodb", Response(500, b"", error_code="ServiceUnavailable"), 0.0001, 2)
    watching.sum_up()
    assert [(line["operation"], line["store_error"]) for line in lines] == [("PutItem", "DiskFull: no space is left")]
    assert [kept["operation"] for kept in watching.recent()] == ["PutItem"]


def test_what_has_no_operation_is_told_by_its_path(lines: list[dict[str, Any]]) -> None:
    watching = observer(sample_ratio=0)
    page = Request("GET", "/readyz", "", {}, b"", request_id=REQUEST_ID)
    watching.note(page, "edge", Response(503, b"", error_code="StoreUnavailable"), 0.0001, 0)
    watching.note(request(), "dynamodb", FAILED, 0.0001, 2)
    assert [(line["operation"], line.get("path")) for line in lines] == [("", "/readyz"), ("GetItem", None)]
    assert [kept.get("path") for kept in watching.recent()] == ["/readyz", None]


@pytest.mark.usefixtures("logging_restored")
def test_recent_requests_are_bounded() -> None:
    structlog.configure(processors=[lambda *_: (_ for _ in ()).throw(structlog.DropEvent)])
    watching = observer()
    for number in range(1000):
        watching.note(request(f"Operation{number}"), "dynamodb", FAILED, 0.001, 2)
    kept = watching.recent()
    assert len(kept) == 200
    assert kept[-1]["operation"] == "Operation999"


# ---- metrics ---------------------------------------------------------------------------------------------------------


def test_metrics_add_up(lines: list[dict[str, Any]]) -> None:
    del lines
    metrics = Metrics()
    watching = Observer(metrics, ManualClock(), ObservedRules())
    for seconds in (0.0002, 0.003, 0.003, 20.0):
        watching.note(request(), "dynamodb", OK, seconds, 100)
    watching.note(request(), "dynamodb", FAILED, 0.001, 100)
    families = {
        family.name: family for family in text_string_to_metric_families(render(lambda: requests(metrics)).decode())
    }
    totals = {sample.labels["code"]: sample.value for sample in families["tenet_requests"].samples}
    assert totals == {"": 4.0, "ValidationException": 1.0}
    histogram = {
        sample.labels.get("le", sample.name): sample.value for sample in families["tenet_request_seconds"].samples
    }
    assert (histogram["0.0001"], histogram["0.00025"], histogram["0.005"], histogram["+Inf"]) == (0.0, 1.0, 4.0, 5.0)
    assert histogram["tenet_request_seconds_sum"] == pytest.approx(20.0072)
    assert families["tenet_received_bytes"].samples[0].value == 500.0
    assert families["tenet_sent_bytes"].samples[0].value == 10.0


def test_names_that_clients_make_up_do_not_fill_the_memory(lines: list[dict[str, Any]]) -> None:
    del lines
    metrics = Metrics()
    watching = Observer(metrics, ManualClock(), ObservedRules())
    unknown = Response(400, b"", error_code="UnknownOperationException")
    for number in range(5_000):
        watching.note(request(f"MadeUp{number}"), "dynamodb", unknown, 0.001, 0)
        watching.note(request("x" * (100 + number)), "dynamodb", OK, 0.001, 0)
    assert set(metrics.totals()) == {f"dynamodb {OTHER}"}
    for number in range(5_000):
        watching.note(request(f"Known{number}"), "dynamodb", Response(400, b"", error_code=f"C{number}"), 0.001, 0)
    assert len(metrics.totals()) <= 1_001
    assert all(len(codes) <= 101 for codes in metrics.totals().values())


def test_figures_of_others_are_rendered() -> None:
    def collect() -> Iterator[Any]:
        yield counter("shed", "Shed.", "reason", {"rate": 3})
        yield from map(of_measure, undescribed("store", {"records": 5, "engine": "sqlite", "can_write": True}))

    told = render(collect).decode()
    assert 'shed_total{reason="rate"} 3.0' in told
    assert "store_records 5.0" in told
    assert "store_can_write 1.0" in told
    assert "sqlite" not in told


# ---- traces ----------------------------------------------------------------------------------------------------------


def test_a_trace_goes_on_where_the_client_began_it() -> None:
    context = context_of({"traceparent": TRACEPARENT}, REQUEST_ID)
    assert (context.trace_id, context.parent_id) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert context.span_id == "0123456789abcdef"
    assert context.is_sampled
    assert context.traceparent == "00-4bf92f3577b34da6a3ce929d0e0e4736-0123456789abcdef-01"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
    ],
)
def test_a_context_that_is_none_begins_a_trace_named_after_the_request(header: str) -> None:
    context = context_of({"traceparent": header}, REQUEST_ID)
    assert context.trace_id == REQUEST_ID.lower()[:32]
    assert (context.parent_id, context.is_sampled) == ("", False)


@given(st.text())
def test_any_context_header_is_read(header: str) -> None:
    context = context_of({"traceparent": header}, REQUEST_ID)
    assert len(context.trace_id) == 32


def test_spans_are_written_as_json_lines(tmp_path: Path) -> None:
    with (tmp_path / "spans").open("w", encoding="utf-8") as file:
        tracer = SpanTracer(lines_exporter(file), ManualClock(1_700_000_000_000), "1.2.3")
        context = context_of({"traceparent": TRACEPARENT}, REQUEST_ID)
        tracer.leave(Finished(context, "dynamodb", "GetItem", 200, "", 0.25, {"table": "music"}))
        tracer.leave(Finished(context_of({}, REQUEST_ID), "dynamodb", "", 500, "InternalServerError", 0.25, {}))
        tracer.close()
    first, second = [json.loads(line) for line in (tmp_path / "spans").read_text(encoding="utf-8").splitlines()]
    assert first["name"] == "dynamodb.GetItem"
    assert first["context"]["trace_id"] == "0x4bf92f3577b34da6a3ce929d0e0e4736"
    assert first["parent_id"] == "0x00f067aa0ba902b7"
    assert (first["start_time"], first["end_time"]) == ("2023-11-14T22:13:19.750000Z", "2023-11-14T22:13:20.000000Z")
    assert first["attributes"]["tenet.table"] == "music"
    assert first["resource"]["attributes"]["service.version"] == "1.2.3"
    assert second["status"]["status_code"] == "ERROR"
    assert second["attributes"]["error.type"] == "InternalServerError"
    assert second["parent_id"] is None


def test_spans_can_go_to_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = otlp_exporter("http://127.0.0.1:4318/v1/traces")
    exporter.shutdown()
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(TracesUnusable, match=r"tenet-cloud\[otlp\]"):
        otlp_exporter("http://127.0.0.1:4318/v1/traces")


def test_context_goes_through_the_edge() -> None:
    spans, echo = Spans(), Echo()

    async def main() -> None:
        async with (
            serving(echo, tracer=spans, rules=ObservedRules(sample_ratio=0)) as edge,
            connected(edge) as client,
        ):
            traced = await client.ask(call("Echo", traceparent=TRACEPARENT))
            plain = await client.ask(call("Echo"))
            unsampled = await client.ask(call("Echo", traceparent=TRACEPARENT[:-1] + "0"))
            assert traced.headers["traceresponse"] == echo.seen[0].trace.traceparent
            assert traced.headers["traceresponse"].startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
            assert "traceresponse" not in plain.headers
            assert unsampled.headers["traceresponse"].endswith("-00")
            (left,) = spans.left
            assert left.context.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"

    on_loop(main)


# ---- the sink --------------------------------------------------------------------------------------------------------


def test_lines_arrive_whole_and_in_order() -> None:
    reading, writing = os.pipe()
    sink = Sink(writing)
    for number in range(5_000):
        sink.write(b"%d\n" % number)
    received = b""
    while received.count(b"\n") < 5_000:
        received += os.read(reading, 65_536)
    sink.close()
    assert received == b"".join(b"%d\n" % number for number in range(5_000))
    assert sink.dropped == 0
    os.close(reading)
    os.close(writing)


def test_a_reader_that_stalls_costs_lines_and_not_time() -> None:
    reading, writing = os.pipe()
    sink = Sink(writing)
    began = time.monotonic()
    for _ in range(30_000):
        sink.write(b"x" * 100 + b"\n")
    assert time.monotonic() - began < 5
    assert sink.dropped > 10_000
    os.close(reading)
    sink.close()
    os.close(writing)


def test_a_sink_without_lines_closes() -> None:
    sink = Sink(2)
    sink.close()
    assert sink.dropped == 0
