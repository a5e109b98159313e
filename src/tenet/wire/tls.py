"""Encryption by default: a certificate authority of this installation's own, and the certificate of its server.

Both are made at the first start. The server's certificate is renewed when its end is near, or when the names that it is
made out to have changed; running servers take it over with their next handshake. Private keys can be read by their
owner alone.

Profile: RFC 5280, ECDSA with P-256 and SHA-256, TLS 1.2 or later (RFC 9325).
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from tenet.base.clock import Clock
from tenet.base.ids import Ids
from tenet.wire.errors import TlsUnusable
from tenet.wire.master import write_private

Parsed = TypeVar("Parsed")

AUTHORITY_DAYS: Final = 3650
#: Apple's platforms refuse server certificates of more than 825 days, and those of authorities that one adds oneself.
SERVER_DAYS: Final = 397
#: What is left of its time when a certificate is renewed.
RENEW_DAYS: Final = 30
#: How far behind a client's clock may be.
_BACKDATED: Final = timedelta(hours=1)

_SERIAL_BYTES: Final = 16
_COMMON_NAME_CHARS_MAX: Final = 64


class Files(Struct, frozen=True):
    """Where the parts lie, all in PEM.

    Args:
        authority: the authority's certificate, for clients to trust.
        authority_key: its private key.
        certificate: the server's certificate.
        private_key: its private key.
    """

    authority: Path
    authority_key: Path
    certificate: Path
    private_key: Path


class LocalAuthority:
    """The certificate authority of one installation.

    Args:
        directory: where its files lie; has to exist.
        clock: time.
        ids: for serial numbers.
    """

    def __init__(self, directory: Path, *, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids
        self.files = Files(
            authority=directory / "ca.pem",
            authority_key=directory / "ca-key.pem",
            certificate=directory / "server.pem",
            private_key=directory / "server-key.pem",
        )

    def ensure(self, names: Sequence[str]) -> bool:
        """Makes what is missing, too old, or made out to other names.

        Args:
            names: host names and addresses of the server, at least one.

        Returns:
            Whether the server's certificate is a new one.

        Raises:
            TlsUnusable: a file cannot be read or written, or is damaged; the message names it and says what to do.
        """
        try:
            authority, key = self._authority()
            if self._is_good(authority, names):
                return False
            self._issue(authority, key, names)
        except (OSError, ValueError) as error:
            raise TlsUnusable(f"certificates in {self.files.authority.parent} cannot be made: {error}") from error
        return True

    def _authority(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        files = self.files
        found = _read_pair(
            files.authority,
            files.authority_key,
            f"Bring it back from a copy, or remove {files.authority.name} and {files.authority_key.name}: the next"
            " start makes another authority, which every client has to be made to trust",
        )
        if found is not None and self._lasts(found[0]):
            return found
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"Tenet local authority {self._ids.draw(4).hex()}")
        certificate = (
            self._begin(name, name, key.public_key(), AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        write_private(files.authority_key, _pem_key(key))
        _write_public(files.authority, certificate)
        return certificate, key

    def _is_good(self, authority: x509.Certificate, names: Sequence[str]) -> bool:
        """Tells whether the server's certificate is of this authority, made out to these names, and lasts."""
        certificate, private_key = self.files.certificate, self.files.private_key
        remedy = f"Remove {certificate.name} and {private_key.name}: the next start makes them anew"
        found = _read_pair(certificate, private_key, remedy)
        if found is None or not self._lasts(found[0]) or set(_names(found[0])) != set(names):
            return False
        try:
            found[0].verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def _issue(
        self, authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey, names: Sequence[str]
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._begin(_name(names[0]), authority.subject, key.public_key(), SERVER_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
            .sign(authority_key, hashes.SHA256())
        )
        write_private(self.files.private_key, _pem_key(key))
        _write_public(self.files.certificate, certificate)

    def _begin(
        self, subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
    ) -> x509.CertificateBuilder:
        now = self._now()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(int.from_bytes(self._ids.draw(_SERIAL_BYTES)) >> 1 or 1)
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        )

    def _lasts(self, certificate: x509.Certificate) -> bool:
        now = self._now()
        return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - timedelta(days=RENEW_DAYS)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall_ms() // 1000, UTC)


def server_names(host: str, further: Iterable[str] = ()) -> tuple[str, ...]:
    """Returns what the server's certificate is made out to.

    Args:
        host: what is listened on.
        further: names and addresses that clients use beside it.
    """
    machine = socket.gethostname()
    names = ["localhost", "127.0.0.1", "::1", host, machine, socket.getfqdn(), *further]
    return tuple(dict.fromkeys(_normal(name) for name in names if name and not _is_unspecified(name)))


def server_context(certificate: Path, private_key: Path) -> ssl.SSLContext:
    """Returns the settings of a server's handshakes. ``load`` puts another certificate into them while they are used.

    Args:
        certificate: PEM file with the certificate, and those between it and its authority.
        private_key: PEM file with its private key.

    Raises:
        TlsUnusable: a file cannot be read, or the two do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # A renegotiation is work that a client asks for and a server does.
    context.options |= ssl.OP_NO_RENEGOTIATION
    load(context, certificate, private_key)
    return context


def load(context: ssl.SSLContext, certificate: Path, private_key: Path) -> None:
    """Makes handshakes from now on show this certificate.

    Raises:
        TlsUnusable: a file cannot be read, or the two do not belong together; the former certificate stays.
    """
    try:
        # Tried apart first: a context whose key does not match its certificate refuses everybody.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, private_key, password=_no_password)
        context.load_cert_chain(certificate, private_key, password=_no_password)
    except (OSError, ValueError) as error:
        raise TlsUnusable(
            f"certificate {certificate} with private key {private_key} cannot be used: {error}"
        ) from error


def describe(certificate: Path) -> dict[str, str]:
    """Returns what a certificate says, for an operator.

    Raises:
        TlsUnusable: it cannot be read.
    """
    try:
        read = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise TlsUnusable(f"certificate {certificate} cannot be read: {error}") from error
    return {
        "names": ", ".join(_names(read)),
        "issuer": read.issuer.rfc4514_string(),
        "not_before": read.not_valid_before_utc.isoformat(),
        "not_after": read.not_valid_after_utc.isoformat(),
        "sha256": read.fingerprint(hashes.SHA256()).hex(),
    }


def write_trust_store(path: Path, authority: Path, password: str) -> None:
    """Writes an authority's certificate as a PKCS #12 trust store, which is what Java reads.

    Args:
        path: of the new file.
        authority: PEM file with the certificate.
        password: Java wants one, though the store holds no secret.

    Raises:
        TlsUnusable: the one cannot be read or the other not written.
    """
    try:
        certificate = x509.load_pem_x509_certificate(authority.read_bytes())
        entry = pkcs12.PKCS12Certificate(certificate, b"tenet")
        encryption = serialization.BestAvailableEncryption(password.encode("utf-8"))
        write_private(path, pkcs12.serialize_java_truststore([entry], encryption))
        path.chmod(0o644)
    except (OSError, ValueError) as error:
        raise TlsUnusable(f"trust store {path} cannot be made: {error}") from error


def _read_pair(
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
    key = _parsed(private_key, lambda content: serialization.load_pem_private_key(content, password=None), remedy)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or read.public_key() != key.public_key():
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


def _no_password() -> str:
    raise ValueError("the private key is encrypted; it has to lie in the file as it is")


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


def _general_names(names: Sequence[str]) -> list[x509.GeneralName]:
    return [
        x509.DNSName(name) if _address(name) is None else x509.IPAddress(ipaddress.ip_address(name)) for name in names
    ]


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    return [*found.get_values_for_type(x509.DNSName), *addresses]


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return None


def _is_unspecified(name: str) -> bool:
    address = _address(name)
    return address is not None and address.is_unspecified


def _normal(name: str) -> str:
    """Returns an address in its one canonical text, a name in lower case and in ASCII (RFC 5891)."""
    address = _address(name)
    return str(address) if address is not None else name.lower().rstrip(".").encode("idna").decode("ascii")


def _pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_public(path: Path, certificate: x509.Certificate) -> None:
    write_private(path, certificate.public_bytes(serialization.Encoding.PEM))
    path.chmod(0o644)
