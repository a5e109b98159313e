"""Requests whose reads are of different moments, since others commit in between: they decide by none of that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tenet.placement import keys
from tenet.placement.errors import CONCURRENT_UPDATE
from tenet.store.contract import Page
from tenet.store.errors import LimitExceeded
from tests.unit.placement.test_model_keeping import Troubled
from tests.unit.placement.world import OWNER, World, in_loop, memory, uuid_of

CREATED, NO_CONTENT, BAD, CONFLICT = 201, 204, 400, 409
OLD_OWNER = {"project_id": "project", "user_id": "user"}


class Between(Troubled):
    """A store at which others commit right before or after a provider is read, once.

    A claim reads providers that the read model does not know, or knows to have no room.
    """

    def __init__(self) -> None:
        super().__init__(memory())
        self.ahead: Callable[[], Awaitable[Any]] | None = None
        self.behind: Callable[[], Awaitable[Any]] | None = None

    async def query(self, *arguments: Any, **named: Any) -> Page:
        if self.ahead is not None and arguments[0] == keys.PROVIDERS_SPACE:
            ahead, self.ahead = self.ahead, None
            await ahead()
        page = await self._store.query(*arguments, **named)
        if self.behind is not None and arguments[0] == keys.PROVIDERS_SPACE:
            behind, self.behind = self.behind, None
            await behind()
        return page


def between() -> Any:
    """Returns such a store, typed as whatever takes it wants it."""
    return Between()


@in_loop
async def test_a_claim_is_not_refused_for_the_room_that_it_holds_itself() -> None:
    """Before 1.28 a client that has lost an answer sends its claim again: both are answered as one after the other."""
    store = between()
    async with World(store) as world:
        host = await world.provider(1, VCPU=4)
        world.keeper.fleet.remove(host)
        path, body = f"/allocations/{uuid_of(7)}", {"allocations": {host: {"resources": {"VCPU": 4}}}, **OLD_OWNER}
        answers = []

        async def first() -> None:
            answers.append(await world.send("PUT", path, body, version="1.27"))

        store.ahead = first
        answers.append(await world.send("PUT", path, body, version="1.27"))
        assert [answer.status for answer in answers] == [NO_CONTENT] * 2, answers[-1].body
        assert await world.used(host) == {"VCPU": 4}


@in_loop
async def test_from_1_28_on_the_other_one_is_told_that_it_was_not_the_first() -> None:
    """Nova tries again then, and gives up the host where it is told that there is no room."""
    store = between()
    async with World(store) as world:
        host = await world.provider(1, VCPU=4)
        world.keeper.fleet.remove(host)
        answers = []

        async def first() -> None:
            answers.append(await world.claim(7, {host: {"VCPU": 4}}))

        store.ahead = first
        answers.append(await world.claim(7, {host: {"VCPU": 4}}))
        assert [answer.status for answer in answers] == [NO_CONTENT, CONFLICT]
        assert CONCURRENT_UPDATE.encode() in answers[1].body


@in_loop
async def test_what_does_not_fit_is_refused_all_the_same() -> None:
    store = between()
    async with World(store) as world:
        host = await world.provider(1, VCPU=4)
        world.keeper.fleet.remove(host)

        async def other() -> None:
            assert (await world.claim(8, {host: {"VCPU": 3}})).status == NO_CONTENT

        store.ahead = other
        answer = await world.claim(7, {host: {"VCPU": 2}})
        assert answer.status == CONFLICT
        assert b"would exceed the capacity" in answer.body
        assert (await world.claim(7, {host: {"VCPU": 1}})).status == NO_CONTENT


@pytest.mark.parametrize("where", ["ahead", "behind"])
@in_loop
async def test_a_reshape_is_not_refused_for_what_was_freed_meanwhile(where: str) -> None:
    store = between()
    async with World(store) as world:
        host, other = await world.provider(1, VCPU=4), await world.provider(2, VCPU=4)
        for consumer in (7, 8):
            assert (await world.claim(consumer, {host: {"VCPU": 2}})).status == NO_CONTENT
        body = {
            "inventories": {
                host: {"resource_provider_generation": await world.generation(host), "inventories": {}},
                other: {"resource_provider_generation": 1, "inventories": {"VCPU": {"total": 8}}},
            },
            "allocations": {
                uuid_of(7): {"allocations": {other: {"resources": {"VCPU": 2}}}, "consumer_generation": 1, **OWNER},
                uuid_of(8): {"allocations": {}, "consumer_generation": 1, **OWNER},
            },
        }

        async def free() -> None:
            await world.ask("DELETE", f"/allocations/{uuid_of(8)}", status=NO_CONTENT)

        setattr(store, where, free)
        answer = await world.send("POST", "/reshaper", body)
        # The sender knew a generation of the consumer that is gone: it is told so, and nothing about what is in use.
        assert answer.status == CONFLICT
        assert CONCURRENT_UPDATE.encode() in answer.body
        assert b"in use" not in answer.body


@in_loop
async def test_a_new_inventory_is_told_with_the_generation_that_it_has() -> None:
    """A claim in between raises it once more; who names a generation that is too low is refused later."""
    store = between()
    async with World(store) as world:
        host = await world.provider(1, VCPU=4)

        async def claim() -> None:
            store.behind = again

        async def again() -> None:
            assert (await world.claim(7, {host: {"VCPU": 1}})).status == NO_CONTENT

        store.behind = claim
        made = await world.ask(
            "POST",
            f"/resource_providers/{host}/inventories",
            {"resource_class": "MEMORY_MB", "total": 1_024, "resource_provider_generation": 1},
            status=CREATED,
        )
        told = made["resource_provider_generation"]
        assert told == await world.generation(host)
        body = {"resource_provider_generation": told, "total": 2_048}
        await world.ask("PUT", f"/resource_providers/{host}/inventories/MEMORY_MB", body)


@in_loop
async def test_what_is_too_large_for_the_store_is_the_clients_mistake() -> None:
    store = between()
    async with World(store) as world:
        host = await world.provider(1, VCPU=4)

        async def refuse(_: dict[str, Any]) -> None:
            raise LimitExceeded("a commit touches at most 200 partitions, not 211")

        store.after_commit = refuse
        answer = await world.claim(7, {host: {"VCPU": 1}})
        assert answer.status == BAD
        assert b"200 partitions" in answer.body
