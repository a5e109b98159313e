"""The door of the queues room: everything that other rooms may use of it.

``ROUTES`` is the one place that says which operations there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from msgspec import Struct

from tenet.queues.context import Caller, Context
from tenet.queues.errors import QueuesError, UnknownOperation
from tenet.queues.http import QueuesService
from tenet.queues.ops.catalog import DELETED_S, QUEUES_MAX, Catalog
from tenet.queues.ops.change_message_visibility import change_message_visibility, change_message_visibility_batch
from tenet.queues.ops.create_queue import create_queue
from tenet.queues.ops.delete_message import delete_message, delete_message_batch
from tenet.queues.ops.delete_queue import delete_queue, purge_queue
from tenet.queues.ops.find_queues import get_queue_url, list_dead_letter_source_queues, list_queues
from tenet.queues.ops.measures import measures_of
from tenet.queues.ops.move_tasks import (
    cancel_message_move_task,
    list_message_move_tasks,
    start_message_move_task,
)
from tenet.queues.ops.mover import Mover
from tenet.queues.ops.owning.owners import Owners
from tenet.queues.ops.permissions import add_permission, remove_permission
from tenet.queues.ops.queue_attributes import get_queue_attributes, set_queue_attributes
from tenet.queues.ops.receive_message import receive_message
from tenet.queues.ops.remains import Remains
from tenet.queues.ops.send_message import send_message, send_message_batch
from tenet.queues.ops.tags import list_queue_tags, tag_queue, untag_queue
from tenet.queues.rules.addresses import read_arn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.mesh.places import Places
    from tenet.queues.context import Operation
    from tenet.queues.model import Queue
    from tenet.store.contract import Store
    from tenet.wire.door import Measure

__all__ = ["ROUTES", "Caller", "Queues", "QueuesError", "QueuesSettings"]

#: Every operation that can be called, by its name.
ROUTES: Final[Mapping[str, Operation]] = {
    "AddPermission": add_permission,
    "CancelMessageMoveTask": cancel_message_move_task,
    "ChangeMessageVisibility": change_message_visibility,
    "ChangeMessageVisibilityBatch": change_message_visibility_batch,
    "CreateQueue": create_queue,
    "DeleteMessage": delete_message,
    "DeleteMessageBatch": delete_message_batch,
    "DeleteQueue": delete_queue,
    "GetQueueAttributes": get_queue_attributes,
    "GetQueueUrl": get_queue_url,
    "ListDeadLetterSourceQueues": list_dead_letter_source_queues,
    "ListMessageMoveTasks": list_message_move_tasks,
    "ListQueueTags": list_queue_tags,
    "ListQueues": list_queues,
    "PurgeQueue": purge_queue,
    "ReceiveMessage": receive_message,
    "RemovePermission": remove_permission,
    "SendMessage": send_message,
    "SendMessageBatch": send_message_batch,
    "SetQueueAttributes": set_queue_attributes,
    "StartMessageMoveTask": start_message_move_task,
    "TagQueue": tag_queue,
    "UntagQueue": untag_queue,
}


class QueuesSettings(Struct, frozen=True):
    """What an operator may set.

    Args:
        queues_max: how many queues a tenant may have, 1 or more.
        deleted_s: how long a name is not free after its queue was deleted, seconds, 0 or more.
    """

    queues_max: int = QUEUES_MAX
    deleted_s: int = DELETED_S


_DEFAULTS: Final = QueuesSettings()


class Queues:
    """The queues service on a store. Made by ``open``.

    Args:
        context: what the operations work with.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    @classmethod
    async def open(
        cls,
        store: Store,
        *,
        clock: Clock,
        ids: Ids,
        settings: QueuesSettings = _DEFAULTS,
        places: Places | None = None,
    ) -> Self:
        """Opens the service: makes its spaces where there are none, and takes up what an earlier process left.

        Args:
            store: where all state lives; stays open when the service is closed.
            clock: time.
            ids: randomness.
            settings: what an operator may set.
            places: which queues are this node's, and which are others'; None: all are this process's.
        """
        catalog = Catalog(store, clock=clock, ids=ids, queues_max=settings.queues_max, deleted_s=settings.deleted_s)

        async def find(arn: str) -> Queue | None:
            address = read_arn(arn)
            return None if address is None else await catalog.find(address[1], address[2])

        await catalog.open()
        try:
            owners = await Owners.open(store, clock=clock, ids=ids, find=find, places=places)
            mover = Mover(store, owners, find, clock=clock, ids=ids)
            remains = Remains(store, catalog, owners, mover)
            context = Context(
                store=store, clock=clock, ids=ids, catalog=catalog, owners=owners, mover=mover, remains=remains
            )
            try:
                await mover.open()
                await remains.open()
                await owners.share(mover)
            except BaseException:
                await mover.close()
                await owners.close()
                raise
        except BaseException:
            await catalog.close()
            raise
        return cls(context)

    def measures(self) -> Sequence[Measure]:
        """Returns what the queues hold that this process owns, for the page of metrics."""
        return measures_of(self._context.owners)

    def end_waits(self) -> None:
        """Answers what waits for messages with none, from now on at once."""
        self._context.is_ending = True
        self._context.owners.end_waits()

    async def close(self) -> None:
        """Ends what waits for messages with empty answers, and writes down what is known."""
        self.end_waits()
        await self._context.remains.close()
        await self._context.mover.close()
        await self._context.owners.close()
        await self._context.catalog.close()

    async def call(self, operation: str, request: dict[str, Any], caller: Caller) -> dict[str, Any] | None:
        """Carries out an operation.

        Args:
            operation: its name, for instance ``SendMessage``.
            request: the parsed request as the API reference describes it, of the right types.
            caller: who calls.

        Returns:
            The members of the answer; None where the operation has none.

        Raises:
            QueuesError: what the API answers with; its code and text are the service's.
            StoreError: the store could not serve.
        """
        route = ROUTES.get(operation)
        if route is None:
            raise UnknownOperation
        return await route(self._context, caller, request)

    def service(self, scheme: str) -> QueuesService:
        """Returns the service for the edge.

        Args:
            scheme: of the listener, ``https`` or ``http``.
        """
        return QueuesService(self.call, scheme)
