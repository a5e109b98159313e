"""PutItem (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PutItem.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenet.tables.errors import ValidationException
from tenet.tables.ops.writing import Plan, answer, charge, check_condition, must_look, wants_old, write
from tenet.tables.rules.attributes import check_item, check_item_size
from tenet.tables.rules.images import Image
from tenet.tables.rules.indexes import indexes_of
from tenet.tables.rules.key_values import check_scalar_access, place_of_item
from tenet.tables.rules.legacy import condition_of

if TYPE_CHECKING:
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Item, Table
    from tenet.tables.rules.conditions import Condition


async def put_item(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Writes one item, whatever was there unless a condition says otherwise; one round trip, two with a look at it.

    Raises:
        ValidationException: the item or an expression is wrong.
        ResourceNotFoundException: there is no such table.
        ConditionalCheckFailedException: the condition does not hold.
    """
    item = request["Item"]
    size = check_item(item)
    mode = request.get("ReturnValues", "NONE")
    if mode not in {"NONE", "ALL_OLD"}:
        raise ValidationException("ReturnValues can only be ALL_OLD or NONE")
    check_item_size(size)
    condition = condition_of(request)
    table = await context.catalog.table(caller.account, request["TableName"], deadline=caller.deadline)
    caller.notes["table"] = table.name
    plan = put_plan(table, item, size, condition, return_old=wants_old(request))
    context.throttle.admit_write(table, indexes_of(table, item))
    written = await write(context, caller, plan, look=must_look(request, table))
    charge(context, table, written)
    return answer(request, table, written, written.old if mode == "ALL_OLD" and written.old.exists else None, item)


def put_plan(table: Table, item: Item, size: int, condition: Condition | None, *, return_old: bool) -> Plan:
    """Returns the plan that writes an item.

    Args:
        table: where to.
        item: checked and canonical.
        size: its bytes.
        condition: on what is there, or None.
        return_old: whether a failed condition carries the item that is there.

    Raises:
        ValidationException: its keys do not match the schema of the table or of an index.
    """
    place = place_of_item(table, item)
    if condition is not None:
        check_scalar_access(condition.nested_names, table)
    new = Image.of_item(item, size)

    def decide(old: Image) -> Image:
        check_condition(condition, old, return_old=return_old)
        return new

    return Plan(table, place, decide, new if condition is None else None)
