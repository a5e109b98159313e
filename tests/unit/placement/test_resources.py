"""Providers described and claimed from in the units of resource classes, over the service as clients reach it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tenet.placement.ops.auditing import audit
from tenet.placement.rules.openapi import openapi_document
from tests.unit.placement.test_claiming import BAD, CONFLICT, CREATED, NOT_FOUND, OK, claim_of, claimed, why_not
from tests.unit.placement.world import World, in_loop, memory, uuid_of

SHARES = "MISC_SHARES_VIA_AGGREGATE"
AGGREGATE = uuid_of(999)


async def described(
    world: World, number: int, resources: Any, *, parent: int | None = None, made: bool = True, status: int = OK
) -> Any:
    """Makes a provider and says what it has; returns the answer, whose shape is checked."""
    uuid = await world.provider(number, parent=parent) if made else uuid_of(number)
    body = {"resource_provider_generation": await world.generation(uuid), "resources": resources}
    path = "/v1/resource-providers/{uuid}/resources"
    answer = await world.ask("PUT", path.format(uuid=uuid), body, status=status)
    for told, method, code in ((answer, "put", status), (await shown(world, number), "get", OK)):
        responses = openapi_document()["paths"][path][method]["responses"]
        Draft202012Validator(responses[str(code)]["content"]["application/json"]["schema"]).validate(told)
    return answer


async def shown(world: World, number: int) -> Any:
    """Returns what a provider is told to have."""
    return await world.ask("GET", f"/v1/resource-providers/{uuid_of(number)}/resources")


async def inventories(world: World, number: int) -> dict[str, Any]:
    """Returns the inventories that OpenStack clients see."""
    answer = await world.ask("GET", f"/resource_providers/{uuid_of(number)}/inventories")
    found: dict[str, Any] = answer["inventories"]
    return found


async def traits(world: World, number: int) -> list[str]:
    """Returns the traits that OpenStack clients see."""
    found: list[str] = (await world.ask("GET", f"/resource_providers/{uuid_of(number)}/traits"))["traits"]
    return found


def of_one(resources: dict[str, Any], suffix: str = "_a", **more: Any) -> dict[str, Any]:
    """Returns a request of one group that comes from one provider."""
    return {"groups": [{"suffix": suffix, "resources": resources, **more}]}


def anywhere(resources: dict[str, Any]) -> dict[str, Any]:
    """Returns a request of one group that may come from several providers."""
    return {"groups": [{"resources": resources}]}


async def takes(world: World, consumer: int, request: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Claims; returns the amounts by provider."""
    answer = await claimed(world, claim_of(consumer, request=request))
    found = answer["consumers"][uuid_of(consumer)]["allocations"]
    return {uuid: one["resources"] for uuid, one in found.items()}


@in_loop
async def test_a_host_is_described_and_claimed_from_in_its_own_units() -> None:
    async with World(memory()) as world:
        answer = await described(
            world,
            1,
            {"cpu": {"total": 8, "ratio": 2}, "memory": {"total": "64GiB", "reserved": "4GiB"}, "disk": "1TiB"},
        )
        assert answer == await shown(world, 1)
        assert answer["resource_provider_generation"] == await world.generation(uuid_of(1))
        seen = await inventories(world, 1)
        assert (seen["VCPU"]["total"], seen["VCPU"]["allocation_ratio"]) == (8, 2.0)
        assert (seen["MEMORY_MB"]["total"], seen["MEMORY_MB"]["reserved"]) == (65536, 4096)
        assert seen["DISK_GB"]["total"] == 1024
        taken = await takes(world, 7, anywhere({"cpu": 4, "memory": "16GiB", "DISK_GB": 100}))
        assert taken == {uuid_of(1): {"VCPU": 4, "MEMORY_MB": 16384, "DISK_GB": 100}}
        resources = (await shown(world, 1))["resources"]
        assert resources["memory"] == {
            "described": {"total": "64GiB", "reserved": "4GiB"},
            "used": "16GiB",
            "free": "44GiB",
        }
        assert resources["cpu"] == {"described": {"total": 8, "ratio": 2.0}, "used": 4, "free": 12}
        assert (await audit(world.store)).count == 0


@in_loop
async def test_the_same_claim_in_its_own_units_gets_the_first_answer() -> None:
    async with World(memory()) as world:
        await described(world, 1, {"memory": "64GiB"})
        body = claim_of(7, request=anywhere({"memory": "1GiB"}))
        first = await claimed(world, body)
        assert await claimed(world, body, status=OK) == first
        assert first["request"] == body, "what was asked is stored as it was asked"
        assert await world.used(uuid_of(1)) == {"MEMORY_MB": 1024}
        other = claim_of(7, request=anywhere({"memory": "1024MiB"}))
        assert "has allocations that this claim did not" in await world.refused(
            "POST", "/v1/claims", other, status=CONFLICT
        )


@in_loop
async def test_an_exclusive_device_belongs_to_one_consumer_however_many_ask() -> None:
    async with World(memory()) as world:
        await described(world, 1, {"cpu": 8})
        await described(world, 2, {"pci_device": {"8086:1572": 1}}, parent=1)
        body = anywhere({"cpu": 1, "pci_device": "8086:1572"})
        answers = await asyncio.gather(
            *(world.send("POST", "/v1/claims", claim_of(one, request=body)) for one in range(7, 13))
        )
        assert sorted(one.status for one in answers) == [CREATED] + [CONFLICT] * 5
        assert (await shown(world, 2))["resources"]["pci_device"]["free"] == {"8086:1572": 0}
        told = await why_not(world, claim_of(20, request=body))
        assert "CUSTOM_PCI_8086_1572: 1 wanted; the most that one provider can give is 0" in told["missing"][0]
        assert (await world.ask("GET", "/resource_classes/CUSTOM_PCI_8086_1572"))["name"] == "CUSTOM_PCI_8086_1572"
        assert (await audit(world.store)).count == 0


@in_loop
async def test_one_partition_excludes_another_size() -> None:
    async with World(memory()) as world:
        await described(world, 1, {"cpu": 8})
        await described(world, 2, {"gpu_a100_40gb": 1}, parent=1)

        async def refused(consumer: int, size: Any) -> None:
            await why_not(world, claim_of(consumer, request=of_one({"gpu_a100_40gb": size})))

        assert (await takes(world, 7, of_one({"gpu_a100_40gb": "4g.20gb"}))).keys() == {uuid_of(2)}
        await refused(8, "4g.20gb")
        await refused(8, "7g.40gb")
        await takes(world, 9, of_one({"gpu_a100_40gb": "3g.20gb"}))
        await refused(10, "1g.5gb")
        free = (await shown(world, 2))["resources"]["gpu_a100_40gb"]["free"]
        assert set(free.values()) == {0}
        await world.ask("DELETE", f"/allocations/{uuid_of(7)}", status=204)
        await refused(8, {"4g.20gb": 1, "1g.5gb": 1})
        await takes(world, 8, of_one({"gpu_a100_40gb": {"2g.10gb": 1, "1g.10gb": 1}}))
        await refused(10, "1g.5gb")
        assert (await audit(world.store)).count == 0


@in_loop
async def test_two_partitions_for_one_consumer_may_come_from_two_devices() -> None:
    async with World(memory()) as world:
        await described(world, 1, {"cpu": 8})
        for number in (2, 3):
            await described(world, number, {"gpu_a100_40gb": 1}, parent=1)
        groups = [{"suffix": f"_{at}", "resources": {"gpu_a100_40gb": "4g.20gb"}} for at in range(2)]
        request = {"groups": [{"resources": {"cpu": 1}}, *groups], "group_policy": "none"}
        assert (await takes(world, 7, request)).keys() == {uuid_of(1), uuid_of(2), uuid_of(3)}
        text = await world.refused(
            "POST", "/v1/claims", claim_of(8, request=of_one({"gpu_a100_40gb": {"4g.20gb": 2}})), status=BAD
        )
        assert "groups[0].resources.gpu_a100_40gb: takes 8 of the 7 compute slices of one device" in text


@in_loop
async def test_a_pool_of_licences_serves_the_trees_of_its_aggregate() -> None:
    async with World(memory()) as world:
        for number in (1, 2):
            await described(world, number, {"cpu": 8})
        await described(world, 3, {"licence": {"acme-db": 3}})
        assert await traits(world, 3) == [SHARES]
        for number in (1, 3):
            path = f"/resource_providers/{uuid_of(number)}/aggregates"
            generation = await world.generation(uuid_of(number))
            await world.ask("PUT", path, {"aggregates": [AGGREGATE], "resource_provider_generation": generation})
        request = anywhere({"cpu": 1, "licence": {"acme-db": 2}})
        assert await takes(world, 7, request) == {uuid_of(1): {"VCPU": 1}, uuid_of(3): {"CUSTOM_LICENCE_ACME_DB": 2}}
        told = await why_not(world, claim_of(8, request=request))
        assert "CUSTOM_LICENCE_ACME_DB: 2 wanted; the most that one provider can give is 1" in told["missing"][0]
        assert (await takes(world, 9, anywhere({"cpu": 1, "licence": "acme-db"}))).keys() == {uuid_of(1), uuid_of(3)}


@in_loop
async def test_bandwidth_is_given_in_the_steps_of_its_interface() -> None:
    async with World(memory()) as world:
        await described(world, 1, {"bandwidth_egress": {"total": "10Gbit/s", "min": "1Mbit/s", "step": "1Mbit/s"}})
        assert await takes(world, 7, anywhere({"bandwidth_egress": "1.5Gbit/s"})) == {
            uuid_of(1): {"NET_BW_EGR_KILOBIT_PER_SEC": 1_500_000}
        }
        told = await why_not(world, claim_of(8, request=anywhere({"bandwidth_egress": "1500kbit/s"})))
        assert (
            "can give is 8500000, in steps or from a least amount on that do not allow this one" in told["missing"][0]
        )
        text = await world.refused(
            "POST", "/v1/claims", claim_of(8, request=anywhere({"bandwidth_egress": "1500bit/s"})), status=BAD
        )
        assert text.rstrip().endswith(
            "request.groups[0].resources.bandwidth_egress: '1500bit/s' is no whole number of kbit/s."
        )
        told = (await shown(world, 1))["resources"]["bandwidth_egress"]
        assert told == {
            "described": {"total": "10Gbit/s", "min": "1Mbit/s", "step": "1Mbit/s"},
            "used": "1500Mbit/s",
            "free": "8500Mbit/s",
        }


@in_loop
async def test_numa_cells_are_providers_below_their_host() -> None:
    """Two cells have room for 3 processors each: nobody gets 4 of them from one cell, whatever the host has in all."""
    async with World(memory()) as world:
        await described(world, 1, {"disk": "100GiB"})
        for number in (2, 3):
            await described(world, number, {"numa_cell": {"cpu": 3, "memory": "8GiB"}}, parent=1)
            assert await traits(world, number) == ["HW_NUMA_ROOT"]
        # What looks like a cell and is none: its trait decides.
        await described(world, 4, {"cpu": 64, "memory": "64GiB"}, parent=1)
        cell = {"numa_cell": {"cpu": 2, "memory": "4GiB"}}
        first, second = await takes(world, 7, of_one(cell)), await takes(world, 8, of_one(cell))
        assert {*first, *second} == {uuid_of(2), uuid_of(3)}
        await why_not(world, claim_of(9, request=of_one({"numa_cell": {"cpu": 2}})))
        groups = [{"suffix": f"_{at}", "resources": {"numa_cell": {"cpu": 1}}} for at in range(2)]
        both = {"groups": [{"resources": {"disk": 10}}, *groups], "group_policy": "isolate"}
        assert (await takes(world, 9, both)).keys() == {uuid_of(1), uuid_of(2), uuid_of(3)}
        text = await world.refused("POST", "/v1/claims", claim_of(10, request=anywhere(cell)), status=BAD)
        assert "request.groups[0].resources.numa_cell: comes from one provider" in text


@in_loop
async def test_a_description_replaces_the_one_before() -> None:
    async with World(memory()) as world:
        await described(world, 1, {"numa_cell": {"cpu": 4}, "disk": "10GiB", "CUSTOM_FUEL": {"total": 9}})
        assert await traits(world, 1) == ["HW_NUMA_ROOT"]
        assert (await shown(world, 1))["resources"]["CUSTOM_FUEL"]["described"]["total"] == 9
        await takes(world, 7, anywhere({"disk": 1}))
        text = await world.refused(
            "PUT",
            f"/v1/resource-providers/{uuid_of(1)}/resources",
            {"resource_provider_generation": await world.generation(uuid_of(1)), "resources": {"cpu": 4}},
            status=CONFLICT,
        )
        assert f"Inventory for 'DISK_GB' on resource provider '{uuid_of(1)}' in use." in text
        await described(world, 1, {"cpu": 4, "disk": "10GiB"}, made=False)
        assert await traits(world, 1) == []
        assert (await inventories(world, 1)).keys() == {"VCPU", "DISK_GB"}
        # Nobody uses the class any more: it can be deleted.
        await world.ask("DELETE", "/resource_classes/CUSTOM_FUEL", status=204)
        assert (await audit(world.store)).count == 0


@in_loop
async def test_custom_names_are_made_once_and_counted() -> None:
    """Many describe the same new class at the same moment: it is made by one, and used by all."""
    async with World(memory()) as world:
        for number in range(1, 9):
            await world.provider(number)
        body = {"resource_provider_generation": 0, "resources": {"pci_device": {"8086:1572": 1}}}
        answers = await asyncio.gather(
            *(world.send("PUT", f"/v1/resource-providers/{uuid_of(one)}/resources", body) for one in range(1, 9))
        )
        assert [one.status for one in answers] == [OK] * 8
        await world.ask("DELETE", "/resource_classes/CUSTOM_PCI_8086_1572", status=CONFLICT)
        assert (await audit(world.store)).count == 0
        for number in range(1, 9):
            await described(world, number, {}, made=False)
        await world.ask("DELETE", "/resource_classes/CUSTOM_PCI_8086_1572", status=204)


@in_loop
async def test_a_description_names_the_generation_and_what_exists() -> None:
    async with World(memory()) as world:
        await world.provider(1)
        path = f"/v1/resource-providers/{uuid_of(1)}/resources"
        body = {"resource_provider_generation": 5, "resources": {"cpu": 1}}
        assert "generation" in await world.refused("PUT", path, body, status=CONFLICT)
        await world.refused("PUT", path.replace("01/", "02/"), body, status=NOT_FOUND)
        await world.refused("GET", path.replace("01/", "02/"), status=NOT_FOUND)
        assert (await shown(world, 1))["resources"] == {}
        for refused, text in (
            ({"resources": {}}, "'resource_provider_generation' is a required property"),
            ({"resource_provider_generation": 0, "resources": []}, "is not of type 'object'"),
            ({"resource_provider_generation": 0, "resources": {f"CUSTOM_{n}": {} for n in range(257)}}, "257|too many"),
        ):
            given = await world.refused("PUT", path, refused, status=BAD)
            assert any(part in given for part in text.split("|")), given


@pytest.mark.parametrize(
    ("resources", "text"),
    [
        ({"memory": "1XB"}, "resources.memory: 'total': '1XB' has none of the units"),
        ({"memory": {"total": "1GiB", "reserved": "2GiB"}}, "resources.memory: 'reserved' is more than 'total'"),
        ({"memory": "1GiB", "MEMORY_MB": {"total": 5}}, "resources.MEMORY_MB: is kept in MEMORY_MB, as memory is."),
        ({"numa_cell": {"cpu": 1}, "cpu": 1}, "resources.cpu: is kept in VCPU, as numa_cell is."),
        ({"dedicated_cpu": {"total": 1, "ratio": 4}}, "resources.dedicated_cpu: 'ratio' has to be 1"),
        ({"VCPU": {"total": 0}}, "(resources.VCPU)"),
        ({"VCPU": 5}, "(resources.VCPU)"),
        ({"Vcpu": {"total": 1}}, "(resources.Vcpu)"),
        ({"CUSTOM_é": {"total": 1}}, "(resources.CUSTOM_é)"),
        ({"A" * 256: {"total": 1}}, "is too long"),
        ({"VCPU": "x" * 100_000}, "xxx' is not of type 'object' (at $.VCPU) (resources.VCPU)"),
        ({"fuel": 1}, "There is no resource class 'fuel'; there are: bandwidth_egress"),
        ({"VCPU": {"total": 1, "allocation_ratio": 0.1}}, None),
    ],
)
def test_a_refused_description_changes_nothing(resources: Any, text: str | None) -> None:
    @in_loop
    async def run() -> None:
        async with World(memory()) as world:
            await world.provider(1)
            path = f"/v1/resource-providers/{uuid_of(1)}/resources"
            body = {"resource_provider_generation": 0, "resources": resources}
            response = await world.send("PUT", path, body)
            if text is None:  # a capacity of 0 is what the OpenStack API takes since 1.26
                assert response.status == OK
            else:
                assert response.status == BAD
                assert text in response.body.decode()
                assert len(response.body) < 5_000
                assert await world.generation(uuid_of(1)) == 0
                assert await inventories(world, 1) == {}

    run()


@in_loop
async def test_the_classes_are_listed_with_their_units() -> None:
    async with World(memory()) as world:
        answer = await world.ask("GET", "/v1/resource-classes")
        responses = openapi_document()["paths"]["/v1/resource-classes"]["get"]["responses"]
        Draft202012Validator(responses["200"]["content"]["application/json"]["schema"]).validate(answer)
        listed = {one["name"]: one for one in answer["resource_classes"]}
        assert listed["memory"]["unit"] == "MiB"
        assert listed["memory"]["resource_classes"] == ["MEMORY_MB"]
        assert listed["pci_device"]["is_exclusive"]
        assert listed["numa_cell"]["traits"] == ["HW_NUMA_ROOT"]
        assert answer["unusable"] == []
        openstack = {one["name"] for one in (await world.ask("GET", "/resource_classes"))["resource_classes"]}
        assert not openstack & listed.keys(), "the OpenStack API does not know of them"


@in_loop
async def test_the_openstack_api_takes_no_other_language() -> None:
    async with World(memory()) as world:
        await described(world, 1, {"memory": "1GiB"})
        text = await world.refused("GET", "/allocation_candidates?resources=memory:1", status=BAD)
        assert "No such resource class memory" in text
        response = await world.claim(7, {uuid_of(1): {"memory": 1}})
        assert response.status == BAD
