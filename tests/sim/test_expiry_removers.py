"""Records that a service removes itself when they are due: each once, and again until it is done."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tenet.store.contract import Delete, IsVersion, Key, Put, Record
from tenet.store.expiry import ExpiryRule, Remover
from tenet.store.faulty import NO_FAULTS, CallFaults, CommitFaults, FaultPlan
from tenet.store.landing import land
from tenet.store.memory import MemoryEngine
from tests.sim.harness import ExpensiveEngine, Simulation, simulate
from tests.sim.test_expiry import NEVER_MS, SPACE, Host, prepare, records_of, value_of
from tests.sim.test_expiry import by_value as by_rule

LATE_MS = 5_000
PLAN = FaultPlan(
    calls=CallFaults(unavailable=0.05), commits=CommitFaults(unknown_done=0.05, unknown_lost=0.05, rival=0.05)
)
ENGINES = pytest.mark.parametrize("engine", [MemoryEngine, ExpensiveEngine])


class Careful:
    """Removes a record and notes it elsewhere, in a commit of its own. Implements ``Remover``.

    Args:
        sim: where it is.
        reluctant: how often it puts off each record before it removes it.
    """

    def __init__(self, sim: Simulation, reluctant: int = 0) -> None:
        self._sim = sim
        self._reluctant = reluctant
        self.asked: Counter[bytes] = Counter()
        self.removed: Counter[bytes] = Counter()

    def expires_ms(self, key: Key, record: Record) -> int | None:
        assert record.sort == key.sort
        due_ms = int.from_bytes(record.value[:8], "big")
        return None if due_ms == NEVER_MS else due_ms

    async def remove(self, key: Key, record: Record) -> bool:
        self.asked[key.sort] += 1
        if self.asked[key.sort] <= self._reluctant:
            return False
        store = self._sim.truth.store
        noted = Put(Key(SPACE, b"noted", key.sort), (NEVER_MS).to_bytes(8, "big"))
        checks = (IsVersion(key, record.version),)
        deadline = self._sim.clock.monotonic_s() + 10
        done = await land(
            store, (Delete(key), noted), checks, clock=self._sim.clock, ids=self._sim.ids, deadline=deadline
        )
        self.removed[key.sort] += type(done).__name__ == "Committed"
        return True

    async def rules(self, space: str) -> ExpiryRule | Remover | None:
        return self if space.startswith(SPACE) else None


def key_of(number: int) -> Key:
    return Key(SPACE, b"%d" % (number % 3), b"%d" % number)


def test_a_remover_is_known_from_a_rule() -> None:
    class Rule:
        def expires_ms(self, key: Key, record: Record) -> int | None: ...

        def removal(self, key: Key, record: Record) -> None: ...

    assert not isinstance(Rule(), Remover)
    assert isinstance(Careful.__new__(Careful), Remover)


@ENGINES
@pytest.mark.parametrize("reluctant", [0, 1, 3])
def test_what_is_due_is_removed_by_the_service_and_nothing_else_is(engine: type[MemoryEngine], reluctant: int) -> None:
    async def scene(sim: Simulation) -> None:
        index = await prepare(sim)
        careful = Careful(sim, reluctant)
        host = Host(sim.node(), careful.rules)
        now_ms = sim.clock.wall_ms()
        for number in range(30):
            await host.put(key_of(number), now_ms + (1_000 if number % 2 else 10**9))
        async with host.sweeping():
            await asyncio.sleep((1_000 + LATE_MS) / 1_000)
        left = set(await records_of(sim))
        due = {b"%d" % number for number in range(1, 30, 2)}
        assert careful.removed == Counter(due)
        assert set(careful.asked.values()) == {reluctant + 1}
        assert due <= left  # as notes
        for number in range(30):
            (record,) = await sim.truth.store.get((key_of(number),))
            assert (record is None) == bool(number % 2)
        page = await sim.truth.store.scan(index.space, limit=1_000)
        assert sum(record.partition != b"marks" for record in page.records) == 15

    simulate(scene, 1, NO_FAULTS, engine)


@ENGINES
@pytest.mark.parametrize("seed", range(4))
def test_two_sweepers_remove_each_record_once_on_a_bad_way(engine: type[MemoryEngine], seed: int) -> None:
    async def scene(sim: Simulation) -> None:
        await prepare(sim)
        careful = Careful(sim)
        hosts = [Host(sim.node(), careful.rules) for _ in range(2)]
        now_ms = sim.clock.wall_ms()
        for number in range(40):
            await hosts[number % 2].put(key_of(number), now_ms + 2_000 + 37 * number)
        async with hosts[0].sweeping(), hosts[1].sweeping():
            for number in range(0, 40, 4):  # what gets more time in time stays
                await hosts[0].put(key_of(number), now_ms + 10**9, replaces_ms=now_ms + 2_000 + 37 * number)
            await asyncio.sleep(60)
        for number in range(40):
            (record,) = await sim.truth.store.get((key_of(number),))
            assert (record is not None) == (number % 4 == 0), number
        assert set(careful.removed) == {b"%d" % number for number in range(40) if number % 4}
        assert max(careful.removed.values()) == 1

    simulate(scene, seed, PLAN, engine)


@ENGINES
def test_a_remover_of_one_space_does_not_hold_up_the_rule_of_another(engine: type[MemoryEngine]) -> None:
    async def scene(sim: Simulation) -> None:
        other = f"{SPACE}.other"
        await prepare(sim, SPACE, other)
        never = Careful(sim, reluctant=10**9)

        async def rules(space: str) -> ExpiryRule | Remover | None:
            return never if space == SPACE else await by_rule(space)

        host = Host(sim.node(), rules)
        due_ms = sim.clock.wall_ms() + 1_000
        for number in range(8):
            await host.put(key_of(number), due_ms)
            await host.put(Key(other, b"p", b"%d" % number), due_ms)
        async with host.sweeping():
            await asyncio.sleep((1_000 + LATE_MS) / 1_000)
        assert await records_of(sim, other) == {}
        assert len(await records_of(sim)) == 8
        assert min(never.asked.values()) > 1

    simulate(scene, 2, FaultPlan(), engine)


class Overtaken(Careful):
    """One whose record is given more time between what it reads and its commit."""

    async def remove(self, key: Key, record: Record) -> bool:
        if not self.asked[key.sort]:
            later = Put(key, value_of(self._sim.clock.wall_ms() + 10**9))
            _ = await land(self._sim.truth.store, (later,), clock=self._sim.clock, ids=self._sim.ids, deadline=10**6)
        return await super().remove(key, record)


def test_what_was_written_meanwhile_stays() -> None:
    async def scene(sim: Simulation) -> None:
        await prepare(sim)
        careful = Overtaken(sim)
        host = Host(sim.node(), careful.rules)
        await host.put(key_of(1), sim.clock.wall_ms() + 1_000)
        async with host.sweeping():
            await asyncio.sleep(30)
        assert careful.asked[key_of(1).sort] == 1
        assert careful.removed[key_of(1).sort] == 0
        (record,) = await sim.truth.store.get((key_of(1),))
        assert record is not None

    simulate(scene, 3, NO_FAULTS, MemoryEngine)
