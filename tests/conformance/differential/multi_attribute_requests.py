"""Makes tables whose global index has a key of several attributes, and requests to them, right and wrong ones."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.conformance.differential.requests import Step
from tests.conformance.differential.schemas import Json
from tests.conformance.differential.table_requests import TABLE

#: What attributes of the key have as values: few, so that entries agree in many of them.
_CONTENTS = {"S": ("a", "ab", "b", "a\x00"), "N": ("1", "2", "10", "-1.5"), "B": ("YQ==", "YWI=", "AA==")}
_NAMES = "abcdefgh"
_ATTRIBUTES_MAX = 4
_COMPARISONS = ("=", "<", "<=", ">", ">=", "BETWEEN", "begins_with")
_LEGACY = {"=": "EQ", "<": "LT", "<=": "LE", ">": "GT", ">=": "GE", "BETWEEN": "BETWEEN", "begins_with": "BEGINS_WITH"}


class Several:
    """A table, its index, and requests to them.

    Args:
        random: where choices come from.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        hashes = random.randint(1, _ATTRIBUTES_MAX)
        ranges = random.randint(0 if hashes > 1 else 1, _ATTRIBUTES_MAX - 1)
        self._hashes = list(_NAMES[:hashes])
        # The last one is another in each item, so that nothing is left open about the order of entries.
        self._ranges = [*_NAMES[hashes : hashes + ranges], "last"]
        self._types = {name: random.choice("SSNB") for name in [*self._hashes, *self._ranges]} | {"last": "N"}
        self._count = 0

    # ---- the table ---------------------------------------------------------------------------------------------------

    def _index(self, hashes: list[str], ranges: list[str]) -> Json:
        elements = [{"AttributeName": name, "KeyType": "HASH"} for name in hashes]
        elements += [{"AttributeName": name, "KeyType": "RANGE"} for name in ranges]
        projection: Json = {"ProjectionType": self._random.choice(("ALL", "KEYS_ONLY"))}
        return {"IndexName": "several", "KeySchema": elements, "Projection": projection}

    def _definitions(self, *names: str) -> list[Json]:
        types = {"p": "S"} | self._types
        return [{"AttributeName": name, "AttributeType": types[name]} for name in names]

    def create(self, *, with_index: bool) -> Step:
        """CreateTable, with the index or without it."""
        request: Json = {
            "TableName": TABLE,
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}],
            "AttributeDefinitions": self._definitions("p", *(self._types if with_index else ())),
        }
        if with_index:
            request["GlobalSecondaryIndexes"] = [self._index(self._hashes, self._ranges)]
        return Step("CreateTable", request)

    def add(self) -> Step:
        """UpdateTable that adds the index."""
        update = {"Create": self._index(self._hashes, self._ranges)}
        request = {"TableName": TABLE, "AttributeDefinitions": self._definitions(*self._types)}
        return Step("UpdateTable", request | {"GlobalSecondaryIndexUpdates": [update]})

    def create_wrongly(self) -> Step:
        """CreateTable with a key that no index can have."""
        step = self.create(with_index=True)
        (index,) = step.request["GlobalSecondaryIndexes"]
        schema = index["KeySchema"]
        form = self._random.randrange(5)
        if form == 0:
            schema[:] = [{"AttributeName": name, "KeyType": "HASH"} for name in "abcde"]
        elif form == 1:
            schema[1:] = [{"AttributeName": name, "KeyType": "RANGE"} for name in "bcdef"]
        elif form == 2:
            schema.append(dict(schema[0]))
        elif form == 3:
            schema.append({"AttributeName": "z", "KeyType": "HASH"})
        else:
            schema.insert(0, schema.pop())
        used = dict.fromkeys(element["AttributeName"] for element in schema)
        types = {"z": "S"} | dict.fromkeys("abcdef", "S") | self._types
        step.request["AttributeDefinitions"] = [
            {"AttributeName": name, "AttributeType": types.get(name, "S")} for name in ("p", *used)
        ]
        return step

    # ---- items -------------------------------------------------------------------------------------------------------

    def _value(self, name: str) -> Json:
        kind = self._types[name]
        return {kind: self._random.choice(_CONTENTS[kind])}

    def _item(self) -> Json:
        self._count += 1
        item: Json = {"p": {"S": f"p{self._random.randrange(12)}"}, "x": {"S": "other"}}
        for name in self._types:
            if self._random.random() < 0.9:
                # One value of most attributes of the partition key, so that there are partitions with many entries.
                is_one = name in self._hashes and self._random.random() < 0.8
                item[name] = {self._types[name]: _CONTENTS[self._types[name]][0]} if is_one else self._value(name)
        if "last" in item:
            item["last"] = {"N": str(self._count)}
        return item

    def put(self) -> Step:
        """PutItem."""
        return Step("PutItem", {"TableName": TABLE, "Item": self._item(), "ReturnConsumedCapacity": "NONE"})

    def put_wrongly(self) -> Step:
        """PutItem with an attribute that the index cannot hold."""
        item, name = self._item(), self._random.choice(list(self._types))
        other = "S" if self._types[name] != "S" else "N"
        empty = {self._types[name]: ""} if self._types[name] != "N" else {"S": ""}
        item[name] = self._random.choice(({other: "1"}, empty, {"NULL": True}, {"L": []}, None))
        if item[name] is None:
            # Too long, or only together with the others, or not at all.
            size = self._random.choice((500, 900, 1_020, 1_200, 2_045, 2_060))
            item |= {each: {"S": "x" * size} for each, kind in self._types.items() if kind == "S"}
            item |= {each: self._value(each) for each, kind in self._types.items() if kind != "S"}
        return Step("PutItem", {"TableName": TABLE, "Item": item}, is_faulty=True)

    def update(self) -> Step:
        """UpdateItem that moves an item to another place in the index, or out of it."""
        name = self._random.choice([name for name in self._types if name != "last"])
        request: Json = {"TableName": TABLE, "Key": {"p": {"S": f"p{self._random.randrange(12)}"}}}
        request |= {"ExpressionAttributeNames": {"#a": name}, "ReturnValues": "ALL_NEW"}
        if self._random.random() < 0.3:
            return Step("UpdateItem", request | {"UpdateExpression": "REMOVE #a"})
        values = {":v": self._value(name)}
        return Step("UpdateItem", request | {"UpdateExpression": "SET #a = :v", "ExpressionAttributeValues": values})

    def delete(self) -> Step:
        """DeleteItem."""
        return Step("DeleteItem", {"TableName": TABLE, "Key": {"p": {"S": f"p{self._random.randrange(12)}"}}})

    def transact(self) -> Step:
        """TransactWriteItems of two puts."""
        items = [self._item() | {"p": {"S": f"p{number}"}} for number in self._random.sample(range(12), 2)]
        actions = [{"Put": {"TableName": TABLE, "Item": item}} for item in items]
        return Step("TransactWriteItems", {"TransactItems": actions})

    # ---- reading -----------------------------------------------------------------------------------------------------

    def _conditions(self) -> list[tuple[str, str, list[Json]]]:
        count = self._random.randint(0, len(self._ranges))
        named = self._ranges[:count]
        conditions = [(name, "=", [{self._types[name]: _CONTENTS[self._types[name]][0]}]) for name in self._hashes]
        conditions += [(name, "=", [self._value(name)]) for name in named[:-1]]
        if named:
            conditions.append(self._last(named[-1]))
        return conditions

    def _last(self, name: str) -> tuple[str, str, list[Json]]:
        kind = self._types[name]
        operator = self._random.choice([one for one in _COMPARISONS if kind != "N" or one != "begins_with"])
        values = [{kind: content} for content in _CONTENTS[kind]]
        if operator == "BETWEEN":
            return name, operator, [values[0], values[1]]
        return name, operator, [self._random.choice(values)]

    def query(self, *, is_wrong: bool = False, is_legacy: bool = False) -> Step:
        """Query of the index, with conditions that fit it or not."""
        conditions = self._conditions()
        if is_wrong:
            self._spoil(conditions)
        self._random.shuffle(conditions)
        request: Json = {"TableName": TABLE, "IndexName": "several"}
        if self._random.random() < 0.4:
            request["ScanIndexForward"] = False
        if self._random.random() < 0.3 and not is_wrong:
            request["Limit"] = self._random.randint(1, 3)
        request |= _legacy(conditions) if is_legacy else _expression(conditions)
        return Step("Query", request, is_ordered=True, is_faulty=is_wrong)

    def _spoil(self, conditions: list[tuple[str, str, list[Json]]]) -> None:
        form = self._random.randrange(5)
        if form == 0:
            del conditions[self._random.randrange(len(self._hashes))]
        elif form == 1 and len(conditions) > len(self._hashes) + 1:
            del conditions[len(self._hashes)]
        elif form == 2:
            conditions.append(("other", "=", [{"S": "a"}]))
        elif form == 3:
            at = self._random.randrange(len(self._hashes))
            name, _, values = conditions[at]
            conditions[at] = (name, ">", values)
        else:
            at = self._random.randrange(len(conditions))
            name, _, _ = conditions[at]
            conditions[at] = (name, "=", [{"N": "1"} if self._types[name] != "N" else {"S": "a"}])
        if not conditions:
            conditions.append(("other", "=", [{"S": "a"}]))

    def query_on(self) -> Step:
        """Query that goes on behind an entry, of this partition and within the conditions or not."""
        step = self.query()
        start = {name: {kind: _CONTENTS[kind][0]} for name, kind in self._types.items()} | {"p": {"S": "p1"}}
        for _ in range(self._random.randint(0, 2)):
            name = self._random.choice(list(self._types))
            if self._random.random() < 0.8:
                start[name] = self._value(name)
            else:
                start.pop(name, None)
        if "last" in start:
            # Between entries: how those are sorted that have all in common, the service leaves open.
            start["last"] = {"N": self._random.choice(("0.5", "2.5", "7.5"))}
        return Step("Query", step.request | {"ExclusiveStartKey": start}, is_ordered=True)

    def scan(self) -> Step:
        """Scan of the index."""
        return Step("Scan", {"TableName": TABLE, "IndexName": "several"})

    def statement(self) -> Step:
        """A SELECT from the index."""
        where = self._random.choice(("", " WHERE a = 'a'", " WHERE a = 'a' AND b = 'b' ORDER BY c"))
        return Step("ExecuteStatement", {"Statement": f'SELECT * FROM "{TABLE}"."several"{where}'})


def _expression(conditions: list[tuple[str, str, list[Json]]]) -> Json:
    values: Json = {}
    texts = []
    for name, operator, bounds in conditions:
        marks = [f":v{len(values) + at}" for at in range(len(bounds))]
        values |= dict(zip(marks, bounds, strict=True))
        named = f"#{name}"
        if operator == "BETWEEN":
            texts.append(f"{named} BETWEEN {marks[0]} AND {marks[1]}")
        else:
            is_call = operator == "begins_with"
            texts.append(f"begins_with({named}, {marks[0]})" if is_call else f"{named} {operator} {marks[0]}")
    return {
        "KeyConditionExpression": " AND ".join(texts),
        "ExpressionAttributeValues": values,
        "ExpressionAttributeNames": {f"#{name}": name for name, _, _ in conditions},
    }


def _legacy(conditions: list[tuple[str, str, list[Json]]]) -> Json:
    return {
        "KeyConditions": {
            name: {"ComparisonOperator": _LEGACY[operator], "AttributeValueList": values}
            for name, operator, values in conditions
        }
    }


def multi_attribute_sequence(random: Random) -> list[Step]:
    """A table with such an index from its definition to its end."""
    several = Several(random)
    if random.random() < 0.25:
        return [several.create_wrongly(), Step("DescribeTable", {"TableName": TABLE})]
    is_added = random.random() < 0.3
    steps = [several.create(with_index=not is_added)]
    steps += [several.put() for _ in range(random.randint(4, 12))]
    if is_added:
        steps.append(several.add())
    steps.append(Step("DescribeTable", {"TableName": TABLE}))
    make: list[Any] = [
        *[several.query] * 5,
        lambda: several.query(is_legacy=True),
        lambda: several.query(is_wrong=True),
        lambda: several.query(is_wrong=True, is_legacy=True),
        several.query_on,
        several.query_on,
        several.scan,
        several.statement,
        several.put,
        several.put_wrongly,
        several.update,
        several.update,
        several.delete,
        several.transact,
    ]
    steps += [random.choice(make)() for _ in range(random.randint(6, 20))]
    return [*steps, several.scan()]
