"""The depth-first search against going through all products, with every condition, alone and together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tenet.placement.fleet.conditions import (
    Apart,
    Condition,
    OnePerTree,
    Room,
    SameSubtree,
    SomeLocal,
    TraitsTogether,
)
from tenet.placement.fleet.trees import Walk
from tests.rounds import examples

PLACES = range(5)
Holds = Callable[[Sequence[int]], bool]


def make_conditions(random: Random, choices: list[list[int]]) -> list[tuple[Condition, Holds]]:
    """Returns conditions, each with what it means for a whole choice."""
    steps = range(len(choices))
    bound = [True] + [random.random() < 0.6 for _ in steps[1:]]
    parents = {place: random.choice((None, *range(place))) for place in PLACES}
    lines = {place: frozenset(_line(parents, place)) for place in PLACES}
    roots = {place: str(min(lines[place])) for place in PLACES}
    amounts = [{name: random.randint(1, 2) for name in "XY" if random.random() < 0.7} for _ in steps]
    left = {(place, name): random.randint(0, 4) for place in PLACES for name in "XY"}
    having = {place: random.choice((0, 1, 2, 2, 3)) for place in PLACES}
    local = {place for place in PLACES if random.random() < 0.4}

    def has_room(chosen: Sequence[int]) -> bool:
        return all(
            sum(amounts[step].get(name, 0) for step in steps if chosen[step] == place) <= most
            for (place, name), most in left.items()
        )

    def of_bound(chosen: Sequence[int]) -> list[int]:
        return [chosen[step] for step in steps if bound[step]]

    def is_subtree(chosen: Sequence[int]) -> bool:
        return any(all(top in lines[place] for place in of_bound(chosen)) for top in of_bound(chosen))

    def has_traits(chosen: Sequence[int]) -> bool:
        return any(having[place] & 1 for place in of_bound(chosen)) and any(
            having[place] & 2 for place in of_bound(chosen)
        )

    def is_one_per_tree(chosen: Sequence[int]) -> bool:
        places = set(of_bound(chosen))
        return len({roots[place] for place in places}) == len(places)

    return [
        (Room(amounts, dict(left)), has_room),
        (Apart(bound), lambda chosen: len(set(of_bound(chosen))) == len(of_bound(chosen))),
        (OnePerTree(roots, bound), is_one_per_tree),
        (TraitsTogether(having, bound, choices, 2), has_traits),
        (SameSubtree(parents, bound, choices), is_subtree),
        (SomeLocal(local, choices), lambda chosen: any(place in local for place in chosen)),
    ]


def _line(parents: dict[int, int | None], place: int) -> list[int]:
    parent = parents[place]
    return [place, *(_line(parents, parent) if parent is not None else ())]


@settings(max_examples=examples(300), deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
# Where a search that remembered too little of what had failed left something out.
@example(seed=980)
@example(seed=985)
@example(seed=1649)
def test_it_finds_what_going_through_all_finds(seed: int) -> None:
    random = Random(seed)
    few = random.sample(PLACES, random.randint(2, 5))
    choices = [random.sample(few, random.choice((len(few), len(few) - 1))) for _ in range(random.randint(1, 6))]
    made = make_conditions(random, choices)
    used = [pair for pair in made if random.random() < 0.5]
    found = [tuple(chosen) for chosen in Walk(choices, [condition for condition, _ in used]).results()]
    expected = [chosen for chosen in product(*choices) if all(holds(chosen) for _, holds in used)]
    assert sorted(found) == sorted(expected)
