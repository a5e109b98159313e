"""The compatibility page of queues leaves nothing of the API out, and the checks behind it can be told apart."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tenet.queues.api import ROUTES
from tests.conformance.queues import results
from tests.conformance.queues.catalog import CHECKS, doubles, key_of
from tests.conformance.queues.wire import form_of
from tests.conformance.suites.libraries import QUEUE_LIBRARIES
from tools import compatibility
from tools import compatibility_of_queues as queues

PAGE = Path(__file__).resolve().parents[3] / "docs" / "compat" / "queues.md"


def test_every_operation_of_the_api_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    operations = compatibility.model("sqs").operation_names
    assert len(operations) == 23
    assert all(f"| `{name}` |" in page for name in operations)


def test_every_operation_and_every_parameter_of_it_is_there() -> None:
    states = {name: queues.state_of_operation(name) for name in compatibility.model("sqs").operation_names}
    assert set(states) == set(ROUTES)
    assert {state for state, _ in states.values()} <= {compatibility.DONE, compatibility.DIFFERS}


def test_an_operation_that_is_not_there_is_not_done() -> None:
    assert queues.state_of_operation("MakeCoffee") == (compatibility.NOT_DONE, "")


def test_every_operation_is_asked_about() -> None:
    counts = Counter(check.operation for check in CHECKS)
    assert set(counts) >= set(ROUTES)
    assert not doubles()


def test_the_peers_were_asked_the_checks_of_today() -> None:
    for peer, (_version, protocols) in results.read().items():
        for protocol, found in protocols.items():
            wanted = {key_of(check) for check in CHECKS if protocol in check.protocols}
            assert set(found) == wanted, f"{peer}: run python -m tests.conformance.queues.survey {peer}"


@pytest.mark.parametrize(
    ("operation", "request_", "form"),
    [
        ("SetQueueAttributes", {"Attributes": {"A": "1", "B": "2"}}, "Attribute.1.Name=A Attribute.1.Value=1"),
        ("TagQueue", {"Tags": {"k": "v"}}, "Tag.1.Key=k Tag.1.Value=v"),
        ("GetQueueAttributes", {"AttributeNames": ["All"]}, "AttributeName.1=All"),
        (
            "SendMessageBatch",
            {"Entries": [{"Id": "1", "MessageAttributes": {"a": {"DataType": "String", "StringValue": "x"}}}]},
            "SendMessageBatchRequestEntry.1.Id=1 SendMessageBatchRequestEntry.1.MessageAttribute.1.Name=a",
        ),
    ],
)
def test_requests_are_written_as_forms(operation: str, request_: dict[str, object], form: str) -> None:
    fields = " ".join(f"{name}={value}" for name, value in form_of(operation, request_))
    assert fields.startswith(form)


def test_every_library_is_on_the_page_with_what_fails_of_it_and_what_is_left_out() -> None:
    rows = queues.queue_libraries_section().splitlines()[2:]
    assert len(rows) == len(QUEUE_LIBRARIES)
    for row, library in zip(rows, QUEUE_LIBRARIES, strict=True):
        assert row.startswith(f"| {library.name} {library.version} | ")
        assert f" | {library.tests} | " in row
        assert all(reason in row for reason in [*library.known.values(), *library.left_out.values()])
        assert row in PAGE.read_text(encoding="utf-8")
