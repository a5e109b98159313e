"""ExecuteStatement (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ExecuteStatement.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from tenet.store.contract import Page
from tenet.tables import keys
from tenet.tables.errors import ValidationException
from tenet.tables.ops.get_item import charged
from tenet.tables.ops.paging import View, behind, charged_page, fill_page, last_position, view_of
from tenet.tables.ops.statements import Prepared, read_selected, selected_item, write_of
from tenet.tables.ops.writing import charge, write
from tenet.tables.rules.multi_attribute_keys import refuse_statement
from tenet.tables.rules.parameters import ReadExpressions
from tenet.tables.rules.partiql import next_tokens
from tenet.tables.rules.partiql.reading import Read, select_plan
from tenet.tables.rules.partiql.tree import Exists, Select
from tenet.tables.rules.positions import scan_position
from tenet.tables.rules.selection import check_filtered, index_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.store.contract import Record
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Table
    from tenet.tables.ops.paging import Fetch
    from tenet.tables.ops.statements import SelectedItem
    from tenet.tables.rules.partiql.reading import Selection


async def execute_statement(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Carries out a PartiQL statement; as many round trips as the operation that it stands for.

    Raises:
        ValidationException: the statement or a parameter is wrong.
        ResourceNotFoundException: there is no such table.
        ConditionalCheckFailedException: what WHERE asks for beside the key does not hold.
        DuplicateItemException: an item to be inserted is there.
    """
    prepared = Prepared(request)
    if isinstance(prepared.statement, Exists):
        raise ValidationException("EXISTS can only be used in ExecuteTransaction write requests.")
    table = await prepared.table(context, caller)
    if isinstance(prepared.statement, Select):
        found = _one_item(prepared, table)
        if found is not None:
            return await _get(context, caller, prepared, table, found)
        return await _select(context, caller, prepared, table)
    made = write_of(prepared, table)
    context.throttle.admit_write(table)
    written = await write(context, caller, made.plan, look=True)
    charge(context, table, written)
    item = made.returned(written)
    answer = b'{"Items":[' + (b"" if item is None else orjson.dumps(item)) + b"]"
    mode = request.get("ReturnConsumedCapacity", "NONE")
    if mode != "NONE":
        answer += b',"ConsumedCapacity":' + orjson.dumps(written.consumed(table).answer(mode))
    return answer + b"}"


def _one_item(prepared: Prepared, table: Table) -> SelectedItem | None:
    """Returns the item that a SELECT names by its key alone; None where pages are read."""
    request = prepared.request
    if prepared.source.index is not None or "NextToken" in request or "Limit" in request:
        return None
    return selected_item(prepared, table) if select_plan(prepared.parsed, table.keys).is_one_item else None


async def _get(context: Context, caller: Caller, prepared: Prepared, table: Table, found: SelectedItem) -> bytes:
    image, item = await read_selected(context, caller, prepared, table, found)
    answer = b'{"Items":[' + item + b"]"
    mode = prepared.request.get("ReturnConsumedCapacity", "NONE")
    if mode != "NONE" or table.is_limited:
        consumed = charged(context, table, image, consistent=bool(prepared.request.get("ConsistentRead")))
        if mode != "NONE":
            answer += b',"ConsumedCapacity":' + orjson.dumps(consumed.answer(mode))
    return answer + b"}"


async def _select(context: Context, caller: Caller, prepared: Prepared, table: Table) -> bytes:
    request = prepared.request
    refuse_statement(table, prepared.source.index)
    reading: dict[str, Any] = {name: request[name] for name in ("Limit", "ConsistentRead") if name in request}
    if prepared.source.index is not None:
        reading["IndexName"] = prepared.source.index
    index = index_of(reading, table)
    plan = select_plan(prepared.parsed, table.keys if index is None else index.keys)
    selection = plan.bind(prepared.parameters, index)
    check_filtered(table, index, selection.filtered)
    view = view_of(table, reading, ReadExpressions(None, selection.filter, selection.projection))

    def digest() -> str:
        return next_tokens.digest_of(caller.account, request, is_by_choice=plan.is_by_choice)

    begin: tuple[bytes, bytes] | None = None
    token = request.get("NextToken")
    if token is not None:
        begin = _position(view, token, digest())
    fetch = (_scanning if selection.reads is None else _querying)(context, caller, view, selection, begin)
    page = await fill_page(context, caller, view, fetch)
    pieces = [b'{"Items":[', b",".join(page.pieces), b"]"]
    if page.last is not None:
        last = last_position(view, page.last)
        following = next_tokens.encode(last, digest())
        pieces += (b',"NextToken":', orjson.dumps(following), b',"LastEvaluatedKey":', orjson.dumps(last))
    consumed = charged_page(context, view, page, request.get("ReturnConsumedCapacity", "NONE"))
    if consumed is not None:
        pieces += (b',"ConsumedCapacity":', orjson.dumps(consumed))
    pieces.append(b"}")
    return b"".join(pieces)


def _position(view: View, token: str, digest: str) -> tuple[bytes, bytes]:
    """Returns where a token says to go on."""
    start = next_tokens.decode(token, digest)
    try:
        return scan_position(view.table, view.index, start)
    except ValidationException:
        raise next_tokens.invalid() from None


def _left(reads: Sequence[Read], last: tuple[bytes, bytes], *, reverse: bool) -> list[Read]:
    """Returns what is left of reads behind a place in one of their partitions."""
    partition, sort = last
    first = next(at for at, read in enumerate(reads) if read.partition == partition)
    left: list[Read] = []
    for read in reads[first:]:
        if read.partition != partition:
            left.append(read)
            continue
        within = behind(read.within, sort, reverse=reverse)
        if within.upper is None or within.lower < within.upper:
            left.append(Read(partition, within))
    return left


def _querying(
    context: Context, caller: Caller, view: View, selection: Selection, begin: tuple[bytes, bytes] | None
) -> Fetch:
    """Returns what carries out the reads of a selection, one after the other."""
    reverse = selection.is_reverse
    space = keys.space_of(view.table, view.index)
    reads = selection.reads or ()
    if begin is not None and all(begin[0] != read.partition for read in reads):
        raise next_tokens.invalid()

    async def fetch(after: Record | None, limit: int, limit_bytes: int) -> Page:
        last = begin if after is None else (after.partition, after.sort)
        left = reads if last is None else _left(reads, last, reverse=reverse)
        for at, read in enumerate(left):
            page = await context.store.query(
                space,
                read.partition,
                read.within,
                limit=limit,
                limit_bytes=limit_bytes,
                reverse=reverse,
                stale=not view.consistent,
                deadline=caller.deadline,
            )
            if page.records:
                return Page(page.records, page.more or at + 1 < len(left))
        return Page((), more=False)

    return fetch


def _scanning(
    context: Context, caller: Caller, view: View, _selection: Selection, begin: tuple[bytes, bytes] | None
) -> Fetch:
    """Returns what reads all of a table or index."""
    space, within = keys.space_of(view.table, view.index), keys.everything_of(view.index)

    async def fetch(after: Record | None, limit: int, limit_bytes: int) -> Page:
        return await context.store.scan(
            space,
            within,
            limit=limit,
            limit_bytes=limit_bytes,
            slice_index=0,
            slice_count=1,
            after=begin if after is None else (after.partition, after.sort),
            stale=not view.consistent,
            deadline=caller.deadline,
        )

    return fetch
