"""A thread that does nothing but wake: what it misses, all of the process missed."""

from __future__ import annotations

import threading
from typing import Final

from tenet.base.clock import SystemProcessTime

_WAKES_EVERY_S: Final = 0.25


class Witness:
    """Counts by how much it wakes too late.

    A disk that keeps one thread waiting lets it go on; what stops the process stops it, too.

    Args:
        process: tells how much time passed.
    """

    def __init__(self, process: SystemProcessTime) -> None:
        self._process = process
        self._lock = threading.Lock()
        self._missed_s = 0.0
        self._woke_s = process.passed_s()
        threading.Thread(target=self._go_on, name="witness", daemon=True).start()

    def _go_on(self) -> None:
        never = threading.Event()
        while not never.wait(_WAKES_EVERY_S):
            with self._lock:
                self._missed_s += self._late_s()
                self._woke_s = self._process.passed_s()

    def _late_s(self) -> float:
        return max(0.0, self._process.passed_s() - self._woke_s - _WAKES_EVERY_S)

    def missed_s(self) -> float:
        """Seconds that it was late by in all, and is now."""
        with self._lock:
            return self._missed_s + self._late_s()


_witnesses: list[Witness] = []


class WitnessedProcessTime(SystemProcessTime):
    """The system's figures of this process, with those of the one witness that it has."""

    def __init__(self) -> None:
        super().__init__()
        if not _witnesses:
            _witnesses.append(Witness(SystemProcessTime()))

    def missed_s(self) -> float:
        """Seconds in which no thread of the process did anything."""
        return _witnesses[0].missed_s()
