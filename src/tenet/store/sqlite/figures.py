"""Counts what the writer does, for its operator."""

from __future__ import annotations

from collections import deque
from typing import Final

from tenet.store.errors import StoreCorrupt

_SAMPLES: Final = 512


class Figures:
    """What happened since the engine was opened."""

    def __init__(self) -> None:
        self.transactions = 0
        self.jobs = 0
        self.failed_transactions = 0
        self.last_failure = ""
        #: Why the disk took nothing of the last transaction that wrote; empty where that went through.
        self.write_refusal = ""
        #: What was found to be damaged, ever.
        self.damage = ""
        self.largest_group = 0
        #: How many pages the write-ahead log holds.
        self.wal_pages = 0
        self._sync_s: deque[float] = deque(maxlen=_SAMPLES)

    def note_transaction(self, jobs: int, elapsed_s: float) -> None:
        """Counts a transaction that became durable.

        Args:
            jobs: how many jobs shared it.
            elapsed_s: how long its COMMIT took, seconds.
        """
        self.transactions += 1
        self.write_refusal = ""
        self.jobs += jobs
        self.largest_group = max(self.largest_group, jobs)
        self._sync_s.append(elapsed_s)

    def note_failure(self, error: Exception) -> None:
        """Counts a transaction, or a piece of upkeep, that failed."""
        self.failed_transactions += 1
        self.last_failure = str(error)
        if isinstance(error, StoreCorrupt):
            self.damage = str(error)

    def note_refusal(self, error: Exception) -> None:
        """Counts a transaction that the disk did not take; the next one will fare no better, until one goes through."""
        self.note_failure(error)
        self.write_refusal = str(error)

    def sync_ms(self, share: float) -> float:
        """Returns how long COMMIT took lately, milliseconds.

        Args:
            share: which of the sorted times, 0 to 1; 0.5 is the median.
        """
        times = sorted(self._sync_s)
        return round(times[min(len(times) - 1, int(len(times) * share))] * 1000, 3) if times else 0.0
