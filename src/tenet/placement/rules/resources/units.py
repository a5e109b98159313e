"""Amounts with units, as people write them: ``"16GiB"``, ``"1.5Gbit/s"``, or a plain number in the class's own unit.

What is stored is whole numbers of the class's unit. An amount that is none is refused, and never rounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

from msgspec import Struct

from tenet.placement.model import AMOUNT_MAX

_AMOUNT: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?) ?([A-Za-z/]{0,16})")
_SHOWN_CHARS: Final = 100

#: Bytes by unit (IEC 80000-13, and the decimal prefixes of the SI).
BYTES: Final[Mapping[str, int]] = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
#: Bits a second by unit.
BITS_PER_S: Final[Mapping[str, int]] = {
    "bit/s": 1,
    "kbit/s": 10**3,
    "Mbit/s": 10**6,
    "Gbit/s": 10**9,
    "Tbit/s": 10**12,
}


class Units(Struct, frozen=True):
    """The units that amounts of a class may have.

    Args:
        own: the one that is counted in; one of `sizes`.
        sizes: how large each is, all in the same measure.
    """

    own: str
    sizes: Mapping[str, int]

    def read(self, amount: Any) -> int:
        """Returns an amount in the own unit, 0 to ``AMOUNT_MAX``.

        Args:
            amount: a whole number of the own unit, or a text of a number and a unit.

        Raises:
            ValueError: it is neither, its unit is none of these, or it is no whole number of the own unit or too large.
        """
        if isinstance(amount, bool) or not isinstance(amount, int | str):
            raise ValueError(f"{_shown(amount)} has to be a whole number of {self.own}, or a text such as {self._hint}")  # noqa: TRY004 - what contract.py asks for
        if isinstance(amount, str):
            match = _AMOUNT.fullmatch(amount)
            if match is None:
                raise ValueError(f"{_shown(amount)} is no number with a unit, such as {self._hint}")
            unit = match[2] or self.own
            if unit not in self.sizes:
                raise ValueError(f"{_shown(amount)} has none of the units {', '.join(self.sizes)}")
            exact = Fraction(match[1]) * self.sizes[unit] / self.sizes[self.own]
            if exact.denominator != 1:
                raise ValueError(f"{_shown(amount)} is no whole number of {self.own}")
            amount = exact.numerator
        if not 0 <= amount <= AMOUNT_MAX:
            raise ValueError(f"{_shown(amount)} is not from 0 to {AMOUNT_MAX} {self.own}")
        return int(amount)

    def show(self, amount: int) -> int | str:
        """Returns an amount as ``read`` takes it, in the largest unit of which it is a whole number.

        Args:
            amount: in the own unit, 0 and more.
        """
        if len(self.sizes) == 1:
            return amount
        exact = amount * self.sizes[self.own]
        fitting = [unit for unit, size in self.sizes.items() if not exact % size and size >= self.sizes[self.own]]
        # Decimal and binary prefixes lie between each other: what is counted in one kind is shown in that kind.
        alike = [one for one in fitting if one.endswith("iB") == self.own.endswith("iB")] if exact else [self.own]
        unit = max(alike, key=lambda one: self.sizes[one])
        return f"{exact // self.sizes[unit]}{unit}"

    @property
    def _hint(self) -> str:
        return repr(f"2{self.own}")


def _shown(amount: object) -> str:
    return repr(amount)[:_SHOWN_CHARS]
