"""Checks transactions over lists for strict serializability, after Elle (Kingsbury & Alvaro, "Elle: Inferring Isolation
Anomalies from Experimental Observations", VLDB 2020).

Every value is appended once, so that a list that somebody read tells the order of the transactions that wrote it. From
that follow the dependencies between transactions; a cycle among them is an anomaly, named after Adya:

=================== ===================================================================================================
G0                  writes of two transactions lie in different orders under different keys
G1a                 a value was read whose transaction was refused
G1b                 a list was read that a transaction had not finished
G1c                 transactions that each saw something of the next
G-single            one saw something of another and at the same time not all of it (read skew)
G2                  each overlooked what the other wrote (write skew)
lost update         two transactions changed the same version of a list, and both succeeded
…-realtime          the same where an edge is that one had ended before the other began: serializable, not strictly
=================== ===================================================================================================

And, before any cycle: a value that nobody wrote, one that is there twice, reads that do not go together in any order,
and an append that was acknowledged and is not there at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.faults.graph import KIND_NAMES, RT, RW, WR, WW, Graph, Step
from tests.faults.history import Operation

#: Name, kind of one edge, kinds of the others, kinds of which the others must have one.
_CYCLES = (
    ("G0", WW, WW, 0),
    ("G1c", WR, WW | WR, 0),
    ("G-single", RW, WW | WR, 0),
    ("G2", RW, WW | WR | RW, RW),
    ("G0-realtime", WW, WW | RT, RT),
    ("G1c-realtime", WR, WW | WR | RT, RT),
    ("G-single-realtime", RW, WW | WR | RT, RT),
    ("G2-realtime", RW, WW | WR | RW | RT, RW),
)


@dataclass(frozen=True)
class Anomaly:
    """Something that a strictly serializable store does not do.

    Args:
        name: as in the table above, or of what stands below it.
        told: what it is, for a person; a cycle with one line per edge.
    """

    name: str
    told: str

    def __str__(self) -> str:
        return f"{self.name}: {self.told}"


@dataclass
class _List:
    """One key: the longest list that was read, and what else is known of it."""

    longest: list[int]
    longest_by: int
    reads: list[tuple[int, list[int]]]
    appends: list[tuple[int, list[int]]]


def check(history: Iterable[Operation]) -> list[Anomaly]:
    """Returns the anomalies of transactions over lists; other workloads are left out.

    Args:
        history: operations of a whole run, by their begin.
    """
    operations = [operation for operation in history if operation.workload == "lists"]
    return _Check(operations).run() if operations else []


class _Check:
    """One check; transactions have the numbers of their operations.

    Args:
        operations: of lists alone.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = operations
        self._begin_ns = min(operation.begin_ns for operation in operations)
        self._graph = Graph(len(operations))
        self._found: dict[str, list[str]] = {}
        self._writer: dict[int, int] = {}
        self._lists: dict[str, _List] = {}
        self._seen: set[int] = set()

    def run(self) -> list[Anomaly]:
        """Collects, compares, and looks for cycles."""
        for at, operation in enumerate(self._operations):
            self._collect(at, operation)
        for key, one in self._lists.items():
            self._look_at_order(key, one)
        for key, one in self._lists.items():
            self._look_for_lost(key, one)
            self._add_edges(key, one)
        self._graph.add_real_time(
            [(one.begin_ns, one.end_ns if one.outcome == "ok" else None) for one in self._operations]
        )
        if self._graph.components(WW | WR | RW | RT):
            self._find_cycles()
        return [Anomaly(name, _first_of(told)) for name, told in self._found.items()]

    def _note(self, name: str, told: str) -> None:
        self._found.setdefault(name, []).append(told)

    def _collect(self, at: int, operation: Operation) -> None:
        for kind, key, values in operation.got if operation.outcome == "ok" else operation.asked:
            one = self._lists.setdefault(key, _List([], -1, [], []))
            if kind == "append":
                one.appends.append((at, values))
                self._writer |= dict.fromkeys(values, at)
            elif operation.outcome == "ok":
                one.reads.append((at, values))
                if len(values) > len(one.longest):
                    one.longest, one.longest_by = values, at

    def _look_at_order(self, key: str, one: _List) -> None:
        """Looks whether all reads of a list are beginnings of the longest, and whether that can be."""
        self._seen.update(one.longest)
        fitting = []
        for at, values in one.reads:
            if values == one.longest[: len(values)]:
                fitting.append((at, values))
            else:
                self._seen.update(values)
                told = f"of {key}, {self._name(at)} read {_end(values)} and {self._name(one.longest_by)}"
                self._note("reads that do not go together", f"{told} read {_end(one.longest)}")
        one.reads = fitting
        if len(set(one.longest)) < len(one.longest):
            twice = sorted({value for value in one.longest if one.longest.count(value) > 1})
            self._note("a value that is there twice", f"{twice[0]} in {key}, read by {self._name(one.longest_by)}")
        self._look_at_values(key, one)

    def _look_at_values(self, key: str, one: _List) -> None:
        appended = {value: values for _, values in one.appends for value in values}
        for place, value in enumerate(one.longest):
            writer = self._writer.get(value)
            if writer is None or value not in appended:
                self._note("a value that nobody wrote", f"{value} in {key}, read by {self._name(one.longest_by)}")
            elif self._operations[writer].outcome == "fail":
                reader = next(at for at, values in one.reads if len(values) > place)
                told = f"{self._name(reader)} read {value} in {key}, which {self._name(writer)} appended"
                self._note("G1a", f"{told}, and that was refused")
        for at, values in one.reads:
            together = appended.get(values[-1], []) if values else []
            if together and values[-1] != together[-1] and self._writer[values[-1]] != at:
                told = f"{self._name(at)} read {key} up to {values[-1]}"
                self._note("G1b", f"{told}, which {self._name(self._writer[values[-1]])} appended with {together}")

    def _look_for_lost(self, key: str, one: _List) -> None:
        present = set(one.longest)
        last = max(one.reads, key=lambda read: self._operations[read[0]].begin_ns, default=None)
        for at, values in one.appends:
            operation = self._operations[at]
            if operation.outcome != "ok" or last is None or self._operations[last[0]].begin_ns < operation.end_ns:
                continue
            lost = [value for value in values if value not in present]
            if lost:
                told = f"{self._name(at)} appended {lost} to {key}, was acknowledged"
                self._note("lost append", f"{told}, and {self._name(last[0])} read {_end(last[1])} later")

    # ---- dependencies ------------------------------------------------------------------------------------------------

    def _add_edges(self, key: str, one: _List) -> None:
        graph, order = self._graph, self._writers_in_order(one)
        for (before, value), (after, following) in pairwise(order):
            graph.add(before, after, WW, f"appended {value} to {key} before the other appended {following}")
        places = {value: place for place, (_, value) in enumerate(order)}
        present = set(one.longest)
        late = [
            (at, value)
            for at, values in one.appends
            for value in values
            if value not in present and self._took_effect(at)
        ]
        for at, value in late:
            if order:
                graph.add(
                    order[-1][0], at, WW, f"appended {order[-1][1]} to {key}; the other's {value} was not there yet"
                )
        for at, values in one.reads:
            self._add_read(key, at, order, places.get(values[-1], -1) if values else -1, late)
        self._look_for_lost_updates(key, one)

    def _writers_in_order(self, one: _List) -> list[tuple[int, int]]:
        """Who appended, and what, in the order of the list; without what stops an order from being one."""
        known = dict.fromkeys(one.longest)
        return [
            (self._writer[value], value)
            for value in known
            if value in self._writer and self._operations[self._writer[value]].outcome != "fail"
        ]

    def _took_effect(self, at: int) -> bool:
        """Whether a transaction took effect: it says so, or somebody saw something of it."""
        operation = self._operations[at]
        if operation.outcome == "info":
            return any(kind == "append" and self._seen.intersection(values) for kind, _, values in operation.asked)
        return operation.outcome == "ok"

    def _add_read(
        self, key: str, at: int, order: list[tuple[int, int]], place: int, late: list[tuple[int, int]]
    ) -> None:
        if place >= 0:
            self._graph.add(order[place][0], at, WR, f"appended {order[place][1]} to {key}, which the other read")
        if place + 1 < len(order):
            # What a transaction appended itself follows what it read; the next version is then that of another.
            after = next((one for one in order[place + 1 :] if one[0] != at), None)
            following = [after] if after is not None else late
        else:
            following = late
        for writer, value in following:
            self._graph.add(at, writer, RW, f"read {key} without the {value} that the other appended")

    def _look_for_lost_updates(self, key: str, one: _List) -> None:
        writers = {at for at, _ in one.appends}
        by_version: dict[tuple[int, ...], int] = {}
        for at, values in one.reads:
            if at not in writers:
                continue
            other = by_version.setdefault(tuple(values), at)
            if other != at:
                told = f"{self._name(other)} and {self._name(at)} both read {key} as {_end(values)} and appended to it"
                self._note("lost update", told)

    # ---- cycles ------------------------------------------------------------------------------------------------------

    def _find_cycles(self) -> None:
        for name, first, rest, must_have in _CYCLES:
            cycle = self._graph.shortest_cycle(first, rest, must_have=must_have)
            if cycle is None or ("realtime" in name and not any(step.kind == RT for step in cycle)):
                continue
            self._note(name, "\n".join(self._tell(cycle)))

    def _tell(self, cycle: Sequence[Step]) -> Iterator[str]:
        yield f"{len(cycle)} transactions, each of which has to come before the next"
        for step in cycle:
            yield f"  {self._describe(step.source)}"
            yield f"    {KIND_NAMES[step.kind]} → {self._name(step.target)}: {self._graph.reason(step)}"

    def _name(self, at: int) -> str:
        return f"{self._operations[at].kind} {self._operations[at].name}"

    def _describe(self, at: int) -> str:
        operation = self._operations[at]
        moves = operation.got if operation.outcome == "ok" else operation.asked
        told = "; ".join(f"{kind} {key} {_end(values) if kind == 'read' else values}" for kind, key, values in moves)
        begin, end = ((time - self._begin_ns) / 1e6 for time in (operation.begin_ns, operation.end_ns))
        return f"{self._name(at)} ({begin:.1f} to {end:.1f} ms, {operation.outcome}): {told}"


def report(found: Sequence[Anomaly], *, lines_max: int = 40) -> str:
    """Returns what was found, for a person: what is told in few lines first, and of the rest the names."""
    told: list[Anomaly] = []
    left: list[Anomaly] = []
    for anomaly in sorted(found, key=lambda one: len(str(one).splitlines())):
        length = len(str(anomaly).splitlines())
        (told if length <= lines_max else left).append(anomaly)
        lines_max -= length
    names = f"and, in more transactions: {', '.join(one.name for one in left)}"
    return "\n".join([*map(str, told), *([names] if left else [])])


def _end(values: Sequence[int] | None) -> str:
    """The end of a list, which is where lists differ."""
    if values is None:
        return "?"
    shown = " ".join(map(str, values[-5:]))
    return f"[… {shown}] of {len(values)}" if len(values) > 5 else f"[{shown}]"


def _first_of(told: list[str]) -> str:
    return told[0] + (f"\n  (and {len(told) - 1} more)" if len(told) > 1 else "")
