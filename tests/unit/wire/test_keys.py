"""Access keys: made, found, revoked, kept encrypted, and seen by every process within a second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.contract import Engine, Range
from tenet.store.errors import StoreUnavailable
from tenet.store.sqlite.engine import open_engine
from tenet.wire import keys, master
from tenet.wire.errors import (
    AccessKeyExists,
    AccessKeyInvalid,
    AccessKeyNotFound,
    MasterKeyUnusable,
    RootKeyNeeded,
)
from tenet.wire.keys import KeyRing
from tenet.wire.master import MasterKeys, write_private
from tests.edges import Client, Signature, call, on_loop, serving, until
from tests.steps import Died, Steps

TENANT = "000000000000"
IDS = SystemIds()


def on_store(tmp_path: Path, body: Callable[[Engine, MasterKeys, KeyRing], Awaitable[None]]) -> None:
    """Runs a test over a key ring on the embedded engine."""

    async def main() -> None:
        clock = SystemClock()
        store = await open_engine(str(tmp_path / "store"), clock=clock, ids=IDS)
        try:
            master = MasterKeys.open(tmp_path / "master", IDS, may_create=True)
            await body(store, master, await KeyRing.open(store, master, clock=clock, ids=IDS))
        finally:
            await store.close()

    on_loop(main)


def test_a_key_is_made_found_listed_and_revoked(tmp_path: Path) -> None:
    async def body(_store: Engine, _master: MasterKeys, ring: KeyRing) -> None:
        root = await ring.create(TENANT, is_root=True)
        drawn = await ring.create("111111111111")
        given = await ring.create(TENANT, access_key_id="mine", secret="my-own-secret")
        assert len(drawn.access_key_id) == 20
        assert len(drawn.secret) == 40
        found = ring.find("mine")
        assert found is not None
        assert (found.secret, found.principal.tenant, found.principal.is_root) == (given.secret, TENANT, False)
        listed = {key.access_key_id: (key.tenant, key.is_root) for key in ring.list()}
        assert listed == {
            root.access_key_id: (TENANT, True),
            drawn.access_key_id: ("111111111111", False),
            "mine": (TENANT, False),
        }
        await ring.revoke("mine")
        assert ring.find("mine") is None
        assert {key.access_key_id for key in ring.list()} == {root.access_key_id, drawn.access_key_id}

    on_store(tmp_path, body)


def test_keys_outlive_the_process(tmp_path: Path) -> None:
    made: list[str] = []

    async def first(_store: Engine, _master: MasterKeys, ring: KeyRing) -> None:
        made.append((await ring.create(TENANT, access_key_id="mine")).secret)

    async def second(_store: Engine, _master: MasterKeys, ring: KeyRing) -> None:
        found = ring.find("mine")
        assert found is not None
        assert found.secret == made[0]

    on_store(tmp_path, first)
    on_store(tmp_path, second)


def test_what_is_wrong_about_a_key_is_said(tmp_path: Path) -> None:
    async def body(_store: Engine, _master: MasterKeys, ring: KeyRing) -> None:
        root = await ring.create(TENANT, access_key_id="root", is_root=True)
        with pytest.raises(AccessKeyExists):
            await ring.create("111111111111", access_key_id="root")
        with pytest.raises(AccessKeyInvalid, match="12 digits"):
            await ring.create("1")
        for wrong in ("ab", "with space", "sl/ash", "x" * 129, "ümlaut"):
            with pytest.raises(AccessKeyInvalid, match="access key id"):
                await ring.create(TENANT, access_key_id=wrong)
        for wrong in ("short", "with space in it", "x" * 129):
            with pytest.raises(AccessKeyInvalid, match="secret"):
                await ring.create(TENANT, secret=wrong)
        with pytest.raises(AccessKeyNotFound):
            await ring.revoke("nobody")
        with pytest.raises(RootKeyNeeded):
            await ring.revoke("root")
        await ring.create(TENANT, access_key_id="second", is_root=True)
        await ring.revoke(root.access_key_id)
        with pytest.raises(RootKeyNeeded):
            await ring.revoke("second")

    on_store(tmp_path, body)


def test_two_root_keys_cannot_revoke_each_other_at_once(tmp_path: Path) -> None:
    async def body(store: Engine, master: MasterKeys, ring: KeyRing) -> None:
        other = await KeyRing.open(store, master, clock=SystemClock(), ids=IDS)
        await ring.create(TENANT, access_key_id="one", is_root=True)
        await ring.create(TENANT, access_key_id="two", is_root=True)
        await other.refresh()
        outcomes = await asyncio.gather(ring.revoke("one"), other.revoke("two"), return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "RootKeyNeeded"]
        await ring.refresh()
        assert len(ring.list()) == 1

    on_store(tmp_path, body)


def test_no_secret_lies_in_the_store_and_none_can_be_put_in_anothers_place(tmp_path: Path) -> None:
    secret = "a-secret-that-can-be-searched-for"

    async def body(store: Engine, _master: MasterKeys, ring: KeyRing) -> None:
        await ring.create(TENANT, access_key_id="mine", secret=secret)
        page = await store.query("access-keys", b"keys", Range(), limit=10)
        assert secret.encode() not in page.records[0].value
        assert secret not in repr(ring.find("mine"))

    on_store(tmp_path, body)
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert secret.encode() not in everything


def test_a_change_through_another_process_counts_within_a_second(tmp_path: Path) -> None:
    async def body(store: Engine, master: MasterKeys, ring: KeyRing) -> None:
        clock = SystemClock()
        other = await KeyRing.open(store, master, clock=clock, ids=IDS)
        watching = asyncio.create_task(other.run())
        await ring.create(TENANT, access_key_id="mine")
        began_s = clock.monotonic_s()
        await until(lambda: other.find("mine") is not None)
        await ring.revoke("mine")
        await until(lambda: other.find("mine") is None)
        assert clock.monotonic_s() - began_s < 2.5
        watching.cancel()

    on_store(tmp_path, body)


def test_a_key_made_or_revoked_while_serving_counts_at_once(tmp_path: Path) -> None:
    async def body(_store: Engine, _master: MasterKeys, ring: KeyRing) -> None:
        async with serving(keys=ring) as edge:
            client = await Client.connect(edge.address)
            key = await ring.create(TENANT)
            request = call("Echo", by=Signature(key_id=key.access_key_id, secret=key.secret))
            assert (await client.ask(request)).status == 200
            await ring.revoke(key.access_key_id)
            assert (await client.ask(request)).code == "UnrecognizedClientException"
            await client.close()

    on_store(tmp_path, body)


def test_rotation_encrypts_every_secret_anew(tmp_path: Path) -> None:
    async def body(store: Engine, master: MasterKeys, ring: KeyRing) -> None:
        keys = [await ring.create(TENANT) for _ in range(5)]
        former = (tmp_path / "master").read_bytes()
        assert await ring.rotate_master() == 5
        for key in keys:
            found = ring.find(key.access_key_id)
            assert found is not None
            assert found.secret == key.secret
        # The key before is worth nothing any more.
        write_private(tmp_path / "former", former)
        old = MasterKeys.open(tmp_path / "former", IDS, may_create=False)
        assert old.current != master.current
        blind = await KeyRing.open(store, old, clock=SystemClock(), ids=IDS)
        assert blind.find(keys[0].access_key_id) is None

    on_store(tmp_path, body)


@pytest.mark.thorough
def test_a_rotation_may_end_at_every_step_and_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ends(folder: Path, last: int) -> bool:
        clock = SystemClock()
        store = await open_engine(str(folder / "store"), clock=clock, ids=IDS)
        ring = await KeyRing.open(store, MasterKeys.open(folder / "master", IDS, may_create=True), clock=clock, ids=IDS)
        made = [await ring.create(TENANT) for _ in range(3)]

        steps = Steps(last)
        with monkeypatch.context() as patch:
            patch.setattr(keys, "land", steps.land)
            patch.setattr(master, "write_private", steps.around(write_private))
            try:
                await ring.rotate_master()
                has_ended = False
            except Died:
                has_ended = True
        await store.close()
        # The process that comes after reads everything, goes through with it, and then needs the newest key alone.
        store = await open_engine(str(folder / "store"), clock=clock, ids=IDS)
        again = MasterKeys.open(folder / "master", IDS, may_create=False)
        ring = await KeyRing.open(store, again, clock=clock, ids=IDS)
        for _ in range(2):
            assert {key.access_key_id: key.secret for key in made} == {
                key.access_key_id: found.secret for key in made if (found := ring.find(key.access_key_id))
            }
            await ring.rotate_master()
            assert len(again.names) == 1
        await store.close()
        return has_ended

    last = 1
    while asyncio.run(ends(tmp_path / str(last), last)):
        last += 1
    # Two changes of the file and a commit for each secret, begun and done.
    assert last - 1 == 10


def test_a_rotation_that_another_process_carried_out_is_followed(tmp_path: Path) -> None:
    async def body(store: Engine, _master: MasterKeys, ring: KeyRing) -> None:
        key = await ring.create(TENANT)
        same_file = MasterKeys.open(tmp_path / "master", IDS, may_create=False)
        other = await KeyRing.open(store, same_file, clock=SystemClock(), ids=IDS)
        await ring.rotate_master()
        await other.refresh()
        found = other.find(key.access_key_id)
        assert found is not None
        assert found.secret == key.secret

    on_store(tmp_path, body)


def test_a_key_that_is_made_while_the_master_key_changes_can_be_used(tmp_path: Path) -> None:
    async def body(store: Engine, master: MasterKeys, ring: KeyRing) -> None:
        await ring.create(TENANT)
        made, *_ = await asyncio.gather(
            ring.create(TENANT), ring.rotate_master(), ring.create(TENANT), ring.rotate_master(), ring.create(TENANT)
        )
        # As after a restart: with what is in the file, and nothing that is remembered.
        again = await KeyRing.open(
            store, MasterKeys.open(tmp_path / "master", IDS, may_create=False), clock=SystemClock(), ids=IDS
        )
        found = again.find(made.access_key_id)
        assert found is not None
        assert found.secret == made.secret
        assert all(again.find(info.access_key_id) for info in ring.list())
        assert len(ring.list()) == 4

    on_store(tmp_path, body)


def test_a_key_made_in_another_process_while_the_master_key_changes_can_be_used(tmp_path: Path) -> None:
    async def body(store: Engine, _master: MasterKeys, ring: KeyRing) -> None:
        same_file = MasterKeys.open(tmp_path / "master", IDS, may_create=False)
        other = await KeyRing.open(store, same_file, clock=SystemClock(), ids=IDS)
        made, *_ = await asyncio.gather(
            other.create(TENANT), ring.rotate_master(), other.create(TENANT), other.rotate_master()
        )
        for opened in (ring, other):
            await opened.refresh()
        again = await KeyRing.open(
            store, MasterKeys.open(tmp_path / "master", IDS, may_create=False), clock=SystemClock(), ids=IDS
        )
        found = again.find(made.access_key_id)
        assert found is not None
        assert found.secret == made.secret
        assert all(again.find(info.access_key_id) for info in other.list())

    on_store(tmp_path, body)


def test_a_key_that_was_made_is_told_though_it_cannot_be_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(_store: Engine, _master: MasterKeys, ring: KeyRing) -> None:
        async def fail() -> None:
            raise StoreUnavailable("the disk is gone")

        with monkeypatch.context() as patched:
            patched.setattr(ring, "refresh", fail)
            made = await ring.create(TENANT)
        await ring.refresh()
        found = ring.find(made.access_key_id)
        assert found is not None
        assert found.secret == made.secret

    on_store(tmp_path, body)


# ---- the master key --------------------------------------------------------------------------------------------------


def test_a_master_key_is_its_owners_alone_and_is_not_made_twice(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "master"
    first = MasterKeys.open(path, IDS, may_create=True)
    assert path.stat().st_mode & 0o777 == 0o600
    sealed = first.seal(b"secret", b"place")
    assert MasterKeys.open(path, IDS, may_create=True).unseal(sealed, b"place") == b"secret"


def test_a_master_key_that_cannot_be_used_is_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "master"
    with pytest.raises(MasterKeyUnusable, match="is missing"):
        MasterKeys.open(path, IDS, may_create=False)
    for damaged in (
        b"",
        b"{}",
        b'{"version":2,"current":"a","keys":{"a":""}}',
        b'{"version":1,"current":"a","keys":{}}',
    ):
        path.write_bytes(damaged)
        with pytest.raises(MasterKeyUnusable, match=r"damaged.*\. Bring it back from a copy: without it the secrets"):
            MasterKeys.open(path, IDS, may_create=True)


def test_a_secret_is_unsealed_in_its_place_alone_and_only_whole(tmp_path: Path) -> None:
    master = MasterKeys.open(tmp_path / "master", IDS, may_create=True)
    sealed = master.seal(b"secret", b"place")
    with pytest.raises(MasterKeyUnusable, match="not in its place"):
        master.unseal(sealed, b"another")
    for at in range(len(sealed.ciphertext)):
        flipped = bytearray(sealed.ciphertext)
        flipped[at] ^= 1
        with pytest.raises(MasterKeyUnusable):
            master.unseal(type(sealed)(sealed.master, sealed.nonce, bytes(flipped)), b"place")


def test_the_keys_before_stay_until_they_are_retired(tmp_path: Path) -> None:
    master = MasterKeys.open(tmp_path / "master", IDS, may_create=True)
    sealed = master.seal(b"secret", b"place")
    former = master.add()
    assert MasterKeys.open(tmp_path / "master", IDS, may_create=False).unseal(sealed, b"place") == b"secret"
    master.retire(former)
    with pytest.raises(MasterKeyUnusable, match="does not hold"):
        MasterKeys.open(tmp_path / "master", IDS, may_create=False).unseal(sealed, b"place")
