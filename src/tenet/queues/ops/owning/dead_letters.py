"""Dead letters: messages that were received too often go to another queue.

A message is written to the other queue first and removed from its own one then, so that it is never in none. A crash in
between leaves it in both; when it is moved again a FIFO queue knows it by its origin, a standard queue has it twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from tenet.base.errors import TenetError
from tenet.queues.rules.receipts import message_id

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.queues.model import Queue
    from tenet.queues.ops.owning.items import Item
    from tenet.queues.ops.owning.owner import Owner
    from tenet.queues.ops.owning.shared import SharedOwner
    from tenet.queues.rules.stored import Message

#: How long a move may take.
_MOVE_S: Final = 20.0
#: How long messages of a queue are given to consumers all the same, after its dead-letter queue was not found.
_WITHOUT_S: Final = 30.0
#: How long a message waits that could not be moved.
_AGAIN_S: Final = 1.0

_log = structlog.get_logger(__name__)


class DeadLetters:
    """Moves dead letters.

    Args:
        find: finds a queue by its ARN.
        of: gives the owner of a queue.
        clock: time.
    """

    def __init__(
        self,
        find: Callable[[str], Awaitable[Queue | None]],
        of: Callable[[Queue], Owner | SharedOwner],
        *,
        clock: Clock,
    ) -> None:
        self._find = find
        self._of = of
        self._clock = clock
        #: Until when queues are known to be without the dead-letter queue that they name, by their ids.
        self._without: dict[bytes, float] = {}

    def takes(self, owner: Owner) -> bool:
        """Whether the dead-letter queue of a queue is there, as far as anybody knows, and is another one.

        The service lets a queue name itself. Its messages are where they would go to, and are received on.
        """
        redrive = owner.queue.settings.redrive
        if redrive is not None and redrive.target == owner.queue.arn:
            return False
        until_s = self._without.get(owner.queue.id)
        if until_s is None:
            return True
        if until_s > self._clock.monotonic_s():
            return False
        del self._without[owner.queue.id]
        return True

    async def move(self, owner: Owner, items: Sequence[Item]) -> None:
        """Moves messages to the dead-letter queue of their queue; they are back in line if that fails.

        Args:
            owner: of their queue.
            items: in flight, and given to nobody.
        """
        redrive = owner.queue.settings.redrive
        try:
            target = None if redrive is None else await self._find(redrive.target)
            if target is None:
                self._without[owner.queue.id] = self._clock.monotonic_s() + _WITHOUT_S
                owner.give_back(items)
                return
            deadline = self._clock.monotonic_s() + _MOVE_S
            messages = [_dead_letter(owner.queue, item) for item in items]
            tokens = [f"{owner.queue.id.hex()}/{item.message.sequence}" for item in items]
            await self._of(target).transfer(messages, tokens, deadline=deadline)
            await owner.let_go(items, deadline=deadline)
        except TenetError as error:
            _log.info("dead letters could not be moved", queue=owner.queue.name, reason=error.message)
            await asyncio.sleep(_AGAIN_S)
            owner.give_back(items)


def _dead_letter(queue: Queue, item: Item) -> Message:
    """Returns a message as its dead-letter queue has it."""
    message = item.message
    return msgspec.structs.replace(
        message,
        sequence=0,
        visible_ms=0,
        id=message.id or message_id(queue.id, message.sequence),
        source=queue.arn,
        receives=item.receives,
    )
