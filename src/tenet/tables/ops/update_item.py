"""UpdateItem (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenet.tables.ops.placing import at_sight
from tenet.tables.ops.writing import Plan, answer, charge, check_condition, wants_old, write
from tenet.tables.rules.attributes import check_updated_item_size
from tenet.tables.rules.images import Image
from tenet.tables.rules.key_values import check_index_keys, check_scalar_access, place_of_key
from tenet.tables.rules.parameters import update_of
from tenet.tables.rules.returns import returned_attributes
from tenet.tables.rules.sizes import changed_bytes, item_bytes

if TYPE_CHECKING:
    from tenet.store.contract import Key
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Item, Table
    from tenet.tables.rules.conditions import Condition
    from tenet.tables.rules.updates import Update


async def update_item(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Changes one item, or makes it where there is none; two round trips, a share of them where the key is hot.

    Raises:
        ValidationException: the key does not match the schema, an expression is wrong, or the item does not fit it.
        ResourceNotFoundException: there is no such table.
        ConditionalCheckFailedException: the condition does not hold.
    """
    key = request["Key"]
    known, place = at_sight(context, caller, request)
    mode = request.get("ReturnValues", "NONE")
    update, condition = update_of(request)
    table = known or await context.catalog.table(caller.account, request["TableName"], deadline=caller.deadline)
    caller.notes["table"] = table.name
    place = place or place_of_key(table, key)
    plan = update_plan(table, place, key, update, condition, return_old=wants_old(request))
    context.throttle.admit_write(table)
    written = await write(context, caller, plan, look=True)
    charge(context, table, written)
    touched = () if update is None or mode == "NONE" else update.paths
    attributes = None if mode == "NONE" else returned_attributes(mode, written.old.item, written.new.item, touched)
    return answer(request, table, written, attributes, key)


def update_plan(
    table: Table, place: Key, key: Item, update: Update | None, condition: Condition | None, *, return_old: bool
) -> Plan:
    """Returns the plan that changes an item.

    Args:
        table: its table.
        place: where it lies.
        key: its key, checked and canonical.
        update: what to change; None makes an item of the key alone where there is none.
        condition: on what is there, or None.
        return_old: whether a failed condition carries the item that is there.

    Raises:
        ValidationException: the update would change the key.
    """
    if update is not None:
        update.check_keys(table.keys)
        check_scalar_access(update.nested_names, table)
    if condition is not None:
        check_scalar_access(condition.nested_names, table)

    def decide(old: Image) -> Image:
        check_condition(condition, old, return_old=return_old)
        item = (old.item or key) if update is None else update.apply(old.item, key)
        if item is None:
            return old
        size = item_bytes(item) if update is None else changed_bytes(old.size, old.item or {}, item, update.names)
        check_updated_item_size(size)
        if table.indexes:
            check_index_keys(item, table, is_update=True, before=old.item)
        return Image.of_item(item, size)

    return Plan(table, place, decide)
