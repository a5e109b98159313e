"""Numbers that are drawn: the same from the same seed, each as likely; and searches that begin at any tree alike."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.placement.fleet.candidates import find
from tenet.placement.model import Inventory
from tenet.placement.selection.drawing import Draws
from tests.unit.placement.test_candidates import fleet_of, host, read


def test_they_are_those_of_the_source() -> None:
    """The first numbers of SplitMix64 from seed 1234567, as published with its reference implementation."""
    draws = Draws(1234567)
    first = [draws.below(2**64) for _ in range(3)]
    assert first == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(st.integers(), st.integers(1, 2**53))
def test_they_are_below_their_bound_and_the_same_again(seed: int, bound: int) -> None:
    one, other = Draws(seed), Draws(seed)
    drawn = [one.below(bound) for _ in range(5)]
    assert drawn == [other.below(bound) for _ in range(5)]
    assert all(0 <= number < bound for number in drawn)


@pytest.mark.parametrize("bound", [2, 7, 40])
def test_each_is_as_likely_as_any_other(bound: int) -> None:
    """Also over seeds that follow each other, as those of tries do."""
    for counts in (
        Counter(Draws(seed).below(bound) for seed in range(8_000)),
        Counter(map(Draws(9).below, [bound] * 8_000)),
    ):
        expected = 8_000 / bound
        deviation = sum((counts[number] - expected) ** 2 / expected for number in range(bound))
        # Chi-squared with bound - 1 degrees of freedom is above this once in many thousand times.
        assert deviation < bound - 1 + 5 * np.sqrt(2 * bound)


def test_a_search_begins_at_any_tree_that_will_do_alike() -> None:
    """Also where those that will do lie behind many that are full."""
    full = [host(number, VCPU=Inventory(total=1)) for number in range(1, 101)]
    free = [host(number, VCPU=Inventory(total=8)) for number in (101, 102, 103, 150)]
    fleet = fleet_of([*full[:50], free[0], *full[50:], *free[1:]])
    request = read("resources=VCPU:2")
    first = Counter(next(iter(next(find(fleet, request, turn=turn)).allocations)) for turn in range(400))
    assert first == dict.fromkeys((one.uuid for one in free), 100)


@pytest.mark.parametrize("turn", [0, 1, 5, 6, 7, 10**9])
def test_wherever_it_begins_it_finds_all_once(turn: int) -> None:
    fleet = fleet_of([host(number, VCPU=Inventory(total=8)) for number in range(1, 700)])
    found = [next(iter(one.allocations)) for one in find(fleet, read("resources=VCPU:2"), turn=turn)]
    assert len(found) == len(set(found)) == 699


@pytest.mark.parametrize("turn", [0, 3, 8])
def test_it_goes_on_where_it_was_when_the_fleet_changes(turn: int) -> None:
    providers = [host(number, VCPU=Inventory(total=8)) for number in range(1, 11)]
    fleet = fleet_of(providers)
    seen: list[str] = []
    for candidate in find(fleet, read("resources=VCPU:2"), turn=turn):
        (uuid,) = candidate.allocations
        seen.append(uuid)
        fleet.put(host(100 + len(seen), VCPU=Inventory(total=1)))
    assert sorted(seen) == sorted(one.uuid for one in providers)


def test_nothing_is_found_in_nothing() -> None:
    assert list(find(fleet_of([]), read("resources=VCPU:2"), turn=7)) == []
