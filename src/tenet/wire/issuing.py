"""X.509 certificates: an authority of one's own, and what it signs. For the edge's clients, and for nodes.

Profile: RFC 5280, ECDSA with P-256 and SHA-256.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct

from tenet.base.clock import Clock
from tenet.base.ids import Ids
from tenet.wire.errors import TlsUnusable
from tenet.wire.master import write_private

Parsed = TypeVar("Parsed")

AUTHORITY_DAYS: Final = 3650
#: How far behind a client's clock may be.
_BACKDATED: Final = timedelta(hours=1)

_SERIAL_BYTES: Final = 16
_COMMON_NAME_CHARS_MAX: Final = 64


class Authority(Struct, frozen=True):
    """A certificate authority.

    Args:
        certificate: signed by itself.
        key: its private key.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def sha256(self) -> str:
        """The fingerprint of its certificate: SHA-256 of its DER form, 64 hexadecimal digits."""
        return fingerprint(self.certificate)

    def __repr__(self) -> str:
        return f"Authority({self.sha256!r})"


class Wanted(Struct, frozen=True):
    """What a certificate is made out to, and for.

    Args:
        common_name: for people; cut after 64 characters.
        names: what it is made out to, at least one.
        usages: of ``ExtendedKeyUsageOID``.
        lifetime: from now.
    """

    common_name: str
    names: Sequence[x509.GeneralName]
    usages: Sequence[x509.ObjectIdentifier]
    lifetime: timedelta


class Issuer:
    """Makes authorities and certificates.

    Args:
        clock: time.
        ids: for serial numbers.
    """

    def __init__(self, *, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids

    def now(self) -> datetime:
        """Returns the time that certificates are judged by, in whole seconds."""
        return datetime.fromtimestamp(self._clock.wall_ms() // 1000, UTC)

    def new_authority(self, common_name: str) -> Authority:
        """Returns an authority that signs certificates of others, but of no further authorities.

        Args:
            common_name: for people; random digits are put behind it.
        """
        key = new_key()
        name = _name(f"{common_name} {self._ids.draw(4).hex()}")
        certificate = (
            self._begin(name, name, key.public_key(), timedelta(days=AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return Authority(certificate, key)

    def issue(self, authority: Authority, public_key: ec.EllipticCurvePublicKey, wanted: Wanted) -> x509.Certificate:
        """Returns a certificate that the authority signs.

        Args:
            authority: who signs.
            public_key: whose holder the certificate is for.
            wanted: what it says.
        """
        issuer = authority.certificate.subject
        return (
            self._begin(_name(wanted.common_name), issuer, public_key, wanted.lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(wanted.usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(wanted.names), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
            )
            .sign(authority.key, hashes.SHA256())
        )

    def _begin(
        self, subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, lifetime: timedelta
    ) -> x509.CertificateBuilder:
        now = self.now()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(int.from_bytes(self._ids.draw(_SERIAL_BYTES)) >> 1 or 1)
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + lifetime)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        )


def new_key() -> ec.EllipticCurvePrivateKey:
    """Returns a new private key."""
    return ec.generate_private_key(ec.SECP256R1())


def fingerprint(certificate: x509.Certificate) -> str:
    """Returns the SHA-256 of a certificate's DER form, 64 hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Tells whether an authority's key has signed a certificate; says nothing about its time or its use."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def server_identities(names: Sequence[str]) -> list[x509.GeneralName]:
    """Returns host names and addresses as a certificate holds them."""
    return [
        x509.DNSName(name) if address(name) is None else x509.IPAddress(ipaddress.ip_address(name)) for name in names
    ]


def names_of(certificate: x509.Certificate) -> list[str]:
    """Returns the host names, addresses and URIs that a certificate is made out to."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(one) for one in found.get_values_for_type(x509.IPAddress)]
    uris = found.get_values_for_type(x509.UniformResourceIdentifier)
    return [*found.get_values_for_type(x509.DNSName), *addresses, *uris]


def address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Returns the address that a text is, None for any other name."""
    try:
        return ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return None


def read_pair(
    certificate: Path, private_key: Path, remedy: str
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    """Returns a certificate and its key; None where one is missing or they are not of one making.

    Args:
        certificate: PEM file.
        private_key: PEM file.
        remedy: what to do about a damaged one.

    Raises:
        TlsUnusable: one of them is damaged, or cannot be read.
    """
    if not (certificate.exists() and private_key.exists()):
        return None
    read = _parsed(certificate, x509.load_pem_x509_certificate, remedy)
    key = _parsed(private_key, load_key, remedy)
    if key is None or read.public_key() != key.public_key():
        return None
    return read, key


def _parsed(file: Path, parse: Callable[[bytes], Parsed], remedy: str) -> Parsed:
    try:
        return parse(file.read_bytes())
    except OSError as error:
        raise TlsUnusable(
            f"{file} cannot be read: {error.strerror}. Give the user that runs Tenet the right to read it"
        ) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # A key that is encrypted is a TypeError.
        raise TlsUnusable(f"{file} is damaged: it holds no PEM that can be read. {remedy}") from error


def load_key(pem: bytes) -> ec.EllipticCurvePrivateKey | None:
    """Returns a private key from its PEM form; None where it is of another kind than ours.

    Raises:
        ValueError: it is damaged.
    """
    key = serialization.load_pem_private_key(pem, password=None)
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Returns a private key as PEM, PKCS #8, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def pem_certificate(certificate: x509.Certificate) -> bytes:
    """Returns a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def write_public(path: Path, content: bytes) -> None:
    """Replaces a file at once by one that everybody may read; durable when it returns."""
    write_private(path, content)
    path.chmod(0o644)


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tenet"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name[:_COMMON_NAME_CHARS_MAX]),
        ]
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
