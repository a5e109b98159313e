"""Makes requests about what a table is given beside its keys: tags, class, encryption, throughput, protection."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from tests.conformance.differential.requests import Step
from tests.conformance.differential.schemas import Json
from tests.conformance.differential.table_requests import ARNS, TABLE

_THROUGHPUT = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
_INDEX = "index"

# ---- tags ------------------------------------------------------------------------------------------------------------

_KEYS = ("a", "b", "Owner", "cost centre", "x:y/z@1", "é", "k" * 128, "aws")
_VALUES = ("", "1", "blue", "v" * 256, "ü + - = . _ : / @")
_ARN = f"{ARNS}{TABLE}"
_WRONG_ARNS: Sequence[Any] = (
    None,
    "",
    "x",
    TABLE,
    f"{ARNS}absent-table",
    f"{ARNS}ab",
    f"{ARNS}a;b",
    f"{_ARN}/index/{_INDEX}",
    f"{_ARN}/stream/2026-01-01T00:00:00.000",
    "arn:aws:s3:::bucket",
    f"{ARNS}{'x' * 1_300}",
    1,
)
_WRONG_TAGS: Sequence[Any] = (
    None,
    [],
    "a",
    [{}],
    [{"Key": "a"}],
    [{"Value": "a"}],
    [{"Key": "", "Value": "a"}],
    [{"Key": "k" * 129, "Value": "a"}],
    [{"Key": "a", "Value": "v" * 257}],
    [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}],
    [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "1"}],
    [{"Key": "aws:a", "Value": "1"}],
    [{"Key": "AWS:a", "Value": "1"}],
    [{"Key": "a!", "Value": "1"}],
    [{"Key": "a", "Value": "{1}"}],
    [{"Key": 1, "Value": "a"}],
    [{"Key": f"more-{number}", "Value": ""} for number in range(51)],
)
_WRONG_KEYS: Sequence[Any] = (None, [], "a", [""], ["k" * 129], [1], ["aws:a"], ["a", "a"])
_WRONG_TOKENS: Sequence[Any] = ("", "x", 1)


def _tags(random: Random) -> list[Json]:
    """Tags as they should be; now and then so many that not all of them find a place on a table that has some."""
    if random.random() < 0.15:
        first = random.choice((0, 25))
        return [{"Key": f"many-{number}", "Value": str(number)} for number in range(first, first + 50)]
    keys = random.sample(_KEYS, random.randint(1, 3))
    return [{"Key": key, "Value": random.choice(_VALUES)} for key in keys]


def _of_resource(random: Random, operation: str, member: str = "", value: Any = None) -> Step:
    """A request to an operation on tags, now and then about a wrong resource.

    Args:
        random: where choices come from.
        operation: its name.
        member: what it has beside the resource; empty for nothing.
        value: of that member; None to leave it out.
    """
    arn = random.choice(_WRONG_ARNS) if random.random() < 0.2 else _ARN
    request = {} if arn is None else {"ResourceArn": arn}
    if member and value is not None:
        request[member] = value
    return Step(operation, request)


def _about_tags(random: Random) -> Step:
    form = random.randrange(6)
    is_wrong = random.random() < 0.4
    if form < 3:
        return _of_resource(random, "TagResource", "Tags", random.choice(_WRONG_TAGS) if is_wrong else _tags(random))
    if form < 5:
        keys = random.choice(_WRONG_KEYS) if is_wrong else random.sample(_KEYS, random.randint(1, 3))
        return _of_resource(random, "UntagResource", "TagKeys", keys)
    return _of_resource(random, "ListTagsOfResource", "NextToken", random.choice(_WRONG_TOKENS) if is_wrong else None)


def _tagged(random: Random) -> list[Step]:
    """A table whose tags come and go."""
    create = _create(random, with_index=False)
    if random.random() < 0.7:
        create["Tags"] = random.choice(_WRONG_TAGS) if random.random() < 0.3 else _tags(random)
    listing = Step("ListTagsOfResource", {"ResourceArn": _ARN})
    steps = [Step("CreateTable", create), listing]
    for _ in range(random.randint(2, 6)):
        steps += [_about_tags(random), listing]
    return steps


# ---- settings --------------------------------------------------------------------------------------------------------

#: Right and wrong settings by their name; the right ones come first, and so many of them there are.
_SETTINGS: dict[str, tuple[int, Sequence[Any]]] = {
    "TableClass": (2, ("STANDARD_INFREQUENT_ACCESS", "STANDARD", "X", "", 1)),
    "DeletionProtectionEnabled": (2, (True, False, "dog", 1)),
    "SSESpecification": (
        5,
        (
            {"Enabled": True},
            {"Enabled": True, "SSEType": "KMS"},
            {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": "alias/aws/dynamodb"},
            {"Enabled": False},
            {"Enabled": True, "KMSMasterKeyId": "12345678-1234-1234-1234-123456789012"},
            {"Enabled": True, "SSEType": "AES256"},
            {"Enabled": False, "SSEType": "KMS"},
            {"Enabled": False, "KMSMasterKeyId": "alias/a"},
            {"SSEType": "KMS"},
            {"Enabled": True, "SSEType": "X"},
            {"Enabled": "dog"},
            {},
            "a",
        ),
    ),
    "WarmThroughput": (
        3,
        (
            {"ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 4_000},
            {"ReadUnitsPerSecond": 13_000, "WriteUnitsPerSecond": 5_000},
            {"ReadUnitsPerSecond": 14_000},
            {"ReadUnitsPerSecond": 1, "WriteUnitsPerSecond": 1},
            {"ReadUnitsPerSecond": 0, "WriteUnitsPerSecond": 5_000},
            {"WriteUnitsPerSecond": -1},
            {"ReadUnitsPerSecond": "a"},
            {},
        ),
    ),
    "OnDemandThroughput": (
        4,
        (
            {"MaxReadRequestUnits": 10, "MaxWriteRequestUnits": 20},
            {"MaxReadRequestUnits": 30},
            {"MaxWriteRequestUnits": 40},
            {"MaxReadRequestUnits": -1, "MaxWriteRequestUnits": -1},
            {"MaxReadRequestUnits": 0, "MaxWriteRequestUnits": 10},
            {"MaxReadRequestUnits": -2},
            {"MaxWriteRequestUnits": "a"},
            {},
        ),
    ),
    "StreamSpecification": (
        2,
        (
            {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
            {"StreamEnabled": False},
            {"StreamViewType": "NEW_IMAGE"},
            {},
        ),
    ),
}
_OF_INDEXES = ("WarmThroughput", "OnDemandThroughput")


def _setting(random: Random, name: str, wrong: float) -> Any:
    right, options = _SETTINGS[name]
    return random.choice(options[right:] if random.random() < wrong else options[:right])


def _some(random: Random, names: Sequence[str], most: int, wrong: float) -> Json:
    """Some of the settings that have these names, each wrong in such a part of the cases."""
    return {name: _setting(random, name, wrong) for name in random.sample(names, random.randint(1, most))}


def _keys(name: str) -> list[Json]:
    return [{"AttributeName": name, "KeyType": "HASH"}]


def _definition(name: str) -> Json:
    return {"AttributeName": name, "AttributeType": "S"}


def _new_index(random: Random, name: str, *, is_provisioned: bool, wrong: float) -> Json:
    index: Json = {"IndexName": name, "KeySchema": _keys("g"), "Projection": {"ProjectionType": "KEYS_ONLY"}}
    if is_provisioned:
        index["ProvisionedThroughput"] = dict(_THROUGHPUT)
    if random.random() < 0.5:
        index |= _some(random, _settings_of(_OF_INDEXES, is_provisioned=is_provisioned), 1, wrong)
    return index


def _settings_of(names: Sequence[str], *, is_provisioned: bool) -> list[str]:
    """The settings that a table can have; maximums of a provisioned one are refused whatever they are."""
    return [name for name in names if not is_provisioned or name != "OnDemandThroughput"]


def _create(random: Random, *, is_provisioned: bool = False, wrong: float = 0.0, with_index: bool = True) -> Json:
    """A CreateTable whose keys and indexes are as they should be."""
    request: Json = {"TableName": TABLE, "KeySchema": _keys("a"), "AttributeDefinitions": [_definition("a")]}
    request["BillingMode"] = "PROVISIONED" if is_provisioned else "PAY_PER_REQUEST"
    if is_provisioned:
        request["ProvisionedThroughput"] = dict(_THROUGHPUT)
    if random.random() < 0.4 and with_index:
        request["AttributeDefinitions"].append(_definition("g"))
        request["GlobalSecondaryIndexes"] = [
            _new_index(random, _INDEX, is_provisioned=is_provisioned, wrong=wrong),
        ]
    return request


def _name(random: Random) -> str:
    """What names the table: its name, or, seldom, its ARN, which not everybody takes."""
    return _ARN if random.random() < 0.06 else TABLE


def _update(random: Random, *, is_provisioned: bool, wrong: float) -> Json:
    request: Json = {"TableName": _name(random)}
    names = _settings_of(list(_SETTINGS), is_provisioned=is_provisioned and random.random() < 0.9)
    if random.random() < 0.6:
        return request | _some(random, names, 2, wrong)
    if random.random() < 0.5:
        change = {"IndexName": random.choice((_INDEX, _INDEX, _INDEX, "absent"))}
        change |= _some(random, _settings_of(_OF_INDEXES, is_provisioned=is_provisioned), 1, wrong)
        return request | {"GlobalSecondaryIndexUpdates": [{"Update": change}]}
    request["AttributeDefinitions"] = [_definition("a"), _definition("g")]
    new = _new_index(random, "later", is_provisioned=is_provisioned, wrong=wrong)
    return request | {"GlobalSecondaryIndexUpdates": [{"Create": new}]}


def _settled(random: Random) -> list[Step]:
    """A table whose settings change."""
    is_provisioned = random.random() < 0.3
    create = _create(random, is_provisioned=is_provisioned, wrong=0.1)
    if random.random() < 0.8:
        names = _settings_of(list(_SETTINGS), is_provisioned=is_provisioned and random.random() < 0.9)
        create |= _some(random, names, 2, 0.25)
    describe = Step("DescribeTable", {"TableName": _name(random)})
    steps = [Step("CreateTable", create), describe]
    for _ in range(random.randint(1, 4)):
        steps += [Step("UpdateTable", _update(random, is_provisioned=is_provisioned, wrong=0.3)), describe]
    return steps


def _protected(random: Random) -> list[Step]:
    """A table that refuses to be deleted until its protection is gone."""
    protection = {"DeletionProtectionEnabled": random.random() < 0.7}
    delete = Step("DeleteTable", {"TableName": _name(random)})
    steps = [Step("CreateTable", _create(random) | protection), delete]
    for is_protected in (random.random() < 0.5, False):
        update = {"TableName": TABLE, "DeletionProtectionEnabled": is_protected}
        steps += [Step("UpdateTable", update), Step("DescribeTable", {"TableName": TABLE}), delete]
    return steps


def _of_account(random: Random) -> list[Step]:
    """What an account has, whatever its tables are; a parameter that there is none of is passed by."""
    request = random.choice(({}, {}, {"Limit": 1}))
    return [Step("DescribeLimits", request), Step("DescribeEndpoints", request)]


def tag_sequence(random: Random) -> list[Step]:
    """A table whose tags come and go."""
    return [*_tagged(random), Step("DeleteTable", {"TableName": TABLE})]


def settings_sequence(random: Random) -> list[Step]:
    """A table with settings or protection, as they are given and changed, now and then with what an account has."""
    steps = random.choice((_settled, _settled, _settled, _protected))(random)
    if random.random() < 0.1:
        steps += _of_account(random)
    off = Step("UpdateTable", {"TableName": TABLE, "DeletionProtectionEnabled": False})
    ends = [off] if any(step.request.get("DeletionProtectionEnabled") is True for step in steps) else []
    return [*steps, *ends, Step("DeleteTable", {"TableName": TABLE})]
