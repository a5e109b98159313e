"""Resource classes and traits: the standard ones, those that clients make, and which are in use."""

from __future__ import annotations

import re

import os_resource_classes
import os_traits
import pytest

from tenet.base.clock import ManualClock
from tests.unit.placement.world import World, in_loop, memory, uuid_of

OK, CREATED, NO_CONTENT, BAD, NOT_FOUND, CONFLICT = 200, 201, 204, 400, 404, 409


@in_loop
async def test_standard_names_come_first_in_the_order_of_their_packages() -> None:
    async with World(memory()) as world:
        await world.ask("PUT", "/resource_classes/CUSTOM_A", status=CREATED)
        await world.ask("PUT", "/traits/CUSTOM_A", status=CREATED)
        classes = [one["name"] for one in (await world.ask("GET", "/resource_classes"))["resource_classes"]]
        assert classes == [*os_resource_classes.STANDARDS, "CUSTOM_A"]
        assert (await world.ask("GET", "/traits"))["traits"] == [*os_traits.get_traits(), "CUSTOM_A"]


@pytest.mark.parametrize("kind", ["resource_classes", "traits"])
@in_loop
async def test_a_name_is_made_once_and_can_be_made_again(kind: str) -> None:
    async with World(memory()) as world:
        path = f"/{kind}/CUSTOM_A"
        await world.refused("GET", path, status=NOT_FOUND)
        made = await world.send("PUT", path)
        assert (made.status, dict(made.headers)["location"]) == (CREATED, f"https://cloud:8000/placement{path}")
        assert (await world.send("PUT", path)).status == NO_CONTENT
        assert (await world.send("GET", path)).status in {OK, NO_CONTENT}
        await world.ask("DELETE", path, status=NO_CONTENT)
        await world.refused("DELETE", path, status=NOT_FOUND)
        await world.refused("GET", path, status=NOT_FOUND)
        assert (await world.send("PUT", path)).status == CREATED


@pytest.mark.parametrize("kind", ["resource_classes", "traits"])
@pytest.mark.parametrize("name", ["custom", "CUSTOM_a", "CUSTOM_", "VCPUS", "CUSTOM_" + "A" * 250])
@in_loop
async def test_names_have_a_form(kind: str, name: str) -> None:
    async with World(memory()) as world:
        await world.refused("PUT", f"/{kind}/{name}", status=BAD)


@in_loop
async def test_standard_names_stay() -> None:
    async with World(memory()) as world:
        text = await world.refused("DELETE", "/resource_classes/VCPU", status=BAD)
        assert "Cannot delete standard resource class VCPU." in text
        text = await world.refused("DELETE", "/traits/HW_CPU_X86_AVX", status=BAD)
        assert "Cannot delete standard trait HW_CPU_X86_AVX." in text
        text = await world.refused("PUT", "/resource_classes/VCPU", {"name": "CUSTOM_A"}, status=BAD, version="1.2")
        assert "Cannot update standard resource class VCPU" in text


@in_loop
async def test_what_is_in_use_is_told_and_stays() -> None:
    async with World(memory()) as world:
        host = await world.provider(1)
        await world.ask("PUT", "/resource_classes/CUSTOM_A", status=CREATED)
        await world.ask("PUT", "/traits/CUSTOM_A", status=CREATED)
        await world.ask("PUT", "/traits/CUSTOM_B", status=CREATED)
        inventory = {"resource_class": "CUSTOM_A", "total": 1}
        await world.ask("POST", f"/resource_providers/{host}/inventories", inventory, status=CREATED)
        traits = {"traits": ["CUSTOM_A", "HW_CPU_X86_AVX"], "resource_provider_generation": 1}
        await world.ask("PUT", f"/resource_providers/{host}/traits", traits)
        text = await world.refused("DELETE", "/resource_classes/CUSTOM_A", status=CONFLICT)
        assert "Cannot delete resource class CUSTOM_A. Class is in use in inventory." in text
        text = await world.refused("DELETE", "/traits/CUSTOM_A", status=CONFLICT)
        assert "The trait CUSTOM_A is in use by a resource provider." in text
        assert (await world.ask("GET", "/traits?associated=true"))["traits"] == ["HW_CPU_X86_AVX", "CUSTOM_A"]
        others = (await world.ask("GET", "/traits?associated=false&name=startswith:CUSTOM_"))["traits"]
        assert others == ["CUSTOM_B"]
        await world.ask("DELETE", f"/resource_providers/{host}", status=NO_CONTENT)
        await world.ask("DELETE", "/resource_classes/CUSTOM_A", status=NO_CONTENT)
        await world.ask("DELETE", "/traits/CUSTOM_A", status=NO_CONTENT)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=in:CUSTOM_A,HW_CPU_X86_AVX,NONE", ["HW_CPU_X86_AVX", "CUSTOM_A"]),
        ("name=startswith:CUSTOM_", ["CUSTOM_A", "CUSTOM_B"]),
        ("name=in:NONE", []),
    ],
)
@in_loop
async def test_traits_are_found_by_name(query: str, found: list[str]) -> None:
    async with World(memory()) as world:
        for name in ("CUSTOM_B", "CUSTOM_A"):
            await world.ask("PUT", f"/traits/{name}", status=CREATED)
        assert (await world.ask("GET", f"/traits?{query}"))["traits"] == found


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("name=CUSTOM_A", "Badly formatted name parameter."),
        ("associated=perhaps", 'The query parameter "associated" only accepts "true" or "false"'),
        ("colour=red", "Invalid query string parameters: Additional properties are not allowed"),
    ],
)
@in_loop
async def test_filters_of_traits_have_a_form(query: str, words: str) -> None:
    async with World(memory()) as world:
        assert words in await world.refused("GET", f"/traits?{query}", status=BAD)


@in_loop
async def test_classes_are_made_and_renamed_as_older_versions_do() -> None:
    async with World(memory()) as world:
        body = {"name": "CUSTOM_A"}
        await world.ask("POST", "/resource_classes", body, status=CREATED, version="1.2")
        text = await world.refused("POST", "/resource_classes", body, status=CONFLICT)
        assert "Conflicting resource class already exists: CUSTOM_A" in text
        await world.ask("PUT", "/resource_classes/CUSTOM_A", {"name": "CUSTOM_B"}, version="1.6")
        await world.refused("GET", "/resource_classes/CUSTOM_A", status=NOT_FOUND)
        await world.ask("POST", "/resource_classes", body, status=CREATED)
        text = await world.refused(
            "PUT", "/resource_classes/CUSTOM_A", {"name": "CUSTOM_B"}, status=CONFLICT, version="1.6"
        )
        assert "Resource class already exists: CUSTOM_B" in text
        host = await world.provider(1)
        inventory = {"resource_class": "CUSTOM_A", "total": 1}
        await world.ask("POST", f"/resource_providers/{host}/inventories", inventory, status=CREATED)
        text = await world.refused(
            "PUT", "/resource_classes/CUSTOM_A", {"name": "CUSTOM_C"}, status=CONFLICT, version="1.6"
        )
        assert "is in use in inventory, and cannot be renamed" in text


@in_loop
async def test_two_providers_use_a_name() -> None:
    async with World(memory()) as world:
        await world.ask("PUT", "/traits/CUSTOM_A", status=CREATED)
        for number in (1, 2):
            host = await world.provider(number)
            body = {"traits": ["CUSTOM_A"], "resource_provider_generation": 0}
            await world.ask("PUT", f"/resource_providers/{host}/traits", body)
        await world.ask("DELETE", f"/resource_providers/{uuid_of(1)}/traits", status=NO_CONTENT)
        await world.refused("DELETE", "/traits/CUSTOM_A", status=CONFLICT)
        await world.ask("DELETE", f"/resource_providers/{uuid_of(2)}/traits", status=NO_CONTENT)
        await world.ask("DELETE", "/traits/CUSTOM_A", status=NO_CONTENT)


@in_loop
async def test_a_custom_name_tells_when_it_was_made() -> None:
    clock = ManualClock(1_700_000_000_000)
    async with World(memory(clock), clock=clock) as world:
        await world.ask("PUT", "/traits/CUSTOM_A", status=CREATED)
        clock.advance_ms(3_600_000)
        shown = dict((await world.send("GET", "/traits/CUSTOM_A")).headers)
        assert shown["last-modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
        standard = dict((await world.send("GET", "/traits/HW_CPU_X86_AVX")).headers)
        assert standard["last-modified"] == "Tue, 14 Nov 2023 23:13:20 GMT"


LONGEST = "CUSTOM_" + "A" * (255 - len("CUSTOM_"))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/allocation_candidates?resources=VCPU:1&required={}"),
        ("GET", "/allocation_candidates?resources={}:1"),
        ("GET", "/resource_providers?required={}"),
        ("GET", "/resource_providers?resources={}:1"),
        ("GET", "/traits/{}"),
        ("DELETE", "/traits/{}"),
        ("GET", "/resource_classes/{}"),
        ("DELETE", "/resource_classes/{}"),
    ],
)
@in_loop
async def test_a_name_that_is_longer_than_any_is_answered_as_one_that_nobody_has_made(method: str, path: str) -> None:
    async with World(memory()) as world:
        told = set()
        # The last of them is longer than a key of the store.
        for chars in (0, 1, 45, 16_745):
            name = LONGEST + "A" * chars
            answer = await world.send(method, path.format(name))
            text = answer.body.decode().replace(name, "NAME")
            told.add((answer.status, re.sub(r'"request_id":"[^"]*"', "", text)))
        ((status, text),) = told
        assert status in {BAD, NOT_FOUND}
        assert "NAME" in text


@in_loop
async def test_the_longest_name_can_be_made_and_asked_for() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=1)
        for kind in ("traits", "resource_classes"):
            await world.ask("PUT", f"/{kind}/{LONGEST}", status=CREATED)
            assert (await world.send("GET", f"/{kind}/{LONGEST}")).status < BAD
        body = {"resource_provider_generation": 1, "traits": [LONGEST]}
        await world.ask("PUT", f"/resource_providers/{host}/traits", body)
        found = await world.ask("GET", f"/resource_providers?required={LONGEST}")
        assert [one["uuid"] for one in found["resource_providers"]] == [host]
