"""Counts what the engine does, for its operator."""

from __future__ import annotations

from collections import deque
from typing import Final

_SAMPLES: Final = 512


class Figures:
    """What happened since the engine was opened."""

    def __init__(self) -> None:
        self.transactions = 0
        self.jobs = 0
        self.failed_transactions = 0
        self.largest_group = 0
        self._sync_s: deque[float] = deque(maxlen=_SAMPLES)

    def note_commit(self, jobs: int, elapsed_s: float) -> None:
        """Counts a transaction that became durable.

        Args:
            jobs: how many jobs shared it.
            elapsed_s: how long its COMMIT took, seconds.
        """
        self.transactions += 1
        self.jobs += jobs
        self.largest_group = max(self.largest_group, jobs)
        self._sync_s.append(elapsed_s)

    def sync_ms(self, share: float) -> float:
        """Returns how long COMMIT took lately, milliseconds, at this share (0 to 1) of the sorted times."""
        times = sorted(self._sync_s)
        return round(times[min(len(times) - 1, int(len(times) * share))] * 1000, 3) if times else 0.0
