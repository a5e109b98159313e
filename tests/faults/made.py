"""Histories written by hand, for tests of the checkers."""

from __future__ import annotations

import itertools
from typing import Any

from tests.faults.history import Attempt, Fate, Operation, Outcome

MS = 1_000_000


class History:
    """Collects operations; times are milliseconds, and a client of its own asks each operation unless one is named.

    Args:
        workload: what they belong to.
    """

    def __init__(self, workload: str) -> None:
        self._workload = workload
        self._numbers = itertools.count()
        self._operations: list[Operation] = []

    @property
    def operations(self) -> list[Operation]:
        """What was collected, by begin."""
        return sorted(self._operations, key=lambda one: one.begin_ns)

    def add(
        self,
        begin_ms: float,
        end_ms: float,
        kind: str,
        outcome: Outcome = "ok",
        *,
        earlier: tuple[tuple[float, float, Fate], ...] = (),
        error: str = "",
        client: int | None = None,
        **more: Any,
    ) -> None:
        """Adds an operation whose last attempt took all of its time behind `earlier` ones: begin, end, fate."""
        number = next(self._numbers)
        fate: Fate = {"ok": "ok", "fail": "refused", "info": "unknown"}[outcome]  # type: ignore[assignment]  # - a dict of literals is one of str
        last_begin_ms = earlier[-1][1] if earlier else begin_ms
        attempts = [Attempt(int(begin * MS), int(end * MS), of, "Lost") for begin, end, of in earlier]
        attempts.append(Attempt(int(last_begin_ms * MS), int(end_ms * MS), fate, error))
        self._operations.append(
            Operation(
                self._workload,
                kind,
                number if client is None else client,
                number,
                outcome,
                int(begin_ms * MS),
                int(end_ms * MS),
                tuple(attempts),
                error=error,
                **more,
            )
        )


def transactions(*rows: tuple[Any, ...]) -> list[Operation]:
    """A history of lists: begin, end, outcome, and moves as ``"append x 1 2"`` or ``"read x 1 2"``."""
    history = History("lists")
    for begin, end, outcome, *moves in rows:
        parsed = [_move(move) for move in moves]
        asked = [(kind, key, None if kind == "read" else values) for kind, key, values in parsed]
        got = parsed if outcome == "ok" else None
        history.add(begin, end, "transaction", outcome, asked=asked, got=got)
    return history.operations


def _move(text: str) -> tuple[str, str, list[int]]:
    kind, key, *values = text.split()
    return kind, key, [int(value) for value in values]
