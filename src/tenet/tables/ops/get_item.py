"""GetItem (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_GetItem.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from tenet.tables.ops.placing import at_sight
from tenet.tables.rules.capacity import Consumed, read_units
from tenet.tables.rules.images import Image
from tenet.tables.rules.key_values import check_scalar_access, place_of_key
from tenet.tables.rules.legacy import projection_of

if TYPE_CHECKING:
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Table
    from tenet.tables.rules.projections import Projection


async def get_item(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Reads one item; one round trip, and no decoding without a projection.

    Raises:
        ValidationException: the key does not match the schema, or the projection is wrong.
        ResourceNotFoundException: there is no such table.
    """
    key = request["Key"]
    known, place = at_sight(context, caller, request)
    projection = projection_of(request)
    table = known or await context.catalog.table(caller.account, request["TableName"], deadline=caller.deadline)
    caller.notes["table"] = table.name
    place = place or place_of_key(table, key)
    if projection is not None:
        check_scalar_access(projection.nested_names, table)
    context.throttle.admit_read(table)
    consistent = bool(request.get("ConsistentRead"))
    (record,) = await context.store.get((place,), stale=not consistent, deadline=caller.deadline)
    image = Image.of_record(record)
    members = []
    if image.exists:
        members.append(b'"Item":' + answered(image, projection))
    mode = request.get("ReturnConsumedCapacity", "NONE")
    if mode != "NONE" or table.is_limited:
        consumed = charged(context, table, image, consistent=consistent)
        if mode != "NONE":
            members.append(b'"ConsumedCapacity":' + orjson.dumps(consumed.answer(mode)))
    return b"{" + b",".join(members) + b"}"


def answered(image: Image, projection: Projection | None) -> bytes:
    """Returns what is answered of an item that exists, as JSON."""
    if projection is None:
        return image.json
    assert image.item is not None
    return orjson.dumps(projection.apply(image.item))


def charged(context: Context, table: Table, image: Image, *, consistent: bool) -> Consumed:
    """Charges the read of one item, perhaps an absent one, and returns what it took."""
    consumed = Consumed(table)
    consumed.add(read_units(image.size, consistent=consistent))
    context.throttle.spend_read(table, consumed.total)
    return consumed
