"""All checkers at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults import bank, linearizability, lists
from tests.faults.history import Operation


@dataclass(frozen=True)
class Verdict:
    """What the checkers found in a history; nothing, where it is one that a right store can have.

    Args:
        transactions: anomalies of transactions over lists.
        unexplained: registers and counters that are not linearizable, or undecided.
        bank: what is wrong with the bank.
        unfinished: last looks that got no answer, so that something lost could have gone unnoticed.
    """

    transactions: tuple[lists.Anomaly, ...]
    unexplained: tuple[linearizability.Unexplained, ...]
    bank: tuple[str, ...]
    unfinished: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """Whether nothing was found."""
        return not (self.transactions or self.unexplained or self.bank or self.unfinished)

    @property
    def names(self) -> set[str]:
        """What was found, in a word each."""
        workloads = {one.key.split("-")[0] for one in self.unexplained}
        return {one.name for one in self.transactions} | workloads | ({"bank"} if self.bank else set())

    def __str__(self) -> str:
        parts = [
            lists.report(self.transactions),
            linearizability.report(self.unexplained),
            "\n".join(f"bank: {problem}" for problem in self.bank[:5]),
            "\n".join(self.unfinished[:5]),
        ]
        return "\n".join(part for part in parts if part) or "nothing wrong was found"


def judge(history: Sequence[Operation], *, pictures: Path | None = None) -> Verdict:
    """Lets every checker look at a history.

    Args:
        history: operations of a whole run, by their begin.
        pictures: a folder for a page about each register and counter that is not linearizable; None for none.
    """
    unseen = [one for one in history if one.is_last_look and one.outcome != "ok"]
    unfinished = [f"the last look at {one.workload} ({one.kind} {one.key}) got {one.error}" for one in unseen]
    return Verdict(
        tuple(lists.check(history)),
        tuple(linearizability.check(history, pictures=pictures)),
        tuple(bank.check(history)),
        tuple(unfinished),
    )
