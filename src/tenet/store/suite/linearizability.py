"""Looks for an order of overlapping calls that explains every answer: strict serializability of small histories.

The search is that of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with Lowe's memory of what was
tried ("Testing for linearizability", 2017): a call may come next if no call that has not come yet ended before it was
begun, and a set of calls that led to a state once need not be tried again.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from tenet.store.suite.model import Observation, State


class Call(Struct, frozen=True):
    """A call as its caller saw it.

    Args:
        begun: when it was made, by a counter of events.
        ended: when it was answered, by the same counter.
        saw: what it was, and what was answered.
    """

    begun: int
    ended: int
    saw: Observation


def find_order(calls: Sequence[Call], start: State) -> list[int] | None:
    """Returns an order of the calls, as indexes, in which every answer is right; None where there is none."""
    return _Search(calls, start).run()


class _Search:
    """A depth-first search with its own stack, so that long histories need no deep recursion."""

    def __init__(self, calls: Sequence[Call], start: State) -> None:
        self._calls = calls
        self._start = start
        self._all = (1 << len(calls)) - 1
        self._tried: set[tuple[int, str]] = set()

    def run(self) -> list[int] | None:
        order: list[int] = []
        stack = [(self._start, self._may_come_next(0))]
        done = 0
        while done != self._all:
            state, choices = stack[-1]
            step = self._step(state, choices, done)
            if step is not None:
                index, after = step
                done |= 1 << index
                order.append(index)
                stack.append((after, self._may_come_next(done)))
            else:
                stack.pop()
                if not stack:
                    return None
                done &= ~(1 << order.pop())
        return order

    def _step(self, state: State, choices: list[int], done: int) -> tuple[int, State] | None:
        while choices:
            index = choices.pop()
            after = self._calls[index].saw.explain(state)
            if after is None:
                continue
            reached = (done | 1 << index, after.fingerprint())
            if reached not in self._tried:
                self._tried.add(reached)
                return index, after
        return None

    def _may_come_next(self, done: int) -> list[int]:
        waiting = [index for index in range(len(self._calls)) if not done >> index & 1]
        first_end = min((self._calls[index].ended for index in waiting), default=0)
        may = [index for index in waiting if self._calls[index].begun < first_end]
        # The one that was answered first is tried first: most histories are in that order.
        return sorted(may, key=lambda index: -self._calls[index].ended)
