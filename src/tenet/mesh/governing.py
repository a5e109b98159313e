"""What an administrator does with the nodes of a cluster: invites, lists, drains and removes them.

It needs the store alone, so that it works from a node that runs as well as from a command beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from msgspec import Struct

from tenet.mesh.cluster import agreed_upon
from tenet.mesh.errors import CannotInvite, NodeNeeded, NodeNotFound, NotAMember
from tenet.mesh.invitations import Invitation, InvitationInfo, invite, outstanding, withdraw
from tenet.mesh.member_store import MemberStore
from tenet.mesh.records import checked_name
from tenet.mesh.registry import Registry
from tenet.wire.issuing import fingerprint

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.mesh.channel import NodeId
    from tenet.mesh.records import State, StoredNode
    from tenet.store.contract import Store


class NodeInfo(Struct, frozen=True):
    """A node, as an operator sees it.

    Args:
        node: its id.
        state: whether it serves, lets go of its work, or is gone for good.
        address: ``HOST:PORT`` that others reach it at; empty until it was started.
        joined_ms: when it became a member, milliseconds since 1970.
        is_there: whether it has begun its work, has not ended it, and the others have not found it dead.
        dead_since_ms: when they have, milliseconds since 1970; 0 where they have not.
    """

    node: str
    state: State
    address: str
    joined_ms: int
    is_there: bool = False
    dead_since_ms: int = 0


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

    async def invite(self, expires_s: int, *, made_at: str = "") -> Invitation:
        """Returns an invitation with which one machine can join.

        Args:
            expires_s: how long it is good.
            made_at: the node at which it is made.

        Raises:
            NotAMember: there is no cluster.
            NodeNotFound: none of its nodes has been started, which the new one could ask.
            InvitationInvalid: it cannot be good for so long.
            CannotInvite: an exchange of the authority has begun, with whose end it would be withdrawn.
        """
        registry = await self._registry()
        addresses = [
            node.address for _, node in sorted(registry.nodes.items()) if node.address and node.state != "removed"
        ]
        if not addresses:
            raise NodeNotFound("no node of the cluster has been started, which the new one could ask")
        made = None
        while made is None:
            agreed, unchanged = await agreed_upon(self._store, self._clock)
            if agreed.incoming:
                leader = f" by node {agreed.led_by}" if agreed.led_by else ""
                raise CannotInvite(
                    f"the authority of the nodes is being exchanged{leader}, and an invitation that is made now would"
                    " be withdrawn with the present one: try again when `tenet node rotate-authority` has ended; where"
                    " it did not go through, repeat it first"
                )
            made = await invite(
                self._store,
                fingerprint(x509.load_pem_x509_certificate(agreed.authority)),
                addresses[:5],
                expires_s,
                made_at=made_at,
                unchanged=unchanged,
                clock=self._clock,
                ids=self._ids,
            )
        return made

    async def invitations(self) -> list[InvitationInfo]:
        """Returns the invitations with which a machine can join now, those first whose time is up first.

        Raises:
            NotAMember: there is no cluster.
        """
        await self._registry()
        return await outstanding(self._store, clock=self._clock)

    async def withdraw(self, name: str) -> None:
        """Makes an invitation good for nobody.

        Args:
            name: its id, 16 hexadecimal digits.

        Raises:
            NotAMember: there is no cluster.
            InvitationNotFound: there is none of this id.
            InvitationUsed: a node has used it.
        """
        await self._registry()
        await withdraw(self._store, name, clock=self._clock, ids=self._ids)

    async def nodes(self) -> list[NodeInfo]:
        """Returns every node that the cluster has or had, by id."""
        registry = await self._registry()
        members = MemberStore(self._store, clock=self._clock, ids=self._ids)
        await members.ensure(deadline=registry.deadline())
        view = await members.load(deadline=registry.deadline())

        def info(node: NodeId, stored: StoredNode) -> NodeInfo:
            member = view.members.get(node)
            is_there = view.is_unknown(node) or (member is not None and member.state == "up")
            dead_since_ms = member.evicted_ms if member is not None and not is_there else 0
            return NodeInfo(node, stored.state, stored.address, stored.joined_ms, is_there, dead_since_ms)

        return [info(node, stored) for node, stored in sorted(registry.nodes.items())]

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
