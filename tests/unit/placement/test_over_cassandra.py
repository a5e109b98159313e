"""Placement over the distributed engine, on a cluster in memory in simulated time: two processes give out one cloud."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from tests.cassandra_model.stand import Stand
from tests.unit.placement.world import World, uuid_of

NO_CONTENT, CONFLICT = 204, 409
HOSTS, SLOTS_EACH, WANTED = 3, 6, 24


@pytest.mark.parametrize("seed", range(2))
def test_two_processes_fill_a_cloud_exactly(seed: int) -> None:
    async def test(stand: Stand) -> None:
        first, second = await stand.process("first"), await stand.process("second", behind_ms=30)
        chance = Random(seed)
        async with World(first.engine, clock=first.clock) as one, World(second.engine, clock=second.clock) as other:
            hosts = [await one.provider(number, VCPU=SLOTS_EACH, VGPU=100) for number in range(1, HOSTS + 1)]

            async def boot(number: int) -> int:
                node = chance.choice((one, other))
                for host in chance.sample(hosts, HOSTS):
                    answer = await node.claim(1000 + number, {host: {"VCPU": 1, "VGPU": 2}})
                    if answer.status == NO_CONTENT:
                        return 1
                    assert answer.status == CONFLICT, answer.body
                    assert b"would exceed the capacity" in answer.body
                return 0

            placed = await asyncio.gather(*(boot(number) for number in range(WANTED)))
            assert sum(placed) == HOSTS * SLOTS_EACH
            for host in hosts:
                assert await other.used(host) == {"VCPU": SLOTS_EACH, "VGPU": 2 * SLOTS_EACH}
            usages = (await one.ask("GET", "/usages?project_id=project"))["usages"]
            assert usages == {
                "INSTANCE": {
                    "VCPU": HOSTS * SLOTS_EACH,
                    "VGPU": 2 * HOSTS * SLOTS_EACH,
                    "consumer_count": HOSTS * SLOTS_EACH,
                }
            }

    Stand().run(test)


def test_a_process_hears_what_another_has_changed() -> None:
    async def test(stand: Stand) -> None:
        first, second = await stand.process("first"), await stand.process("second")
        async with World(first.engine, clock=first.clock) as one, World(second.engine, clock=second.clock) as other:
            host = await one.provider(1, VCPU=4)
            await one.provider(2, parent=1)
            await wait_for(other, f"/resource_providers?in_tree={host}", 2)
            await one.claim(7, {host: {"VCPU": 3}})
            await wait_for(other, "/resource_providers?resources=VCPU:2", 0)
            await other.ask("DELETE", f"/allocations/{uuid_of(7)}", status=NO_CONTENT)
            await wait_for(one, "/resource_providers?resources=VCPU:4", 1)
            await one.ask("DELETE", f"/resource_providers/{uuid_of(2)}", status=NO_CONTENT)
            await wait_for(other, "/resource_providers", 1)

    Stand().run(test)


async def wait_for(world: World, path: str, count: int) -> None:
    """Waits until a list has so many providers."""
    found = -1
    for _ in range(300):
        found = len((await world.ask("GET", path))["resource_providers"])
        if found == count:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(found)
