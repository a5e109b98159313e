"""What an administrator does with the nodes of a cluster: invites, lists, drains and removes them.

It needs the store alone, so that it works from a node that runs as well as from a command beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from tenet.mesh.cluster import authority_of
from tenet.mesh.errors import NodeNeeded, NodeNotFound, NotAMember
from tenet.mesh.invitations import Invitation, invite
from tenet.mesh.records import checked_name
from tenet.mesh.registry import Registry
from tenet.wire.issuing import fingerprint

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.mesh.records import State
    from tenet.store.contract import Store


class NodeInfo(Struct, frozen=True):
    """A node, as an operator sees it.

    Args:
        node: its id.
        state: whether it serves, lets go of its work, or is gone for good.
        address: ``HOST:PORT`` that others reach it at; empty until it was started.
        joined_ms: when it became a member, milliseconds since 1970.
    """

    node: str
    state: State
    address: str
    joined_ms: int


class Governance:
    """Acts on the nodes of a cluster.

    Args:
        store: of the cluster.
        clock: time.
        ids: for invitations.
    """

    def __init__(self, store: Store, *, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    async def invite(self, expires_s: int) -> Invitation:
        """Returns an invitation with which one machine can join.

        Args:
            expires_s: how long it is good.

        Raises:
            NotAMember: there is no cluster.
            NodeNotFound: none of its nodes has been started, which the new one could ask.
            InvitationInvalid: it cannot be good for so long.
        """
        registry = await self._registry()
        authority = await authority_of(self._store, self._clock)
        addresses = [
            node.address for _, node in sorted(registry.nodes.items()) if node.address and node.state != "removed"
        ]
        if not addresses:
            raise NodeNotFound("no node of the cluster has been started, which the new one could ask")
        return await invite(
            self._store, fingerprint(authority), addresses[:5], expires_s, clock=self._clock, ids=self._ids
        )

    async def nodes(self) -> list[NodeInfo]:
        """Returns every node that the cluster has or had, by id."""
        registry = await self._registry()
        return [
            NodeInfo(node, stored.state, stored.address, stored.joined_ms)
            for node, stored in sorted(registry.nodes.items())
        ]

    async def drain(self, name: str, *, is_over: bool = False) -> None:
        """Makes a node let go of its work, or take on work again; within seconds.

        Args:
            name: of the node.
            is_over: whether it is to serve again.

        Raises:
            NodeNotFound: there is no such node.
            NodeRemoved: it was removed.
        """
        registry = await self._registry()
        await registry.set_state(checked_name(name), "serving" if is_over else "draining")

    async def remove(self, name: str) -> None:
        """Makes all others refuse a node from now on, within seconds; for good.

        Raises:
            NodeNotFound: there is no such node.
            NodeNeeded: it is the last one.
        """
        registry = await self._registry()
        node = checked_name(name)
        left = [other for other, stored in registry.nodes.items() if other != node and stored.state != "removed"]
        if node in registry.nodes and not left:
            raise NodeNeeded(f"{node} is the last node of this cluster, and a cluster without a node lets nobody join")
        await registry.set_state(node, "removed")

    async def _registry(self) -> Registry:
        registry = await Registry.open(self._store, clock=self._clock, ids=self._ids)
        if not registry.nodes:
            raise NotAMember("there is no cluster: nodes are known where several processes share a store")
        return registry
