"""A cluster that asks who is there: TLS with client certificates, users with passwords.

    secured = secure("127.0.8")
    with use(secured.spec) as nodes: ...

The authority, the nodes' certificates and a client's are made anew for each cluster, and are good for a day. A first
start makes the user ``cassandra`` with the same word as password, as Cassandra does everywhere.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tools.cluster.spec import Spec

_SETTINGS = """\
authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
client_encryption_options:
  enabled: true
  optional: false
  require_client_auth: true
  ssl_context_factory:
    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory
  keystore: $folder/../security/nodes.pem
  truststore: $folder/../security/authority.pem
  accepted_protocols: [TLSv1.2, TLSv1.3]
"""


@dataclass(frozen=True)
class Secured:
    """A secured cluster, and what a client needs to be let in.

    Args:
        spec: the cluster.
        authority: PEM file of the certificate that signed all others.
        certificate: PEM file of a client's certificate.
        key: PEM file of that client's key.
        stranger_certificate: PEM file of a certificate that the nodes do not trust.
        stranger_key: PEM file of its key.
        user: who may do everything.
        password: the user's.
    """

    spec: Spec
    authority: Path
    certificate: Path
    key: Path
    stranger_certificate: Path
    stranger_key: Path
    user: str = "cassandra"
    password: str = "cassandra"


@dataclass(frozen=True)
class _Issuer:
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey


def secure(network: str, nodes: int = 1) -> Secured:
    """Makes keys and certificates for a cluster that is not running yet.

    Args:
        network: where it will run.
        nodes: how many nodes.
    """
    spec = Spec(network, nodes, settings=_SETTINGS, is_encrypted=True)
    folder = spec.folder / "security"
    folder.mkdir(parents=True, exist_ok=True)
    ours, other = _authority("Cassandra on this machine"), _authority("somebody else")
    (folder / "authority.pem").write_bytes(_pem(ours.certificate))
    nodes_key, nodes_certificate = _issue(ours, "cassandra", spec.addresses)
    _write_private(folder / "nodes.pem", nodes_key + nodes_certificate)
    for name, issuer in (("client", ours), ("stranger", other)):
        key, certificate = _issue(issuer, name, ())
        _write_private(folder / f"{name}.key", key)
        (folder / f"{name}.pem").write_bytes(certificate)
    return Secured(
        spec,
        authority=folder / "authority.pem",
        certificate=folder / "client.pem",
        key=folder / "client.key",
        stranger_certificate=folder / "stranger.pem",
        stranger_key=folder / "stranger.key",
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write_private(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)


def _builder(name: str, issuer: str, key: rsa.RSAPublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
    )


def _authority(name: str) -> _Issuer:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _Issuer(certificate, key)


def _issue(issuer: _Issuer, name: str, addresses: tuple[str, ...]) -> tuple[bytes, bytes]:
    """Makes a key and a certificate, both as PEM; addresses are those that a server answers at."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    authority = issuer.certificate.subject.rfc4514_string().removeprefix("CN=")
    builder = _builder(name, authority, key.public_key()).add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
    )
    if addresses:
        names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, _pem(builder.sign(issuer.key, hashes.SHA256()))
