"""DeleteQueue and PurgeQueue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenet.queues.ops.access import queue_of

if TYPE_CHECKING:
    from tenet.queues.context import Caller, Context


async def delete_queue(context: Context, caller: Caller, request: dict[str, Any]) -> None:
    """Deletes a queue with its messages.

    It is gone with one commit; its messages go right after that, or as soon as the store can serve.
    """
    queue = await queue_of(context, caller, request, "DeleteQueue")
    await context.catalog.delete(queue, deadline=caller.deadline)
    await context.remains.remove(queue)


async def purge_queue(context: Context, caller: Caller, request: dict[str, Any]) -> None:
    """Deletes all messages of a queue; done when it returns."""
    queue = await queue_of(context, caller, request, "PurgeQueue")
    await context.owners.of(queue).purge(deadline=caller.deadline)
