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
    """Lists a tenant's streams, or those of one table, by table and age.

    Two round trips for as many tables as streams are wanted; where many of them have none, two more for twice as many,
    and so on up to 200.

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
    # One more says whether there are more, and the one to go on behind is read again.
    async for table, stream in _streams(context, caller, request.get("TableName"), after[0], limit + 2):
        if (table.name, stream.label) <= after:
            continue
        if len(found) == limit:
            answer["LastEvaluatedStreamArn"] = found[-1]["StreamArn"]
            break
        arn = stream_arn(table, stream)
        found.append({"StreamArn": arn, "TableName": table.name, "StreamLabel": stream.label})
    return orjson.dumps(answer)


async def _streams(
    context: Context, caller: Caller, name: str | None, first: str, wanted: int
) -> AsyncIterator[tuple[Table, Stream]]:
    """Yields streams in the order of their tables' names and their age, from one table on."""
    now_ms = context.clock.wall_ms()
    async for table in _tables(context, caller, name, first, wanted):
        for stream in readable(table, now_ms):
            yield table, stream


async def _tables(context: Context, caller: Caller, name: str | None, first: str, wanted: int) -> AsyncIterator[Table]:
    """Yields tables by name and age, those among them that were deleted and whose streams can still be read."""
    catalog, departed = context.catalog, context.departed
    if name is not None:
        found = await catalog.find(caller.account, name, deadline=caller.deadline)
        # Behind the other look: a table that is deleted meanwhile is seen here.
        for table in _by_age(await departed.named(caller.account, name, deadline=caller.deadline), found):
            yield table
        return
    limit = min(wanted, _TABLES)
    following: str | None = first
    while following is not None:
        first = following
        tables, more = await catalog.tables_from(caller.account, first, limit=limit, deadline=caller.deadline)
        gone, more_gone = await departed.tables_from(caller.account, first, limit=limit, deadline=caller.deadline)
        if more_gone and gone[0].name == gone[-1].name:
            gone = await departed.named(caller.account, gone[0].name, deadline=caller.deadline)
            ends = [gone[-1].name + "\0"]
        else:
            # Of the last name there may be more.
            ends = [gone[-1].name] if more_gone else []
        following = min([*ends, tables[-1].name + "\0"] if more else ends, default=None)
        for table in _by_age(gone, *tables):
            if following is None or table.name < following:
                yield table
        # Most tables may have no stream.
        limit = min(2 * limit, _TABLES)


def _by_age(departed: list[Table], *tables: Table | None) -> list[Table]:
    """Returns tables by name and age; one that was seen before and behind its end is there once."""
    found = {table.id: table for table in (*tables, *departed) if table is not None}
    return sorted(found.values(), key=lambda table: (table.name, table.created_ms))
