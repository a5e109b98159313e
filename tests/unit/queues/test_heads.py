"""What the head of a queue says lies below everything that is needed, and nothing that is needed lies below it."""

from __future__ import annotations

from typing import Any

import pytest

from tenet.base.clock import NEVER
from tenet.queues import keys
from tenet.queues.ops.owning import window
from tenet.queues.ops.owning.owner import Owner
from tenet.queues.rules.stored import Head, decode_head
from tenet.store.contract import Range
from tenet.store.errors import StoreUnavailable
from tests.unit.queues.owning import Stand, bodies, delete, receive, run, send, turns

pytestmark = pytest.mark.interpreted


async def head_of(stand: Stand, owner: Owner) -> Head:
    (record,) = await stand.store.get((keys.head_key(owner.queue.id),), deadline=NEVER)
    assert record is not None
    return decode_head(record.value)


@pytest.mark.parametrize("name", ["orders", "orders.fifo"])
def test_who_takes_a_queue_over_reads_nothing_of_what_is_gone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue(name)
        for number in range(200):
            await send(owner, str(number), group="a")
            await delete(owner, await receive(owner))
        stand.clock.advance_ms(300_000)
        for number in range(200, 205):
            await send(owner, str(number), group="a")
        head = await head_of(stand, owner)
        assert head.first > 200
        assert head.receives_next - head.receives_first < 3
        again = await stand.killed()
        query, asked = again.store.query, list[Range]()

        async def noting(space: str, partition: bytes, within: Range, **options: Any) -> Any:
            asked.append(within)
            return await query(space, partition, within, **options)

        monkeypatch.setattr(again.store, "query", noting)
        other = again.owners.local(owner.queue)
        assert (await other.figures()).visible == 5
        lowest = {within.lower[:1]: keys.number_of(within.lower) for within in reversed(asked)}
        assert lowest[keys.SEGMENT] > 200
        if owner.queue.is_fifo:
            assert head.ids_first > 200
            assert lowest[keys.DEDUPLICATION] == head.ids_first
            assert lowest[keys.RECEIVES] == head.receives_first > 190
        assert bodies(await receive(other)) == ["200", "201", "202", "203", "204"]

    run(scene)


def test_records_that_could_not_be_removed_are_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders.fifo")
        await send(owner, "kept", group="b")
        await receive(owner, visibility_s=100)
        for number in range(5):
            await send(owner, str(number), group="a")
            await delete(owner, await receive(owner))
        held = owner._held
        assert held is not None
        assert held.working.obsolete

        async def commit(*_: Any, **__: Any) -> None:
            raise StoreUnavailable("not now")

        with monkeypatch.context() as patch:
            patch.setattr(stand.store, "commit", commit)
            with pytest.raises(StoreUnavailable):
                await send(owner, "x", group="a")
        await send(owner, "y", group="a")
        again = (await stand.killed()).owners.local(owner.queue)
        assert bodies(await receive(again)) == ["y"]
        sorts = stand.state.spaces["queues.messages"].partitions[owner.queue.id].sorts
        # That of the message that was kept hidden, and the latest one.
        assert len([sort for sort in sorts if sort[:1] == keys.RECEIVES]) == 2

    run(scene)


def test_what_passed_a_backlog_is_there_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("READY_MAX", 20), ("READY_LOW", 10), ("_PAGE_RECORDS", 2), ("_EXPRESS_GROUP_MAX", 3)):
        monkeypatch.setattr(window, name, value)

    async def scene(stand: Stand) -> None:
        owner = stand.queue("orders")
        for number in range(60):
            await send(owner, str(number), group="noisy")
        await send(owner, "quiet", group="quiet")
        found = []
        while received := await receive(owner):
            found += bodies(received)
            await delete(owner, [message for message in received if message.body != "quiet"])
            await turns()
        assert len(found) == 61
        held = owner._held
        assert held is not None
        assert held.working.beyond
        await send(owner, "new")
        await send(owner, "newer")
        assert not held.working.beyond
        again = (await stand.killed()).owners.local(owner.queue)
        assert sorted(bodies(await receive(again))) == ["new", "newer", "quiet"]

    run(scene)
