"""Searches that find nothing for long, and answers that have no end: others are served meanwhile, and it ends."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Iterator
from random import Random
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from tenet.base.clock import Clock, ManualClock, SystemClock
from tenet.placement.context import Asked, Context
from tenet.placement.errors import Unavailable
from tenet.placement.fleet.candidates import find, search
from tenet.placement.fleet.fleet import Fleet
from tenet.placement.fleet.trees import FRUITLESS_MAX, Effort, Walk
from tenet.placement.model import Inventory, Provider
from tenet.placement.ops.candidates import list_allocation_candidates
from tenet.placement.ops.pieces import STREAMS_MAX, WHOLE_BYTES_MAX, written
from tenet.placement.rules.candidate_requests import CandidateRequest
from tenet.placement.rules.policy import Sender
from tests.unit.placement.fleets import uuid_of as any_uuid
from tests.unit.placement.test_candidates import fleet_of, host, read
from tests.unit.placement.test_claiming import claim_of
from tests.unit.placement.world import World, in_loop, memory

OK, UNAVAILABLE = 200, 503
#: Enough for a machine that is busy, and far less than all trees take where each is gone through on its own.
CPU_S_MAX = 6.0


def tree(number: int, rooms: list[int]) -> list[Provider]:
    """A host with devices of some room each."""
    root = host(1000 * number, VCPU=Inventory(total=4))
    devices = [host(1000 * number + place, root, VGPU=Inventory(total=total)) for place, total in enumerate(rooms, 1)]
    return [root, *devices]


def riddle() -> tuple[list[int], CandidateRequest]:
    """Rooms, and a request whose amounts nobody can say to fit into them without trying for years."""
    random = Random(1)
    rooms, amounts = [random.randint(50, 100) for _ in range(12)], [random.randint(20, 60) for _ in range(40)]
    wanted: list[int] = []
    for amount in sorted(amounts, reverse=True):
        if sum(wanted) + amount <= sum(rooms) * 0.97:
            wanted.append(amount)
    asked = "&".join(f"resources{number}=VGPU:{amount}" for number, amount in enumerate(wanted, 1))
    return rooms, read(f"{asked}&group_policy=none")


def longest_s(steps: Iterator[Any]) -> tuple[float, list[Any]]:
    """Returns the longest time between two steps, of the processor, and all that is not None."""
    longest, found = 0.0, []
    last = time.process_time()
    for step in steps:
        now = time.process_time()
        longest, last = max(longest, now - last), now
        if step is not None:
            found.append(step)
    return longest, found


# ---- the search ------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_a_search_in_one_riddle_lets_go_many_times() -> None:
    rooms, request = riddle()
    fleet = fleet_of(tree(1, rooms))
    steps = list(search(fleet, request))
    assert set(steps) == {None}
    assert len(steps) >= FRUITLESS_MAX // 100


@pytest.mark.thorough
def test_many_riddles_are_given_up_together() -> None:
    """Each on its own took half a second: twenty of them ten."""
    rooms, request = riddle()
    trees = [tree(number, rooms) for number in range(1, 21)]
    easy = host(99_000, VCPU=Inventory(total=4), VGPU=Inventory(total=10_000))
    fleet = fleet_of([provider for one in trees for provider in one] + [easy])
    began_s = time.process_time()
    longest, found = longest_s(search(fleet, request))
    assert time.process_time() - began_s < CPU_S_MAX
    assert longest < 0.5
    assert [list(one.allocations) for one in found] == [[easy.uuid]], "what is easy is found behind them"


def test_what_is_found_gives_the_next_trees_their_time_again() -> None:
    effort = Effort()
    assert effort.in_a_row_max == FRUITLESS_MAX
    effort.fruitless = 100 * FRUITLESS_MAX
    least = effort.in_a_row_max
    assert 0 < least < FRUITLESS_MAX
    assert [list(one) for one in Walk([[1], [2]], []).steps(effort) if one is not None] == [[1, 2]]
    assert effort.fruitless == 0
    assert effort.in_a_row_max == FRUITLESS_MAX


def test_trees_in_which_nothing_holds_are_not_one_step() -> None:
    """Columns cannot say that no device of a tree lies below the one that has the trait."""
    providers = []
    for number in range(1, 301):
        root, one, other = tree(number, [4, 4])
        providers += [root, replace(one, traits=frozenset({"HW_NIC_SRIOV"})), other]
    fleet = fleet_of(providers)
    request = read("resources1=VGPU:3&resources2=VGPU:3&required1=HW_NIC_SRIOV&same_subtree=1,2&group_policy=none")
    longest, found = longest_s(search(fleet, request))
    assert found == []
    assert len(list(search(fleet, request))) >= 300 // 64
    assert longest < 0.5


def test_a_search_that_lets_go_finds_what_one_that_does_not_finds() -> None:
    fleet = fleet_of([provider for number in range(1, 20) for provider in tree(number, [4, 2, 1])])
    for query in ("resources=VGPU:2", "resources1=VGPU:1&resources2=VGPU:2&group_policy=none", "resources=VGPU:9"):
        for limit in (None, 1, 7, 1000):
            request = replace(read(query), limit=limit)
            stepwise = [one for one in search(fleet, request) if one is not None]
            assert stepwise == list(find(fleet, request))
            assert limit is None or len(stepwise) <= limit


@pytest.mark.thorough
def test_a_fleet_may_change_where_a_search_lets_go() -> None:
    rooms, request = riddle()
    fleet = fleet_of([provider for number in (1, 2) for provider in tree(number, rooms)])
    steps = search(fleet, request)
    assert next(steps) is None
    for provider in tree(1, rooms) + tree(2, rooms):
        fleet.remove(provider.uuid)
    easy = host(99_000, VCPU=Inventory(total=4), VGPU=Inventory(total=10_000))
    fleet.put(easy)
    fleet.put(replace(easy, uuid=any_uuid(Random(5)), name="other", root=any_uuid(Random(5))))
    assert len(fleet) == 2
    found = [one for one in steps if one is not None]
    assert {uuid for one in found for uuid in one.allocations} <= {one.uuid for one in fleet_providers(fleet)}


def fleet_providers(fleet: Fleet) -> list[Provider]:
    return [fleet.at(place) for place in range(2 * len(fleet.here)) if place < len(fleet.here) and fleet.here[place]]


# ---- answers ---------------------------------------------------------------------------------------------------------


async def many_devices(world: World, hosts: int = 1) -> None:
    """Puts hosts with eight devices into the read model: sixteen million ways to meet eight groups."""
    for number in range(1, hosts + 1):
        for provider in tree(number, [8] * 8):
            world.keeper.fleet.put(provider)


EIGHT = "&".join(f"resources{number}=VGPU:1" for number in range(1, 9)) + "&group_policy=none"


@pytest.mark.thorough
@in_loop
async def test_others_are_served_while_an_answer_has_no_end() -> None:
    """It leaves in pieces, and is cut off at its deadline."""
    clock = SystemClock()
    async with World(memory(clock), clock=clock) as world:
        await many_devices(world)
        endless = asyncio.create_task(world.send_by(clock.monotonic_s() + 1, "GET", f"/allocation_candidates?{EIGHT}"))
        turns = 0
        while not endless.done():
            await asyncio.sleep(0.01)
            turns += 1
        with pytest.raises(Unavailable, match="with a limit"):
            await endless
        assert turns > 3
        assert (await context_of(world)).held.answers == 0
        limited = await world.ask("GET", f"/allocation_candidates?{EIGHT}&limit=5")
        assert len(limited["allocation_requests"]) == 5


@pytest.mark.thorough
@in_loop
async def test_an_answer_without_an_end_takes_no_more_than_a_piece() -> None:
    async with World(memory()) as world:
        await many_devices(world)
        context = await context_of(world)
        answer = await list_allocation_candidates(context, replace(asked_by(1e18), query_string=EIGHT))
        assert answer.pieces is not None
        tracemalloc.start()
        try:
            taken = 0
            async for piece in answer.pieces:
                assert len(piece) < 2 * WHOLE_BYTES_MAX
                taken += len(piece)
                if taken > 20 * WHOLE_BYTES_MAX:
                    break
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most < 8 * WHOLE_BYTES_MAX
        assert context.held.answers == 1
        await answer.pieces.aclose()
        assert context.held.answers == 0


@in_loop
async def test_a_search_that_finds_nothing_ends_at_its_deadline() -> None:
    clock = SystemClock()
    rooms, request = riddle()
    asked = "&".join(f"resources{group.suffix}=VGPU:{group.resources['VGPU']}" for group in request.groups)
    async with World(memory(clock), clock=clock) as world:
        for number in range(1, 60):
            for provider in tree(number, rooms):
                world.keeper.fleet.put(provider)
        path = f"/allocation_candidates?{asked}&group_policy=none"
        began_s = clock.monotonic_s()
        answer = await world.send_by(began_s + 0.3, "GET", path)
        assert answer.status == UNAVAILABLE
        assert b"in time" in answer.body
        assert clock.monotonic_s() - began_s < 3


def asked_by(deadline: float) -> Asked:
    return Asked(39, {}, "", b"", Sender("", "", frozenset()), deadline=deadline)


async def context_of(world: World) -> Context:
    assert world.opened is not None
    return world.opened.context


@in_loop
async def test_a_short_answer_is_whole_and_a_long_one_in_pieces() -> None:
    async with World(memory()) as world:
        context = await context_of(world)
        answer = await written(context, asked_by(1e18), [b"ab", b"", b"cd"])
        assert (answer.body, answer.pieces) == (b"abcd", None)
        long = [b"x" * WHOLE_BYTES_MAX, b"y", b"", b"z"]
        answer = await written(context, asked_by(1e18), long)
        assert answer.pieces is not None
        assert b"".join([piece async for piece in answer.pieces]) == b"".join(long)
        assert context.held.answers == 0


@in_loop
async def test_there_are_not_more_long_answers_than_there_may_be() -> None:
    async with World(memory()) as world:
        context = await context_of(world)
        for number in range(1, 1_001):
            world.keeper.fleet.put(host(number, VCPU=Inventory(total=4)))
        context.held.answers = STREAMS_MAX
        for path in ("/allocation_candidates?resources=VCPU:1", "/resource_providers"):
            answer = await world.send("GET", path)
            assert answer.status == UNAVAILABLE
            assert b"too many long answers" in answer.body.lower()
        assert (await world.send("GET", "/allocation_candidates?resources=VCPU:1&limit=1")).status == OK
        context.held.answers = 0
        assert (await world.send("GET", "/resource_providers")).status == OK


@in_loop
async def test_what_ends_an_answer_before_it_is_long_is_told() -> None:
    """Later it is cut off, and what it held is given back, also where the request is ended in the middle."""
    clock: Clock = SystemClock()
    async with World(memory(clock), clock=clock) as world:
        context = await context_of(world)

        def endless(piece: bytes) -> Iterator[bytes]:
            while True:
                time.sleep(0.001)
                yield piece

        with pytest.raises(Unavailable, match="in time"):
            await written(context, asked_by(clock.monotonic_s() + 0.05), endless(b"x"))
        answer = await written(context, asked_by(clock.monotonic_s() + 0.3), endless(b"x" * 64 * 1024))
        pieces = answer.pieces
        assert pieces is not None
        _ = await anext(pieces)
        assert context.held.answers == 1
        with pytest.raises(Unavailable, match="in time"):
            _ = [piece async for piece in pieces]
        assert context.held.answers == 0


@in_loop
async def test_a_claim_that_finds_nothing_for_long_lets_others_in_and_ends_in_time() -> None:
    clock = SystemClock()
    rooms, request = riddle()
    groups = [{"suffix": one.suffix, "resources": dict(one.resources)} for one in request.groups]
    body = claim_of(7, request={"groups": groups, "group_policy": "none"})
    async with World(memory(clock), clock=clock) as world:
        for number in range(1, 60):
            for provider in tree(number, rooms):
                world.keeper.fleet.put(provider)
        began_s = clock.monotonic_s()
        claim = asyncio.create_task(world.send_by(began_s + 0.6, "POST", "/v1/claims", body))
        turns = 0
        while not claim.done():
            await asyncio.sleep(0.001)
            turns += 1
        answer = await claim
        assert answer.status == UNAVAILABLE
        assert b"No place was found in time" in answer.body
        assert turns > 1, "a search in one step is done when the first turn is over"
        assert clock.monotonic_s() - began_s < 3


@in_loop
async def test_a_long_list_of_providers_is_whole_and_in_pieces() -> None:
    clock = ManualClock()
    async with World(memory(clock), clock=clock) as world:
        providers = [host(number, VCPU=Inventory(total=4)) for number in range(1, 301)]
        for number, provider in enumerate(providers):
            world.keeper.fleet.put(replace(provider, updated_ms=1_700_000_000_000 + 1000 * number))
        answer = await world.send("GET", "/resource_providers")
        listed = orjson.loads(answer.body)["resource_providers"]
        assert [one["uuid"] for one in listed] == [one.uuid for one in providers]
        assert dict(answer.headers)["last-modified"] == "Tue, 14 Nov 2023 22:18:19 GMT"
        assert (await world.ask("GET", "/resource_providers?resources=VCPU:5")) == {"resource_providers": []}
        one = await world.ask("GET", f"/resource_providers?uuid={providers[7].uuid}")
        assert one["resource_providers"] == [listed[7]]
        more = [host(number, VCPU=Inventory(total=4)) for number in range(301, 1_001)]
        for provider in more:
            world.keeper.fleet.put(provider)
        answer = await world.send("GET", "/resource_providers")
        listed = orjson.loads(answer.body)["resource_providers"]
        assert [one["uuid"] for one in listed] == [one.uuid for one in (*providers, *more)]
        assert dict(answer.headers)["last-modified"] == "Tue, 14 Nov 2023 22:13:20 GMT", "now: it is said before"


@in_loop
async def test_traits_that_providers_have_are_told_without_going_through_these() -> None:
    async with World(memory()) as world:
        fleet = world.keeper.fleet
        fleet.put(replace(host(1), traits=frozenset({"HW_NIC_SRIOV", "HW_CPU_X86_VMX"})))
        fleet.put(replace(host(2), traits=frozenset({"HW_NIC_SRIOV"})))
        assert fleet.traits_held() == {"HW_NIC_SRIOV", "HW_CPU_X86_VMX"}
        found = await world.ask("GET", "/traits?associated=true")
        assert set(found["traits"]) == {"HW_NIC_SRIOV", "HW_CPU_X86_VMX"}
        fleet.remove(host(1).uuid)
        assert (await world.ask("GET", "/traits?associated=true"))["traits"] == ["HW_NIC_SRIOV"]
        assert "HW_CPU_X86_VMX" in (await world.ask("GET", "/traits?associated=false"))["traits"]
