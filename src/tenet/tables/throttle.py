"""Provisioned capacity: token buckets per table and per global index, as the service throttles.

A bucket fills with the configured units per second and holds what 300 seconds bring, which is the burst
capacity of https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/burst-adaptive-capacity.html. A request is
admitted while there is anything in it and may take more than there is; whoever comes next waits until the debt is paid.

Buckets live in this process alone: a restart fills them, and several processes admit that much each. Tables that are
on-demand, without a configured maximum, have none and cost one attribute look-up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from tenet.tables.errors import ProvisionedThroughputExceededException, ThrottlingException

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tenet.base.clock import Clock
    from tenet.tables.errors import TablesError
    from tenet.tables.model import Index, Table, Throughput

#: How many seconds' worth of unused capacity a bucket keeps.
BURST_S: Final = 300
#: From so many buckets on, those that are full are dropped: a full one is the same as none.
BUCKETS_MAX: Final = 10_000

Direction: TypeAlias = Literal["Read", "Write"]


class _Bucket:
    """Capacity units that can be taken now; below 0 they are owed."""

    __slots__ = ("filled_s", "level", "rate")

    def __init__(self, rate: float, now_s: float) -> None:
        self.rate = rate
        self.level = rate * BURST_S
        self.filled_s = now_s

    def fill(self, rate: float, now_s: float) -> None:
        """Adds what has come in since the last time, at the rate that is configured now."""
        self.level = min(self.level + (now_s - self.filled_s) * rate, rate * BURST_S)
        self.rate = rate
        self.filled_s = now_s

    def is_full(self, now_s: float) -> bool:
        """Whether it would overflow now."""
        return self.level + (now_s - self.filled_s) * self.rate >= self.rate * BURST_S


class Throttle:
    """Admits requests against capacity and charges them.

    Admission comes before the work, the charge behind it, when the size is known. Both do nothing for tables without
    a limit.

    Args:
        clock: its monotonic clock fills the buckets.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, str, Direction], _Bucket] = {}

    def admit_read(self, table: Table, index: Index | None = None) -> None:
        """Admits a read of a table, or of one of its indexes.

        Args:
            table: the table.
            index: the index that is read; reads of a local one are charged to the table.

        Raises:
            ProvisionedThroughputExceededException: what is read has used up its capacity.
            ThrottlingException: it has used up the maximum configured for it (on-demand).
        """
        if table.is_limited:
            self._admit(table, index if index is not None and index.is_global else None, "Read")

    def admit_write(self, table: Table, indexes: Iterable[Index] = ()) -> None:
        """Admits a write to a table.

        Args:
            table: the table.
            indexes: the global indexes that it is known to touch; an exhausted one holds up writes as well.

        Raises:
            ProvisionedThroughputExceededException: the table or one of the indexes has used up its capacity.
            ThrottlingException: it has used up the maximum configured for it (on-demand).
        """
        if table.is_limited:
            self._admit(table, None, "Write")
            for index in indexes:
                if index.is_global:
                    self._admit(table, index, "Write")

    def spend_read(self, table: Table, units: float, index: Index | None = None) -> None:
        """Charges a read.

        Args:
            table: the table.
            units: read capacity units, a multiple of 0.5.
            index: the index that was read; reads of a local one are charged to the table.
        """
        if table.is_limited:
            self._spend(table, index if index is not None and index.is_global else None, "Read", units)

    def spend_write(self, table: Table, units: float, index_units: Mapping[str, float] | None = None) -> None:
        """Charges a write.

        Args:
            table: the table.
            units: write capacity units of the table and its local indexes.
            index_units: write capacity units of global indexes, by their names.
        """
        if not table.is_limited:
            return
        self._spend(table, None, "Write", units)
        for name, spent in (index_units or {}).items():
            self._spend(table, table.index(name), "Write", spent)

    def _admit(self, table: Table, index: Index | None, direction: Direction) -> None:
        bucket = self._bucket(table, index, direction)
        if bucket is not None and bucket.level <= 0:
            raise _refusal(table, index, direction)

    def _spend(self, table: Table, index: Index | None, direction: Direction, units: float) -> None:
        bucket = self._bucket(table, index, direction)
        if bucket is not None:
            bucket.level -= units

    def _bucket(self, table: Table, index: Index | None, direction: Direction) -> _Bucket | None:
        """Returns the bucket, filled up to now; None where nothing limits."""
        rate = _rate(table, index, direction)
        if rate is None:
            return None
        now_s = self._clock.monotonic_s()
        key = (table.id, "" if index is None else index.name, direction)
        bucket = self._buckets.get(key)
        if bucket is None:
            self._drop_full(now_s)
            bucket = self._buckets[key] = _Bucket(rate, now_s)
        else:
            bucket.fill(rate, now_s)
        return bucket

    def _drop_full(self, now_s: float) -> None:
        if len(self._buckets) >= BUCKETS_MAX:
            self._buckets = {key: bucket for key, bucket in self._buckets.items() if not bucket.is_full(now_s)}


def _rate(table: Table, index: Index | None, direction: Direction) -> float | None:
    """Returns the units per second that are configured; None where there is no limit."""
    of: Table | Index = table if index is None else index
    if table.billing == "PROVISIONED":
        throughput: Throughput = of.throughput
        return throughput.read if direction == "Read" else throughput.write
    maximum: int = of.settings.get("OnDemandThroughput", {}).get(f"Max{direction}RequestUnits", -1)
    return None if maximum < 0 else maximum


def _refusal(table: Table, index: Index | None, direction: Direction) -> TablesError:
    resource = table.arn if index is None else f"{table.arn}/index/{index.name}"
    kind = "Table" if index is None else "Index"
    if table.billing != "PROVISIONED":
        return ThrottlingException(
            "Throughput exceeds the maximum OnDemandThroughput configured on table or index",
            {"throttlingReasons": [_reason(f"{kind}{direction}MaxOnDemandThroughputExceeded", resource)]},
        )
    reasons = {"ThrottlingReasons": [_reason(f"{kind}{direction}ProvisionedThroughputExceeded", resource)]}
    if index is not None:
        return ProvisionedThroughputExceededException(
            "The level of configured provisioned throughput for one or more global secondary indexes of the table was "
            "exceeded. Consider increasing your provisioning level for the under-provisioned global secondary indexes "
            "with the UpdateTable API",
            reasons,
        )
    return ProvisionedThroughputExceededException(
        "The level of configured provisioned throughput for the table was exceeded. "
        "Consider increasing your provisioning level with the UpdateTable API.",
        reasons,
    )


def _reason(reason: str, resource: str) -> dict[str, str]:
    return {"reason": reason, "resource": resource}
