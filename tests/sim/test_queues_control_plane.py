"""Queues are made, described, changed and deleted at several nodes to which everything happens.

What is read is what some order of the changes explains: which queues there are, their tags, what is allowed to whom,
and which of them have a dead-letter queue. A node may be as late as its catalog says, where it answers from that.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import orjson

from tenet.base.dice import Dice
from tenet.queues.api import Caller, Queues, QueuesSettings
from tenet.store.cached import STALE_S
from tenet.store.faulty import EVERY_FAULT
from tests.sim.harness import NO_FAULTS, Simulation, seeds, simulate
from tests.sim.registers import DONE, Registers, Told, told
from tests.sim.test_queues_messages import ACCOUNT, insist, opened
from tests.sim.test_tables_items import Way

CALLER_S_MAX = 10.0
STEPS = 40
BASE = "http://h"
#: Queues that are there all the time, the last of them for dead letters.
KEPT = ("kept-a", "kept-b", "kept-dead")
SOURCES, DEAD = KEPT[:2], KEPT[2]
#: Queues that come and go.
PASSING = ("passing-a", "passing-b", "passing-c")
PAIR = ("one", "other")
TAGS = (*PAIR, "single")
LABELS = ("first", "second")
REFUSALS = {"QueueDoesNotExist", "QueueDeletedRecently", "InvalidParameterValueException"}
MESSAGES = 20


def url_of(name: str) -> str:
    return f"{BASE}/{ACCOUNT}/{name}"


def redrive_to(name: str) -> str:
    target = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"
    return orjson.dumps({"deadLetterTargetArn": target, "maxReceiveCount": 3}).decode()


class Operator:
    """One who makes, describes and changes queues.

    Args:
        queues: the service at its node.
        sim: for deadlines.
        dice: decides what comes next.
        registers: where it notes what it was told.
    """

    def __init__(self, queues: Queues, sim: Simulation, dice: Dice, registers: Registers) -> None:
        self._queues = queues
        self._sim = sim
        self._dice = dice
        self._registers = registers
        self._texts = (f"{dice.bytes(3).hex()}-{number}" for number in count())

    async def ask(self, operation: str, **request: Any) -> Told:
        caller = Caller(ACCOUNT, deadline=self._sim.clock.monotonic_s() + CALLER_S_MAX, base=BASE)
        answer = await told(self._queues.call(operation, request, caller), REFUSALS)
        return answer._replace(answer=answer.answer or {})

    async def written(self, values: dict[Any, Any], operation: str, **request: Any) -> Told:
        """Changes what is written all or nothing."""
        writes = [self._registers.begin(name, value) for name, value in values.items()]
        answer = await self.ask(operation, **request)
        for write in writes:
            self._registers.end(write, answer.outcome)
        return answer

    # ---- which there are ---------------------------------------------------------------------------------------------

    async def create(self) -> None:
        name = self._dice.pick(PASSING)
        answer = await self.written({name: True}, "CreateQueue", QueueName=name)
        assert answer.outcome != DONE or answer.answer == {"QueueUrl": url_of(name)}

    async def delete(self) -> None:
        name = self._dice.pick(PASSING)
        await self.written({name: None}, "DeleteQueue", QueueUrl=url_of(name))

    async def find(self) -> None:
        name, asked = self._dice.pick(PASSING), self._registers.now(old_s=STALE_S)
        answer = await self.ask("GetQueueUrl", QueueName=name)
        if answer.outcome == DONE or answer.code == "QueueDoesNotExist":
            self._registers.check_is(name, asked, True if answer.outcome == DONE else None)

    async def list(self) -> None:
        asked, found = self._registers.now(), []
        prefix = self._dice.pick(["", "", "passing-"])
        request: dict[str, Any] = {"QueueNamePrefix": prefix} if prefix else {}
        if self._dice.chance(0.5):
            request["MaxResults"] = 1 + self._dice.below(4)
        while True:
            answer = await self.ask("ListQueues", **request)
            if answer.outcome != DONE:
                return
            found += answer.answer.get("QueueUrls", ())
            if "NextToken" not in answer.answer:
                break
            request["NextToken"] = answer.answer["NextToken"]
        assert found == sorted(set(found))
        for name in (*PASSING, *(() if prefix else KEPT)):
            self._registers.check_is(name, asked, True if url_of(name) in found else None)

    # ---- what is set -------------------------------------------------------------------------------------------------

    async def tag(self) -> None:
        name, text = self._dice.pick(KEPT), next(self._texts)
        keys = PAIR if self._dice.chance(0.5) else TAGS[2:]
        values = {("tag", name, key): text for key in keys}
        await self.written(values, "TagQueue", QueueUrl=url_of(name), Tags=dict.fromkeys(keys, text))

    async def untag(self) -> None:
        name = self._dice.pick(KEPT)
        keys = PAIR if self._dice.chance(0.5) else TAGS[2:]
        values = {("tag", name, key): None for key in keys}
        await self.written(values, "UntagQueue", QueueUrl=url_of(name), TagKeys=list(keys))

    async def list_tags(self) -> None:
        name, asked = self._dice.pick(KEPT), self._registers.now(old_s=STALE_S)
        answer = await self.ask("ListQueueTags", QueueUrl=url_of(name))
        if answer.outcome == DONE:
            tags = answer.answer.get("Tags", {})
            assert len({tags.get(key) for key in PAIR}) == 1, "they are set and taken away together"
            for key in TAGS:
                self._registers.check_is(("tag", name, key), asked, tags.get(key))

    async def allow(self) -> None:
        name, label, asked = self._dice.pick(KEPT), self._dice.pick(LABELS), self._registers.now()
        account = str(10**11 + self._dice.below(10**11))
        permission = {"Label": label, "AWSAccountIds": [account], "Actions": ["SendMessage"]}
        place = ("allowed", name, label)
        answer = await self.written({place: account}, "AddPermission", QueueUrl=url_of(name), **permission)
        if answer.code:
            self._registers.check(place, asked, lambda value: value is not None)

    async def disallow(self) -> None:
        name, label, asked = self._dice.pick(KEPT), self._dice.pick(LABELS), self._registers.now()
        place = ("allowed", name, label)
        answer = await self.written({place: None}, "RemovePermission", QueueUrl=url_of(name), Label=label)
        if answer.code:
            self._registers.check_is(place, asked, None)

    async def redrive(self) -> None:
        name, is_on = self._dice.pick(SOURCES), self._dice.chance(0.6)
        attributes = {"RedrivePolicy": redrive_to(DEAD) if is_on else ""}
        values = {("redrive", name): DEAD if is_on else None}
        await self.written(values, "SetQueueAttributes", QueueUrl=url_of(name), Attributes=attributes)

    async def describe(self) -> None:
        name, asked = self._dice.pick(KEPT), self._registers.now(old_s=STALE_S)
        wanted = ["Policy", "RedrivePolicy"]
        answer = await self.ask("GetQueueAttributes", QueueUrl=url_of(name), AttributeNames=wanted)
        if answer.outcome != DONE:
            return
        found = answer.answer.get("Attributes", {})
        statements = orjson.loads(found.get("Policy", '{"Statement": []}'))["Statement"]
        allowed = {one["Sid"]: one["Principal"]["AWS"].split(":")[4] for one in statements}
        assert len(allowed) == len(statements)
        for label in LABELS:
            self._registers.check_is(("allowed", name, label), asked, allowed.get(label))
        target = orjson.loads(found["RedrivePolicy"])["deadLetterTargetArn"] if "RedrivePolicy" in found else None
        self._registers.check_is(("redrive", name), asked, target and target.rpartition(":")[2])

    async def list_sources(self) -> None:
        asked = self._registers.now()
        request = {"MaxResults": 5} if self._dice.chance(0.5) else {}
        answer = await self.ask("ListDeadLetterSourceQueues", QueueUrl=url_of(DEAD), **request)
        if answer.outcome == DONE:
            found = answer.answer.get("queueUrls", [])
            assert found == sorted(set(found))
            for name in SOURCES:
                self._registers.check_is(("redrive", name), asked, DEAD if url_of(name) in found else None)

    async def run(self) -> None:
        ways: list[Way] = [self.create, self.delete, self.find, self.list, self.list]
        ways += [self.tag, self.untag, self.list_tags, self.list_tags, self.allow, self.disallow]
        ways += [self.redrive, self.describe, self.describe, self.list_sources]
        for _ in range(STEPS):
            await self._dice.pick(ways)()
            await asyncio.sleep(self._dice.below(300) / 1_000)


async def scene(sim: Simulation) -> None:
    nodes = [sim.node() for _ in range(2)]
    services = [await opened(node, QueuesSettings(deleted_s=0)) for node in nodes]
    registers = Registers(sim.clock)
    for name in KEPT:
        write = registers.begin(name, value=True)
        await insist(services[0], "CreateQueue", QueueName=name)
        registers.end(write, DONE)

    async def operate(number: int) -> None:
        dice = Dice(sim.seed_of(f"operator {number}"))
        await Operator(services[number % 2], sim, dice, registers).run()

    await sim.actors(6, operate)
    await sim.calm()
    for queues in services:
        await queues.close()
    await sim.calm()
    survivor = await opened(sim.node(NO_FAULTS))
    last = Operator(survivor, sim, sim.dice, registers)
    for _ in range(10):
        for way in (last.find, last.list, last.list_tags, last.describe, last.list_sources):
            await way()
    await survivor.close()


def test_queues_at_nodes_to_which_everything_happens() -> None:
    for seed in seeds(8, 300):
        simulate(scene, seed, EVERY_FAULT)


# ---- messages that are moved back ------------------------------------------------------------------------------------


async def moving(sim: Simulation) -> None:
    """Dead letters are moved by tasks that are begun, looked at and cancelled: none is lost."""
    queues = await opened(sim.node())
    for name in KEPT:
        await insist(queues, "CreateQueue", QueueName=name)
    for name in SOURCES:
        await insist(
            queues, "SetQueueAttributes", QueueUrl=url_of(name), Attributes={"RedrivePolicy": redrive_to(DEAD)}
        )
    for number in range(MESSAGES):
        await insist(queues, "SendMessage", QueueUrl=url_of(DEAD), MessageBody=str(number))
    arns = {name: f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}" for name in KEPT}
    begun: dict[str, str] = {}
    operator = Operator(queues, sim, sim.dice, Registers(sim.clock))

    async def act(number: int) -> None:
        dice = Dice(sim.seed_of(f"mover {number}"))
        for _ in range(8):
            await asyncio.sleep(dice.below(3_000) / 1_000)
            answer = await operator.ask(
                "StartMessageMoveTask",
                SourceArn=arns[DEAD],
                DestinationArn=arns[dice.pick(SOURCES)],
                MaxNumberOfMessagesPerSecond=2,
            )
            if answer.outcome == DONE:
                begun[answer.answer["TaskHandle"]] = "begun"
            listed = await operator.ask("ListMessageMoveTasks", SourceArn=arns[DEAD], MaxResults=10)
            tasks = listed.answer.get("Results", [])
            assert sum(task["Status"] in {"RUNNING", "CANCELLING"} for task in tasks) <= 1, "one task at a time"
            running = [task["TaskHandle"] for task in tasks if task["Status"] == "RUNNING"]
            if running and dice.chance(0.4):
                cancelled = await operator.ask("CancelMessageMoveTask", TaskHandle=running[0])
                assert cancelled.answer.get("ApproximateNumberOfMessagesMoved", 0) <= MESSAGES

    await sim.actors(3, act)
    await queues.close()
    await sim.calm()
    survivor = await opened(sim.node(NO_FAULTS))
    await asyncio.sleep(60)
    tasks = (await insist(survivor, "ListMessageMoveTasks", SourceArn=arns[DEAD], MaxResults=10))["Results"]
    assert {task["Status"] for task in tasks} <= {"COMPLETED", "CANCELLED", "FAILED"}
    assert begun
    found: set[str] = set()
    for name in KEPT:
        while answer := await insist(survivor, "ReceiveMessage", QueueUrl=url_of(name), MaxNumberOfMessages=10):
            found |= {message["Body"] for message in answer["Messages"]}
    assert found == {str(number) for number in range(MESSAGES)}
    await survivor.close()


def test_dead_letters_are_moved_back_where_everything_happens() -> None:
    for seed in seeds(4, 200):
        simulate(moving, seed, EVERY_FAULT)
