"""FIFO queues: order within a group, one send per deduplication id, and visibility that outlives a crash."""

from __future__ import annotations

import asyncio

import pytest

from tenet.base.clock import NEVER
from tenet.queues.errors import InvalidParameterValue
from tenet.queues.model import NewMessage, Settings
from tenet.queues.ops.owning import window
from tenet.queues.ops.owning.owner import Owner
from tenet.queues.ops.owning.receiving import Attempts
from tests.unit.queues.owning import Stand, bodies, delete, receive, redrive, run, send, turns

pytestmark = pytest.mark.interpreted


def test_a_group_is_received_in_order_and_blocked_meanwhile() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        await send(owner, "a1", "a2", "a3", group="a")
        await send(owner, "b1", group="b")
        first = await receive(owner, 2)
        assert bodies(first) == ["a1", "a2"]
        assert bodies(await receive(owner)) == ["b1"]
        await delete(owner, first[:1])
        assert not await receive(owner)
        await delete(owner, first[1:])
        (last,) = await receive(owner)
        assert last.body == "a3"
        assert last.sequence_number > first[1].sequence_number

    run(scene)


def test_messages_that_come_back_stand_before_the_others() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        await send(owner, *(f"a{at}" for at in range(6)), group="a")
        first = await receive(owner, 3)
        # The second becomes visible before the first: nothing is received until the first does, too.
        assert await owner.change_visibility([(first[1].receipt_handle, 0)], deadline=NEVER) == [None]
        assert not await receive(owner)
        await delete(owner, first[2:])
        assert not await receive(owner)
        stand.clock.advance_ms(30_000)
        assert bodies(await receive(owner)) == ["a0", "a1", "a3", "a4", "a5"]

    run(scene)


def test_a_send_is_repeated_without_effect_for_five_minutes() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        (first,) = await send(owner, "once", group="a")
        assert list(await send(owner, "once", "once", group="b")) == [first, first]
        (message,) = await receive(owner)
        assert (message.message_id, message.sequence_number) == (first.message_id, first.sequence_number)
        await delete(owner, [message])
        again = (await stand.killed()).owners.local(owner.queue)
        stand.clock.advance_ms(299_999)
        assert list(await send(again, "once", group="a")) == [first]
        assert not await receive(again)
        stand.clock.advance_ms(1)
        (second,) = await send(again, "once", group="a")
        assert second.message_id != first.message_id

    run(scene)


def test_ids_may_be_told_apart_by_group() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo", Settings(deduplication_scope="messageGroup"))
        await send(owner, "once", group="a")
        await send(owner, "once", group="b")
        await send(owner, "once", group="a")
        assert len(await receive(owner)) == 2

    run(scene)


def test_duplicates_within_one_commit_are_one_message() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        await owner.figures()
        answers = await asyncio.gather(*(send(owner, "once", group="a") for _ in range(5)))
        assert len({answer[0].message_id for answer in answers}) == 1
        assert len(await receive(owner)) == 1

    run(scene)


def test_visibility_outlives_a_kill() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        await send(owner, "a1", "a2", group="a")
        (message,) = await receive(owner, 1, visibility_s=60)
        again = (await stand.killed()).owners.local(owner.queue)
        assert not await receive(again)
        figures = await again.figures()
        assert (figures.visible, figures.in_flight) == (1, 1)
        stand.clock.advance_ms(59_999)
        assert not await receive(again)
        stand.clock.advance_ms(1)
        received = await receive(again)
        assert [(one.body, one.receives) for one in received] == [("a1", 2), ("a2", 1)]
        (expired,) = await again.delete([message.receipt_handle], deadline=NEVER)
        assert isinstance(expired, InvalidParameterValue)
        assert "expired" in expired.message
        third = (await stand.killed()).owners.local(owner.queue)
        await delete(third, received)
        assert (await third.figures()).visible == 0

    run(scene)


def test_an_attempt_is_repeated_with_the_same_messages() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        await send(owner, "a1", "a2", group="a")
        first = await receive(owner, attempt_id="try", visibility_s=10)
        stand.clock.advance_ms(5_000)
        again = (await stand.killed()).owners.local(owner.queue)
        assert list(await receive(again, attempt_id="try", visibility_s=10)) == list(first)
        stand.clock.advance_ms(9_999)
        assert not await receive(again)
        assert not await receive(again, attempt_id="other")
        stand.clock.advance_ms(1)
        received = await receive(again, attempt_id="try")
        assert [(one.body, one.receives) for one in received] == [("a1", 2), ("a2", 2)]

    run(scene)


NOT_RETRYABLE = (
    r"^Value try for parameter ReceiveRequestAttemptId is invalid\. Reason: The receiveRequestAttemptId is not valid "
    r"anymore since the receive call is not retryable\.$"
)


async def refused(owner: Owner, *, wait_s: float = 0) -> None:
    """Asks again with an attempt that cannot be repeated."""
    with pytest.raises(InvalidParameterValue, match=NOT_RETRYABLE):
        await receive(owner, attempt_id="try", wait_s=wait_s)


@pytest.mark.parametrize("count", [1, 2])
def test_an_attempt_of_which_a_message_was_deleted_is_not_repeated(count: int) -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        await send(owner, "a1", "a2", "a3", group="a")
        await send(owner, "b1", group="b")
        first = await receive(owner, 2, attempt_id="try", visibility_s=10)
        await delete(owner, first[:count])
        await refused(owner)
        await refused(owner, wait_s=20)
        assert not owner._waiters
        again = (await stand.killed()).owners.local(owner.queue)
        await refused(again)
        stand.clock.advance_ms(10_000)
        await refused(again)
        assert "b1" in bodies(await receive(again, attempt_id="other"))
        stand.clock.advance_ms(290_000)
        assert await receive(again, attempt_id="try")

    run(scene)


@pytest.mark.parametrize("visibility_s", [5, 100])
def test_an_attempt_of_which_a_message_changed_its_visibility_is_not_repeated(visibility_s: int) -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        await send(owner, "a1", "a2", group="a")
        first = await receive(owner, attempt_id="try", visibility_s=10)
        changes = [(first[1].receipt_handle, visibility_s)]
        assert list(await owner.change_visibility(changes, deadline=NEVER)) == [None]
        await refused(owner)
        again = (await stand.killed()).owners.local(owner.queue)
        await refused(again)
        stand.clock.advance_ms(9_999)
        await refused(again)

    run(scene)


def test_an_attempt_whose_messages_were_given_back_is_not_repeated() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        await send(owner, "a1", group="a")
        (first,) = await receive(owner, attempt_id="try", visibility_s=10)
        assert list(await owner.change_visibility([(first.receipt_handle, 0)], deadline=NEVER)) == [None]
        await refused(owner)
        (second,) = await receive(owner, attempt_id="other")
        assert (second.body, second.receives) == ("a1", 2)
        await refused(owner)

    run(scene)


def test_an_attempt_whose_time_has_ended_is_as_good_as_a_new_receive() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        await send(owner, "a1", group="a")
        await receive(owner, attempt_id="try", visibility_s=10)
        stand.clock.advance_ms(10_000)
        (second,) = await receive(owner, attempt_id="other")
        assert (second.body, second.receives) == ("a1", 2)
        assert not await receive(owner, attempt_id="try")
        await delete(owner, [second])
        await refused(owner)

    run(scene)


def test_an_attempt_that_an_earlier_version_wrote_is_repeated() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        await send(owner, "a1", group="a")
        assert owner._held is not None
        (item,) = owner._held.working.take(1, 0)
        item.receives, item.received_ms, item.visible_ms = 1, 1_000, 11_000
        attempts = Attempts()
        attempts.note("try", 1_000, [(item.message.sequence, 1)], 0)
        items = {item.message.sequence: item}
        assert attempts.find("try", items, 10_999, read_to=0) == [item]
        assert attempts.find("try", items, 11_000, read_to=0) == []
        # It is not in memory yet, and so not known to be gone.
        assert attempts.find("try", {}, 10_999, read_to=item.message.sequence) == []
        with pytest.raises(InvalidParameterValue, match=NOT_RETRYABLE):
            attempts.find("try", {}, 10_999, read_to=item.message.sequence + 1)

    run(scene)


@pytest.mark.parametrize("is_known", [True, False])
def test_what_was_given_back_and_is_somebody_elses_is_not_found_by_its_former_attempt(*, is_known: bool) -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        await send(owner, "a1", group="a")
        first = await receive(owner, attempt_id="try")
        if is_known:
            owner.take_back(first, "try")
        else:
            # Another node says so, a moment later.
            stand.clock.advance_ms(1)
            owner.take_back(first)
            stand.clock.advance_ms(1)
        (second,) = await receive(owner, attempt_id="other")
        assert second.body == "a1"
        assert not await receive(owner, attempt_id="try")
        assert list(await receive(owner, attempt_id="other")) == [second]

    run(scene)


def test_a_receive_that_waits_gets_what_becomes_free() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        await send(owner, "a1", "a2", group="a")
        first = await receive(owner, 1)
        waiting = asyncio.create_task(receive(owner, wait_s=20))
        await turns()
        assert not waiting.done()
        await delete(owner, first)
        assert bodies(await waiting) == ["a2"]

    run(scene)


def test_a_receive_that_went_away_blocks_nobody() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        waiting = asyncio.create_task(receive(owner, wait_s=20))
        await turns()
        (waiter,) = owner._waiters
        sent = asyncio.create_task(send(owner, "a1", "a2", group="a"))
        while not waiter.is_served:  # noqa: ASYNC110 (turns of the loop are what it is about)
            await asyncio.sleep(0)
        waiting.cancel()
        await sent
        await turns()
        received = await receive(owner)
        assert [(one.body, one.receives) for one in received] == [("a1", 1), ("a2", 1)]

    run(scene)


def test_records_of_receives_do_not_pile_up() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        for number in range(50):
            await send(owner, f"{number}", group=str(number % 7))
            (message,) = await receive(owner)
            await owner.change_visibility([(message.receipt_handle, 100)], deadline=NEVER)
            await delete(owner, [message])
        sorts = stand.state.spaces["queues.messages"].partitions[owner.queue.id].sorts
        assert len([sort for sort in sorts if sort[:1] == b"r"]) <= 3
        assert not [sort for sort in sorts if sort[:1] in (b"m", b"s")]
        assert len([sort for sort in sorts if sort[:1] == b"d"]) == 50
        stand.clock.advance_ms(300_000)
        await send(owner, "after", group="a")
        await send(owner, "after that", group="a")
        assert len([sort for sort in sorts if sort[:1] == b"d"]) == 2

    run(scene)


def test_order_holds_over_a_long_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "READY_MAX", 100)
    monkeypatch.setattr(window, "READY_LOW", 60)
    monkeypatch.setattr(window, "_PAGE_RECORDS", 3)
    monkeypatch.setattr(window, "_EXPRESS_GROUP_MAX", 5)

    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        sent: dict[str, list[str]] = {}
        for number in range(100):
            group = "noisy" if number % 10 else f"g{number % 3}"
            names = [f"{number}.{at}" for at in range(10)]
            sent.setdefault(group, []).extend(names)
            await send(owner, *names, group=group)
        found: dict[str, list[str]] = {}
        for _ in range(1_000):
            received = await receive(owner)
            if not received:
                break
            for message in received:
                found.setdefault(message.group, []).append(message.body)
            await delete(owner, received)
            await turns(3)
        assert found == sent

    run(scene)


def test_a_delayed_message_holds_up_its_group() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo", Settings(delay_s=10))
        await send(owner, "a1", group="a")
        owner.update(stand.queue("orders.fifo").queue)
        await send(owner, "a2", group="a")
        await send(owner, "b1", group="b")
        assert bodies(await receive(owner)) == ["b1"]
        stand.clock.advance_ms(10_000)
        assert bodies(await receive(owner)) == ["a1", "a2"]

    run(scene)


def test_dead_letters_leave_in_order_and_once() -> None:
    async def scene(stand: Stand) -> None:
        dead = stand.queue("dead.fifo")
        owner = stand.queue("orders.fifo", redrive(dead, 1))
        await send(owner, "a1", "a2", "a3", group="a")
        await receive(owner, visibility_s=0)
        found: list[str] = []
        for _ in range(10):
            found += bodies(await receive(owner))
            await turns()
        assert found == []
        letters = await receive(dead)
        assert bodies(letters) == ["a1", "a2", "a3"]
        assert {letter.deduplication_id for letter in letters} == {"a1", "a2", "a3"}
        assert {letter.dead_letter_source for letter in letters} == {owner.queue.arn}

    run(scene)


def test_old_messages_expire_in_order() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo", Settings(retention_s=60))
        await send(owner, "a1", group="a")
        stand.clock.advance_ms(30_000)
        await send(owner, "a2", group="a")
        stand.clock.advance_ms(30_000)
        assert bodies(await receive(owner)) == ["a2"] or bodies(await receive(owner)) == ["a2"]
        await turns()
        assert (await owner.figures()).in_flight == 1

    run(scene)


def test_a_message_without_an_id_is_always_new() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        await owner.transfer([], [], deadline=NEVER)
        new = NewMessage("x", group="a", deduplication_id="")
        await owner.send([new, new], deadline=NEVER)
        assert len(await receive(owner)) == 2

    run(scene)


def test_a_message_stays_hidden_while_its_new_visibility_is_written() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo", Settings(visibility_s=5))
        await send(owner, "a1", group="a")
        (message,) = await receive(owner)
        stand.clock.advance_ms(4_999)
        changing = asyncio.create_task(owner.change_visibility([(message.receipt_handle, 10)], deadline=NEVER))
        await asyncio.sleep(0)
        stand.clock.advance_ms(1)
        late = asyncio.create_task(receive(owner))
        assert await changing == [None]
        assert not await late
        stand.clock.advance_ms(9_998)
        assert not await receive(owner)
        stand.clock.advance_ms(2)
        assert bodies(await receive(owner)) == ["a1"]

    run(scene)
