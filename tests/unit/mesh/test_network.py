"""Nodes over real TLS on loopback: calls, notices, who is connected, and which connection of several is kept."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tenet.base.errors import TenetError
from tenet.mesh.channel import BODY_BYTES_MAX, Channel, NodeId
from tenet.mesh.errors import CallFailed, CallLost, CallRefused, FrameTooLarge, PeerUnreachable
from tenet.mesh.link import LinkLimits
from tenet.mesh.network import Network
from tests.nodes import Cluster, connected, on_loop, until

A, B, C = NodeId("a"), NodeId("b"), NodeId("c")


async def echo(sender: NodeId, body: bytes) -> bytes:
    return sender.encode() + b":" + body


def test_three_nodes_call_and_notify_each_other(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)

    async def main() -> None:
        async with cluster.node("a") as a, cluster.node("b") as b, cluster.node("c") as c:
            channel: Channel = a
            for one in (a, b, c):
                one.handle("echo", echo)
                for other in (a, b, c):
                    one.dial(other.address, None)
            await until(lambda: connected(a, b, c))
            assert [(peer.node, peer.address, peer.release) for peer in channel.peers()] == [
                (B, b.address, "1.0"),
                (C, c.address, "1.0"),
            ]
            answers = await asyncio.gather(*(a.call(node, "echo", b"%d" % n, 10) for n in range(50) for node in (B, C)))
            assert answers == [b"a:%d" % n for n in range(50) for _ in (B, C)]
            taken: list[tuple[NodeId, bytes]] = []
            c.receive("told", lambda sender, body: taken.append((sender, body)))
            assert all(b.notify(C, "told", b"%d" % n) for n in range(100))
            await until(lambda: len(taken) == 100)
            assert taken == [(B, b"%d" % n) for n in range(100)]

    on_loop(main)


def test_what_cannot_be_answered_is_an_error_that_says_what_was_done(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)

    async def fails(_: NodeId, body: bytes) -> bytes:
        if body == b"bug":
            raise KeyError("x")
        raise TenetError("this is wrong")

    async def large(_: NodeId, __: bytes) -> bytes:
        return bytes(BODY_BYTES_MAX + 1)

    async def main() -> None:
        async with cluster.node("a") as a, cluster.node("b") as b:
            b.handle("fails", fails)
            b.handle("large", large)
            b.handle("echo", echo)
            with pytest.raises(PeerUnreachable, match="node b is not connected"):
                await a.call(B, "echo", b"", 1)
            assert not a.notify(B, "told", b"")
            a.dial(b.address, B)
            await until(lambda: connected(a, b))
            with pytest.raises(CallRefused, match="does not answer nothing"):
                await a.call(B, "nothing", b"", 10)
            with pytest.raises(CallFailed, match="this is wrong") as raised:
                await a.call(B, "fails", b"", 10)
            assert (raised.value.code, raised.value.retryable) == ("InternalFailure", False)
            with pytest.raises(CallFailed, match="KeyError"):
                await a.call(B, "fails", b"bug", 10)
            with pytest.raises(CallFailed) as raised:
                await a.call(B, "large", b"", 10)
            assert raised.value.code == "FrameTooLarge"
            with pytest.raises(FrameTooLarge):
                await a.call(B, "echo", bytes(BODY_BYTES_MAX + 1), 10)
            with pytest.raises(FrameTooLarge):
                a.notify(B, "echo", bytes(BODY_BYTES_MAX + 1))
            largest = bytes(BODY_BYTES_MAX - 2)
            assert await a.call(B, "echo", largest, 20) == b"a:" + largest

    on_loop(main)


def test_a_deadline_ends_the_call_at_both_ends(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow(_: NodeId, __: bytes) -> bytes:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()
        return b""

    async def main() -> None:
        async with cluster.node("a") as a, cluster.node("b") as b:
            b.handle("slow", slow)
            a.dial(b.address, B)
            await until(lambda: connected(a, b))
            with pytest.raises(CallLost, match=r"did not answer slow within 0\.2 s"):
                await a.call(B, "slow", b"", 0.2)
            await asyncio.wait_for(ended.wait(), 10)
            begun.clear()
            ended.clear()
            waiting = asyncio.ensure_future(a.call(B, "slow", b"", 3600))
            await asyncio.wait_for(begun.wait(), 10)
            waiting.cancel()
            await asyncio.wait_for(ended.wait(), 10)
            begun.clear()
            waiting = asyncio.ensure_future(a.call(B, "slow", b"", 3600))
            await asyncio.wait_for(begun.wait(), 10)
            await b.close()
            with pytest.raises(CallLost, match="the node stops"):
                await waiting

    on_loop(main)


def test_a_peer_takes_only_so_many_calls_and_answers_others_meanwhile(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    may_go = asyncio.Event()

    async def held(_: NodeId, body: bytes) -> bytes:
        await may_go.wait()
        return body

    async def main() -> None:
        async with cluster.node("a") as a, cluster.node("b", limits=LinkLimits(calls_max=3, work_bytes_max=100)) as b:
            b.handle("held", held)
            a.dial(b.address, B)
            await until(lambda: connected(a, b))
            waiting = [asyncio.ensure_future(a.call(B, "held", b"%d" % n, 60)) for n in range(3)]
            await until(lambda: len(b._links[A]._work) == 3)
            with pytest.raises(CallRefused, match="as many calls at work as it takes"):
                await a.call(B, "held", b"", 60)
            may_go.set()
            assert await asyncio.gather(*waiting) == [b"0", b"1", b"2"]
            with pytest.raises(CallRefused, match="as many calls at work as it takes"):
                await a.call(B, "held", bytes(101), 60)
            assert await a.call(B, "held", bytes(100), 60) == bytes(100)

    on_loop(main)


def test_both_dialling_at_once_leaves_one_connection_and_no_gap(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)

    async def main() -> None:
        for _ in range(3):
            await both_dial()

    async def both_dial() -> None:
        events: list[str] = []
        async with cluster.node("a") as a, cluster.node("b") as b:
            for one in (a, b):
                one.on_up(lambda peer: events.append(f"up {peer.node}"))
                one.on_down(lambda peer: events.append(f"down {peer.node}"))
            a.dial(b.address, B)
            b.dial(a.address, A)
            await until(lambda: connected(a, b) and len(a._all) == len(b._all) == 1)
            assert sorted(events) == ["up a", "up b"]
            assert a._links[B].is_dialled
            assert not b._links[A].is_dialled

    on_loop(main)


def test_a_restarted_peer_is_down_then_up_with_another_incarnation(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)

    async def main() -> None:
        async with cluster.node("a") as a:
            events: list[tuple[str, str]] = []
            a.on_up(lambda peer: events.append(("up", peer.incarnation)))
            a.on_down(lambda peer: events.append(("down", peer.incarnation)))
            async with cluster.node("b") as b:
                a.dial(b.address, B)
                await until(lambda: connected(a, b))
                first, port = b.incarnation, int(b.address.rpartition(":")[2])
            await until(lambda: len(events) == 2)
            with pytest.raises(PeerUnreachable):
                await a.call(B, "echo", b"", 1)
            async with cluster.node("b", port=port) as b:
                await until(lambda: connected(a, b))
                assert events == [("up", first), ("down", first), ("up", b.incarnation)]
                assert b.incarnation > first
            assert a.heard_s(B) is None

    on_loop(main)


def test_a_later_process_of_a_node_takes_the_place_of_one_that_hangs(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)

    async def main() -> None:
        async with AsyncExitStack() as stack:
            a = await stack.enter_async_context(cluster.node("a"))
            former = await stack.enter_async_context(cluster.node("b"))
            events: list[tuple[str, str]] = []
            a.on_up(lambda peer: events.append(("up", peer.incarnation)))
            a.on_down(lambda peer: events.append(("down", peer.incarnation)))
            former.dial(a.address, A)
            await until(lambda: connected(a, former))
            await asyncio.sleep(0.002)
            later = await stack.enter_async_context(cluster.node("b"))
            later.dial(a.address, A)
            await until(lambda: [peer.incarnation for peer in a.peers()] == [later.incarnation])
            # The former one keeps trying, and is told that it is not wanted any more.
            await until(lambda: "a later process" in former.trouble(a.address))
            assert events == [("up", former.incarnation), ("down", former.incarnation), ("up", later.incarnation)]

    on_loop(main)


def test_silence_ends_a_connection_and_keep_alives_prevent_it(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    limits = LinkLimits(keep_alive_s=0.05, silent_s=0.5)

    async def main() -> None:
        async with cluster.node("a", limits=limits) as a, cluster.node("b", limits=limits) as b:
            a.dial(b.address, B)
            await until(lambda: connected(a, b))
            reasons: list[str] = []
            link = a._links[B]
            began_s, heard_s = link.up_s, link.heard_s
            await until(lambda: link.heard_s - began_s > 1.0)
            assert a._links[B] is link
            assert (a.heard_s(B) or 0) > heard_s
            a.on_down(lambda _: reasons.append(link.reason))
            # What hangs sends nothing, though its kernel keeps the connection.
            b._links[A]._write = lambda data: None  # type: ignore[method-assign]
            await until(lambda: reasons)
            assert "nothing was heard for" in reasons[0]

    on_loop(main)


def test_a_pause_of_our_own_is_not_the_silence_of_peers(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    limits = LinkLimits(keep_alive_s=0.05, silent_s=0.5)

    async def main() -> None:
        async with cluster.node("a", limits=limits) as a, cluster.node("b", limits=LinkLimits(keep_alive_s=0.05)) as b:
            a.dial(b.address, B)
            await until(lambda: connected(a, b))
            link = a._links[B]
            await asyncio.sleep(0.2)
            # As the process would find it after it was stopped for an hour: the clock has moved, and nothing was read.
            a._ticked_s -= 3600
            link.heard_s -= 3600
            link._sent_s -= 3600
            await asyncio.sleep(0.2)
            assert a._links[B] is link
            assert not link.reason

    on_loop(main)


def test_an_address_that_two_parts_dial_is_dialled_until_both_have_forgotten_it(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)

    async def main() -> None:
        async with cluster.node("a") as a:
            async with cluster.node("b") as b:
                address = b.address
                for _ in range(2):
                    a.dial(address, B)
                await until(lambda: connected(a, b))
                a.forget(address, B)
                # Somebody else whom nobody dials there is no matter.
                a.forget(address, C)
                a.drop(B)
                await until(lambda: not a.peers())
                await until(lambda: connected(a, b))
            await until(lambda: a.trouble(address, B))
            assert not a.trouble(address, C)
            a.forget(address, B)
            assert not a.trouble(address)
            assert not a._dialler._targets

    on_loop(main)


def test_an_address_that_cannot_be_dialled_at_all_is_named_and_tried_again(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)

    async def main() -> None:
        async with cluster.node("a") as a:
            for address in ("127.0.0.1:79000", "127.0.0.1:-1"):
                a.dial(address, B)
                await until(lambda address=address: a.trouble(address, B))  # type: ignore[misc]
                task = a._dialler._targets[address, B].task
                assert task is not None
                assert not task.done()

    on_loop(main)


def test_a_node_is_not_connected_with_itself_or_another_than_is_looked_for(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)

    async def main() -> None:
        async with cluster.node("a") as a, cluster.node("b") as b:
            a.dial(a.address)
            a.dial(b.address, C)
            await until(lambda: "node c is looked for here, not b" in a.trouble(b.address))
            assert a.peers() == b.peers() == ()
            target = a._dialler._targets[a.address, None]
            assert target.task is not None
            await asyncio.wait_for(target.task, 10)

    on_loop(main)


def test_versions_are_agreed_upon_and_foreign_ones_refused(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    now, later = {"tenet-mesh/1": 1}, {"tenet-mesh/2": 2, "tenet-mesh/1": 1}

    async def main() -> None:
        async with AsyncExitStack() as stack:
            nodes: list[Network] = []
            for name, protocols in (("a", now), ("b", later), ("c", later), ("d", {"tenet-mesh/2": 2})):
                nodes.append(await stack.enter_async_context(cluster.node(name, protocols=protocols)))
            a, b, c, d = nodes
            for one in (a, b, c):
                one.handle("echo", echo)
            a.dial(b.address, B)
            c.dial(a.address, A)
            c.dial(b.address, B)
            await until(lambda: connected(a, b, c))
            assert {a._links[B].version, b._links[A].version, a._links[C].version} == {1}
            assert b._links[C].version == c._links[B].version == 2
            assert await a.call(B, "echo", b"x", 10) == b"a:x"
            assert await c.call(B, "echo", b"x", 10) == b"c:x"
            d.dial(a.address, A)
            await until(lambda: d.trouble(a.address))
            assert "speaks none of tenet-mesh/2" in d.trouble(a.address)
            assert d.peers() == ()

    on_loop(main)


def test_notices_are_dropped_and_calls_refused_where_a_peer_does_not_read(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    tight = LinkLimits(notice_bytes_max=64 * 1024, unsent_bytes_max=1024 * 1024, write_s=0.3, keep_alive_s=0.05)

    async def main() -> None:
        async with cluster.node("a", limits=tight) as a, cluster.node("b") as b:
            a.dial(b.address, B)
            await until(lambda: connected(a, b))
            link = a._links[B]
            transport = b._links[A]._transport
            assert transport is not None
            transport.pause_reading()
            body = bytes(1024 * 1024)
            # What the kernels and TLS hold comes first.
            await until(lambda: not a.notify(B, "told", body))
            calls = [asyncio.ensure_future(a.call(B, "echo", body, 60)) for _ in range(20)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert any(isinstance(one, PeerUnreachable) and "does not take" in one.message for one in outcomes)
            assert all(isinstance(one, PeerUnreachable | CallLost) for one in outcomes)

            def is_over() -> str:
                # The kernels may take some more all the time.
                a.notify(B, "told", body)
                return link.reason

            await until(is_over)
            assert "was not read" in link.reason or "wait to be read" in link.reason

    on_loop(main)
