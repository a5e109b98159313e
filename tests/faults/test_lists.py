"""Every anomaly that the check of transactions names, in the smallest history that has it; and histories without."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from typing import Any

import pytest

from tests.faults import lists
from tests.faults.history import Operation, Outcome
from tests.faults.made import History, transactions
from tests.rounds import rounds


def names(history: Iterable[Operation]) -> set[str]:
    return {anomaly.name for anomaly in lists.check(history)}


#: Rows of begin, end, outcome and moves. All of them overlap unless the anomaly is one of real time.
BROKEN: dict[str, tuple[tuple[Any, ...], ...]] = {
    "G0": (
        (0, 10, "ok", "append x 1", "append y 1001"),
        (0, 10, "ok", "append x 2", "append y 1002"),
        (0, 10, "ok", "read x 1 2"),
        (0, 10, "ok", "read y 1002 1001"),
    ),
    "G1a": ((0, 10, "fail", "append x 1"), (0, 10, "ok", "read x 1")),
    "G1b": ((0, 10, "ok", "append x 1 2"), (0, 10, "ok", "read x 1"), (0, 10, "ok", "read x 1 2")),
    "G1c": (
        (0, 10, "ok", "append x 1", "read y 2"),
        (0, 10, "ok", "append y 2", "read x 1"),
    ),
    "G-single": (
        (0, 10, "ok", "append x 1", "append y 2"),
        (0, 10, "ok", "read x 1", "read y"),
        (0, 10, "ok", "read x 1", "read y 2"),
    ),
    "G2": (
        (0, 10, "ok", "read x", "read y", "append x 1"),
        (0, 10, "ok", "read x", "read y", "append y 2"),
        (0, 10, "ok", "read x 1", "read y 2"),
    ),
    "lost update": (
        (0, 10, "ok", "read x", "append x 1"),
        (0, 10, "ok", "read x", "append x 2"),
        (0, 10, "ok", "read x 1 2"),
    ),
    "G0-realtime": (
        (0, 1, "ok", "append x 1"),
        (2, 3, "ok", "append x 2"),
        (0, 9, "ok", "read x 2 1"),
    ),
    "G1c-realtime": (
        (0, 1, "ok", "read x 1"),
        (2, 3, "ok", "append x 1"),
    ),
    "G-single-realtime": (
        (0, 1, "ok", "append x 1"),
        (2, 3, "ok", "read x"),
        (0, 9, "ok", "read x 1"),
    ),
    "G2-realtime": (
        (0, 9, "ok", "read x", "append z 5"),
        (0, 1, "ok", "append x 1"),
        (2, 3, "ok", "read y"),
        (0, 9, "ok", "append y 2", "read z"),
        (0, 9, "ok", "read x 1"),
        (0, 9, "ok", "read y 2"),
        (0, 9, "ok", "read z 5"),
    ),
    "a value that nobody wrote": ((0, 10, "ok", "read x 7"),),
    "a value that is there twice": ((0, 10, "ok", "append x 1"), (0, 10, "ok", "read x 1 1")),
    "reads that do not go together": (
        (0, 10, "ok", "append x 1"),
        (0, 10, "ok", "append x 2"),
        (0, 10, "ok", "read x 1 2"),
        (0, 10, "ok", "read x 2"),
    ),
    "lost append": ((0, 1, "ok", "append x 1"), (2, 3, "ok", "read x")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_anomaly_is_found_by_its_name(name: str) -> None:
    found = lists.check(transactions(*BROKEN[name]))
    assert name in {anomaly.name for anomaly in found}, lists.report(found)
    assert name in lists.report(found)


#: What is found beside the anomaly itself says the same in other words.
@pytest.mark.parametrize("name", ["G0", "G1a", "G1c", "G-single", "G2", "G0-realtime", "G1c-realtime"])
def test_an_anomaly_is_not_taken_for_another(name: str) -> None:
    assert names(transactions(*BROKEN[name])) == {name}


FINE: dict[str, tuple[tuple[Any, ...], ...]] = {
    "one after the other": (
        (0, 1, "ok", "append x 1", "append y 2"),
        (2, 3, "ok", "read x 1", "read y 2"),
        (4, 5, "ok", "read x 1", "append x 3"),
        (6, 7, "ok", "read x 1 3"),
    ),
    "at the same time, in either order": (
        (0, 10, "ok", "append x 1"),
        (0, 10, "ok", "read x"),
        (0, 10, "ok", "read x 1"),
    ),
    "unknown, and it took effect": ((0, 1, "info", "append x 1"), (2, 3, "ok", "read x"), (4, 5, "ok", "read x 1")),
    "unknown, and it did not": ((0, 1, "info", "append x 1"), (2, 3, "ok", "read x")),
    "refused, and nobody saw it": ((0, 1, "fail", "append x 1"), (2, 3, "ok", "read x")),
    "both values of one append": ((0, 10, "ok", "append x 1 2"), (0, 10, "ok", "read x 1 2")),
    "its own write": ((0, 10, "ok", "read x", "append x 1"), (0, 10, "ok", "read x 1")),
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_right_is_not_complained_of(name: str) -> None:
    assert lists.report(lists.check(transactions(*FINE[name]))) == ""


def test_half_of_a_transaction_of_unknown_outcome_is_found() -> None:
    # Somebody saw its x, so that it took effect; a later read of y does not see it.
    history = transactions(
        (0, 1, "info", "append x 1", "append y 2"), (0, 9, "ok", "read x 1"), (10, 11, "ok", "read y")
    )
    assert "G-single-realtime" in names(history)


def test_a_cycle_is_told_with_a_reason_for_each_edge() -> None:
    (found,) = lists.check(transactions(*BROKEN["G-single"]))
    assert found.told.splitlines() == [
        "2 transactions, each of which has to come before the next",
        "  transaction 1.1 (0.0 to 10.0 ms, ok): read x [1]; read y []",
        "    rw → transaction 0.0: read y without the 2 that the other appended",
        "  transaction 0.0 (0.0 to 10.0 ms, ok): append x [1]; append y [2]",
        "    wr → transaction 1.1: appended 1 to x, which the other read",
    ]


def test_the_cycle_that_is_told_is_the_shortest() -> None:
    # A cycle of three writers beside one of two.
    history = transactions(
        (0, 10, "ok", "append a 1", "append c 6"),
        (0, 10, "ok", "append a 2", "append b 3"),
        (0, 10, "ok", "append b 4", "append c 5"),
        (0, 10, "ok", "append x 7", "append y 8"),
        (0, 10, "ok", "append x 9", "append y 10"),
        (0, 10, "ok", "read a 1 2", "read b 3 4", "read c 5 6"),
        (0, 10, "ok", "read x 7 9", "read y 10 8"),
    )
    (found,) = [anomaly for anomaly in lists.check(history) if anomaly.name == "G0"]
    assert found.told.startswith("2 transactions")


def simulated(count: int, seed: int) -> list[Operation]:
    """A history of a store that carries out one transaction at a time, with many clients and some lost answers."""
    dice = random.Random(seed)
    history, state, now = History("lists"), dict[str, list[int]](), 0.0
    for number in range(count):
        now += dice.random() * 0.2
        keys = dice.sample([f"{number // 500}-{slot}" for slot in range(6)], dice.randint(1, 4))
        begin, end = now - dice.random() * 3, now + dice.random() * 3
        if dice.random() < 0.5:
            moves: list[Any] = [("append", key, [number * 10 + at]) for at, key in enumerate(keys)]
            outcomes: list[Outcome] = [*["ok"] * 20, "info", "fail"]  # type: ignore[list-item]  # - literals
            outcome = dice.choice(outcomes)
            if outcome == "ok" or (outcome == "info" and dice.random() < 0.5):
                for _, key, values in moves:
                    state.setdefault(key, []).extend(values)
            history.add(begin, end, "append", outcome, asked=moves, got=moves)
        else:
            read = [("read", key, list(state.get(key, []))) for key in keys]
            history.add(begin, end, "read", asked=[(kind, key, None) for kind, key, _ in read], got=read)
    return history.operations


def test_a_right_store_is_found_right_whatever_the_seed(seed: int) -> None:
    for round_seed in range(seed, seed + 5):
        assert lists.report(lists.check(simulated(2_000, round_seed))) == "", f"seed {round_seed}"


@pytest.mark.alone
def test_100_000_transactions_are_checked_within_a_minute(seed: int) -> None:
    count = rounds(20_000, 100_000)
    history = simulated(count, seed)
    begin_s = time.monotonic()
    assert lists.report(lists.check(history)) == ""
    assert time.monotonic() - begin_s < 60 * count / 100_000
