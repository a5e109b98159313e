"""ListStreams (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_ListStreams.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from tenet.tables.errors import ValidationException
from tenet.tables.ops.catalog import table_name
from tenet.tables.rules.stream_settings import readable, stream_arn
from tenet.tables.rules.stream_shards import parse_arn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Stream, Table

STREAMS_MAX: Final = 100
_TABLES: Final = 200


async def list_streams(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Lists a tenant's streams, or those of one table, by table and age; one round trip per 200 tables.

    Raises:
        ValidationException: more than 100 are asked for, or the ARN to go on behind is none.
    """
    limit = request.get("Limit", STREAMS_MAX)
    if limit > STREAMS_MAX:
        raise ValidationException(
            "One or more parameter values were invalid: Limit cannot be greater than the maximum allowed size: "
            f"{STREAMS_MAX}"
        )
    start = request.get("ExclusiveStartStreamArn")
    after = ("", "")
    if start is not None:
        of_table, label = parse_arn(start)
        after = (table_name(caller.account, of_table), label)
    found: list[dict[str, str]] = []
    answer: dict[str, Any] = {"Streams": found}
    async for table, stream in _streams(context, caller, request.get("TableName"), after[0]):
        if (table.name, stream.label) <= after:
            continue
        if len(found) == limit:
            answer["LastEvaluatedStreamArn"] = found[-1]["StreamArn"]
            break
        arn = stream_arn(table, stream)
        found.append({"StreamArn": arn, "TableName": table.name, "StreamLabel": stream.label})
    return orjson.dumps(answer)


async def _streams(
    context: Context, caller: Caller, name: str | None, first: str
) -> AsyncIterator[tuple[Table, Stream]]:
    """Yields streams in the order of their tables' names and their age, from one table on."""
    now_ms = context.clock.wall_ms()
    if name is not None:
        table = await context.catalog.find(caller.account, name, deadline=caller.deadline)
        tables = [] if table is None else [table]
        more = False
    else:
        tables, more = await context.catalog.tables_from(caller.account, first, limit=_TABLES, deadline=caller.deadline)
    while True:
        for table in tables:
            if table.status != "DELETING":
                for stream in readable(table, now_ms):
                    yield table, stream
        if not more:
            return
        tables, more = await context.catalog.tables_from(
            caller.account, tables[-1].name + "\0", limit=_TABLES, deadline=caller.deadline
        )
