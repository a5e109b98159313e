"""What requests cost: round trips to the store, exactly. An allocation reads its consumer, and commits.

A commit tells what it has left in use; what else it has changed is read once more behind it, for the read model. Times
say little on a machine that does other things too; round trips are what a request costs on an engine that is far away,
and the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import pytest

from tenet.store.contract import Engine
from tests.counting import Counting, tallied
from tests.dear import Dear
from tests.unit.placement.world import OWNER, World, in_loop, memory, uuid_of

HOSTS, HELD_BY = 4, 500
NEW = uuid_of(900)
HOST = uuid_of(1)
IN_ONE = {"groups": [{"resources": {"VCPU": 1}, "in_tree": HOST}]}

Cost = dict[str, int]


def allocation(hosts: Iterable[int], generation: int | None) -> dict[str, Any]:
    allocations = {uuid_of(number): {"resources": {"VCPU": 1}} for number in hosts}
    return {"allocations": allocations, "consumer_generation": generation, **OWNER}


def claim(consumers: int) -> dict[str, Any]:
    asking = [{"uuid": uuid_of(800 + number), **OWNER} for number in range(consumers)]
    return {"consumers": asking, "request": IN_ONE}


INVENTORIES = {"resource_provider_generation": 2, "inventories": {"VCPU": {"total": 9}}}
TRAITS = {"resource_provider_generation": 2, "traits": ["HW_CPU_X86_AVX"]}
HELD = uuid_of(HELD_BY)
RESERVATION = {**claim(1), "expires_in_seconds": 60}
TRIPS: dict[str, tuple[str, str, Any, Cost]] = {
    "claim": ("PUT", f"/allocations/{NEW}", allocation([1], None), {"get": 1, "commit": 1}),
    "claim of two": ("PUT", f"/allocations/{NEW}", allocation([1, 2], None), {"get": 1, "commit": 1}),
    "move": ("PUT", f"/allocations/{HELD}", allocation([2], 1), {"get": 1, "query": 1, "commit": 1}),
    "free": ("DELETE", f"/allocations/{HELD}", None, {"get": 1, "query": 1, "commit": 1}),
    "show a consumer": ("GET", f"/allocations/{HELD}", None, {"get": 2}),
    "select and claim": ("POST", "/v1/claims", claim(1), {"commit": 1}),
    "select and claim for three": ("POST", "/v1/claims", claim(3), {"commit": 1}),
    "select and reserve": ("POST", "/v1/claims", RESERVATION, {"commit": 1}),
    "candidates": ("GET", "/allocation_candidates?resources=VCPU:1", None, {}),
    "list": ("GET", "/resource_providers?resources=VCPU:1", None, {}),
    "show a provider": ("GET", f"/resource_providers/{HOST}", None, {"query": 1}),
    "usages of a provider": ("GET", f"/resource_providers/{HOST}/usages", None, {"query": 1}),
    "usages of a project": ("GET", "/usages?project_id=project", None, {"query": 2}),
    "inventories": ("PUT", f"/resource_providers/{HOST}/inventories", INVENTORIES, {"query": 3, "commit": 1}),
    "traits": ("PUT", f"/resource_providers/{HOST}/traits", TRAITS, {"query": 3, "commit": 1}),
}

#: Where commits over partitions are dear, and more than elsewhere.
TRIPS_IF_DEAR: dict[str, Cost] = {
    "select and claim": {"get": 1, "commit": 1},
    "select and claim for three": {"get": 1, "commit": 1},
    # What it has to be confirmed by is noted before.
    "select and reserve": {"get": 1, "commit": 2},
}


@pytest.mark.parametrize("is_dear", [False, True], ids=["cheap", "dear"])
@pytest.mark.parametrize("name", TRIPS)
@in_loop
async def test_round_trips_of_a_request(name: str, is_dear: bool) -> None:
    method, path, body, trips = TRIPS[name]
    engine = memory()
    store = Counting(cast("Engine", Dear(engine)) if is_dear else engine)
    async with World(cast("Engine", store)) as world:
        for number in range(1, HOSTS + 1):
            await world.provider(number, VCPU=4)
        assert (await world.claim(HELD_BY, {HOST: {"VCPU": 1}})).status == 204
        with tallied() as tally:
            answer = await world.send(method, path, body)
        assert answer.status < 300, answer.body
        assert dict(tally.trips) == (TRIPS_IF_DEAR.get(name, trips) if is_dear else trips)
