"""Standard queues: what is sent is received until it is deleted, whatever happens in between."""

from __future__ import annotations

import asyncio
import statistics

import pytest

from tenet.base.clock import NEVER
from tenet.queues.errors import InvalidParameterValue, OverLimit, PurgeQueueInProgress, ReceiptHandleIsInvalid
from tenet.queues.model import NewMessage, Received, Settings
from tenet.queues.ops.owning import flushing, window
from tenet.queues.ops.owning import owner as owner_module
from tenet.store.errors import StoreUnavailable
from tests.unit.queues.owning import Stand, bodies, delete, receive, redrive, run, send, turns

pytestmark = pytest.mark.interpreted


def test_a_message_is_received_as_it_was_sent_and_deleted() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        new = NewMessage("hello", attributes=b'{"a":1}', trace_header="Root=1", sender="me", md5_of_attributes="abc")
        (sent,) = await owner.send([new], deadline=NEVER)
        (message,) = await receive(owner)
        assert message.message_id == sent.message_id
        assert (message.body, message.attributes, message.trace_header) == ("hello", b'{"a":1}', "Root=1")
        assert message.md5_of_body == "5d41402abc4b2a76b9719d911017c592"
        assert (message.sender, message.md5_of_attributes, message.receives) == ("me", "abc", 1)
        assert not await receive(owner)
        figures = await owner.figures()
        assert (figures.visible, figures.in_flight, figures.delayed) == (0, 1, 0)
        await delete(owner, [message])
        await delete(owner, [message])
        figures = await owner.figures()
        assert (figures.visible, figures.in_flight, figures.sent, figures.deleted) == (0, 0, 1, 1)

    run(scene)


def test_a_message_comes_back_when_its_visibility_ends() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders", Settings(visibility_s=30))
        await send(owner, "a")
        (first,) = await receive(owner)
        stand.clock.advance_ms(29_999)
        assert not await receive(owner)
        stand.clock.advance_ms(1)
        (again,) = await receive(owner)
        assert (again.receives, again.first_received_ms) == (2, first.first_received_ms)
        # Any handle of a standard queue's message deletes it.
        await delete(owner, [first])
        stand.clock.advance_ms(60_000)
        assert not await receive(owner)

    run(scene)


def test_visibility_can_be_changed() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        await send(owner, "a")
        (message,) = await receive(owner)
        assert await owner.change_visibility([(message.receipt_handle, 0)], deadline=NEVER) == [None]
        (message,) = await receive(owner)
        assert await owner.change_visibility([(message.receipt_handle, 100)], deadline=NEVER) == [None]
        stand.clock.advance_ms(99_000)
        assert not await receive(owner)
        stand.clock.advance_ms(1_000)
        # Visible again, and hidden once more without being received.
        assert await owner.change_visibility([(message.receipt_handle, 10)], deadline=NEVER) == [None]
        assert not await receive(owner)
        stand.clock.advance_ms(10_000)
        (message,) = await receive(owner)
        assert message.receives == 3
        stand.clock.advance_ms(1_000)
        (beyond,) = await owner.change_visibility([(message.receipt_handle, 43_200)], deadline=NEVER)
        assert isinstance(beyond, InvalidParameterValue)
        await delete(owner, [message])
        (gone,) = await owner.change_visibility([(message.receipt_handle, 1)], deadline=NEVER)
        assert isinstance(gone, InvalidParameterValue)

    run(scene)


def test_handles_of_others_are_refused() -> None:
    async def scene(stand: Stand) -> None:
        owner, other = stand.queue("orders"), stand.queue("others")
        await send(owner, "a")
        (message,) = await receive(owner)
        await send(other, "b")
        for handle in ("", "garbage", "ä", message.receipt_handle, message.receipt_handle[:-4]):
            (error,) = await other.delete([handle], deadline=NEVER)
            assert isinstance(error, ReceiptHandleIsInvalid)
            assert f'"{handle}"' in error.message

    run(scene)


def test_a_delayed_message_waits() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders", Settings(delay_s=5))
        await send(owner, "late")
        await send(owner, "later", delay_s=10)
        await send(owner, "now", delay_s=0)
        assert (await owner.figures()).delayed == 2
        assert bodies(await receive(owner)) == ["now"]
        stand.clock.advance_ms(5_000)
        assert bodies(await receive(owner)) == ["late"]
        stand.clock.advance_ms(5_000)
        assert bodies(await receive(owner)) == ["later"]

    run(scene)


def test_a_receive_that_waits_gets_what_is_sent() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        waiting = [asyncio.create_task(receive(owner, wait_s=20)) for _ in range(3)]
        await turns()
        waiting[0].cancel()
        await turns()
        await send(owner, "a", "b")
        assert bodies(await waiting[1]) == ["a", "b"]
        await stand.owners.close()
        assert bodies(await waiting[2]) == []

    run(scene)


def test_what_was_given_to_a_receive_that_went_away_is_ready_again() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        waiting = asyncio.create_task(receive(owner, wait_s=20))
        await turns()
        held = owner._held
        assert held is not None
        (waiter,) = owner._waiters
        sent = asyncio.create_task(send(owner, "a"))
        while not waiter.future.done():  # noqa: ASYNC110 (turns of the loop are what it is about)
            await asyncio.sleep(0)
        # Between the answer and the moment in which the waiting task would have taken it up.
        waiting.cancel()
        await sent
        await turns()
        assert waiting.cancelled()
        (message,) = await receive(owner)
        assert message.receives == 1

    run(scene)


def test_a_restart_loses_nothing_and_brings_nothing_back() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        for number in range(20):
            await send(owner, *(f"{number}.{at}" for at in range(10)))
        kept = set()
        while received := await receive(owner):
            await delete(owner, received[::2])
            kept |= set(bodies(received[1::2]))
        again = (await stand.killed()).owners.local(owner.queue)
        figures = await again.figures()
        assert (figures.visible, figures.in_flight, figures.sent, figures.deleted) == (100, 0, 200, 100)
        found = []
        while received := await receive(again):
            found += bodies(received)
            await delete(again, received)
        assert len(found) == len(set(found))
        assert set(found) == kept
        assert len(stand.state.spaces["queues.messages"].partitions[owner.queue.id].sorts) <= 2

    run(scene)


def test_receive_counts_outlive_a_restart() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders", Settings(visibility_s=1))
        await send(owner, "a")
        await receive(owner)
        held = owner._held
        assert held is not None
        stand.clock.advance_ms(5_000)
        held.upkeep._go_off()
        await turns()
        again = (await stand.killed()).owners.local(owner.queue)
        (message,) = await receive(again)
        assert message.receives == 2

    run(scene)


def test_a_long_backlog_is_not_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "READY_MAX", 100)
    monkeypatch.setattr(window, "READY_LOW", 50)
    monkeypatch.setattr(window, "_PAGE_RECORDS", 3)

    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        for number in range(100):
            await send(owner, *(f"{number}.{at}" for at in range(10)))
        held = owner._held
        assert held is not None
        assert (await owner.figures()).visible == 1_000
        assert len(held.working.items) <= 110
        found: list[str] = []
        while received := await receive(owner):
            found += bodies(received)
            assert len(held.working.items) <= 130
            await delete(owner, received)
            await turns(3)
        assert found == [f"{number}.{at}" for number in range(100) for at in range(10)]
        assert (await owner.figures()).visible == 0
        await send(owner, "after")
        assert bodies(await receive(owner)) == ["after"]

    run(scene)


def test_a_message_behind_the_window_is_deleted_by_an_old_handle(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        for number in range(30):
            await send(owner, *(f"{number}.{at}" for at in range(10)))
        received: list[Received] = []
        while got := await receive(owner):
            received += got
        monkeypatch.setattr(window, "READY_LOW", 50)
        monkeypatch.setattr(window, "_PAGE_RECORDS", 3)
        again = (await stand.killed()).owners.local(owner.queue)
        figures = await again.figures()
        assert figures.visible == 300
        last = received[-5:]
        await delete(again, last)
        await delete(again, last)
        assert (await again.figures()).visible == 295
        third = (await stand.killed()).owners.local(owner.queue)
        found: list[str] = []
        while got := await receive(third):
            found += bodies(got)
        assert found == bodies(received[:-5])

    run(scene)


def test_a_quiet_group_is_not_held_up_by_a_long_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "READY_MAX", 200)
    monkeypatch.setattr(window, "READY_LOW", 100)
    monkeypatch.setattr(window, "_EXPRESS_GROUP_MAX", 5)

    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        for number in range(200):
            await send(owner, *(f"{number}.{at}" for at in range(10)), group="noisy")
        await send(owner, "quiet", group="quiet")
        assert "quiet" in bodies(await receive(owner))
        found = []
        while received := await receive(owner):
            found += bodies(received)
        assert len(found) == len(set(found)) == 1_991
        await send(owner, "more", group="noisy")
        assert bodies(await receive(owner)) == ["more"]

    run(scene)


def test_no_more_is_received_than_may_be_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner_module, "IN_FLIGHT_MAX", 12)

    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        await send(owner, *map(str, range(15)))
        assert len(await receive(owner)) == 10
        assert len(await receive(owner)) == 2
        with pytest.raises(OverLimit):
            await receive(owner)

    run(scene)


def test_a_purge_removes_everything_that_was_sent_before() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        await send(owner, *map(str, range(25)))
        (message, *_) = await receive(owner)
        await owner.purge(deadline=NEVER)
        with pytest.raises(PurgeQueueInProgress):
            await owner.purge(deadline=NEVER)
        await send(owner, "after")
        await delete(owner, [message])
        assert bodies(await receive(owner)) == ["after"]
        again = (await stand.killed()).owners.local(owner.queue)
        assert bodies(await receive(again)) == ["after"]
        stand.clock.advance_ms(60_000)
        await again.purge(deadline=NEVER)
        assert (await again.figures()).visible == 0

    run(scene)


def test_old_messages_expire_though_nobody_receives() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders", Settings(retention_s=60))
        await send(owner, "a", "b")
        stand.clock.advance_ms(30_000)
        await send(owner, "c")
        stand.clock.advance_ms(30_000)
        held = owner._held
        assert held is not None
        held.upkeep._go_off()
        await turns()
        assert (await owner.figures()).visible == 1
        assert bodies(await receive(owner)) == ["c"]
        again = (await stand.killed()).owners.local(owner.queue)
        assert bodies(await receive(again)) == ["c"]

    run(scene)


def test_what_is_received_too_often_goes_to_the_dead_letters() -> None:
    async def scene(stand: Stand) -> None:
        dead = stand.queue("dead")
        owner = stand.queue("orders", redrive(dead, 2))
        (sent,) = await send(owner, "poison")
        await receive(owner, visibility_s=0)
        (message,) = await receive(owner, visibility_s=0)
        assert not await receive(owner)
        await turns()
        assert (await owner.figures()).visible == 0
        (letter,) = await receive(dead)
        assert (letter.body, letter.message_id, letter.sent_ms) == ("poison", sent.message_id, message.sent_ms)
        assert (letter.dead_letter_source, letter.receives) == (owner.queue.arn, 3)

    run(scene)


def test_without_its_dead_letter_queue_a_message_is_received_on() -> None:
    async def scene(stand: Stand) -> None:
        dead = stand.queue("dead")
        owner = stand.queue("orders", redrive(dead, 1))
        del stand.queues[dead.queue.arn]
        await send(owner, "poison")
        await receive(owner, visibility_s=0)
        assert not await receive(owner)
        await turns()
        assert bodies(await receive(owner)) == ["poison"]

    run(scene)


def test_bodies_in_flight_do_not_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "FLYING_WEIGHT_MAX", 300_000)
    monkeypatch.setattr(window, "WEIGHT_MAX", 400_000)

    async def scene(stand: Stand) -> None:
        for name in ("orders", "orders.fifo"):
            owner = stand.queue(name, Settings(visibility_s=5))
            sent = [str(number) * 50_000 for number in range(10, 50)]
            for body in sent:
                await send(owner, body, group="g" + body[:2] if owner.queue.is_fifo else "")
            found: list[Received] = []
            for again in (False, True):
                found = []
                while received := await receive(owner, 3):
                    found += received
                    held = owner._held
                    assert held is not None
                    assert held.working.flying_weight <= 700_000
                    assert held.working.waiting_weight <= 2_200_000
                assert sorted(bodies(found)) == sorted(sent), again
                stand.clock.advance_ms(5_000)
            await delete(owner, found) if not owner.queue.is_fifo else None

    run(scene)


def test_windows_of_all_queues_share_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "ALL_WEIGHT_MAX", 1_000_000)
    monkeypatch.setattr(window, "SMALL_WEIGHT_MAX", 50_000)

    async def scene(stand: Stand) -> None:
        owners = [stand.queue(f"orders-{number}") for number in range(30)]
        for owner in owners:
            for number in range(20):
                await send(owner, str(number) * 5_000)
        weights = [owner._held.working.waiting_weight for owner in owners if owner._held is not None]
        assert sum(weights) < 3_500_000
        for owner in owners:
            found = []
            while received := await receive(owner):
                found += bodies(received)
                await delete(owner, received)
            assert len(found) == 20

    run(scene)


def test_many_small_segments_expire_together() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders", Settings(retention_s=60))
        for number in range(7_000):
            await send(owner, str(number))
        stand.clock.advance_ms(60_000)
        held = owner._held
        assert held is not None
        held.upkeep._go_off()
        async with asyncio.timeout(30):
            while held.working.live:  # noqa: ASYNC110 (it happens by itself)
                await asyncio.sleep(0)

    run(scene)


def test_what_was_taken_out_leaves_though_the_queue_was_taken_over_anew() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        await send(owner, "a", "b")
        items = await owner.take_out(1)
        rival = (await stand.killed()).owners.local(owner.queue)
        await rival.figures()
        with pytest.raises(StoreUnavailable):
            await send(owner, "c")
        await owner.let_go(items, deadline=NEVER)
        owner.give_back(items)
        assert bodies(await receive(owner)) == ["b"]
        assert (await owner.figures()).in_flight == 1

    run(scene)


def test_those_who_are_answered_together_share_their_next_commit_with_those_who_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        await send(owner, "the first")
        shared: list[int] = []
        take_effect = flushing.Staged.take_effect

        def noted(staged: flushing.Staged) -> None:
            shared.append(len(staged.works))
            take_effect(staged)

        async def slowly(flusher: flushing.Flusher, staged: flushing.Staged) -> object:
            await turns(6)
            return await commit(flusher, staged)

        commit = flushing.Flusher._commit
        monkeypatch.setattr(flushing.Staged, "take_effect", noted)
        monkeypatch.setattr(flushing.Flusher, "_commit", slowly)

        async def client(late: int) -> None:
            await turns(late)
            for _ in range(20):
                await send(owner, "a")
                await turns(2)

        # Half of them come while the first half's commit is under way.
        await asyncio.gather(*(client(late) for late in (0, 0, 0, 0, 3, 3, 3, 3)))
        assert sum(shared) == 160
        assert statistics.median(shared) == 8
        shared.clear()
        await client(0)
        assert shared == [1] * 20

    run(scene)
