"""One run from begin to end: clients ask, faults happen, and what came of it is judged and told.

trial = conduct(target, nodes, schedule, LOADS, folder=tmp_path, seed=7, seconds=120)
assert trial.verdict.is_right, str(trial)
assert not trial.complaints({"kill9": 1_000.0, "pause": 2_000.0}), str(trial)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults import timeline
from tests.faults.clients import Clients, Load, Target
from tests.faults.control import Node
from tests.faults.history import Operation
from tests.faults.schedule import Partitions, Schedule, play
from tests.faults.timeline import Event
from tests.faults.verdict import Verdict, judge


@dataclass(frozen=True)
class Trial:
    """What came of a run.

    Args:
        schedule: the faults that were planned.
        events: when they happened, in the same order.
        begin_ns: when clients began, on the monotonic clock.
        until_ns: when they stopped.
        history: everything that was asked and told.
        verdict: what the checkers found in it.
    """

    schedule: Schedule
    events: tuple[Event, ...]
    begin_ns: int
    until_ns: int
    history: Sequence[Operation]
    verdict: Verdict

    def __str__(self) -> str:
        told = timeline.report(self.history, self.events, self.begin_ns, self.until_ns)
        return f"{self.schedule}\n\n{self.verdict}\n\n{told}"

    def summary(self) -> str:
        """Returns how the whole run, each fault and the times between them went, as a list in Markdown."""
        return timeline.summary(self.history, self.events, self.begin_ns, self.until_ns)

    def complaints(self, longest_ms: Mapping[str, float], *, calm_ms: float | None = None) -> list[str]:
        """Returns where clients noticed more of a fault than they may.

        An error that the SDK's retries did not hide is more than they may, at any time.

        Args:
            longest_ms: the longest that any operation may take that a fault touches, by its action and group, as in
                ``kill9 cassandra-1``, or else by its action alone; those that are not named are not looked at.
            calm_ms: the longest that one may take that no fault touches; None for any time.
        """
        told = [
            f"{one.workload} {one.kind} {one.name} failed with {one.error}, "
            f"{(one.end_ns - self.begin_ns) / 1e9:.1f} s after the begin"
            for one in self.history
            if timeline.has_failed(one)
        ]
        for fault, event in zip(self.schedule.faults, self.events, strict=True):
            span = timeline.span(self.history, event.begin_ns, event.end_ns, event.told)
            most_ms = longest_ms.get(f"{fault.action} {fault.group}", longest_ms.get(fault.action, float("inf")))
            if span.longest_ms > most_ms:
                told.append(f"{event.told}: an operation took {span.longest_ms:.0f} ms")
        if calm_ms is not None:
            told += self._slow_in_calm(calm_ms)
        return told

    def _slow_in_calm(self, calm_ms: float) -> list[str]:
        return [
            f"with nothing broken, {one.workload} {one.kind} {one.name} took {(one.end_ns - one.begin_ns) / 1e6:.0f} ms"
            for one in self.history
            if (one.end_ns - one.begin_ns) / 1e6 > calm_ms
            and not one.is_last_look
            and not any(event.begin_ns < one.end_ns and one.begin_ns < event.end_ns for event in self.events)
        ]


def conduct(
    target: Target,
    nodes: Sequence[Node],
    schedule: Schedule,
    loads: Sequence[Load],
    *,
    folder: Path,
    seed: int,
    seconds: float,
    partitions: Partitions | None = None,
    sdk: Mapping[str, Any] | None = None,
) -> Trial:
    """Runs clients while faults happen, and judges.

    Args:
        target: what clients speak to: a node, several, or a proxy.
        nodes: the processes that faults happen to.
        schedule: the faults.
        loads: the clients.
        folder: where histories, reports and pictures go.
        seed: determines what clients do.
        seconds: how long they ask at least.
        partitions: the network; needed for partitions alone.
        sdk: further settings of the SDK.
    """
    with Clients(target, folder / "clients", seed=seed, sdk=sdk).running(loads, seconds=seconds) as run:
        events = play(schedule, {node.name: node for node in nodes}, begin_ns=run.begin_ns, partitions=partitions)
    verdict = judge(run.history, pictures=folder)
    trial = Trial(schedule, tuple(events), run.begin_ns, run.until_ns, run.history, verdict)
    (folder / "report.md").write_text(f"{trial}\n", encoding="utf-8")
    return trial
