"""What the figures of the store and of the mesh mean, for the page of metrics: a sentence each, and which are counters.

The figures themselves are what ``Engine.health`` and ``Core.work_figures`` return, by the same names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tenet.wire.door import Measured
from tenet.wire.metrics import Figures, undescribed

#: What can be read at any moment, by the name of the metric.
GAUGES: Final[Mapping[str, str]] = {
    "tenet_store_reachable": "Whether the store says anything about itself; there only where it does not.",
    "tenet_store_is_open": "Whether the store is open.",
    "tenet_store_can_write": "Whether the store takes writes; 0 while it refuses them, which /readyz says in words.",
    "tenet_store_is_damaged": "Whether the store has met bytes that it never wrote.",
    "tenet_store_is_restoring": "Whether a backup is being restored.",
    "tenet_store_format_version": "Number of the format that the store's file has.",
    "tenet_store_file_bytes": "Size of the store's file.",
    "tenet_store_pages": "Pages of the store's file.",
    "tenet_store_free_pages": "Pages of the store's file that hold nothing and are used again.",
    "tenet_store_wal_bytes": "Size of the store's write-ahead log.",
    "tenet_store_wal_pages": "Pages in the write-ahead log that are not in the store's file yet.",
    "tenet_store_disk_free_bytes": "Free space on the disk of the store.",
    "tenet_store_spaces": "Spaces of the store: one for each table, and those of Tenet's own.",
    "tenet_store_records": "Records in the store.",
    "tenet_store_settled": "Commits whose outcome was settled and is remembered.",
    "tenet_store_writes_per_transaction": "Writes that shared one fsync, on average since the start.",
    "tenet_store_writes_per_transaction_max": "Most writes that shared one fsync since the start.",
    "tenet_store_writes_waiting": "Writes that wait for the one writer.",
    "tenet_store_reads_in_threads": "Reads that are too long for the loop, under way or waiting for a thread.",
    "tenet_store_commit_ms_p50": "Median time of recent transactions to be durable, in milliseconds.",
    "tenet_store_commit_ms_p99": "99th percentile of the time of recent transactions to be durable, in milliseconds.",
    "tenet_store_commits_under_way": "Commits that have begun and not ended.",
    "tenet_store_nodes_silent": "Nodes of the cluster that do not answer; tenet_store_node_silent has which.",
    "tenet_mesh_members_up": "Nodes that are members and alive, this one included.",
    "tenet_mesh_members_dead": "Nodes that are members and dead.",
    "tenet_mesh_jobs_running": "Shards of background jobs that run on this node.",
    "tenet_mesh_hints_watched": "Places that this node waits for changes of, and has told others of.",
}

#: What only rises while a process lives, by the name of the metric without its ``_total``.
COUNTERS: Final[Mapping[str, str]] = {
    "tenet_store_transactions": "Transactions, each made durable by one fsync.",
    "tenet_store_writes": "Writes that transactions carried out.",
    "tenet_store_failed_transactions": "Transactions that failed as a whole.",
    "tenet_store_statements": "Statements sent to the cluster, tries behind the first apart.",
    "tenet_store_statements_read": "Statements that read for somebody.",
    "tenet_store_statements_write": "Statements that write without a condition.",
    "tenet_store_statements_conditional": "Conditional statements: lightweight transactions.",
    "tenet_store_statements_registry": "Statements that look up which tables there are, and what is to be removed.",
    "tenet_store_statements_beat": "Statements that look whether the cluster answers and is set up well.",
    "tenet_store_statements_sent_again": "Statements sent once more, since the node was too slow or failed.",
    "tenet_mesh_members_evicted_others": "Nodes that this one has found dead and evicted.",
    "tenet_mesh_members_was_evicted": "Times that this node was evicted by others and came back.",
    "tenet_mesh_members_was_away": "Times that this process stood still for so long that others may have gone on.",
    "tenet_mesh_members_failed_reads": "Reads of who the members are that failed.",
    "tenet_mesh_jobs_started": "Shards of background jobs that were started on this node.",
    "tenet_mesh_jobs_failed": "Shards of background jobs that failed, and are started again.",
    "tenet_mesh_jobs_taken": "Leases that this node has taken.",
    "tenet_mesh_jobs_lost": "Leases that this node has lost to another one.",
    "tenet_mesh_hints_told": "Changed places that other nodes were told of.",
    "tenet_mesh_hints_notices": "Messages that told other nodes of changed places.",
    "tenet_mesh_hints_dropped": "Changed places that a node was not told of: too much waited for it.",
    "tenet_mesh_hints_heard": "Changed places that other nodes have told this one of.",
}

_NODE_SILENT: Final = "tenet_store_node_silent"


def described(prefix: str, figures: Figures) -> Iterator[Measured]:
    """Yields the figures that are numbers or truth values, with what they mean.

    Args:
        prefix: what the names of the metrics begin with.
        figures: by name; of one that nobody has described only that is said.
    """
    for measured in undescribed(prefix, figures):
        name = measured.name
        if name in COUNTERS:
            yield Measured(name, COUNTERS[name], (), measured.values, is_counter=True)
        elif name in GAUGES:
            yield Measured(name, GAUGES[name], (), measured.values)
        else:
            yield measured
    nodes = _listed(figures.get("nodes", ""))
    if nodes:
        silent = _listed(figures.get("nodes_not_answering", ""))
        values: dict[tuple[str, ...], float] = {(node,): float(node in silent) for node in sorted({*nodes, *silent})}
        yield Measured(
            _NODE_SILENT, "Whether this node of the cluster does not answer this process.", ("node",), values
        )


def _listed(names: float | str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else []
