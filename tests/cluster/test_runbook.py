"""What the runbook says of Cassandra's settings, asked of a real node that is set up by it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import acsylla

from tools.cluster.cluster import Cluster

PAGE = Path(__file__).resolve().parents[2] / "docs" / "runbook" / "cassandra.md"
ROW = re.compile(r"^\| `(\w+)` \| `([^`]+)` \| `([^`]+)` \| \S.* \|$", re.MULTILINE)
#: Named in the text, with the value that is left as it is.
LEFT_ALONE = {
    "native_transport_max_frame_size": "16MiB",
    "user_timestamps_enabled": "true",
    "drop_truncate_table_enabled": "true",
    "allow_filtering_enabled": "true",
    "cas_contention_timeout": "1800ms",
    "write_request_timeout": "2000ms",
    "max_hint_window": "3h",
    "paxos_state_purging": "legacy",
    "column_index_size": None,
    "partition_size_fail_threshold": None,
    "partition_tombstones_fail_threshold": "-1",
    "tombstone_failure_threshold": "100000",
}


def rows_of(cluster: Cluster, *statements: str) -> list[dict[str, Any]]:
    """Runs statements one after the other; returns the rows of the last."""

    async def ask() -> list[dict[str, Any]]:
        driver = acsylla.create_cluster(list(cluster.contact_points), request_timeout=30, log_level="critical")
        session = await driver.create_session()
        try:
            rows: list[dict[str, Any]] = []
            for statement in statements:
                found = await session.execute(acsylla.create_statement(statement))
                rows = [row.as_dict() for row in found.all()]
            return rows
        finally:
            await session.close()

    return asyncio.run(ask())


def test_nodes_have_the_settings_that_the_runbook_asks_for(cassandra_cluster: Cluster) -> None:
    asked = {name: value for name, value, _ in ROW.findall(PAGE.read_text(encoding="utf-8"))}
    assert {"commitlog_sync", "commitlog_segment_size", "paxos_variant", "auto_snapshot"} <= set(asked)
    found = rows_of(cassandra_cluster, "SELECT name, value FROM system_views.settings")
    settings = {row["name"]: row["value"] for row in found}
    assert {name: settings.get(name) for name in asked} == asked
    assert {name: settings.get(name) for name in LEFT_ALONE} == LEFT_ALONE


def test_the_keyspace_of_the_runbook_can_be_made(cassandra_cluster: Cluster) -> None:
    block = next(text for text in re.findall(r"```cql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
    made, shared = block.replace(" tenet ", " runbook_test ").strip().split("\n")
    (row,) = rows_of(
        cassandra_cluster,
        "DROP KEYSPACE IF EXISTS runbook_test",
        made,
        shared,
        "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = 'runbook_test'",
    )
    assert row["replication"]["dc1"] == "3"
