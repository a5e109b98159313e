"""Reads over a store that gives as little at a time as it likes, which the contract allows: nothing is missed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tenet.placement import keys
from tenet.placement.ops.reading import Reader
from tenet.store.contract import Page
from tenet.store.errors import StoreUnavailable
from tests.unit.placement.test_model_keeping import Troubled
from tests.unit.placement.world import World, in_loop, memory, uuid_of

NO_CONTENT = 204
CLASSES = {f"CUSTOM_CLASS_{number:02}": 10 for number in range(12)}


class Stingy(Troubled):
    """A store that gives a few records at a time.

    Args:
        most: records in a page.
    """

    def __init__(self, most: int) -> None:
        super().__init__(memory())
        self._most = most
        #: What happens between two pages of a provider.
        self.between: Callable[[], Awaitable[None]] | None = None

    async def query(self, *arguments: Any, **named: Any) -> Page:
        page = await self._store.query(*arguments, **{**named, "limit": min(self._most, named["limit"])})
        if self.between is not None and page.more and arguments[0] == keys.PROVIDERS_SPACE:
            await self.between()
        return page


def stingy(most: int) -> Any:
    """Returns a stingy store, typed as whatever takes it wants it."""
    return Stingy(most)


async def with_classes(world: World, number: int) -> str:
    for name in CLASSES:
        await world.ask("POST", "/resource_classes", {"name": name}, status=201 if number == 1 else 409)
    return await world.provider(number, VCPU=100, **CLASSES)


@pytest.mark.parametrize("most", [1, 2, 7, 10_000])
@in_loop
async def test_a_projects_usage_is_of_all_its_users(most: int) -> None:
    """A user for each job, as continuous integration has them: each leaves a record for each class."""
    async with World(stingy(most)) as world:
        host = await world.provider(1, VCPU=100, MEMORY_MB=100_000, DISK_GB=1_000)
        users = 13
        for number in range(users):
            taken = {"VCPU": 1, "MEMORY_MB": 100, "DISK_GB": 2}
            assert (await world.claim(100 + number, {host: taken}, user_id=f"user-{number:02}")).status == NO_CONTENT
        usages = (await world.ask("GET", "/usages?project_id=project"))["usages"]["INSTANCE"]
        assert usages == {
            "VCPU": users,
            "MEMORY_MB": 100 * users,
            "DISK_GB": 2 * users,
            "consumer_count": users,
        }
        last = (await world.ask("GET", f"/usages?project_id=project&user_id=user-{users - 1}"))["usages"]
        assert last["INSTANCE"]["VCPU"] == 1


@in_loop
async def test_what_was_freed_is_not_in_the_way_of_what_is_in_use() -> None:
    async with World(stingy(3)) as world:
        host = await world.provider(1, VCPU=100)
        for number in range(9):
            assert (await world.claim(100 + number, {host: {"VCPU": 1}}, user_id=f"a-{number}")).status == NO_CONTENT
            await world.ask("DELETE", f"/allocations/{uuid_of(100 + number)}", status=NO_CONTENT)
        assert (await world.claim(7, {host: {"VCPU": 5}}, user_id="z")).status == NO_CONTENT
        assert (await world.ask("GET", "/usages?project_id=project"))["usages"]["INSTANCE"]["VCPU"] == 5


@pytest.mark.parametrize("most", [1, 3, 10])
@in_loop
async def test_a_provider_is_read_with_all_its_classes(most: int) -> None:
    async with World(stingy(most)) as world:
        host = await with_classes(world, 1)
        for number in range(3):
            assert (await world.claim(100 + number, {host: dict.fromkeys(CLASSES, 1)})).status == NO_CONTENT
        assert await world.used(host) == {"VCPU": 0, **dict.fromkeys(CLASSES, 3)}
        found = await world.ask("GET", f"/resource_providers/{host}/inventories")
        assert len(found["inventories"]) == len(CLASSES) + 1
        assert len((await world.ask("GET", f"/resource_providers/{host}/allocations"))["allocations"]) == 3
        last = max(CLASSES)
        assert (await world.claim(200, {host: {last: 8}})).status == 409
        assert (await world.claim(200, {host: {last: 7}})).status == NO_CONTENT
        listed = await world.ask("GET", f"/resource_providers?resources={last}:1")
        assert listed["resource_providers"] == []


@in_loop
async def test_what_changes_between_two_parts_is_read_again() -> None:
    store = stingy(4)
    async with World(store) as world:
        host = await with_classes(world, 1)
        reader = Reader(store)
        changes = []

        async def change() -> None:
            store.between = None
            changes.append(1)
            body = {"resource_provider_generation": await world.generation(host), "total": 77}
            await world.ask("PUT", f"/resource_providers/{host}/inventories/CUSTOM_CLASS_00", body)

        store.between = change
        found = await reader.provider(host)
        assert changes == [1]
        assert found.inventories["CUSTOM_CLASS_00"].total == 77
        assert found.generation == await world.generation(host)


@in_loop
async def test_a_provider_that_never_stands_still_is_told_to_be_so() -> None:
    store = stingy(4)
    async with World(store) as world:
        host = await with_classes(world, 1)
        reader = Reader(memory(state=store._store._state))
        numbers = iter(range(1_000, 9_000))
        plain = store.between

        async def change() -> None:
            store.between = plain
            assert (await world.claim(next(numbers), {host: {"VCPU": 1}})).status == NO_CONTENT
            store.between = change

        store.between = change
        with pytest.raises(StoreUnavailable, match="faster than it can be read"):
            await Reader(store).provider(host)
        store.between = None
        assert (await reader.provider(host)).generation == (await Reader(store).provider(host)).generation
