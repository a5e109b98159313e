"""What is set on a table as such, its tags and its time to live, on nodes to which everything happens.

Tags and the time to live are read while others set them: what is found is what some order of the changes explains, and
tags that are set by one request come and go together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import orjson

from tenet.base.dice import Dice
from tenet.store.faulty import EVERY_FAULT
from tenet.tables.api import Caller, Tables
from tests.sim.harness import ExpensiveEngine, Simulation, seeds, simulate
from tests.sim.registers import DONE, PERHAPS, Registers, Told, told
from tests.sim.tables_processes import ACCOUNT, Process
from tests.sim.test_tables_items import TABLE, Way

HOUR_MS = 3_600_000
HOURS = 3
STEPS = 8
#: Tags that are always set and taken away by one request.
PAIR = ("one", "other")
SINGLE = ("a", "b")
TIME_TO_LIVE = "time to live"
CALLER_S_MAX = 20.0
HOST = "tables.example"


class Settings:
    """What callers were told.

    Args:
        sim: for the clock.
        arn: of the table.
    """

    def __init__(self, sim: Simulation, arn: str) -> None:
        self.arn = arn
        self.registers = Registers(sim.clock)
        self.texts = (f"text-{number}" for number in count())
        #: By which attribute items expire, as far as is known.
        self.attribute = ""
        #: How many changes of the time to live took effect within the hour, and how many may have.
        self.changed = {DONE: 0, PERHAPS: 0}


class Operator:
    """One who describes and changes a table.

    Args:
        service: whom to ask, each time.
        sim: for deadlines.
        dice: decides what comes next.
        settings: where it notes what it was told.
    """

    def __init__(
        self, service: Callable[[], Awaitable[Tables]], sim: Simulation, dice: Dice, settings: Settings
    ) -> None:
        self._service = service
        self._sim = sim
        self._dice = dice
        self._settings = settings
        self._registers = settings.registers

    async def ask(self, operation: str, request: dict[str, Any]) -> Told:
        tables = await self._service()
        caller = Caller(ACCOUNT, deadline=self._sim.clock.monotonic_s() + CALLER_S_MAX, host=HOST)
        # What the time to live is already, and what it may not be so soon, is told as an error of validation.
        refusals = {"ValidationException"} if operation == "UpdateTimeToLive" else set()
        answer = await told(tables.call(operation, request, caller), refusals)
        return answer._replace(answer=orjson.loads(answer.answer or b"{}"))

    async def tag(self) -> None:
        names = PAIR if self._dice.chance(0.5) else (self._dice.pick(SINGLE),)
        text = next(self._settings.texts)
        writes = [self._registers.begin(name, text) for name in names]
        tags = [{"Key": name, "Value": text} for name in names]
        answer = await self.ask("TagResource", {"ResourceArn": self._settings.arn, "Tags": tags})
        for write in writes:
            self._registers.end(write, answer.outcome)

    async def untag(self) -> None:
        names = PAIR if self._dice.chance(0.5) else (self._dice.pick(SINGLE),)
        writes = [self._registers.begin(name, None) for name in names]
        answer = await self.ask("UntagResource", {"ResourceArn": self._settings.arn, "TagKeys": list(names)})
        for write in writes:
            self._registers.end(write, answer.outcome)

    async def list_tags(self) -> None:
        asked = self._registers.now()
        answer = await self.ask("ListTagsOfResource", {"ResourceArn": self._settings.arn})
        if answer.outcome == DONE:
            found = {tag["Key"]: tag["Value"] for tag in answer.answer["Tags"]}
            assert len(found) == len(answer.answer["Tags"])
            assert found.keys() <= {*PAIR, *SINGLE}
            assert len({found.get(name) for name in PAIR}) == 1, "they are set and taken away together"
            for name in (*PAIR, *SINGLE):
                self._registers.check_is(name, asked, found.get(name))

    async def switch(self) -> None:
        """Switches expiry on or off; once an hour that is done."""
        is_on = self._dice.chance(0.5)
        attribute = next(self._settings.texts) if is_on else self._settings.attribute or "none"
        write = self._registers.begin(TIME_TO_LIVE, attribute if is_on else None)
        wanted = {"AttributeName": attribute, "Enabled": is_on}
        request = {"TableName": "things", "TimeToLiveSpecification": wanted}
        answer = await self.ask("UpdateTimeToLive", request)
        self._registers.end(write, answer.outcome)
        if answer.outcome in self._settings.changed:
            self._settings.changed[answer.outcome] += 1

    async def describe(self) -> None:
        asked = self._registers.now()
        answer = await self.ask("DescribeTimeToLive", {"TableName": "things"})
        if answer.outcome == DONE:
            described = answer.answer["TimeToLiveDescription"]
            is_on = described["TimeToLiveStatus"] in {"ENABLING", "ENABLED"}
            assert is_on or described["TimeToLiveStatus"] in {"DISABLING", "DISABLED"}
            value = described["AttributeName"] if is_on else None
            self._registers.check_is(TIME_TO_LIVE, asked, value)
            self._settings.attribute = value or self._settings.attribute

    async def look_around(self) -> None:
        """Asks what is the same all the time, and needs no store."""
        answer = await self.ask("DescribeEndpoints", {})
        assert [one["Address"] for one in answer.answer["Endpoints"]] == [HOST]
        answer = await self.ask("DescribeLimits", {})
        assert answer.answer["TableMaxReadCapacityUnits"] <= answer.answer["AccountMaxReadCapacityUnits"]

    async def run(self) -> None:
        ways: list[Way] = [self.tag, self.tag, self.untag, self.list_tags, self.list_tags, self.look_around]
        ways += [self.switch, self.describe]
        for _ in range(STEPS):
            await self._dice.pick(ways)()
            await asyncio.sleep(self._dice.below(100) / 1_000)


async def scene(sim: Simulation) -> None:
    ready = await Tables.open(sim.truth.store, clock=sim.clock, ids=sim.ids)
    made = orjson.loads(await ready.call("CreateTable", dict(TABLE), Caller(ACCOUNT)))
    settings = Settings(sim, made["TableDescription"]["TableArn"])
    processes = [Process(sim.node()) for _ in range(2)]
    operators = [
        Operator(processes[number % 2].tables, sim, Dice(sim.seed_of(f"operator {number}")), settings)
        for number in range(6)
    ]
    for _ in range(HOURS):
        settings.changed = {DONE: 0, PERHAPS: 0}
        await sim.actors(len(operators), lambda number: operators[number].run())
        # What was perhaps changed may have kept others off.
        assert settings.changed[DONE] <= 1, "it changes once an hour"
        await processes[sim.dice.below(2)].die()
        sim.clock.step_wall_ms(HOUR_MS + 1)
    for process in processes:
        await process.die()
    await sim.calm()

    async def survivor() -> Tables:
        return ready

    last = Operator(survivor, sim, sim.dice, settings)
    await last.list_tags()
    await last.describe()
    await ready.close()


def test_tags_and_time_to_live_where_everything_happens() -> None:
    for seed in seeds(10, 300):
        simulate(scene, seed, EVERY_FAULT)


def test_tags_and_time_to_live_where_commits_over_partitions_are_expensive() -> None:
    for seed in seeds(4, 100):
        simulate(scene, seed, EVERY_FAULT, ExpensiveEngine)
