"""BatchGetItem (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html)."""

from __future__ import annotations

from typing import Any, Final

import orjson

from tenet.store.contract import Key
from tenet.tables.context import Caller, Context
from tenet.tables.errors import ProvisionedThroughputExceededException, ValidationException
from tenet.tables.model import Item, Table
from tenet.tables.ops.get_item import answered
from tenet.tables.rules.attributes import check_item
from tenet.tables.rules.capacity import Consumed, read_units
from tenet.tables.rules.images import Image
from tenet.tables.rules.key_values import check_scalar_access, place_of_key
from tenet.tables.rules.legacy import projection_of
from tenet.tables.rules.projections import Projection

KEYS_MAX: Final = 100
#: Items behind those whose JSON reaches so many bytes in all stay unprocessed.
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024


class _Asked:
    """What is asked of one table.

    Args:
        name: the table's name as the request gives it.
        request: its KeysAndAttributes.
        projection: what to answer of each item.
        table: the table.
        keys: where the items lie, in the order asked.
    """

    __slots__ = ("keys", "name", "projection", "request", "table")

    def __init__(
        self, name: str, request: dict[str, Any], projection: Projection | None, table: Table, keys: list[Key]
    ) -> None:
        self.name = name
        self.request = request
        self.projection = projection
        self.table = table
        self.keys = keys


class _Found:
    """What was read of one table."""

    __slots__ = ("consumed", "items", "unprocessed")

    def __init__(self, items: list[bytes], unprocessed: list[Item], consumed: Consumed) -> None:
        self.items = items
        self.unprocessed = unprocessed
        self.consumed = consumed


async def batch_get_item(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Reads up to 100 items, each by itself; one round trip per table.

    Raises:
        ValidationException: a key or a projection is wrong, or a key stands twice.
        ResourceNotFoundException: there is no such table.
        ProvisionedThroughputExceededException: no table has capacity left.
    """
    asked = await _asked(context, caller, request["RequestItems"])
    room = ANSWER_BYTES_MAX
    found: list[_Found] = []
    refusals: list[ProvisionedThroughputExceededException] = []
    for of_table in asked:
        try:
            context.throttle.admit_read(of_table.table)
        except ProvisionedThroughputExceededException as error:
            refusals.append(error)
            found.append(_Found([], list(of_table.request["Keys"]), Consumed(of_table.table)))
            continue
        read = await _read(context, caller, of_table, room)
        room -= sum(map(len, read.items))
        found.append(read)
    if len(refusals) == len(asked):
        raise refusals[0]
    return _answer(request.get("ReturnConsumedCapacity", "NONE"), asked, found)


async def _asked(context: Context, caller: Caller, tables: dict[str, dict[str, Any]]) -> list[_Asked]:
    projections = []
    for of_table in tables.values():
        for key in of_table["Keys"]:
            check_item(key)
        projections.append(projection_of(of_table))
    if sum(len(of_table["Keys"]) for of_table in tables.values()) > KEYS_MAX:
        raise ValidationException("Too many items requested for the BatchGetItem call")
    asked = []
    for (name, of_table), projection in zip(tables.items(), projections, strict=True):
        table = await context.catalog.table(caller.account, name, deadline=caller.deadline)
        caller.notes["table"] = table.name
        where = [place_of_key(table, key) for key in of_table["Keys"]]
        if projection is not None:
            check_scalar_access(projection.nested_names, table)
        if len(set(where)) < len(where):
            raise ValidationException("Provided list of item keys contains duplicates")
        asked.append(_Asked(name, of_table, projection, table, where))
    return asked


async def _read(context: Context, caller: Caller, asked: _Asked, room: int) -> _Found:
    """Reads the items of one table, as many as there is room for."""
    consistent = bool(asked.request.get("ConsistentRead"))
    records = await context.store.get(asked.keys, stale=not consistent, deadline=caller.deadline)
    found = _Found([], [], Consumed(asked.table))
    wanted = asked.request["Keys"]
    for at, record in enumerate(records):
        image = Image.of_record(record)
        answer = answered(image, asked.projection) if image.exists else b""
        if len(answer) > room:
            found.unprocessed.extend(wanted[at:])
            break
        room -= len(answer)
        found.consumed.add(read_units(image.size, consistent=consistent))
        if image.exists:
            found.items.append(answer)
    context.throttle.spend_read(asked.table, found.consumed.total)
    return found


def _answer(mode: str, asked: list[_Asked], found: list[_Found]) -> bytes:
    responses = b",".join(
        orjson.dumps(of_table.name) + b":[" + b",".join(read.items) + b"]"
        for of_table, read in zip(asked, found, strict=True)
    )
    unprocessed = {
        of_table.name: {**of_table.request, "Keys": read.unprocessed}
        for of_table, read in zip(asked, found, strict=True)
        if read.unprocessed
    }
    answer = b'{"Responses":{' + responses + b'},"UnprocessedKeys":' + orjson.dumps(unprocessed)
    if mode != "NONE":
        answer += b',"ConsumedCapacity":' + orjson.dumps([read.consumed.answer(mode) for read in found])
    return answer + b"}"
