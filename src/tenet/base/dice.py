"""Choices drawn from randomness that is handed in, so that a seed determines them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from tenet.base.ids import Ids, SeededIds

T = TypeVar("T")

_DRAW_BYTES: Final = 8


class Dice:
    """Draws numbers and choices.

    Args:
        source: where randomness comes from; an integer is a seed.
    """

    __slots__ = ("_ids",)

    def __init__(self, source: Ids | int) -> None:
        self._ids = SeededIds(source) if isinstance(source, int) else source

    def below(self, bound: int) -> int:
        """Returns an integer from 0 to ``bound - 1``, every one as likely as far as 64 bits go."""
        return int.from_bytes(self._ids.draw(_DRAW_BYTES), "big") % bound

    def chance(self, probability: float) -> bool:
        """Returns True that often, from 0 for never to 1 for always."""
        return int.from_bytes(self._ids.draw(_DRAW_BYTES), "big") < probability * 2**64

    def pick(self, choices: Sequence[T]) -> T:
        """Returns one of the choices."""
        return choices[self.below(len(choices))]

    def sample(self, choices: Sequence[T], count: int) -> list[T]:
        """Returns that many different choices, in any order."""
        left = list(choices)
        return [left.pop(self.below(len(left))) for _ in range(count)]

    def bytes(self, count: int) -> bytes:
        """Returns that many bytes."""
        return self._ids.draw(count)
