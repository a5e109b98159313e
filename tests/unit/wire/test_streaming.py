"""Answers in pieces: no faster than their client reads, whole or visibly cut off, and ended with their clients."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncGenerator

import httptools
import pytest

from tenet.base.errors import TenetError
from tenet.wire.door import Request, Response
from tenet.wire.limits import EdgeLimits
from tenet.wire.server import Edge
from tenet.wire.streaming import CUT_OFF
from tests.edges import Client, Echo, call, connected, on_loop, raw, serving, until

PIECE = b"0123456789abcdef" * 4096
#: Far more than the socket buffers of both sides hold.
MANY = 2_000


class Streaming(Echo):
    """Answers under /pieces with as many pieces as the body says, and as the operations of its paths say."""

    def __init__(self) -> None:
        super().__init__(path_prefixes=("/pieces",), signing_name="", targets=())
        self.made = 0
        self.ended = 0

    async def answer(self, request: Request) -> Response:
        await asyncio.sleep(0)
        headers = (("Content-Encoding", "br"),) if request.path.endswith("zipped") else ()
        return Response(200, b"", "text/plain", headers, pieces=self._pieces(int(request.query or 3), request.path))

    async def _pieces(self, count: int, path: str) -> AsyncGenerator[bytes, None]:
        try:
            for number in range(count):
                self.made += 1
                yield b"" if path.endswith("/empty") else PIECE
                if path.endswith("/broken") and number == 1:
                    raise ZeroDivisionError
                if path.endswith("/late") and number == 1:
                    raise TenetError("too late")
                if path.endswith("/gated"):
                    await self.gate.wait()
        finally:
            self.ended += 1


def get(path: str, *, method: str = "GET", **headers: str) -> bytes:
    return raw(method, path, {"host": "localhost", **{name.replace("_", "-"): headers[name] for name in headers}})


class Read:
    """An answer as another parser reads it (llhttp's, for answers)."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.is_complete = False
        self._parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.is_complete = True

    async def all_of(self, client: Client) -> Read:
        """Reads until the answer is complete or its connection ends."""
        while not self.is_complete and (data := await client.reader.read(1 << 16)):
            self._parser.feed_data(data)
        return self


async def slow(edge: Edge) -> Client:
    """A connection whose client takes in little of what is not read."""
    return Client(*await asyncio.open_connection(*edge.address, limit=1 << 16))


async def asked(edge: Edge, data: bytes) -> Read:
    async with connected(edge) as client:
        await client.send(data)
        return await Read().all_of(client)


def test_an_answer_in_pieces_is_whole_and_its_connection_goes_on() -> None:
    async def main() -> None:
        service = Streaming()
        async with serving(service) as edge, connected(edge) as client:
            for count in (3, 1, 0):
                await client.send(get(f"/pieces?{count or 1}" if count else "/pieces/empty?2"))
                read = await Read().all_of(client)
                assert read.is_complete
                assert read.headers["transfer-encoding"] == "chunked"
                assert "content-length" not in read.headers
                assert "x-amz-crc32" not in read.headers
                assert read.headers["x-amzn-requestid"]
                assert read.body == PIECE * count
            assert service.ended == 3
            assert edge.admission.in_flight == 0

    on_loop(main)


def test_answers_that_were_asked_for_ahead_follow_in_order() -> None:
    async def main() -> None:
        async with serving(Streaming()) as edge, connected(edge) as client:
            await client.send(get("/pieces?2") + get("/pieces?1") + get("/pieces?3", connection="close"))
            data = await client.reader.read(-1)
            bodies = [part.count(PIECE) for part in data.split(b"HTTP/1.1 200")[1:]]
            assert bodies == [2, 1, 3]
            assert data.endswith(b"0\r\n\r\n")

    on_loop(main)


def test_it_is_compressed_where_the_client_asks() -> None:
    async def main() -> None:
        async with serving(Streaming()) as edge:
            read = await asked(edge, get("/pieces?5", accept_encoding="gzip"))
            assert read.headers["content-encoding"] == "gzip"
            assert gzip.decompress(read.body) == PIECE * 5
            assert len(read.body) < len(PIECE)
            for path, encoding, left in (("/pieces", "gzip;q=0", ""), ("/pieces/zipped", "gzip", "br")):
                read = await asked(edge, get(path, accept_encoding=encoding))
                assert (read.headers.get("content-encoding", ""), bytes(read.body)) == (left, PIECE * 3)

    on_loop(main)


def test_a_client_of_http_1_0_gets_it_without_chunks() -> None:
    async def main() -> None:
        async with serving(Streaming()) as edge:
            for more in ({}, {"connection": "keep-alive"}):
                async with connected(edge) as client:
                    await client.send(get("/pieces?3", **more).replace(b"HTTP/1.1", b"HTTP/1.0"))
                    head, _, body = (await client.reader.read(-1)).partition(b"\r\n\r\n")
                    assert b"chunked" not in head
                    assert b"Connection: close" in head
                    assert body == PIECE * 3

    on_loop(main)


def test_a_request_for_the_head_alone_makes_no_piece() -> None:
    async def main() -> None:
        service = Streaming()
        async with serving(service) as edge, connected(edge) as client:
            await client.send(get("/pieces", method="HEAD", connection="close"))
            data = await client.reader.read(-1)
            assert data.endswith(b"\r\n\r\n")
            assert b"Transfer-Encoding: chunked" in data
            assert service.made == 0

    on_loop(main)


@pytest.mark.thorough
def test_no_more_is_made_than_the_client_reads() -> None:
    async def main() -> None:
        service = Streaming()
        limits = EdgeLimits(in_flight_max=1, waiting_max=0, waiting_ms_max=0)
        async with serving(service, limits=limits) as edge:
            client = await slow(edge)
            await client.send(get(f"/pieces?{MANY}"))
            made = 0
            # It stands still where nothing more is made for a while.
            while made < service.made or not made:
                made = service.made
                await asyncio.sleep(0.3)
            assert made < MANY / 2
            assert edge.admission.in_flight == 0, "it has no place while its client does not read"
            assert (await asked(edge, get("/pieces?1"))).body == PIECE, "others are served"
            read = await Read().all_of(client)
            assert read.is_complete
            assert len(read.body) == MANY * len(PIECE)
            assert edge.admission.in_flight == 0
            await client.close()

    on_loop(main)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_it_ends_when_its_client_goes_away(how: str) -> None:
    async def main() -> None:
        service = Streaming()
        async with serving(service) as edge:
            client = await slow(edge)
            await client.send(get(f"/pieces?{MANY}"))
            await until(lambda: service.made > 10)
            await (client.reset() if how == "reset" else client.close())
            await until(lambda: service.ended == 1)
            assert service.made < MANY
            await until(lambda: edge.admission.in_flight == 0)

    on_loop(main)


def test_it_ends_also_where_its_client_goes_away_between_two_pieces() -> None:
    async def main() -> None:
        service = Streaming()
        async with serving(service) as edge:
            client = await slow(edge)
            await client.send(get("/pieces/gated?100"))
            await until(lambda: service.made == 1)
            await client.reset()
            await asyncio.sleep(0.1)
            service.gate.set()
            await until(lambda: service.ended == 1)
            assert service.made < 5

    on_loop(main)


def test_who_does_not_read_at_all_is_cut_off_in_time() -> None:
    async def main() -> None:
        service = Streaming()
        async with serving(service, limits=EdgeLimits(write_s_max=0.2)) as edge:
            client = await slow(edge)
            await client.send(get(f"/pieces?{MANY}"))
            await until(lambda: service.ended == 1)
            assert service.made < MANY
            await client.close()

    on_loop(main)


@pytest.mark.parametrize("why", ["broken", "late"])
def test_what_goes_wrong_on_the_way_shows(why: str) -> None:
    async def main() -> None:
        service = Streaming()
        async with serving(service) as edge:
            async with connected(edge) as client:
                await client.send(get(f"/pieces/{why}?9"))
                read = await Read().all_of(client)
                assert not read.is_complete, "there is no last chunk"
                assert read.body == PIECE * 2
                assert await client.is_ended()
            assert service.ended == 1
            (noted,) = [one for one in edge.observer.recent() if one["code"] == CUT_OFF]
            assert noted["sent_bytes"] == 2 * len(PIECE)
            assert (noted.get("cut_off") is not None) == (why == "late")

    on_loop(main)


def test_an_answer_as_a_whole_is_as_it_was() -> None:
    async def main() -> None:
        async with serving(Echo()) as edge, connected(edge) as client:
            answer = await client.ask(call("Echo", b"{}"))
            assert answer.headers["content-length"] == "2"
            assert "transfer-encoding" not in answer.headers
            assert answer.headers["x-amz-crc32"]

    on_loop(main)
