"""Answers that are written in pieces: others have their turn in between, and time and memory are bounded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from tenet.placement.errors import BadRequest, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tenet.placement.context import Asked, Context

#: The most that one answer may have, bytes.
ANSWER_BYTES_MAX: Final = 128 * 1024 * 1024
#: The most that all answers may have that are being written, bytes.
_HELD_BYTES_MAX: Final = 256 * 1024 * 1024
#: How long an answer is written before others have their turn, seconds.
_TURN_S: Final = 0.01


class Held:
    """How many bytes of answers are being written."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


async def collect(
    context: Context, asked: Asked, pieces: Iterable[bytes], *, bytes_max: int = ANSWER_BYTES_MAX
) -> bytes:
    """Writes an answer.

    Args:
        context: what it works with.
        asked: the request, whose deadline ends it.
        pieces: made as they are asked for, each in some milliseconds; empty ones where there is nothing to write yet.
        bytes_max: the most that the answer may have.

    Raises:
        BadRequest: the answer has more.
        Unavailable: it was not done in time, or there are too many large ones at the same time.
    """
    written: list[bytes] = []
    size, held, now = 0, context.held, context.clock.monotonic_s
    until_s = now() + _TURN_S
    try:
        for piece in pieces:
            if piece:
                written.append(piece)
                size += len(piece)
                held.bytes += len(piece)
                if size > bytes_max:
                    raise BadRequest(f"The answer has more than {bytes_max} bytes. Ask for less, or with a limit.")
                if held.bytes > _HELD_BYTES_MAX:
                    raise Unavailable("Too many large answers are being written at the same time. Try again.")
            if now() >= until_s:
                await asyncio.sleep(0)
                if now() > asked.deadline:
                    raise Unavailable("The answer was not found in time. Ask for less, or with a limit.")
                until_s = now() + _TURN_S
        return b"".join(written)
    finally:
        held.bytes -= size
