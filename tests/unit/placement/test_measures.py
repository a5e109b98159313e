"""What placement says about itself: requests, refusals, claims and tries, and what its read model is like."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from tenet.base.clock import ManualClock
from tenet.placement import errors, keys
from tenet.placement.api import Keys
from tenet.placement.counts import OTHER, SHORTAGES_MAX, TRIES_BOUNDS, Counts, Tally
from tenet.placement.ops.committing import TRIES_MAX
from tenet.placement.rules.refusals import reason_of, shortages
from tenet.store.contract import Put
from tenet.store.errors import StoreUnavailable
from tenet.store.landing import land
from tenet.store.memory_state import MemoryState
from tenet.wire.door import Distribution, Request
from tenet.wire.errors import Overloaded
from tenet.wire.exposition import of_measure, render
from tests.unit.placement.test_claiming import claim_of
from tests.unit.placement.test_model_keeping import troubled
from tests.unit.placement.world import World, in_loop, memory, uuid_of

NO_CONTENT, NOT_FOUND, CONFLICT, UNAVAILABLE = 204, 404, 409, 503


def figures(world: World) -> dict[str, Any]:
    """Returns the figures of each metric: by labels, or the counts of buckets."""
    told = {one.name: one.counts if isinstance(one, Distribution) else one.values for one in world.placement.measures()}
    assert len(told) == len(world.placement.measures()), "each name is there once"
    return {name.removeprefix("tenet_placement_"): value for name, value in told.items()}


# ---- requests and refusals -------------------------------------------------------------------------------------------


@in_loop
async def test_requests_are_counted_by_the_form_of_their_paths() -> None:
    async with World(memory()) as world:
        await world.provider(1, VCPU=4)
        await world.provider(2)
        await world.send("GET", f"/resource_providers/{uuid_of(9)}")
        await world.send("DELETE", "/usages")
        await world.send("GET", "/nothing/here")
        await world.send("BREW", "/traits")
        await world.send("GET", "")
        await world.send("GET", "/")
        await world.send("GET", "/traits", version="1.2")
        found = figures(world)["requests"]
        assert found == {
            ("POST", "/resource_providers", "200"): 2,
            ("PUT", "/resource_providers/{uuid}/inventories", "200"): 1,
            ("GET", "/resource_providers/{uuid}", "404"): 1,
            ("DELETE", "/usages", "405"): 1,
            ("GET", OTHER, "404"): 1,
            ("GET", "/", "200"): 2,
            (OTHER, "/traits", "405"): 1,
            ("GET", "/traits", "404"): 1,
        }


@in_loop
async def test_what_is_refused_before_the_service_is_open_is_counted() -> None:
    async with World(memory(), authenticator=Keys(lambda _: None), is_loaded=False) as world:
        assert world.placement.measures() == ()
        assert world.placement.health() == {}
        await world.send("GET", "/traits", x_auth_token="nobody:knows")
        request = Request("PUT", "/placement/traits/X", "", {}, b"", request_id="0" * 32)
        world.service.refuse(request, Overloaded("too much"))
        found = figures(world)
        assert found["requests"] == {("GET", OTHER, "401"): 1, ("PUT", OTHER, "503"): 1}
        assert found["refusals"] == {("unauthorized",): 1, ("unavailable",): 1}
        assert "providers" not in found
        assert world.opened is None


@in_loop
async def test_a_refusal_tells_the_log_its_reason() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=4)
        headers = {
            "x-auth-token": "admin",
            "openstack-api-version": "placement 1.39",
            "content-type": "application/json",
        }
        body = {"allocations": {host: {"resources": {"VCPU": 5}}}, "project_id": "p", "user_id": "u",
                "consumer_generation": None, "consumer_type": "INSTANCE"}  # fmt: skip
        request = Request(
            "PUT", f"/placement/allocations/{uuid_of(7)}", "", headers, orjson.dumps(body), request_id="0" * 32
        )
        assert (await world.service.answer(request)).status == CONFLICT
        assert request.notes["reason"] == "no_room"
        assert host in str(request.notes["message"])
        long = Request("GET", "/placement/resource_providers/" + "x" * 4_000, "", headers, b"", request_id="0" * 32)
        assert (await world.service.answer(long)).status == NOT_FOUND
        assert len(str(long.notes["message"])) < 400


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.Conflict.generation("x"), "concurrent_update"),
        (errors.Conflict("x", errors.INVENTORY_IN_USE), "inventory.inuse"),
        (errors.ClaimRefused("x", errors.NO_PLACE), "claim.no_place"),
        (errors.NoRoom("x"), "no_room"),
        (errors.Conflict("x"), "conflict"),
        (errors.Contended("x"), "contended"),
        (errors.Unavailable("x"), "unavailable"),
        (errors.BadRequest("x"), "malformed"),
        (errors.UnsupportedMediaType("x"), "malformed"),
        (errors.TooLarge("x"), "too_large"),
        (errors.TooManyRequests("x"), "throttled"),
        (errors.Forbidden.of("x"), "forbidden"),
        (errors.NotFound("x"), "not_found"),
        (errors.InternalError("x"), "internal"),
    ],
)
def test_each_refusal_has_a_reason(error: errors.PlacementError, reason: str) -> None:
    assert reason_of(error) == reason


# ---- claims ----------------------------------------------------------------------------------------------------------


@in_loop
async def test_claims_are_counted_by_what_came_of_them() -> None:
    async with World(memory()) as world:
        host = await world.provider(1, VCPU=2)
        assert (await world.claim(11, {host: {"VCPU": 1}})).status == NO_CONTENT
        assert (await world.claim(11, {host: {"VCPU": 2}}, generation=7)).status == CONFLICT
        assert (await world.claim(12, {host: {"VCPU": 2}})).status == CONFLICT
        await world.ask("POST", "/v1/claims", claim_of(21), status=201)
        await world.ask("POST", "/v1/claims", claim_of(21))
        await world.ask("POST", "/v1/claims", claim_of(11), status=CONFLICT)
        await world.ask("POST", "/v1/claims", claim_of(22), status=CONFLICT)
        await world.ask(
            "POST", "/v1/claims", claim_of(23, request={"groups": [{"resources": {"VCPU": -1}}]}), status=400
        )
        found = figures(world)
        assert found["claims"] == {
            ("allocations", "written"): 1,
            ("allocations", "concurrent_update"): 1,
            ("allocations", "no_room"): 1,
            ("claims", "claimed"): 1,
            ("claims", "repeated"): 1,
            ("claims", "claim.claimed_otherwise"): 1,
            ("claims", "claim.no_place"): 1,
            ("claims", "malformed"): 1,
        }
        assert found["shortages"] == {("resources", "VCPU"): 1}
        assert found["claim_choices"] == [2] + [0] * len(TRIES_BOUNDS), "of the one made and the one without a place"
        assert found["write_tries"][0] == 4, "a provider, its inventory, an allocation, a claim"


def condition(kind: str, asked: Any, met: int, left: int) -> dict[str, Any]:
    return {"condition": kind, "asked": asked, "met_by_providers": met, "left": left}


@pytest.mark.parametrize(
    ("conditions", "filters", "found"),
    [
        (
            [condition("resources", {"VCPU": 9}, 0, 0), condition("required", ["A", "B"], 0, 0),
             condition("forbidden", ["C"], 3, 0)],
            [],
            {("resources", "VCPU"), ("required", "A or B")},
        ),
        (
            [condition("resources", {"VCPU": 9}, 5, 5), condition("required", ["A"], 1, 0),
             condition("required", ["B"], 2, 0)],
            [],
            {("required", "A")},
        ),
        ([condition("resources", {"VCPU": 9}, 5, 5), condition("all", None, 0, 0)], [], {("together", "")}),
        ([condition("required", "ROOT", 0, 0)], [], {("required", "ROOT")}),
        ([], [{"filter": "headroom"}, {"filter": "providers"}], {("filter", "headroom"), ("filter", "providers")}),
        ([], [], set()),
    ],
)  # fmt: skip
def test_what_was_missing_is_what_nobody_meets_or_what_left_nothing(
    conditions: list[dict[str, Any]], filters: list[dict[str, Any]], found: set[tuple[str, str]]
) -> None:
    assert shortages({"conditions": conditions, "filters": filters}) == found


def test_names_of_what_was_missing_do_not_grow_without_end() -> None:
    counts = Counts()
    for number in range(SHORTAGES_MAX + 7):
        why_not = {"conditions": [condition("required", [f"CUSTOM_{number}"], 0, 0)], "filters": []}
        counts.note_refused("make_claim", errors.ClaimRefused("x", errors.NO_PLACE, why_not))
    assert len(counts.shortages) == SHORTAGES_MAX + 1
    assert counts.shortages[OTHER, ""] == 7
    assert counts.shortages["required", "CUSTOM_0"] == 1


@in_loop
async def test_tries_are_counted_where_others_are_faster() -> None:
    store = troubled()
    async with World(store) as world:
        host = await world.provider(1, VCPU=40)
        before = list(figures(world)["write_tries"])
        # Eight writers of one consumer: its record decides between them, and all but one read again.
        made = [world.claim(7, {host: {"VCPU": number}}) for number in range(1, 9)]
        answers = await asyncio.gather(*made)
        assert sorted(one.status for one in answers) == [NO_CONTENT] + [CONFLICT] * 7
        assert sum(figures(world)["write_tries"]) - sum(before) == 1, "who is refused is not counted as written"


def test_what_is_given_up_is_in_the_last_bucket_alone() -> None:
    tally = Tally()
    for tries in (1, 2, 4, TRIES_MAX - 1, TRIES_MAX):
        tally.count(tries)
    assert tally.buckets == [1, 1, 0, 1, 0, 0, 1, 1]
    assert tally.total == 7 + TRIES_MAX - 1 + TRIES_MAX
    assert len(tally.buckets) == len(TRIES_BOUNDS) + 1


# ---- the read model --------------------------------------------------------------------------------------------------


@in_loop
async def test_the_service_says_how_many_providers_it_lists_and_how_far_it_is_behind() -> None:
    clock = ManualClock()
    async with World(troubled(clock), clock=clock, is_shared=True) as world:
        await world.provider(1)
        await world.provider(2, parent=1)
        told = figures(world)
        assert told["providers"] == {(): 2}
        assert told["behind_seconds"][()] >= 0
        assert told["loads"] == {(): 1}
        assert uuid_of(1) not in str(told), "no names, which there may be very many of"


@in_loop
async def test_what_is_used_above_its_capacity_is_told_until_it_fits() -> None:
    async with World(memory()) as world:
        hosts = [await world.provider(number, VCPU=8, DISK_GB=8) for number in (1, 2, 3)]
        for number, host in enumerate(hosts):
            assert (await world.claim(10 + number, {host: {"VCPU": 4, "DISK_GB": 4}})).status == NO_CONTENT
        assert world.placement.health()["over_capacity"] == 0
        for host, left in ((hosts[0], {"VCPU": 3, "DISK_GB": 3}), (hosts[1], {"VCPU": 4, "DISK_GB": 3})):
            body = {"resource_provider_generation": await world.generation(host),
                    "inventories": {name: {"total": total} for name, total in left.items()}}  # fmt: skip
            await world.ask("PUT", f"/resource_providers/{host}/inventories", body)
        assert figures(world)["providers_over_capacity"] == {(): 2}
        health = world.placement.health()
        assert health["over_capacity_named"] == {hosts[0]: ["DISK_GB", "VCPU"], hosts[1]: ["DISK_GB"]}
        await world.send("DELETE", f"/allocations/{uuid_of(10)}")
        await world.send("DELETE", f"/allocations/{uuid_of(11)}")
        assert world.placement.health()["over_capacity"] == 0
        assert (await world.send("DELETE", f"/resource_providers/{hosts[0]}")).status == NO_CONTENT
        assert figures(world)["providers_over_capacity"] == {(): 0}


@in_loop
async def test_what_cannot_be_read_is_named_from_the_start_on() -> None:
    state = MemoryState()
    store = memory(state=state)
    async with World(store) as world:
        for number in (1, 2):
            await world.provider(number, VCPU=4)
        key = keys.inventory_key(uuid_of(2), "VCPU")
        (good,) = await store.get((key,))
        assert good is not None
        deadline = world.clock.monotonic_s() + 30
        await land(store, [Put(key, b"\x01\xc1")], (), clock=world.clock, ids=world._ids, deadline=deadline)
        async with World(memory(state=state)) as again:
            assert again.placement.health()["unreadable_named"] == [uuid_of(2)]
            assert figures(again)["providers_unreadable"] == {(): 1}
            await land(store, [Put(key, good.value)], (), clock=world.clock, ids=world._ids, deadline=deadline)
            await again.keeper.refresh([uuid_of(2)])
            assert again.placement.health()["unreadable"] == 0


@in_loop
async def test_a_service_that_does_not_open_says_why_until_it_does() -> None:
    clock = ManualClock()
    store = troubled(clock)
    wrong = [StoreUnavailable("the disk is gone"), ValueError()]

    async def fail(_: dict[str, Any]) -> None:
        if wrong:
            raise wrong.pop(0)

    store.before_scan = fail
    async with World(store, clock=clock, is_loaded=False) as world:
        for trouble in ("the disk is gone", "ValueError"):
            assert (await world.send("GET", "/traits")).status == UNAVAILABLE
            assert world.placement.health() == {"trouble": trouble}
            clock.advance_ms(1_100)
        await world.ask("GET", "/resource_providers")
        assert "trouble" not in world.placement.health()
        assert world.placement.health()["loads"] == 1


@in_loop
async def test_the_page_of_metrics_has_all_of_it() -> None:
    async with World(memory()) as world:
        await world.provider(1, VCPU=2)
        await world.ask("POST", "/v1/claims", claim_of(21), status=201)
        measures = world.placement.measures()
        page = render(lambda: map(of_measure, measures)).decode()
    for line in (
        'tenet_placement_requests_total{method="POST",route="/v1/claims",status="201"} 1.0',
        'tenet_placement_claims_total{call="claims",result="claimed"} 1.0',
        'tenet_placement_write_tries_bucket{le="1.0"} 3.0',
        "tenet_placement_write_tries_sum 3.0",
        "tenet_placement_providers 1.0",
        "tenet_placement_providers_over_capacity 0.0",
        "tenet_placement_loads_total 1.0",
    ):
        assert f"\n{line}\n" in page
    assert all(one.words.endswith(".") for one in measures)
