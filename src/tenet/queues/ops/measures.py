"""What the page of metrics says about queues: of those that this process owns, and that somebody asked for so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from tenet.wire.door import Measured

if TYPE_CHECKING:
    from tenet.queues.model import Figures, Queue
    from tenet.queues.ops.owning.owners import Owners
    from tenet.wire.door import Measure

#: Queues that have series of their own: a page with all of very many would cost more than it tells.
QUEUES_MAX: Final = 1_000

_LABELS: Final = ("account", "queue")
#: Name, words, and which figure; the counters last.
_GAUGES: Final[Mapping[str, tuple[str, Callable[[Figures], int]]]] = {
    "tenet_queue_visible_messages": ("Messages that a receive may return.", attrgetter("visible")),
    "tenet_queue_in_flight_messages": (
        "Messages that were received and are not visible again yet.",
        attrgetter("in_flight"),
    ),
    "tenet_queue_delayed_messages": ("Messages that wait for their delay to end.", attrgetter("delayed")),
    "tenet_queue_oldest_message_age_seconds": (
        "Age of the oldest message that is not deleted.",
        lambda figures: figures.oldest_age_s,
    ),
}
_COUNTERS: Final[Mapping[str, tuple[str, Callable[[Figures], int]]]] = {
    "tenet_queue_messages_sent": ("Messages sent.", attrgetter("sent")),
    "tenet_queue_messages_received": ("Messages received, each as often as it was.", attrgetter("received")),
    "tenet_queue_messages_deleted": ("Messages deleted.", attrgetter("deleted")),
}


def measures_of(owners: Owners) -> Sequence[Measure]:
    """Returns the figures of queues that are in memory, or rest; of too many, of those that hold most.

    Args:
        owners: of this process.
    """
    known = [(owner.queue, figures) for owner in owners.known() if (figures := owner.known_figures()) is not None]
    in_memory = float(sum(owner.is_in_memory for owner in owners.known()))
    total = Measured("tenet_queues_in_memory", "Queues that this process has in memory.", (), {(): in_memory})
    if len(known) > QUEUES_MAX:
        known.sort(key=_held, reverse=True)
        del known[QUEUES_MAX:]
    gauges = [_measured(name, words, of, known, is_counter=False) for name, (words, of) in _GAUGES.items()]
    counters = [_measured(name, words, of, known, is_counter=True) for name, (words, of) in _COUNTERS.items()]
    return (total, *gauges, *counters)


def _held(of_queue: tuple[Queue, Figures]) -> int:
    figures = of_queue[1]
    return figures.visible + figures.in_flight + figures.delayed


def _measured(
    name: str, words: str, of: Callable[[Figures], int], known: list[tuple[Queue, Figures]], *, is_counter: bool
) -> Measured:
    values: dict[tuple[str, ...], float] = {(queue.account, queue.name): float(of(figures)) for queue, figures in known}
    return Measured(name, words, _LABELS, values, is_counter)
