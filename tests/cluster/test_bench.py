"""The benchmark over a cluster, in small: the raw driver and one Tenet node, every operation, no error anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import generator, servers
from benchmarks.cluster import ONE, RAW, WORKLOADS, Plan, bench_on
from benchmarks.sections import Pace
from tests.clusters import new_store_url
from tests.servers import running
from tools.cluster.cluster import Cluster

IN_FLIGHT = 2
PLAN = Plan(
    in_flight=(IN_FLIGHT,), pace=Pace(rounds=1, seconds=1.5), warm_up_s=0.5, rest_s=1.0, nodes=1, items=(80, 32)
)
#: What an operation costs where nothing is in its way: see the engine's DESIGN.md.
STATEMENTS = {"put": 1, "get": 1, "update": 1, "query": 1, "transaction": 13}


@pytest.mark.time_limit_s(600)
def test_every_operation_is_measured_by_the_raw_driver_and_by_tenet(cassandra_cluster: Cluster, tmp_path: Path) -> None:
    generator.build()
    store_url = new_store_url(cassandra_cluster)
    with (
        running(tmp_path / "data", "--plaintext", "--store", store_url) as server,
        bench_on(cassandra_cluster, PLAN, [servers.target_of(server)]) as bench,
    ):
        for workload in WORKLOADS:
            found = bench.compare(workload, IN_FLIGHT)
            assert list(found) == [RAW, ONE]
            wanted = STATEMENTS[workload]
            for name, figures in found.items():
                assert figures.errors == 0, (workload, name, figures)
                assert figures.per_s > 0
                assert 0 < figures.p50_ms <= figures.p99_ms
                # Some end in another measurement than they began in, and background jobs are never quite the same.
                assert figures.statements == pytest.approx(wanted, rel=0.05 if name == RAW else 0.8)
        section, in_flight, per_s = bench.capacity()
    assert (section.name, in_flight) == ("capacity", IN_FLIGHT)
    assert f"Capacity: {per_s:.0f} operations per second, with {IN_FLIGHT} in flight." in section.table
    assert all(verdict.passed for verdict in section.verdicts), section.verdicts
