"""UpdateTable (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTable.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from tenet.tables.ops.catalog import not_found, table_name
from tenet.tables.rules.description import describe
from tenet.tables.rules.table_update import begin_update, check_update

if TYPE_CHECKING:
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Table


async def update_table(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Begins to change a table's settings; two round trips, the rest happens behind the answer.

    Raises:
        ValidationException: the update breaks a rule, or changes nothing.
        ResourceNotFoundException: there is no table of that name.
        ResourceInUseException: it is being created, updated or deleted.
        LimitExceededException: the update comes too soon after another one.
    """
    check_update(request)
    name = table_name(caller.account, request["TableName"])
    now_ms = context.clock.wall_ms()

    def decide(table: Table | None) -> Table:
        if table is None:
            raise not_found(name)
        return begin_update(table, request, now_ms=now_ms, until_ms=context.lifecycle.until_ms())

    table = await context.catalog.change(caller.account, name, decide, deadline=caller.deadline)
    assert table is not None
    caller.notes["table"] = name
    description = describe(table, {}, now_ms)
    if "SSESpecification" in request and "SSEDescription" in description:
        # Here it is done by now; who waits for it asks on.
        description["SSEDescription"] = {**description["SSEDescription"], "Status": "UPDATING"}
    answer = orjson.dumps({"TableDescription": description})
    await context.lifecycle.begin(table)
    return answer
