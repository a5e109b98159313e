from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from tenet.placement.fleet.spreading import can_spread

CHOICES = st.lists(st.lists(st.integers(0, 3), unique=True), max_size=5)
ROOM = st.dictionaries(st.integers(0, 3), st.integers(0, 2))


@given(choices=CHOICES, room=ROOM)
def test_it_says_what_trying_everything_says(choices: list[list[int]], room: dict[int, int]) -> None:
    fits = any(all(chosen.count(place) <= room.get(place, 0) for place in chosen) for chosen in product(*choices))
    assert can_spread(choices, room) == fits


def test_many_are_moved_along_a_long_chain() -> None:
    count = 2000
    choices = [[number, number + 1] for number in range(count)] + [[0]]
    assert can_spread(choices, dict.fromkeys(range(count + 1), 1))
    assert not can_spread(choices, dict.fromkeys(range(count), 1))
