"""Makes requests to the operations on tables: definitions, right and wrong, and what comes after them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from tests.conformance.differential.requests import Step
from tests.conformance.differential.schemas import Json

#: What stands for the name of a table that no other sequence uses.
TABLE = "table"
#: What stands for the beginning of an ARN of a table, which everybody has with an account and a region of its own.
ARNS = "ARN:"
_THROUGHPUT = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
_TYPES = ("S", "N", "B")
#: Faults of a definition come at most together in this number.
_FAULTS_MAX = 2


def definition(random: Random) -> Json:
    """A valid CreateTable request."""
    is_provisioned = random.random() < 0.4
    sort = ["b"] if random.random() < 0.6 else []
    request: Json = {"TableName": TABLE, "KeySchema": _keys(["a", *sort])}
    local = _local_indexes(random) if sort and random.random() < 0.4 else []
    with_throughput = {"ProvisionedThroughput": dict(_THROUGHPUT)} if is_provisioned else {}
    global_ = [index | with_throughput for index in _global_indexes(random)] if random.random() < 0.5 else []
    used = {element["AttributeName"] for part in (request, *local, *global_) for element in part["KeySchema"]}
    request["AttributeDefinitions"] = [
        {"AttributeName": name, "AttributeType": random.choice(_TYPES)} for name in sorted(used)
    ]
    if local:
        request["LocalSecondaryIndexes"] = local
    if global_:
        request["GlobalSecondaryIndexes"] = global_
    request["BillingMode"] = "PROVISIONED" if is_provisioned else "PAY_PER_REQUEST"
    request |= {name: dict(value) for name, value in with_throughput.items()}
    if random.random() < 0.2:
        request["DeletionProtectionEnabled"] = False
    return request


def _keys(names: Sequence[str]) -> list[Json]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"), strict=False)]


def _projection(random: Random) -> Json:
    kind = random.choice(("ALL", "KEYS_ONLY", "INCLUDE"))
    return {"ProjectionType": kind} | ({"NonKeyAttributes": ["x", "y"]} if kind == "INCLUDE" else {})


def _local_indexes(random: Random) -> list[Json]:
    return [
        {"IndexName": f"local-{sort}", "KeySchema": _keys(["a", sort]), "Projection": _projection(random)}
        for sort in random.sample("cde", random.randint(1, 2))
    ]


def _global_indexes(random: Random) -> list[Json]:
    shapes = random.sample((["c"], ["d", "c"], ["b", "a"], ["e", "a"]), random.randint(1, 2))
    return [
        {"IndexName": f"global-{'-'.join(names)}", "KeySchema": _keys(names), "Projection": _projection(random)}
        for names in shapes
    ]


# ---- faults ----------------------------------------------------------------------------------------------------------


def _set(member: str, *options: Any) -> Callable[[Random, Json], None]:
    def fault(random: Random, request: Json) -> None:
        value = random.choice(options)
        if value is None:
            request.pop(member, None)
        else:
            request[member] = value

    return fault


def _schema_fault(random: Random, request: Json) -> None:
    parts = [request, *request.get("LocalSecondaryIndexes", ()), *request.get("GlobalSecondaryIndexes", ())]
    part = random.choice(parts)
    part["KeySchema"] = random.choice(
        (
            [],
            _keys(["z"]),
            _keys(["a", "a"]),
            [{"AttributeName": "a", "KeyType": "RANGE"}],
            [{"AttributeName": "a", "KeyType": "HASH"}, {"AttributeName": "b", "KeyType": "HASH"}],
            [{"AttributeName": "a", "KeyType": "X"}],
            [{"AttributeName": "a"}],
            [{"KeyType": "HASH"}],
            [*_keys(["a", "b"]), {"AttributeName": "c", "KeyType": "RANGE"}],
        )
    )


def _definition_fault(random: Random, request: Json) -> None:
    definitions = request["AttributeDefinitions"]
    form = random.randrange(5) if definitions else 0
    if form == 0:
        definitions.append({"AttributeName": "unused", "AttributeType": "S"})
    elif form == 1:
        del definitions[-1]
    elif form == 2:
        definitions[0]["AttributeType"] = random.choice(("X", "", "BOOL"))
    elif form == 3:
        definitions.append(dict(definitions[0]))
    else:
        del definitions[0][random.choice(("AttributeName", "AttributeType"))]


def _index_fault(random: Random, request: Json) -> None:
    kind = random.choice(("LocalSecondaryIndexes", "GlobalSecondaryIndexes"))
    indexes = request.setdefault(kind, [])
    form = random.randrange(6)
    if form == 0 or not indexes:
        request[kind] = []
    elif form == 1:
        indexes.append(dict(indexes[0]))
    elif form == 2:
        indexes[0]["IndexName"] = random.choice(("ab", "", "a;b", "x" * 256))
    elif form == 3:
        indexes[0]["Projection"] = random.choice(
            (
                {},
                {"ProjectionType": "X"},
                {"ProjectionType": "ALL", "NonKeyAttributes": ["x"]},
                {"ProjectionType": "KEYS_ONLY", "NonKeyAttributes": ["x"]},
                {"ProjectionType": "INCLUDE", "NonKeyAttributes": []},
                {"NonKeyAttributes": ["x"]},
            )
        )
    elif form == 4:
        del indexes[0][random.choice(("IndexName", "KeySchema", "Projection"))]
    else:
        request[kind] = [indexes[0] | {"IndexName": f"many-{number}"} for number in range(21)]


def _throughput_fault(random: Random, request: Json) -> None:
    request["ProvisionedThroughput"] = random.choice(
        (
            {},
            {"ReadCapacityUnits": 5},
            {"ReadCapacityUnits": 0, "WriteCapacityUnits": 5},
            {"ReadCapacityUnits": -1, "WriteCapacityUnits": -1},
            {"ReadCapacityUnits": 10**13, "WriteCapacityUnits": 5},
            dict(_THROUGHPUT),
        )
    )


_FAULTS: tuple[Callable[[Random, Json], None], ...] = (
    _schema_fault,
    _schema_fault,
    _definition_fault,
    _definition_fault,
    _index_fault,
    _index_fault,
    _throughput_fault,
    _set("TableName", None, "", "ab", "a;b", "x" * 256, 1),
    _set("AttributeDefinitions", None, [], "a"),
    _set("KeySchema", None, [], "a"),
    _set("BillingMode", None, "X", "PROVISIONED", "PAY_PER_REQUEST"),
    _set("ProvisionedThroughput", None, "a"),
)


def broken_definition(random: Random, faults: int) -> Json:
    """A CreateTable request with so many things wrong with it."""
    request = definition(random)
    for _ in range(faults):
        fault = random.choice(_FAULTS)
        if isinstance(request.get("AttributeDefinitions"), list) and isinstance(request.get("KeySchema"), list):
            fault(random, request)
    return request


# ---- sequences -------------------------------------------------------------------------------------------------------


def _update(random: Random) -> Json:
    return {"TableName": TABLE} | random.choice(
        (
            {},
            {"BillingMode": "X"},
            {"BillingMode": "PROVISIONED"},
            {"BillingMode": "PROVISIONED", "ProvisionedThroughput": {"ReadCapacityUnits": 6, "WriteCapacityUnits": 7}},
            {"BillingMode": "PAY_PER_REQUEST"},
            {"ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 5}},
            {"ProvisionedThroughput": dict(_THROUGHPUT)},
            {"ProvisionedThroughput": {"ReadCapacityUnits": 8, "WriteCapacityUnits": 9}},
            {"DeletionProtectionEnabled": False},
            {"GlobalSecondaryIndexUpdates": []},
            {"GlobalSecondaryIndexUpdates": [{}]},
            {
                "GlobalSecondaryIndexUpdates": [
                    {"Update": {"IndexName": "absent", "ProvisionedThroughput": dict(_THROUGHPUT)}}
                ]
            },
        )
    )


def _stream(random: Random) -> Json:
    """A StreamSpecification, right or wrong."""
    specification: Json = {"StreamEnabled": random.random() < 0.7}
    if random.random() < 0.7:
        specification["StreamViewType"] = random.choice(
            ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "X")
        )
    return specification


def _absent(random: Random) -> Step:
    operation = random.choice(("DescribeTable", "DeleteTable", "UpdateTable", "DescribeTimeToLive", "UpdateTimeToLive"))
    name = random.choice(("absent-table", "ab", "", "a;b", "x" * 256, None, 1))
    request: Json = {} if name is None else {"TableName": name}
    if operation == "UpdateTable":
        request["BillingMode"] = "PAY_PER_REQUEST"
    if operation == "UpdateTimeToLive":
        request |= time_to_live(random)
    return Step(operation, request)


_SPECIFICATIONS: Sequence[Any] = (
    {"AttributeName": "expires", "Enabled": True},
    {"AttributeName": "expires", "Enabled": True},
    {"AttributeName": "expires", "Enabled": False},
    {"AttributeName": "other", "Enabled": True},
    {"AttributeName": "other", "Enabled": False},
    {"AttributeName": "ä" * 255, "Enabled": True},
    {"AttributeName": "x" * 256, "Enabled": True},
    {"AttributeName": "", "Enabled": True},
    {"AttributeName": "expires"},
    {"Enabled": True},
    {"AttributeName": None, "Enabled": True},
    {"AttributeName": 3, "Enabled": True},
    {"AttributeName": "expires", "Enabled": "dog"},
    {},
    None,
    "expires",
)


def time_to_live(random: Random) -> Json:
    """The specification of an UpdateTimeToLive, right or wrong."""
    return {"TimeToLiveSpecification": random.choice(_SPECIFICATIONS)} if random.random() < 0.95 else {}


def _listing(random: Random) -> Step:
    wrong = random.choice(
        (
            {"Limit": 0},
            {"Limit": 101},
            {"Limit": "a"},
            {"ExclusiveStartTableName": ""},
            {"ExclusiveStartTableName": "a;b"},
            {"ExclusiveStartTableName": "ab"},
        )
    )
    return Step("ListTables", wrong)


def table_sequence(random: Random) -> list[Step]:
    """A table from its definition to its end, and questions about tables that are not there."""
    create = broken_definition(random, random.choice((0, 1, 1, 1, _FAULTS_MAX)))
    steps = [Step("CreateTable", create)]
    if random.random() < 0.5:
        steps.append(Step("CreateTable", create))
    steps += [Step("UpdateTable", _update(random)) for _ in range(random.randint(0, 3))]
    for _ in range(random.choice((0, 0, 1, 2, 3))):
        steps.append(Step("UpdateTimeToLive", {"TableName": TABLE} | time_to_live(random)))
        steps.append(Step("DescribeTimeToLive", {"TableName": TABLE}))
    steps.append(Step("DescribeTable", {"TableName": TABLE}))
    steps.append(random.choice((_absent, _listing))(random))
    if random.random() < 0.3:
        # Drawn last, so that all else stays what it was.
        create["StreamSpecification"] = _stream(random)
        update = {"TableName": TABLE, "StreamSpecification": _stream(random)}
        steps.insert(len(steps) - 2, Step("UpdateTable", update))
    return [*steps, Step("DeleteTable", {"TableName": TABLE}), Step("DescribeTable", {"TableName": TABLE})]
