"""Who waits for a combined commit, and the answer to those whose deadline passes meanwhile.

Steps of many callers share a commit, which goes on as long as the most patient of them; the others are answered when
their own time is up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tenet.base.clock import NEVER
from tenet.store.errors import DeadlineExceeded, OutcomeUnknown

if TYPE_CHECKING:
    from tenet.base.clock import Clock

#: How often it is looked for deadlines that have passed, seconds.
_LOOK_S: Final = 0.05


class Waiting:
    """A step in a line, or a holder that wants the line for itself.

    Args:
        step: what is to be carried out; None for a holder.
        deadline: when its caller gives up, in seconds on the monotonic clock.
        future: gets the result.
    """

    __slots__ = ("deadline", "future", "is_committing", "step")

    def __init__(self, step: Callable[[Any], Any] | None, deadline: float, future: asyncio.Future[Any]) -> None:
        self.step = step
        self.deadline = deadline
        self.future = future
        #: Whether it is part of a commit that is under way.
        self.is_committing = False


class Deadlines:
    """Answers steps whose deadline passes before their commit has ended, a twentieth of a second late at the most.

    Args:
        clock: time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: list[Waiting] = []
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, waiting: Waiting) -> None:
        """Answers a step when its deadline passes, unless it has its answer by then."""
        if waiting.deadline == NEVER:
            return
        self._waiting.append(waiting)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        now = self._clock.monotonic_s()
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if one.future.done():
                continue
            if one.deadline < now:
                one.future.set_exception(_too_late(is_committing=one.is_committing))
            else:
                self._waiting.append(one)
        self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look) if self._waiting else None


def _too_late(*, is_committing: bool) -> DeadlineExceeded | OutcomeUnknown:
    if is_committing:
        return OutcomeUnknown("the request's deadline passed while it was being committed; it may yet take effect")
    return DeadlineExceeded("the request's deadline passed before it was carried out")
