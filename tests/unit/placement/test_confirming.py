"""Claims that have to be confirmed: confirmation or expiry wins, for all consumers of a claim, whatever happens."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tenet.base.clock import ManualClock, SystemClock
from tenet.placement import keys
from tenet.placement.ops.auditing import audit
from tenet.placement.ops.committing import Committer, Plan
from tenet.store.contract import Commit, Committed, Engine, Put, Record, Version, new_commit_id
from tenet.store.faulty import NO_FAULTS
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState
from tenet.store.sqlite.engine import open_engine
from tenet.wire.door import Measured
from tests.cassandra_model.stand import Stand
from tests.sim.harness import ExpensiveEngine, SimulatedLoop, Simulation
from tests.unit.placement.test_claiming import checked, claim_of, claimed
from tests.unit.placement.test_claims import PLAN, every_use
from tests.unit.placement.test_quotas import set_quota
from tests.unit.placement.world import IDS, OWNER, World, uuid_of

OK, CREATED, NO_CONTENT, BAD, NOT_FOUND, CONFLICT, GONE, UNAVAILABLE = 200, 201, 204, 400, 404, 409, 410, 503
SHOW, CONFIRM = "/v1/claims/{consumer_uuid}", "/v1/claims/{consumer_uuid}/confirm"
ENGINES = pytest.mark.parametrize("engine", [MemoryEngine, ExpensiveEngine])
#: How long after its time a claim may still be there, seconds.
LATE_S = 5


def simulated(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs a test in simulated time, with its clock as the first argument."""

    @functools.wraps(test)
    def run(**named: Any) -> None:
        clock = ManualClock()
        with asyncio.Runner(loop_factory=lambda: SimulatedLoop(clock)) as runner:
            runner.run(test(clock, **named))

    # Else pytest looks for a fixture of the clock's name.
    del run.__wrapped__
    return run


def on_both_engines(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs a test in simulated time, with a world where commits over partitions are cheap, and where they are not."""

    @ENGINES
    def run(engine: type[MemoryEngine]) -> None:
        async def play(clock: ManualClock) -> None:
            async with World(engine(MemoryState(), clock=clock, ids=IDS), clock=clock) as world:
                await test(world)

        simulated(play)()

    run.__doc__ = test.__doc__
    return run


async def confirm(world: World, consumer: int, *, status: int = NO_CONTENT, query: str = "") -> Any:
    answer = await world.ask("POST", f"/v1/claims/{uuid_of(consumer)}/confirm{query}", status=status)
    return answer if status == NO_CONTENT else checked(answer, CONFIRM, "post", status)["errors"][0]


async def states(world: World, consumer: int) -> dict[str, str]:
    shown = checked(await world.ask("GET", f"/v1/claims/{uuid_of(consumer)}"), SHOW, "get", OK)
    found: dict[str, str] = shown["states"]
    assert shown["held"] == {one: state in {"held", "reserved"} for one, state in found.items()}
    return found


@on_both_engines
async def test_what_is_not_confirmed_is_used_until_its_time_and_free_soon_after(world: World) -> None:
    host = await world.provider(1, VCPU=2)
    await set_quota(world, {"resources": {"VCPU": 2}})
    begun_ms = world.clock.wall_ms()
    answer = await claimed(world, claim_of(7, expires_in_seconds=60))
    assert answer["expires_ms"] == begun_ms + 60_000
    assert await states(world, 7) == {uuid_of(7): "reserved"}
    await asyncio.sleep(59)
    assert await world.used(host) == {"VCPU": 1}
    usages = await world.ask("GET", "/usages?project_id=project")
    assert usages["usages"] == {"unknown": {"VCPU": 1, "consumer_count": 1}}
    assert (await world.ask("GET", "/v1/quotas/project"))["resources"]["VCPU"]["left"] == 1
    await asyncio.sleep(1 + LATE_S)
    assert await world.used(host) == {"VCPU": 0}
    assert await states(world, 7) == {uuid_of(7): "expired"}
    error = await confirm(world, 7, status=GONE)
    assert (error["code"], error["status"]) == ("placement.claim.expired", GONE)
    assert (await audit(world.store)).findings == []
    # A retry gets the first answer, and nothing else; who wants it anew says so.
    assert await claimed(world, claim_of(7, expires_in_seconds=60), status=OK) == answer
    await claimed(world, claim_of(7, attempt=1))
    await confirm(world, 7)
    candidates = await world.ask("GET", "/allocation_candidates?resources=VCPU:2")
    assert candidates["allocation_requests"] == []


@on_both_engines
async def test_what_is_confirmed_stays(world: World) -> None:
    host = await world.provider(1, VCPU=2)
    claim = (await claimed(world, claim_of(7, expires_in_seconds=10)))["claim"]
    await confirm(world, 7, query=f"?claim={claim}")
    for _ in range(2):
        await confirm(world, 7)
        await asyncio.sleep(60)
    assert await states(world, 7) == {uuid_of(7): "held"}
    assert await world.used(host) == {"VCPU": 1}
    assert (await world.ask("GET", f"/allocations/{uuid_of(7)}"))["consumer_generation"] == 1
    assert (await audit(world.store)).findings == []
    assert await pointers(world) == 0


async def pointers(world: World) -> int:
    """How many notes of deadlines are left."""
    page = await world.store.scan(keys.EXPIRY_SPACE, limit=1000)
    return sum(record.partition != b"marks" for record in page.records)


@on_both_engines
async def test_a_claim_that_was_given_back_is_free_at_once(world: World) -> None:
    host = await world.provider(1, VCPU=2)
    await claimed(world, claim_of(7, expires_in_seconds=10))
    for _ in range(2):
        await world.ask("DELETE", f"/v1/claims/{uuid_of(7)}", status=NO_CONTENT)
    assert await world.used(host) == {"VCPU": 0}
    assert (await confirm(world, 7, status=CONFLICT))["code"] == "placement.claim.not_held"
    assert await states(world, 7) == {uuid_of(7): "freed"}
    await claimed(world, claim_of(7, attempt=1))
    await asyncio.sleep(10 + LATE_S)
    assert await world.used(host) == {"VCPU": 1}
    await world.ask("DELETE", f"/v1/claims/{uuid_of(7)}", status=NO_CONTENT)
    assert await world.used(host) == {"VCPU": 0}
    for method, path in (("DELETE", "/v1/claims/{}"), ("POST", "/v1/claims/{}/confirm")):
        for who in (uuid_of(8), "nobody"):
            assert "No claim was made" in await world.refused(method, path.format(who), status=NOT_FOUND)


@on_both_engines
async def test_a_gang_is_confirmed_and_expires_as_a_whole(world: World) -> None:
    host = await world.provider(1, VCPU=9)
    await claimed(world, claim_of(7, 8, 9, expires_in_seconds=10))
    await claimed(world, claim_of(17, 18, 19, expires_in_seconds=10))
    # Two that are not in it any more: one was given back, one is another claim's.
    for consumer in (18, 19):
        await world.ask("DELETE", f"/allocations/{uuid_of(consumer)}", status=NO_CONTENT)
    await claimed(world, claim_of(19, attempt=1))
    await confirm(world, 8)
    await asyncio.sleep(10 + LATE_S)
    assert set((await states(world, 7)).values()) == {"held"}
    assert await states(world, 17) == {uuid_of(17): "expired", uuid_of(18): "freed", uuid_of(19): "held"}
    assert await world.used(host) == {"VCPU": 4}
    assert (await audit(world.store)).findings == []


@on_both_engines
async def test_nothing_but_a_confirmation_confirms(world: World) -> None:
    host, other = await world.provider(1, VCPU=4), await world.provider(2, VCPU=4)
    await claimed(world, claim_of(7, 8, expires_in_seconds=10))
    assert (await world.claim(7, {other: {"VCPU": 2}}, generation=1)).status == NO_CONTENT
    moved = {"allocations": {other: {"resources": {"VCPU": 2}}}, "consumer_generation": 1, **OWNER}
    await world.ask("POST", "/allocations", {uuid_of(8): moved}, status=NO_CONTENT)
    assert set((await states(world, 7)).values()) == {"changed"}
    await asyncio.sleep(10 + LATE_S)
    assert (await world.used(host), await world.used(other)) == ({"VCPU": 0}, {"VCPU": 0})
    await confirm(world, 7, status=GONE)


@on_both_engines
async def test_another_claim_is_not_confirmed_by_a_retry_that_comes_late(world: World) -> None:
    await world.provider(1, VCPU=4)
    first = (await claimed(world, claim_of(7, expires_in_seconds=5)))["claim"]
    await asyncio.sleep(5 + LATE_S)
    await claimed(world, claim_of(7, attempt=1, expires_in_seconds=5))
    assert (await confirm(world, 7, status=CONFLICT, query=f"?claim={first}"))["code"] == "placement.claim.not_held"
    assert await states(world, 7) == {uuid_of(7): "reserved"}
    for query, words in (("?claim=x", "'claim' is 'x'"), ("?of=x", "there is no parameter 'of'")):
        assert words in (await confirm(world, 7, status=BAD, query=query))["detail"]
    for seconds in (0, 604_801, 1.5, "10"):
        await claimed(world, claim_of(9, expires_in_seconds=seconds), status=BAD)


@pytest.mark.thorough
@on_both_engines
async def test_many_that_expire_at_once_are_free_in_time(world: World) -> None:
    host = await world.provider(1, VCPU=1000)
    await asyncio.gather(*(claimed(world, claim_of(1000 + one, expires_in_seconds=30)) for one in range(300)))
    assert await world.used(host) == {"VCPU": 300}
    await asyncio.sleep(30 + LATE_S)
    assert await world.used(host) == {"VCPU": 0}
    measures = {one.name: one.values for one in world.placement.measures() if isinstance(one, Measured)}
    assert measures["tenet_placement_claims_expired"] == {(): 300}
    assert 0 <= measures["tenet_placement_expired_late_seconds_max"][()] <= LATE_S


# ---- confirmation and expiry at the same moment ----------------------------------------------------------------------


def before_a_commit(patch: pytest.MonkeyPatch, of: str, meanwhile: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Lets something happen between what a confirmation or an expiry has read, and its commit.

    Args:
        patch: takes it back.
        of: ``confirm`` or ``expire``.
        meanwhile: what happens, once.
    """
    commit, happened = Committer._commit, False

    async def late(committer: Committer, plan: Plan, deadline: float) -> Any:
        nonlocal happened
        if not happened and bool(plan.changed) == (of == "expire"):
            happened = True
            await meanwhile()
        return await commit(committer, plan, deadline)

    patch.setattr(Committer, "_commit", late)


@on_both_engines
async def test_a_sweeper_that_was_paused_does_not_free_what_was_confirmed_meanwhile(world: World) -> None:
    host = await world.provider(1, VCPU=4)
    await claimed(world, claim_of(8, expires_in_seconds=10))
    confirmed = False

    async def meanwhile() -> None:
        nonlocal confirmed
        await asyncio.sleep(60)
        await confirm(world, 8)
        confirmed = True

    with pytest.MonkeyPatch.context() as patch:
        before_a_commit(patch, "expire", meanwhile)
        await asyncio.sleep(120)
    assert confirmed
    assert await states(world, 8) == {uuid_of(8): "held"}
    assert await world.used(host) == {"VCPU": 1}


@on_both_engines
async def test_a_confirmation_that_is_overtaken_by_the_expiry_says_so(world: World) -> None:
    host = await world.provider(1, VCPU=4)
    await claimed(world, claim_of(7, 8, expires_in_seconds=10))
    with pytest.MonkeyPatch.context() as patch:
        before_a_commit(patch, "confirm", lambda: asyncio.sleep(10 + LATE_S))
        assert (await confirm(world, 7, status=GONE))["code"] == "placement.claim.expired"
    assert set((await states(world, 7)).values()) == {"expired"}
    assert await world.used(host) == {"VCPU": 0}


@pytest.mark.thorough
@ENGINES
@pytest.mark.parametrize("seed", range(4))
def test_confirmations_race_with_expiry(seed: int, engine: type[MemoryEngine]) -> None:
    """From two nodes that both sweep, with clocks that are apart, on a way to the store on which much goes wrong."""
    sim, chance = Simulation(seed, NO_FAULTS, engine), Random(seed)

    async def scene() -> None:
        nodes = [sim.node() for _ in range(3)]
        first, second, clean = (World(one.store, clock=one.clock, ids=one.ids, is_shared=True) for one in nodes)
        async with clean:
            hosts = [await clean.provider(number, VCPU=30) for number in range(1, 4)]
            async with first, second:
                for one in nodes[:2]:
                    one.store._plan = PLAN
                outcomes = await asyncio.gather(*(life(number, (first, second), chance) for number in range(30)))
                await asyncio.sleep(30)
            for number, (gang, is_confirmed) in enumerate(outcomes):
                found = await states(clean, 1000 + 10 * number)
                assert set(found.values()) == {"held" if is_confirmed else "expired"}, (number, is_confirmed)
                assert len(found) == gang
            kept = sum(gang for gang, is_confirmed in outcomes if is_confirmed)
            assert 0 < kept < sum(gang for gang, _ in outcomes)
            assert sum([(await clean.used(host))["VCPU"] for host in hosts]) == kept
            await every_use(clean)
            assert (await audit(clean.store)).findings == []

    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(sim.clock)) as runner:
        runner.run(scene())


async def life(number: int, nodes: tuple[World, World], chance: Random) -> tuple[int, bool]:
    """Claims for a gang, and confirms it at about its deadline; returns how large it is, and whether it is its own."""
    gang = chance.choice((1, 1, 2))
    body = claim_of(*range(1000 + 10 * number, 1000 + 10 * number + gang), expires_in_seconds=5)

    async def sent(method: str, path: str, document: Any = None) -> int:
        while True:
            answer = await chance.choice(nodes).send(method, path, document)
            if answer.status not in {UNAVAILABLE, 500}:
                return answer.status
            await asyncio.sleep(0.01)

    assert await sent("POST", "/v1/claims", body) in {OK, CREATED}
    await asyncio.sleep(3.8 + 2.2 * chance.random())
    status = await sent("POST", f"/v1/claims/{uuid_of(1000 + 10 * number)}/confirm")
    assert status in {NO_CONTENT, GONE}
    again = await sent("POST", f"/v1/claims/{uuid_of(1000 + 10 * number)}/confirm")
    assert again == status
    return gang, status == NO_CONTENT


# ---- processes that end ----------------------------------------------------------------------------------------------


def test_what_a_dead_process_has_reserved_is_freed_by_the_next_one_without_a_request(tmp_path: Path) -> None:
    async def test() -> None:
        clock = SystemClock()
        engine = await open_engine(str(tmp_path / "store"), clock=clock, ids=IDS)
        async with World(engine) as world:
            host = await world.provider(1, VCPU=4)
            await claimed(world, claim_of(7, expires_in_seconds=1))
            await claimed(world, claim_of(8, expires_in_seconds=600))
        await engine.close()
        await asyncio.sleep(1)
        engine = await open_engine(str(tmp_path / "store"), clock=clock, ids=IDS)
        async with World(engine, is_loaded=False) as world:
            async with asyncio.timeout(LATE_S):
                await gone(engine, uuid_of(7))
            assert await world.used(host) == {"VCPU": 1}
            assert await states(world, 8) == {uuid_of(8): "reserved"}
        await engine.close()

    asyncio.run(test())


async def gone(store: Engine, consumer: str) -> None:
    """Waits until a consumer has nothing, and asks the service nothing."""
    while (await store.get((keys.consumer_key(consumer),)))[0] is not None:  # noqa: ASYNC110 (others change it)
        await asyncio.sleep(0.05)


def test_a_store_that_has_no_placement_is_left_alone() -> None:
    async def test() -> None:
        state, clock = MemoryState(), SystemClock()
        async with World(MemoryEngine(state, clock=clock, ids=IDS), is_loaded=False) as world:
            assert world.placement._supervisor.running() == []
            assert await world.store.list_spaces("") == []
            await world.ask("GET", "/resource_providers")
            await asyncio.sleep(0.01)
            assert world.placement._supervisor.running() == [("placement.claims", 0), ("placement.projects", 0)]

    asyncio.run(test())


def test_two_processes_on_the_distributed_engine() -> None:
    """One of them is behind, and dies before the time of what it has reserved."""

    async def test(stand: Stand) -> None:
        first, second = await stand.process("first"), await stand.process("second", behind_ms=30)
        async with World(second.engine, clock=second.clock) as other:
            async with World(first.engine, clock=first.clock) as one:
                host = await one.provider(1, VCPU=9)
                await claimed(one, claim_of(7, 8, expires_in_seconds=60))
                await claimed(one, claim_of(9, expires_in_seconds=60))
                await claimed(one, claim_of(10))
            await confirm(other, 8)
            await asyncio.sleep(60 + LATE_S)
            assert await other.used(host) == {"VCPU": 3}
            assert set((await states(other, 7)).values()) == {"held"}
            await confirm(other, 9, status=GONE)
            await confirm(other, 10)
            assert await pointers(other) <= 1
            assert (await audit(other.store)).findings == []

    Stand().run(test)


@on_both_engines
async def test_what_cannot_be_read_is_kept_until_it_can(world: World) -> None:
    await world.provider(1, VCPU=9)
    await claimed(world, claim_of(7, expires_in_seconds=10))
    key = keys.consumer_key(uuid_of(7))
    (record,) = await world.store.get((key,))
    assert record is not None
    expired = world.placement._expired
    assert expired is not None
    later = Record(key.partition, b"", b"\x07later", Version(bytes(16)))
    assert expired.expires_ms(key, later) == 0
    await commit(world, Put(key, later.value))
    await asyncio.sleep(100)
    assert not await expired.remove(key, later)
    assert await pointers(world) == 1
    await commit(world, Put(key, record.value))
    await asyncio.sleep(LATE_S)
    assert await states(world, 7) == {uuid_of(7): "expired"}


async def commit(world: World, *writes: Put) -> None:
    outcome = await world.store.commit(Commit(new_commit_id(world.clock, IDS), writes))
    assert isinstance(outcome, Committed)
