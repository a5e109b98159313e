"""CreateTable: which tables may be made, in the words of the service for those that may not."""

from __future__ import annotations

from typing import Any

import pytest

from tenet.tables.errors import ValidationException
from tenet.tables.model import KeyAttribute, KeySchema, Table, Throughput
from tenet.tables.rules.description import describe, describe_new
from tenet.tables.rules.table_definition import check_create, table_from

P = "One or more parameter values were invalid: "
UNITS = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
ALL = {"ProjectionType": "ALL"}


def definitions(*names: str) -> list[dict[str, str]]:
    return [{"AttributeName": name, "AttributeType": "S"} for name in names]


def keys(*names: str) -> list[dict[str, str]]:
    kinds = ("HASH", *("RANGE" for _ in names[1:]))
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, kinds, strict=True)]


def index(name: str, *names: str, projection: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"IndexName": name, "KeySchema": keys(*names), "Projection": projection or ALL, **more}


def request(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "TableName": "abc",
        "AttributeDefinitions": definitions("a", "b", "c"),
        "KeySchema": keys("a", "b"),
        "BillingMode": "PAY_PER_REQUEST",
        "GlobalSecondaryIndexes": [index("gsi", "c")],
    }
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


def create(wanted: dict[str, Any]) -> Table:
    check_create(wanted)
    return table_from(wanted, account="1" * 12, name="abc", region="eu-west-1", table_id="id", now_ms=7)


def refusal(**changes: Any) -> str:
    wanted = request(**changes)
    with pytest.raises(ValidationException) as caught:
        check_create(wanted)
    return caught.value.message


def test_a_definition_becomes_a_table() -> None:
    wanted = request(
        KeySchema=keys("a", "b"),
        LocalSecondaryIndexes=[index("lsi", "a", "c", projection={"ProjectionType": "KEYS_ONLY"})],
        GlobalSecondaryIndexes=[
            index("gsi", "c", "a", projection={"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x", "y"]})
        ],
        Tags=[{"Key": "k", "Value": "v"}],
        DeletionProtectionEnabled=True,
    )
    table = create(wanted)
    a, b, c = (KeyAttribute(name, "S") for name in "abc")
    assert table.keys == KeySchema(a, b)
    assert [(i.name, i.number, i.is_global, i.projection) for i in table.indexes] == [
        ("lsi", 1, False, "KEYS_ONLY"),
        ("gsi", 2, True, "INCLUDE"),
    ]
    assert table.indexes[1].keys == KeySchema(c, a)
    assert table.indexes[1].included == ("x", "y")
    assert table.arn == f"arn:aws:dynamodb:eu-west-1:{'1' * 12}:table/abc"
    assert (table.status, table.created_ms, table.tags) == ("CREATING", 7, {"k": "v"})
    assert table.deletion_protection
    assert table.next_index_number == 3
    assert table.throughput == Throughput()


PROVISIONED: dict[str, Any] = {
    "BillingMode": "PROVISIONED",
    "ProvisionedThroughput": UNITS,
    "GlobalSecondaryIndexes": [index("gsi", "c", ProvisionedThroughput=UNITS)],
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"BillingMode": None},
            P + "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        ),
        (
            {"ProvisionedThroughput": UNITS},
            P + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        ),
        (
            {"BillingMode": "PROVISIONED", "ProvisionedThroughput": {**UNITS, "ReadCapacityUnits": 10**12 + 1}},
            "Given value 1000000000001 for ReadCapacityUnits is out of bounds",
        ),
        (
            {"BillingMode": "PROVISIONED", "ProvisionedThroughput": UNITS},
            P + "ProvisionedThroughput is not specified for index: gsi",
        ),
        (
            {"GlobalSecondaryIndexes": [index("gsi", "c", ProvisionedThroughput=UNITS)]},
            P + "ProvisionedThroughput should not be specified for index: gsi when BillingMode is PAY_PER_REQUEST",
        ),
        (
            {"OnDemandThroughput": {"MaxReadRequestUnits": 0}},
            P + "Requested MaxReadRequestUnits for OnDemandThroughput for table is outside of valid range",
        ),
        (
            {"OnDemandThroughput": {"MaxWriteRequestUnits": -1}},
            P + "Requested MaxWriteRequestUnits for OnDemandThroughput for table is outside of valid range",
        ),
        (
            {"GlobalSecondaryIndexes": [index("gsi", "c", OnDemandThroughput={"MaxReadRequestUnits": 0})]},
            P + "Requested MaxReadRequestUnits for OnDemandThroughput for index : gsi is outside of valid range",
        ),
        (
            PROVISIONED | {"OnDemandThroughput": {"MaxReadRequestUnits": 1}},
            P + "MaxReadRequestUnits for OnDemandThroughput cannot be specified when table BillingMode is PROVISIONED.",
        ),
        (
            PROVISIONED
            | {
                "GlobalSecondaryIndexes": [
                    index("gsi", "c", ProvisionedThroughput=UNITS, OnDemandThroughput={"MaxReadRequestUnits": 1})
                ]
            },
            P + "MaxReadRequestUnits for OnDemandThroughput for index: gsi cannot be specified when table BillingMode "
            "is PROVISIONED.",
        ),
        (
            {"WarmThroughput": {"WriteUnitsPerSecond": 1, "ReadUnitsPerSecond": 1}},
            P + "Requested ReadUnitsPerSecond for WarmThroughput for table is lower than initial throughput for "
            "OnDemand. See: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/"
            "on-demand-capacity-mode.html#on-demand-capacity-mode-initial",
        ),
        (
            PROVISIONED | {"WarmThroughput": {"WriteUnitsPerSecond": UNITS["WriteCapacityUnits"] - 1}},
            P + "Requested WriteUnitsPerSecond for WarmThroughput for table is lower than WriteCapacityUnits of "
            "ProvisionedThroughput",
        ),
        (
            {"TableClass": "X"},
            (
                "Invalid table-class parameter provided. Please try again with a valid table-class value: "
                "[STANDARD, STANDARD_INFREQUENT_ACCESS]."
            ),
        ),
        (
            {"SSESpecification": {"Enabled": False, "SSEType": "KMS"}},
            P + "SSEType can not be specified if Enabled is false",
        ),
        (
            {"SSESpecification": {"KMSMasterKeyId": "a"}},
            P + "KMSMasterKeyId can not be specified if Enabled is false",
        ),
        (
            {"SSESpecification": {"Enabled": True, "KMSMasterKeyId": "a"}},
            P + "SSEType KMS is required if KMSMasterKeyId is specified",
        ),
    ],
)
def test_billing(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationException) as caught:
        create(request(**changes))
    assert caught.value.message == message


def test_what_is_provisioned_can_be_warmer_than_its_capacity() -> None:
    warm = {"ReadUnitsPerSecond": UNITS["ReadCapacityUnits"] + 1}
    assert create(request(**PROVISIONED, WarmThroughput=warm)).settings["WarmThroughput"] == warm


def test_an_empty_throughput_is_none() -> None:
    assert not create(request(OnDemandThroughput={}, WarmThroughput={})).settings


def test_a_type_of_encryption_alone_enables_it() -> None:
    assert create(request(SSESpecification={"SSEType": "KMS"})).settings["SSEDescription"]["SSEType"] == "KMS"
    assert not create(request(SSESpecification={})).settings
    assert not create(request(SSESpecification={"Enabled": False})).settings


def test_it_is_described_in_the_order_of_names() -> None:
    projection = {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["z", "x"]}
    table = create(
        request(
            AttributeDefinitions=definitions("c", "a", "b"),
            GlobalSecondaryIndexes=[index("gsi", "c", projection=projection), index("again", "c")],
        )
    )
    described = describe(table, {}, 7)
    assert [one["AttributeName"] for one in described["AttributeDefinitions"]] == ["a", "b", "c"]
    assert [one["IndexName"] for one in described["GlobalSecondaryIndexes"]] == ["gsi", "again"]
    assert described["GlobalSecondaryIndexes"][0]["Projection"]["NonKeyAttributes"] == ["x", "z"]


def test_a_new_table_tells_the_warm_throughput_that_it_was_given() -> None:
    assert "WarmThroughput" in describe(create(request()), {}, 7)
    described = describe_new(create(request()), 7)
    assert "WarmThroughput" not in described
    assert "WarmThroughput" not in described["GlobalSecondaryIndexes"][0]
    described = describe_new(create(request(WarmThroughput={"ReadUnitsPerSecond": 13_000})), 7)
    assert described["WarmThroughput"] == {
        "ReadUnitsPerSecond": 13_000,
        "WriteUnitsPerSecond": 4_000,
        "Status": "UPDATING",
    }


SAME_NAME = "Both the Hash Key and the Range Key element in the KeySchema have the same name"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"KeySchema": keys("a", "a"), "AttributeDefinitions": definitions("a"), "GlobalSecondaryIndexes": None},
            "Invalid KeySchema: Some index key attribute have no definition",
        ),
        (
            {"KeySchema": keys("a"), "AttributeDefinitions": [], "GlobalSecondaryIndexes": None},
            "Invalid KeySchema: Some index key attribute have no definition",
        ),
        (
            {"KeySchema": keys("z"), "AttributeDefinitions": definitions("a"), "GlobalSecondaryIndexes": None},
            P + "Some index key attributes are not defined in AttributeDefinitions. "
            "Keys: [z], AttributeDefinitions: [a]",
        ),
        ({"KeySchema": keys("a", "a")}, SAME_NAME),
        (
            {"KeySchema": [{"AttributeName": "a", "KeyType": "RANGE"}]},
            "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
        ),
        (
            {"KeySchema": [*keys("a"), {"AttributeName": "b", "KeyType": "HASH"}]},
            "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type",
        ),
        (
            {"GlobalSecondaryIndexes": None},
            P + "Number of attributes in KeySchema does not exactly match number of attributes defined in "
            "AttributeDefinitions",
        ),
        (
            {"AttributeDefinitions": definitions("a", "b", "c", "d")},
            P + "Some AttributeDefinitions are not used. AttributeDefinitions: [a, b, c, d], keys used: [a, b, c]",
        ),
        (
            # It hides what else is wrong with an index.
            {
                "AttributeDefinitions": definitions("a", "b", "c", "d"),
                "GlobalSecondaryIndexes": [index("gsi", "c", projection={"ProjectionType": "INCLUDE"})],
            },
            P + "Some AttributeDefinitions are not used. AttributeDefinitions: [a, b, c, d], keys used: [a, b, c]",
        ),
        ({"AttributeDefinitions": definitions("a", "b", "b")}, "Attribute Name is duplicated: b"),
        (
            {"KeySchema": keys("a", "b", "c")},
            (
                "1 validation error detected: Value '[KeySchemaElement(attributeName=a, keyType=HASH), "
                "KeySchemaElement(attributeName=b, keyType=RANGE), KeySchemaElement(attributeName=c, keyType=RANGE)]' "
                "at 'keySchema' failed to satisfy constraint: Member must have length less than or equal to 2"
            ),
        ),
    ],
)
def test_keys(changes: dict[str, Any], message: str) -> None:
    assert refusal(**changes) == message


@pytest.mark.parametrize(
    "changes",
    [
        {"KeySchema": keys("a", "b", "c")},
        {"LocalSecondaryIndexes": [index("lsi", "a", "b", "c")]},
    ],
)
def test_the_length_of_keys_comes_before_capacity(changes: dict[str, Any]) -> None:
    message = refusal(BillingMode="PROVISIONED", **changes)
    assert "at 'keySchema' failed to satisfy constraint: Member must have length less than or equal to 2" in message


INCLUDE_MANY = {"ProjectionType": "INCLUDE", "NonKeyAttributes": [f"x{i}" for i in range(20)]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"GlobalSecondaryIndexes": []}, P + "List of GlobalSecondaryIndexes is empty"),
        (
            {"GlobalSecondaryIndexes": [index("gsi", "c"), index("gsi", "b")]},
            P + "Duplicate index name: gsi",
        ),
        (
            {"GlobalSecondaryIndexes": [index(f"gsi{i}", "c") for i in range(21)]},
            P + "GlobalSecondaryIndex count exceeds the per-table limit of 20",
        ),
        (
            {"GlobalSecondaryIndexes": [index("gsi", "c", projection={"NonKeyAttributes": ["x"]})]},
            P + "Unknown ProjectionType: null",
        ),
        (
            {"GlobalSecondaryIndexes": [index("gsi", "c", projection={**ALL, "NonKeyAttributes": ["x"]})]},
            P + "ProjectionType is ALL, but NonKeyAttributes is specified",
        ),
        (
            {"GlobalSecondaryIndexes": [index("gsi", "c", projection={"ProjectionType": "INCLUDE"})]},
            P + "ProjectionType is INCLUDE, but NonKeyAttributes is not specified",
        ),
        (
            {
                "GlobalSecondaryIndexes": [
                    index("gsi", "c", projection={"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x", "y", "x"]})
                ]
            },
            P + "Duplicate element in NonKeyAttributes: x",
        ),
        ({"GlobalSecondaryIndexes": [index("gsi", "c", "c")]}, SAME_NAME),
        (
            {"GlobalSecondaryIndexes": [index("gsi", "c"), index("gsj", "z")]},
            P + "Some index key attributes are not defined in AttributeDefinitions. "
            "Keys: [z], AttributeDefinitions: [a, b, c]",
        ),
        (
            {"GlobalSecondaryIndexes": [index(f"gsi{i}", "c", projection=INCLUDE_MANY) for i in range(6)]},
            P + "Number of NonKeyAttributes over all indexes exceeds the per-table limit of 100",
        ),
    ],
)
def test_global_indexes(changes: dict[str, Any], message: str) -> None:
    assert refusal(**changes) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"LocalSecondaryIndexes": []}, P + "List of LocalSecondaryIndexes is empty"),
        (
            {"LocalSecondaryIndexes": [index("lsi", "a", "b")], "KeySchema": keys("a")},
            P + "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex",
        ),
        (
            {"LocalSecondaryIndexes": [index("lsi", "a")]},
            P + "Index KeySchema does not have a range key for index: lsi",
        ),
        (
            {"LocalSecondaryIndexes": [index("lsi", "c", "b")]},
            P + "Index KeySchema does not have the same leading hash key as table KeySchema for index: lsi. "
            "index hash key: c, table hash key: a",
        ),
        (
            {"LocalSecondaryIndexes": [index(f"lsi{i}", "a", "c") for i in range(6)]},
            P + "Number of LocalSecondaryIndexes exceeds per-table limit of 5",
        ),
        ({"LocalSecondaryIndexes": [index("gsi", "a", "c")]}, P + "Duplicate index name: gsi"),
    ],
)
def test_local_indexes(changes: dict[str, Any], message: str) -> None:
    assert refusal(**changes) == message


def test_an_index_may_have_the_keys_of_the_table() -> None:
    check_create(request(LocalSecondaryIndexes=[index("lsi", "a", "b")]))


def test_a_disabled_stream_has_no_view_type() -> None:
    stream = {"StreamEnabled": False, "StreamViewType": "NEW_IMAGE"}
    assert refusal(StreamSpecification=stream) == (
        P + "Table is being created with a stream disabled, UpdateViewType should not be specified"
    )
    check_create(request(StreamSpecification={"StreamEnabled": False}))
