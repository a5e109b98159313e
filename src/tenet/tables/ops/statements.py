"""What the operations of PartiQL share: from a request's statement to the plan of a write, or what to read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from tenet.tables.errors import DuplicateItemException, ValidationException
from tenet.tables.ops.delete_item import delete_plan
from tenet.tables.ops.get_item import answered
from tenet.tables.ops.put_item import put_plan
from tenet.tables.ops.transact_write_items import Action
from tenet.tables.ops.update_item import update_plan
from tenet.tables.ops.writing import Plan, check_condition
from tenet.tables.rules.attributes import TooLarge, check_item, check_item_size
from tenet.tables.rules.images import Image
from tenet.tables.rules.key_values import check_scalar_access, place_of_key
from tenet.tables.rules.partiql.reading import select_plan
from tenet.tables.rules.partiql.single_items import single_item
from tenet.tables.rules.partiql.statements import Parsed, parse
from tenet.tables.rules.partiql.tree import Delete, Exists, Insert, Select, Update
from tenet.tables.rules.partiql.values import check_count, check_parameters
from tenet.tables.rules.partiql.writing import check_item_has_key, item_of, write_plan
from tenet.tables.rules.projections import Projection
from tenet.tables.rules.returns import returned_attributes
from tenet.tables.rules.sizes import item_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.store.contract import Key
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import AttributeValue, Item, Table
    from tenet.tables.ops.writing import Written
    from tenet.tables.rules.conditions import Condition
    from tenet.tables.rules.partiql.writing import Writing
    from tenet.tables.rules.updates import Update as CompiledUpdate

_TABLE_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]{3,255}|arn:.{1,1000}", re.ASCII)


class Prepared:
    """A statement of a request, its parameters checked and canonical.

    Args:
        request: has ``Statement`` and perhaps ``Parameters``; its shape is checked.

    Raises:
        SerializationException: a parameter is not of the JSON type that its member asks for.
        ValidationException: the statement is none, or the parameters are wrong.
    """

    __slots__ = ("parameters", "parsed", "request", "source", "statement")

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.parameters: Sequence[AttributeValue] = request.get("Parameters") or ()
        check_parameters(self.parameters)
        self.parsed: Parsed = parse(request["Statement"])
        self.statement = self.parsed.statement
        statement = self.statement
        self.source = statement.select.source if isinstance(statement, Exists) else statement.source
        if not _TABLE_NAME.fullmatch(self.source.table):
            raise ValidationException(
                "Table name should be within the length [3, 255] and only contain 'a-z', 'A-Z', '0-9', '-', '_', '.'."
            )
        check_count(self.parameters, self.parsed.parameters)

    @property
    def is_read(self) -> bool:
        """Whether it reads; EXISTS counts as a write, since it stands among writes."""
        return isinstance(self.statement, Select)

    @property
    def returns_old(self) -> bool:
        """Whether a failed condition carries the item that is there."""
        return self.request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"

    async def table(self, context: Context, caller: Caller) -> Table:
        """Returns the table that the statement names.

        Raises:
            ResourceNotFoundException: there is none.
        """
        found = await context.catalog.table(caller.account, self.source.table, deadline=caller.deadline)
        caller.notes["table"] = found.name
        return found


class SelectedItem:
    """What a SELECT reads that names one item.

    Args:
        place: where the item is.
        projection: what to answer of it, or None for all.
    """

    __slots__ = ("place", "projection")

    def __init__(self, place: Key, projection: Projection | None) -> None:
        self.place = place
        self.projection = projection


class StatementWrite:
    """What a statement writes.

    Args:
        plan: the write.
        returning: what is answered of it, a mode of ReturnValues.
        update: what it changes, if it is an UPDATE.
    """

    __slots__ = ("plan", "returning", "update")

    def __init__(self, plan: Plan, returning: str = "NONE", update: CompiledUpdate | None = None) -> None:
        self.plan = plan
        self.returning = returning
        self.update = update

    def returned(self, written: Written) -> Item | None:
        """Returns what RETURNING asks for, or None where there is nothing."""
        if self.returning == "NONE":
            return None
        touched = () if self.update is None else self.update.paths
        return returned_attributes(self.returning, written.old.item, written.new.item, touched)


def write_of(prepared: Prepared, table: Table) -> StatementWrite:
    """Returns what an INSERT, UPDATE or DELETE by itself writes, or one of a batch.

    Args:
        prepared: the statement.
        table: its table.

    Raises:
        ValidationException: the statement does not fit the table, or its item or parameters are wrong.
    """
    statement = prepared.statement
    if isinstance(statement, Insert):
        item = item_of(statement, prepared.parameters)
        check_item_has_key(item, table.keys)
        return StatementWrite(_insert_plan(table, item, check_item(item)))
    plan = write_plan(prepared.parsed, table.keys)
    plan.check_complete()
    writing = plan.bind(prepared.parameters)
    return _write(prepared, table, writing, plan.key(writing, is_checked=True))


def action_of(prepared: Prepared, table: Table) -> Action:
    """Returns what an INSERT, UPDATE, DELETE or EXISTS of a transaction writes or checks.

    Its plan says what is wrong with the key that it names, in the words of transactions of items.

    Args:
        prepared: the statement.
        table: its table.

    Raises:
        ValidationException: what is wrong with the statement whichever item it names.
    """
    statement, name = prepared.statement, prepared.source.table
    if isinstance(statement, Insert):
        item = item_of(statement, prepared.parameters)
        try:
            size = check_item(item)
        except TooLarge:
            # The plan says so: it is the item's fault, and not the statement's.
            size = item_bytes(item)
        return Action(name, item, size, lambda found: _insert_plan(found, item, size))
    plan = write_plan(prepared.parsed, table.keys)
    writing = plan.bind(prepared.parameters)

    def make(found: Table) -> Plan:
        return _write(prepared, found, writing, plan.key(writing, is_checked=False)).plan

    return Action(name, plan=make)


def _write(prepared: Prepared, table: Table, writing: Writing, key: Item) -> StatementWrite:
    statement = prepared.statement
    place = place_of_key(table, key)
    return_old = prepared.returns_old
    if isinstance(statement, Update):
        plan = update_plan(table, place, key, writing.update, writing.condition, return_old=return_old)
        return StatementWrite(plan, statement.returning, writing.update)
    if isinstance(statement, Delete):
        return StatementWrite(delete_plan(table, place, writing.condition, return_old=return_old), statement.returning)
    return StatementWrite(_check_plan(table, place, writing.condition, return_old=return_old))


def _insert_plan(table: Table, item: Item, size: int) -> Plan:
    check_item_size(size)
    put = put_plan(table, item, size, None, return_old=False)
    new = put.blind
    assert new is not None

    def decide(old: Image) -> Image:
        if old.exists:
            raise DuplicateItemException("Duplicate primary key exists in table")
        return new

    return Plan(table, put.key, decide)


def _check_plan(table: Table, place: Key, condition: Condition | None, *, return_old: bool) -> Plan:
    if condition is not None:
        check_scalar_access(condition.nested_names, table)

    def decide(old: Image) -> Image:
        check_condition(condition, old, return_old=return_old)
        return old

    return Plan(table, place, decide)


def selected_item(prepared: Prepared, table: Table) -> SelectedItem:
    """Returns the one item that a SELECT names, and what to answer of it.

    Args:
        prepared: a SELECT from the table itself, whose plan names one item.
        table: the table.

    Raises:
        ValidationException: the statement does not fit the table, or its parameters are wrong.
    """
    plan = select_plan(prepared.parsed, table.keys)
    key = plan.item_key(prepared.parameters)
    if plan.projection is not None:
        check_scalar_access(plan.projection.nested_names, table)
    return SelectedItem(place_of_key(table, key), plan.projection)


def single_item_of(prepared: Prepared, table: Table) -> tuple[Item, Projection | None] | None:
    """Returns the key that a SELECT of a batch or a transaction names, and what to answer of the item.

    Args:
        prepared: a SELECT from the table itself.
        table: the table.

    Returns:
        The key is canonical, and not checked yet; None: it names no single item.

    Raises:
        ValidationException: the statement does not fit the table, or its parameters are wrong.
    """
    plan = select_plan(prepared.parsed, table.keys)
    key = single_item(prepared.parsed, table.keys).key(prepared.parameters)
    if key is None:
        # What else is wrong with it is told first.
        plan.bind(prepared.parameters)
        return None
    return key, plan.projection


async def read_selected(
    context: Context, caller: Caller, prepared: Prepared, table: Table, found: SelectedItem
) -> tuple[Image, bytes]:
    """Reads the one item that a SELECT names; one round trip.

    Returns:
        The item, and what is answered of it as JSON, empty where there is none.
    """
    context.throttle.admit_read(table)
    stale = not prepared.request.get("ConsistentRead")
    (record,) = await context.store.get((found.place,), stale=stale, deadline=caller.deadline)
    image = Image.of_record(record)
    return image, answered(image, found.projection) if image.exists else b""
