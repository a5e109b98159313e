"""Scan (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenet.store.errors import OutsideSlice
from tenet.tables import keys
from tenet.tables.ops.paging import read_page, start_of, view_of
from tenet.tables.rules.legacy import scan_selection
from tenet.tables.rules.parameters import scan_expressions
from tenet.tables.rules.positions import check_segments, outside_segment, scan_position
from tenet.tables.rules.selection import check_select, index_of

if TYPE_CHECKING:
    from tenet.store.contract import Page, Record
    from tenet.tables.context import Caller, Context


async def scan(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Reads items of a table or an index in an order that stays the same; one round trip per MiB that is read.

    Raises:
        ValidationException: an expression, the position or a combination of parameters is wrong.
        ResourceNotFoundException: there is no such table.
    """
    selection = scan_selection(request)
    start = start_of(request)
    expressions = selection or scan_expressions(request)
    check_select(request)
    check_segments(request)
    table = await context.catalog.table(caller.account, request["TableName"], deadline=caller.deadline)
    caller.notes["table"] = table.name
    index = index_of(request, table)
    begin: tuple[bytes, bytes] | None = None
    if start is not None:
        begin = scan_position(table, index, start)
    view = view_of(table, request, expressions)
    space, within = keys.space_of(table, index), keys.everything_of(index)
    segment, segments = request.get("Segment", 0), request.get("TotalSegments", 1)

    async def fetch(after: Record | None, limit: int, limit_bytes: int) -> Page:
        return await context.store.scan(
            space,
            within,
            limit=limit,
            limit_bytes=limit_bytes,
            slice_index=segment,
            slice_count=segments,
            after=begin if after is None else (after.partition, after.sort),
            stale=not view.consistent,
            deadline=caller.deadline,
        )

    try:
        return await read_page(context, caller, view, fetch, request)
    except OutsideSlice:
        raise outside_segment(segment, segments) from None
