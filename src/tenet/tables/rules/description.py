"""How a table is described in answers (TableDescription of the API reference)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from tenet.tables.rules.stream_settings import described_stream
from tenet.tables.rules.table_settings import warmth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenet.tables.model import CapacityHistory, Index, KeySchema, Table, Throughput

_DAY_MS: Final = 86_400_000
#: A global index that is kept from the log and is behind by more is shown as one that is being filled, milliseconds.
BEHIND_MS: Final = 1_000


class Count(Struct, frozen=True):
    """How much a table or an index holds.

    Args:
        items: how many.
        size_bytes: their size by the service's rules.
    """

    items: int = 0
    size_bytes: int = 0


_NOTHING: Final = Count()


def describe(table: Table, counts: Mapping[str, Count], now_ms: int, *, lag_ms: int = 0) -> dict[str, Any]:
    """Returns the TableDescription of a table.

    Args:
        table: the table.
        counts: what it holds under "", and what its indexes hold by their name; where one is missing, nothing.
        now_ms: the time, milliseconds since 1970.
        lag_ms: how far its global indexes are behind, milliseconds.
    """
    count = counts.get("", _NOTHING)
    answer: dict[str, Any] = {
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": kind} for name, kind in sorted(table.attribute_types.items())
        ],
        "TableName": table.name,
        "KeySchema": key_schema(table.keys),
        "TableStatus": table.status,
        "CreationDateTime": table.created_ms / 1000,
        "ProvisionedThroughput": _throughput(table.throughput, table.history, now_ms),
        "TableSizeBytes": count.size_bytes,
        "ItemCount": count.items,
        "TableArn": table.arn,
        "TableId": table.id,
        "DeletionProtectionEnabled": table.deletion_protection,
    }
    if table.on_demand_ms:
        answer["BillingModeSummary"] = _billing(table)
    if table.class_changed_ms or table.table_class != "STANDARD":
        answer["TableClassSummary"] = _table_class(table)
    if table.status != "DELETING":
        answer["WarmThroughput"] = _warm_throughput(table, table.throughput, table.settings)
    if "OnDemandThroughput" in table.settings:
        answer["OnDemandThroughput"] = table.settings["OnDemandThroughput"]
    answer.update(described_stream(table))
    if "SSEDescription" in table.settings:
        answer["SSEDescription"] = table.settings["SSEDescription"]
    if table.local_indexes:
        answer["LocalSecondaryIndexes"] = [_index(table, index, counts) for index in table.local_indexes]
    indexes = (*table.global_indexes, *table.coming_indexes)
    if indexes:
        answer["GlobalSecondaryIndexes"] = [_global_index(table, index, counts, now_ms, lag_ms) for index in indexes]
    return answer


def describe_new(table: Table, now_ms: int) -> dict[str, Any]:
    """Returns the TableDescription of a table in the answer to its CreateTable.

    It says nothing of warm throughput but what was asked for, and of that of indexes nothing at all.

    Args:
        table: in status CREATING.
        now_ms: the time, milliseconds since 1970.
    """
    answer = describe(table, {}, now_ms)
    if "WarmThroughput" not in table.settings:
        del answer["WarmThroughput"]
    for index in answer.get("GlobalSecondaryIndexes", ()):
        del index["WarmThroughput"]
    return answer


def key_schema(keys: KeySchema) -> list[dict[str, str]]:
    """Returns a key as answers describe it."""
    schema = [{"AttributeName": attribute.name, "KeyType": "HASH"} for attribute in keys.partitions]
    schema += [{"AttributeName": attribute.name, "KeyType": "RANGE"} for attribute in keys.sorts]
    return schema


def _throughput(throughput: Throughput, history: CapacityHistory, now_ms: int) -> dict[str, Any]:
    today = history.decreased_ms // _DAY_MS == now_ms // _DAY_MS
    answer: dict[str, Any] = {
        "NumberOfDecreasesToday": history.decreases_today if today else 0,
        "ReadCapacityUnits": throughput.read,
        "WriteCapacityUnits": throughput.write,
    }
    if history.increased_ms:
        answer["LastIncreaseDateTime"] = history.increased_ms / 1000
    if history.decreased_ms:
        answer["LastDecreaseDateTime"] = history.decreased_ms / 1000
    return answer


def _billing(table: Table) -> dict[str, Any]:
    answer: dict[str, Any] = {"BillingMode": table.billing}
    if table.status != "CREATING":
        answer["LastUpdateToPayPerRequestDateTime"] = table.on_demand_ms[-1] / 1000
    return answer


def _table_class(table: Table) -> dict[str, Any]:
    answer: dict[str, Any] = {"TableClass": table.table_class}
    if table.class_changed_ms:
        answer["LastUpdateDateTime"] = table.class_changed_ms / 1000
    return answer


def _warm_throughput(table: Table, throughput: Throughput, settings: Mapping[str, Any]) -> dict[str, Any]:
    units = warmth(settings, None if table.billing == "PAY_PER_REQUEST" else throughput)
    return {**units, "Status": "UPDATING" if table.status in {"CREATING", "UPDATING"} else "ACTIVE"}


def _index(table: Table, index: Index, counts: Mapping[str, Count]) -> dict[str, Any]:
    count = counts.get(index.name, _NOTHING)
    projection: dict[str, Any] = {"ProjectionType": index.projection}
    if index.included:
        projection["NonKeyAttributes"] = sorted(index.included)
    return {
        "IndexName": index.name,
        "KeySchema": key_schema(index.keys),
        "Projection": projection,
        "IndexSizeBytes": count.size_bytes,
        "ItemCount": count.items,
        "IndexArn": f"{table.arn}/index/{index.name}",
    }


def _global_index(table: Table, index: Index, counts: Mapping[str, Count], now_ms: int, lag_ms: int) -> dict[str, Any]:
    answer = _index(table, index, counts)
    answer["IndexStatus"] = index.status
    if index.is_filling:
        answer["Backfilling"] = index in table.indexes
    elif lag_ms > BEHIND_MS and index.status == "ACTIVE":
        # As the service shows an index that does not hold all items yet; it answers meanwhile.
        answer["IndexStatus"] = "UPDATING"
        answer["Backfilling"] = True
    answer["ProvisionedThroughput"] = _throughput(index.throughput, index.history, now_ms)
    if table.status != "DELETING":
        answer["WarmThroughput"] = _warm_throughput(table, index.throughput, index.settings)
    if "OnDemandThroughput" in index.settings:
        answer["OnDemandThroughput"] = index.settings["OnDemandThroughput"]
    return answer
