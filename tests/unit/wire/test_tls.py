"""An authority of one's own: what it makes, when it makes it anew, and that strict clients believe it."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tenet.base.clock import ManualClock, SystemClock
from tenet.base.ids import SystemIds
from tenet.wire import tls
from tenet.wire.errors import PlaintextRefused, TlsUnusable
from tenet.wire.issuing import AUTHORITY_DAYS
from tenet.wire.limits import EdgeLimits
from tenet.wire.listener import HTTPS_ONLY, is_loopback
from tenet.wire.server import Edge
from tenet.wire.tls import (
    RENEW_DAYS,
    SERVER_DAYS,
    LocalAuthority,
    describe,
    load,
    server_context,
    server_names,
    write_trust_store,
)
from tests.edges import Client, Echo, Keys, call, on_loop, serving, until

DAY_MS = 24 * 3600 * 1000


def authority(directory: Path, clock: ManualClock | SystemClock | None = None) -> LocalAuthority:
    return LocalAuthority(directory, clock=clock or SystemClock(), ids=SystemIds())


def test_certificates_are_made_once_and_private_keys_are_their_owners_alone(tmp_path: Path) -> None:
    local = authority(tmp_path)
    names = server_names("0.0.0.0", ["Tenet.Example.", "10.0.0.1"])
    assert names[:3] == ("localhost", "127.0.0.1", "::1")
    assert {"tenet.example", "10.0.0.1"} <= set(names)
    assert "0.0.0.0" not in names
    assert local.ensure(names)
    before = local.files.certificate.read_bytes()
    assert not local.ensure(names)
    assert local.files.certificate.read_bytes() == before
    for private in (local.files.authority_key, local.files.private_key):
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert set(describe(local.files.certificate)["names"].split(", ")) == set(names)


def test_a_certificate_is_renewed_before_its_end_and_for_other_names(tmp_path: Path) -> None:
    clock = ManualClock()
    local = authority(tmp_path, clock)
    local.ensure(["localhost"])
    first_authority = local.files.authority.read_bytes()
    clock.advance_ms((SERVER_DAYS - RENEW_DAYS - 1) * DAY_MS)
    assert not local.ensure(["localhost"])
    clock.advance_ms(2 * DAY_MS)
    assert local.ensure(["localhost"])
    assert local.ensure(["localhost", "other"])
    assert not local.ensure(["other", "localhost"])
    assert local.files.authority.read_bytes() == first_authority
    clock.advance_ms(AUTHORITY_DAYS * DAY_MS)
    assert local.ensure(["other", "localhost"])
    assert local.files.authority.read_bytes() != first_authority


@pytest.mark.parametrize("lost", ["authority", "authority_key"])
def test_an_authority_that_has_lost_a_file_is_not_replaced_unasked(tmp_path: Path, lost: str) -> None:
    local = authority(tmp_path)
    local.ensure(["localhost"])
    file: Path = getattr(local.files, lost)
    (kept,) = {local.files.authority, local.files.authority_key} - {file}
    content, before = file.read_bytes(), kept.read_bytes()
    file.unlink()
    for ensure in (lambda: local.ensure(["localhost"]), local.ensure_authority):
        with pytest.raises(TlsUnusable) as refused:
            ensure()
        assert refused.value.message.startswith(f"{file} is missing. Bring it back from a c")
        assert f"or remove {kept.name} too: the next start makes another authority" in refused.value.message
    assert not file.exists()
    file.write_bytes(content)
    assert not local.ensure(["localhost"])
    assert kept.read_bytes() == before
    file.unlink()
    kept.unlink()
    assert local.ensure(["localhost"])
    handshake(local)


@pytest.mark.parametrize("writes", range(4))
def test_a_first_start_that_was_interrupted_between_two_files_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    local, left = authority(tmp_path), itertools.count(writes, -1)

    def interrupted(write: Callable[[Path, bytes], None]) -> Callable[[Path, bytes], None]:
        def write_unless_over(path: Path, content: bytes) -> None:
            if next(left) == 0:
                raise KeyboardInterrupt
            write(path, content)

        return write_unless_over

    with monkeypatch.context() as patched:
        for name in ("write_private", "write_public"):
            patched.setattr(tls, name, interrupted(getattr(tls, name)))
        with pytest.raises(KeyboardInterrupt):
            local.ensure(["localhost"])
    assert len(list(tmp_path.iterdir())) == writes
    assert local.ensure(["localhost"])
    handshake(local)


@pytest.mark.parametrize("lost", ["authority", "authority_key", "certificate", "private_key"])
def test_what_was_lost_half_way_is_made_again(tmp_path: Path, lost: str) -> None:
    local = authority(tmp_path)
    local.ensure(["localhost"])
    if not lost.startswith("authority"):
        getattr(local.files, lost).unlink()
        assert local.ensure(["localhost"])
        server_context(local.files.certificate, local.files.private_key)
    # Keys and certificates of two makings, as a crash between two files would leave them.
    other = authority(tmp_path / "other")
    (tmp_path / "other").mkdir()
    other.ensure(["localhost"])
    getattr(local.files, lost).write_bytes(getattr(other.files, lost).read_bytes())
    assert local.ensure(["localhost"])
    handshake(local)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    local = authority(tmp_path)
    local.ensure(["localhost"])
    local.files.authority.write_bytes(b"damaged")
    with pytest.raises(TlsUnusable, match="cannot be read"):
        describe(tmp_path / "nothing")
    with pytest.raises(TlsUnusable, match="cannot be used"):
        server_context(local.files.authority, local.files.private_key)


@pytest.mark.parametrize("part", ["authority", "authority_key", "certificate", "private_key"])
@pytest.mark.parametrize(
    "content", [b"", b"damaged", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, part: str, content: bytes) -> None:
    local = authority(tmp_path)
    local.ensure(["localhost"])
    file: Path = getattr(local.files, part)
    file.write_bytes(content)
    with pytest.raises(TlsUnusable) as refused:
        local.ensure(["localhost"])
    assert refused.value.message.startswith(f"{file} is damaged: it holds no PEM that can be read. ")
    is_of_authority = part.startswith("authority")
    pair = ("ca.pem", "ca-key.pem") if is_of_authority else ("server.pem", "server-key.pem")
    assert f"emove {pair[0]} and {pair[1]}: the next start makes" in refused.value.message
    for name in pair:
        (tmp_path / name).unlink()
    assert local.ensure(["localhost"])
    handshake(local)


def test_a_key_under_a_password_and_a_file_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    local = authority(tmp_path)
    local.ensure(["localhost"])
    key = serialization.load_pem_private_key(local.files.private_key.read_bytes(), password=None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    local.files.private_key.write_bytes(encrypted)
    with pytest.raises(TlsUnusable, match=r"server-key\.pem is damaged: "):
        local.ensure(["localhost"])
    # A directory in its place cannot be read by anybody, the user who runs this test included.
    local.files.authority_key.unlink()
    local.files.authority_key.mkdir()
    with pytest.raises(TlsUnusable, match=r"ca-key\.pem cannot be read: Is a directory\. Give the user that runs"):
        local.ensure(["localhost"])


def strict_client(local: LocalAuthority) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(local.files.authority))
    # What Python 3.13 checks by default.
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def handshake(local: LocalAuthority) -> str:
    """Shakes hands over a pair of sockets; returns what both agreed on."""
    context = server_context(local.files.certificate, local.files.private_key)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with context.wrap_socket(ours, server_side=True) as served:
            served.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    with strict_client(local).wrap_socket(theirs, server_hostname="localhost") as client:
        version = client.version()
        client.send(b"x")
    thread.join()
    return str(version)


def test_a_strict_client_shakes_hands(tmp_path: Path) -> None:
    local = authority(tmp_path)
    local.ensure(["localhost"])
    assert handshake(local) == "TLSv1.3"


def test_requests_are_served_over_tls_and_a_new_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    local = authority(tmp_path)
    local.ensure(["localhost"])
    context = server_context(local.files.certificate, local.files.private_key)

    async def shown(edge: Edge) -> str:
        client = await Client.connect(edge.address, strict_client(local))
        assert (await client.ask(call("Echo", b"{}"))).body == b"{}"
        certificate = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        await client.close()
        return str(ssl.DER_cert_to_PEM_cert(certificate))

    async def main() -> None:
        async with serving(tls=context) as edge:
            before = await shown(edge)
            local.ensure(["localhost", "other"])
            load(context, local.files.certificate, local.files.private_key)
            assert await shown(edge) != before
            wrong = authority(tmp_path).files.authority
            with pytest.raises(TlsUnusable):
                load(context, wrong, local.files.private_key)
            assert await shown(edge) != before

    on_loop(main)


def test_draining_does_not_wait_for_clients_that_keep_idle_connections(tmp_path: Path) -> None:
    local = authority(tmp_path)
    local.ensure(["localhost"])
    context = server_context(local.files.certificate, local.files.private_key)

    async def main() -> None:
        async with serving(tls=context) as edge:
            client = await Client.connect(edge.address, strict_client(local))
            await client.ask(call("Echo"))
            # A pool that looks at its connections only when it needs one.
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            assert await asyncio.wait_for(edge.drain(20.0), 5.0)
            client.writer.transport.abort()

    on_loop(main)


def test_http_on_a_tls_port_and_broken_handshakes_harm_nobody(tmp_path: Path) -> None:
    local = authority(tmp_path)
    local.ensure(["localhost"])
    context = server_context(local.files.certificate, local.files.private_key)

    async def main() -> None:
        async with serving(tls=context) as edge:
            client = await Client.connect(edge.address)
            refused = await client.ask(call("Echo"))
            assert (refused.status, refused.body) == (400, f"{HTTPS_ONLY}\n".encode())
            assert await client.is_ended()
            await client.close()
            for nonsense in (b"\x00", b"\x16\x03\x01\xff\xff" + b"x" * 100, b""):
                client = await Client.connect(edge.address)
                await client.send(nonsense)
                if not nonsense:
                    client.writer.write_eof()
                await client.reader.read()
                await client.close()
            client = await Client.connect(edge.address, strict_client(local))
            assert (await client.ask(call("Echo"))).status == 200
            await client.close()
            assert not edge._shared.greeted

    on_loop(main)


def test_a_client_that_says_nothing_instead_of_a_handshake_is_ended(tmp_path: Path) -> None:
    local = authority(tmp_path)
    local.ensure(["localhost"])
    context = server_context(local.files.certificate, local.files.private_key)

    async def main() -> None:
        async with serving(tls=context, limits=EdgeLimits(handshake_s_max=0.2)) as edge:
            silent = await Client.connect(edge.address)
            assert await silent.is_ended()
            await silent.close()
            slow = await Client.connect(edge.address)
            await slow.send(b"\x16")
            assert await slow.is_ended()
            await slow.close()
            waiting = await Client.connect(edge.address)
            await until(lambda: bool(edge._shared.greeted))
            assert await edge.drain(1.0)
            assert await waiting.is_ended()
            await waiting.close()

    on_loop(main)


def test_a_trust_store_for_java_is_written(tmp_path: Path) -> None:
    local = authority(tmp_path)
    local.ensure(["localhost"])
    write_trust_store(tmp_path / "ca.p12", local.files.authority, "changeit")
    from cryptography.hazmat.primitives.serialization import pkcs12

    read = pkcs12.load_pkcs12((tmp_path / "ca.p12").read_bytes(), b"changeit")
    assert len(read.additional_certs) == 1
    with pytest.raises(TlsUnusable):
        write_trust_store(tmp_path / "missing" / "ca.p12", local.files.authority, "changeit")


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.1", True), ("127.5.5.5", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.1", False), ("example.com", False), ("", False)],
)  # fmt: skip
def test_http_is_for_this_machine_alone(host: str, is_local: bool) -> None:
    assert is_loopback(host) == is_local
    if is_local:
        return

    async def main() -> None:
        edge = Edge([Echo()], Keys(), clock=SystemClock(), ids=SystemIds())
        with pytest.raises(PlaintextRefused, match="use TLS"):
            await edge.start(host, 0, tls=None)

    on_loop(main)
