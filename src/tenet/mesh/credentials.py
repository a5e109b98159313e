"""A node's own certificate, and the settings of the handshakes in which nodes show theirs to each other.

Mutual TLS 1.3 (RFC 8446): both sides show a certificate of the cluster's authority. A node's certificate is made out to
``tenet:node:ID`` and good for both sides of a connection. One that was renewed counts from the next handshake on.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec import Struct

from tenet.mesh.channel import NodeId
from tenet.mesh.errors import IdentityUnusable, MeshError
from tenet.mesh.records import NODE_NAME
from tenet.wire.errors import TlsUnusable
from tenet.wire.issuing import (
    Wanted,
    fingerprint,
    is_signed_by,
    load_key,
    names_of,
    new_key,
    pem_key,
    read_pair,
    write_public,
)
from tenet.wire.master import write_private
from tenet.wire.tls import load

#: What nodes speak to each other, best first; and what one speaks that has no certificate yet.
PROTOCOLS: Final = {"tenet-mesh/1": 1}
JOINING: Final = "tenet-join/1"

_URI: Final = "tenet:node:"


class CredentialFiles(Struct, frozen=True):
    """Where a node's credentials lie, all in PEM.

    Args:
        authority: the certificate of the present authority, which nodes believe.
        certificate: the node's.
        private_key: its private key, which never leaves it.
        others: those of further authorities that nodes believe while one takes the other's place; absent else.
    """

    authority: Path
    certificate: Path
    private_key: Path
    others: Path

    @classmethod
    def within(cls, directory: Path) -> CredentialFiles:
        """Returns where they lie in a directory."""
        return cls(
            directory / "cluster-ca.pem",
            directory / "node.pem",
            directory / "node-key.pem",
            directory / "cluster-ca-other.pem",
        )


class Credentials:
    """What a node shows others, and whom it believes.

    Args:
        node: its id.
        files: where its certificate and its key lie.
        protocols: what it speaks, ALPN name to version, best first.

    Raises:
        IdentityUnusable: a file is missing or damaged, or the certificate is another node's.
    """

    def __init__(self, node: NodeId, files: CredentialFiles, protocols: dict[str, int] | None = None) -> None:
        self.node = node
        self.files = files
        self.protocols = protocols or PROTOCOLS
        self.take_over()

    def take_over(self) -> None:
        """Shows the certificate that the file holds now, and believes whom the file says, from the next handshake on.

        Raises:
            IdentityUnusable: a file cannot be used; everything stays as it was.
        """
        # A context that believes somebody does so for good: another one takes its place.
        server = _context(ssl.PROTOCOL_TLS_SERVER, [*self.protocols, JOINING])
        # Strangers are let in to join; whoever shows a certificate has to show a good one.
        server.verify_mode = ssl.CERT_OPTIONAL
        server.num_tickets = 0
        client = _context(ssl.PROTOCOL_TLS_CLIENT, [*self.protocols])
        trusted = [
            one for one in (self.files.authority, self.files.others) if one == self.files.authority or one.exists()
        ]
        authorities = {name: one for file in trusted for name, one in _authorities(file).items()}
        try:
            found = read_pair(self.files.certificate, self.files.private_key, "The next start makes it anew")
            if found is None or node_of(found[0]) != self.node:
                raise IdentityUnusable(f"{self.files.certificate} is not the certificate of node {self.node}")
            for context in (server, client):
                for file in trusted:
                    _trust(context, file)
                load(context, self.files.certificate, self.files.private_key)
        except TlsUnusable as error:
            raise IdentityUnusable(f"the certificate of this node cannot be used: {error.message}") from error
        self.server, self.client, self.certificate, self.authorities = server, client, found[0], authorities
        #: The fingerprint of the authority that its certificate is of.
        self.signed_by = self.signer_of(found[0])

    @property
    def present(self) -> str:
        """The fingerprint of the authority that certificates are to be of."""
        return next(iter(self.authorities))

    def signer_of(self, certificate: x509.Certificate) -> str:
        """Returns the fingerprint of the authority that a certificate is of; "" where none that is believed."""
        signers = (name for name, one in self.authorities.items() if is_signed_by(certificate, one))
        return next(signers, "")

    @property
    def not_after(self) -> datetime:
        """When the certificate ends."""
        return self.certificate.not_valid_after_utc


def joining_context(authority: Path | None) -> ssl.SSLContext:
    """Returns the settings of a stranger's handshakes.

    Args:
        authority: whom to believe; None for nobody, as long as all that is asked for is the authority's certificate,
            whose fingerprint the invitation tells.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, [JOINING])
    if authority is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        _trust(context, authority)
    return context


def wanted_of(node: NodeId, lifetime_s: float) -> Wanted:
    """Returns what a node's certificate says.

    Args:
        node: whom it is made out to.
        lifetime_s: how long it is good for.
    """
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return Wanted(node, [x509.UniformResourceIdentifier(_URI + node)], usages, timedelta(seconds=lifetime_s))


def node_of(certificate: x509.Certificate) -> NodeId | None:
    """Returns the node that a certificate is made out to; None where it is none of a node."""
    found = [name.removeprefix(_URI) for name in names_of(certificate) if name.startswith(_URI)]
    return NodeId(found[0]) if len(found) == 1 and NODE_NAME.fullmatch(found[0]) else None


def key_sha256(public_key: ec.EllipticCurvePublicKey) -> str:
    """Returns the fingerprint of a public key, 64 hexadecimal digits."""
    encoded = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()


def fingerprint_of(certificate: x509.Certificate) -> str:
    """Returns the fingerprint of the public key that a certificate is for; "" where it is of another kind than ours."""
    key = certificate.public_key()
    return key_sha256(key) if isinstance(key, ec.EllipticCurvePublicKey) else ""


def ensure_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Returns the private key of a file, which is made where there is none; durable when it returns.

    Raises:
        IdentityUnusable: it cannot be read or made.
    """
    try:
        if path.exists():
            found = load_key(path.read_bytes())
            if found is None:
                raise IdentityUnusable(f"{path} is no private key of ours")
            return found
        made = new_key()
        write_private(path, pem_key(made))
    except (OSError, ValueError) as error:
        raise IdentityUnusable(f"the private key {path} cannot be read or made: {error}") from error
    return made


def keep(path: Path, content: bytes) -> None:
    """Writes a certificate; durable when it returns.

    Raises:
        IdentityUnusable: it cannot be written.
    """
    try:
        write_public(path, content)
    except OSError as error:
        raise IdentityUnusable(f"{path} cannot be written: {error.strerror}") from error


def _context(purpose: int, protocols: Sequence[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(purpose)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(list(protocols))
    # A node is known by the id in its certificate, whatever address it is reached at.
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def _trust(context: ssl.SSLContext, authority: Path) -> None:
    try:
        context.load_verify_locations(cafile=authority)
    except (OSError, ValueError) as error:
        raise IdentityUnusable(
            f"the certificate {authority} of the cluster's authority is unusable: {error}"
        ) from error


def _authorities(file: Path) -> dict[str, x509.Certificate]:
    """Returns the authorities of a file by their fingerprints, in its order."""
    try:
        return {fingerprint(one): one for one in x509.load_pem_x509_certificates(file.read_bytes())}
    except (OSError, ValueError) as error:
        raise IdentityUnusable(f"the certificate {file} of the cluster's authority is unusable: {error}") from error


def version_of(secured: ssl.SSLObject, protocols: dict[str, int]) -> int:
    """Returns which version both sides have agreed upon in a handshake; 0 for that of joining.

    Raises:
        MeshError: none.
    """
    agreed = secured.selected_alpn_protocol()
    if agreed == JOINING:
        return 0
    if agreed not in protocols:
        raise MeshError(f"it speaks none of {', '.join(protocols)}")
    return protocols[agreed]
