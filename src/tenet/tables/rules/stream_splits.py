"""The shards of a stream: which ones there are, what of the log each one is, and when one is due to be split in two.

A stream begins with a shard for each shard of its table's log. A split at a position ends a shard there and gives it
two children behind that position, for half of its partition keys each, by their token (``store.contract.log_shard``).
So a shard is what has a token in a part of the ring, in a shard of the log, from a position to a position. Its number
says which part, and who its parent is: numbers are those of the nodes of a binary tree under each shard of the log,
level by level, so that parents have lower numbers than their children.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from tenet.store.contract import commit_id_ms, log_shard
from tenet.tables.model import Split
from tenet.tables.rules.index_log import LOG_SHARDS, RETENTION_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.store.contract import LogEntry
    from tenet.tables.model import Stream

#: How often the shards of a log shard split at the most, one within another. Reading a shard costs reading its log
#: shard; so four readers that share one at the most cause four times the reads.
DEPTH_MAX: Final = 2
#: More than any number of a shard.
NUMBERS: Final = LOG_SHARDS * (2 ** (DEPTH_MAX + 1) - 1)


class Shard(Struct, frozen=True):
    """A shard of a stream.

    Args:
        number: names it in the stream.
        start: the last position of its log shard before it.
        end: its last position; None where it goes on.
        held: of a shard that is being split, a position behind which nothing may be handed out now; else None.
        closed_ms: when it was split, milliseconds since 1970; 0 where it was not.
    """

    number: int
    start: int
    end: int | None = None
    held: int | None = None
    closed_ms: int = 0

    @property
    def depth(self) -> int:
        """How many splits lie above it."""
        return depth_of(self.number)

    @property
    def part(self) -> int:
        """Which part it is of as many as there are at its depth; in the order of tokens."""
        return part_of(self.number)

    @property
    def log(self) -> int:
        """The shard of the log that its records lie in."""
        return log_of(self.number)

    @property
    def is_open(self) -> bool:
        """Whether whatever comes next may be handed out, as far as this description knows."""
        return self.end is None and self.held is None

    def holds(self, partition: bytes) -> bool:
        """Whether the records of a partition of its log shard are its own."""
        return log_shard(partition, LOG_SHARDS << self.depth) == self.part


def depth_of(number: int) -> int:
    """Returns how many splits lie above a shard."""
    return (number // LOG_SHARDS + 1).bit_length() - 1


def part_of(number: int) -> int:
    """Returns which part a shard is of as many as there are at its depth."""
    return number - LOG_SHARDS * ((1 << depth_of(number)) - 1)


def log_of(number: int) -> int:
    """Returns the shard of the log that the records of a shard lie in."""
    return part_of(number) >> depth_of(number)


def _number(depth: int, part: int) -> int:
    return LOG_SHARDS * ((1 << depth) - 1) + part


def parent_of(number: int) -> int | None:
    """Returns the number of the shard that a shard was split from; None for those that a stream begins with."""
    depth = depth_of(number)
    return _number(depth - 1, part_of(number) >> 1) if depth else None


def shard_numbered(stream: Stream, number: int) -> Shard | None:
    """Returns a shard of a stream, or None where it has none of that number."""
    if stream.status == "ENABLING" or not 0 <= number < NUMBERS:
        # Where a stream begins is known when it is on.
        return None
    split = None
    if not stream.splits:
        if number >= LOG_SHARDS:
            return None
        start = stream.starts[number] if stream.starts else 0
    else:
        found = _start(stream, number)
        if found is None:
            return None
        start, split = found, _split_of(stream, number)
    end = stream.ends[log_of(number)] if stream.ends else None
    if split is None:
        return Shard(number, start, end)
    return Shard(number, start, end if split.end is None else split.end, split.held, split.at_ms)


def _start(stream: Stream, number: int) -> int | None:
    """Returns the last position before a shard; None where there is no such shard."""
    parent = parent_of(number)
    if parent is None:
        return stream.starts[number] if stream.starts else 0
    split = _split_of(stream, parent)
    return None if split is None else split.end


def _split_of(stream: Stream, number: int) -> Split | None:
    return next((split for split in stream.splits if split.shard == number), None)


def shards_of(stream: Stream, now_ms: int) -> list[Shard]:
    """Returns the shards of a stream, parents before children; without those all of whose records are too old.

    Args:
        stream: the stream.
        now_ms: the time, milliseconds since 1970.
    """
    every = (shard_numbered(stream, number) for number in range(NUMBERS if stream.splits else LOG_SHARDS))
    return [shard for shard in every if shard is not None and is_kept(shard, now_ms)]


def is_kept(shard: Shard, now_ms: int) -> bool:
    """Whether a shard may have records that are not too old."""
    return not shard.closed_ms or now_ms - shard.closed_ms < RETENTION_MS


# ---- splitting -------------------------------------------------------------------------------------------------------


def begun(stream: Stream, number: int, *, held: int) -> Stream:
    """Returns a stream one of whose shards is being split.

    Args:
        stream: as it is.
        number: of the shard.
        held: where its log ended a moment ago.

    Returns:
        The same where the shard cannot be split: it is not on, has ended, is being split or lies too deep.
    """
    shard = shard_numbered(stream, number)
    if stream.status != "ENABLED" or shard is None or not shard.is_open or shard.depth >= DEPTH_MAX:
        return stream
    return msgspec.structs.replace(stream, splits=(*stream.splits, Split(number, max(held, shard.start))))


def ended(stream: Stream, number: int, *, end: int, now_ms: int) -> Stream:
    """Returns a stream one of whose shards has been split.

    Args:
        stream: as it is.
        number: of the shard.
        end: a position up to which, and no further, the shard may have been handed out.
        now_ms: the time, milliseconds since 1970.

    Returns:
        The same where the shard is not being split, or the stream has ended.
    """
    if stream.status != "ENABLED":
        return stream
    splits = tuple(
        Split(split.shard, split.held, max(end, split.held), now_ms)
        if split.shard == number and split.end is None
        else split
        for split in stream.splits
    )
    return stream if splits == stream.splits else msgspec.structs.replace(stream, splits=splits)


def unfinished(stream: Stream) -> tuple[int, ...]:
    """Returns the numbers of the shards that are being split."""
    return tuple(split.shard for split in stream.splits if split.end is None)


def busy(stream: Stream, log: int, entries: Sequence[LogEntry], *, seconds: float, rate_per_s: float) -> frozenset[int]:
    """Returns the numbers of the shards that have so many records that they had better be split.

    A shard whose records would all be those of one of its children is none of them: it is as busy when it is split.

    Args:
        stream: a stream that is on.
        log: a shard of its log.
        entries: what came last in it, in its order.
        seconds: within how long they came; more than 0.
        rate_per_s: so many records a second are too many for one shard.
    """
    found: set[int] = set()
    for shard in shards_of(stream, 0):
        if shard.log != log or not shard.is_open or shard.depth >= DEPTH_MAX:
            continue
        parts = LOG_SHARDS << (shard.depth + 1)
        mine = [log_shard(one.partition, parts) for one in entries if shard.holds(one.partition)]
        if len(mine) >= rate_per_s * seconds and len(set(mine)) > 1:
            found.add(shard.number)
    return frozenset(found)


def seconds_of(entries: Sequence[LogEntry], *, elapsed_s: float, is_all: bool) -> float:
    """Returns within how long entries came that were read from a position of the log on.

    Args:
        entries: in their order; at least one where they are not all.
        elapsed_s: since that position was the end of the log.
        is_all: whether they are all that came since.

    Returns:
        At least a millisecond, in seconds.
    """
    if is_all:
        return max(elapsed_s, 0.001)
    times = [commit_id_ms(entry.commit_id) for entry in entries]
    return max(1, max(times) - min(times)) / 1_000
