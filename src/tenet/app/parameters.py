"""What commands take and show that is more than text: times, and secrets that are not to be seen."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Final

import click
from click.core import ParameterSource

#: The longest line that is taken for a secret, characters; a token has some 500.
_LINE_CHARS_MAX: Final = 65_536


def seconds(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    """Returns the seconds that a time like 90s, 15m, 1h or 7d says."""
    units = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
    number, unit = value[:-1], value[-1:]
    if not (number.isascii() and number.isdecimal()) or unit not in units:
        raise click.BadParameter(f"{value!r} is no time like 90s, 15m, 1h or 7d.")
    return int(number) * units[unit]


def filled(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Returns a name as it was given, which may not be empty: as where a variable of a script has no value."""
    if not value:
        raise click.BadParameter("it is empty.")
    return value


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


def confirm(question: str) -> None:
    """Asks before something that cannot be taken back; returns where the answer is yes.

    Args:
        question: what is about to happen.
    """
    try:
        click.confirm(question, abort=True, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)
        raise click.ClickException("that was not answered with yes; where nobody can answer, say --yes.") from None


def time_shown(wall_ms: int) -> str:
    """Returns a time as an operator reads it, RFC 3339 in UTC.

    Args:
        wall_ms: milliseconds since 1970.
    """
    return datetime.fromtimestamp(wall_ms // 1000, UTC).isoformat().replace("+00:00", "Z")


def refuse_before_command(context: click.Context) -> None:
    """Refuses options of a group that stand before one of its commands, for which they would say nothing."""
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"{', '.join(given)} belongs behind {context.invoked_subcommand}.", context)
