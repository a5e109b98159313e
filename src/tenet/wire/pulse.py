"""Notices that the process stood still: stopped (SIGSTOP), frozen, on a machine that was paused or slept.

Whoever sent a request before has long gone elsewhere by the time at which such a process goes on, and had it answered
there; others have written since. What lay in the sockets meanwhile must not be carried out as if it had just come.

A loop that wakes in its poll serves what it has found there before it looks at timers (asyncio adds those that are due
behind it; libuv looks at them when it is through with the poll), and it may wake in the middle of a turn as well. So no
timer can be the one that notices. The beat only says when the process was last seen alive; who is about to do something
on behalf of a client looks whether that is too long ago: with each request that begins (``until_s``, compared with a
time that is read anyway), and with each step of one that waited (``is_overdue``).

What tells a stop from a loop that is merely late is what the process did meanwhile. A busy one burns CPU, and one that
gets none waits for it on a run queue; both are subtracted from the time that has passed. What is left was spent doing
nothing at all, although a timer was due every ``BEAT_S``. Where another thread of the process went on meanwhile, the
loop alone waited, for a disk, say; that ends nobody's connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tenet.base.clock import NEVER, Clock, ProcessTime

#: How often the process is seen alive while it does nothing. A stop counts from there, so up to as much longer.
BEAT_S: Final = 0.25
#: Having done nothing for longer than this is standing still. Clients and balancers wait for a second and more before
#: they go elsewhere.
STILL_S: Final = 1.0
#: The same where the system does not say how long a thread waited for a processor: a machine with much to do must not
#: pass for one that stood still.
STILL_UNKNOWN_S: Final = 3.0


class Pulse:
    """Notices that the process stood still.

    Args:
        clock: time.
        process: what passed, and what of it the process was busy.
        cut_off: told for how many seconds it stood still, when it is found out and before anything else happens.
    """

    __slots__ = (
        "_busy_s",
        "_clock",
        "_cut_off",
        "_missed_s",
        "_passed_s",
        "_process",
        "_still_s",
        "_timer",
        "until_passed_s",
        "until_s",
    )

    def __init__(self, clock: Clock, process: ProcessTime, cut_off: Callable[[float], None]) -> None:
        self._clock = clock
        self._process = process
        self._cut_off = cut_off
        self._still_s = STILL_S if process.knows_waiting else STILL_UNKNOWN_S
        self._passed_s = self._busy_s = self._missed_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        #: Later than this, seconds on ``Clock.monotonic_s``, one has to ``look``.
        self.until_s = NEVER
        #: The same on ``ProcessTime.passed_s``.
        self.until_passed_s = NEVER

    def begin(self) -> None:
        """Begins to beat, on the running loop."""
        self._take(*self._figures())
        self._timer = asyncio.get_running_loop().call_later(BEAT_S, self._beat)

    def end(self) -> None:
        """Ends it."""
        if self._timer is not None:
            self._timer.cancel()
        self.until_s = self.until_passed_s = NEVER

    def look(self) -> bool:
        """Takes note that the process runs, and returns whether it turns out that it stood still before."""
        passed_s, busy_s, missed_s = self._figures()
        still_s = min(passed_s - self._passed_s - (busy_s - self._busy_s), missed_s - self._missed_s)
        self._take(passed_s, busy_s, missed_s)
        if still_s <= self._still_s:
            return False
        self._cut_off(still_s)
        return True

    def is_overdue(self) -> bool:
        """Whether it turns out now that the process stood still; asked with each step of a request that waited."""
        return self._process.passed_s() > self.until_passed_s and self.look()

    def _figures(self) -> tuple[float, float, float]:
        return self._process.passed_s(), self._process.busy_s(), self._process.missed_s()

    def _take(self, passed_s: float, busy_s: float, missed_s: float) -> None:
        self._passed_s, self._busy_s, self._missed_s = passed_s, busy_s, missed_s
        self.until_passed_s = passed_s + self._still_s
        self.until_s = self._clock.monotonic_s() + self._still_s

    def _beat(self) -> None:
        self.look()
        self._timer = asyncio.get_running_loop().call_later(BEAT_S, self._beat)
