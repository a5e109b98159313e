"""What allocation candidates cost: CPU milliseconds of one request, from the query string to the bytes of the answer.

    python -m benchmarks.placement_candidates [--providers 100,1000,10000,100000] [--repeats 20]

The fleets: hosts with VCPU, MEMORY_MB and DISK_GB, thirty traits and two aggregates each, of four kinds. One in
*room* has room for the request; the others are full. Then hosts whose devices are parts of them, hosts that share a
disk, and one wide tree: a host with eight devices and one group for each of k devices. Each figure is the median of the
repeats, each with another tree to begin with; everything is in this process, and nothing else is measured.
"""

from __future__ import annotations

import argparse
import gc
import resource
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from tenet.placement.fleet.candidates import find
from tenet.placement.fleet.fleet import Fleet
from tenet.placement.model import SHARES, Inventory, Provider
from tenet.placement.rules.candidate_answers import Candidate, write_answer
from tenet.placement.rules.candidate_requests import read_candidate_request

CLASSES = frozenset({"VCPU", "MEMORY_MB", "DISK_GB", "VGPU", "SRIOV_NET_VF"})
COMMON = [f"CUSTOM_COMMON_{number}" for number in range(28)]
KINDS = [f"CUSTOM_KIND_{number}" for number in range(4)]
TRAITS = frozenset((*COMMON, *KINDS, "CUSTOM_SSD", SHARES))
PLAIN = "resources=VCPU:1,MEMORY_MB:1024,DISK_GB:10"
VERSION = 39


def uuid_of(number: int) -> str:
    return str(UUID(int=number, version=4))


ZONES = [uuid_of(1_000_000 + number) for number in range(3)]
RACKS = [uuid_of(2_000_000 + number) for number in range(2500)]


def hosts(count: int, *, room: int = 1, devices: int = 0) -> Iterator[Provider]:
    """Returns hosts, and their devices.

    Args:
        count: of the hosts.
        room: one in so many has room for more; 0: none has.
        devices: parts of each host.
    """
    for number in range(count):
        uuid = uuid_of(number * 16)
        is_full = not room or number % room
        traits = {*COMMON, KINDS[number // 7 % 4]} | ({"CUSTOM_SSD"} if number % 3 else set())
        yield Provider(
            uuid=uuid,
            name=f"host-{number}",
            parent=None,
            root=uuid,
            generation=1,
            aggregates=frozenset({ZONES[number % 3], RACKS[number // 40 % 2500]}),
            traits=frozenset(traits),
            inventories={
                "VCPU": Inventory(total=64, allocation_ratio=4.0, max_unit=64),
                "MEMORY_MB": Inventory(total=262_144, reserved=4096, max_unit=262_144),
                "DISK_GB": Inventory(total=2000, max_unit=2000),
            },
            used={"VCPU": 256 if is_full else 16, "MEMORY_MB": 16_384, "DISK_GB": 200},
        )
        for device in range(1, devices + 1):
            yield Provider(
                uuid=uuid_of(number * 16 + device),
                name=f"host-{number}-{device}",
                parent=uuid,
                root=uuid,
                generation=1,
                traits=frozenset({"CUSTOM_SSD"}),
                inventories={"VGPU": Inventory(total=4)},
                used={"VGPU": 4 if is_full else 0},
            )


def fleet_of(providers: Iterator[Provider]) -> Fleet:
    fleet = Fleet()
    for provider in providers:
        fleet.put(provider)
    return fleet


def measure(name: str, fleet: Fleet, query: str, repeats: int) -> None:
    """Prints the median of what a request costs, the dearest, and how many candidates it had."""
    spent, count = [], 0
    for turn in range(repeats):
        before = time.process_time_ns()
        request = read_candidate_request(query, VERSION, classes=CLASSES, traits=TRAITS)
        counted = Counted()
        answer = write_answer(counted.of(find(fleet, request, turn=turn * 977)), request, VERSION, fleet.tree)
        size = sum(map(len, answer))
        spent.append((time.process_time_ns() - before) / 1e6)
        count = counted.count
        assert size
    print(f"{name:58} {statistics.median(spent):9.2f} {max(spent):9.2f} {count:9}", flush=True)


class Counted:
    """Counts what is taken."""

    def __init__(self) -> None:
        self.count = 0

    def of(self, items: Iterator[Candidate]) -> Iterator[Candidate]:
        for item in items:
            self.count += 1
            yield item


def flat(count: int, repeats: int) -> None:
    for room, words in ((1, "all have room"), (1000, "one in 1000 has room"), (0, "all full")):
        fleet = fleet_of(hosts(count, room=room))
        for name, query in (
            ("", PLAIN),
            (" two traits", f"{PLAIN}&required=CUSTOM_KIND_1,CUSTOM_SSD"),
            (" two traits, aggregate", f"{PLAIN}&required=CUSTOM_KIND_1,CUSTOM_SSD&member_of={ZONES[1]}"),
            (" one rack", f"{PLAIN}&member_of={RACKS[1]}"),
        ):
            measure(f"{count} hosts, {words},{name} limit 10", fleet, f"{query}&limit=10", repeats)


def shared(count: int, repeats: int) -> None:
    fleet = fleet_of(hosts(count))
    for number in range(max(1, count // 40)):
        uuid = uuid_of(9_000_000 + number)
        fleet.put(
            Provider(
                uuid=uuid,
                name=f"disks-{number}",
                parent=None,
                root=uuid,
                generation=1,
                aggregates=frozenset({RACKS[number % 2500]}),
                traits=frozenset({SHARES}),
                inventories={"DISK_GB": Inventory(total=100_000)},
            )
        )
    measure(f"{count} hosts that share disks, limit 10", fleet, f"{PLAIN}&limit=10", repeats)
    measure(f"{count} hosts that share disks, disk alone, limit 10", fleet, "resources=DISK_GB:10&limit=10", repeats)
    measure(f"{count} hosts, none but shared disks fit, all", fleet, "resources=DISK_GB:5000", max(1, repeats // 4))


def nested(count: int, repeats: int) -> None:
    for room, words in ((1, "all have room"), (0, "all full")):
        fleet = fleet_of(hosts(count // 4, room=room, devices=3))
        query = f"{PLAIN}&required=CUSTOM_KIND_1,CUSTOM_SSD&resources1=VGPU:1&resources2=VGPU:1&group_policy=isolate"
        measure(f"{count // 4} hosts with 3 devices, {words}, limit 10", fleet, f"{query}&limit=10", repeats)


def wide(repeats: int) -> None:
    fleet = fleet_of(hosts(1, devices=8))
    for groups in (4, 6, 8, 9):
        asked = "&".join(f"resources{number}=VGPU:1" for number in range(1, groups + 1))
        for policy in ("none", "isolate"):
            query = f"resources=VCPU:1&{asked}&group_policy={policy}"
            measure(f"8 devices, {groups} groups, {policy}, limit 1000", fleet, f"{query}&limit=1000", repeats)
    asked = "&".join(f"resources{number}=VGPU:4" for number in range(1, 10))
    measure("8 devices, 9 groups that fill one each, all", fleet, f"{asked}&group_policy=none", repeats)
    asked = "&".join(f"resources{number}=VGPU:1" for number in range(1, 6))
    measure("8 devices, 5 groups, isolate, all", fleet, f"{asked}&group_policy=isolate", max(1, repeats // 4))
    measure("8 devices, 5 groups, none, all", fleet, f"{asked}&group_policy=none", max(1, repeats // 4))


def taking_in(count: int) -> None:
    """Prints what it costs to take hosts in, in milliseconds and in kilobytes of memory for each."""
    before = resident_bytes()
    providers = list(hosts(count))
    between, began = resident_bytes(), time.process_time()
    fleet = fleet_of(iter(providers))
    spent, after = time.process_time() - began, resident_bytes()
    print(f"{f'{count} hosts taken in':58} {spent * 1e3:9.2f}")
    sizes = (between - before) / count / 1024, (after - between) / count / 1024
    print(f"{f'{count} hosts, KB each: described, in columns':58} {sizes[0]:9.2f} {sizes[1]:9.2f}")
    began = time.process_time()
    for number, provider in enumerate(providers):
        fleet.set_used(provider.uuid, "VCPU", number % 64, generation=2)
    print(f"{f'{count} hosts, µs for an amount in use':58} {(time.process_time() - began) / count * 1e6:9.2f}")


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def in_python(count: int, repeats: int) -> None:
    """Prints what it costs to go through lists for what columns decide at once: three classes, no traits, all full."""
    providers = list(hosts(count, room=0))
    free = [
        [provider.inventories[name].capacity - provider.used[name] for provider in providers]
        for name in ("MEMORY_MB", "DISK_GB", "VCPU")
    ]
    spent = []
    for _ in range(repeats):
        before = time.process_time_ns()
        found = [
            place
            for place, (one, two, three) in enumerate(zip(*free, strict=True))
            if one >= 1024 and two >= 10 and three >= 1
        ]
        spent.append((time.process_time_ns() - before) / 1e6)
        assert not found
    print(f"{f'{count} hosts, lists instead of columns':58} {statistics.median(spent):9.2f} {max(spent):9.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--providers", default="100,1000,10000,100000")
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    gc.freeze()
    print(f"{'':58} {'median ms':>9} {'max ms':>9} {'found':>9}")
    for count in map(int, options.providers.split(",")):
        taking_in(count)
        in_python(count, options.repeats)
        flat(count, options.repeats)
        nested(count, options.repeats)
        shared(count, options.repeats)
    measure("1000 hosts, all", fleet_of(hosts(1000)), PLAIN, options.repeats)
    wide(options.repeats)


if __name__ == "__main__":
    main()
