"""Clusters of simulated nodes: each with a faulty store, a channel, membership, leases and a supervisor of jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from tenet.base.clock import ManualClock
from tenet.mesh.channel import Handler, Listener, NodeId, Peer, Receiver
from tenet.mesh.cooperation import Cooperation
from tenet.mesh.observing import Timings
from tenet.mesh.switchboard import Switchboard, SwitchboardChannel
from tenet.store.faulty import FaultPlan
from tests.sim.harness import Node, Simulation
from tests.sim.processes import Process, install

#: How long a message travels.
DELAY_S = 0.002


class ProcessChannel:
    """A channel of a process, in which everything that the channel calls belongs to the process."""

    def __init__(self, channel: SwitchboardChannel, process: Process) -> None:
        self._channel = channel
        self._process = process
        self.call = channel.call
        self.notify = channel.notify
        self.peers = channel.peers
        self.heard_s = channel.heard_s
        self.dial = channel.dial
        self.forget = channel.forget
        self.drop = channel.drop

    @property
    def node(self) -> NodeId:
        return self._channel.node

    @property
    def incarnation(self) -> str:
        return self._channel.incarnation

    def handle(self, kind: str, handler: Handler) -> None:
        async def handled(sender: NodeId, body: bytes) -> bytes:
            return await self._process.start(_awaited(handler, sender, body))

        self._channel.handle(kind, handled)

    def receive(self, kind: str, receiver: Receiver) -> None:
        self._channel.receive(kind, lambda sender, body: self._process.run(receiver, sender, body))

    def on_up(self, listener: Listener) -> None:
        self._channel.on_up(self._listening(listener))

    def on_down(self, listener: Listener) -> None:
        self._channel.on_down(self._listening(listener))

    def _listening(self, listener: Listener) -> Callable[[Peer], None]:
        return lambda peer: self._process.run(listener, peer)


async def _awaited(handler: Handler, sender: NodeId, body: bytes) -> bytes:
    return await handler(sender, body)


class MeshNode:
    """One process of a cluster."""

    def __init__(self, mesh: Mesh, name: str, plan: FaultPlan | None) -> None:
        self.name = NodeId(name)
        self._mesh = mesh
        self.process = Process()
        self.sim_node: Node = mesh.sim.node(plan)
        self.process.run(self._make)
        self.is_alive = True

    def _make(self) -> None:
        clock, ids = self.sim_node.clock, self.sim_node.ids
        self.channel = ProcessChannel(self._mesh.board.start(self.name), self.process)
        self.cooperation = Cooperation(
            self.sim_node.store,
            self.channel,
            clock=clock,
            ids=ids,
            address=f"{self.name}:1",
            timings=self._mesh.timings,
        )
        self.hints, self.store = self.cooperation.hints, self.cooperation.store
        self.membership, self.leases = self.cooperation.membership, self.cooperation.leases
        self.supervisor = self.cooperation.supervisor

    async def join(self) -> None:
        """Becomes a member with the jobs that its supervisor has, however often the store fails."""

        await self.process.start(self.sim_node.client.patiently(self.cooperation.begin))

    async def leave(self) -> None:
        """Ends as a process does that is asked to."""
        await self.process.start(self.cooperation.end())
        self.kill()

    def kill(self) -> None:
        """Ends as by kill -9."""
        self.is_alive = False
        self.sim_node.store._is_closed = True
        self._mesh.board.kill(self.name)
        self.process.kill()

    def freeze(self) -> None:
        """Stops as by SIGSTOP."""
        self.process.freeze()
        self._mesh.board.freeze(self.name)

    def thaw(self) -> None:
        """Goes on as by SIGCONT."""
        if self.is_alive:
            self._mesh.board.thaw(self.name)
            self.process.thaw()


class Mesh:
    """A cluster in a simulation."""

    def __init__(self, sim: Simulation, *, timings: Timings | None = None) -> None:
        install(asyncio.get_running_loop())
        self.sim = sim
        self.clock: ManualClock = sim.clock
        self.timings = timings or Timings()
        self.board = Switchboard(sim.clock.monotonic_s, delay_s=DELAY_S)
        self.nodes: list[MeshNode] = []

    def node(self, name: str, plan: FaultPlan | None = None) -> MeshNode:
        """Starts a process, which has not joined yet."""
        self.nodes.append(MeshNode(self, name, plan))
        return self.nodes[-1]

    async def joined(self, count: int, plan: FaultPlan | None = None) -> list[MeshNode]:
        """Starts nodes a, b, c and so on, and lets them join and hear of each other."""
        nodes = [self.node(chr(ord("a") + at), plan) for at in range(count)]
        await asyncio.gather(*(node.join() for node in nodes))
        await self.until(lambda: all(node.membership.view.up == {n.name for n in nodes} for node in nodes), 10.0)
        await asyncio.sleep(2.0)
        return nodes

    async def until(self, holds: Callable[[], bool], within_s: float) -> float:
        """Waits until something holds; returns how long it took, in seconds; fails where it takes longer."""
        begun_s = self.clock.monotonic_s()
        while not holds():
            took_s = self.clock.monotonic_s() - begun_s
            assert took_s <= within_s, f"after {took_s:.2f} s it does not hold yet: {self.describe()}"
            await asyncio.sleep(0.01)
        return self.clock.monotonic_s() - begun_s

    def describe(self) -> Mapping[str, Any]:
        """What each node believes, for failures."""
        return {
            f"{node.name}{'' if node.is_alive else ' (dead)'}": {
                "standing": node.membership.standing.value,
                "up": sorted(node.membership.view.up),
                "running": node.supervisor.running(),
            }
            for node in self.nodes
        }

    async def end(self) -> None:
        """Ends all processes, so that nothing is left behind."""
        for node in self.nodes:
            if node.is_alive:
                node.kill()
        await asyncio.sleep(0)
        tasks = [task for node in self.nodes for task in node.process.tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=60.0)
