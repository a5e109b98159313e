"""Queues that several simulated nodes share: clients see delays and no errors, whichever node has a queue and dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import chain, count
from typing import Any

import pytest

from tenet.base.errors import TenetError
from tenet.queues import keys
from tenet.queues.errors import QueueDoesNotExist
from tenet.queues.model import NewMessage, Queue, Received, Settings
from tenet.queues.ops.mover import Mover
from tenet.queues.ops.owning.owners import Owners
from tenet.store.contract import SpaceOptions
from tenet.store.errors import OutcomeUnknown, StoreUnavailable
from tenet.store.faulty import NO_FAULTS, CallFaults, CommitFaults, FaultPlan
from tests.queue_ledger import Ledger
from tests.sim.harness import Simulation, seeds, simulate
from tests.sim.meshes import Mesh, MeshNode

ACCOUNT = "1" * 12
VISIBILITY_S = 4
#: Stores that are slow now and then, and outcomes that are not known at once.
SLOW = FaultPlan(
    calls=CallFaults(delayed=0.3, delay_ms_max=30),
    commits=CommitFaults(unknown_done=0.05, unknown_lost=0.05, unknown_late=0.05, late_ms_max=200),
)


def play(scene: Callable[[Cluster], Awaitable[None]], seed: int = 0, plan: FaultPlan = NO_FAULTS) -> None:
    async def played(sim: Simulation) -> None:
        await sim.truth.store.ensure_space(keys.MESSAGES_SPACE, SpaceOptions())
        await sim.truth.store.ensure_space(keys.MOVES_SPACE, SpaceOptions())
        mesh = Mesh(sim)
        try:
            await scene(Cluster(mesh))
        finally:
            await mesh.end()

    simulate(played, seed, plan)


class Member:
    """A node with its part in the queues."""

    def __init__(self, cluster: Cluster, node: MeshNode) -> None:
        self.cluster = cluster
        self.node = node
        self.places = node.process.run(node.cooperation.places, "queues.slots")
        self.owners: Owners
        self.mover: Mover

    async def open(self) -> None:
        node, find = self.node, self.cluster.find
        clock, ids = self.cluster.mesh.clock, node.sim_node.ids
        self.owners = await node.process.start(
            node.sim_node.client.patiently(
                lambda: Owners.open(node.store, clock=clock, ids=ids, find=find, places=self.places)
            )
        )
        self.mover = Mover(node.store, self.owners, find, clock=clock, ids=ids)
        await node.process.start(self.owners.share(self.mover))

    @property
    def is_alive(self) -> bool:
        return self.node.is_alive

    async def ask(self, work: Awaitable[Any]) -> Any:
        return await self.node.process.start(_awaited(work))


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


class Cluster:
    """Nodes that share queues."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.members: list[Member] = []
        self.queues: dict[str, Queue] = {}
        self.names = count()

    async def find(self, arn: str) -> Queue | None:
        await asyncio.sleep(0)
        return self.queues.get(arn)

    def queue(self, name: str, settings: Settings | None = None) -> Queue:
        queue_id = self.mesh.sim.ids.draw(16)
        queue = Queue(queue_id, ACCOUNT, name, 0, 0, settings or Settings(visibility_s=VISIBILITY_S))
        self.queues[queue.arn] = queue
        return queue

    async def start(self, number: int) -> Member:
        member = Member(self, self.mesh.node(chr(ord("a") + number)))
        self.members.append(member)
        await member.open()
        await member.node.join()
        return member

    async def started(self, size: int = 3) -> list[Member]:
        members = await asyncio.gather(*(self.start(number) for number in range(size)))
        await self.mesh.until(lambda: sum(len(member.places._tenures) for member in members) == 64, 20.0)
        await asyncio.sleep(1.0)
        return members

    def owner_of(self, queue: Queue) -> Member:
        slot = self.members[0].places.slot_of(queue.id)
        return next(m for m in self.members if m.is_alive and m.places.is_here(slot))

    def others(self, queue: Queue) -> list[Member]:
        owner = self.owner_of(queue)
        return [member for member in self.members if member is not owner and member.is_alive]


class Client:
    """A program that uses a queue through any node that answers."""

    def __init__(self, cluster: Cluster, queue: Queue, ledger: Ledger, members: Sequence[Member]) -> None:
        self.cluster = cluster
        self.queue = queue
        self.ledger = ledger
        self.members = members
        self.slowest_s = 0.0
        self.failures: list[TenetError] = []

    @property
    def now_s(self) -> float:
        return self.cluster.mesh.clock.monotonic_s()

    def now_ms(self) -> int:
        return self.cluster.mesh.clock.wall_ms()

    def member(self) -> Member:
        return self.cluster.mesh.sim.dice.pick([member for member in self.members if member.is_alive])

    async def send(self, body: str, group: str = "") -> bool:
        message = NewMessage(body, group=group, deduplication_id=body if self.queue.is_fifo else "")
        self.ledger.ask_to_send(body, group)
        begun_s = self.now_s
        member = self.member()
        try:
            (sent,) = await self._ask(member, lambda o: o.send([message], deadline=self.now_s + 20))
        except OutcomeUnknown as error:
            self.failures.append(error)
            return False
        self.slowest_s = max(self.slowest_s, self.now_s - begun_s)
        self.ledger.sent(body, sent, self.now_ms())
        return True

    async def receive(self, *, wait_s: float = 0, deletes: bool = True) -> Sequence[Received]:
        asked_ms, begun_s = self.now_ms(), self.now_s
        messages: Sequence[Received] = await self._ask(
            self.member(),
            lambda o: o.receive(most=10, visibility_s=None, wait_s=wait_s, attempt_id="", deadline=self.now_s + 30),
        )
        self.slowest_s = max(self.slowest_s, self.now_s - begun_s - wait_s)
        self.ledger.received(messages, asked_ms, self.now_ms(), VISIBILITY_S * 1000)
        if messages and deletes:
            for message in messages:
                self.ledger.ask_to_delete(message.body)
            handles = [message.receipt_handle for message in messages]
            results = await self._ask(self.member(), lambda o: o.delete(handles, deadline=self.now_s + 20))
            for message, result in zip(messages, results, strict=True):
                if result is None:
                    self.ledger.deleted(message.body, self.now_ms())
        return messages

    async def _ask(self, member: Member, call: Callable[[Any], Awaitable[Any]]) -> Any:
        return await member.ask(call(member.owners.of(self.queue)))


async def drain(client: Client) -> set[str]:
    """Receives and deletes everything that is left."""
    found: set[str] = set()
    without = 0
    while without < 3:
        try:
            messages = await client.receive()
        except StoreUnavailable:
            # What was received may not have been deleted, and comes again.
            without = 0
            continue
        found |= {message.body for message in messages}
        without = 0 if messages else without + 1
        if not messages:
            await asyncio.sleep(VISIBILITY_S)
    return found


@pytest.mark.parametrize("name", ["q", "q.fifo"])
def test_any_node_serves_any_queue(name: str) -> None:
    async def scene(cluster: Cluster) -> None:
        members = await cluster.started()
        queues = [cluster.queue(f"{number}{name}") for number in range(12)]
        for queue in queues:
            client = Client(cluster, queue, Ledger(is_fifo=queue.is_fifo), members)
            for number in range(6):
                assert await client.send(str(number), f"g{number % 2}")
            owed = client.ledger.owed()
            figures = [await member.ask(member.owners.of(queue).figures()) for member in members]
            assert {figure.visible for figure in figures} == {6}
            assert await drain(client) == owed
        # Each queue is in memory at one node only.
        holding = [[owner.queue.name for owner in m.owners.known() if owner.known_figures()] for m in members]
        assert sorted(chain.from_iterable(holding)) == sorted(queue.name for queue in queues)
        assert all(holding)

    for seed in seeds(1, 20):
        play(scene, seed)


@pytest.mark.parametrize("how", ["kill", "freeze"])
@pytest.mark.parametrize("name", ["q", "q.fifo"])
def test_messages_are_delayed_by_two_seconds_at_most_where_their_owner_dies(name: str, how: str) -> None:
    async def scene(cluster: Cluster) -> None:
        members = await cluster.started()
        queue = cluster.queue(name)
        owner = cluster.owner_of(queue)
        clients = [m for m in members if m is not owner]
        ledger = Ledger(is_fifo=queue.is_fifo)
        client = Client(cluster, queue, ledger, clients)
        is_over = False
        delays: dict[str, float] = {}

        async def produce(number: int) -> None:
            for at in count():
                if is_over:
                    return
                body = f"{number}/{at}"
                delays[body] = client.now_s
                await client.send(body, f"g{number}")
                await asyncio.sleep(cluster.mesh.sim.dice.below(30) / 1000)

        slowest: list[float] = []

        async def consume() -> None:
            while not all(one.done() for one in producing) or ledger.owed():
                messages = await client.receive(wait_s=1)
                slowest.extend(client.now_s - delays.pop(message.body, client.now_s) for message in messages)

        producing = [asyncio.ensure_future(produce(number)) for number in range(3)]
        working = [*producing, *(asyncio.ensure_future(consume()) for _ in range(2))]
        await asyncio.sleep(2)
        getattr(owner.node, how)()
        await asyncio.sleep(6)
        if how == "freeze":
            owner.node.thaw()
            await asyncio.sleep(6)
        is_over = True
        await asyncio.gather(*working)
        assert not client.failures
        assert client.slowest_s < 2.6, client.slowest_s
        assert max(slowest) < 2.7 + VISIBILITY_S * (not queue.is_fifo), max(slowest)
        assert len(slowest) > 300
        await asyncio.sleep(VISIBILITY_S + 1)
        left = await drain(client)
        # What was sent again since the answer was lost is in a standard queue twice, and one of the two was deleted.
        assert not {body for body in left if queue.is_fifo or len(ledger.entries[body].message_ids) == 1}

    for seed in seeds(2, 60):
        play(scene, seed)


class Works:
    """Uses a queue until it is over, whatever happens."""

    def __init__(self, client: Client, number: int) -> None:
        self._client = client
        self._number = number
        self._dice = client.cluster.mesh.sim.dice
        self.is_over = False

    async def produce(self) -> None:
        for at in count():
            if self.is_over:
                return
            try:
                await self._client.send(f"{self._number}/{at}", f"g{self._dice.below(4)}")
            except TenetError as error:
                self._client.failures.append(error)
            await asyncio.sleep(self._dice.below(100) / 1000)

    async def consume(self) -> None:
        while not self.is_over:
            try:
                await self._client.receive(wait_s=self._dice.pick([0, 1, 2]), deletes=self._dice.chance(0.8))
            except TenetError as error:
                self._client.failures.append(error)


async def disturb(cluster: Cluster, safe: Member, victim: Member) -> None:
    """Has a node be frozen, drain, or be cut off from another one, for up to three seconds."""
    dice, node, board = cluster.mesh.sim.dice, victim.node, cluster.mesh.board
    pause_s = dice.below(3_000) / 1000
    match dice.below(3):
        case 0:
            node.freeze()
            await asyncio.sleep(pause_s)
            node.thaw()
        case 1:
            node.process.run(partial(node.cooperation.drain, is_draining=True))
            await asyncio.sleep(pause_s)
            node.process.run(partial(node.cooperation.drain, is_draining=False))
        case _:
            board.cut(safe.node.name, node.name)
            await asyncio.sleep(pause_s)
            board.mend(safe.node.name, node.name)


@pytest.mark.parametrize("name", ["q", "q.fifo"])
def test_owners_change_all_the_time_and_nothing_is_lost(name: str) -> None:
    async def scene(cluster: Cluster) -> None:
        dice = cluster.mesh.sim.dice
        members = await cluster.started()
        queues = [cluster.queue(f"{number}{name}") for number in range(3)]
        books = [Ledger(is_fifo=queue.is_fifo) for queue in queues]
        safe = members[0]
        clients = [Client(cluster, queue, book, [safe]) for queue, book in zip(queues, books, strict=True)]
        works = [Works(client, number) for number, client in enumerate(clients)]
        working = [
            asyncio.ensure_future(one) for work in works for one in (work.produce(), work.consume(), work.consume())
        ]
        for _ in range(6):
            await asyncio.sleep(dice.below(4_000) / 1000)
            await disturb(cluster, safe, dice.pick(members[1:]))
        await asyncio.sleep(5)
        for work in works:
            work.is_over = True
        await asyncio.gather(*working)
        await asyncio.sleep(VISIBILITY_S + 1)
        for client in clients:
            owed = client.ledger.owed()
            assert client.ledger.receives > 20
            found = await drain(client)
            assert owed <= found, f"lost: {sorted(owed - found)}"

    for seed in seeds(2, 100):
        play(scene, seed, SLOW)


@pytest.mark.parametrize("size", [2, 3])
def test_what_was_received_of_an_owner_that_dies_before_it_answers_is_received_of_the_next_one(size: int) -> None:
    """Of two nodes the next owner is who has asked."""

    async def scene(cluster: Cluster, *, dies_after_ms: int) -> None:
        await cluster.started(size)
        queue = cluster.queue("q.fifo", Settings(visibility_s=3_600))
        client = Client(cluster, queue, Ledger(is_fifo=True), cluster.others(queue))
        for number in range(3):
            await client.send(str(number), f"g{number}")
        receiving = asyncio.ensure_future(client.receive(deletes=False))
        await asyncio.sleep(dies_after_ms / 1000)
        under_way.append(not receiving.done())
        cluster.owner_of(queue).node.kill()
        messages = await receiving
        assert {message.body for message in messages} == {"0", "1", "2"}, dies_after_ms
        assert {message.receives for message in messages} == {1}

    under_way: list[bool] = []
    # A commit takes effect, and is answered only some time later: that is when the owner has to die.
    slow = FaultPlan(methods={"commit": CallFaults(delayed=1.0, delay_ms_max=20)})
    for dies_after_ms in range(0, 60, 2):
        play(partial(scene, dies_after_ms=dies_after_ms), dies_after_ms, slow)
    assert any(under_way)
    assert not under_way[-1], "the answer has come by then"


@pytest.mark.parametrize("how", ["ends", "drains"])
def test_a_slot_that_is_given_up_takes_along_what_is_hidden(how: str) -> None:
    async def scene(cluster: Cluster) -> None:
        members = await cluster.started()
        queue = cluster.queue("q", Settings(visibility_s=60))
        owner = cluster.owner_of(queue)
        client = Client(cluster, queue, Ledger(is_fifo=False), [m for m in members if m is not owner])
        for number in range(20):
            await client.send(str(number))
        hidden = {m.body for _ in range(1) for m in await client.receive(deletes=False)}
        assert hidden
        if how == "ends":
            await owner.node.leave()
        else:
            owner.node.process.run(lambda: owner.node.cooperation.drain(is_draining=True))
            await cluster.mesh.until(lambda: not owner.places._tenures, 20.0)
        found: set[str] = set()
        while messages := await client.receive(deletes=False):
            found |= {message.body for message in messages}
        assert len(found) == 20 - len(hidden)
        assert not found & hidden
        # A minute later they are there again, received for the second time.
        await asyncio.sleep(61)
        again = [message for _ in range(4) for message in await client.receive()]
        assert {message.receives for message in again} == {2}
        assert len(again) == 20

    for seed in seeds(1, 20):
        play(scene, seed)


def test_a_receive_that_waits_elsewhere_is_told_at_once_and_asks_seldom() -> None:
    async def scene(cluster: Cluster) -> None:
        await cluster.started()
        queue = cluster.queue("q")
        client = Client(cluster, queue, Ledger(is_fifo=False), cluster.others(queue))
        await client.send("first")
        await client.receive()
        for _ in range(5):
            waiting = [asyncio.ensure_future(client.receive(wait_s=20)) for _ in range(30)]
            await asyncio.sleep(3.3)
            begun_s = client.now_s
            await client.send("message")
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            assert client.now_s - begun_s < 0.05
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    for seed in seeds(1, 20):
        play(scene, seed)


def test_messages_for_somebody_who_is_gone_are_visible_again() -> None:
    async def scene(cluster: Cluster) -> None:
        await cluster.started()
        queue = cluster.queue("q", Settings(visibility_s=3_600))
        client = Client(cluster, queue, Ledger(is_fifo=False), cluster.others(queue))
        await client.send("message")
        member = client.member()
        for pause_ms in range(8):
            work = member.owners.of(queue).receive(most=1, visibility_s=None, wait_s=0, deadline=client.now_s + 9)
            asking = member.node.process.start(work)
            await asyncio.sleep(pause_ms / 1000)
            if not asking.done():
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                await asyncio.sleep(0.1)
                figures = await member.ask(member.owners.of(queue).figures())
                assert figures.visible == 1, pause_ms

    play(scene)


def test_a_queue_that_is_deleted_at_one_node_ends_at_the_other_and_leaves_nothing() -> None:
    async def scene(cluster: Cluster) -> None:
        await cluster.started()
        queue = cluster.queue("q")
        owner = cluster.owner_of(queue)
        client = Client(cluster, queue, Ledger(is_fifo=False), cluster.others(queue))
        await client.send("message")
        assert owner.owners.get(queue.id) is not None
        member = client.member()
        del cluster.queues[queue.arn]
        await member.ask(member.owners.forget(queue))
        assert owner.owners.get(queue.id) is None
        # Whoever knows of it still makes nothing of it.
        for late in cluster.members:
            with pytest.raises(QueueDoesNotExist):
                await late.ask(late.owners.of(queue).send([NewMessage("late")], deadline=client.now_s + 5))
        assert not await cluster.mesh.sim.truth.scan_all(keys.MESSAGES_SPACE)

    play(scene)
