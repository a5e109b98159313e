"""What clients noticed of a run, in slots of 100 ms: how much was done, what failed, how long they had to wait.

An operation *failed* for a client when its SDK gave up on it; a refused condition or a transaction that crossed
another is an answer like any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from tests.faults.history import Operation
from tests.faults.sdk import EXPECTED

SLOT_MS = 100


class Event(msgspec.Struct, frozen=True):
    """A fault, from its begin until it was mended.

    Args:
        begin_ns: when it began, on the monotonic clock.
        end_ns: when it had been mended.
        told: what it was.
    """

    begin_ns: int
    end_ns: int
    told: str


@dataclass(frozen=True)
class Span:
    """What clients noticed within a stretch of time.

    Args:
        told: what happened then.
        seconds: how long it was.
        answered: operations that ended in it and did not fail.
        failed: operations that failed, by error.
        longest_ms: the longest that an operation took whose time touches it.
        longest_gap_ms: the longest that any one client had no answer, as far as it lies within.
        retries: attempts that the SDK followed by another.
    """

    told: str
    seconds: float
    answered: int
    failed: dict[str, int]
    longest_ms: float
    longest_gap_ms: float
    retries: int

    def __str__(self) -> str:
        failed = ", ".join(f"{count} {error}" for error, count in sorted(self.failed.items())) or "none"
        return (
            f"{self.told}: {self.seconds:.1f} s, {self.answered / max(self.seconds, 0.001):.0f} operations/s, longest "
            f"{self.longest_ms:.0f} ms, longest without an answer {self.longest_gap_ms:.0f} ms, retries of the SDK "
            f"{self.retries}, failed: {failed}"
        )


def has_failed(operation: Operation) -> bool:
    """Whether the client had to be told of something broken."""
    return bool(operation.error) and operation.error not in EXPECTED


def span(history: Sequence[Operation], begin_ns: int, end_ns: int, told: str) -> Span:
    """Returns what clients noticed between two moments."""
    touching = [one for one in history if one.end_ns > begin_ns and one.begin_ns < end_ns]
    ended = [one for one in touching if one.end_ns <= end_ns]
    return Span(
        told,
        (end_ns - begin_ns) / 1e9,
        sum(not has_failed(one) for one in ended),
        dict(Counter(one.error for one in ended if has_failed(one))),
        max(((one.end_ns - one.begin_ns) / 1e6 for one in touching), default=0.0),
        _longest_gap_ms(history, begin_ns, end_ns),
        sum(len(one.attempts) - 1 for one in touching),
    )


def _longest_gap_ms(history: Sequence[Operation], begin_ns: int, end_ns: int) -> float:
    """The longest time within a span in which a client asked and had no answer that was not a failure."""
    of_clients: dict[int, list[Operation]] = {}
    for one in history:
        of_clients.setdefault(one.client, []).append(one)
    longest = 0
    for asked in of_clients.values():
        first_ns = max(begin_ns, min(one.begin_ns for one in asked))
        last_ns = min(end_ns, max(one.end_ns for one in asked))
        answers = sorted(one.end_ns for one in asked if not has_failed(one) and first_ns < one.end_ns < last_ns)
        times = [first_ns, *answers, last_ns]
        longest = max(longest, *(after - before for before, after in pairwise(times)))
    return longest / 1e6


def slots(history: Sequence[Operation], begin_ns: int, end_ns: int) -> list[tuple[int, int]]:
    """Returns how many operations were answered and how many failed in each slot."""
    counts = [[0, 0] for _ in range(-(-(end_ns - begin_ns) // (SLOT_MS * 1_000_000)))]
    for one in history:
        slot = (one.end_ns - begin_ns) // (SLOT_MS * 1_000_000)
        if 0 <= slot < len(counts):
            counts[slot][has_failed(one)] += 1
    return [(answered, failed) for answered, failed in counts]


def report(history: Sequence[Operation], events: Sequence[Event], begin_ns: int, end_ns: int) -> str:
    """Returns the summary, and a line per second, as Markdown."""
    summed = summary(history, events, begin_ns, end_ns)
    return "\n".join([summed, "", *_drawing(history, events, begin_ns, end_ns)])


def summary(history: Sequence[Operation], events: Sequence[Event], begin_ns: int, end_ns: int) -> str:
    """Returns the whole run, each fault, and what lay before, between and behind, as a list in Markdown."""
    spans = [span(history, begin_ns, end_ns, "whole run")]
    calm_ns = begin_ns
    for event in sorted(events, key=lambda one: one.begin_ns):
        if event.begin_ns > calm_ns:
            spans.append(span(history, calm_ns, event.begin_ns, "nothing broken"))
        spans.append(span(history, event.begin_ns, min(event.end_ns, end_ns), event.told))
        calm_ns = max(calm_ns, event.end_ns)
    if calm_ns < end_ns:
        spans.append(span(history, calm_ns, end_ns, "nothing broken"))
    return "\n".join(f"- {one}" for one in spans)


def _drawing(history: Sequence[Operation], events: Sequence[Event], begin_ns: int, end_ns: int) -> list[str]:
    """One line per second with a sign per slot: a dot for none, ▁ to █ for few to many, x where one failed."""
    counts = slots(history, begin_ns, end_ns)
    most = max((answered for answered, _ in counts), default=0) or 1
    lines = ["```"]
    per_line = 1_000 // SLOT_MS
    for first in range(0, len(counts), per_line):
        signs = "".join(_sign(*count, most) for count in counts[first : first + per_line])
        from_ns, to_ns = (begin_ns + place * SLOT_MS * 1_000_000 for place in (first, first + per_line))
        begun = [event.told for event in events if from_ns <= event.begin_ns < to_ns]
        mended = [f"mended: {event.told}" for event in events if from_ns <= event.end_ns < to_ns]
        total = sum(answered for answered, _ in counts[first : first + per_line])
        lines.append(f"{first // per_line:>4} s |{signs:<10}| {total:>5}  {'; '.join([*begun, *mended])}".rstrip())
    return [*lines, "```"]


def _sign(answered: int, failed: int, most: int) -> str:
    if failed:
        return "x"
    return "▁▂▃▄▅▆▇█"[min(7, answered * 8 // most)] if answered else "."
