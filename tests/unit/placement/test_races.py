"""What happens where a change of inventories, names or trees meets a claim or another change at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from tenet.placement.errors import CONCURRENT_UPDATE
from tests.unit.placement.world import OWNER, World, in_loop, memory, uuid_of

OK, CREATED, NO_CONTENT, NOT_FOUND, CONFLICT = 200, 201, 204, 404, 409
ROUNDS = 30


@pytest.mark.parametrize("seed", range(3))
@in_loop
async def test_what_is_deleted_is_not_in_use(seed: int) -> None:
    """A claim and a deletion at once: either there is no provider, or it stays with what was claimed."""
    chance = Random(seed)
    async with World(memory()) as world:
        for number in range(1, ROUNDS):
            host = await world.provider(number, VCPU=4)
            what = chance.choice((f"/resource_providers/{host}", f"/resource_providers/{host}/inventories/VCPU"))
            both = [world.claim(1000 + number, {host: {"VCPU": 1}}), world.send("DELETE", what)]
            chance.shuffle(both)
            answers = await asyncio.gather(*both)
            claimed = bool((await world.ask("GET", f"/allocations/{uuid_of(1000 + number)}"))["allocations"])
            gone = (await world.send("GET", f"/resource_providers/{host}/inventories/VCPU")).status == NOT_FOUND
            assert claimed != gone, [answer.body for answer in answers]


@in_loop
async def test_one_of_those_who_know_a_generation_changes_it() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=4)
        body = {"resource_provider_generation": 1, "total": 5}
        path = f"/resource_providers/{host}/inventories/VCPU"
        answers = await asyncio.gather(*(world.send("PUT", path, body) for _ in range(8)))
        assert sorted(answer.status for answer in answers) == [OK] + [CONFLICT] * 7
        assert all(CONCURRENT_UPDATE.encode() in one.body for one in answers if one.status == CONFLICT)


@in_loop
async def test_one_of_those_who_want_a_name_gets_it() -> None:
    async with World(memory()) as world:
        made = [world.send("POST", "/resource_providers", {"name": "wanted"}) for _ in range(6)]
        assert sorted(answer.status for answer in await asyncio.gather(*made)) == [OK] + [CONFLICT] * 5
        listed = (await world.ask("GET", "/resource_providers"))["resource_providers"]
        assert [provider["name"] for provider in listed] == ["wanted"]


@in_loop
async def test_two_moves_make_no_loop() -> None:
    """A goes below a part of B while B goes below a part of A: one of them is refused."""
    async with World(memory()) as world:
        for base in range(0, 10 * ROUNDS, 10):
            top, part = await world.provider(base + 1), await world.provider(base + 2, parent=base + 1)
            peak, piece = await world.provider(base + 3), await world.provider(base + 4, parent=base + 3)
            moves = [(top, base + 1, piece), (peak, base + 3, part)]
            answers = await asyncio.gather(
                *(
                    world.send(
                        "PUT",
                        f"/resource_providers/{uuid}",
                        {"name": f"provider-{number}", "parent_provider_uuid": below},
                    )
                    for uuid, number, below in moves
                )
            )
            assert sorted(answer.status for answer in answers) == [OK, 400]
            roots = {
                (await world.ask("GET", f"/resource_providers/{one}"))["root_provider_uuid"] for one in (top, peak)
            }
            assert len(roots) == 1


@pytest.mark.parametrize(("kind", "use"), [("traits", "traits"), ("resource_classes", "inventories")])
@in_loop
async def test_a_name_in_use_is_not_deleted(kind: str, use: str) -> None:
    async with World(memory()) as world:
        for number in range(1, ROUNDS):
            name, host = f"CUSTOM_{number}", await world.provider(number)
            await world.ask("PUT", f"/{kind}/{name}", status=CREATED)
            body: dict[str, Any] = {"resource_provider_generation": 0}
            body |= {"traits": [name]} if use == "traits" else {"inventories": {name: {"total": 1}}}
            used, deleted = await asyncio.gather(
                world.send("PUT", f"/resource_providers/{host}/{use}", body), world.send("DELETE", f"/{kind}/{name}")
            )
            there = (await world.send("GET", f"/{kind}/{name}")).status != NOT_FOUND
            assert there == (used.status == OK), (used.body, deleted.body)


@in_loop
async def test_a_provider_made_again_begins_anew() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=4)
        await world.claim(7, {host: {"VCPU": 2}})
        await world.ask("DELETE", f"/allocations/{uuid_of(7)}", status=NO_CONTENT)
        await world.ask("DELETE", f"/resource_providers/{host}", status=NO_CONTENT)
        assert await world.provider(1) == host
        assert await world.generation(host) == 0
        assert await world.used(host) == {}


@in_loop
async def test_nodes_hear_of_each_other() -> None:
    store = memory()
    async with World(store, is_shared=True) as one, World(store, is_shared=True) as other:
        host = await one.provider(1, VCPU=4)
        part = await one.provider(2, parent=1, VGPU=1)
        await until(other, lambda found: [each["uuid"] for each in found] == [host, part])
        await one.claim(7, {host: {"VCPU": 3}})
        await until(other, lambda found: found == [], path="/resource_providers?resources=VCPU:2")
        await one.ask("PUT", f"/resource_providers/{part}", {"name": "part", "parent_provider_uuid": None})
        await until(
            other, lambda found: [each["uuid"] for each in found] == [host], path=f"/resource_providers?in_tree={host}"
        )
        await one.ask("DELETE", f"/resource_providers/{part}", status=NO_CONTENT)
        await until(other, lambda found: [each["uuid"] for each in found] == [host])


@in_loop
async def test_a_node_that_starts_knows_everything() -> None:
    store = memory()
    async with World(store) as before:
        host = await before.provider(1, VCPU=4)
        part = await before.provider(2, parent=1, VGPU=1)
        leaf = await before.provider(3, parent=2, VGPU=1)
        await before.claim(7, {host: {"VCPU": 3}})
    async with World(store) as after:
        tree = (await after.ask("GET", f"/resource_providers?in_tree={leaf}"))["resource_providers"]
        assert {one["uuid"] for one in tree} == {host, part, leaf}
        assert {one["root_provider_uuid"] for one in tree} == {host}
        assert (await after.ask("GET", "/resource_providers?resources=VCPU:2"))["resource_providers"] == []


@in_loop
async def test_a_tree_that_moves_takes_its_parts_along() -> None:
    async with World(memory()) as world:
        await world.provider(1)
        await world.provider(2)
        await world.provider(3, parent=2)
        leaf = await world.provider(4, parent=3)
        body = {"name": "provider-2", "parent_provider_uuid": uuid_of(1)}
        refused = await world.refused(
            "PUT",
            f"/resource_providers/{uuid_of(3)}",
            {"name": "provider-3", "parent_provider_uuid": uuid_of(1)},
            status=400,
            version="1.36",
        )
        assert "re-parenting a provider is not currently allowed" in refused
        await world.ask("PUT", f"/resource_providers/{uuid_of(2)}", body)
        assert (await world.ask("GET", f"/resource_providers/{leaf}"))["root_provider_uuid"] == uuid_of(1)
        found = (await world.ask("GET", f"/resource_providers?in_tree={uuid_of(1)}"))["resource_providers"]
        assert len(found) == 4
        assert {one["root_provider_uuid"] for one in found} == {uuid_of(1)}


@in_loop
async def test_inventories_and_what_is_on_them_change_their_provider_at_once() -> None:
    async with World(memory()) as world:
        host, part = await world.provider(1, VCPU=4, VGPU=2), await world.provider(2, parent=1)
        await world.claim(7, {host: {"VCPU": 1, "VGPU": 2}})
        inventories = {
            host: {"resource_provider_generation": 2, "inventories": {"VCPU": {"total": 4}}},
            part: {"resource_provider_generation": 0, "inventories": {"VGPU": {"total": 2}}},
        }
        stays = await world.refused(
            "POST", "/reshaper", {"inventories": inventories, "allocations": {}}, status=CONFLICT
        )
        assert "Inventory for 'VGPU'" in stays
        resources = {host: {"resources": {"VCPU": 1}}, part: {"resources": {"VGPU": 2}}}
        moved = {uuid_of(7): {"allocations": resources, "consumer_generation": 1, **OWNER}}
        body = {"inventories": inventories, "allocations": moved}
        await world.ask("POST", "/reshaper", body, status=NO_CONTENT)
        assert await world.used(host) == {"VCPU": 1}
        assert await world.used(part) == {"VGPU": 2}
        assert CONCURRENT_UPDATE.encode() in (await world.send("POST", "/reshaper", body)).body


async def until(world: World, holds: Callable[[list[Any]], bool], *, path: str = "/resource_providers") -> None:
    """Waits until a list of providers is as it is to be."""
    found: list[Any] = []
    for _ in range(200):
        found = (await world.ask("GET", path))["resource_providers"]
        if holds(found):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(found)
