"""The cluster's authority is exchanged while nodes serve: nobody notices, and the former one is worth nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tenet.base.clock import SystemClock
from tenet.mesh import cluster as cluster_module
from tenet.mesh import governing, succession
from tenet.mesh.channel import NodeId
from tenet.mesh.credentials import Credentials, ensure_key, keep, wanted_of
from tenet.mesh.errors import CallFailed, CannotInvite, CannotRotate, WrongAuthority
from tenet.mesh.invitations import invite
from tenet.mesh.network import Network
from tenet.mesh.node import MeshNode
from tenet.mesh.records import CLUSTER, decode_cluster
from tenet.mesh.succession import Exchanged, Succession
from tenet.store.errors import StoreUnavailable
from tenet.wire.issuing import Authority, Issuer, fingerprint, pem_certificate
from tests.machines import Machines, all_connected, machines
from tests.nodes import IDS, on_loop, until
from tests.steps import Died, Steps

CLOCK = SystemClock()
HOUR_S = 3600


def succession_of(node: MeshNode) -> Succession:
    return Succession(node, clock=CLOCK, ids=IDS)


async def exchange(leading: Succession, *, cuts_off: bool = False, overlap_s: float = HOUR_S) -> Exchanged:
    return await leading.exchange(overlap_s, cuts_off=cuts_off)


@asynccontextmanager
async def three(at: Machines) -> AsyncIterator[list[MeshNode]]:
    """Three nodes that are connected, each of which answers calls of the kind ``echo``."""
    first = await at.start("first")
    nodes = [first, *[await at.join_and_start(name, first.channel.address) for name in ("second", "third")]]
    for node in nodes:
        node.channel.handle("echo", echo)
    await until(lambda: all_connected(*nodes))
    yield nodes


async def echo(_: NodeId, body: bytes) -> bytes:
    return body


async def call_on(nodes: Sequence[MeshNode], is_over: asyncio.Event) -> int:
    """Has every node call every other one again and again; returns how often. A call that fails fails the test."""
    count = 0

    async def between(one: MeshNode, other: MeshNode) -> None:
        nonlocal count
        while not is_over.is_set():
            assert await one.channel.call(other.node, "echo", b"x", 5) == b"x"
            count += 1
            await asyncio.sleep(0.001)

    await asyncio.gather(*(between(one, other) for one in nodes for other in nodes if one is not other))
    return count


def trusts(node: MeshNode, *authorities: str) -> bool:
    """Whether these are the authorities that a node trusts, in memory and in its files, the present one apart."""
    files = node.identity.files
    counts = [
        path.read_bytes().count(b"BEGIN CERTIFICATE") for path in (files.authority, files.others) if path.exists()
    ]
    return [*node.channel.credentials.authorities] == [*authorities] and counts == [1] * len(authorities)


async def of_one_authority(at: Machines, nodes: Sequence[MeshNode]) -> str:
    """Checks that all nodes trust one authority alone, have certificates of it, and are connected by these."""
    (record,) = await at.store.get([CLUSTER])
    assert record is not None
    stored = decode_cluster(record)
    assert (stored.incoming, stored.former, stored.former_until_ms) == (b"", b"", 0)
    present = nodes[0].cluster.authority.sha256
    await until(lambda: all(trusts(node, present) for node in nodes))
    assert all(node.channel.credentials.signed_by == present for node in nodes)
    await until(lambda: all_connected(*nodes))
    assert not any(node.channel.outdated() for node in nodes)
    return present


@asynccontextmanager
async def stranger(at: Machines, authority: Authority, node: MeshNode) -> AsyncIterator[Network]:
    """Somebody who has an authority's private key, and certifies himself as a node of his own making."""
    rogue = at.identity("rogue")
    rogue.make_directory()
    key = ensure_key(rogue.files.private_key)
    certificate = Issuer(clock=CLOCK, ids=IDS).issue(authority, key.public_key(), wanted_of(NodeId("rogue"), HOUR_S))
    trusted = [authority.certificate, *node.channel.credentials.authorities.values()]
    keep(rogue.files.authority, b"".join(pem_certificate(one) for one in trusted))
    keep(rogue.files.certificate, pem_certificate(certificate))

    async def anybody(_: NodeId, __: str) -> str:
        return ""

    network = Network(Credentials(NodeId("rogue"), rogue.files), "1.0", anybody, clock=CLOCK, ids=IDS)
    network.dial(node.channel.address)
    try:
        yield network
    finally:
        await network.close()


@pytest.mark.thorough
def test_the_authority_is_exchanged_without_a_call_that_fails_and_the_former_one_is_worth_nothing(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at, three(at) as nodes:
            former, downs = nodes[0].cluster.authority, list[str]()
            for node in nodes:
                node.channel.on_down(lambda peer: downs.append(peer.node))
            is_over, leading = asyncio.Event(), [succession_of(node) for node in nodes]
            calling = asyncio.create_task(call_on(nodes, is_over))
            exchanged = [former.sha256]
            for one in leading:
                done = await exchange(one)
                assert (done.not_seen, done.former_until_ms, done.withdrawn) == ((), 0, 0)
                exchanged.append(await of_one_authority(at, nodes))
                assert done.authority_sha256 == exchanged[-1]
            is_over.set()
            assert await calling > len(nodes)
            assert downs == []
            assert len({*exchanged}) == len(leading) + 1
            async with stranger(at, former, nodes[0]) as network:
                address = nodes[0].channel.address
                await until(lambda: network.trouble(address))
                # The side that dials is through with its handshake before the other one refuses it (RFC 8446, 4.4.2.4).
                await asyncio.sleep(0.2)
                assert network.peers() == ()
            assert all_connected(*nodes)
            # The private key of the former one is nowhere in the store any more.
            assert nodes[1].cluster.authority.key.public_key() != former.key.public_key()

    on_loop(main)


def test_a_machine_joins_with_an_invitation_of_the_new_authority_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at, three(at) as nodes:
            before = await at.token()
            leading = [succession_of(node) for node in nodes]
            done = await exchange(leading[0])
            assert done.withdrawn == 1
            assert await at.governance.invitations() == []
            with pytest.raises(WrongAuthority, match="has exchanged its authority since: print another invitation"):
                await at.join("fourth", nodes[0].channel.address, before)
            fourth = await at.join_and_start("fourth", nodes[1].channel.address)
            await until(lambda: all_connected(*nodes, fourth))
            # One that is of the present authority is left alone by whoever goes on with an exchange.
            kept = await at.token()
            assert await leading[1]._withdraw_invitations() == 0
            assert [one.name for one in await at.governance.invitations()] == [kept.name]

    on_loop(main)


def test_a_node_that_is_off_meanwhile_is_named_and_comes_back_whenever_it_starts(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at, three(at) as nodes:
            leading, former = [succession_of(node) for node in nodes], nodes[0].cluster.authority.sha256
            await nodes[2].close()
            await until(lambda: all_connected(*nodes[:2]))
            done = await exchange(leading[0])
            assert done.not_seen == ("third",)
            assert done.former_until_ms > CLOCK.wall_ms() + (HOUR_S - 60) * 1000
            assert all(trusts(node, done.authority_sha256, former) for node in nodes[:2])
            third = await at.start("third")
            succession_of(third)
            await until(lambda: all_connected(*nodes[:2], third))
            again = await exchange(leading[1])
            assert (again.authority_sha256, again.not_seen, again.former_until_ms) == (done.authority_sha256, (), 0)
            await of_one_authority(at, [*nodes[:2], third])
            # Cut off while it is away, it finds the way by itself as well.
            await third.close()
            await until(lambda: all_connected(*nodes[:2]))
            cut = await exchange(leading[0], cuts_off=True)
            assert (cut.not_seen, cut.former_until_ms) == (("third",), 0)
            await of_one_authority(at, nodes[:2])
            third = await at.start("third")
            await of_one_authority(at, [*nodes[:2], third])

    on_loop(main)


@pytest.mark.thorough
def test_the_former_authoritys_time_ends_by_itself(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at, three(at) as nodes:
            leading = [succession_of(node) for node in nodes]
            await nodes[2].close()
            await until(lambda: all_connected(*nodes[:2]))
            # Longer than the nodes need to see each other again.
            done = await exchange(leading[0], overlap_s=4)
            assert done.former_until_ms
            await until(lambda: all(trusts(node, done.authority_sha256) for node in nodes[:2]))
            assert CLOCK.wall_ms() >= done.former_until_ms
            assert all_connected(*nodes[:2])
            # What is over is no exchange to go on with.
            another = await exchange(leading[1], cuts_off=True)
            assert another.authority_sha256 != done.authority_sha256
            await of_one_authority(at, nodes[:2])

    on_loop(main)


@pytest.mark.thorough
def test_whoever_leads_may_end_at_every_step(tmp_path: Path) -> None:
    async def ends(folder: Path, last: int) -> bool:
        steps = Steps(last)
        async with machines(folder) as at, three(at) as nodes:
            await at.token()
            downs = list[str]()
            for node in nodes[1:]:
                node.channel.on_down(lambda peer: downs.append(peer.node))
            leading = [succession_of(node) for node in nodes]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(cluster_module, "land", steps.land)
                patch.setattr("tenet.mesh.invitations.land", steps.land)
                try:
                    await exchange(leading[0])
                    has_ended = False
                except Died:
                    has_ended = True
            assert downs == []
            # The process is gone, and another one goes on; the first is started again whenever that is.
            await nodes[0].close()
            await until(lambda: all_connected(*nodes[1:]))
            begun = nodes[1].cluster.incoming or nodes[1].cluster.former
            first = await at.start("first")
            succession_of(first)
            again = [first, *nodes[1:]]
            await until(lambda: all_connected(*again))
            done = await exchange(leading[2])
            assert (done.not_seen, done.former_until_ms) == ((), 0)
            await of_one_authority(at, again)
            assert begun is None or has_ended
            assert await at.governance.invitations() == []
            return has_ended

    async def main() -> None:
        last = 1
        while await ends(tmp_path / str(last), last):
            last += 1
        # Three changes of the record and one of an invitation, begun and done.
        assert last - 1 == 8

    on_loop(main)


def test_of_several_that_lead_at_once_one_goes_through(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at, three(at) as nodes:
            leading, is_over = [succession_of(node) for node in nodes], asyncio.Event()
            calling = asyncio.create_task(call_on(nodes, is_over))
            done = await asyncio.gather(*(exchange(one) for one in leading), return_exceptions=True)
            is_over.set()
            assert await calling > 0
            through = [one for one in done if isinstance(one, Exchanged)]
            refused = [one for one in done if isinstance(one, CannotRotate)]
            assert (len(through) > 0, len(through) + len(refused)) == (True, 3), done
            assert all(one.not_seen == () for one in through)
            told = re.compile(r"^another exchange of the authority .*, led by node (first|second|third), ")
            assert all(told.match(one.message) for one in refused), refused
            assert await of_one_authority(at, nodes) in {one.authority_sha256 for one in through}

    on_loop(main)


@asynccontextmanager
async def held_up_before_the_switch(leading: Succession) -> AsyncIterator[asyncio.Task[Exchanged]]:
    """An exchange that has made every node trust the new authority, and goes on at the end of the block."""
    reached, go, switch = asyncio.Event(), asyncio.Event(), leading._switch

    async def held(*given: Any) -> None:
        reached.set()
        await go.wait()
        await switch(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leading, "_switch", held)
        task = asyncio.create_task(exchange(leading))
        await reached.wait()
        try:
            yield task
        finally:
            go.set()
            await asyncio.wait([task])
        await task


@pytest.mark.thorough
def test_while_one_leads_another_exchange_is_refused_and_told_who_that_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at, three(at) as nodes:
            leading = [succession_of(node) for node in nodes]
            async with held_up_before_the_switch(leading[0]) as first:
                for another in reversed(leading):
                    with pytest.raises(CannotRotate, match="led by node first, and this one has changed nothing"):
                        await exchange(another)
            assert first.result().authority_sha256 == await of_one_authority(at, nodes)
            # Nobody leads any more.
            assert (await exchange(leading[1])).authority_sha256 == await of_one_authority(at, nodes)

    on_loop(main)


def test_no_invitation_is_made_that_the_exchange_under_way_would_withdraw(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at, three(at) as nodes:
            leading = [succession_of(node) for node in nodes]
            async with held_up_before_the_switch(leading[0]) as first:
                with pytest.raises(CannotInvite, match=r"is being exchanged by node first, .* try again when"):
                    await at.token()
            assert first.result().withdrawn == 0
            fourth = await at.join_and_start("fourth", nodes[1].channel.address)
            await until(lambda: all_connected(*nodes, fourth))

    on_loop(main)


def test_an_invitation_that_an_exchange_overtakes_while_it_is_made_names_the_new_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at, three(at) as nodes:
            leading = [succession_of(node) for node in nodes]
            exchanged: list[Exchanged] = []

            async def overtaken(*given: Any, **options: Any) -> Any:
                if not exchanged:
                    exchanged.append(await exchange(leading[0]))
                return await invite(*given, **options)

            monkeypatch.setattr(governing, "invite", overtaken)
            token = await at.token()
            assert token.authority_sha256 == exchanged[0].authority_sha256
            await at.join("fourth", nodes[0].channel.address, token)

    on_loop(main)


def test_an_authority_that_was_prepared_and_not_used_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at, three(at) as nodes:
            leading = [succession_of(node) for node in nodes]
            with monkeypatch.context() as patch:

                async def die(*_: Any) -> None:
                    raise Died

                patch.setattr(leading[0], "_switch", die)
                with pytest.raises(Died):
                    await exchange(leading[0])
            left = nodes[0].cluster.incoming
            assert left is not None
            done = await exchange(leading[1])
            assert done.authority_sha256 == await of_one_authority(at, nodes) != fingerprint(left)

    on_loop(main)


def test_a_node_of_a_version_that_cannot_follow_is_named_and_nothing_changes(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at, three(at) as nodes:
            leading = succession_of(nodes[0])
            before = await at.store.get([CLUSTER])
            with pytest.raises(CannotRotate, match="second, third runs a version that cannot follow"):
                await exchange(leading, cuts_off=True)
            assert await at.store.get([CLUSTER]) == before

    on_loop(main)


def test_a_node_that_does_not_reach_the_store_stops_it_or_is_cut_off_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(succession, "PREPARED_S_MAX", 0.5)
    # Enough for the two that follow, on a machine that has other things to do as well.
    monkeypatch.setattr(succession, "SHOWN_S_MAX", 3.0)

    async def main() -> None:
        async with machines(tmp_path) as at, three(at) as nodes:
            leading, former = [succession_of(node) for node in nodes], nodes[0].cluster.authority.sha256
            third = nodes[2]
            with pytest.MonkeyPatch.context() as patch:

                async def unavailable(*_: Any, **__: Any) -> Any:
                    raise StoreUnavailable("it is cut off")

                patch.setattr(third.registry, "refresh", unavailable)
                patch.setattr(third.cluster, "refresh", unavailable)
                with pytest.raises(CannotRotate, match="third does not trust the new authority yet, and nothing else"):
                    await exchange(leading[0])
                assert all(node.channel.credentials.signed_by == former for node in nodes)
                assert all_connected(*nodes)
                done = await exchange(leading[0], cuts_off=True)
                assert (done.not_seen, done.former_until_ms) == (("third",), 0)
                # Nobody talks to it by what is of the former authority.
                await until(lambda: all_connected(*nodes[:2]))
                assert trusts(third, former)
            await of_one_authority(at, nodes)

    on_loop(main)


def test_what_a_node_cannot_do_is_no_answer_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with machines(tmp_path) as at, three(at) as nodes:
            for node in nodes[1:]:
                succession_of(node)
            with pytest.MonkeyPatch.context() as patch:

                async def unavailable() -> None:
                    raise StoreUnavailable("it is cut off")

                patch.setattr(nodes[1].registry, "refresh", unavailable)
                with pytest.raises(CallFailed, match="it is cut off"):
                    await nodes[0].channel.call(nodes[1].node, succession.STANDING, b"", 5)

    on_loop(main)
