"""Two languages for one thing: what is claimed in units of its own is what is claimed in those of OpenStack."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec.structs import replace

from tenet.base.clock import SystemClock
from tenet.placement.fleet.fleet import Fleet
from tenet.placement.model import Inventory, Provider
from tenet.placement.ops.auditing import audit
from tenet.placement.ops.resource_plugins import ResourceClasses
from tenet.placement.rules.claim_requests import names_in, read_claim
from tenet.placement.rules.claim_schemas import CLAIM
from tenet.placement.rules.resources.builtin import A100, RESOURCE_CLASSES
from tenet.placement.rules.resources.translating import plain_claim
from tenet.placement.rules.validation import check_document
from tenet.placement.selection.diagnosis import explain
from tenet.placement.selection.selecting import select
from tenet.store.sqlite.engine import open_engine
from tests.rounds import examples
from tests.unit.placement.test_candidates import fleet_of, host, read
from tests.unit.placement.test_claiming import CONFLICT, CREATED, NO_CONTENT, OK, claim_of, claimed
from tests.unit.placement.test_resources import anywhere, described, of_one, shown
from tests.unit.placement.test_selection import selection_of
from tests.unit.placement.world import IDS, World, in_loop, memory, uuid_of

CLASSES = ResourceClasses(RESOURCE_CLASSES)
SEEDS = st.integers(0, 2**32)

#: The same amounts in both languages.
PAIRS: tuple[tuple[str, Any, dict[str, int]], ...] = (
    ("cpu", 2, {"VCPU": 2}),
    ("memory", "1.5GiB", {"MEMORY_MB": 1536}),
    ("memory", "512MiB", {"MEMORY_MB": 512}),
    ("disk", "1TiB", {"DISK_GB": 1024}),
    ("dedicated_cpu", "3cpu", {"PCPU": 3}),
    ("bandwidth_egress", "2Mbit/s", {"NET_BW_EGR_KILOBIT_PER_SEC": 2000}),
    ("bandwidth_ingress", 64, {"NET_BW_IGR_KILOBIT_PER_SEC": 64}),
    ("pci_device", "8086:1572", {"CUSTOM_PCI_8086_1572": 1}),
    ("licence", {"acme-db": 2}, {"CUSTOM_LICENCE_ACME_DB": 2}),
)
#: Those that come from one provider, with the traits that they ask for.
OF_ONE: tuple[tuple[str, Any, dict[str, int], list[str]], ...] = (
    ("numa_cell", {"cpu": 1, "memory": "1GiB"}, {"VCPU": 1, "MEMORY_MB": 1024}, ["HW_NUMA_ROOT"]),
    ("gpu_a100_40gb", "2g.10gb", {"CUSTOM_GPU_A100_40GB_COMPUTE": 2, "CUSTOM_GPU_A100_40GB_MEMORY": 2}, []),
)


def both_of(random: Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns a claim in its own units, and the same in OpenStack's."""
    own: list[dict[str, Any]] = []
    plain: list[dict[str, Any]] = []
    for number in range(random.randint(1, 3)):
        own_group: dict[str, Any] = {"resources": {}}
        plain_group: dict[str, Any] = {"resources": {}}
        for group in (own_group, plain_group):
            if number:
                group["suffix"] = f"_{number}"
            group["required"] = ["HW_CPU_X86_AVX"]
        if number and random.random() < 0.5:
            name, amount, amounts, traits = random.choice(OF_ONE)
            own_group["resources"][name] = amount
            plain_group["resources"] |= amounts
            plain_group["required"] = ["HW_CPU_X86_AVX", *traits]
        else:
            for name, amount, amounts in random.sample(PAIRS, random.randint(1, 4)):
                if not amounts.keys() & plain_group["resources"].keys():
                    own_group["resources"] |= {name: amount} if random.random() < 0.7 else amounts
                    plain_group["resources"] |= amounts
        own.append(own_group)
        plain.append(plain_group)
    policy = {"group_policy": random.choice(("none", "isolate"))}
    return (
        claim_of(7, request={"groups": own, **policy}),
        claim_of(7, request={"groups": plain, **policy}),
    )


@settings(max_examples=examples(100), deadline=None)
@given(seed=SEEDS)
def test_both_languages_mean_the_same(seed: int) -> None:
    own, plain = both_of(Random(seed))
    check_document(own, CLAIM)
    check_document(plain, CLAIM)
    meant = plain_claim(own, CLASSES)
    assert meant == plain
    classes, traits = names_in(meant)
    first = read_claim(meant, classes=classes, traits=traits, sent=own)
    second = read_claim(plain, classes=classes, traits=traits)
    assert first.claimants == second.claimants
    assert first.document == own
    assert (first.digest == second.digest) == (own == plain), "what was sent is what is known again"


def test_the_schema_of_claims_takes_both_and_nothing_between() -> None:
    Draft202012Validator.check_schema(CLAIM)
    validator = Draft202012Validator(CLAIM)
    for resources, is_valid in (
        ({"VCPU": 1, "memory": "1GiB"}, True),
        ({"memory": 5}, True),
        ({"pci_device": {"8086:1572": 1}}, True),
        ({"VCPU": "1"}, False),
        ({"VCPU": 0}, False),
        ({"VCPU": {"a": 1}}, False),
        ({"memory": 1.5}, False),
        ({"memory": None}, False),
        ({"memory": ["1GiB"]}, False),
        ({"Memory": 1}, False),
        ({"memory-size": 1}, False),
        ({"m" * 65: 1}, False),
        ({"A" * 256: 1}, False),
        ({"": 1}, False),
    ):
        assert validator.is_valid(claim_of(7, request=anywhere(resources))) == is_valid, resources


# ---- models ----------------------------------------------------------------------------------------------------------


def devices_of(random: Random) -> dict[str, dict[str, int]]:
    """Returns devices, and what is taken of the slices of each."""
    return {
        str(number): {kind: random.randint(0, total) for kind, total in A100.slices.items()}
        for number in range(random.randint(1, 5))
    }


def as_provider(number: str, taken: Mapping[str, int]) -> Provider:
    made = A100().write(1)
    used = {f"{A100.prefix}{kind.upper()}": count for kind, count in taken.items()}
    return replace(host(int(number)), inventories=dict(made.inventories), used=used)


@settings(max_examples=examples(60), deadline=None)
@given(seed=SEEDS)
def test_a_partition_is_found_where_its_slices_are(seed: int) -> None:
    """Against a count of slices that knows nothing of inventories."""
    random = Random(seed)
    devices = devices_of(random)
    fleet = fleet_of(as_provider(number, taken) for number, taken in devices.items())
    size = random.choice(sorted(A100.partitions))
    meant = plain_claim(claim_of(7, request=of_one({"gpu_a100_40gb": size})), CLASSES)
    classes, traits = names_in(meant)
    request = read_claim(meant, classes=classes, traits=traits).claimants[0].request
    fitting = {
        host(int(number)).uuid
        for number, taken in devices.items()
        if all(taken[kind] + more <= A100.slices[kind] for kind, more in A100.partitions[size].items())
    }
    found: set[str] = set()
    for at in range(8):
        result = select(fleet, selection_of(request, seed=at))
        if isinstance(result, list):
            found |= set(result[0].option.candidate.allocations)
    assert bool(found) == bool(fitting)
    assert found <= fitting


@settings(max_examples=examples(100), deadline=None)
@given(
    total=st.integers(1, 400),
    least=st.integers(1, 40),
    step=st.integers(1, 12),
    used=st.integers(0, 400),
    amount=st.integers(1, 400),
)
def test_a_refusal_says_whether_there_is_too_little_or_the_amount_does_not_go(
    total: int, least: int, step: int, used: int, amount: int
) -> None:
    fleet = Fleet()
    used = min(used, total)
    inventory = Inventory(total, min_unit=least, step_size=step)
    fleet.put(replace(host(1), inventories={"MEMORY_MB": inventory}, used={"MEMORY_MB": used}))
    request = read(f"resources=MEMORY_MB:{amount}")
    if amount + used <= total and amount >= least and not amount % step:
        assert isinstance(select(fleet, selection_of(request)), list)
        return
    _, (missing,) = explain(fleet, request)
    assert f"{amount} wanted; the most that one provider can give is {total - used}" in missing
    assert ("in steps or from a least amount on" in missing) == (amount + used <= total)


# ---- doors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/resource-classes"),
        ("GET", f"/v1/resource-providers/{uuid_of(1)}/resources"),
        ("PUT", f"/v1/resource-providers/{uuid_of(1)}/resources"),
        ("GET", f"/v1/resource-providers/{uuid_of(1)}/capabilities"),
        ("PUT", f"/v1/resource-providers/{uuid_of(1)}/capabilities"),
    ],
)
def test_who_may_not_change_providers_is_refused(method: str, path: str) -> None:
    @in_loop
    async def run() -> None:
        async with World(memory()) as world:
            await world.provider(1)
            name = path.rpartition("/")[2]
            body = None if method == "GET" else {"resource_provider_generation": 0, name: {}}
            text = await world.refused(method, path, body, status=403, x_roles="member")
            assert "Policy does not allow placement:resource_" in text
            assert (await world.send(method, path, body)).status == OK
            assert (await world.send("DELETE", path)).status == 405
            if method == "PUT":
                assert (await world.send("PUT", path, body, content_type="text/plain")).status == 415
                assert (await world.send("PUT", path, b"{")).status == 400
                assert (await world.send("PUT", path, b"")).status in {400, 415}
            else:
                assert (await world.send("GET", path, accept="text/html")).status == 406

    run()


@pytest.mark.parametrize("version", ["1.0", "1.20", "1.39"])
def test_no_microversion_is_needed(version: str) -> None:
    """What is under /v1 has a version of its own: a capacity of 0 is as good at 1.0 as at 1.39."""

    @in_loop
    async def run() -> None:
        async with World(memory()) as world:
            await world.provider(1)
            path = f"/v1/resource-providers/{uuid_of(1)}"
            resources = {"memory": {"total": "1GiB", "reserved": "1GiB"}, "cpu": 4}
            body = {"resource_provider_generation": 0, "resources": resources}
            told = await world.ask("PUT", f"{path}/resources", body, version=version)
            assert told["resources"]["memory"]["free"] == "0MiB"
            capabilities = {"resource_provider_generation": 1, "capabilities": {"cores": {"integer": 4}}}
            await world.ask("PUT", f"{path}/capabilities", capabilities, version=version)
            claim = claim_of(7, request=anywhere({"cpu": 1}))
            await world.ask("POST", "/v1/claims", claim, version=version, status=CREATED)

    run()


@in_loop
async def test_all_of_it_outlives_the_process(tmp_path: Path) -> None:
    seen: list[bytes] = []
    for start in range(3):
        engine = await open_engine(str(tmp_path / "store"), clock=SystemClock(), ids=IDS)
        async with World(engine) as world:
            if not start:
                await described(world, 1, {"numa_cell": {"cpu": 2, "memory": "8GiB"}, "licence": {"acme-db": 2}})
                body = {
                    "resource_provider_generation": await world.generation(uuid_of(1)),
                    "capabilities": {"driver_version": {"version": "550.54"}, "cpu_flags": {"set": ["avx"]}},
                }
                await world.ask("PUT", f"/v1/resource-providers/{uuid_of(1)}/capabilities", body)
            request = of_one({"numa_cell": {"cpu": 1}})
            request["groups"][0]["capabilities"] = {"driver_version": {">=": "550"}}
            status = CREATED if start < 2 else CONFLICT
            await claimed(world, claim_of(10 + start, request=request), status=status)
            capabilities = await world.ask("GET", f"/v1/resource-providers/{uuid_of(1)}/capabilities")
            seen.append(orjson.dumps(capabilities["capabilities"]))
            assert (await shown(world, 1))["resources"]["numa_cell"]["used"]["cpu"] == min(start + 1, 2)
            assert (await audit(world.store)).findings == []
        await engine.close()
    assert len(set(seen)) == 1


@in_loop
async def test_what_an_openstack_client_writes_is_shown_in_units_and_the_other_way_round() -> None:
    async with World(memory()) as world:
        await world.provider(1, VCPU=4, MEMORY_MB={"total": 2048, "reserved": 512, "step_size": 256}, VGPU=2)
        told = (await shown(world, 1))["resources"]
        assert told["memory"] == {
            "described": {"total": "2GiB", "reserved": "512MiB", "step": "256MiB"},
            "used": "0MiB",
            "free": "1536MiB",
        }
        assert told["cpu"]["described"] == {"total": 4}
        assert told["VGPU"]["free"] == 2, "no class knows it, and it is told all the same"
        # What is shown is what may be sent.
        again = {name: one["described"] for name, one in told.items()}
        before = (await world.ask("GET", f"/resource_providers/{uuid_of(1)}/inventories"))["inventories"]
        await described(world, 1, again, made=False)
        assert (await world.ask("GET", f"/resource_providers/{uuid_of(1)}/inventories"))["inventories"] == before
        # And what was claimed by one is freed by the other.
        await claimed(world, claim_of(7, request=anywhere({"memory": "1GiB", "VGPU": 2})))
        assert await world.used(uuid_of(1)) == {"VCPU": 0, "MEMORY_MB": 1024, "VGPU": 2}
        assert (await shown(world, 1))["resources"]["memory"]["free"] == "512MiB"
        await world.ask("DELETE", f"/allocations/{uuid_of(7)}", status=NO_CONTENT)
        assert (await shown(world, 1))["resources"]["memory"]["free"] == "1536MiB"
        # A candidate of OpenStack's takes what a description gave.
        found = await world.ask("GET", "/allocation_candidates?resources=MEMORY_MB:512,VGPU:1")
        assert len(found["allocation_requests"]) == 1
