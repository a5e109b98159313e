"""GetQueueAttributes and SetQueueAttributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tenet.queues.errors import MissingParameter
from tenet.queues.model import Figures
from tenet.queues.ops.access import queue_of
from tenet.queues.ops.redriving import check_redrive
from tenet.queues.rules.queue_attributes import asked_attributes, attribute_texts, needs_figures, read_settings

if TYPE_CHECKING:
    from tenet.queues.context import Caller, Context
    from tenet.queues.model import Queue


async def get_queue_attributes(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Returns attributes of a queue, as they are and as they count."""
    queue = await queue_of(context, caller, request, "GetQueueAttributes")
    names = asked_attributes(request.get("AttributeNames") or [])
    figures = await context.owners.of(queue).figures() if needs_figures(names) else Figures()
    texts = attribute_texts(queue, figures, names)
    return {"Attributes": texts} if texts else {}


async def set_queue_attributes(context: Context, caller: Caller, request: dict[str, Any]) -> None:
    """Sets attributes of a queue, all of them or none; in force when it returns."""
    queue = await queue_of(context, caller, request, "SetQueueAttributes")
    attributes: dict[str, str] = request.get("Attributes") or {}
    if not attributes:
        raise MissingParameter.of("Attribute.Name")

    def changed(before: Queue) -> Queue:
        settings = read_settings(before, attributes, is_new=False)
        return msgspec.structs.replace(before, settings=settings)

    wanted = changed(queue)
    if "RedrivePolicy" in attributes and wanted.settings.redrive is not None:
        await check_redrive(context, caller, wanted, attributes["RedrivePolicy"])
    after = await context.catalog.change(queue, changed, deadline=caller.deadline)
    context.owners.of(after).update(after)
