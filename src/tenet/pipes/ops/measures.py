"""What the page of metrics says about pipes: of those that this process runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from tenet.pipes.ops.runners import tally_of
from tenet.wire.door import Measured

if TYPE_CHECKING:
    from tenet.pipes.ops.runner import Runner, Tally
    from tenet.wire.door import Measure

#: Of so many pipes at the most figures are given, those most behind first.
PIPES_MAX: Final = 1_000

_LABELS: Final = ("account", "pipe")
_GAUGES: Final[Mapping[str, tuple[str, Callable[[Sequence[Runner]], float]]]] = {
    "tenet_pipe_lag_seconds": (
        "Age of the oldest change that was taken from the log and not acknowledged by the queue; 0 for none.",
        lambda runners: max(runner.lag_ms for runner in runners) / 1000,
    ),
    "tenet_pipe_lag_records": (
        "Changes that were taken from the log and not acknowledged by the queue; the log may hold more.",
        lambda runners: float(sum(len(runner.pending) for runner in runners)),
    ),
}
_COUNTERS: Final[Mapping[str, tuple[str, Callable[[Tally], int]]]] = {
    "tenet_pipe_records_sent": ("Records that the queue acknowledged.", lambda tally: tally.sent),
    "tenet_pipe_records_filtered": ("Records that no filter let through.", lambda tally: tally.filtered),
    "tenet_pipe_records_failed": ("Attempts at records that the queue refused.", lambda tally: tally.failed),
    "tenet_pipe_records_discarded": ("Records that were given up.", lambda tally: tally.discarded),
    "tenet_pipe_records_reduced": (
        "Records that were told by their keys alone, because they were larger than the queue takes.",
        lambda tally: tally.reduced,
    ),
}


def measures_of(runners: Sequence[Runner]) -> Sequence[Measure]:
    """Returns the figures of pipes for the page of metrics.

    Args:
        runners: of this process.
    """
    by_pipe: dict[tuple[str, str], list[Runner]] = {}
    for runner in runners:
        by_pipe.setdefault((runner.pipe.account, runner.pipe.name), []).append(runner)
    if len(by_pipe) > PIPES_MAX:
        behind = sorted(by_pipe, key=lambda pipe: -max(runner.lag_ms for runner in by_pipe[pipe]))
        by_pipe = {pipe: by_pipe[pipe] for pipe in behind[:PIPES_MAX]}
    tallies = {pipe: tally_of(of_pipe) for pipe, of_pipe in by_pipe.items()}
    gauges = [
        Measured(name, words, _LABELS, {pipe: of(of_pipe) for pipe, of_pipe in by_pipe.items()})
        for name, (words, of) in _GAUGES.items()
    ]
    counters = [
        Measured(
            name,
            words,
            _LABELS,
            {pipe: float(of(tally)) for pipe, tally in tallies.items()},
            is_counter=True,
        )
        for name, (words, of) in _COUNTERS.items()
    ]
    return (*gauges, *counters)
