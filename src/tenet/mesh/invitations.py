"""Invitations: one-time tokens with which a machine becomes a node.

A token tells whom to believe (the fingerprint of the authority's certificate), where to ask, and a secret of 256 random
bits. The store holds the secret's SHA-256 alone, with the time until when it is good.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from tenet.base.clock import Clock
from tenet.base.ids import Ids
from tenet.mesh.errors import InvitationInvalid
from tenet.mesh.records import (
    INVITATIONS,
    PARTITION,
    SPACE,
    StoredInvitation,
    decode_invitation,
    encode,
    invitation_key,
)
from tenet.store.contract import Conflict, Delete, IsVersion, Key, Put, Store, Write
from tenet.store.landing import land

SECRET_BYTES: Final = 32
EXPIRES_S_MIN: Final = 10
EXPIRES_S_MAX: Final = 30 * 24 * 3600
#: How long after its end an invitation is kept, so that who comes too late is told so.
_KEPT_MS: Final = 24 * 3600 * 1000
#: How many old ones a new one sweeps away.
_SWEPT_MAX: Final = 50
_STORE_S_MAX: Final = 5.0

_PREFIX: Final = "tenet-join-1."


class Invitation(Struct, frozen=True):
    """What a token tells.

    Args:
        authority_sha256: fingerprint of the certificate of the cluster's authority, 64 hexadecimal digits.
        addresses: ``HOST:PORT`` of nodes that can be asked.
        secret: 32 bytes.
    """

    authority_sha256: str
    addresses: tuple[str, ...]
    secret: bytes

    def __repr__(self) -> str:
        return f"Invitation({self.authority_sha256!r}, {self.addresses!r})"

    def token(self) -> str:
        """Returns the token, one line of text."""
        return _PREFIX + base64.urlsafe_b64encode(msgspec.json.encode(self)).decode("ascii").rstrip("=")


def read_token(token: str) -> Invitation:
    """Returns what a token tells.

    Raises:
        InvitationInvalid: it is none, or not all of one.
    """
    text = token.strip()
    if not text.startswith(_PREFIX):
        raise InvitationInvalid(f"the token does not begin with {_PREFIX!r}, as those of `tenet node invite` do")
    encoded = text.removeprefix(_PREFIX)
    try:
        content = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        found = msgspec.json.decode(content, type=Invitation)
    except (binascii.Error, ValueError):
        raise InvitationInvalid("the token is damaged, or a part of it is missing; copy all of it") from None
    if len(found.secret) != SECRET_BYTES:
        raise InvitationInvalid("the token is damaged; copy all of it")
    return found


async def invite(
    store: Store, authority_sha256: str, addresses: Sequence[str], expires_s: int, *, clock: Clock, ids: Ids
) -> Invitation:
    """Makes an invitation, and sweeps away those that ended long ago: one query and one commit.

    Args:
        store: where it is kept.
        authority_sha256: fingerprint of the authority's certificate.
        addresses: where nodes can be asked.
        expires_s: how long it is good, ``EXPIRES_S_MIN`` to ``EXPIRES_S_MAX``.
        clock: time.
        ids: for the secret.
    """
    if not EXPIRES_S_MIN <= expires_s <= EXPIRES_S_MAX:
        raise InvitationInvalid(f"an invitation is good for {EXPIRES_S_MIN} to {EXPIRES_S_MAX} s, not for {expires_s}")
    secret, now_ms = ids.draw(SECRET_BYTES), clock.wall_ms()
    key = invitation_key(secret)
    made = StoredInvitation(1, now_ms, now_ms + expires_s * 1000)
    writes: list[Write] = [Put(key, encode(made)), *(Delete(old) for old in await _old(store, clock))]
    outcome = await land(
        store, writes, [IsVersion(key, None)], clock=clock, ids=ids, deadline=clock.monotonic_s() + _STORE_S_MAX
    )
    assert not isinstance(outcome, Conflict), "256 random bits were drawn twice"
    return Invitation(authority_sha256, tuple(addresses), secret)


async def _old(store: Store, clock: Clock) -> list[Key]:
    """Returns invitations that ended so long ago that nobody needs to be told."""
    deadline = clock.monotonic_s() + _STORE_S_MAX
    page = await store.query(SPACE, PARTITION, INVITATIONS, limit=1_000, deadline=deadline)
    before_ms = clock.wall_ms() - _KEPT_MS
    return [
        Key(SPACE, PARTITION, record.sort)
        for record in page.records
        if decode_invitation(record).expires_ms < before_ms
    ][:_SWEPT_MAX]
