"""What Tenet has to reach, as figures, and whether it did."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.generator import Row

#: Operations per second, as a multiple of dynoxide's in the same run, with 64 connections.
TIMES_DYNOXIDE: Final = {"put": 2.0, "get": 1.3, "update": 2.0, "query": 2.0, "batch": 2.0, "transaction": 2.0}
#: CPU of the server in µs per operation, with 64 connections, on the quiet machine that the budgets were set on.
CPU_US_MAX: Final = {"put": 110, "get": 48, "update": 130, "query": 110, "batch": 1000, "transaction": 220}
#: What dynoxide 1.5 took on that machine: says how fast another machine is, and how quiet.
DYNOXIDE_CPU_US: Final = {"put": 243, "get": 65, "update": 284, "query": 364, "batch": 3475, "transaction": 456}
MEMORY_MIB_MAX: Final = 150
START_S_MAX: Final = 1.0
HOT_TO_OWN_MIN: Final = 0.5
#: A client is starved when it gets less than this share of what it would get if all got the same.
FAIR_SHARE_MIN: Final = 0.5
INDEXED_PUT_COST_MAX: Final = 3.0
#: "As fast" within what two medians of the same thing differ by.
LAST_PAGE_COST_MAX: Final = 1.1
LARGE_TABLE_COST_MAX: Final = 1.3
#: Operations per second over a cluster, as a share of the raw driver's with the same statements in the same run.
SHARE_OF_RAW_MIN: Final = 0.8
#: Statements of an operation, as a multiple of those that carry it out where nothing is in the way.
STATEMENTS_COST_MAX: Final = 1.1
#: How far a global index that is kept up from the log may be behind, milliseconds.
LAG_P99_MS_MAX: Final = 200.0


@dataclass(frozen=True)
class Verdict:
    """A figure beside its target.

    Args:
        what: what was measured.
        measured: the figure, in words.
        target: what it has to be, in words.
        passed: whether it is.
    """

    what: str
    measured: str
    target: str
    passed: bool


@dataclass(frozen=True)
class Figures:
    """Medians over several rounds of the same; errors are sums.

    Args:
        per_s: operations per second.
        p50_ms: median latency.
        p99_ms: latency that 1 % of the operations exceed.
        max_ms: the longest latency of all rounds.
        cpu_us: CPU of the server per operation, or None where the machine does not tell.
        memory_mib: resident memory of the server at the end of the last round, or None.
        errors: answers that were errors or wrong, and acknowledged increments that are not there.
        fair_share: what the connection that got least had, of what it would have had if all had had the same.
        store_cpu_us: CPU of the store's own processes per operation, or None.
        statements: that were sent to the store per operation, or None.
    """

    per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_us: float | None
    memory_mib: float | None
    errors: int
    fair_share: float
    store_cpu_us: float | None = None
    statements: float | None = None

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Figures:
        """Returns the figures of some rounds, at least one."""
        cpu = [row.server_cpu_us for row in rows if row.server_cpu_us is not None]
        store = [row.store_cpu_us for row in rows if row.store_cpu_us is not None]
        statements = [row.statements for row in rows if row.statements is not None]
        shares = [row.operations_of_connection_min * row.connections / max(row.operations, 1) for row in rows]
        return cls(
            per_s=statistics.median(row.operations_per_s for row in rows),
            p50_ms=statistics.median(row.p50_ms for row in rows),
            p99_ms=statistics.median(row.p99_ms for row in rows),
            max_ms=max(row.max_ms for row in rows),
            cpu_us=statistics.median(cpu) if cpu else None,
            memory_mib=rows[-1].server_memory_mib,
            errors=sum(row.errors + max(row.lost_updates, 0) for row in rows),
            fair_share=min(shares),
            store_cpu_us=statistics.median(store) if store else None,
            statements=statistics.median(statements) if statements else None,
        )


def judge_throughput(tenet: Mapping[str, Figures], dynoxide: Mapping[str, Figures]) -> list[Verdict]:
    """Judges operations per second by workload, and that nothing went wrong."""
    verdicts = [
        ratio_verdict(
            f"{workload}, operations per second", ratio(tenet[workload].per_s, dynoxide[workload].per_s), at_least=times
        )
        for workload, times in TIMES_DYNOXIDE.items()
    ]
    return [*verdicts, judge_errors(tenet.values())]


def machine_factor(dynoxide: Mapping[str, Figures]) -> float:
    """Returns how much more CPU the same work takes here than where the budgets were set; never below 1.

    dynoxide is the yardstick: the median over the workloads of what it takes here to what it took there.
    """
    ratios = [
        figures.cpu_us / DYNOXIDE_CPU_US[workload]
        for workload, figures in dynoxide.items()
        if figures.cpu_us is not None
    ]
    return max(1.0, statistics.median(ratios)) if ratios else 1.0


def judge_cpu(tenet: Mapping[str, Figures], factor: float) -> list[Verdict]:
    """Judges CPU per operation by workload, budgets scaled to this machine."""
    return [
        Verdict(
            f"{workload}, CPU per operation",
            f"{figures.cpu_us:.0f} µs",
            f"at most {CPU_US_MAX[workload]} µs x {factor:.2f}",
            figures.cpu_us <= CPU_US_MAX[workload] * factor,
        )
        for workload, figures in tenet.items()
        if figures.cpu_us is not None
    ]


def judge_single(tenet: Mapping[str, Figures], dynoxide: Mapping[str, Figures]) -> list[Verdict]:
    """Judges the median latency of a single connection by workload."""
    return [
        Verdict(
            f"{workload}, p50 of one connection",
            f"{figures.p50_ms:.2f} ms",
            f"at most {dynoxide[workload].p50_ms:.2f} ms",
            figures.p50_ms <= dynoxide[workload].p50_ms,
        )
        for workload, figures in tenet.items()
    ]


def judge_hot(hot: Figures, own: Figures) -> list[Verdict]:
    """Judges 64 connections that increment one item, beside 64 with an item each."""
    return [
        ratio_verdict("one hot item, rate to that of own items", ratio(hot.per_s, own.per_s), at_least=HOT_TO_OWN_MIN),
        ratio_verdict("one hot item, share of the slowest client", hot.fair_share, at_least=FAIR_SHARE_MIN),
        Verdict("one hot item, errors and lost updates", str(hot.errors), "0", hot.errors == 0),
    ]


def judge_beside_raw(what: str, raw: Figures, tenet: Figures) -> list[Verdict]:
    """Judges an operation over a cluster beside the raw driver that sends the same statements."""
    verdicts = [
        ratio_verdict(f"{what}, to the raw driver", ratio(tenet.per_s, raw.per_s), at_least=SHARE_OF_RAW_MIN),
    ]
    if raw.statements and tenet.statements:
        cost = tenet.statements / raw.statements
        verdicts.append(ratio_verdict(f"{what}, statements to those needed", cost, at_most=STATEMENTS_COST_MAX))
    return verdicts


def judge_lag(what: str, p99_ms: float) -> Verdict:
    """Judges how far an index that is kept up from the log is behind at half load."""
    return limit_verdict(f"index behind its table at half load, puts {what}, p99", p99_ms, LAG_P99_MS_MAX, "ms")


def judge_errors(found: Iterable[Figures]) -> Verdict:
    """Judges that nothing went wrong."""
    errors = sum(figures.errors for figures in found)
    return Verdict("errors", str(errors), "0", errors == 0)


def judge_cost(what: str, base: Figures, other: Figures, at_most: float) -> list[Verdict]:
    """Judges how much more an operation costs in another place: in time with all connections busy, and in CPU."""
    verdicts = [ratio_verdict(f"{what}, time", ratio(base.per_s, other.per_s), at_most=at_most)]
    if base.cpu_us and other.cpu_us:
        verdicts.append(ratio_verdict(f"{what}, CPU", other.cpu_us / base.cpu_us, at_most=at_most))
    return verdicts


def ratio(figure: float, base: float) -> float:
    """Returns how many times the base a figure is; infinite where the base is nothing."""
    return figure / base if base else float("inf")


def ratio_verdict(what: str, figure: float, *, at_least: float = 0.0, at_most: float = float("inf")) -> Verdict:
    """Judges a ratio by its lower or its upper bound."""
    target = f"at least {at_least:g}" if at_least else f"at most {at_most:g}"
    return Verdict(what, f"{figure:.2f}", target, at_least <= figure <= at_most)


def limit_verdict(what: str, figure: float, limit: float, unit: str) -> Verdict:
    """Judges a figure by its upper limit."""
    return Verdict(what, f"{figure:.3g} {unit}", f"at most {limit:g} {unit}", figure <= limit)
