"""Pointers as the sequencer meets them: found, and taken away where nothing has come for a while.

A pointer that is deleted leaves a tombstone, which everybody who reads the pointers of the shard passes over. So from
time to time those that stand are written anew, and then all of the shard is deleted at a timestamp so far back that
nobody can still be about to rely on a pointer that is written with it or before: one mark for all the older ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from tenet.store.cassandra.behind import Behind
from tenet.store.cassandra.outboxes import SIDE_BY_SIDE
from tenet.store.cassandra.pointers import encode_pointer, epoch_of
from tenet.store.cassandra.schema import REMEMBERED_S, equal
from tenet.store.cassandra.tries import Unsure

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.cassandra.driver import Driver
    from tenet.store.cassandra.locks import Locks
    from tenet.store.cassandra.outboxes import Outboxes
    from tenet.store.cassandra.partitions import Partitions
    from tenet.store.cassandra.sending import Shown
    from tenet.store.cassandra.spaces import Space

#: A partition key of the table, and an epoch.
Pointer: TypeAlias = tuple[bytes, int]
#: Those that lead to nothing, with the hybrid time of the partition as of which this process has seen, moved and taken
#: out all that was in the outbox; None where it has moved nothing while the pointer stood.
Empty: TypeAlias = Mapping[Pointer, int | None]

_POINTERS_MAX: Final = 1_000
#: How long an outbox is empty before its pointer is taken away, seconds.
_IDLE_S: Final = 15.0
#: How many pointers of a shard stay for as long. Each costs whoever brings the log up to date a look each time, many a
#: second. So where there are more, as in a table whose items are written to once each, those go sooner behind which
#: this process has moved what came: after so many looks in vain and so many seconds, and four times as long each time
#: that one came back, since to be written anew costs a commit a round.
_KEPT_MAX: Final = 8
_LOOKS_MAX: Final = 2
_SOON_S: Final = 0.5
_LATER: Final = 4
#: How many pointers are taken away behind one call, and how long that may take, seconds.
_AWAY_MAX: Final = 256
_AWAY_S: Final = 10.0
#: After how many that were taken away, and how long after the last time, their traces go; seconds.
_TRACES_MAX: Final = 500
_TRACES_EVERY_S: Final = 600.0
#: How far back they go, seconds. A pointer is written with the clock of its process, which may be wrong by 300 s, as
#: may ours; and a commit relies on it for as long as its batch may be sent, and lingers.
_TRACES_OLD_S: Final = 2 * REMEMBERED_S
_WRITTEN_MAX: Final = 500
#: How often an epoch is tried to be raised: once, and again with what a refusal has shown.
_RAISES_MAX: Final = 2


class Standing:
    """What a process remembers of the pointers of a shard.

    Args:
        now_s: the monotonic time, seconds.
    """

    __slots__ = ("idle", "is_at_it", "taken_away", "traces_gone_s", "tried")

    def __init__(self, now_s: float) -> None:
        #: Of those that led to nothing lately, since when, and at how many looks.
        self.idle: dict[Pointer, tuple[float, int]] = {}
        #: Those that were to be taken away and stand all the same: they have to wait for the whole time.
        self.tried: set[Pointer] = set()
        self.is_at_it = False
        #: How many were taken away here since their traces went the last time, and when that was.
        self.taken_away = 0
        self.traces_gone_s = now_s


class IdlePointers:
    """Reads pointers, and takes those away that nobody needs.

    Args:
        driver: the cluster.
        locks: resolves what is met.
        outboxes: to which the pointers lead.
        partitions: told how pointers stand.
        clock: time.
    """

    def __init__(self, driver: Driver, locks: Locks, outboxes: Outboxes, partitions: Partitions, clock: Clock) -> None:
        self._driver = driver
        self._partitions = partitions
        self._locks = locks
        self._outboxes = outboxes
        self._clock = clock
        self._behind = Behind()

    async def of(self, space: Space, shard: int, deadline: float) -> AsyncIterator[Sequence[Pointer]]:
        """Gives the pointers of a shard, some at a time."""
        last: Pointer = (b"", 0)
        while True:
            values = (space.log_id, shard, *last, _POINTERS_MAX)
            found = await self._driver.select(space.log_statements.pointers, values, deadline=deadline, is_serial=False)
            if found:
                yield [(key, epoch) for key, epoch in found]
            if len(found) < _POINTERS_MAX:
                return
            last = found[-1][0], found[-1][1]

    def notice(self, space: Space, shard: int, standing: Standing, empty: Empty) -> None:
        """Is told which pointers lead to empty outboxes; takes some of them away, behind the call."""
        now = self._clock.monotonic_s()
        idle = {one: standing.idle.get(one, (now, 0)) for one in empty}
        standing.idle = {one: (since, looks + 1) for one, (since, looks) in idle.items()}
        standing.tried.intersection_update(empty)
        moved = {one for one, seen_at in empty.items() if seen_at is not None} - standing.tried
        due = {one: empty[one] for one in _due(standing.idle, moved, now)}
        if due and not standing.is_at_it:
            standing.is_at_it = True
            self._behind.go(self._take_away(space, shard, standing, due))

    async def _take_away(self, space: Space, shard: int, standing: Standing, due: Empty) -> None:
        deadline = self._clock.monotonic_s() + _AWAY_S
        gate = asyncio.Semaphore(SIDE_BY_SIDE)

        async def take_away(pointer: Pointer) -> None:
            async with gate:
                if await self._unpoint(space, pointer, due[pointer], deadline):
                    statement = (space.log_statements.unpoint, [space.log_id, shard, *pointer])
                    await self._driver.write([statement], deadline=deadline)
                    standing.taken_away += 1
                # One that others had a use for is idle from now on, if it is.
                standing.idle.pop(pointer, None)
                standing.tried.add(pointer)

        try:
            await asyncio.gather(*map(take_away, due), return_exceptions=True)
            is_time = self._clock.monotonic_s() - standing.traces_gone_s >= _TRACES_EVERY_S
            if is_time and standing.taken_away >= _TRACES_MAX:
                await self._remove_traces(space, shard, deadline)
                standing.taken_away, standing.traces_gone_s = 0, self._clock.monotonic_s()
        finally:
            standing.is_at_it = False

    async def _unpoint(self, space: Space, pointer: Pointer, seen_at: int | None, deadline: float) -> bool:
        """Sees to it that no commit can rely on a pointer any more; returns whether it can be taken away."""
        key, epoch = pointer
        if seen_at is not None:
            # As long as that is the time, nothing has come, so that nobody has to look.
            refused = await self._raise_epoch(space, pointer, seen_at, encode_pointer(space.log_id, epoch), deadline)
            if refused is None:
                # So that the next commit of this process writes one first, and is not refused for it.
                self._partitions.learn((space.space_id, key), seen_at, encode_pointer(space.log_id, -(epoch + 1)))
                return True
            if refused.get("h") != seen_at:
                return False
        rows = await self._driver.select(space.statements.get_header, (key,), deadline=deadline)
        # Without a header there is no time and no lock. How the pointer stands a refusal tells, if not as is likely.
        time, lock, stands = rows[0][:3] if rows else (None, None, encode_pointer(space.log_id, epoch))
        if lock is not None:
            # Nobody else may come to this partition, and entries may be in what is intended.
            await self._locks.is_pending(space.space_id, key, lock, deadline)
            return False
        for _ in range(_RAISES_MAX):
            # Also where no commit has relied on the pointer yet: one may have written it and be about to.
            if abs(epoch_of(space.log_id, stands)) > epoch:
                return True
            # Behind the look at the time: whatever is added from there on changes that.
            if not await self._outboxes.is_empty(space, key, deadline):
                return False
            refused = await self._raise_epoch(space, pointer, time, stands, deadline)
            if refused is None:
                return True
            if rows or refused.get("h") is not None or refused.get("lk") is not None:
                return False
            stands = refused.get("pe")
        return False

    async def _raise_epoch(
        self, space: Space, pointer: Pointer, time: int | None, stands: bytes | None, deadline: float
    ) -> Shown | None:
        """Makes sure that no commit relies on a pointer any more; returns what refuses that, or None."""
        key, epoch = pointer
        at_time, times = equal("h", time)
        as_it_stands, pointers = equal("pe", stands)
        text = f"{space.statements.unpoint}{at_time} AND {as_it_stands}"
        values = [encode_pointer(space.log_id, -(epoch + 1)), key, *times, *pointers]
        try:
            shown = await self._driver.decide(
                [(text, values), (space.statements.look_at_header, [key])], deadline=deadline
            )
        except Unsure:
            return {"lk": b""}  # It may be on its way: as if it were somebody else's.
        return None if shown is None else shown[0]

    async def _remove_traces(self, space: Space, shard: int, deadline: float) -> None:
        """Puts one mark in the place of those that pointers have left which were taken away long ago.

        What is written anew may have been taken away meanwhile. Then it is taken away again: its epoch is over.
        """
        above_us = (self._clock.wall_ms() - 1000 * _TRACES_OLD_S) * 1000
        async for pointers in self.of(space, shard, deadline):
            for at in range(0, len(pointers), _WRITTEN_MAX):
                some = pointers[at : at + _WRITTEN_MAX]
                anew = [(space.log_statements.point, [space.log_id, shard, key, epoch]) for key, epoch in some]
                await self._driver.write(anew, deadline=deadline)
        await self._driver.write(
            [(space.log_statements.unpoint_before, [above_us, space.log_id, shard])], deadline=deadline
        )

    async def is_quiet(self) -> None:
        """Waits until nothing goes on in the background."""
        await self._behind.is_quiet()

    async def close(self) -> None:
        """Ends what goes on in the background."""
        await self._behind.cancel()


def _due(idle: Mapping[Pointer, tuple[float, int]], moved: Collection[Pointer], now: float) -> Sequence[Pointer]:
    """Returns the pointers that are to be taken away, those that have been idle for longest first.

    Args:
        idle: those that lead to nothing: since when, and at how many looks.
        moved: those among them that may go soon.
        now: the time, seconds.
    """
    by_age = sorted(idle, key=lambda one: idle[one][0])
    beyond = len(by_age) - _KEPT_MAX

    def is_due(at: int, one: Pointer) -> bool:
        since, looks = idle[one]
        idle_s = now - since
        is_soon = at < beyond and looks >= _LOOKS_MAX and one in moved
        return idle_s >= (min(_IDLE_S, _SOON_S * _LATER ** (one[1] - 1)) if is_soon else _IDLE_S)

    return [one for at, one in enumerate(by_age) if is_due(at, one)][:_AWAY_MAX]
