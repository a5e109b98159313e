"""CreateQueue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tenet.queues.errors import InvalidParameterValue
from tenet.queues.model import Queue, Settings
from tenet.queues.ops.redriving import check_redrive
from tenet.queues.rules.addresses import check_name, queue_url
from tenet.queues.rules.queue_attributes import asks_for_fifo, compare, read_settings
from tenet.queues.rules.tags import check_tags

if TYPE_CHECKING:
    from tenet.queues.context import Caller, Context


async def create_queue(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Makes a queue, or names the one that there is with these attributes; two round trips."""
    name: str | None = request.get("QueueName")
    if name is None:
        raise InvalidParameterValue("Value for parameter QueueName is invalid. Reason: Must specify a queue name.")
    if not name:
        raise InvalidParameterValue("Queue name cannot be empty")
    attributes: dict[str, str] = request.get("Attributes") or {}
    check_name(name, is_fifo=asks_for_fifo(attributes))
    now_ms = context.clock.wall_ms()
    tags: dict[str, str] = request.get("tags") or {}
    wanted = Queue(context.ids.draw(16), caller.account, name, now_ms, now_ms, Settings(), tags, caller.region)
    settings = read_settings(wanted, attributes, is_new=True)
    check_tags(tags, name)
    wanted = msgspec.structs.replace(wanted, settings=settings)
    if settings.redrive is not None:
        await check_redrive(context, caller, wanted, attributes["RedrivePolicy"])
    queue = await context.catalog.create(wanted, deadline=caller.deadline)
    if queue.id != wanted.id:
        compare(queue, attributes, settings)
    caller.notes["queue"] = name
    return {"QueueUrl": queue_url(caller.base, queue.account, queue.name)}
