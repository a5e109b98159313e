"""Measures Tenet over a real cluster beside the raw driver that sends the same statements, in one run.

    make bench-cluster                                                   about a quarter of an hour
    make bench-cluster ARGS="--only put,get --seconds 1 --in-flight 1,32 --rounds 1 --no-write"   a quick look

Three Cassandra nodes are started for the run, or those of TENET_TEST_CLUSTER are taken. Everything goes into
docs/performance-cluster.md. The status is 1 where a target was missed. Nodes, Tenets, the raw driver and the load
generator share the machine: what counts is the ratio of two figures of one run.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from benchmarks import generator, judge, lag, report, servers
from benchmarks.apart import apart, is_possible
from benchmarks.generator import ROOT, Dataset, Row, Target
from benchmarks.judge import Figures, Verdict
from benchmarks.options import Names
from benchmarks.raw import Asked, RawProcess, Started
from benchmarks.run import DATA
from benchmarks.sections import Pace, Section, rounds_of, table_head, table_line
from tenet.base.ids import SystemIds
from tests.conformance.packages import FetchFailed, ToolMissing
from tools.cluster.cluster import NETWORK, Cluster, ClusterFailed, open_free, use
from tools.cluster.spec import Spec

WORKLOADS: Final = ("put", "get", "update", "query", "transaction")
IN_FLIGHT: Final = (1, 32, 128)
MIXED: Final = "mixed"
RAW: Final = "raw driver"
ONE: Final = "Tenet, one node"
DOCUMENT: Final = ROOT / "docs" / "performance-cluster.md"
#: What the cluster can take, for trials at a share of it.
CAPACITY: Final = ROOT / "docs" / "results" / "cluster-capacity.json"
#: The workloads that go over several partitions have a table in which every item has a partition of its own.
SPREAD: Final = ("transaction", MIXED)
#: Items of the two tables, and how many groups of them a connection goes through: few, so that a node has seen them all
#: when the clock starts.
ITEMS: Final = 2_560
SPREAD_ITEMS: Final = 1_536
GROUPS: Final = 4
#: Partitions of the tables whose index is watched: few enough that all are written to every second, and many more.
LAG_ITEMS: Final = 64
LAG_ITEMS_MANY: Final = 4_096
LAG_COLUMNS: Final = ("p50 ms", "p99 ms", "max ms")
#: The nodes are warm when a round is no longer so much faster than the fastest before.
SETTLED: Final = 1.1
SETTLING_ROUNDS_MAX: Final = 8
SETTLING_IN_FLIGHT: Final = 32
#: With so many in flight the time of a warm-up is enough for every item.
WARM_UP_IN_FLIGHT: Final = 32
_STATEMENTS: Final = re.compile(rb"^tenet_store_statements_(?:read|write|conditional)_total (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Args:
        workloads: which operations.
        in_flight: how many requests are under way at once; each count is measured.
        pace: how often, and for how long.
        warm_up_s: seconds of load before each measurement of Tenet with 32 in flight; more where there are more, as
            each connection has items of its own that the nodes are to have seen.
        rest_s: seconds of rest in which the statements of background jobs are counted.
        lag_s: seconds of load under which an index is watched.
        nodes: how many Tenet nodes there are.
        items: in the table for operations within a partition, and in that for those over several.
    """

    workloads: Sequence[str] = WORKLOADS
    in_flight: Sequence[int] = IN_FLIGHT
    pace: Pace = Pace(rounds=2, seconds=3.0)  # noqa: RUF009 (frozen)
    warm_up_s: float = 1.5
    rest_s: float = 3.0
    lag_s: float = 20.0
    nodes: int = 3
    items: tuple[int, int] = (ITEMS, SPREAD_ITEMS)

    def tables(self, name: str) -> list[Dataset]:
        """Returns the two tables of whoever is measured: the first in partitions of 20, the second in ones of 1."""
        return [
            Dataset(name, self.items[0], slots=20, groups=GROUPS),
            Dataset(f"{name}-spread", self.items[1], slots=1, groups=GROUPS),
        ]


def table_of(workload: str) -> int:
    """Returns which of the two tables a workload is for."""
    return int(workload in SPREAD)


class Tenets:
    """Some Tenet nodes under load, with tables of their own.

    Args:
        target: the nodes.
        tables: their two tables, which are made.
        plan: how long they are warmed up, and rest.
    """

    def __init__(self, target: Target, tables: Sequence[Dataset], plan: Plan) -> None:
        self.target = target
        self._tables = tables
        self._plan = plan
        #: Statements of background jobs per second.
        self._at_rest_per_s = 0.0
        for data in tables:
            generator.prepare(target, table=data.table, items=data.items, slots=data.slots)

    def rest(self) -> None:
        """Finds out what background jobs send while nobody asks for anything."""
        before, began_s = self._statements(), time.monotonic()
        time.sleep(self._plan.rest_s)
        self._at_rest_per_s = (self._statements() - before) / (time.monotonic() - began_s)

    def measure(self, workload: str, in_flight: int) -> Row:
        """Measures after a warm-up over the same items; counts statements in the measured time, less those at rest."""
        self._load(workload, in_flight, self._plan.warm_up_s * max(1.0, in_flight / WARM_UP_IN_FLIGHT))
        before, began_s = self._statements(), time.monotonic()
        row = self._load(workload, in_flight, self._plan.pace.seconds)
        sent = self._statements() - before - self._at_rest_per_s * (time.monotonic() - began_s)
        return msgspec.structs.replace(row, statements=sent / max(row.acknowledged, 1))

    def _load(self, workload: str, in_flight: int, seconds: float) -> Row:
        data = self._tables[table_of(workload)]
        (row,) = generator.measure(
            self.target, [workload], connections=[in_flight], seconds=seconds, warm_up_s=0, data=data
        )
        return row

    def _statements(self) -> int:
        """Returns how many statements the nodes have sent for somebody so far."""
        return sum(map(statements_of, self.target.endpoint.split(",")))


def statements_of(endpoint: str) -> int:
    """Returns how many statements a node has sent for the sake of calls, as its metrics say."""
    with urllib.request.urlopen(f"{endpoint}/metrics", timeout=10) as answer:
        return sum(int(float(count)) for count in _STATEMENTS.findall(answer.read()))


class Bench:
    """What a run measures.

    Args:
        plan: what, and how.
        raw: the raw driver.
        one: a single Tenet node.
        all_nodes: all of them.
    """

    def __init__(self, plan: Plan, raw: RawProcess, one: Tenets, all_nodes: Tenets) -> None:
        self._plan = plan
        self._raw = raw
        self._tenets = [one, *([all_nodes] if all_nodes is not one else [])]

    @property
    def _all(self) -> Tenets:
        return self._tenets[-1]

    def rest(self) -> None:
        """Has the nodes find out what they do at rest."""
        for tenets in self._tenets:
            tenets.rest()

    def settle(self) -> int:
        """Warms the cluster up: mixed load, until a round is hardly faster than the fastest before it.

        Returns:
            How many rounds that took, at most ``SETTLING_ROUNDS_MAX``.
        """
        fastest = 0.0
        for number in range(1, SETTLING_ROUNDS_MAX + 1):
            row = self._once(self._all, MIXED, SETTLING_IN_FLIGHT)
            if row.operations_per_s <= SETTLED * fastest:
                return number
            fastest = max(fastest, row.operations_per_s)
        return SETTLING_ROUNDS_MAX

    def throughput(self, counts: Sequence[int], name: str = "cluster", what: str = "in flight") -> Section:
        """Every operation with each count in flight, by the raw driver and by Tenet in turns.

        Args:
            counts: how many requests are under way at once.
            name: of the section.
            what: is counted, in the words of the tables.
        """
        parts: list[str] = []
        verdicts: list[Verdict] = []
        everything: list[Figures] = []
        for in_flight in counts:
            lines = [_columns(f"{in_flight} {what}", ["to raw"])]
            for workload in self._plan.workloads:
                found = self.compare(workload, in_flight)
                raw = found[RAW]
                for who, figures in found.items():
                    share = "" if who == RAW else f"{judge.ratio(figures.per_s, raw.per_s):.2f}"
                    lines.append(_figures_line(f"{workload}, {who}", figures, [share]))
                verdicts += judge.judge_beside_raw(f"{workload}, {in_flight} {what}", raw, found[ONE])
                everything += found.values()
            parts.append("\n".join(lines))
        return Section(name, "\n\n".join(parts), [*verdicts, judge.judge_errors(everything)])

    def throughput_apart(self) -> Section:
        """The same where processors are what counts, while the cluster has some of its own, all else the others."""
        target = self._all.target
        counts = [count for count in self._plan.in_flight if count > 1]
        with apart(target.store_pids, (*target.pids, self._raw.pid)):
            return self.throughput(counts, "apart", "in flight, cluster apart")

    def compare(self, workload: str, in_flight: int) -> dict[str, Figures]:
        """One operation by the raw driver and by Tenet, in turns; by name."""
        asked = Asked(workload, in_flight, self._plan.pace.seconds, table_of(workload))
        ways: dict[str, Callable[[], Row]] = {RAW: lambda: _shown(RAW, self._raw.measure(asked))}
        for tenets in self._tenets:
            ways[tenets.target.name] = partial(self._once, tenets, workload, in_flight)
        return rounds_of(self._plan.pace, ways)

    def _once(self, tenets: Tenets, workload: str, in_flight: int) -> Row:
        return _shown(tenets.target.name, tenets.measure(workload, in_flight))

    def capacity(self) -> tuple[Section, int, float]:
        """Mixed load on all Tenet nodes; the best is what they and the cluster can take together.

        Returns:
            The section, with how many in flight it was reached, and the operations per second.
        """
        lines = [_columns("mixed load", [])]
        best, best_in_flight = 0.0, 0
        everything = []
        for in_flight in self._plan.in_flight:
            way = partial(self._once, self._all, MIXED, in_flight)
            figures = rounds_of(self._plan.pace, {MIXED: way})[MIXED]
            everything.append(figures)
            lines.append(_figures_line(f"{in_flight} in flight, {self._all.target.name}", figures, []))
            if figures.per_s > best:
                best, best_in_flight = figures.per_s, in_flight
        lines.append(f"\nCapacity: {best:.0f} operations per second, with {best_in_flight} in flight.")
        return Section("capacity", "\n".join(lines), [judge.judge_errors(everything)]), best_in_flight, best

    def lag(self) -> Section:
        """How far a global index is behind at half of the puts that its table takes, each in a partition of its own."""
        parts = [table_head(["puts into a table with an index", "asked for /s", "done /s", "markers", *LAG_COLUMNS])]
        verdicts, errors = [], 0
        for name, items in (("to partitions written lately", LAG_ITEMS), ("spread over many", LAG_ITEMS_MANY)):
            found = lag.measure(self._all.target, share=0.5, seconds=self._plan.lag_s, items=items)
            errors += found.row.errors
            times = [f"{one:.0f}" for one in (found.p50_ms, found.p99_ms, found.max_ms)]
            rates = [f"{found.offered_per_s:.0f}", f"{found.row.operations_per_s:.0f}"]
            parts.append(table_line([name, *rates, str(found.markers), *times]))
            print("  " + parts[-1], flush=True)
            verdicts.append(judge.judge_lag(name, found.p99_ms))
        verdicts.append(Verdict("errors", str(errors), "0", errors == 0))
        return Section("lag", "\n".join(parts), verdicts)


def _shown(name: str, row: Row) -> Row:
    print(
        f"  {name:<19} {row.workload:<12} {row.connections:>3} in flight {row.operations_per_s:>7.0f}/s  "
        f"p50 {row.p50_ms:7.2f} ms  CPU {row.server_cpu_us or 0:6.0f} + {row.store_cpu_us or 0:6.0f} µs  "
        f"{row.statements or 0:5.2f} statements{'  ERRORS ' + str(row.error_kinds) if row.errors else ''}",
        flush=True,
    )
    return row


def _columns(first: str, more: Sequence[str]) -> str:
    names = ["operations/s", "p50 ms", "p99 ms", "CPU µs of client", "CPU µs of Cassandra", "statements"]
    return table_head([first, *names, *more])


def _figures_line(name: str, of: Figures, more: Sequence[str]) -> str:
    cpu = ["-" if one is None else f"{one:.0f}" for one in (of.cpu_us, of.store_cpu_us)]
    statements = "-" if of.statements is None else f"{of.statements:.2f}"
    return table_line([name, f"{of.per_s:.0f}", f"{of.p50_ms:.1f}", f"{of.p99_ms:.1f}", *cpu, statements, *more])


# ---- what is measured ------------------------------------------------------------------------------------------------


@contextmanager
def cluster_of_run() -> Iterator[Cluster]:
    """The cluster that TENET_TEST_CLUSTER names, else one of this run's own, which ends with it."""
    network = os.environ.get(NETWORK)
    if network:
        with use(Spec(network)) as cluster:
            cluster.start_all()
            yield cluster
        return
    cluster = open_free(Spec(is_optimized=True))
    try:
        cluster.start_all(lambda line: print(f"  {line}", flush=True))
        yield cluster
    finally:
        cluster.close()


@contextmanager
def bench_on(cluster: Cluster, plan: Plan, targets: Sequence[Target]) -> Iterator[Bench]:
    """Tables on Tenet nodes that run, and the raw driver with its own.

    Args:
        cluster: below them.
        plan: what will be measured.
        targets: the nodes, at least one.
    """
    pids = tuple(int(cluster.state(number)["pid"]) for number in cluster.spec.numbers)
    own = [replace(target, store_pids=pids) for target in targets]
    one = Tenets(replace(own[0], name=ONE), plan.tables("bench-one"), plan)
    everyone = one
    if len(own) > 1:
        merged = replace(
            own[0],
            name=f"Tenet, {len(own)} nodes",
            endpoint=",".join(target.endpoint for target in own),
            pids=tuple(pid for target in own for pid in target.pids),
        )
        everyone = Tenets(merged, plan.tables("bench-all"), plan)
    keyspace = f"bench_{SystemIds().draw(6).hex()}"
    raw = RawProcess(Started(list(cluster.contact_points), keyspace, list(pids), plan.tables("bench-raw")))
    try:
        bench = Bench(plan, raw, one, everyone)
        bench.rest()
        yield bench
    finally:
        raw.close()


def main(arguments: Sequence[str]) -> int:
    """Measures; returns 1 when a target was missed, 2 when something could not be measured."""
    asked = parse(arguments)
    plan = Plan(asked.only, asked.in_flight, Pace(asked.rounds, asked.seconds))
    try:
        generator.build()
        DATA.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            found, reached, per_s = _measured(plan, stack)
    except (generator.GeneratorError, servers.NodeDidNotStart, ClusterFailed, ToolMissing, FetchFailed) as error:
        print(error, file=sys.stderr)
        return 2
    how = report.provenance(report.bench_command(arguments, "bench-cluster"))
    status = report.tell(found, how, DOCUMENT if asked.write else None)
    if asked.write:
        kept = {"mixed_operations_per_s": round(per_s), "in_flight": reached, "tenet_nodes": plan.nodes, "how": how}
        CAPACITY.write_bytes(msgspec.json.format(msgspec.json.encode(kept)) + b"\n")
    return status


def _measured(plan: Plan, stack: ExitStack) -> tuple[list[Section], int, float]:
    print("cluster", flush=True)
    cluster = stack.enter_context(cluster_of_run())
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=DATA)))
    url = f"cassandra://{','.join(cluster.contact_points)}/bench_{SystemIds().draw(6).hex()}"
    targets = stack.enter_context(servers.nodes(folder, url, plan.nodes))
    print("tables", flush=True)
    bench = stack.enter_context(bench_on(cluster, plan, targets))
    print("warm-up", flush=True)
    bench.settle()
    print("throughput", flush=True)
    throughput = bench.throughput(plan.in_flight)
    sections = [throughput]
    if is_possible():
        print("throughput, with the cluster on processors of its own", flush=True)
        sections.append(bench.throughput_apart())
    print("capacity", flush=True)
    capacity, reached, per_s = bench.capacity()
    print("lag of an index", flush=True)
    return [*sections, capacity, bench.lag()], reached, per_s


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Returns what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", type=Names("operations", WORKLOADS), default=WORKLOADS, metavar="NAME,…", help=", ".join(WORKLOADS)
    )
    parser.add_argument(
        "--in-flight", type=_counts, default=IN_FLIGHT, metavar="N,…", help="requests at once, 1 to 128"
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="how long one measurement takes")
    parser.add_argument("--rounds", type=int, default=2, help="how many measurements a figure is the median of")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave the documents as they are")
    return parser.parse_args(arguments)


def _counts(text: str) -> tuple[int, ...]:
    counts = tuple(int(one) if one.isdecimal() else 0 for one in text.split(","))
    if not all(1 <= count <= max(IN_FLIGHT) for count in counts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers from 1 to {max(IN_FLIGHT)}")
    return counts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
