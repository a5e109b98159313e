"""Access keys as the verifier of signatures needs them, and the signing keys that they derive to.

Source: AWS IAM User Guide, "Create a signed AWS API request", section "Derive a signing key"; RFC 2104 (HMAC).
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final, Protocol, TypeAlias

from msgspec import Struct, field

from tenet.wire.door import Principal

TERMINATOR: Final = "aws4_request"

#: What a signing key is good for: a day of eight digits, year first; a region; the signing name of a service.
Scope: TypeAlias = tuple[str, str, str]

#: Signing keys that an access key remembers: one for each day, region and service.
_SIGNERS_MAX: Final = 64

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


class AccessKey(Struct, frozen=True):
    """An access key that may sign.

    Args:
        principal: who it stands for.
        secret: the secret access key. Never logged; left out of ``repr``.
        signers: what it derived to.
    """

    principal: Principal
    secret: str
    signers: dict[Scope, Signer] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"AccessKey({self.principal.access_key_id!r})"

    def keep(self, scope: Scope, signer: Signer) -> None:
        """Remembers a signer that a right signature was made with; strangers cannot fill a key's memory."""
        if scope not in self.signers:
            if len(self.signers) >= _SIGNERS_MAX:
                self.signers.clear()
            self.signers[scope] = signer


class Keys(Protocol):
    """Where access keys are looked up."""

    def find(self, access_key_id: str) -> AccessKey | None:
        """Returns the key, or None where there is none or it was revoked."""
        ...


def derive(secret: str, scope: Scope) -> bytes:
    """Returns the signing key, 32 bytes, of a secret for a scope."""
    key = b"AWS4" + secret.encode("utf-8")
    for part in (*scope, TERMINATOR):
        key = hmac.digest(key, part.encode("latin-1"), "sha256")
    return key
