"""What a commit's own answer tells is taken into the read model, and nothing that it may not tell."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any, cast

import pytest
from msgspec.structs import replace

from tenet.placement import keys
from tenet.placement.fleet.fleet import Fleet
from tenet.placement.model import Inventory
from tenet.placement.ops.grouping import Landed
from tenet.placement.rules.uses import Uses, uses_left
from tenet.store.contract import Add, Commit, Committed, Conflict, Engine, Key, Outcome, Version
from tests.dear import Dear
from tests.unit.placement.test_candidates import fleet_of, host
from tests.unit.placement.test_claiming import claim_of, claimed
from tests.unit.placement.world import OWNER, World, in_loop, memory, uuid_of

CREATED, NO_CONTENT = 201, 204
ONE, OTHER = uuid_of(1), uuid_of(2)


def counts(generation: int, revision: int = 1) -> dict[str, int]:
    return {keys.GENERATION: generation, keys.INVENTORIES: revision}


def raise_of(uuid: str, amount: int = 1) -> Add:
    return Add(keys.counts_key(uuid), keys.GENERATION, amount)


# ---- what a commit tells ---------------------------------------------------------------------------------------------


def test_uses_are_told_by_provider() -> None:
    cells: dict[Key, Mapping[str, int]] = {
        keys.used_key(ONE, "VCPU"): {keys.USED: 3},
        keys.counts_key(ONE): counts(7, 2),
        keys.used_key(ONE, "DISK_GB"): {keys.USED: 0},
        keys.counts_key(OTHER): counts(1),
        keys.project_use_key("project", "user", "INSTANCE", "VCPU"): {keys.USED: 99},
        keys.claims_count_key(ONE): {keys.CLAIMS: 1},
    }
    told = uses_left(cells, [raise_of(ONE, 3), raise_of(OTHER), Add(keys.counts_key(ONE), keys.INVENTORIES, 0)])
    assert told.keys() == {ONE, OTHER}
    assert told[ONE] == Uses(7, 3, 2, {"VCPU": 3, "DISK_GB": 0})
    assert told[OTHER].used == {}


def test_a_provider_whose_generation_did_not_rise_is_not_told_of() -> None:
    """What a consumer left: its count is told, and not what else has happened there."""
    used = {keys.used_key(ONE, "VCPU"): {keys.USED: 3}}
    assert uses_left(used, [Add(keys.used_key(ONE, "VCPU"), keys.USED, 3)]) == {}
    assert uses_left({**used, keys.counts_key(ONE): counts(7)}, [Add(keys.counts_key(ONE), keys.CHILDREN, 1)]) == {}
    assert uses_left({}, []) == {}


def test_all_that_went_together_are_told_of_one_commit() -> None:
    committed = Committed(Version(bytes(24)), {keys.counts_key(ONE): counts(7)})
    landed = Landed(committed, [raise_of(ONE, 2)])
    assert landed.uses == {ONE: Uses(7, 2, 1, {})}
    assert Landed(Committed(committed.version), [raise_of(ONE)]).uses == {}


# ---- what the fleet takes --------------------------------------------------------------------------------------------


def fleet_at(generation: int, revision: int) -> tuple[Fleet, str]:
    provider = replace(host(1, VCPU=Inventory(total=8), DISK_GB=Inventory(total=8)), used={"VCPU": 1})
    fleet = fleet_of([replace(provider, generation=generation, revision=revision)])
    return fleet, provider.uuid


def test_the_next_state_is_taken() -> None:
    fleet, uuid = fleet_at(4, 2)
    shape = fleet.shape
    assert fleet.take_uses(uuid, {"VCPU": 8}, generation=5, raised=1, revision=2)
    known = fleet.get(uuid)
    assert known is not None
    assert (known.generation, known.used) == (5, {"VCPU": 8})
    assert not fleet.fitting("VCPU", 1).any()
    assert fleet.fitting("DISK_GB", 8).any()
    assert fleet.shape == shape, "searches go on where they are"
    assert fleet.take_uses(uuid, {}, generation=6, raised=1, revision=2)


@pytest.mark.parametrize("generation", [4, 3, 1])
def test_a_state_that_is_in_what_is_known_changes_nothing(generation: int) -> None:
    fleet, uuid = fleet_at(4, 2)
    assert fleet.take_uses(uuid, {"VCPU": 8}, generation=generation, raised=1, revision=2)
    known = fleet.get(uuid)
    assert known is not None
    assert (known.generation, known.used) == (4, {"VCPU": 1})


@pytest.mark.parametrize(("generation", "revision"), [(6, 2), (5, 1), (5, 3), (4, 1), (3, 3)])
def test_any_other_state_is_not(generation: int, revision: int) -> None:
    fleet, uuid = fleet_at(4, 2)
    assert not fleet.take_uses(uuid, {"VCPU": 8}, generation=generation, raised=1, revision=revision)
    known = fleet.get(uuid)
    assert known is not None
    assert (known.generation, known.used) == (4, {"VCPU": 1})


def test_the_state_behind_several_that_went_together_is_taken() -> None:
    fleet, uuid = fleet_at(4, 2)
    assert not fleet.take_uses(uuid, {"VCPU": 7}, generation=7, raised=2, revision=2)
    assert fleet.take_uses(uuid, {"VCPU": 7}, generation=7, raised=3, revision=2)
    known = fleet.get(uuid)
    assert known is not None
    assert (known.generation, known.used) == (7, {"VCPU": 7})


def test_a_provider_that_is_not_known_is_not() -> None:
    assert not Fleet().take_uses(ONE, {}, generation=1, raised=1, revision=0)
    fleet, uuid = fleet_at(4, 2)
    fleet.remove(uuid)
    assert not fleet.take_uses(uuid, {}, generation=5, raised=1, revision=2)


def test_what_is_taken_is_what_a_new_fleet_has() -> None:
    """After many commits, taken one by one, the columns are those of a fleet that is put as it is then."""
    random, used = Random(3), 1
    fleet, uuid = fleet_at(0, 2)
    for generation in range(1, 50):
        used = random.randint(0, 8)
        assert fleet.take_uses(uuid, {"VCPU": used}, generation=generation, raised=1, revision=2)
    known = fleet.get(uuid)
    assert known is not None
    anew = fleet_of([known])
    assert anew.most("VCPU").tolist() == fleet.most("VCPU").tolist() == [8 - used]


# ---- what the keeper does --------------------------------------------------------------------------------------------


class Reads:
    """Counts the queries of providers that a store gets, and may hold them up or refuse commits."""

    def __init__(self, world: World) -> None:
        self.count = 0
        self.gate: asyncio.Event | None = None
        self.begun = asyncio.Event()
        self.refusals = 0
        self.commits = 0
        self.committing = asyncio.Event()
        store: Any = world.store
        self._query, self._commit = store.query, store.commit
        store.query, store.commit = self._counted, self._refused

    async def _counted(self, space: str, *given: Any, **named: Any) -> Any:
        page = await self._query(space, *given, **named)
        if space == keys.PROVIDERS_SPACE:
            self.count += 1
            self.begun.set()
            if self.gate is not None:
                await self.gate.wait()
        return page

    async def _refused(self, commit: Commit, **named: Any) -> Outcome:
        if self.refusals:
            self.refusals -= 1
            return Conflict((), (), {}, {})
        self.commits += 1
        self.committing.set()
        outcome: Outcome = await self._commit(commit, **named)
        return outcome


async def being_read(world: World, uuid: str) -> tuple[Reads, asyncio.Event, asyncio.Task[None]]:
    """Begins to read a provider again; returns what counts reads, what lets them go on, and the read."""
    reads, gate = Reads(world), asyncio.Event()
    reads.gate = gate
    reading = asyncio.create_task(world.keeper.refresh([uuid]))
    await reads.begun.wait()
    return reads, gate, reading


async def agrees(world: World, uuid: str) -> None:
    """The model has a provider as the store has it."""
    context = world.opened
    assert context is not None
    snapshot = await context.context.reader.find(uuid)
    known = world.keeper.fleet.get(uuid)
    assert snapshot is not None
    assert known is not None
    told = {name: amount for name, amount in known.used.items() if amount}
    assert (known.generation, told, known.revision) == (snapshot.generation, snapshot.used, snapshot.revision)
    assert known.version == snapshot.version


@in_loop
async def test_a_claim_reads_no_provider() -> None:
    async with World(memory(), is_shared=False) as world:
        hosts = [await world.provider(number, VCPU=8) for number in range(1, 5)]
        reads = Reads(world)
        for number in range(20):
            await claimed(world, claim_of(100 + number))
        assert reads.count == 0
        for uuid in hosts:
            await agrees(world, uuid)


@pytest.mark.parametrize("is_left", [False, True], ids=["all stay", "one goes away"])
@in_loop
async def test_claims_that_went_together_read_no_provider_behind_their_commit(is_left: bool) -> None:
    """One of them takes in what all have left; that its client has gone away leaves nothing to the others."""
    async with World(cast("Engine", Dear(memory()))) as world:
        uuid = await world.provider(1, VCPU=100)
        consumers = range(100, 120)
        reads = Reads(world)
        tasks = [asyncio.create_task(world.claim(number, {uuid: {"VCPU": 2}})) for number in consumers]
        await reads.committing.wait()
        if is_left:
            tasks[1].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(answer, BaseException) for answer in answers) == is_left
        assert reads.commits < len(consumers), "they went together"
        assert is_left or reads.count == 0
        await agrees(world, uuid)


@in_loop
async def test_what_the_model_said_is_read_where_it_was_refused() -> None:
    async with World(memory(), is_shared=False) as world:
        host_uuid = await world.provider(1, VCPU=8)
        reads = Reads(world)
        reads.refusals = 2
        await claimed(world, claim_of(7))
        assert reads.count > 0
        await agrees(world, host_uuid)


@in_loop
async def test_a_model_that_is_behind_grants_nothing_that_is_not_there() -> None:
    """Others have taken the last of it, the host has another trait, or it is gone: the commit finds out."""
    async with World(memory(), is_shared=False) as world:
        uuid = await world.provider(1, VCPU=1)
        stale = world.keeper.fleet.get(uuid)
        assert stale is not None
        assert (await world.claim(8, {uuid: {"VCPU": 1}})).status == NO_CONTENT
        world.keeper.fleet.put(stale)
        await world.ask("POST", "/v1/claims", claim_of(9), status=409)
        await agrees(world, uuid)


@pytest.mark.parametrize("is_full", [False, True], ids=["another revision", "full"])
@in_loop
async def test_a_model_that_is_behind_costs_those_that_went_together_few_commits(is_full: bool) -> None:
    """What refuses each of them by itself refuses all at once: they are not tried in ever smaller groups."""
    async with World(cast("Engine", Dear(memory())), is_shared=False) as world:
        uuid = await world.provider(1, VCPU=100)
        stale = world.keeper.fleet.get(uuid)
        assert stale is not None
        if is_full:
            assert (await world.claim(99, {uuid: {"VCPU": 100}})).status == NO_CONTENT
        else:
            body = {"resource_provider_generation": 1, "inventories": {"VCPU": {"total": 90}}}
            await world.ask("PUT", f"/resource_providers/{uuid}/inventories", body)
        world.keeper.fleet.put(stale)
        reads = Reads(world)
        answers = await asyncio.gather(*(world.claim(number, {uuid: {"VCPU": 2}}) for number in range(100, 117)))
        assert {answer.status for answer in answers} == {409 if is_full else NO_CONTENT}
        assert reads.commits <= 8
        await agrees(world, uuid)


@in_loop
async def test_a_read_under_way_is_waited_for_and_not_followed_by_others() -> None:
    """A busy provider that was read once would else be read for as long as it is busy."""
    async with World(memory(), is_shared=False) as world:
        uuid = await world.provider(1, VCPU=8)
        reads, gate, reading = await being_read(world, uuid)
        claiming = [asyncio.create_task(world.claim(7 + n, {uuid: {"VCPU": 1}})) for n in range(5)]
        await asyncio.sleep(0.05)
        assert reads.commits == 5, "all wait for what is being read"
        gate.set()
        await asyncio.gather(reading, *claiming)
        assert reads.count <= 3
        await agrees(world, uuid)


@in_loop
async def test_what_is_claimed_while_everything_is_loaded_is_in_what_was_loaded() -> None:
    async with World(memory(), is_shared=False) as world:
        uuid = await world.provider(1, VCPU=8)
        store: Any = world.store
        scan, claimed_then = store.scan, asyncio.Event()

        async def scanned(space: str, *given: Any, **named: Any) -> Any:
            page = await scan(space, *given, **named)
            if space == keys.PROVIDERS_SPACE and not claimed_then.is_set():
                claimed_then.set()
                assert (await world.claim(7, {uuid: {"VCPU": 3}})).status == NO_CONTENT
            return page

        store.scan = scanned
        await world.keeper._load()
        assert claimed_then.is_set()
        await agrees(world, uuid)


@in_loop
async def test_an_allocation_relies_on_the_model_for_nothing_that_the_commit_does_not_check() -> None:
    """Behind a node's back others shrink, remake, fill and free hosts; nothing is refused by what it knows either."""
    async with World(memory(), is_shared=False) as world:

        async def claim(number: int, uuid: str, amount: int) -> tuple[int, bytes]:
            answer = await world.claim(number, {uuid: {"VCPU": amount}})
            for _ in range(100):
                await asyncio.sleep(0)  # what was refused is read again in the background
            await agrees(world, uuid)
            return answer.status, answer.body

        async def behind(number: int, *changes: tuple[str, str, Any]) -> str:
            """Makes a host of 8, and changes it without the model's knowledge."""
            uuid = await world.provider(number, VCPU=8)
            known = world.keeper.fleet.get(uuid)
            assert known is not None
            for method, path, body in changes:
                answer = await world.send(method, path.format(uuid), body)
                assert answer.status < 300, answer.body
            world.keeper.fleet.put(known)
            return uuid

        def inventories(generation: int, total: int) -> tuple[str, str, Any]:
            body = {"resource_provider_generation": generation, "inventories": {"VCPU": {"total": total}}}
            return "PUT", "/resource_providers/{}/inventories", body

        smaller = await behind(1, inventories(1, 2))
        status, body = await claim(11, smaller, 3)
        assert status == 409
        assert b"would exceed the capacity" in body
        made = {"name": "again", "uuid": uuid_of(2)}
        again = ("DELETE", "/resource_providers/{}", None), ("POST", "/resource_providers", made), inventories(0, 2)
        remade = await behind(2, *again)
        stale = world.keeper.fleet.get(remade)
        assert stale is not None
        status, body = await claim(12, remade, 3)
        assert status == 409, "a provider that is made anew has no revision of before"
        await world.ask("DELETE", f"/resource_providers/{remade}", status=NO_CONTENT)
        world.keeper.fleet.put(stale)
        answer = await world.claim(13, {remade: {"VCPU": 1}})
        assert (answer.status, b"that does not exist" in answer.body) == (400, True)
        taken = {"allocations": {uuid_of(3): {"resources": {"VCPU": 8}}}, "consumer_generation": None, **OWNER}
        full = await behind(3, ("PUT", f"/allocations/{uuid_of(30)}", taken))
        stale = world.keeper.fleet.get(full)
        assert (await claim(14, full, 1))[0] == 409
        known = world.keeper.fleet.get(full)
        assert known is not None
        await world.ask("DELETE", f"/allocations/{uuid_of(30)}", status=NO_CONTENT)
        world.keeper.fleet.put(known)
        assert (await claim(15, full, 8))[0] == NO_CONTENT, "it is full as far as the model knows"


@in_loop
async def test_moves_and_frees_are_in_the_model_too() -> None:
    """A provider that a consumer leaves is changed without its generation."""
    async with World(memory(), is_shared=False) as world:
        one, other = [await world.provider(number, VCPU=8) for number in (1, 2)]
        assert (await world.claim(7, {one: {"VCPU": 3}})).status == NO_CONTENT
        assert (await world.claim(7, {other: {"VCPU": 4}}, generation=1)).status == NO_CONTENT
        for uuid in (one, other):
            await agrees(world, uuid)
        await world.ask("DELETE", f"/allocations/{uuid_of(7)}", status=NO_CONTENT)
        for uuid in (one, other):
            await agrees(world, uuid)


@in_loop
async def test_changes_of_a_provider_are_read() -> None:
    async with World(memory(), is_shared=False) as world:
        uuid = await world.provider(1, VCPU=8)
        await world.ask(
            "PUT",
            f"/resource_providers/{uuid}/traits",
            {"traits": ["HW_CPU_X86_VMX"], "resource_provider_generation": 1},
        )
        known = world.keeper.fleet.get(uuid)
        assert known is not None
        assert known.traits == {"HW_CPU_X86_VMX"}
        await agrees(world, uuid)


@in_loop
async def test_what_is_being_read_is_not_put_behind_what_a_commit_told() -> None:
    """A read that began before a commit and ends after it would put the older state into the model."""
    async with World(memory(), is_shared=False) as world:
        uuid = await world.provider(1, VCPU=8)
        _, gate, reading = await being_read(world, uuid)
        claiming = asyncio.create_task(world.ask("POST", "/v1/claims", claim_of(7), status=CREATED))
        await asyncio.sleep(0.05)
        gate.set()
        await asyncio.gather(reading, claiming)
        await agrees(world, uuid)


@in_loop
async def test_many_at_once_leave_the_model_as_the_store_is() -> None:
    async with World(memory(), is_shared=False) as world:
        hosts = [await world.provider(number, VCPU=400, DISK_GB=400) for number in (1, 2, 3)]
        random = Random(5)

        async def work(number: int) -> None:
            consumer = 100 + number
            await claimed(world, claim_of(consumer))
            if number % 3:
                body = {"allocations": {random.choice(hosts): {"resources": {"VCPU": 2, "DISK_GB": 1}}}, **OWNER}
                answer = await world.send("PUT", f"/allocations/{uuid_of(consumer)}", body | {"consumer_generation": 1})
                assert answer.status == NO_CONTENT, answer.body
            if number % 2:
                await world.ask("DELETE", f"/allocations/{uuid_of(consumer)}", status=NO_CONTENT)

        await asyncio.gather(*(work(number) for number in range(60)))
        for uuid in hosts:
            await agrees(world, uuid)
