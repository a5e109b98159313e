"""Many things that each belong to one node at a time, and how other nodes reach the one that has them.

Things are divided into slots by the hashes of their names, and each slot is a shard of one background job, with a
lease: the node that has it is the *place* of what is in the slot. Every node knows whose it is to be, from the members'
records; who asks the wrong one is told so, and looks again.

``is_here`` is as true as ``Tenure.is_held``: what must not be done by two nodes at once is fenced by what it writes.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from tenet.mesh.channel import Channel, NodeId
from tenet.mesh.errors import CallFailed, CallLost, CallRefused, PeerUnreachable
from tenet.mesh.jobs import Cluster, Job, Supervisor, Tenure

__all__ = ["SLOTS", "AnswerLost", "NodeId", "NotAsked", "Places", "Tenant"]

SLOTS: Final = 64


class NotAsked(Exception):
    """The node could not be reached, or had too much to do. It has done nothing."""


class AnswerLost(Exception):
    """The node did not answer. It may have done what it was asked."""


class Tenant(Protocol):
    """Who has the things of a slot on this node."""

    def taken(self, slot: int, number: int) -> None:
        """Called when this node has got a slot, before `is_here` says so.

        Args:
            slot: which one.
            number: larger than at every node that had it before; the same as the last time where no other node could.
        """
        ...

    async def given_up(self, slot: int, *, is_ours: bool) -> None:
        """Called when `is_here` is not true any more; the next node has to wait until it returns.

        Args:
            slot: which one.
            is_ours: whether nobody else has it yet; False: nobody knows.
        """
        ...


class Places:
    """Which things are this node's, and who has the others.

    Args:
        name: of the job that stands for them.
        supervisor: runs this node's jobs.
        cluster: the nodes.
        channel: how they talk.
    """

    def __init__(self, name: str, supervisor: Supervisor, cluster: Cluster, channel: Channel) -> None:
        self._name = name
        self._supervisor = supervisor
        self._cluster = cluster
        self._channel = channel
        self._tenures: dict[int, Tenure] = {}
        #: Slots that are being handed over; their tenures have ended.
        self._leaving: set[int] = set()
        self._asked: dict[NodeId, set[asyncio.Timeout]] = {}
        self._listeners: list[Callable[[], None]] = []
        self._change = asyncio.Event()
        #: Answers calls, takes notices: what the channel's handlers and receivers are.
        self.handle = channel.handle
        self.receive = channel.receive
        self.notify = channel.notify

    async def open(self, tenant: Tenant) -> None:
        """Takes part from now on: this node is given slots.

        Args:
            tenant: has what is in them.
        """

        async def hold(tenure: Tenure) -> None:
            await self._hold(tenure, tenant)

        self._cluster.on_change(self._look)
        await self._supervisor.add(Job(self._name, hold, shards=SLOTS, is_fenced=False))

    async def close(self) -> None:
        """Gives all slots up, and waits until others can have them."""
        await self._supervisor.remove(self._name)
        self._listeners.clear()

    async def _hold(self, tenure: Tenure, tenant: Tenant) -> None:
        slot = tenure.shard
        tenant.taken(slot, tenure.number)
        self._tenures[slot] = tenure
        self._look()
        try:
            await asyncio.Event().wait()
        finally:
            del self._tenures[slot]
            self._leaving.add(slot)
            try:
                self._look()
                await _to_the_end(tenant.given_up(slot, is_ours=tenure.is_held()))
            finally:
                self._leaving.discard(slot)
                self._look()

    # ---- whose they are ----------------------------------------------------------------------------------------------

    @property
    def node(self) -> NodeId:
        """This node."""
        return self._channel.node

    def slot_of(self, name: bytes) -> int:
        """Returns the slot of a thing."""
        return zlib.crc32(name) % SLOTS

    def has(self, slot: int) -> bool:
        """Whether this node has a slot, though it may not be sure of it, or is handing it over."""
        return slot in self._tenures or slot in self._leaving

    def is_here(self, slot: int) -> bool:
        """Whether what is in a slot is this node's now, as far as it can know."""
        tenure = self._tenures.get(slot)
        return tenure is not None and tenure.is_held()

    def place_of(self, slot: int) -> NodeId | None:
        """Returns the node that has a slot, or is to have it; None: nobody, as far as this node knows."""
        node = self._supervisor.place_of(self._name, slot)
        return None if node is None else NodeId(node)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Calls the listener whenever places may have changed."""
        self._listeners.append(listener)

    async def changed(self, timeout_s: float) -> None:
        """Waits until places may have changed, at most so many seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._change.wait()
        except TimeoutError:
            pass

    def _look(self) -> None:
        change, self._change = self._change, asyncio.Event()
        change.set()
        up, now_s = self._cluster.view.up, asyncio.get_running_loop().time()
        for node, scopes in self._asked.items():
            if node not in up:
                # Nobody waits for a node that is dead, or sleeps.
                for scope in scopes:
                    if not scope.expired():
                        scope.reschedule(now_s)
        for listener in self._listeners:
            listener()

    # ---- asking ------------------------------------------------------------------------------------------------------

    async def ask(self, node: NodeId, kind: str, body: bytes, timeout_s: float) -> bytes:
        """Asks a node something; gives up as soon as the node is known to be dead.

        Args:
            node: whom.
            kind: what; see ``Channel.call``.
            body: the question.
            timeout_s: how long to wait.

        Raises:
            NotAsked: it has done nothing.
            AnswerLost: it may have done it.
        """
        scopes = self._asked.setdefault(node, set())
        scope = asyncio.timeout(timeout_s)
        scopes.add(scope)
        try:
            async with scope:
                return await self._channel.call(node, kind, body, timeout_s)
        except (PeerUnreachable, CallRefused) as error:
            raise NotAsked(error.message) from error
        except (CallLost, CallFailed) as error:
            raise AnswerLost(error.message) from error
        except TimeoutError as error:
            raise AnswerLost(f"{node} did not answer in time") from error
        finally:
            scopes.discard(scope)
            if not scopes and self._asked.get(node) is scopes:
                del self._asked[node]


async def _to_the_end(work: Awaitable[None]) -> None:
    """Waits for something that has to end by itself, however often it is cancelled."""
    task = asyncio.ensure_future(work)
    is_cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                break
            is_cancelled = True
    if is_cancelled or task.cancelled():
        raise asyncio.CancelledError
    task.result()
