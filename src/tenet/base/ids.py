"""Randomness as something that is handed in: the machine's, or a seeded one that replays.

Only this module draws random bytes; a lint rule keeps every other one from it.
"""

from __future__ import annotations

import os
import random
from typing import Final, Protocol

#: The digits that a UUID may have where its variant stands (RFC 9562, section 4.1).
_VARIANTS: Final = "89ab"


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
    digits = ids.draw(16).hex()
    variant = _VARIANTS[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def hyphened(digits: str) -> str:
    """Returns the canonical text form of a UUID.

    Args:
        digits: 32 hexadecimal digits in lower case.
    """
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
