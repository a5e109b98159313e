"""Figures about the server, counted in plain integers while it serves; ``exposition`` puts them into words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tenet.wire.door import Measured

#: Upper bounds of the buckets of latencies, in seconds.
BOUNDS_S: Final = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
#: What clients can name without end is counted under one name beyond so many.
_SERIES_MAX: Final = 1_000
_CODES_MAX: Final = 100
_OPERATION_CHARS_MAX: Final = 64
OTHER: Final = "other"

Figures = Mapping[str, str | int | float | bool]


def undescribed(prefix: str, figures: Figures) -> Iterator[Measured]:
    """Yields a gauge for each figure that is a number or a truth value, of which nobody says what it means.

    Args:
        prefix: what the names of the metrics begin with.
        figures: by name.
    """
    for name, value in figures.items():
        if not isinstance(value, str):
            yield Measured(f"{prefix}_{name}", f"The figure {name}.", (), {(): float(value)})


class Series:
    """What is counted of one operation."""

    __slots__ = ("buckets", "codes", "received_bytes", "seconds", "sent_bytes")

    def __init__(self) -> None:
        #: Answers by error code, "" for those that are no errors.
        self.codes: dict[str, int] = {}
        #: Answers by how long they took, one more than there are bounds.
        self.buckets: list[int] = [0] * (len(BOUNDS_S) + 1)
        #: Time taken, in all.
        self.seconds = 0.0
        #: Of bodies.
        self.received_bytes = 0
        self.sent_bytes = 0

    def count_code(self, code: str) -> None:
        """Counts an answer by its code, where there are not too many different ones."""
        if len(self.codes) >= _CODES_MAX:
            code = OTHER
        self.codes[code] = self.codes.get(code, 0) + 1


class Metrics:
    """Counts what the edge does."""

    def __init__(self) -> None:
        #: What is counted, by service and operation.
        self.known: dict[tuple[str, str], Series] = {}
        #: Messages that were no requests, by the status that they were answered with.
        self.malformed: dict[int, int] = {}
        self.connections_accepted = 0
        self.connections_refused = 0
        self.handshakes_failed = 0
        #: How often the process stood still.
        self.standstills = 0

    def series(self, service: str, operation: str) -> Series:
        """Returns what is counted of an operation; of too many different ones, all under one name.

        Args:
            service: the label of the service's mount.
            operation: what was asked for.
        """
        if len(self.known) >= _SERIES_MAX or len(operation) > _OPERATION_CHARS_MAX:
            operation = OTHER
        return self.known.setdefault((service, operation), Series())

    def totals(self) -> dict[str, dict[str, int]]:
        """Returns answers by service and operation, and by code, for a diagnosis."""
        return {f"{service} {operation}": dict(series.codes) for (service, operation), series in self.known.items()}
