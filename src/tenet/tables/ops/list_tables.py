"""ListTables (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ListTables.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from tenet.tables.context import Caller, Context

LIMIT_DEFAULT: Final = 100


async def list_tables(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Lists the names of the tenant's tables in any status, by the bytes of the names; one round trip."""
    names, more = await context.catalog.names(
        caller.account,
        after=request.get("ExclusiveStartTableName", ""),
        limit=request.get("Limit", LIMIT_DEFAULT),
        deadline=caller.deadline,
    )
    answer: dict[str, Any] = {"TableNames": names}
    if more:
        answer["LastEvaluatedTableName"] = names[-1]
    return orjson.dumps(answer)
