"""Queues on a store that everything happens to: what clients were told stays true."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import pytest

from tenet.queues import keys
from tenet.queues.errors import QueuesError
from tenet.queues.model import NewMessage, Queue, Received, Settings
from tenet.queues.ops.owning import window, working
from tenet.queues.ops.owning.owner import Owner
from tenet.queues.ops.owning.owners import Owners
from tenet.store.contract import SpaceOptions
from tenet.store.errors import OutcomeUnknown, StoreUnavailable
from tenet.store.faulty import EVERY_FAULT, CallFaults, CommitFaults, FaultPlan
from tests.queue_ledger import Ledger
from tests.sim.harness import NO_FAULTS, Simulation, seeds, simulate

T = TypeVar("T")

VISIBILITY_S = 4
CLIENTS = 6
#: So many requests of each client.
REQUESTS = 60

#: Little goes wrong, but often an outcome is unknown, and a commit meets a rival.
UNKNOWN: FaultPlan = FaultPlan(
    calls=CallFaults(delayed=0.3, delay_ms_max=30),
    commits=CommitFaults(unknown_done=0.1, unknown_lost=0.1, unknown_late=0.1, late_ms_max=200, rival=0.05),
    crash=0.01,
)


class Client:
    """Uses a queue as a careful program does, and keeps book.

    Args:
        sim: where it lives.
        owners: the processes that it may ask.
        ledger: its book.
        number: its own.
    """

    def __init__(self, sim: Simulation, owners: Sequence[Owner], ledger: Ledger, number: int) -> None:
        self._sim = sim
        self._owners = owners
        self._ledger = ledger
        self._number = number
        self._count = 0

    @property
    def owner(self) -> Owner:
        return self._sim.dice.pick(self._owners)

    @property
    def deadline(self) -> float:
        return self._sim.clock.monotonic_s() + 2

    def now_ms(self) -> int:
        return self._sim.clock.wall_ms()

    async def work(self) -> None:
        """Sends, receives and deletes."""
        dice = self._sim.dice
        for _ in range(REQUESTS):
            if dice.chance(0.5):
                await self.send(1 + dice.below(4))
            else:
                await self.receive()
            if dice.chance(0.2):
                await asyncio.sleep(dice.below(1_500) / 1000)

    async def send(self, count: int) -> None:
        is_fifo = self._ledger.is_fifo
        group = f"g{self._sim.dice.below(12)}" if is_fifo or self._sim.dice.chance(0.5) else ""
        bodies = [f"{self._number}/{self._count + at}" for at in range(count)]
        self._count += count
        messages = [
            NewMessage(body, group=group, deduplication_id=body if is_fifo else "", delay_s=None) for body in bodies
        ]
        for body in bodies:
            self._ledger.ask_to_send(body, group)
        for _ in range(4):
            answers = await self.told(self.owner.send(messages, deadline=self.deadline))
            if answers is not None:
                for body, answer in zip(bodies, answers, strict=True):
                    self._ledger.sent(body, answer, self.now_ms())
            if not is_fifo or (answers is not None and self._sim.dice.chance(0.7)):
                return
            await asyncio.sleep(0.05)

    async def receive(self, *, deletes: float = 0.7, changes: float = 0.5) -> Sequence[Received]:
        dice, asked_ms = self._sim.dice, self.now_ms()
        most = 1 + dice.below(10)
        waiting = self.owner.receive(
            most=most, visibility_s=None, wait_s=dice.pick([0, 0, 0.5]), attempt_id="", deadline=self.deadline
        )
        messages = await self.told(waiting)
        if messages is None:
            return ()
        self._ledger.received(messages, asked_ms, self.now_ms(), VISIBILITY_S * 1000)
        if messages and dice.chance(deletes):
            await self.delete([message for message in messages if dice.chance(0.8)])
        elif messages and dice.chance(changes):
            await self.change(dice.pick(messages), dice.pick([0, 2 * VISIBILITY_S]))
        return messages

    async def delete(self, messages: Sequence[Received]) -> None:
        if self._sim.dice.chance(0.1):
            await asyncio.sleep(VISIBILITY_S)
        for message in messages:
            self._ledger.ask_to_delete(message.body)
        handles = [message.receipt_handle for message in messages]
        results = await self.told(self.owner.delete(handles, deadline=self.deadline))
        if results is not None:
            for message, result in zip(messages, results, strict=True):
                if result is None:
                    self._ledger.deleted(message.body, self.now_ms())

    async def change(self, message: Received, visibility_s: int) -> None:
        asked_ms = self.now_ms()
        self._ledger.ask_to_show(message.body)
        if self._sim.dice.chance(0.5):
            # The queue may have been taken over anew by then.
            await asyncio.sleep(VISIBILITY_S / 2)
            asked_ms = self.now_ms()
        changes = [(message.receipt_handle, visibility_s)]
        results = await self.told(self.owner.change_visibility(changes, deadline=self.deadline))
        if results is not None and results[0] is None:
            self._ledger.hidden(message.body, asked_ms + visibility_s * 1000)

    async def told(self, answer: Awaitable[T]) -> T | None:
        """What is answered; None where nobody knows, or nothing was done."""
        try:
            return await answer
        except (StoreUnavailable, OutcomeUnknown, QueuesError):
            return None


async def opened(sim: Simulation, queue: Queue) -> tuple[Owners, Owner]:
    """A process that owns the queue, as far as it knows."""
    node = sim.node()

    async def find(_arn: str) -> Queue | None:
        return None

    while True:
        try:
            owners = await Owners.open(node.store, clock=sim.clock, ids=node.ids, find=find)
        except (StoreUnavailable, OutcomeUnknown):
            await asyncio.sleep(0.1)
        else:
            return owners, owners.local(queue)


async def check_the_end(sim: Simulation, queue: Queue, ledger: Ledger) -> None:
    """Receives and deletes everything that is left, in a process that nothing happens to any more."""
    await sim.calm()
    await asyncio.sleep(2 * VISIBILITY_S + 1)
    ledger.may_come_back = False
    owners, owner = await opened_without_faults(sim, queue)
    client = Client(sim, [owner], ledger, -1)
    owed = ledger.owed()
    found: set[str] = set()
    figures = await owner.figures()
    held = figures.visible + figures.in_flight + figures.delayed
    rounds_without = 0
    while rounds_without < 3:
        messages = await client.receive(deletes=0, changes=0)
        deadline = sim.clock.monotonic_s() + 10
        await owner.delete([message.receipt_handle for message in messages], deadline=deadline)
        for message in messages:
            ledger.ask_to_delete(message.body)
            ledger.deleted(message.body, sim.clock.wall_ms())
        found |= {message.body for message in messages}
        rounds_without = 0 if messages else rounds_without + 1
        if not messages:
            await asyncio.sleep(VISIBILITY_S)
    assert owed <= found, f"lost: {sorted(owed - found)[:10]}"
    assert held >= len(found)
    figures = await owner.figures()
    assert (figures.visible, figures.in_flight, figures.delayed) == (0, 0, 0)
    await owners.close()
    records = await sim.truth.scan_all(keys.MESSAGES_SPACE)
    assert not [record.sort for record in records if record.sort[:1] in (b"m", b"s")]


async def opened_without_faults(sim: Simulation, queue: Queue) -> tuple[Owners, Owner]:
    node = sim.node(NO_FAULTS)

    async def find(_arn: str) -> Queue | None:
        return None

    owners = await Owners.open(node.store, clock=sim.clock, ids=node.ids, find=find)
    return owners, owners.local(queue)


def scene_of(name: str, processes: int) -> Callable[[Simulation], Awaitable[None]]:
    async def scene(sim: Simulation) -> None:
        await sim.truth.store.ensure_space(keys.MESSAGES_SPACE, SpaceOptions())
        queue = Queue(b"q" * 16, "1" * 12, name, 0, 0, Settings(visibility_s=VISIBILITY_S))
        # Who has lost a standard queue, and has not found out yet, gives away what it has in memory: leases are there
        # so that it finds out. A FIFO queue's messages are given to nobody before that is written, under the fence.
        ledger = Ledger(is_fifo=queue.is_fifo, may_come_back=processes > 1 and not queue.is_fifo)
        opened_all = [await opened(sim, queue) for _ in range(processes)]
        owners = [owner for _, owner in opened_all]
        await sim.actors(CLIENTS, lambda number: Client(sim, owners, ledger, number).work())
        for process, _ in opened_all:
            await process.close()
        assert ledger.receives > 20
        await check_the_end(sim, queue, ledger)

    return scene


@pytest.fixture
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window that is exceeded all the time."""
    for name, value in (("READY_MAX", 20), ("READY_LOW", 10), ("_PAGE_RECORDS", 2), ("_EXPRESS_GROUP_MAX", 3)):
        monkeypatch.setattr(window, name, value)
    # Bodies of messages in flight are hardly ever in memory.
    monkeypatch.setattr(window, "SMALL_WEIGHT_MAX", 500)
    monkeypatch.setattr(window, "FLYING_WEIGHT_MAX", 1_000)
    monkeypatch.setattr(working, "_BARE_LEAST", 0)


@pytest.mark.interpreted
@pytest.mark.parametrize("plan", [EVERY_FAULT, UNKNOWN], ids=["every fault", "unknown outcomes"])
@pytest.mark.parametrize("name", ["q", "q.fifo"])
@pytest.mark.parametrize("seed", seeds(5, 500))
@pytest.mark.usefixtures("small_window")
def test_nothing_is_lost_and_nothing_comes_back(seed: int, name: str, plan: FaultPlan) -> None:
    simulate(scene_of(name, 1), seed, plan)


@pytest.mark.parametrize("plan", [EVERY_FAULT, UNKNOWN], ids=["every fault", "unknown outcomes"])
@pytest.mark.parametrize("name", ["q", "q.fifo"])
@pytest.mark.parametrize("seed", seeds(5, 500))
def test_processes_that_all_believe_to_own_a_queue_do_no_harm(seed: int, name: str, plan: FaultPlan) -> None:
    simulate(scene_of(name, 3), seed, plan)
