"""A process that uses queues of an embedded store until it is killed, and says on standard output what it was told.

    python tests/e2e/queue_worker.py DIRECTORY ROUND

Each line is a JSON list: what, the queue, the wall time in milliseconds, and what belongs to it. What is asked for goes
out before it is done, what was answered when it is.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import orjson
import uvloop

from tenet.base.clock import NEVER, SystemClock
from tenet.base.ids import SystemIds
from tenet.queues.model import NewMessage, Queue, Received, Settings
from tenet.queues.ops.owning import window
from tenet.queues.ops.owning.owner import Owner
from tenet.queues.ops.owning.owners import Owners
from tenet.store.sqlite.engine import open_engine

VISIBILITY_S = 1
CLIENTS = 6
GROUPS = 20
CLOCK = SystemClock()
IDS = SystemIds()
QUEUES = {
    name: Queue(name.encode().ljust(16, b"."), "1" * 12, name, 0, 0, Settings(visibility_s=VISIBILITY_S))
    for name in ("standard", "groups.fifo")
}


async def find(_arn: str) -> Queue | None:
    return None


def say(what: str, owner: Owner, *more: object) -> None:
    """Writes a line at once; what the kernel has got outlives this process."""
    os.write(1, orjson.dumps([what, owner.queue.name, CLOCK.wall_ms(), *more]) + b"\n")


async def send(owner: Owner, bodies: Sequence[str], group: str) -> None:
    is_fifo = owner.queue.is_fifo
    messages = [NewMessage(body, group=group, deduplication_id=body if is_fifo else "") for body in bodies]
    say("send", owner, bodies, group)
    answers = await owner.send(messages, deadline=NEVER)
    say("sent", owner, bodies, [[answer.message_id, answer.sequence_number] for answer in answers])
    if is_fifo and len(bodies) > 2:
        again = await owner.send(messages, deadline=NEVER)
        assert list(again) == list(answers)


async def receive(owner: Owner, dice: random.Random) -> None:
    asked_ms = CLOCK.wall_ms()
    messages: Sequence[Received] = await owner.receive(
        most=dice.randint(1, 10), visibility_s=None, wait_s=dice.choice([0, 0.2]), attempt_id="", deadline=NEVER
    )
    say("received", owner, asked_ms, [msgspec.to_builtins(message) for message in messages])
    if not messages or dice.random() < 0.2:
        return
    deleted = [message for message in messages if dice.random() < 0.8]
    say("delete", owner, [message.body for message in deleted])
    results = await owner.delete([message.receipt_handle for message in deleted], deadline=NEVER)
    done = [message.body for message, result in zip(deleted, results, strict=True) if result is None]
    say("deleted", owner, done)


async def work(owner: Owner, round_number: int, number: int) -> None:
    """Sends, receives and deletes, for ever."""
    dice = random.Random(f"{round_number} {number}")
    count = itertools.count()
    while True:
        if dice.random() < 0.5:
            bodies = [f"{round_number}/{number}/{next(count)}" for _ in range(dice.randint(1, 10))]
            await send(owner, bodies, f"g{dice.randrange(GROUPS)}" if owner.queue.is_fifo else "")
        else:
            await receive(owner, dice)


async def main(directory: Path, round_number: int) -> None:
    """Works until it is killed."""
    # A small window, so that every kill finds messages behind it.
    for name, value in (("READY_MAX", 200), ("READY_LOW", 100), ("_PAGE_RECORDS", 20)):
        setattr(window, name, value)
    engine = await open_engine(str(directory), clock=CLOCK, ids=IDS)
    owners = await Owners.open(engine, clock=CLOCK, ids=IDS, find=find)
    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            for queue in QUEUES.values():
                group.create_task(work(owners.local(queue), round_number, number))


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2])))
