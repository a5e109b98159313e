"""Invitations: one-time tokens with which a machine becomes a node.

A token tells whom to believe (the fingerprint of the authority's certificate), where to ask, and a secret of 256 random
bits. The store holds the secret's SHA-256 alone, with the time until when it is good. The first digits of that hash
name the invitation to an administrator, who can have it withdrawn as long as nobody has used it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tenet.base.clock import Clock
from tenet.base.ids import Ids
from tenet.mesh.errors import InvitationInvalid, InvitationNotFound, InvitationUsed
from tenet.mesh.records import (
    INVITATION_ID_CHARS,
    INVITATIONS,
    PARTITION,
    SPACE,
    StoredInvitation,
    decode_invitation,
    encode,
    invitation_id,
    invitation_key,
    invitations_named,
)
from tenet.store.contract import Conflict, Delete, IsVersion, Key, Put, Range, Record, Store, Write
from tenet.store.landing import land

SECRET_BYTES: Final = 32
EXPIRES_S_MIN: Final = 10
EXPIRES_S_MAX: Final = 30 * 24 * 3600
#: How long after its end an invitation is kept, so that who comes too late is told so.
_KEPT_MS: Final = 24 * 3600 * 1000
#: How many old ones a new one sweeps away.
_SWEPT_MAX: Final = 50
_PAGE_RECORDS: Final = 1_000
_ID: Final = re.compile(rf"[0-9a-f]{{{INVITATION_ID_CHARS}}}")
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

    @property
    def name(self) -> str:
        """How it is named to an administrator: 16 hexadecimal digits, which are no secret."""
        return invitation_id(invitation_key(self.secret).sort)

    def token(self) -> str:
        """Returns the token, one line of text."""
        return _PREFIX + base64.urlsafe_b64encode(msgspec.json.encode(self)).decode("ascii").rstrip("=")


class InvitationInfo(Struct, frozen=True):
    """An invitation that is good, as an administrator sees it.

    Args:
        name: 16 hexadecimal digits.
        made_ms: when it was made, milliseconds since 1970.
        expires_ms: until when it is good.
        made_at: the node at which it was made; empty where that is not known.
        authority_sha256: fingerprint of the authority that it tells a machine to believe; empty likewise.
    """

    name: str
    made_ms: int
    expires_ms: int
    made_at: str
    authority_sha256: str


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
    store: Store,
    authority_sha256: str,
    addresses: Sequence[str],
    expires_s: int,
    *,
    made_at: str = "",
    unchanged: IsVersion,
    clock: Clock,
    ids: Ids,
) -> Invitation | None:
    """Makes an invitation, and sweeps away those that ended long ago: one query and one commit.

    An exchange of the authority withdraws all invitations that were made before it; so none may come behind it that
    names the former one.

    Args:
        store: where it is kept.
        authority_sha256: fingerprint of the authority's certificate.
        addresses: where nodes can be asked.
        expires_s: how long it is good, ``EXPIRES_S_MIN`` to ``EXPIRES_S_MAX``.
        made_at: the node that makes it; empty where none does.
        unchanged: checks that the authority is still the one that nodes agree upon.
        clock: time.
        ids: for the secret.

    Returns:
        The invitation; None where something else is agreed upon by now, and nothing was written.
    """
    if not EXPIRES_S_MIN <= expires_s <= EXPIRES_S_MAX:
        raise InvitationInvalid(f"an invitation is good for {EXPIRES_S_MIN} to {EXPIRES_S_MAX} s, not for {expires_s}")
    secret, now_ms = ids.draw(SECRET_BYTES), clock.wall_ms()
    key = invitation_key(secret)
    made = StoredInvitation(1, now_ms, now_ms + expires_s * 1000, made_at=made_at, authority_sha256=authority_sha256)
    writes: list[Write] = [Put(key, encode(made)), *(Delete(old) for old in await _old(store, clock))]
    deadline = clock.monotonic_s() + _STORE_S_MAX
    outcome = await land(store, writes, [unchanged, IsVersion(key, None)], clock=clock, ids=ids, deadline=deadline)
    if isinstance(outcome, Conflict):
        assert list(outcome.failed) == [0], "256 random bits were drawn twice"
        return None
    return Invitation(authority_sha256, tuple(addresses), secret)


async def outstanding(store: Store, *, clock: Clock) -> list[InvitationInfo]:
    """Returns the invitations with which a machine can join now, those first whose time is up first: one query a page.

    Args:
        store: where they are kept.
        clock: time.
    """
    now_ms = clock.wall_ms()
    found = [
        InvitationInfo(
            invitation_id(record.sort), stored.made_ms, stored.expires_ms, stored.made_at, stored.authority_sha256
        )
        async for record, stored in _all(store, clock)
        if _is_open(stored) and now_ms < stored.expires_ms
    ]
    return sorted(found, key=lambda one: (one.expires_ms, one.name))


async def withdraw(store: Store, name: str, *, clock: Clock, ids: Ids) -> None:
    """Makes an invitation good for nobody: one query and one commit; none where it was withdrawn before.

    Its use is a commit that checks the same record, so that one of the two comes first, and the other learns of it.

    Args:
        store: where it is kept.
        name: its own, as ``outstanding`` shows it.
        clock: time.
        ids: for the commit.

    Raises:
        InvitationNotFound: there is none of this name.
        InvitationUsed: a node has used it.
    """
    if not _ID.fullmatch(name):
        raise InvitationNotFound(
            f"{name!r} is no invitation's id: that has {INVITATION_ID_CHARS} of 0-9 and a-f, as `tenet node"
            " invitations` shows them; the token itself is not needed"
        )
    deadline = clock.monotonic_s() + _STORE_S_MAX
    while True:
        page = await store.query(SPACE, PARTITION, invitations_named(name), limit=1, deadline=deadline)
        if not page.records:
            raise InvitationNotFound(f"this cluster has no invitation {name}, or it ended more than a day ago")
        (record,) = page.records
        stored = decode_invitation(record)
        if stored.used_by:
            raise InvitationUsed(
                f"the invitation {name} was used by node {stored.used_by} already; `tenet node remove {stored.used_by}`"
                " shuts that node out"
            )
        if stored.withdrawn_ms:
            return
        put, check = _withdrawal(record, stored, clock)
        if not isinstance(await land(store, [put], [check], clock=clock, ids=ids, deadline=deadline), Conflict):
            return


def _withdrawal(record: Record, stored: StoredInvitation, clock: Clock) -> tuple[Put, IsVersion]:
    key, now_ms = Key(SPACE, PARTITION, record.sort), clock.wall_ms()
    ended = replace(stored, withdrawn_ms=now_ms, expires_ms=min(stored.expires_ms, now_ms))
    return Put(key, encode(ended)), IsVersion(key, record.version)


def _is_open(stored: StoredInvitation) -> bool:
    return not (stored.used_by or stored.withdrawn_ms)


async def _all(store: Store, clock: Clock) -> AsyncIterator[tuple[Record, StoredInvitation]]:
    within, more = INVITATIONS, True
    while more:
        deadline = clock.monotonic_s() + _STORE_S_MAX
        page = await store.query(SPACE, PARTITION, within, limit=_PAGE_RECORDS, deadline=deadline)
        for record in page.records:
            yield record, decode_invitation(record)
        more = page.more
        if page.records:
            within = Range(page.records[-1].sort + b"\x00", INVITATIONS.upper)


async def _old(store: Store, clock: Clock) -> list[Key]:
    """Returns invitations that ended so long ago that nobody needs to be told."""
    deadline = clock.monotonic_s() + _STORE_S_MAX
    page = await store.query(SPACE, PARTITION, INVITATIONS, limit=_PAGE_RECORDS, deadline=deadline)
    before_ms = clock.wall_ms() - _KEPT_MS
    return [
        Key(SPACE, PARTITION, record.sort)
        for record in page.records
        if decode_invitation(record).expires_ms < before_ms
    ][:_SWEPT_MAX]
