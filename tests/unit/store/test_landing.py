"""A commit whose outcome is unknown is settled until that is known, or the deadline passes."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest

from tenet.base.clock import NEVER, SystemClock
from tenet.base.ids import SystemIds
from tenet.store.contract import Commit, Committed, Conflict, IsVersion, Key, Outcome, Put, Settled, Unknown
from tenet.store.errors import (
    DeadlineExceeded,
    OutcomeUnknown,
    SettleWindowPassed,
    StoreError,
    StoreFault,
    StoreUnavailable,
)
from tenet.store.landing import land
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState

CLOCK, IDS = SystemClock(), SystemIds()
KEY = Key("things", b"p")


class Doubtful(MemoryEngine):
    """Loses its answers to commits, and fails to settle them as it is told."""

    def __init__(self) -> None:
        super().__init__(MemoryState(), clock=CLOCK, ids=IDS)
        #: What happens to the next commits: whether they take effect before the answer is lost. None behind them: it is
        #: not lost.
        self.lost: deque[bool] = deque()
        #: What the next calls of settle end with.
        self.failures: deque[StoreError] = deque()
        self.commits = 0
        self.settled = 0

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        """Commits, perhaps, and loses the answer, perhaps."""
        self.commits += 1
        if not self.lost:
            return await super().commit(commit, deadline=deadline)
        if self.lost.popleft():
            await super().commit(commit, deadline=deadline)
        return Unknown(commit.id)

    async def settle(self, commit: Commit, *, deadline: float = NEVER) -> Settled:
        """Settles, unless it is to fail."""
        self.settled += 1
        if self.failures:
            raise self.failures.popleft()
        return await super().settle(commit, deadline=deadline)


def landed(store: Doubtful, within_s: float = 30.0) -> Committed | Conflict:
    """What landing a put of an absent record comes to."""

    async def main() -> Committed | Conflict:
        await store.ensure_space("things")
        deadline = CLOCK.monotonic_s() + within_s
        return await land(store, [Put(KEY, b"x")], [IsVersion(KEY, None)], clock=CLOCK, ids=IDS, deadline=deadline)

    return asyncio.run(main())


@pytest.mark.parametrize("took_effect", [True, False])
def test_a_store_that_cannot_settle_for_a_moment_is_asked_again(*, took_effect: bool) -> None:
    store = Doubtful()
    store.lost.append(took_effect)
    store.failures.extend(StoreUnavailable("told so by a test") for _ in range(3))
    assert isinstance(landed(store), Committed)
    assert store.commits == (1 if took_effect else 2)
    assert store.settled == 4


@pytest.mark.parametrize("error", [SettleWindowPassed("long ago"), StoreFault("for good")])
def test_what_does_not_pass_is_not_waited_for(error: StoreError) -> None:
    store = Doubtful()
    store.lost.append(True)
    store.failures.append(error)
    with pytest.raises(OutcomeUnknown, match=error.message):
        landed(store)
    assert store.settled == 1


def test_a_store_that_cannot_settle_is_given_up_at_the_deadline() -> None:
    store = Doubtful()
    store.lost.append(True)
    store.failures.extend(StoreUnavailable("told so by a test") for _ in range(1_000))
    began = CLOCK.monotonic_s()
    with pytest.raises(OutcomeUnknown):
        landed(store, within_s=0.3)
    assert CLOCK.monotonic_s() - began < 5
    assert store.settled > 2


def test_a_settling_that_comes_too_late_is_an_unknown_outcome() -> None:
    store = Doubtful()
    store.lost.append(True)
    store.failures.extend(DeadlineExceeded("late") for _ in range(1_000))
    with pytest.raises(OutcomeUnknown, match="the deadline passed before the store could say whether"):
        landed(store, within_s=0.1)
