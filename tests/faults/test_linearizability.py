"""What the check of registers and counters lets pass, and what it does not."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.faults.history import Operation
from tests.faults.linearizability import check, report
from tests.faults.made import History
from tests.rounds import rounds

REFUSED = "ConditionalCheckFailedException"


def registers() -> History:
    return History("registers")


def is_linearizable(history: History) -> bool:
    found = check(history.operations)
    assert all(one.verdict == "not linearizable" for one in found)
    return not found


def test_reads_of_what_was_written() -> None:
    history = registers()
    history.add(0, 1, "read", key="x", got=None)
    history.add(2, 3, "write", key="x", asked=1)
    history.add(4, 5, "read", key="x", got=1)
    history.add(6, 7, "cas", key="x", asked=[1, 2])
    history.add(8, 9, "cas", "fail", key="x", asked=[1, 3], got=2, error=REFUSED)
    assert is_linearizable(history)


@pytest.mark.parametrize(
    ("kind", "outcome", "more"),
    [
        ("read", "ok", {"got": 1}),  # stale
        ("read", "ok", {"got": None}),  # lost
        ("read", "ok", {"got": 7}),  # never written
        ("cas", "ok", {"asked": [1, 3]}),  # on a condition that did not hold
        ("cas", "fail", {"asked": [2, 3], "got": 1, "error": REFUSED}),  # refused by what was overwritten
        ("cas", "fail", {"asked": [2, 3], "got": 2, "error": REFUSED}),  # refused though it held
    ],
)
def test_a_wrong_answer_is_found(kind: str, outcome: str, more: dict[str, object]) -> None:
    history = registers()
    history.add(0, 1, "write", key="x", asked=1)
    history.add(2, 3, "write", key="x", asked=2)
    history.add(4, 5, kind, outcome, key="x", **more)  # type: ignore[arg-type]  # - as the rows have it
    assert not is_linearizable(history)


def test_what_overlaps_may_come_in_any_order_but_in_one() -> None:
    history = registers()
    history.add(0, 10, "write", key="x", asked=1)
    history.add(0, 10, "write", key="x", asked=2)
    history.add(1, 2, "read", key="x", got=1)
    history.add(3, 4, "read", key="x", got=2)
    assert is_linearizable(history)
    history.add(5, 6, "read", key="x", got=1)
    assert not is_linearizable(history)


def test_a_write_of_unknown_outcome_may_land_later_or_never_but_once() -> None:
    history = registers()
    history.add(0, 1, "write", "info", key="x", asked=1)
    history.add(2, 3, "read", key="x", got=None)
    history.add(4, 5, "write", key="x", asked=2)
    assert is_linearizable(history)
    history.add(6, 7, "read", key="x", got=1)
    assert is_linearizable(history)
    history.add(8, 9, "write", key="x", asked=3)
    history.add(10, 11, "read", key="x", got=1)
    assert not is_linearizable(history)


def test_each_attempt_without_an_answer_may_land_by_itself() -> None:
    # The SDK sent it twice; the first one may come after everything else.
    history = registers()
    history.add(0, 3, "write", key="x", asked=1, earlier=((0, 1, "unknown"),))
    history.add(4, 5, "write", key="x", asked=2)
    history.add(6, 7, "read", key="x", got=1)
    assert is_linearizable(history)
    refused_first = registers()
    refused_first.add(0, 3, "write", key="x", asked=1, earlier=((0, 1, "refused"),))
    refused_first.add(4, 5, "write", key="x", asked=2)
    refused_first.add(6, 7, "read", key="x", got=1)
    assert not is_linearizable(refused_first)


def test_a_condition_refused_by_its_own_first_attempt() -> None:
    history = registers()
    history.add(0, 1, "write", key="x", asked=1)
    history.add(2, 6, "cas", "fail", key="x", asked=[1, 2], got=2, error=REFUSED, earlier=((2, 3, "unknown"),))
    history.add(7, 8, "read", key="x", got=2)
    assert is_linearizable(history)


def test_a_write_that_was_refused_for_want_of_room_has_no_effect() -> None:
    history = registers()
    history.add(0, 1, "write", "fail", key="x", asked=1, error="ThrottlingException")
    history.add(2, 3, "read", key="x", got=None)
    assert is_linearizable(history)
    history.add(4, 5, "read", key="x", got=1)
    assert not is_linearizable(history)


def test_counters_count_each_add_once() -> None:
    history = History("counters")
    history.add(0, 1, "add", key="x", asked=2, got=2)
    history.add(2, 3, "add", "info", key="x", asked=5)
    history.add(4, 5, "read", key="x", got=2)
    history.add(6, 7, "add", key="x", asked=1, got=8)
    assert is_linearizable(history)
    history.add(8, 9, "read", key="x", got=13)
    assert not is_linearizable(history)


def test_an_add_that_is_lost_is_found() -> None:
    history = History("counters")
    history.add(0, 1, "add", key="x", asked=2, got=2)
    history.add(2, 3, "add", key="x", asked=2, got=2)
    assert not is_linearizable(history)


def test_a_finding_says_what_could_not_follow_and_draws_it(tmp_path: Path) -> None:
    history = registers()
    history.add(0, 1, "write", key="x", asked=1)
    history.add(2, 3, "read", key="x", got=None)
    history.add(0, 1, "write", key="y", asked=1)
    (found,) = check(history.operations, pictures=tmp_path)
    assert found.key == "registers-x"
    told = report([found])
    assert "0.0 wrote 1" in told
    assert "1.1 read nothing" in told
    assert "<html" in Path(found.picture).read_text(encoding="utf-8").lower()


def simulated(count: int, seed: int) -> list[Operation]:
    """A history of a right store with many clients, lost answers and attempts that land late."""
    dice = random.Random(seed)
    history, state, now = registers(), dict[str, int | None](), 0.0
    late: list[tuple[str, int]] = []
    for number in range(1, count + 1):
        now += dice.random()
        key = f"{number // 400}-{dice.randrange(4)}"
        begin, end, roll = now - dice.random() * 5, now + dice.random() * 5, dice.random()
        if late and dice.random() < 0.05:
            late_key, value = late.pop()
            state[late_key] = value
        if roll < 0.5:
            history.add(begin, end, "read", key=key, got=state.get(key))
        elif roll < 0.99:
            state[key] = number
            history.add(begin, end, "write", key=key, asked=number)
        else:
            late.append((key, number))
            history.add(begin, end, "write", "info", key=key, asked=number)
    return history.operations


def test_a_right_store_is_found_right_whatever_the_seed(seed: int) -> None:
    for round_seed in range(seed, seed + 5):
        assert report(check(simulated(2_000, round_seed))) == "", f"seed {round_seed}"


@pytest.mark.alone
def test_100_000_operations_are_checked_within_a_minute(seed: int) -> None:
    count = rounds(20_000, 100_000)
    history = simulated(count, seed)
    begin_s = time.monotonic()
    assert report(check(history)) == ""
    assert time.monotonic() - begin_s < 60 * count / 100_000
