"""The protocol edge: bytes in, bytes out, and what every error looks like on the wire."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.base.errors import TenetError
from tenet.store import errors as store_errors
from tenet.tables import errors
from tenet.tables.context import Caller
from tenet.tables.http import TablesService, parse
from tenet.wire import errors as wire_errors
from tenet.wire.door import Principal, Request, Response

JSON_1_0 = "application/x-amz-json-1.0"
MODEL = "com.amazonaws.dynamodb.v20120810#"
SERVICE = "com.amazon.coral.service#"


class Called:
    """What the service called, and what it is to answer."""

    def __init__(self, answer: bytes | Exception = b"{}") -> None:
        self.answer = answer
        self.calls: list[tuple[str, dict[str, Any], Caller]] = []

    async def __call__(self, operation: str, request: dict[str, Any], caller: Caller) -> bytes:
        self.calls.append((operation, request, caller))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def request(body: bytes = b"{}", *, method: str = "POST", **headers: str) -> Request:
    return Request(
        method,
        "/",
        "",
        {"content-type": JSON_1_0, "host": "localhost:8000", **{k.replace("_", "-"): v for k, v in headers.items()}},
        body,
        operation="GetItem",
        request_id="RID",
        principal=Principal("AK", "1" * 12),
        deadline=5.0,
        region="eu-west-1",
    )


def answer(call: Called, sent: Request) -> Response:
    return asyncio.run(TablesService(call).answer(sent))


def test_a_request_reaches_its_operation_with_its_caller() -> None:
    called = Called(b'{"a":1}')
    response = answer(called, request(b'{"TableName":"abc"}'))
    assert (response.status, response.body, response.content_type) == (200, b'{"a":1}', JSON_1_0)
    ((operation, parsed, caller),) = called.calls
    assert (operation, parsed) == ("GetItem", {"TableName": "abc"})
    assert (caller.account, caller.region, caller.deadline, caller.host) == (
        "1" * 12,
        "eu-west-1",
        5.0,
        "localhost:8000",
    )


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (b'{"a":{"S":1}}', "SerializationException"),
        (b'{"a":{"N":"1"},"b":{"L":[{"B":"YQ="}]}}', "SerializationException"),
        (b'{"a":{"S":"1"},"b":{"L":[{"B":"YQ=="}]}}', "ValidationException"),
        (b'{"a":{"S":"' + b"x" * 256 * 1024 + b'"},"b":{"S":1}}', "ValidationException"),
    ],
)
def test_wrong_json_types_are_told_before_what_is_not_valid(key: bytes, code: str) -> None:
    called = Called(errors.ValidationException("not valid"))
    response = answer(called, request(b'{"TableName":"abc","Key":' + key + b"}"))
    assert response.error_code == code
    missing = Called(errors.ResourceNotFoundException("not there"))
    response = answer(missing, request(b'{"TableName":"abc","Key":' + key + b"}"))
    assert response.error_code == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (JSON_1_0, JSON_1_0),
        (JSON_1_0 + "; charset=utf-8", JSON_1_0),
        ("APPLICATION/JSON", "application/json"),
        ("application/json", "application/json"),
    ],
)
def test_answers_have_the_content_type_of_the_request(sent: str, answered: str) -> None:
    assert answer(Called(), request(content_type=sent)).content_type == answered
    assert answer(Called(errors.ValidationException("x")), request(content_type=sent)).content_type == answered


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-amz-json-1.1", ""])
def test_other_content_types_and_methods_end_nowhere(content_type: str) -> None:
    called = Called()
    response = answer(called, request(content_type=content_type))
    assert (response.status, response.body) == (404, b"<UnknownOperationException/>\n")
    assert answer(called, request(method="PUT")).status == 404
    assert not called.calls


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hi",
        b'{"a":1,}',
        b'{"a":1}{"b":2}',
        b'{"a":1}x',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b"\xff\xfe",
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\x01"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_no_json_is_refused_without_words(body: bytes) -> None:
    response = answer(Called(), request(body))
    assert response.status == 400
    assert response.body == b'{"__type":"com.amazon.coral.service#SerializationException"}'


@pytest.mark.parametrize("body", [b'"x"', b"1", b"null", b"true", b"[1]"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(errors.SerializationException, match="Unexpected field type"):
        parse(body)


def test_an_empty_list_passes_for_an_empty_request() -> None:
    assert parse(b"[]") == {}


def test_of_a_doubled_member_the_last_counts() -> None:
    assert parse(b'{"a":1,"b":{"c":1,"c":2},"a":3}') == {"a": 3, "b": {"c": 2}}


def test_giant_numbers_do_not_harm() -> None:
    assert parse(b'{"a":1e300}') == {"a": 1e300}
    with pytest.raises(errors.SerializationException):
        parse(b'{"a":' + b"9" * 1_000_000 + b"}")


@given(st.binary(max_size=64))
def test_whatever_bytes_come_get_an_answer(body: bytes) -> None:
    response = answer(Called(), request(body))
    assert response.status in {200, 400}


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        (
            errors.ValidationException("no"),
            400,
            {"__type": "com.amazon.coral.validate#ValidationException", "message": "no"},
        ),
        (
            errors.SerializationException("no"),
            400,
            {"__type": SERVICE + "SerializationException", "Message": "no"},
        ),
        (errors.UnknownOperationException(), 400, {"__type": SERVICE + "UnknownOperationException"}),
        (errors.AccessDeniedException("no"), 400, {"__type": SERVICE + "AccessDeniedException", "Message": "no"}),
        (
            errors.ConditionalCheckFailedException("no", {"Item": {"a": {"S": "x"}}}),
            400,
            {"__type": MODEL + "ConditionalCheckFailedException", "message": "no", "Item": {"a": {"S": "x"}}},
        ),
        (
            errors.TransactionCanceledException("no", {"CancellationReasons": [{"Code": "None"}]}),
            400,
            {
                "__type": MODEL + "TransactionCanceledException",
                "Message": "no",
                "CancellationReasons": [{"Code": "None"}],
            },
        ),
        (
            errors.TransactionConflictException("no"),
            400,
            {"__type": MODEL + "TransactionConflictException", "message": "no"},
        ),
        (errors.InternalServerError("no"), 500, {"__type": MODEL + "InternalServerError", "message": "no"}),
        (
            store_errors.DiskFull("/secret/path is full"),
            503,
            {
                "__type": "com.amazon.coral.availability#ServiceUnavailable",
                "message": "The server's disk is full. Nothing was written; try again when there is space.",
            },
        ),
        (
            store_errors.ReadOnlyStore("/secret/path"),
            500,
            {
                "__type": MODEL + "InternalServerError",
                "message": "The server's storage cannot be written to. Nothing was written; reads go on.",
            },
        ),
        (
            store_errors.StoreFault("no such table: s7 in /secret/path"),
            500,
            {"__type": MODEL + "InternalServerError", "message": "Internal server error (request id RID)"},
        ),
        (
            store_errors.StoreUnavailable("10.0.0.1 is down"),
            503,
            {
                "__type": "com.amazon.coral.availability#ServiceUnavailable",
                "message": "The service is unavailable at the moment. Nothing was written; please try again.",
            },
        ),
        (
            store_errors.DeadlineExceeded("late"),
            503,
            {
                "__type": "com.amazon.coral.availability#ServiceUnavailable",
                "message": "The request could not be carried out in time. Nothing was written; please try again.",
            },
        ),
        (
            store_errors.OutcomeUnknown("who knows"),
            500,
            {
                "__type": MODEL + "InternalServerError",
                "message": "The outcome of the request is not known: it may or may not have taken effect.",
            },
        ),
        (
            store_errors.StoreCorrupt("page 7 of /secret/path"),
            500,
            {"__type": MODEL + "InternalServerError", "message": "Internal server error (request id RID)"},
        ),
        (
            TenetError("a bug of ours"),
            500,
            {"__type": MODEL + "InternalServerError", "message": "Internal server error (request id RID)"},
        ),
    ],
)
def test_errors_on_the_wire(error: TenetError, status: int, expected: dict[str, Any]) -> None:
    response = answer(Called(error), request())
    assert (response.status, orjson.loads(response.body)) == (status, expected)
    assert next(iter(orjson.loads(response.body))) == "__type"
    assert response.error_code == expected["__type"].partition("#")[2]


@pytest.mark.parametrize(
    ("error", "status", "namespace"),
    [
        (wire_errors.MissingAuthenticationToken("Request is missing Authentication Token"), 400, SERVICE),
        (wire_errors.InvalidSignature("no"), 400, SERVICE),
        (wire_errors.UnrecognizedClient("no"), 400, SERVICE),
        (wire_errors.Throttled("slow down"), 400, "com.amazon.coral.availability#"),
        (wire_errors.Overloaded("later"), 503, "com.amazon.coral.availability#"),
    ],
)
def test_refusals_of_the_edge(error: wire_errors.EdgeError, status: int, namespace: str) -> None:
    response = TablesService(Called()).refuse(request(), error)
    assert (response.status, orjson.loads(response.body)) == (
        status,
        {"__type": namespace + error.code, "message": error.message},
    )


def test_a_body_that_is_too_large_gets_no_words() -> None:
    response = TablesService(Called()).refuse(request(), wire_errors.BodyTooLarge())
    assert (response.status, response.body) == (413, b"")


def test_every_code_of_the_api_has_its_type() -> None:
    """The codes are those of the published model, and their text lies where its shapes have it."""
    import botocore.session

    model = botocore.session.get_session().get_service_model("dynamodb")
    for name in model.shape_names:
        shape = model.shape_for(name)
        ours = getattr(errors, name, None)
        if getattr(shape, "metadata", {}).get("exception") and ours is not None:
            body = orjson.loads(TablesService(Called()).refuse(request(), ours("words")).body)
            assert body["__type"] == MODEL + name
            assert "words" in {body.get(member) for member in shape.members if member.lower() == "message"}, name


def test_large_bodies_are_parsed_like_small_ones_and_the_collector_goes_on() -> None:
    document = {"TableName": "abc", "Item": {"p": {"L": [{"S": "[{"}] * 50_000}}}
    assert parse(orjson.dumps(document)) == document
    assert gc.isenabled()
    with pytest.raises(errors.SerializationException):
        parse(orjson.dumps(document)[:-1])
    assert gc.isenabled()


@pytest.mark.parametrize("element", [b"{}", b"[]"])
def test_a_body_of_nothing_but_brackets_is_refused_before_it_is_parsed(element: bytes) -> None:
    with pytest.raises(errors.ValidationException, match="more than 4,000,000 values"):
        parse(b'{"Item":[' + element + (b"," + element) * 4_000_000 + b"]}")
    assert len(parse(b'{"Item":[' + element + (b"," + element) * 1_000_000 + b"]}")["Item"]) == 1_000_001


def test_brackets_in_texts_are_no_values() -> None:
    text = '[[{{"\\' * 600_000
    document = {"Item": {"p": {"S": text}, "q": {"S": text}}}
    assert parse(orjson.dumps(document)) == document


@pytest.mark.parametrize("tail", [b'"' + b'\\"' * 1_000_000, b'"' + b"\\n" * 1_000_000, b'"' + b"\\" * 2_000_001])
def test_a_text_that_does_not_end_is_looked_through_once(tail: bytes) -> None:
    began_s = time.process_time()
    with pytest.raises(errors.ValidationException, match="more than 4,000,000 values"):
        parse(b"[]" * 4_000_001 + tail)
    # Looked through again from each of its quotes, it takes hours.
    assert time.process_time() - began_s < 10
