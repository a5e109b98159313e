"""Following a table: what writes tell those who follow it, and what they tell where commits have no room for it."""

from __future__ import annotations

import random
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tenet.store.contract import Engine, SpaceOptions
from tenet.tables import keys
from tenet.tables.api import Change, TablesError
from tenet.tables.model import Stream, Table
from tenet.tables.rules.index_log import RETENTION_MS
from tests.unit.pipes.world import World, dear, in_loop, memory

STORES = pytest.mark.parametrize("make", [memory, dear])
Make = Callable[[], Engine]
ACCOUNT = "1" * 12


async def changes(world: World) -> list[Change]:
    """All changes of the table that its log holds."""
    source = await world.tables.following.find(ACCOUNT, "orders")
    pages = [
        await world.tables.following.changes(source, shard, after=0, limit=1_000) for shard in range(source.shards)
    ]
    return sorted((change for page in pages for change in page.changes), key=lambda one: one.position)


async def follow(world: World, reader: str = "somebody") -> Any:
    source = await world.tables.following.find(ACCOUNT, "orders")
    await world.tables.following.follow(source, reader)
    return source


@STORES
@pytest.mark.parametrize("is_indexed", [True, False])
@in_loop
async def test_large_items_are_told_whole(make: Make, *, is_indexed: bool) -> None:
    async with World(make()) as world:
        await world.make_table(is_indexed=is_indexed)
        await follow(world)
        await world.put("a", v="x" * 390_000)
        await world.put("a", v="y" * 390_000, g="g")
        first, second = await changes(world)
        assert first.new is not None
        assert second.new is not None
        assert first.new["v"]["S"] == "x" * 390_000
        assert second.old == first.new
        assert second.new["v"]["S"] == "y" * 390_000
        assert second.item_bytes > 780_000


@pytest.mark.thorough
@STORES
@in_loop
async def test_a_transaction_without_room_tells_keys(make: Make) -> None:
    async with World(make()) as world:
        await world.make_table()
        await follow(world)
        chance = random.Random(1)
        for number in range(30):
            await world.put(f"k-{number}", v=b64encode(chance.randbytes(292_000)).decode())  # cannot be compressed much
        deletes = [{"Delete": {"TableName": "orders", "Key": {"Id": {"S": f"k-{number}"}}}} for number in range(30)]
        await world.table("TransactWriteItems", TransactItems=deletes)
        removed = [change for change in await changes(world) if change.event == "REMOVE"]
        assert sorted(change.keys["Id"]["S"] for change in removed) == sorted(f"k-{number}" for number in range(30))
        assert all(not change.has_images and change.old is None for change in removed)


@in_loop
async def test_the_log_is_kept_for_a_stream_that_is_switched_on_while_somebody_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with World(memory()) as world:
        await world.make_table(is_indexed=False)
        catalog, ensure_space = world.tables._context.catalog, world.store.ensure_space

        def with_stream(table: Table | None) -> Table | None:
            assert table is not None
            stream = Stream("label", "NEW_IMAGE", 1, starts=(0, 0, 0, 0))
            return table if table.streams else msgspec.structs.replace(table, streams=(stream,))

        async def then_switched_on(space: str, options: SpaceOptions) -> None:
            await ensure_space(space, options)
            await catalog.change(ACCOUNT, "orders", with_stream)

        monkeypatch.setattr(world.store, "ensure_space", then_switched_on)
        await follow(world)
        (log,) = [one.options.log for one in await world.store.list_spaces("tables.") if keys.is_table_space(one.name)]
        assert log is not None
        assert (log.readers, log.retention_ms) == (("somebody",), RETENTION_MS)


@in_loop
async def test_a_table_that_nobody_follows_has_no_log_and_pays_nothing() -> None:
    async with World(memory()) as world:
        await world.make_table(is_indexed=False)
        (space,) = [one for one in await world.store.list_spaces("tables.") if keys.is_table_space(one.name)]
        assert space.options.log is None
        source = await follow(world)
        await follow(world)  # safe to repeat
        await follow(world, "another")
        (space,) = [one for one in await world.store.list_spaces("tables.") if keys.is_table_space(one.name)]
        assert space.options.log is not None
        assert space.options.log.readers == ("somebody", "another")
        await world.tables.following.unfollow(source, "somebody")
        await world.tables.following.unfollow(source, "nobody")
        (space,) = [one for one in await world.store.list_spaces("tables.") if keys.is_table_space(one.name)]
        assert space.options.log is not None
        assert space.options.log.readers == ("another",)


@in_loop
async def test_a_table_that_was_made_anew_is_another_one() -> None:
    async with World(memory()) as world:
        await world.make_table()
        source = await follow(world)
        await world.table("DeleteTable", TableName="orders")
        await world.make_table()
        with pytest.raises(TablesError):
            await world.tables.following.follow(source, "somebody")
        await world.tables.following.unfollow(source, "somebody")
        await world.put("a", v="1")
        spaces = [one for one in await world.store.list_spaces("tables.") if keys.is_table_space(one.name)]
        assert all(one.options.log is None for one in spaces)
