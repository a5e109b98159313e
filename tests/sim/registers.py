"""What callers were told of values that several of them write and read, and whether all of it can be true at once.

A value is named. Whoever writes it says so before the request is sent and when it is answered; whoever has read it
says what he found, and when he had asked. A reading fails where no order of the writes explains it: where every write
of such a value was refused, or was overwritten by one that was answered before the reading was asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from tenet.base.clock import Clock
from tenet.base.errors import TenetError
from tenet.store.errors import OutcomeUnknown, StoreUnavailable

DONE, REFUSED, PERHAPS = "done", "refused", "perhaps"
#: A time of the clock in seconds, and how many moments there were before.
Moment = tuple[float, int]
NEVER: Moment = (float("inf"), 0)


class Told(NamedTuple):
    """What a caller is told.

    Args:
        outcome: ``done``, ``refused`` (nothing was written) or ``perhaps``.
        answer: if it is done.
        error: if it is not.
    """

    outcome: str
    answer: Any = None
    error: TenetError | None = None

    @property
    def code(self) -> str:
        """The error's code; empty where there is none, or it is the store that cannot serve."""
        return "" if self.error is None or isinstance(self.error, StoreUnavailable) else self.error.code


async def told(answer: Awaitable[Any], refusals: set[str] | frozenset[str]) -> Told:
    """Waits for an answer.

    Args:
        answer: of a service.
        refusals: codes of errors that say that nothing was written, and may come.

    Raises:
        TenetError: any other.
    """
    try:
        return Told(DONE, await answer)
    except OutcomeUnknown as error:
        return Told(PERHAPS, error=error)
    except StoreUnavailable as error:
        return Told(REFUSED, error=error)
    except TenetError as error:
        if error.code not in refusals:
            raise
        return Told(REFUSED, error=error)


class Write:
    """A write of one value.

    Args:
        value: as it is to be; None: nothing is there.
        asked: when it was sent.
        told: when it was known to have taken effect; ``NEVER`` where that is not known.
    """

    __slots__ = ("asked", "is_refused", "told", "value")

    def __init__(self, value: Any, asked: Moment, told: Moment = NEVER) -> None:
        self.value = value
        self.asked = asked
        self.told = told
        self.is_refused = False


class Registers:
    """Values by their names, None for what nobody has written.

    Args:
        clock: of all callers.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._moments = 0
        self._start = self.now()
        self._writes: dict[Any, list[Write]] = {}

    def now(self, *, old_s: float = 0.0) -> Moment:
        """Returns this moment, or one so many seconds ago; no two are the same."""
        self._moments += 1
        return self._clock.monotonic_s() - old_s, 0 if old_s else self._moments

    def begin(self, name: Any, value: Any) -> Write:
        """Notes that a value is about to be written."""
        write = Write(value, self.now())
        self._of(name).append(write)
        return write

    def end(self, write: Write, outcome: str) -> None:
        """Notes what became of a write: ``done``, ``refused`` or ``perhaps``."""
        write.is_refused = outcome == REFUSED
        if outcome == DONE:
            write.told = self.now()

    def check(self, name: Any, asked: Moment, fits: Callable[[Any], bool]) -> None:
        """Fails where a reading cannot be right.

        Args:
            name: what was read.
            asked: when it was asked for, or how old it may be.
            fits: tells whether a value looks like what was found.
        """
        settled = [write.asked for write in self._of(name) if write.told < asked]
        last = max(settled, default=self._start)
        if not any(fits(write.value) and not write.is_refused and write.told >= last for write in self._of(name)):
            known = [(write.value, write.asked, write.told, write.is_refused) for write in self._of(name)]
            raise AssertionError(f"{name} was read by who asked at {asked}, and cannot have been so: {known[-8:]}")

    def check_is(self, name: Any, asked: Moment, value: Any) -> None:
        """Fails where a value cannot have been read by who had asked at a moment."""
        self.check(name, asked, lambda written: bool(written == value))

    def check_ever(self, name: Any, value: Any) -> None:
        """Fails where a value was never written, or was refused by all means: what may be read late."""
        assert any(write.value == value and not write.is_refused for write in self._of(name)), (name, value)

    def _of(self, name: Any) -> list[Write]:
        return self._writes.setdefault(name, [Write(None, self._start, self._start)])
