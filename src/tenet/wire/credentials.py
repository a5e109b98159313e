"""Access keys as the verifier of signatures needs them, with the signing keys that they derived to."""

from __future__ import annotations

from typing import Final, Protocol

from msgspec import Struct, field

from tenet.wire.deriving import Scope, Signer
from tenet.wire.senders import Principal

#: Signing keys that an access key remembers: one for each day, region and service.
_SIGNERS_MAX: Final = 64


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
