"""Leases in simulated clusters: one writer at a time, whatever dies, sleeps or is cut off, and how soon they move."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from tenet.base.clock import NEVER
from tenet.base.dice import Dice
from tenet.base.errors import TenetError
from tenet.mesh.errors import CannotRotate, LeaseLost
from tenet.mesh.fenced import FencedStore
from tenet.mesh.leases import Lease, Leases
from tenet.mesh.rotation import lead_under
from tenet.store.contract import Commit, Committed, Conflict, IsVersion, Key, Outcome, Put, Store, new_commit_id
from tenet.store.errors import StoreError
from tenet.store.faulty import EVERY_FAULT, NO_FAULTS, FaultPlan
from tenet.store.landing import land
from tests.sim.harness import Simulation, seeds, simulate
from tests.sim.meshes import Mesh, MeshNode

SPACE, PARTITION = "guarded", b"ledger"
LEASE = Key(SPACE, PARTITION, b"lease")
COUNT = Key(SPACE, PARTITION, b"count")
#: Without rivals: who writes what is what is looked at. Commits land late, up to half a second.
FAULTS = replace(
    EVERY_FAULT, commits=replace(EVERY_FAULT.commits, rival=0.0, unknown_late=0.1, late_ms_max=500), crash=0.001
)


class Ledger:
    """Numbered lines that one writer at a time adds to, blindly: it relies on its lease alone.

    Each line is put where the writer believes the end to be, without a check that it is. So two writers at a time
    write over each other's lines, or under another's number.
    """

    def __init__(self) -> None:
        self.acknowledged: dict[int, bytes] = {}
        self.overwritten: list[int] = []

    async def write(self, store: Store, node: MeshNode, lease: Lease, dice: Dice) -> None:
        """Adds lines until it cannot."""
        (record,) = await store.get((COUNT,))
        count = 0 if record is None else int(record.value)
        while True:
            line = b"%d %s %d" % (lease.number, node.name.encode(), count)
            writes = (Put(Key(SPACE, PARTITION, b"line/%06d" % count), line), Put(COUNT, b"%d" % (count + 1)))
            await asyncio.sleep(dice.below(60) / 1_000)
            outcome = await land(store, writes, clock=node.sim_node.clock, ids=node.sim_node.ids, deadline=NEVER)
            assert isinstance(outcome, Committed)
            if count in self.acknowledged:
                self.overwritten.append(count)
            self.acknowledged[count] = line
            count += 1

    async def faults(self, sim: Simulation) -> list[str]:
        """What shows that there were two writers at a time; nothing else was wrong with the lines."""
        lines = {int(r.sort[5:]): r.value for r in await sim.truth.query_all(SPACE, PARTITION) if r.sort[:4] == b"line"}
        found = [f"line {at} was written twice" for at in self.overwritten]
        found += [f"line {at} is gone" for at, line in self.acknowledged.items() if lines.get(at) != line]
        if sorted(lines) != list(range(len(lines))):
            found.append("there is a gap")
        numbers = [int(lines[at].split()[0]) for at in sorted(lines)]
        if numbers != sorted(numbers):
            found.append("lines of an earlier lease follow those of a later one")
        return found


async def hold(ledger: Ledger, node: MeshNode, *, is_fenced: bool) -> None:
    """Takes the lease whenever it can, and writes under it until it is lost."""
    dice = Dice(node.sim_node.ids)
    while True:
        try:
            lease = await node.leases.take(LEASE)
        except StoreError:
            lease = None
        if lease is None:
            await asyncio.sleep(0.05 + dice.below(100) / 1_000)
            continue
        store = FencedStore(node.store, lease) if is_fenced else node.store
        writing = asyncio.get_running_loop().create_task(ledger.write(store, node, lease, dice))
        lost = asyncio.get_running_loop().create_task(lease.wait_lost())
        # Whoever writes without a fence believes in its lease as long as it knows of no loss.
        await asyncio.wait((writing, lost), return_when=asyncio.FIRST_COMPLETED)
        for task in (writing, lost):
            task.cancel()
        (ended, _) = await asyncio.gather(writing, lost, return_exceptions=True)
        assert isinstance(ended, StoreError | LeaseLost | asyncio.CancelledError), ended
        if dice.chance(0.3) or not lease.is_lost:
            await release(node)


async def release(node: MeshNode) -> None:
    while True:
        try:
            await node.leases.release(LEASE)
        except StoreError:
            await asyncio.sleep(0.05)
        else:
            return


async def trouble(mesh: Mesh, nodes: list[MeshNode], ledger: Ledger, *, is_fenced: bool, times: int = 12) -> None:
    """Kills, freezes and cuts off nodes, now and then, and sets them going again."""
    dice = mesh.sim.dice
    for _ in range(times):
        await asyncio.sleep(dice.below(2_500) / 1_000)
        one, other = dice.sample(nodes, 2)
        match dice.below(6):
            case 0:
                one.kill()
                nodes[nodes.index(one)] = again = mesh.node(one.name)
                again.process.begin(begin(ledger, again, is_fenced=is_fenced))
            case 1 | 2:
                one.freeze()
            case 3 | 4:
                for node in nodes:
                    node.thaw()
            case _:
                mesh.board.cut(one.name, other.name)
                asyncio.get_running_loop().call_later(4.0, mesh.board.mend, one.name, other.name)


async def begin(ledger: Ledger, node: MeshNode, *, is_fenced: bool) -> None:
    while True:
        try:
            await node.membership.join()
        except TenetError:
            await asyncio.sleep(0.1)
        else:
            break
    await hold(ledger, node, is_fenced=is_fenced)


async def contended(sim: Simulation, *, is_fenced: bool = True) -> tuple[list[str], int]:
    await sim.truth.store.ensure_space(SPACE)
    mesh, ledger = Mesh(sim), Ledger()
    nodes = [mesh.node(name) for name in "abc"]
    for node in nodes:
        node.process.begin(begin(ledger, node, is_fenced=is_fenced))
    await trouble(mesh, nodes, ledger, is_fenced=is_fenced)
    for node in nodes:
        node.thaw()
    before = len(ledger.acknowledged)
    await mesh.until(lambda: len(ledger.acknowledged) > before, 120.0)
    await mesh.end()
    await sim.calm()
    return await ledger.faults(sim), len(ledger.acknowledged)


@pytest.mark.parametrize("seed", seeds(25, 1_500))
def test_there_are_never_two_writers_under_one_lease(seed: int) -> None:
    found, lines = simulate(contended, seed, FAULTS)
    assert not found
    assert lines > 0


def test_without_the_token_there_are() -> None:
    """The scene can tell: where the same writers do not check the token, it finds what they do to each other."""
    found = [fault for seed in range(25) for fault in simulate(partial(contended, is_fenced=False), seed, FAULTS)[0]]
    assert any("twice" in fault for fault in found)
    assert any("gone" in fault for fault in found)


# ---- how soon a lease moves ------------------------------------------------------------------------------------------


async def moving(sim: Simulation, *, how: str) -> float:
    await sim.truth.store.ensure_space(SPACE)
    mesh, ledger = Mesh(sim), Ledger()
    try:
        nodes = await mesh.joined(3)
        for node in nodes:
            node.process.begin(hold(ledger, node, is_fenced=True))
        await asyncio.sleep(1 + sim.dice.below(1_000) / 1_000)
        (holder,) = [node for node in nodes if node.leases.held()]
        getattr(holder, how)()
        others = [node for node in nodes if node is not holder]
        took_s = await mesh.until(lambda: any(node.leases.held() for node in others), 4.0)
        (lease,) = [lease for node in others for lease in node.leases.held()]
        assert lease.is_held()
        assert not any(old.is_held() for old in holder.leases.held())
        return took_s
    finally:
        await mesh.end()


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_a_lease_moves_within_two_seconds(how: str) -> None:
    assert max(simulate(partial(moving, how=how), seed, NO_FAULTS) for seed in seeds(20, 400)) <= 2.0


# ---- the end comes after any call of the store -----------------------------------------------------------------------


class Doomed:
    """A node's store on which the node dies just before or just after its n-th call from now on."""

    def __init__(self, node: MeshNode, calls: int, *, is_after: bool) -> None:
        self._node = node
        self._left = calls
        self._is_after = is_after

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, getattr(self._node.sim_node.store, name))

    async def _call(self, call: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any) -> Any:
        self._left -= 1
        if self._left == 0 and not self._is_after:
            await self._die()
        answer = await call(*arguments, **options)
        if self._left == 0:
            await self._die()
        return answer

    async def _die(self) -> None:
        asyncio.get_running_loop().call_soon(self._node.kill)
        await asyncio.Event().wait()


async def doomed(sim: Simulation, *, calls: int, is_after: bool) -> bool:
    """A node takes, uses and releases the lease, dies at one of its calls; the other takes it and goes on."""
    await sim.truth.store.ensure_space(SPACE)
    mesh, ledger = Mesh(sim), Ledger()
    first, second = await mesh.joined(2)
    store: Any = Doomed(first, calls, is_after=is_after)
    leases = Leases(store, first.membership, clock=sim.clock, ids=sim.ids)

    async def use() -> None:
        lease = await leases.take(LEASE)
        assert lease is not None
        outcome = await land(
            FencedStore(store, lease), (Put(COUNT, b"0"),), clock=sim.clock, ids=sim.ids, deadline=NEVER
        )
        assert isinstance(outcome, Committed)
        await leases.release(LEASE)

    done = first.process.start(use())
    await asyncio.wait((done,))
    died = not first.is_alive
    assert died or done.exception() is None
    second.process.begin(hold(ledger, second, is_fenced=True))
    await mesh.until(lambda: len(ledger.acknowledged) > 3, 3.0)
    await mesh.end()
    assert not await ledger.faults(sim)
    return died


@pytest.mark.parametrize("is_after", [False, True])
def test_a_holder_may_die_at_every_call(is_after: bool) -> None:
    calls = 1
    while simulate(partial(doomed, calls=calls, is_after=is_after), 0, NO_FAULTS):
        calls += 1
    # A read and a commit to take it, a commit under it, a read and a commit to release it.
    assert calls == 6


# ---- single rules ----------------------------------------------------------------------------------------------------


def play(scene: Callable[[Mesh], Awaitable[None]], seed: int = 0, plan: FaultPlan = NO_FAULTS) -> None:
    async def played(sim: Simulation) -> None:
        await sim.truth.store.ensure_space(SPACE)
        mesh = Mesh(sim)
        try:
            await scene(mesh)
        finally:
            await mesh.end()

    simulate(played, seed, plan)


async def taken(node: MeshNode) -> Lease:
    lease = await node.leases.take(LEASE)
    assert lease is not None
    return lease


async def land_under(node: MeshNode, lease: Lease, value: bytes) -> object:
    store = FencedStore(node.store, lease)
    return await land(store, (Put(COUNT, value),), clock=node.sim_node.clock, ids=node.sim_node.ids, deadline=NEVER)


def test_a_lease_is_taken_by_one_and_by_another_once_released() -> None:
    async def scene(mesh: Mesh) -> None:
        a, b = await mesh.joined(2)
        first = await taken(a)
        assert first.number == 1
        assert first.is_held()
        assert await b.leases.take(LEASE) is None
        await a.leases.release(LEASE)
        assert first.is_lost
        second = await taken(b)
        assert second.number == 2
        assert second.token > first.token

    play(scene)


def test_nothing_can_be_written_under_a_lease_that_was_released_or_taken_by_another() -> None:
    async def scene(mesh: Mesh) -> None:
        a, b = await mesh.joined(2)
        lost: list[str] = []
        first = await taken(a)
        first.on_loss(lambda: lost.append("first"))
        assert isinstance(await land_under(a, first, b"1"), Committed)
        await a.leases.release(LEASE)
        assert lost == ["first"]
        with pytest.raises(LeaseLost):
            await land_under(a, first, b"2")
        # One that does not know of it yet finds out by the commit.
        second = await taken(b)
        unaware = Lease(LEASE, first.token, first.number, first.incarnation, me=a.membership, clock=mesh.clock)
        with pytest.raises(LeaseLost):
            await land_under(a, unaware, b"3")
        assert unaware.is_lost
        assert isinstance(await land_under(b, second, b"4"), Committed)
        assert await mesh.sim.truth.value(COUNT) == b"4"

    play(scene)


def test_a_record_that_is_written_anew_as_it_was_is_the_same_lease() -> None:
    async def scene(mesh: Mesh) -> None:
        (a,) = await mesh.joined(1)
        lease = await taken(a)
        record = await mesh.sim.truth.read(LEASE)
        assert record is not None
        await mesh.sim.truth.write(Put(LEASE, record.value))
        store = FencedStore(a.store, lease)
        with pytest.raises(StoreError, match="written anew"):
            await land(store, (Put(COUNT, b"1"),), clock=mesh.clock, ids=mesh.sim.ids, deadline=NEVER)
        assert isinstance(await land_under(a, lease, b"2"), Committed)

    play(scene)


def test_a_conflict_under_a_lease_names_the_callers_own_checks() -> None:
    async def scene(mesh: Mesh) -> None:
        a, b = await mesh.joined(2)
        lease = await taken(a)
        store = FencedStore(a.store, lease)
        commit = Commit(new_commit_id(mesh.clock, mesh.sim.ids), (Put(COUNT, b"1"),), (IsVersion(LEASE, None),))
        outcome = await store.commit(commit)
        assert isinstance(outcome, Conflict)
        assert list(outcome.failed) == [0]
        await a.leases.release(LEASE)
        assert await b.leases.take(LEASE) is not None

    play(scene)


def test_a_node_that_is_not_sure_of_itself_takes_nothing_and_holds_nothing() -> None:
    async def scene(mesh: Mesh) -> None:
        a, b, c = await mesh.joined(3)
        lease = await taken(a)
        for other in (b, c):
            mesh.board.cut(a.name, other.name)
        begun_s = mesh.clock.monotonic_s()
        until_s = lease.held_until_s
        assert begun_s < until_s <= begun_s + mesh.timings.silent_s
        await mesh.until(lambda: not lease.is_held(), mesh.timings.silent_s)
        assert not lease.is_lost
        assert await a.leases.take(Key(SPACE, b"another")) is None
        await mesh.until(lambda: lease.is_lost, 2.0)
        assert await b.leases.take(LEASE) is not None

    play(scene)


def test_a_node_that_leaves_leaves_its_leases() -> None:
    async def scene(mesh: Mesh) -> None:
        a, b = await mesh.joined(2)
        await taken(a)
        await a.leave()
        await mesh.until(lambda: b.membership.view.up == {"b"}, 0.1)
        assert await b.leases.take(LEASE) is not None

    play(scene)


def test_a_restarted_node_takes_what_it_held_at_once() -> None:
    async def scene(mesh: Mesh) -> None:
        a, _ = await mesh.joined(2)
        first = await taken(a)
        a.kill()
        again = mesh.node("a")
        await again.join()
        assert (await taken(again)).number == first.number + 1

    play(scene)


def test_a_lease_for_a_new_master_key_that_cannot_be_given_back_is_given_back_later() -> None:
    async def scene(mesh: Mesh) -> None:
        a, b = await mesh.joined(2)
        lead_a, lead_b = lead_under(a.leases), lead_under(b.leases)

        async def lead_while_the_store_goes() -> int:
            async with lead_a() as number:
                a.sim_node.store._is_down = True
            return number  # no error: what was done is done

        number = await a.process.start(lead_while_the_store_goes())
        await asyncio.sleep(2)
        with pytest.raises(CannotRotate, match="another node changes the master key"):
            async with lead_b():
                pass
        a.sim_node.store._is_down = False
        await asyncio.sleep(2)
        async with lead_b() as later:
            assert later == number + 1

        async def lead_again() -> int:
            async with lead_a() as number:
                return number

        assert await a.process.start(lead_again()) == later + 1

    play(scene)


def test_a_conflict_that_leaves_the_lease_out_is_understood_all_the_same() -> None:
    class Terse:
        """Leaves out of conflicts what it may: records beyond 8 MiB together."""

        def __init__(self, node: MeshNode) -> None:
            self._node = node

        def __getattr__(self, name: str) -> Any:
            return getattr(self._node.store, name)

        async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
            outcome = await self._node.store.commit(commit, deadline=deadline)
            return replace(outcome, records={}) if isinstance(outcome, Conflict) else outcome

    async def scene(mesh: Mesh) -> None:
        a, b = await mesh.joined(2)
        first = await taken(a)
        unaware = Lease(LEASE, first.token, first.number, first.incarnation, me=a.membership, clock=mesh.clock)
        await a.leases.release(LEASE)
        await taken(b)
        store: Any = Terse(a)
        with pytest.raises(LeaseLost):
            await land(
                FencedStore(store, unaware), (Put(COUNT, b"1"),), clock=mesh.clock, ids=mesh.sim.ids, deadline=NEVER
            )

    play(scene)
