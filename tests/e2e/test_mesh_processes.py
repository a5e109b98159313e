"""Nodes as processes of their own, which are killed, stopped and let go on; and this test as one of them."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tenet.base.clock import SystemClock
from tenet.mesh.channel import NodeId
from tenet.mesh.errors import CallLost, PeerUnreachable
from tenet.mesh.link import LinkLimits
from tests.nodes import Cluster, on_loop, until
from tests.servers import clean_environment

ROOT = Path(__file__).resolve().parents[2]
SILENT_S = 1.5
LIMITS = LinkLimits(keep_alive_s=0.1, silent_s=SILENT_S)
CLOCK = SystemClock()


class Process:
    """A node in a process of its own, and what it has said."""

    def __init__(self, cluster: Cluster, node: str, *addresses: str) -> None:
        cluster.certify(node)
        self.node = NodeId(node)
        self.said: list[dict[str, Any]] = []
        arguments = [str(cluster.directory), node, str(SILENT_S), *addresses]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.mesh_process", *arguments],
            cwd=ROOT,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith('{"event"'):
                self.said.append(json.loads(line))

    @property
    def address(self) -> str:
        return next((str(one["address"]) for one in self.said if one["event"] == "listening"), "")

    def events_of(self, node: str) -> list[str]:
        return [one["event"] for one in self.said if one.get("node") == node]

    def end(self) -> None:
        self.process.kill()
        self.process.wait(timeout=30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def process(cluster: Cluster, node: str, *addresses: str) -> Iterator[Process]:
    started = Process(cluster, node, *addresses)
    try:
        yield started
    finally:
        started.end()


@pytest.mark.alone
def test_a_killed_process_is_noticed_at_once_and_its_calls_end(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)

    async def main() -> None:
        async with cluster.node("a", limits=LIMITS) as a:
            with process(cluster, "b", a.address) as b:
                await until(lambda: len(a.peers()) == 1)
                downs: list[float] = []
                a.on_down(lambda _: downs.append(CLOCK.monotonic_s()))
                assert await a.call(b.node, "echo", b"x", 10) == b"x"
                killed_s = CLOCK.monotonic_s()
                b.process.kill()
                await until(lambda: downs)
                assert downs[0] - killed_s < 1.0
                with pytest.raises((PeerUnreachable, CallLost)):
                    await a.call(b.node, "echo", b"x", 10)

    on_loop(main)


@pytest.mark.alone
def test_a_stopped_process_goes_away_once_and_comes_back_once(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)

    async def main() -> None:
        async with cluster.node("a", limits=LIMITS) as a:
            events: list[str] = []
            a.on_up(lambda peer: events.append(f"up {peer.incarnation}"))
            a.on_down(lambda peer: events.append(f"down {peer.incarnation}"))
            with process(cluster, "b", a.address) as b:
                await until(lambda: b.events_of("a") == ["up"])
                # Both dial, so that a paused one is dialled all the time.
                a.dial(b.address, b.node)
                name = a.peers()[0].incarnation
                b.process.send_signal(signal.SIGSTOP)
                waiting = asyncio.ensure_future(a.call(b.node, "echo", b"x", 60))
                await until(lambda: events == [f"up {name}", f"down {name}"])
                with pytest.raises(CallLost, match="nothing was heard"):
                    await waiting
                # Longer than anything that waits for it, its handshake included.
                await asyncio.sleep(LIMITS.greeting_s + 1)
                assert events == [f"up {name}", f"down {name}"]
                b.process.send_signal(signal.SIGCONT)
                await until(lambda: len(events) > 2)
                await asyncio.sleep(2 * SILENT_S)
                assert events == [f"up {name}", f"down {name}", f"up {name}"]
                assert await a.call(b.node, "echo", b"x", 10) == b"x"

    on_loop(main)


@pytest.mark.alone
def test_a_short_stop_is_not_even_noticed(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)

    async def main() -> None:
        async with cluster.node("a", limits=LIMITS) as a:
            downs: list[str] = []
            a.on_down(lambda peer: downs.append(peer.node))
            with process(cluster, "b", a.address) as b:
                await until(lambda: len(a.peers()) == 1)
                b.process.send_signal(signal.SIGSTOP)
                waiting = asyncio.ensure_future(a.call(b.node, "echo", b"x", 60))
                await asyncio.sleep(SILENT_S / 2)
                b.process.send_signal(signal.SIGCONT)
                assert await waiting == b"x"
                await asyncio.sleep(0.5)
                assert downs == []
                assert b.events_of("a") == ["up"]

    on_loop(main)


@pytest.mark.alone
def test_three_processes_find_each_other_and_notice_a_restart(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)

    async def main() -> None:
        async with cluster.node("a", limits=LIMITS) as a:
            with process(cluster, "b", a.address) as b:
                await until(lambda: b.address)
                with process(cluster, "c", a.address, b.address) as c:
                    await until(lambda: len(a.peers()) == 2 and c.events_of("b") == ["up"] == b.events_of("c"))
                await until(lambda: len(a.peers()) == 1 and b.events_of("c") == ["up", "down"])
                with process(cluster, "c", a.address, b.address):
                    await until(lambda: len(a.peers()) == 2 and b.events_of("c") == ["up", "down", "up"])
                    assert await a.call(NodeId("c"), "echo", b"x", 10) == b"x"

    on_loop(main)
