"""What has to hold among the providers that are chosen for a request, each condition by itself.

A search chooses a provider for one want after another, its *steps*, and asks the conditions at each. A condition
refuses as soon as it knows that it cannot hold any more whatever else is chosen, so that a search goes nowhere in vain.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Protocol

from tenet.placement.fleet.spreading import can_spread


class Condition(Protocol):
    """Something that has to hold among all that is chosen."""

    def take(self, step: int, place: int, /) -> bool:
        """Takes note of a choice and returns True; where it refuses it, it returns False and takes note of nothing."""

    def give_back(self, step: int, place: int, /) -> None:
        """Forgets the choice that was taken last."""

    def kind(self, place: int, /) -> Hashable:
        """Returns what is particular about a place: of two with the same, one may stand for the other."""

    def at(self, place: int, /) -> Hashable:
        """Returns what later refusals of a place that was chosen depend on."""

    def state(self) -> Hashable:
        """Returns what later refusals depend on besides."""


class Room:
    """No provider is asked for more of a class than it can give, all wants together.

    Args:
        amounts: by step, amounts by class.
        left: what can be claimed at a place of a class: what is free, and no more than one claim may get.
    """

    def __init__(self, amounts: Sequence[Mapping[str, int]], left: dict[tuple[int, str], int]) -> None:
        self._amounts = amounts
        self._left = left
        self._first = dict(left)
        self._names = sorted({name for step in amounts for name in step})

    def take(self, step: int, place: int, /) -> bool:
        """See ``Condition``."""
        amounts = self._amounts[step]
        for name, amount in amounts.items():
            if self._left[place, name] < amount:
                return False
        for name, amount in amounts.items():
            self._left[place, name] -= amount
        return True

    def give_back(self, step: int, place: int, /) -> None:
        """See ``Condition``."""
        for name, amount in self._amounts[step].items():
            self._left[place, name] += amount

    def kind(self, place: int, /) -> Hashable:
        """See ``Condition``."""
        return tuple(self._first.get((place, name)) for name in self._names)

    def at(self, place: int, /) -> Hashable:
        """See ``Condition``."""
        return tuple(self._left.get((place, name)) for name in self._names)

    def state(self) -> Hashable:
        """See ``Condition``."""
        return None

    def fits(self, step: int, place: int) -> bool:
        """Whether a step's amounts can be claimed at a place besides what has been chosen."""
        return all(self._left[place, name] >= amount for name, amount in self._amounts[step].items())

    def can_go_on(self, step: int, choices: Sequence[Sequence[int]]) -> bool:
        """Whether, class by class, the wants from a step on could still be spread; True may be wrong, False is not.

        Args:
            step: the next one.
            choices: by step, the places it may choose.
        """
        wants: dict[str, list[int]] = {}
        for later in range(step, len(choices)):
            for name in self._amounts[later]:
                wants.setdefault(name, []).append(later)
        return all(self._can_spread(name, steps, choices) for name, steps in wants.items())

    def _can_spread(self, name: str, steps: Sequence[int], choices: Sequence[Sequence[int]]) -> bool:
        # Each takes the least amount of all at least, so that no place takes more of them than it has room for that.
        least = min(self._amounts[step][name] for step in steps)
        fitting = [[place for place in choices[step] if self.fits(step, place)] for step in steps]
        return can_spread(fitting, {place: self._left[place, name] // least for places in fitting for place in places})


class Apart:
    """Groups with suffixes come from different providers (``group_policy=isolate``).

    Args:
        bound: by step, whether it is one of such a group.
    """

    def __init__(self, bound: Sequence[bool]) -> None:
        self._bound = bound
        self._taken: set[int] = set()

    def take(self, step: int, place: int, /) -> bool:
        """See ``Condition``."""
        if self._bound[step]:
            if place in self._taken:
                return False
            self._taken.add(place)
        return True

    def give_back(self, step: int, place: int, /) -> None:
        """See ``Condition``."""
        if self._bound[step]:
            self._taken.discard(place)

    def kind(self, _place: int, /) -> Hashable:
        """See ``Condition``."""
        return None

    def at(self, place: int, /) -> Hashable:
        """See ``Condition``."""
        return place in self._taken

    def state(self) -> Hashable:
        """See ``Condition``."""
        return None

    def can_go_on(self, step: int, choices: Sequence[Sequence[int]]) -> bool:
        """Whether the wants from a step on could still go to different providers.

        Args:
            step: the next one.
            choices: by step, the places it may choose.
        """
        free = [
            [place for place in choices[later] if place not in self._taken]
            for later in range(step, len(choices))
            if self._bound[later]
        ]
        return can_spread(free, {place: 1 for places in free for place in places})


class OnePerTree:
    """One provider of a tree at most gives something.

    Args:
        roots: by place, the root of its tree.
        bound: by step, whether something is given.
    """

    def __init__(self, roots: Mapping[int, str], bound: Sequence[bool]) -> None:
        self._roots = roots
        self._bound = bound
        self._taken: dict[str, list[int]] = {}

    def take(self, step: int, place: int, /) -> bool:
        """See ``Condition``."""
        if self._bound[step]:
            taken = self._taken.setdefault(self._roots[place], [])
            if taken and taken[0] != place:
                return False
            taken.append(place)
        return True

    def give_back(self, step: int, place: int, /) -> None:
        """See ``Condition``."""
        if self._bound[step]:
            self._taken[self._roots[place]].pop()

    def kind(self, place: int, /) -> Hashable:
        """See ``Condition``."""
        return self._roots[place]

    def at(self, place: int, /) -> Hashable:
        """See ``Condition``."""
        return place in self._taken.get(self._roots[place], ())

    def state(self) -> Hashable:
        """See ``Condition``."""
        return None


class TraitsTogether:
    """The providers of a group have certain traits among them.

    Args:
        having: by place, a bit for each trait that is wanted.
        bound: by step, whether it is one of the group.
        choices: by step, the places it may choose.
        bits: how many traits are wanted.
    """

    def __init__(
        self, having: Mapping[int, int], bound: Sequence[bool], choices: Sequence[Sequence[int]], bits: int
    ) -> None:
        self._having = having
        self._bound = bound
        self._all = (1 << bits) - 1
        self._had = [0]
        #: By step, what any choice of later steps could have.
        self._later = [0] * len(choices)
        for step in range(len(choices) - 1, 0, -1):
            self._later[step - 1] = self._later[step]
            if bound[step]:
                for place in choices[step]:
                    self._later[step - 1] |= having[place]

    def take(self, step: int, place: int, /) -> bool:
        """See ``Condition``."""
        had = self._had[-1]
        if self._bound[step]:
            had |= self._having[place]
            if had | self._later[step] != self._all:
                return False
        self._had.append(had)
        return True

    def give_back(self, _step: int, _place: int, /) -> None:
        """See ``Condition``."""
        self._had.pop()

    def kind(self, place: int, /) -> Hashable:
        """See ``Condition``."""
        return self._having[place]

    def at(self, _place: int, /) -> Hashable:
        """See ``Condition``."""
        return None

    def state(self) -> Hashable:
        """See ``Condition``."""
        return self._had[-1]


class SameSubtree:
    """The providers of some groups are one of them and descendants of that one.

    What stands above all that were taken is a line up to the root, of which the lowest place says all.

    Args:
        above: by place, the one right above it, which is there too; None at a root.
        bound: by step, whether it is one of the groups.
        choices: by step, the places it may choose.
    """

    def __init__(
        self, above: Mapping[int, int | None], bound: Sequence[bool], choices: Sequence[Sequence[int]]
    ) -> None:
        self._above = above
        self._depths = _depths_of(above)
        self._bound = bound
        self._taken: list[int] = []
        #: After each that was taken, the lowest place that all of them are or descend from; None where there is none.
        self._common: list[int | None] = []
        #: Places that others descend from.
        self._tops = frozenset(above.values())
        #: By step, all that any later step of the groups may choose.
        self._later: list[set[int]] = [set() for _ in choices]
        for step in range(len(choices) - 1, 0, -1):
            self._later[step - 1] = self._later[step] | set(choices[step] if bound[step] else ())

    def take(self, step: int, place: int, /) -> bool:
        """See ``Condition``."""
        if not self._bound[step]:
            return True
        common = self._meeting(self._common[-1], place) if self._common else place
        if common != place and common not in self._taken and not self._is_below(common, self._later[step]):
            return False
        self._taken.append(place)
        self._common.append(common)
        return True

    def give_back(self, step: int, _place: int, /) -> None:
        """See ``Condition``."""
        if self._bound[step]:
            self._taken.pop()
            self._common.pop()

    def kind(self, place: int, /) -> Hashable:
        """See ``Condition``."""
        return (self._above[place], place if place in self._tops else None)

    def at(self, place: int, /) -> Hashable:
        """See ``Condition``."""
        return place in self._taken

    def state(self) -> Hashable:
        """See ``Condition``."""
        return None

    def _meeting(self, one: int | None, other: int | None) -> int | None:
        """Returns the lowest place that two places are or descend from; None where there is none."""
        while one is not None and other is not None and one != other:
            if self._depths[one] < self._depths[other]:
                other = self._above[other]
            else:
                one = self._above[one]
        return one if one == other else None

    def _is_below(self, place: int | None, tops: Collection[int]) -> bool:
        """Tells whether a place is one of some places, or descends from one."""
        while place is not None and place not in tops:
            place = self._above[place]
        return place is not None


def _depths_of(above: Mapping[int, int | None]) -> dict[int, int]:
    """Returns how many places stand above each, gone up to once."""
    depths: dict[int, int] = {}
    for start in above:
        way: list[int] = []
        at: int | None = start
        while at is not None and at not in depths:
            way.append(at)
            at = above[at]
        depth = -1 if at is None else depths[at]
        for place in reversed(way):
            depth += 1
            depths[place] = depth
    return depths


class SomeLocal:
    """One provider at least is not one that shares.

    Args:
        local: the places of those that do not share.
        choices: by step, the places it may choose.
    """

    def __init__(self, local: Collection[int], choices: Sequence[Sequence[int]]) -> None:
        self._local = local
        self._taken = 0
        #: By step, whether any later one may choose one.
        self._later = [False] * len(choices)
        for step in range(len(choices) - 1, 0, -1):
            self._later[step - 1] = self._later[step] or any(place in local for place in choices[step])

    def take(self, step: int, place: int, /) -> bool:
        """See ``Condition``."""
        is_local = place in self._local
        if not (is_local or self._taken or self._later[step]):
            return False
        self._taken += is_local
        return True

    def give_back(self, _step: int, place: int, /) -> None:
        """See ``Condition``."""
        self._taken -= place in self._local

    def kind(self, _place: int, /) -> Hashable:
        """See ``Condition``."""
        return None

    def at(self, _place: int, /) -> Hashable:
        """See ``Condition``."""
        return None

    def state(self) -> Hashable:
        """See ``Condition``."""
        return self._taken > 0
