"""What is read by the shape of its head is what the parser reads, and the rest is left to the parser."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Sequence
from itertools import accumulate
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tenet.base.clock import SystemClock
from tenet.wire.exchange import Incoming
from tenet.wire.limits import EdgeLimits
from tenet.wire.protocol import Connection
from tenet.wire.pulse import Pulse
from tenet.wire.shapes import Shape, Shapes
from tenet.wire.shared import Shared
from tenet.wire.witness import WitnessedProcessTime
from tests.edges import Written, call

PLAIN = [("Host", "h"), ("Content-Type", "application/x-amz-json-1.0"), ("x-amz-target", "T.Op"), ("X-Test", "a b")]


class Kept(Written):
    """A handler that keeps what it is handed, and a transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[object, ...]] = []

    def handle(self, incoming: Incoming) -> Coroutine[Any, Any, None]:
        self.requests.append(
            (
                incoming.method, incoming.target, list(incoming.headers.items()), incoming.body, incoming.keep_alive,
                incoming.refusal,
            )
        )  # fmt: skip

        async def answer() -> None:
            incoming.answer = b"."

        return answer()

    def note(self, incoming: Incoming) -> None:
        del incoming

    def body_bytes_max(self, target: str, headers: dict[str, str]) -> int:
        del target, headers
        return 1_000

    def malformed(self, status: int, reason: str) -> bytes:
        del reason
        return b"%d" % status


def shapes_of(pieces: Sequence[bytes]) -> Shapes:
    """Knows the shape of every head, as if each had been seen before."""
    shapes, now_s = Shapes(), 0.0
    text = b"".join(pieces).decode("latin-1")
    for at in (found.start() for found in re.finditer("POST", text)):
        for _ in range(2):
            now_s += 60
            shapes.find(text[at:], now_s)
    return shapes


def read(pieces: Sequence[bytes], *, by_shape: bool) -> tuple[object, ...]:
    """What a connection makes of these pieces; whether it may read by shape."""
    kept = Kept()
    seen: list[object] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        pulse = Pulse(SystemClock(), WitnessedProcessTime(), lambda _: None)
        shared = Shared(kept, EdgeLimits(headers_max=10, header_bytes_max=1_000), 500, pulse, shapes=shapes_of(pieces))
        connection = Connection(shared, loop)
        if not by_shape:
            connection._tries = 0
        done = loop.create_future()

        def feed() -> None:
            try:
                connection.connection_made(cast("asyncio.BaseTransport", kept))
                for piece in pieces:
                    connection.data_received(piece)
                seen.extend((shared.body_bytes_held, connection._open))
                done.set_result(None)
            except BaseException as error:  # noqa: BLE001 (whatever it is, the test has to see it)
                done.set_exception(error)

        loop.call_soon(feed)
        await done
        connection.connection_lost(None)
        assert shared.body_bytes_held == 0

    asyncio.run(main())
    return kept.requests, kept.written, kept.ended, *seen


def message(headers: Sequence[tuple[str, str]], body: bytes, *, colon: str = ": ", end: str = "\r\n") -> bytes:
    lines = "".join(f"{name}{colon}{value}{end}" for name, value in headers)
    return f"POST / HTTP/1.1{end}{lines}{end}".encode("latin-1") + body


NAMES = st.sampled_from([
    "Host", "host", "X-Test", "x-test", "X Test", "x_test", "Content-Length", "Transfer-Encoding", "Connection",
    "Expect", "Upgrade", "Content-Type", "Proxy-Connection", "TE", "",
])  # fmt: skip
#: The control characters beside these may be kept or refused.
TEXT = st.text(st.sampled_from("abz09 ,;:=/\t\r\n\0\x7f\xa0\xe9\xad"), max_size=6).filter(
    lambda text: "\x7f" not in text
)
VALUES = TEXT | st.sampled_from(
    ["chunked", "close", "keep-alive", "Keep-Alive", "upgrade", "100-continue", "2", "02", "+2"]
)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    headers = list(PLAIN)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(headers)))
        replaced = draw(st.integers(0, 1))
        headers[at : at + replaced] = [(draw(NAMES), draw(VALUES))]
    body = draw(st.binary(max_size=20))
    length = draw(
        st.sampled_from([str(len(body))] * 6 + [f"0{len(body)}", f"{len(body)} ", "3", "", "-1", "501", "1001"])
    )
    headers.insert(draw(st.integers(0, len(headers))), ("Content-Length", length))
    return message(headers, body, colon=draw(st.sampled_from([": "] * 8 + [":", ":  ", " : ", ":\t"])))


def with_value(value: str) -> list[bytes]:
    """A plain message, and one of its shape with another value."""
    values = ("plain", "plain", value)
    return [message([*PLAIN, ("X-More", more), ("Content-Length", "2")], b"{}") for more in values]


@given(
    sent=st.lists(messages(), min_size=1, max_size=3), cuts=st.lists(st.integers(60, 140) | st.just(100), max_size=3)
)
@example(sent=with_value("plain"), cuts=[100])
@example(sent=with_value("a\rb"), cuts=[100])
@example(sent=with_value("a\r"), cuts=[100])
@example(sent=with_value("a\0b"), cuts=[100])
@example(sent=with_value("a\nb"), cuts=[100])
@example(sent=with_value("a\tb\t"), cuts=[100])
@example(sent=with_value("\ta"), cuts=[100])
@example(sent=with_value("a\t"), cuts=[100])
@example(sent=with_value(" a "), cuts=[100])
@example(sent=with_value(""), cuts=[100])
@example(sent=with_value("\xe9\x85"), cuts=[100])
@example(sent=[message([*PLAIN, ("Connection", "keep-alive"), ("Content-Length", "2")], b"{}")] * 2, cuts=[100])
@example(sent=[message([*PLAIN, ("Content-Length", "3")], b"{}")] * 2, cuts=[101])
def test_what_is_read_by_shape_is_what_the_parser_reads(sent: list[bytes], cuts: list[int]) -> None:
    data = b"".join(sent)
    ends = list(accumulate(map(len, sent)))
    # A cut near the end of a message is what could make the two differ.
    at = sorted({*(end for end in ends if end % 3), *(end + cut - 100 for end in (0, *ends) for cut in cuts)})
    at = [position for position in at if 0 < position < len(data)]
    pieces = [data[start:end] for start, end in zip([0, *at], [*at, len(data)], strict=True)]
    assert read(pieces, by_shape=True) == read(pieces, by_shape=False)


@pytest.mark.parametrize("cuts", [[], [120], [400], [470, 480]])
@pytest.mark.parametrize("body", [b"", b"{}", b"x" * 499, b"x" * 900, b"x" * 2000])
def test_a_body_may_come_in_pieces_and_with_the_next_request(cuts: list[int], body: bytes) -> None:
    data = call("Echo", body) + call("Echo", b"{}")
    starts, ends = [0, *cuts], [*cuts, len(data)]
    pieces = [data[start:end] for start, end in zip(starts, ends, strict=True)]
    first = call("Echo", b"{}")
    assert read([first, *pieces], by_shape=True) == read([first, *pieces], by_shape=False)


@pytest.mark.parametrize("begun", [b"G", b"POS", b"\r\n", b"\r", b"POST / HTTP/1.1\r\nHost: h\r\n"])
def test_what_the_parser_has_begun_with_stays_the_parsers(begun: bytes) -> None:
    whole = call("Echo", b"{}")
    for pieces in ([whole, whole + begun, whole], [begun, whole], [whole, begun, whole]):
        assert read(pieces, by_shape=True) == read(pieces, by_shape=False)


def test_most_requests_are_read_by_shape() -> None:
    shapes = Shapes()
    assert shapes.find(call("Echo").decode("latin-1"), 1.0) is None
    found = [shapes.find(request.decode("latin-1"), 1.0) for request in (call("Echo"), call("Other", b"[]"), call("X"))]
    assert found[0] is not None
    assert found == [found[0]] * 3


@pytest.mark.thorough
def test_strangers_cannot_have_many_expressions_made() -> None:
    shapes = Shapes()

    def find(number: int, now_s: float) -> Shape | None:
        return shapes.find(f"POST / HTTP/1.1\r\nHost: h\r\nX-{number}: 1\r\nContent-Length: 0\r\n\r\n", now_s)

    assert not any(find(number, 100.0 + number) for number in range(100)), "what is sent once costs no expression"
    assert sum(find(number, 300.0) is not None for number in range(100)) == 1
    for number in range(5_000):
        find(number, 400.0 + number)
        find(number, 400.5 + number)
    assert len(shapes._known) <= 256
    assert len(shapes._seen) <= 4096


@pytest.mark.parametrize(("count", "is_made"), [(38, True), (39, False)])
def test_a_head_of_very_many_headers_is_the_parsers(count: int, is_made: bool) -> None:
    lines = "".join(f"X-{number}: 1\r\n" for number in range(count))
    head = f"POST / HTTP/1.1\r\nHost: h\r\n{lines}Content-Length: 0\r\n\r\n"
    assert (shapes_of([head.encode()]).find(head, 1_000.0) is not None) is is_made


@pytest.mark.parametrize("by_shape", [True, False])
def test_a_head_that_is_too_long_is_refused_though_it_comes_at_once(by_shape: bool) -> None:
    def head(size: int) -> bytes:
        return message([*PLAIN, ("X-More", "x" * size), ("Content-Length", "2")], b"{}")

    kept, *_ = read([head(700)], by_shape=by_shape)
    assert len(cast("list[object]", kept)) == 1
    kept, written, *_ = read([head(1_000)], by_shape=by_shape)
    assert (kept, written) == ([], b"431")
