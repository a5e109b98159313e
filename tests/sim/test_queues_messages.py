"""Messages go through the queues service as clients send and receive them, on a node to which everything happens.

A client sends, receives, hides and deletes messages one by one and in batches, which are taken for as many single
requests, and empties the queue now and then: what was acknowledged before that is gone, and what comes later stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tenet.base.dice import Dice
from tenet.queues.api import Caller, Queues, QueuesSettings
from tenet.queues.model import Received, Sent
from tenet.store.errors import OutcomeUnknown, StoreUnavailable
from tenet.store.faulty import EVERY_FAULT, FaultPlan
from tests.queue_ledger import Ledger
from tests.sim.harness import Node, Simulation, seeds, simulate
from tests.sim.registers import DONE, REFUSED, Told, told
from tests.sim.test_queues import UNKNOWN, VISIBILITY_S, check_the_end

ACCOUNT = "1" * 12
CLIENTS = 5
REQUESTS = 50
CALLER_S_MAX = 3.0
PURGE_MS = 60_000
SETTINGS = QueuesSettings()
#: What a client may be told of messages that were deleted, or whose queue is another's, meanwhile.
REFUSALS = {"InvalidParameterValueException", "ReceiptHandleIsInvalid", "MessageNotInflight", "PurgeQueueInProgress"}


async def opened(node: Node, settings: QueuesSettings = SETTINGS) -> Queues:
    """A service that opened in the end."""
    while True:
        try:
            return await Queues.open(node.store, clock=node.clock, ids=node.ids, settings=settings)
        except (StoreUnavailable, OutcomeUnknown):
            await asyncio.sleep(0.1)


async def insist(queues: Queues, operation: str, **request: Any) -> Any:
    """Asks until it is done."""
    while True:
        try:
            return await queues.call(operation, request, Caller(ACCOUNT, base="http://h"))
        except (StoreUnavailable, OutcomeUnknown):
            await asyncio.sleep(0.1)


class Purges:
    """When the queue was emptied: no two times within a minute."""

    def __init__(self) -> None:
        #: When each was asked for and told, milliseconds; told is None where nobody knows.
        self.known: list[tuple[int, int | None]] = []
        self.under_way = 0

    def told(self, asked_ms: int, now_ms: int, answer: Told) -> None:
        """Takes up what a client was told."""
        if answer.code == "PurgeQueueInProgress":
            recent = [told_ms for _, told_ms in self.known if told_ms is None or told_ms > asked_ms - PURGE_MS]
            assert recent or self.under_way > 1, "nobody has emptied it within the minute"
        elif answer.outcome == DONE:
            for before_ms, told_ms in self.known:
                # Two that are asked for at the same time are as good as one.
                assert told_ms is None or told_ms >= asked_ms or now_ms - before_ms >= PURGE_MS
            self.known.append((asked_ms, now_ms))
        elif answer.outcome != REFUSED:
            self.known.append((asked_ms, None))


class Client:
    """Uses a queue through the API, and keeps book.

    Args:
        sim: where it lives.
        queues: the service.
        url: of the queue.
        book: of all clients of the queue.
        number: its own.
    """

    def __init__(self, sim: Simulation, queues: Queues, url: str, book: Book, number: int) -> None:
        self._sim = sim
        self._queues = queues
        self._url = url
        self._ledger = book.ledger
        self._purges = book.purges
        self._number = number
        self._count = 0
        self._dice = Dice(sim.seed_of(f"client {number}"))

    def now_ms(self) -> int:
        return self._sim.clock.wall_ms()

    async def ask(self, operation: str, **request: Any) -> Told:
        deadline = self._sim.clock.monotonic_s() + CALLER_S_MAX
        caller = Caller(ACCOUNT, deadline=deadline, base="http://h")
        return await told(self._queues.call(operation, {"QueueUrl": self._url, **request}, caller), REFUSALS)

    async def each(self, operation: str, entries: Sequence[dict[str, Any]]) -> list[Told]:
        """Sends requests together, or a single one by itself; returns what is told of each."""
        if len(entries) == 1 and self._dice.chance(0.8):
            return [await self.ask(operation, **entries[0])]
        batch = [{"Id": str(number), **entry} for number, entry in enumerate(entries)]
        answer = await self.ask(f"{operation}Batch", Entries=batch)
        if answer.outcome != DONE:
            return [answer] * len(entries)
        done = {one["Id"]: Told(DONE, one) for one in answer.answer["Successful"]}
        failed = {one["Id"]: one for one in answer.answer.get("Failed", ())}
        assert all(one["SenderFault"] and one["Code"] for one in failed.values()), failed
        assert sorted([*done, *failed]) == sorted(entry["Id"] for entry in batch), "each is told of once"
        return [done.get(entry["Id"], Told(REFUSED)) for entry in batch]

    async def work(self) -> None:
        """Does all of it."""
        dice = self._dice
        for _ in range(REQUESTS):
            if dice.chance(0.03):
                await self.purge()
            elif dice.chance(0.5):
                await self.send(dice.pick([1, 1, 2, 4]))
            else:
                await self.receive()
            if dice.chance(0.2):
                await asyncio.sleep(dice.below(1_500) / 1_000)
            elif dice.chance(0.02):
                await asyncio.sleep(PURGE_MS / 1_000)

    async def send(self, count: int) -> None:
        is_fifo = self._ledger.is_fifo
        group = f"g{self._dice.below(12)}" if is_fifo else ""
        bodies = [f"{self._number}/{self._count + at}" for at in range(count)]
        self._count += count
        fifo = {"MessageGroupId": group} if is_fifo else {}
        entries = [
            {"MessageBody": body, **fifo, **({"MessageDeduplicationId": body} if is_fifo else {})} for body in bodies
        ]
        for body in bodies:
            self._ledger.ask_to_send(body, group)
            if self._purges.under_way:
                # It may be written before the queue is emptied.
                self._ledger.ask_to_delete(body)
        for body, answer in zip(bodies, await self.each("SendMessage", entries), strict=True):
            if answer.outcome == DONE:
                sent = Sent(answer.answer["MessageId"], int(answer.answer.get("SequenceNumber", 0)))
                self._ledger.sent(body, sent, self.now_ms())

    async def receive(self) -> None:
        dice, asked_ms = self._dice, self.now_ms()
        most = 1 + dice.below(10)
        answer = await self.ask(
            "ReceiveMessage",
            MaxNumberOfMessages=most,
            WaitTimeSeconds=dice.pick([0, 0, 1]),
            MessageSystemAttributeNames=["All"],
        )
        if answer.outcome != DONE:
            return
        messages = [received_of(message) for message in answer.answer.get("Messages", ())]
        assert len(messages) <= most
        self._ledger.received(messages, asked_ms, self.now_ms(), VISIBILITY_S * 1_000)
        if messages and dice.chance(0.7):
            await self.delete([message for message in messages if dice.chance(0.8)] or messages[:1])
        elif messages and dice.chance(0.6):
            await self.change(dice.sample(messages, 1 + dice.below(len(messages))))

    async def delete(self, messages: Sequence[Received]) -> None:
        for message in messages:
            self._ledger.ask_to_delete(message.body)
        answers = await self.each("DeleteMessage", [{"ReceiptHandle": one.receipt_handle} for one in messages])
        for message, answer in zip(messages, answers, strict=True):
            if answer.outcome == DONE:
                self._ledger.deleted(message.body, self.now_ms())

    async def change(self, messages: Sequence[Received]) -> None:
        asked_ms, visibility_s = self.now_ms(), self._dice.pick([0, 2 * VISIBILITY_S])
        for message in messages:
            self._ledger.ask_to_show(message.body)
        changes = [{"ReceiptHandle": one.receipt_handle, "VisibilityTimeout": visibility_s} for one in messages]
        for message, answer in zip(messages, await self.each("ChangeMessageVisibility", changes), strict=True):
            if answer.outcome == DONE:
                self._ledger.hidden(message.body, asked_ms + visibility_s * 1_000)

    async def purge(self) -> None:
        asked_ms, entries = self.now_ms(), self._ledger.entries
        sent = [body for body, entry in entries.items() if entry.sent_ms is not None]
        self._purges.under_way += 1
        for body in entries:
            self._ledger.ask_to_delete(body)
        answer = await self.ask("PurgeQueue")
        self._purges.told(asked_ms, self.now_ms(), answer)
        self._purges.under_way -= 1
        if answer.outcome == DONE:
            for body in sent:
                self._ledger.deleted(body, self.now_ms())


class Book:
    """What clients of a queue were told.

    Args:
        is_fifo: whether it is a FIFO queue.
    """

    def __init__(self, *, is_fifo: bool) -> None:
        self.ledger = Ledger(is_fifo=is_fifo)
        self.purges = Purges()


def received_of(message: dict[str, Any]) -> Received:
    """Returns a message as the ledger knows it."""
    attributes = message["Attributes"]
    return Received(
        message_id=message["MessageId"],
        receipt_handle=message["ReceiptHandle"],
        body=message["Body"],
        attributes=b"",
        md5_of_body=message["MD5OfBody"],
        md5_of_attributes="",
        sender=attributes["SenderId"],
        sent_ms=int(attributes["SentTimestamp"]),
        receives=int(attributes["ApproximateReceiveCount"]),
        first_received_ms=int(attributes["ApproximateFirstReceiveTimestamp"]),
        group=attributes.get("MessageGroupId", ""),
        sequence_number=int(attributes.get("SequenceNumber", 0)),
    )


async def scene(sim: Simulation, name: str) -> int:
    """Returns how often the queue was emptied."""
    node = sim.node()
    queues = await opened(node)
    is_fifo = name.endswith(".fifo")
    attributes = {"VisibilityTimeout": str(VISIBILITY_S), **({"FifoQueue": "true"} if is_fifo else {})}
    url = (await insist(queues, "CreateQueue", QueueName=name, Attributes=attributes))["QueueUrl"]
    queue = await node.client.patiently(lambda: queues._context.catalog.queue(ACCOUNT, name))
    book = Book(is_fifo=is_fifo)
    await sim.actors(CLIENTS, lambda number: Client(sim, queues, url, book, number).work())
    await queues.close()
    assert book.ledger.receives > 20
    await check_the_end(sim, queue, book.ledger)
    return len(book.purges.known)


@pytest.mark.parametrize("plan", [EVERY_FAULT, UNKNOWN], ids=["every fault", "unknown outcomes"])
@pytest.mark.parametrize("name", ["q", "q.fifo"])
def test_messages_through_the_service_where_everything_happens(name: str, plan: FaultPlan) -> None:
    purges = [simulate(lambda sim: scene(sim, name), seed, plan) for seed in seeds(4, 300)]
    assert sum(purges) >= len(purges)
