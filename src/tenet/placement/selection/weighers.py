"""The weighers that come with Tenet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from tenet.placement.selection.contract import INTERFACE, OUT, MakeWeigher, Option, Question
from tenet.placement.selection.parameters import number, numbers, refuse_others, texts

_K_MAX: Final = 10_000


class BinPacking:
    """Prefers what is fullest afterwards: the mean share in use of the classes that are taken.

    Parameters: ``resource_classes``, those that it is about, all by default.
    """

    interface: Final = INTERFACE
    _sign = 1.0

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        refuse_others(parameters, ("resource_classes",))
        self._classes = texts(parameters, "resource_classes")

    def weigh(self, options: Sequence[Option], question: Question) -> Sequence[float]:
        """Implements ``Weigher``."""
        del question
        return [self._sign * self._share_used(option) for option in options]

    def _share_used(self, option: Option) -> float:
        shares = []
        for uuid, taken in option.candidate.allocations.items():
            provider = option.providers[uuid]
            for name, amount in taken.items():
                if self._classes is None or name in self._classes:
                    capacity = provider.inventories[name].capacity
                    shares.append((provider.used.get(name, 0) + amount) / max(1, capacity))
        return sum(shares) / len(shares) if shares else 0.0


class Spreading(BinPacking):
    """Prefers what is emptiest afterwards; parameters as of ``BinPacking``."""

    _sign = -1.0


class RandomOfK:
    """Draws `k` options at random, and leaves the choice among them to the other weighers.

    With ``bin-packing`` or ``spreading`` it is the power of k choices (Mitzenmacher, "The Power of Two Choices in
    Randomized Load Balancing", 2001): schedulers that choose at the same moment rarely choose the same.

    Parameters: ``k``, 2 by default, 1 to 10,000.
    """

    interface: Final = INTERFACE

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        refuse_others(parameters, ("k",))
        self._k = int(number(parameters, "k", 2, at_least=1, at_most=_K_MAX))

    def weigh(self, options: Sequence[Option], question: Question) -> Sequence[float]:
        """Implements ``Weigher``."""
        drawn = np.random.default_rng(question.seed).choice(len(options), min(self._k, len(options)), replace=False)
        scores = [OUT] * len(options)
        for number_drawn in drawn.tolist():
            scores[number_drawn] = 0.0
        return scores


class Cost:
    """Prefers what costs least.

    The cost is the sum over all that is taken: amount, times the price of a unit of its class, times the factors of
    those traits that the provider it comes from has.

    Parameters: ``per_unit``, prices by resource class, a class without one is free; ``factors``, by trait.
    """

    interface: Final = INTERFACE

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        refuse_others(parameters, ("per_unit", "factors"))
        self._per_unit = numbers(parameters, "per_unit")
        self._factors = numbers(parameters, "factors")

    def weigh(self, options: Sequence[Option], question: Question) -> Sequence[float]:
        """Implements ``Weigher``."""
        del question
        return [-self._cost(option) for option in options]

    def _cost(self, option: Option) -> float:
        total = 0.0
        for uuid, taken in option.candidate.allocations.items():
            price = sum(amount * self._per_unit.get(name, 0.0) for name, amount in taken.items())
            for trait in option.providers[uuid].traits & self._factors.keys():
                price *= self._factors[trait]
            total += price
        return total


WEIGHERS: Final[Mapping[str, MakeWeigher]] = {
    "bin-packing": BinPacking,
    "cost": Cost,
    "random-of-k": RandomOfK,
    "spreading": Spreading,
}
