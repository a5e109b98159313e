"""Queues that nobody uses: what they keep in memory, and that nobody notices when they let go of it."""

from __future__ import annotations

import asyncio

import pytest

from tenet.queues.ops.measures import measures_of
from tenet.queues.ops.owning import owners as owners_module
from tenet.wire.door import Measured
from tests.unit.queues.owning import Stand, bodies, delete, receive, run, send, turns
from tests.unit.queues.test_owner_limits import hold_commits, kinds

pytestmark = pytest.mark.interpreted


def look_twice(stand: Stand) -> None:
    """What happens in five to ten minutes."""
    stand.owners.rest()
    stand.owners.rest()


def in_memory(stand: Stand) -> float:
    total = measures_of(stand.owners)[0]
    assert isinstance(total, Measured)
    return sum(total.values.values())


def test_deduplication_ids_are_forgotten_though_nothing_is_written() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        await send(owner, *map(str, range(10)), group="a")
        await delete(owner, await receive(owner))
        held = owner._held
        assert held is not None
        assert held.state.deduplication is not None
        assert held.upkeep._timer is not None
        stand.clock.advance_ms(305_000)
        held.upkeep._go_off()
        assert not held.state.deduplication._sequences
        assert held.upkeep._timer is None

    run(scene)


@pytest.mark.parametrize("name", ["orders", "orders.fifo"])
def test_a_queue_that_is_empty_rests_and_is_there_again(name: str) -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue(name)
        await send(owner, "a", group="a")
        await delete(owner, await receive(owner))
        stand.clock.advance_ms(305_000)
        held = owner._held
        assert held is not None
        held.upkeep._go_off()
        written = kinds(stand, owner)
        stand.owners.rest()
        assert in_memory(stand) == 1
        stand.owners.rest()
        assert in_memory(stand) == 0
        assert kinds(stand, owner) == written
        assert stand.owners._resting is None
        figures = owner.known_figures()
        assert figures is not None
        assert (figures.sent, figures.deleted) == (1, 1)
        # Whoever has taken it up before is refused, and has done no harm.
        waiting = asyncio.create_task(receive(stand.queue(name), wait_s=20))
        await turns()
        look_twice(stand)
        assert in_memory(stand) == 1
        await send(owner, "b", group="a")
        assert bodies(await waiting) == ["b"]
        assert (await owner.figures()).sent == 2

    run(scene)


def test_ids_that_are_remembered_keep_a_queue_from_resting() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        (first,) = await send(owner, "a", group="a")
        await delete(owner, await receive(owner))
        look_twice(stand)
        assert in_memory(stand) == 1
        assert list(await send(owner, "a", group="a")) == [first]

    run(scene)


def test_a_queue_that_holds_something_does_not_rest() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        await send(owner, "a")
        look_twice(stand)
        assert in_memory(stand) == 1
        (message,) = await receive(owner)
        look_twice(stand)
        assert in_memory(stand) == 1
        await delete(owner, [message])
        look_twice(stand)
        assert in_memory(stand) == 0

    run(scene)


def test_nothing_is_refused_while_queues_rest_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        gate = hold_commits(stand, monkeypatch)
        rests = 0

        async def rest_all_the_time() -> None:
            nonlocal rests
            while True:
                was_held = owner._held is not None
                look_twice(stand)
                rests += was_held and owner._held is None
                await asyncio.sleep(0)

        resting = asyncio.create_task(rest_all_the_time())
        for number in range(50):
            gate.clear()
            sending = asyncio.create_task(send(owner, str(number)))
            await turns(number % 7)
            gate.set()
            await sending
            received = await receive(owner)
            assert bodies(received) == [str(number)]
            await delete(owner, received)
            await turns(number % 5)
        resting.cancel()
        assert rests > 10

    run(scene)


def test_many_queues_are_looked_at_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners_module, "_LOOKED_AT", 3)
    monkeypatch.setattr(owners_module, "_PAUSE_S", 0)

    async def scene(stand: Stand) -> None:
        for number in range(10):
            await stand.queue(f"queue-{number}").figures()
        stand.owners.rest()
        await asyncio.sleep(0.05)
        stand.owners.rest()
        assert in_memory(stand) == 7
        await asyncio.sleep(0.05)
        assert in_memory(stand) == 0

    run(scene)
