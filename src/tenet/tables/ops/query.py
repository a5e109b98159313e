"""Query (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Query.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenet.tables import keys
from tenet.tables.errors import ValidationException
from tenet.tables.ops.paging import behind, read_page, start_of, view_of
from tenet.tables.rules.legacy import query_expressions, query_selection
from tenet.tables.rules.positions import check_query_position
from tenet.tables.rules.selection import check_select, index_of

if TYPE_CHECKING:
    from tenet.store.contract import Page, Record
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import KeySchema
    from tenet.tables.rules.conditions import Condition


async def query(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Reads items of one partition of a table or an index in order; one round trip per MiB that is read.

    Raises:
        ValidationException: an expression, the position or a combination of parameters is wrong.
        ResourceNotFoundException: there is no such table.
    """
    selection = query_selection(request)
    start = start_of(request)
    check_select(request)
    expressions = query_expressions(request, selection)
    table = await context.catalog.table(caller.account, request["TableName"], deadline=caller.deadline)
    caller.notes["table"] = table.name
    index = index_of(request, table)
    schema = table.keys if index is None else index.keys
    assert expressions.key_condition is not None
    wanted = expressions.key_condition.against(schema)
    _check_filter(request, expressions.filter, schema)
    within = keys.everything_of(index)
    if wanted.operator:
        within = keys.sort_within(index, wanted.operator, wanted.values, wanted.before)
    reverse = request.get("ScanIndexForward") is False
    if start is not None:
        sort = check_query_position(table, index, start, wanted, within)
        within = behind(within, sort, reverse=reverse)
    view = view_of(table, request, expressions)
    space = keys.space_of(table, index)
    partition = keys.joined((wanted.partition, *wanted.more)) if wanted.more else keys.plain(wanted.partition)

    async def fetch(after: Record | None, limit: int, limit_bytes: int) -> Page:
        return await context.store.query(
            space,
            partition,
            within if after is None else behind(within, after.sort, reverse=reverse),
            limit=limit,
            limit_bytes=limit_bytes,
            reverse=reverse,
            stale=not view.consistent,
            deadline=caller.deadline,
        )

    return await read_page(context, caller, view, fetch, request)


def _check_filter(request: dict[str, Any], condition: Condition | None, schema: KeySchema) -> None:
    """Refuses a filter on the key of what is queried; the key condition is for that."""
    if condition is None:
        return
    for name in schema.names:
        if name in condition.names:
            parameter = "QueryFilter" if "QueryFilter" in request else "Filter Expression"
            raise ValidationException(
                f"{parameter} can only contain non-primary key attributes: Primary key attribute: {name}"
            )
