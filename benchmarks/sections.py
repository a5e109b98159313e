"""The parts of a benchmark run: each measures one thing in short interleaved rounds and makes a table of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks import generator, judge, servers
from benchmarks.generator import WORKLOADS, Row, Target
from benchmarks.judge import Figures, Verdict

CONNECTIONS: Final = 64
LARGE_LOAD_S_MAX: Final = 3_600


@dataclass(frozen=True)
class Pace:
    """How long a run measures.

    Args:
        rounds: how often each measurement is taken; the medians count.
        seconds: how long each one takes.
    """

    rounds: int
    seconds: float


@dataclass(frozen=True)
class Section:
    """What a part found.

    Args:
        name: of the part.
        table: as Markdown.
        verdicts: what was reached of the targets.
    """

    name: str
    table: str
    verdicts: list[Verdict] = field(default_factory=list)


def rounds_of(pace: Pace, measurements: Mapping[str, Callable[[], Row]]) -> dict[str, Figures]:
    """Takes measurements in turns, so that what disturbs the machine disturbs all; another one begins every round."""
    rows: dict[str, list[Row]] = {name: [] for name in measurements}
    names = list(measurements)
    for turn in range(pace.rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            rows[name].append(measurements[name]())
    return {name: Figures.of(found) for name, found in rows.items()}


def measurement(
    target: Target, workload: str, pace: Pace, *, connections: int = CONNECTIONS, table: str = "", items: int = 0
) -> Callable[[], Row]:
    """Returns a call that measures one workload once."""

    def once() -> Row:
        (row,) = generator.measure(
            target,
            [workload],
            connections=[connections],
            seconds=pace.seconds,
            table=table or generator.TABLE,
            items=items or generator.ITEMS,
        )
        print(
            f"  {target.name:<15} {table or generator.TABLE:<8} {workload:<12} {connections:>3} connections "
            f"{row.operations_per_s:>8.0f}/s  p50 {row.p50_ms:7.2f} ms  CPU {row.server_cpu_us or 0:6.0f} µs"
            f"{'  ERRORS ' + str(row.error_kinds) if row.errors else ''}",
            flush=True,
        )
        return row

    return once


def compare(targets: Sequence[Target], pace: Pace, connections: int) -> dict[str, dict[str, Figures]]:
    """Measures every workload on every server; by server, then by workload."""
    found: dict[str, dict[str, Figures]] = {target.name: {} for target in targets}
    for workload in WORKLOADS:
        measurements = {target.name: measurement(target, workload, pace, connections=connections) for target in targets}
        for name, figures in rounds_of(pace, measurements).items():
            found[name][workload] = figures
    return found


def throughput(targets: Sequence[Target], pace: Pace) -> Section:
    """Operations per second and CPU of every workload, with all connections busy."""
    found = compare(targets, pace, CONNECTIONS)
    tenet = found[servers.TENET]
    lines = [table_head(["server", *WORKLOADS])]
    lines += [table_line([name, *(_figures(of[w]) for w in WORKLOADS)]) for name, of in found.items()]
    for name, of in found.items():
        if name != servers.TENET:
            ratios = [f"{judge.ratio(tenet[w].per_s, of[w].per_s):.2f} x" for w in WORKLOADS]
            lines.append(table_line([f"Tenet to {name}", *ratios]))
    lines.append(table_line(["Tenet, p99 ms", *(f"{tenet[w].p99_ms:.1f}" for w in WORKLOADS)]))
    verdicts = []
    dynoxide = found.get(servers.PEERS["dynoxide"])
    if dynoxide is not None:
        verdicts = judge.judge_throughput(tenet, dynoxide) + judge.judge_cpu(tenet, judge.machine_factor(dynoxide))
    return Section("throughput", "\n".join(lines), verdicts)


def single(targets: Sequence[Target], pace: Pace) -> Section:
    """The median latency of a single connection."""
    found = compare(targets, pace, 1)
    lines = [table_head(["p50 in ms", *WORKLOADS])]
    lines += [table_line([name, *(f"{of[w].p50_ms:.2f}" for w in WORKLOADS)]) for name, of in found.items()]
    dynoxide = found.get(servers.PEERS["dynoxide"])
    verdicts = judge.judge_single(found[servers.TENET], dynoxide) if dynoxide is not None else []
    return Section("single", "\n".join(lines), verdicts)


def hot(target: Target, pace: Pace) -> Section:
    """One item that all connections increment, beside an item for each."""
    found = rounds_of(pace, {name: measurement(target, name, pace) for name in ("hot", "own")})
    lines = [
        table_head(["64 connections increment", "operations/s", "p50 ms", "p99 ms", "max ms", "share of the slowest"])
    ]
    for name, what in (("hot", "one item"), ("own", "an item each")):
        of = found[name]
        lines.append(
            table_line(
                [
                    what,
                    f"{of.per_s:.0f}",
                    f"{of.p50_ms:.1f}",
                    f"{of.p99_ms:.1f}",
                    f"{of.max_ms:.0f}",
                    f"{of.fair_share:.0%}",
                ]
            )
        )
    return Section("hot", "\n".join(lines), judge.judge_hot(found["hot"], found["own"]))


def indexes(target: Target, pace: Pace) -> Section:
    """Puts into a table with five indexes, every put changing all of their keys, beside puts into one without."""
    generator.prepare(target, table="indexed", indexes=5)
    found = rounds_of(
        pace,
        {
            "no index": measurement(target, "put", pace),
            "5 indexes": measurement(target, "put", pace, table="indexed"),
        },
    )
    lines = [table_head(["put into a table with", "operations/s, CPU µs", "p50 ms"])]
    lines += [table_line([name, _figures(of), f"{of.p50_ms:.1f}"]) for name, of in found.items()]
    verdicts = judge.judge_cost(
        "put with 5 indexes to one without", found["no index"], found["5 indexes"], judge.INDEXED_PUT_COST_MAX
    )
    return Section("indexes", "\n".join(lines), verdicts)


def pages(target: Target, pace: Pace) -> Section:
    """Page 1,000 of a query beside page 2."""
    found = [generator.pages(target, rounds=100) for _ in range(pace.rounds)]
    second = statistics.median(page.page_2_p50_ms for page in found)
    last = statistics.median(page.page_last_p50_ms for page in found)
    lines = [
        table_head(["page of 20 items", "p50 ms"]),
        table_line(["2", f"{second:.3f}"]),
        table_line([f"{found[0].pages:,}", f"{last:.3f}"]),
    ]
    ratio = statistics.median(page.ratio for page in found)
    what = "page 1,000 of a query to page 2"
    return Section("pages", "\n".join(lines), [judge.ratio_verdict(what, ratio, at_most=judge.LAST_PAGE_COST_MAX)])


def start(folder: Path) -> Section:
    """Seconds from the start of the process to its first answer."""
    first, later = servers.start_to_first_answer_s(folder, rounds=5)
    lines = [
        table_head(["start to first answer", "s"]),
        table_line(["the first of all, which makes keys and certificates", f"{first:.2f}"]),
        table_line(["later ones", f"{later:.2f}"]),
    ]
    return Section(
        "start", "\n".join(lines), [judge.limit_verdict("start to first answer", later, judge.START_S_MAX, "s")]
    )


def memory(target: Target) -> Section:
    """Resident memory after everything that was measured before."""
    (row,) = generator.measure(target, ["get"], seconds=0.5)
    if row.server_memory_mib is None:
        return Section("memory", "This machine does not tell.")
    lines = [
        table_head(["resident memory after the run", "MiB"]),
        table_line([target.name, f"{row.server_memory_mib:.0f}"]),
    ]
    verdict = judge.limit_verdict("resident memory after the run", row.server_memory_mib, judge.MEMORY_MIB_MAX, "MiB")
    return Section("memory", "\n".join(lines), [verdict])


def large(folder: Path, pace: Pace, items: int) -> Section:
    """Reads of a large table beside reads of a small one on the same server."""
    with servers.tenet(folder) as target:
        generator.prepare(target)
        print(f"  loading {items:,} items", flush=True)
        generator.prepare(target, table="large", items=items, time_limit_s=LARGE_LOAD_S_MAX)
        lines = [table_head(["operations/s, CPU µs", f"{generator.ITEMS:,} items", f"{items:,} items"])]
        verdicts = []
        for workload in ("get", "query"):
            found = rounds_of(
                pace,
                {
                    "small": measurement(target, workload, pace),
                    "large": measurement(target, workload, pace, table="large", items=items),
                },
            )
            lines.append(table_line([workload, _figures(found["small"]), _figures(found["large"])]))
            what = f"{workload} at {items:,} items to {generator.ITEMS:,}"
            verdicts += judge.judge_cost(what, found["small"], found["large"], judge.LARGE_TABLE_COST_MAX)
    return Section("large", "\n".join(lines), verdicts)


def _figures(of: Figures) -> str:
    cpu = "-" if of.cpu_us is None else f"{of.cpu_us:.0f}"
    return f"{of.per_s:.0f}, {cpu}"


def table_head(cells: Sequence[str]) -> str:
    """Returns the first two lines of a Markdown table."""
    return table_line(cells) + "\n" + "|---" * len(cells) + "|"


def table_line(cells: Sequence[str]) -> str:
    """Returns a line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"
