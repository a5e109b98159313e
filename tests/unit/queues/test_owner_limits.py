"""What an owner does at its bounds, and where two things happen to a message at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from tenet.base.clock import NEVER
from tenet.queues.errors import QueueDoesNotExist
from tenet.queues.model import NewMessage, Settings
from tenet.queues.ops.owning import owner as owner_module
from tenet.queues.ops.owning import window
from tenet.queues.ops.owning.flushing import Work
from tenet.queues.ops.owning.handles import find_deletions
from tenet.queues.ops.owning.leaving import Leave
from tenet.queues.ops.owning.owner import Owner
from tenet.queues.ops.owning.sending import parts
from tenet.queues.ops.owning.standard import StandardLine
from tenet.queues.rules.receipts import encode_handle
from tenet.queues.rules.stored import Message, decode_segment, encode
from tenet.store.contract import Commit, Unknown
from tenet.store.errors import OutcomeUnknown, StoreUnavailable
from tests.unit.queues.owning import Stand, bodies, delete, receive, redrive, run, send, turns

pytestmark = pytest.mark.interpreted


def hold_commits(stand: Stand, patch: pytest.MonkeyPatch) -> asyncio.Event:
    """Returns what commits wait for."""
    gate, commit = asyncio.Event(), stand.store.commit
    gate.set()

    async def gated(*arguments: Any, **options: Any) -> Any:
        await gate.wait()
        return await commit(*arguments, **options)

    patch.setattr(stand.store, "commit", gated)
    return gate


def kinds(stand: Stand, owner: Owner) -> Counter[bytes]:
    return Counter(sort[:1] for sort in stand.state.spaces["queues.messages"].partitions[owner.queue.id].sorts)


async def everything(owner: Owner) -> list[str]:
    found: list[str] = []
    while received := await receive(owner):
        found += bodies(received)
        await delete(owner, received)
    return found


def test_attributes_that_are_long_as_json_are_stored() -> None:
    message = Message(1, 0, 0, "body", b'{"a":"' + b'\\"' * 1_048_000 + b'"}')
    value = encode([message])
    assert len(value) < 2 * 1024 * 1024
    assert decode_segment(value) == [message]


def test_messages_are_moved_in_parts_that_fit_into_commits() -> None:
    def of(*lengths: int) -> list[tuple[int, int]]:
        return parts([Message(0, 0, 0, "x" * length) for length in lengths])

    assert of() == [(0, 0)]
    assert of(1) == [(0, 1)]
    assert of(*[1_048_576] * 3) == [(0, 1), (1, 2), (2, 3)]
    assert of(400_000, 400_000, 400_000, 1) == [(0, 2), (2, 4)]

    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        messages = [Message(0, 0, 0, "x" * 1_048_576) for _ in range(10)]
        await owner.transfer(messages, [str(number) for number in range(10)], deadline=NEVER)
        assert len(await everything(owner)) == 10

    run(scene)


@pytest.mark.thorough
def test_messages_that_expired_do_not_stay_in_line() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders", Settings(retention_s=60))
        held = None
        for _ in range(5):
            for number in range(1_000):
                await send(owner, str(number))
            stand.clock.advance_ms(60_000)
            held = owner._held
            assert held is not None
            held.upkeep._go_off()
            await turns(3_000)
        assert held is not None
        assert isinstance(held.working.line, StandardLine)
        assert held.working.live == 0
        assert held.working.line.waiting("") <= 2_001

    run(scene)


def test_a_receive_does_not_pass_over_all_dead_letters_at_once() -> None:
    async def scene(stand: Stand) -> None:
        dead = stand.queue("dead")
        owner = stand.queue("orders", redrive(dead, 1))
        for number in range(50):
            await send(owner, *(f"{number}.{at}" for at in range(10)))
        for _ in range(50):
            assert await receive(owner, visibility_s=0)
        assert not await receive(owner)
        assert len(owner._tasks) == 1
        assert (await owner.figures()).in_flight == 100
        waiting = asyncio.create_task(receive(owner, wait_s=20))
        await turns(500)
        assert (await dead.figures()).visible == 500
        await send(owner, "good")
        assert bodies(await waiting) == ["good"]

    run(scene)


def test_a_queue_that_is_empty_leaves_the_budget_to_others() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        await send(owner, *["x" * 10_000] * 10)
        assert stand.owners._budget.weight > 100_000
        await everything(owner)
        assert stand.owners._budget.weight == 0

    run(scene)


def test_a_purge_removes_records_of_receives() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        for number in range(30):
            await send(owner, str(number), group=str(number))
            await receive(owner, 1)
        await owner.purge(deadline=NEVER)
        await turns()
        assert set(kinds(stand, owner)) == {b"h", b"d"}

    run(scene)


def test_two_deletes_behind_the_window_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "READY_MAX", 20)
    monkeypatch.setattr(window, "READY_LOW", 10)

    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        for number in range(60):
            await send(owner, str(number))
        held = owner._held
        assert held is not None
        handle = encode_handle(owner.queue.id, 55, 1)
        works = []
        for _ in range(2):
            found = find_deletions(held.state, [handle], stand.clock.wall_ms())
            unread = await found.read(stand.store, NEVER)
            future = asyncio.get_running_loop().create_future()
            works.append(Leave(held.state, found.items, future, unread=unread))
        for work in works:
            held.flusher.submit(work)
            assert work.future is not None
            await work.future
        assert held.working.live == 59
        assert len(await everything(owner)) == 59
        assert not held.working.beyond

    run(scene)


def test_a_message_that_was_given_back_is_received_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        await send(owner, "a", group="a")
        gate = hold_commits(stand, monkeypatch)
        gate.clear()
        gone = asyncio.create_task(receive(owner))
        await turns()
        gone.cancel()
        await turns()
        gate.set()
        await turns()
        # Its first visibility would end while the second receive is being written.
        stand.clock.advance_ms(29_990)
        gate.clear()
        first = asyncio.create_task(receive(owner, wait_s=5))
        await turns()
        stand.clock.advance_ms(20)
        second = asyncio.create_task(receive(owner, wait_s=5))
        await turns()
        gate.set()
        assert bodies(await first) == ["a"]
        await turns()
        assert not second.done()
        second.cancel()

    run(scene)


def test_a_group_whose_bodies_are_not_in_memory_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        sent = [f"{number:02}" + "x" * 60_000 for number in range(12)]
        for body in sent:
            await send(owner, body, group="a")
        # As where other queues have used the budget up.
        monkeypatch.setattr(window, "ALL_WEIGHT_MAX", 0)
        first: Sequence[str] = bodies(await receive(owner, 6))
        assert first == sent[:6]
        held = owner._held
        assert held is not None
        assert any(item.is_bare for item in held.working.items.values())
        stand.clock.advance_ms(30_000)
        assert bodies(await receive(owner, 6)) == first

    run(scene)


def test_one_that_asks_too_much_is_refused_alone() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        await owner.figures()
        large = NewMessage("x" * 1_048_576)
        await asyncio.gather(*(owner.send([large], deadline=NEVER) for _ in range(20)))
        assert (await owner.figures()).visible == 20

    run(scene)


def test_an_attempt_that_is_made_twice_at_once_is_answered_alike() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        for group in "ab":
            await send(owner, group + "1", group=group)
        first, second = await asyncio.gather(*(receive(owner, 1, attempt_id="x") for _ in range(2)))
        assert list(first) == list(second)
        assert not owner._attempts

    run(scene)


def test_a_queue_that_was_deleted_takes_no_more() -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        await send(owner, "a")
        waiting = asyncio.create_task(receive(stand.queue("others"), wait_s=5))
        await turns()
        await stand.owners.forget(owner.queue)
        for late in (owner, stand.owners.local(owner.queue)):
            with pytest.raises(QueueDoesNotExist):
                await send(late, "b")
        assert not kinds(stand, owner)
        await stand.owners.forget(stand.queue("others").queue)
        assert not await waiting

    run(scene)


def test_a_close_does_not_wait_for_ever_for_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        await owner.figures()

        async def commit(commit: Commit, *, deadline: float) -> Unknown:
            return Unknown(commit.id)

        async def settle(_commit: Commit, *, deadline: float) -> None:
            raise StoreUnavailable("not now")

        monkeypatch.setattr(stand.store, "commit", commit)
        monkeypatch.setattr(stand.store, "settle", settle)
        monkeypatch.setattr(owner_module, "_CLOSE_S", 0.05)
        sending = asyncio.create_task(send(owner, "a"))
        await turns()
        await stand.owners.close()
        with pytest.raises(OutcomeUnknown):
            await sending

    run(scene)


def test_a_queue_is_taken_over_anew_where_something_cannot_be_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        await send(owner, "a")

        def broken(_work: Work, _error: Exception) -> None:
            raise RuntimeError("a bug")

        for failure in (RuntimeError("a bug of the store"), StoreUnavailable("not now")):

            async def commit(_commit: Commit, *, deadline: float, failure: Exception = failure) -> None:
                raise failure

            with monkeypatch.context() as patch:
                patch.setattr(stand.store, "commit", commit)
                patch.setattr(Work, "undo", broken)
                sending = [asyncio.create_task(send(owner, name)) for name in "bcd"]
                _, waiting = await asyncio.wait(sending, timeout=1)
                assert not waiting
                assert all(isinstance(task.exception(), StoreUnavailable) for task in sending)
            assert (await owner.figures()).visible == 1

    run(scene)


def test_who_waits_for_the_longest_time_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner_module, "IN_FLIGHT_MAX", 1)

    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        waiting = []
        for _ in range(3):
            waiting.append(asyncio.create_task(receive(owner, wait_s=20)))
            await turns()
        await send(owner, "a", "b", "c")
        for number, body in enumerate("abc"):
            await turns()
            assert [task.done() for task in waiting] == [at <= number for at in range(3)]
            assert bodies(await waiting[number]) == [body]
            await delete(owner, await waiting[number])

    run(scene)


def test_quiet_groups_are_not_held_up_however_long_a_backlog_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"READY_MAX": 20, "READY_LOW": 10, "_PAGE_RECORDS": 2, "_BURIED_MAX": 10}
    limits |= {"_EXPRESS_SEGMENTS_MAX": 30, "_EXPRESS_GROUP_MAX": 3}
    for name, value in limits.items():
        monkeypatch.setattr(window, name, value)

    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        for _ in range(40):
            await send(owner, *["noise"] * 10, group="noisy")
        held = owner._held
        assert held is not None
        for number in range(100):
            await send(owner, f"quiet {number}", group=f"group {number}")
            received = await receive(owner, 2)
            assert f"quiet {number}" in bodies(received)
            await delete(owner, received)
            assert len(held.working.beyond) <= 20

    run(scene)
