"""AddPermission and RemovePermission: shorthands for statements of a queue's policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tenet.queues.ops.access import queue_of
from tenet.queues.rules.permissions import Permission, read_permission, with_permission, without_permission

if TYPE_CHECKING:
    from tenet.queues.context import Caller, Context
    from tenet.queues.model import Queue


async def add_permission(context: Context, caller: Caller, request: dict[str, Any]) -> None:
    """Allows other accounts to do something with a queue."""
    queue = await queue_of(context, caller, request, "AddPermission")
    permission: Permission = read_permission(request)

    def allowed(before: Queue) -> Queue:
        policy = with_permission(before.settings.policy, before.arn, permission)
        return msgspec.structs.replace(before, settings=msgspec.structs.replace(before.settings, policy=policy))

    await context.catalog.change(queue, allowed, deadline=caller.deadline)


async def remove_permission(context: Context, caller: Caller, request: dict[str, Any]) -> None:
    """Takes back what was allowed under a label."""
    queue = await queue_of(context, caller, request, "RemovePermission")
    label: str = request.get("Label") or ""

    def removed(before: Queue) -> Queue:
        policy = without_permission(before.settings.policy, label)
        return msgspec.structs.replace(before, settings=msgspec.structs.replace(before.settings, policy=policy))

    await context.catalog.change(queue, removed, deadline=caller.deadline)
