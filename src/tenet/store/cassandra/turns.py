"""The turns of one process's commits over several partitions, where they meet.

Two that go over the same partition at once cost each other rounds: one is refused by the other's lock, lets go of what
it holds, and begins again. So those of one process take turns, and one that waits is told as soon as another one has
changed what it checks. Turns save work and guard nothing: whoever holds up others for too long is not waited for any
more, and what processes do to each other is left to the locks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from tenet.base.clock import NEVER
from tenet.store.contract import Commit, IsStamp
from tenet.store.errors import DeadlineExceeded

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.cassandra.partitions import Place

#: After how long others are let by who wait behind a turn that does not end, seconds: locks do not hold up for longer.
_HELD_S_MAX: Final = 1.0
#: How long one may be overtaken by those that need none of the partitions which it waits for, seconds.
_OVERTAKEN_S_MAX: Final = 0.3


class Turn:
    """What one commit needs, and whether it has that.

    Args:
        commit: the commit.
        places: its partitions.
        now_s: the monotonic time, seconds.
    """

    __slots__ = ("commit", "endings", "has_come", "is_told", "places", "since_s", "timer", "took_effect", "woken")

    def __init__(self, commit: Commit, places: Collection[Place], now_s: float) -> None:
        self.commit = commit
        self.places = places
        self.since_s = now_s
        self.has_come = False
        #: Whether another one has changed what this one checks, since it was last waited for.
        self.is_told = False
        #: Whether the commit took effect; whoever has the turn says so.
        self.took_effect = False
        #: What goes on of it behind its answer.
        self.endings: list[asyncio.Task[None]] = []
        self.woken = asyncio.Event()
        self.timer: asyncio.TimerHandle | None = None

    def cancel_timer(self) -> None:
        """Ends the watch over how long it takes."""
        if self.timer is not None:
            self.timer.cancel()


class Turns:
    """Gives turns, in the order of arrival where nothing else stands against it.

    Args:
        clock: time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._having: dict[Place, Turn] = {}
        self._waiting: dict[Place, dict[Turn, None]] = {}

    def are_taken(self, place: Place) -> bool:
        """Returns whether anybody has, or waits for, a turn at a partition."""
        return place in self._having or place in self._waiting

    def enter(self, commit: Commit, places: Collection[Place]) -> Turn:
        """Gives a commit its turn, or lets it wait for that; ``leave`` must follow."""
        turn = Turn(commit, places, self._clock.monotonic_s())
        if self._may_come(turn):
            self._give(turn)
        else:
            for place in places:
                self._waiting.setdefault(place, {})[turn] = None
        return turn

    async def wait(self, turn: Turn, deadline: float) -> bool:
        """Waits until another commit has changed what this one checks, False, or the turn has come, True.

        Raises:
            DeadlineExceeded: the deadline passed first; nothing was sent.
        """
        while True:
            if turn.is_told:
                turn.is_told = False
                return False
            if turn.has_come:
                return True
            turn.woken.clear()
            timeout_s = None if deadline == NEVER else max(0.0, deadline - self._clock.monotonic_s())
            try:
                async with asyncio.timeout(timeout_s):
                    await turn.woken.wait()
            except TimeoutError as error:
                raise DeadlineExceeded(
                    "the deadline passed while older commits over the same partitions went first"
                ) from error

    def leave(self, turn: Turn) -> None:
        """Ends a turn, or the wait for it."""
        turn.cancel_timer()
        if turn.took_effect:
            self._tell_of(turn)
        self._let_by(turn)

    def _may_come(self, turn: Turn) -> bool:
        """Returns whether nobody has what it needs, nor was let wait for that for so long that he goes first."""
        before_s = self._clock.monotonic_s() - _OVERTAKEN_S_MAX
        for place in turn.places:
            if place in self._having:
                return False
            first = next(iter(self._waiting.get(place, ())), None)
            if first is not None and first is not turn and first.since_s <= before_s:
                return False
        return True

    def _give(self, turn: Turn) -> None:
        turn.has_come = True
        for place in turn.places:
            self._having[place] = turn
        turn.timer = asyncio.get_running_loop().call_later(_HELD_S_MAX, self._let_by, turn)
        turn.woken.set()

    def _tell_of(self, turn: Turn) -> None:
        """Tells those that wait and check what the commit has written."""
        waiting = {one: None for place in turn.places for one in self._waiting.get(place, ())}
        if not waiting:
            return
        keys = {write.key for write in turn.commit.writes}
        partitions = {(key.space, key.partition) for key in keys}
        for one in waiting:
            if any(
                (check.of.space, check.of.partition) in partitions if isinstance(check, IsStamp) else check.key in keys
                for check in one.commit.checks
            ):
                one.is_told = True
                one.woken.set()

    def _let_by(self, turn: Turn) -> None:
        """Takes a turn, or the wait for it, out of the way of others, and gives those theirs whose turn it is now."""
        for place in turn.places:
            if self._having.get(place) is turn:
                del self._having[place]
            waiting = self._waiting.get(place)
            if waiting is not None:
                waiting.pop(turn, None)
                if not waiting:
                    del self._waiting[place]
        freed = {one: None for place in turn.places for one in self._waiting.get(place, ())}
        for one in sorted(freed, key=_entered):
            if self._may_come(one):
                self._stop_waiting(one)
                self._give(one)

    def _stop_waiting(self, turn: Turn) -> None:
        for place in turn.places:
            waiting = self._waiting[place]
            del waiting[turn]
            if not waiting:
                del self._waiting[place]


def _entered(turn: Turn) -> float:
    return turn.since_s
