"""Lets a machine with an invitation become a node: what both sides say, and the side of the node that is asked.

Two calls of a stranger, over TLS (see ``joining`` for the other side):

1. ``join.authority`` gives the certificate of the cluster's authority, which is no secret.
2. ``join.enrol`` takes the invitation's secret and a signing request (RFC 2986), and gives a certificate and what every
   node has. The invitation is used and the node made in one commit, so that of many that come at once with the same
   token one gets in. The same machine may ask again with the same key where the answer was lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct
from msgspec.structs import replace

from tenet.mesh.channel import NodeId
from tenet.mesh.cluster import Cluster, new_node
from tenet.mesh.errors import (
    ClockSkewed,
    InvitationExpired,
    InvitationInvalid,
    InvitationUsed,
    InvitationWithdrawn,
    MeshError,
    NodeExists,
    NodeRemoved,
)
from tenet.mesh.records import (
    StoredInvitation,
    StoredNode,
    checked_name,
    decode_invitation,
    decode_node,
    encode,
    invitation_key,
    node_key,
)
from tenet.mesh.registry import Registry
from tenet.store.contract import IsVersion, Put, Record
from tenet.wire.issuing import pem_certificate

if TYPE_CHECKING:
    from tenet.base.clock import Clock

AUTHORITY: Final = "join.authority"
ENROL: Final = "join.enrol"
#: How far apart the clocks of a cluster's machines may be.
CLOCK_SKEW_S_MAX: Final = 30


class AuthorityShown(Struct, frozen=True):
    """Answers ``join.authority``.

    Args:
        authority: certificate of the cluster's authority, PEM.
        wall_ms: the node's time, milliseconds since 1970.
    """

    authority: bytes
    wall_ms: int


class Enrolment(Struct, frozen=True):
    """Asks for a certificate.

    Args:
        secret: of the invitation.
        node: the id that the machine wants to have.
        request: signing request, PEM.
        wall_ms: the machine's time, milliseconds since 1970.
    """

    secret: bytes
    node: str
    request: bytes
    wall_ms: int

    def __repr__(self) -> str:
        return f"Enrolment({self.node!r})"


class Enrolled(Struct, frozen=True):
    """What a node has beside its private key.

    Args:
        certificate: its own, PEM.
        authority: of the cluster's authority, PEM.
        master_keys: content of the file of the master key.
        shared: contents of files that are the same on every node, by name.
    """

    certificate: bytes
    authority: bytes
    master_keys: bytes
    shared: dict[str, bytes]

    def __repr__(self) -> str:
        return f"Enrolled(shared={sorted(self.shared)})"


class Enroller:
    """Answers those that want to join.

    Args:
        cluster: what they want to join.
        registry: of its nodes.
        lifetime_s: how long their first certificate is good.
        clock: time.
    """

    def __init__(self, cluster: Cluster, registry: Registry, lifetime_s: float, *, clock: Clock) -> None:
        self._cluster = cluster
        self._registry = registry
        self._lifetime_s = lifetime_s
        self._clock = clock

    async def authority(self, _: NodeId, __: bytes) -> bytes:
        """Answers ``join.authority``."""
        shown = AuthorityShown(pem_certificate(self._cluster.authority.certificate), self._clock.wall_ms())
        return msgspec.json.encode(shown)

    async def enrol(self, _: NodeId, body: bytes) -> bytes:
        """Answers ``join.enrol``: one read and one commit.

        Raises:
            InvitationInvalid: there is no such invitation, or what was asked cannot be read.
            InvitationExpired: its time is up.
            InvitationUsed: another machine has used it.
            InvitationWithdrawn: an administrator has withdrawn it.
            NodeExists: another node has this id.
            ClockSkewed: the machine's clock differs by more than ``CLOCK_SKEW_S_MAX``.
        """
        try:
            asked = msgspec.json.decode(body, type=Enrolment)
        except msgspec.DecodeError as error:
            raise InvitationInvalid(f"what was asked cannot be read: {error}") from None
        node, public_key = checked_name(asked.node), _public_key(asked.request)
        self._check_clock(asked.wall_ms)
        await self._use(asked.secret, node, public_key)
        certificate = self._cluster.certify(node, public_key, self._lifetime_s)
        enrolled = Enrolled(
            pem_certificate(certificate),
            pem_certificate(self._cluster.authority.certificate),
            self._cluster.master.exported(),
            dict(self._cluster.shared),
        )
        return msgspec.json.encode(enrolled)

    def _check_clock(self, wall_ms: int) -> None:
        skew_s = (wall_ms - self._clock.wall_ms()) / 1000
        if abs(skew_s) > CLOCK_SKEW_S_MAX:
            raise ClockSkewed(skew_text(skew_s))

    async def _use(self, secret: bytes, node: NodeId, public_key: ec.EllipticCurvePublicKey) -> None:
        """Uses an invitation for a node, at once with making the node."""
        invited_at, node_at = invitation_key(secret), node_key(node)
        made, deadline = new_node(public_key, self._clock), self._registry.deadline()
        invited, found = await self._cluster.store.get([invited_at, node_at], deadline=deadline)
        while True:
            invitation = self._good(invited, made.key_sha256)
            if found is not None:
                if _is_same(found, made) and invitation.used_by == node:
                    return
                raise NodeExists(f"there is, or was, a node {node} in this cluster; choose another with --name")
            if invitation.used_by:
                raise InvitationUsed(f"the invitation was used by node {invitation.used_by} already")
            used = replace(invitation, used_by=node, used_key_sha256=made.key_sha256)
            assert invited is not None
            conflict = await self._registry.land(
                [Put(invited_at, encode(used)), Put(node_at, encode(made))],
                [IsVersion(invited_at, invited.version), IsVersion(node_at, None)],
                deadline=deadline,
            )
            if conflict is None:
                return
            invited, found = await self._cluster.store.get([invited_at, node_at], deadline=deadline)

    def _good(self, record: Record | None, key: str) -> StoredInvitation:
        """Returns an invitation that may be used by the holder of a key."""
        if record is None:
            raise InvitationInvalid(
                "this cluster knows no such invitation: it ended more than a day ago, or is of another cluster"
            )
        invitation = decode_invitation(record)
        if invitation.used_by and invitation.used_key_sha256 != key:
            raise InvitationUsed(f"the invitation was used by node {invitation.used_by} already; it is good for one")
        if invitation.withdrawn_ms:
            raise InvitationWithdrawn("the invitation was withdrawn; ask whoever gave it to you for another one")
        late_s = (self._clock.wall_ms() - invitation.expires_ms) / 1000
        # Whoever has used it in time may go on after an interruption for as long as it is kept.
        if late_s >= 0 and not invitation.used_by:
            raise InvitationExpired(f"the invitation's time was up {late_s:.0f} s ago; print another one")
        return invitation


def skew_text(skew_s: float) -> str:
    """Says of a machine's clock how far it is off.

    Args:
        skew_s: how far ahead of the cluster's it is.
    """
    return (
        f"this machine's clock is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the cluster's; "
        f"{CLOCK_SKEW_S_MAX} s are allowed. Set it, with NTP for instance, then try again"
    )


def _is_same(record: Record, made: StoredNode) -> bool:
    """Tells whether a node was made for the same key, by an earlier try whose answer was lost."""
    stored = decode_node(record)
    if stored.key_sha256 != made.key_sha256:
        return False
    if stored.state == "removed":
        raise NodeRemoved(
            "this node was removed from the cluster; it joins again under another name and with a new key"
        )
    return True


def _public_key(request: bytes) -> ec.EllipticCurvePublicKey:
    """Returns the public key of a signing request, whose holder has signed it.

    Raises:
        MeshError: it is none of ours.
    """
    try:
        read = x509.load_pem_x509_csr(request)
        key = read.public_key()
        is_ours = read.is_signature_valid and isinstance(key, ec.EllipticCurvePublicKey)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise MeshError(f"the signing request cannot be read: {error}") from None
    if not is_ours or not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise MeshError("the signing request is not signed by a key for ECDSA with P-256")
    return key
