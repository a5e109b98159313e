"""Selecting and claiming in one call: all or nothing, the same answer again, and never more than there is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any, cast

import orjson
import pytest
from jsonschema import Draft202012Validator

from tenet.base.clock import SystemClock
from tenet.placement.ops.auditing import audit
from tenet.placement.ops.committing import Committer, Plan
from tenet.placement.routes import ROUTES
from tenet.placement.rules.openapi import openapi_document
from tenet.store.contract import Engine
from tenet.store.faulty import NO_FAULTS, CallFaults, FaultPlan, Faulty
from tenet.store.memory_state import MemoryState
from tenet.store.sqlite.engine import open_engine
from tests.counting import Counting, tallied
from tests.unit.placement.test_claims import PLAN, every_use
from tests.unit.placement.world import IDS, World, in_loop, memory, uuid_of

OK, CREATED, NO_CONTENT, BAD, NOT_FOUND, CONFLICT, UNAVAILABLE = 200, 201, 204, 400, 404, 409, 503
ONE_CPU: dict[str, Any] = {"groups": [{"resources": {"VCPU": 1}}]}


def claim_of(*consumers: int, request: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Returns the body of a claim."""
    return {
        "consumers": [{"uuid": uuid_of(one), "project_id": "project", "user_id": "user"} for one in consumers],
        "request": deepcopy(request or ONE_CPU),
        **more,
    }


def hosts_in(answer: dict[str, Any]) -> list[str]:
    """Returns the provider of each consumer, which takes from one."""
    return [uuid for one in answer["consumers"].values() for uuid in one["allocations"]]


async def in_racks(world: World, racks: dict[int, str], **inventories: Any) -> None:
    """Makes hosts by number, in racks by name."""
    for number, rack in racks.items():
        host = await world.provider(number, **inventories)
        await world.send("PUT", f"/traits/CUSTOM_RACK_{rack}")
        generation = await world.generation(host)
        body = {"traits": [f"CUSTOM_RACK_{rack}"], "resource_provider_generation": generation}
        await world.ask("PUT", f"/resource_providers/{host}/traits", body)


def checked(answer: Any, path: str, method: str, status: int) -> Any:
    """Checks an answer against the OpenAPI document that is served."""
    responses = openapi_document()["paths"][path][method]["responses"]
    schema = responses[str(status)]["content"]["application/json"]["schema"]
    Draft202012Validator(schema).validate(answer)
    return answer


async def claimed(world: World, body: Any, *, status: int = CREATED, **more: str) -> Any:
    """Sends a claim that has to be answered with a status."""
    return checked(await world.ask("POST", "/v1/claims", body, status=status, **more), "/v1/claims", "post", status)


async def why_not(world: World, body: Any) -> dict[str, Any]:
    """Sends a claim for which there is no place; returns why."""
    (error,) = (await claimed(world, body, status=CONFLICT))["errors"]
    assert error["code"] == "placement.claim.no_place"
    told: dict[str, Any] = error["why_not"]
    return told


@in_loop
async def test_a_claim_is_an_allocation() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=2)
        answer = await claimed(world, claim_of(7))
        assert answer["consumers"][uuid_of(7)]["allocations"] == {host: {"resources": {"VCPU": 1}}}
        assert answer["consumers"][uuid_of(7)]["mappings"] == {"": [host]}
        assert answer["consumers"][uuid_of(7)]["reason"]["domains"] == {"host": [host]}
        assert await world.used(host) == {"VCPU": 1}
        usages = await world.ask("GET", "/usages?project_id=project")
        assert usages["usages"] == {"unknown": {"VCPU": 1, "consumer_count": 1}}
        shown = await world.ask("GET", f"/v1/claims/{uuid_of(7)}")
        checked(shown, "/v1/claims/{consumer_uuid}", "get", OK)
        assert shown == {**answer, "held": {uuid_of(7): True}, "states": {uuid_of(7): "held"}}
        await every_use(world)


@in_loop
async def test_the_same_request_gets_the_first_answer() -> None:
    async with World(memory()) as world:
        hosts = [await world.provider(number, VCPU=4) for number in range(1, 9)]
        body = claim_of(7, 8)
        first = await claimed(world, body)
        for _ in range(5):
            assert await claimed(world, body, status=OK) == first
        used = [(await world.used(host))["VCPU"] for host in hosts]
        assert sum(used) == 2


@in_loop
async def test_the_first_answer_is_given_again_where_the_request_would_be_refused_by_now() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=2)
        body = claim_of(7)
        first = await claimed(world, body)
        await claimed(world, claim_of(8))
        assert await claimed(world, body, status=OK) == first, "there is no place any more"
        assert (await world.send("DELETE", f"/allocations/{uuid_of(7)}")).status == NO_CONTENT
        quota = {"resources": {"VCPU": 1}}
        await world.ask("PUT", "/v1/quotas/project", quota)
        assert await claimed(world, body, status=OK) == first, "its project may have no more"
        (error,) = (await claimed(world, claim_of(9), status=403))["errors"]
        assert error["code"] == "placement.quota.exceeded"
        assert await world.used(host) == {"VCPU": 1}
        await every_use(world)


@in_loop
async def test_the_first_answer_is_given_again_where_nothing_can_be_written_by_now() -> None:
    store = Faulty(memory(), NO_FAULTS, seed=1, clock=SystemClock())
    async with World(store) as world:
        host = await world.provider(1, VCPU=2)
        first = await claimed(world, claim_of(7))
        store._plan = FaultPlan(methods={"commit": CallFaults(unavailable=1.0)})
        assert await claimed(world, claim_of(7), status=OK) == first
        assert (await world.send("POST", "/v1/claims", claim_of(8))).status == UNAVAILABLE
        store._plan = NO_FAULTS
        await claimed(world, claim_of(8))
        assert await world.used(host) == {"VCPU": 2}
        await every_use(world)


@in_loop
async def test_nobody_is_told_that_there_is_no_place_before_it_is_known_that_he_has_none() -> None:
    store = Faulty(memory(), NO_FAULTS, seed=1, clock=SystemClock())
    async with World(store) as world:
        await world.provider(1, VCPU=1)
        first = await claimed(world, claim_of(7))
        store._plan = FaultPlan(methods={"get": CallFaults(unavailable=1.0)})
        assert (await world.send("POST", "/v1/claims", claim_of(7))).status == UNAVAILABLE
        store._plan = NO_FAULTS
        assert await claimed(world, claim_of(7), status=OK) == first


@in_loop
async def test_a_consumer_that_was_claimed_for_before_costs_a_read_and_a_commit_more() -> None:
    store = Counting(memory())
    async with World(cast("Engine", store)) as world:
        host = await world.provider(1, VCPU=2)
        await claimed(world, claim_of(7))
        assert (await world.send("DELETE", f"/allocations/{uuid_of(7)}")).status == NO_CONTENT
        assert world.opened is not None
        choices = world.opened.context.counts.claim_choices
        with tallied() as tally:
            await claimed(world, claim_of(7, attempt=1))
        assert dict(tally.trips) == {"get": 2, "commit": 2}, "of the consumer, and of what its project has"
        assert choices.total == 2, "one choice a claim"
        assert await world.used(host) == {"VCPU": 1}
        await every_use(world)


@in_loop
async def test_a_request_that_comes_many_times_at_once_lands_once() -> None:
    async with World(memory()) as world:
        hosts = [await world.provider(number, VCPU=4) for number in range(1, 9)]
        sent = [world.send("POST", "/v1/claims", claim_of(7, 8)) for _ in range(8)]
        answers = await asyncio.gather(*sent)
        assert sorted(one.status for one in answers) == [OK] * 7 + [CREATED]
        assert len({one.body for one in answers}) == 1
        assert sum([(await world.used(host))["VCPU"] for host in hosts]) == 2


@in_loop
async def test_a_consumer_is_claimed_for_once() -> None:
    async with World(memory()) as world:
        await world.provider(1, VCPU=4)
        await claimed(world, claim_of(7))
        for other in (claim_of(7, attempt=1), claim_of(7, 8), claim_of(8, 7)):
            (error,) = (await claimed(world, other, status=CONFLICT))["errors"]
            assert error["code"] == "placement.claim.claimed_otherwise"
        assert (await world.send("DELETE", f"/allocations/{uuid_of(7)}")).status == NO_CONTENT
        # A retry that comes late gets what the first got, and claims nothing.
        late = await claimed(world, claim_of(7), status=OK)
        assert (await world.ask("GET", f"/v1/claims/{uuid_of(7)}"))["held"] == {uuid_of(7): False}
        again = await claimed(world, claim_of(7, attempt=1))
        assert again["claim"] != late["claim"]
        assert (await world.ask("GET", f"/v1/claims/{uuid_of(7)}"))["claim"] == again["claim"]


@in_loop
async def test_what_others_allocated_is_not_claimed_over() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=4)
        assert (await world.claim(7, {host: {"VCPU": 1}})).status == NO_CONTENT
        (error,) = (await claimed(world, claim_of(7), status=CONFLICT))["errors"]
        assert error["code"] == "placement.claim.claimed_otherwise"
        assert await world.ask("GET", f"/v1/claims/{uuid_of(7)}", status=NOT_FOUND)


@pytest.mark.parametrize("claimants", [1, 3])
@in_loop
async def test_claims_fill_a_fleet_exactly(claimants: int) -> None:
    """Twice as much as there is is asked for at once."""
    async with World(memory()) as world:
        hosts = [await world.provider(number, VCPU=3) for number in range(1, 5)]
        bodies = [claim_of(*range(1000 + 10 * one, 1000 + 10 * one + claimants)) for one in range(24 // claimants)]
        answers = await asyncio.gather(*(world.send("POST", "/v1/claims", body) for body in bodies))
        assert sorted(one.status for one in answers) == [CREATED] * (12 // claimants) + [CONFLICT] * (12 // claimants)
        assert [(await world.used(host))["VCPU"] for host in hosts] == [3] * 4
        await every_use(world)


@in_loop
async def test_a_gang_is_placed_as_a_whole_or_not_at_all() -> None:
    async with World(memory()) as world:
        hosts = [await world.provider(number, VCPU=2) for number in range(1, 3)]
        told = await why_not(world, claim_of(*range(10, 15)))
        assert (told["placed_before"], told["is_exhaustive"]) == (4, False)
        assert told["filters"] == [{"filter": "room beside the gang", "removed_candidates": 2, "removed_providers": 2}]
        assert [(await world.used(host))["VCPU"] for host in hosts] == [0, 0]
        await claimed(world, claim_of(*range(10, 14)))
        assert [(await world.used(host))["VCPU"] for host in hosts] == [2, 2]


@in_loop
async def test_a_gang_finds_the_order_in_which_it_fits() -> None:
    """The large one is last in the request, and fits on one host only as long as the small ones are elsewhere."""
    async with World(memory()) as world:
        await world.provider(1, VCPU=4)
        await world.provider(2, VCPU=2)
        for attempt in range(8):
            body = claim_of(*(100 * attempt + one for one in range(10, 13)))
            body["consumers"][2]["request"] = {"groups": [{"resources": {"VCPU": 4}}]}
            await claimed(world, body)
            for one in body["consumers"]:
                await world.send("DELETE", f"/allocations/{one['uuid']}")


# ---- failure domains -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("over", "most"), [("host", 4), ("rack", 2)])
@in_loop
async def test_a_gang_is_spread(over: str, most: int) -> None:
    async with World(memory()) as world:
        await in_racks(world, {1: "A", 2: "A", 3: "B", 4: "B"}, VCPU=10)
        gang = range(10, 10 + most)
        answer = await claimed(world, claim_of(*gang, spread=[{"over": over}]))
        domains = [one["reason"]["domains"][over] for one in answer["consumers"].values()]
        assert len({one for (one,) in domains}) == most
        told = await why_not(world, claim_of(*range(20, 21 + most), anti_affinity=[{"over": over}]))
        assert [one["filter"] for one in told["filters"]] == [f"spread({over})"]
        await claimed(world, claim_of(*range(30, 30 + 2 * most), spread=[{"over": over, "at_most": 2}]))


@in_loop
async def test_a_gang_stays_together_where_it_fits() -> None:
    """Only one of four racks has room for all; the choice of the first one is random."""
    async with World(memory()) as world:
        await in_racks(world, {1: "A", 2: "B", 3: "C"}, VCPU=2)
        await in_racks(world, {4: "D", 5: "D"}, VCPU=3)
        answer = await claimed(world, claim_of(*range(10, 16), affinity=[{"over": "rack"}]))
        assert sorted(hosts_in(answer)) == [uuid_of(4)] * 3 + [uuid_of(5)] * 3
        told = await why_not(world, claim_of(*range(20, 23), affinity=[{"over": "rack"}]))
        assert told["placed_before"] == 2


@in_loop
async def test_near_to_some_and_far_from_others() -> None:
    async with World(memory()) as world:
        await in_racks(world, {1: "A", 2: "A", 3: "B", 4: "C"}, VCPU=10)
        for consumer, host in ((70, 1), (71, 3)):
            assert (await world.claim(consumer, {uuid_of(host): {"VCPU": 1}})).status == NO_CONTENT
        near = [{"over": "rack", "consumers": [uuid_of(70)]}]
        far = [{"over": "host", "consumers": [uuid_of(70)]}]
        answer = await claimed(world, claim_of(10, affinity=near, anti_affinity=far))
        assert hosts_in(answer) == [uuid_of(2)]
        both = [{"over": "rack", "consumers": [uuid_of(70), uuid_of(71)]}]
        assert hosts_in(await claimed(world, claim_of(11, anti_affinity=both))) == [uuid_of(4)]
        told = await why_not(world, claim_of(12, affinity=both))
        assert told["filters"] == [{"filter": "affinity(rack)", "removed_candidates": 4, "removed_providers": 4}]
        assert told["is_exhaustive"]
        nobody = [{"over": "rack", "consumers": [uuid_of(99)]}]
        await why_not(world, claim_of(13, affinity=nobody))
        await claimed(world, claim_of(13, anti_affinity=nobody))


@in_loop
async def test_two_that_keep_apart_do_so_when_they_come_at_once() -> None:
    """Each knows of the other by its uuid alone, before either is placed."""
    async with World(memory()) as world:
        for number in (1, 2):
            await world.provider(number, VCPU=1000)
        for base in range(100, 400, 10):
            pair = [
                claim_of(base, anti_affinity=[{"over": "host", "consumers": [uuid_of(base + 1)]}]),
                claim_of(base + 1, anti_affinity=[{"over": "host", "consumers": [uuid_of(base)]}]),
            ]
            first, second = await asyncio.gather(*(claimed(world, body) for body in pair))
            assert hosts_in(first) != hosts_in(second)


@in_loop
async def test_a_host_in_no_known_rack_is_not_chosen_by_rack() -> None:
    async with World(memory()) as world:
        await world.provider(1, VCPU=4)
        told = await why_not(world, claim_of(10, spread=[{"over": "rack"}]))
        assert told["filters"][0]["filter"] == "spread(rack)"


@in_loop
async def test_the_rack_of_a_part_is_that_of_its_host() -> None:
    async with World(memory()) as world:
        await in_racks(world, {1: "A", 2: "B"})
        for host in (1, 2):
            await world.provider(host + 10, parent=host, VCPU=4)
        answer = await claimed(world, claim_of(20, 21, spread=[{"over": "rack"}]))
        assert sorted(hosts_in(answer)) == [uuid_of(11), uuid_of(12)]


# ---- filters and weighers --------------------------------------------------------------------------------------------


@in_loop
async def test_filters_say_what_they_removed() -> None:
    async with World(memory()) as world:
        await in_racks(world, {1: "A", 2: "A", 3: "B", 4: "C"}, VCPU=10)
        filters = [
            {"name": "domains", "parameters": {"except": ["C"]}},
            {"name": "providers", "parameters": {"except": ["provider-3"]}},
            {"name": "headroom", "parameters": {"share": 0.5}},
        ]
        six = {"groups": [{"resources": {"VCPU": 6}}]}
        told = await why_not(world, claim_of(10, request=six, filters=filters))
        assert told["filters"] == [
            {"filter": "domains", "removed_candidates": 1, "removed_providers": 1},
            {"filter": "providers", "removed_candidates": 1, "removed_providers": 1},
            {"filter": "headroom", "removed_candidates": 2, "removed_providers": 2},
        ]
        five = {"groups": [{"resources": {"VCPU": 5}}]}
        answer = await claimed(world, claim_of(10, request=five, filters=filters))
        assert hosts_in(answer)[0] in {uuid_of(1), uuid_of(2)}


@pytest.mark.parametrize(
    ("weighers", "expected"),
    [
        ([{"name": "bin-packing"}], 2),
        ([{"name": "spreading"}], 3),
        ([{"name": "bin-packing", "multiplier": -1}], 3),
        ([{"name": "cost", "parameters": {"per_unit": {"VCPU": 1}, "factors": {"CUSTOM_RACK_A": 0.5}}}], 1),
        ([{"name": "random-of-k", "parameters": {"k": 3}}, {"name": "bin-packing"}], 2),
        ([{"name": "spreading"}, {"name": "bin-packing", "multiplier": 3}], 2),
    ],
)
@in_loop
async def test_weighers_decide(weighers: list[dict[str, Any]], expected: int) -> None:
    async with World(memory()) as world:
        await in_racks(world, {1: "A", 2: "B", 3: "C"}, VCPU=10)
        for consumer, host, amount in ((70, 1, 3), (71, 2, 6)):
            await world.claim(consumer, {uuid_of(host): {"VCPU": amount}})
        answer = await claimed(world, claim_of(10, weighers=weighers))
        assert hosts_in(answer) == [uuid_of(expected)]
        assert answer["consumers"][uuid_of(10)]["reason"]["weighers"].keys() == {one["name"] for one in weighers}


@in_loop
async def test_without_weighers_the_choice_is_random() -> None:
    async with World(memory()) as world:
        for number in range(1, 5):
            await world.provider(number, VCPU=1000)
        hosts = {hosts_in(await claimed(world, claim_of(100 + one)))[0] for one in range(60)}
        assert len(hosts) == 4


# ---- why not ---------------------------------------------------------------------------------------------------------


@in_loop
async def test_it_says_what_was_missing() -> None:
    async with World(memory()) as world:
        await in_racks(world, {1: "A", 2: "A", 3: "B"}, VCPU=4, MEMORY_MB=100)
        asked = {"groups": [{"resources": {"VCPU": 5, "MEMORY_MB": 50}, "required": ["CUSTOM_RACK_A"]}]}
        told = await why_not(world, claim_of(10, request=asked))
        assert told["missing"] == ["resource VCPU: 5 wanted; the most that one provider can give is 4"]
        assert (told["providers"], told["candidates"]) == (3, 0)
        asked["groups"][0]["resources"] = {"VCPU": 4}
        asked["groups"][0]["required"] = ["CUSTOM_RACK_A", "HW_CPU_X86_AVX"]
        told = await why_not(world, claim_of(10, request=asked))
        assert told["missing"] == ["trait HW_CPU_X86_AVX"]
        assert [(one["condition"], one["met_by_providers"], one["removed_providers"], one["left"])
                for one in told["conditions"]] == [
            ("resources", 3, 0, 3), ("required", 2, 1, 2), ("required", 0, 2, 0)
        ]  # fmt: skip


@in_loop
async def test_it_says_where_each_is_there_and_not_all_together() -> None:
    async with World(memory()) as world:
        await world.provider(1, VCPU=4)
        await world.provider(2, parent=1, SRIOV_NET_VF=1)
        await world.provider(3, MEMORY_MB=10)
        two = {
            "groups": [
                {"suffix": "_A", "resources": {"SRIOV_NET_VF": 1}},
                {"suffix": "_B", "resources": {"SRIOV_NET_VF": 1}},
            ],
            "group_policy": "isolate",
        }
        told = await why_not(world, claim_of(10, request=two))
        assert told["missing"] == ["all conditions together in one tree: each is met, not all at once"]
        apart = {"groups": [{"resources": {"VCPU": 1, "MEMORY_MB": 1}}]}
        told = await why_not(world, claim_of(10, request=apart))
        free = "resource MEMORY_MB: 1 wanted; the most that one provider can give is 10"
        assert told["missing"] == [f"{free}; of the 1 that meet what was asked before it, none does"]


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"consumers": []}, "JSON does not validate: [] should be non-empty (at $.consumers)"),
        ({"consumers": [{"uuid": uuid_of(1), "project_id": "p", "user_id": "u"}] * 2}, "more than once"),
        ({"request": {"groups": [{}]}}, "There must be at least one resources"),
        ({"request": {"groups": [{"resources": {"CUSTOM_X": 1}}]}}, "CUSTOM_X"),
        ({"request": {"groups": [{"resources": {"VCPU": 1}, "required": ["CUSTOM_T"]}]}}, "No such trait"),
        ({"request": {"groups": [{"resources": {"VCPU": 1}}] * 2}}, "more than one group with the suffix"),
        ({"filters": [{"name": "magic"}]}, "There is no filter 'magic'; there are: domains, headroom, providers"),
        ({"weighers": [{"name": "random-of-k", "parameters": {"k": 0}}]}, "'k' has to be a number from 1"),
        ({"weighers": [{"name": "cost", "parameters": {"price": 1}}]}, "there is no parameter 'price'"),
        ({"affinity": [{"over": "rack", "consumers": [uuid_of(7)]}]}, "cannot be one that is placed already"),
        ({"affinity": [{"over": "Rack"}]}, "JSON does not validate"),
        ({"considered": 0}, "JSON does not validate"),
    ],
)
@in_loop
async def test_malformed_claims_are_refused(change: dict[str, Any], words: str) -> None:
    async with World(memory()) as world:
        await world.provider(1, VCPU=4)
        (error,) = (await claimed(world, {**claim_of(7), **change}, status=BAD))["errors"]
        assert words in error["detail"]


def test_the_openapi_document_tells_of_every_handler() -> None:
    served = {
        (path, method.lower(), route.name)
        for path, methods in ROUTES.items()
        if path.startswith("/v1/")
        for method, routes in methods.items()
        for route in routes
    }
    told = {
        (path, method, operation["operationId"])
        for path, methods in openapi_document()["paths"].items()
        for method, operation in methods.items()
    }
    assert told == served


@in_loop
async def test_the_openapi_document_is_served() -> None:
    async with World(memory()) as world:
        assert await world.ask("GET", "/v1/openapi.json") == openapi_document()


# ---- others at the same time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
@in_loop
async def test_gangs_and_changes_race_on_a_bad_way_to_the_store(seed: int) -> None:
    """Claims for 40 slots from two nodes, each sent again until it is answered, beside plain allocations."""
    state, clock, chance = MemoryState(), SystemClock(), Random(seed)
    stores = [memory(state=state) for _ in range(3)]
    nodes = [Faulty(store, NO_FAULTS, seed=seed + number, clock=clock) for number, store in enumerate(stores[:2])]
    async with World(stores[2], is_shared=True) as clean:
        hosts = [await clean.provider(number, VCPU=10) for number in range(1, 5)]
        async with World(nodes[0], is_shared=True) as one, World(nodes[1], is_shared=True) as other:
            for node in nodes:
                node._plan = PLAN

            async def boot(number: int, size: int) -> int:
                body = claim_of(*range(1000 * number, 1000 * number + size))
                while True:
                    answer = await chance.choice((one, other)).send("POST", "/v1/claims", body)
                    assert answer.status in {OK, CREATED, CONFLICT, UNAVAILABLE}, answer.body
                    if answer.status in {OK, CREATED}:
                        again = await clean.ask("POST", "/v1/claims", body)
                        assert orjson.dumps(again) == answer.body
                        return size
                    if answer.status == CONFLICT:
                        assert b"placement.claim.no_place" in answer.body
                        return 0

            placed = await asyncio.gather(*(boot(number, chance.choice((1, 2, 3))) for number in range(1, 40)))
            placed += await asyncio.gather(*(boot(number, 1) for number in range(100, 145)))
        assert sum(placed) == 40
        assert await every_use(clean) == {host: {"VCPU": 10} for host in hosts}
        assert (await audit(clean.store)).findings == []


@in_loop
async def test_a_model_that_is_behind_grants_nothing_that_is_not_there() -> None:
    """What another node changed, of which this one hears nothing: rack, room, inventory, a host that went."""
    state = MemoryState()
    async with World(memory(state=state)) as other:
        await in_racks(other, {1: "A", 2: "A", 3: "A", 4: "A", 5: "A"}, VCPU=4)
        async with World(memory(state=state)) as behind:
            generation = await other.generation(uuid_of(1))
            await other.ask("PUT", "/traits/CUSTOM_RACK_B", status=CREATED)
            body = {"traits": ["CUSTOM_RACK_B"], "resource_provider_generation": generation}
            await other.ask("PUT", f"/resource_providers/{uuid_of(1)}/traits", body)
            assert (await other.claim(70, {uuid_of(2): {"VCPU": 4}})).status == NO_CONTENT
            path = f"/resource_providers/{uuid_of(3)}/inventories/VCPU"
            shrunk = {"total": 1, "resource_provider_generation": await other.generation(uuid_of(3))}
            await other.ask("PUT", path, shrunk)
            await other.ask("DELETE", f"/resource_providers/{uuid_of(4)}", status=NO_CONTENT)
            request = {"groups": [{"resources": {"VCPU": 2}, "required": ["CUSTOM_RACK_A"]}]}
            for consumer in range(10, 12):
                answer = await claimed(behind, claim_of(consumer, request=request))
                assert hosts_in(answer) == [uuid_of(5)]
            told = await why_not(behind, claim_of(12, request=request))
            behind_it = "of the 1 that meet what was asked before it, none does"
            assert told["missing"] == [f"trait CUSTOM_RACK_A; {behind_it}"]
            answer = await claimed(behind, claim_of(13, spread=[{"over": "rack"}]))
            assert hosts_in(answer)[0] in {uuid_of(1), uuid_of(3)}


def before_the_commit(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], Awaitable[None]]) -> None:
    """Lets something happen between what the next claim reads and what it commits."""
    commit, happened = Committer._commit, False

    async def late(committer: Committer, plan: Plan, deadline: float) -> Any:
        nonlocal happened
        if not happened:
            happened = True
            await meanwhile()
        return await commit(committer, plan, deadline)

    monkeypatch.setattr(Committer, "_commit", late)


@in_loop
async def test_a_host_that_moves_to_another_rack_before_the_commit_is_not_granted_in_the_old_one() -> None:
    async with World(memory()) as world:
        await in_racks(world, {1: "A", 2: "B"}, VCPU=4)

        async def move() -> None:
            generation = await world.generation(uuid_of(1))
            body = {"traits": ["CUSTOM_RACK_B"], "resource_provider_generation": generation}
            await world.ask("PUT", f"/resource_providers/{uuid_of(1)}/traits", body)

        with pytest.MonkeyPatch.context() as patch:
            before_the_commit(patch, move)
            told = await why_not(world, claim_of(7, filters=[{"name": "domains", "parameters": {"only": ["A"]}}]))
        assert told["filters"] == [{"filter": "domains", "removed_candidates": 2, "removed_providers": 2}]


@in_loop
async def test_a_late_twin_of_a_request_does_not_claim_what_was_freed() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=4)
        answers: list[Any] = []

        async def claim_and_free() -> None:
            answers.append(await claimed(world, claim_of(7)))
            await world.ask("DELETE", f"/allocations/{uuid_of(7)}", status=NO_CONTENT)

        with pytest.MonkeyPatch.context() as patch:
            before_the_commit(patch, claim_and_free)
            answers.append(await claimed(world, claim_of(7), status=OK))
        assert answers[0] == answers[1]
        assert await world.used(host) == {"VCPU": 0}


@in_loop
async def test_the_example_of_the_reference_is_carried_out() -> None:
    text = (Path(__file__).parents[3] / "docs/reference/placement-claims.md").read_text()
    body = orjson.loads(text.partition("```json\n")[2].partition("```")[0])
    for number, consumer in enumerate(body["consumers"]):
        consumer["uuid"] = uuid_of(10 + number)
    async with World(memory()) as world:
        for number, rack in ((1, "A"), (2, "B")):
            host = await world.provider(number, VCPU=10, MEMORY_MB=16384)
            await world.provider(number + 10, parent=number, SRIOV_NET_VF=4)
            await world.send("PUT", f"/traits/CUSTOM_RACK_{rack}")
            traits = [f"CUSTOM_RACK_{rack}", "HW_CPU_X86_AVX2", "STORAGE_DISK_SSD"]
            asked = {"traits": traits, "resource_provider_generation": await world.generation(host)}
            await world.ask("PUT", f"/resource_providers/{host}/traits", asked)
        answer = await claimed(world, body)
        racks = [one["reason"]["domains"]["rack"] for one in answer["consumers"].values()]
        assert sorted(racks) == [["A"], ["B"]]


# ---- bounds ----------------------------------------------------------------------------------------------------------


@in_loop
async def test_a_claim_that_one_commit_cannot_check_is_refused() -> None:
    async with World(memory()) as world:
        for number in range(40):
            await world.provider(3 * number + 1)
            await world.provider(3 * number + 2, parent=3 * number + 1)
            await world.provider(3 * number + 3, parent=3 * number + 2, VCPU=1)
        (error,) = (await claimed(world, claim_of(*range(1000, 1026)), status=BAD))["errors"]
        assert "about 104 consumers, providers and ancestors of providers; one commit can check 100" in error["detail"]
        await claimed(world, claim_of(*range(1000, 1025)))


@in_loop
async def test_a_claim_has_a_size() -> None:
    async with World(memory()) as world:
        await world.provider(1, VCPU=40)
        names = [f"host-{number}-of-a-list-that-is-long" for number in range(20_000)]
        filters = [{"name": "providers", "parameters": {"except": names[:6_000]}}]
        await claimed(world, claim_of(7, filters=filters))
        filters = [{"name": "providers", "parameters": {"except": names}}]
        error = await world.ask("POST", "/v1/claims", claim_of(8, filters=filters), status=413)
        assert "it may have 262144" in error["errors"][0]["detail"]


@in_loop
async def test_others_are_named_in_bounds() -> None:
    async with World(memory()) as world:
        await world.provider(1, VCPU=40)
        far = [{"over": "host", "consumers": [uuid_of(100 + one) for one in range(16)]}]
        far.append({"over": "rack", "consumers": [uuid_of(100)]})
        near = [{"over": "host", "consumers": [uuid_of(200)]}]
        (error,) = (await claimed(world, claim_of(7, anti_affinity=far, affinity=near), status=BAD))["errors"]
        assert "names 17 other consumers; it may name at most 16" in error["detail"]
        await claimed(world, claim_of(7, anti_affinity=far[:1]))


# ---- sharing, storing ------------------------------------------------------------------------------------------------


@in_loop
async def test_a_disk_that_hosts_share_is_no_domain_of_theirs() -> None:
    async with World(memory()) as world:
        for number in (1, 2, 3):
            if number == 3:
                uuid = await world.provider(number, DISK_GB=100)
            else:
                await in_racks(world, {number: "AB"[number - 1]}, VCPU=4)
                uuid = uuid_of(number)
            aggregates = {"aggregates": [uuid_of(500)], "resource_provider_generation": await world.generation(uuid)}
            await world.ask("PUT", f"/resource_providers/{uuid}/aggregates", aggregates)
        generation = await world.generation(uuid_of(3))
        body = {"traits": ["MISC_SHARES_VIA_AGGREGATE"], "resource_provider_generation": generation}
        await world.ask("PUT", f"/resource_providers/{uuid_of(3)}/traits", body)
        asked = {"groups": [{"resources": {"VCPU": 1, "DISK_GB": 10}}]}
        answer = await claimed(world, claim_of(10, 11, request=asked, spread=[{"over": "host"}, {"over": "rack"}]))
        hosts = [each["reason"]["domains"]["host"] for each in answer["consumers"].values()]
        assert sorted(hosts) == [[uuid_of(1)], [uuid_of(2)]]
        assert await world.used(uuid_of(3)) == {"DISK_GB": 20}
        # The disk is in no rack, and its consumers are in those of their hosts all the same.
        for consumer, member in ((12, "affinity"), (13, "anti_affinity")):
            near = {member: [{"over": "rack", "consumers": [uuid_of(10)]}]}
            one = (await claimed(world, claim_of(consumer, request=asked, **near)))["consumers"][uuid_of(consumer)]
            is_near = one["reason"]["domains"]["rack"] == answer["consumers"][uuid_of(10)]["reason"]["domains"]["rack"]
            assert is_near == (member == "affinity")
        told = await why_not(world, claim_of(*range(20, 23), request=asked, spread=[{"over": "host"}]))
        assert told["filters"] == [{"filter": "spread(host)", "removed_candidates": 2, "removed_providers": 2}]


@in_loop
async def test_a_claim_outlives_the_process(tmp_path: Path) -> None:
    first: Any = None
    for status in (CREATED, OK):
        engine = await open_engine(str(tmp_path / "store"), clock=SystemClock(), ids=IDS)
        async with World(engine) as world:
            if status == CREATED:
                await in_racks(world, {1: "A", 2: "B"}, VCPU=4)
            answer = await claimed(world, claim_of(7, 8, spread=[{"over": "rack"}]), status=status)
            assert first in {None, orjson.dumps(answer)}
            first = orjson.dumps(answer)
            held = (await world.ask("GET", f"/v1/claims/{uuid_of(8)}"))["held"]
            assert held == {uuid_of(7): True, uuid_of(8): True}
        await engine.close()


@in_loop
async def test_who_may_not_allocate_may_not_claim() -> None:
    async with World(memory()) as world:
        await world.provider(1, VCPU=4)
        body = orjson.dumps(claim_of(7))
        for path, method in (("/v1/claims", "POST"), (f"/v1/claims/{uuid_of(7)}", "GET"), ("/v1/openapi.json", "GET")):
            answer = await world.send(method, path, body if method == "POST" else None, x_roles="member")
            assert answer.status == 403
