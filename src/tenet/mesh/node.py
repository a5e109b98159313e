"""This process as a node of its cluster: opens its identity, listens, is known to the others, renews its certificate.

Others reach it by ``channel``. Who is alive, who does which work, and hints of changes are built upon that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

import structlog
from msgspec import Struct

from tenet.base.errors import TenetError
from tenet.mesh.channel import NodeId, Peer
from tenet.mesh.credentials import Credentials
from tenet.mesh.enrolment import AUTHORITY, ENROL, Enroller
from tenet.mesh.errors import MeshError
from tenet.mesh.identity import Identity
from tenet.mesh.link import LinkLimits
from tenet.mesh.network import Network
from tenet.mesh.registry import Registry
from tenet.store.errors import StoreError

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.mesh.cluster import Cluster
    from tenet.mesh.records import State

#: Notice: something of the cluster's nodes has changed in the store.
CHANGED: Final = "node.changed"
#: How often a node looks whether its certificate wants to be renewed, at the most; a short one more often.
_LOOK_S_MAX: Final = 60.0
_LOOKS: Final = 10

DAY_S: Final = 24 * 3600

_log = structlog.get_logger(__name__)


class NodeOptions(Struct, frozen=True, kw_only=True):
    """How a node is set up.

    Args:
        name: how it is called where it has no name yet.
        host: name or address that it listens on.
        port: 0 takes a free one.
        advertised: ``HOST:PORT`` that others reach it at; empty: what it listens on.
        seeds: ``HOST:PORT`` of others that it dials beside those that the store tells of.
        lifetime_s: how long its certificate is good for.
        release: the version of Tenet that it runs.
        limits: what each connection takes.
    """

    name: str
    host: str = "127.0.0.1"
    port: int = 0
    advertised: str = ""
    seeds: tuple[str, ...] = ()
    lifetime_s: float = DAY_S
    release: str = ""
    limits: LinkLimits = LinkLimits()


class MeshNode:
    """A node that runs. Made by ``start``.

    Args:
        identity: its own.
        cluster: whose node it is.
        registry: of its nodes.
        channel: how it talks to others.
        options: how it is set up.
        clock: time.
    """

    def __init__(
        self,
        identity: Identity,
        cluster: Cluster,
        registry: Registry,
        channel: Network,
        options: NodeOptions,
        *,
        clock: Clock,
    ) -> None:
        self.identity = identity
        self.cluster = cluster
        self.registry = registry
        self.channel = channel
        self._options = options
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._listeners: list[Callable[[State], None]] = []
        self._dialled: dict[NodeId, str] = {}
        self._state: State = "serving"
        self._is_refreshing = False
        self._has_changed = asyncio.Event()
        #: Whether handshakes show what the files hold.
        self._is_shown = True

    @classmethod
    async def start(
        cls, identity: Identity, cluster: Cluster, options: NodeOptions, *, clock: Clock, ids: Ids
    ) -> MeshNode:
        """Becomes a node, listens, and is known to the others.

        Args:
            identity: where its own lies, or is to lie.
            cluster: whose node it is.
            options: how it is set up.
            clock: time.
            ids: for its incarnation, and jitter.

        Raises:
            NodeExists: another node has its name.
            NodeRemoved: it was removed from the cluster.
            NotAMember: it is a node of another cluster.
            OSError: its address cannot be listened on.
        """
        registry = await Registry.open(cluster.store, clock=clock, ids=ids)
        node = await identity.ensure(cluster, registry, options.name)
        identity.ensure_certificate(cluster, node, options.lifetime_s, clock)
        credentials = Credentials(node, identity.files)

        async def admit(other: NodeId, key_sha256: str) -> str:
            return await _trouble_with(other, key_sha256, registry)

        channel = Network(credentials, options.release, admit, clock=clock, ids=ids, limits=options.limits)
        made = cls(identity, cluster, registry, channel, options, clock=clock)
        await made._begin()
        return made

    async def _begin(self) -> None:
        options, channel = self._options, self.channel
        await channel.start(options.host, options.port, advertised=options.advertised)
        try:
            enroller = Enroller(self.cluster, self.registry, options.lifetime_s, clock=self._clock)
            channel.handle_strangers(AUTHORITY, enroller.authority)
            channel.handle_strangers(ENROL, enroller.enrol)
            channel.receive(CHANGED, lambda _, __: self._refresh_soon())
            await self.registry.set_address(self.node, channel.address)
            self.registry.follow(self._follow)
            self.cluster.on_change(self._take_over_agreed)
            await self._follow()
        except BaseException:
            await channel.close()
            raise
        self.registry.on_change(self._take_over)
        self._state = self.registry.nodes[self.node].state
        self._take_over()
        for seed in options.seeds:
            channel.dial(seed)
        self._start(self.registry.run())
        self._start(self._renew())

    async def close(self) -> None:
        """Stops being reachable; its place in the cluster stays."""
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.channel.close()

    @property
    def node(self) -> NodeId:
        """Its id."""
        return self.channel.node

    @property
    def state(self) -> State:
        """Whether it is to serve, to let go of its work, or to stop for good."""
        return self._state

    def on_state(self, listener: Callable[[State], None]) -> None:
        """Tells the listener whenever an administrator has changed what this node is to do."""
        self._listeners.append(listener)

    def tell_of_change(self) -> None:
        """Tells every connected node that something of the cluster's nodes has changed in the store."""
        self._refresh_soon()
        for peer in self.channel.peers():
            self.channel.notify(peer.node, CHANGED, b"")

    def peers(self) -> tuple[Peer, ...]:
        """Returns the nodes that are connected with this one."""
        return self.channel.peers()

    def figures(self) -> dict[str, Any]:
        """Returns what an operator wants to know: its certificate's end, its peers, and why others are not."""
        connected = {peer.node: peer for peer in self.peers()}
        return {
            "certificate_ends": self.channel.credentials.not_after.isoformat(),
            "authorities": [*self.channel.credentials.authorities],
            "connected": {node: {"address": peer.address, "release": peer.release} for node, peer in connected.items()},
            "not_connected": {
                node: self.channel.trouble(address, node)
                for node, address in self._dialled.items()
                if node not in connected
            },
        }

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refresh_soon(self) -> None:
        if not self._is_refreshing:
            self._is_refreshing = True
            self._start(self._refresh())

    async def _refresh(self) -> None:
        self._is_refreshing = False
        try:
            await self.registry.refresh()
        except StoreError as error:
            _log.warning("the list of nodes cannot be read again", code=error.code, reason=error.message)

    async def _follow(self) -> None:
        """Takes over what the nodes of the cluster agree upon, where that was changed.

        Raises:
            StoreError: the store could not serve.
        """
        try:
            await self.cluster.refresh()
        except StoreError:
            raise
        except TenetError as error:
            _log.error("what the cluster has changed is not taken over", code=error.code, reason=error.message)

    def _take_over(self) -> None:
        """Acts upon what the registry says now: whom to dial, whom to hang up on, what to do itself."""
        wanted: dict[NodeId, str] = {}
        for node, stored in self.registry.nodes.items():
            if stored.state == "removed":
                self.channel.expel(node, f"node {node} was removed from the cluster")
            elif stored.address and node != self.node:
                wanted[node] = stored.address
        for node, address in self._dialled.items():
            if wanted.get(node) != address:
                self.channel.forget(address, node)
        for node, address in wanted.items():
            if self._dialled.get(node) != address:
                self.channel.dial(address, node)
        self._dialled = wanted
        mine = self.registry.nodes.get(self.node)
        if mine is not None and mine.state != self._state:
            self._state = mine.state
            _log.warning("what this node is to do has changed", node=self.node, state=self._state)
            for listener in self._listeners:
                listener(self._state)

    async def _renew(self) -> None:
        while True:
            self._has_changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._has_changed.wait()
            try:
                # What could not be taken over when it changed is tried again; without the store there is nothing new.
                with contextlib.suppress(StoreError):
                    await self._follow()
                self.renew()
            except (TenetError, OSError) as error:
                _log.error("the certificate of this node is not renewed", reason=str(error))

    def _take_over_agreed(self) -> None:
        self.renew()
        # A former authority may have a time now, at whose end is to be looked.
        self._has_changed.set()

    def _pause_s(self) -> float:
        """Returns when to look again: long before the certificate ends, and when a former authority does."""
        pause_s = min(_LOOK_S_MAX, self._options.lifetime_s / _LOOKS)
        left_s = (self.cluster.former_until_ms - self._clock.wall_ms()) / 1000
        return min(pause_s, left_s) if left_s > 0 else pause_s

    def renew(self) -> None:
        """Makes the certificate anew if less than half of its time is left, and shows it from the next handshake on.

        Whom nodes believe changes with it, where the cluster exchanges its authority.

        Raises:
            IdentityUnusable: a file cannot be read or written; the former one stays.
        """
        if self._state == "removed":
            return
        if self.identity.ensure_certificate(self.cluster, self.node, self._options.lifetime_s, self._clock):
            self._is_shown = False
        if not self._is_shown:
            self.channel.take_over()
            self._is_shown = True
            authorities = [*self.channel.credentials.authorities]
            _log.info("the certificate of this node was renewed, or whom it believes", authorities=authorities)


async def _trouble_with(node: NodeId, key_sha256: str, registry: Registry) -> str:
    """Returns why a node is not talked to; "" where it is a member."""
    if node not in registry.nodes:
        # It may have joined a moment ago.
        try:
            await registry.refresh()
        except (StoreError, MeshError) as error:
            return f"whether node {node} is a member cannot be found out: {error.message}"
    stored = registry.nodes.get(node)
    if stored is None:
        return f"node {node} is no member of this cluster"
    if stored.key_sha256 != key_sha256:
        return f"node {node} has another private key than this one"
    return f"node {node} was removed from this cluster" if stored.state == "removed" else ""
