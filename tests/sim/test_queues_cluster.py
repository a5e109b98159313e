"""The queues service at several simulated nodes: what is changed at one is so at all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tenet.queues import keys
from tenet.queues.api import Caller, Queues
from tenet.queues.errors import QueueDoesNotExist
from tenet.store.faulty import NO_FAULTS
from tenet.wire.door import Measured
from tests.sim.harness import Simulation, seeds, simulate
from tests.sim.meshes import Mesh, MeshNode

ACCOUNT = "1" * 12


class Member:
    """A node with the queues service."""

    def __init__(self, node: MeshNode) -> None:
        self.node = node
        self.places = node.process.run(node.cooperation.places, "queues.slots")
        self.queues: Queues

    async def open(self) -> None:
        node = self.node
        clock, ids = node.sim_node.clock, node.sim_node.ids
        self.queues = await node.process.start(Queues.open(node.store, clock=clock, ids=ids, places=self.places))

    async def call(self, operation: str, **request: Any) -> Any:
        deadline = self.node.sim_node.clock.monotonic_s() + 30
        caller = Caller(ACCOUNT, deadline=deadline, base="http://h")
        return await self.node.process.start(self.queues.call(operation, request, caller))

    def has(self, queue: str) -> bool:
        """Whether its page of metrics tells of a queue."""
        return any(
            isinstance(measure, Measured) and (ACCOUNT, queue) in measure.values for measure in self.queues.measures()
        )


def play(scene: Callable[[Mesh, list[Member]], Awaitable[None]], seed: int) -> None:
    async def played(sim: Simulation) -> None:
        mesh = Mesh(sim)
        try:
            members = [Member(mesh.node(name)) for name in "abc"]
            for member in members:
                await member.open()
            await asyncio.gather(*(member.node.join() for member in members))
            await mesh.until(lambda: sum(len(member.places._tenures) for member in members) == 64, 20.0)
            await asyncio.sleep(1.0)
            await scene(mesh, members)
        finally:
            await mesh.end()

    simulate(played, seed, NO_FAULTS)


def test_what_is_changed_at_one_node_is_so_at_all_of_them() -> None:
    async def scene(mesh: Mesh, members: list[Member]) -> None:
        dice = mesh.sim.dice
        for number in range(6):
            name, one, other = f"q{number}", *dice.sample(members, 2)
            url = (await one.call("CreateQueue", QueueName=name))["QueueUrl"]
            assert (await other.call("GetQueueUrl", QueueName=name))["QueueUrl"] == url
            await other.call("SendMessage", QueueUrl=url, MessageBody="first")
            # Only who owns it has figures of it.
            assert [member.has(name) for member in members].count(True) == 1
            await other.call("SetQueueAttributes", QueueUrl=url, Attributes={"VisibilityTimeout": "0"})
            await one.call("TagQueue", QueueUrl=url, Tags={"k": "v"})
            await asyncio.sleep(0.1)
            for member in members:
                asked = {"QueueUrl": url, "AttributeNames": ["VisibilityTimeout", "ApproximateNumberOfMessages"]}
                found = (await member.call("GetQueueAttributes", **asked))["Attributes"]
                assert found == {"VisibilityTimeout": "0", "ApproximateNumberOfMessages": "1"}
                assert (await member.call("ListQueueTags", QueueUrl=url))["Tags"] == {"k": "v"}
                # The new visibility is in force wherever the message is received.
                (received,) = (await member.call("ReceiveMessage", QueueUrl=url))["Messages"]
                assert received["Body"] == "first"
            waiting = asyncio.ensure_future(other.call("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20))
            await one.call("DeleteQueue", QueueUrl=url)
            await asyncio.gather(waiting, return_exceptions=True)
            await asyncio.sleep(0.1)
            assert not any(member.has(name) for member in members)
            for member in members:
                with pytest.raises(QueueDoesNotExist):
                    await member.call("SendMessage", QueueUrl=url, MessageBody="late")
        await asyncio.sleep(1)
        assert not await mesh.sim.truth.scan_all(keys.MESSAGES_SPACE)

    for seed in seeds(3, 50):
        play(scene, seed)


def test_messages_are_moved_where_their_queue_is_and_go_on_when_that_node_dies() -> None:
    async def scene(mesh: Mesh, members: list[Member]) -> None:
        one = members[0]
        arns = {}
        for name in ("dead", "live"):
            url = (await one.call("CreateQueue", QueueName=name))["QueueUrl"]
            got = await one.call("GetQueueAttributes", QueueUrl=url, AttributeNames=["QueueArn"])
            arns[name] = (url, got["Attributes"]["QueueArn"])
        redrive = f'{{"deadLetterTargetArn":"{arns["dead"][1]}","maxReceiveCount":1}}'
        await one.call("SetQueueAttributes", QueueUrl=arns["live"][0], Attributes={"RedrivePolicy": redrive})
        for number in range(60):
            await one.call("SendMessage", QueueUrl=arns["dead"][0], MessageBody=str(number))
        slot = one.places.slot_of((await one.queues._context.catalog.queue(ACCOUNT, "dead")).id)
        owner = next(member for member in members if member.places.is_here(slot))
        stay = [member for member in members if member is not owner]
        begun = {"SourceArn": arns["dead"][1], "DestinationArn": arns["live"][1], "MaxNumberOfMessagesPerSecond": 10}
        handle = (await stay[0].call("StartMessageMoveTask", **begun))["TaskHandle"]
        await asyncio.sleep(2)
        (task,) = (await stay[1].call("ListMessageMoveTasks", SourceArn=arns["dead"][1]))["Results"]
        assert task["Status"] == "RUNNING"
        assert 0 < task["ApproximateNumberOfMessagesMoved"] < 60
        assert task["TaskHandle"] == handle
        owner.node.kill()
        await asyncio.sleep(12)
        (task,) = (await stay[1].call("ListMessageMoveTasks", SourceArn=arns["dead"][1]))["Results"]
        assert task["Status"] == "COMPLETED"
        found: set[str] = set()
        while messages := (await stay[0].call("ReceiveMessage", QueueUrl=arns["live"][0], MaxNumberOfMessages=10)):
            found |= {message["Body"] for message in messages["Messages"]}
        assert found == {str(number) for number in range(60)}
        # One that goes on is cancelled at whatever node that is asked.
        for number in range(60):
            await stay[0].call("SendMessage", QueueUrl=arns["dead"][0], MessageBody=str(number))
        handle = (await stay[0].call("StartMessageMoveTask", **begun))["TaskHandle"]
        await stay[1].call("CancelMessageMoveTask", TaskHandle=handle)
        await asyncio.sleep(1)
        tasks = (await stay[1].call("ListMessageMoveTasks", SourceArn=arns["dead"][1]))["Results"]
        assert tasks[0]["Status"] == "CANCELLED"

    for seed in seeds(2, 30):
        play(scene, seed)


def test_a_node_that_stops_hands_its_queues_over_and_ends_what_waits() -> None:
    async def scene(mesh: Mesh, members: list[Member]) -> None:
        url = (await members[0].call("CreateQueue", QueueName="q"))["QueueUrl"]
        for _ in range(10):
            await members[0].call("SendMessage", QueueUrl=url, MessageBody="hidden")
        received: list[Any] = []
        while len(received) < 10:
            received += (await members[1].call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10))["Messages"]
        for member in members[:2]:
            waiting = asyncio.ensure_future(member.call("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20))
            await asyncio.sleep(0.5)
            member.node.process.run(member.queues.end_waits)
            assert await waiting == {}
            await member.node.process.start(member.queues.close())
            await member.node.leave()
        await asyncio.sleep(1)
        # What was received stays hidden, and is deleted by its handles.
        assert await members[2].call("ReceiveMessage", QueueUrl=url) == {}
        for message in received:
            await members[2].call("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        await asyncio.sleep(31)
        assert await members[2].call("ReceiveMessage", QueueUrl=url) == {}

    for seed in seeds(2, 30):
        play(scene, seed)
