"""Who is a member and who is dead, in simulated clusters: kills, pauses, broken links, and a store with faults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from tenet.base.clock import NEVER
from tenet.mesh.membership import Standing
from tenet.store.contract import Page
from tenet.store.errors import StoreUnavailable
from tenet.store.faulty import EVERY_FAULT, FaultPlan
from tests.sim.harness import NO_FAULTS, Simulation, seeds, simulate
from tests.sim.meshes import Mesh, MeshNode

#: Rivals put records again as they are; an eviction meets them as anybody does.
FAULTS = replace(EVERY_FAULT, crash=0.001)

Scene = Callable[[Mesh], Awaitable[None]]


def play(scene: Scene, seed: int, plan: FaultPlan = NO_FAULTS) -> None:
    async def played(sim: Simulation) -> None:
        mesh = Mesh(sim)
        try:
            await scene(mesh)
        finally:
            await mesh.end()

    simulate(played, seed, plan)


def evictions(nodes: list[MeshNode]) -> int:
    return sum(node.membership.figures()["evicted_others"] for node in nodes)


async def some_time(mesh: Mesh) -> None:
    """Waits so long that whatever follows happens at any moment between two heartbeats."""
    await asyncio.sleep(0.5 + mesh.sim.dice.below(1_000) / 1_000)


async def killed(mesh: Mesh, *, count: int) -> None:
    nodes = await mesh.joined(count)
    await some_time(mesh)
    victim = mesh.sim.dice.pick(nodes)
    victim.kill()
    others = [node for node in nodes if node is not victim]
    await mesh.until(lambda: all(victim.name not in node.membership.view.up for node in others), 1.5)
    await asyncio.sleep(5)
    assert all(node.membership.view.up == {n.name for n in others} for node in others)
    assert all(node.membership.standing is Standing.UP for node in others)
    assert evictions(others) == 1


@pytest.mark.parametrize("count", [2, 3, 5, 12])
def test_a_killed_node_is_known_to_all_within_a_second_and_a_half(count: int) -> None:
    for seed in seeds(4, 100):
        play(partial(killed, count=count), seed)


async def frozen(mesh: Mesh) -> None:
    nodes = await mesh.joined(3)
    await some_time(mesh)
    victim, *others = nodes
    victim.freeze()
    await mesh.until(lambda: all(victim.name not in node.membership.view.up for node in others), 1.5)
    await asyncio.sleep(20)
    incarnation = victim.membership.incarnation
    victim.thaw()
    await mesh.until(lambda: all(victim.name in node.membership.view.up for node in nodes), 3.0)
    assert victim.membership.incarnation != incarnation
    await asyncio.sleep(30)
    assert evictions(nodes) == 1
    assert all(len(node.membership.view.up) == 3 for node in nodes)


def test_a_paused_node_is_evicted_once_and_comes_back_once() -> None:
    for seed in seeds(3, 100):
        play(frozen, seed)


async def stuttering(mesh: Mesh) -> None:
    """A node that is paused for 2 s of every 3, for 5 minutes: 100 times."""
    nodes = await mesh.joined(3)
    victim = nodes[0]
    for _ in range(100):
        victim.freeze()
        await asyncio.sleep(2)
        victim.thaw()
        await asyncio.sleep(1)
    assert 1 <= victim.membership.figures()["was_evicted"] <= 12
    assert sum(node.membership.figures()["was_evicted"] for node in nodes[1:]) == 0
    await mesh.until(lambda: all(len(node.membership.view.up) == 3 for node in nodes), 70)


def test_a_node_that_is_paused_again_and_again_does_not_come_and_go_each_time() -> None:
    for seed in seeds(1, 20):
        play(stuttering, seed)


async def short_pauses(mesh: Mesh) -> None:
    nodes = await mesh.joined(3)
    for _ in range(20):
        victim = mesh.sim.dice.pick(nodes)
        victim.freeze()
        await asyncio.sleep(0.5)
        victim.thaw()
        await some_time(mesh)
    assert evictions(nodes) == 0


def test_a_pause_of_half_a_second_evicts_nobody() -> None:
    for seed in seeds(4, 60):
        play(short_pauses, seed)


async def all_paused(mesh: Mesh) -> None:
    """A laptop that sleeps: everything stops, and goes on, a little out of step."""
    nodes = await mesh.joined(3)
    for node in nodes:
        node.freeze()
    await asyncio.sleep(600)
    for node in nodes:
        node.thaw()
        await asyncio.sleep(mesh.sim.dice.below(200) / 1_000)
    await asyncio.sleep(10)
    assert evictions(nodes) == 0


def test_nodes_that_were_all_away_blame_nobody() -> None:
    for seed in seeds(4, 60):
        play(all_paused, seed)


async def storeless(mesh: Mesh, *, count: int) -> None:
    """The store answers all but one, for a minute."""
    nodes = await mesh.joined(count)
    await some_time(mesh)
    victim = mesh.sim.dice.pick(nodes)
    others = [node for node in nodes if node is not victim]
    victim.sim_node.store._is_down = True
    await asyncio.sleep(4)
    assert evictions(nodes) == 0
    await mesh.until(lambda: victim.membership.sure_until_s < mesh.clock.monotonic_s(), 2.0)
    assert evictions(nodes) == 0
    await mesh.until(lambda: all(victim.name not in node.membership.view.up for node in others), 7.0)
    await asyncio.sleep(60)
    assert all(victim.name not in node.membership.view.up for node in others)
    victim.sim_node.store._is_down = False
    await mesh.until(lambda: all(len(node.membership.view.up) == count for node in nodes), 2.0)
    await asyncio.sleep(20)
    assert evictions(nodes) == 1


@pytest.mark.parametrize("count", [2, 3, 9])
def test_a_node_that_has_lost_only_its_store_is_evicted_once_and_comes_back_once(count: int) -> None:
    for seed in seeds(1 if count > 3 else 3, 30):
        play(partial(storeless, count=count), seed)


async def all_storeless(mesh: Mesh) -> None:
    """The store is out of everybody's reach for as long as it likes, and answers one sooner than the other again."""
    nodes = await mesh.joined(4)
    for node in nodes:
        await asyncio.sleep(mesh.sim.dice.below(2_000) / 1_000)
        node.sim_node.store._is_down = True
    await asyncio.sleep(mesh.sim.dice.below(60_000) / 1_000)
    for node in nodes:
        await asyncio.sleep(mesh.sim.dice.below(1_000) / 1_000)
        node.sim_node.store._is_down = False
    await asyncio.sleep(30)
    assert evictions(nodes) == 0


def test_a_store_that_is_out_of_everybodys_reach_evicts_nobody() -> None:
    for seed in seeds(2, 60):
        play(all_storeless, seed)


def slow_down(mesh: Mesh, node: MeshNode, slow_s: Callable[[], float]) -> None:
    """Makes the reads of a node's store take so long, up to their deadlines."""
    engine, clock = node.sim_node.store._engine, mesh.clock
    query = engine.query

    async def slowly(*args: Any, deadline: float = NEVER, **options: Any) -> Page:
        takes_s = slow_s()
        if clock.monotonic_s() + takes_s >= deadline:
            await asyncio.sleep(deadline - clock.monotonic_s())
            raise StoreUnavailable("too few nodes of the cluster answered the read in time")
        await asyncio.sleep(takes_s)
        return await query(*args, deadline=deadline, **options)

    vars(engine)["query"] = slowly


async def overloaded(mesh: Mesh, *, slow_s: float) -> None:
    """The store has too much to do for 20 s, and answers one node somewhat later than the others."""
    nodes = await mesh.joined(3)
    extra_s = 0.0
    slow_down(mesh, nodes[0], lambda: extra_s)
    for node in nodes[1:]:
        slow_down(mesh, node, lambda: min(extra_s, 0.5))
    extra_s = slow_s
    await asyncio.sleep(20)
    assert evictions(nodes) == 0
    extra_s = 0.0
    await asyncio.sleep(10)
    assert evictions(nodes) == 0
    assert all(node.membership.sure_until_s > mesh.clock.monotonic_s() for node in nodes)


@pytest.mark.parametrize("slow_s", [1.5, 8.0])
def test_a_store_that_has_too_much_to_do_evicts_nobody(slow_s: float) -> None:
    for seed in seeds(1, 20):
        play(partial(overloaded, slow_s=slow_s), seed)


async def standing_still(mesh: Mesh) -> None:
    """The store never answers one node again, and does not refuse it either."""
    nodes = await mesh.joined(3)
    slow_down(mesh, nodes[0], lambda: 1_000.0)
    await asyncio.sleep(25)
    assert evictions(nodes) == 0
    await mesh.until(lambda: nodes[0].name not in nodes[1].membership.view.up, 25)
    assert evictions(nodes) == 1


def test_a_node_that_the_store_never_answers_again_is_evicted_all_the_same() -> None:
    for seed in seeds(1, 20):
        play(standing_still, seed)


async def stuttering_store(mesh: Mesh, *, away_s: float, evictions_max: int) -> None:
    """The store answers one node for 3 s, and then does not for a while, 24 times."""
    nodes = await mesh.joined(3)
    victim = nodes[0]
    for _ in range(24):
        victim.sim_node.store._is_down = True
        await asyncio.sleep(away_s)
        victim.sim_node.store._is_down = False
        await asyncio.sleep(3)
    assert evictions(nodes) <= evictions_max
    await mesh.until(lambda: all(len(node.membership.view.up) == 3 for node in nodes), 70)


@pytest.mark.parametrize(("away_s", "evictions_max"), [(2.0, 0), (12.0, 11)])
def test_a_node_whose_store_comes_and_goes_does_not_come_and_go_each_time(away_s: float, evictions_max: int) -> None:
    for seed in seeds(1, 20):
        play(partial(stuttering_store, away_s=away_s, evictions_max=evictions_max), seed)


async def one_link(mesh: Mesh) -> None:
    nodes = await mesh.joined(3)
    mesh.board.cut(nodes[0].name, nodes[1].name)
    await asyncio.sleep(30)
    assert evictions(nodes) == 0
    assert not nodes[0].membership.in_touch(nodes[1].name)
    assert all(node.membership.sure_until_s > mesh.clock.monotonic_s() for node in nodes)


def test_a_broken_link_evicts_nobody_whom_another_can_reach() -> None:
    for seed in seeds(3, 30):
        play(one_link, seed)


async def minority(mesh: Mesh) -> None:
    nodes = await mesh.joined(3)
    await some_time(mesh)
    alone, *others = nodes
    for node in others:
        mesh.board.cut(alone.name, node.name)
    await mesh.until(lambda: all(node.membership.view.up == {"b", "c"} for node in nodes), 2.0)
    assert alone.membership.standing is Standing.EVICTED
    assert alone.membership.sure_until_s < mesh.clock.monotonic_s()
    await asyncio.sleep(25)
    assert evictions(nodes) == 1
    for node in others:
        mesh.board.mend(alone.name, node.name)
    await mesh.until(lambda: all(len(node.membership.view.up) == 3 for node in nodes), 3.0)
    assert all(node.membership.figures()["was_evicted"] == 0 for node in others)


def test_the_smaller_side_of_a_broken_network_goes_and_comes_back() -> None:
    for seed in seeds(5, 60):
        play(minority, seed)


async def long_minority(mesh: Mesh) -> None:
    """One that stays cut off tries to come back, seldom and more and more seldom, and never puts out the others."""
    nodes = await mesh.joined(3)
    alone, *others = nodes
    for node in others:
        mesh.board.cut(alone.name, node.name)
    await asyncio.sleep(600)
    assert all(node.membership.figures()["was_evicted"] == 0 for node in others)
    assert 2 <= alone.membership.figures()["was_evicted"] <= 6


def test_one_that_stays_cut_off_disturbs_nobody() -> None:
    for seed in seeds(1, 20):
        play(long_minority, seed)


async def halves(mesh: Mesh) -> None:
    nodes = await mesh.joined(2)
    await some_time(mesh)
    mesh.board.cut(nodes[0].name, nodes[1].name)
    await mesh.until(lambda: all(len(node.membership.view.up) == 1 for node in nodes), 2.0)
    await asyncio.sleep(25)
    assert evictions(nodes) == 1
    (stayed,) = [node for node in nodes if node.membership.standing is Standing.UP]
    await asyncio.sleep(120)
    assert stayed.membership.standing is Standing.UP
    assert stayed.membership.figures()["was_evicted"] == 0
    mesh.board.mend(nodes[0].name, nodes[1].name)
    await mesh.until(lambda: all(len(node.membership.view.up) == 2 for node in nodes), 65)


def test_of_two_that_cannot_reach_each_other_one_stays_for_good() -> None:
    for seed in seeds(2, 40):
        play(halves, seed)


async def survivor(mesh: Mesh) -> None:
    nodes = await mesh.joined(3)
    await some_time(mesh)
    nodes[0].kill()
    nodes[1].kill()
    # Whoever has been a member for longer counts for more: twice the grace at the most.
    await mesh.until(lambda: nodes[2].membership.view.up == {"c"}, 6.5)
    assert nodes[2].membership.sure_until_s > mesh.clock.monotonic_s()


def test_one_that_is_left_of_three_goes_on() -> None:
    for seed in seeds(4, 40):
        play(survivor, seed)


async def cut_off_survivor(mesh: Mesh) -> None:
    """One that was evicted because it was cut off takes over when the others die, though it takes long."""
    nodes = await mesh.joined(3)
    for node in nodes[1:]:
        mesh.board.cut(nodes[0].name, node.name)
    await mesh.until(lambda: nodes[0].membership.standing is Standing.EVICTED, 3.0)
    nodes[1].kill()
    nodes[2].kill()
    await mesh.until(lambda: nodes[0].membership.view.up == {"a"}, 40.0)


def test_one_that_was_cut_off_takes_over_when_nobody_else_is_left() -> None:
    for seed in seeds(2, 20):
        play(cut_off_survivor, seed)


async def deaf_joiner(mesh: Mesh) -> None:
    """One that joins and reaches nobody puts out nobody."""
    nodes = await mesh.joined(2)
    stranger = mesh.node("z")
    for node in nodes:
        mesh.board.cut(stranger.name, node.name)
    await stranger.join()
    await asyncio.sleep(60)
    assert all(node.membership.standing is Standing.UP for node in nodes)
    assert stranger.membership.standing is Standing.EVICTED
    assert all(node.membership.figures()["was_evicted"] == 0 for node in nodes)


def test_one_that_joins_and_reaches_nobody_puts_out_nobody() -> None:
    for seed in seeds(3, 30):
        play(deaf_joiner, seed)


async def restarted(mesh: Mesh) -> None:
    nodes = await mesh.joined(3)
    old = nodes[0].membership.incarnation
    nodes[0].kill()
    again = mesh.node("a")
    await again.join()
    await mesh.until(lambda: not any(n.membership.view.is_up("a", old) for n in (again, *nodes[1:])), 0.2)
    assert all(n.membership.view.up == {"a", "b", "c"} for n in (again, *nodes[1:]))
    await asyncio.sleep(10)
    assert evictions(nodes[1:]) == 0


def test_a_restarted_node_takes_the_place_of_its_former_incarnation_at_once() -> None:
    for seed in seeds(3, 30):
        play(restarted, seed)


async def twins(mesh: Mesh) -> None:
    """Two processes with the same identity: the later one stays, the former does not fight for it."""
    nodes = await mesh.joined(2)
    frozen_one = nodes[0]
    frozen_one.freeze()
    twin = mesh.node("a")
    await twin.join()
    frozen_one.process.thaw()
    await mesh.until(lambda: frozen_one.membership.standing is Standing.DISPLACED, 3.0)
    await asyncio.sleep(30)
    assert twin.membership.standing is Standing.UP
    assert twin.membership.figures()["was_evicted"] == 0


def test_of_two_processes_of_one_node_the_later_stays() -> None:
    for seed in seeds(3, 30):
        play(twins, seed)


async def leaving(mesh: Mesh) -> None:
    nodes = await mesh.joined(3)
    await nodes[0].leave()
    await mesh.until(lambda: all(node.membership.view.up == {"b", "c"} for node in nodes[1:]), 0.2)
    assert "a" not in nodes[1].membership.view.members
    assert evictions(nodes) == 0


def test_one_that_leaves_is_gone_at_once() -> None:
    for seed in seeds(3, 30):
        play(leaving, seed)


async def long_dead(mesh: Mesh) -> None:
    nodes = await mesh.joined(3)
    nodes[0].kill()
    await mesh.until(lambda: all(len(node.membership.view.up) == 2 for node in nodes[1:]), 1.5)
    mesh.clock.step_wall_ms(23 * 3_600_000)
    await asyncio.sleep(30)
    assert all(len(node.membership.view.members) == 3 for node in nodes[1:])
    mesh.clock.step_wall_ms(2 * 3_600_000)
    await mesh.until(lambda: all(len(node.membership.view.members) == 2 for node in nodes[1:]), 6.0)
    again = mesh.node("a")
    await again.join()
    await mesh.until(lambda: all(len(node.membership.view.up) == 3 for node in (again, *nodes[1:])), 1.0)


def test_one_that_is_dead_for_a_day_is_forgotten() -> None:
    play(long_dead, 0)


async def forgotten(mesh: Mesh) -> None:
    """One that was paused for so long that it was forgotten comes back all the same."""
    nodes = await mesh.joined(2)
    nodes[0].freeze()
    await mesh.until(lambda: nodes[1].membership.view.up == {"b"}, 1.5)
    for other in nodes[1:]:
        mesh.board.cut(nodes[0].name, other.name)
    nodes[0].thaw()
    await mesh.until(lambda: nodes[0].membership.standing is Standing.EVICTED, 3.0)
    mesh.clock.step_wall_ms(25 * 3_600_000)
    await mesh.until(lambda: "a" not in nodes[1].membership.view.members, 6.0)
    mesh.board.mend(nodes[0].name, nodes[1].name)
    await mesh.until(lambda: all(len(node.membership.view.up) == 2 for node in nodes), 70.0)


def test_one_that_was_forgotten_comes_back() -> None:
    play(forgotten, 0)


async def expelled(mesh: Mesh) -> None:
    nodes = await mesh.joined(3)
    await nodes[0].process.start(nodes[0].membership.expel(nodes[1].name))
    await mesh.until(lambda: all(node.membership.view.up == {"a", "c"} for node in nodes), 0.5)
    assert nodes[1].membership.standing is Standing.DISPLACED
    await asyncio.sleep(60)
    assert nodes[0].membership.view.up == {"a", "c"}
    assert nodes[1].membership.sure_until_s < mesh.clock.monotonic_s()


def test_one_that_is_expelled_stays_outside() -> None:
    for seed in seeds(3, 30):
        play(expelled, seed)


async def removed(mesh: Mesh) -> None:
    nodes = await mesh.joined(3)
    gone, *others = nodes
    # The others hang up on it as soon as they know; the order to go reaches it first, or a moment later.
    await asyncio.sleep(mesh.sim.dice.below(1_000) / 1_000)
    for other in others:
        mesh.board.cut(gone.name, other.name)
    await asyncio.sleep(mesh.sim.dice.below(500) / 1_000)
    gone.process.run(gone.cooperation.leave_for_good)
    # Nothing that it says reaches them any more: they read it.
    await mesh.until(lambda: all(node.membership.view.up == {"b", "c"} for node in others), 4.0)
    # It has requests to end yet, and says of nobody that he is dead; nor does anybody of it.
    await asyncio.sleep(20)
    assert [node.membership.figures()["evicted_others"] for node in nodes] == [0, 0, 0]
    assert all(node.membership.view.up == {"b", "c"} for node in others)
    await gone.leave()


def test_one_that_is_removed_finds_nobody_dead() -> None:
    for seed in seeds(10, 50):
        play(removed, seed)


async def quiet(mesh: Mesh) -> None:
    nodes = await mesh.joined(3)
    before = [node.sim_node.store.engine._state.last_version for node in nodes]  # type: ignore[attr-defined]
    await asyncio.sleep(300)
    assert [node.sim_node.store.engine._state.last_version for node in nodes] == before  # type: ignore[attr-defined]
    assert all(len(node.membership.view.up) == 3 for node in nodes)


def test_nothing_is_written_while_nothing_changes() -> None:
    play(quiet, 0)


async def storm(mesh: Mesh) -> None:
    """Everything at once, over a store with every fault; when it is over, all find together again."""
    dice = mesh.sim.dice
    nodes = await mesh.joined(4, FAULTS)
    for _ in range(25):
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
    await mesh.until(lambda: all(len(node.membership.view.up) == 4 for node in nodes), 700)


@pytest.mark.parametrize("seed", seeds(8, 400))
def test_whatever_happens_all_find_together_again(seed: int) -> None:
    play(storm, seed, FAULTS)


def test_a_seed_determines_a_run() -> None:
    async def told(sim: Simulation) -> tuple[int, list[str]]:
        mesh = Mesh(sim)
        await storm(mesh)
        result = sim.clock.wall_ms(), [node.membership.incarnation for node in mesh.nodes]
        await mesh.end()
        return result

    assert simulate(told, 3, FAULTS) == simulate(told, 3, FAULTS)
