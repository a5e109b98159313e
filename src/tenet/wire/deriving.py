"""Signing keys: what an access key's secret derives to, and the signatures that are made with it.

Source: AWS IAM User Guide, "Create a signed AWS API request", section "Derive a signing key"; RFC 2104 (HMAC).
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final, TypeAlias

TERMINATOR: Final = "aws4_request"

#: What a signing key is good for: a day of eight digits, year first; a region; the signing name of a service.
Scope: TypeAlias = tuple[str, str, str]

_BLOCK_BYTES: Final = 64
_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))


class Signer:
    """HMAC-SHA256 under one derived key, with the first block of either hash done ahead.

    Args:
        key: 32 bytes.
    """

    __slots__ = ("_copy_inner", "_copy_outer")

    def __init__(self, key: bytes) -> None:
        block = key.ljust(_BLOCK_BYTES, b"\x00")
        self._copy_inner = sha256(block.translate(_INNER_PAD)).copy
        self._copy_outer = sha256(block.translate(_OUTER_PAD)).copy

    def sign(self, text: bytes) -> str:
        """Returns the MAC as 64 hexadecimal digits."""
        inner = self._copy_inner()
        inner.update(text)
        outer = self._copy_outer()
        outer.update(inner.digest())
        return outer.hexdigest()


def derive(secret: str, scope: Scope) -> bytes:
    """Returns the signing key, 32 bytes, of a secret for a scope."""
    key = b"AWS4" + secret.encode("utf-8")
    for part in (*scope, TERMINATOR):
        key = hmac.digest(key, part.encode("latin-1"), "sha256")
    return key
