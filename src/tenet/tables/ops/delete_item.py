"""DeleteItem (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DeleteItem.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenet.tables.errors import ValidationException
from tenet.tables.ops.placing import at_sight
from tenet.tables.ops.writing import Plan, answer, charge, check_condition, must_look, wants_old, write
from tenet.tables.rules.images import ABSENT, Image
from tenet.tables.rules.key_values import check_scalar_access, place_of_key
from tenet.tables.rules.legacy import condition_of

if TYPE_CHECKING:
    from tenet.store.contract import Key
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Table
    from tenet.tables.rules.conditions import Condition


async def delete_item(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Deletes one item; nothing happens where there is none. One round trip, two with a look at it.

    Raises:
        ValidationException: the key does not match the schema, or an expression is wrong.
        ResourceNotFoundException: there is no such table.
        ConditionalCheckFailedException: the condition does not hold.
    """
    key = request["Key"]
    known, place = at_sight(context, caller, request)
    mode = request.get("ReturnValues", "NONE")
    if mode not in {"NONE", "ALL_OLD"}:
        raise ValidationException("ReturnValues can only be ALL_OLD or NONE")
    condition = condition_of(request)
    table = known or await context.catalog.table(caller.account, request["TableName"], deadline=caller.deadline)
    caller.notes["table"] = table.name
    place = place or place_of_key(table, key)
    plan = delete_plan(table, place, condition, return_old=wants_old(request))
    context.throttle.admit_write(table)
    written = await write(context, caller, plan, look=must_look(request, table))
    charge(context, table, written)
    return answer(request, table, written, written.old if mode == "ALL_OLD" and written.old.exists else None, key)


def delete_plan(table: Table, place: Key, condition: Condition | None, *, return_old: bool) -> Plan:
    """Returns the plan that deletes an item.

    Args:
        table: where from.
        place: where it lies.
        condition: on what is there, or None.
        return_old: whether a failed condition carries the item that is there.

    Raises:
        ValidationException: the condition leads into a key attribute.
    """
    if condition is not None:
        check_scalar_access(condition.nested_names, table)

    def decide(old: Image) -> Image:
        check_condition(condition, old, return_old=return_old)
        return ABSENT if old.exists else old

    return Plan(table, place, decide, ABSENT if condition is None else None)
