"""Answers that leave in pieces: as they are made, no faster than their client reads them, compressed where it asks.

An answer whose length nobody knows is sent in chunks (RFC 9112, section 7.1); to a client of HTTP/1.0, which knows
none, its end is that of the connection. What goes wrong behind the head of an answer can only be told by not ending it
as it should end: the last chunk is missing, and the connection is closed.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import aclosing

import structlog

from tenet.base.errors import TenetError
from tenet.wire.compression import LEVEL, WBITS, accepts_gzip
from tenet.wire.door import Pieces, Request, Response
from tenet.wire.exchange import Incoming

#: What a request is noted with whose answer was cut off.
CUT_OFF = "AnswerCutOff"
_LAST_CHUNK = b"0\r\n\r\n"

_log = structlog.get_logger(__name__)


async def stream(incoming: Incoming, request: Request, response: Response, pieces: Pieces, head: bytes) -> None:
    """Sends an answer; what is left of it stands in ``incoming.answer`` then. Raises nothing but that it is ended.

    Args:
        incoming: whom it goes to.
        request: what is answered.
        response: the answer; its `sent_bytes` are counted, and an error that cuts it off is noted in it.
        pieces: its body.
        head: the answer's status line and headers, up to and with the empty line.
    """
    sink = incoming.sink
    async with aclosing(pieces):
        if sink is None or incoming.method == "HEAD":
            incoming.answer = head
            return
        is_zipped = is_compressed(incoming, response)
        try:
            await sink.send(head, incoming)
            async for piece in _zipped(pieces) if is_zipped else pieces:
                if piece:
                    response.sent_bytes += len(piece)
                    chunk = piece if incoming.is_old else b"%x\r\n%b\r\n" % (len(piece), piece)
                    await sink.send(chunk, incoming)
            incoming.answer = b"" if incoming.is_old else _LAST_CHUNK
        except Exception as error:  # noqa: BLE001 (the client is told by the missing end, whatever it is)
            response.error_code = CUT_OFF
            incoming.keep_alive = False
            if isinstance(error, ConnectionError):
                return
            if isinstance(error, TenetError):
                request.notes["cut_off"] = f"{error.code}: {error.message}"
            else:
                _log.exception("an answer was cut off", operation=request.operation, request_id=request.request_id)


def is_compressed(incoming: Incoming, response: Response) -> bool:
    """Whether an answer in pieces is compressed: where the client asks, and the service has not done it."""
    asked = incoming.headers.get("accept-encoding", "")
    return accepts_gzip(asked) and not any(name.lower() == "content-encoding" for name, _ in response.headers)


def framing(incoming: Incoming, response: Response) -> str:
    """Returns the header lines that say how an answer in pieces is sent."""
    lines = "" if incoming.is_old else "Transfer-Encoding: chunked\r\n"
    return lines + ("Content-Encoding: gzip\r\n" if is_compressed(incoming, response) else "")


async def _zipped(pieces: Pieces) -> AsyncIterator[bytes]:
    member = zlib.compressobj(LEVEL, zlib.DEFLATED, WBITS)
    async for piece in pieces:
        yield member.compress(piece)
        # A piece takes a millisecond, and a service that has the next one at hand does not give others their turn.
        await asyncio.sleep(0)
    yield member.flush()
