"""Claims: what is given out, what is refused, and that nothing is given out twice however they race."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from tenet.base.clock import SystemClock
from tenet.store.faulty import NO_FAULTS, CallFaults, CommitFaults, FaultPlan, Faulty
from tenet.store.memory_state import MemoryState
from tests.unit.placement.world import OWNER, World, in_loop, memory, uuid_of

NO_CONTENT, CONFLICT, UNAVAILABLE = 204, 409, 503


async def every_use(world: World) -> dict[str, Any]:
    """Returns what each provider has in use, by its own count and as the sum of what consumers have."""
    providers = (await world.ask("GET", "/resource_providers"))["resource_providers"]
    found: dict[str, Any] = {}
    for provider in providers:
        uuid = provider["uuid"]
        held = (await world.ask("GET", f"/resource_providers/{uuid}/allocations"))["allocations"]
        total: dict[str, int] = {}
        for one in held.values():
            for name, amount in one["resources"].items():
                total[name] = total.get(name, 0) + amount
        counted = {name: amount for name, amount in (await world.used(uuid)).items() if amount}
        assert counted == total
        found[uuid] = total
    return found


@in_loop
async def test_a_claim_is_told_of_everywhere() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=4, MEMORY_MB=100)
        assert (await world.claim(7, {host: {"VCPU": 3}})).status == NO_CONTENT
        shown = await world.ask("GET", f"/allocations/{uuid_of(7)}")
        assert shown == {
            "allocations": {host: {"generation": 2, "resources": {"VCPU": 3}}},
            "consumer_generation": 1,
            **OWNER,
        }
        held = await world.ask("GET", f"/resource_providers/{host}/allocations")
        assert held["allocations"] == {uuid_of(7): {"resources": {"VCPU": 3}, "consumer_generation": 1}}
        assert await world.used(host) == {"VCPU": 3, "MEMORY_MB": 0}
        total = await world.ask("GET", "/usages?project_id=project")
        assert total["usages"] == {"INSTANCE": {"VCPU": 3, "consumer_count": 1}}
        candidates = await world.ask("GET", "/allocation_candidates?resources=VCPU:2")
        assert candidates["allocation_requests"] == []


@pytest.mark.parametrize(
    ("inventory", "amount", "words"),
    [
        ({"total": 4}, 5, "would exceed the capacity"),
        ({"total": 4, "reserved": 2}, 3, "would exceed the capacity"),
        ({"total": 3, "allocation_ratio": 1.5}, 5, "would exceed the capacity"),
        ({"total": 100, "min_unit": 4}, 3, "would violate inventory constraints"),
        ({"total": 100, "max_unit": 4}, 5, "would violate inventory constraints"),
        ({"total": 100, "step_size": 4}, 6, "would violate inventory constraints"),
    ],
)
@in_loop
async def test_what_does_not_fit_is_refused(inventory: dict[str, Any], amount: int, words: str) -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=inventory)
        refused = await world.claim(7, {host: {"VCPU": amount}})
        assert refused.status == CONFLICT
        assert words in refused.body.decode()
        assert await world.used(host) == {"VCPU": 0}
        assert await world.ask("GET", f"/allocations/{uuid_of(7)}") == {"allocations": {}}


@in_loop
async def test_the_last_unit_of_a_ratio_can_be_had() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU={"total": 3, "allocation_ratio": 1.5})
        assert (await world.claim(7, {host: {"VCPU": 4}})).status == NO_CONTENT


@in_loop
async def test_what_is_above_the_capacity_may_stay_and_become_less() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=10)
        await world.claim(7, {host: {"VCPU": 9}})
        body = {"resource_provider_generation": 2, "total": 5}
        await world.ask("PUT", f"/resource_providers/{host}/inventories/VCPU", body)
        assert (await world.claim(7, {host: {"VCPU": 9}}, generation=1)).status == NO_CONTENT
        assert (await world.claim(7, {host: {"VCPU": 8}}, generation=2)).status == NO_CONTENT
        assert (await world.claim(7, {host: {"VCPU": 9}}, generation=3)).status == CONFLICT
        assert await world.used(host) == {"VCPU": 8}


@in_loop
async def test_a_consumer_moves_from_one_host_to_another() -> None:
    async with World(memory()) as world:
        first, second = await world.provider(1, VCPU=4), await world.provider(2, VCPU=4)
        await world.claim(7, {first: {"VCPU": 4}})
        assert (await world.claim(7, {second: {"VCPU": 4}}, generation=1)).status == NO_CONTENT
        assert await every_use(world) == {first: {}, second: {"VCPU": 4}}
        assert (await world.claim(8, {second: {"VCPU": 1}})).status == CONFLICT
        assert (await world.claim(8, {first: {"VCPU": 4}})).status == NO_CONTENT


@in_loop
async def test_another_generation_of_the_consumer_is_a_conflict() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=4)
        await world.claim(7, {host: {"VCPU": 1}})
        refused = await world.claim(7, {host: {"VCPU": 2}})
        assert refused.status == CONFLICT
        assert b"consumer generation conflict - expected 1 but got None" in refused.body
        assert b"placement.concurrent_update" in refused.body
        refused = await world.claim(8, {host: {"VCPU": 2}}, generation=3)
        assert b"consumer generation conflict - expected null but got 3" in refused.body


@in_loop
async def test_many_consumers_change_all_or_none() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=4)
        await world.claim(7, {host: {"VCPU": 3}})

        def wanted(amount: int) -> dict[str, Any]:
            one = {"allocations": {host: {"resources": {"VCPU": amount}}}, "consumer_generation": None, **OWNER}
            gone = {"allocations": {}, "consumer_generation": 1, **OWNER}
            return {uuid_of(7): gone, uuid_of(8): one}

        assert "exceed the capacity" in await world.refused("POST", "/allocations", wanted(5), status=CONFLICT)
        assert await every_use(world) == {host: {"VCPU": 3}}
        await world.ask("POST", "/allocations", wanted(4), status=NO_CONTENT)
        assert await every_use(world) == {host: {"VCPU": 4}}
        assert (await world.ask("GET", f"/allocations/{uuid_of(7)}"))["allocations"] == {}


@in_loop
async def test_what_a_project_has_follows_its_consumers() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=9)
        await world.claim(7, {host: {"VCPU": 2}})
        await world.claim(8, {host: {"VCPU": 3}}, consumer_type="MIGRATION")
        await world.claim(7, {host: {"VCPU": 1}}, generation=1, project_id="other")
        assert (await world.ask("GET", "/usages?project_id=other"))["usages"] == {
            "INSTANCE": {"VCPU": 1, "consumer_count": 1}
        }
        of_all = await world.ask("GET", "/usages?project_id=project&consumer_type=all")
        assert of_all["usages"] == {"all": {"VCPU": 3, "consumer_count": 1}}
        await world.ask("DELETE", f"/allocations/{uuid_of(8)}", status=NO_CONTENT)
        assert (await world.ask("GET", "/usages?project_id=project"))["usages"] == {}
        assert (await world.ask("GET", "/usages?project_id=project", version="1.9"))["usages"] == {}


@in_loop
async def test_deleting_what_is_not_there_is_told() -> None:
    async with World(memory()) as world:
        text = await world.refused("DELETE", f"/allocations/{uuid_of(7)}", status=404)
        assert f"No allocations for consumer '{uuid_of(7)}'" in text


#: What goes wrong on a node's way to the store. Where the store is said to be unavailable, nothing was written.
PLAN = FaultPlan(
    calls=CallFaults(unavailable=0.02, delayed=0.3, delay_ms_max=3),
    commits=CommitFaults(unknown_done=0.05, unknown_lost=0.05, unknown_late=0.05, late_ms_max=5, rival=0.1),
    hint_lost=0.3,
)


@pytest.mark.parametrize("seed", range(3))
@in_loop
async def test_racing_claims_fill_a_cloud_exactly(seed: int) -> None:
    """Claims of one unit for 40 slots from two nodes over one store, on a way on which much goes wrong."""
    state, clock, chance = MemoryState(), SystemClock(), Random(seed)
    stores = [memory(state=state) for _ in range(3)]
    nodes = [Faulty(store, NO_FAULTS, seed=seed + number, clock=clock) for number, store in enumerate(stores[:2])]
    async with World(stores[2], is_shared=True) as clean:
        hosts = [await clean.provider(number, VCPU=10) for number in range(1, 5)]
        async with World(nodes[0], is_shared=True) as one, World(nodes[1], is_shared=True) as other:
            for node in nodes:
                node._plan = PLAN

            async def boot(number: int) -> int:
                for host in chance.sample(hosts, len(hosts)):
                    while True:
                        answer = await chance.choice((one, other)).claim(1000 + number, {host: {"VCPU": 1}})
                        assert answer.status in {NO_CONTENT, CONFLICT, UNAVAILABLE}, answer.body
                        if answer.status == NO_CONTENT:
                            return 1
                        if answer.status == CONFLICT:
                            assert b"exceed the capacity" in answer.body
                            break
                return 0

            placed = await asyncio.gather(*(boot(number) for number in range(60)))
        assert sum(placed) == 40
        assert await every_use(clean) == {host: {"VCPU": 10} for host in hosts}
        total = await clean.ask("GET", "/usages?project_id=project")
        assert total["usages"] == {"INSTANCE": {"VCPU": 40, "consumer_count": 40}}
