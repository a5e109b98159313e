"""StartMessageMoveTask, CancelMessageMoveTask and ListMessageMoveTasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenet.base.ids import uuid4_text
from tenet.queues.errors import InvalidParameterValue, ResourceNotFoundException
from tenet.queues.ops.access import authorize
from tenet.queues.rules.move_tasks import (
    Task,
    check_arn,
    check_rate,
    check_results,
    handle_of,
    read_handle,
    told_task,
)

if TYPE_CHECKING:
    from tenet.queues.context import Caller, Context
    from tenet.queues.model import Queue


async def start_message_move_task(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Begins to move the messages of a dead-letter queue; the task goes on in the background, and after a restart."""
    address = check_arn("SourceArn", request.get("SourceArn"))
    rate = check_rate(request.get("MaxNumberOfMessagesPerSecond"))
    source = await _queue(context, caller, address, "StartMessageMoveTask")
    sources, _ = await context.catalog.dead_letter_sources(source, limit=1, deadline=caller.deadline)
    if not sources:
        raise InvalidParameterValue("Source queue must be configured as a Dead Letter Queue.")
    destination = request.get("DestinationArn") or ""
    if destination:
        await _check_destination(context, caller, source, destination)
    figures = await context.owners.of(source).figures()
    task = Task(
        id=uuid4_text(context.ids),
        source=source.arn,
        destination=destination,
        rate=rate,
        started_ms=context.clock.wall_ms(),
        to_move=figures.visible,
    )
    await context.mover.start(source, task, deadline=caller.deadline)
    return {"TaskHandle": handle_of(task)}


async def cancel_message_move_task(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Has a task end; what it has moved stays moved."""
    task_id, account, name = read_handle(request.get("TaskHandle"))
    source = await _queue(context, caller, (account, name), "CancelMessageMoveTask")
    task = await context.mover.cancel(source, task_id, deadline=caller.deadline)
    return {"ApproximateNumberOfMessagesMoved": task.moved}


async def list_message_move_tasks(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Returns the latest tasks of a dead-letter queue, the newest first."""
    address = check_arn("SourceArn", request.get("SourceArn"))
    most = check_results(request.get("MaxResults"))
    source = await _queue(context, caller, address, "ListMessageMoveTasks")
    tasks = await context.mover.tasks(source, limit=most, deadline=caller.deadline)
    return {"Results": [told_task(task) for task in tasks]} if tasks else {}


async def _queue(context: Context, caller: Caller, address: tuple[str, str], action: str) -> Queue:
    """Returns the queue that messages are taken from.

    Raises:
        ResourceNotFoundException: there is none.
        AccessDenied: the caller may not do this.
    """
    queue = await context.catalog.find(*address, deadline=caller.deadline)
    if queue is None:
        raise ResourceNotFoundException
    caller.notes["queue"] = queue.name
    if queue.account != caller.account or queue.settings.policy:
        authorize(context, caller, queue, action)
    return queue


async def _check_destination(context: Context, caller: Caller, source: Queue, arn: str) -> None:
    account, name = check_arn("DestinationArn", arn)
    found = await context.catalog.find(account, name, deadline=caller.deadline)
    if found is None or account != source.account:
        raise ResourceNotFoundException(
            "The resource that you specified for the DestinationArn parameter doesn't exist."
        )
    if found.id == source.id:
        raise InvalidParameterValue("Source queue arn and destination queue arn cannot be the same.")
    if found.is_fifo != source.is_fifo:
        raise InvalidParameterValue("The source queue and destination queue must be of the same queue type.")
