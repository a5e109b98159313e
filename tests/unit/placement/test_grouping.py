"""Commits that go together: which do, what they are as one, and what comes of each where the one is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from tenet.base.clock import NEVER, SystemClock
from tenet.placement import keys
from tenet.placement.ops.grouping import MEMBERS_MAX, Asked, Group, Grouping, Landed
from tenet.store.contract import (
    Add,
    Append,
    Capabilities,
    Check,
    Commit,
    Conflict,
    Delete,
    Engine,
    IsVersion,
    Key,
    Limits,
    Outcome,
    Put,
    SpaceOptions,
    Version,
    Write,
)
from tenet.store.errors import DeadlineExceeded, InvalidRequest, LimitExceeded, OutcomeUnknown, StoreUnavailable
from tests.unit.placement.world import IDS, World, in_loop, memory, uuid_of

SPACE = "grouped"
CLOCK = SystemClock()
PARTITIONS_MAX = 200
VERSION = Version(b"\x01" * 24)


def key(partition: str, sort: str = "") -> Key:
    return Key(SPACE, partition.encode(), sort.encode())


HOT, HOST = key("hot", "count"), key("host", "used")


class Slow:
    """An engine whose commits over partitions are dear, and wait until they are let go; notes what is committed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.commits: list[Commit] = []
        self.gate = asyncio.Event()
        self.error: Exception | None = None
        #: How long each takes at least.
        self.lasts_s = 0.0
        self._under_way: list[set[tuple[str, bytes]]] = []

    @property
    def capabilities(self) -> Capabilities:
        return replace(self._engine.capabilities, partitions_max=PARTITIONS_MAX, cheap_commits_across_partitions=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def commit(self, commit: Commit, **options: Any) -> Outcome:
        places = {(one.key.space, one.key.partition) for one in (*commit.writes, *commit.appends)}
        assert all(places.isdisjoint(others) for others in self._under_way), "two commits meet in a partition"
        self.commits.append(commit)
        self._under_way.append(places)
        try:
            await self.gate.wait()
            await asyncio.sleep(self.lasts_s)
            if self.error is not None:
                raise self.error
            return await self._engine.commit(commit, **options)
        finally:
            self._under_way.remove(places)


class Scene:
    """Commits, put together on a store."""

    def __init__(self) -> None:
        self.store = Slow(memory())
        self.grouping = Grouping(self.store, clock=CLOCK, ids=IDS)

    async def open(self) -> None:
        await self.store.ensure_space(SPACE, SpaceOptions())

    def begin(
        self, *writes: Write, checks: Sequence[Check] = (), deadline: float = NEVER
    ) -> asyncio.Task[Landed | Conflict]:
        return asyncio.ensure_future(self.grouping.land(writes, checks, (), deadline))

    async def cells(self, of: Key) -> dict[str, int]:
        (record,) = await self.store.get((of,))
        return {} if record is None else dict(record.cells)


async def opened() -> Scene:
    scene = Scene()
    await scene.open()
    return scene


def asked(*writes: Write, checks: Sequence[Check] = (), appends: Sequence[Append] = ()) -> Asked:
    return Asked(writes, checks, appends, NEVER)


def put(name: str, value: bytes = b"x") -> Put:
    return Put(key(name), value)


def hot(amount: int = 1, **bounds: int) -> Add:
    return Add(HOT, "n", amount, **bounds)


# ---- which go together -----------------------------------------------------------------------------------------------

CHECKED = IsVersion(key("seen"), VERSION)
TOGETHER: dict[str, tuple[tuple[Write, ...], tuple[Check, ...], tuple[Write, ...], tuple[Check, ...]]] = {
    "different records": ((put("a"),), (), (put("b"),), ()),
    "the same cell": ((hot(),), (), (hot(2),), ()),
    "within the same capacity": ((hot(at_least=0, at_most=9),), (), (hot(3, at_least=0, at_most=9),), ()),
    "taking away": ((hot(-1, at_least=0),), (), (hot(-2, at_least=0),), ()),
    "the same look at a revision": ((hot(0, at_least=4, at_most=4),), (), (hot(0, at_least=4, at_most=4),), ()),
    "the same check": ((put("a"),), (CHECKED,), (put("b"),), (CHECKED,)),
}
APART: dict[str, tuple[tuple[Write, ...], tuple[Check, ...], tuple[Write, ...], tuple[Check, ...]]] = {
    "the same record": ((put("a"),), (), (put("a"),), ()),
    "one takes away what the other puts": ((put("a"),), (), (Delete(key("a")),), ()),
    "one puts what the other checks": ((put("seen"),), (), (put("b"),), (CHECKED,)),
    "one checks what the other puts": ((put("b"),), (CHECKED,), (put("seen"),), ()),
    "one adds to what the other checks": ((Add(CHECKED.key, "n", 1),), (), (put("b"),), (CHECKED,)),
    "one checks what the other adds to": ((put("b"),), (CHECKED,), (Add(CHECKED.key, "n", 1),), ()),
    "one adds to what the other puts": ((put("a"),), (), (Add(key("a"), "n", 1),), ()),
    "one puts what the other adds to": ((Add(key("a"), "n", 1),), (), (put("a"),), ()),
    "one adds what the other takes away": ((hot(1, at_least=0),), (), (hot(-1, at_least=0),), ()),
    "other bounds": ((hot(at_most=9),), (), (hot(at_most=8),), ()),
    "a name in use, of which one was deleted": ((hot(1, at_least=2),), (), (hot(1, at_least=2),), ()),
    "both from the same generation": ((hot(1, at_least=5, at_most=5),), (), (hot(1, at_least=5, at_most=5),), ()),
    "taking away down to an upper bound": ((hot(-1, at_most=3),), (), (hot(-1, at_most=3),), ()),
}


@pytest.mark.parametrize("name", TOGETHER)
@in_loop
async def test_those_go_together_that_could_go_one_after_the_other(name: str) -> None:
    writes, checks, others, other_checks = TOGETHER[name]
    group = Group(asked(*writes, checks=checks), PARTITIONS_MAX)
    assert group.takes(asked(*others, checks=other_checks))


@pytest.mark.parametrize("name", APART)
@in_loop
async def test_those_stay_apart_of_which_one_changes_what_comes_of_the_other(name: str) -> None:
    writes, checks, others, other_checks = APART[name]
    group = Group(asked(*writes, checks=checks), PARTITIONS_MAX)
    assert not group.takes(asked(*others, checks=other_checks))
    assert len(group.members) == 1
    assert group.written()[:2] == (list(group.written()[0]), list(checks))


@in_loop
async def test_a_group_is_one_commit_with_sums_and_everything_once() -> None:
    told = Append(HOST, None, b"")
    group = Group(asked(hot(2, at_least=0), put("a"), checks=[CHECKED], appends=[told]), PARTITIONS_MAX)
    other = Add(Key(keys.PROJECTS_SPACE, b"p"), "used", 1)
    assert group.takes(asked(hot(3, at_least=0), put("b"), other, checks=[CHECKED], appends=[told]))
    writes, checks, appends = group.written()
    # What projects have comes first.
    assert writes == [other, hot(5, at_least=0), put("a"), put("b")]
    assert (checks, appends) == ([CHECKED], [told])


@in_loop
async def test_a_group_keeps_to_what_a_commit_may_have() -> None:
    def takes(make: Any, most: int = MEMBERS_MAX) -> int:
        """Returns how many of its kind go together."""
        numbers = count()
        group = Group(make(next(numbers)), PARTITIONS_MAX)
        while len(group.members) <= most and group.takes(make(next(numbers))):
            pass
        return len(group.members)

    def checking(number: int) -> Asked:
        return asked(put(f"c{number}"), checks=[IsVersion(key(f"s{number}-{one}"), None) for one in range(30)])

    def wide(number: int) -> Asked:
        return asked(*(put(f"w{number}-{one}") for one in range(60)))

    assert takes(lambda number: asked(hot(), put(str(number)))) == MEMBERS_MAX
    assert takes(checking) == Limits.checks_max // 30
    assert takes(wide) == PARTITIONS_MAX // 60
    assert takes(lambda number: asked(put(f"l{number}", bytes(1_500_000)))) == 2
    assert takes(lambda number: asked(*(Put(key("one", f"{number}-{one}"), b"") for one in range(2_500)))) == 2


# ---- when they go ----------------------------------------------------------------------------------------------------


@in_loop
async def test_what_meets_nothing_goes_at_once_and_what_would_wait_goes_together() -> None:
    scene = await opened()
    first = scene.begin(hot(), put("a"))
    await asyncio.sleep(0)
    apart = scene.begin(put("elsewhere"))
    waiting = [scene.begin(hot(), put(f"w{number}")) for number in range(5)]
    await asyncio.sleep(0.01)
    assert [len(commit.writes) for commit in scene.store.commits] == [2, 1]
    scene.store.gate.set()
    outcomes = await asyncio.gather(first, apart, *waiting)
    assert all(isinstance(outcome, Landed) for outcome in outcomes)
    assert [len(commit.writes) for commit in scene.store.commits] == [2, 1, 6]
    assert await scene.cells(HOT) == {"n": 6}


@in_loop
async def test_nobody_is_overtaken_by_who_needs_what_he_waits_for() -> None:
    scene = await opened()
    order: list[str] = []

    async def named(name: str, *writes: Write) -> None:
        await scene.grouping.land(writes, (), (), NEVER)
        order.append(name)

    tasks = [asyncio.ensure_future(named("first", hot(), put("a")))]
    await asyncio.sleep(0)
    # The second waits for the first; the third needs what the second puts, and could go at once.
    tasks.append(asyncio.ensure_future(named("second", hot(), put("b"))))
    await asyncio.sleep(0)
    tasks.append(asyncio.ensure_future(named("third", put("b"))))
    await asyncio.sleep(0.01)
    assert len(scene.store.commits) == 1
    scene.store.gate.set()
    await asyncio.gather(*tasks)
    assert order == ["first", "second", "third"]


@in_loop
async def test_one_that_meets_two_puts_them_together() -> None:
    scene = await opened()
    other = Add(key("other"), "n", 1)
    blocking = scene.begin(hot(), other)
    await asyncio.sleep(0)
    waiting = [scene.begin(hot(), put("a")), scene.begin(other, put("b")), scene.begin(hot(), other)]
    await asyncio.sleep(0)
    scene.store.gate.set()
    await asyncio.gather(blocking, *waiting)
    assert [len(commit.writes) for commit in scene.store.commits] == [2, 4]
    assert (await scene.cells(HOT), await scene.cells(other.key)) == ({"n": 3}, {"n": 3})


@in_loop
async def test_where_commits_over_partitions_are_cheap_nothing_is_put_together() -> None:
    store = memory()
    await store.ensure_space(SPACE, SpaceOptions())
    assert store.capabilities.cheap_commits_across_partitions
    grouping = Grouping(store, clock=CLOCK, ids=IDS)
    versions = await asyncio.gather(*(grouping.land([hot(), put(str(one))], (), (), NEVER) for one in range(4)))
    assert len({one.version for one in versions if isinstance(one, Landed)}) == 4


@in_loop
async def test_what_is_no_commit_is_refused_as_anywhere() -> None:
    scene = await opened()
    scene.store.gate.set()
    with pytest.raises(InvalidRequest, match="added to twice"):
        await scene.begin(hot(), hot(2))
    assert await scene.cells(HOT) == {}


# ---- what comes of them ----------------------------------------------------------------------------------------------


async def gathered(scene: Scene, *asking: tuple[Sequence[Write], Sequence[Check]]) -> list[bool]:
    """Begins commits while another one holds up all of them; returns which took effect."""
    blocking = scene.begin(Add(HOT, "blocking", 1))
    await asyncio.sleep(0)
    tasks = [scene.begin(*writes, checks=checks) for writes, checks in asking]
    await asyncio.sleep(0)
    scene.store.gate.set()
    await blocking
    return [isinstance(outcome, Landed) for outcome in await asyncio.gather(*tasks)]


@pytest.mark.parametrize("room", [0, 1, 5, 11, 12])
@in_loop
async def test_as_many_of_a_group_take_effect_as_there_is_room_for(room: int) -> None:
    scene = await opened()
    slots: list[tuple[Sequence[Write], Sequence[Check]]] = [
        ([hot(1, at_least=0, at_most=room), put(f"c{number}")], ()) for number in range(12)
    ]
    landed = await gathered(scene, *slots)
    assert sum(landed) == room
    assert (await scene.cells(HOT)).get("n", 0) == room
    found = await scene.store.get([key(f"c{number}") for number in range(12)])
    assert [one is not None for one in found] == landed


@in_loop
async def test_one_that_is_refused_holds_up_nobody_else() -> None:
    scene = await opened()
    wrong = IsVersion(key("none"), VERSION)
    full = Add(HOST, "used", 1, at_least=0, at_most=0)
    landed = await gathered(
        scene,
        ([hot(), put("a")], ()),
        ([hot(), put("b")], [wrong]),
        ([hot(), put("c"), full], ()),
        ([hot(), put("d")], ()),
    )
    assert landed == [True, False, False, True]
    assert (await scene.cells(HOT))["n"] == 2
    # The one that held them up, all of them, and those that are left.
    assert len(scene.store.commits) == 3


@in_loop
async def test_a_commit_that_is_no_good_spoils_it_for_nobody_else() -> None:
    scene = await opened()
    blocking = scene.begin(Add(HOT, "blocking", 1))
    await asyncio.sleep(0)
    good = [scene.begin(hot(), put(f"c{number}")) for number in range(3)]
    bad = scene.begin(hot(), put("large", bytes(Limits.value_bytes_max + 1)))
    await asyncio.sleep(0)
    scene.store.gate.set()
    await blocking
    with pytest.raises(LimitExceeded):
        await bad
    assert all(isinstance(outcome, Landed) for outcome in await asyncio.gather(*good))
    assert (await scene.cells(HOT))["n"] == 3


@in_loop
async def test_an_error_of_the_store_is_everybodys() -> None:
    scene = await opened()
    scene.store.error = StoreUnavailable("away")
    tasks = [scene.begin(hot(), put(str(number))) for number in range(3)]
    await asyncio.sleep(0)
    scene.store.gate.set()
    for task in tasks:
        with pytest.raises(StoreUnavailable, match="away"):
            await task
    scene.store.error = None
    assert isinstance(await scene.begin(hot()), Landed), "the partition is given back"


@in_loop
async def test_each_gives_up_at_its_own_deadline() -> None:
    scene = await opened()
    soon = CLOCK.monotonic_s() + 0.05
    under_way, waiting = scene.begin(hot(), put("a"), deadline=soon), scene.begin(hot(), put("a"), deadline=soon)
    patient = scene.begin(hot())
    with pytest.raises(OutcomeUnknown, match="could say"):
        await under_way
    with pytest.raises(DeadlineExceeded, match="nothing was written"):
        await waiting
    scene.store.gate.set()
    assert isinstance(await patient, Landed)
    # The store looked at the deadline as well.
    assert (await scene.cells(HOT))["n"] == 1


@in_loop
async def test_one_that_is_cancelled_while_it_waits_is_not_written() -> None:
    scene = await opened()
    first, second, third = (scene.begin(hot(), put("a")) for _ in range(3))
    await asyncio.sleep(0.01)
    second.cancel()
    await asyncio.sleep(0)
    scene.store.gate.set()
    assert isinstance(await first, Landed)
    assert isinstance(await third, Landed)
    assert second.cancelled()
    assert (await scene.cells(HOT))["n"] == 2


@pytest.mark.parametrize("seed", range(5))
@in_loop
async def test_whatever_goes_together_every_sum_is_that_of_what_took_effect(seed: int) -> None:
    chance, scene = Random(seed), await opened()
    scene.store.gate.set()
    expected: dict[Key, int] = {}

    async def one(number: int) -> None:
        cells = [key(f"h{host}", "used") for host in chance.sample(range(4), chance.randint(1, 2))]
        amount = chance.choice((1, 1, 1, -1))
        bounds = {"at_least": 0, "at_most": 8} if amount > 0 else {"at_least": 0}
        writes: list[Write] = [Add(cell, "used", amount, **bounds) for cell in cells]
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        outcome = await scene.grouping.land([*writes, put(f"c{number % 30}")], (), (), NEVER)
        if isinstance(outcome, Landed):
            for cell in cells:
                expected[cell] = expected.get(cell, 0) + amount

    await asyncio.gather(*(one(number) for number in range(120)))
    assert expected
    for cell, amount in expected.items():
        assert (await scene.cells(cell))["used"] == amount
        assert 0 <= amount <= 8
    assert len(scene.store.commits) < 120


@in_loop
async def test_claims_of_one_project_are_a_few_commits() -> None:
    store = Slow(memory())
    store.gate.set()
    async with World(store) as world:
        hosts = [await world.provider(number, VCPU=4) for number in range(1, 5)]
        store.commits.clear()
        store.lasts_s = 0.02
        claims = [world.claim(100 + number, {hosts[number % 4]: {"VCPU": 1}}) for number in range(20)]
        answers = await asyncio.gather(*claims)
        assert sorted(answer.status for answer in answers) == [204] * 16 + [409] * 4
        assert len(store.commits) < 10
        assert [await world.used(host) for host in hosts] == [{"VCPU": 4}] * 4
        assert (await world.ask("GET", f"/allocations/{uuid_of(100)}"))["allocations"]
