"""How far indexes that are kept from the log are behind, as the keepers of this process know it."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from tenet.wire.door import Distribution, Measured

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenet.tables.ops.indexing.filling import Filled
    from tenet.tables.ops.indexing.keepers import Keepers
    from tenet.wire.door import Measure

#: Of so many indexes, those that are most behind, figures are given.
INDEXES_MAX: Final = 1_000
#: Upper bounds of the buckets of delays, in seconds.
BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class Delays:
    """Counts how long it took from the commit of an item to the commit of its entry in an index."""

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS_S) + 1)
        self.seconds = 0.0

    def count(self, delay_ms: int, entries: int) -> None:
        """Counts entries.

        Args:
            delay_ms: of the oldest of them, milliseconds.
            entries: how many.
        """
        self.buckets[bisect_left(BOUNDS_S, delay_ms / 1000)] += entries
        self.seconds += delay_ms / 1000 * entries


class Progress:
    """What one keeper has to do, by the names of index spaces."""

    def __init__(self) -> None:
        #: When the oldest change was committed that is not in the index yet, milliseconds since 1970.
        self.since_ms: dict[str, int] = {}
        #: How many entries were written.
        self.written: dict[str, int] = {}
        #: Since when the log could not be followed, milliseconds since 1970; 0: it can.
        self.failing_since_ms = 0

    def begin(self, since_ms: Mapping[str, int]) -> None:
        """Notes what is to be done."""
        self.since_ms = dict(since_ms)

    def end(self, counts: Mapping[str, int]) -> None:
        """Notes that all of it is done."""
        self.since_ms = {}
        self.failing_since_ms = 0
        for space, count in counts.items():
            self.written[space] = self.written.get(space, 0) + count

    def fail(self, now_ms: int) -> None:
        """Notes that the store could not serve."""
        self.failing_since_ms = self.failing_since_ms or now_ms

    def lag_ms(self, space: str, now_ms: int) -> int:
        """Returns how far an index is behind as far as this keeper goes, milliseconds."""
        since_ms = min(self.since_ms.get(space, now_ms), self.failing_since_ms or now_ms)
        return max(0, now_ms - since_ms)


def measures_of_filling(progress: Mapping[tuple[str, str, str], Filled]) -> Sequence[Measure]:
    """Returns how far the indexes are that this process fills, for the page of metrics; by account, table and index."""
    labels = ("account", "table", "index")
    shown = dict(list(progress.items())[:INDEXES_MAX])
    return (
        Measured(
            "tenet_index_filling_items",
            "Items of the table that were looked at to fill an index that was added to it.",
            labels,
            {names: filled.items for names, filled in shown.items()},
        ),
        Measured(
            "tenet_index_filling_skipped",
            "Items among them that the index cannot hold, because of their key attributes.",
            labels,
            {names: filled.skipped for names, filled in shown.items()},
        ),
    )


def measures_of(keepers: Keepers) -> Sequence[Measure]:
    """Returns the figures of this process's keepers for the page of metrics."""
    lags = {(lag.table.account, lag.table.name, lag.index.name): lag for lag in keepers.lags()[:INDEXES_MAX]}
    labels = ("account", "table", "index")
    delays = keepers.delays
    return (
        Measured(
            "tenet_index_lag_seconds",
            "Age of the oldest change that is not in the index yet; 0 where there is none.",
            labels,
            {names: lag.lag_ms / 1000 for names, lag in lags.items()},
        ),
        Measured(
            "tenet_index_entries",
            "Entries written to the index.",
            labels,
            {names: lag.written for names, lag in lags.items()},
            is_counter=True,
        ),
        Distribution(
            "tenet_index_delay_seconds",
            "Time from a change of an item to its entries in indexes.",
            BOUNDS_S,
            delays.buckets,
            delays.seconds,
        ),
    )
