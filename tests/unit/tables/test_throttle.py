"""Provisioned capacity: what is admitted, what is charged, and what comes back with time."""

from __future__ import annotations

from typing import Any

import pytest

from tenet.base.clock import ManualClock
from tenet.tables.errors import ProvisionedThroughputExceededException, ThrottlingException
from tenet.tables.model import Index, KeyAttribute, KeySchema, Table, Throughput
from tenet.tables.throttle import BUCKETS_MAX, BURST_S, Throttle

KEYS = KeySchema(KeyAttribute("a", "S"))
GLOBAL = Index("gsi", 1, is_global=True, keys=KEYS, projection="ALL", throughput=Throughput(2, 2))
LOCAL = Index("lsi", 2, is_global=False, keys=KEYS, projection="ALL")


def table(**changes: Any) -> Table:
    return Table(
        **{
            "account": "1" * 12,
            "name": "abc",
            "id": "id",
            "region": "us-east-1",
            "created_ms": 1,
            "keys": KEYS,
            "attribute_types": {"a": "S"},
            "indexes": (GLOBAL, LOCAL),
            "status": "ACTIVE",
            "throughput": Throughput(5, 5),
            **changes,
        }
    )


def test_a_burst_of_300_seconds_is_admitted_and_may_overdraw() -> None:
    clock = ManualClock()
    throttle, of = Throttle(clock), table()
    throttle.admit_write(of)
    throttle.spend_write(of, 5 * BURST_S - 1)
    throttle.admit_write(of)
    throttle.spend_write(of, 11)
    with pytest.raises(ProvisionedThroughputExceededException) as caught:
        throttle.admit_write(of)
    assert caught.value.message == (
        "The level of configured provisioned throughput for the table was exceeded. "
        "Consider increasing your provisioning level with the UpdateTable API."
    )
    assert caught.value.members == {
        "ThrottlingReasons": [{"reason": "TableWriteProvisionedThroughputExceeded", "resource": of.arn}]
    }
    clock.advance_ms(1_999)
    with pytest.raises(ProvisionedThroughputExceededException):
        throttle.admit_write(of)
    clock.advance_ms(2)
    throttle.admit_write(of)


def test_reads_and_writes_have_capacity_of_their_own() -> None:
    throttle, of = Throttle(ManualClock()), table()
    throttle.spend_write(of, 10_000)
    throttle.admit_read(of)
    throttle.spend_read(of, 10_000)
    with pytest.raises(ProvisionedThroughputExceededException):
        throttle.admit_read(of)


def test_a_bucket_holds_no_more_than_its_burst() -> None:
    clock = ManualClock()
    throttle, of = Throttle(clock), table()
    throttle.admit_read(of)
    clock.advance_ms(10_000_000)
    throttle.spend_read(of, 5 * BURST_S)
    with pytest.raises(ProvisionedThroughputExceededException):
        throttle.admit_read(of)


def test_a_global_index_has_its_own_and_a_local_one_the_tables() -> None:
    throttle, of = Throttle(ManualClock()), table()
    throttle.spend_read(of, 2 * BURST_S, GLOBAL)
    throttle.admit_read(of)
    with pytest.raises(ProvisionedThroughputExceededException, match="one or more global secondary indexes"):
        throttle.admit_read(of, GLOBAL)
    throttle.spend_read(of, 5 * BURST_S, LOCAL)
    with pytest.raises(ProvisionedThroughputExceededException, match="for the table"):
        throttle.admit_read(of)


def test_an_exhausted_index_holds_up_the_writes_that_touch_it() -> None:
    throttle, of = Throttle(ManualClock()), table()
    throttle.spend_write(of, 1, {"gsi": 2 * BURST_S})
    throttle.admit_write(of)
    with pytest.raises(ProvisionedThroughputExceededException) as caught:
        throttle.admit_write(of, of.indexes)
    assert caught.value.members["ThrottlingReasons"] == [
        {"reason": "IndexWriteProvisionedThroughputExceeded", "resource": f"{of.arn}/index/gsi"}
    ]


def test_capacity_that_is_changed_counts_at_once() -> None:
    clock = ManualClock()
    throttle, small = Throttle(clock), table()
    throttle.spend_write(small, 5 * BURST_S + 10)
    large = table(throughput=Throughput(1_000, 1_000))
    clock.advance_ms(1_000)
    throttle.admit_write(large)
    throttle.spend_write(large, 0)
    clock.advance_ms(1_000_000)
    throttle.spend_write(small, 1)
    throttle.admit_write(small)
    throttle.spend_write(small, 5 * BURST_S)
    with pytest.raises(ProvisionedThroughputExceededException):
        throttle.admit_write(small)


def test_on_demand_tables_have_no_limit_and_no_bucket() -> None:
    throttle = Throttle(ManualClock())
    of = table(billing="PAY_PER_REQUEST", throughput=Throughput())
    for _ in range(3):
        throttle.admit_write(of, of.indexes)
        throttle.spend_write(of, 1e9, {"gsi": 1e9})
        throttle.admit_read(of)
        throttle.spend_read(of, 1e9)
    assert not throttle._buckets


def test_a_configured_maximum_limits_an_on_demand_table() -> None:
    throttle = Throttle(ManualClock())
    of = table(
        billing="PAY_PER_REQUEST",
        throughput=Throughput(),
        settings={"OnDemandThroughput": {"MaxWriteRequestUnits": 1}},
    )
    throttle.spend_read(of, 1e9)
    throttle.admit_read(of)
    throttle.spend_write(of, BURST_S)
    with pytest.raises(ThrottlingException) as caught:
        throttle.admit_write(of)
    assert caught.value.members["throttlingReasons"][0]["reason"] == "TableWriteMaxOnDemandThroughputExceeded"


def test_full_buckets_do_not_pile_up() -> None:
    throttle = Throttle(ManualClock())
    exhausted = table(id="exhausted")
    throttle.spend_write(exhausted, 1e9)
    for number in range(BUCKETS_MAX + 10):
        throttle.admit_write(table(id=str(number)))
    assert len(throttle._buckets) < BUCKETS_MAX
    with pytest.raises(ProvisionedThroughputExceededException):
        throttle.admit_write(exhausted)
