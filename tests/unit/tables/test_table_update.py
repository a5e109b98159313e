"""UpdateTable: what may be changed when, and what becomes of the table."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tenet.tables.errors import (
    LimitExceededException,
    ResourceInUseException,
    ResourceNotFoundException,
    TablesError,
    ValidationException,
)
from tenet.tables.model import Index, KeyAttribute, KeySchema, Table, Throughput
from tenet.tables.rules.description import describe
from tenet.tables.rules.table_settings import warmth
from tenet.tables.rules.table_update import begin_update, check_update, end_transition

P = "One or more parameter values were invalid: "
DAY_MS = 86_400_000
NOW_MS = 20_000 * DAY_MS + 3_600_000
KEYS = KeySchema(KeyAttribute("a", "S"))


def provisioned(**changes: Any) -> Table:
    index = Index("gsi", 1, is_global=True, keys=KEYS, projection="ALL", throughput=Throughput(7, 7))
    table = Table(
        account="1" * 12,
        name="abc",
        id="id",
        region="us-east-1",
        created_ms=1,
        keys=KEYS,
        attribute_types={"a": "S"},
        indexes=(index,),
        status="ACTIVE",
        throughput=Throughput(5, 5),
    )
    return msgspec.structs.replace(table, **changes)


def units(read: int, write: int) -> dict[str, int]:
    return {"ReadCapacityUnits": read, "WriteCapacityUnits": write}


def of_index(**change: Any) -> dict[str, Any]:
    return {"GlobalSecondaryIndexUpdates": [{"Update": {"IndexName": "gsi", **change}}]}


def update(table: Table, now_ms: int = NOW_MS, **request: Any) -> Table:
    check_update(request)
    return begin_update(table, request, now_ms=now_ms, until_ms=now_ms + 5)


def updated(table: Table, now_ms: int = NOW_MS, **request: Any) -> Table:
    after = end_transition(update(table, now_ms, **request))
    assert after is not None
    return after


def test_new_capacity_counts_when_the_update_is_over() -> None:
    during = update(provisioned(), ProvisionedThroughput=units(9, 4), **of_index(ProvisionedThroughput=units(8, 8)))
    assert (during.status, during.status_until_ms) == ("UPDATING", NOW_MS + 5)
    assert during.throughput == Throughput(5, 5)
    assert during.indexes[0].status == "UPDATING"
    assert during.indexes[0].throughput == Throughput(7, 7)
    assert (during.history.increased_ms, during.history.decreased_ms) == (NOW_MS, NOW_MS)
    after = end_transition(during)
    assert after is not None
    assert (after.status, after.pending, after.throughput) == ("ACTIVE", None, Throughput(9, 4))
    assert (after.indexes[0].status, after.indexes[0].throughput) == ("ACTIVE", Throughput(8, 8))
    assert after.indexes[0].history.increased_ms == NOW_MS


def test_billing_is_switched_there_and_back() -> None:
    on_demand = updated(provisioned(), BillingMode="PAY_PER_REQUEST")
    assert (on_demand.billing, on_demand.throughput) == ("PAY_PER_REQUEST", Throughput())
    assert on_demand.indexes[0].throughput == Throughput()
    assert on_demand.on_demand_ms == (NOW_MS,)
    assert on_demand.history.decreases_today == 0
    with pytest.raises(ValidationException, match="ProvisionedThroughput must be specified for index: gsi"):
        update(on_demand, BillingMode="PROVISIONED", ProvisionedThroughput=units(5, 5))
    back = updated(
        on_demand,
        BillingMode="PROVISIONED",
        ProvisionedThroughput=units(5, 5),
        **of_index(ProvisionedThroughput=units(1, 1)),
    )
    assert (back.billing, back.throughput, back.indexes[0].throughput) == (
        "PROVISIONED",
        Throughput(5, 5),
        Throughput(1, 1),
    )


def test_asking_for_the_mode_that_it_has_is_no_error() -> None:
    on_demand = updated(provisioned(), BillingMode="PAY_PER_REQUEST")
    assert updated(on_demand, NOW_MS + 1, BillingMode="PAY_PER_REQUEST").on_demand_ms == (NOW_MS,)


def test_a_table_is_switched_to_on_demand_four_times_a_day() -> None:
    table = provisioned(indexes=())
    for minute in range(4):
        table = updated(table, NOW_MS + minute * 60_000, BillingMode="PAY_PER_REQUEST")
        table = updated(table, BillingMode="PROVISIONED", ProvisionedThroughput=units(5, 5))
    with pytest.raises(LimitExceededException) as caught:
        update(table, NOW_MS + 300_000, BillingMode="PAY_PER_REQUEST")
    assert caught.value.message == (
        "Subscriber limit exceeded: Update to PayPerRequest mode are limited to 4 times in 1 day(s). "
        "Last update at Friday, October 4, 2024 1:03:00 AM UTC. "
        "Next update can be made at Saturday, October 5, 2024 1:00:00 AM UTC"
    )
    assert update(table, NOW_MS + DAY_MS, BillingMode="PAY_PER_REQUEST").status == "UPDATING"


def test_capacity_falls_four_times_a_day_and_then_once_an_hour() -> None:
    table = provisioned(throughput=Throughput(100, 100))
    for left in (99, 98, 97, 96):
        table = updated(table, ProvisionedThroughput=units(left, 100))
    assert table.history.decreases_today == 4
    with pytest.raises(LimitExceededException) as caught:
        update(table, NOW_MS + 3_599_999, ProvisionedThroughput=units(95, 100))
    assert caught.value.message.startswith(
        "Subscriber limit exceeded: Provisioned throughput decreases are limited within a given UTC day. After the "
        "first 4 decreases, each subsequent decrease in the same UTC day can be performed at most once every 3600 "
        "seconds. Number of decreases today: 4. Last decrease at "
    )
    table = updated(table, NOW_MS + 3_600_000, ProvisionedThroughput=units(95, 100))
    assert table.history.decreases_today == 5
    tomorrow = updated(table, NOW_MS + DAY_MS, ProvisionedThroughput=units(94, 100))
    assert tomorrow.history.decreases_today == 1


def test_capacity_of_an_index_falls_by_the_same_rule() -> None:
    table = provisioned()
    for left in (6, 5, 4, 3):
        table = updated(table, **of_index(ProvisionedThroughput=units(left, 7)))
    with pytest.raises(LimitExceededException):
        update(table, **of_index(ProvisionedThroughput=units(2, 7)))


def test_settings_are_kept() -> None:
    table = provisioned()
    changes: tuple[tuple[str, Any], ...] = (
        ("TableClass", "STANDARD_INFREQUENT_ACCESS"),
        ("DeletionProtectionEnabled", True),
        ("SSESpecification", {"SSEType": "KMS"}),
        ("WarmThroughput", {"ReadUnitsPerSecond": 20_000}),
    )
    for name, value in changes:
        table = updated(table, **{name: value})
    assert (table.table_class, table.class_changed_ms, table.deletion_protection) == (
        "STANDARD_INFREQUENT_ACCESS",
        NOW_MS,
        True,
    )
    assert table.settings["SSEDescription"] == {
        "Status": "ENABLED",
        "SSEType": "KMS",
        "KMSMasterKeyArn": "arn:aws:kms:us-east-1:111111111111:alias/aws/dynamodb",
    }
    assert table.settings["WarmThroughput"] == {"ReadUnitsPerSecond": 20_000}
    with pytest.raises(ValidationException, match="decreasing WarmThroughput is not supported"):
        update(table, WarmThroughput={"ReadUnitsPerSecond": 19_999})
    assert "SSEDescription" not in updated(table, SSESpecification={"Enabled": False}).settings


def test_maximums_come_and_go_with_on_demand() -> None:
    with pytest.raises(ValidationException, match="MaxReadRequestUnits for OnDemandThroughput cannot be specified"):
        update(provisioned(), OnDemandThroughput={"MaxReadRequestUnits": 5})
    table = updated(provisioned(), BillingMode="PAY_PER_REQUEST", OnDemandThroughput={"MaxReadRequestUnits": 5})
    assert table.settings["OnDemandThroughput"] == {"MaxReadRequestUnits": 5}
    assert table.is_limited
    both = updated(table, OnDemandThroughput={"MaxWriteRequestUnits": 7})
    assert both.settings["OnDemandThroughput"] == {"MaxReadRequestUnits": 5, "MaxWriteRequestUnits": 7}
    one = updated(both, OnDemandThroughput={"MaxReadRequestUnits": -1})
    assert one.settings["OnDemandThroughput"] == {"MaxWriteRequestUnits": 7}
    free = updated(one, OnDemandThroughput={"MaxWriteRequestUnits": -1})
    assert not free.is_limited


CREATION = {"GlobalSecondaryIndexUpdates": [{"Create": {"IndexName": "new"}}]}
STREAM = {"StreamSpecification": {"StreamEnabled": False}}
ENCRYPTION = {"SSESpecification": {"Enabled": True}}
CLASS = {"TableClass": "STANDARD"}
PROTECTION = {"DeletionProtectionEnabled": False}
WARM = {"WarmThroughput": {"ReadUnitsPerSecond": 20_000}}
MAXIMUM = {"OnDemandThroughput": {"MaxReadRequestUnits": 5}}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (PROTECTION | CLASS | ENCRYPTION, "Server-Side Encryption modification must be the only operation in the"),
        (PROTECTION | CLASS, "TableClass modification must be the only operation in the request"),
        (PROTECTION | WARM, "DeletionProtection modification must be the only operation in the request"),
        (WARM | STREAM, "WarmThroughput must be the only operation in the request"),
        (WARM | MAXIMUM, "OnDemandThroughput can only be combined with BillingMode in an UpdateTable request"),
        (STREAM | MAXIMUM, "OnDemandThroughput can only be combined with BillingMode in an UpdateTable request"),
        (STREAM | {"ProvisionedThroughput": units(1, 1)}, "You cannot modify stream status while updating table IOPS"),
        (CREATION | STREAM, "You cannot create or delete index while changing stream status"),
        (CREATION | WARM, "Create global secondary index cannot be specified when updating WarmThroughput"),
        (
            CREATION | {"ProvisionedThroughput": units(1, 1)},
            "You cannot create or delete index while updating table IOPS",
        ),
    ],
)
def test_most_changes_stand_alone(request_: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationException, match=f"^{P}{message}"):
        check_update(request_)


def test_what_is_empty_stands_beside_anything() -> None:
    check_update(PROTECTION | {"WarmThroughput": {}, "OnDemandThroughput": {}})
    warmed = {"Update": {"IndexName": "by-g", **WARM}}
    check_update(WARM | {"GlobalSecondaryIndexUpdates": [warmed]})
    with pytest.raises(ValidationException, match="WarmThroughput must be the only operation in the request"):
        check_update(WARM | STREAM | {"GlobalSecondaryIndexUpdates": [warmed]})
    with pytest.raises(ValidationException, match="WarmThroughput must be the only operation in the request"):
        check_update(WARM | {"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "by-g"}}]})
    check_update({"BillingMode": "PAY_PER_REQUEST"} | MAXIMUM)
    check_update({"BillingMode": "PAY_PER_REQUEST"} | STREAM)


NOTHING = (
    "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates, "
    "SSESpecification, ReplicaUpdates, MultiAccountReplicaReady, ReplicaTransitRoleArn, MultiRegionConsistency, "
    "DeletionProtectionEnabled, OnDemandThroughput, WarmThroughput or TableClass is required"
)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, NOTHING),
        ({"GlobalSecondaryIndexUpdates": []}, NOTHING),
        ({"AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}]}, NOTHING),
        (
            {"GlobalSecondaryIndexUpdates": [], "DeletionProtectionEnabled": True},
            P + "List of GlobalSecondaryIndexUpdates is empty",
        ),
        (
            {"BillingMode": "PROVISIONED"},
            P + "ProvisionedThroughput must be specified when BillingMode is PROVISIONED",
        ),
        (
            {"BillingMode": "PAY_PER_REQUEST", "ProvisionedThroughput": units(1, 1)},
            P + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        ),
        (
            {"ProvisionedThroughput": units(5, 5)},
            (
                "The provisioned throughput for the table will not change. The requested value equals the current "
                "value. Current ReadCapacityUnits provisioned for the table: 5. Requested ReadCapacityUnits: 5. "
                "Current WriteCapacityUnits provisioned for the table: 5. Requested WriteCapacityUnits: 5. "
                "Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits."
            ),
        ),
        (
            {"ProvisionedThroughput": units(10**12 + 1, 5)},
            "Given value 1000000000001 for ReadCapacityUnits is out of bounds",
        ),
        (
            {"GlobalSecondaryIndexUpdates": [{}]},
            P + "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, "
            "GlobalSecondaryIndexUpdate.Delete must not be null",
        ),
        (
            {"GlobalSecondaryIndexUpdates": of_index()["GlobalSecondaryIndexUpdates"] * 2},
            P + "Only one global secondary index update per index is allowed simultaneously. Index: gsi",
        ),
        (
            # Its keys are not defined either.
            {
                "GlobalSecondaryIndexUpdates": [
                    {
                        "Create": {
                            "IndexName": "gsi",
                            "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                            "Projection": {"ProjectionType": "ALL"},
                        }
                    },
                    {"Delete": {"IndexName": "gsi"}},
                ]
            },
            P + "Only one global secondary index update per index is allowed simultaneously. Index: gsi",
        ),
        (
            {"GlobalSecondaryIndexUpdates": [{"Update": {"IndexName": "gsi"}, "Delete": {"IndexName": "gsi"}}]},
            P + "Only one global secondary index action is allowed per GlobalSecondaryIndexUpdate object",
        ),
        (
            of_index(ProvisionedThroughput=units(7, 7)),
            (
                "The provisioned throughput for the index gsi will not change. The requested value equals the current "
                "value. Current ReadCapacityUnits provisioned for index gsi: 7. Requested ReadCapacityUnits: 7. "
                "Current WriteCapacityUnits provisioned for index gsi: 7. Requested WriteCapacityUnits: 7. "
                "Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits."
            ),
        ),
        (
            {"BillingMode": "PAY_PER_REQUEST", **of_index(ProvisionedThroughput=units(1, 1))},
            P + "The only Updates for index: gsi when TableThroughputMode is PAY_PER_REQUEST can be to "
            "OnDemandThroughput, WarmThroughput",
        ),
        ({"SSESpecification": {"Enabled": False}}, P + "Table is already encrypted by default"),
        ({"SSESpecification": {}}, P + "Table is already encrypted by default"),
        ({"StreamSpecification": {"StreamEnabled": False}}, "Table has no stream to disable: TableName: abc"),
    ],
)
def test_what_is_refused(request_: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationException) as caught:
        update(provisioned(), **request_)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("status", "doing"), [("CREATING", "created"), ("UPDATING", "updated"), ("DELETING", "deleted")]
)
def test_a_table_in_transition_is_left_alone(status: str, doing: str) -> None:
    with pytest.raises(ResourceInUseException) as caught:
        update(provisioned(status=status), DeletionProtectionEnabled=True)
    assert caught.value.message == (f"Attempt to change a resource which is still in use: Table is being {doing}: abc")


@pytest.mark.parametrize(
    ("update_", "kind", "message"),
    [
        (
            {"Update": {"IndexName": "ghost", "ProvisionedThroughput": units(1, 1)}},
            ResourceNotFoundException,
            "Requested resource not found: Index ghost for table abc",
        ),
        (
            {"Delete": {"IndexName": "ghost"}},
            ResourceNotFoundException,
            "Requested resource not found: Index ghost for table abc",
        ),
        (
            {"Update": {"IndexName": "lsi", "ProvisionedThroughput": units(1, 1)}},
            ValidationException,
            "Cannot update an index that is not a GlobalSecondaryIndex: lsi",
        ),
        (
            {"Delete": {"IndexName": "lsi"}},
            ValidationException,
            "Cannot delete an index that is not a GlobalSecondaryIndex: lsi",
        ),
    ],
)
def test_indexes_that_cannot_be_changed(update_: dict[str, Any], kind: type[TablesError], message: str) -> None:
    table = provisioned()
    local = Index("lsi", 2, is_global=False, keys=KEYS, projection="ALL")
    table = msgspec.structs.replace(table, indexes=(*table.indexes, local))
    with pytest.raises(kind) as caught:
        update(table, GlobalSecondaryIndexUpdates=[update_])
    assert caught.value.message == message


NEW = {
    "IndexName": "new",
    "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "ALL"},
}


def defined(**types: str) -> list[dict[str, str]]:
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()]


def created(table: Table, definitions: list[dict[str, str]] | None, **more: Any) -> Table:
    request: dict[str, Any] = {"AttributeDefinitions": definitions} if definitions is not None else {}
    return updated(table, GlobalSecondaryIndexUpdates=[{"Create": {**NEW, **more}}], **request)


@pytest.mark.parametrize(
    ("definitions", "more", "message"),
    [
        (None, {}, P + "AttributeDefinitions is not specified for index: new"),
        (
            defined(g="S"),
            {},
            P + "Both ReadCapacityUnits and WriteCapacityUnits must be specified for index: new",
        ),
        (
            defined(g="S"),
            {"Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x", "y", "x"]}},
            P + "Duplicate element in NonKeyAttributes: x",
        ),
    ],
)
def test_an_index_is_not_added(definitions: list[dict[str, str]] | None, more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationException) as caught:
        created(provisioned(), definitions, **more)
    assert caught.value.message == message


def test_an_index_of_a_table_on_demand_has_no_capacity() -> None:
    table = updated(provisioned(), BillingMode="PAY_PER_REQUEST")
    with pytest.raises(ValidationException) as caught:
        created(table, defined(g="S"), ProvisionedThroughput=units(1, 1))
    assert caught.value.message == (
        P + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified for index: new when BillingMode is "
        "PAY_PER_REQUEST"
    )


def test_definitions_count_for_new_indexes_alone() -> None:
    wrong = defined(a="N", old="B")
    table = updated(provisioned(), AttributeDefinitions=wrong, DeletionProtectionEnabled=True)
    assert table.attribute_types == {"a": "S"}
    table = created(table, [*wrong, *defined(g="N")], ProvisionedThroughput=units(1, 1))
    assert table.attribute_types == {"a": "S", "g": "N"}
    with pytest.raises(ValidationException, match="Attribute g is defined with type S, and is of type N in the table"):
        created(msgspec.structs.replace(table, indexes=()), defined(g="S"), ProvisionedThroughput=units(1, 1))


def test_a_key_is_not_set_again_by_its_arn() -> None:
    arn = "arn:aws:kms:us-east-1:111111111111:key/some"
    by_arn = {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": arn}
    table = updated(provisioned(), SSESpecification=by_arn)
    with pytest.raises(ValidationException) as caught:
        update(table, SSESpecification=by_arn)
    assert caught.value.message == (
        P + "Table is already encrypted with given KMSMasterKeyId. Use KMSMasterKeyId parameter if you want to change "
        "Master Key"
    )
    # In any other way it is.
    assert updated(table, SSESpecification=by_arn | {"KMSMasterKeyId": "some"}).settings == table.settings
    managed = updated(table, SSESpecification={"Enabled": True})
    alias = managed.settings["SSEDescription"]["KMSMasterKeyArn"]
    assert updated(managed, SSESpecification=by_arn | {"KMSMasterKeyId": alias}).settings == managed.settings


def test_what_was_warm_once_stays_warm() -> None:
    table = updated(provisioned(), ProvisionedThroughput=units(9, 9), **of_index(ProvisionedThroughput=units(8, 7)))
    assert not table.settings
    table = updated(table, ProvisionedThroughput=units(5, 10), **of_index(ProvisionedThroughput=units(1, 7)))
    described = describe(table, {}, NOW_MS)
    assert described["WarmThroughput"] == {"ReadUnitsPerSecond": 9, "WriteUnitsPerSecond": 10, "Status": "ACTIVE"}
    assert described["GlobalSecondaryIndexes"][0]["WarmThroughput"]["ReadUnitsPerSecond"] == 8
    with pytest.raises(ValidationException, match="decreasing WarmThroughput is not supported"):
        update(table, WarmThroughput={"ReadUnitsPerSecond": 8})
    table = updated(table, BillingMode="PAY_PER_REQUEST")
    assert warmth(table.settings, None) == {"ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 4_000}
    back: dict[str, Any] = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": units(5_000, 5_000)}
    table = updated(table, **back, **of_index(ProvisionedThroughput=units(1, 1)))
    assert warmth(table.settings, table.throughput) == {"ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 5_000}
    assert table.indexes[0].settings["WarmThroughput"] == {"ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 4_000}


def test_encryption_and_warm_throughput_leave_the_table_active() -> None:
    assert update(provisioned(), SSESpecification={"Enabled": True}).status == "ACTIVE"
    assert update(provisioned(), WarmThroughput={"ReadUnitsPerSecond": 20_000}).status == "ACTIVE"


def test_protection_and_maximums_change_at_once() -> None:
    protected = update(provisioned(), DeletionProtectionEnabled=True)
    assert (protected.status, protected.deletion_protection, protected.pending) == ("ACTIVE", True, None)
    on_demand = updated(provisioned(), BillingMode="PAY_PER_REQUEST")
    limited = update(on_demand, OnDemandThroughput={"MaxReadRequestUnits": 5})
    assert (limited.status, limited.settings) == ("ACTIVE", {"OnDemandThroughput": {"MaxReadRequestUnits": 5}})
    both = update(on_demand, BillingMode="PAY_PER_REQUEST", OnDemandThroughput={"MaxReadRequestUnits": 5})
    assert both.status == "UPDATING"


def test_what_is_deleted_is_gone() -> None:
    assert end_transition(provisioned(status="DELETING")) is None


def test_the_class_changes_twice_in_thirty_days() -> None:
    table = provisioned()
    classes = ("STANDARD_INFREQUENT_ACCESS", "STANDARD")
    for number, table_class in enumerate(classes):
        table = updated(table, NOW_MS + number * DAY_MS, TableClass=table_class)
    assert (table.class_changed_ms, table.class_changed_before_ms) == (NOW_MS + DAY_MS, NOW_MS)
    same = updated(table, NOW_MS + 2 * DAY_MS, TableClass="STANDARD")
    assert same.class_changed_ms == NOW_MS + DAY_MS
    with pytest.raises(LimitExceededException) as refused:
        update(table, NOW_MS + 30 * DAY_MS - 1, TableClass=classes[0])
    assert refused.value.message == (
        "Subscriber limit exceeded: Updates of the table class are limited to 2 times in 30 day(s). "
        "Last update at Saturday, October 5, 2024 1:00:00 AM UTC. "
        "Next update can be made at Sunday, November 3, 2024 1:00:00 AM UTC"
    )
    table = updated(table, NOW_MS + 30 * DAY_MS, TableClass=classes[0])
    with pytest.raises(LimitExceededException):
        update(table, NOW_MS + 31 * DAY_MS - 1, TableClass="STANDARD")
    assert updated(table, NOW_MS + 31 * DAY_MS, TableClass="STANDARD").table_class == "STANDARD"
