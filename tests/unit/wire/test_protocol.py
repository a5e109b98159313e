"""HTTP/1.1 by the byte: what is a request, in what order it is answered, and what ends a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tenet.wire.limits import EdgeLimits
from tenet.wire.server import Edge
from tests.edges import TARGET, Client, Echo, call, connected, on_loop, raw, serving, until
from tests.rounds import examples

HOST = "host: localhost\r\n"
HEALTHZ = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"


def on_connection(body: Callable[[Edge, Client, Echo], Awaitable[None]], *, limits: EdgeLimits | None = None) -> None:
    """Runs a test on one connection to an edge."""

    async def main() -> None:
        echo = Echo()
        async with serving(echo, limits=limits) as edge, connected(edge) as client:
            await body(edge, client, echo)
            # Whatever happened, others are served.
            async with connected(edge) as other:
                assert (await other.ask(call("Echo", b"{}"))).body == b"{}"
            assert edge._shared.body_bytes_held == 0

    on_loop(main)


def chunked(*chunks: bytes, trailer: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + trailer + b"\r\n"


def test_pipelined_requests_are_answered_in_their_order() -> None:
    async def body(_edge: Edge, client: Client, echo: Echo) -> None:
        await client.send(
            call("Echo", b"1") + call("Wait", b"2") + b"".join(call("Echo", b"%d" % n) for n in range(3, 20))
        )
        assert (await client.read()).body == b"1"
        echo.gate.set()
        for number in range(2, 20):
            assert (await client.read()).body == b"%d" % number

    on_connection(body)


def test_reading_pauses_while_too_many_requests_wait_and_goes_on_after() -> None:
    count = 2_000

    async def body(edge: Edge, client: Client, echo: Echo) -> None:
        sending = asyncio.create_task(
            client.send(call("Wait", b"{}") + b"".join(call("Echo", b"%d" % n) for n in range(count)))
        )
        await asyncio.sleep(0.1)
        (connection,) = edge._shared.connections
        assert len(connection._queue) < 100
        echo.gate.set()
        await client.read()
        for number in range(count):
            assert (await client.read()).body == b"%d" % number
        await sending

    on_connection(body, limits=EdgeLimits(pipelined_max=10))


def test_a_request_may_come_in_single_bytes() -> None:
    async def body(_edge: Edge, client: Client, _echo: Echo) -> None:
        for byte in call("Echo", b'{"a":1}'):
            client.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.read()).body == b'{"a":1}'

    on_connection(body)


def test_a_body_may_come_in_chunks_and_its_trailers_are_not_headers() -> None:
    async def body(_edge: Edge, client: Client, echo: Echo) -> None:
        signed = call("Echo", b'{"a":1}')
        head = signed.split(b"\r\n\r\n")[0].replace(b"content-length: 7", b"transfer-encoding: chunked")
        chunks = chunked(b'{"a"', b":1}", trailer=b"x-amz-target: Echo_20260101.Fail\r\nx-amz-late: 1\r\n")
        assert (await client.ask(head + b"\r\n\r\n" + chunks)).body == b'{"a":1}'
        assert "x-amz-late" not in echo.seen[0].headers

    on_connection(body)


def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    async def body(_edge: Edge, client: Client, _echo: Echo) -> None:
        head, _, content = call("Echo", b"{}", expect="100-continue").partition(b"\r\n\r\n")
        await client.send(head + b"\r\n\r\n")
        assert (await client.read()).status == 100
        await client.send(content)
        assert (await client.read()).body == b"{}"

    on_connection(body)


def test_a_client_that_asks_behind_others_is_told_in_its_turn() -> None:
    async def body(_edge: Edge, client: Client, echo: Echo) -> None:
        head, _, content = call("Echo", b"{}", expect="100-continue").partition(b"\r\n\r\n")
        await client.send(call("Wait", b"1") + head + b"\r\n\r\n")
        await asyncio.sleep(0.02)
        echo.gate.set()
        assert (await client.read()).body == b"1"
        assert (await client.read()).status == 100
        await client.send(content)
        assert (await client.read()).body == b"{}"

    on_connection(body)


def test_a_client_that_asks_whether_it_may_send_too_much_is_told_no() -> None:
    async def body(_edge: Edge, client: Client, _echo: Echo) -> None:
        length = str(17 * 1024 * 1024)
        refused = await client.ask(
            raw(
                "POST",
                "/",
                {
                    "host": "localhost",
                    "x-amz-target": f"{TARGET}.Echo",
                    "expect": "100-continue",
                    "content-length": length,
                },
            )
        )
        assert (refused.status, refused.headers["connection"]) == (413, "close")
        assert await client.is_ended()

    on_connection(body)


def test_close_and_http_1_0_end_the_connection() -> None:
    async def body(edge: Edge, client: Client, _echo: Echo) -> None:
        closing = await client.ask(call("Echo", b"{}", connection="close"))
        assert closing.headers["connection"] == "close"
        assert await client.is_ended()
        async with connected(edge) as old:
            assert (await old.ask(b"GET /healthz HTTP/1.0\r\n\r\n")).status == 200
            assert await old.is_ended()

    on_connection(body)


def test_an_offer_to_speak_another_protocol_is_passed_over() -> None:
    async def body(_edge: Edge, client: Client, _echo: Echo) -> None:
        offer = {
            "host": "localhost",
            "connection": "Upgrade, HTTP2-Settings",
            "upgrade": "h2c",
            "http2-settings": "AAMAAABk",
        }
        await client.send(raw("GET", "/healthz", offer) + HEALTHZ)
        assert (await client.read()).body == b"ok\n"
        assert (await client.read()).body == b"ok\n"
        # A body behind the offer, sent bit by bit.
        head, _, content = call("Echo", b'{"a":1}', upgrade="h2c", connection="upgrade").partition(b"\r\n\r\n")
        await client.send(head + b"\r\n\r\n" + content[:3])
        await asyncio.sleep(0.01)
        await client.send(content[3:] + HEALTHZ)
        assert (await client.read()).body == b'{"a":1}'
        assert (await client.read()).body == b"ok\n"

    on_connection(body)


def test_a_client_that_says_no_more_still_gets_its_answers() -> None:
    async def body(_edge: Edge, client: Client, echo: Echo) -> None:
        await client.send(call("Wait", b"1") + call("Echo", b"2"))
        client.writer.write_eof()
        await asyncio.sleep(0.02)
        echo.gate.set()
        assert (await client.read()).body == b"1"
        assert (await client.read()).body == b"2"
        assert await client.is_ended()

    on_connection(body)


def test_a_client_that_goes_away_leaves_nothing_behind() -> None:
    async def body(edge: Edge, client: Client, echo: Echo) -> None:
        await client.send(call("Wait", b"1" * 1000) + call("Echo", b"2" * 1000) + call("Echo", b"3" * 1000)[:-5])
        await asyncio.sleep(0.02)
        assert edge._shared.body_bytes_held >= 2_000
        await client.reset()
        await until(lambda: not edge._shared.connections)
        echo.gate.set()
        await until(lambda: not edge.admission.in_flight)
        assert len(echo.seen) == 1

    on_connection(body)


POST = f"POST / HTTP/1.1\r\n{HOST}".encode()
CHUNKED = POST + b"transfer-encoding: chunked\r\n"
MALFORMED = {
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "garbage": b"hello world\r\n\r\n",
    "method": f"BREW /pot HTTP/1.1\r\n{HOST}\r\n".encode(),
    "both lengths": POST + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths, other order": CHUNKED + b"content-length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"content-length: 4\r\ncontent-length: 5\r\n\r\nabcde",
    "signed length": POST + b"content-length: +4\r\n\r\nabcd",
    "negative length": POST + b"content-length: -1\r\n\r\n",
    "endless length": POST + b"content-length: 99999999999999999999999\r\n\r\n",
    "hidden chunked": POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked, then not": POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunk size overflow": CHUNKED + b"\r\nffffffffffffffffff\r\n",
    "chunk size not hexadecimal": CHUNKED + b"\r\n0x1\r\na\r\n0\r\n\r\n",
    "chunk longer than its size": CHUNKED + b"\r\n1\r\nab\r\n0\r\n\r\n",
    "space before colon": b"POST / HTTP/1.1\r\nhost : localhost\r\n\r\n",
    "folded header": b"POST / HTTP/1.1\r\nhost: localhost\r\n folded\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nhost: localhost\n\n",
    "zero byte in header": b"GET / HTTP/1.1\r\nhost: local\x00host\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two authorizations": f"GET / HTTP/1.1\r\n{HOST}authorization: a\r\nauthorization: b\r\n\r\n".encode(),
    "not ASCII in path": b"GET /\xff\xfe HTTP/1.1\r\nhost: a\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2 by name": f"GET / HTTP/2.0\r\n{HOST}\r\n".encode(),
    "unknown expectation": f"POST / HTTP/1.1\r\n{HOST}expect: miracles\r\ncontent-length: 0\r\n\r\n".encode(),
    "long header": f"GET / HTTP/1.1\r\n{HOST}x: {'y' * 100_000}\r\n\r\n".encode(),
    "long path": f"GET /{'y' * 100_000} HTTP/1.1\r\n{HOST}\r\n".encode(),
    "many headers": POST + b"".join(b"x-%d: y\r\n" % number for number in range(200)) + b"\r\n",
    "one header many times": POST + b"x: y\r\n" * 200 + b"\r\n",
}  # fmt: skip
STATUS = {
    "HTTP/2 by name": 505,
    "unknown expectation": 417,
    "long header": 431,
    "long path": 431,
    "many headers": 431,
    "one header many times": 431,
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_request_is_answered_so_and_ends_the_connection(name: str) -> None:
    async def body(edge: Edge, client: Client, echo: Echo) -> None:
        # What comes behind it must not be taken for a request.
        await client.send(call("Echo", b"first") + MALFORMED[name] + call("Echo", b"smuggled"))
        assert (await client.read()).body == b"first"
        refused = await client.read()
        assert refused.status == STATUS.get(name, 400)
        assert refused.headers["connection"] == "close"
        assert await client.is_ended()
        assert [seen.body for seen in echo.seen] == [b"first"]
        assert sum(edge.metrics.malformed.values()) == 1

    on_connection(body)


def test_what_is_no_request_is_answered_behind_what_was_one() -> None:
    async def body(_edge: Edge, client: Client, echo: Echo) -> None:
        await client.send(call("Wait", b"1") + call("Echo", b"2") + MALFORMED["both lengths"])
        await asyncio.sleep(0.02)
        echo.gate.set()
        assert (await client.read()).body == b"1"
        assert (await client.read()).body == b"2"
        assert (await client.read()).status == 400
        assert await client.is_ended()

    on_connection(body)


def test_a_body_that_is_too_large_is_refused_unread() -> None:
    async def body(edge: Edge, client: Client, echo: Echo) -> None:
        length = 17 * 1024 * 1024
        head = raw("POST", "/", {"host": "h", "x-amz-target": f"{TARGET}.Echo", "content-length": str(length)})
        refused = await client.ask(head + bytes(200_000))
        assert (refused.status, refused.code) == (413, "RequestEntityTooLarge")
        assert edge._shared.body_bytes_held == 0
        assert not echo.seen

    on_connection(body)


def test_a_chunked_body_that_grows_too_large_is_refused() -> None:
    async def body(_edge: Edge, client: Client, echo: Echo) -> None:
        head = raw("POST", "/", {"host": "h", "x-amz-target": f"{TARGET}.Echo", "transfer-encoding": "chunked"})
        await client.send(head)
        answered = asyncio.create_task(client.read())
        for _ in range(40):
            await client.send(b"80000\r\n" + bytes(0x80000) + b"\r\n")
            if answered.done():
                break
        assert (await answered).status == 413
        assert not echo.seen

    on_connection(body)


def test_chunks_that_are_all_framing_are_refused() -> None:
    async def body(_edge: Edge, client: Client, _echo: Echo) -> None:
        head = raw("POST", "/", {"host": "h", "x-amz-target": f"{TARGET}.Echo", "transfer-encoding": "chunked"})
        await client.send(head)
        answered = asyncio.create_task(client.read())
        try:
            while not answered.done():
                await client.send(b"1;extension=" + b"x" * 60_000 + b"\r\na\r\n")
                await asyncio.sleep(0)
        except ConnectionError:
            pass
        assert (await answered).status in {400, 413}

    on_connection(body)


def test_bodies_beyond_the_memory_for_them_are_throttled() -> None:
    async def body(edge: Edge, client: Client, _echo: Echo) -> None:
        held = await Client.connect(edge.address)
        await held.send(call("Echo", bytes(600_000))[:-10])
        await asyncio.sleep(0.05)
        refused = await client.ask(call("Echo", bytes(600_000)))
        assert refused.code == "ThrottlingException"
        await held.send(bytes(10))
        assert (await held.read()).status == 200
        await held.close()

    on_connection(body, limits=EdgeLimits(body_bytes_held_max=1_000_000))


def test_a_client_that_does_not_read_is_not_served_on() -> None:
    async def body(edge: Edge, client: Client, echo: Echo) -> None:
        transport: Any = client.writer.transport
        transport.pause_reading()
        request = call("Repeat", bytes(50_000))
        sending = asyncio.create_task(client.send(request * 20))
        await asyncio.sleep(0.3)
        assert len(echo.seen) < 10
        (connection,) = edge._shared.connections
        assert connection._transport is not None
        assert connection._transport.get_write_buffer_size() < 20_000_000
        transport.resume_reading()
        for _ in range(20):
            assert len((await client.read()).body) == 5_000_000
        await sending

    on_connection(body, limits=EdgeLimits(loop_delay_ms_max=0))


SLOW = EdgeLimits(header_s_max=0.2, body_s_max=0.2, idle_s_max=0.5, write_s_max=0.2, linger_s_max=0.2)


@pytest.mark.parametrize(
    "begun",
    [b"POST / HT", b"POST / HTTP/1.1\r\nhost: local", raw("POST", "/", {"host": "h", "content-length": "10"}, b"abc")],
)
def test_slow_senders_are_told_and_ended(begun: bytes) -> None:
    async def body(_edge: Edge, client: Client, _echo: Echo) -> None:
        await client.send(begun)
        assert (await client.read()).status == 408
        assert await client.is_ended()

    on_connection(body, limits=SLOW)


def test_a_sender_of_a_byte_now_and_then_gains_no_time() -> None:
    async def body(_edge: Edge, client: Client, _echo: Echo) -> None:
        answered = asyncio.create_task(client.read())
        await client.send(b"POST / HTTP/1.1\r\nhost: h\r\nx: ")
        for _ in range(100):
            if answered.done():
                break
            client.writer.write(b"y")
            await asyncio.sleep(0.05)
        assert answered.done()
        assert (await answered).status == 408

    on_connection(body, limits=SLOW)


@pytest.mark.interpreted
def test_an_idle_connection_keeps_no_request_in_memory() -> None:
    async def body(edge: Edge, client: Client, echo: Echo) -> None:
        await client.send(call("Wait", bytes(10_000)))
        await until(lambda: bool(echo.seen))
        echo.gate.set()
        await client.read()
        (connection,) = edge._shared.connections
        task: Any = connection._task
        kept = task.get_coro().cr_frame.f_locals
        assert not {name: value for name, value in kept.items() if name != "self" and value is not None}

    on_connection(body)


def test_idle_connections_are_ended() -> None:
    async def body(_edge: Edge, client: Client, _echo: Echo) -> None:
        await client.ask(call("Echo"))
        assert await client.is_ended()

    on_connection(body, limits=SLOW)


@pytest.mark.thorough
def test_a_client_that_never_reads_is_ended() -> None:
    async def body(edge: Edge, client: Client, _echo: Echo) -> None:
        sending = asyncio.create_task(client.send(call("Repeat", bytes(100_000)) * 20))
        await until(lambda: not edge._shared.connections)
        sending.cancel()

    on_connection(body, limits=SLOW)


def test_answers_that_are_not_read_count_as_held_in_memory() -> None:
    async def body(edge: Edge, client: Client, _echo: Echo) -> None:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(call("Repeat", bytes(200_000)))
        await until(lambda: edge._shared.body_bytes_held > 5_000_000)
        async with connected(edge) as other:
            assert (await other.ask(call("Echo"))).code == "ThrottlingException"
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len((await client.read()).body) == 20_000_000
        async with connected(edge) as other:
            assert (await other.ask(call("Echo"))).status == 200

    on_connection(body, limits=EdgeLimits(body_bytes_held_max=4_000_000))


def test_what_comes_behind_the_last_request_of_a_connection_is_dropped_and_not_held() -> None:
    async def body(edge: Edge, client: Client, echo: Echo) -> None:
        assert (await client.ask(call("Echo", b"first"))).body == b"first"
        await client.send(call("Wait", b"last", connection="close"))
        await until(lambda: len(echo.seen) == 2)
        await client.send(call("Echo", b"behind"))
        await asyncio.sleep(0.05)
        echo.gate.set()
        assert (await client.read()).body == b"last"
        assert await client.is_ended()
        assert len(echo.seen) == 2
        await until(lambda: not edge._shared.connections)

    on_connection(body)


def test_one_connection_too_many_is_told_so() -> None:
    async def main() -> None:
        async with serving(limits=EdgeLimits(connections_max=2)) as edge:
            clients = [await Client.connect(edge.address) for _ in range(2)]
            for client in clients:
                await client.ask(call("Echo"))
            async with connected(edge) as extra:
                refused = await extra.read()
                assert refused.status == 503
                assert await extra.is_ended()
            await clients[0].close()
            await until(lambda: len(edge._shared.connections) == 1)
            async with connected(edge) as extra:
                assert (await extra.ask(call("Echo"))).status == 200
            await clients[1].close()
            assert edge.metrics.connections_refused == 1

    on_loop(main)


PIECES = st.sampled_from(
    [
        call("Echo", b'{"a":1}'),
        HEALTHZ,
        b"POST / HTTP/1.1\r\n",
        b"GET http://localhost/healthz HTTP/1.1\r\n",
        b"host: localhost\r\n",
        b"content-length: 5\r\n",
        b"transfer-encoding: chunked\r\n",
        b"expect: 100-continue\r\n",
        b"connection: upgrade\r\nupgrade: x\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"5\r\nabcde\r\n",
        b"0\r\n\r\n",
        b"abcde",
        b"\x00\xff",
    ]
)


@given(pieces=st.lists(PIECES | st.binary(max_size=20), max_size=12), cut=st.integers(1, 400))
@example(pieces=[HEALTHZ, b"\r\n\r\n", HEALTHZ], cut=7)
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=examples(60))
def test_no_bytes_crash_it_or_leave_anything_behind(pieces: list[bytes], cut: int) -> None:
    data = b"".join(pieces)

    async def main() -> None:
        failures: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context))
        async with serving() as edge:
            async with connected(edge) as client:
                for start in range(0, len(data), cut):
                    client.writer.write(data[start : start + cut])
                    await asyncio.sleep(0)
                if client.writer.can_write_eof():
                    client.writer.write_eof()
                try:
                    answered = await asyncio.wait_for(client.reader.read(), 5)
                except ConnectionError:
                    answered = b""
                assert answered == b"" or answered.startswith(b"HTTP/1.1 ")
            await until(lambda: not edge._shared.connections)
            assert edge._shared.body_bytes_held == 0
            assert edge.admission.in_flight == 0
        assert not failures

    on_loop(main)
