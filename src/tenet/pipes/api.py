"""The door of the pipes room: everything that other rooms may use of it.

``ROUTES`` is the one place that says which operations there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from msgspec import Struct

from tenet.mesh.jobs import Supervisor
from tenet.mesh.shares import Shares
from tenet.pipes import keys
from tenet.pipes.context import Caller, Context
from tenet.pipes.errors import UnknownOperationException
from tenet.pipes.http import PipesService
from tenet.pipes.ops.behind import pipe_behind
from tenet.pipes.ops.catalog import PIPES_MAX, Catalog
from tenet.pipes.ops.changing import create_pipe, delete_pipe, start_pipe, stop_pipe, update_pipe
from tenet.pipes.ops.cursors import Cursors
from tenet.pipes.ops.finding import (
    describe_pipe,
    list_pipes,
    list_tags_for_resource,
    tag_resource,
    untag_resource,
)
from tenet.pipes.ops.measures import measures_of
from tenet.pipes.ops.runner import Tools, nobody
from tenet.pipes.ops.runners import Runners
from tenet.pipes.ops.sending import Sender

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.pipes.context import Operation
    from tenet.pipes.ops.runner import Notify
    from tenet.pipes.ops.sending import Call
    from tenet.store.contract import Store
    from tenet.tables.api import Following
    from tenet.wire.door import Measure

__all__ = ["ROUTES", "SPACES_ABOUT_LOGS", "Caller", "Pipes", "PipesSettings", "pipe_behind"]

#: Every operation that can be called, by its name.
ROUTES: Final[Mapping[str, Operation]] = {
    "CreatePipe": create_pipe,
    "DeletePipe": delete_pipe,
    "DescribePipe": describe_pipe,
    "ListPipes": list_pipes,
    "ListTagsForResource": list_tags_for_resource,
    "StartPipe": start_pipe,
    "StopPipe": stop_pipe,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "UpdatePipe": update_pipe,
}

#: The background job whose shards say whose pipes are a node's.
RUNNING: Final = "pipes.runners"
#: What is about the logs of the store that it lies in, and is of no use in a copy.
SPACES_ABOUT_LOGS: Final = frozenset({keys.CURSORS_SPACE})
_SHARES: Final = 32


class PipesSettings(Struct, frozen=True):
    """What an operator may set.

    Args:
        pipes_max: how many pipes a tenant may have, 1 or more.
    """

    pipes_max: int = PIPES_MAX


_DEFAULTS: Final = PipesSettings()


class Pipes:
    """The pipes service on a store. Made by ``open``.

    Args:
        context: what the operations work with.
        supervisor: runs the jobs of the background.
    """

    def __init__(self, context: Context, supervisor: Supervisor) -> None:
        self._context = context
        self._supervisor = supervisor

    @classmethod
    async def open(
        cls,
        store: Store,
        *,
        following: Following,
        call: Call,
        clock: Clock,
        ids: Ids,
        settings: PipesSettings = _DEFAULTS,
        supervisor: Supervisor | None = None,
        notify: Notify = nobody,
    ) -> Self:
        """Opens the service: makes its spaces where there are none, and runs the pipes that are this process's.

        Args:
            store: where pipes are described; stays open when the service is closed.
            following: reads the changes of tables.
            call: the door of the queues room.
            clock: time.
            ids: randomness.
            settings: what an operator may set.
            supervisor: runs the jobs of the background, as the process shares them with others. By default it is one
                that runs all of them.
            notify: called with the ARN of a pipe and a sentence when it stops getting on, gets on again, or gives
                records up; has to return at once.
        """
        if supervisor is None:
            supervisor = Supervisor(store, clock=clock, ids=ids)
            supervisor.start()
        catalog = Catalog(store, clock=clock, ids=ids, pipes_max=settings.pipes_max)
        cursors = Cursors(store, clock=clock, ids=ids)
        await catalog.open()
        await cursors.open()
        sender = Sender(call, clock)
        shares = Shares(RUNNING, shares=_SHARES)
        runners = Runners(catalog, Tools(following, cursors, sender, clock, notify), shares)
        shares.changed = runners.look_again
        context = Context(
            clock=clock,
            ids=ids,
            catalog=catalog,
            cursors=cursors,
            following=following,
            sender=sender,
            runners=runners,
            is_known_to_all=lambda: supervisor.is_known_to_all(RUNNING),
        )
        pipes = cls(context, supervisor)
        runners.open()
        try:
            await supervisor.add(shares.job)
        except BaseException:
            await pipes.close()
            raise
        return pipes

    @property
    def runs_any(self) -> bool:
        """Whether this process runs a pipe."""
        return bool(self._context.runners.running())

    def measures(self) -> Sequence[Measure]:
        """Returns how the pipes get on that this process runs, for the page of metrics."""
        return measures_of(self._context.runners.running())

    async def close(self) -> None:
        """Ends all runners; what they have not noted is done again by whoever comes next."""
        await self._supervisor.remove(RUNNING)
        await self._context.runners.close()

    async def call(self, operation: str, request: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Carries out an operation.

        Args:
            operation: its name, for instance ``CreatePipe``.
            request: its members as the API reference names them, wherever they stand in the request.
            caller: who calls.

        Returns:
            The members of the answer.

        Raises:
            PipesError: what the API answers with.
            StoreError: the store could not serve.
        """
        route = ROUTES.get(operation)
        if route is None:
            raise UnknownOperationException
        if "Name" in request:
            caller.notes["pipe"] = request["Name"][:64]
        return await route(self._context, caller, request)

    def service(self) -> PipesService:
        """Returns the service for the edge."""
        return PipesService(self.call)
