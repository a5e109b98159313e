"""TagQueue, UntagQueue and ListQueueTags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tenet.queues.errors import InvalidParameterValue, MissingParameter
from tenet.queues.ops.access import queue_of
from tenet.queues.rules.tags import check_tags

if TYPE_CHECKING:
    from tenet.queues.context import Caller, Context
    from tenet.queues.model import Queue


async def tag_queue(context: Context, caller: Caller, request: dict[str, Any]) -> None:
    """Adds tags to a queue; those of the same keys are replaced."""
    queue = await queue_of(context, caller, request, "TagQueue")
    tags: dict[str, str] = request.get("Tags") or {}
    if not tags:
        raise MissingParameter.of("Tags")

    def tagged(before: Queue) -> Queue:
        after = before.tags | tags
        check_tags(after, before.name)
        return msgspec.structs.replace(before, tags=after)

    await context.catalog.change(queue, tagged, deadline=caller.deadline)


async def untag_queue(context: Context, caller: Caller, request: dict[str, Any]) -> None:
    """Takes tags from a queue; keys that it does not have are no error."""
    queue = await queue_of(context, caller, request, "UntagQueue")
    keys: list[str] = request.get("TagKeys") or []
    if not keys:
        raise InvalidParameterValue("Tag keys must be between 1 and 128 characters in length.")

    def untagged(before: Queue) -> Queue:
        tags = {key: value for key, value in before.tags.items() if key not in keys}
        return msgspec.structs.replace(before, tags=tags)

    await context.catalog.change(queue, untagged, deadline=caller.deadline)


async def list_queue_tags(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Returns the tags of a queue."""
    queue = await queue_of(context, caller, request, "ListQueueTags")
    return {"Tags": queue.tags} if queue.tags else {}
