"""What every write of items shares: deciding on the item as it is, keeping its indexes, charging, answering.

A *plan* is one write of one item. PutItem, UpdateItem and DeleteItem carry out one; a batch carries out many, each by
itself; a transaction carries out many in one commit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import orjson

from tenet.store.combine import KEEP, Change
from tenet.store.contract import Delete, Put
from tenet.store.landing import land
from tenet.tables.errors import ConditionalCheckFailedException
from tenet.tables.rules import indexes
from tenet.tables.rules.capacity import Consumed, write_units
from tenet.tables.rules.followed import CLIENT, is_same, told
from tenet.tables.rules.images import ABSENT, Image
from tenet.tables.rules.index_log import logged_changes

if TYPE_CHECKING:
    from tenet.store.contract import Key, Record, Write
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Item, Table
    from tenet.tables.rules.conditions import Condition
    from tenet.tables.rules.indexes import IndexChanges

EMPTY_ANSWER: Final = b"{}"
#: Whoever has checked an item of so many bytes lets others have a turn of the loop before the next one.
TURN_BYTES: Final = 64 * 1024


class Plan:
    """One write of one item.

    Args:
        table: its table.
        key: where the item lies in the store.
        decide: looks at the item as it is and returns what it becomes: ``ABSENT`` deletes it, the very image that it
            was given keeps it. May be called again with a newer one.
        blind: what it becomes whatever it is now; None where `decide` has to look.
        origin: who causes it, as those who follow the table are told.
    """

    __slots__ = ("blind", "decide", "key", "origin", "table")

    def __init__(
        self,
        table: Table,
        key: Key,
        decide: Callable[[Image], Image],
        blind: Image | None = None,
        origin: str = CLIENT,
    ) -> None:
        self.table = table
        self.key = key
        self.decide = decide
        self.blind = blind
        self.origin = origin


class Written:
    """A write that was carried out.

    Args:
        old: the item before. ``ABSENT`` for blind writes too, which do not look.
        new: the item after.
        changes: of the indexes.
    """

    __slots__ = ("changes", "new", "old")

    def __init__(self, old: Image, new: Image, changes: IndexChanges) -> None:
        self.old = old
        self.new = new
        self.changes = changes

    def squeezed(self, plan: Plan, *, is_logged: bool) -> Written:
        """Returns the same in fewer bytes: the item compressed, and index entries that hold their keys alone.

        Args:
            plan: what was carried out.
            is_logged: whether global indexes are kept from the log.
        """
        if is_logged:
            changes = logged_changes(plan.table, plan.key, self.old, self.new, by_reference=True)
        else:
            changes = indexes.changes(plan.table, self.old, self.new, by_reference=True)
        if plan.table.is_told:
            changes = told(plan.table, plan.key, self.old, self.new, changes, origin=plan.origin, squeezed=True)
        return Written(self.old, self.new if self.new is self.old else self.new.deflated(), changes)

    def consumed(self, table: Table) -> Consumed:
        """Returns the capacity that the write took."""
        consumed = Consumed(table)
        consumed.add(write_units(self.old.size, self.new.size))
        for name, units in self.changes.units.items():
            consumed.add(units, name)
        return consumed


def check_condition(condition: Condition | None, old: Image, *, return_old: bool) -> None:
    """Refuses a write whose condition does not hold.

    Args:
        condition: the condition, if there is one.
        old: the item as it is.
        return_old: whether the error carries it (``ReturnValuesOnConditionCheckFailure``).

    Raises:
        ConditionalCheckFailedException: it does not hold.
    """
    if condition is not None and not condition.test(old.item):
        members: dict[str, Any] = {"Item": old.item} if return_old and old.exists else {}
        raise ConditionalCheckFailedException("The conditional request failed", members)


def carried_out(plan: Plan, old: Image) -> Written:
    """Returns what a plan makes of the item as it is; raises what the plan refuses with."""
    new = _decided(plan, old)
    changes = indexes.changes(plan.table, old, new)
    if plan.table.is_told:
        changes = told(plan.table, plan.key, old, new, changes, origin=plan.origin)
    return Written(old, new, changes)


def carried_out_logged(plan: Plan, old: Image) -> Written:
    """Returns the same where global indexes are kept from the log."""
    new = _decided(plan, old)
    changes = logged_changes(plan.table, plan.key, old, new)
    if plan.table.is_told:
        changes = told(plan.table, plan.key, old, new, changes, origin=plan.origin)
    return Written(old, new, changes)


def _decided(plan: Plan, old: Image) -> Image:
    """Returns what a plan makes of an item; where those who follow its table would see no change, there is none."""
    new = plan.decide(old)
    return old if plan.table.is_told and is_same(old, new) else new


def writes_of(plan: Plan, written: Written) -> list[Write]:
    """Returns what has to be written for a plan that was carried out."""
    writes: list[Write] = list(written.changes.writes)
    if written.new is not written.old:
        writes.append(Delete(plan.key) if written.new.value is None else Put(plan.key, written.new.value))
    return writes


async def write(context: Context, caller: Caller, plan: Plan, *, look: bool) -> Written:
    """Carries out a plan; durable when it returns.

    One round trip for a blind write without index entries, else two; a share of one where the key is hot.

    Args:
        context: the service.
        caller: who writes.
        plan: what.
        look: whether the caller wants to know what was there before, for instance to charge or answer it.
    """
    table = plan.table
    blind = plan.blind
    if blind is not None and not look and not table.looks_back and not context.combiner.is_busy(plan.key):
        put = Delete(plan.key) if blind.value is None else Put(plan.key, blind.value)
        await land(context.store, (put,), clock=context.clock, ids=context.ids, deadline=caller.deadline)
        return Written(ABSENT, blind, indexes.NOTHING)

    if context.is_logging and table.global_indexes:
        return await _write_logged(context, caller, plan)

    def step(record: Record | None) -> Change[Written]:
        old = Image.of_record(record)
        written = carried_out(plan, old)
        value = KEEP if written.new is old else written.new.value
        return Change(written, value, written.changes.writes, written.changes.appends)

    return await context.combiner.mutate(plan.key, step, deadline=caller.deadline)


async def _write_logged(context: Context, caller: Caller, plan: Plan) -> Written:
    """Carries out a plan of a table whose global indexes are kept from the log: within the item's partition alone."""

    def step(record: Record | None) -> Change[Written]:
        old = Image.of_record(record)
        written = carried_out_logged(plan, old)
        value = KEEP if written.new is old else written.new.value
        return Change(written, value, written.changes.writes, written.changes.appends)

    return await context.combiner.mutate(plan.key, step, deadline=caller.deadline)


def charge(context: Context, table: Table, written: Written) -> None:
    """Charges what a write took to the table's provisioned capacity."""
    if table.is_limited:
        consumed = written.consumed(table)
        global_names = {index.name for index in table.global_indexes}
        local = sum(units for name, units in consumed.indexes.items() if name not in global_names)
        spent = {name: units for name, units in consumed.indexes.items() if name in global_names}
        context.throttle.spend_write(table, consumed.table_units + local, spent)


def answer(
    request: dict[str, Any], table: Table, written: Written, attributes: Item | Image | None, key: Item
) -> bytes:
    """Returns the answer to PutItem, UpdateItem or DeleteItem as JSON.

    Args:
        request: the request.
        table: the table.
        written: what was carried out.
        attributes: what ReturnValues asked for, or None.
        key: has the item's key attributes.
    """
    members: list[bytes] = []
    if attributes is not None:
        json = attributes.json if isinstance(attributes, Image) else orjson.dumps(attributes)
        members.append(b'"Attributes":' + json)
    mode = request.get("ReturnConsumedCapacity", "NONE")
    if mode != "NONE":
        members.append(b'"ConsumedCapacity":' + orjson.dumps(written.consumed(table).answer(mode)))
    if request.get("ReturnItemCollectionMetrics") == "SIZE" and table.local_indexes:
        members.append(b'"ItemCollectionMetrics":' + orjson.dumps(collection_metrics(table, key)))
    return b"{" + b",".join(members) + b"}" if members else EMPTY_ANSWER


def collection_metrics(table: Table, key: Item) -> dict[str, Any]:
    """Returns the ItemCollectionMetrics of an item of a table with local indexes.

    The estimate is the range from 0 to 1 GB, which every collection below 1 GB has with the service too.
    """
    name = table.keys.partition.name
    return {"ItemCollectionKey": {name: key[name]}, "SizeEstimateRangeGB": [0.0, 1.0]}


def must_look(request: dict[str, Any], table: Table) -> bool:
    """Whether a write has to know what was there before: to answer it, or to charge it."""
    return (
        table.is_limited
        or request.get("ReturnConsumedCapacity", "NONE") != "NONE"
        or request.get("ReturnItemCollectionMetrics", "NONE") != "NONE"
        or request.get("ReturnValues", "NONE") != "NONE"
    )


def wants_old(request: dict[str, Any]) -> bool:
    """Whether a failed condition has to carry the item that is there."""
    return request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
