"""Claims that expire, quotas and lists beside a model of their rules: two nodes are asked in turn, in simulated time.

The model knows of each consumer what it has, by which claim, and until when that has to be confirmed. Time passes in
steps that end when everything due has been swept; nodes end and others begin over the same store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tenet.base.clock import ManualClock
from tenet.base.ids import SeededIds
from tenet.placement.ops.auditing import audit
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState
from tests.sim.harness import ExpensiveEngine, SimulatedLoop
from tests.unit.placement.world import World, uuid_of

T = TypeVar("T")

OK, CREATED, NO_CONTENT, FORBIDDEN, NOT_FOUND, CONFLICT, GONE = 200, 201, 204, 403, 404, 409, 410
HOST, CAPACITY, LATE_S = 1, 6, 5
CONSUMERS = st.integers(101, 105)
GANGS = st.lists(CONSUMERS, min_size=1, max_size=3, unique=True)
PROJECTS = ("a", "b")
TIMES = st.sampled_from((None, 4, 4, 15))


@dataclass
class Held:
    """What a consumer has.

    Args:
        project: whose it is.
        amount: of processors.
        claim: number of the claim that gave it to it; None where none did.
        expires_s: when it has to be confirmed, seconds of the loop's time; None: it need not be.
    """

    project: str
    amount: int
    claim: int | None
    expires_s: float | None = None


@dataclass
class Model:
    """What the service is to do."""

    held: dict[int, Held] = field(default_factory=dict)
    #: The last claim for each consumer: its number, and the consumers that it was for.
    last: dict[int, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    #: Of each claim that expired, the consumers that it was freed from.
    expired: set[tuple[int, int]] = field(default_factory=set)
    limits: dict[str, int] = field(default_factory=dict)
    claims: int = 0
    listed: list[tuple[str, set[str]]] = field(default_factory=list)

    def used(self, project: str | None = None) -> int:
        return sum(one.amount for one in self.held.values() if project in {None, one.project})

    def may_grow(self, more: dict[str, int]) -> int:
        """The status of what is refused for lack of room or quota; 0 where nothing is."""
        if sum(more.values()) > 0 and self.used() + sum(more.values()) > CAPACITY:
            return CONFLICT
        for project, amount in more.items():
            if amount > 0 and self.used(project) + amount > self.limits.get(project, CAPACITY):
                return FORBIDDEN
        return 0

    def claim(self, gang: dict[int, str], expires_s: float | None) -> int:
        more = {project: sum(of == project for of in gang.values()) for project in set(gang.values())}
        status = CONFLICT if any(one in self.held for one in gang) else self.may_grow(more)
        self.listed.append(("refused" if status else "claimed", set(gang.values())))
        if status:
            return status
        self.claims += 1
        for one, project in gang.items():
            self.held[one] = Held(project, 1, self.claims, expires_s)
            self.last[one] = (self.claims, tuple(gang))
        return CREATED

    def members(self, consumer: int) -> list[int]:
        """The consumers that are confirmed, and expire, with one that is reserved."""
        claim = self.held[consumer].claim
        return [one for one, has in self.held.items() if has.claim == claim and has.expires_s is not None]

    def confirm(self, consumer: int) -> int:
        if consumer not in self.last:
            return NOT_FOUND
        if consumer not in self.held:
            return GONE if (self.last[consumer][0], consumer) in self.expired else CONFLICT
        if self.held[consumer].expires_s is not None:
            for one in self.members(consumer):
                self.held[one].expires_s = None
        return NO_CONTENT

    def expire(self, now_s: float) -> None:
        for one, has in list(self.held.items()):
            if has.expires_s is not None and has.expires_s <= now_s:
                assert has.claim is not None
                self.expired.add((has.claim, one))
                del self.held[one]

    def state(self, claim: int, consumer: int) -> str:
        has = self.held.get(consumer)
        if has is None:
            return "expired" if (claim, consumer) in self.expired and self.last[consumer][0] == claim else "freed"
        if has.amount != 1:
            return "changed"
        return "reserved" if has.expires_s is not None and has.claim == claim else "held"


class Claiming(RuleBasedStateMachine):
    """Asks one of two nodes, and the model."""

    engine: type[MemoryEngine] = MemoryEngine

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.runner = asyncio.Runner(loop_factory=lambda: SimulatedLoop(self.clock))
        self.state = MemoryState()
        self.model = Model()
        self.turn = 0
        self.nodes = [self.run(self._open()) for _ in range(2)]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def _open(self, *, is_loaded: bool = True) -> World:
        self.turn += 1
        ids = SeededIds(self.turn)
        store = self.engine(self.state, clock=self.clock, ids=ids)
        return await World(store, clock=self.clock, ids=ids, is_shared=True, is_loaded=is_loaded).__aenter__()

    def teardown(self) -> None:
        for node in self.nodes:
            self.run(node.__aexit__())
        self.runner.close()

    def send(self, method: str, path: str, body: Any = None) -> int:
        self.turn += 1
        return self.run(self.nodes[self.turn % 2].send(method, path, body)).status

    def ask(self, path: str) -> Any:
        self.turn += 1
        return self.run(self.nodes[self.turn % 2].ask("GET", path))

    @initialize()
    def begin(self) -> None:
        self.run(self.nodes[0].provider(HOST, VCPU=CAPACITY))
        self.run(asyncio.sleep(1))

    # ---- what is asked -----------------------------------------------------------------------------------------------

    @rule(gang=GANGS, expires_in_s=TIMES, data=st.data())
    def claim(self, gang: list[int], expires_in_s: int | None, data: st.DataObject) -> None:
        owners = {one: data.draw(st.sampled_from(PROJECTS)) for one in gang}
        # A no is as old as the read model: what was freed a moment ago may be missing on the other node.
        self.run(asyncio.sleep(0.3))
        self._sweep()
        body = self._claim(owners, expires_in_s)
        expected = self.model.claim(owners, None if expires_in_s is None else self._now_s() + expires_in_s)
        assert self.send("POST", "/v1/claims", body) == expected
        if expected == CREATED:
            assert self.send("POST", "/v1/claims", body) == OK

    def _claim(self, owners: dict[int, str], expires_in_s: int | None) -> dict[str, Any]:
        self.turn += 1
        consumers = [{"uuid": uuid_of(one), "project_id": of, "user_id": "ann"} for one, of in owners.items()]
        body = {"consumers": consumers, "request": {"groups": [{"resources": {"VCPU": 1}}]}, "attempt": self.turn}
        return body if expires_in_s is None else {**body, "expires_in_seconds": expires_in_s}

    @rule(consumer=CONSUMERS)
    def confirm(self, consumer: int) -> None:
        assert self.send("POST", f"/v1/claims/{uuid_of(consumer)}/confirm") == self.model.confirm(consumer)

    @rule(consumer=CONSUMERS)
    def release(self, consumer: int) -> None:
        expected = NO_CONTENT if consumer in self.model.last else NOT_FOUND
        assert self.send("DELETE", f"/v1/claims/{uuid_of(consumer)}") == expected
        if expected == NO_CONTENT:
            self.model.held.pop(consumer, None)

    @rule(consumer=CONSUMERS)
    def free(self, consumer: int) -> None:
        expected = NO_CONTENT if consumer in self.model.held else NOT_FOUND
        assert self.send("DELETE", f"/allocations/{uuid_of(consumer)}") == expected
        self.model.held.pop(consumer, None)

    @rule(consumer=CONSUMERS, amount=st.integers(1, 3), project=st.sampled_from(PROJECTS))
    def allocate(self, consumer: int, amount: int, project: str) -> None:
        has = self.model.held.get(consumer)
        generation = self.ask(f"/allocations/{uuid_of(consumer)}").get("consumer_generation")
        body = {
            "allocations": {uuid_of(HOST): {"resources": {"VCPU": amount}}},
            "consumer_generation": generation,
            "project_id": project,
            "user_id": "ann",
            "consumer_type": "INSTANCE",
        }
        more = {project: amount}
        if has is not None:
            more[has.project] = more.get(has.project, 0) - has.amount
        expected = self.model.may_grow(more) or NO_CONTENT
        assert self.send("PUT", f"/allocations/{uuid_of(consumer)}", body) == expected
        if expected == NO_CONTENT:
            after = Held(project, amount, None) if has is None else has
            after.project, after.amount = project, amount
            self.model.held[consumer] = after

    @rule(project=st.sampled_from(PROJECTS), limit=st.none() | st.integers(0, CAPACITY))
    def limit(self, project: str, limit: int | None) -> None:
        if limit is None:
            assert self.send("DELETE", f"/v1/quotas/{project}") == NO_CONTENT
            self.model.limits.pop(project, None)
        else:
            assert self.send("PUT", f"/v1/quotas/{project}", {"resources": {"VCPU": limit}}) == OK
            self.model.limits[project] = limit

    # ---- what happens by itself --------------------------------------------------------------------------------------

    @rule(passed_s=st.sampled_from((0.5, 3, 12)))
    def wait(self, passed_s: float) -> None:
        self.run(asyncio.sleep(passed_s))
        self._sweep()

    def _sweep(self) -> None:
        """Lets what is due be freed, and what becomes due meanwhile."""
        while due_s := [one for one in self._deadlines_s() if one <= self._now_s()]:
            self.run(asyncio.sleep(max(0.0, max(due_s) + LATE_S - self._now_s())))
            self.model.expire(self._now_s() - LATE_S)

    def _deadlines_s(self) -> list[float]:
        return [one.expires_s for one in self.model.held.values() if one.expires_s is not None]

    def _now_s(self) -> float:
        return self.clock.monotonic_s()

    @rule(at=st.integers(0, 1), passed_s=st.sampled_from((0, 12)))
    def end(self, at: int, passed_s: float) -> None:
        """A node ends, and another one begins, which nobody asks for anything."""
        self.run(self.nodes[at].__aexit__())
        self.run(asyncio.sleep(passed_s))
        self.nodes[at] = self.run(self._open(is_loaded=False))
        self._sweep()

    # ---- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def what_is_used_is_what_consumers_have(self) -> None:
        self._sweep()
        usages = self.ask(f"/resource_providers/{uuid_of(HOST)}/usages")["usages"]
        assert usages == {"VCPU": self.model.used()}
        for project in PROJECTS:
            shown = self.ask(f"/v1/quotas/{project}")["resources"].get("VCPU", {"limit": None, "used": 0})
            assert (shown["limit"], shown["used"]) == (self.model.limits.get(project), self.model.used(project))
        assert self.run(audit(self.nodes[0].store)).findings == []

    @invariant()
    def what_became_of_claims_is_told(self) -> None:
        for consumer, (claim, gang) in self.model.last.items():
            states = self.ask(f"/v1/claims/{uuid_of(consumer)}")["states"]
            assert states == {uuid_of(one): self.model.state(claim, one) for one in gang}

    @invariant()
    def all_that_was_asked_is_listed_in_its_order(self) -> None:
        for project in (None, *PROJECTS):
            query = f"limit=1000&project_id={project}" if project else "limit=1000"
            results = [one["result"] for one in self.ask(f"/v1/claims?{query}")["claims"]]
            assert results == [result for result, of in self.model.listed if project in {None, *of}]


class ClaimingFarApart(Claiming):
    """The same where commits over partitions are dear: deadlines are noted before the claims."""

    engine = ExpensiveEngine


TestClaiming = Claiming.TestCase
TestClaiming.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
TestClaimingFarApart = ClaimingFarApart.TestCase
TestClaimingFarApart.settings = settings(max_examples=8, stateful_step_count=20, deadline=None)
