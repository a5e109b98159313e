"""Checks long histories for strict serializability, by the versions that reads saw and writes made.

Versions tell for every object in which order it was written. So every dependency between transactions is known, not
guessed: who overwrote whom, who read whose write, who read what was overwritten afterwards (Adya, "Weak Consistency",
1999), and who was answered before the other was begun. The history is strictly serializable exactly if these
dependencies have no cycle; a cycle is the proof that it is not, and is what is reported.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

from msgspec import Struct

#: What is read and written: a record, or a cell.
Thing: TypeAlias = tuple[object, ...]
#: Versions of one thing are all bytes or all integers.
Mark: TypeAlias = bytes | int


class Transaction(Struct, frozen=True):
    """A transaction that took effect, or a read.

    Args:
        name: for reports.
        begun: when it was begun, by a counter of events.
        ended: when it was answered, by the same counter; no two events are alike.
        reads: for each thing that it read, the version; None where there was none yet.
        writes: for each thing that it wrote, the version that it made. Things are never removed.
    """

    name: str
    begun: int
    ended: int
    reads: Mapping[Thing, Mark | None] = {}
    writes: Mapping[Thing, Mark] = {}


class Anomaly(Exception):
    """Why a history is not strictly serializable."""


def check(transactions: Sequence[Transaction]) -> None:
    """Raises ``Anomaly`` unless the history is strictly serializable."""
    graph = _Graph(transactions)
    cycle = graph.find_cycle()
    if cycle:
        raise Anomaly("these cannot be put in an order: " + graph.describe(cycle))


class _Graph:
    """Nodes 0 to n-1 are transactions; n to 2n-1 are moments, each at the end of a transaction.

    Moments stand in for the dependencies of real time: a transaction leads to its end, a moment to the next moment,
    and to all that begin between the two. That says the same as an edge for every pair, with a few per transaction.
    """

    def __init__(self, transactions: Sequence[Transaction]) -> None:
        self._transactions = transactions
        self._edges: list[list[tuple[int, str]]] = [[] for _ in range(2 * len(transactions))]
        self._add_time()
        self._add_versions()

    def _add_time(self) -> None:
        count = len(self._transactions)
        by_end = sorted(range(count), key=lambda index: self._transactions[index].ended)
        ends = [self._transactions[index].ended for index in by_end]
        for rank, index in enumerate(by_end):
            self._edges[index].append((count + rank, "time"))
            if rank:
                self._edges[count + rank - 1].append((count + rank, "time"))
        for index, transaction in enumerate(self._transactions):
            before = bisect_left(ends, transaction.begun)
            if before:
                self._edges[count + before - 1].append((index, "was answered before the next was begun"))

    def _add_versions(self) -> None:
        writers: dict[Thing, dict[Mark, int]] = {}
        for index, transaction in enumerate(self._transactions):
            for thing, version in transaction.writes.items():
                of_thing = writers.setdefault(thing, {})
                if version in of_thing:
                    first = self._transactions[of_thing[version]].name
                    raise Anomaly(f"{first} and {transaction.name} made the same version of {thing}")
                of_thing[version] = index
        # Sorted once; the versions of one thing are of one kind, bytes or integers.
        in_order = {thing: dict(sorted(of_thing.items())) for thing, of_thing in writers.items()}
        for thing, of_thing in in_order.items():
            for earlier, later in pairwise(of_thing.values()):
                self._edges[earlier].append((later, f"wrote {thing} before"))
        overwritten_by = {
            (thing, version): writer
            for thing, of_thing in in_order.items()
            for version, writer in zip((None, *of_thing), of_thing.values(), strict=False)
        }
        for index, transaction in enumerate(self._transactions):
            for thing, seen in transaction.reads.items():
                self._add_read(index, thing, seen, writers.get(thing, {}))
                following = overwritten_by.get((thing, seen), index)
                if following != index:
                    self._edges[index].append((following, f"read {thing} before it was overwritten by"))

    def _add_read(self, reader: int, thing: Thing, version: Mark | None, writers: Mapping[Mark, int]) -> None:
        if version is None:
            return
        if version not in writers:
            raise Anomaly(f"{self._transactions[reader].name} read a version of {thing} that nobody wrote: {version!r}")
        if writers[version] != reader:
            self._edges[writers[version]].append((reader, f"wrote {thing}, which was read by"))

    def find_cycle(self) -> list[int]:
        """Returns the nodes of a cycle, or none, by a depth-first search with its own stack."""
        unseen, on_path, finished = 0, 1, 2
        colour = [unseen] * len(self._edges)
        for root in range(len(self._edges)):
            if colour[root] != unseen:
                continue
            path = [root]
            colour[root] = on_path
            following = [iter(self._edges[root])]
            while path:
                step = next(following[-1], None)
                if step is None:
                    colour[path.pop()] = finished
                    following.pop()
                elif colour[step[0]] == on_path:
                    return path[path.index(step[0]) :]
                elif colour[step[0]] == unseen:
                    colour[step[0]] = on_path
                    path.append(step[0])
                    following.append(iter(self._edges[step[0]]))
        return []

    def describe(self, cycle: Sequence[int]) -> str:
        """Returns a cycle as a sentence, its moments left out."""
        parts: list[str] = []
        for node, following in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            if node < len(self._transactions):
                parts.append(self._transactions[node].name)
            reason = next(reason for target, reason in self._edges[node] if target == following)
            if reason != "time":
                parts.append(reason)
        return " ".join(parts)
