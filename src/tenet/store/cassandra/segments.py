"""Segments: the log of a shard is cut into pieces of ``SEGMENT`` positions, each a partition of its own."""

from __future__ import annotations

from typing import Final

SEGMENT: Final = 8_192
#: Stands among the readers of a shard, none of whom has such a name: up to where segments were dropped.
SEGMENTS_DROPPED: Final = "!dropped"


def segment_of(position: int) -> int:
    """Returns the number of the segment that a position lies in."""
    return position // SEGMENT


def first_of(segment: int) -> int:
    """Returns the first position of a segment; there is none below 1."""
    return max(1, segment * SEGMENT)


def last_of(segment: int) -> int:
    """Returns the last position of a segment."""
    return (segment + 1) * SEGMENT - 1


def following(segment: int, column: int | None) -> int:
    """Returns the next position that a segment gives, from its column ``nx``."""
    return first_of(segment) if column is None else column


def segments_gone(before: int, now: int) -> range:
    """Returns the segments below that of the last position that is gone now, and were not before.

    A segment that is gone to its last position stays until one of the next is: it may be the newest, which says where
    the positions go on.
    """
    return range(segment_of(before), segment_of(now))
