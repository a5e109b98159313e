"""Capabilities over all places: a comparison is decided for the different values, and told for all providers at once.

Hosts of one kind have the same capabilities, so that they are kept as ``sets`` are: each different collection once, and
of each place its number. What differs between hosts, such as a serial number, makes as many collections as hosts; it
costs each of them once, when the provider comes, and each comparison of that name a look at each of its values, about a
microsecond. What was found is remembered until a collection comes or goes, which is when somebody changes a capability.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

import numpy as np

from tenet.placement.fleet.sets import Mask, Sets
from tenet.placement.model import Capability
from tenet.placement.rules.capabilities import Comparison

_Item: TypeAlias = tuple[str, Capability]
#: So many comparisons are remembered.
_MET_MAX: Final = 256


class Capabilities:
    """The capabilities of the providers of a fleet.

    Args:
        places: how many places there are room for.
    """

    def __init__(self, places: int) -> None:
        self._sets: Sets[_Item] = Sets()
        self._at = np.zeros(places, dtype=np.int32)
        #: By the number of a collection, the collection as providers have it.
        self._told: dict[int, Mapping[str, Capability]] = {0: {}}
        #: By name, the values that somebody has, and in how many collections each is.
        self._values: dict[str, dict[Capability, int]] = {}
        #: Of comparisons that were asked for since a collection came or went: of each number, whether it meets them.
        self._met: dict[Comparison, Mask] = {}

    def grow(self, places: int) -> None:
        """Makes room for more places."""
        self._at = np.concatenate([self._at, np.zeros(places - len(self._at), dtype=np.int32)])

    def put(self, place: int, capabilities: Mapping[str, Capability]) -> Mapping[str, Capability]:
        """Takes in what the provider at a place has, where nothing was; returns it as it is kept for all alike."""
        number = self._sets.take(frozenset(capabilities.items()))
        self._at[place] = number
        told = self._told.get(number)
        if told is None:
            told = self._told[number] = capabilities
            self._met.clear()
            for name, value in capabilities.items():
                values = self._values.setdefault(name, {})
                values[value] = values.get(value, 0) + 1
        return told

    def clear(self, place: int) -> None:
        """Forgets what the provider at a place has."""
        number = int(self._at[place])
        self._at[place] = 0
        self._sets.give_back(number)
        if not number or self._sets[number]:
            return
        self._met.clear()
        for name, value in self._told.pop(number).items():
            values = self._values[name]
            values[value] -= 1
            if not values[value]:
                del values[value]
            if not values:
                del self._values[name]

    def meeting(self, comparison: Comparison, places: int) -> Mask:
        """Returns of each of the first places whether the provider there meets a comparison."""
        table = self._met.get(comparison)
        if table is None:
            name = comparison.name
            items = [(name, value) for value in self._values.get(name, ()) if comparison.is_met(value)]
            table = self._sets.table(self._sets.with_any(items))
            if len(self._met) == _MET_MAX:
                self._met.clear()
            self._met[comparison] = table
        mask: Mask = table[self._at[:places]]
        return mask
