"""Gives the cluster processors of its own, as it has where it runs on machines of its own.

Linux alone lets a program say where threads of others run (https://man7.org/linux/man-pages/man2/sched_setaffinity.2.html).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


def is_possible() -> bool:
    """Whether this system can do it, and has processors to divide."""
    return hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1


@contextmanager
def apart(store_pids: Sequence[int], client_pids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Divides the processors for the length of a block.

    Args:
        store_pids: get the first half, rounded down.
        client_pids: get the others, with this process and whatever it starts meanwhile.

    Yields:
        How many processors the store has, and how many all others.
    """
    everything = sorted(os.sched_getaffinity(0))
    half = len(everything) // 2
    store, others = set(everything[:half]), set(everything[half:])
    here = os.getpid()
    for pids, processors in ((store_pids, store), ((*client_pids, here), others)):
        for pid in pids:
            _confine(pid, processors)
    try:
        yield len(store), len(others)
    finally:
        for pid in (*store_pids, *client_pids, here):
            _confine(pid, set(everything))


def _confine(pid: int, processors: set[int]) -> None:
    """Lets all threads of a process run on these processors alone; threads that they start inherit that."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):  # It has ended meanwhile.
            os.sched_setaffinity(int(task.name), processors)
