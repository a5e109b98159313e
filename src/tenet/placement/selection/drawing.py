"""Numbers drawn from a seed, the same ones from the same seed on every machine.

Source: SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014). A choice needs two
numbers or three; a generator of NumPy costs more to make than the choice.
"""

from __future__ import annotations

from typing import Final

_STEP: Final = 0x9E3779B97F4A7C15
_MIX: Final = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST_SHIFT: Final = 31
_MASK: Final = (1 << 64) - 1


class Draws:
    """Draws numbers.

    Args:
        seed: any whole number.
    """

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def below(self, bound: int) -> int:
        """Returns a number of 0 and more below a bound of 1 to 2**53; how likely each is differs by 2**-11 at most."""
        self._state = (self._state + _STEP) & _MASK
        mixed = self._state
        for shift, factor in _MIX:
            mixed = ((mixed ^ mixed >> shift) * factor) & _MASK
        mixed ^= mixed >> _LAST_SHIFT
        return mixed * bound >> 64
