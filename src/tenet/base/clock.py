"""Time as something that is handed in: a wall clock and a monotonic clock, and a clock that tests turn by hand.

Only this module reads the machine's clock; a lint rule keeps every other one from it.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Final, Protocol

#: A deadline that never comes; deadlines are seconds on ``Clock.monotonic_s``.
NEVER = math.inf


class Clock(Protocol):
    """Where a component takes its time from."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC; may step backwards when the machine's clock is set."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never steps backwards; its zero means nothing."""
        ...


class SystemClock:
    """The machine's clocks."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000_000

    #: Seconds on the machine's monotonic clock, which is the loop's own: a deadline can be compared with
    #: ``loop.time()``. The function itself, since it is called several times for each request.
    monotonic_s = staticmethod(time.monotonic)


class ManualClock:
    """A clock that stands still until a test moves it.

    Args:
        wall_ms: the first wall time, milliseconds since 1970-01-01 UTC.
    """

    def __init__(self, wall_ms: int = 1_700_000_000_000) -> None:
        self._wall_ms = wall_ms
        self._monotonic_s = 1.0

    def wall_ms(self) -> int:
        """The wall time that was set, in milliseconds since 1970-01-01 UTC."""
        return self._wall_ms

    def monotonic_s(self) -> float:
        """The monotonic time, in seconds."""
        return self._monotonic_s

    def advance_ms(self, elapsed_ms: int) -> None:
        """Moves both clocks forward.

        Args:
            elapsed_ms: milliseconds, 0 or more.
        """
        self._wall_ms += elapsed_ms
        self._monotonic_s += elapsed_ms / 1000

    def step_wall_ms(self, step_ms: int) -> None:
        """Steps the wall clock alone, as an operator or NTP does.

        Args:
            step_ms: milliseconds, negative to step backwards.
        """
        self._wall_ms += step_ms


class ProcessTime(Protocol):
    """Tells a process that was kept from running (stopped, frozen, on a machine that slept) from one that is busy."""

    def passed_s(self) -> float:
        """Seconds on a clock that never steps backwards, and goes on while the machine sleeps."""
        ...

    def busy_s(self) -> float:
        """Seconds that the process has run, and that the calling thread has waited for a processor; only rises."""
        ...

    def missed_s(self) -> float:
        """Seconds in which no thread of the process did anything, not even one that only wakes up; only rises."""
        ...

    @property
    def knows_waiting(self) -> bool:
        """Whether ``busy_s`` has the time that was waited for a processor."""
        ...


#: Goes on while the machine sleeps: on Linux this one alone (clock_gettime(2)); on macOS the monotonic one does, too,
#: which is not what ``time.monotonic`` reads there.
_PASSED_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
#: Three figures of a thread: nanoseconds that it ran, nanoseconds that it waited on a run queue, and how often it ran
#: (https://docs.kernel.org/scheduler/sched-stats.html). A thread that is stopped or frozen waits on none.
_SCHEDSTAT: Final = Path("/proc/thread-self/schedstat")


class SystemProcessTime:
    """The system's figures of this process, and of the thread that asks, which has to be the same one each time.

    What no thread did is for a witness to tell, which lives where there may be threads.
    """

    def __init__(self) -> None:
        self._waited_s = 0.0
        self._knows_waiting = self._read()

    def passed_s(self) -> float:
        """Seconds on a clock that never steps backwards, and goes on while the machine sleeps."""
        return time.clock_gettime(_PASSED_CLOCK)

    def busy_s(self) -> float:
        """Seconds that the process has run, and that the thread has waited for a processor; some 30 µs."""
        if self._knows_waiting:
            self._read()
        return time.process_time() + self._waited_s

    def _read(self) -> bool:
        try:
            self._waited_s = int(_SCHEDSTAT.read_bytes().split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            return False  # no such system, or no descriptor left for now
        return True

    @property
    def knows_waiting(self) -> bool:
        """Whether this system says how long a thread has waited for a processor."""
        return self._knows_waiting
