"""Taking a queue over: first nobody else can write to it any more, then what is stored of it is read.

The head is rewritten under a check of the version that was read. From then on every commit of a former owner, which
checks the head as it wrote it last, conflicts; so that what is read afterwards is what the queue is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import msgspec

from tenet.base.clock import NEVER
from tenet.base.dice import Dice
from tenet.queues import keys
from tenet.queues.ops.owning.state import State
from tenet.queues.rules import stored
from tenet.store.contract import Committed, IsVersion, Put, Version
from tenet.store.landing import land

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.queues.model import Queue
    from tenet.store.contract import Range, Record, Store

_PAGE_RECORDS: Final = 1_000
#: How long a process waits at most that was disturbed by another one's taking over, in times of what it took to read;
#: twice as long each time. Two that never waited would disturb each other for ever.
_YIELDS: Final = 2
_ROLL: Final = 1_000


async def take_over(store: Store, queue: Queue, *, clock: Clock, ids: Ids, deadline: float) -> tuple[State, Version]:
    """Takes a queue over, and reads what is needed before its window.

    Args:
        store: where it is.
        queue: its description.
        clock: time.
        ids: for commit ids.
        deadline: when to give up, in seconds on the monotonic clock.

    Returns:
        What is known of it, nothing of its backlog read yet; and the version of its head.

    Raises:
        StoreUnavailable: nothing was changed, or the head alone.
    """
    dice, yields = Dice(ids), _YIELDS
    while True:
        began_s = clock.monotonic_s()
        head, version = await _claim(store, queue.id, clock=clock, ids=ids, deadline=deadline)
        state = State(queue, head)
        await _read_receives(store, state, keys.numbers_of(keys.RECEIVES, head.receives_first), deadline)
        if state.deduplication is not None:
            within = keys.numbers_of(keys.DEDUPLICATION, head.ids_first)
            await _read_deduplication(store, state, within, clock.wall_ms(), deadline)
        (record,) = await store.get((state.head_key,), deadline=deadline)
        if record is not None and record.version == version:
            return state, version
        # Somebody else has taken it over meanwhile: what was read is of two owners.
        await asyncio.sleep((clock.monotonic_s() - began_s) * yields * dice.below(_ROLL) / _ROLL)
        yields *= 2


async def _claim(
    store: Store, queue_id: bytes, *, clock: Clock, ids: Ids, deadline: float
) -> tuple[stored.Head, Version]:
    """Rewrites the head, so that it is ours."""
    key = keys.head_key(queue_id)
    (record,) = await store.get((key,), deadline=deadline)
    while True:
        head = stored.Head() if record is None else stored.decode_head(record.value)
        head = msgspec.structs.replace(head, epoch=head.epoch + 1)
        check = IsVersion(key, None if record is None else record.version)
        outcome = await land(store, (Put(key, stored.encode(head)),), (check,), clock=clock, ids=ids, deadline=deadline)
        if isinstance(outcome, Committed):
            return head, outcome.version
        record = outcome.records[key]


async def _read_receives(store: Store, state: State, within: Range, deadline: float) -> None:
    """Reads what was received and not deleted: how often, and until when it is hidden."""
    working = state.working
    async for record in _records(store, state.queue.id, within, deadline):
        number = keys.number_of(record.sort)
        found = stored.decode_receives(record.value)
        held = False
        for receive in found.receives:
            if receive.sequence >= working.first:
                working.find(receive, number)
                held = True
        if not held:
            working.obsolete.append(number)
        for attempt in found.attempts:
            # Of messages before the first one nothing was taken up: they are gone.
            numbers = [
                (sequence, working.found[sequence][0].receives if sequence in working.found else 0)
                for sequence in attempt.sequences
            ]
            state.attempts.note(attempt.id, attempt.at_ms, numbers, attempt.visible_ms)


async def _read_deduplication(store: Store, state: State, within: Range, now_ms: int, deadline: float) -> None:
    """Reads which ids were taken up within the last five minutes, and lets go of the rest."""
    assert state.deduplication is not None
    async for record in _records(store, state.queue.id, within, deadline):
        state.deduplication.remember(keys.number_of(record.sort), stored.decode_deduplicated(record.value))
    state.deduplication.forget(now_ms)


async def discard_purged(store: Store, state: State) -> None:
    """Removes what lies below the first number that a message may have; idempotent.

    Raises:
        StoreUnavailable: it may have been removed in part.
    """
    first, receives = state.working.first, state.purged_receives
    for kind, upper in ((keys.SEGMENT, first), (keys.GONE, first), (keys.RECEIVES, receives)):
        await store.discard(keys.MESSAGES_SPACE, state.queue.id, keys.numbers_of(kind, 0, upper), deadline=NEVER)


async def _records(store: Store, queue_id: bytes, within: Range, deadline: float) -> AsyncIterator[Record]:
    """Yields the numbered records of a range, in order."""
    while True:
        page = await store.query(keys.MESSAGES_SPACE, queue_id, within, limit=_PAGE_RECORDS, deadline=deadline)
        for record in page.records:
            yield record
        if not page.more:
            return
        last = page.records[-1].sort
        within = keys.numbers_of(last[:1], keys.number_of(last) + 1)
