"""Makes requests to the data plane, and the sequences in which they are sent."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from tests.conformance.differential.expressions import Writer
from tests.conformance.differential.faults import break_request
from tests.conformance.differential.schemas import INDEX_ATTRIBUTES, SCHEMAS, Index, Json, Schema
from tests.conformance.differential.values import ATTRIBUTES, Value, key_value, value

RETURN_VALUES_OF_UPDATE = ("NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW")
CONSUMED_CAPACITY = ("INDEXES", "TOTAL", "NONE")
#: What a request says where the run puts a token that no other sequence uses.
TOKEN = "token"


@dataclass(frozen=True)
class Step:
    """One request of a sequence, and how its answers can be compared.

    Args:
        operation: its name.
        request: its body.
        is_ordered: whether the service promises the order of the items in the answer.
        reads_all: whether it is sent again with the last key until the end, and what comes together is compared;
            where the order is not promised, single pages are not comparable.
        is_faulty: whether something was broken on purpose.
        segments: in how many segments it is sent, one after the other, when it reads all.
    """

    operation: str
    request: Json
    is_ordered: bool = False
    reads_all: bool = False
    is_faulty: bool = False
    segments: int = 1


class Requests:
    """Builds requests to one table.

    Args:
        random: where choices come from.
        schema: the table.
    """

    def __init__(self, random: Random, schema: Schema) -> None:
        self._random = random
        self._schema = schema
        self._writer = Writer(random, schema)

    def _begin(self) -> Json:
        """A request to the table; its expressions get placeholders of their own."""
        self._writer = Writer(self._random, self._schema)
        return {"TableName": self._schema.name}

    def _end(self, request: Json) -> Json:
        """Adds what the expressions refer to."""
        if self._writer.names:
            request["ExpressionAttributeNames"] = self._writer.names
        if self._writer.values:
            request["ExpressionAttributeValues"] = self._writer.values
        return request

    def _sometimes(self, request: Json, percent: int, member: str, options: tuple[Any, ...]) -> None:
        if self._writer.chance(percent):
            request[member] = self._writer.pick(options)

    # ---- items ---------------------------------------------------------------------------------------------------

    def key(self) -> Json:
        """A key of the table."""
        return {name: key_value(self._random, kind) for name, kind in self._schema.keys}

    def item(self) -> Json:
        """An item: its key, most of the attributes that indexes need, and a few others."""
        item = self.key()
        if self._schema.indexes:
            for name, kind in INDEX_ATTRIBUTES.items():
                if self._writer.chance(70):
                    item[name] = key_value(self._random, kind)
        for name in self._random.sample(list(ATTRIBUTES), self._writer.count(0, 5)):
            item[name] = self._attribute(name)
        return item

    def _attribute(self, name: str) -> Value:
        kind = ATTRIBUTES[name] if self._writer.chance(90) else "any"
        return value(self._random, kind)

    # ---- single items --------------------------------------------------------------------------------------------

    def put_item(self) -> Step:
        """PutItem, with a condition in every third case."""
        request = self._begin() | {"Item": self.item()}
        if self._writer.chance(35):
            request["ConditionExpression"] = self._writer.condition()
        self._sometimes(request, 40, "ReturnValues", ("ALL_OLD", "NONE"))
        return Step("PutItem", self._end(self._written(request)))

    def update_item(self) -> Step:
        """UpdateItem, now and then without anything to do."""
        request = self._begin() | {"Key": self.key()}
        if self._writer.chance(95):
            request["UpdateExpression"] = self._writer.update()
        if self._writer.chance(25):
            request["ConditionExpression"] = self._writer.condition()
        self._sometimes(request, 75, "ReturnValues", RETURN_VALUES_OF_UPDATE)
        return Step("UpdateItem", self._end(self._written(request)))

    def delete_item(self) -> Step:
        """DeleteItem, with a condition in every third case."""
        request = self._begin() | {"Key": self.key()}
        if self._writer.chance(35):
            request["ConditionExpression"] = self._writer.condition()
        self._sometimes(request, 50, "ReturnValues", ("ALL_OLD", "NONE"))
        return Step("DeleteItem", self._end(self._written(request)))

    def get_item(self) -> Step:
        """GetItem, with a projection in half of the cases."""
        request = self._begin() | {"Key": self.key()}
        if self._writer.chance(50):
            request["ProjectionExpression"] = self._writer.projection()
        self._sometimes(request, 30, "ConsistentRead", (True, False))
        self._sometimes(request, 30, "ReturnConsumedCapacity", CONSUMED_CAPACITY)
        return Step("GetItem", self._end(request))

    def _written(self, request: Json) -> Json:
        self._sometimes(request, 35, "ReturnConsumedCapacity", CONSUMED_CAPACITY)
        self._sometimes(request, 30, "ReturnValuesOnConditionCheckFailure", ("ALL_OLD", "NONE"))
        return request

    # ---- several items -------------------------------------------------------------------------------------------

    def query(self) -> Step:
        """Query of the table or of an index."""
        request = self._begin()
        index = self._index()
        keys = self._schema.key_names if index is None else index.keys
        request["KeyConditionExpression"] = self._writer.key_condition(keys)
        self._sometimes(request, 30, "ScanIndexForward", (True, False))
        self._read(request, index, keys)
        # Entries with the same index key come in any order, and a page may end among them.
        return _reading("Query", self._end(request), is_ordered=index is None)

    def scan(self) -> Step:
        """Scan of the table or of an index, in one segment or one of several."""
        request = self._begin()
        index = self._index()
        self._read(request, index, ())
        return _reading("Scan", self._end(request), is_ordered=False)

    def _index(self) -> Index | None:
        if not self._schema.indexes or self._writer.chance(30):
            return None
        return self._writer.pick(self._schema.indexes)

    def _read(self, request: Json, index: Index | None, keys: tuple[str, ...]) -> None:
        if index is not None:
            request["IndexName"] = index.name
        if self._writer.chance(40):
            request["FilterExpression"] = self._writer.condition(keys=not keys or self._writer.chance(5))
        if self._writer.chance(30):
            request["ProjectionExpression"] = self._writer.projection()
            self._sometimes(request, 20, "Select", ("SPECIFIC_ATTRIBUTES",))
        else:
            self._sometimes(request, 30, "Select", ("ALL_ATTRIBUTES", "COUNT", "ALL_PROJECTED_ATTRIBUTES"))
        self._sometimes(request, 35, "Limit", (1, 2, 3, 100))
        self._sometimes(request, 20, "ConsistentRead", (True, False))
        self._sometimes(request, 30, "ReturnConsumedCapacity", CONSUMED_CAPACITY)

    def batch_write_item(self) -> Step:
        """BatchWriteItem of up to five puts and deletes."""
        self._begin()
        writes: list[Json] = []
        for _ in range(self._writer.count(1, 5)):
            if self._writer.chance(70):
                writes.append({"PutRequest": {"Item": self.item()}})
            else:
                writes.append({"DeleteRequest": {"Key": self.key()}})
        request: Json = {"RequestItems": {self._schema.name: self._distinct(writes)}}
        self._sometimes(request, 35, "ReturnConsumedCapacity", CONSUMED_CAPACITY)
        return Step("BatchWriteItem", request)

    def _distinct(self, writes: list[Json]) -> list[Json]:
        """The writes without those to a key that another writes; now and then as they are."""
        if self._writer.chance(5):
            return writes
        kept: dict[str, Json] = {}
        for write in writes:
            item = write["PutRequest"]["Item"] if "PutRequest" in write else write["DeleteRequest"]["Key"]
            kept.setdefault(self._identity(item), write)
        return list(kept.values())

    def _identity(self, item: Json) -> str:
        return repr([_canonical(item[name]) for name in self._schema.key_names])

    def batch_get_item(self) -> Step:
        """BatchGetItem of up to four keys."""
        self._begin()
        keys = [self.key() for _ in range(self._writer.count(1, 4))]
        if self._writer.chance(95):
            keys = list({self._identity(key): key for key in keys}.values())
        wanted: Json = {"Keys": keys}
        if self._writer.chance(40):
            wanted["ProjectionExpression"] = self._writer.projection()
        self._sometimes(wanted, 30, "ConsistentRead", (True, False))
        if self._writer.names:
            wanted["ExpressionAttributeNames"] = self._writer.names
        request: Json = {"RequestItems": {self._schema.name: wanted}}
        self._sometimes(request, 35, "ReturnConsumedCapacity", CONSUMED_CAPACITY)
        return Step("BatchGetItem", request)

    # ---- transactions --------------------------------------------------------------------------------------------

    def transact_write_items(self) -> Step:
        """TransactWriteItems of up to four actions, in half of the cases with a token."""
        actions: dict[str, Json] = {}
        for _ in range(self._writer.count(1, 4)):
            kind = self._writer.pick(("Put", "Update", "Update", "Delete", "ConditionCheck"))
            body = self._action(kind)
            actions.setdefault(self._identity(body.get("Item") or body["Key"]), {kind: body})
        request: Json = {"TransactItems": list(actions.values())}
        self._sometimes(request, 35, "ReturnConsumedCapacity", CONSUMED_CAPACITY)
        if self._writer.chance(50):
            request["ClientRequestToken"] = f"{TOKEN}-{self._writer.count(0, 1)}"
        return Step("TransactWriteItems", request)

    def _action(self, kind: str) -> Json:
        action = self._begin() | ({"Item": self.item()} if kind == "Put" else {"Key": self.key()})
        if kind == "Update":
            action["UpdateExpression"] = self._writer.update()
        if kind == "ConditionCheck" or self._writer.chance(25):
            action["ConditionExpression"] = self._writer.condition(1)
        self._sometimes(action, 25, "ReturnValuesOnConditionCheckFailure", ("ALL_OLD", "NONE"))
        return self._end(action)

    def transact_get_items(self) -> Step:
        """TransactGetItems of up to three keys."""
        gets: dict[str, Json] = {}
        for _ in range(self._writer.count(1, 3)):
            get = self._begin() | {"Key": self.key()}
            if self._writer.chance(40):
                get["ProjectionExpression"] = self._writer.projection()
            if self._writer.names:
                get["ExpressionAttributeNames"] = self._writer.names
            gets.setdefault(self._identity(get["Key"]), {"Get": get})
        request: Json = {"TransactItems": list(gets.values())}
        self._sometimes(request, 35, "ReturnConsumedCapacity", CONSUMED_CAPACITY)
        return Step("TransactGetItems", request)


def _canonical(value: Value) -> Value:
    """A key's value by which two spellings of a number are one."""
    return {"N": str(float(value["N"]))} if "N" in value else value


def _reading(operation: str, request: Json, *, is_ordered: bool) -> Step:
    return Step(operation, request, is_ordered, reads_all="Limit" in request and not is_ordered)


#: How often each operation comes, as so many tickets.
_TICKETS: dict[Callable[[Requests], Step], int] = {
    Requests.put_item: 5,
    Requests.update_item: 7,
    Requests.delete_item: 2,
    Requests.get_item: 2,
    Requests.query: 5,
    Requests.scan: 3,
    Requests.batch_write_item: 1,
    Requests.batch_get_item: 1,
    Requests.transact_write_items: 3,
    Requests.transact_get_items: 1,
}
_DRUM = [build for build, tickets in _TICKETS.items() for _ in range(tickets)]
_WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"})
#: Tables with indexes show more; they come more often.
TABLES = [*SCHEMAS, *[schema for schema in SCHEMAS if schema.indexes] * 4]


def step(random: Random, schema: Schema, fault_percent: int = 30) -> Step:
    """One request to a table, broken in so many cases of a hundred."""
    made = random.choice(_DRUM)(Requests(random, schema))
    if random.randrange(100) >= fault_percent:
        return made
    request = break_request(Writer(random, schema), schema, copy.deepcopy(made.request))
    # What is broken may be the Limit, and then it is only there now.
    reads_all = made.operation in {"Query", "Scan"} and not made.is_ordered and "Limit" in request
    return replace(made, request=request, reads_all=reads_all, is_faulty=True)


def measured(random: Random, made: Step) -> Step:
    """A write as it was made, or with the question how large the collections are that it wrote to."""
    if made.operation not in _WRITES or made.is_faulty or random.random() >= 0.25:
        return made
    metrics = random.choice(("SIZE", "SIZE", "NONE"))
    return replace(made, request=made.request | {"ReturnItemCollectionMetrics": metrics})


def sequence(random: Random, length_max: int = 12) -> list[Step]:
    """Requests to one table: some items first, then anything."""
    schema = random.choice(TABLES)
    first = Requests(random, schema)
    more = [step(random, schema) for _ in range(random.randint(1, length_max))]
    # Drawn last, so that all else stays what it was.
    return [measured(random, one) for one in (first.batch_write_item(), first.put_item(), *more)]
