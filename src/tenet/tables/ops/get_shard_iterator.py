"""GetShardIterator (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetShardIterator.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from tenet.store.errors import LogTrimmed
from tenet.tables.errors import TrimmedDataAccessException, ValidationException
from tenet.tables.ops.stream_reading import find_shard, find_stream, stand_of
from tenet.tables.rules.stream_shards import TIME_MS_MAX, Iterator, encode_iterator, no_shard, number_of, position_of
from tenet.tables.rules.stream_splits import is_kept

if TYPE_CHECKING:
    from tenet.tables.context import Caller, Context
    from tenet.tables.ops.stream_reading import Found

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
    _, stream = await find_stream(context, caller, arn)
    shard = number_of(stream, request["ShardId"])
    found = await find_shard(context, caller, arn, shard)
    if not is_kept(found.shard, context.clock.wall_ms()):
        raise no_shard()
    number = request.get("SequenceNumber")
    if number is None:
        after = await _end_of_log(context, caller, found, is_latest=kind == "LATEST")
    else:
        position = position_of(found.shard, number)
        after = max(found.shard.start, position if kind == "AFTER_SEQUENCE_NUMBER" else position - 1)
        await _check_is_kept(context, caller, found, after)
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


async def _end_of_log(context: Context, caller: Caller, found: Found, *, is_latest: bool) -> int:
    """Returns the last position before the oldest record of a shard, or before the next one to come.

    Of a shard that is split meanwhile the latest position may lie behind its end: there is nothing more in it then.
    """
    shard = found.shard
    if is_latest and shard.end is not None:
        return shard.end
    stand = await stand_of(context.store, found.table, shard.log, deadline=caller.deadline)
    if is_latest:
        return stand.closed
    oldest = max(shard.start, stand.first - 1)
    return oldest if shard.end is None else min(oldest, shard.end)


async def _check_is_kept(context: Context, caller: Caller, found: Found, after: int) -> None:
    try:
        await context.store.read_log(found.table.space, found.shard.log, after=after, limit=1, deadline=caller.deadline)
    except LogTrimmed:
        raise TrimmedDataAccessException(TRIMMED) from None
