"""GetQueueUrl, ListQueues and ListDeadLetterSourceQueues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenet.queues.errors import AccessDenied, InvalidParameterValue, QueueDoesNotExist
from tenet.queues.ops.access import authorize, queue_of
from tenet.queues.rules.addresses import may_exist, queue_url
from tenet.queues.rules.paging import next_token, read_token

if TYPE_CHECKING:
    from tenet.queues.context import Caller, Context

RESULTS_MAX: Final = 1_000


async def get_queue_url(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Returns the URL of a queue; one round trip where it is not known."""
    name: str | None = request.get("QueueName")
    if name is None:
        raise InvalidParameterValue("Value for parameter QueueName is invalid. Reason: Must specify a queue name.")
    account = request.get("QueueOwnerAWSAccountId") or caller.account
    if not may_exist(name) or not account.isascii():
        raise QueueDoesNotExist
    queue = await context.catalog.queue(account, name, deadline=caller.deadline)
    if account != caller.account or queue.settings.policy:
        try:
            authorize(context, caller, queue, "GetQueueUrl")
        except AccessDenied:
            if account == caller.account:
                raise
            # Whether there is one is nobody else's business.
            raise QueueDoesNotExist from None
    return {"QueueUrl": queue_url(caller.base, account, name)}


async def list_queues(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Returns URLs of the account's queues in order of their names; one round trip."""
    prefix: str = request.get("QueueNamePrefix") or ""
    most, token = _page(request)
    if token and most is None:
        raise InvalidParameterValue("MaxResults is a mandatory parameter when you provide a value for NextToken.")
    after = read_token(token, prefix, "Invalid NextToken value.") if token else ""
    if not prefix.isascii():
        return {}
    queues, more = await context.catalog.page(
        caller.account, prefix=prefix, after=after, limit=most or RESULTS_MAX, deadline=caller.deadline
    )
    if not queues:
        return {}
    answer: dict[str, Any] = {"QueueUrls": [queue_url(caller.base, queue.account, queue.name) for queue in queues]}
    if more and most is not None:
        answer["NextToken"] = next_token(prefix, queues[-1].name)
    return answer


async def list_dead_letter_source_queues(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Returns URLs of the queues whose dead letters go to a queue."""
    queue = await queue_of(context, caller, request, "ListDeadLetterSourceQueues")
    most, token = _page(request)
    after = read_token(token, queue.name, "Invalid or expired next token.") if token else ""
    queues, more = await context.catalog.dead_letter_sources(
        queue, after=after, limit=most or RESULTS_MAX, deadline=caller.deadline
    )
    if not queues:
        return {}
    answer: dict[str, Any] = {"queueUrls": [queue_url(caller.base, found.account, found.name) for found in queues]}
    if more and most is not None:
        answer["NextToken"] = next_token(queue.name, queues[-1].name)
    return answer


def _page(request: dict[str, Any]) -> tuple[int | None, str]:
    most: int | None = request.get("MaxResults")
    if most is not None and not 1 <= most <= RESULTS_MAX:
        raise InvalidParameterValue(
            "Value for parameter MaxResults is invalid. "
            f"Reason: MaxResults must be an integer between 1 and {RESULTS_MAX}."
        )
    return most, request.get("NextToken") or ""
