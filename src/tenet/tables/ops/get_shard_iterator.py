"""GetShardIterator (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetShardIterator.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from tenet.store.errors import LogTrimmed
from tenet.tables.errors import TrimmedDataAccessException, ValidationException
from tenet.tables.ops.stream_reading import find_stream, stand_of
from tenet.tables.rules.stream_shards import (
    TIME_MS_MAX,
    Iterator,
    encode_iterator,
    end_of,
    position_of,
    shard_of,
    start_of,
)

if TYPE_CHECKING:
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Stream, Table

TRIMMED: Final = "The data you are trying to access has been trimmed"
_INVALID: Final = "One or more parameter values were invalid: "
_BY_NUMBER: Final = frozenset({"AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"})


async def get_shard_iterator(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Returns an iterator at a place in a shard; one round trip, two where the table is not cached.

    Raises:
        ValidationException: a parameter is missing, or does not go with the type of iterator.
        ResourceNotFoundException: there is no such stream, or no such shard.
        AccessDeniedException: it is another tenant's.
        TrimmedDataAccessException: the record that a sequence number names is older than 24 hours, and gone.
    """
    kind = request["ShardIteratorType"]
    _check(kind, request)
    arn = request["StreamArn"]
    _, stream = found = await find_stream(context, caller, arn)
    shard = shard_of(stream, request["ShardId"])
    number = request.get("SequenceNumber")
    if number is None:
        after = await _end_of_log(context, caller, found, shard, is_latest=kind == "LATEST")
    else:
        position = position_of(stream, shard, number)
        after = max(start_of(stream, shard), position if kind == "AFTER_SEQUENCE_NUMBER" else position - 1)
        await _check_is_kept(context, caller, found[0], shard, after)
    now_ms = context.clock.wall_ms()
    since_ms = int(min(max(0, request["Timestamp"] * 1_000), TIME_MS_MAX)) if kind == "AT_TIMESTAMP" else 0
    iterator = Iterator(arn, shard, after, now_ms, since_ms)
    return orjson.dumps({"ShardIterator": encode_iterator(iterator)})


def _check(kind: str, request: dict[str, Any]) -> None:
    """Checks that a sequence number or a time stands there for the types that take one, and for no other."""
    for name, takes in (("SequenceNumber", kind in _BY_NUMBER), ("Timestamp", kind == "AT_TIMESTAMP")):
        if takes and request.get(name) is None:
            raise ValidationException(f"{_INVALID}Invalid {name}")
        if not takes and request.get(name) is not None:
            raise ValidationException(f"{_INVALID}{name} should not be passed for this iterator type")


async def _end_of_log(
    context: Context, caller: Caller, found: tuple[Table, Stream], shard: int, *, is_latest: bool
) -> int:
    """Returns the last position before the oldest record of a shard, or before the next one to come."""
    table, stream = found
    end = end_of(stream, shard)
    if is_latest and end is not None:
        return end
    stand = await stand_of(context.store, table, shard, deadline=caller.deadline)
    if is_latest:
        return stand.closed
    oldest = max(start_of(stream, shard), stand.first - 1)
    return oldest if end is None else min(oldest, end)


async def _check_is_kept(context: Context, caller: Caller, table: Table, shard: int, after: int) -> None:
    try:
        await context.store.read_log(table.space, shard, after=after, limit=1, deadline=caller.deadline)
    except LogTrimmed:
        raise TrimmedDataAccessException(TRIMMED) from None
