"""Receives that wait for messages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tenet.queues.model import Received


class Waiter:
    """A receive that has found nothing so far.

    Args:
        future: gets what it is answered with.
        most: how many messages it takes, 1 to 10.
        visibility_s: for how long they are hidden then.
        attempt_id: the ReceiveRequestAttemptId; empty for none.
        deadline: of the request, in seconds on the monotonic clock.
        is_short: whether it waits only until messages are in memory that are known to be there.

    Attributes:
        is_served: whether messages are on their way to it.
    """

    __slots__ = ("attempt_id", "deadline", "future", "is_served", "is_short", "most", "visibility_s")

    def __init__(
        self,
        future: asyncio.Future[Sequence[Received]],
        most: int,
        visibility_s: int,
        attempt_id: str,
        deadline: float,
        *,
        is_short: bool,
    ) -> None:
        self.future = future
        self.most = most
        self.visibility_s = visibility_s
        self.attempt_id = attempt_id
        self.deadline = deadline
        self.is_short = is_short
        self.is_served = False

    def end(self) -> None:
        """Answers with nothing, unless messages are on their way."""
        if not self.is_served and not self.future.done():
            self.future.set_result(())
