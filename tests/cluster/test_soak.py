"""A server under a steady load for a while: what operations cost at its end, and what they have left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tenet.base.ids import SystemIds
from tenet.store.cassandra.segments import SEGMENT
from tenet.tables.rules.index_log import LOG_SHARDS
from tests.rounds import rounds
from tests.servers import Server, start
from tests.soak import PATIENT, VALUE_BYTES, Soak, kept, make_table
from tools.cluster.cluster import Cluster

RATE = 20.0
#: What the load lasts, and a window that is measured; seconds. The first window is for warming up.
LASTS_S, WINDOW_S = rounds((60, 12), (1_200, 60))
#: How much more the last window may cost than the second. Other work on the machine comes and goes in the short form.
CPU_MAX, P50_MAX = rounds((2.0, 3.0), (1.4, 2.0))
#: What one operation may leave on one node until it is forgotten, in bytes: fates, traces of index entries. Half of the
#: operations write a value; one that were kept would be more.
LEFT_MAX = 600
MIB = 1024 * 1024
#: What is kept of a value in the log: before and after it, with names.
ENTRY_MAX = 3 * VALUE_BYTES

pytestmark = pytest.mark.time_limit_s(LASTS_S + 500)


@pytest.fixture
def keyspace() -> str:
    return f"soak_{SystemIds().draw(6).hex()}"


@pytest.fixture
def server(tmp_path: Path, cassandra_faults: Cluster, keyspace: str) -> Iterator[Server]:
    url = f"cassandra://{','.join(cassandra_faults.contact_points)}/{keyspace}?gc_grace_s=3600"
    found = start(tmp_path / "data", "--store", url, start_s_max=120)
    try:
        yield found
    finally:
        found.stop()


def test_operations_cost_the_same_and_what_they_leave_is_bounded(
    server: Server, cassandra_faults: Cluster, keyspace: str
) -> None:
    make_table(server.client(config=PATIENT))
    soak = Soak(server, cassandra_faults, RATE)
    soak.go_on(WINDOW_S)
    second = soak.go_on(WINDOW_S)
    early, early_at = kept(server, cassandra_faults, keyspace), soak.number
    rest_s = LASTS_S - 3 * WINDOW_S
    between = soak.go_on(rest_s)
    last = soak.go_on(WINDOW_S)
    late, operations = kept(server, cassandra_faults, keyspace), soak.number - early_at
    shown = f"second window {second}, last window {last}, {early} became {late} by {operations} operations"
    print(shown)
    assert second.errors + between.errors + last.errors == []
    assert last.cpu_ms <= CPU_MAX * second.cpu_ms, shown
    assert last.p50_ms <= P50_MAX * second.p50_ms, shown
    assert late.tenet <= 1.2 * early.tenet + 24 * MIB, shown
    assert late.heap <= 1.2 * early.heap + 96 * MIB, shown
    # Fates are forgotten after REMEMBERED_S, and traces of what was deleted after gc_grace_s: until then they gather.
    nodes = cassandra_faults.spec.nodes
    assert late.tables - early.tables <= nodes * operations * LEFT_MAX, shown
    assert late.journal - early.journal <= nodes * operations * LEFT_MAX, shown
    # Logs let go of whole segments, when all that is in them has been read.
    assert late.logs <= nodes * min(soak.number, LOG_SHARDS * SEGMENT) * ENTRY_MAX, shown
