"""UpdateTimeToLive and DescribeTimeToLive; what expires is removed in the background (``ops.expiring``).

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTimeToLive.html
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTimeToLive.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from tenet.tables.ops.catalog import not_found, table_name
from tenet.tables.rules import time_to_live

if TYPE_CHECKING:
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Table


async def update_time_to_live(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Switches expiry of a table's items on or off; two round trips.

    Raises:
        ResourceNotFoundException: there is no table of that name.
        ResourceInUseException: it is being created or deleted.
        ValidationException: it is so already, is on for another attribute, or was changed within the last hour.
    """
    name = table_name(caller.account, request["TableName"])
    wanted = request["TimeToLiveSpecification"]
    now_ms = context.clock.wall_ms()

    def decide(table: Table | None) -> Table:
        if table is None:
            raise not_found(name)
        time_to_live.check_changeable(table)
        changed = time_to_live.changed(table.time_to_live, wanted, now_ms=now_ms, until_ms=context.lifecycle.until_ms())
        return msgspec.structs.replace(table, time_to_live=changed)

    await context.catalog.change(caller.account, name, decide, deadline=caller.deadline)
    caller.notes["table"] = name
    context.expiring.look_again()
    return orjson.dumps({"TimeToLiveSpecification": wanted})


async def describe_time_to_live(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Says whether items of the table expire, and by which attribute; one round trip.

    Raises:
        ResourceNotFoundException: there is no table of that name.
        ValidationException: it is being created or deleted.
    """
    table = await context.catalog.describe(caller.account, request["TableName"], deadline=caller.deadline)
    caller.notes["table"] = table.name
    time_to_live.check_describable(table)
    described = time_to_live.describe(table.time_to_live, context.clock.wall_ms())
    return orjson.dumps({"TimeToLiveDescription": described})
