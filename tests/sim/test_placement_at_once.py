"""Placement against a plain model of its rules, on two nodes over a store that much happens to.

A step sends up to three requests at the same moment. Some order of them must explain all answers and everything that
can be seen afterwards, and the audit has to find that every sum is right.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tenet.placement.api import audit
from tenet.store.faulty import NO_FAULTS, CallFaults, CommitFaults, FaultPlan
from tests.rounds import rounds
from tests.sim.harness import SimulatedLoop, Simulation
from tests.sim.placement_model import (
    Claim,
    Exchange,
    Free,
    Furnish,
    Make,
    Operation,
    Remove,
    Reshape,
    State,
    Stock,
)
from tests.unit.placement.world import World, uuid_of

T = TypeVar("T")

UNAVAILABLE, UNKNOWN_HOST = 503, 404
HOSTS, HOLDERS, CLASSES = (1, 2, 3), (101, 102, 103, 104), ("VCPU", "MEMORY_MB")
#: How long a node may be behind, seconds.
BEHIND_S_MAX = 10.0

#: Where the store is said to be unavailable, nothing was written.
PLAN = FaultPlan(
    calls=CallFaults(unavailable=0.02, delayed=0.8, delay_ms_max=30),
    commits=CommitFaults(unknown_done=0.05, unknown_lost=0.05, unknown_late=0.05, late_ms_max=50, rival=0.1),
    hint_lost=0.3,
)

plain_stocks = st.builds(Stock, total=st.integers(3, 6))
odd_stocks = st.builds(
    Stock,
    total=st.integers(2, 8),
    reserved=st.integers(0, 2),
    allocation_ratio=st.sampled_from((1.5, 0.5)),
    min_unit=st.integers(1, 2),
    max_unit=st.sampled_from((3, 100)),
    step_size=st.integers(1, 2),
)
some_stocks = plain_stocks | plain_stocks | odd_stocks
stocks = st.fixed_dictionaries({"VCPU": some_stocks}, optional={"MEMORY_MB": some_stocks})
fewer_stocks = st.fixed_dictionaries({}, optional={"VCPU": some_stocks, "MEMORY_MB": some_stocks})
resources = st.fixed_dictionaries({"VCPU": st.integers(1, 4)}, optional={"MEMORY_MB": st.integers(1, 4)})
#: Mostly the present generation, now and then another one.
ahead = st.sampled_from((0, 0, 0, 0, 0, 0, 0, 1))
KINDS = ("claim",) * 4 + ("exchange", "reshape", "reshape", "furnish", "furnish", "free", "free", "host", "host")


class Draw:
    """Draws requests that mostly mean something, and are in each other's way.

    Args:
        data: where choices come from.
        state: what there is.
    """

    def __init__(self, data: st.DataObject, state: State) -> None:
        self._data = data
        self._state = state
        #: What the requests of one step are about: few hosts and consumers, so that they meet.
        self._hosts = self._one(st.lists(st.sampled_from(HOSTS), unique=True, min_size=1, max_size=2))
        self._holders = self._one(st.lists(st.sampled_from(HOLDERS), unique=True, min_size=2))

    def _one(self, strategy: st.SearchStrategy[T]) -> T:
        return self._data.draw(strategy)

    def furnish(self, host: int) -> Furnish:
        known = self._state.hosts.get(host)
        generation = (known.generation if known else 0) + self._one(ahead)
        return Furnish(host, self._one(stocks | fewer_stocks), generation)

    def claim(self, holder: int) -> Claim:
        known = self._state.holders.get(holder)
        generation = (known.generation if known else 0) + self._one(ahead)
        # Now and then everything is taken from it.
        least = self._one(st.sampled_from((1, 1, 1, 1, 1, 0)))
        wanted = st.dictionaries(st.sampled_from(self._hosts), resources, min_size=least)
        return Claim(holder, self._one(wanted), generation or None)

    def claims(self, least: int) -> tuple[Claim, ...]:
        holders = self._one(st.lists(st.sampled_from(self._holders), unique=True, min_size=least, max_size=2))
        return tuple(self.claim(holder) for holder in holders)

    def operations(self, count: int) -> list[Operation]:
        """Draws what is sent at the same moment: any requests, or claims of one host alone."""
        if self._one(st.booleans()):
            return [self.operation() for _ in range(count)]
        self._hosts = self._hosts[:1]
        return [self.claim(holder) for holder in self._holders[:count]]

    def operation(self) -> Operation:
        kind, host = self._one(st.sampled_from(KINDS)), self._hosts[0]
        if kind == "claim":
            return self.claim(self._one(st.sampled_from(self._holders)))
        if kind == "exchange":
            return Exchange(self.claims(1))
        if kind == "free":
            return Free(self._one(st.sampled_from(self._holders)))
        if kind == "furnish":
            return self.furnish(host)
        if kind == "reshape":
            return Reshape(tuple(self.furnish(one) for one in self._hosts), self.claims(0))
        return Remove(host) if host in self._state.hosts else Make(host)


class PlacementMachine(RuleBasedStateMachine):
    """Two nodes, and a third without faults that looks."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.sim: Simulation | None = None
        self.runner: asyncio.Runner
        self.nodes: list[World]
        self.clean: World

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize(seed=st.integers(0, 2**32 - 1), given=st.lists(stocks, min_size=len(HOSTS), max_size=len(HOSTS)))
    def begin(self, seed: int, given: list[dict[str, Stock]]) -> None:
        sim = self.sim = Simulation(seed, NO_FAULTS)
        self.runner = asyncio.Runner(loop_factory=lambda: SimulatedLoop(sim.clock))
        engines = [sim.node() for _ in range(3)]
        worlds = [World(one.store, clock=one.clock, ids=one.ids, is_shared=True) for one in engines]
        for world in worlds:
            self.run(world.__aenter__())
        *self.nodes, self.clean = worlds
        for host, furnished in zip(HOSTS, given, strict=True):
            for operation in (Make(host), Furnish(host, furnished, 0)):
                assert self.run(send(self.clean, operation)) == operation.apply(self.state)
        for one in engines[:2]:
            one.store._plan = PLAN

    @rule(data=st.data(), count=st.sampled_from((1, 2, 3, 3)))
    def send(self, data: st.DataObject, count: int) -> None:
        operations = Draw(data, self.state).operations(count)
        count = len(operations)
        nodes = [self.nodes[data.draw(st.integers(0, 1), label=f"node of request {at}")] for at in range(count)]

        async def at_once() -> list[int]:
            return await asyncio.gather(*(send(*pair) for pair in zip(nodes, operations, strict=True)))

        statuses = self.run(at_once())
        shown = self.run(self.look())
        for order in itertools.permutations(range(count)):
            after = explained(self.state, [operations[at] for at in order], [statuses[at] for at in order])
            if after is not None and after.shown() == shown:
                self.state = after
                return
        raise AssertionError(f"no order explains {list(zip(operations, statuses, strict=True))}: {shown}")

    @rule(name=st.sampled_from(CLASSES), amount=st.integers(1, 4), at=st.integers(0, 1))
    def ask(self, name: str, amount: int, at: int) -> None:
        """What a node says is free is so, as soon as it has heard of all that others did."""

        async def found() -> set[int]:
            response = await self.nodes[at].ask("GET", f"/allocation_candidates?resources={name}:{amount}")
            hosts = {host for one in response["allocation_requests"] for host in one["allocations"]}
            return {number for number in HOSTS if uuid_of(number) in hosts}

        async def wait() -> None:
            async with asyncio.timeout(BEHIND_S_MAX):
                while await found() != self.state.fitting(name, amount):  # noqa: ASYNC110 - another node's log says when
                    await asyncio.sleep(0.05)

        self.run(wait())

    @invariant()
    def adds_up(self) -> None:
        if self.sim is not None:
            assert self.run(audit(self.clean.store)).findings == []

    async def look(self) -> dict[str, Any]:
        """Returns everything that a client can see, in the form of ``State.shown``."""
        generations, furnished, used = {}, {}, {}
        for number in HOSTS:
            path = f"/resource_providers/{uuid_of(number)}"
            if (await self.clean.send("GET", path)).status == UNKNOWN_HOST:
                continue
            listed = await self.clean.ask("GET", f"{path}/inventories")
            generations[number] = listed["resource_provider_generation"]
            furnished[number] = {name: Stock(**one) for name, one in listed["inventories"].items()}
            used[number] = (await self.clean.ask("GET", f"{path}/usages"))["usages"]
        numbers = {uuid_of(number): number for number in HOSTS}
        holders = {}
        for number in HOLDERS:
            found = await self.clean.ask("GET", f"/allocations/{uuid_of(number)}")
            if found["allocations"]:
                taken = {numbers[uuid]: one["resources"] for uuid, one in found["allocations"].items()}
                holders[number] = (found["consumer_generation"], taken)
        return {"generations": generations, "stocks": furnished, "used": used, "holders": holders}

    def teardown(self) -> None:
        if self.sim is None:
            return
        for world in (*self.nodes, self.clean):
            self.run(world.__aexit__())
            self.run(world.store.close())
        self.runner.close()


async def send(world: World, operation: Operation) -> int:
    """Sends a request again until the store is there; returns the status."""
    method, path, body = operation.request()
    while True:
        status = (await world.send(method, path, body)).status
        if status != UNAVAILABLE:
            return status
        await asyncio.sleep(0.01)


def explained(state: State, operations: Sequence[Operation], statuses: Sequence[int]) -> State | None:
    """Returns the state behind some requests one after the other; None where one is answered otherwise."""
    after = copy.deepcopy(state)
    for operation, status in zip(operations, statuses, strict=True):
        if operation.apply(after) != status:
            return None
    return after


def test_placement_keeps_its_rules() -> None:
    run_state_machine_as_test(
        PlacementMachine,
        settings=settings(
            max_examples=rounds(100, 1_000),
            stateful_step_count=rounds(20, 40),
            deadline=None,
            # The first example that fails is printed as it is: to make it smaller takes longer than a test may.
            phases=[phase for phase in Phase if phase is not Phase.shrink],
        ),
    )
