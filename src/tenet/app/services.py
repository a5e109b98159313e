"""The services of a running Tenet, opened and closed together."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from tenet.app.identity import open_keystone
from tenet.app.notices import Notices
from tenet.pipes.api import Pipes, PipesSettings
from tenet.placement.api import Authenticator, Edge, Keys, KeysAndTokens, Keystone, KnownKey, NoProof, Placement, Policy
from tenet.queues.api import Queues, QueuesSettings
from tenet.tables.api import Tables, TablesSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenet.app.core import Core
    from tenet.app.settings import Settings
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.wire.door import Measure, Service

#: The background job whose shards say which queues are a node's.
QUEUES: Final = "queues.slots"


class Services:
    """The services on one store. Made by ``open``.

    Args:
        tables: speaks the API of DynamoDB.
        queues: speaks the API of SQS.
        pipes: speaks the API of EventBridge Pipes.
        placement: speaks the API of OpenStack Placement.
        notices: for operators.
        edge: how placement is reached.
        keystone: knows tokens that are shown to placement; None where there is none.
    """

    def __init__(
        self,
        tables: Tables,
        queues: Queues,
        pipes: Pipes,
        placement: Placement,
        *,
        notices: Notices,
        edge: Edge,
        keystone: Keystone | None = None,
    ) -> None:
        self._tables = tables
        self._queues = queues
        self._pipes = pipes
        self._placement = placement
        self.notices = notices
        self._edge = edge
        self._keystone = keystone

    @classmethod
    async def open(cls, core: Core, settings: Settings, *, clock: Clock, ids: Ids) -> Services:
        """Opens all services, or none where one of them does not open.

        Args:
            core: with the store, and whoever runs the jobs of the background.
            settings: of the server.
            clock: time.
            ids: randomness.
        """
        async with AsyncExitStack() as opened:
            options = settings.tables
            tables = await Tables.open(
                core.store,
                clock=clock,
                ids=ids,
                settings=TablesSettings(transition_ms=options.transition_ms, tables_max=options.tables_max),
                request_s_max=settings.limits.deadline_s,
                supervisor=core.supervisor,
            )
            opened.push_async_callback(tables.close)
            queues = await Queues.open(
                core.store,
                clock=clock,
                ids=ids,
                settings=QueuesSettings(queues_max=settings.queues.queues_max, deleted_s=settings.queues.deleted_s),
                places=None if core.cooperation is None else core.cooperation.places(QUEUES),
            )
            opened.push_async_callback(queues.close)
            notices = Notices(
                queues.call, account=_operator(core), node=core.node.node if core.node else "", clock=clock
            )
            opened.push_async_callback(notices.close)
            pipes = await Pipes.open(
                core.store,
                following=tables.following,
                call=queues.call,
                clock=clock,
                ids=ids,
                settings=PipesSettings(pipes_max=settings.pipes.pipes_max),
                supervisor=core.supervisor,
                notify=notices.tell,
            )
            opened.push_async_callback(pipes.close)
            placement = await Placement.open(
                core.store,
                clock=clock,
                ids=ids,
                policy=Policy(settings.placement.open_policy, settings.placement.enforce_new_defaults),
                refused_max=settings.placement.refused_claims_max,
                supervisor=core.supervisor,
            )
            opened.push_async_callback(placement.close)
            keystone = open_keystone(settings.keystone, clock=clock)
            opened.pop_all()
        edge = _edge(core, settings, keystone)
        return cls(tables, queues, pipes, placement, notices=notices, edge=edge, keystone=keystone)

    def for_edge(self) -> Sequence[Service]:
        """Returns the services for the edge, always in the same order."""
        return (
            self._tables.service(),
            self._tables.streams_service(),
            self._queues.service(self._edge.scheme),
            self._pipes.service(),
            self._placement.service(self._edge),
        )

    def measures(self) -> Sequence[Measure]:
        """Returns what the services say about themselves, for the page of metrics."""
        return (
            *self._tables.measures(),
            *self._queues.measures(),
            *self._pipes.measures(),
            *self._placement.measures(),
            *(self._keystone.measures() if self._keystone is not None else ()),
        )

    def placement_health(self) -> Mapping[str, Any]:
        """Returns what placement says to the doctor; empty where nobody has used it."""
        return self._placement.health()

    @property
    def follows_logs(self) -> bool:
        """Whether there are pipes, which have to come to the ends of the logs before the store can move."""
        return self._pipes.runs_any

    def end_waits(self) -> None:
        """Answers all requests that wait for something to come, so that nobody has to wait for them."""
        self._queues.end_waits()

    async def close(self) -> None:
        """Closes all services; the store stays open."""
        async with AsyncExitStack() as rooms:
            rooms.push_async_callback(self._tables.close)
            rooms.push_async_callback(self._queues.close)
            rooms.push_async_callback(self.notices.close)
            rooms.push_async_callback(self._pipes.close)
            rooms.push_async_callback(self._placement.close)
            if self._keystone is not None:
                rooms.push_async_callback(self._keystone.close)


def _edge(core: Core, settings: Settings, keystone: Keystone | None) -> Edge:
    """Returns how placement is reached."""
    options = settings.placement
    return Edge(
        path=options.path,
        scheme="http" if settings.tls.plaintext else "https",
        authenticator=_authenticator(core, settings, keystone),
        cors_origins=options.cors_origins,
        cors_headers=options.cors_headers,
    )


def _authenticator(core: Core, settings: Settings, keystone: Keystone | None) -> Authenticator:
    """Returns what finds out who sends requests to placement."""
    if settings.placement.authentication == "none":
        return NoProof()

    def find(key_id: str) -> KnownKey | None:
        key = core.find(key_id)
        return None if key is None else KnownKey(key.secret, key.principal.tenant, key.principal.is_root)

    keys = Keys(find)
    if keystone is None:
        return keys
    return KeysAndTokens(keys, keystone, settings.keystone.public_url or settings.keystone.auth_url)


def _operator(core: Core) -> str:
    """Returns the account that the root key belongs to."""
    key = core.find(core.root_key.access_key_id)
    return "" if key is None else key.principal.tenant
