"""TransactGetItems (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactGetItems.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from tenet.store.contract import Record
from tenet.tables.errors import TablesError, ValidationException
from tenet.tables.ops.get_item import answered
from tenet.tables.ops.transacting import NO_REASON, NO_TABLE, canceled, check_distinct, reason_of
from tenet.tables.rules.attributes import check_item
from tenet.tables.rules.capacity import Consumed, read_units
from tenet.tables.rules.images import Image
from tenet.tables.rules.key_values import EmptyKeyValue, check_scalar_access, place_of_key
from tenet.tables.rules.parameters import projection_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.store.contract import Key
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Item, Table
    from tenet.tables.rules.projections import Projection

#: The most that the items may take together, in bytes by the service's rules.
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024


class Get:
    """One item that is to be read.

    Args:
        table: its table; None where there is none.
        key: of the item, its values checked.
        projection: what to answer of it, or None for all.
    """

    __slots__ = ("key", "projection", "table")

    def __init__(self, table: Table | None, key: Item, projection: Projection | None) -> None:
        self.table = table
        self.key = key
        self.projection = projection


async def transact_get_items(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Reads up to 100 items as one serializable snapshot; one round trip.

    Raises:
        ValidationException: a projection is wrong, a key is empty, an item stands twice, or the items are too large
            together.
        ResourceNotFoundException: there is no such table.
        TransactionCanceledException: a key does not match its table's schema.
    """
    requests = [element["Get"] for element in request["TransactItems"]]
    projections = []
    for each in requests:
        check_item(each["Key"])
        projections.append(projection_of(each))
    gets = []
    for each, projection in zip(requests, projections, strict=True):
        table = await context.catalog.table(caller.account, each["TableName"], deadline=caller.deadline)
        caller.notes["table"] = table.name
        gets.append(Get(table, each["Key"], projection))
    return await read_items(context, caller, gets, request.get("ReturnConsumedCapacity", "NONE"))


async def read_items(context: Context, caller: Caller, gets: Sequence[Get], mode: str) -> bytes:
    """Reads items as one snapshot, and returns the answer as JSON.

    Args:
        context: the service.
        caller: who reads.
        gets: 1 to 100.
        mode: ``ReturnConsumedCapacity``.

    Raises:
        ValidationException: a key is empty, an item stands twice, or the items are too large together.
        TransactionCanceledException: there is no table, or a key does not match its schema.
    """
    where = _places(gets)
    tables = [get.table for get in gets if get.table is not None]
    for get, table in zip(gets, tables, strict=True):
        if get.projection is not None:
            check_scalar_access(get.projection.nested_names, table)
    check_distinct(where)
    for table in tables:
        context.throttle.admit_read(table)
    found = await context.store.read_together(where, deadline=caller.deadline)
    images = [Image.of_record(record) for record in found if isinstance(record, Record | None)]
    if sum(image.size for image in images) > ANSWER_BYTES_MAX:
        raise ValidationException("Collection size of items exceeded 4MB limit")
    responses = [
        b'{"Item":' + answered(image, get.projection) + b"}" if image.exists else b"{}"
        for image, get in zip(images, gets, strict=True)
    ]
    answer = b'{"Responses":[' + b",".join(responses) + b"]"
    consumed = _charge(context, tables, images)
    if mode != "NONE":
        answer += b',"ConsumedCapacity":' + orjson.dumps([of_table.answer(mode, "Read") for of_table in consumed])
    return answer + b"}"


def _places(gets: Sequence[Get]) -> list[Key]:
    """Returns where the items lie; cancels the transaction where there is no table or keys do not match its schema."""
    places = []
    reasons = []
    for get in gets:
        if get.table is None:
            reasons.append(NO_TABLE)
            continue
        try:
            places.append(place_of_key(get.table, get.key))
            reasons.append(NO_REASON)
        except EmptyKeyValue:
            raise
        except TablesError as error:
            reasons.append(reason_of(error))
    if len(places) < len(gets):
        raise canceled(reasons)
    return places


def _charge(context: Context, tables: Sequence[Table], images: Sequence[Image]) -> list[Consumed]:
    """Charges the reads, which cost double in a transaction; returns what they took by table."""
    consumed: dict[str, Consumed] = {}
    for table, image in zip(tables, images, strict=True):
        units = 2 * read_units(image.size, consistent=True)
        consumed.setdefault(table.id, Consumed(table)).add(units)
        context.throttle.spend_read(table, units)
    return list(consumed.values())
