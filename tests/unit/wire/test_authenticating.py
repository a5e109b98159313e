"""Services whose requests need no signature: who sends is known before anything is done that costs much."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from tenet.base.clock import ManualClock
from tenet.base.errors import TenetError
from tenet.wire.door import NOBODY, Mount, Principal, Request, Response
from tenet.wire.limits import EdgeLimits
from tests.edges import answers_to, raw

OK, BAD_REQUEST, UNAUTHORIZED, TOO_LARGE, THROTTLED = 200, 400, 401, 413, 429
TENANT, OTHER = "1" * 12, "2" * 12


class Unknown(TenetError):
    """Nobody knows who sent a request."""

    code = "Unknown"
    http_status = UNAUTHORIZED


class Tokens:
    """A service that knows senders by a header."""

    def __init__(self) -> None:
        self.mount = Mount(label="tokens", signing_name="", path_prefixes=("/tokens",), authenticate=self.authenticate)
        self.asked: list[bytes] = []
        self.seen: list[Request] = []

    async def authenticate(self, request: Request) -> Principal:
        self.asked.append(request.body)
        if request.path.endswith("/open"):
            return NOBODY
        if "x-token" not in request.headers:
            raise Unknown("nobody knows you")
        return Principal("key", request.headers["x-token"])

    async def answer(self, request: Request) -> Response:
        self.seen.append(request)
        return Response(OK, b"{}", "application/json", (("x-told", request.headers.get("x-say", "")),))

    def refuse(self, _request: Request, error: TenetError) -> Response:
        return Response(error.http_status, error.code.encode(), "text/plain", error_code=error.code)


def post(path: str, body: bytes = b"{}", **headers: str) -> bytes:
    given = {"host": "localhost", "content-length": str(len(body))}
    return raw("POST", path, given | {name.replace("_", "-"): value for name, value in headers.items()}, body)


def test_a_sender_is_known_before_its_request_is_served() -> None:
    service = Tokens()
    known, unknown, everybody = answers_to(
        post("/tokens", x_token=TENANT), post("/tokens"), post("/tokens/open"), services=[service]
    )
    assert (known.status, unknown.status, everybody.status) == (OK, UNAUTHORIZED, OK)
    assert [request.principal for request in service.seen] == [Principal("key", TENANT), NOBODY]


def bomb() -> bytes:
    """64 MiB in few bytes; made by the one test that sends it, not by everybody who reads this file."""
    return gzip.compress(bytes(64 * 1024 * 1024))


@pytest.mark.parametrize(
    ("body", "encoding", "to_those_known"),
    [
        (bomb, "gzip", {BAD_REQUEST, TOO_LARGE}),
        (b"no gzip at all", "gzip", {BAD_REQUEST}),
        (b"{}", "br", {BAD_REQUEST}),
        (b"[" * 100_000, "", {BAD_REQUEST}),
        (gzip.compress(b"[" * 20_000 + bytes(range(256)) * 40), "gzip", {BAD_REQUEST}),
    ],
)
def test_nobody_has_a_body_looked_through_without_saying_who_it_is(
    body: bytes | Callable[[], bytes], encoding: str, to_those_known: set[int]
) -> None:
    """Decompressing a small body and looking through what comes of it takes half a second of everybody's time."""
    body = body() if callable(body) else body
    service = Tokens()
    more = {"content_encoding": encoding} if encoding else {}
    (refused,) = answers_to(post("/tokens", body, **more), services=[service])
    assert refused.status == UNAUTHORIZED
    assert service.asked == [body], "it was asked with the body as it came"
    (refused,) = answers_to(post("/tokens", body, x_token=TENANT, **more), services=[service])
    assert refused.status in to_those_known
    assert not service.seen


def test_a_body_of_one_that_is_known_is_decompressed_for_it() -> None:
    service = Tokens()
    (answer,) = answers_to(
        post("/tokens", gzip.compress(b'{"a":1}'), x_token=TENANT, content_encoding="gzip"), services=[service]
    )
    assert answer.status == OK
    assert service.seen[0].body == b'{"a":1}'


def test_tenants_are_held_to_their_rates_without_signatures() -> None:
    service = Tokens()
    limits = EdgeLimits(tenant_requests_per_s_max=3)
    answers = answers_to(
        *[post("/tokens", x_token=TENANT)] * 5,
        *[post("/tokens", x_token=OTHER)] * 2,
        services=[service],
        limits=limits,
        clock=ManualClock(),
    )
    statuses = [answer.status for answer in answers]
    assert statuses[:3] == [OK] * 3
    assert OK not in statuses[3:5]
    assert statuses[5:] == [OK] * 2, "another tenant has a share of its own"


def test_what_nobody_sent_is_counted_for_no_tenant() -> None:
    service = Tokens()
    answers = answers_to(
        *[post("/tokens/open")] * 5,
        services=[service],
        limits=EdgeLimits(tenant_requests_per_s_max=2),
        clock=ManualClock(),
    )
    assert [answer.status for answer in answers] == [OK] * 5


class Careless(Tokens):
    """A service that puts into a header what it was sent in a path."""

    async def answer(self, request: Request) -> Response:
        return Response(OK, b"{}", "application/json", (("location", TEXTS[int(request.query)]),))


TEXTS = ("/plain path?a=b&c=%20", "one\r\n\r\n<html>", "two\nx-other: yes", "nul\x00", "euro €", "tab\tand\x7f", "é")


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_no_value_of_a_header_ends_the_headers(number: int) -> None:
    answer, after = answers_to(
        post(f"/tokens?{number}", x_token=TENANT), post("/tokens?0", x_token=TENANT), services=[Careless()]
    )
    assert answer.status == OK
    assert answer.body == b"{}"
    assert "x-other" not in answer.headers
    told = answer.headers["location"]
    assert told.isprintable()
    if TEXTS[number].isascii() and TEXTS[number].isprintable():
        assert told == TEXTS[number]
    assert after.headers["location"] == TEXTS[0]
