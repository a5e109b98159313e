"""One request to another HTTP server, on a connection of its own, within bounds: for what is asked rarely.

Answers are read by llhttp, as requests are at the edge. No redirect is followed, and nothing is tried again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httptools
from msgspec import Struct

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

#: Larger answers, their headers included, are given up.
ANSWER_BYTES_MAX: Final = 1024 * 1024
_READ_BYTES: Final = 65_536
_PORTS: Final = {"http": 80, "https": 443}


class NotAnswered(Exception):
    """A server could not be reached, or said what is no answer in HTTP."""


class Answered(Struct, frozen=True):
    """What a server answered.

    Args:
        status: of the answer.
        headers: by lower-case name; of a repeated one the last.
        body: at most ``ANSWER_BYTES_MAX``.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Reader:
    """Puts an answer together; llhttp calls it."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.has_headers = False
        self.is_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.has_headers = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.is_complete = True

    @property
    def ends_with_connection(self) -> bool:
        return self.has_headers and not {"content-length", "transfer-encoding"} & self.headers.keys()


async def ask(
    method: str, url: str, headers: Mapping[str, str], body: bytes = b"", *, tls: ssl.SSLContext | None
) -> Answered:
    """Sends a request and returns what is answered. Who calls it bounds the time.

    Args:
        method: upper case.
        url: begins with ``http://`` or ``https://``.
        headers: further ones; their values are text without line ends.
        body: of the request.
        tls: which certificates are good, for https.

    Raises:
        NotAnswered: there is no answer.
    """
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    told = {"Host": parts.netloc, "Connection": "close", "Accept": "application/json"}
    told |= {"Content-Length": str(len(body))} if body else {}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in {**told, **headers}.items())]
    request = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
    try:
        reader, writer = await asyncio.open_connection(
            parts.hostname,
            parts.port or _PORTS[parts.scheme],
            ssl=tls if parts.scheme == "https" else None,
        )
        try:
            writer.write(request)
            return await _read(reader)
        finally:
            # Nothing is said any more, and nobody waits for the other side to agree.
            writer.transport.abort()
    except (OSError, httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
        raise NotAnswered(f"{type(error).__name__}: {error}") from error


async def _read(reader: asyncio.StreamReader) -> Answered:
    parts = _Reader()
    parser = httptools.HttpResponseParser(parts)
    count = 0
    while not parts.is_complete:
        chunk = await reader.read(_READ_BYTES)
        count += len(chunk)
        if count > ANSWER_BYTES_MAX:
            raise NotAnswered(f"the answer has more than {ANSWER_BYTES_MAX} bytes")
        if not chunk:
            if parts.ends_with_connection:
                break
            raise NotAnswered("the connection ended before the answer did")
        parser.feed_data(chunk)
    return Answered(parser.get_status_code(), parts.headers, bytes(parts.body))
