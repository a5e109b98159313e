"""The search for candidates in one tree: which providers meet all wants of a request together.

A depth-first search, one want after another, that yields as it finds. It goes nowhere twice in vain: a state below
which nothing was found is remembered, so that the orders in which the same providers can be chosen are not all tried;
and when it has failed a few times, it asks before each step whether the wants that are left can be spread over what is
left at all. An answer that is wanted up to a limit therefore costs about what it holds.

A tree is read from the fleet when the search in it begins, and not again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Final

from tenet.placement.fleet.conditions import (
    Apart,
    Condition,
    OnePerTree,
    Room,
    SameSubtree,
    SomeLocal,
    TraitsTogether,
)
from tenet.placement.fleet.fleet import Fleet
from tenet.placement.fleet.wants import Want, Wanted
from tenet.placement.model import SHARES, Provider
from tenet.placement.rules.candidate_answers import Candidate
from tenet.placement.rules.candidate_requests import CandidateRequest
from tenet.placement.rules.capabilities import Comparison

#: After so many dead ends it is worth asking ahead.
_DEAD_ENDS_MAX: Final = 8
#: So many states without a way out are remembered.
_DEAD_STATES_MAX: Final = 100_000
#: After so many dead ends in a row a tree is given up: half a second of CPU or so.
FRUITLESS_MAX: Final = 5000
#: So many dead ends without a candidate a search may meet in all its trees, after which it gives each up early.
_FRUITLESS_OF_ALL: Final = 4 * FRUITLESS_MAX
_FRUITLESS_AT_LAST: Final = 100
#: After so many dead ends others may have their turn: some milliseconds.
_DEAD_ENDS_A_TURN: Final = 50


class Effort:
    """What a search has spent in vain, over all its trees."""

    __slots__ = ("fruitless",)

    def __init__(self) -> None:
        #: Dead ends since the last candidate.
        self.fruitless = 0

    @property
    def in_a_row_max(self) -> int:
        """How many dead ends in a row the tree that is searched now may have."""
        return FRUITLESS_MAX if self.fruitless < _FRUITLESS_OF_ALL else _FRUITLESS_AT_LAST


def search_tree(
    fleet: Fleet, wanted: Wanted, request: CandidateRequest, anchor: int, *, is_pure: bool, effort: Effort
) -> Iterator[Candidate | None]:
    """Searches for the candidates that an anchor has.

    Args:
        fleet: where the tree stands.
        wanted: what is wanted of the fleet.
        request: what was asked for.
        anchor: the place of the tree's root.
        is_pure: whether candidates are wanted that take from sharing providers alone, which other anchors have as well;
            otherwise all others are.
        effort: of the whole search.

    Yields:
        Each candidate once; None now and then, where nothing was found for a while.
    """
    if len(wanted.wants) == 1 and not (fleet.has_trees or fleet.sharing or wanted.together or request.same_subtree):
        # Each provider is a tree by itself, and the anchors are those that meet the want.
        yield _alone(wanted.wants[0], fleet.at(anchor))
        return
    choices = _choices_at(fleet, wanted, anchor, is_pure=is_pure)
    if len(choices) == 1 and not (fleet.sharing or wanted.together or request.same_subtree):
        # Nothing has to hold among the providers of a candidate that has one alone.
        for provider in [fleet.at(place) for place in choices[0]]:
            yield _alone(wanted.wants[0], provider)
    elif all(choices):
        tree = _Tree(fleet, wanted, request, choices, is_pure=is_pure)
        for chosen in tree.walk.steps(effort):
            yield None if chosen is None else tree.candidate(chosen)


def _choices_at(fleet: Fleet, wanted: Wanted, anchor: int, *, is_pure: bool) -> list[list[int]]:
    """Returns for each want the places that it can be met at."""
    members, shared = sorted(fleet.members(anchor)), set[int]()
    if any(want.shared for want in wanted.wants):
        shared = fleet.shared_with(anchor).difference(members)
    if is_pure:
        members = [place for place in members if place in fleet.sharing]
    return [[place for place in members if want.own[place]] + sorted(shared & want.shared) for want in wanted.wants]


def _alone(want: Want, provider: Provider) -> Candidate:
    allocations = {provider.uuid: dict(want.amounts)} if want.amounts else {}
    roots = frozenset((provider.root,)) if want.amounts else frozenset[str]()
    return Candidate(allocations, {want.suffix: (provider.uuid,)}, roots)


class _Tree:
    """One tree, with those that share with it, as it was when the search in it began.

    Args:
        fleet: where it stands.
        wanted: what is wanted of the fleet.
        request: what was asked for.
        choices: by want, the places that it can be met at; none empty.
        is_pure: as ``search_tree`` has it.
    """

    def __init__(
        self, fleet: Fleet, wanted: Wanted, request: CandidateRequest, choices: list[list[int]], *, is_pure: bool
    ) -> None:
        self._wants = wanted.wants
        self._providers = {place: fleet.at(place) for places in choices for place in places}
        self._order = _order_of(wanted.wants, choices)
        self._fleet = fleet
        ordered = [choices[index] for index in self._order]
        self.walk = Walk(ordered, list(self._conditions(wanted, request, ordered, is_pure=is_pure)))

    def _conditions(
        self, wanted: Wanted, request: CandidateRequest, choices: Sequence[Sequence[int]], *, is_pure: bool
    ) -> Iterator[Condition]:
        """Returns what has to hold here, cheap to ask first. What cannot fail is left out."""
        wants = [self._wants[index] for index in self._order]
        if not is_pure and any(SHARES in provider.traits for provider in self._providers.values()):
            local = {place for place, provider in self._providers.items() if SHARES not in provider.traits}
            yield SomeLocal(local, choices)
        if request.isolate:
            yield Apart([bool(want.suffix) for want in wants])
        if request.one_per_tree:
            roots = {place: provider.root for place, provider in self._providers.items()}
            yield OnePerTree(roots, [bool(want.amounts) for want in wants])
        if wanted.together:
            having = {place: _bits(provider, wanted.together) for place, provider in self._providers.items()}
            yield TraitsTogether(having, [not want.suffix for want in wants], choices, len(wanted.together))
        above: dict[int, int | None] = {}
        for suffixes in request.same_subtree:
            above = above or _above(self._fleet, self._providers)
            yield SameSubtree(above, [want.suffix in suffixes for want in wants], choices)
        contended = _contended(wants)
        if contended:
            amounts = [{name: want.amounts[name] for name in contended & want.amounts.keys()} for want in wants]
            yield Room(amounts, self._left(contended))

    def _left(self, classes: set[str]) -> dict[tuple[int, str], int]:
        left = {}
        for place, provider in self._providers.items():
            used = self._fleet.used(place)
            for name in classes & provider.inventories.keys():
                inventory = provider.inventories[name]
                left[place, name] = min(inventory.capacity - used.get(name, 0), inventory.max_unit)
        return left

    def candidate(self, chosen: Sequence[int]) -> Candidate:
        """Returns what has been chosen as a candidate.

        Args:
            chosen: by step, a place.
        """
        places = dict(zip(self._order, chosen, strict=True))
        allocations: dict[str, dict[str, int]] = {}
        mappings: dict[str, list[str]] = {}
        roots = set()
        for index, want in enumerate(self._wants):
            provider = self._providers[places[index]]
            met = mappings.setdefault(want.suffix, [])
            if provider.uuid not in met:
                met.append(provider.uuid)
            if want.amounts:
                roots.add(provider.root)
                taken = allocations.setdefault(provider.uuid, {})
                for name, amount in want.amounts.items():
                    taken[name] = taken.get(name, 0) + amount
        return Candidate(allocations, {suffix: tuple(met) for suffix, met in mappings.items()}, frozenset(roots))


def _order_of(wants: Sequence[Want], choices: Sequence[Sequence[int]]) -> list[int]:
    """Returns in which order wants are met: fewest choices first, then largest amounts; those of a group together."""
    fewest: dict[str, int] = {}
    largest: dict[str, int] = {}
    for want, places in zip(wants, choices, strict=True):
        fewest[want.suffix] = min(fewest.get(want.suffix, len(places)), len(places))
        largest[want.suffix] = max(largest.get(want.suffix, 0), *want.amounts.values(), 0)
    return sorted(
        range(len(wants)),
        key=lambda index: (
            fewest[wants[index].suffix],
            -largest[wants[index].suffix],
            wants[index].suffix,
            len(choices[index]),
        ),
    )


def _contended(wants: Sequence[Want]) -> set[str]:
    """Returns the classes that several wants ask for. Any other was found to fit where it is asked for."""
    asked = [name for want in wants for name in want.amounts]
    return {name for name in asked if asked.count(name) > 1}


def _bits(provider: Provider, wanted: Sequence[frozenset[str] | Comparison]) -> int:
    return sum(1 << bit for bit, one in enumerate(wanted) if _has(provider, one))


def _has(provider: Provider, one: frozenset[str] | Comparison) -> bool:
    if isinstance(one, Comparison):
        return one.is_met(provider.capabilities.get(one.name))
    return not one.isdisjoint(provider.traits)


def _above(fleet: Fleet, places: Iterable[int]) -> dict[int, int | None]:
    """Returns the place right above each of some places and above all that they descend from, as far as it is known.

    What was heard of in another order than it happened may seem to stand above itself; it ends there.
    """
    found: dict[int, int | None] = {}
    for start in places:
        way: set[int] = set()
        place: int | None = start
        while place is not None and place not in found:
            way.add(place)
            parent = fleet.at(place).parent
            above = None if parent is None else fleet.place(parent)
            found[place] = None if above in way else above
            place = found[place]
    return found


class Walk:
    """A depth-first search through choices, step by step.

    Args:
        choices: by step, what may be chosen; none empty.
        conditions: what has to hold among what is chosen.
    """

    def __init__(self, choices: Sequence[Sequence[int]], conditions: Sequence[Condition]) -> None:
        self._choices = choices
        self._conditions = conditions
        self._looking_ahead = [condition for condition in conditions if isinstance(condition, (Room, Apart))]
        self._dead: set[Hashable] = set()
        self._dead_ends = 0
        self._fruitless = 0
        self._kinds: dict[int, Hashable] = {}

    def results(self) -> Iterator[Sequence[int]]:
        """Returns the ways to choose for every step so that the conditions hold; see ``steps``."""
        return (chosen for chosen in self.steps(Effort()) if chosen is not None)

    def steps(self, effort: Effort) -> Iterator[Sequence[int] | None]:
        """Returns the ways to choose for every step so that the conditions hold; each is read before the next.

        All of them, unless ``FRUITLESS_MAX`` dead ends in a row lie between two: spreading different amounts over
        different rooms is bin packing, and a request can be made that nobody could answer in a lifetime.

        Args:
            effort: of the whole search, whose tree may be one of many.

        Yields:
            What was chosen, by step; None after some dead ends.
        """
        most = effort.in_a_row_max
        steps = len(self._choices)
        chosen: list[int] = []
        # By step: which choice is next, and whether anything was found below.
        turns, found = [0] * (steps + 1), [False] * (steps + 1)
        while self._fruitless < most:
            step = len(chosen)
            if step == steps:
                yield chosen
                found[step] = True
                self._fruitless = effort.fruitless = 0
            elif self._go_down(step, turns, chosen):
                turns[step + 1], found[step + 1] = 0, False
                continue
            if not step:
                return
            if not found[step]:
                self._note_dead_end(chosen)
                effort.fruitless += 1
                if not self._fruitless % _DEAD_ENDS_A_TURN:
                    yield None
            found[step - 1] |= found[step]
            self._give_back(step - 1, chosen.pop())

    def _go_down(self, step: int, turns: list[int], chosen: list[int]) -> bool:
        """Makes the next choice of a step that can be made; False where there is none."""
        if turns[step] == 0 and self._is_dead(chosen):
            return False
        choices = self._choices[step]
        while turns[step] < len(choices):
            place = choices[turns[step]]
            turns[step] += 1
            if self._take(step, place):
                chosen.append(place)
                return True
        return False

    def _take(self, step: int, place: int) -> bool:
        for number, condition in enumerate(self._conditions):
            if not condition.take(step, place):
                for earlier in reversed(self._conditions[:number]):
                    earlier.give_back(step, place)
                return False
        return True

    def _give_back(self, step: int, place: int) -> None:
        for condition in reversed(self._conditions):
            condition.give_back(step, place)

    def _is_dead(self, chosen: Sequence[int]) -> bool:
        """Whether it is known that nothing can be found below what has been chosen."""
        if chosen:
            if not self._dead_ends:
                return False
            if self._state(chosen) in self._dead:
                return True
            if self._dead_ends <= _DEAD_ENDS_MAX:
                return False
        return not all(condition.can_go_on(len(chosen), self._choices) for condition in self._looking_ahead)

    def _note_dead_end(self, chosen: Sequence[int]) -> None:
        self._dead_ends += 1
        self._fruitless += 1
        if len(self._dead) < _DEAD_STATES_MAX:
            self._dead.add(self._state(chosen))

    def _state(self, chosen: Sequence[int]) -> Hashable:
        """Returns what has been chosen, as far as it matters for what follows.

        Places that differ in nothing are told apart by nothing: what fails with one of them fails with the other.
        """
        if not self._kinds:
            self._kinds = self._kinds_of_places()
        touched = Counter(
            (self._kinds[place], *(condition.at(place) for condition in self._conditions)) for place in set(chosen)
        )
        return len(chosen), frozenset(touched.items()), *(condition.state() for condition in self._conditions)

    def _kinds_of_places(self) -> dict[int, Hashable]:
        steps: dict[int, list[int]] = {}
        for step, choices in enumerate(self._choices):
            for place in choices:
                steps.setdefault(place, []).append(step)
        return {
            place: (tuple(bound), *(condition.kind(place) for condition in self._conditions))
            for place, bound in steps.items()
        }
