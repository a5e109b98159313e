"""Randomness as something that is handed in: the machine's, or a seeded one that replays.

Only this module draws random bytes; a lint rule keeps every other one from it.
"""

from __future__ import annotations

import os
import random
import uuid
from typing import Protocol


class Ids(Protocol):
    """Where a component takes random bytes from."""

    def draw(self, count: int) -> bytes:
        """Returns that many random bytes."""
        ...


class SystemIds:
    """Random bytes of the operating system, fetched in blocks so that one id costs no system call."""

    _BLOCK_BYTES = 8192

    def __init__(self) -> None:
        self._block = b""
        self._used = 0

    def draw(self, count: int) -> bytes:
        """Returns `count` bytes, fit for secrets."""
        end = self._used + count
        if end > len(self._block):
            self._block = os.urandom(max(self._BLOCK_BYTES, count))
            self._used, end = 0, count
        out = self._block[self._used : end]
        self._used = end
        return out


class SeededIds:
    """Bytes that a seed determines, so that a failed simulation replays. Never for secrets.

    Args:
        seed: any integer.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def draw(self, count: int) -> bytes:
        """Returns the next `count` bytes of the seed's sequence."""
        return self._random.randbytes(count)


def uuid4_text(ids: Ids) -> str:
    """Returns a random UUID (RFC 9562, version 4) in its canonical text form."""
    return str(uuid.UUID(bytes=ids.draw(16), version=4))
