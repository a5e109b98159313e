"""The channels of one process, which the sims of the mesh stand on: they pass, lose and hold what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from tenet.base.clock import SystemClock
from tenet.base.errors import TenetError
from tenet.mesh.channel import Channel, NodeId
from tenet.mesh.errors import CallFailed, CallLost, CallRefused, PeerUnreachable
from tenet.mesh.switchboard import Switchboard, SwitchboardChannel

A, B = NodeId("a"), NodeId("b")


async def _echo(sender: NodeId, body: bytes) -> bytes:
    return f"{sender}:".encode() + body


def _pair() -> tuple[Switchboard, SwitchboardChannel, SwitchboardChannel]:
    board = Switchboard(SystemClock.monotonic_s)
    one, other = board.start("a"), board.start("b")
    other.handle("echo", _echo)
    one.dial("b:1")
    return board, one, other


async def _turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def _run(main: Callable[[], Coroutine[object, object, None]]) -> None:
    asyncio.run(main())


def test_a_switchboard_channel_is_a_channel() -> None:
    async def main() -> None:
        _, one, _ = _pair()
        channel: Channel = one
        assert channel.node == A

    _run(main)


def test_calls_are_answered_and_notices_taken_in_order() -> None:
    async def main() -> None:
        _, one, other = _pair()
        taken: list[bytes] = []
        other.receive("n", lambda _, body: taken.append(body))
        await _turns()
        assert await one.call(B, "echo", b"x", 1) == b"a:x"
        assert all(one.notify(B, "n", bytes([n])) for n in range(9))
        await _turns()
        assert taken == [bytes([n]) for n in range(9)]

    _run(main)


def test_what_a_handler_raises_arrives_and_unknown_kinds_are_refused() -> None:
    async def fails(sender: NodeId, body: bytes) -> bytes:
        raise TenetError(f"no {body.decode()} for {sender}")

    async def main() -> None:
        _, one, other = _pair()
        other.handle("fails", fails)
        await _turns()
        with pytest.raises(CallFailed, match="no x for a"):
            await one.call(B, "fails", b"x", 1)
        with pytest.raises(CallRefused):
            await one.call(B, "nobody", b"", 1)
        with pytest.raises(PeerUnreachable):
            await one.call(NodeId("c"), "echo", b"", 1)

    _run(main)


def test_a_kill_is_seen_and_a_restart_is_another_incarnation() -> None:
    async def main() -> None:
        board, one, other = _pair()
        seen: list[tuple[str, str]] = []
        one.on_up(lambda peer: seen.append(("up", peer.incarnation)))
        one.on_down(lambda peer: seen.append(("down", peer.incarnation)))
        await _turns()
        board.kill(B)
        await _turns()
        again = board.start("b")
        await _turns()
        assert seen == [("up", other.incarnation), ("down", other.incarnation), ("up", again.incarnation)]
        assert [peer.node for peer in one.peers()] == [B]

    _run(main)


def test_a_frozen_node_answers_after_it_is_thawed_and_a_cut_loses_without_a_trace() -> None:
    async def main() -> None:
        board, one, _ = _pair()
        await _turns()
        board.freeze(B)
        before = one.heard_s(B)
        with pytest.raises(CallLost):
            await one.call(B, "echo", b"", 0.01)
        assert one.heard_s(B) == before
        waiting = asyncio.ensure_future(one.call(B, "echo", b"y", 5))
        await _turns()
        board.thaw(B)
        assert await waiting == b"a:y"
        board.cut(A, B)
        assert one.notify(B, "n", b"")
        with pytest.raises(CallLost):
            await one.call(B, "echo", b"", 0.01)
        board.mend(A, B)
        assert await one.call(B, "echo", b"z", 5) == b"a:z"

    _run(main)


def test_dropping_a_peer_is_seen_by_both_and_it_comes_back_where_it_is_dialled() -> None:
    async def main() -> None:
        _, one, other = _pair()
        await _turns()
        other.drop(A)
        await _turns()
        assert [peer.node for peer in one.peers()] == [B]
        one.forget("b:1")
        other.drop(A)
        await _turns()
        assert one.peers() == other.peers() == ()

    _run(main)
