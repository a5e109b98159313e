"""All that an owner knows of one queue, from when it took the queue over until it loses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenet.queues import keys
from tenet.queues.ops.owning.deduplication import Deduplication
from tenet.queues.ops.owning.receiving import Attempts
from tenet.queues.ops.owning.working import Working

if TYPE_CHECKING:
    from tenet.queues.model import Queue
    from tenet.queues.ops.owning.window import Window
    from tenet.queues.rules.stored import Head


class State:
    """What is known of a queue.

    Args:
        queue: its description.
        head: as this owner wrote it first.

    Attributes:
        head_key: where its head lies.
        epoch: counts its owners.
        receives_next: the number of the next record of receives.
        purged_receives: records of receives below this number are of messages that are gone.
        working: what is in memory of it.
        deduplication: of a FIFO queue; else None.
        attempts: receives that can be repeated.
        window: what of it is in memory.
    """

    window: Window

    def __init__(self, queue: Queue, head: Head) -> None:
        self.queue = queue
        self.head_key = keys.head_key(queue.id)
        self.epoch = head.epoch
        self.receives_next = head.receives_next
        self.purged_receives = head.receives_first
        self.working = Working(is_fifo=queue.is_fifo, head=head)
        self.deduplication = Deduplication() if queue.is_fifo else None
        self.attempts = Attempts()
