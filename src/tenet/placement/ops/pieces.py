"""Answers that are written in pieces: others have their turn in between, and time and memory are bounded.

An answer is made up to a size before anything of it is sent, so that what ends it until then is told as an error. What
is longer leaves as it is made, no faster than its client reads it; what ends it later cuts it off (``wire.streaming``).
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import orjson

from tenet.placement.context import Answer
from tenet.placement.errors import Unavailable
from tenet.placement.rules.candidate_answers import PIECE_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator

    from tenet.placement.context import Asked, Context

#: Up to so many bytes an answer is sent as a whole.
WHOLE_BYTES_MAX: Final = 256 * 1024
#: How many longer ones are sent at the same time: each holds a piece, and columns of the fleet that it searches in.
STREAMS_MAX: Final = 128
#: How long an answer is written before others have their turn, seconds.
_TURN_S: Final = 0.01


class Held:
    """How many answers are being sent in pieces."""

    __slots__ = ("answers",)

    def __init__(self) -> None:
        self.answers = 0


async def written(context: Context, asked: Asked, pieces: Iterable[bytes]) -> Answer:
    """Writes an answer, or begins to.

    Args:
        context: what it works with.
        asked: the request, whose deadline ends it.
        pieces: made as they are asked for, each in some milliseconds; empty ones where there is nothing to write yet.

    Returns:
        With a body where it is short, else with the pieces; 200, and nothing said of when it was changed.

    Raises:
        Unavailable: it was not done in time, or there are too many long ones at the same time.
    """
    coming = _in_turns(context, asked, pieces)
    begun: list[bytes] = []
    size = 0
    async for piece in coming:
        begun.append(piece)
        size += len(piece)
        if size > WHOLE_BYTES_MAX:
            if context.held.answers >= STREAMS_MAX:
                await coming.aclose()
                raise Unavailable("Too many long answers are being sent at the same time. Try again, or with a limit.")
            return Answer(pieces=_sent(context.held, b"".join(begun), coming))
    return Answer(body=b"".join(begun))


def listed(name: str, entries: Iterable[Any]) -> Iterator[bytes]:
    """Returns the pieces of a document that is a list.

    Args:
        name: of the list in the document.
        entries: each becomes JSON.
    """
    piece = bytearray(b'{"' + name.encode() + b'":[')
    for number, entry in enumerate(entries):
        piece += b"," if number else b""
        piece += orjson.dumps(entry)
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece) + b"]}"


async def _in_turns(context: Context, asked: Asked, pieces: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    now = context.clock.monotonic_s
    until_s = now() + _TURN_S
    for piece in pieces:
        if piece:
            yield piece
        if now() >= until_s:
            await asyncio.sleep(0)
            if now() > asked.deadline:
                raise Unavailable("The answer was not found in time. Ask for less, or with a limit.")
            until_s = now() + _TURN_S


async def _sent(held: Held, begun: bytes, coming: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    held.answers += 1
    try:
        async with aclosing(coming):
            yield begun
            async for piece in coming:
                yield piece
    finally:
        held.answers -= 1
