"""A start that the store was too slow for is tried again, a few times, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tenet.app.starting import StoreTooSlow, tried_again
from tenet.base.clock import ManualClock
from tenet.base.errors import TenetError
from tenet.store.errors import DeadlineExceeded, OutcomeUnknown, StoreSlow, StoreUnavailable
from tests.sim.harness import SimulatedLoop


def begun_at(failures: Sequence[TenetError]) -> list[float]:
    """Returns when a start was tried whose first tries fail, in seconds."""
    clock, left, tried_s = ManualClock(), list(failures), list[float]()
    began_s = clock.monotonic_s()

    async def begin() -> None:
        tried_s.append(clock.monotonic_s() - began_s)
        if left:
            raise left.pop(0)

    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(clock)) as runner:
        runner.run(tried_again(begin))
    return tried_s


def test_a_start_is_tried_again_where_the_store_was_too_slow() -> None:
    assert begun_at([]) == [0]
    assert begun_at([OutcomeUnknown("who knows"), DeadlineExceeded("late")]) == pytest.approx([0, 1, 3])
    assert begun_at([StoreSlow("too few nodes answered in time")]) == pytest.approx([0, 1])


def test_a_store_that_stays_too_slow_is_said_to_be_with_what_to_do() -> None:
    with pytest.raises(StoreTooSlow, match=r"4 times in a row \(late\)\. Start again when it has less to do; nothing"):
        begun_at([DeadlineExceeded("late")] * 4)
    assert begun_at([DeadlineExceeded("late")] * 3) == pytest.approx([0, 1, 3, 7])


def test_what_another_try_would_not_mend_is_said_at_once() -> None:
    refused = StoreUnavailable("no host answers")
    with pytest.raises(StoreUnavailable) as caught:
        begun_at([refused])
    assert caught.value is refused
