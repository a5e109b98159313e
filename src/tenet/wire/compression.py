"""Gzip (RFC 1952) of bodies: of requests within bounds, and of answers where the client asks and it is worth it."""

from __future__ import annotations

import asyncio
import re
import zlib
from typing import Final

from tenet.wire.errors import BodyTooLarge, MalformedBody

#: Smaller answers are sent as they are: they fit into one packet anyway.
COMPRESS_BYTES_MIN: Final = 1024
#: Larger bodies are worked on beside the loop.
_ON_LOOP_BYTES_MAX: Final = 64 * 1024

#: A body may consist of several members (RFC 1952, section 2.2); each has to be begun anew.
_MEMBERS_MAX: Final = 100
WBITS: Final = 16 + zlib.MAX_WBITS
#: Level 1 takes a third of the time of level 6 for about a tenth more bytes.
LEVEL: Final = 1
_REFUSED: Final = re.compile(r"gzip\s*;\s*q\s*=\s*0(?:\.0*)?\s*(?:,|$)", re.IGNORECASE)


def accepts_gzip(accept_encoding: str) -> bool:
    """Tells whether an Accept-Encoding header asks for gzip; "*" is not taken for asking."""
    # Small letters, as all clients write it, are looked for first.
    return ("gzip" in accept_encoding or "gzip" in accept_encoding.lower()) and _REFUSED.search(accept_encoding) is None


async def compress(body: bytes) -> bytes:
    """Returns the body as one gzip member."""
    if len(body) <= _ON_LOOP_BYTES_MAX:
        return _compress(body)
    return await asyncio.get_running_loop().run_in_executor(None, _compress, body)


def _compress(body: bytes) -> bytes:
    return zlib.compress(body, LEVEL, WBITS)


async def decompress(body: bytes, encoding: str, *, bytes_max: int, ratio_max: int) -> bytes:
    """Returns what a compressed body holds.

    Args:
        body: as it was sent.
        encoding: the Content-Encoding header.
        bytes_max: how large it may become.
        ratio_max: how many times its size it may become.

    Raises:
        BodyTooLarge: it would become larger than that.
        MalformedBody: it is no gzip, or damaged, or has something else behind its end.
    """
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"}:
        return body
    if encoding not in {"gzip", "x-gzip"}:
        raise MalformedBody
    size_max = min(bytes_max, len(body) * ratio_max)
    if len(body) <= _ON_LOOP_BYTES_MAX:
        return _decompress(body, size_max)
    return await asyncio.get_running_loop().run_in_executor(None, _decompress, body, size_max)


def _decompress(body: bytes, size_max: int) -> bytes:
    plain = b""
    for _ in range(_MEMBERS_MAX):
        member = zlib.decompressobj(WBITS)
        try:
            plain += member.decompress(body, size_max + 1 - len(plain))
        except zlib.error:
            raise MalformedBody from None
        if len(plain) > size_max:
            raise BodyTooLarge
        if not member.eof:
            raise MalformedBody
        body = member.unused_data
        if not body:
            return plain
    raise MalformedBody
