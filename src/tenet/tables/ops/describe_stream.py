"""DescribeStream (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_DescribeStream.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from tenet.tables.errors import ValidationException
from tenet.tables.ops.stream_reading import find_stream
from tenet.tables.rules.description import key_schema
from tenet.tables.rules.stream_settings import status_of
from tenet.tables.rules.stream_shards import number_of, sequence_number, shard_id
from tenet.tables.rules.stream_splits import parent_of, shards_of

if TYPE_CHECKING:
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Stream, Table
    from tenet.tables.rules.stream_splits import Shard

SHARDS_MAX: Final = 100
_INVALID: Final = "One or more parameter values were invalid: "


async def describe_stream(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Describes a stream and its shards; one round trip.

    Raises:
        ValidationException: a parameter breaks a rule.
        ResourceNotFoundException: there is no such stream, or no such shard to go on behind.
        AccessDeniedException: it is another tenant's.
    """
    limit = request.get("Limit", SHARDS_MAX)
    if limit > SHARDS_MAX:
        raise ValidationException(f"{_INVALID}Limit cannot be greater than the maximum: {SHARDS_MAX}")
    wanted = request.get("ShardFilter")
    if wanted is not None and ("Type" not in wanted or "ShardId" not in wanted):
        raise ValidationException(f"{_INVALID}ShardFilter must have Type and ShardId")
    arn = request["StreamArn"]
    table, stream = await find_stream(context, caller, arn, fresh=True)
    shards = shards_of(stream, context.clock.wall_ms())
    if wanted is not None:
        # One that does not exist has no children either; one that is not kept any more may have.
        shards = [shard for shard in shards if _parent_id(stream, shard) == wanted["ShardId"]]
    start = request.get("ExclusiveStartShardId")
    if start is not None:
        after = number_of(stream, start)
        shards = [shard for shard in shards if shard.number > after]
    described = _described(table, stream, arn)
    described["Shards"] = [_shard(stream, shard) for shard in shards[:limit]]
    if len(shards) > limit:
        described["LastEvaluatedShardId"] = shard_id(stream, shards[limit - 1].number)
    return orjson.dumps({"StreamDescription": described})


def _described(table: Table, stream: Stream, arn: str) -> dict[str, Any]:
    return {
        "StreamArn": arn,
        "StreamLabel": stream.label,
        "StreamStatus": status_of(table, stream),
        "StreamViewType": stream.view,
        "CreationRequestDateTime": stream.created_ms / 1000,
        "TableName": table.name,
        "KeySchema": key_schema(table.keys),
    }


def _shard(stream: Stream, shard: Shard) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": sequence_number(shard.log, shard.start + 1)}
    if shard.end is not None:
        # A shard without records ends where it began, and not before.
        numbers["EndingSequenceNumber"] = sequence_number(shard.log, max(shard.end, shard.start + 1))
    described: dict[str, Any] = {"ShardId": shard_id(stream, shard.number), "SequenceNumberRange": numbers}
    parent = _parent_id(stream, shard)
    if parent is not None:
        described["ParentShardId"] = parent
    return described


def _parent_id(stream: Stream, shard: Shard) -> str | None:
    """Returns the name of a shard's parent, also where that is not kept any more; None where it has none."""
    parent = parent_of(shard.number)
    return None if parent is None else shard_id(stream, parent)
