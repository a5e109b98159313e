"""Answers in pieces in every form that clients ask for: old, zipped, without a body, in a row, and cut off."""

from __future__ import annotations

import asyncio
import zlib

import pytest

from tenet.wire.compression import accepts_gzip
from tenet.wire.limits import EdgeLimits
from tenet.wire.streaming import CUT_OFF
from tests.edges import connected, on_loop, serving, until
from tests.unit.wire.test_streaming import MANY, PIECE, Read, Streaming, asked, get, slow

GZIP = 16 + zlib.MAX_WBITS


def unzipped(data: bytes) -> tuple[bytes, bool]:
    """Returns what can be read of one gzip member, and whether it is whole."""
    member = zlib.decompressobj(GZIP)
    plain = member.decompress(data)
    return plain, member.eof


def split(data: bytes) -> tuple[list[str], bytes]:
    """Returns the header lines of an answer in lower case, and what is behind them."""
    head, _, body = data.partition(b"\r\n\r\n")
    return head.decode().lower().split("\r\n"), body


def old(data: bytes) -> bytes:
    return data.replace(b"HTTP/1.1", b"HTTP/1.0")


@pytest.mark.parametrize("pieces", [0, 1, 7])
def test_a_client_of_http_1_0_may_ask_for_gzip(pieces: int) -> None:
    """It ends with the connection, and the member says by itself that it is whole."""

    async def main() -> None:
        async with serving(Streaming()) as edge, connected(edge) as client:
            path = f"/pieces?{pieces}" if pieces else "/pieces/empty?2"
            await client.send(old(get(path, accept_encoding="gzip")))
            lines, body = split(await client.reader.read(-1))
            assert "content-encoding: gzip" in lines
            assert "connection: close" in lines
            assert not [line for line in lines if line.startswith(("transfer-encoding", "content-length"))]
            assert unzipped(body) == (PIECE * pieces, True)

    on_loop(main)


def test_of_nothing_comes_a_whole_member() -> None:
    """A client that asked for gzip and gets none of it would tell it from one that was cut off by nothing else."""

    async def main() -> None:
        async with serving(Streaming()) as edge:
            read = await asked(edge, get("/pieces/empty?3", accept_encoding="gzip"))
            assert read.is_complete
            assert unzipped(bytes(read.body)) == (b"", True)
            plain = await asked(edge, get("/pieces/empty?3"))
            assert plain.is_complete
            assert plain.body == b"", "an empty piece is not the end of the answer"

    on_loop(main)


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_the_head_alone_says_what_the_answer_would_and_the_connection_goes_on(encoding: str) -> None:
    async def main() -> None:
        service = Streaming()
        async with serving(service) as edge, connected(edge) as client:
            await client.send(get("/pieces?9", method="HEAD", accept_encoding=encoding))
            head = await client.reader.readuntil(b"\r\n\r\n")
            assert service.made == 0
            await client.send(get("/pieces?2", accept_encoding=encoding))
            whole = await client.reader.readuntil(b"\r\n\r\n")
            assert service.made <= 2

            def framing(data: bytes) -> set[str]:
                return {line for line in split(data)[0] if line.startswith(("transfer-", "content-", "connection"))}

            assert framing(head) == framing(whole)
            assert ("content-encoding: gzip" in framing(head)) == bool(encoding)
            data = await client.reader.readuntil(b"0\r\n\r\n")
            assert (PIECE in data) == (not encoding)
            assert edge.admission.in_flight == 0

    on_loop(main)


def test_heads_and_answers_that_were_asked_for_ahead_keep_their_order() -> None:
    async def main() -> None:
        service = Streaming()
        async with serving(service) as edge, connected(edge) as client:
            await client.send(get("/pieces?1") + get("/pieces?5", method="HEAD") + get("/pieces?2", connection="close"))
            data = await client.reader.read(-1)
            assert [part.count(PIECE) for part in data.split(b"HTTP/1.1 200")[1:]] == [1, 0, 2]
            assert service.made == 3

    on_loop(main)


@pytest.mark.parametrize("is_old", [False, True])
def test_a_zipped_answer_that_is_cut_off_is_no_whole_member(is_old: bool) -> None:
    """Whoever does not look at chunks learns by the member, which does not end either."""

    async def main() -> None:
        service = Streaming()
        async with serving(service) as edge, connected(edge) as client:
            data = get("/pieces/late?9", accept_encoding="gzip")
            await client.send(old(data) if is_old else data)
            answer = await client.reader.read(-1)
            assert not answer.endswith(b"0\r\n\r\n")
            if is_old:
                plain, is_whole = unzipped(split(answer)[1])
                assert not is_whole
                assert (PIECE * 2).startswith(plain)
            assert service.ended == 1
            (noted,) = [one for one in edge.observer.recent() if one["code"] == CUT_OFF]
            assert noted["sent_bytes"] < 2 * len(PIECE), "what is sent is counted as it is sent"

    on_loop(main)


def test_a_zipped_answer_is_made_no_faster_than_it_is_read() -> None:
    """Pieces that shrink to nothing would fill no buffer, so that these do not shrink."""

    async def main() -> None:
        service = Streaming()
        async with serving(service, limits=EdgeLimits(in_flight_max=1, waiting_max=0, waiting_ms_max=0)) as edge:
            client = await slow(edge)
            await client.send(get("/pieces/gated?50", accept_encoding="gzip"))
            await until(lambda: service.made == 1)
            await asyncio.sleep(0.05)
            assert service.made == 1
            service.gate.set()
            read = await Read().all_of(client)
            assert unzipped(bytes(read.body)) == (PIECE * 50, True)
            await until(lambda: edge.admission.in_flight == 0)
            await client.close()

    on_loop(main)


@pytest.mark.parametrize(("method", "encoding"), [("GET", "gzip"), ("HEAD", "gzip"), ("HEAD", "")])
def test_who_goes_away_before_the_answer_leaves_nothing_behind(method: str, encoding: str) -> None:
    """Ten clients that reset at once: every answer that was begun is ended, and the next one is served."""

    async def main() -> None:
        service = Streaming()
        async with serving(service) as edge:
            clients = [await slow(edge) for _ in range(10)]

            for client in clients:
                await client.send(get(f"/pieces?{MANY}", method=method, accept_encoding=encoding))
                await client.reset()
            read = await asked(edge, get("/pieces?2"))
            assert read.body == PIECE * 2
            await until(lambda: edge.admission.in_flight == 0)
            assert service.made < MANY + 2
            await asyncio.sleep(0.05)
            assert edge.admission.in_flight == 0

    on_loop(main)


@pytest.mark.parametrize(
    ("asked_for", "is_asked"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.1", True),
        ("gzip;q=0.001", True),
        ("gzip;q=1.0, *;q=0", True),
        ("GZIP", True),
        ("br, GZip;Q=0", False),
        ("gzip ; q = 0 , br", False),
        ("gzip;q=0.000", False),
        ("br, gzip;q=0", False),
        ("identity", False),
        ("*", False),
        ("", False),
    ],
)
def test_gzip_is_taken_where_it_is_named_and_not_refused(asked_for: str, is_asked: bool) -> None:
    assert accepts_gzip(asked_for) == is_asked
