"""Sets of names that many providers have alike, each kept once and known by a number.

Hosts of one kind have the same traits, and hosts of one rack are in the same aggregates: a fleet of 100,000 has few
different sets. A request is decided for the different sets, and a look-up in a table tells for all providers at once.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

#: What is in a set: a name, in most.
N = TypeVar("N", bound=Hashable)
#: One truth value for each place in a column.
Mask: TypeAlias = NDArray[np.bool_]


class Sets(Generic[N]):
    """Numbers for sets, as long as somebody has them. Number 0 is the empty set, always."""

    def __init__(self) -> None:
        empty: frozenset[N] = frozenset()
        self._numbers: dict[frozenset[N], int] = {empty: 0}
        self._sets: list[frozenset[N]] = [empty]
        self._holders: list[int] = [0]
        self._with_name: dict[N, set[int]] = {}
        self._free: list[int] = []

    def __getitem__(self, number: int) -> frozenset[N]:
        return self._sets[number]

    def take(self, names: frozenset[N]) -> int:
        """Returns the number of a set, which has one holder more now."""
        number = self._numbers.get(names)
        if number is None:
            number = self._enter(names)
        self._holders[number] += 1
        return number

    def _enter(self, names: frozenset[N]) -> int:
        if self._free:
            number = self._free.pop()
            self._sets[number] = names
        else:
            number = len(self._sets)
            self._sets.append(names)
            self._holders.append(0)
        self._numbers[names] = number
        for name in names:
            self._with_name.setdefault(name, set()).add(number)
        return number

    def give_back(self, number: int) -> None:
        """Has one holder less of a set; without any, its number is free for another."""
        self._holders[number] -= 1
        if number and not self._holders[number]:
            names = self._sets[number]
            del self._numbers[names]
            for name in names:
                numbers = self._with_name[name]
                numbers.discard(number)
                if not numbers:
                    del self._with_name[name]
            self._sets[number] = self._sets[0]
            self._free.append(number)

    def names(self) -> set[N]:
        """Returns all names that are in a set that somebody has."""
        return set(self._with_name)

    def with_any(self, names: Iterable[N]) -> set[int]:
        """Returns the numbers of the sets that have one of some names at least."""
        found: set[int] = set()
        for name in names:
            found |= self._with_name.get(name, set())
        return found

    def with_all(self, wanted: Iterable[Collection[N]]) -> set[int] | None:
        """Returns the numbers of the sets that have one name at least of each of some choices; None: all sets do."""
        found: set[int] | None = None
        for names in wanted:
            numbers = self.with_any(names)
            found = numbers if found is None else found & numbers
        return found

    def table(self, numbers: Collection[int]) -> Mask:
        """Returns for each number whether it is among some."""
        table = np.zeros(len(self._sets), dtype=np.bool_)
        if numbers:
            table[np.fromiter(numbers, dtype=np.int64, count=len(numbers))] = True
        return table
