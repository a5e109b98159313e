"""A graph of transactions: who has to come before whom, and why; its cycles.

Real time is an order of intervals. Instead of an edge between every two transactions of which one ended before the
other began, each end is a *moment*, a node in a chain: a transaction leads to the moment of its end, and the last
moment before its begin leads to it. Moments cost nothing on a path and are left out of what is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

#: Kinds of edges (Adya, Liskov & O'Neil, "Generalized Isolation Level Definitions", 2000): the next version was
#: written (ww), the version was read (wr), it was read and then overwritten (rw); and one ended before the other began.
WW, WR, RW, RT = 1, 2, 4, 8
KIND_NAMES = {WW: "ww", WR: "wr", RW: "rw", RT: "rt"}
#: How many nodes a search for one kind of cycle looks at.
_VISITS_MAX = 500_000


class Step(NamedTuple):
    """An edge of a cycle: from one transaction to another, of a kind."""

    source: int
    target: int
    kind: int


class Graph:
    """Transactions by number, and moments behind them.

    Args:
        transactions: how many there are.
    """

    def __init__(self, transactions: int) -> None:
        self.transactions = transactions
        self.edges: list[dict[int, int]] = [{} for _ in range(transactions)]
        self._reasons: dict[Step, str] = {}

    def add(self, source: int, target: int, kind: int, reason: str) -> None:
        """Adds an edge, unless it leads from a transaction to itself; the first reason is kept."""
        if source == target:
            return
        self.edges[source][target] = self.edges[source].get(target, 0) | kind
        self._reasons.setdefault(Step(source, target, kind), reason)

    def reason(self, step: Step) -> str:
        """Why a transaction comes before another."""
        return self._reasons.get(step, "the one had ended before the other began")

    def add_real_time(self, intervals: Sequence[tuple[int, int | None]]) -> None:
        """Adds the order in time.

        Args:
            intervals: begin and end of each transaction; an end of None is never.
        """
        ends = sorted((end, node) for node, (_, end) in enumerate(intervals) if end is not None)
        begins = sorted((begin, node) for node, (begin, _) in enumerate(intervals))
        moment, at = -1, 0
        for begin, node in begins:
            while at < len(ends) and ends[at][0] < begin:
                before, moment = moment, len(self.edges)
                self.edges.append({})
                self.edges[ends[at][1]][moment] = RT
                if before >= 0:
                    self.edges[before][moment] = RT
                at += 1
            if moment >= 0:
                self.edges[moment][node] = self.edges[moment].get(node, 0) | RT

    def components(self, mask: int) -> list[list[int]]:
        """Returns the strongly connected components of more than one node over edges of some kinds (Tarjan, 1972)."""
        index: list[int] = [-1] * len(self.edges)
        low = [0] * len(self.edges)
        on_stack = [False] * len(self.edges)
        stack: list[int] = []
        found: list[list[int]] = []
        count = 0
        for root in range(len(self.edges)):
            if index[root] >= 0:
                continue
            work: list[tuple[int, Iterator[int]]] = [(root, self._targets(root, mask))]
            index[root] = low[root] = count
            count += 1
            stack.append(root)
            on_stack[root] = True
            while work:
                node, targets = work[-1]
                for target in targets:
                    if index[target] < 0:
                        index[target] = low[target] = count
                        count += 1
                        stack.append(target)
                        on_stack[target] = True
                        work.append((target, self._targets(target, mask)))
                        break
                    if on_stack[target]:
                        low[node] = min(low[node], index[target])
                else:
                    work.pop()
                    if work:
                        low[work[-1][0]] = min(low[work[-1][0]], low[node])
                    if low[node] == index[node]:
                        found.append(_pop_component(stack, on_stack, node))
        return [component for component in found if len(component) > 1]

    def _targets(self, node: int, mask: int) -> Iterator[int]:
        return (target for target, kinds in self.edges[node].items() if kinds & mask)

    def shortest_cycle(self, first: int, rest: int, *, must_have: int = 0) -> list[Step] | None:
        """Returns a short cycle of one edge of kind `first` and others of the kinds `rest`; None where there is none.

        It is the shortest where the search ends within its bound of nodes.

        Args:
            first: one kind.
            rest: kinds.
            must_have: kinds of which the rest of the cycle must have one.
        """
        best: list[Step] | None = None
        budget = _VISITS_MAX
        for component in self.components(first | rest):
            inside = set(component)
            for source in component:
                for target, kinds in self.edges[source].items():
                    if not kinds & first or target not in inside or budget <= 0:
                        continue
                    longest = len(best) - 2 if best else len(self.edges)
                    path, visits = self._path(target, source, rest, inside, longest)
                    budget -= visits
                    if path and (not must_have or any(step.kind & must_have for step in path)):
                        best = [Step(source, target, first), *path]
                        if len(best) == 2:
                            return best
        return best

    def _path(self, start: int, goal: int, mask: int, inside: set[int], longest: int) -> tuple[list[Step], int]:
        """A shortest path within a component, moments at no cost, and how many nodes were looked at."""
        came: dict[int, int] = {start: -1}
        cost = {start: 0}
        queue = deque([start])
        while queue:
            node = queue.popleft()
            if node == goal:
                return self._steps(came, goal, mask), len(came)
            for target in self._targets(node, mask):
                step = 0 if target >= self.transactions else 1
                total = cost[node] + step
                if target in inside and total <= longest and total < cost.get(target, total + 1):
                    cost[target], came[target] = total, node
                    (queue.append if step else queue.appendleft)(target)
        return [], len(came)

    def _steps(self, came: dict[int, int], goal: int, mask: int) -> list[Step]:
        nodes = [goal]
        while came[nodes[-1]] >= 0:
            nodes.append(came[nodes[-1]])
        steps: list[Step] = []
        source = nodes[-1]
        for before, node in zip(nodes[:0:-1], nodes[-2::-1], strict=True):
            if node >= self.transactions:
                continue
            kinds = self.edges[before][node] & mask
            kind = RT if before >= self.transactions else kinds & -kinds
            steps.append(Step(source, node, kind))
            source = node
        return steps


def _pop_component(stack: list[int], on_stack: list[bool], root: int) -> list[int]:
    component: list[int] = []
    while not component or component[-1] != root:
        node = stack.pop()
        on_stack[node] = False
        component.append(node)
    return component
