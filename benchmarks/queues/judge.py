"""What Tenet's queues have to reach, as figures, and whether they did."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Final

from benchmarks.judge import Figures, Verdict, limit_verdict, ratio, ratio_verdict
from benchmarks.queues.servers import ELASTICMQ_FILE, ELASTICMQ_MEMORY, RABBITMQ, TENET

#: Messages per second by workload, as a multiple of a peer's in the same run.
TIMES: Final = {
    "send": {ELASTICMQ_MEMORY: 1.3, ELASTICMQ_FILE: 1.3, RABBITMQ: 1.3},
    "batch": {RABBITMQ: 2.0},
    "drain": {ELASTICMQ_MEMORY: 2.0, ELASTICMQ_FILE: 2.0},
    "FIFO send": {ELASTICMQ_MEMORY: 1.5, ELASTICMQ_FILE: 1.5},
}
#: CPU of the server in µs per message, on a machine where RabbitMQ takes what follows.
CPU_US_MAX: Final = {"send": 80, "batch": 22, "drain": 35, "FIFO send": 100}
#: What RabbitMQ 3.10 took on two cores that had little else to do: says how fast another machine is, and how quiet.
RABBITMQ_CPU_US: Final = {"send": 132, "batch": 64, "drain": 36}
DELIVERY_P50_MS_MAX: Final = 0.7
DELIVERY_P99_MS_MAX: Final = 4.0
#: The rate at which a long backlog is drained, as a share of that of a short one.
LONG_BACKLOG_MIN: Final = 0.9

#: Figures by server, then by workload.
Found = Mapping[str, Mapping[str, Figures]]


def judge_rates(found: Found) -> list[Verdict]:
    """Judges messages per second beside every peer that was measured."""
    tenet = found[TENET]
    return [
        ratio_verdict(
            f"{workload}, messages per second to {peer}",
            ratio(tenet[workload].per_s, found[peer][workload].per_s),
            at_least=times,
        )
        for workload, by_peer in TIMES.items()
        for peer, times in by_peer.items()
        if workload in tenet and workload in found.get(peer, {})
    ]


def machine_factor(found: Found) -> float:
    """Returns how much more CPU the same work takes here than where budgets count as they are; never below 1.

    RabbitMQ is the yardstick: the median over the workloads of what it takes here to what it took there.
    """
    ratios = [
        figures.cpu_us / RABBITMQ_CPU_US[workload]
        for workload, figures in found.get(RABBITMQ, {}).items()
        if workload in RABBITMQ_CPU_US and figures.cpu_us is not None
    ]
    return max(1.0, statistics.median(ratios)) if ratios else 1.0


def judge_cpu(tenet: Mapping[str, Figures], factor: float) -> list[Verdict]:
    """Judges CPU per message by workload, budgets scaled to this machine."""
    return [
        Verdict(
            f"{workload}, CPU per message",
            f"{tenet[workload].cpu_us:.0f} µs",
            f"at most {most} µs x {factor:.2f}",
            (tenet[workload].cpu_us or 0) <= most * factor,
        )
        for workload, most in CPU_US_MAX.items()
        if workload in tenet and tenet[workload].cpu_us is not None
    ]


def judge_delivery(tenet: Figures) -> list[Verdict]:
    """Judges how long a message takes from its send to a consumer that waits for it."""
    return [
        limit_verdict("end to end, p50", tenet.p50_ms, DELIVERY_P50_MS_MAX, "ms"),
        limit_verdict("end to end, p99", tenet.p99_ms, DELIVERY_P99_MS_MAX, "ms"),
    ]


def judge_backlog(what: str, short: Figures, long: Figures) -> Verdict:
    """Judges the rate at which a long backlog is drained beside that of a short one."""
    return ratio_verdict(
        f"{what}, rate to that of a short backlog", ratio(long.per_s, short.per_s), at_least=LONG_BACKLOG_MIN
    )
