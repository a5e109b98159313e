"""Numbers as DynamoDB has them: up to 38 significant digits, magnitudes of 1E-130 to 9.99…E+125, exact.

A number is handled as its canonical text: no exponent, no superfluous zeros, no plus, no negative zero. That is what
the service answers with, whatever form came in.

Source: "Naming rules and data types" and "Service, account, and table quotas" of the Developer Guide.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal
from typing import Final

from tenet.tables.errors import ValidationException

DIGITS_MAX: Final = 38
_EXPONENT_MAX: Final = 125
_EXPONENT_MIN: Final = -130

#: Texts that are canonical already and, up to ``DIGITS_MAX`` characters long, within every limit.
_CANONICAL: Final = re.compile(r"0|-?(?:[1-9][0-9]*(?:\.[0-9]*[1-9])?|0\.[0-9]*[1-9])", re.ASCII)
_NUMBER: Final = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?(?:[eE](?P<exponent>[+-]?[0-9]+))?", re.ASCII
)
#: Digits enough for the exact sum of any two numbers: 126 before the point, 168 behind it.
_EXACT: Final = Context(prec=320)
#: The service reads an exponent as a 64-bit integer. Longer texts are not even looked at.
_EXPONENT_CHARS_MAX: Final = 4_000

OVERFLOW: Final = "Number overflow. Attempting to store a number with magnitude larger than supported range"
UNDERFLOW: Final = "Number underflow. Attempting to store a number with magnitude smaller than supported range"
TOO_PRECISE: Final = "Attempting to store more than 38 significant digits in a Number"
NOT_A_NUMBER: Final = "The parameter cannot be converted to a numeric value"


class TooManyDigits(ValidationException):
    """A number has more than 38 significant digits."""


def is_plain(text: str) -> bool:
    """Whether a text is a canonical number without sign or point, as most are. False is no answer."""
    return text.isdigit() and len(text) <= DIGITS_MAX and (text[0] != "0" or text == "0") and text.isascii()


def canonical(text: str, too_precise: str = TOO_PRECISE) -> str:
    """Returns the canonical text of a number.

    Args:
        text: a decimal number, perhaps with an exponent: ``1``, ``-1.50``, ``.5``, ``1E+3``.
        too_precise: what to say of too many digits.

    Raises:
        TooManyDigits: it has more than 38 significant digits.
        ValidationException: it is no number, or its magnitude is out of range.
    """
    if len(text) <= DIGITS_MAX and (is_plain(text) or _CANONICAL.fullmatch(text)):
        return text
    match = _NUMBER.fullmatch(text)
    if match is None or not (match["whole"] or match["fraction"]):
        raise ValidationException(f"{NOT_A_NUMBER}: {text}" if text else NOT_A_NUMBER)
    exponent = match["exponent"] or "0"
    if len(exponent) > _EXPONENT_CHARS_MAX or not -(2**63) <= int(exponent) < 2**63:
        raise ValidationException(f"{NOT_A_NUMBER}: {text}")
    whole, fraction = match["whole"], match["fraction"] or ""
    digits = (whole + fraction).lstrip("0")
    magnitude = int(exponent) - len(fraction) + len(digits) - 1
    return _limited(match["sign"], digits.rstrip("0"), magnitude, too_precise)


def _limited(sign: str, significant: str, magnitude: int, too_precise: str) -> str:
    """Returns the canonical text of ``d.ddd`` times ten to the magnitude, if that is within the limits."""
    if not significant:
        return "0"
    if magnitude > _EXPONENT_MAX:
        raise ValidationException(OVERFLOW)
    if magnitude < _EXPONENT_MIN:
        raise ValidationException(UNDERFLOW)
    if len(significant) > DIGITS_MAX:
        raise TooManyDigits(too_precise)
    return ("-" if sign == "-" else "") + _plain(significant, magnitude)


def _plain(significant: str, exponent: int) -> str:
    """Returns ``d.ddd`` times ten to the exponent without an exponent."""
    if exponent < 0:
        return "0." + "0" * (-exponent - 1) + significant
    whole = exponent + 1
    if len(significant) <= whole:
        return significant + "0" * (whole - len(significant))
    return significant[:whole] + "." + significant[whole:]


def value(text: str) -> int | Decimal:
    """Returns a Python number that compares exactly with every other that this function gives.

    Args:
        text: canonical.
    """
    return Decimal(text) if "." in text else int(text)


def add(left: str, right: str) -> str:
    """Returns the canonical text of the exact sum.

    Of a sum with too many digits the service says that it overflows, as the tests of ScyllaDB's Alternator note.

    Args:
        left: canonical.
        right: canonical.

    Raises:
        TooManyDigits: the sum has more than 38 significant digits.
        ValidationException: its magnitude is out of range.
    """
    if "." in left or "." in right:
        return canonical(format(_EXACT.add(Decimal(left), Decimal(right)), "f"), OVERFLOW)
    return canonical(str(int(left) + int(right)), OVERFLOW)


def subtract(left: str, right: str) -> str:
    """Returns the canonical text of the exact difference; arguments and errors as for `add`."""
    return add(left, right[1:] if right[0] == "-" else negate(right))


def negate(text: str) -> str:
    """Returns the number of opposite sign.

    Args:
        text: canonical.
    """
    if text == "0":
        return text
    return text[1:] if text[0] == "-" else "-" + text


def size_bytes(text: str) -> int:
    """Returns how many bytes of an item the number counts as.

    One byte, one for each two significant digits before the decimal point, the same for those behind it, and one for a
    negative sign ("Item sizes and formats" of the Developer Guide; zeros at either end are not significant).

    Args:
        text: canonical.
    """
    if text.isdigit():
        return 1 if text == "0" else 1 + ((len(text.rstrip("0")) + 1) >> 1)
    negative = text[0] == "-"
    whole, _, fraction = (text[1:] if negative else text).partition(".")
    if not fraction:
        whole = whole.rstrip("0")
    elif whole == "0":
        whole, fraction = "", fraction.lstrip("0")
    return 1 + ((len(whole) + 1) >> 1) + ((len(fraction) + 1) >> 1) + negative
