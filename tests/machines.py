"""Machines that become nodes of a cluster over one store in memory, with real handshakes between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tenet.base.clock import SystemClock
from tenet.mesh.channel import NodeId
from tenet.mesh.cluster import Cluster
from tenet.mesh.enrolment import Enrolled
from tenet.mesh.governing import Governance
from tenet.mesh.identity import Identity
from tenet.mesh.invitations import Invitation
from tenet.mesh.joining import join
from tenet.mesh.node import MeshNode, NodeOptions
from tenet.mesh.records import checked_name
from tenet.store.contract import Store
from tenet.store.memory import open_engine
from tenet.wire.master import MasterKeys
from tests.nodes import IDS

CLOCK = SystemClock()


class SkewedClock(SystemClock):
    """A machine's clock that is wrong."""

    def __init__(self, skew_s: float) -> None:
        self.skew_ms = round(skew_s * 1000)

    def wall_ms(self) -> int:
        return super().wall_ms() + self.skew_ms


class Machines:
    """Machines with directories of their own, over one store.

    Args:
        directory: where each has its own.
        store: what they share.
    """

    def __init__(self, directory: Path, store: Store, clock: SkewedClock) -> None:
        self.directory = directory
        self.store = store
        #: The clock of the store, and of the nodes.
        self.clock = clock
        self.governance = Governance(store, clock=clock, ids=IDS)
        self.stack = AsyncExitStack()

    def identity(self, name: str) -> Identity:
        return Identity(self.directory / name / "node")

    def master(self, name: str, *, may_create: bool = False) -> MasterKeys:
        return MasterKeys.open(self.directory / name / "master-key", IDS, may_create=may_create)

    async def cluster(self, name: str) -> Cluster:
        path = self.directory / name / "master-key"
        master = self.master(name, may_create=not path.exists())
        return await Cluster.open(self.store, master, {"root": name.encode()}, clock=self.clock, ids=IDS)

    async def start(self, name: str, *, lifetime_s: float = 3600, named: str = "") -> MeshNode:
        options = NodeOptions(name=named or name, lifetime_s=lifetime_s, release="1.0")
        cluster = await self.cluster(name)
        node = await MeshNode.start(self.identity(name), cluster, options, clock=self.clock, ids=IDS)
        self.stack.push_async_callback(node.close)
        return node

    async def token(self, expires_s: int = 3600) -> Invitation:
        return await self.governance.invite(expires_s)

    async def join(
        self, name: str, at: str, invitation: Invitation, clock: SystemClock = CLOCK, *, named: str = ""
    ) -> Enrolled:
        identity = self.identity(name)
        identity.make_directory()
        enrolled = await join(at, invitation, checked_name(named or name), identity.files, clock)
        MasterKeys.take_over(self.directory / name / "master-key", enrolled.master_keys)
        identity.keep_node(NodeId(named or name))
        return enrolled

    async def join_and_start(self, name: str, at: str, *, lifetime_s: float = 3600) -> MeshNode:
        await self.join(name, at, await self.token())
        return await self.start(name, lifetime_s=lifetime_s)


@asynccontextmanager
async def machines(directory: Path) -> AsyncIterator[Machines]:
    clock = SkewedClock(0)
    store = await open_engine("", clock=clock, ids=IDS)
    made = Machines(directory, store, clock)
    async with made.stack:
        yield made


def all_connected(*nodes: MeshNode) -> bool:
    names = {node.node for node in nodes}
    return all({peer.node for peer in node.peers()} == names - {node.node} for node in nodes)
