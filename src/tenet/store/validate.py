"""What a request to a store has to keep: the limits of the contract, and what it rules out, as pure functions.

Every engine refuses the same requests with the same words, because it asks here, before it does anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tenet.store.contract import (
    NO_CELLS,
    Add,
    Append,
    Check,
    Commit,
    IsStamp,
    Key,
    Limits,
    LogOptions,
    Put,
    Range,
    SpaceInfo,
    SpaceOptions,
    StampOf,
    Write,
    commit_id_ms,
)
from tenet.store.errors import InvalidRequest, LimitExceeded, SpaceMismatch

_SPACE_NAME: Final = re.compile(r"[a-z][a-z0-9._-]*")
_READER_NAME: Final = re.compile(r"[a-z][a-z0-9._-]{0,119}")
_CELL_MIN: Final = -Limits.cell_max - 1
_ORIGIN_CHARS_MAX: Final = 32
_COMMIT_ID_BYTES: Final = 16
_WINDOW_MS: Final = Limits.settle_window_s * 1000


def check_space_name(name: str) -> None:
    """Refuses what is no name for a space."""
    if len(name) > Limits.space_name_chars_max:
        raise LimitExceeded(f"a space's name has at most {Limits.space_name_chars_max} characters, not {len(name)}")
    if not _SPACE_NAME.fullmatch(name):
        raise InvalidRequest(f"a space's name is of a-z, 0-9 and ._-, a letter first: {name!r} is not")


def check_options(options: SpaceOptions) -> None:
    """Refuses options that no space can have."""
    if not 0 <= options.stamp_prefix_bytes <= Limits.sort_bytes_max:
        raise InvalidRequest(f"stamp_prefix_bytes is 0 to {Limits.sort_bytes_max}, not {options.stamp_prefix_bytes}")
    if options.stamp_prefix_bytes and not options.stamps:
        raise InvalidRequest("stamp_prefix_bytes is for a space with stamps")
    if options.log is not None:
        _check_log_options(options.log)


def _check_log_options(log: LogOptions) -> None:
    if log.shards > Limits.log_shards_max:
        raise LimitExceeded(f"a log has at most {Limits.log_shards_max} shards, not {log.shards}")
    if log.shards < 1:
        raise InvalidRequest(f"a log has at least 1 shard, not {log.shards}")
    if log.retention_ms < 0:
        raise InvalidRequest(f"retention_ms is 0 or more, not {log.retention_ms}")
    if len(set(log.readers)) != len(log.readers) or not all(map(_READER_NAME.fullmatch, log.readers)):
        raise InvalidRequest("a log's readers are different names of a-z, 0-9 and ._-, a letter first")


def check_change(old: SpaceInfo, options: SpaceOptions) -> None:
    """Refuses a change of a space that ``SpaceOptions`` rules out."""
    was = old.options
    if (was.stamps, was.stamp_prefix_bytes) != (options.stamps, options.stamp_prefix_bytes):
        raise SpaceMismatch(f"the space {old.name} exists, and its stamps are fixed for its life")
    if was.log is not None and options.log is not None and was.log.shards != options.log.shards:
        raise SpaceMismatch(
            f"the space {old.name} has a log of {was.log.shards} shards, which are fixed while it exists"
        )


def check_partition(partition: bytes) -> None:
    """Refuses a partition key that is too long."""
    if len(partition) > Limits.partition_bytes_max:
        raise LimitExceeded(f"a partition key has at most {Limits.partition_bytes_max} bytes, not {len(partition)}")


def check_key(key: Key) -> None:
    """Refuses a key that is too long."""
    if len(key.partition) > Limits.partition_bytes_max:
        check_partition(key.partition)
    if len(key.sort) > Limits.sort_bytes_max:
        raise LimitExceeded(f"a sort key has at most {Limits.sort_bytes_max} bytes, not {len(key.sort)}")


def check_range(within: Range) -> None:
    """Refuses a range whose ends are too long. One whose ends are in the wrong order is empty."""
    # The key right after the longest one is an end that somebody may well ask for.
    longest = Limits.sort_bytes_max + 1
    if len(within.lower) > longest or (within.upper is not None and len(within.upper) > longest):
        raise LimitExceeded(f"an end of a range has at most {longest} bytes")


def check_count(name: str, count: int, most: int, *, least: int = 0) -> None:
    """Refuses a number outside of its bounds.

    Args:
        name: what the number is called.
        count: the number.
        most: above it, the request is beyond a limit.
        least: below it, the request makes no sense.
    """
    if count > most:
        raise LimitExceeded(f"{name} is at most {most:,}, not {count:,}")
    if count < least:
        raise InvalidRequest(f"{name} is at least {least}, not {count}")


def check_reads_log(reader: str | None, *, stale: bool) -> None:
    """Refuses a stale read of a log that is to say what its reader has read: such a read changes nothing."""
    if stale and reader is not None:
        raise InvalidRequest(f"a stale read of a log cannot say what the reader {reader} has read")


def check_slices(slice_index: int, slice_count: int) -> None:
    """Refuses a slice that is none of its count."""
    check_count("slice_count", slice_count, Limits.slices_max, least=1)
    if not 0 <= slice_index < slice_count:
        raise InvalidRequest(f"slice_index is 0 to {slice_count - 1}, not {slice_index}")


def check_stamp_of(of: StampOf, options: SpaceOptions) -> None:
    """Refuses the name of a stamp that the space does not keep."""
    if not options.stamps:
        raise InvalidRequest(f"the space {of.space} keeps no stamps")
    if len(of.bucket) > options.stamp_prefix_bytes:
        raise InvalidRequest(f"a bucket of the space {of.space} has at most {options.stamp_prefix_bytes} bytes")
    check_partition(of.partition)


def bucket_of(sort: bytes, options: SpaceOptions) -> bytes:
    """Returns the bucket of its partition that a sort key lies in; empty where the partition has but one."""
    return sort[: options.stamp_prefix_bytes]


def check_commit(commit: Commit, *, partitions_max: int, now_ms: int) -> int:
    """Refuses a commit that is beyond a limit, contradicts itself, or was made too long ago.

    Every commit passes here; the common one, which breaks nothing, is looked at with as little as possible.

    Args:
        commit: the commit.
        partitions_max: how many partitions it may touch.
        now_ms: the wall clock.

    Returns:
        What counts towards ``Limits.commit_bytes_max``: the bytes of keys and values of writes and log entries.
    """
    commit_id, checks, writes, appends = commit.id, commit.checks, commit.writes, commit.appends
    if len(commit_id) != _COMMIT_ID_BYTES:
        raise InvalidRequest(f"a commit id has {_COMMIT_ID_BYTES} bytes, not {len(commit_id)}")
    if now_ms - commit_id_ms(commit_id) > _WINDOW_MS:
        raise InvalidRequest(f"the commit was made more than {Limits.settle_window_s} s ago")
    if len(checks) > Limits.checks_max or len(writes) > Limits.writes_max:
        check_count("the number of checks", len(checks), Limits.checks_max)
        check_count("the number of writes", len(writes), Limits.writes_max)
    for check in checks:
        _check_check(check)
    byte_count = _check_writes(writes)
    if appends:
        check_count("the number of appends", len(appends), Limits.appends_max)
        byte_count += sum(map(_check_append, appends))
    if byte_count > Limits.commit_bytes_max:
        check_count("the bytes of a commit", byte_count, Limits.commit_bytes_max)
    if len(checks) + len(writes) + len(appends) > partitions_max:
        touched = {(place.space, place.partition) for place in _places(commit)}
        check_count("the number of partitions of a commit", len(touched), partitions_max)
    return byte_count


def commit_bytes(commit: Commit) -> int:
    """Returns what counts towards ``Limits.commit_bytes_max``, after looking at every write and append by itself."""
    return _check_writes(commit.writes) + sum(map(_check_append, commit.appends))


def _places(commit: Commit) -> Sequence[Key | StampOf]:
    checked = [check.of if isinstance(check, IsStamp) else check.key for check in commit.checks]
    return [*checked, *(write.key for write in commit.writes), *(append.key for append in commit.appends)]


def _check_check(check: Check) -> None:
    if isinstance(check, IsStamp):
        check_partition(check.of.partition)
    else:
        check_key(check.key)


def _check_writes(writes: Sequence[Write]) -> int:
    """Refuses writes that are too large, and keys and cells that stand in more than one; returns their bytes."""
    byte_count = 0
    for write in writes:
        key = write.key
        byte_count += len(key.partition) + len(key.sort)
        if len(key.partition) > Limits.partition_bytes_max or len(key.sort) > Limits.sort_bytes_max:
            check_key(key)
        if type(write) is Put:
            byte_count += len(write.value)
            if write.cells or len(write.value) > Limits.value_bytes_max:
                _check_put(write)
        elif type(write) is Add:
            _check_add(write)
    if len(writes) > 1 and len({write.key for write in writes}) < len(writes):
        _check_repeated_keys(writes)
    return byte_count


def _check_repeated_keys(writes: Sequence[Write]) -> None:
    """Refuses keys that are written twice, unless each time another cell is added to."""
    written: set[Key] = set()
    added: set[Key] = set()
    cells: set[tuple[Key, str]] = set()
    for write in writes:
        if isinstance(write, Add):
            if (write.key, write.cell) in cells:
                raise InvalidRequest(f"the cell {write.cell!r} of {write.key} is added to twice in one commit")
            cells.add((write.key, write.cell))
            added.add(write.key)
            continue
        if write.key in written:
            raise InvalidRequest(f"{write.key} is put or deleted twice in one commit")
        written.add(write.key)
    if not written.isdisjoint(added):
        both = min(written & added)
        raise InvalidRequest(f"{both} is added to, and put or deleted, in one commit")


def _check_put(write: Put) -> None:
    if len(write.value) > Limits.value_bytes_max:
        raise LimitExceeded(f"a value has at most {Limits.value_bytes_max:,} bytes, not {len(write.value):,}")
    cells: Mapping[str, Any] = write.cells or NO_CELLS
    check_count("the number of cells of a record", len(cells), Limits.cells_max)
    for name, amount in cells.items():
        _check_cell_name(name)
        _check_cell(amount)


def _check_add(add: Add) -> None:
    _check_cell_name(add.cell)
    # A compiled module holds callers to their types by itself; what they are told is what ``_check_cell`` says.
    given: Any = add
    for number in (given.amount, given.at_least, given.at_most):
        if number is not None:
            _check_cell(number)


def _check_cell_name(name: str) -> None:
    if len(name) > Limits.cell_name_chars_max:
        raise LimitExceeded(f"a cell's name has at most {Limits.cell_name_chars_max} characters, not {len(name)}")
    if not name:
        raise InvalidRequest("a cell's name has at least 1 character")


def _check_cell(number: Any) -> None:
    # Whatever is no whole number would be written, and could not be read again.
    if type(number) is not int:
        raise InvalidRequest(f"a number of a cell is whole; {number!r} is none")
    if not _CELL_MIN <= number <= Limits.cell_max:
        raise LimitExceeded(
            f"a number of a cell has 64 bits; {number} is not between {_CELL_MIN} and {Limits.cell_max}"
        )


def _check_append(append: Append) -> int:
    """Refuses a log entry that is too large; returns its bytes."""
    check_key(append.key)
    if not 1 <= len(append.origin) <= _ORIGIN_CHARS_MAX:
        raise InvalidRequest(f"an origin has 1 to {_ORIGIN_CHARS_MAX} characters, not {len(append.origin)}")
    byte_count = len(append.key.partition) + len(append.key.sort)
    for value in (append.old, append.new):
        if value is not None:
            if len(value) > Limits.value_bytes_max:
                raise LimitExceeded(
                    f"a log entry's value has at most {Limits.value_bytes_max:,} bytes, not {len(value):,}"
                )
            byte_count += len(value)
    return byte_count
