"""What Nova does with Placement, by Nova's own client: its compute hosts, its schedulers, and its conductors.

Runs with an interpreter that has nova; its part ``SchedulerReportClient`` is all that asks the server.

    python nova_clients.py CONFIGURATION RESULTS fleet HOSTS
    python nova_clients.py CONFIGURATION RESULTS conflicts
    python nova_clients.py CONFIGURATION RESULTS schedule SEED ROUNDS
    python nova_clients.py CONFIGURATION RESULTS compute SEED ROUNDS

CONFIGURATION is a ``nova.conf``. RESULTS becomes a JSON document: what was done, and, of those that schedule, what each
consumer has to have in the end.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "true"

import nova.conf
from nova import context, exception, objects
from nova.compute.provider_tree import ProviderTree
from nova.objects.flavor import Flavor
from nova.objects.request_spec import RequestLevelParams, RequestSpec
from nova.scheduler.client import report
from nova.scheduler.utils import ResourceRequest

PROJECT, USER = "a" * 32, "b" * 32
#: All hosts of a building share a disk.
DISK, BUILDING = str(UUID(int=1)), str(UUID(int=2))
SHARES = "MISC_SHARES_VIA_AGGREGATE"
FAST, OFF = "CUSTOM_FAST", "COMPUTE_STATUS_DISABLED"
GPUS, SLOTS = 2, 2
#: How often Nova's resource tracker sends an update again after a conflict.
TRIES = 4
#: What an instance may ask for: processors, memory in MiB, disk in GiB, graphics, the host's trait.
FLAVORS = ((1, 256, 1, False, ""), (2, 512, 5, False, ""), (4, 1024, 2, False, FAST), (1, 512, 1, True, ""))

Allocations = dict[str, dict[str, int]]


def host_uuid(number: int) -> str:
    return str(UUID(int=1000 + number))


def gpu_uuid(number: int, gpu: int) -> str:
    return str(UUID(int=100_000 + 10 * number + gpu))


def inventory(total: int, *, ratio: float = 1.0, reserved: int = 0, most: int | None = None) -> dict[str, Any]:
    return {
        "total": total,
        "reserved": reserved,
        "min_unit": 1,
        "max_unit": most or total,
        "step_size": 1,
        "allocation_ratio": ratio,
    }


class Nova:
    """One process of Nova: its client of Placement, and who it is."""

    def __init__(self, configuration: str) -> None:
        nova.conf.CONF([], project="nova", default_config_files=[configuration])
        objects.register_all()
        self.context = context.get_admin_context()
        self.client = report.SchedulerReportClient()

    # ---- compute hosts -----------------------------------------------------------------------------------------------

    def update(self, uuid: str, name: str, change: Callable[[ProviderTree], None]) -> int:
        """Changes a tree as the resource tracker does: again with a fresh one where somebody was faster.

        Returns:
            How often somebody was.
        """
        for conflicts in range(TRIES):
            tree = self.client.get_provider_tree_and_ensure_root(self.context, uuid, name=name)
            change(tree)
            try:
                self.client.update_from_provider_tree(self.context, tree)
            except exception.ResourceProviderUpdateConflict:
                continue
            return conflicts
        return TRIES

    def make_disk(self) -> None:
        def change(tree: ProviderTree) -> None:
            tree.update_inventory(DISK, {"DISK_GB": inventory(10_000)})
            tree.update_traits(DISK, [SHARES])
            tree.update_aggregates(DISK, [BUILDING])

        assert self.update(DISK, "disk", change) == 0

    def make_host(self, number: int) -> None:
        """A host with two graphics cards below it, in the aggregate that shares the disk."""
        root = host_uuid(number)

        def change(tree: ProviderTree) -> None:
            tree.update_inventory(
                root, {"VCPU": inventory(8, ratio=2.0), "MEMORY_MB": inventory(8_704, reserved=512, most=4_096)}
            )
            tree.update_traits(root, [FAST, "COMPUTE_NODE"] if number % 2 else ["COMPUTE_NODE"])
            tree.update_aggregates(root, [BUILDING])
            for gpu in range(GPUS):
                uuid = gpu_uuid(number, gpu)
                tree.new_child(f"host-{number}-gpu-{gpu}", root, uuid)
                tree.update_inventory(uuid, {"VGPU": inventory(SLOTS)})
                tree.update_traits(uuid, ["CUSTOM_GPU"])

        assert self.update(root, f"host-{number}", change) == 0

    # ---- instances ---------------------------------------------------------------------------------------------------

    def candidates(self, flavor: tuple[int, int, int, bool, str]) -> tuple[list[dict[str, Any]], str]:
        """Asks where an instance of a flavor could go, as the scheduler does for a request to boot."""
        cores, memory, disk, wants_gpu, trait = flavor
        specs = {"resources:DISK_GB": str(disk)}
        if wants_gpu:
            specs["resources_gpu:VGPU"] = "1"
            specs["trait_gpu:CUSTOM_GPU"] = "required"
        if trait:
            specs[f"trait:{trait}"] = "required"
        kind = Flavor(vcpus=cores, memory_mb=memory, root_gb=0, ephemeral_gb=0, swap=0, extra_specs=specs)
        # As the scheduler asks: hosts that are switched off have a trait.
        for_all = RequestLevelParams(root_forbidden={OFF})
        spec = RequestSpec(flavor=kind, image=None, requested_resources=[], request_level_params=for_all)
        request = ResourceRequest.from_request_spec(spec)
        found, _, version = self.client.get_allocation_candidates(self.context, request)
        assert version, "no answer"
        return found, version

    def claim(self, consumer: str, candidate: dict[str, Any], version: str) -> bool:
        claimed = self.client.claim_resources(self.context, consumer, candidate, PROJECT, USER, version)
        return bool(claimed)

    def has(self, consumer: str) -> Allocations:
        told = self.client.get_allocs_for_consumer(self.context, consumer)["allocations"]
        return {uuid: one["resources"] for uuid, one in told.items()}


def asked(candidate: dict[str, Any]) -> Allocations:
    return {uuid: one["resources"] for uuid, one in candidate["allocations"].items()}


def host_of(allocations: Allocations) -> str:
    return next(uuid for uuid, resources in allocations.items() if "VCPU" in resources)


def together(one: Allocations, other: Allocations) -> Allocations:
    """What Nova claims while an instance is evacuated: both hosts, and what they share once."""
    return {**{uuid: resources for uuid, resources in other.items() if uuid not in one}, **one}


class Schedule:
    """Instances that one process is responsible for, and a model of what they have.

    Args:
        nova: does what is wanted.
        chance: decides.
    """

    def __init__(self, nova_: Nova, chance: random.Random) -> None:
        self.nova = nova_
        self.chance = chance
        self.have: dict[str, Allocations] = {}
        self.done: Counter[str] = Counter()

    def place(self, consumer: str, away_from: str = "") -> Allocations | None:
        """Claims a place on some host; returns it, or None where there is none (any more)."""
        found, version = self.nova.candidates(self.chance.choice(FLAVORS))
        found = [one for one in found if host_of(asked(one)) != away_from]
        if not found:
            self.done["no candidates"] += 1
            return None
        candidate = self.chance.choice(found)
        if not self.nova.claim(consumer, candidate, version):
            self.done["lost the race"] += 1
            return None
        return asked(candidate)

    def boot(self) -> None:
        consumer = str(uuid4())
        found = self.place(consumer)
        if found is None:
            assert self.nova.has(consumer) == {}, "an instance that failed has something"
        else:
            self.have[consumer] = found
            self.done["boot"] += 1

    def delete(self) -> None:
        consumer = self._any()
        assert self.nova.client.delete_allocation_for_instance(self.nova.context, consumer)
        del self.have[consumer]
        self.done["delete"] += 1

    def resize(self) -> None:
        """To another host, confirmed or taken back: the former place is a migration's until then."""
        consumer, migration = self._any(), str(uuid4())
        client, context_ = self.nova.client, self.nova.context
        before = self.have.pop(consumer)
        assert client.move_allocations(context_, consumer, migration)
        assert self.nova.has(migration) == before, "the migration has something else"
        after = self.place(consumer, away_from=host_of(before))
        if after is not None and self.chance.random() < 0.5:
            assert client.delete_allocation_for_instance(context_, migration, "migration")
            self.have[consumer] = after
            self.done["resize"] += 1
        else:
            assert client.move_allocations(context_, migration, consumer)
            self.have[consumer] = before
            self.done["resize taken back"] += 1

    def evacuate(self) -> None:
        """Claims another host beside the present one, and gives that one up."""
        consumer = self._any()
        before = self.have[consumer]
        after = self.place(consumer, away_from=host_of(before))
        if after is None:
            assert self.nova.has(consumer) == before, "a failed evacuation changed something"
            return
        doubled = together(before, after)
        assert self.nova.has(consumer) == doubled, "an evacuated instance does not have both places"
        client, context_ = self.nova.client, self.nova.context
        assert client.remove_provider_tree_from_instance_allocation(context_, consumer, host_of(before))
        self.have[consumer] = {uuid: one for uuid, one in doubled.items() if uuid in after}
        self.done["evacuate"] += 1

    def attach(self) -> None:
        """Adds to what an instance has, and takes it away again every other time."""
        consumer = self._any()
        host = host_of(self.have[consumer])
        more = {host: {"resources": {"MEMORY_MB": 16}}}
        client, context_ = self.nova.client, self.nova.context
        try:
            client.add_resources_to_instance_allocation(context_, consumer, more)
        except exception.AllocationUpdateFailed:
            self.done["no room"] += 1
            return
        if self.chance.random() < 0.5:
            client.remove_resources_from_instance_allocation(context_, consumer, more)
        else:
            self.have[consumer][host]["MEMORY_MB"] += 16
        self.done["attach"] += 1

    def run(self, rounds: int) -> None:
        kinds = (self.boot, self.boot, self.boot, self.delete, self.resize, self.evacuate, self.attach)
        for _ in range(rounds):
            (self.chance.choice(kinds) if self.have else self.boot)()
        for consumer, allocations in self.have.items():
            assert self.nova.has(consumer) == allocations, f"{consumer} has something else"

    def _any(self) -> str:
        return self.chance.choice(list(self.have))


def compute(nova_: Nova, chance: random.Random, rounds: int, hosts: int) -> Counter[str]:
    """Changes traits and inventories of hosts that are being claimed, which are two writers' business."""
    done: Counter[str] = Counter()
    for count in range(rounds):
        number = chance.randrange(hosts)
        root = host_uuid(number)

        def change(tree: ProviderTree, root: str = root, count: int = count) -> None:
            tree.add_traits(root, f"CUSTOM_SEEN_{count % 5}")
            tree.remove_traits(root, f"CUSTOM_SEEN_{(count + 1) % 5}")
            found = dict(tree.data(root).inventory)
            found["CUSTOM_LICENCE"] = inventory(10 + count % 3)
            tree.update_inventory(root, found)

        conflicts = nova_.update(root, f"host-{number}", change)
        done["conflicts"] += conflicts
        if conflicts == TRIES:
            # Nova tries again a minute later.
            done["given up"] += 1
            continue
        done["updates"] += 1
        try:
            nova_.client.set_traits_for_provider(
                nova_.context, root, [*nova_.client.get_provider_traits(nova_.context, root).traits, "HW_CPU_X86_AVX2"]
            )
            done["traits"] += 1
        except exception.ResourceProviderUpdateConflict:
            nova_.client.clear_provider_cache()
            done["conflicts"] += 1
    return done


def conflicts(first: Nova, second: Nova) -> Counter[str]:
    """Two writers, one after the other, of whom the second one knows what was before the first."""
    host = host_uuid(0)
    trees = [one.client.get_provider_tree_and_ensure_root(one.context, host) for one in (first, second)]
    for tree, trait in zip(trees, ("CUSTOM_ONE", "CUSTOM_OTHER"), strict=True):
        tree.add_traits(host, trait)
    first.client.update_from_provider_tree(first.context, trees[0])
    done: Counter[str] = Counter()
    try:
        second.client.update_from_provider_tree(second.context, trees[1])
    except exception.ResourceProviderUpdateConflict:
        done["of providers"] += 1
    assert second.update(host, "host-0", lambda tree: tree.add_traits(host, "CUSTOM_OTHER")) == 0
    assert {"CUSTOM_ONE", "CUSTOM_OTHER"} <= first.client.get_provider_traits(first.context, host).traits

    consumer = str(uuid4())
    found, version = first.candidates(FLAVORS[0])
    assert first.claim(consumer, found[0], version)
    stale = first.client.get_allocs_for_consumer(first.context, consumer)
    second.client.add_resources_to_instance_allocation(
        second.context, consumer, {host_of(asked(found[0])): {"resources": {"MEMORY_MB": 1}}}
    )
    try:
        first.client.put_allocations(first.context, consumer, stale)
    except exception.AllocationUpdateFailed:
        done["of consumers"] += 1
    assert second.client.delete_allocation_for_instance(second.context, consumer)
    assert first.has(consumer) == {}
    return done


def main() -> None:
    configuration, results, what, *numbers = sys.argv[1:]
    given = [int(number) for number in numbers]
    began_s = time.monotonic()
    nova_ = Nova(configuration)
    told: dict[str, Any] = {"ready_s": time.monotonic() - began_s}
    if what == "fleet":
        nova_.make_disk()
        for number in range(given[0]):
            nova_.make_host(number)
    elif what == "conflicts":
        told["done"] = conflicts(nova_, Nova(configuration))
    elif what == "schedule":
        schedule = Schedule(nova_, random.Random(given[0]))
        schedule.run(given[1])
        told |= {"done": schedule.done, "have": schedule.have}
    else:
        told["done"] = compute(nova_, random.Random(given[0]), given[1], given[2])
    told["took_s"] = time.monotonic() - began_s
    Path(results).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
