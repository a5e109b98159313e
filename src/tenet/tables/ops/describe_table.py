"""DescribeTable (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTable.html)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import orjson

from tenet.store.errors import SpaceNotFound
from tenet.tables.ops.indexing.behind import behind_ms
from tenet.tables.rules.description import describe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenet.tables.context import Caller, Context
    from tenet.tables.rules.description import Count


async def describe_table(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Describes a table as it is in the store; one round trip and what the counts cost.

    Where global indexes are kept from the log, three more to say whether they are behind.

    Raises:
        ResourceNotFoundException: there is none of that name.
    """
    table = await context.catalog.describe(caller.account, request["TableName"], deadline=caller.deadline)
    counts: Mapping[str, Count] = {}
    lag_ms = 0
    if table.status in {"ACTIVE", "UPDATING"}:
        with contextlib.suppress(SpaceNotFound):
            counts = await context.counts.of(table, deadline=caller.deadline)
            if context.is_logging and table.global_indexes:
                lag_ms = await behind_ms(context.store, table, now_ms=context.clock.wall_ms(), deadline=caller.deadline)
    caller.notes["table"] = table.name
    return orjson.dumps({"Table": describe(table, counts, context.clock.wall_ms(), lag_ms=lag_ms)})
