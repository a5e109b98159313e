"""Schedulers on several nodes, on a store that everything happens to that the contract allows.

Each scheduler boots, moves and frees an instance of its own, and keeps a ledger of what it was told. A node may not
know whether a claim was carried out; then the scheduler asks. In the end every instance has what its ledger says, what
is in use of each host is the sum of what instances have there, and that is no more than there is.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import orjson

from tenet.placement.api import Edge, NoProof, Placement
from tenet.placement.http import PlacementService
from tenet.store.contract import Engine
from tenet.store.errors import StoreError
from tenet.store.faulty import NO_FAULTS
from tenet.wire.door import Request
from tests.sim.harness import Node, Simulation, seeds, simulate
from tests.unit.placement.world import uuid_of

NODES, SCHEDULERS, STEPS = 3, 6, 12
HOSTS, SLOTS_EACH = 3, 4
OK, NO_CONTENT, CONFLICT, UNKNOWN, UNAVAILABLE = 200, 204, 409, 500, 503
REQUEST_S = 5.0


class Cloud:
    """The service on one node, which is opened again where the store failed it.

    Args:
        store: as the node sees it.
        sim: the simulation.
        is_shared: whether others commit.
    """

    def __init__(self, store: Engine, sim: Simulation, *, is_shared: bool = True) -> None:
        self._store = store
        self._sim = sim
        self._is_shared = is_shared
        self._placement: Placement | None = None
        self._service: PlacementService | None = None

    async def open(self) -> None:
        """Opens the service, however often that fails."""
        while self._placement is None:
            try:
                placement = await Placement.open(
                    self._store, clock=self._sim.clock, ids=self._sim.ids, is_shared=self._is_shared
                )
                await placement.load()
                self._placement = placement
            except StoreError:
                await asyncio.sleep(0.05)
        self._service = self._placement.service(Edge("", "http", NoProof()))

    async def close(self) -> None:
        """Closes the service."""
        if self._placement is not None:
            await self._placement.close()

    async def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Sends a request; returns the status and the document."""
        assert self._service is not None
        headers = {"x-auth-token": "admin", "openstack-api-version": "placement 1.39"}
        data = b"" if body is None else orjson.dumps(body)
        if data:
            headers["content-type"] = "application/json"
        deadline = self._sim.clock.monotonic_s() + REQUEST_S
        answer = await self._service.answer(
            Request(method, path, "", headers, data, request_id="A" * 52, deadline=deadline)
        )
        return answer.status, orjson.loads(answer.body) if answer.body else None


class Scheduler:
    """Boots, moves and frees one instance again and again.

    Args:
        number: of the instance.
        clouds: the nodes that it asks.
        sim: the simulation.
    """

    def __init__(self, number: int, clouds: list[Cloud], sim: Simulation) -> None:
        self.instance = uuid_of(1000 + number)
        self.host: str | None = None
        self._generation: int | None = None
        self._clouds = clouds
        self._dice = sim.dice

    async def run(self) -> None:
        """Does some steps, after each of which it knows where its instance is."""
        for _ in range(STEPS):
            host = None if self._dice.chance(0.2) else uuid_of(1 + self._dice.below(HOSTS))
            await self._step(host)
            await asyncio.sleep(self._dice.below(20) / 1000)

    async def _step(self, host: str | None) -> None:
        wanted = {} if host is None else {host: {"resources": {"VCPU": 1}}}
        body = {
            "allocations": wanted,
            "consumer_generation": self._generation,
            "project_id": "project",
            "user_id": "user",
            "consumer_type": "INSTANCE",
        }
        cloud = self._clouds[self._dice.below(len(self._clouds))]
        status, document = await cloud.send("PUT", f"/allocations/{self.instance}", body)
        assert status in {NO_CONTENT, CONFLICT, UNKNOWN, UNAVAILABLE}, document
        if status == NO_CONTENT:
            self.host = host
            self._generation = None if host is None else (self._generation or 0) + 1
        elif status == CONFLICT:
            # Nobody else changes this instance: there was no room, or a claim of unknown outcome came after all.
            assert "would exceed the capacity" in document["errors"][0]["detail"], document
        elif status == UNKNOWN:
            await self._look()

    async def _look(self) -> None:
        """Finds out where the instance is."""
        while True:
            cloud = self._clouds[self._dice.below(len(self._clouds))]
            status, document = await cloud.send("GET", f"/allocations/{self.instance}")
            if status == OK:
                self.host = next(iter(document["allocations"]), None)
                self._generation = document.get("consumer_generation")
                return
            await asyncio.sleep(0.05)


def test_no_slot_is_given_out_twice() -> None:
    for seed in seeds(15, 500):
        simulate(scene, seed)


async def scene(sim: Simulation) -> None:
    truth = Cloud(sim.node(plan=NO_FAULTS).store, sim)
    await truth.open()
    for number in range(1, HOSTS + 1):
        await truth.send("POST", "/resource_providers", {"name": f"host-{number}", "uuid": uuid_of(number)})
        inventory = {"resource_class": "VCPU", "total": SLOTS_EACH}
        await truth.send("POST", f"/resource_providers/{uuid_of(number)}/inventories", inventory)
    nodes: list[Node] = [sim.node() for _ in range(NODES)]
    clouds = [Cloud(node.store, sim) for node in nodes]
    for cloud in clouds:
        await cloud.open()
    schedulers = [Scheduler(number, clouds, sim) for number in range(SCHEDULERS * HOSTS)]
    await sim.actors(len(schedulers), lambda actor: schedulers[actor].run())
    await sim.calm()
    expected = Counter(one.host for one in schedulers if one.host is not None)
    for number in range(1, HOSTS + 1):
        host = uuid_of(number)
        _, held = await truth.send("GET", f"/resource_providers/{host}/allocations")
        _, usages = await truth.send("GET", f"/resource_providers/{host}/usages")
        there = {one.instance for one in schedulers if one.host == host}
        assert held["allocations"].keys() == there
        assert usages["usages"]["VCPU"] == len(there) == expected[host] <= SLOTS_EACH
    for cloud in (*clouds, truth):
        await cloud.close()
