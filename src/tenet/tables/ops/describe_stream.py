"""DescribeStream (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_DescribeStream.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from tenet.tables.errors import ValidationException
from tenet.tables.ops.stream_reading import find_stream
from tenet.tables.rules.description import key_schema
from tenet.tables.rules.index_log import LOG_SHARDS
from tenet.tables.rules.stream_settings import status_of
from tenet.tables.rules.stream_shards import end_of, sequence_number, shard_id, shard_of, start_of

if TYPE_CHECKING:
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Stream, Table

SHARDS_MAX: Final = 100
_INVALID: Final = "One or more parameter values were invalid: "


async def describe_stream(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Describes a stream and its shards; one round trip.

    Raises:
        ValidationException: a parameter breaks a rule.
        ResourceNotFoundException: there is no such stream, or no such shard.
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
    start = request.get("ExclusiveStartShardId")
    shards = range(0 if stream.status == "ENABLING" else LOG_SHARDS)
    if wanted is not None:
        # A shard of the log neither splits nor ends before its stream does.
        shard_of(stream, wanted["ShardId"])
        shards = range(0)
    if start is not None:
        shards = range(min(shard_of(stream, start) + 1, len(shards)), len(shards))
    described = _described(table, stream, arn)
    described["Shards"] = [_shard(stream, shard) for shard in shards[:limit]]
    if len(shards) > limit:
        described["LastEvaluatedShardId"] = shard_id(stream, shards[limit - 1])
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


def _shard(stream: Stream, shard: int) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": sequence_number(shard, start_of(stream, shard) + 1)}
    end = end_of(stream, shard)
    if end is not None:
        numbers["EndingSequenceNumber"] = sequence_number(shard, end)
    return {"ShardId": shard_id(stream, shard), "SequenceNumberRange": numbers}
