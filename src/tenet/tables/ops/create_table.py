"""CreateTable (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from tenet.base.ids import uuid4_text
from tenet.tables.errors import ResourceInUseException
from tenet.tables.ops.catalog import table_name
from tenet.tables.rules.description import describe_new
from tenet.tables.rules.table_definition import check_create, table_from
from tenet.tables.rules.table_update import check_is_active

if TYPE_CHECKING:
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Table


async def create_table(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Creates a table; two round trips, and one more per space that it needs.

    Raises:
        ValidationException: the definition breaks a rule.
        ResourceInUseException: there is a table of that name, or one is being made.
        LimitExceededException: the tenant has as many tables as it may have.
    """
    check_create(request)
    now_ms = context.clock.wall_ms()
    wanted = table_from(
        request,
        account=caller.account,
        name=table_name(caller.account, request["TableName"]),
        region=caller.region,
        table_id=uuid4_text(context.ids),
        now_ms=now_ms,
    )
    wanted = msgspec.structs.replace(wanted, status_until_ms=context.lifecycle.until_ms())

    def decide(there: Table | None) -> Table:
        if there is not None:
            if there.status == "CREATING":
                check_is_active(there)
            raise ResourceInUseException(f"Table already exists: {wanted.name}")
        return wanted

    table = await context.catalog.change(caller.account, wanted.name, decide, deadline=caller.deadline)
    assert table is not None
    caller.notes["table"] = table.name
    answer = orjson.dumps({"TableDescription": describe_new(table, now_ms)})
    await context.lifecycle.begin(table)
    return answer
