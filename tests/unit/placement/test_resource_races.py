"""Resources and capabilities while others change them: many at once, nodes that lose answers, and both engines."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import orjson
import pytest

from tenet.base.clock import SystemClock
from tenet.placement.ops.auditing import audit
from tenet.placement.rules.capabilities import Comparison, read_capabilities, read_comparisons
from tenet.placement.rules.resources.builtin import A100
from tenet.store.faulty import NO_FAULTS, Faulty
from tenet.store.memory_state import MemoryState
from tests.cassandra_model.stand import Stand
from tests.unit.placement.test_claiming import CONFLICT, CREATED, NO_CONTENT, OK, UNAVAILABLE, claim_of
from tests.unit.placement.test_claims import PLAN
from tests.unit.placement.test_resources import anywhere, described, of_one, shown, takes
from tests.unit.placement.world import World, in_loop, memory, uuid_of

SIZES = sorted(A100.partitions)
VERSIONS = ("535.129.3", "550.54", "550.127", "560")
DEVICES = range(11, 15)


async def insist(world: World, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Sends a request until it is answered, as a client does that was told to try again."""
    while True:
        answer = await world.send(method, path, body)
        if answer.status != UNAVAILABLE:
            return answer.status, orjson.loads(answer.body or b"null")


async def change(world: World, number: int, what: str, value: Any) -> None:
    """Replaces the resources or the capabilities of a provider, with the generation as it is then."""
    path = f"/v1/resource-providers/{uuid_of(number)}/{what}"
    while True:
        status, now = await insist(world, "GET", path)
        assert status == OK, now
        body = {"resource_provider_generation": now["resource_provider_generation"], what: value}
        status, answer = await insist(world, "PUT", path, body)
        if status == OK:
            return
        assert status == CONFLICT, answer


def slices_of(sizes: list[str]) -> dict[str, int]:
    """Returns what partitions take of a device, by a count of its own."""
    return {kind: sum(A100.partitions[size][kind] for size in sizes) for kind in A100.slices}


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(3))
@in_loop
async def test_partitions_never_take_more_than_their_device_has(seed: int) -> None:
    """Sizes are claimed, freed and claimed again from two nodes on a bad way to the store, while drivers change."""
    state, clock, chance = MemoryState(), SystemClock(), Random(seed)
    stores = [memory(state=state) for _ in range(3)]
    nodes = [Faulty(store, NO_FAULTS, seed=seed + number, clock=clock) for number, store in enumerate(stores[:2])]
    async with World(stores[2], is_shared=True) as clean:
        await described(clean, 1, {"cpu": 64})
        for device in DEVICES:
            await described(clean, device, {"gpu_a100_40gb": 1}, parent=1)
        async with World(nodes[0], is_shared=True) as one, World(nodes[1], is_shared=True) as other:
            for node in nodes:
                node._plan = PLAN
            sizes: dict[int, str] = {}

            async def take(consumer: int) -> None:
                size = chance.choice(SIZES)
                body = claim_of(consumer, request=of_one({"gpu_a100_40gb": size}))
                status, answer = await insist(chance.choice((one, other)), "POST", "/v1/claims", body)
                assert status in {OK, CREATED, CONFLICT}, answer
                if status == CONFLICT:
                    return
                sizes[consumer] = size
                if chance.random() < 0.4:
                    path = f"/allocations/{uuid_of(consumer)}"
                    status, answer = await insist(chance.choice((one, other)), "DELETE", path)
                    assert status in {NO_CONTENT, 404}, answer  # 404: the first one's answer was lost
                    del sizes[consumer]

            async def drive() -> None:
                for _ in range(6):
                    capabilities = {"driver_version": {"version": chance.choice(VERSIONS)}}
                    await change(chance.choice((one, other)), chance.choice(DEVICES), "capabilities", capabilities)

            await asyncio.gather(*(take(consumer) for consumer in range(100, 150)), drive())
        taken: dict[str, list[str]] = {uuid_of(device): [] for device in DEVICES}
        for consumer, size in sizes.items():
            (uuid,) = (await clean.ask("GET", f"/allocations/{uuid_of(consumer)}"))["allocations"]
            taken[uuid].append(size)
        for device in DEVICES:
            told = (await shown(clean, device))["resources"]["gpu_a100_40gb"]
            slices = slices_of(taken[uuid_of(device)])
            assert told["used"] == slices
            assert all(slices[kind] <= A100.slices[kind] for kind in slices)
        assert any(taken.values())
        assert (await audit(clean.store)).findings == []


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(3))
@in_loop
async def test_nobody_is_granted_by_a_capability_that_was_gone(seed: int) -> None:
    """While drivers of 4 hosts change for ever, each claim gets a host whose driver did at the moment of its commit."""
    chance = Random(seed)
    async with World(memory()) as world:
        for number in range(1, 5):
            await described(world, number, {"cpu": 1000})
        history: dict[str, list[tuple[int, str]]] = {uuid_of(number): [] for number in range(1, 5)}
        #: Of each claim where it went, which changes were made between the question and the answer, and what was asked.
        granted: list[tuple[str, int, int, Comparison]] = []
        is_over = False

        async def drive(number: int) -> None:
            while not is_over:
                version = chance.choice(VERSIONS)
                path = f"/v1/resource-providers/{uuid_of(number)}/capabilities"
                now = await world.ask("GET", path)
                body = {
                    "resource_provider_generation": now["resource_provider_generation"],
                    "capabilities": {"driver_version": {"version": version}},
                }
                status, answer = await insist(world, "PUT", path, body)
                if status == OK:
                    history[uuid_of(number)].append((answer["resource_provider_generation"], version))
                await asyncio.sleep(0)

        async def take(consumer: int) -> None:
            asked = {"driver_version": {">=": chance.choice(VERSIONS)}}
            request = {"groups": [{"resources": {"cpu": 1}, "capabilities": asked}]}
            before = {uuid: len(versions) for uuid, versions in history.items()}
            status, answer = await insist(world, "POST", "/v1/claims", claim_of(consumer, request=request))
            if status == CONFLICT:
                return
            ((uuid, _),) = answer["consumers"][uuid_of(consumer)]["allocations"].items()
            (comparison,) = read_comparisons(asked, "")
            # One more change may have landed by now, and not be told to who made it.
            granted.append((uuid, max(0, before[uuid] - 1), len(history[uuid]) + 1, comparison))

        for number in range(1, 5):
            await change(world, number, "capabilities", {"driver_version": {"version": VERSIONS[0]}})
            history[uuid_of(number)].append((await world.generation(uuid_of(number)), VERSIONS[0]))
        drivers = [asyncio.ensure_future(drive(number)) for number in range(1, 5)]
        for first in range(100, 160, 6):
            await asyncio.gather(*(take(consumer) for consumer in range(first, first + 6)))
        is_over = True
        await asyncio.gather(*drivers)
        assert granted
        for uuid, first, last, comparison in granted:
            meanwhile = [version for _, version in history[uuid][first:last]]
            values = [read_capabilities({"x": {"version": version}})["x"] for version in meanwhile]
            assert any(comparison.is_met(value) for value in values), (comparison, meanwhile)
        assert (await audit(world.store)).findings == []


def test_two_processes_of_a_cluster_describe_and_compare() -> None:
    """Over the distributed engine: a new class that both use first, and a capability that the other one records."""

    async def test(stand: Stand) -> None:
        first, second = await stand.process("first"), await stand.process("second", behind_ms=30)
        async with World(first.engine, clock=first.clock) as one, World(second.engine, clock=second.clock) as other:
            for number in range(1, 5):
                await one.provider(number)
            device = {"cpu": 4, "pci_device": {"8086:1572": 1}}
            await asyncio.gather(
                *(change(chosen, number, "resources", device) for number, chosen in enumerate((one, other) * 2, 1))
            )
            for number in range(1, 5):
                version = {"version": VERSIONS[number - 1]}
                await change(one, number, "capabilities", {"driver_version": version})
            request = anywhere({"pci_device": "8086:1572"})
            request["groups"][0]["capabilities"] = {"driver_version": {">=": "550", "<": "560"}}
            statuses: list[int] = []
            for consumer in range(100, 103):
                status, _ = await until_known(other, claim_of(consumer, request=request), len(statuses) < 2)
                statuses.append(status)
            assert statuses == [CREATED, CREATED, CONFLICT]
            assert await one.used(uuid_of(2)) == {"VCPU": 0, "CUSTOM_PCI_8086_1572": 1}
            assert await one.used(uuid_of(3)) == {"VCPU": 0, "CUSTOM_PCI_8086_1572": 1}
            await one.ask("DELETE", "/resource_classes/CUSTOM_PCI_8086_1572", status=CONFLICT)

    Stand().run(test)


async def until_known(world: World, body: Any, is_there: bool) -> tuple[int, Any]:
    """Claims until the node has heard of what there has to be."""
    status, answer = await insist(world, "POST", "/v1/claims", body)
    for _ in range(300):
        if not is_there or status == CREATED:
            break
        await asyncio.sleep(0.05)
        status, answer = await insist(world, "POST", "/v1/claims", body)
    return status, answer


RESOURCES: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("cpu", ({"total": 8}, {"total": 4, "ratio": 2.0})),
    ("dedicated_cpu", ({"total": 3},)),
    ("disk", ({"total": "1TiB"}, {"total": "10GiB", "step": "5GiB"})),
    ("memory", ({"total": "4GiB", "reserved": "1GiB"}, {"total": "5MiB"})),
    ("pci_device", ({"8086:1572": 1}, {"8086:1572": 2, "10de:20f1": 1})),
    ("licence", ({"acme-db": 5},)),
    ("gpu_a100_40gb", (1,)),
    ("gpu_h100_80gb", (1,)),
    ("bandwidth_egress", ({"total": "10Gbit/s", "step": "1Mbit/s"},)),
)


@pytest.mark.parametrize("seed", range(4))
@in_loop
async def test_what_is_described_is_what_is_shown_however_often_it_changes(seed: int) -> None:
    """Descriptions and capabilities of few providers at random, against a dictionary; every class in use is counted."""
    chance = Random(seed)
    async with World(memory()) as world:
        resources: dict[int, Any] = {}
        capabilities: dict[int, Any] = {}
        for number in range(1, 4):
            await world.provider(number)
            resources[number], capabilities[number] = {}, {}
        for _ in range(40):
            number = chance.randint(1, 3)
            if chance.random() < 0.3:
                capabilities[number] = {"slot": {"integer": chance.randint(0, 9)}} if chance.random() < 0.8 else {}
                await change(world, number, "capabilities", capabilities[number])
            else:
                some = chance.sample(RESOURCES, chance.randint(0, 4))
                resources[number] = {name: chance.choice(values) for name, values in some}
                await change(world, number, "resources", resources[number])
            for one, expected in resources.items():
                told = (await shown(world, one))["resources"]
                assert {name: each["described"] for name, each in told.items()} == expected
                path = f"/v1/resource-providers/{uuid_of(one)}/capabilities"
                assert (await world.ask("GET", path))["capabilities"] == capabilities[one]
        assert (await audit(world.store)).findings == []
        for number in range(1, 4):
            await world.ask("DELETE", f"/resource_providers/{uuid_of(number)}", status=NO_CONTENT)
        for listed in (await world.ask("GET", "/resource_classes"))["resource_classes"]:
            if listed["name"].startswith("CUSTOM_"):
                await world.ask("DELETE", f"/resource_classes/{listed['name']}", status=NO_CONTENT)
        assert (await audit(world.store)).findings == []


@in_loop
async def test_a_description_that_was_sent_twice_is_one() -> None:
    """Whose answer was lost sends it again, and is told that the generation is another: nothing is described twice."""
    async with World(memory()) as world:
        await world.provider(1)
        path = f"/v1/resource-providers/{uuid_of(1)}/resources"
        body = {"resource_provider_generation": 0, "resources": {"licence": {"acme-db": 5}}}
        answers = await asyncio.gather(*(world.send("PUT", path, body) for _ in range(6)))
        assert sorted(one.status for one in answers) == [OK] + [CONFLICT] * 5
        assert (await shown(world, 1))["resources"]["licence"]["free"] == {"acme-db": 5}
        assert (await audit(world.store)).findings == []


@in_loop
async def test_what_is_too_large_for_one_commit_is_refused_and_nothing_is_written() -> None:
    """A commit checks of each new name that it is absent, and has 100 checks."""
    async with World(memory()) as world:
        await world.provider(1)
        path = f"/v1/resource-providers/{uuid_of(1)}/resources"
        devices = {f"8086:{number:04x}": 1 for number in range(64)}
        licences = {f"product-{number}": 1 for number in range(64)}
        body = {"resource_provider_generation": 0, "resources": {"pci_device": devices, "licence": licences}}
        status, answer = await insist(world, "PUT", path, body)
        assert status == 400
        assert "too large for one change" in answer["errors"][0]["detail"]
        assert await world.generation(uuid_of(1)) == 0
        assert not [
            one["name"]
            for one in (await world.ask("GET", "/resource_classes"))["resource_classes"]
            if one["name"].startswith("CUSTOM_")
        ]
        body["resources"] = {"pci_device": devices}
        assert (await insist(world, "PUT", path, body))[0] == OK
        body |= {"resource_provider_generation": 1, "resources": {"pci_device": devices, "licence": licences}}
        assert (await insist(world, "PUT", path, body))[0] == OK, "half of the names are there by now"
        assert (await audit(world.store)).findings == []


@in_loop
async def test_what_is_in_use_stays_when_a_claim_comes_between() -> None:
    """A description that leaves a class out, and a claim of it, at the same moment: one of the two is refused."""
    for seed in range(10):
        chance = Random(seed)
        async with World(memory()) as world:
            await described(world, 1, {"cpu": 4, "pci_device": {"8086:1572": 1}})
            generation = await world.generation(uuid_of(1))
            path = f"/v1/resource-providers/{uuid_of(1)}/resources"
            body = {"resource_provider_generation": generation, "resources": {"cpu": 4}}
            claim = claim_of(7, request=anywhere({"pci_device": "8086:1572"}))
            sent = [world.send("PUT", path, body), world.send("POST", "/v1/claims", claim)]
            chance.shuffle(sent)
            statuses = [one.status for one in await asyncio.gather(*sent)]
            assert sorted(statuses) in ([OK, CONFLICT], [CREATED, CONFLICT])
            assert (await audit(world.store)).findings == []


@in_loop
async def test_a_claim_of_many_asks_for_each_in_its_own_units() -> None:
    """A gang, each with a request of its own: all in its own language, all or nothing."""
    async with World(memory()) as world:
        await described(world, 1, {"cpu": 8, "memory": "8GiB", "pci_device": {"8086:1572": 1}})
        body = claim_of(7, 8, request=anywhere({"memory": "3GiB"}))
        body["consumers"][1]["request"] = anywhere({"cpu": 2, "pci_device": "8086:1572"})
        status, answer = await insist(world, "POST", "/v1/claims", body)
        assert status == CREATED
        assert answer["consumers"][uuid_of(7)]["allocations"][uuid_of(1)]["resources"] == {"MEMORY_MB": 3072}
        assert await world.used(uuid_of(1)) == {"VCPU": 2, "MEMORY_MB": 3072, "CUSTOM_PCI_8086_1572": 1}
        more = claim_of(9, 10, request=anywhere({"memory": "3GiB"}))
        status, answer = await insist(world, "POST", "/v1/claims", more)
        assert status == CONFLICT
        assert await takes(world, 9, anywhere({"memory": "5GiB"})) == {uuid_of(1): {"MEMORY_MB": 5120}}
