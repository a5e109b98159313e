"""Which queue a request is about, and whether its sender may do that to it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from tenet.queues.errors import AccessDenied, QueueDoesNotExist
from tenet.queues.rules.addresses import read_url
from tenet.queues.rules.policies import Asked, judge

if TYPE_CHECKING:
    from tenet.queues.context import Caller, Context
    from tenet.queues.model import Queue

#: What one account can allow another one (Developer Guide, "Amazon SQS API permissions").
_ACROSS_ACCOUNTS: Final = frozenset(
    {
        "ChangeMessageVisibility",
        "DeleteMessage",
        "GetQueueAttributes",
        "GetQueueUrl",
        "ListDeadLetterSourceQueues",
        "PurgeQueue",
        "ReceiveMessage",
        "SendMessage",
    }
)
#: What no policy keeps its own account from: else a queue that denies everything to everybody would stay so for ever.
_ALWAYS_OWN: Final = frozenset({"GetQueueAttributes", "RemovePermission", "SetQueueAttributes"})

_read_url = lru_cache(maxsize=20_000)(read_url)


async def queue_of(context: Context, caller: Caller, request: dict[str, Any], action: str) -> Queue:
    """Returns the queue that a request is about; no round trip where it is known, else one.

    Args:
        context: of the service.
        caller: who asks.
        request: with a QueueUrl.
        action: what is asked for; a batch is judged as its single form.

    Raises:
        QueueDoesNotExist: it names none.
        AccessDenied: the caller may not do this.
    """
    url = request.get("QueueUrl")
    if not url:
        raise QueueDoesNotExist
    account, name = _read_url(url)
    account = account or caller.account
    caller.notes["queue"] = name
    queue = context.catalog.known(account, name)
    if queue is None:
        queue = await context.catalog.queue(account, name, deadline=caller.deadline)
    if account != caller.account or queue.settings.policy:
        authorize(context, caller, queue, action)
    return queue


def authorize(context: Context, caller: Caller, queue: Queue, action: str) -> None:
    """Refuses what the caller may not do.

    Raises:
        AccessDenied: the queue's policy denies it, or it is another account's and nothing allows it.
    """
    is_own = queue.account == caller.account
    if is_own and action in _ALWAYS_OWN:
        return
    principal = f"arn:aws:iam::{caller.account}:root"
    asked = Asked(principal, caller.account, f"sqs:{action}", queue.arn, _facts(context, caller, principal))
    verdict = judge(queue.settings.policy, asked)
    told = f"User: {principal} is not authorized to perform: sqs:{action.lower()} on resource: {queue.arn}"
    if verdict == "deny":
        raise AccessDenied(f"{told} with an explicit deny in a resource-based policy")
    if not is_own and (verdict != "allow" or action not in _ACROSS_ACCOUNTS):
        raise AccessDenied(f"{told} because no resource-based policy allows the sqs:{action.lower()} action")


def _facts(context: Context, caller: Caller, principal: str) -> dict[str, str]:
    """Returns what conditions of policies may be about (IAM User Guide, "AWS global condition context keys")."""
    now_s = str(context.clock.wall_ms() // 1000)
    return {
        "aws:currenttime": now_s,
        "aws:epochtime": now_s,
        "aws:principalaccount": caller.account,
        "aws:principalarn": principal,
        "aws:principaltype": "Account",
        "aws:requestedregion": caller.region,
        "aws:securetransport": "true" if caller.base.startswith("https:") else "false",
        "aws:sourceip": caller.peer,
        "aws:userid": caller.account,
    }
