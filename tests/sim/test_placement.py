"""Placement beside a model of its rules: whatever two nodes are asked in turn, they answer as the model does.

The model holds providers in trees, their inventories, and what consumers have, and says of each request whether it is
carried out. After every step the counts of what is in use are compared with the sum of what consumers have, in every
place that tells of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from tenet.placement.ops.auditing import audit
from tests.sim.two_nodes import TwoNodes
from tests.unit.placement.world import OWNER, memory, uuid_of

OK, CREATED, NO_CONTENT, BAD, FORBIDDEN, NOT_FOUND, CONFLICT = 200, 201, 204, 400, 403, 404, 409
CLASSES = ("VCPU", "MEMORY_MB", "VGPU")
NUMBERS = st.integers(1, 4)
NAMES = st.sampled_from(CLASSES)
CONSUMERS = st.integers(101, 104)
AMOUNTS = st.sampled_from((1, 1, 2, 3, 9))
INVENTORIES = st.dictionaries(
    NAMES,
    st.fixed_dictionaries(
        {"total": st.integers(1, 10)},
        optional={
            "reserved": st.integers(0, 2),
            "min_unit": st.integers(1, 2),
            "max_unit": st.integers(2, 9),
            "step_size": st.integers(1, 3),
            "allocation_ratio": st.sampled_from((0.5, 1.0, 1.5)),
        },
    ),
)
#: Mostly of hosts that are there from the beginning, and of what they have.
CLAIMS = st.dictionaries(
    st.sampled_from((1, 1, 2, 2, 3)),
    st.dictionaries(
        st.sampled_from(("VCPU", "VCPU", "MEMORY_MB", "MEMORY_MB", "VGPU")), AMOUNTS, min_size=1, max_size=2
    ),
    max_size=2,
)
STOCK = {"VCPU": {"total": 8}, "MEMORY_MB": {"total": 6, "allocation_ratio": 1.5}}


@dataclass
class Host:
    """A provider of the model."""

    parent: int | None
    inventories: dict[str, dict[str, Any]] = field(default_factory=dict)


def capacity(inventory: dict[str, Any]) -> int:
    return int((inventory["total"] - inventory.get("reserved", 0)) * inventory.get("allocation_ratio", 1.0))


class Model:
    """What the service is to do."""

    def __init__(self) -> None:
        self.hosts: dict[int, Host] = {}
        self.held: dict[int, dict[int, dict[str, int]]] = {}
        self.generations: dict[int, int] = {}
        #: What the project may have, by class; the empty one is the number of consumers.
        self.quota: dict[str, int] = {}

    def of_project(self) -> dict[str, int]:
        found = {name: sum(self.used(number, name) for number in self.hosts) for name in CLASSES}
        return {**found, "": len(self.held)}

    def fits(self, claims: dict[int, dict[str, int]], after: Model) -> bool:
        """Tells whether a consumer may have what it wants, if others get what they want too."""
        for number, resources in claims.items():
            for name, amount in resources.items():
                inventory = self.hosts[number].inventories.get(name)
                if inventory is None or amount % inventory.get("step_size", 1):
                    return False
                if not inventory.get("min_unit", 1) <= amount <= inventory.get("max_unit", 2**31 - 1):
                    return False
                if after.used(number, name) > max(capacity(inventory), self.used(number, name)):
                    return False
        return True

    def is_exceeded_by(self, after: Model) -> bool:
        """Tells whether the project would have more than it may, and more than it has."""
        after.hosts, after.held = self.hosts, {one: claims for one, claims in after.held.items() if claims}
        more, less = after.of_project(), self.of_project()
        return any(more[name] > max(limit, less[name]) for name, limit in self.quota.items())

    def used(self, number: int, name: str) -> int:
        return sum(held.get(number, {}).get(name, 0) for held in self.held.values())

    def uses(self, number: int) -> dict[str, int]:
        found = {name: self.used(number, name) for name in CLASSES}
        return {name: amount for name, amount in found.items() if amount}

    def is_below(self, number: int | None, top: int) -> bool:
        while number is not None:
            if number == top:
                return True
            number = self.hosts[number].parent
        return False

    def root(self, number: int) -> int:
        parent = self.hosts[number].parent
        return number if parent is None else self.root(parent)

    def claim(self, wanted: dict[int, dict[int, dict[str, int]]]) -> int:
        """Gives consumers what they are to have, where it is to be had; returns the status."""
        if any(number not in self.hosts for claims in wanted.values() for number in claims):
            return BAD
        after = Model()
        after.held = {**self.held, **wanted}
        if not all(self.fits(claims, after) for claims in wanted.values()):
            return CONFLICT
        if self.is_exceeded_by(after):
            return FORBIDDEN
        for consumer, claims in wanted.items():
            if claims:
                self.held[consumer] = claims
                self.generations[consumer] = self.generations.get(consumer, 0) + 1
            else:
                self.held.pop(consumer, None)
                self.generations.pop(consumer, None)
        return NO_CONTENT


class Placing(TwoNodes):
    """Asks one of two nodes, and the model."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()

    def send(self, method: str, path: str, body: Any = None) -> int:
        return self.run(self.next_node().send(method, path, body)).status

    def ask(self, path: str) -> Any:
        return self.run(self.next_node().ask("GET", path))

    @initialize()
    def begin(self) -> None:
        for number, parent in ((1, None), (2, 1)):
            self.make(number, parent)
            self.stock(number, dict(STOCK), is_stale=False)

    @rule(number=NUMBERS, parent=st.none() | NUMBERS)
    def make(self, number: int, parent: int | None) -> None:
        above = None if parent is None else uuid_of(parent)
        body = {"name": f"host-{number}", "uuid": uuid_of(number), "parent_provider_uuid": above}
        status = self.send("POST", "/resource_providers", body)
        if parent is not None and (parent == number or parent not in self.model.hosts):
            assert status == BAD
        elif number in self.model.hosts:
            assert status == CONFLICT
        else:
            assert status == OK
            self.model.hosts[number] = Host(parent)

    @rule(number=NUMBERS)
    def delete(self, number: int) -> None:
        status = self.send("DELETE", f"/resource_providers/{uuid_of(number)}")
        if number not in self.model.hosts:
            assert status == NOT_FOUND
        elif self.model.uses(number) or any(host.parent == number for host in self.model.hosts.values()):
            assert status == CONFLICT
        else:
            assert status == NO_CONTENT
            del self.model.hosts[number]

    @rule(number=NUMBERS, parent=st.none() | NUMBERS)
    def move(self, number: int, parent: int | None) -> None:
        body = {"name": f"host-{number}", "parent_provider_uuid": None if parent is None else uuid_of(parent)}
        status = self.send("PUT", f"/resource_providers/{uuid_of(number)}", body)
        if number not in self.model.hosts:
            assert status == NOT_FOUND
        elif parent == self.model.hosts[number].parent:
            assert status == OK
        elif parent is not None and (parent not in self.model.hosts or self.model.is_below(parent, number)):
            assert status == BAD
        else:
            assert status == OK
            self.model.hosts[number].parent = parent

    @rule(number=NUMBERS, inventories=INVENTORIES, is_stale=st.sampled_from((False, False, False, True)))
    def stock(self, number: int, inventories: dict[str, dict[str, Any]], *, is_stale: bool) -> None:
        host = self.model.hosts.get(number)
        path = f"/resource_providers/{uuid_of(number)}"
        generation = self.ask(path)["generation"] if host is not None else 0
        body = {"resource_provider_generation": generation + is_stale, "inventories": inventories}
        status = self.send("PUT", f"{path}/inventories", body)
        if host is None:
            assert status == NOT_FOUND
        elif is_stale:
            assert status == CONFLICT
        elif any(capacity(inventory) < 0 for inventory in inventories.values()):
            assert status == BAD
        elif any(name not in inventories for name in self.model.uses(number)):
            assert status == CONFLICT
        else:
            assert status == OK
            host.inventories = inventories

    @rule(limits=st.dictionaries(st.sampled_from((*CLASSES, "", "")), st.integers(0, 12)))
    def limit(self, limits: dict[str, int]) -> None:
        body: dict[str, Any] = {"resources": {name: limit for name, limit in limits.items() if name}}
        if "" in limits:
            body["consumers"] = limits[""]
        if limits:
            assert self.send("PUT", "/v1/quotas/project", body) == OK
        else:
            assert self.send("DELETE", "/v1/quotas/project") == NO_CONTENT
        self.model.quota = limits

    @rule(consumer=CONSUMERS, claims=CLAIMS)
    def claim(self, consumer: int, claims: dict[int, dict[str, int]]) -> None:
        body = self._wanted(consumer, claims)
        expected = self.model.claim({consumer: claims})
        assert self.send("PUT", f"/allocations/{uuid_of(consumer)}", body) == expected

    @rule(wanted=st.dictionaries(CONSUMERS, CLAIMS, min_size=1, max_size=3))
    def claim_together(self, wanted: dict[int, dict[int, dict[str, int]]]) -> None:
        body = {uuid_of(consumer): self._wanted(consumer, claims) for consumer, claims in wanted.items()}
        assert self.send("POST", "/allocations", body) == self.model.claim(wanted)

    @rule(consumer=CONSUMERS, off=st.integers(1, 3), claims=CLAIMS)
    def claim_by_another_generation(self, consumer: int, off: int, claims: dict[int, dict[str, int]]) -> None:
        body = self._wanted(consumer, claims)
        body["consumer_generation"] = (body["consumer_generation"] or 0) + off
        assert self.send("PUT", f"/allocations/{uuid_of(consumer)}", body) == CONFLICT

    @rule(consumer=CONSUMERS)
    def free(self, consumer: int) -> None:
        status = self.send("DELETE", f"/allocations/{uuid_of(consumer)}")
        if consumer in self.model.held:
            assert status == NO_CONTENT
            self.model.claim({consumer: {}})
        else:
            assert status == NOT_FOUND

    def _wanted(self, consumer: int, claims: dict[int, dict[str, int]]) -> dict[str, Any]:
        return {
            "allocations": {uuid_of(number): {"resources": resources} for number, resources in claims.items()},
            "consumer_generation": self.model.generations.get(consumer),
            **OWNER,
        }

    @invariant()
    def providers_are_as_they_are_to_be(self) -> None:
        for number in self.model.hosts:
            shown = self.ask(f"/resource_providers/{uuid_of(number)}")
            assert shown["root_provider_uuid"] == uuid_of(self.model.root(number))
            usages = self.ask(f"/resource_providers/{uuid_of(number)}/usages")["usages"]
            assert {name: amount for name, amount in usages.items() if amount} == self.model.uses(number)
            held = self.ask(f"/resource_providers/{uuid_of(number)}/allocations")["allocations"]
            assert {one: entry["resources"] for one, entry in held.items()} == {
                uuid_of(consumer): claims[number] for consumer, claims in self.model.held.items() if number in claims
            }

    @invariant()
    def consumers_have_what_they_are_to_have(self) -> None:
        for consumer in range(101, 105):
            shown = self.ask(f"/allocations/{uuid_of(consumer)}")
            claims = self.model.held.get(consumer, {})
            found = {uuid: entry["resources"] for uuid, entry in shown["allocations"].items()}
            assert found == {uuid_of(number): resources for number, resources in claims.items()}
            assert shown.get("consumer_generation") == self.model.generations.get(consumer)

    @invariant()
    def the_project_has_what_its_consumers_have(self) -> None:
        expected: dict[str, Any] = {}
        for claims in self.model.held.values():
            for resources in claims.values():
                for name, amount in resources.items():
                    expected[name] = expected.get(name, 0) + amount
        if self.model.held:
            expected = {"INSTANCE": {**expected, "consumer_count": len(self.model.held)}}
        assert self.ask("/usages?project_id=project")["usages"] == expected

    @invariant()
    def the_quota_says_what_is_left(self) -> None:
        shown, used = self.ask("/v1/quotas/project"), self.model.of_project()
        found = {"": shown["consumers"], **shown["resources"]}
        for name, limit in self.model.quota.items():
            assert found[name] == {"limit": limit, "used": used[name], "left": max(0, limit - used[name])}
        assert {name for name, one in found.items() if one["limit"] is not None} == self.model.quota.keys()
        assert self.runner.run(audit(memory(state=self.state))).findings == []


TestPlacing = Placing.TestCase
TestPlacing.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
