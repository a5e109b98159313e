"""What tests of the owner work with: a store in memory, a clock that they turn, and queues."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence

from tenet.base.clock import NEVER, ManualClock
from tenet.base.ids import SeededIds
from tenet.queues.model import NewMessage, Queue, Received, RedrivePolicy, Sent, Settings
from tenet.queues.ops.owning.owner import Owner
from tenet.queues.ops.owning.owners import Owners
from tenet.store.contract import Engine
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState

ACCOUNT = "123456789012"
_seeds = itertools.count(1)


class Stand:
    """A process over a store in memory, whose state outlives it.

    Args:
        state: what the store holds.
        clock: time.
        store: instead of one in memory.
    """

    def __init__(
        self, state: MemoryState | None = None, clock: ManualClock | None = None, store: Engine | None = None
    ) -> None:
        self.state = state or MemoryState()
        self.clock = clock or ManualClock()
        # Two processes never draw the same commit ids.
        self.ids = SeededIds(next(_seeds))
        self.store = store or MemoryEngine(self.state, clock=self.clock, ids=SeededIds(next(_seeds)))
        self.queues: dict[str, Queue] = {}
        self.owners: Owners

    async def open(self) -> Stand:
        self.owners = await Owners.open(self.store, clock=self.clock, ids=self.ids, find=self.find)
        return self

    async def find(self, arn: str) -> Queue | None:
        return self.queues.get(arn)

    def queue(self, name: str, settings: Settings | None = None) -> Owner:
        """The owner of a queue, which is made or changed."""
        queue_id = name.encode().ljust(16, b".")
        queue = Queue(queue_id, ACCOUNT, name, 0, 0, settings or Settings())
        self.queues[queue.arn] = queue
        return self.owners.local(queue)

    async def killed(self) -> Stand:
        """What begins again on what the store held when this process was killed."""
        again = Stand(self.state, self.clock)
        again.queues = self.queues
        return await again.open()


def run(scene: Callable[[Stand], Awaitable[None]]) -> None:
    """Plays a scene with a process, which ends behind it."""

    async def whole() -> None:
        stand = await Stand().open()
        await scene(stand)
        await stand.owners.close()

    asyncio.run(whole())


async def send(owner: Owner, *bodies: str, group: str = "", delay_s: int | None = None) -> Sequence[Sent]:
    """Sends messages; in a FIFO queue a body is its own deduplication id."""
    is_fifo = owner.queue.is_fifo
    messages = [
        NewMessage(body, group=group, delay_s=delay_s, deduplication_id=body if is_fifo else "") for body in bodies
    ]
    return await owner.send(messages, deadline=NEVER)


async def receive(
    owner: Owner, most: int = 10, *, visibility_s: int | None = None, wait_s: float = 0, attempt_id: str = ""
) -> Sequence[Received]:
    return await owner.receive(
        most=most, visibility_s=visibility_s, wait_s=wait_s, attempt_id=attempt_id, deadline=NEVER
    )


async def delete(owner: Owner, messages: Sequence[Received]) -> None:
    results = await owner.delete([message.receipt_handle for message in messages], deadline=NEVER)
    assert list(results) == [None] * len(messages)


def bodies(messages: Sequence[Received]) -> list[str]:
    return [message.body for message in messages]


async def turns(count: int = 50) -> None:
    """Lets everything happen that happens at once."""
    for _ in range(count):
        await asyncio.sleep(0)


def redrive(owner: Owner, receives_max: int) -> Settings:
    return Settings(redrive=RedrivePolicy(owner.queue.arn, receives_max))
