"""Encryption by default: a certificate authority of this installation's own, and the certificate of its server.

Both are made at the first start. The server's certificate is renewed when its end is near, or when the names that it is
made out to have changed; running servers take it over with their next handshake. Private keys can be read by their
owner alone.

TLS 1.2 or later (RFC 9325).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec import Struct

from tenet.base.clock import Clock
from tenet.base.ids import Ids
from tenet.wire.errors import TlsUnusable
from tenet.wire.issuing import (
    Authority,
    Issuer,
    Wanted,
    address,
    fingerprint,
    is_signed_by,
    names_of,
    new_key,
    pem_certificate,
    pem_key,
    read_pair,
    server_identities,
    write_public,
)
from tenet.wire.master import write_private

#: Apple's platforms refuse server certificates of more than 825 days, and those of authorities that one adds oneself.
SERVER_DAYS: Final = 397
SERVER_S: Final = SERVER_DAYS * 24 * 3600
#: What is left of its time when a certificate is renewed; a third of it, where that is less.
RENEW_DAYS: Final = 30


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
        server_s: how long the server's certificate is good for.
    """

    def __init__(self, directory: Path, *, clock: Clock, ids: Ids, server_s: int = SERVER_S) -> None:
        self._issuer = Issuer(clock=clock, ids=ids)
        self._lifetime = timedelta(seconds=server_s)
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
            TlsUnusable: a file cannot be read or written, is damaged, or is the only one of the authority's two that is
                missing; the message names it and says what to do.
        """
        try:
            authority = self._authority()
            if self._is_good(authority, names):
                return False
            self._issue(authority, names)
        except (OSError, ValueError) as error:
            raise TlsUnusable(f"certificates in {self.files.authority.parent} cannot be made: {error}") from error
        return True

    def ensure_authority(self) -> None:
        """Makes the authority where it is missing or too old.

        Raises:
            TlsUnusable: a file cannot be read or written, is damaged, or is the only one that is missing.
        """
        try:
            self._authority()
        except (OSError, ValueError) as error:
            raise TlsUnusable(f"certificates in {self.files.authority.parent} cannot be made: {error}") from error

    def _authority(self) -> Authority:
        files = self.files
        self._check_complete()
        found = read_pair(
            files.authority,
            files.authority_key,
            f"Bring it back from a copy, or remove {files.authority.name} and {files.authority_key.name}: the next"
            " start makes another authority, which every client has to be made to trust",
        )
        if found is not None and self._lasts(found[0]):
            return Authority(*found)
        made = self._issuer.new_authority("Tenet local authority")
        write_private(files.authority_key, pem_key(made.key))
        write_public(files.authority, pem_certificate(made.certificate))
        return made

    def _check_complete(self) -> None:
        """Refuses to make another authority in the place of one that has lost a file: no client would trust it.

        The server's files are made after both of the authority's, so that a first start that was interrupted goes on.

        Raises:
            TlsUnusable: one of the two files is missing, and there was a certificate of this authority.
        """
        files = self.files
        pair = (files.authority, files.authority_key)
        lost = [file for file in pair if not file.exists()]
        if len(lost) != 1 or not (files.certificate.exists() or files.private_key.exists()):
            return
        (kept,) = set(pair) - set(lost)
        origin = "a client, each has one, or from a copy" if lost[0] == files.authority else "a copy"
        raise TlsUnusable(
            f"{lost[0]} is missing. Bring it back from {origin}, or remove {kept.name} too: the next start makes"
            " another authority, which every client has to be made to trust"
        )

    def _is_good(self, authority: Authority, names: Sequence[str]) -> bool:
        """Tells whether the server's certificate is of this authority, made out to these names, and lasts."""
        certificate, private_key = self.files.certificate, self.files.private_key
        remedy = f"Remove {certificate.name} and {private_key.name}: the next start makes them anew"
        found = read_pair(certificate, private_key, remedy)
        if found is None or not self._lasts(found[0]) or set(names_of(found[0])) != set(names):
            return False
        # One of a longer life than is asked for was made under other settings.
        is_longer = found[0].not_valid_after_utc - self._issuer.now() > self._lifetime
        return not is_longer and is_signed_by(found[0], authority.certificate)

    def _issue(self, authority: Authority, names: Sequence[str]) -> None:
        key = new_key()
        usages = [ExtendedKeyUsageOID.SERVER_AUTH]
        wanted = Wanted(names[0], server_identities(names), usages, self._lifetime)
        certificate = self._issuer.issue(authority, key.public_key(), wanted)
        write_private(self.files.private_key, pem_key(key))
        write_public(self.files.certificate, pem_certificate(certificate))

    def _lasts(self, certificate: x509.Certificate) -> bool:
        now, end = self._issuer.now(), certificate.not_valid_after_utc
        return certificate.not_valid_before_utc <= now < end - min(timedelta(days=RENEW_DAYS), self._lifetime / 3)


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
        "names": ", ".join(names_of(read)),
        "issuer": read.issuer.rfc4514_string(),
        "not_before": read.not_valid_before_utc.isoformat(),
        "not_after": read.not_valid_after_utc.isoformat(),
        "sha256": fingerprint(read),
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


def _no_password() -> str:
    raise ValueError("the private key is encrypted; it has to lie in the file as it is")


def _is_unspecified(name: str) -> bool:
    found = address(name)
    return found is not None and found.is_unspecified


def _normal(name: str) -> str:
    """Returns an address in its one canonical text, a name in lower case and in ASCII (RFC 5891)."""
    found = address(name)
    return str(found) if found is not None else name.lower().rstrip(".").encode("idna").decode("ascii")
