"""What is asked of messages that lie behind the window, and are not in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tenet.base.clock import NEVER
from tenet.queues.errors import InvalidParameterValue
from tenet.queues.model import Received, Settings
from tenet.queues.ops.owning import window
from tenet.queues.ops.owning.owner import Owner
from tests.unit.queues.owning import Stand, bodies, delete, receive, run, send, turns
from tests.unit.queues.test_owner_limits import hold_commits

pytestmark = pytest.mark.interpreted

FAR_S = 1_000


@pytest.fixture
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("READY_MAX", 10), ("READY_LOW", 5), ("_PAGE_RECORDS", 2)):
        monkeypatch.setattr(window, name, value)


async def flying_behind(stand: Stand, name: str) -> tuple[Owner, Sequence[Received]]:
    """A queue of 40 messages after a kill, whose last 10 were received and lie behind the window; and these."""
    owner = stand.queue(name)
    is_fifo = owner.queue.is_fifo
    for number in range(40):
        await send(owner, f"{number:02}", group=f"g{number}" if is_fifo else "")
    received: list[Received] = []
    while got := await receive(owner, visibility_s=FAR_S):
        received += got
        await turns()
    assert len(received) == 40
    for message in received[:30]:
        assert await owner.change_visibility([(message.receipt_handle, 0)], deadline=NEVER) == [None]
    again = (await stand.killed()).owners.local(owner.queue)
    await again.figures()
    held = again._held
    assert held is not None
    assert len(held.working.items) <= 20
    return again, received[30:]


async def everything(owner: Owner) -> list[str]:
    found: list[str] = []
    while received := await receive(owner, visibility_s=FAR_S):
        found += bodies(received)
        await delete(owner, received)
        await turns()
    return found


@pytest.mark.usefixtures("small_window")
def test_a_fifo_message_stays_hidden_for_as_long_as_it_is_told() -> None:
    async def scene(stand: Stand) -> None:
        owner, last = await flying_behind(stand, "orders.fifo")
        gone, long, soon, *others = [message.receipt_handle for message in last]
        await delete(owner, last[:1])
        results = await owner.change_visibility([(gone, 5), (long, 2 * FAR_S), (soon, 0)], deadline=NEVER)
        assert isinstance(results[0], InvalidParameterValue)
        assert results[1:] == [None, None]
        # The message is visible by now, and its handle is of no use.
        (late,) = await owner.change_visibility([(soon, 5)], deadline=NEVER)
        assert isinstance(late, InvalidParameterValue)
        again = (await stand.killed()).owners.local(owner.queue)
        found = await everything(again)
        assert sorted(found) == [f"{number:02}" for number in range(30)] + [last[2].body]
        stand.clock.advance_ms(FAR_S * 1000)
        assert sorted(await everything(again)) == [message.body for message in last[3:]]
        stand.clock.advance_ms(FAR_S * 1000)
        assert await everything(again) == [last[1].body]
        assert len(others) == 7

    run(scene)


@pytest.mark.usefixtures("small_window")
def test_it_stays_hidden_though_it_comes_into_memory_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(stand: Stand) -> None:
        owner, last = await flying_behind(stand, "orders.fifo")
        stand.clock.advance_ms(FAR_S * 1000 - 1)
        gate = hold_commits(stand, monkeypatch)
        monkeypatch.setattr(owner._store, "commit", stand.store.commit)
        gate.clear()
        changing = asyncio.create_task(owner.change_visibility([(last[0].receipt_handle, FAR_S)], deadline=NEVER))
        await turns()
        stand.clock.advance_ms(1)
        for name in ("READY_LOW", "READY_MAX"):
            monkeypatch.setattr(window, name, 1_000)
        held = owner._held
        assert held is not None
        held.state.window.read_ahead()
        await turns(200)
        assert len(held.working.items) == 40
        gate.set()
        assert await changing == [None]
        found = await everything(owner)
        assert len(found) == 39
        assert last[0].body not in found
        stand.clock.advance_ms(FAR_S * 1000)
        assert await everything(owner) == [last[0].body]

    run(scene)


@pytest.mark.usefixtures("small_window")
def test_a_message_of_a_standard_queue_is_hidden_again() -> None:
    async def scene(stand: Stand) -> None:
        owner, last = await flying_behind(stand, "orders")
        await delete(owner, last[:1])
        gone, kept = last[0].receipt_handle, last[1].receipt_handle
        results = await owner.change_visibility([(gone, 5), (kept, FAR_S)], deadline=NEVER)
        assert isinstance(results[0], InvalidParameterValue)
        assert results[1] is None
        figures = await owner.figures()
        assert (figures.visible, figures.in_flight) == (38, 1)
        found = await everything(owner)
        assert len(found) == 38
        assert last[1].body not in found
        stand.clock.advance_ms(FAR_S * 1000)
        assert await everything(owner) == [last[1].body]

    run(scene)


def test_delayed_messages_behind_the_window_count_as_delayed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("READY_MAX", 10), ("READY_LOW", 5), ("DELAYED_MAX", 10), ("_PAGE_RECORDS", 2)):
        monkeypatch.setattr(window, name, value)

    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")

        async def counts() -> tuple[int, int, int]:
            figures = await owner.figures()
            return figures.visible, figures.in_flight, figures.delayed

        for number in range(20):
            await send(owner, str(number))
        for number in range(30):
            await send(owner, f"late {number}", delay_s=10 + number % 3)
        held = owner._held
        assert held is not None
        assert held.working.delayed < 30
        assert await counts() == (20, 0, 30)
        stand.clock.advance_ms(9_000)
        assert await counts() == (20, 0, 30)
        stand.clock.advance_ms(2_000)
        held.working.show_due(stand.clock.wall_ms())
        assert await counts() == (40, 0, 10)
        found = []
        while received := await receive(owner, visibility_s=FAR_S):
            found += bodies(received)
            visible, in_flight, delayed = await counts()
            assert (visible, in_flight, delayed) == (40 - len(found), len(found), 10)
            await turns()
        assert len(found) == 40
        stand.clock.advance_ms(2_000)
        assert len(await everything(owner)) == 10
        await owner.purge(deadline=NEVER)
        assert await counts() == (0, 0, 0)

    run(scene)


def test_what_has_expired_leaves_some_at_a_time_and_soon_though_nobody_receives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(window, "READY_MAX", 2_500)
    monkeypatch.setattr(window, "READY_LOW", 1_000)

    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders", Settings(retention_s=60))
        for _ in range(4_000):
            await send(owner, "old")
        held = owner._held
        assert held is not None
        assert len(held.working.items) == 2_500
        stand.clock.advance_ms(60_000)
        await send(owner, "new")
        held.upkeep._go_off()
        assert sum(item.is_leaving for item in held.working.items.values()) <= 1_000
        async with asyncio.timeout(10):
            while held.working.live > 1:  # noqa: ASYNC110 (it happens by itself)
                await asyncio.sleep(0.001)
        assert bodies(await receive(owner)) == ["new"]

    run(scene)
