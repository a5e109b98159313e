"""The parts of a benchmark run of queues: each measures one thing in short interleaved rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks import generator, servers
from benchmarks.generator import QueueLoad, Row, Target
from benchmarks.judge import Figures, judge_errors, ratio
from benchmarks.queues import judge
from benchmarks.queues.servers import RABBITMQ, TENET
from benchmarks.sections import Pace, Section, rounds_of, table_head, table_line

SHORT_BACKLOG: Final = 1_000
#: Long enough that a server which compiles while it runs has done so.
WARM_UP_S: Final = 4.0

SENDS: Final = {
    "send": QueueLoad("send"),
    "send 1 KiB": QueueLoad("send", body_bytes=1_024),
    "batch": QueueLoad("send", batch=10),
    "FIFO send": QueueLoad("send", is_fifo=True),
}
DRAINS: Final = {"drain": QueueLoad("drain"), "FIFO drain": QueueLoad("drain", is_fifo=True)}
DELIVERY: Final = QueueLoad("deliver", rate_per_s=100)


def warm_up(targets: Sequence[Target]) -> None:
    """Puts every server under load before anything is measured."""
    for target in targets:
        for load in (*SENDS.values(), *DRAINS.values()):
            if _can(target, load):
                generator.queue(target, load, seconds=WARM_UP_S / 4, warm_up_s=0)


def throughput(targets: Sequence[Target], pace: Pace) -> Section:
    """Messages per second and CPU of sends and drains, with all connections busy."""
    loads = {**SENDS, **DRAINS}
    found: dict[str, dict[str, Figures]] = {target.name: {} for target in targets}
    for name, load in loads.items():
        measurements = {target.name: measurement(target, name, load, pace) for target in targets if _can(target, load)}
        for server, figures in rounds_of(pace, measurements).items():
            found[server][name] = figures
    lines = [table_head(["messages/s, CPU µs", *loads])]
    lines += [table_line([server, *(_cell(of.get(name)) for name in loads)]) for server, of in found.items()]
    for server, of in found.items():
        if server != TENET:
            ratios = [
                f"{ratio(found[TENET][name].per_s, of[name].per_s):.2f} x" if name in of else "-" for name in loads
            ]
            lines.append(table_line([f"Tenet to {server}", *ratios]))
    lines += ["", table_head(["p50, p99 ms", *loads])]
    lines += [table_line([server, *(_latency(of.get(name)) for name in loads)]) for server, of in found.items()]
    verdicts = judge.judge_rates(found)
    verdicts += judge.judge_cpu(found[TENET], judge.machine_factor(found))
    verdicts.append(judge_errors(found[TENET].values()))
    return Section("throughput", "\n".join(lines), verdicts)


def delivery(targets: Sequence[Target], pace: Pace) -> Section:
    """How long a message takes from its send to a consumer that waits for it, at a rate that is a light load."""
    found = rounds_of(pace, {target.name: measurement(target, "deliver", DELIVERY, pace) for target in targets})
    lines = [table_head(["100 messages/s, end to end", "p50 ms", "p99 ms", "max ms", "CPU µs"])]
    for server, of in found.items():
        cells = [f"{of.p50_ms:.2f}", f"{of.p99_ms:.2f}", f"{of.max_ms:.1f}", _cpu(of)]
        lines.append(table_line([server, *cells]))
    verdicts = [*judge.judge_delivery(found[TENET]), judge_errors([found[TENET]])]
    return Section("delivery", "\n".join(lines), verdicts)


def backlog(folder: Path, pace: Pace, messages: int) -> Section:
    """The drain of a long backlog beside that of a short one, on a server of its own."""
    lines = [table_head(["messages/s, CPU µs, memory MiB", f"{SHORT_BACKLOG:,} messages", f"{messages:,} messages"])]
    verdicts = []
    with servers.tenet(folder) as target:
        for name, is_fifo in (("drain", False), ("FIFO drain", True)):
            loads = {size: QueueLoad("drain", is_fifo=is_fifo, backlog=size) for size in (SHORT_BACKLOG, messages)}
            found = rounds_of(
                pace,
                {str(size): measurement(target, f"{name} of {size:,}", load, pace) for size, load in loads.items()},
            )
            short, long = found[str(SHORT_BACKLOG)], found[str(messages)]
            lines.append(table_line([name, *(f"{_cell(of)}, {of.memory_mib or 0:.0f}" for of in (short, long))]))
            verdicts += [judge.judge_backlog(name, short, long), judge_errors([short, long])]
    return Section("backlog", "\n".join(lines), verdicts)


def measurement(target: Target, name: str, load: QueueLoad, pace: Pace) -> Callable[[], Row]:
    """Returns a call that measures one load once."""

    def once() -> Row:
        row = generator.queue(target, load, seconds=pace.seconds)
        print(
            f"  {target.name:<21} {name:<12} {row.operations_per_s:>8.0f}/s  p50 {row.p50_ms:7.2f} ms  "
            f"p99 {row.p99_ms:7.2f} ms  CPU {row.server_cpu_us or 0:6.1f} µs"
            f"{'  ERRORS ' + str(row.error_kinds) if row.errors else ''}",
            flush=True,
        )
        return row

    return once


def _can(target: Target, load: QueueLoad) -> bool:
    """Whether a server has such queues."""
    return not (load.is_fifo and target.name == RABBITMQ)


def _cell(of: Figures | None) -> str:
    return "-" if of is None else f"{of.per_s:.0f}, {_cpu(of)}"


def _cpu(of: Figures) -> str:
    return "-" if of.cpu_us is None else f"{of.cpu_us:.0f}"


def _latency(of: Figures | None) -> str:
    return "-" if of is None else f"{of.p50_ms:.2f}, {of.p99_ms:.1f}"
