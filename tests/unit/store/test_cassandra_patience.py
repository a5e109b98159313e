"""How long is waited for an answer: as long as answers take, within bounds."""

from __future__ import annotations

from random import Random

import pytest

from tenet.store.cassandra.patience import Patience

LEAST_S, MOST_S = 0.25, 2.0


@pytest.fixture
def patience() -> Patience:
    return Patience(LEAST_S, MOST_S)


def test_it_is_the_least_before_anything_is_known_and_where_answers_are_quick(patience: Patience) -> None:
    assert patience.seconds == LEAST_S
    for _ in range(1_000):
        patience.note(0.01)
        assert patience.seconds == LEAST_S


def test_where_all_answers_take_as_long_it_comes_to_that(patience: Patience) -> None:
    for _ in range(1_000):
        patience.note(0.8)
    assert patience.seconds == pytest.approx(0.8, rel=0.01)


def test_it_has_room_for_answers_that_take_longer_than_others(patience: Patience) -> None:
    random = Random(7)
    took = [random.uniform(0.2, 0.6) for _ in range(5_000)]
    late = 0
    for one in took:
        late += one > patience.seconds
        patience.note(one)
    # Mean 0.4, mean deviation 0.1: nothing is late once it is known.
    assert patience.seconds == pytest.approx(0.8, abs=0.15)
    assert late < 50


def test_it_is_never_more_than_the_most_and_comes_back(patience: Patience) -> None:
    for _ in range(1_000):
        patience.note(60.0)
        assert patience.seconds <= MOST_S
    assert patience.seconds == MOST_S
    for _ in range(1_000):
        patience.note(0.001)
    assert patience.seconds == LEAST_S


def test_the_most_is_not_below_the_least() -> None:
    assert Patience(30.0, 5.0).seconds == 30.0
