"""Makes requests with legacy parameters, valid for the most part, and breaks them in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from tests.conformance.differential.known_conditions import CONDITIONS
from tests.conformance.differential.requests import TABLES, Requests, Step
from tests.conformance.differential.schemas import INDEX_ATTRIBUTES, Index, Json
from tests.conformance.differential.values import ATTRIBUTES, key_value, refused_value, value, wrong_json

OPERATORS = (
    *("EQ", "EQ", "NE", "LT", "LE", "GT", "GE", "BETWEEN", "IN", "BEGINS_WITH", "CONTAINS", "NOT_CONTAINS"),
    *("NULL", "NOT_NULL"),
)
#: Those of conditions on sort keys.
_OF_KEYS = ("EQ", "LT", "LE", "GT", "GE", "BETWEEN")
_NEED_ORDER = frozenset({"LT", "LE", "GT", "GE", "BETWEEN", "IN"})
_MEMBERS = {"SS": "S", "NS": "N", "BS": "B", "L": "S"}
#: An expression that a request with legacy parameters may not have.
_BESIDE = {
    "PutItem": "ConditionExpression",
    "DeleteItem": "ConditionExpression",
    "UpdateItem": "ConditionExpression",
    "GetItem": "ProjectionExpression",
    "Query": "FilterExpression",
    "Scan": "FilterExpression",
}


class LegacyRequests(Requests):
    """Builds requests to one table, with legacy parameters in place of expressions."""

    # ---- conditions ----------------------------------------------------------------------------------------------

    def condition(self, kind: str, operator: str = "") -> Json:
        """A condition on an attribute of a type."""
        operator = operator or self._writer.pick(OPERATORS)
        if operator in {"NULL", "NOT_NULL"}:
            empty: Json = {"AttributeValueList": []} if self._writer.chance(50) else {}
            return {"ComparisonOperator": operator} | empty
        if operator in {"CONTAINS", "NOT_CONTAINS"}:
            kind = _MEMBERS.get(kind, kind)
        if (operator in _NEED_ORDER or operator.endswith("CONTAINS")) and kind not in {"S", "N", "B"}:
            kind = self._writer.pick("SNB")
        if operator == "BEGINS_WITH" and kind not in {"S", "B"}:
            kind = self._writer.pick("SB")
        counts = {"BETWEEN": 2, "IN": self._writer.count(1, 3)}
        values = [value(self._random, kind, 1) for _ in range(counts.get(operator, 1))]
        return {"ComparisonOperator": operator, "AttributeValueList": values}

    def conditions(self, count_min: int, *, keys: bool) -> Json:
        """Conditions on attributes; with `keys` also of the table and its indexes."""
        chosen: Json = {}
        for _ in range(self._writer.count(count_min, 3)):
            name, kind = self._writer.attribute(keys=keys)
            chosen[name] = self.condition(kind)
        return chosen

    def _expected(self, request: Json) -> Json:
        """Adds expectations and, now and then, how they are joined."""
        expected: Json = {}
        for name, condition in self.conditions(0, keys=True).items():
            form = self._writer.count(0, 5)
            kind = ATTRIBUTES.get(name) or self._schema.type_of(name)
            if form == 0:
                expected[name] = {"Exists": False}
            elif form == 1:
                expected[name] = {"Value": value(self._random, kind, 1)}
            elif form == 2:
                expected[name] = {"Value": value(self._random, kind, 1), "Exists": True}
            elif form == 3 and len(condition.get("AttributeValueList", ())) == 1:
                expected[name] = {
                    "ComparisonOperator": condition["ComparisonOperator"],
                    "Value": condition["AttributeValueList"][0],
                }
            else:
                expected[name] = condition
        request["Expected"] = expected
        return self._joined(request, expected)

    def _joined(self, request: Json, conditions: Json) -> Json:
        if len(conditions) > 1 and self._writer.chance(60):
            request["ConditionalOperator"] = self._writer.pick(("AND", "OR", "OR"))
        return request

    # ---- operations ----------------------------------------------------------------------------------------------

    def put_item(self) -> Step:
        """PutItem with expectations."""
        request = self._expected(self._begin() | {"Item": self.item()})
        self._sometimes(request, 40, "ReturnValues", ("ALL_OLD", "NONE"))
        return Step("PutItem", self._written(request))

    def delete_item(self) -> Step:
        """DeleteItem with expectations."""
        request = self._expected(self._begin() | {"Key": self.key()})
        self._sometimes(request, 50, "ReturnValues", ("ALL_OLD", "NONE"))
        return Step("DeleteItem", self._written(request))

    def update_item(self) -> Step:
        """UpdateItem of some attributes, in every fourth case with expectations."""
        request = self._begin() | {"Key": self.key()}
        kinds = ATTRIBUTES | INDEX_ATTRIBUTES
        names = self._random.sample(list(kinds), self._writer.count(0, 3))
        request["AttributeUpdates"] = {name: self._update(kinds[name]) for name in names}
        if self._writer.chance(25):
            request = self._expected(request)
        self._sometimes(request, 75, "ReturnValues", ("NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"))
        return Step("UpdateItem", self._written(request))

    def _update(self, kind: str) -> Json:
        form = self._writer.count(0, 4)
        given = value(self._random, kind if self._writer.chance(90) else "any", 1)
        if form == 0:
            return {"Action": "DELETE"}
        if form in {1, 2} and next(iter(given)) in {"N", "SS", "NS", "BS", "L"}:
            return {"Action": "ADD", "Value": given}
        if form == 3 and next(iter(given)) in {"SS", "NS", "BS"}:
            return {"Action": "DELETE", "Value": given}
        return {"Value": given} | ({"Action": "PUT"} if self._writer.chance(60) else {})

    def get_item(self) -> Step:
        """GetItem of some attributes."""
        request = self._begin() | {"Key": self.key(), "AttributesToGet": self._names()}
        self._sometimes(request, 30, "ConsistentRead", (True, False))
        return Step("GetItem", request)

    def batch_get_item(self) -> Step:
        """BatchGetItem of some attributes of one item."""
        wanted = {"Keys": [self.key()], "AttributesToGet": self._names()}
        return Step("BatchGetItem", {"RequestItems": {self._schema.name: wanted}})

    def _names(self) -> list[str]:
        """Names of attributes; what looks like a path is none."""
        known = (*ATTRIBUTES, *INDEX_ATTRIBUTES, *self._schema.key_names, "l[0]", "d.a")
        return self._random.sample(known, self._writer.count(1, 4))

    def query(self) -> Step:
        """Query of the table or of an index."""
        request = self._begin()
        index = self._index()
        keys = self._schema.key_names if index is None else index.keys
        request["KeyConditions"] = self.key_conditions(keys)
        if self._writer.chance(40):
            request["QueryFilter"] = self.conditions(0, keys=False)
            self._joined(request, request["QueryFilter"])
        self._sometimes(request, 30, "ScanIndexForward", (True, False))
        self._answered(request, index)
        return Step("Query", request, is_ordered=index is None, reads_all="Limit" in request and index is not None)

    def scan(self) -> Step:
        """Scan of the table or of an index."""
        request = self._begin()
        if self._writer.chance(80):
            request["ScanFilter"] = self.conditions(0, keys=True)
            self._joined(request, request["ScanFilter"])
        self._answered(request, self._index())
        return Step("Scan", request, reads_all="Limit" in request)

    def key_conditions(self, keys: tuple[str, ...]) -> Json:
        """Conditions on the keys of a table or an index."""
        found = {keys[0]: {"ComparisonOperator": "EQ", "AttributeValueList": [self._key(keys[0])]}}
        if len(keys) > 1 and self._writer.chance(60):
            operators = _OF_KEYS if self._schema.type_of(keys[1]) == "N" else (*_OF_KEYS, "BEGINS_WITH")
            operator = self._writer.pick(operators)
            values = [self._key(keys[1]) for _ in range(2 if operator == "BETWEEN" else 1)]
            found[keys[1]] = {"ComparisonOperator": operator, "AttributeValueList": values}
        return found

    def _key(self, name: str) -> Json:
        return key_value(self._random, self._schema.type_of(name))

    def _answered(self, request: Json, index: Index | None) -> None:
        if index is not None:
            request["IndexName"] = index.name
        if self._writer.chance(40):
            request["AttributesToGet"] = self._names()
            self._sometimes(request, 20, "Select", ("SPECIFIC_ATTRIBUTES",))
        else:
            self._sometimes(request, 30, "Select", ("ALL_ATTRIBUTES", "COUNT"))
        self._sometimes(request, 35, "Limit", (1, 2, 3, 100))
        self._sometimes(request, 30, "ReturnConsumedCapacity", ("INDEXES", "TOTAL", "NONE"))

    # ---- faults --------------------------------------------------------------------------------------------------

    def broken(self, step: Step) -> Step:
        """The step with one thing wrong with it."""
        request = dict(step.request)
        faults: list[Callable[[Json, str], None]] = [_without_conditions, self._mix]
        if any(request.get(name) for name in (*CONDITIONS, "AttributeUpdates")):
            faults += [self._break_condition] * 4
        if "AttributesToGet" in request:
            faults += [_double_name]
        self._writer.pick(faults)(request, step.operation)
        return replace(step, request=request, is_faulty=True)

    def _mix(self, request: Json, operation: str) -> None:
        """Puts an expression beside the legacy parameters."""
        expression = _BESIDE.get(operation, "ProjectionExpression")
        request[expression] = "s" if expression == "ProjectionExpression" else "attribute_exists(s)"

    def _break_condition(self, request: Json, _operation: str) -> None:
        """Gives a condition, or an update, what it cannot have."""
        parameter = self._writer.pick([name for name in (*CONDITIONS, "AttributeUpdates") if request.get(name)])
        conditions = request[parameter] = dict(request[parameter])
        name = self._writer.pick(list(conditions))
        faults = _UPDATE_FAULTS if parameter == "AttributeUpdates" else _FAULTS
        if parameter == "Expected":
            faults = (*faults, *_EXPECTED_FAULTS)
        conditions[name] = conditions[name] | self._writer.pick(faults)(self._random)


def _without_conditions(request: Json, _operation: str) -> None:
    """Joins what there is not enough of."""
    request["ConditionalOperator"] = "AND"
    for name in ("Expected", "QueryFilter", "ScanFilter"):
        if name in request:
            request[name] = dict(list(request[name].items())[:1])


def _double_name(request: Json, _operation: str) -> None:
    request["AttributesToGet"] = [*request["AttributesToGet"], request["AttributesToGet"][0]]


def _any_value(random: Random) -> Json:
    return value(random, "any", 1)


#: What makes a condition wrong, or at least odd.
_FAULTS: tuple[Callable[[Random], Json], ...] = (
    lambda random: {"AttributeValueList": [refused_value(random)]},
    lambda random: {"AttributeValueList": [wrong_json(random)]},
    lambda random: {"AttributeValueList": [_any_value(random)]},
    lambda random: {"AttributeValueList": [_any_value(random), _any_value(random)]},
    lambda random: {"AttributeValueList": [_any_value(random) for _ in range(3)]},
    lambda _random: {"AttributeValueList": []},
    lambda random: {"ComparisonOperator": random.choice(OPERATORS)},
    lambda random: {"ComparisonOperator": random.choice(("eq", "", "FOO", None))},
    lambda random: {
        "ComparisonOperator": "BETWEEN",
        "AttributeValueList": [{"N": "2"}, {"N": random.choice(("1", "2", "3"))}],
    },
)
_EXPECTED_FAULTS: tuple[Callable[[Random], Json], ...] = (
    lambda random: {"Exists": random.random() < 0.5},
    lambda random: {"Value": _any_value(random)},
    lambda random: {"Value": refused_value(random)},
    lambda _random: {"Value": None},
)
_UPDATE_FAULTS: tuple[Callable[[Random], Json], ...] = (
    lambda random: {"Value": refused_value(random)},
    lambda random: {"Value": wrong_json(random)},
    lambda _random: {"Value": None},
    lambda random: {"Value": _any_value(random)},
    lambda random: {"Action": random.choice(("ADD", "DELETE", "PUT"))},
    lambda random: {"Action": random.choice(("add", "", "FOO", None))},
)

_TICKETS: dict[Callable[[LegacyRequests], Step], int] = {
    LegacyRequests.put_item: 4,
    LegacyRequests.update_item: 6,
    LegacyRequests.delete_item: 2,
    LegacyRequests.get_item: 1,
    LegacyRequests.batch_get_item: 1,
    LegacyRequests.query: 5,
    LegacyRequests.scan: 4,
}
_DRUM = [build for build, tickets in _TICKETS.items() for _ in range(tickets)]


def legacy_sequence(random: Random, length_max: int = 12, fault_percent: int = 30) -> list[Step]:
    """Requests to one table: some items first, then anything with legacy parameters.

    Args:
        random: where choices come from.
        length_max: how many requests follow the items at most.
        fault_percent: how many of a hundred requests are broken.
    """
    schema = random.choice(TABLES)
    first = Requests(random, schema)
    requests = LegacyRequests(random, schema)
    steps: list[Any] = [first.batch_write_item(), first.put_item()]
    for _ in range(random.randint(1, length_max)):
        made = random.choice(_DRUM)(requests)
        steps.append(requests.broken(made) if random.randrange(100) < fault_percent else made)
    return steps
