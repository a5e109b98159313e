"""The services of a running Tenet, opened and closed together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tenet.queues.api import Queues, QueuesSettings
from tenet.tables.api import Tables, TablesSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        scheme: of the listener, ``https`` or ``http``.
    """

    def __init__(self, tables: Tables, queues: Queues, scheme: str) -> None:
        self._tables = tables
        self._queues = queues
        self._scheme = scheme

    @classmethod
    async def open(cls, core: Core, settings: Settings, *, clock: Clock, ids: Ids) -> Services:
        """Opens all services, or none where one of them does not open.

        Args:
            core: with the store, and whoever runs the jobs of the background.
            settings: of the server.
            clock: time.
            ids: randomness.
        """
        options = settings.tables
        tables = await Tables.open(
            core.store,
            clock=clock,
            ids=ids,
            settings=TablesSettings(transition_ms=options.transition_ms, tables_max=options.tables_max),
            supervisor=core.supervisor,
        )
        try:
            queues = await Queues.open(
                core.store,
                clock=clock,
                ids=ids,
                settings=QueuesSettings(queues_max=settings.queues.queues_max, deleted_s=settings.queues.deleted_s),
                places=None if core.cooperation is None else core.cooperation.places(QUEUES),
            )
        except BaseException:
            await tables.close()
            raise
        return cls(tables, queues, "http" if settings.tls.plaintext else "https")

    def for_edge(self) -> Sequence[Service]:
        """Returns the services for the edge, always in the same order."""
        return (self._tables.service(), self._queues.service(self._scheme))

    def measures(self) -> Sequence[Measure]:
        """Returns what the services say about themselves, for the page of metrics."""
        return (*self._tables.measures(), *self._queues.measures())

    def end_waits(self) -> None:
        """Answers all requests that wait for something to come, so that nobody has to wait for them."""
        self._queues.end_waits()

    async def close(self) -> None:
        """Closes all services; the store stays open."""
        try:
            await self._queues.close()
        finally:
            await self._tables.close()
