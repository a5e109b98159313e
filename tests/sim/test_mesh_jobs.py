"""Background jobs in simulated clusters: spread evenly, one holder at a time, moved in time, started again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from tenet.mesh.jobs import Job, Supervisor, Tenure, assignments
from tenet.mesh.membership import Standing
from tenet.mesh.shares import Shares
from tenet.store.contract import Committed, Key, Put
from tenet.store.errors import StoreUnavailable
from tenet.store.faulty import EVERY_FAULT, NO_FAULTS, CallFaults, FaultPlan
from tenet.store.landing import land
from tests.sim.harness import Simulation, seeds, simulate
from tests.sim.meshes import Mesh, MeshNode

FAULTS = replace(EVERY_FAULT, crash=0.001)
SHARDS = 12


def play(scene: Callable[[Mesh], Awaitable[None]], seed: int = 0, plan: FaultPlan = NO_FAULTS) -> None:
    async def played(sim: Simulation) -> None:
        mesh = Mesh(sim)
        try:
            await scene(mesh)
        finally:
            await mesh.end()

    simulate(played, seed, plan)


class Work:
    """A job that notes who has which of its shards, and since when."""

    def __init__(self, mesh: Mesh, shards: int = SHARDS) -> None:
        self._mesh = mesh
        self.at: dict[int, list[MeshNode]] = {shard: [] for shard in range(shards)}

    def job_of(self, node: MeshNode) -> Job:
        async def run(tenure: Tenure) -> None:
            self.at[tenure.shard].append(node)
            try:
                await asyncio.Event().wait()
            finally:
                self.at[tenure.shard].remove(node)

        return Job("work", run, shards=len(self.at))

    def load(self) -> Counter[str]:
        """How many shards each node has that can do anything about them."""
        return Counter(str(node.name) for nodes in self.at.values() for node in nodes if node.is_alive)

    def is_done_by(self, *names: str) -> bool:
        """Whether each shard is at one of these nodes."""
        return all(any(node.is_alive and node.name in names for node in nodes) for nodes in self.at.values())


async def working(
    mesh: Mesh, count: int, plan: FaultPlan | None = None, *, shards: int = SHARDS
) -> tuple[Work, list[MeshNode]]:
    work = Work(mesh, shards)
    nodes = [mesh.node(chr(ord("a") + at), plan) for at in range(count)]
    for node in nodes:
        await node.supervisor.add(work.job_of(node))
    await asyncio.gather(*(node.join() for node in nodes))
    await mesh.until(lambda: work.is_done_by(*(node.name for node in nodes)), 10.0)
    await asyncio.sleep(5.0)
    return work, nodes


def test_shards_are_spread_evenly_and_each_has_one_holder() -> None:
    async def scene(mesh: Mesh) -> None:
        work, nodes = await working(mesh, 3)
        assert work.load() == {"a": 4, "b": 4, "c": 4}
        assert all(len(holders) == 1 for holders in work.at.values())
        assert sum(node.supervisor.figures()["running"] for node in nodes) == SHARDS

    for seed in seeds(3, 30):
        play(scene, seed)


@pytest.mark.parametrize(("how", "within_s"), [("kill", 2.0), ("freeze", 2.5)])
def test_shards_of_a_node_that_is_gone_go_on_in_time(how: str, within_s: float) -> None:
    async def scene(mesh: Mesh) -> None:
        work, nodes = await working(mesh, 3)
        await asyncio.sleep(mesh.sim.dice.below(1_000) / 1_000)
        victim = mesh.sim.dice.pick(nodes)
        getattr(victim, how)()
        others = [node.name for node in nodes if node is not victim]
        await mesh.until(lambda: work.is_done_by(*others), within_s)
        assert sorted(work.load()[name] for name in others) == [6, 6]

    for seed in seeds(5, 200):
        play(scene, seed)


def test_many_shards_of_a_node_that_is_gone_go_on_in_time_though_the_store_is_slow() -> None:
    """Whoever takes them asks of each whether its holder is dead, and none waits for what the store says of others."""
    slow = FaultPlan(methods={"query": CallFaults(delayed=1.0, delay_ms_max=300)})

    async def scene(mesh: Mesh) -> None:
        work, nodes = await working(mesh, 2, slow, shards=200)
        victim = mesh.sim.dice.pick(nodes)
        victim.kill()
        (other,) = (node.name for node in nodes if node is not victim)
        await mesh.until(lambda: work.is_done_by(other), 3.0)

    for seed in seeds(5, 50):
        play(scene, seed)


def test_shards_of_a_node_that_has_lost_only_its_store_go_on_elsewhere_and_come_back() -> None:
    """It is alive and reached by all, and can neither work nor give its leases back."""

    async def scene(mesh: Mesh) -> None:
        work, nodes = await working(mesh, 3)
        await asyncio.sleep(mesh.sim.dice.below(3_000) / 1_000)
        victim = mesh.sim.dice.pick(nodes)
        others = [node for node in nodes if node is not victim]
        victim.sim_node.store._is_down = True

        def are_done_by_others() -> bool:
            # It has stopped by itself before anybody else begins.
            assert all(len(holders) <= 1 for holders in work.at.values()), mesh.describe()
            return work.load() == {node.name: 6 for node in others}

        await mesh.until(are_done_by_others, 12.0)
        await asyncio.sleep(120)
        assert are_done_by_others()
        victim.sim_node.store._is_down = False
        await mesh.until(lambda: work.load() == {"a": 4, "b": 4, "c": 4}, 3.0)
        await asyncio.sleep(60)
        assert all(len(holders) == 1 for holders in work.at.values())
        assert sum(node.membership.figures()["evicted_others"] for node in nodes) == 1

    for seed in seeds(5, 100):
        play(scene, seed)


def test_a_node_that_comes_back_gets_its_share_again() -> None:
    async def scene(mesh: Mesh) -> None:
        work, nodes = await working(mesh, 3)
        nodes[0].freeze()
        await asyncio.sleep(20)
        nodes[0].thaw()
        await mesh.until(lambda: work.load() == {"a": 4, "b": 4, "c": 4}, 4.0)
        await asyncio.sleep(1)
        assert all(len(holders) == 1 for holders in work.at.values())

    for seed in seeds(3, 30):
        play(scene, seed)


def test_a_node_that_drains_gives_everything_away_and_one_that_leaves_too() -> None:
    async def scene(mesh: Mesh) -> None:
        work, nodes = await working(mesh, 3)
        nodes[0].process.run(lambda: nodes[0].cooperation.drain(is_draining=True))
        await mesh.until(lambda: work.load() == {"b": 6, "c": 6}, 1.0)
        await nodes[1].leave()
        await mesh.until(lambda: work.load() == {"c": 12}, 1.0)
        # Where all drain, it is done all the same.
        await nodes[2].process.start(nodes[2].membership.declare(is_draining=True))
        await asyncio.sleep(1)
        assert sum(work.load().values()) == SHARDS

    for seed in seeds(3, 30):
        play(scene, seed)


def test_nothing_is_written_while_nothing_changes() -> None:
    async def scene(mesh: Mesh) -> None:
        _, nodes = await working(mesh, 3)
        engine = nodes[0].sim_node.store.engine
        before = engine._state.last_version  # type: ignore[attr-defined]
        await asyncio.sleep(120)
        assert engine._state.last_version == before  # type: ignore[attr-defined]

    play(scene)


def test_each_node_does_only_the_jobs_and_shards_that_it_knows() -> None:
    async def scene(mesh: Mesh) -> None:
        work = Work(mesh)
        old, new = mesh.node("a"), mesh.node("b")
        job = work.job_of(old)
        await old.supervisor.add(Job(job.name, job.run, shards=4))
        await new.supervisor.add(work.job_of(new))
        await asyncio.gather(old.join(), new.join())
        await mesh.until(lambda: work.is_done_by("a", "b"), 5.0)
        await asyncio.sleep(2)
        assert work.load()["b"] >= SHARDS - 4
        # A job that is taken away from one goes to the other.
        await new.process.start(new.supervisor.remove("work"))
        await mesh.until(lambda: work.load() == {"a": 4}, 2.0)

    for seed in seeds(3, 30):
        play(scene, seed)


async def storm(mesh: Mesh) -> None:
    """Nodes die, sleep and come back, over a store with every fault; then everything is done, once, by those left."""
    dice = mesh.sim.dice
    work, nodes = await working(mesh, 3, FAULTS)
    for _ in range(15):
        await asyncio.sleep(dice.below(3_000) / 1_000)
        one, other = dice.sample(nodes, 2)
        match dice.below(4):
            case 0:
                one.freeze()
            case 1:
                one.thaw()
            case 2:
                mesh.board.cut(one.name, other.name)
            case _:
                mesh.board.mend(one.name, other.name)
    for at, one in enumerate(nodes):
        one.thaw()
        for other in nodes[:at]:
            mesh.board.mend(one.name, other.name)
    await mesh.until(lambda: work.load() == {"a": 4, "b": 4, "c": 4}, 700.0)
    await asyncio.sleep(5)
    assert all(len(holders) == 1 for holders in work.at.values())


@pytest.mark.parametrize("seed", seeds(5, 300))
def test_whatever_happens_every_shard_is_done_by_one_node_in_the_end(seed: int) -> None:
    play(storm, seed, FAULTS)


def test_what_a_job_commits_is_fenced() -> None:
    async def scene(mesh: Mesh) -> None:
        await mesh.sim.truth.store.ensure_space("guarded")
        key, landed = Key("guarded", b"p", b"value"), Counter[str]()

        def job_of(node: MeshNode) -> Job:
            async def run(tenure: Tenure) -> None:
                while True:
                    outcome = await land(
                        tenure.store,
                        (Put(key, b"%d" % tenure.number),),
                        clock=mesh.clock,
                        ids=node.sim_node.ids,
                        deadline=mesh.clock.monotonic_s() + 1,
                    )
                    landed[node.name] += isinstance(outcome, Committed)
                    await asyncio.sleep(0.01)

            return Job("fenced", run, lease_key=lambda _: Key("guarded", b"p", b"lease"))

        nodes = [mesh.node(name) for name in "ab"]
        for node in nodes:
            await node.supervisor.add(job_of(node))
        await asyncio.gather(*(node.join() for node in nodes))
        await mesh.until(lambda: bool(landed), 3.0)
        await asyncio.sleep(1)
        (holder,) = [node for node in nodes if node.supervisor.running()]
        (other,) = [node for node in nodes if node is not holder]
        holder.freeze()
        await mesh.until(lambda: bool(other.supervisor.running()), 2.5)
        await asyncio.sleep(0.1)
        value, before = await mesh.sim.truth.value(key), landed[holder.name]
        mesh.board.cut("a", "b")  # type: ignore[arg-type]
        holder.process.thaw()
        await asyncio.sleep(0.5)
        assert await mesh.sim.truth.value(key) == value
        assert landed[holder.name] == before
        assert not holder.supervisor.running()

    for seed in seeds(3, 30):
        play(scene, seed)


def test_many_leases_are_one_line_of_the_log_and_given_back_side_by_side() -> None:
    async def scene(mesh: Mesh) -> None:
        at_once, most = 0, 0
        with capture_logs() as said:
            _, (node,) = await working(mesh, 1)
            release = node.leases.release

            async def counted(key: Key) -> None:
                nonlocal at_once, most
                at_once, most = at_once + 1, max(most, at_once + 1)
                await release(key)
                at_once -= 1

            node.leases.release = counted  # type: ignore[method-assign,assignment]
            await node.process.start(node.supervisor.remove("work"))
            assert most == SHARDS
            await node.leave()
        told = [(line["log_level"], line["event"], line.get("count")) for line in said if "lease" in line["event"]]
        for event, several in (("taken", "leases are taken"), ("released", "leases are released")):
            assert told.count(("info", several, SHARDS)) == 1
            assert told.count(("debug", f"a lease is {event}", None)) == SHARDS
        assert len(told) == 2 * (SHARDS + 1)

    play(scene)


# ---- without others, and failures ------------------------------------------------------------------------------------


async def alone(sim: Simulation) -> Supervisor:
    node = sim.node(NO_FAULTS)
    return Supervisor(node.store, clock=sim.clock, ids=sim.ids)


def test_without_others_everything_runs_at_once_without_a_lease() -> None:
    async def scene(sim: Simulation) -> None:
        supervisor, seen = await alone(sim), list[Tenure]()

        async def run(tenure: Tenure) -> None:
            seen.append(tenure)
            await asyncio.Event().wait()

        await supervisor.add(Job("one", run, shards=3))
        supervisor.start()
        await supervisor.add(Job("two", run))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert supervisor.running() == [("one", 0), ("one", 1), ("one", 2), ("two", 0)]
        assert all(tenure.lease is None and tenure.is_held() and tenure.number == 0 for tenure in seen)
        assert all(tenure.store is sim.nodes[0].store for tenure in seen)
        await supervisor.remove("one")
        assert supervisor.running() == [("two", 0)]
        await supervisor.close()
        assert supervisor.running() == []
        assert not await sim.truth.store.list_spaces()

    simulate(scene, 0, NO_FAULTS)


def test_a_job_that_fails_starts_again_ever_more_slowly_until_it_goes_well() -> None:
    async def scene(sim: Simulation) -> None:
        supervisor, begun_s = await alone(sim), list[float]()

        async def run(tenure: Tenure) -> None:
            begun_s.append(sim.clock.monotonic_s())
            if len(begun_s) == 13:
                await asyncio.sleep(60)
            raise StoreUnavailable("not now") if len(begun_s) % 2 else ValueError("a mistake")

        await supervisor.add(Job("failing", run))
        supervisor.start()
        await asyncio.sleep(400)
        await supervisor.close()
        rests_s = [later - earlier for earlier, later in pairwise(begun_s)]
        assert 0.05 <= rests_s[0] <= 0.11
        assert all(15 <= rest_s <= 30.01 for rest_s in rests_s[9:12])
        # It ran for a minute, so that what was before is forgiven.
        assert 60.05 <= rests_s[12] <= 60.11
        assert supervisor.figures()["failed"] == len(begun_s)

    simulate(scene, 0, NO_FAULTS)


def test_a_job_that_returns_is_called_again_a_second_later() -> None:
    async def scene(sim: Simulation) -> None:
        supervisor, calls = await alone(sim), 0

        async def run(tenure: Tenure) -> None:
            nonlocal calls
            calls += 1

        await supervisor.add(Job("brief", run))
        supervisor.start()
        await asyncio.sleep(10.5)
        await supervisor.close()
        assert calls == 11

    simulate(scene, 0, NO_FAULTS)


def test_a_lease_that_could_not_be_given_back_is_given_back_later() -> None:
    async def scene(mesh: Mesh) -> None:
        work, nodes = await working(mesh, 2)
        giver = nodes[0]
        real, failures = giver.leases.release, 0

        async def failing(key: Key) -> None:
            nonlocal failures
            failures += 1
            if failures <= 20:
                raise StoreUnavailable("not now")
            await real(key)

        giver.leases.release = failing  # type: ignore[method-assign, assignment]
        await giver.process.start(giver.membership.declare(is_draining=True))
        await mesh.until(lambda: work.load() == {"b": SHARDS}, 5.0)
        assert failures > 20

    play(scene)


def test_the_assignment_is_the_same_for_all_and_moves_little() -> None:
    async def scene(mesh: Mesh) -> None:
        _, nodes = await working(mesh, 4)
        before = assignments(nodes[0].membership.view)
        assert all(assignments(node.membership.view) == before for node in nodes)
        nodes[3].kill()
        await asyncio.sleep(2)
        after = assignments(nodes[0].membership.view)
        moved = [shard for shard, node in before.items() if after[shard] != node]
        assert len(moved) <= 2 * sum(node == "d" for node in before.values())

    play(scene)


def test_what_is_declared_while_the_store_is_away_or_the_node_evicted_is_said_later() -> None:
    async def scene(mesh: Mesh) -> None:
        nodes = await mesh.joined(3)
        work, node = Work(mesh), nodes[0]
        node.sim_node.store._is_down = True
        await node.process.start(node.supervisor.add(work.job_of(node)))
        await asyncio.sleep(0.5)
        node.sim_node.store._is_down = False
        await mesh.until(lambda: work.load() == {"a": SHARDS}, 2.0)
        for other in nodes[1:]:
            mesh.board.cut(node.name, other.name)
        await mesh.until(lambda: node.membership.standing is Standing.EVICTED, 3.0)
        await node.process.start(node.supervisor.remove("work"))
        await node.process.start(node.supervisor.add(Job("other", work.job_of(node).run)))
        for other in nodes[1:]:
            mesh.board.mend(node.name, other.name)
        await mesh.until(lambda: node.supervisor.running() == [("other", 0)], 4.0)

    play(scene)


def test_shares_divide_many_names_over_the_nodes() -> None:
    async def scene(mesh: Mesh) -> None:
        nodes = [mesh.node(name) for name in "abc"]
        shares, changes = {node.name: Shares("tables", shares=16) for node in nodes}, Counter[str]()
        for node in nodes:
            shares[node.name].changed = lambda name=node.name: changes.update([name])  # type: ignore[misc]
            await node.supervisor.add(shares[node.name].job)
        await asyncio.gather(*(node.join() for node in nodes))
        names = [f"table {at}" for at in range(300)]

        def owners(name: str) -> list[str]:
            return [node.name for node in nodes if node.is_alive and shares[node.name].owns(name)]

        await mesh.until(lambda: all(len(owners(name)) == 1 for name in names), 5.0)
        await asyncio.sleep(3)
        assert all(len(owners(name)) == 1 for name in names)
        assert min(Counter(owner for name in names for owner in owners(name)).values()) > 50
        nodes[0].kill()
        before = Counter(changes)
        await mesh.until(lambda: all(len(owners(name)) == 1 for name in names), 2.0)
        assert changes["b"] > before["b"]

    play(scene)


def test_all_parts_show_their_figures() -> None:
    async def scene(mesh: Mesh) -> None:
        _, nodes = await working(mesh, 3)
        nodes[0].kill()
        await asyncio.sleep(3)
        figures = nodes[1].cooperation.figures()
        assert figures["members_up"] == 2
        assert figures["members_dead"] == 1
        assert figures["members_was_away"] == 0
        assert figures["jobs_running"] == 6
        assert figures["hints_watched"] == 0

    play(scene)


def test_a_node_that_does_not_know_a_job_is_seen() -> None:
    async def scene(mesh: Mesh) -> None:
        _, nodes = await working(mesh, 2)
        assert all(node.supervisor.is_known_to_all("work") for node in nodes)
        former = mesh.node("c")
        await former.join()
        await mesh.until(lambda: not any(node.supervisor.is_known_to_all("work") for node in nodes), 5.0)
        await former.supervisor.add(Work(mesh).job_of(former))
        await mesh.until(lambda: all(node.supervisor.is_known_to_all("work") for node in nodes), 5.0)

    for seed in seeds(2, 20):
        play(scene, seed)
