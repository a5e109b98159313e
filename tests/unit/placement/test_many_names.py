"""Tens of thousands of custom traits and resource classes: listed whole, page by page, and nobody waits for it."""

from __future__ import annotations

from typing import Any, cast

import orjson
import pytest

from tenet.base.clock import NEVER, SystemClock
from tenet.placement import keys
from tenet.placement.context import Operation
from tenet.placement.ops.pieces import WHOLE_BYTES_MAX
from tenet.placement.ops.resource_classes import list_resource_classes
from tenet.placement.ops.traits import list_traits
from tenet.placement.rules.candidate_answers import PIECE_BYTES
from tenet.placement.rules.standard_names import STANDARD_CLASSES, STANDARD_TRAITS
from tenet.store.contract import Commit, Committed, Engine, Limits, Put, Write, new_commit_id
from tenet.store.errors import StoreError
from tests.counting import Counting, tallied
from tests.unit.placement.test_large_answers import asked_by, context_of
from tests.unit.placement.world import IDS, World, in_loop, memory, uuid_of

#: More than a page of the store may have.
MANY = 12_000
PREFIX = "CUSTOM_OF_SOME_VENDOR_OF_HARDWARE_"
NAMES = [f"{PREFIX}{number:05}" for number in range(MANY)]
NO_CONTENT = 204


async def store_with(kind: str) -> Counting:
    """A store in which somebody has made many names."""
    store = memory()
    await store.ensure_space(keys.CATALOG_SPACE)
    key_of = keys.trait_key if kind == "traits" else keys.class_key
    writes: list[Write] = [Put(key_of(name), (1_000).to_bytes(8, "big"), {keys.USERS: 1}) for name in NAMES]
    for start in range(0, MANY, Limits.writes_max):
        some = writes[start : start + Limits.writes_max]
        assert isinstance(await store.commit(Commit(new_commit_id(SystemClock(), IDS), some)), Committed)
    return Counting(store)


async def listed(world: World, kind: str, query: str = "") -> list[str]:
    found: list[Any] = (await world.ask("GET", f"/{kind}{query}"))[kind]
    return found if kind == "traits" else [one["name"] for one in found]


@pytest.mark.parametrize(("kind", "standard"), [("traits", STANDARD_TRAITS), ("resource_classes", STANDARD_CLASSES)])
@in_loop
async def test_all_of_them_are_listed_page_by_page(kind: str, standard: tuple[str, ...]) -> None:
    store = await store_with(kind)
    async with World(cast("Engine", store)) as world:
        with tallied() as tally:
            assert await listed(world, kind) == [*standard, *NAMES]
        assert tally.trips == {"query": 2}
        # One goes and one comes.
        await world.ask("DELETE", f"/{kind}/{NAMES[11_000]}", status=NO_CONTENT)
        await world.ask("PUT", f"/{kind}/CUSTOM_Z", status=201)
        expected = [*NAMES[:11_000], *NAMES[11_001:], "CUSTOM_Z"]
        assert await listed(world, kind) == [*standard, *expected]


@in_loop
async def test_filters_look_at_all_of_them() -> None:
    async with World(cast("Engine", await store_with("traits"))) as world:
        host = await world.provider(1)
        body = {"resource_provider_generation": 0, "traits": [NAMES[3], NAMES[11_111]]}
        await world.ask("PUT", f"/resource_providers/{host}/traits", body)
        assert await listed(world, "traits", "?associated=true") == [NAMES[3], NAMES[11_111]]
        assert await listed(world, "traits", f"?name=startswith:{PREFIX}119") == NAMES[11_900:]
        assert await listed(world, "traits", f"?name=in:{NAMES[5]},{NAMES[11_999]},CUSTOM_NONE") == [
            NAMES[5],
            NAMES[11_999],
        ]
        assert len(await listed(world, "traits", "?associated=false")) == MANY + len(STANDARD_TRAITS) - 2
        # Who names some of them has none of the others read.
        with tallied() as tally:
            for name in (NAMES[11_111], NAMES[11_111].replace("_", "%5F")):
                found = await world.ask("GET", f"/resource_providers?required={name}")
                assert [one["uuid"] for one in found["resource_providers"]] == [uuid_of(1)]
        assert tally.trips == {"get": 2}
        of_many = ",".join(f"!{name}" for name in NAMES[:600])
        found = await world.ask("GET", f"/resource_providers?required={of_many}")
        assert found["resource_providers"] == []
        refused = await world.refused("GET", f"/resource_providers?required={PREFIX}99999", status=400)
        assert f"{PREFIX}99999" in refused


@pytest.mark.parametrize(("kind", "operation"), [("traits", list_traits), ("resource_classes", list_resource_classes)])
@in_loop
async def test_a_long_list_leaves_in_pieces_and_ends_in_time(kind: str, operation: Operation) -> None:
    async with World(cast("Engine", await store_with(kind))) as world:
        context = await context_of(world)
        answer = await operation(context, asked_by(NEVER))
        assert answer.pieces is not None
        pieces = [piece async for piece in answer.pieces]
        assert len(pieces) > 1
        assert max(map(len, pieces)) <= WHOLE_BYTES_MAX + 2 * PIECE_BYTES
        assert len(orjson.loads(b"".join(pieces))[kind]) > MANY
        with pytest.raises(StoreError):
            await operation(context, asked_by(world.clock.monotonic_s() - 1))
