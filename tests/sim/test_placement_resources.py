"""Resources and capabilities beside a model: whatever two nodes are asked in turn, they answer as the model does.

The model counts things as people do, processors and slices and devices, and knows nothing of inventories. It says of
each claim whether there is a place, and which of the hosts may be it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from tenet.placement.ops.auditing import audit
from tests.rounds import rounds
from tests.sim.two_nodes import TwoNodes
from tests.unit.placement.world import uuid_of

OK, CREATED, NO_CONTENT, BAD, CONFLICT = 200, 201, 204, 400, 409
HOSTS = range(1, 4)
NUMBERS = st.sampled_from(HOSTS)
CONSUMERS = st.integers(101, 106)
#: Slices of a device, and what a partition takes of them (NVIDIA MIG user guide, "A100 MIG profiles").
DEVICE = {"compute": 7, "memory_slices": 8}
PARTITIONS = {"1g.5gb": (1, 1), "2g.10gb": (2, 2), "3g.20gb": (3, 4), "4g.20gb": (4, 4), "7g.40gb": (7, 8)}
#: What a host may be described with, and how much of each thing that is.
DESCRIPTIONS: dict[str, tuple[tuple[Any, dict[str, int]], ...]] = {
    "cpu": (({"total": 4}, {"cpu": 4}), ({"total": 2, "ratio": 2.5}, {"cpu": 5})),
    "memory": (({"total": "4GiB", "reserved": "1GiB"}, {"memory": 3072}), ({"total": "512MiB"}, {"memory": 512})),
    "gpu_a100_40gb": ((1, DEVICE),),
    "pci_device": (({"8086:1572": 2}, {"nic": 2}),),
}
#: Those that bring names of their own, which exist once somebody is described with them.
CUSTOM = {"pci_device", "gpu_a100_40gb"}
RESOURCES = st.fixed_dictionaries(
    {}, optional={name: st.integers(0, len(all_) - 1) for name, all_ in DESCRIPTIONS.items()}
)
#: What a claim may ask for, and how much of each thing that takes.
AMOUNTS: tuple[tuple[dict[str, Any], dict[str, int]], ...] = (
    ({"cpu": 1}, {"cpu": 1}),
    ({"cpu": 3}, {"cpu": 3}),
    ({"memory": "1GiB"}, {"memory": 1024}),
    ({"memory": "256MiB", "cpu": 1}, {"memory": 256, "cpu": 1}),
    ({"pci_device": "8086:1572"}, {"nic": 1}),
    ({"pci_device": {"8086:1572": 2}, "cpu": 1}, {"nic": 2, "cpu": 1}),
    *(
        ({"gpu_a100_40gb": size}, {"compute": compute, "memory_slices": memory_slices})
        for size, (compute, memory_slices) in PARTITIONS.items()
    ),
)
VERSIONS = ("535.129.3", "550.54", "550.54.15", "550.127", "560")
FLAGS = ("avx", "avx2", "avx512f")
#: What may be asked of capabilities, and which hosts have it, by positions in ``VERSIONS`` and names of flags.
Asked = tuple[dict[str, Any], Callable[["Host"], bool]]
DEMANDS: tuple[Asked, ...] = (
    ({}, lambda _: True),
    ({"driver": {">=": "550.54"}}, lambda host: host.version is not None and host.version >= 1),
    ({"driver": {">": "550.54.0"}}, lambda host: host.version is not None and host.version >= 2),
    ({"driver": {"<": "550.127", "!=": "550.54"}}, lambda host: host.version in {0, 2}),
    ({"driver": {"in": ["560.0", "535.129.3"]}}, lambda host: host.version in {0, 4}),
    ({"flags": {"contains": ["avx512f"]}}, lambda host: "avx512f" in host.flags),
    (
        {"flags": {"contains": ["avx", "avx2"]}, "driver": {"<=": "550.54.15"}},
        lambda host: {"avx", "avx2"} <= host.flags and host.version is not None and host.version <= 2,
    ),
)


@dataclass
class Host:
    """A host of the model: how much it has of each thing, and what it can do."""

    described: dict[str, Any] = field(default_factory=dict)
    has: dict[str, int] = field(default_factory=dict)
    version: int | None = None
    flags: frozenset[str] = frozenset()

    @property
    def capabilities(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.version is not None:
            found["driver"] = {"version": VERSIONS[self.version]}
        if self.flags:
            found["flags"] = {"set": sorted(self.flags)}
        return found


class Describing(TwoNodes):
    """Asks one of two nodes, and the model."""

    def __init__(self) -> None:
        super().__init__()
        self.hosts = {number: Host() for number in HOSTS}
        self.held: dict[int, tuple[int, dict[str, int]]] = {}
        #: Classes that somebody was described with.
        self.known: set[str] = set()
        self.attempts = 0

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        answer = self.run(self.next_node().send(method, path, body))
        return answer.status, orjson.loads(answer.body or b"null")

    def taken(self, number: int) -> dict[str, int]:
        """Returns how much of each thing consumers have of a host."""
        found: dict[str, int] = {}
        for host, things in self.held.values():
            if host == number:
                found = {thing: found.get(thing, 0) + things.get(thing, 0) for thing in found.keys() | things.keys()}
        return found

    def change(self, number: int, what: str, value: Any) -> int:
        """Replaces resources or capabilities, with the generation as it is; returns the status."""
        path = f"/v1/resource-providers/{uuid_of(number)}/{what}"
        generation = self.send("GET", path)[1]["resource_provider_generation"]
        return self.send("PUT", path, {"resource_provider_generation": generation, what: value})[0]

    @initialize()
    def make_hosts(self) -> None:
        for number in HOSTS:
            body = {"name": f"host-{number}", "uuid": uuid_of(number)}
            assert self.send("POST", "/resource_providers", body)[0] == OK
        self.describe(1, {"cpu": 0, "memory": 0})
        self.describe(2, {"cpu": 0, "gpu_a100_40gb": 0})

    @rule(number=NUMBERS, chosen=RESOURCES)
    def describe(self, number: int, chosen: Mapping[str, int]) -> None:
        described = {name: DESCRIPTIONS[name][at][0] for name, at in chosen.items()}
        has: dict[str, int] = {}
        for name, at in chosen.items():
            has |= DESCRIPTIONS[name][at][1]
        is_in_use = any(count and thing not in has for thing, count in self.taken(number).items())
        assert self.change(number, "resources", described) == (CONFLICT if is_in_use else OK)
        if not is_in_use:
            self.hosts[number].described, self.hosts[number].has = described, has
            self.known |= chosen.keys()

    @rule(number=NUMBERS, version=st.none() | st.integers(0, 4), flags=st.frozensets(st.sampled_from(FLAGS)))
    def record(self, number: int, version: int | None, flags: frozenset[str]) -> None:
        host = self.hosts[number]
        host.version, host.flags = version, flags
        assert self.change(number, "capabilities", host.capabilities) == OK

    @rule(number=NUMBERS)
    def record_for_a_generation_that_is_gone(self, number: int) -> None:
        for what in ("resources", "capabilities"):
            path = f"/v1/resource-providers/{uuid_of(number)}/{what}"
            assert self.send("PUT", path, {"resource_provider_generation": 10**6, what: {}})[0] == CONFLICT

    @rule(consumer=CONSUMERS, amount=st.sampled_from(AMOUNTS), asked=st.sampled_from(DEMANDS))
    def claim(self, consumer: int, amount: tuple[dict[str, Any], dict[str, int]], asked: Asked) -> None:
        resources, things = amount
        demand, has = asked
        group: dict[str, Any] = {"suffix": "_a", "resources": resources}
        if demand:
            group["capabilities"] = demand
        self.attempts += 1
        body = {
            "consumers": [{"uuid": uuid_of(consumer), "project_id": "p", "user_id": "u"}],
            "request": {"groups": [group]},
            "attempt": self.attempts,
        }
        fitting = {number for number, host in self.hosts.items() if has(host) and self.has_room(number, things)}
        for node in self.nodes:
            self.runner.run(node.keeper.refresh(map(uuid_of, HOSTS)))
        status, answer = self.send("POST", "/v1/claims", body)
        if resources.keys() & CUSTOM - self.known:
            assert status == BAD, answer
            assert "No such resource class CUSTOM_" in answer["errors"][0]["detail"]
        elif consumer in self.held:
            assert status == CONFLICT, answer
            assert answer["errors"][0]["code"] == "placement.claim.claimed_otherwise"
        elif not fitting:
            assert status == CONFLICT, answer
            assert answer["errors"][0]["why_not"]["missing"]
        else:
            assert status == CREATED, answer
            (uuid,) = answer["consumers"][uuid_of(consumer)]["allocations"]
            (number,) = (one for one in HOSTS if uuid_of(one) == uuid)
            assert number in fitting
            self.held[consumer] = number, things
            assert self.send("POST", "/v1/claims", body) == (OK, answer)

    def has_room(self, number: int, things: Mapping[str, int]) -> bool:
        host, taken = self.hosts[number], self.taken(number)
        return all(taken.get(thing, 0) + more <= host.has.get(thing, 0) for thing, more in things.items())

    @rule(consumer=CONSUMERS)
    def free(self, consumer: int) -> None:
        status, _ = self.send("DELETE", f"/allocations/{uuid_of(consumer)}")
        assert status == (NO_CONTENT if consumer in self.held else 404)
        self.held.pop(consumer, None)

    @rule(which=st.integers(0, 1))
    def start_anew(self, which: int) -> None:
        self.runner.run(self.nodes[which].__aexit__())
        self.nodes[which] = self.runner.run(self._open())

    @invariant()
    def all_is_shown_as_it_is(self) -> None:
        for number, host in self.hosts.items():
            path = f"/v1/resource-providers/{uuid_of(number)}"
            status, told = self.send("GET", f"{path}/resources")
            if status != OK:
                return  # before they are made
            assert {name: one["described"] for name, one in told["resources"].items()} == host.described
            taken = self.taken(number)
            if "gpu_a100_40gb" in told["resources"]:
                used = told["resources"]["gpu_a100_40gb"]["used"]
                assert used == {"compute": taken.get("compute", 0), "memory": taken.get("memory_slices", 0)}
            if "pci_device" in told["resources"]:
                free = host.has["nic"] - taken.get("nic", 0)
                assert told["resources"]["pci_device"]["free"] == {"8086:1572": free}
            assert self.send("GET", f"{path}/capabilities")[1]["capabilities"] == host.capabilities

    @invariant()
    def the_books_are_right(self) -> None:
        assert self.runner.run(audit(self.nodes[0].store)).findings == []


TestDescribing = Describing.TestCase
TestDescribing.settings = settings(max_examples=rounds(25, 100), stateful_step_count=rounds(25, 40), deadline=None)
