"""Hints between simulated nodes: what one commits wakes watches on the others, and what is lost costs nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tenet.mesh import hints as hints_module
from tenet.store.contract import Append, Commit, Key, LogOptions, Put, SpaceOptions, Unknown, new_commit_id
from tenet.store.faulty import NO_FAULTS, CommitFaults, FaultPlan
from tests.sim.harness import Simulation, seeds, simulate
from tests.sim.meshes import DELAY_S, Mesh, MeshNode

#: A commit is told after it was gathered and has travelled.
SOON_S = 0.01


def play(scene: Callable[[Mesh], Awaitable[None]], seed: int = 0, plan: FaultPlan = NO_FAULTS) -> None:
    async def played(sim: Simulation) -> None:
        await sim.truth.store.ensure_space("things")
        await sim.truth.store.ensure_space("logged", SpaceOptions(log=LogOptions(readers=("tail",))))
        mesh = Mesh(sim)
        try:
            await scene(mesh)
        finally:
            await mesh.end()

    simulate(played, seed, plan)


async def put(node: MeshNode, partition: bytes, space: str = "things") -> None:
    commit = Commit(new_commit_id(node.sim_node.clock, node.sim_node.ids), (Put(Key(space, partition), b"x"),))
    outcome = await node.store.commit(commit)
    assert outcome is not None


async def wake_s(mesh: Mesh, node: MeshNode, partition: bytes | None, act: Awaitable[None]) -> float | None:
    """Returns how long after something was done a watch of a node was woken; None: it was not, within 5 s."""
    watch = node.store.watch("things", partition)
    await asyncio.sleep(0.1)
    waiting = node.process.start(watch.wait(5.0))
    begun_s = mesh.clock.monotonic_s()
    await act
    is_hinted = await waiting
    watch.close()
    return mesh.clock.monotonic_s() - begun_s if is_hinted else None


@pytest.mark.parametrize("partition", [b"p", None])
def test_a_commit_wakes_a_watch_on_another_node_within_milliseconds(partition: bytes | None) -> None:
    async def scene(mesh: Mesh) -> None:
        a, b, c = await mesh.joined(3)
        for node in (a, b, c):
            took_s = await wake_s(mesh, b, partition, put(node, b"p"))
            assert took_s is not None
            assert took_s <= SOON_S

    for seed in seeds(3, 30):
        play(scene, seed)


def test_what_is_written_elsewhere_wakes_nobody_and_sends_nothing() -> None:
    async def scene(mesh: Mesh) -> None:
        a, b = await mesh.joined(2)
        assert await wake_s(mesh, b, b"p", put(a, b"q")) is None
        assert await wake_s(mesh, b, None, put(a, b"q", "logged")) is None
        assert a.hints.figures()["notices"] == 0

    play(scene)


def test_an_entry_of_a_log_wakes_too() -> None:
    async def scene(mesh: Mesh) -> None:
        a, b = await mesh.joined(2)
        watch = b.store.watch("logged")
        await asyncio.sleep(0.1)
        key = Key("logged", b"p")
        commit = Commit(new_commit_id(mesh.clock, mesh.sim.ids), appends=(Append(key, None, b"x"),))
        assert not isinstance(await a.store.commit(commit), Unknown)
        assert await watch.wait(SOON_S)
        assert not await watch.wait(1.0)
        watch.close()
        watch.close()

    play(scene)


def test_a_commit_whose_outcome_is_unknown_is_told_as_well() -> None:
    async def scene(mesh: Mesh) -> None:
        a, b = await mesh.joined(2)
        assert await wake_s(mesh, b, b"p", put(a, b"p")) is not None

    play(scene, 0, FaultPlan(commits=CommitFaults(unknown_done=0.3)))


def test_a_hint_that_came_before_the_wait_is_not_lost() -> None:
    async def scene(mesh: Mesh) -> None:
        a, b = await mesh.joined(2)
        watch = b.store.watch("things", b"p")
        await asyncio.sleep(0.1)
        await put(a, b"p")
        await asyncio.sleep(1)
        assert await watch.wait(0.0)
        assert not await watch.wait(0.0)

    play(scene)


def test_many_commits_are_told_together() -> None:
    async def scene(mesh: Mesh) -> None:
        a, b = await mesh.joined(2)
        watch = b.store.watch("things")
        await asyncio.sleep(0.1)
        await asyncio.gather(*(put(a, b"%d" % at) for at in range(500)))
        assert await watch.wait(SOON_S)
        figures = a.hints.figures()
        assert figures["told"] == 500
        assert figures["notices"] <= 3

    play(scene)


def test_watches_are_told_in_the_order_in_which_they_were_begun() -> None:
    async def scene(mesh: Mesh) -> None:
        a, b = await mesh.joined(2)
        told: list[int] = []

        async def wait(number: int) -> None:
            # What lies between them in memory is not the same each time.
            held = bytearray(16 * (number * 37 % 61))
            watch = b.store.watch("things", b"p")
            assert await watch.wait(60)
            told.append(number)
            watch.close()
            del held

        waiting = [b.process.start(wait(number)) for number in range(40)]
        await asyncio.sleep(0.1)
        await put(a, b"p")
        await asyncio.gather(*waiting)
        assert told == list(range(40))

    play(scene)


def test_a_broken_link_loses_hints_and_nothing_else() -> None:
    async def scene(mesh: Mesh) -> None:
        a, b, _ = await mesh.joined(3)
        mesh.board.cut(a.name, b.name)
        assert await wake_s(mesh, b, b"p", put(a, b"p")) is None
        mesh.board.mend(a.name, b.name)
        # What was asked for meanwhile is asked for again until it is confirmed.
        await asyncio.sleep(3)
        took_s = await wake_s(mesh, b, b"p", put(a, b"p"))
        assert took_s is not None
        assert took_s <= SOON_S

    play(scene)


def test_a_restarted_node_is_told_again_what_others_want() -> None:
    async def scene(mesh: Mesh) -> None:
        a, b = await mesh.joined(2)
        watch = b.store.watch("things", b"p")
        a.kill()
        again = mesh.node("a")
        await again.join()
        await asyncio.sleep(3)
        await put(again, b"p")
        assert await watch.wait(SOON_S)
        # The one that restarts with a watch is told as well, though it counts from one again.
        for at in range(5):
            b.store.watch("things", b"more %d" % at)
        b.kill()
        b_again = mesh.node("b")
        await b_again.join()
        await asyncio.sleep(1)
        took_s = await wake_s(mesh, b_again, b"q", put(again, b"q"))
        assert took_s is not None
        assert took_s <= SOON_S

    play(scene)


def test_who_watches_very_much_is_told_more_than_needed() -> None:
    async def scene(mesh: Mesh) -> None:
        a, b = await mesh.joined(2)
        watches = [b.store.watch("things", b"%d" % at) for at in range(hints_module.PLACES_MAX + 1)]
        await asyncio.sleep(0.1)
        await put(a, b"nobody watches this")
        await asyncio.sleep(0.1)
        # It is told of the space, and knows itself that none of its watches is meant.
        assert a.hints.figures()["told"] == 1
        assert not await watches[0].wait(0.1)
        await put(a, b"0")
        assert await watches[0].wait(SOON_S)
        spaces = [b.store.watch(f"space{at}", b"p") for at in range(hints_module.SPACES_MAX)]
        await asyncio.sleep(0.1)
        await put(a, b"0")
        assert await watches[0].wait(SOON_S)
        for watch in (*watches, *spaces):
            watch.close()
        assert b.hints.figures()["watched"] == 0
        await asyncio.sleep(0.1)
        told = a.hints.figures()["told"]
        await put(a, b"0")
        await asyncio.sleep(0.1)
        assert a.hints.figures()["told"] == told

    play(scene)


def test_what_waits_to_be_told_is_bounded() -> None:
    async def scene(mesh: Mesh) -> None:
        a, b = await mesh.joined(2)
        watch = b.store.watch("things")
        last = b.store.watch("things", b"9999")
        await asyncio.sleep(0.1)
        writes = [Put(Key("things", b"%d" % at), b"x") for at in range(5_000)]
        commits = [Commit(new_commit_id(mesh.clock, mesh.sim.ids), writes)]
        commits.append(Commit(new_commit_id(mesh.clock, mesh.sim.ids), (Put(Key("things", b"9999"), b"x"),)))
        outcomes = await asyncio.gather(*(a.store.commit(commit) for commit in commits))
        assert len(outcomes) == 2
        await asyncio.sleep(DELAY_S * 3)
        assert a.hints.figures()["told"] < hints_module.PENDING_MAX
        assert await watch.wait(SOON_S)
        assert await last.wait(SOON_S)

    play(scene)


def test_a_hash_of_a_partition_never_changes() -> None:
    assert hints_module.place_hash(b"") == 0xE4A6A0577479B2B4
    assert hints_module.place_hash(b"p") == hints_module.place_hash(b"p") != hints_module.place_hash(b"q")
