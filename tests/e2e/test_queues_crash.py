"""kill -9 at any moment: no message is lost, none comes back, and a FIFO queue keeps its order and its promises."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import orjson
import pytest
import uvloop

from tenet.base.clock import NEVER
from tenet.queues.model import Received, Sent
from tenet.queues.ops.owning.owners import Owners
from tenet.store.sqlite.engine import open_engine
from tests.e2e import queue_worker as worker
from tests.queue_ledger import Ledger
from tests.rounds import rounds

KILLS = rounds(6, 100)
WORKER = Path(worker.__file__)
VISIBILITY_MS = worker.VISIBILITY_S * 1000


def work_and_kill(directory: Path, round_number: int, after_s: float) -> list[bytes]:
    """Runs a worker, kills it so many seconds after its first answer, and returns what it said."""
    said = directory / "said"
    command = [sys.executable, str(WORKER), str(directory), str(round_number)]
    with said.open("wb") as output, subprocess.Popen(command, stdout=output, cwd=WORKER.parents[2]) as process:
        while b'"deleted"' not in said.read_bytes():
            assert process.poll() is None, "the worker ended by itself"
            time.sleep(0.005)
        time.sleep(after_s)
        assert process.poll() is None, "the worker ended by itself"
        process.kill()
    # A line that was cut off was not said.
    return said.read_bytes().split(b"\n")[:-1]


def take_up(ledgers: dict[str, Ledger], line: bytes) -> None:
    """Enters a line into the books."""
    what, name, now_ms, *more = orjson.loads(line)
    ledger = ledgers[name]
    if what == "send":
        bodies, group = more
        for body in bodies:
            ledger.ask_to_send(body, group)
    elif what == "sent":
        bodies, answers = more
        for body, (message_id, sequence) in zip(bodies, answers, strict=True):
            ledger.sent(body, Sent(message_id, sequence), now_ms)
    elif what == "received":
        asked_ms, messages = more
        ledger.received([msgspec.convert(message, Received) for message in messages], asked_ms, now_ms, VISIBILITY_MS)
    elif what == "delete":
        for body in more[0]:
            ledger.ask_to_delete(body)
    else:
        for body in more[0]:
            ledger.deleted(body, now_ms)


async def drain(directory: Path, ledgers: dict[str, Ledger]) -> None:
    """Receives and deletes everything that is there, and looks for what is missing."""
    engine = await open_engine(str(directory), clock=worker.CLOCK, ids=worker.IDS)
    owners = await Owners.open(engine, clock=worker.CLOCK, ids=worker.IDS, find=worker.find)
    try:
        for name, ledger in ledgers.items():
            owner = owners.local(worker.QUEUES[name])
            owed, found = ledger.owed(), set()
            while True:
                asked_ms = worker.CLOCK.wall_ms()
                messages = await owner.receive(
                    most=10, visibility_s=None, wait_s=worker.VISIBILITY_S + 0.5, attempt_id="", deadline=NEVER
                )
                if not messages:
                    break
                ledger.received(messages, asked_ms, worker.CLOCK.wall_ms(), VISIBILITY_MS)
                for message in messages:
                    found.add(message.body)
                    ledger.ask_to_delete(message.body)
                results = await owner.delete([message.receipt_handle for message in messages], deadline=NEVER)
                for message, result in zip(messages, results, strict=True):
                    if result is None:
                        ledger.deleted(message.body, worker.CLOCK.wall_ms())
            assert owed <= found, f"{name} lost {sorted(owed - found)[:10]}"
            figures = await owner.figures()
            assert (figures.visible, figures.in_flight, figures.delayed) == (0, 0, 0)
    finally:
        await owners.close()
        await engine.close()


@pytest.mark.time_limit_s(600)
def test_a_killed_process_has_lost_nothing_and_brings_nothing_back(tmp_path: Path, seed: int) -> None:
    dice = random.Random(f"queues {seed}")
    ledgers = {name: Ledger(is_fifo=queue.is_fifo) for name, queue in worker.QUEUES.items()}
    for round_number in range(KILLS):
        for line in work_and_kill(tmp_path, round_number, dice.uniform(0, 1)):
            take_up(ledgers, line)
    uvloop.run(drain(tmp_path, ledgers))
    for name, ledger in ledgers.items():
        print(f"{name}: {len(ledger.entries)} sent, {ledger.receives} received, {ledger.repeats} again, seed {seed}")
        assert ledger.receives > 100
