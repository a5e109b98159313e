"""Which faults happen when, by a seed; and lets them happen to processes.

    schedule = draw(7, groups={"tenet-1": ["tenet-1"]}, actions=["kill9", "pause"], seconds=60)
    with clients.running(loads, seconds=60) as run:
        events = play(schedule, nodes, begin_ns=run.begin_ns)

Faults never overlap, and nothing is broken for a while between two of them, so that a report can tell what each did.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol

from tenet.base.dice import Dice
from tests.faults.control import Node
from tests.faults.timeline import Event

Action = Literal["kill9", "pause", "partition"]
#: How long each fault lasts, seconds: a process is started again, wakes up, or is connected again after it.
LASTS_S: Mapping[Action, float] = {"kill9": 3.0, "pause": 20.0, "partition": 20.0}
#: How long nothing is broken between two faults, and before the first, seconds.
CALM_S = 5.0


class Partitions(Protocol):
    """A network that can be cut in two."""

    def cut(self, names: Sequence[str]) -> None:
        """Separates these nodes from all others; among themselves they go on."""
        ...

    def heal(self) -> None:
        """Connects all nodes again."""
        ...


@dataclass(frozen=True)
class Fault:
    """One fault.

    Args:
        action: what happens.
        group: what it happens to, as reports call it.
        nodes: the nodes that it happens to at the same time.
        at_s: when, seconds after the begin.
        lasts_s: how long, seconds, before mending begins.
    """

    action: Action
    group: str
    nodes: tuple[str, ...]
    at_s: float
    lasts_s: float

    def __str__(self) -> str:
        said = {"kill9": "kill -9 of", "pause": "SIGSTOP of", "partition": "network cut off from"}[self.action]
        return f"{said} {self.group} for {self.lasts_s:g} s"


@dataclass(frozen=True)
class Schedule:
    """Faults by time, and the seed that they were drawn from."""

    seed: int
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        lines = [f"  at {fault.at_s:6.1f} s: {fault}" for fault in self.faults]
        return "\n".join([f"faults by seed {self.seed}:", *lines])


def draw(
    seed: int,
    *,
    groups: Mapping[str, Sequence[str]],
    actions: Sequence[Action],
    seconds: float,
    lasts_s: Mapping[Action, float] | None = None,
    calm_s: float = CALM_S,
) -> Schedule:
    """Draws as many faults as fit: every action on every group in an order of the seed's, then again in another.

    Args:
        seed: determines the faults.
        groups: nodes that break together (one node, a rack, all), by name.
        actions: what may happen to them.
        seconds: when the last one must have begun to be mended and been calm for a while.
        lasts_s: how long each lasts, where it is not as in ``LASTS_S``.
        calm_s: how long nothing is broken before and after each; up to half as much again is drawn.
    """
    dice, lasts = Dice(seed), {**LASTS_S, **(lasts_s or {})}
    possible = [(action, group) for action in actions for group in groups]
    faults: list[Fault] = []
    left: list[tuple[Action, str]] = []
    now_s = 0.0
    while possible:
        left = left or dice.sample(possible, len(possible))
        action, group = left.pop()
        at_s = now_s + calm_s * (1 + dice.below(500) / 1_000)
        now_s = at_s + lasts[action]
        if now_s + calm_s > seconds:
            break
        faults.append(Fault(action, group, tuple(groups[group]), at_s, lasts[action]))
    return Schedule(seed, tuple(faults))


def play(
    schedule: Schedule, nodes: Mapping[str, Node], *, begin_ns: int, partitions: Partitions | None = None
) -> list[Event]:
    """Lets the faults of a schedule happen, and mends everything, whatever goes wrong.

    Where mending takes longer than the calm that was planned, what follows is put off by as much.

    Args:
        schedule: the faults.
        nodes: the processes by name.
        begin_ns: the begin that the schedule's times count from, on the monotonic clock.
        partitions: the network; needed for partitions alone.

    Returns:
        When each fault happened, and when it had been mended.
    """
    events: list[Event] = []
    late_ns = 0
    for fault in schedule.faults:
        _sleep_until(begin_ns + int(fault.at_s * 1e9) + late_ns)
        began_ns = time.monotonic_ns()
        try:
            _break(fault, nodes, partitions)
            _sleep_until(began_ns + int(fault.lasts_s * 1e9))
        finally:
            mending_ns = time.monotonic_ns()
            _mend(fault, nodes, partitions)
        mended_ns = time.monotonic_ns()
        late_ns += mended_ns - mending_ns
        events.append(Event(began_ns, mended_ns, str(fault)))
    return events


def _sleep_until(time_ns: int) -> None:
    time.sleep(max(0.0, (time_ns - time.monotonic_ns()) / 1e9))


def _break(fault: Fault, nodes: Mapping[str, Node], partitions: Partitions | None) -> None:
    if fault.action == "partition":
        assert partitions is not None, "a schedule with partitions needs a network that can be cut"
        partitions.cut(fault.nodes)
        return
    for name in fault.nodes:
        nodes[name].kill9() if fault.action == "kill9" else nodes[name].pause()


def _mend(fault: Fault, nodes: Mapping[str, Node], partitions: Partitions | None) -> None:
    if fault.action == "partition":
        assert partitions is not None
        partitions.heal()
    elif fault.action == "pause":
        for name in fault.nodes:
            nodes[name].resume()
    else:
        # All at once: one may not serve before another is there.
        with ThreadPoolExecutor(len(fault.nodes)) as pool:
            for started in [pool.submit(nodes[name].start) for name in fault.nodes]:
                started.result()
