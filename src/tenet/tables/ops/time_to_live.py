"""DescribeTimeToLive (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTimeToLive.html).

Expiry of items is not available yet: UpdateTimeToLive is refused (``rules.unavailable``), and every table says so here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from tenet.tables.context import Caller, Context


async def describe_time_to_live(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Says that no item of the table expires; one round trip.

    Raises:
        ResourceNotFoundException: there is no table of that name.
    """
    table = await context.catalog.describe(caller.account, request["TableName"], deadline=caller.deadline)
    caller.notes["table"] = table.name
    return orjson.dumps({"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}})
