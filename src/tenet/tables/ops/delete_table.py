"""DeleteTable (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DeleteTable.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from tenet.tables.ops.catalog import not_found, table_name
from tenet.tables.rules.description import describe
from tenet.tables.rules.table_update import check_deletion

if TYPE_CHECKING:
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Table


async def delete_table(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Begins to delete a table with its items; two round trips, the rest happens behind the answer.

    Raises:
        ResourceNotFoundException: there is none of that name.
        ResourceInUseException: it is being created, updated or deleted.
        ValidationException: it is protected from deletion.
    """
    name = table_name(caller.account, request["TableName"])

    def decide(table: Table | None) -> Table:
        if table is None:
            raise not_found(name)
        check_deletion(table)
        return msgspec.structs.replace(table, status="DELETING", status_until_ms=context.lifecycle.until_ms())

    table = await context.catalog.change(caller.account, name, decide, deadline=caller.deadline)
    assert table is not None
    caller.notes["table"] = name
    answer = orjson.dumps({"TableDescription": describe(table, {}, context.clock.wall_ms())})
    await context.lifecycle.begin(table)
    return answer
