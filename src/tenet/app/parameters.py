"""What commands take that is more than text: times, and secrets that are not to be seen."""

from __future__ import annotations

import sys
from typing import Final

import click

#: The longest line that is taken for a secret, characters; a token has some 500.
_LINE_CHARS_MAX: Final = 65_536


def seconds(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    """Returns the seconds that a time like 90s, 15m, 1h or 7d says."""
    units = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
    number, unit = value[:-1], value[-1:]
    if not (number.isascii() and number.isdecimal()) or unit not in units:
        raise click.BadParameter(f"{value!r} is no time like 90s, 15m, 1h or 7d.")
    return int(number) * units[unit]


def secret(_context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Returns a secret as it was given, or, for ``-``, the first line of standard input.

    What stands on a command line, everybody on the machine can see while the command runs, and the shell keeps it.
    """
    if value != "-":
        return value
    if sys.stdin.isatty():
        return str(click.prompt(parameter.human_readable_name, hide_input=True, err=True))
    line = sys.stdin.readline(_LINE_CHARS_MAX).strip()
    if not line:
        raise click.BadParameter("it is -, and standard input has no line.")
    return line
