"""Whether things can be spread over places at all, each to one that it may go to: a bipartite matching with capacities.

Source: augmenting paths (Kuhn, "The Hungarian Method for the Assignment Problem", 1955), found breadth-first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence


def can_spread(choices: Sequence[Sequence[int]], room: Mapping[int, int]) -> bool:
    """Returns whether every thing finds a place.

    Args:
        choices: of each thing, the places that it may go to.
        room: how many things fit at a place, 0 and more; none where it is missing.
    """
    if len(choices) > sum(room.values()):
        return False
    at: dict[int, list[int]] = {}
    return all(_make_room(thing, choices, room, at) for thing in range(len(choices)))


def _make_room(thing: int, choices: Sequence[Sequence[int]], room: Mapping[int, int], at: dict[int, list[int]]) -> bool:
    """Puts one thing more somewhere, moving others along a shortest chain; False where there is none."""
    came_from: dict[int, int] = {}
    waiting = deque([thing])
    while waiting:
        mover = waiting.popleft()
        for place in choices[mover]:
            if place in came_from or not room.get(place):
                continue
            came_from[place] = mover
            there = at.setdefault(place, [])
            if len(there) < room[place]:
                _move_along(place, thing, came_from, at)
                return True
            waiting.extend(there)
    return False


def _move_along(place: int, thing: int, came_from: Mapping[int, int], at: dict[int, list[int]]) -> None:
    while True:
        mover = came_from[place]
        left = next((other for other in at if mover in at[other]), None) if mover != thing else None
        at[place].append(mover)
        if left is None:
            return
        at[left].remove(mover)
        place = left
