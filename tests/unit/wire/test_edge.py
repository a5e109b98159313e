"""What every answer carries, and what is answered to requests that no service gets to see."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from tenet.base.clock import SystemClock
from tenet.base.errors import TenetError
from tenet.base.ids import SystemIds
from tenet.store.memory import open_engine
from tenet.wire.door import Mount, Request, Response
from tenet.wire.limits import EdgeLimits
from tests.edges import (
    JSON_1_0,
    TARGET,
    Answer,
    Client,
    Echo,
    Signature,
    answers_to,
    call,
    connected,
    on_loop,
    raw,
    serving,
    until,
)

HOST = {"host": "localhost"}


def get(path: str, **headers: str) -> bytes:
    return raw("GET", path, HOST | {name.replace("_", "-"): value for name, value in headers.items()})


def test_an_answer_carries_what_the_service_promises() -> None:
    (answer,) = answers_to(call("Echo", b'{"a":1}'))
    assert (answer.status, answer.body) == (200, b'{"a":1}')
    assert answer.headers["content-type"] == JSON_1_0
    assert answer.headers["server"] == "Server"
    assert re.fullmatch(r"[0-9A-Z]{52}", answer.headers["x-amzn-requestid"])
    assert int(answer.headers["x-amz-crc32"]) == zlib.crc32(answer.body)
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.headers["date"])


def test_every_request_has_an_id_of_its_own() -> None:
    answers = answers_to(*[call("Echo")] * 50)
    assert len({answer.headers["x-amzn-requestid"] for answer in answers}) == 50


def test_a_service_sees_who_asked_and_for_what() -> None:
    echo = Echo()
    answers_to(call("Echo", b"{}", by=Signature(region="eu-central-1"), x_amz_meta="1"), services=[echo])
    (seen,) = echo.seen
    assert (seen.method, seen.path, seen.query, seen.operation) == ("POST", "/", "", "Echo")
    assert (seen.principal.tenant, seen.principal.access_key_id) == ("000000000000", "AKIAEXAMPLE")
    assert (seen.region, seen.peer, seen.headers["x-amz-meta"]) == ("eu-central-1", "127.0.0.1", "1")
    assert seen.deadline > 0


def test_an_answer_is_compressed_where_that_is_asked_for_and_worth_it() -> None:
    body = json.dumps(["text"] * 1000).encode()
    plain, packed, small, refused = answers_to(
        call("Echo", body),
        call("Echo", body, accept_encoding="gzip, deflate"),
        call("Echo", b"{}", accept_encoding="gzip"),
        call("Echo", body, accept_encoding="gzip;q=0, identity"),
    )
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == body
    assert int(packed.headers["x-amz-crc32"]) == zlib.crc32(packed.body)
    assert small.body == b"{}"
    assert refused.body == body


def test_large_answers_and_requests_are_compressed_beside_the_loop() -> None:
    body = json.dumps(list(range(60_000))).encode()
    packed = gzip.compress(body)
    assert len(packed) > 64 * 1024
    (answer,) = answers_to(call("Echo", packed, content_encoding="gzip", accept_encoding="gzip"))
    assert gzip.decompress(answer.body) == body


def test_a_compressed_request_is_verified_as_it_came_and_served_as_it_was_meant() -> None:
    echo = Echo()
    (answer,) = answers_to(call("Echo", gzip.compress(b'{"a":1}'), content_encoding="gzip"), services=[echo])
    assert answer.body == b'{"a":1}'


@pytest.mark.parametrize(
    ("body", "encoding", "code"),
    [
        (b"no gzip at all", "gzip", "SerializationException"),
        (gzip.compress(b"{}", mtime=0)[:-3], "gzip", "SerializationException"),
        (gzip.compress(b"{}", mtime=0) + b"more", "gzip", "SerializationException"),
        (b"{}", "br", "SerializationException"),
        (lambda: gzip.compress(bytes(20 * 1024 * 1024)), "gzip", "RequestEntityTooLarge"),
    ],
)
def test_what_is_badly_compressed_is_refused(body: bytes | Callable[[], bytes], encoding: str, code: str) -> None:
    body = body() if callable(body) else body
    refused, after = answers_to(call("Echo", body, content_encoding=encoding), call("Echo", b"{}"))
    assert refused.code == code
    assert after.status == 200


def test_a_body_of_several_members_is_one_body() -> None:
    several = gzip.compress(b'{"a":') + gzip.compress(b"1}")
    many = gzip.compress(b"") * 101 + gzip.compress(b"{}")
    (answer, refused) = answers_to(
        call("Echo", several, content_encoding="gzip"), call("Echo", many, content_encoding="gzip")
    )
    assert answer.body == b'{"a":1}'
    assert refused.code == "SerializationException"


def test_a_bomb_is_refused_by_its_ratio() -> None:
    bomb = gzip.compress(bytes(1024 * 1024), 9)
    (answer,) = answers_to(call("Echo", bomb, content_encoding="gzip"), limits=EdgeLimits(decompressed_ratio_max=100))
    assert answer.code == "RequestEntityTooLarge"


def test_browsers_may_ask() -> None:
    asked = raw(
        "OPTIONS",
        "/",
        HOST
        | {
            "origin": "https://example.com",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,x-amz-target",
        },
    )
    preflight, answer, plain = answers_to(asked, call("Echo", origin="https://example.com"), call("Echo"))
    assert (preflight.status, preflight.body) == (200, b"")
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert preflight.headers["access-control-allow-methods"] == "POST"
    assert preflight.headers["access-control-allow-headers"] == "authorization,x-amz-target"
    assert preflight.headers["access-control-max-age"] == "172800"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "x-amzn-RequestId" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in plain.headers


def test_the_root_says_that_it_is_healthy_as_dynamodb_does() -> None:
    here, named, head = answers_to(
        get("/"), raw("GET", "/", {"host": "dynamodb.eu-west-1.amazonaws.com"}), raw("HEAD", "/", HOST)
    )
    assert here.body == b"healthy: dynamodb.us-east-1.amazonaws.com "
    assert here.headers["x-amz-crc32"] == "3128867991"
    assert named.body == b"healthy: dynamodb.eu-west-1.amazonaws.com "
    assert head.headers["content-length"] == "42"


@pytest.mark.parametrize(
    "request_",
    [
        get("/nothing"),
        raw("PUT", "/", HOST | {"content-length": "0"}),
        raw("DELETE", "/", HOST),
        raw("POST", "/", HOST | {"content-type": "text/plain", "content-length": "2"}, b"{}"),
        raw("POST", "/", HOST | {"content-length": "2"}, b"{}"),
        raw(
            "PUT",
            "/",
            HOST | {"content-length": "2", "x-amz-target": f"{TARGET}.Echo", "content-type": JSON_1_0},
            b"{}",
        ),
        call("Echo", content_type="application/x-amz-json-1.1"),
        call("Echo", content_type="text/plain"),
    ],
)
def test_what_no_service_knows_is_not_found(request_: bytes) -> None:
    (answer,) = answers_to(request_)
    assert (answer.status, answer.body) == (404, b"<UnknownOperationException/>\n")
    assert answer.headers["x-amz-crc32"] == "3552371480"


@pytest.mark.parametrize("target", ["Echo_20990101.Echo", "Echo", "", "Nothing.Echo"])
def test_an_unknown_target_is_an_unknown_operation(target: str) -> None:
    (answer,) = answers_to(
        raw("POST", "/", HOST | {"content-type": JSON_1_0, "x-amz-target": target, "content-length": "2"}, b"{}")
    )
    assert (answer.status, answer.code) == (400, "UnknownOperationException")


def test_what_a_service_does_wrong_is_an_internal_error_that_names_the_request() -> None:
    failed, after = answers_to(call("Fail"), call("Echo"))
    assert (failed.status, failed.code) == (500, "InternalFailure")
    assert failed.headers["x-amzn-requestid"] in failed.message
    assert after.status == 200


def test_pages_of_the_server() -> None:
    echo = Echo()

    async def main() -> None:
        store = await open_engine("", clock=SystemClock(), ids=SystemIds())
        async with serving(echo, store=store) as edge, connected(edge) as client:
            assert (await client.ask(get("/healthz"))).body == b"ok\n"
            assert (await client.ask(get("/readyz"))).body == b"ready\n"
            await client.ask(call("Echo"))
            await client.ask(call("Refuse"))
            metrics = (await client.ask(get("/metrics"))).body.decode()
            assert 'tenet_requests_total{code="",operation="Echo",service="echo"} 1.0' in metrics
            assert 'tenet_requests_total{code="InternalFailure",operation="Refuse",service="echo"} 1.0' in metrics
            assert 'tenet_request_seconds_count{operation="Echo",service="echo"} 1.0' in metrics
            assert "tenet_store_" in metrics
            assert (await client.ask(raw("POST", "/healthz", HOST | {"content-length": "0"}))).status == 405
            await store.close()
            unready = await client.ask(get("/readyz"))
            assert unready.status == 503
            assert b"the engine is closed" in unready.body

    on_loop(main)


def test_a_server_whose_services_refuse_everything_is_not_ready() -> None:
    refusal = ""

    async def main() -> None:
        nonlocal refusal
        async with serving(Echo(), refusal=lambda: refusal) as edge, connected(edge) as client:
            assert (await client.ask(get("/readyz"))).status == 200
            refusal = "The store is being restored."
            unready = await client.ask(get("/readyz"))
            assert (unready.status, unready.body) == (503, b"The store is being restored.\n")
            assert (await client.ask(get("/healthz"))).status == 200

    on_loop(main)


class Forms:
    """A service of the Query protocol."""

    mount = Mount(label="forms", signing_name="sqs", form_versions=("2012-11-05",))

    async def answer(self, request: Request) -> Response:
        return Response(200, f"<{request.operation}/>".encode(), "text/xml")

    def refuse(self, request: Request, error: TenetError) -> Response:
        return Response(error.http_status, f"<Error>{error.code}</Error>".encode(), "text/xml", error_code=error.code)


class Paths(Forms):
    """A service of its own paths, unsigned."""

    mount = Mount(label="paths", signing_name="", path_prefixes=("/placement", "/placement/more"))

    async def answer(self, request: Request) -> Response:
        return Response(200, request.path.encode(), "text/plain")


def signed_form(form: bytes, query: str = "") -> bytes:
    from tenet.wire.signing import sign_headers

    headers = {"host": "localhost", "content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    by = Signature(service="sqs")
    signed = sign_headers(
        "POST", f"/{query}", headers, form,
        access_key_id=by.key_id, secret=by.secret, region=by.region, service=by.service, clock=by.clock,
    )  # fmt: skip
    return raw("POST", f"/{query}", signed | {"content-length": str(len(form))}, form)


def test_forms_and_paths_find_their_services() -> None:
    form, unsigned, unknown, path, other, root = answers_to(
        signed_form(b"Action=SendMessage&Version=2012-11-05&MessageBody=x"),
        raw("GET", "/?Action=ListQueues&Version=2012-11-05", HOST),
        raw(
            "POST",
            "/",
            HOST | {"content-type": "application/x-www-form-urlencoded", "content-length": "38"},
            b"Action=SendMessage&Version=1999-01-01&",
        ),
        get("/placement/resource_providers?a=b"),
        get("/placements"),
        get("/"),
        services=[Echo(), Forms(), Paths()],
    )
    assert form.body == b"<SendMessage/>"
    assert unsigned.body == b"<Error>MissingAuthenticationTokenException</Error>"
    assert unknown.status == 404
    assert path.body == b"/placement/resource_providers"
    assert other.status == 404
    assert root.body.startswith(b"healthy")


def test_large_bodies_are_looked_through_whether_or_not_they_are_signed() -> None:
    deep = b"[" * 2_000 + b"]" * 2_000 + b" " * 70_000
    unsigned = raw("POST", "/placement", HOST | {"content-length": str(len(deep))}, deep)
    signed, placed = answers_to(call("Echo", deep), unsigned, services=[Echo(), Paths()])
    assert signed.code == "SerializationException"
    assert placed.body == b"<Error>SerializationException</Error>"


def signed_for(service: str, method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
    from tenet.wire.signing import sign_headers

    by = Signature()
    signed = sign_headers(
        method, target, HOST | {name.replace("_", "-"): value for name, value in headers.items()}, body,
        access_key_id=by.key_id, secret=by.secret, region=by.region, service=service, clock=by.clock,
    )  # fmt: skip
    return raw(method, target, signed | {"content-length": str(len(body))}, body)


FORM = "application/x-www-form-urlencoded; charset=utf-8"


@pytest.mark.parametrize(
    ("service", "request_", "kind"),
    [
        ("sts", ("POST", "/", b"Action=GetCallerIdentity&Version=2011-06-15", {"content_type": FORM}), "text/xml"),
        ("s3", ("GET", "/", b"", {}), "text/xml"),
        ("s3", ("PUT", "/bucket/key", b"content", {}), "text/xml"),
        ("lambda", ("GET", "/2015-03-31/functions/", b"", {}), JSON_1_0),
        ("sqs", ("POST", "/", b"{}", {"content_type": JSON_1_0, "x_amz_target": "AmazonSQS.SendMessage"}), JSON_1_0),
        (
            "logs",
            ("POST", "/", b"{}", {"content_type": "application/x-amz-json-1.1", "x_amz_target": "Logs_20140328.X"}),
            JSON_1_0,
        ),
    ],
)
def test_requests_for_other_services_are_told_which_ones_are_served(
    service: str, request_: tuple[str, str, bytes, dict[str, str]], kind: str
) -> None:
    method, target, body, headers = request_
    sent = signed_for(service, method, target, body, **headers)
    (answer,) = answers_to(sent, services=[Echo(), Paths()])
    assert (answer.status, answer.headers["content-type"]) == (400, kind)
    told = answer.body.decode()
    assert "UnknownServiceException" in told
    assert f"This endpoint serves dynamodb, and the request is for {service}." in told
    assert "AWS_ENDPOINT_URL_DYNAMODB" in told


def test_mounts_must_not_overlap() -> None:
    with pytest.raises(ValueError, match="claim"):
        answers_to(services=[Echo(), Echo(fallback=False)])
    with pytest.raises(ValueError, match="fallback"):
        answers_to(services=[Echo(), Echo(targets=("Other",))])


def test_limits_change_while_it_runs() -> None:
    async def main() -> None:
        async with serving() as edge, connected(edge) as client:
            body = b"[" * 100 + b"]" * 100
            assert (await client.ask(call("Echo", body))).status == 200
            edge.limits = EdgeLimits(nesting_max=50)
            assert (await client.ask(call("Echo", body))).code == "SerializationException"

    on_loop(main)


def test_draining_answers_what_began_and_nothing_new() -> None:
    echo = Echo()

    async def main() -> None:
        async with serving(echo) as edge:
            waiting, idle = await Client.connect(edge.address), await Client.connect(edge.address)
            await waiting.send(call("Wait"))
            await idle.ask(call("Echo"))
            await until(lambda: len(echo.seen) == 2)
            drained = asyncio.create_task(edge.drain(5.0))
            assert await idle.is_ended()
            with pytest.raises(OSError, match="refused"):
                await Client.connect(edge.address)
            echo.gate.set()
            answer: Answer = await waiting.read()
            assert answer.status == 200
            assert await drained
            await waiting.close()
            await idle.close()

    on_loop(main)


def test_draining_cuts_off_what_takes_too_long() -> None:
    async def main() -> None:
        async with serving() as edge, connected(edge) as client:
            await client.send(call("Wait"))
            await asyncio.sleep(0.05)
            assert not await edge.drain(0.1)

    on_loop(main)


@pytest.mark.thorough
def test_nothing_is_kept_of_a_request_that_was_answered() -> None:
    size, count = 20_000, 200

    async def main() -> None:
        echo = Echo()
        async with serving(echo) as edge, connected(edge) as client:
            for operation in ("Echo", "Refuse"):
                await client.ask(call(operation, b"x" * size))
                tracemalloc.start()
                try:
                    for number in range(count):
                        await client.ask(call(operation, b"x" * (size - number)))
                        echo.seen.clear()
                    kept_bytes, _ = tracemalloc.get_traced_memory()
                finally:
                    tracemalloc.stop()
                assert kept_bytes < size * count / 10

    on_loop(main)


def test_target_of_another_service_is_signed_for_it() -> None:
    other = Echo(label="other", signing_name="sqs", targets=("AmazonSQS",), fallback=False)
    right, wrong = answers_to(
        call("Echo", target="AmazonSQS", by=Signature(service="sqs")),
        call("Echo", target="AmazonSQS"),
        services=[Echo(), other],
    )
    assert right.status == 200
    assert wrong.message == "Credential should be scoped to correct service: 'sqs'. "
    assert TARGET != "AmazonSQS"
