"""Changes the master key of a cluster while all of its nodes serve.

Every node has the master key in a file of its own, and everybody encrypts under the key that is current in its file. So
a change has steps, each of which begins when every node has said that the one before is done, durably:

| step | every node |
|---|---|
| take | has the new key too, and can read what is encrypted under it; it goes on to encrypt under the former one |
| switch | encrypts under the new one, and has nothing under way that it encrypts under another |
| seal | (the leading node alone) encrypts anew what lies in the store under another |
| retire | forgets the former ones, after it has seen by itself that nothing lies under them |

A crash at any step leaves each node with every key that anything is encrypted under: before ``retire`` nobody has
forgotten any, and from it on nothing is encrypted under those. Whoever begins again, on any node, begins with another
new key, and retires all others at the end. One node leads at a time, under a lease, whose number goes with what it asks
for: what a former leader, which was held to be dead and wakes up, still asks for is refused.

A node that is not connected is not waited for: nothing begins, and the message says which. One that joins meanwhile
gets the keys of the node that lets it in; where that was too early it has not said that it has switched, and nothing is
retired until the whole is repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import structlog
from msgspec import Struct

from tenet.mesh.errors import CallRefused, CannotRotate, MeshError
from tenet.mesh.members import SPACE
from tenet.mesh.tasks import Tasks
from tenet.store.contract import Key
from tenet.store.errors import StoreError
from tenet.wire.errors import MasterKeyUnusable

if TYPE_CHECKING:
    from tenet.mesh.channel import Channel, NodeId
    from tenet.mesh.cluster import Cluster
    from tenet.mesh.leases import Leases
    from tenet.mesh.registry import Registry

TAKE: Final = "master.take"
SWITCH: Final = "master.switch"
RETIRE: Final = "master.retire"
#: Who leads a rotation holds this lease.
LEASE: Final = Key(SPACE, b"master-key", b"lease")
#: How long a node may take for a step: a file, or a read of all access keys.
STEP_S_MAX: Final = 15.0
#: How often it is tried to give that lease back.
_GIVE_BACK_S: Final = 1.0

_log = structlog.get_logger(__name__)


class Sealing(Protocol):
    """What lies encrypted under the master key beside the cluster's own secrets; ``KeyRing`` provides it."""

    async def switch_master(self, name: str) -> None:
        """Encrypts under another master key from now on; nothing is under way under the former when it returns."""
        ...

    async def seal_anew(self) -> int:
        """Encrypts under the current master key what is encrypted under another; returns how much that was."""
        ...

    async def masters_in_use(self) -> frozenset[str]:
        """Returns the names of the master keys that anything is encrypted under."""
        ...


class Named(Struct, frozen=True):
    """Names master keys: to be switched to, to be forgotten, or, as an answer, that are there. Fields may be added.

    Args:
        number: of the lease under which it is asked; 0 in an answer.
        names: of the keys.
    """

    number: int
    names: tuple[str, ...]


class Rotation:
    """This node's part in changes of the master key.

    Args:
        channel: to the other nodes.
        cluster: whose master key it is; it has this node's file.
        registry: of its nodes.
        sealing: what lies under the key beside the cluster's secrets, as it is now.
        alone: yields a number while nobody else leads a rotation, a larger one each time; raises ``CannotRotate`` where
            somebody does.
    """

    def __init__(
        self,
        channel: Channel,
        cluster: Cluster,
        registry: Registry,
        sealing: Callable[[], Sealing],
        alone: Callable[[], AbstractAsyncContextManager[int]],
    ) -> None:
        self._channel = channel
        self._cluster = cluster
        self._registry = registry
        self._sealing = sealing
        self._alone = alone
        #: The largest number that anything was asked under.
        self._number = 0
        channel.handle(TAKE, self._take)
        channel.handle(SWITCH, self._switch)
        channel.handle(RETIRE, self._retire)

    async def rotate(self) -> int:
        """Encrypts every secret under a new master key at all nodes, and makes them forget the ones before.

        It costs three calls of each node, a lease, and a commit for each secret. Safe to repeat after a crash.

        Returns:
            How many secrets were encrypted anew.

        Raises:
            CannotRotate: a node is missing or did not do its part, or another one leads; the message says which, and
                everything can be read by every node.
            StoreError: the store could not serve; the same holds.
        """
        async with self._alone() as number:
            others = await self._others()
            await self._ask(others, TAKE, self._cluster.master.exported())
            name = self._cluster.master.prepare()
            held = await self._ask(others, TAKE, self._cluster.master.exported())
            # Also what somebody has who ended before others had it.
            former = self._cluster.master.names.union(*(_decode(answer).names for answer in held)) - {name}
            await self._switch_here(Named(number, (name,)))
            await self._ask(others, SWITCH, _encode(Named(number, (name,))))
            count = await self._sealing().seal_anew() + await self._cluster.seal_anew()
            joined = set(await self._others()) - set(others)
            if joined:
                raise CannotRotate(f"{_list(joined)} joined meanwhile: everything is under the new key; {_AGAIN}")
            retired = Named(number, tuple(sorted(former)))
            await self._ask(others, RETIRE, _encode(retired))
            await self._retire_here(retired)
        _log.warning("the master key has changed", nodes=len(others) + 1, secrets=count)
        return count

    # ---- the leading node --------------------------------------------------------------------------------------------

    async def _others(self) -> Sequence[NodeId]:
        """Returns all other nodes, every one of which is connected."""
        await self._registry.refresh()
        nodes = [node for node, stored in self._registry.nodes.items() if stored.state != "removed"]
        others = [node for node in nodes if node != self._channel.node]
        missing = set(others) - {peer.node for peer in self._channel.peers()}
        if missing:
            raise CannotRotate(
                f"the master key is changed by all nodes together, and {_list(missing)} cannot be reached from "
                f"{self._channel.node}: start it, or remove it from the cluster with `tenet node remove`"
            )
        return others

    async def _ask(self, others: Sequence[NodeId], kind: str, body: bytes) -> Sequence[bytes]:
        """Has every other node do a step, whatever one of them answers, and returns their answers."""
        asked = (self._channel.call(node, kind, body, STEP_S_MAX) for node in others)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        problems, good = [], []
        for node, answer in zip(others, answers, strict=True):
            if isinstance(answer, CallRefused):
                problems.append(f"{node} runs a version that cannot change it yet, or is too busy ({answer.message})")
            elif isinstance(answer, MeshError):
                problems.append(f"{node}: {answer.message}")
            elif isinstance(answer, BaseException):
                raise answer
            else:
                good.append(answer)
        if problems:
            raise CannotRotate(f"a node did not do its part, and nothing is lost: {'; '.join(problems)}; {_AGAIN}")
        return good

    # ---- every node --------------------------------------------------------------------------------------------------

    async def _take(self, _: NodeId, body: bytes) -> bytes:
        """Answers with the names of all keys that this node has."""
        self._cluster.master.add_foreign(body)
        return _encode(Named(0, tuple(sorted(self._cluster.master.names))))

    async def _switch(self, _: NodeId, body: bytes) -> bytes:
        await self._switch_here(_decode(body))
        return b""

    async def _retire(self, _: NodeId, body: bytes) -> bytes:
        await self._retire_here(_decode(body))
        return b""

    async def _switch_here(self, asked: Named) -> None:
        self._check(asked)
        for name in asked.names:
            await self._sealing().switch_master(name)

    async def _retire_here(self, asked: Named) -> None:
        self._check(asked)
        used = await self._sealing().masters_in_use() | {await self._cluster.master_in_use()}
        if not used.isdisjoint(asked.names):
            raise MasterKeyUnusable(f"node {self._channel.node} keeps a former master key: something lies under it")
        self._check(asked)
        self._cluster.master.retire(asked.names)

    def _check(self, asked: Named) -> None:
        """Refuses what a former leader asks for."""
        if asked.number < self._number:
            raise CannotRotate(f"node {self._channel.node} follows another node that changes the master key")
        self._number = asked.number


def lead_under(leases: Leases) -> Callable[[], AbstractAsyncContextManager[int]]:
    """Returns what lets one node at a time lead a rotation: whoever holds the lease for it.

    Args:
        leases: of this node.
    """
    here, tasks = asyncio.Lock(), Tasks()

    async def is_given_back() -> bool:
        try:
            await leases.release(LEASE)
        except StoreError as error:
            _log.warning("the lease for changes of the master key is not given back yet", reason=error.message)
            return False
        return True

    async def give_back_later() -> None:
        is_done = False
        while not is_done:
            await asyncio.sleep(_GIVE_BACK_S)
            if not here.locked():
                async with here:
                    is_done = await is_given_back()

    @asynccontextmanager
    async def alone() -> AsyncIterator[int]:
        if here.locked():
            raise CannotRotate("this node changes the master key already; wait for its end")
        async with here:
            try:
                lease = await leases.take(LEASE)
                if lease is None:
                    raise CannotRotate("another node changes the master key, or this one has lost touch; try again")
                yield lease.number
            finally:
                # What was done under it is done, whether the lease can be given back now or later.
                if not await is_given_back():
                    tasks.start("give back", give_back_later())

    return alone


_AGAIN: Final = "repeat `tenet keys rotate-master`"


def _encode(asked: Named) -> bytes:
    return msgspec.json.encode(asked)


def _decode(body: bytes) -> Named:
    try:
        return msgspec.json.decode(body, type=Named)
    except msgspec.DecodeError as error:
        raise MeshError(f"what was asked cannot be read: {error}") from None


def _list(nodes: Collection[str]) -> str:
    return ", ".join(sorted(nodes))
