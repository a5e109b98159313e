"""A secured cluster lets in who has a certificate and a password, and nobody else."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import acsylla
import pytest

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.cassandra.engine import open_engine
from tenet.store.contract import Commit, Committed, Key, Put, new_commit_id
from tenet.store.errors import StoreUnavailable
from tools.cluster.cluster import free_network, use
from tools.cluster.security import Secured, secure

pytestmark = pytest.mark.time_limit_s(300)


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    made = secure(free_network())
    with use(made.spec) as cluster:
        cluster.start_all()
        assert cluster.is_up(1)
        yield made


def release_seen_by(secured: Secured, *, is_encrypted: bool = True) -> str:
    """Asks the node for its release, as a client with these papers."""

    async def ask() -> str:
        driver = acsylla.create_cluster(
            list(secured.spec.addresses),
            ssl_enabled=is_encrypted,
            ssl_trusted_cert=secured.authority.read_text(encoding="ascii"),
            ssl_cert=secured.certificate.read_text(encoding="ascii"),
            ssl_private_key=secured.key.read_text(encoding="ascii"),
            ssl_verify_flags=acsylla.SSLVerifyFlags.PEER_IDENTITY,
            username=secured.user,
            password=secured.password,
            log_level="critical",
        )
        session = await driver.create_session()
        try:
            found = await session.execute(acsylla.create_statement("SELECT release_version FROM system.local"))
            return str(found.first().as_dict()["release_version"])
        finally:
            await session.close()

    return asyncio.run(ask())


def test_who_has_a_certificate_and_a_password_is_let_in(secured: Secured) -> None:
    assert release_seen_by(secured).startswith("5.0.")


def test_a_wrong_password_is_refused(secured: Secured) -> None:
    with pytest.raises(acsylla.errors.CassErrorServerBadCredentials, match="incorrect"):
        release_seen_by(replace(secured, password="another"))


def test_a_certificate_of_another_authority_is_refused(secured: Secured) -> None:
    with pytest.raises(acsylla.errors.CassErrorLibNoHostsAvailable):
        release_seen_by(replace(secured, certificate=secured.stranger_certificate, key=secured.stranger_key))


def test_a_client_without_tls_is_refused(secured: Secured) -> None:
    with pytest.raises(acsylla.errors.CassErrorLibNoHostsAvailable):
        release_seen_by(secured, is_encrypted=False)


def test_a_client_does_not_trust_a_node_of_another_authority(secured: Secured) -> None:
    with pytest.raises(acsylla.errors.CassErrorSslInvalidPeerCert):
        release_seen_by(replace(secured, authority=secured.stranger_certificate))


def test_private_keys_are_readable_by_their_owner_alone(secured: Secured) -> None:
    keys: list[Path] = [secured.key, secured.stranger_key, secured.spec.folder / "security" / "nodes.pem"]
    assert [oct(path.stat().st_mode & 0o777) for path in keys] == ["0o600"] * 3
    ssl.create_default_context().load_cert_chain(secured.certificate, secured.key)


def test_a_store_is_opened_with_them_and_not_without(secured: Secured, tmp_path: Path) -> None:
    password, wrong = tmp_path / "password", tmp_path / "wrong"
    password.write_text(f"{secured.password}\n")
    wrong.write_text("another")
    hosts = ",".join(secured.spec.addresses)
    papers = f"ca_file={secured.authority}&certificate_file={secured.certificate}&key_file={secured.key}"

    async def put_and_get(url: str) -> bytes:
        clock, ids = SystemClock(), SystemIds()
        engine = await open_engine(url, clock=clock, ids=ids)
        try:
            await engine.ensure_space("papers")
            key = Key("papers", b"p")
            assert isinstance(await engine.commit(Commit(new_commit_id(clock, ids), [Put(key, b"signed")])), Committed)
            (record,) = await engine.get([key])
            assert record is not None
            return record.value
        finally:
            await engine.close()

    url = f"//{hosts}/secured?{papers}&user={secured.user}&password_file="
    assert asyncio.run(put_and_get(f"{url}{password}")) == b"signed"
    with pytest.raises(StoreUnavailable, match="incorrect"):
        asyncio.run(put_and_get(f"{url}{wrong}"))
    with pytest.raises(StoreUnavailable):
        asyncio.run(put_and_get(f"//{hosts}/secured?user={secured.user}&password_file={password}"))
