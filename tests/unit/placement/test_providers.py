"""Providers, their inventories, aggregates and traits: what requests about them do, and how they are refused."""

from __future__ import annotations

from typing import Any

import pytest

from tenet.placement.model import AMOUNT_MAX
from tests.unit.placement.world import World, in_loop, memory, uuid_of

OK, CREATED, NO_CONTENT, BAD, NOT_FOUND, CONFLICT = 200, 201, 204, 400, 404, 409
AGGREGATE = uuid_of(900)
NOBODY = uuid_of(999)


# ---- providers -------------------------------------------------------------------------------------------------------


@in_loop
async def test_a_provider_is_shown_as_its_version_has_it() -> None:
    async with World(memory()) as world:
        host = await world.provider(1)
        shown = await world.ask("GET", f"/resource_providers/{host}", version="1.0")
        url = f"/placement/resource_providers/{host}"
        assert shown == {
            "uuid": host,
            "name": "provider-1",
            "generation": 0,
            "links": [
                {"rel": "self", "href": url},
                {"rel": "inventories", "href": f"{url}/inventories"},
                {"rel": "usages", "href": f"{url}/usages"},
            ],
        }
        rels = {"1.1": "aggregates", "1.6": "traits", "1.11": "allocations"}
        for version, rel in rels.items():
            links = (await world.ask("GET", f"/resource_providers/{host}", version=version))["links"]
            assert links[-1]["rel"] == rel
        newest = await world.ask("GET", f"/resource_providers/{host}", version="1.14")
        assert (newest["parent_provider_uuid"], newest["root_provider_uuid"]) == (None, host)


@pytest.mark.parametrize(
    "written",
    [uuid_of(0xABC).upper(), uuid_of(0xABC).replace("-", ""), "{" + uuid_of(0xABC) + "}"],
)
@in_loop
async def test_a_uuid_may_be_written_in_its_usual_forms(written: str) -> None:
    async with World(memory()) as world:
        made = await world.ask("POST", "/resource_providers", {"name": "one", "uuid": written})
        assert made["uuid"] == uuid_of(0xABC)
        assert (await world.ask("GET", f"/resource_providers/{uuid_of(0xABC)}"))["name"] == "one"


@in_loop
async def test_a_provider_without_a_uuid_gets_one() -> None:
    async with World(memory()) as world:
        made = await world.ask("POST", "/resource_providers", {"name": "one"})
        assert (await world.ask("GET", f"/resource_providers/{made['uuid']}"))["name"] == "one"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "'name' is a required property"),
        ({"name": "x" * 201}, "is too long"),
        ({"name": "one", "uuid": "none"}, "is not a 'uuid'"),
        ({"name": "one", "colour": "red"}, "Additional properties are not allowed"),
        ({"name": "one", "parent_provider_uuid": NOBODY}, "parent provider UUID does not exist"),
        ({"name": "one", "uuid": AGGREGATE, "parent_provider_uuid": AGGREGATE}, "cannot be same as UUID"),
        ({"name": ""}, "name is required"),
        ([], "is not of type 'object'"),
    ],
)
@in_loop
async def test_what_cannot_be_a_provider_is_refused(body: Any, words: str) -> None:
    async with World(memory()) as world:
        assert words in await world.refused("POST", "/resource_providers", body, status=BAD)
        assert (await world.ask("GET", "/resource_providers"))["resource_providers"] == []


@in_loop
async def test_a_parent_is_unknown_before_1_14() -> None:
    async with World(memory()) as world:
        body = {"name": "one", "parent_provider_uuid": None}
        assert "Additional properties" in await world.refused(
            "POST", "/resource_providers", body, status=BAD, version="1.13"
        )


@in_loop
async def test_names_and_uuids_are_had_once() -> None:
    async with World(memory()) as world:
        host = await world.provider(1)
        both = {"name": "provider-1", "uuid": host}
        text = await world.refused("POST", "/resource_providers", both, status=CONFLICT)
        assert f"Conflicting resource provider name: provider-1, uuid: {host} already exists." in text
        other = await world.provider(2)
        text = await world.refused("PUT", f"/resource_providers/{other}", {"name": "provider-1"}, status=CONFLICT)
        assert "Conflicting resource provider provider-1 already exists." in text


@in_loop
async def test_a_name_that_was_given_up_is_free() -> None:
    async with World(memory()) as world:
        host = await world.provider(1)
        renamed = await world.ask("PUT", f"/resource_providers/{host}", {"name": "other"})
        assert (renamed["name"], renamed["generation"]) == ("other", 0)
        assert (await world.ask("POST", "/resource_providers", {"name": "provider-1"}))["uuid"] != host
        found = (await world.ask("GET", "/resource_providers?name=other"))["resource_providers"]
        assert [one["uuid"] for one in found] == [host]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("uuid", [NOBODY, "no-uuid"])
@in_loop
async def test_what_is_not_there_is_not_found(method: str, uuid: str) -> None:
    async with World(memory()) as world:
        body = {"name": "one"} if method == "PUT" else None
        text = await world.refused(method, f"/resource_providers/{uuid}", body, status=NOT_FOUND)
        assert f"No resource provider with uuid {uuid} found" in text


@in_loop
async def test_who_has_children_or_allocations_stays() -> None:
    async with World(memory()) as world:
        top, part = await world.provider(1), await world.provider(2, parent=1, VCPU=2)
        text = await world.refused("DELETE", f"/resource_providers/{top}", status=CONFLICT)
        assert f"Unable to delete parent resource provider {top}: It has child resource providers." in text
        await world.claim(7, {part: {"VCPU": 1}})
        text = await world.refused("DELETE", f"/resource_providers/{part}", status=CONFLICT)
        assert f"Unable to delete resource provider {part}: Resource provider has allocations." in text
        await world.ask("DELETE", f"/allocations/{uuid_of(7)}", status=NO_CONTENT)
        await world.ask("DELETE", f"/resource_providers/{part}", status=NO_CONTENT)
        await world.ask("DELETE", f"/resource_providers/{top}", status=NO_CONTENT)


@in_loop
async def test_a_parent_that_does_not_exist_or_makes_a_loop_is_refused() -> None:
    async with World(memory()) as world:
        top, part = await world.provider(1), await world.provider(2, parent=1)
        for parent, words in ((NOBODY, "does not exist"), (part, "creating loop"), (top, "creating loop")):
            below = {"name": "provider-1", "parent_provider_uuid": parent}
            assert words in await world.refused("PUT", f"/resource_providers/{top}", below, status=BAD)
        body = {"name": "provider-2", "parent_provider_uuid": None}
        text = await world.refused("PUT", f"/resource_providers/{part}", body, status=BAD, version="1.36")
        assert "un-parenting a provider is not currently allowed" in text


# ---- inventories -----------------------------------------------------------------------------------------------------


@in_loop
async def test_an_inventory_has_defaults() -> None:
    async with World(memory()) as world:
        host = await world.provider(1)
        path = f"/resource_providers/{host}/inventories"
        made = await world.send("POST", path, {"resource_class": "VCPU", "total": 4})
        assert made.status == CREATED
        expected = {
            "total": 4,
            "reserved": 0,
            "min_unit": 1,
            "max_unit": AMOUNT_MAX,
            "step_size": 1,
            "allocation_ratio": 1.0,
        }
        assert await world.ask("GET", f"{path}/VCPU") == {**expected, "resource_provider_generation": 1}
        assert await world.ask("GET", path) == {"inventories": {"VCPU": expected}, "resource_provider_generation": 1}
        again = await world.refused("POST", path, {"resource_class": "VCPU", "total": 4}, status=CONFLICT)
        assert "Update conflict" in again


@pytest.mark.parametrize(
    ("inventory", "words"),
    [
        ({"total": 0}, "0 is less than the minimum of 1"),
        ({"total": AMOUNT_MAX + 1}, "greater than the maximum"),
        ({"total": 4, "reserved": -1}, "-1 is less than the minimum of 0"),
        ({"total": 4, "reserved": 5}, "The reserved value is greater than total."),
        ({"total": 4, "step_size": 0}, "less than the minimum of 1"),
        ({"total": "4"}, "is not of type 'integer'"),
        ({"total": 4, "allocation_ratio": 1e39}, "greater than the maximum"),
        ({}, "'total' is a required property"),
    ],
)
@in_loop
async def test_what_cannot_be_an_inventory_is_refused(inventory: dict[str, Any], words: str) -> None:
    async with World(memory()) as world:
        host = await world.provider(1, MEMORY_MB=4)
        path = f"/resource_providers/{host}/inventories"
        all_of = {"resource_provider_generation": 1, "inventories": {"VCPU": inventory}}
        one = {"resource_provider_generation": 1, **inventory}
        for method, where, body in (
            ("POST", path, {"resource_class": "VCPU", **inventory}),
            ("PUT", path, all_of),
            ("PUT", f"{path}/MEMORY_MB", one),
        ):
            assert words in await world.refused(method, where, body, status=BAD)
        assert list((await world.ask("GET", path))["inventories"]) == ["MEMORY_MB"]


@in_loop
async def test_everything_may_be_reserved_from_1_26_on() -> None:
    async with World(memory()) as world:
        host = await world.provider(1)
        body = {"resource_class": "VCPU", "total": 4, "reserved": 4}
        path = f"/resource_providers/{host}/inventories"
        text = await world.refused("POST", path, body, status=BAD, version="1.25")
        assert "The reserved value is greater than or equal to total." in text
        await world.ask("POST", path, body, status=CREATED, version="1.26")


@in_loop
async def test_a_class_that_does_not_exist_is_refused() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=4)
        path = f"/resource_providers/{host}/inventories"
        body = {"resource_class": "CUSTOM_NONE", "total": 4}
        assert "No such resource class CUSTOM_NONE." in await world.refused("POST", path, body, status=BAD)
        all_of = {"resource_provider_generation": 1, "inventories": {"NONE": {"total": 1}}}
        assert "Unknown resource class in inventory" in await world.refused("PUT", path, all_of, status=BAD)
        one = {"resource_provider_generation": 1, "total": 4}
        await world.refused("PUT", f"{path}/CUSTOM_NONE", one, status=NOT_FOUND)
        text = await world.refused("PUT", f"{path}/VGPU", one, status=BAD)
        assert "No inventory of class VGPU found." in text
        absent = "No inventory of class {} found for delete: "
        text = await world.refused("DELETE", f"{path}/CUSTOM_NONE", status=NOT_FOUND)
        assert absent.format("CUSTOM_NONE") + "No such resource class CUSTOM_NONE." in text
        text = await world.refused("DELETE", f"{path}/VGPU", status=NOT_FOUND)
        assert absent.format("VGPU") + absent.format("VGPU").removesuffix(": ") in text
        claim = await world.claim(7, {host: {"CUSTOM_NONE": 1}})
        assert claim.status == BAD
        assert b"No such resource class CUSTOM_NONE." in claim.body


@in_loop
async def test_an_inventory_in_use_stays() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=4, VGPU=1)
        await world.claim(7, {host: {"VCPU": 1}})
        path = f"/resource_providers/{host}/inventories"
        in_use = f"Inventory for 'VCPU' on resource provider '{host}' in use."
        assert in_use in await world.refused("DELETE", path, status=CONFLICT)
        assert in_use in await world.refused("DELETE", f"{path}/VCPU", status=CONFLICT)
        fewer = {"resource_provider_generation": 2, "inventories": {"VGPU": {"total": 1}}}
        error = (await world.ask("PUT", path, fewer, status=CONFLICT))["errors"][0]
        assert in_use in error["detail"]
        assert error["code"] == "placement.inventory.inuse"
        await world.ask("DELETE", f"{path}/VGPU", status=NO_CONTENT)
        await world.refused("DELETE", f"{path}/VGPU", status=NOT_FOUND)
        assert await world.generation(host) == 3


@pytest.mark.parametrize("what", ["inventories", "inventories/VCPU", "traits", "aggregates"])
@in_loop
async def test_another_generation_is_a_conflict(what: str) -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=4)
        bodies: dict[str, dict[str, Any]] = {
            "inventories": {"inventories": {}},
            "inventories/VCPU": {"total": 5},
            "traits": {"traits": []},
            "aggregates": {"aggregates": []},
        }
        path = f"/resource_providers/{host}/{what}"
        error = (await world.ask("PUT", path, {**bodies[what], "resource_provider_generation": 7}, status=CONFLICT))[
            "errors"
        ]
        assert error[0]["code"] == "placement.concurrent_update"
        assert await world.generation(host) == 1


# ---- aggregates and traits -------------------------------------------------------------------------------------------


@in_loop
async def test_aggregates_have_generations_from_1_19_on() -> None:
    async with World(memory()) as world:
        host = await world.provider(1)
        path = f"/resource_providers/{host}/aggregates"
        assert await world.ask("PUT", path, [AGGREGATE], version="1.1") == {"aggregates": [AGGREGATE]}
        assert await world.generation(host) == 0
        body = {"aggregates": [AGGREGATE, NOBODY], "resource_provider_generation": 0}
        changed = await world.ask("PUT", path, body)
        assert changed == {"aggregates": [AGGREGATE, NOBODY], "resource_provider_generation": 1}
        assert await world.ask("GET", path) == changed
        found = (await world.ask("GET", f"/resource_providers?member_of={NOBODY}"))["resource_providers"]
        assert [one["uuid"] for one in found] == [host]
        twice = {"aggregates": [AGGREGATE, AGGREGATE], "resource_provider_generation": 1}
        assert "has non-unique elements" in await world.refused("PUT", path, twice, status=BAD)


@in_loop
async def test_traits_of_a_provider_are_replaced() -> None:
    async with World(memory()) as world:
        host = await world.provider(1)
        await world.ask("PUT", "/traits/CUSTOM_FAST", status=CREATED)
        path = f"/resource_providers/{host}/traits"
        body = {"traits": ["CUSTOM_FAST", "HW_CPU_X86_AVX2"], "resource_provider_generation": 0}
        changed = await world.ask("PUT", path, body)
        assert changed == {"traits": ["HW_CPU_X86_AVX2", "CUSTOM_FAST"], "resource_provider_generation": 1}
        same = await world.ask("PUT", path, {**body, "resource_provider_generation": 1})
        assert same["resource_provider_generation"] == 1
        unknown = {"traits": ["CUSTOM_NONE"], "resource_provider_generation": 1}
        assert "No such trait CUSTOM_NONE" in await world.refused("PUT", path, unknown, status=BAD)
        await world.ask("DELETE", path, status=NO_CONTENT)
        assert await world.ask("GET", path) == {"traits": [], "resource_provider_generation": 2}
        await world.ask("DELETE", path, status=NO_CONTENT)
        assert await world.generation(host) == 2


@pytest.mark.parametrize("what", ["inventories", "inventories/VCPU", "usages", "traits", "aggregates", "allocations"])
@in_loop
async def test_what_belongs_to_nobody_is_not_found(what: str) -> None:
    async with World(memory()) as world:
        text = await world.refused("GET", f"/resource_providers/{NOBODY}/{what}", status=NOT_FOUND)
        assert f"No resource provider with uuid {NOBODY} found" in text
