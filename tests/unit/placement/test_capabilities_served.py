"""Capabilities over the service: recorded with a generation, claimed by, told of in refusals, checked at the commit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tenet.placement import keys
from tenet.placement.ops.auditing import audit
from tenet.placement.rules.openapi import openapi_document
from tenet.store.contract import Delete, Put
from tenet.store.memory_state import MemoryState
from tests.unit.placement.test_auditing import write
from tests.unit.placement.test_claiming import (
    BAD,
    CONFLICT,
    NO_CONTENT,
    NOT_FOUND,
    OK,
    before_the_commit,
    claim_of,
    claimed,
    hosts_in,
    why_not,
)
from tests.unit.placement.world import World, in_loop, memory, uuid_of

DRIVER: dict[str, Any] = {"driver_version": {"version": "550.54.15"}, "cpu_flags": {"set": ["avx", "avx512f"]}}
OLD: dict[str, Any] = {"driver_version": {"version": "535.129.3"}, "cpu_flags": {"set": ["avx"]}}


def path_of(number: int) -> str:
    return f"/v1/resource-providers/{uuid_of(number)}/capabilities"


async def record(world: World, number: int, capabilities: Any) -> Any:
    """Records capabilities; returns the answer, whose shape is checked."""
    generation = await world.generation(uuid_of(number))
    body = {"resource_provider_generation": generation, "capabilities": capabilities}
    answer = await world.ask("PUT", path_of(number), body)
    responses = openapi_document()["paths"]["/v1/resource-providers/{uuid}/capabilities"]["put"]["responses"]
    Draft202012Validator(responses["200"]["content"]["application/json"]["schema"]).validate(answer)
    assert answer == await world.ask("GET", path_of(number))
    return answer


def asking(capabilities: Any, **more: Any) -> dict[str, Any]:
    return {"groups": [{"resources": {"VCPU": 1}, "capabilities": capabilities, **more}]}


@in_loop
async def test_they_are_recorded_with_a_generation() -> None:
    async with World(memory()) as world:
        await world.provider(1, VCPU=2)
        empty = await world.ask("GET", path_of(1))
        assert empty == {"resource_provider_generation": 1, "capabilities": {}}
        answer = await record(world, 1, DRIVER)
        assert answer == {"resource_provider_generation": 2, "capabilities": DRIVER}
        assert await world.generation(uuid_of(1)) == 2
        stale = {"resource_provider_generation": 1, "capabilities": {}}
        text = await world.refused("PUT", path_of(1), stale, status=CONFLICT)
        assert "generation already changed" in text
        assert (await world.ask("GET", path_of(1))) == answer
        # The same again changes nothing, and says so.
        assert (await record(world, 1, DRIVER))["resource_provider_generation"] == 2
        assert (await record(world, 1, {})) == {"resource_provider_generation": 3, "capabilities": {}}
        for method, body in (("GET", None), ("PUT", stale)):
            assert uuid_of(9) in await world.refused(method, path_of(9), body, status=NOT_FOUND)


@in_loop
async def test_of_many_writers_of_one_generation_one_wins() -> None:
    async with World(memory()) as world:
        await world.provider(1)
        bodies = [
            {"resource_provider_generation": 0, "capabilities": {"slot": {"integer": number}}} for number in range(8)
        ]
        answers = await asyncio.gather(*(world.send("PUT", path_of(1), body) for body in bodies))
        assert sorted(one.status for one in answers) == [OK] + [CONFLICT] * 7
        (winner,) = [number for number, one in enumerate(answers) if one.status == OK]
        assert (await world.ask("GET", path_of(1)))["capabilities"] == {"slot": {"integer": winner}}


@pytest.mark.parametrize(
    ("capabilities", "text"),
    [
        ({"Driver": {"integer": 1}}, "'Driver' does not match"),
        ({"driver": {"version": "1.0-rc1"}}, "'1.0-rc1' does not match"),
        ({"driver": {"integer": "1"}}, "'1' is not of type 'integer'"),
        ({"driver": {"flag": True}}, "'flag' was unexpected"),
        ({"flags": {"set": ["a"] * 2}}, "has non-unique elements"),
        ({f"x{number}": {"integer": 1} for number in range(65)}, "has too many properties"),
        ({f"x{at}": {"set": [f"{n:0100}" for n in range(512)]} for at in range(2)}, "they may have 65536"),
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(capabilities: Any, text: str) -> None:
    @in_loop
    async def run() -> None:
        async with World(memory()) as world:
            await world.provider(1)
            body = {"resource_provider_generation": 0, "capabilities": capabilities}
            assert text in await world.refused("PUT", path_of(1), body, status=BAD)
            assert (await world.ask("GET", path_of(1)))["capabilities"] == {}
            assert await world.generation(uuid_of(1)) == 0

    run()


@pytest.mark.parametrize(
    ("asked", "hosts"),
    [
        ({"driver_version": {">=": "550.54"}}, {2}),
        ({"driver_version": {"<": "550"}}, {1}),
        ({"driver_version": {">=": "535"}, "cpu_flags": {"contains": ["avx"]}}, {1, 2}),
        ({"cpu_flags": {"contains": ["avx512f"]}}, {2}),
        ({"cores": {">": 60, "<=": 64}}, {3}),
        ({"model": {"in": ["U46", "U47"]}}, {3}),
        ({"model": {"!=": "U47"}}, {3}),
    ],
)
def test_claims_compare_them(asked: Any, hosts: set[int]) -> None:
    @in_loop
    async def run() -> None:
        async with World(memory()) as world:
            for number in range(1, 5):
                await world.provider(number, VCPU=1)
            await record(world, 1, OLD)
            await record(world, 2, DRIVER)
            await record(world, 3, {"cores": {"integer": 64}, "model": {"string": "U46"}})
            found: set[str] = set()
            for consumer in range(10, 10 + len(hosts)):
                found |= set(hosts_in(await claimed(world, claim_of(consumer, request=asking(asked)))))
            assert found == {uuid_of(number) for number in hosts}
            told = await why_not(world, claim_of(30, request=asking(asked)))
            (condition, *_) = [one for one in told["conditions"] if one["condition"] == "capabilities"]
            assert condition["met_by_providers"] == len(hosts)
            assert condition["left"] == 0

    run()


@in_loop
async def test_a_refusal_says_which_capability_nobody_has() -> None:
    async with World(memory()) as world:
        for number in range(1, 4):
            await world.provider(number, VCPU=4)
            await record(world, number, OLD)
        asked = {"driver_version": {">=": "550.54"}, "cpu_flags": {"contains": ["avx"]}}
        told = await why_not(world, claim_of(7, request=asking(asked)))
        assert told["missing"] == ["capability driver_version >= 550.54"]
        assert [(one["condition"], one["met_by_providers"], one["left"]) for one in told["conditions"]] == [
            ("resources", 3, 3),
            ("capabilities", 0, 0),
            ("capabilities", 3, 0),
        ]
        assert told["is_exhaustive"]


@in_loop
async def test_the_group_without_a_suffix_has_them_among_its_providers_and_another_at_its_own() -> None:
    """The driver is that of the device, not of the host: both are in the group without a suffix."""
    async with World(memory()) as world:
        await world.provider(1, VCPU=4)
        await world.provider(2, parent=1, VGPU=4)
        await record(world, 2, DRIVER)
        wanted = {"driver_version": {">=": "550"}}
        both = {"groups": [{"resources": {"VCPU": 1, "VGPU": 1}, "capabilities": wanted}]}
        answer = await claimed(world, claim_of(7, request=both))
        assert set(answer["consumers"][uuid_of(7)]["allocations"]) == {uuid_of(1), uuid_of(2)}
        await why_not(world, claim_of(8, request=asking(wanted)))
        await why_not(world, claim_of(8, request=asking(wanted, suffix="_a")))
        device = {"groups": [{"suffix": "_a", "resources": {"VGPU": 1}, "capabilities": wanted}]}
        assert hosts_in(await claimed(world, claim_of(8, request=device))) == [uuid_of(2)]
        # One value has to meet all that is asked of it: two that meet a part each do not.
        await record(world, 1, OLD)
        between = {"driver_version": {">=": "540", "<": "550"}}
        both["groups"][0]["capabilities"] = between
        await why_not(world, claim_of(9, request=both))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"capabilities": {"driver": {">=": "new"}}}, "groups[0].capabilities.driver: '>=' compares whole numbers"),
        ({"capabilities": {"driver": {"~": 1}}}, "'~' was unexpected"),
        ({"capabilities": {}}, "should be non-empty|does not have enough properties"),
        ({"capabilities": {"Driver": {"==": 1}}}, "'Driver' does not match"),
        (
            {"resources": {}, "suffix": "_a", "capabilities": {"driver": {"==": 1}}},
            "groups[0] has `capabilities`, and neither `resources` nor `required` nor `member_of`.",
        ),
    ],
)
def test_a_claim_that_makes_no_sense_is_refused(change: dict[str, Any], text: str) -> None:
    @in_loop
    async def run() -> None:
        async with World(memory()) as world:
            await world.provider(1, VCPU=4)
            request = {"groups": [{"resources": {"VCPU": 1}, **change}]}
            given = await world.refused("POST", "/v1/claims", claim_of(7, request=request), status=BAD)
            assert any(part in given for part in text.split("|")), given
            assert await world.used(uuid_of(1)) == {"VCPU": 0}

    run()


@in_loop
async def test_a_request_compares_so_many_in_all_its_groups() -> None:
    async with World(memory()) as world:
        await world.provider(1, VCPU=4)
        groups = [
            {
                "suffix": f"_{at}",
                "resources": {"VCPU": 1},
                "capabilities": {f"x{number}": {"==": 1} for number in range(17)},
            }
            for at in range(2)
        ]
        body = claim_of(7, request={"groups": groups, "group_policy": "none"})
        text = await world.refused("POST", "/v1/claims", body, status=BAD)
        assert "the groups ask for 34 capabilities; they may ask for 32." in text
        for group in body["request"]["groups"]:
            del group["capabilities"]["x16"]
        await why_not(world, body)


@in_loop
async def test_a_node_that_is_behind_grants_by_what_is_true() -> None:
    """Another node has recorded an older driver, of which this one hears nothing: it reads again and chooses anew."""
    state = MemoryState()
    async with World(memory(state=state)) as other:
        for number in (1, 2):
            await other.provider(number, VCPU=8)
            await record(other, number, DRIVER)
        async with World(memory(state=state)) as behind:
            await record(other, 1, OLD)
            wanted = asking({"driver_version": {">=": "550"}})
            for consumer in range(7, 15):
                assert hosts_in(await claimed(behind, claim_of(consumer, request=wanted))) == [uuid_of(2)]
            await why_not(behind, claim_of(20, request=wanted))


@in_loop
async def test_a_capability_that_changes_before_the_commit_is_not_granted_by() -> None:
    async with World(memory()) as world:
        await world.provider(1, VCPU=8)
        await record(world, 1, DRIVER)

        async def downgrade() -> None:
            await record(world, 1, OLD)

        with pytest.MonkeyPatch.context() as patch:
            before_the_commit(patch, downgrade)
            await why_not(world, claim_of(7, request=asking({"driver_version": {">=": "550"}})))
        assert await world.used(uuid_of(1)) == {"VCPU": 0}


@in_loop
async def test_another_node_takes_them_in_and_a_new_one_loads_them() -> None:
    state = MemoryState()
    async with World(memory(state=state), is_shared=True) as one:
        await one.provider(1, VCPU=8)
        async with World(memory(state=state), is_shared=True) as other:
            await record(one, 1, DRIVER)
            for _ in range(500):
                known = other.keeper.fleet.get(uuid_of(1))
                if known is not None and known.capabilities:
                    break
                await asyncio.sleep(0.01)
            wanted = asking({"driver_version": {"==": "550.54.15"}})
            assert hosts_in(await claimed(other, claim_of(7, request=wanted))) == [uuid_of(1)]
        async with World(memory(state=state), is_shared=True) as new:
            assert hosts_in(await claimed(new, claim_of(8, request=wanted))) == [uuid_of(1)]


@in_loop
async def test_they_go_with_their_provider() -> None:
    async with World(memory()) as world:
        await world.provider(1)
        await record(world, 1, DRIVER)
        await world.ask("DELETE", f"/resource_providers/{uuid_of(1)}", status=NO_CONTENT)
        assert (await audit(world.store)).count == 0
        await world.provider(1)
        assert await world.ask("GET", path_of(1)) == {"resource_provider_generation": 0, "capabilities": {}}


@in_loop
async def test_openstack_clients_see_nothing_of_them_and_keep_them() -> None:
    async with World(memory()) as world:
        await world.provider(1, VCPU=2)
        await record(world, 1, DRIVER)
        generation = await world.generation(uuid_of(1))
        url = f"/resource_providers/{uuid_of(1)}"
        await world.ask(
            "PUT", f"{url}/traits", {"traits": ["HW_CPU_X86_AVX"], "resource_provider_generation": generation}
        )
        await world.ask("PUT", url, {"name": "renamed", "parent_provider_uuid": None})
        assert (await world.ask("GET", path_of(1)))["capabilities"] == DRIVER
        shown = await world.ask("GET", url)
        assert shown.keys() == {
            "uuid",
            "name",
            "generation",
            "links",
            "parent_provider_uuid",
            "root_provider_uuid",
        }
        found = await world.ask("GET", "/allocation_candidates?resources=VCPU:1")
        assert set(found["provider_summaries"][uuid_of(1)]) == {
            "resources",
            "traits",
            "parent_provider_uuid",
            "root_provider_uuid",
        }


@pytest.mark.parametrize(
    ("wrong", "kinds"),
    [
        (Put(keys.capabilities_key(uuid_of(1)), b"\x01?"), {"unreadable"}),
        (
            Put(keys.capabilities_key(uuid_of(5)), b"\x01\x81\xa1x\x81\xa7integer\x01"),
            {"provider-missing"},
        ),
        (Delete(keys.capabilities_key(uuid_of(1))), set()),
    ],
)
def test_the_auditor_knows_their_record(wrong: Put | Delete, kinds: set[str]) -> None:
    @in_loop
    async def run() -> None:
        async with World(memory()) as world:
            await world.provider(1)
            await record(world, 1, DRIVER)
            assert (await audit(world.store)).count == 0
            await write(world.store, wrong)
            assert {finding.kind for finding in (await audit(world.store)).findings} == kinds

    run()


@in_loop
async def test_a_provider_whose_capabilities_cannot_be_read_is_left_out_and_others_are_not() -> None:
    state = MemoryState()
    async with World(memory(state=state)) as world:
        for number in (1, 2):
            await world.provider(number, VCPU=8)
        await write(world.store, Put(keys.capabilities_key(uuid_of(1)), b"\x01?"))
    async with World(memory(state=state)) as world:
        for consumer in range(7, 12):
            assert hosts_in(await claimed(world, claim_of(consumer))) == [uuid_of(2)]
