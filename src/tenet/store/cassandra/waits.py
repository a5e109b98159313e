"""Waits that end in time, or when they have come to make no sense.

``asyncio.timeout`` does the first with a timer for each wait. Here all share one, which is set for the first of them
that is over: since most are as long as the others, it is set again about as often as one of them lasts, not for each.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from tenet.base.clock import NEVER

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task, TimerHandle

#: What is over so soon is over: a loop counts in milliseconds, and where its timer is due may be rounded.
_SOON_S: Final = 0.001


class Wait:
    """Somebody who waits.

    Args:
        task: who.
        begun: since when, as he counts, seconds.
        until: when to end it, in seconds of the loop's time.
    """

    __slots__ = ("begun", "cancelling", "is_over", "task", "until")

    def __init__(self, task: Task[object], begun: float, until: float) -> None:
        self.task: Final = task
        self.begun: Final = begun
        self.until: Final = until
        self.cancelling: Final = task.cancelling()
        self.is_over = False

    def end(self) -> None:
        """Ends it: what is awaited is cancelled; see ``was_ended``."""
        if not self.is_over:
            self.is_over = True
            self.task.cancel()

    def was_ended(self) -> bool:
        """Whether the cancellation that the task has just got is the end of this wait, and not meant for the task.

        It takes the cancellation back, as ``asyncio.Timeout`` does.
        """
        if not self.is_over:
            return False
        self.is_over = False
        return self.task.uncancel() <= self.cancelling


class Waits:
    """All that wait.

    A wait is begun before a ``try``, closed in its ``finally``, and asked in its ``except asyncio.CancelledError``.
    """

    def __init__(self) -> None:
        self._open: dict[Wait, None] = {}
        self._timer: TimerHandle | None = None
        #: For when the timer is set, in seconds of the loop's time.
        self._due = NEVER

    def begin(self, timeout_s: float, begun: float) -> Wait:
        """Begins a wait of the running task.

        Args:
            timeout_s: for how long, seconds; ``NEVER`` for as long as it takes.
            begun: when it began, for ``end_those``.
        """
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None, "only a task can be told that a wait is over"
        until = loop.time() + timeout_s
        wait = Wait(task, begun, until)
        self._open[wait] = None
        if until < self._due:
            self._set(loop, until)
        return wait

    def close(self, wait: Wait) -> None:
        """Takes a wait off that has ended, in whichever way."""
        del self._open[wait]
        if wait.is_over:
            # Whoever was awaited had an answer, or an error, for all that.
            wait.task.uncancel()

    def end_those(self, begun_by: float) -> None:
        """Ends the waits that began by then."""
        for wait in self._open:
            if wait.begun <= begun_by:
                wait.end()

    def _set(self, loop: AbstractEventLoop, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = loop.call_at(due, self._look, loop)

    def _look(self, loop: AbstractEventLoop) -> None:
        """Ends what is over, and sets the timer for what is over next."""
        self._timer, self._due = None, NEVER
        late, due = loop.time() + _SOON_S, NEVER
        for wait in self._open:
            if wait.until <= late:
                wait.end()
            elif wait.until < due:
                due = wait.until
        if due != NEVER:
            self._set(loop, due)
