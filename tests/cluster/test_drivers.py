"""The program that compares drivers, on real nodes for the driver that Tenet uses; and what it makes of figures."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.drivers import __main__ as comparison
from benchmarks.drivers.adapters import REQUIREMENTS
from benchmarks.drivers.client import Measured, figures, percentile
from tools.cluster.cluster import Cluster

ROOT = Path(__file__).resolve().parents[2]
DONE: dict[str, Any] = figures(
    Measured([1.0, 3.0, 900.0], Counter(Refused=2), Counter({0: 1, 4: 2}), 12.4, 0.3), 0.5, 0.006
)


@pytest.mark.parametrize("workload", comparison.WORKLOADS)
def test_every_workload_runs_without_an_error(cassandra_cluster: Cluster, workload: str) -> None:
    asyncio.run(comparison.create_schema(cassandra_cluster))
    options = {"driver": "acsylla", "workload": workload, "points": cassandra_cluster.contact_points}
    more = {"timeout_s": 10, "in_flight": 2, "seconds": 0.5, "warm_s": 0.1}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.drivers.client", json.dumps(options | more)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    ready, line = done.stdout.splitlines()
    found = json.loads(line)
    assert ready == "READY"
    assert found["operations"] > 0
    assert found["error_kinds"] == "none"


def test_figures_of_a_run() -> None:
    assert DONE["operations"] == 3
    assert DONE["operations_per_s"] == 6
    assert DONE["cpu_us"] == 2000.0
    assert (DONE["p50_ms"], DONE["max_ms"], DONE["slow"]) == (3.0, 900.0, 1)
    assert (DONE["errors"], DONE["error_kinds"]) == (2, "2 x Refused")
    assert DONE["tenths"] == [1, 0, 0, 0, 2]


def test_a_run_without_any_answer_has_figures_too() -> None:
    assert figures(Measured(), 1.0, 0.5)["cpu_us"] == 0.0


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 51.0), (0.99, 100.0), (1.0, 100.0)])
def test_percentiles(share: float, expected: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], share) == expected


@pytest.mark.parametrize(("tenths", "expected"), [([], 0), ([1, 1], 0), ([0, 0, 1, 0], 2), ([1, 0, 0, 0], 3)])
def test_longest_silence(tenths: list[int], expected: int) -> None:
    assert comparison.longest_silence(tenths) == expected


def test_the_report_has_a_column_for_each_driver() -> None:
    compared = {
        (workload, in_flight, driver): DONE
        for workload in comparison.WORKLOADS
        for in_flight in comparison.IN_FLIGHT
        for driver in REQUIREMENTS
    }
    row = dict.fromkeys(comparison.FAULT_ROWS, 7)
    text = comparison.report(
        compared, {(fault, driver): row for fault in comparison.FAULTS for driver in REQUIREMENTS}, "it"
    )
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {len(REQUIREMENTS) + 2}
    assert "| **2000**; 6, 3.0, 900.0, 2 errors |" in text
