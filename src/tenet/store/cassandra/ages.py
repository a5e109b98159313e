"""How old a commit over several partitions is beside others that it meets, wherever their processes' clocks are.

An age is a hybrid time, and the commit's id where times are equal: one order of all tries of all commits. It stands in
each partition beside the intent. The time is that of the process when the commit began, which is above every time that
the process has met: of partitions, and of commits that held them. So what a process begins after it met a commit is
younger than that one, though its clock be behind.

What a clock that is ahead says of a commit is believed until the commit lets go of what it holds for an older one. Its
time is then no later than just behind that one, and behind what stands in the partition where it met it: whatever is
begun there from then on is younger. So an age changes between tries alone, to older, and never past the oldest one that
went first.
"""

from __future__ import annotations

from typing import Final

from tenet.store.contract import CommitId, commit_id_ms

#: Of a hybrid time, behind its milliseconds; see ``store.versions``.
_COUNTER_BITS: Final = 16


def time_of_id(commit_id: bytes) -> int:
    """Returns the time of a commit whose process tells no other: a former version, which goes by ids alone."""
    return commit_id_ms(CommitId(commit_id)) << _COUNTER_BITS


class Age:
    """The age of a commit.

    Args:
        commit_id: of the commit.
        time: the hybrid time at which it began, by its process.
    """

    __slots__ = ("_commit_id", "_lost_at", "time")

    def __init__(self, commit_id: bytes, time: int) -> None:
        self._commit_id: Final = commit_id
        self._lost_at: int | None = None
        #: What the present try stands under.
        self.time = time

    def is_behind(self, time: int, commit_id: bytes) -> bool:
        """Returns whether a commit that has a partition goes first.

        Args:
            time: what its try stands under.
            commit_id: its id.
        """
        return (time, commit_id) < (self.time, self._commit_id)

    def lost_to(self, time: int, partition_time: int | None) -> None:
        """Notes that the present try lets go for an older commit; the next one has another age.

        Args:
            time: what the other one stands under.
            partition_time: the hybrid time of the last commit in the partition where they met.
        """
        lost_at = max(time, partition_time or 0) + 1
        self._lost_at = lost_at if self._lost_at is None else min(self._lost_at, lost_at)

    def begin_again(self) -> None:
        """Begins another try: nothing is held, and what was lost to others counts from here on."""
        if self._lost_at is not None:
            self.time = min(self.time, self._lost_at)
            self._lost_at = None
