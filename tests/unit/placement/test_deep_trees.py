"""Trees that are deep: right however deep they are, no request goes up one by one, and two moves make no loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from tenet.base.clock import SystemClock
from tenet.placement import keys
from tenet.placement.fleet.candidates import search
from tenet.placement.fleet.fleet import Fleet
from tenet.placement.fleet.growing import GrowingFleet
from tenet.placement.model import Inventory, Provider
from tenet.placement.ops.auditing import audit
from tenet.placement.rules.stored import Description, encode_description
from tenet.store.contract import Commit, Committed, Engine, Put, Write, new_commit_id
from tests.counting import Counting, tallied
from tests.unit.placement.test_candidates import read
from tests.unit.placement.world import IDS, World, in_loop, memory, uuid_of

OK, NO_CONTENT, BAD, CONFLICT = 200, 204, 400, 409
#: More than one read may have, and than one commit may check.
DEPTH = 1_200


async def add_chain(store: Engine, *, depth: int = DEPTH, first: int = 1) -> None:
    """Writes a chain of providers, each below the one before."""
    for space in (keys.CATALOG_SPACE, keys.PROVIDERS_SPACE):
        await store.ensure_space(space)
    writes: list[Write] = []
    for number in range(first, first + depth):
        name, uuid = f"provider-{number}", uuid_of(number)
        parent = uuid_of(number - 1) if number > first else ""
        writes.append(Put(keys.provider_key(uuid), encode_description(Description(name, parent, (), (), 1, 1))))
        children = {keys.CHILDREN: 1} if number < first + depth - 1 else {}
        writes.append(Put(keys.counts_key(uuid), b"", {keys.GENERATION: 0, **children}))
        writes.append(Put(keys.name_key(name), keys.uuid_bytes(uuid)))
    assert isinstance(await store.commit(Commit(new_commit_id(SystemClock(), IDS), writes)), Committed)


async def move(world: World, number: int, below: int | None, status: int = OK) -> Any:
    parent = None if below is None else uuid_of(below)
    body = {"name": f"provider-{number}", "parent_provider_uuid": parent}
    return await world.ask("PUT", f"/resource_providers/{uuid_of(number)}", body, status=status)


async def root_of(world: World, number: int) -> str:
    return str((await world.ask("GET", f"/resource_providers/{uuid_of(number)}"))["root_provider_uuid"])


@in_loop
async def test_every_request_about_a_deep_tree_is_right_and_costs_no_round_trip_for_each_ancestor() -> None:
    store = Counting(memory())
    await add_chain(cast("Engine", store))
    async with World(cast("Engine", store)) as world:
        last, new = DEPTH, DEPTH + 1
        with tallied() as tally:
            assert await root_of(world, last) == uuid_of(1)
            await world.provider(new, parent=last, VCPU=4)
            assert await root_of(world, new) == uuid_of(1)
        assert tally.trips.total() <= 20
        with tallied() as tally:
            # Half of it leaves, and comes back below another one that is as deep.
            await move(world, DEPTH // 2, None)
            assert await root_of(world, new) == uuid_of(DEPTH // 2)
            listed = await world.ask("GET", f"/resource_providers?in_tree={uuid_of(new)}")
            assert len(listed["resource_providers"]) == DEPTH // 2 + 2
            await move(world, DEPTH // 2, DEPTH // 2 - 1)
            assert await root_of(world, new) == uuid_of(1)
        assert tally.trips.total() <= 30
        listed = await world.ask("GET", f"/resource_providers?in_tree={uuid_of(1)}")
        assert len(listed["resource_providers"]) == DEPTH + 1
        found = await world.ask("GET", f"/allocation_candidates?resources=VCPU:1&in_tree={uuid_of(1)}")
        assert [list(one["allocations"]) for one in found["allocation_requests"]] == [[uuid_of(new)]]
        assert len(found["provider_summaries"]) == DEPTH + 1
        assert (await world.claim(7, {uuid_of(new): {"VCPU": 1}})).status == NO_CONTENT
        assert (await world.send("DELETE", f"/resource_providers/{uuid_of(last)}")).status == CONFLICT
        assert (await world.send("DELETE", f"/allocations/{uuid_of(7)}")).status == NO_CONTENT
        for number in (new, last):
            await world.ask("DELETE", f"/resource_providers/{uuid_of(number)}", status=NO_CONTENT)
        assert (await audit(world.store)).findings == []


@in_loop
async def test_no_loop_is_made_in_a_deep_tree() -> None:
    store = memory()
    await add_chain(store)
    async with World(store) as world:
        for number in (1, 2, DEPTH // 2, DEPTH):
            refused = await move(world, number, DEPTH, status=BAD)
            assert "creating loop in the provider tree is not allowed" in refused["errors"][0]["detail"]
        # One that nothing stands below may go anywhere else.
        await move(world, DEPTH, DEPTH // 2)
        await move(world, DEPTH, None)
        assert (await audit(world.store)).findings == []


@pytest.mark.thorough
@pytest.mark.parametrize("depths", [(150, 150), (150, 3), (3, 150), (150, 1), (1, 150)])
@in_loop
async def test_two_moves_make_no_loop(depths: tuple[int, int]) -> None:
    """The top of each tree goes below the end of the other one, at two nodes."""
    store = memory()
    for turn in range(4):
        tops = [1 + 1_000 * turn, 501 + 1_000 * turn]
        for top, depth in zip(tops, depths, strict=True):
            await add_chain(store, depth=depth, first=top)
        ends = [top + depth - 1 for top, depth in zip(tops, depths, strict=True)]
        async with World(store, is_shared=True) as one, World(store, is_shared=True) as other:
            answers = await asyncio.gather(
                *(
                    world.send(
                        "PUT",
                        f"/resource_providers/{uuid_of(top)}",
                        {"name": f"provider-{top}", "parent_provider_uuid": uuid_of(end)},
                    )
                    for world, top, end in ((one, tops[0], ends[1]), (other, tops[1], ends[0]))
                )
            )
            assert sorted(answer.status for answer in answers) == [OK, BAD]
            assert len({await root_of(one, number) for number in (*tops, *ends)}) == 1
            assert (await audit(store)).findings == []


class Paused:
    """A store in which something happens once, in front of the commit that moves a provider.

    Args:
        store: the one below.
        happening: what.
    """

    def __init__(self, store: Engine, happening: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._happening: Callable[[], Awaitable[None]] | None = happening

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, commit: Commit, **named: Any) -> Any:
        happening, self._happening = self._happening, None
        if happening is not None:
            await happening()
        return await self._store.commit(commit, **named)


@pytest.mark.parametrize("between", [0, 1, 100, 149])
@in_loop
async def test_what_is_moved_before_the_commit_is_seen(between: int) -> None:
    """While a tree goes below the end of a deep one, a part of that, or its end itself, goes below this tree."""
    store = memory()
    await add_chain(store, depth=150, first=1)
    await add_chain(store, depth=3, first=501)
    async with World(store) as other:

        async def happening() -> None:
            await move(other, 1 + between, 503)

        async with World(cast("Engine", Paused(store, happening))) as world:
            refused = await move(world, 501, 150, status=BAD)
            assert "creating loop" in refused["errors"][0]["detail"]
        assert (await audit(store)).findings == []


def chain_of(depth: int) -> GrowingFleet:
    model = GrowingFleet()
    for number in range(1, depth + 1):
        model.put(Provider(uuid_of(number), f"{number}", uuid_of(number - 1) if number > 1 else None, uuid_of(1), 0))
    return model


def seconds_to_move(depth: int) -> float:
    """How long the read model takes to give a chain another root, of the processor; the best of some."""
    best = float("inf")
    for _ in range(3):
        model = chain_of(depth)
        model.put(Provider(uuid_of(9_999_999), "top", None, uuid_of(9_999_999), 0))
        began = time.process_time()
        model.put(Provider(uuid_of(1), "1", uuid_of(9_999_999), uuid_of(9_999_999), 0))
        best = min(best, time.process_time() - began)
        assert len(model.fleet.tree(uuid_of(9_999_999))) == depth + 1
        assert model.line(uuid_of(depth))[-1] == uuid_of(9_999_999)
    return best


@pytest.mark.thorough
def test_the_read_model_moves_a_chain_in_time_that_grows_as_it_does() -> None:
    """Eight times as deep takes about eight times as long; looking through all for each one takes 64 times."""
    assert seconds_to_move(8_000) < 24 * seconds_to_move(1_000)


def fleet_of(parents: dict[int, int | None]) -> Fleet:
    """Providers of one tree with four units each, by number, with the number of what they stand below."""
    fleet, has_four = Fleet(), {"VCPU": Inventory(total=4)}
    for number, parent in parents.items():
        above = None if parent is None else uuid_of(parent)
        fleet.put(Provider(uuid_of(number), f"{number}", above, uuid_of(1), 0, inventories=has_four))
    return fleet


SAME_SUBTREE = read("resources_A=VCPU:3&resources_B=VCPU:3&same_subtree=_A,_B&group_policy=none&limit=5")


def seconds_to_find(depth: int) -> float:
    """How long it takes to find some providers of which one stands below the other, of the processor; the best."""
    fleet = fleet_of({number: number - 1 if number > 1 else None for number in range(1, depth + 1)})
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        found = [one for one in search(fleet, SAME_SUBTREE) if one is not None]
        best = min(best, time.process_time() - began)
        assert len(found) == 5
    return best


def test_what_stands_in_one_line_is_found_in_time_that_grows_as_the_line_does() -> None:
    assert seconds_to_find(8_000) < 24 * seconds_to_find(1_000)


def test_what_was_heard_of_in_another_order_ends_no_search() -> None:
    """For a moment 2 and 3 stand below each other; 5 stands below 1."""
    fleet = fleet_of({1: None, 2: 3, 3: 2, 4: 3, 5: 1})
    found = [set(one.allocations) for one in search(fleet, SAME_SUBTREE) if one is not None]
    assert {uuid_of(1), uuid_of(5)} in found
    model = GrowingFleet()
    for number, parent in {2: 3, 3: 2, 4: 3}.items():
        model.put(Provider(uuid_of(number), f"{number}", uuid_of(parent), uuid_of(1), 0))
    assert model.line(uuid_of(4)) == [uuid_of(4), uuid_of(3), uuid_of(2)]
