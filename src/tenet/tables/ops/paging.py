"""What Query and Scan share: reading records until a page is full, filtering, projecting, and saying where to go on.

Source: "Paginating table query results" and "Scan" of the DynamoDB developer guide: a page ends when `Limit` items have
been evaluated, or when the items read reach 1 MB by the service's rules, before the filter in both cases.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import orjson

from tenet.store.contract import Key, Limits, Page, Range, Record
from tenet.store.errors import StoreUnavailable
from tenet.tables import keys
from tenet.tables.context import Caller, Context
from tenet.tables.errors import ValidationException
from tenet.tables.model import Index, Item, Table
from tenet.tables.rules import stored
from tenet.tables.rules.attributes import check_item
from tenet.tables.rules.capacity import Consumed, read_units
from tenet.tables.rules.conditions import Condition
from tenet.tables.rules.images import Image
from tenet.tables.rules.indexes import resolved
from tenet.tables.rules.key_values import check_scalar_access
from tenet.tables.rules.parameters import ReadExpressions
from tenet.tables.rules.positions import position_of
from tenet.tables.rules.projections import Projection
from tenet.tables.rules.selection import index_of, must_fetch

#: A page is full when its items reach this size by the service's rules, in bytes.
PAGE_BYTES: Final = 1024 * 1024
_RECORDS_MAX: Final = 1_000
_FETCHED_MAX: Final = 16
#: So often in a row entries may turn out to have changed since they were read; halved each time, they are one at last.
_ATTEMPTS_MAX: Final = 30
#: So many references are looked up together, each with its item.
_REFERENCES_MAX: Final = Limits.together_max // 2

#: Reads on behind a record (None: from the beginning): at most so many records, about so many bytes.
Fetch = Callable[[Record | None, int, int], Awaitable["Page"]]


class View:
    """What a Query or Scan reads and what it answers of it.

    Args:
        table: the table.
        index: the index that is read, or None for the table itself.
        limit: the most items to evaluate, or None.
        filter: which items to answer, or None for all.
        projection: what to answer of them, or None for all that was read.
        count_only: whether only figures are answered.
        from_table: whether items are fetched from the table, since the local index lacks attributes that are asked for.
        consistent: whether the read is strongly consistent.
    """

    __slots__ = ("consistent", "count_only", "filter", "from_table", "index", "limit", "projection", "table")

    def __init__(
        self,
        table: Table,
        index: Index | None,
        limit: int | None,
        filter: Condition | None,  # noqa: A002 (the API's word)
        projection: Projection | None,
        *,
        count_only: bool,
        from_table: bool,
        consistent: bool,
    ) -> None:
        self.table = table
        self.index = index
        self.limit = limit
        self.filter = filter
        self.projection = projection
        self.count_only = count_only
        self.from_table = from_table
        self.consistent = consistent

    @property
    def is_plain(self) -> bool:
        """Whether stored bytes can be answered as they are."""
        return self.filter is None and self.projection is None and not self.from_table


class PageOfItems:
    """A page that is being filled."""

    __slots__ = ("_view", "bytes", "count", "fetched_bytes", "fetched_units", "last", "pieces", "scanned")

    def __init__(self, view: View) -> None:
        self._view = view
        self.pieces: list[bytes] = []
        self.count = 0
        self.scanned = 0
        self.bytes = 0
        self.fetched_units = 0.0
        self.fetched_bytes = 0
        #: The record where the page ended, if it ended before what was asked for did.
        self.last: Record | None = None

    def take(self, records: Sequence[Record]) -> Sequence[Record]:
        """Counts records into the page and returns them, up to the one that fills it."""
        sizes = stored.sizes_of([record.value for record in records])
        room = _RECORDS_MAX if self._view.limit is None else self._view.limit - self.scanned
        taken = len(records)
        if self.bytes + sum(sizes) >= PAGE_BYTES:
            total = self.bytes
            for index, size in enumerate(sizes):
                total += size
                if total >= PAGE_BYTES:
                    taken = room = index + 1
                    break
        self.scanned += taken
        self.bytes += sum(sizes[:taken])
        if taken == room and (self._view.limit is not None or self.bytes >= PAGE_BYTES):
            self.last = records[taken - 1]
        return records[:taken]

    def offer(self, image: Image) -> None:
        """Answers an item, if the filter lets it pass."""
        view = self._view
        if view.filter is not None and not view.filter.test(image.item):
            return
        self.count += 1
        if view.count_only:
            return
        if view.projection is None:
            self.pieces.append(image.json)
        else:
            assert image.item is not None
            self.pieces.append(orjson.dumps(view.projection.apply(image.item)))


async def read_page(context: Context, caller: Caller, view: View, fetch: Fetch, request: dict[str, Any]) -> bytes:
    """Reads one page and returns the answer as JSON; arguments and errors as for `fill_page`.

    Args:
        context: the service.
        caller: who reads.
        view: what.
        fetch: where from.
        request: for ``ReturnConsumedCapacity``.
    """
    return _answer(context, view, await fill_page(context, caller, view, fetch), request)


async def fill_page(context: Context, caller: Caller, view: View, fetch: Fetch) -> PageOfItems:
    """Reads one page; one round trip per MiB of stored bytes.

    Args:
        context: the service.
        caller: who reads.
        view: what.
        fetch: where from.

    Raises:
        StoreUnavailable: entries of the index do not stay as they are for as long as it takes to read their items.
    """
    context.throttle.admit_read(view.table, view.index)
    page = PageOfItems(view)
    behind: Record | None = None
    # Items that are fetched one by one are few at a time: together they may be four hundred times their entries.
    most = most_ever = _FETCHED_MAX if view.from_table else _RECORDS_MAX
    attempts = 0
    while True:
        wanted = most if view.limit is None else min(most, view.limit - page.scanned)
        part = await fetch(behind, wanted, PAGE_BYTES - page.bytes)
        before = page.scanned, page.bytes
        if not await _offer(context, caller, view, page, page.take(part.records)):
            # Read again, and less: of fewer entries, fewer change meanwhile.
            (page.scanned, page.bytes), page.last = before, None
            most = max(1, wanted // 2)
            attempts += 1
            if attempts == _ATTEMPTS_MAX:
                raise _unresolved(view)
            continue
        most, attempts = min(most_ever, 2 * most), 0
        if page.last is None and part.more and page.bytes + page.fetched_bytes >= PAGE_BYTES:
            page.last = part.records[-1]
        if page.last is not None or not part.more:
            break
        behind = part.records[-1]
    return page


def _unresolved(view: View) -> StoreUnavailable:
    name = "" if view.index is None else view.index.name
    return StoreUnavailable(
        f"entries of the index {name!r} of the table {view.table.name!r} changed, or had no item, {_ATTEMPTS_MAX} times"
        " in a row while they were read"
    )


async def _offer(context: Context, caller: Caller, view: View, page: PageOfItems, records: Sequence[Record]) -> bool:
    """Answers records, as far as the filter lets them pass; false where some have changed since they were read."""
    index = view.index
    if index is not None and any(stored.is_reference(record.value) for record in records):
        resolved = await _resolved(context, caller, view, index, records)
        if resolved is None:
            return False
        images = resolved
    elif view.is_plain:
        page.count += len(records)
        if not view.count_only:
            page.pieces.extend(stored.jsons_of([record.value for record in records]))
        return True
    else:
        images = [Image(record.value) for record in records]
    if view.from_table:
        images = await _from_table(context, caller, view, page, images)
    for image in images:
        page.offer(image)
    return True


async def _resolved(
    context: Context, caller: Caller, view: View, index: Index, records: Sequence[Record]
) -> list[Image] | None:
    """Returns entries of an index as they were when they were read, with what references among them stand for.

    An entry is written anew whenever what it stands for changes. So an item that is read together with an entry which
    is still of the same version holds what it held when the entry was first read. None: some are not.
    """
    images = [Image(record.value) for record in records]
    references = [at for at, record in enumerate(records) if stored.is_reference(record.value)]
    space = keys.space_of(view.table, index)
    for start in range(0, len(references), _REFERENCES_MAX):
        some = references[start : start + _REFERENCES_MAX]
        entries = [Key(space, records[at].partition, records[at].sort) for at in some]
        items = [keys.item_key(view.table, item) for at in some if (item := images[at].item) is not None]
        found = await context.store.read_together([*entries, *items], deadline=caller.deadline)
        for at, entry, record in zip(some, found[: len(some)], found[len(some) :], strict=True):
            if not isinstance(entry, Record) or entry.version != records[at].version or not isinstance(record, Record):
                return None
            images[at] = resolved(view.table, index, (entry.partition, entry.sort), Image.of_record(record))
    return images


async def _from_table(
    context: Context, caller: Caller, view: View, page: PageOfItems, entries: Sequence[Image]
) -> list[Image]:
    """Returns the items that entries of a local index stand for."""
    whole: list[Key] = [keys.item_key(view.table, image.item) for image in entries if image.item is not None]
    records = await context.store.get(whole, stale=not view.consistent, deadline=caller.deadline)
    images = [Image.of_record(record) for record in records if record is not None]
    page.fetched_bytes += sum(image.size for image in images)
    page.fetched_units += sum(read_units(image.size, consistent=view.consistent) for image in images)
    return images


def _answer(context: Context, view: View, page: PageOfItems, request: dict[str, Any]) -> bytes:
    begin = b'{"Count":%d,"ScannedCount":%d' % (page.count, page.scanned)
    end = b"}"
    consumed = charged_page(context, view, page, request.get("ReturnConsumedCapacity", "NONE"))
    if consumed is not None:
        end = b',"ConsumedCapacity":%b}' % orjson.dumps(consumed)
    if page.last is not None:
        end = b',"LastEvaluatedKey":%b%b' % (orjson.dumps(last_position(view, page.last)), end)
    if view.count_only:
        return begin + end
    # Up to a MiB, copied once.
    items = page.pieces or [b""]
    items[0] = b'%b,"Items":[%b' % (begin, items[0])
    items[-1] += b"]" + end
    return b",".join(items)


def charged_page(context: Context, view: View, page: PageOfItems, mode: str) -> dict[str, Any] | None:
    """Charges a page and returns its ConsumedCapacity, if the mode asks for it."""
    if mode == "NONE" and not view.table.is_limited:
        return None
    consumed = _consumed(view, page)
    context.throttle.spend_read(view.table, consumed.total, view.index)
    return consumed.answer(mode) if mode != "NONE" else None


def last_position(view: View, last: Record) -> Item:
    """Returns where a page ended, from the place of its last record if that tells, else from what it holds."""
    if view.index is None and view.table.plain_key_names:
        return keys.plain_key_at(view.table, last.partition, last.sort)
    item = Image(last.value).item
    assert item is not None
    return position_of(view.table, view.index, item)


def _consumed(view: View, page: PageOfItems) -> Consumed:
    consumed = Consumed(view.table)
    consumed.add(read_units(page.bytes, consistent=view.consistent), None if view.index is None else view.index.name)
    if page.fetched_units:
        consumed.add(page.fetched_units)
    return consumed


def behind(within: Range, sort: bytes, *, reverse: bool) -> Range:
    """Returns what is left of a range behind a sort key, in the direction of reading."""
    if reverse:
        return Range(within.lower, sort if within.upper is None else min(within.upper, sort))
    return Range(max(within.lower, sort + b"\x00"), within.upper)


def view_of(table: Table, request: dict[str, Any], expressions: ReadExpressions) -> View:
    """Returns what a Query or Scan reads and answers.

    Args:
        table: the table.
        request: its index, Limit, Select and consistency.
        expressions: its filter and projection.

    Raises:
        ValidationException: the table has no such index, or it cannot answer what is asked for.
    """
    index = index_of(request, table)
    for expression in (expressions.filter, expressions.projection):
        if expression is not None:
            check_scalar_access(expression.nested_names, table)
    projection, condition = expressions.projection, expressions.filter
    return View(
        table,
        index,
        request.get("Limit"),
        condition,
        projection,
        count_only=request.get("Select") == "COUNT",
        from_table=must_fetch(
            request,
            table,
            index,
            answered=() if projection is None else projection.names,
            filtered=() if condition is None or expressions.key_condition is None else condition.names,
        ),
        consistent=bool(request.get("ConsistentRead")),
    )


def start_of(request: dict[str, Any]) -> Item | None:
    """Returns the ExclusiveStartKey of a request, its values checked and canonical, or None.

    Raises:
        ValidationException: a value breaks a rule of its type.
    """
    start: Item | None = request.get("ExclusiveStartKey")
    if start is not None:
        try:
            check_item(start)
        except ValidationException as error:
            raise ValidationException(f"The provided starting key is invalid: {error.message}") from error
    return start
