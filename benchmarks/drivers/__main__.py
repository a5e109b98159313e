"""Compares the drivers for Cassandra on one warm cluster, and while one of its nodes is frozen or killed.

    python -m benchmarks.drivers                    everything; writes docs/results/drivers.md
    python -m benchmarks.drivers --seconds 2 --rounds 1 --output /tmp/drivers.md

Each run is a process of its own, so that the processor time is that of one driver; drivers take turns, and the median
of the rounds counts. The nodes share the machine with the client: times compare the drivers, and say nothing about
Cassandra.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import acsylla

from benchmarks.drivers.adapters import REQUIREMENTS, SCHEMA
from tests.conformance.packages import libraries
from tools.cluster.cluster import Cluster, open_free
from tools.cluster.spec import Spec

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "docs" / "results" / "drivers.md"
WORKLOADS = {
    "get": "SELECT of 1 KiB by a quorum",
    "serial": "the same by a round of Paxos",
    "commit": "conditional batch of two statements, applied",
    "refused": "the same, refused; the version in its way is read",
}
IN_FLIGHT = (1, 32)
FAULTS = {"pause": "frozen for 6 s (SIGSTOP)", "kill9": "killed, and started again 6 s later"}
#: A frozen node's connections are given up by heartbeats, which drivers count in whole seconds.
TIMEOUT_S = 1.0
FAULT_RUN_S, FAULT_AT_S, FAULT_FOR_S = 24, 3, 6
#: Few enough for answers within the timeout on a machine that does other work beside.
FAULT_IN_FLIGHT = 8
VICTIM = 2
Figures = dict[str, Any]


def start_client(driver: str, cluster: Cluster, **options: Any) -> subprocess.Popen[str]:
    """Starts one run in a process that finds one driver alone, and waits until it is warm."""
    path = os.pathsep.join([str(libraries(*REQUIREMENTS[driver]).ensure()), str(ROOT)])
    given = {"driver": driver, "points": cluster.contact_points, "timeout_s": TIMEOUT_S} | options
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.drivers.client", json.dumps(given)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    if process.stdout.readline() != "READY\n":
        raise RuntimeError(f"{driver} did not get warm: {process.wait()}")
    return process


def finish(process: subprocess.Popen[str]) -> Figures:
    """Waits for a run's end and returns what it measured."""
    output, _ = process.communicate()
    figures: Figures = json.loads(output.splitlines()[-1])
    return figures


def compare(cluster: Cluster, seconds: float, rounds: int) -> dict[tuple[str, int, str], Figures]:
    """Runs every workload by every driver, in turns; the median of the rounds by processor time counts."""
    found: dict[tuple[str, int, str], list[Figures]] = {}
    for turn in range(rounds):
        for workload in WORKLOADS:
            for in_flight in IN_FLIGHT:
                for driver in REQUIREMENTS:
                    process = start_client(driver, cluster, workload=workload, in_flight=in_flight, seconds=seconds)
                    figures = finish(process)
                    found.setdefault((workload, in_flight, driver), []).append(figures)
                    told = ("operations_per_s", "cpu_us", "p50_ms", "p99_ms", "errors")
                    print(turn + 1, workload, in_flight, driver, {name: figures[name] for name in told}, flush=True)
    return {key: sorted(runs, key=lambda run: run["cpu_us"])[len(runs) // 2] for key, runs in found.items()}


def warm_up(cluster: Cluster) -> None:
    """Lets the nodes compile what they will run, so that the first driver is not measured on cold ones."""
    for workload in WORKLOADS:
        finish(start_client("acsylla", cluster, workload=workload, in_flight=32, seconds=5))


def disturb(cluster: Cluster, driver: str, fault: str) -> Figures:
    """One run of commits during which a node is frozen or killed, and comes back."""
    cluster.start_all()
    process = start_client(driver, cluster, workload="commit", in_flight=FAULT_IN_FLIGHT, seconds=FAULT_RUN_S)
    time.sleep(FAULT_AT_S)
    (cluster.pause if fault == "pause" else cluster.kill9)(VICTIM)
    time.sleep(FAULT_FOR_S)
    (cluster.resume if fault == "pause" else cluster.launch)(VICTIM)
    figures = finish(process)
    cluster.start_all()
    tenths = figures["tenths"]
    from_fault, to_end = FAULT_AT_S * 10, (FAULT_AT_S + FAULT_FOR_S) * 10
    figures["before"] = round(statistics.fmean(tenths[:from_fault]) * 10)
    figures["first_second"] = sum(tenths[from_fault : from_fault + 10])
    figures["during"] = round(statistics.fmean(tenths[from_fault:to_end]) * 10)
    figures["after"] = round(statistics.fmean(tenths[-50:]) * 10)
    figures["errors_for_s"] = round(figures["last_error_s"] - FAULT_AT_S, 1) if figures["errors"] else 0.0
    figures["silence_s"] = longest_silence(tenths[from_fault:]) / 10
    print(fault, driver, {name: figures[name] for name in figures if name != "tenths"}, flush=True)
    return figures


def longest_silence(tenths: list[int]) -> int:
    """The longest stretch without any answer, in tenths of a second."""
    longest = current = 0
    for count in tenths:
        current = 0 if count else current + 1
        longest = max(longest, current)
    return longest


async def create_schema(cluster: Cluster) -> None:
    """Makes the keyspace and the table, with a copy on each node."""
    driver = acsylla.create_cluster(
        list(cluster.contact_points), request_timeout=60, max_schema_wait_time_ms=60_000, log_level="critical"
    )
    session = await driver.create_session()
    for text in SCHEMA:
        await session.execute(acsylla.create_statement(text.replace("%d", str(cluster.spec.nodes))))
    await session.close()


def report(compared: dict[tuple[str, int, str], Figures], faults: dict[tuple[str, str], Figures], command: str) -> str:
    """The tables."""
    releases = ", ".join(requirement for (requirement,) in REQUIREMENTS.values())
    lines = [
        "# Drivers for Cassandra compared",
        "",
        f"Written by `{command}`.",
        "",
        f"- releases: {releases}; Python {platform.python_version()}",
        f"- machine: {platform.system()} {platform.machine()}, {os.cpu_count()} cores for the client and three nodes",
        f"- when: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; load {os.getloadavg()[1]:.0f}, other work included",
        "",
        "In bold the processor time of the client, all its threads, in µs per operation; then answers per second, p50",
        f"and p99 in ms. Errors are requests without an answer within {TIMEOUT_S:.0f} s. The nodes run on the same",
        "processors: only the first figure compares drivers.",
    ]
    for in_flight in IN_FLIGHT:
        lines += ["", f"| {in_flight} in flight | {' | '.join(REQUIREMENTS)} |", "|---|" + "---|" * len(REQUIREMENTS)]
        for workload, what in WORKLOADS.items():
            cells = [cell(compared[workload, in_flight, driver]) for driver in REQUIREMENTS]
            lines.append(f"| {what} | {' | '.join(cells)} |")
    lines += [
        "",
        f"Commits, {FAULT_IN_FLIGHT} in flight, timeout {TIMEOUT_S:.0f} s, while one of three nodes is disturbed:",
    ]
    for fault, what in FAULTS.items():
        lines += ["", f"| a node is {what} | {' | '.join(REQUIREMENTS)} |", "|---|" + "---|" * len(REQUIREMENTS)]
        for name, title in FAULT_ROWS.items():
            cells = [str(faults[fault, driver][name]) for driver in REQUIREMENTS]
            lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


FAULT_ROWS = {
    "before": "answers per second before",
    "first_second": "answers in the first second",
    "during": "answers per second while it lasts",
    "after": "answers per second in the last 5 s",
    "silence_s": "longest time without any answer, s",
    "max_ms": "slowest answer, ms",
    "longest_error_ms": "slowest error, ms",
    "errors": "errors",
    "errors_for_s": "last error, s after the fault began",
    "error_kinds": "which",
}


def cell(figures: Figures) -> str:
    """One workload of one driver."""
    errors = f", {figures['errors']} errors" if figures["errors"] else ""
    return (
        f"**{figures['cpu_us']:.0f}**; {figures['operations_per_s']}, {figures['p50_ms']}, {figures['p99_ms']}{errors}"
    )


def main() -> int:
    """Runs everything; returns 0."""
    parser = argparse.ArgumentParser(prog="benchmarks.drivers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    cluster = open_free(Spec())
    try:
        cluster.start_all(print)
        asyncio.run(create_schema(cluster))
        warm_up(cluster)
        faults = {(fault, driver): disturb(cluster, driver, fault) for fault in FAULTS for driver in REQUIREMENTS}
        compared = compare(cluster, options.seconds, options.rounds)
    finally:
        cluster.close()
    command = " ".join(["python -m benchmarks.drivers", *sys.argv[1:]])
    options.output.write_text(report(compared, faults, command), encoding="utf-8")
    print(options.output.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
