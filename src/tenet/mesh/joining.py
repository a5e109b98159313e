"""Becomes a node of a cluster, by an invitation: the side of the machine that asks.

Whom to believe, the invitation says. First the certificate of the cluster's authority is fetched over a connection that
nobody vouches for, and must have the invitation's fingerprint. Everything else is said over a second connection, in
whose handshake the other side has shown a certificate of that authority. The private key never leaves the machine.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tenet.base.clock import Clock
from tenet.mesh.channel import Handler, NodeId, Receiver
from tenet.mesh.credentials import JOINING, CredentialFiles, ensure_key, joining_context, keep, node_of
from tenet.mesh.dialling import SERVER_NAME
from tenet.mesh.enrolment import AUTHORITY, ENROL, AuthorityShown, Enrolled, Enrolment, skew_text
from tenet.mesh.errors import (
    CallLost,
    CallRefused,
    ClockSkewed,
    MeshError,
    PeerUnreachable,
    WrongAuthority,
    WrongHost,
)
from tenet.mesh.frames import Hello
from tenet.mesh.invitations import Invitation
from tenet.mesh.link import Link, LinkLimits, Proof
from tenet.wire.issuing import fingerprint, is_signed_by

Content = TypeVar("Content")

_CONNECT_S: Final = 5.0
_ANSWER_S: Final = 15.0
#: What OpenSSL says of a certificate that is not good yet, or no more (``X509_V_ERR_CERT_…``, verify(1)).
_NOT_YET: Final = 9
_NO_MORE: Final = 10


async def join(address: str, invitation: Invitation, node: NodeId, files: CredentialFiles, clock: Clock) -> Enrolled:
    """Becomes a node; its private key, its certificate and the authority's are in their files afterwards.

    It may be repeated after a crash or a lost answer, with the same key.

    Args:
        address: ``HOST:PORT`` of any node of the cluster.
        invitation: good and not used.
        node: the id that this machine is to have.
        files: where they are to lie; the directory exists.
        clock: time.

    Returns:
        What every node has.

    Raises:
        WrongHost: there is no node at the address.
        WrongAuthority: there is one, of another cluster than the invitation.
        ClockSkewed: this machine's clock is wrong, or all others are.
        MeshError: the node refuses, and says why.
    """
    joiner = _Joiner(clock)
    shown = await joiner.ask(address, None, AUTHORITY, b"", AuthorityShown)
    authority = _authority(shown.authority, invitation, address)
    keep(files.authority, shown.authority)
    key = ensure_key(files.private_key)
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)]))
        .sign(key, hashes.SHA256())
    )
    asked = Enrolment(invitation.secret, node, request.public_bytes(serialization.Encoding.PEM), clock.wall_ms())
    try:
        enrolled = await joiner.ask(address, files.authority, ENROL, msgspec.json.encode(asked), Enrolled)
    except _NotBelieved as error:
        raise _explained(error, shown.wall_ms - clock.wall_ms(), address) from error
    _check(enrolled, authority, node, key)
    keep(files.certificate, enrolled.certificate)
    return enrolled


class _NotBelieved(MeshError):
    """The other side's certificate is not good.

    Args:
        code: OpenSSL's.
        message: what is wrong.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.verify_code = code


class _Joiner:
    """Implements ``link.Owner`` for one that is no node yet.

    Args:
        clock: time.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.limits = LinkLimits(stranger_s=_CONNECT_S + _ANSWER_S)

    async def ask(self, address: str, believed: Path | None, kind: str, body: bytes, answer: type[Content]) -> Content:
        """Connects, asks one thing, and returns the answer.

        Raises:
            WrongHost: nobody answers, or nobody of ours.
            _NotBelieved: whoever answers has no good certificate.
            MeshError: it refuses.
        """
        link = Link(self, is_joining=True)
        try:
            await self._connect(link, address, joining_context(believed))
            return msgspec.json.decode(await link.call(kind, body, _ANSWER_S), type=answer)
        except (CallRefused, CallLost, PeerUnreachable, msgspec.DecodeError) as error:
            raise WrongHost(f"{address} does not answer as a node of Tenet does: {error}") from error
        finally:
            link.hang_up("asked")

    async def _connect(self, link: Link, address: str, context: ssl.SSLContext) -> None:
        host, _, port = address.rpartition(":")
        try:
            async with asyncio.timeout(2 * _CONNECT_S):
                await asyncio.get_running_loop().create_connection(
                    lambda: link,
                    host.strip("[]"),
                    int(port),
                    ssl=context,
                    server_hostname=SERVER_NAME,
                    ssl_handshake_timeout=_CONNECT_S,
                )
        except ssl.SSLCertVerificationError as error:
            raise _NotBelieved(error.verify_code, error.verify_message) from error
        except TimeoutError:
            raise WrongHost(f"{address} does not answer within {2 * _CONNECT_S:g} s") from None
        except ssl.SSLError as error:
            raise WrongHost(f"{address} does not speak TLS 1.3 as a node of Tenet does: {error.reason}") from error
        except (OSError, OverflowError) as error:
            raise WrongHost(f"{address} cannot be reached: {error}") from error

    def proof(self, secured: ssl.SSLObject) -> Proof:
        """Finds out that a node answers; who it is does not matter."""
        if secured.selected_alpn_protocol() != JOINING:
            raise WrongHost("it is no address that nodes talk to each other at (its `mesh.listen`)")
        shown = secured.getpeercert(binary_form=True)
        assert shown is not None
        if node_of(x509.load_der_x509_certificate(shown)) is None:
            raise WrongHost("its certificate is not a node's")
        return Proof(None, "", 0, self.clock.monotonic_s() + self.limits.stranger_s)

    def hello(self, attempt: int) -> Hello:
        """Never asked of a stranger."""
        raise AssertionError(attempt)

    async def admit(self, link: Link) -> str:
        """Never asked of a stranger."""
        raise AssertionError(link)

    def greeted(self, link: Link) -> None:
        """Never told to a stranger."""
        raise AssertionError(link)

    def ended(self, link: Link) -> None:
        """Nothing: whoever asks is told."""

    def handler(self, kind: str, *, of_stranger: bool) -> Handler | None:  # noqa: ARG002 - as the protocol has it
        """Answers nothing."""
        return None

    def receiver(self, kind: str) -> Receiver | None:  # noqa: ARG002 - as the protocol has it
        """Takes no notices."""
        return None


def _authority(pem: bytes, invitation: Invitation, address: str) -> x509.Certificate:
    """Returns the authority's certificate, which is the one that the invitation tells of."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise WrongHost(f"{address} does not answer as a node of Tenet does: {error}") from error
    if fingerprint(certificate) != invitation.authority_sha256:
        raise WrongAuthority(
            f"{address} belongs to another cluster than the invitation, which names {', '.join(invitation.addresses)}"
            f" (its authority is {fingerprint(certificate)}, the invitation's {invitation.authority_sha256}), or has"
            " exchanged its authority since: print another invitation"
        )
    return certificate


def _check(enrolled: Enrolled, authority: x509.Certificate, node: NodeId, key: ec.EllipticCurvePrivateKey) -> None:
    """Refuses a certificate that is not for this node, of this authority."""
    certificate = x509.load_pem_x509_certificate(enrolled.certificate)
    is_ours = certificate.public_key() == key.public_key() and node_of(certificate) == node
    if not is_ours or not is_signed_by(certificate, authority):
        raise WrongAuthority("the certificate that was given is not for this node, or not of the cluster's authority")


def _explained(error: _NotBelieved, ahead_ms: int, address: str) -> MeshError:
    """Returns why a node's certificate is not believed though its authority is.

    Args:
        error: what OpenSSL says.
        ahead_ms: how far the node says that it is ahead; nobody vouches for that.
        address: whom it is about.
    """
    if error.verify_code in {_NOT_YET, _NO_MORE}:
        return ClockSkewed(
            f"the certificate of {address} is not good now by this machine's clock: {skew_text(-ahead_ms / 1000)}"
        )
    return WrongAuthority(f"{address} shows a certificate that is not of the cluster's authority: {error.message}")
