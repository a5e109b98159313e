"""What has to be looked up before a queue's dead letters may go to another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenet.queues.rules.redrive import check_address, check_target

if TYPE_CHECKING:
    from tenet.queues.context import Caller, Context
    from tenet.queues.model import Queue


async def check_redrive(context: Context, caller: Caller, queue: Queue, text: str) -> None:
    """Refuses a dead-letter queue that cannot be one; one round trip.

    Args:
        context: of the service.
        caller: who asks.
        queue: as it is to be, with a RedrivePolicy.
        text: the RedrivePolicy as it was given.

    Raises:
        InvalidParameterValue: it cannot be.
    """
    redrive = queue.settings.redrive
    assert redrive is not None
    account, name = check_address(text, queue.account, queue.region, redrive.target)
    target = await context.catalog.find(account, name, deadline=caller.deadline)
    check_target(text, queue.account, queue.name, queue.region, target)
