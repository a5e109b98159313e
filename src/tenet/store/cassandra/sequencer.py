"""The sequencer: moves entries from outboxes into the log of their shard, in order, each once.

Only one at a time can, for each shard: whoever begins takes the next *token* of the shard and writes it into the log's
newest segment, and every batch into the log checks it. Entries of one partition are moved in the order of their
commits, which is that of their hybrid times, and an entry leaves its outbox only after it is in the log; one that
finds an entry in both, because another sequencer died in between, knows it by its place.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from tenet.base.clock import NEVER
from tenet.store.cassandra import segments
from tenet.store.cassandra.encoding import to_key
from tenet.store.cassandra.idle import Standing
from tenet.store.cassandra.outboxes import SIDE_BY_SIDE, Known, Waiting
from tenet.store.cassandra.rows import PLACE_BYTES, decode_entry
from tenet.store.cassandra.schema import equal
from tenet.store.cassandra.tries import Unsure
from tenet.store.errors import DeadlineExceeded, StoreUnavailable

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.cassandra.driver import Driver
    from tenet.store.cassandra.idle import IdlePointers, Pointer
    from tenet.store.cassandra.outboxes import Outboxes
    from tenet.store.cassandra.spaces import Space

#: The most entries and bytes that one batch into the log carries.
_BATCH_ENTRIES_MAX: Final = 500
_BATCH_BYTES_MAX: Final = 6 * 1024 * 1024
#: The most entries that are ever in the log and yet in their outboxes: so many a new sequencer looks for there.
_UNCLEARED_MAX: Final = 2 * _BATCH_ENTRIES_MAX
#: No more outboxes are read before what was found is moved, when it has so many bytes.
_WAITING_BYTES_MAX: Final = 2 * _BATCH_BYTES_MAX
_TRIES_MAX: Final = 20
#: How often one tries to bring a shard up to date, and the pause before that, doubled each time; seconds.
_SEQUENCED_TRIES_MAX: Final = 6
_AGAIN_S: Final = 0.01
#: Of how many partitions it is told at once that they have entries on their way.
_ARRIVING_MAX: Final = 1_000
#: Of how many shards something is remembered.
_SHARDS_MAX: Final = 4_096


class _Shard:
    """What this process knows of a shard that it sequences."""

    __slots__ = ("known", "line", "next", "segment", "standing", "token")

    def __init__(self, clock: Clock) -> None:
        self.line = asyncio.Lock()
        #: None until this process has taken the shard.
        self.token: int | None = None
        self.segment = 0
        self.next = 1
        #: Of the outboxes that pointers lead to. What was seen there is moved, or all of this is forgotten.
        self.known: dict[bytes, Known] = {}
        self.standing = Standing(clock.monotonic_s())

    def give_up(self) -> None:
        """Forgets what holds only for whoever has the shard."""
        self.token = None
        self.known = {}


class _Taken(Exception):
    """Another sequencer has taken the shard."""


class Sequencer:
    """Brings logs up to date.

    Args:
        driver: the cluster.
        outboxes: where entries come from.
        pointers: lead to outboxes, and are taken away where nothing comes any more.
        clock: time.
    """

    def __init__(self, driver: Driver, outboxes: Outboxes, pointers: IdlePointers, clock: Clock) -> None:
        self._driver = driver
        self._outboxes = outboxes
        self._pointers = pointers
        self._clock = clock
        self._shards: OrderedDict[tuple[bytes, int], _Shard] = OrderedDict()

    async def sequence(self, space: Space, shard: int, deadline: float) -> int:
        """Moves what is in the outboxes of a shard into its log; returns how many entries it moved.

        When it returns, every entry is in the log whose commit was answered before it was called.

        Raises:
            DeadlineExceeded: the deadline passed while other calls of this process were at it.
            StoreUnavailable: it could not; what was moved is moved.
        """
        state = self._shard(space, shard)
        for attempt in range(_SEQUENCED_TRIES_MAX):
            if attempt:
                await asyncio.sleep(_AGAIN_S * 2**attempt)
            moved = await self._sequence_once(space, shard, state, deadline)
            if moved is not None:
                return moved
        raise StoreUnavailable(f"the log of {space.name} could not be brought up to date: others are at it")

    async def arriving(self, space: Space, shard: int, deadline: float) -> tuple[Waiting | None, list[Waiting]]:
        """Returns the first entry, in the order of commits, that is on its way, and the first of each partition.

        Returns:
            None where nothing is on its way; of no more than `_ARRIVING_MAX` partitions.
        """
        oldest: Waiting | None = None
        arriving: list[Waiting] = []
        async for pointers in self._pointers.of(space, shard, deadline):
            left = list(dict.fromkeys(key for key, _ in pointers))
            while left:
                some, left = left[:SIDE_BY_SIDE], left[SIDE_BY_SIDE:]
                looks = await asyncio.gather(
                    *(self._outboxes.look(space, key, Known(1, is_busy=False), deadline) for key in some)
                )
                firsts = [entries[0] for entries, _ in looks if entries]
                oldest = min([*firsts, *([oldest] if oldest else [])], key=lambda one: one.place, default=None)
                arriving += firsts[: _ARRIVING_MAX - len(arriving)]
        return oldest, arriving

    def _shard(self, space: Space, shard: int) -> _Shard:
        """Returns what is known of a shard; of those that were asked for longest ago it is forgotten."""
        at = (space.log_id, shard)
        state = self._shards.get(at)
        if state is None:
            state = self._shards[at] = _Shard(self._clock)
        self._shards.move_to_end(at)
        while len(self._shards) > _SHARDS_MAX:
            oldest = next(iter(self._shards))
            if oldest == at or self._shards[oldest].line.locked():
                break
            del self._shards[oldest]
        return state

    @asynccontextmanager
    async def _line(self, state: _Shard, deadline: float) -> AsyncIterator[None]:
        """Waits until no other call of this process moves entries of the shard."""
        timeout_s = None if deadline == NEVER else max(0.0, deadline - self._clock.monotonic_s())
        try:
            async with asyncio.timeout(timeout_s):
                await state.line.acquire()
        except TimeoutError as error:
            raise DeadlineExceeded(
                "the deadline passed while others brought the shard of the log up to date"
            ) from error
        try:
            yield
        finally:
            state.line.release()

    async def _sequence_once(self, space: Space, shard: int, state: _Shard, deadline: float) -> int | None:
        """Returns how many entries it moved, or None where it does not know, or the shard became somebody else's."""
        async with self._line(state, deadline):
            try:
                return await self._sequence(space, shard, state, deadline)
            except (_Taken, Unsure):
                state.give_up()
                return None
            except BaseException:
                # What was under way may have taken effect or not: it is found out by taking the shard again.
                state.give_up()
                raise

    async def _sequence(self, space: Space, shard: int, state: _Shard, deadline: float) -> int:
        moved = 0
        empty: dict[Pointer, int | None] = {}
        met: set[bytes] = set()
        async for pointers in self._pointers.of(space, shard, deadline):
            keys = list(dict.fromkeys(key for key, _ in pointers))
            count, busy = await self._move(space, shard, state, keys, deadline)
            moved += count
            met.update(keys)
            empty |= {
                pointer: _cleared_at(state.known.get(pointer[0])) for pointer in pointers if pointer[0] not in busy
            }
        state.known = {key: known for key, known in state.known.items() if key in met}
        self._pointers.notice(space, shard, state.standing, empty)
        return moved

    async def _move(
        self, space: Space, shard: int, state: _Shard, keys: Sequence[bytes], deadline: float
    ) -> tuple[int, set[bytes]]:
        """Moves what is in some outboxes; returns how many entries that were, and which outboxes had any."""
        left = list(keys)
        moved = waiting_bytes = 0
        busy: set[bytes] = set()
        waiting: list[Waiting] = []
        while left:
            some, left = left[:SIDE_BY_SIDE], left[SIDE_BY_SIDE:]
            looks = await asyncio.gather(
                *(self._outboxes.look(space, key, state.known.setdefault(key, Known()), deadline) for key in some)
            )
            found = [one for entries, _ in looks for one in entries]
            if found and state.token is None:
                # And then look again: some of it may have been moved while the shard was somebody else's.
                await self._take(space, shard, state, deadline)
                left = some + left
                continue
            busy.update(one.key for one in found)
            left += [key for key, (_, is_more) in zip(some, looks, strict=True) if is_more]
            waiting += found
            waiting_bytes += sum(len(one.data) for one in found)
            if not left or len(waiting) >= _UNCLEARED_MAX or waiting_bytes >= _WAITING_BYTES_MAX:
                await self._move_all(space, shard, state, waiting, deadline)
                moved += len(waiting)
                waiting, waiting_bytes = [], 0
        return moved, busy

    async def _move_all(
        self, space: Space, shard: int, state: _Shard, waiting: Sequence[Waiting], deadline: float
    ) -> None:
        """Moves entries in the order of their commits."""
        in_order = sorted(waiting, key=lambda one: (one.place, one.key))
        for at in range(0, len(in_order), _UNCLEARED_MAX):
            some = in_order[at : at + _UNCLEARED_MAX]
            await self._append(space, shard, state, some, deadline)
            await self._outboxes.clear(space, some, deadline)

    # ---- taking a shard ----------------------------------------------------------------------------------------------

    async def _take(self, space: Space, shard: int, state: _Shard, deadline: float) -> None:
        """Takes the shard: from here on no other sequencer can write into its log until it takes it back."""
        statements = space.log_statements
        rows = await self._driver.select(statements.head, (space.log_id, shard), deadline=deadline)
        before = rows[0][1] if rows else None
        token = (before or 0) + 1
        condition, wanted = equal("tk", before)
        take = (f"{statements.take}IF {condition}", [token, space.log_id, shard, *wanted])
        if await self._driver.decide([take], deadline=deadline) is not None:
            raise _Taken
        # What stood in the head before the token did may be older than the segment that was opened in between.
        rows = await self._driver.select(statements.head, (space.log_id, shard), deadline=deadline)
        segment = (rows[0][0] if rows else None) or 0
        following = await self._fence(space, shard, segment, token, deadline)
        await self._clear_after_another(space, shard, following, deadline)
        state.give_up()
        state.segment, state.next, state.token = segment, following, token

    async def _clear_after_another(self, space: Space, shard: int, following: int, deadline: float) -> None:
        """Takes out of the outboxes what the sequencer before has moved and did not come to take out any more.

        Of each outbox these are the first entries: it moved them in their order.
        """
        moved = await self._lately_moved(space, shard, following, deadline)
        if not moved:
            return
        async for pointers in self._pointers.of(space, shard, deadline):
            left = list(dict.fromkeys(key for key, _ in pointers))
            while left:
                some, left = left[:SIDE_BY_SIDE], left[SIDE_BY_SIDE:]
                looks = await asyncio.gather(*(self._outboxes.first_of(space, key, deadline) for key in some))
                known = [one for entries, _ in looks for one in entries if (one.key, one.place) in moved]
                await self._outboxes.clear(space, known, deadline)
                cleared = {one.key for one in known}
                left += [key for key, (_, is_more) in zip(some, looks, strict=True) if is_more and key in cleared]

    async def _fence(self, space: Space, shard: int, segment: int, token: int, deadline: float) -> int:
        """Writes the token into a segment; returns the next position there."""
        statements = space.log_statements
        for _ in range(_TRIES_MAX):
            rows = await self._driver.select(statements.get_segment, (space.log_id, shard, segment), deadline=deadline)
            following, before = rows[0] if rows else (None, None)
            if before is not None and before > token:
                raise _Taken
            if before == token:
                return segments.following(segment, following)
            condition, wanted = equal("tk", before)
            fence = (f"{statements.fence}IF {condition}", [token, space.log_id, shard, segment, *wanted])
            try:
                await self._driver.decide([fence], deadline=deadline)
            except Unsure:
                continue
        raise StoreUnavailable("too many processes want to sequence one shard of a log")

    async def _lately_moved(
        self, space: Space, shard: int, following: int, deadline: float
    ) -> set[tuple[bytes, bytes]]:
        """Returns the entries that the sequencer before may not have taken out of their outboxes any more."""
        found = set()
        after = max(0, following - 1 - _UNCLEARED_MAX)
        while after < following - 1:
            values = (space.log_id, shard, segments.segment_of(after + 1), after, segments.SEGMENT)
            for _, data, _ in await self._driver.select(space.log_statements.entries, values, deadline=deadline):
                found.add((to_key(decode_entry(data[PLACE_BYTES:]).partition), data[:PLACE_BYTES]))
            after = segments.last_of(segments.segment_of(after + 1))
        return found

    # ---- into the log ------------------------------------------------------------------------------------------------

    async def _append(
        self, space: Space, shard: int, state: _Shard, waiting: Sequence[Waiting], deadline: float
    ) -> None:
        """Writes entries into the log, in batches."""
        done = 0
        while done < len(waiting):
            room = segments.last_of(state.segment) + 1 - state.next
            if room <= 0:
                await self._open_next(space, shard, state, deadline)
                continue
            batch = _batch_of(waiting[done:], min(room, _BATCH_ENTRIES_MAX))
            await self._append_batch(space, shard, state, batch, deadline)
            done += len(batch)

    async def _append_batch(
        self, space: Space, shard: int, state: _Shard, batch: Sequence[Waiting], deadline: float
    ) -> None:
        statements, first, token = space.log_statements, state.next, state.token
        following = first + len(batch)
        condition, wanted = equal("nx", None if first == segments.first_of(state.segment) else first)
        values = [following, space.log_id, shard, state.segment, *wanted, token]
        bound: list[tuple[str, Sequence[Any]]] = [(f"{statements.next}IF {condition} AND tk = ?", values)]
        bound += [
            (statements.entry, [one.place + one.data, space.log_id, shard, state.segment, first + at])
            for at, one in enumerate(batch)
        ]
        for _ in range(_TRIES_MAX):
            try:
                shown = await self._driver.decide(bound, deadline=deadline)
            except Unsure:
                continue
            # Refused by what an unanswered one of the same batch has left: nobody else has this token.
            if shown is not None and (shown[0].get("tk"), shown[0].get("nx")) != (token, following):
                raise _Taken
            state.next = following
            return
        raise Unsure

    async def _open_next(self, space: Space, shard: int, state: _Shard, deadline: float) -> None:
        text = space.log_statements.open_segment + "IF tk = ?"
        if (
            await self._driver.decide(
                [(text, [state.segment + 1, space.log_id, shard, state.token])], deadline=deadline
            )
            is not None
        ):
            raise _Taken
        assert state.token is not None
        state.segment += 1
        state.next = await self._fence(space, shard, state.segment, state.token, deadline)


def _cleared_at(known: Known | None) -> int | None:
    """Returns as of when all of an outbox was moved by this process; None where it has moved nothing, or not all."""
    return known.seen_at if known is not None and known.moved else None


def _batch_of(waiting: Sequence[Waiting], most: int) -> Sequence[Waiting]:
    byte_count = 0
    for at, one in enumerate(waiting[:most]):
        byte_count += len(one.data)
        if at and byte_count > _BATCH_BYTES_MAX:
            return waiting[:at]
    return waiting[:most]
