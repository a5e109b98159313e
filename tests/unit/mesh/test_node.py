"""Nodes over one store: who makes the cluster, who joins, drains and is removed, and certificates that are renewed."""

from __future__ import annotations

import asyncio
import base64
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tenet.base.clock import NEVER, SystemClock
from tenet.base.errors import TenetError
from tenet.mesh import invitations
from tenet.mesh.channel import NodeId
from tenet.mesh.cluster import Cluster
from tenet.mesh.credentials import CredentialFiles, Credentials, ensure_key, keep
from tenet.mesh.enrolment import Enrolled
from tenet.mesh.errors import (
    CallFailed,
    CallLost,
    IdentityUnusable,
    InvitationNotFound,
    InvitationUsed,
    NodeExists,
    NodeNameInvalid,
    NodeNeeded,
    NodeNotFound,
    NodeRemoved,
    NotAMember,
    PeerUnreachable,
    WrongAuthority,
    WrongHost,
)
from tenet.mesh.identity import invented_name
from tenet.mesh.invitations import Invitation, read_token
from tenet.mesh.member_store import MemberStore
from tenet.mesh.members import Member
from tenet.mesh.network import Network
from tenet.mesh.node import MeshNode, NodeOptions
from tenet.mesh.records import CLUSTER, checked_name, decode_invitation, invitation_key
from tenet.store import landing
from tenet.store.errors import StoreUnavailable
from tenet.wire.issuing import pem_certificate
from tenet.wire.master import MasterKeys
from tests.machines import SkewedClock, all_connected, machines
from tests.nodes import IDS, on_loop, until

CLOCK = SystemClock()
SHARED = {"root": b"key"}


# ---- making a cluster ------------------------------------------------------------------------------------------------


def test_the_first_node_makes_the_cluster_and_others_join_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            first = await at.start("first")
            second = await at.join_and_start("second", first.channel.address)
            third = await at.join_and_start("third", second.channel.address)
            await until(lambda: all_connected(first, second, third))
            assert third.cluster.shared == second.cluster.shared == {"root": b"first"}
            assert [(info.node, info.state, info.address) for info in await at.governance.nodes()] == [
                ("first", "serving", first.channel.address),
                ("second", "serving", second.channel.address),
                ("third", "serving", third.channel.address),
            ]

    on_loop(main)


def test_nodes_that_are_off_or_were_found_dead_are_told_from_those_that_are_there(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            first = await at.start("first")
            for name in ("dead", "off", "newer"):
                await at.join_and_start(name, first.channel.address)
            members = MemberStore(at.store, clock=at.clock, ids=IDS)
            await members.ensure(deadline=NEVER)
            up = Member(node=NodeId("first"), incarnation="1.1")
            found_dead = Member(
                node=NodeId("dead"), incarnation="1.1", state="evicted", evicted_by="first", evicted_ms=7
            )
            # What a later version has written cannot be read, and so nothing is said against it.
            newer = Member(node=NodeId("newer"), incarnation="1.1", format=99)
            for member in (up, found_dead, newer):
                assert await members.put(member, None, deadline=NEVER)
            told = {info.node: (info.is_there, info.dead_since_ms) for info in await at.governance.nodes()}
            assert told == {"first": (True, 0), "dead": (False, 7), "newer": (True, 0), "off": (False, 0)}

    on_loop(main)


def test_private_keys_are_their_owners_alone_and_the_stores_is_encrypted(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            first = await at.start("first")
            await at.join("second", first.channel.address, await at.token())
            for name in ("first", "second"):
                files = at.identity(name).files
                assert stat.S_IMODE(files.private_key.stat().st_mode) == 0o600
                assert stat.S_IMODE(files.private_key.parent.stat().st_mode) == 0o700
                assert stat.S_IMODE((tmp_path / name / "master-key").stat().st_mode) == 0o600
            (record,) = await at.store.get([CLUSTER])
            assert record is not None
            stored = msgspec.json.decode(record.value)
            opened = b"".join(base64.b64decode(stored["sealed"][part]) for part in ("nonce", "ciphertext"))
            assert b"PRIVATE KEY" not in record.value + opened
            keys = {(tmp_path / name / "node" / "node-key.pem").read_bytes() for name in ("first", "second")}
            assert len(keys) == 2

    on_loop(main)


def test_many_first_nodes_at_once_agree_on_one_authority(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            at.master("0", may_create=True)
            for n in range(1, 8):
                MasterKeys.take_over(tmp_path / str(n) / "master-key", at.master("0").exported())
            nodes = await asyncio.gather(*(at.start(str(n)) for n in range(8)))
            assert len({node.cluster.authority.sha256 for node in nodes}) == 1
            assert len({tuple(node.cluster.shared.items()) for node in nodes}) == 1
            await until(lambda: all_connected(*nodes))

    on_loop(main)


def test_a_first_node_without_the_clusters_master_key_is_told_to_join(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            outcomes = await asyncio.gather(*(at.cluster(str(n)) for n in range(5)), return_exceptions=True)
            refused = [one for one in outcomes if isinstance(one, NotAMember)]
            assert len(refused) == 4
            assert all("tenet node join" in one.message for one in refused)

    on_loop(main)


def test_a_node_starts_again_as_itself_wherever_an_earlier_start_ended(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            cluster = await at.cluster("first")
            identity = at.identity("first")
            identity.make_directory()
            # Died after its name was written, then after its key was, then after it was a member.
            identity.keep_node(NodeId("first"))
            for _ in range(2):
                node = await at.start("first", named="another")
                assert node.node == "first"
                await node.close()
            identity.files.certificate.unlink()
            node = await at.start("first", named="another")
            await node.close()
            identity.files.certificate.write_bytes(b"half")
            node = await at.start("first")
            assert [info.node for info in await at.governance.nodes()] == ["first"]
            assert node.cluster.authority.sha256 == cluster.authority.sha256
            identity.files.private_key.write_bytes(b"half")
            with pytest.raises(IdentityUnusable, match=r"node-key\.pem"):
                await at.start("first")

    on_loop(main)


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            first = await at.start("first")
            at.directory.joinpath("second").mkdir()
            MasterKeys.take_over(tmp_path / "second" / "master-key", at.master("first").exported())
            with pytest.raises(NodeExists, match="another node first"):
                await at.start("second", named="first")
            second = await at.start("second", named="second")
            await until(lambda: all_connected(first, second))
            for wrong in ("", "A", "a_b", "-a", "a-", "a" * 65, "ä"):
                with pytest.raises(NodeNameInvalid):
                    checked_name(wrong)
            assert checked_name(invented_name("Büro-3.example.org", IDS)).startswith("b-ro-3-")
            assert checked_name(invented_name("???", IDS)).startswith("node-")

    on_loop(main)


def test_a_directory_of_another_clusters_node_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at, machines(tmp_path / "other") as other:
            first = await at.start("first")
            await first.close()
            elsewhere = Cluster.open(other.store, at.master("first"), SHARED, clock=CLOCK, ids=IDS)
            options = NodeOptions(name="first")
            with pytest.raises(NotAMember, match="another cluster than the store"):
                await MeshNode.start(at.identity("first"), await elsewhere, options, clock=CLOCK, ids=IDS)

    on_loop(main)


# ---- joining ---------------------------------------------------------------------------------------------------------


def test_an_invitation_is_used_once_though_twenty_race_for_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            first = await at.start("first")
            invitation = await at.token()

            async def attempt(name: str) -> Enrolled:
                while True:
                    with suppress(PeerUnreachable, CallLost):
                        # On a busy machine some of so many connections are not made in time, which says nothing.
                        return await at.join(name, first.channel.address, invitation)

            outcomes = await asyncio.gather(*(attempt(f"n{n}") for n in range(20)), return_exceptions=True)
            joined = [n for n, one in enumerate(outcomes) if isinstance(one, Enrolled)]
            assert len(joined) == 1
            refused = [one for one in outcomes if isinstance(one, CallFailed)]
            assert len(refused) == 19, outcomes
            assert {one.code for one in refused} == {"InvitationUsed"}
            assert f"used by node n{joined[0]}" in refused[0].message
            assert {info.node for info in await at.governance.nodes()} == {"first", f"n{joined[0]}"}

    on_loop(main)


def test_joining_again_with_the_same_key_is_no_second_use(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            first = await at.start("first")
            invitation = await at.token()
            before = await at.join("second", first.channel.address, invitation)
            # The answer was lost, or the machine crashed before it had written it.
            again = await at.join("second", first.channel.address, invitation)
            assert again.master_keys == before.master_keys
            # However late: its time is for others.
            at.clock.skew_ms += 2 * 3600 * 1000
            assert (await at.join("second", first.channel.address, invitation, at.clock)).shared == before.shared
            at.clock.skew_ms = 0
            with pytest.raises(CallFailed) as raised:
                await at.join("second", first.channel.address, invitation, named="third")
            assert raised.value.code == "InvitationUsed"
            await at.governance.remove("second")
            with pytest.raises(CallFailed) as raised:
                await at.join("second", first.channel.address, invitation)
            assert raised.value.code == "NodeRemoved"

    on_loop(main)


def test_expired_unknown_and_damaged_invitations_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            first = await at.start("first")
            invitation = await at.token(expires_s=10)
            at.clock.skew_ms = 11_000
            with pytest.raises(CallFailed, match="time was up") as raised:
                await at.join("second", first.channel.address, invitation)
            assert raised.value.code == "InvitationExpired"
            unknown = Invitation(invitation.authority_sha256, invitation.addresses, bytes(32))
            with pytest.raises(CallFailed, match="no such invitation") as raised:
                await at.join("second", first.channel.address, unknown)
            assert raised.value.code == "InvitationInvalid"
            for damaged in (
                "",
                "x",
                invitation.token()[:-9],
                invitation.token()[:40],
                "tenet-join-1.$$",
                "tenet-join-1.e30",
            ):
                with pytest.raises(TenetError, match="token"):
                    read_token(damaged)
            assert read_token(f" {invitation.token()}\n") == invitation
            for expires_s in (0, 9, 31 * 24 * 3600):
                with pytest.raises(TenetError, match="is good for 10 to 2592000 s"):
                    await at.token(expires_s)
            assert not at.identity("second").node()

    on_loop(main)


def test_old_invitations_are_swept_away(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            first = await at.start("first")
            old = await at.token(expires_s=60)
            at.clock.skew_ms += 2 * 24 * 3600 * 1000
            late = await at.token(expires_s=10)
            at.clock.skew_ms += 10_000
            await at.token()
            for invitation, code in ((old, "InvitationInvalid"), (late, "InvitationExpired")):
                with pytest.raises(CallFailed) as raised:
                    await at.join("second", first.channel.address, invitation, at.clock)
                assert raised.value.code == code

    on_loop(main)


def test_outstanding_invitations_are_listed_without_what_they_are_worth(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            first = await at.start("first")
            late, used = await at.governance.invite(600, made_at="first"), await at.token()
            soon = await at.token(expires_s=60)
            await at.join("second", first.channel.address, used)
            listed = await at.governance.invitations()
            assert [(one.name, one.made_at) for one in listed] == [(soon.name, ""), (late.name, "first")]
            assert all(one.made_ms <= CLOCK.wall_ms() < one.expires_ms for one in listed)
            assert [one.expires_ms - one.made_ms for one in listed] == [60_000, 600_000]
            told = msgspec.json.encode(listed)
            for invitation in (late, soon):
                assert base64.b64encode(invitation.secret) not in told
                assert invitation.secret.hex().encode() not in told
            at.clock.skew_ms += 61_000
            assert [one.name for one in await at.governance.invitations()] == [late.name]

    on_loop(main)


def test_more_invitations_than_a_page_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invitations, "_PAGE_RECORDS", 3)

    async def main() -> None:
        async with machines(tmp_path) as at:
            await at.start("first")
            made = {(await at.token()).name for _ in range(8)}
            assert {one.name for one in await at.governance.invitations()} == made

    on_loop(main)


def test_a_withdrawn_invitation_is_refused_in_words_and_may_be_withdrawn_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            first = await at.start("first")
            withdrawn, kept = await at.token(), await at.token()
            for _ in range(2):
                await at.governance.withdraw(withdrawn.name)
            assert [one.name for one in await at.governance.invitations()] == [kept.name]
            with pytest.raises(CallFailed, match="the invitation was withdrawn; ask") as raised:
                await at.join("second", first.channel.address, withdrawn)
            assert raised.value.code == "InvitationWithdrawn"
            (record,) = await at.store.get([invitation_key(withdrawn.secret)])
            assert record is not None
            # A version that does not know of withdrawals refuses it too.
            assert decode_invitation(record).expires_ms <= CLOCK.wall_ms()
            await at.join("second", first.channel.address, kept)
            with pytest.raises(InvitationUsed, match="used by node second already; `tenet node remove second`"):
                await at.governance.withdraw(kept.name)
            for unknown in ("0" * 16, "f" * 16):
                with pytest.raises(InvitationNotFound, match=f"no invitation {unknown}"):
                    await at.governance.withdraw(unknown)
            for wrong in ("", "x", kept.name[:-1], f"{kept.name}0", kept.name.upper() + "g", kept.token()):
                with pytest.raises(InvitationNotFound, match="is no invitation's id: that has 16 of 0-9 and a-f"):
                    await at.governance.withdraw(wrong)

    on_loop(main)


def test_of_a_withdrawal_and_a_use_at_once_one_comes_first_and_the_other_learns_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            first = await at.start("first")
            withdrawn, used = await at.token(), await at.token()
            land_withdrawal, land_use = landing.land, first.registry.land

            async def used_before(*arguments: Any, **options: Any) -> Any:
                monkeypatch.undo()
                await at.join("second", first.channel.address, used)
                return await land_withdrawal(*arguments, **options)

            async def withdrawn_before(*arguments: Any, **options: Any) -> Any:
                monkeypatch.undo()
                await at.governance.withdraw(withdrawn.name)
                return await land_use(*arguments, **options)

            # Each has read the invitation as good when the other one takes effect.
            monkeypatch.setattr(invitations, "land", used_before)
            with pytest.raises(InvitationUsed, match="used by node second"):
                await at.governance.withdraw(used.name)
            monkeypatch.setattr(first.registry, "land", withdrawn_before)
            with pytest.raises(CallFailed, match="was withdrawn"):
                await at.join("third", first.channel.address, withdrawn)
            assert [info.node for info in await at.governance.nodes()] == ["first", "second"]

    on_loop(main)


def test_wrong_hosts_and_wrong_clusters_are_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at, machines(tmp_path / "other") as other:
            first, foreign = await at.start("first"), await other.start("first")
            invitation = await at.token()
            with pytest.raises(WrongAuthority, match=f"another cluster than the invitation.*{first.channel.address}"):
                await at.join("second", foreign.channel.address, invitation)

            def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(b"HTTP/1.1 400 Bad\r\n\r\n")
                writer.close()

            taken = await asyncio.start_server(answer, "127.0.0.1", 0)
            port = taken.sockets[0].getsockname()[1]
            with pytest.raises(WrongHost, match="does not speak TLS"):
                await at.join("second", f"127.0.0.1:{port}", invitation)
            taken.close()
            await taken.wait_closed()
            with pytest.raises(WrongHost, match="cannot be reached"):
                await at.join("second", f"127.0.0.1:{port}", invitation)
            with pytest.raises(WrongHost, match="cannot be reached"):
                await at.join("second", "no-such-host.invalid:1", invitation)
            # Nothing was used up by all that.
            await at.join("second", first.channel.address, invitation)

    on_loop(main)


@pytest.mark.parametrize(("skew_s", "said"), [(60, "60 s ahead of"), (-60, "60 s behind")])
def test_a_wrong_clock_is_named_before_anything_is_used(tmp_path: Path, skew_s: float, said: str) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            first = await at.start("first")
            invitation = await at.token()
            with pytest.raises(CallFailed, match=said) as raised:
                await at.join("second", first.channel.address, invitation, SkewedClock(skew_s))
            assert raised.value.code == "ClockSkewed"
            await at.join("second", first.channel.address, invitation)

    on_loop(main)


@pytest.mark.parametrize(("skew_s", "said"), [(3 * 3600, "behind"), (-3 * 3600, "ahead of")])
def test_a_clock_that_is_off_by_hours_is_named_though_no_certificate_is_good(
    tmp_path: Path, skew_s: float, said: str
) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            # TLS looks at the machine's own clock, so that it is the cluster's that is set wrong here.
            at.clock.skew_ms = round(skew_s * 1000)
            first = await at.start("first")
            with pytest.raises(TenetError, match=f"10800 s {said}") as raised:
                await at.join("second", first.channel.address, await at.token())
            assert raised.value.code == "ClockSkewed"

    on_loop(main)


# ---- draining and removing -------------------------------------------------------------------------------------------


def test_a_removed_node_is_refused_by_everybody_within_seconds_and_for_good(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            first = await at.start("first")
            second = await at.join_and_start("second", first.channel.address)
            third = await at.join_and_start("third", first.channel.address)
            await until(lambda: all_connected(first, second, third))
            told: list[str] = []
            third.on_state(told.append)
            began_s = CLOCK.monotonic_s()
            await at.governance.remove("third")
            await until(lambda: all_connected(first, second))
            assert CLOCK.monotonic_s() - began_s < 3
            await until(lambda: told == ["removed"])
            await until(lambda: "was removed" in third.channel.trouble(first.channel.address))
            assert third.peers() == ()
            with pytest.raises(NodeRemoved, match="use another invitation"):
                await at.start("third")
            with pytest.raises(NodeRemoved):
                await at.governance.drain("third")
            await at.governance.remove("second")
            with pytest.raises(NodeNeeded, match="last node"):
                await at.governance.remove("first")
            with pytest.raises(NodeNotFound):
                await at.governance.remove("fourth")

    on_loop(main)


def test_a_key_that_is_not_the_nodes_own_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            first = await at.start("first")
            second = await at.join_and_start("second", first.channel.address)
            await until(lambda: all_connected(first, second))
            await second.close()
            # One that has the master key, a removed node for instance, certifies itself as another.
            rogue = at.identity("rogue")
            rogue.make_directory()
            key = ensure_key(rogue.files.private_key)
            keep(rogue.files.authority, pem_certificate(first.cluster.authority.certificate))
            keep(rogue.files.certificate, pem_certificate(first.cluster.certify(second.node, key.public_key(), 3600)))
            credentials = Credentials(second.node, rogue.files)

            async def anybody(_: NodeId, __: str) -> str:
                return ""

            network = Network(credentials, "1.0", anybody, clock=CLOCK, ids=IDS)
            network.dial(first.channel.address)
            await until(lambda: "has another private key" in network.trouble(first.channel.address))
            assert first.peers() == ()
            await network.close()

    on_loop(main)


def test_a_node_that_drains_is_told_and_may_serve_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            first = await at.start("first")
            second = await at.join_and_start("second", first.channel.address)
            await until(lambda: all_connected(first, second))
            told: list[str] = []
            second.on_state(told.append)
            await at.governance.drain("second")
            first.tell_of_change()
            await until(lambda: told == ["draining"])
            assert second.state == "draining"
            await at.governance.drain("second", is_over=True)
            await until(lambda: told == ["draining", "serving"])
            assert all_connected(first, second)
            await second.close()
            await at.governance.drain("second")
            assert (await at.start("second")).state == "draining"

    on_loop(main)


def test_without_a_cluster_there_is_nothing_to_govern(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            with pytest.raises(NotAMember, match="there is no cluster"):
                await at.token()
            await at.cluster("first")
            with pytest.raises(NotAMember):
                await at.governance.nodes()

    on_loop(main)


# ---- renewal ---------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_certificates_of_seconds_are_renewed_without_a_gap(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            first = await at.start("first", lifetime_s=4)
            second = await at.join_and_start("second", first.channel.address, lifetime_s=4)
            await until(lambda: all_connected(first, second))
            downs: list[str] = []
            first.channel.on_down(lambda peer: downs.append(peer.node))

            async def echo(_: NodeId, body: bytes) -> bytes:
                return body

            second.channel.handle("echo", echo)
            links, certificates = set(), set()
            until_s = CLOCK.monotonic_s() + 10
            while CLOCK.monotonic_s() < until_s:
                assert await first.channel.call(second.node, "echo", b"x", 5) == b"x"
                links.add(id(first.channel._links[second.node]))
                certificates.add(at.identity("first").files.certificate.read_bytes())
                await asyncio.sleep(0.01)
            assert downs == []
            assert len(links) >= 3
            assert len(certificates) >= 3

    on_loop(main)


def test_a_certificate_is_renewed_while_the_store_cannot_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("it is cut off")

    async def main() -> None:
        async with machines(tmp_path) as at:
            first = await at.start("first", lifetime_s=4)
            monkeypatch.setattr(first.cluster, "refresh", unavailable)
            monkeypatch.setattr(first.registry, "refresh", unavailable)
            ends = first.channel.credentials.not_after
            await until(lambda: first.channel.credentials.not_after > ends)

    on_loop(main)


def test_a_node_that_was_off_for_long_makes_its_certificate_anew(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            at.clock.skew_ms = -48 * 3600 * 1000
            first = await at.start("first", lifetime_s=24 * 3600)
            ended = first.channel.credentials.not_after
            await first.close()
            at.clock.skew_ms = 0
            first = await at.start("first", lifetime_s=24 * 3600)
            assert (first.channel.credentials.not_after - ended).total_seconds() > 40 * 3600
            second = await at.join_and_start("second", first.channel.address)
            await until(lambda: all_connected(first, second))

    on_loop(main)


def test_the_clusters_secrets_follow_a_new_master_key(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at:
            cluster = await at.cluster("first")
            # By another that holds the same file, as the key ring does.
            former = at.master("first").add()
            assert await cluster.seal_anew() == 1
            assert await cluster.seal_anew() == 0
            cluster.master.retire(former)
            assert (await at.cluster("first")).authority.sha256 == cluster.authority.sha256

    on_loop(main)


def test_what_lies_beside_the_certificate_names_all_of_it(tmp_path: Path) -> None:
    files = CredentialFiles.within(tmp_path)
    assert {path.name for path in (files.authority, files.others, files.certificate, files.private_key)} == {
        "cluster-ca.pem",
        "cluster-ca-other.pem",
        "node.pem",
        "node-key.pem",
    }
