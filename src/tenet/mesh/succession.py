"""Exchanges the cluster's authority for a new one while all nodes serve.

What the nodes trust is in the record that all of them follow (``Cluster``). A change has steps, each a commit of it:

| step | nodes trust | and have certificates of |
|---|---|---|
| prepare | the present authority, and the incoming one | the present one |
| switch | the new one, and the former one until a time | the new one, made anew at once by each node for itself |
| end | the new one | the new one |

Before the switch every connected node has said that it trusts the incoming one, so that none refuses another's new
certificate. Before the end every one has said that it shows a new one and that no connection is left that was made with
one of the former; they are made anew, without a gap, as where a certificate is renewed. The private key of the former
authority is gone from the store with the switch.

Whoever leads may end at any step: what the nodes trust then is in the table, and the same command, on any node, goes
through: it begins again with another incoming authority, or ends what was switched. While a node that is connected
leads, another exchange is refused, and told who that is. Of several that begin in the same moment, or do not see each
other, the one that has prepared last goes on; the others are told by whom it is led, or end the same exchange.

A node that is not seen needs none of this: whether it is off or cut off from the others, it follows the record when it
reaches the store again. The former authority's time is there so that it can still be talked to until then; without
anybody's doing nobody trusts that one when it is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from tenet.mesh.errors import CallRefused, CannotRotate, InvitationUsed, MeshError
from tenet.mesh.invitations import outstanding, withdraw
from tenet.wire.issuing import Authority, pem_certificate, pem_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.mesh.channel import NodeId
    from tenet.mesh.node import MeshNode
    from tenet.mesh.records import Secrets, StoredCluster

#: Asks a node whom it trusts and what it shows, once it has looked into the record again.
STANDING: Final = "authority.standing"
#: How long it is waited for all connected nodes before the switch, and before the end.
PREPARED_S_MAX: Final = 10.0
SHOWN_S_MAX: Final = 25.0
_CALL_S_MAX: Final = 5.0
_ASK_AGAIN_S: Final = 0.1

_AGAIN: Final = "repeat `tenet node rotate-authority`"
_NOT_NEEDED: Final = "wait for its end; another one after it is not needed"

_log = structlog.get_logger(__name__)


class Standing(Struct, frozen=True):
    """Where a node is in an exchange. Fields may be added.

    Args:
        trusts: fingerprints of the authorities that it trusts.
        shows: fingerprint of the one that its certificate is of.
        outdated: nodes with which it is connected by a certificate of another one than the present.
        leads: whether it leads an exchange.
    """

    trusts: tuple[str, ...]
    shows: str
    outdated: tuple[str, ...]
    leads: bool = False


#: Where nodes are, None of one that cannot say.
Standings = Mapping["NodeId", "Standing | None"]


class Exchanged(Struct, frozen=True):
    """What came of an exchange.

    Args:
        authority_sha256: fingerprint of the authority that certificates are of now.
        not_seen: nodes that have not said that they follow.
        former_until_ms: until when the former authority is trusted; 0 where it is no more.
        withdrawn: how many invitations were withdrawn, which told a machine to believe the former one.
    """

    authority_sha256: str
    not_seen: tuple[NodeId, ...]
    former_until_ms: int
    withdrawn: int


class Succession:
    """This node's part in exchanges of the cluster's authority.

    Args:
        node: which has been started.
        clock: time.
        ids: for commits.
    """

    def __init__(self, node: MeshNode, *, clock: Clock, ids: Ids) -> None:
        self._node = node
        self._cluster = node.cluster
        self._clock = clock
        self._ids = ids
        self._leads = False
        node.channel.handle(STANDING, self._answer)

    async def exchange(self, overlap_s: float, *, cuts_off: bool) -> Exchanged:
        """Makes nodes have certificates of a new authority and trust no other; goes on where an exchange was begun.

        Args:
            overlap_s: until when nodes that are not seen are talked to with certificates of the former authority.
            cuts_off: whether that ends at once, as soon as all that are connected follow or had time to.

        Raises:
            CannotRotate: another node leads an exchange, or a node cannot follow; nothing has changed, or nothing but
                whom others trust beside the present authority.
            StoreError: the store could not serve; the same command goes on from there.
        """
        standings = await self._standings()
        leading = [node for node, standing in standings.items() if standing is not None and standing.leads]
        if leading:
            raise CannotRotate(
                f"another exchange of the authority goes on, led by node {_list(leading)}, and this one has changed"
                f" nothing: {_NOT_NEEDED}"
            )
        unable = [node for node, standing in standings.items() if standing is None]
        if unable:
            raise CannotRotate(
                f"{_list(unable)} runs a version that cannot follow an exchange of the authority yet, or is too busy to"
                " answer; nothing has changed"
            )
        self._leads = True
        try:
            return await self._exchange(overlap_s, cuts_off=cuts_off)
        finally:
            self._leads = False

    async def _exchange(self, overlap_s: float, *, cuts_off: bool) -> Exchanged:
        incoming = await self._prepare(may_go_on=cuts_off)
        if incoming is not None:
            await self._switch(incoming, overlap_s)
        withdrawn = await self._withdraw_invitations()
        left = await self._wait(SHOWN_S_MAX, self._not_following)
        not_seen, present = tuple(sorted({*left, *self._not_connected()})), self._cluster.authority.sha256
        if cuts_off or not not_seen:
            await self._cluster.change(_ended)
            # Whoever is asked looks at once.
            await self._standings()
            _log.warning("the authority of the nodes was exchanged", authority=present, not_seen=not_seen)
        return Exchanged(present, not_seen, self._cluster.former_until_ms, withdrawn)

    async def have_all_look(self) -> None:
        """Has every connected node look at once at what is agreed upon; whoever cannot finds it within a second.

        Raises:
            StoreError: this node could not look.
        """
        await self._standings()

    # ---- its steps ---------------------------------------------------------------------------------------------------

    async def _prepare(self, *, may_go_on: bool) -> Authority | None:
        """Makes an authority, and all nodes trust it; None where what is left to do is the end of another exchange.

        One that was prepared before and never used is replaced: who knows for how long its key has lain there.
        """
        made, now_ms, leader = self._cluster.new_authority(), self._clock.wall_ms(), self._node.node
        if not await self._cluster.change(lambda stored, secrets: _prepared(stored, secrets, made, leader, now_ms)):
            return None

        def not_prepared(standings: Standings) -> list[NodeId]:
            if self._cluster.incoming != made.certificate:
                raise self._begun_meanwhile()
            return [node for node, said in standings.items() if said is None or made.sha256 not in said.trusts]

        left = await self._wait(PREPARED_S_MAX, not_prepared)
        if left and not may_go_on:
            raise CannotRotate(
                f"{_list(left)} does not trust the new authority yet, and nothing else was done; {_AGAIN}"
            )
        return made

    async def _switch(self, incoming: Authority, overlap_s: float) -> None:
        until_ms, expected = self._clock.wall_ms() + round(overlap_s * 1000), pem_certificate(incoming.certificate)
        if not await self._cluster.change(lambda stored, secrets: _switched(stored, secrets, expected, until_ms)):
            raise self._begun_meanwhile()
        _log.warning("nodes have certificates of another authority now", authority=incoming.sha256)

    def _begun_meanwhile(self) -> CannotRotate:
        leader = f"node {self._cluster.led_by}" if self._cluster.led_by else "a node of an older version"
        return CannotRotate(
            f"another exchange of the authority was begun in the same moment, led by {leader}, which goes on in the"
            f" place of this one: {_NOT_NEEDED}"
        )

    async def _withdraw_invitations(self) -> int:
        """Makes invitations good for nobody that tell a machine to believe another authority than the present one."""
        count, store = 0, self._cluster.store
        for one in await outstanding(store, clock=self._clock):
            if one.authority_sha256 == self._cluster.authority.sha256:
                continue
            try:
                await withdraw(store, one.name, clock=self._clock, ids=self._ids)
                count += 1
            except InvitationUsed as error:
                _log.warning("an invitation was used while the authority was exchanged", reason=error.message)
        return count

    async def _wait(self, s_max: float, who_is_left: Callable[[Standings], list[NodeId]]) -> list[NodeId]:
        """Waits until every connected node, this one included, is so far; returns those that are not in time."""
        until_s = self._clock.monotonic_s() + s_max
        while True:
            left = who_is_left(await self._standings())
            if not left or self._clock.monotonic_s() >= until_s:
                return left
            await asyncio.sleep(_ASK_AGAIN_S)

    def _not_following(self, standings: Standings) -> list[NodeId]:
        """Returns who does not show a new certificate yet, or is connected by a former one with somebody who does."""
        present = self._cluster.authority.sha256
        behind = {node for node, said in standings.items() if said is None or said.shows != present}
        away = behind | self._not_connected()
        waiting = {node for node, said in standings.items() if said is not None and not away.issuperset(said.outdated)}
        return [node for node in standings if node in behind | waiting]

    # ---- what nodes say ----------------------------------------------------------------------------------------------

    async def _standings(self) -> Standings:
        """Returns where all members are that are connected, this one included; None of one that cannot say."""
        await self._node.registry.refresh()
        nodes = [peer.node for peer in self._node.peers() if peer.node in self._members()]
        answers = await asyncio.gather(*(self._standing_of(node) for node in nodes))
        return {self._node.node: self._standing(), **dict(zip(nodes, answers, strict=True))}

    async def _standing_of(self, node: NodeId) -> Standing | None:
        try:
            answer = await self._node.channel.call(node, STANDING, b"", _CALL_S_MAX)
            return msgspec.json.decode(answer, type=Standing)
        except (CallRefused, msgspec.DecodeError):
            return None
        except MeshError as error:
            _log.info("a node does not say whether it follows", peer=node, reason=error.message)
            return Standing((), "", ())

    async def _answer(self, _: NodeId, __: bytes) -> bytes:
        await self._node.registry.refresh()
        return msgspec.json.encode(self._standing())

    def _standing(self) -> Standing:
        channel = self._node.channel
        trusts, shows = tuple(channel.credentials.authorities), channel.credentials.signed_by
        return Standing(trusts, shows, tuple(channel.outdated()), self._leads)

    def _members(self) -> set[NodeId]:
        return {node for node, stored in self._node.registry.nodes.items() if stored.state != "removed"}

    def _not_connected(self) -> set[NodeId]:
        return self._members() - {self._node.node} - {peer.node for peer in self._node.peers()}


Changed = tuple["StoredCluster", "Secrets"]


def _prepared(stored: StoredCluster, secrets: Secrets, made: Authority, leader: NodeId, now_ms: int) -> Changed | None:
    """Begins an exchange, unless one has come as far as to its end."""
    if stored.former and now_ms < stored.former_until_ms:
        return None
    incoming = pem_certificate(made.certificate)
    begun = replace(stored, incoming=incoming, former=b"", former_until_ms=0, led_by=leader)
    return begun, replace(secrets, incoming_key=pem_key(made.key))


def _switched(stored: StoredCluster, secrets: Secrets, expected: bytes, until_ms: int) -> Changed | None:
    """Puts the incoming authority in the place of the present one, if nodes have been asked about that one."""
    if stored.incoming != expected:
        return None
    switched = replace(
        stored, authority=stored.incoming, incoming=b"", former=stored.authority, former_until_ms=until_ms
    )
    return switched, replace(secrets, authority_key=secrets.incoming_key, incoming_key=b"")


def _ended(stored: StoredCluster, secrets: Secrets) -> Changed | None:
    """Makes nobody trust the former authority."""
    return (replace(stored, former=b"", former_until_ms=0), secrets) if stored.former else None


def _list(nodes: list[NodeId]) -> str:
    return ", ".join(sorted(nodes))
