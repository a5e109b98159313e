"""The registry of nodes: which ones there are, in which state and at which address. A copy that the store validates.

It is read again when a watch or another node hints at a change, and at least once a second, so that a node that was
removed counts as such everywhere within that time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog
from msgspec.structs import replace

from tenet.base.clock import Clock
from tenet.base.ids import Ids
from tenet.mesh.channel import NodeId
from tenet.mesh.errors import NodeNotFound, NodeRemoved
from tenet.mesh.records import (
    NODES,
    OPTIONS,
    PARTITION,
    SPACE,
    STAMP,
    State,
    StoredNode,
    decode_node,
    encode,
    node_key,
    node_of_sort,
)
from tenet.store.contract import Check, Conflict, IsVersion, Put, Range, Store, Write
from tenet.store.errors import StoreError
from tenet.store.landing import land

REREAD_S: Final = 1.0
STORE_S_MAX: Final = 5.0
PAGE_RECORDS: Final = 1_000

_log = structlog.get_logger(__name__)


class Registry:
    """Every node that the cluster has or had.

    Args:
        store: where it lies; the space exists after ``open``.
        clock: time.
        ids: for commits.
    """

    def __init__(self, store: Store, *, clock: Clock, ids: Ids) -> None:
        self.nodes: Mapping[NodeId, StoredNode] = {}
        self._store = store
        self._clock = clock
        self._ids = ids
        self._stamp: int | None = None
        self._refreshing = asyncio.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._followers: list[Callable[[], Awaitable[None]]] = []

    @classmethod
    async def open(cls, store: Store, *, clock: Clock, ids: Ids) -> Registry:
        """Reads the registry of a store, which may be empty.

        Raises:
            StoreUnavailable: the store cannot serve now.
        """
        registry = cls(store, clock=clock, ids=ids)
        await store.ensure_space(SPACE, OPTIONS, deadline=registry.deadline())
        await registry.refresh()
        return registry

    def on_change(self, listener: Callable[[], None]) -> None:
        """Calls the listener whenever the copy has changed."""
        self._listeners.append(listener)

    def follow(self, follower: Callable[[], Awaitable[None]]) -> None:
        """Has the follower read what else lies beside the nodes, whenever anything there may have changed.

        Args:
            follower: is asked again where the store cannot serve it.
        """
        self._followers.append(follower)

    async def refresh(self) -> None:
        """Reads the registry again if anything changed: one store read, and another where something did."""
        async with self._refreshing:
            deadline = self.deadline()
            (stamp,) = await self._store.read_together([STAMP], deadline=deadline)
            assert isinstance(stamp, int)
            if stamp == self._stamp:
                return
            nodes: dict[NodeId, StoredNode] = {}
            within, more = NODES, True
            while more:
                page = await self._store.query(SPACE, PARTITION, within, limit=PAGE_RECORDS, deadline=deadline)
                nodes |= {node_of_sort(record.sort): decode_node(record) for record in page.records}
                more = page.more
                if page.records:
                    within = Range(page.records[-1].sort + b"\x00", NODES.upper)
            changed, self.nodes = nodes != self.nodes, nodes
            if changed:
                for listener in self._listeners:
                    listener()
            for follower in self._followers:
                await follower()
            # The stamp was read before the records: what changed in between is seen by the next look.
            self._stamp = stamp

    async def run(self) -> None:
        """Keeps the copy up to date, until it is cancelled."""
        watch = self._store.watch(SPACE, PARTITION)
        try:
            while True:
                await watch.wait(REREAD_S)
                try:
                    await self.refresh()
                except StoreError as error:
                    _log.warning("the list of nodes cannot be read again", code=error.code, reason=error.message)
                    await asyncio.sleep(REREAD_S)
        finally:
            watch.close()

    async def set_state(self, node: NodeId, state: State) -> None:
        """Changes a node's state: one store commit, none where it has that state.

        Raises:
            NodeNotFound: there is no such node.
            NodeRemoved: it was removed, which is for good.
        """
        await self._change(node, lambda stored: replace(stored, state=state))

    async def set_address(self, node: NodeId, address: str) -> None:
        """Says where others reach a node: one store commit, none where that is known.

        Raises:
            NodeNotFound: there is no such node.
            NodeRemoved: it was removed.
        """
        await self._change(node, lambda stored: replace(stored, address=address))

    async def _change(self, node: NodeId, change: Callable[[StoredNode], StoredNode]) -> None:
        key, deadline = node_key(node), self.deadline()
        (record,) = await self._store.get([key], deadline=deadline)
        while True:
            if record is None:
                raise NodeNotFound(f"there is no node {node} in this cluster")
            before = decode_node(record)
            after = change(before)
            if before.state == "removed" and after != before:
                raise NodeRemoved(f"node {node} was removed from this cluster; a node joins again under another name")
            if after == before:
                break
            outcome = await self.land([Put(key, encode(after))], [IsVersion(key, record.version)], deadline=deadline)
            if outcome is None:
                break
            record = outcome.records[key]
        await self.refresh()

    async def land(self, writes: Sequence[Write], checks: Sequence[Check], *, deadline: float) -> Conflict | None:
        """Commits; returns the conflict, or None where it took effect."""
        outcome = await land(self._store, writes, checks, clock=self._clock, ids=self._ids, deadline=deadline)
        return outcome if isinstance(outcome, Conflict) else None

    def deadline(self) -> float:
        """Returns until when the store may take for what is asked now."""
        return self._clock.monotonic_s() + STORE_S_MAX
