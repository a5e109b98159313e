"""The group of the commands of ``tenet``: what becomes of their errors.

Exit codes: 0 done; 1 not done, the message says why; 2 wrong usage; 3 wrong settings; 4 the data directory or the
address is taken by another process; 5 the server does not answer.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

import click

from tenet.base.errors import TenetError

#: What Tenet writes is for its own user: data, keys, archives.
PRIVATE: Final = 0o077

EXIT_FAILED: Final = 1
EXIT_SETTINGS: Final = 3
EXIT_TAKEN: Final = 4
EXIT_NOT_REACHED: Final = 5

#: Exit codes by the code of the error; all others are 1.
EXIT_CODES: Final = {
    "ConfigurationError": EXIT_SETTINGS,
    "StoreLocked": EXIT_TAKEN,
    "AddressTaken": EXIT_TAKEN,
    "NotReached": EXIT_NOT_REACHED,
}


class Commands(click.Group):
    """A group whose errors are one clear message on standard error, and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command that was named."""
        os.umask(PRIVATE)
        try:
            return super().invoke(ctx)
        except TenetError as error:
            _say(error.message or error.code)
            ctx.exit(EXIT_CODES.get(error.code, EXIT_FAILED))
        except BrokenPipeError:
            # Whoever read our output has seen enough; nothing may be written at exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(EXIT_FAILED)
        except OSError as error:
            # What the system refuses and nobody has foreseen is no mistake in Tenet: which file it was is what helps.
            _say(told(error))
            ctx.exit(EXIT_FAILED)


def _say(message: str) -> None:
    for line in message.splitlines():
        click.echo(f"tenet: {line}", err=True)


def told(error: OSError) -> str:
    """Returns what the system has refused, and of which file, as one line.

    Args:
        error: which nobody has explained better.
    """
    why = error.strerror or str(error) or type(error).__name__
    remedy = "; run this as the one who runs Tenet" if isinstance(error, PermissionError) else ""
    named = [os.fsdecode(file) for file in (error.filename, error.filename2) if isinstance(file, str | bytes)]
    refused = f"{' and '.join(named)}: {why}" if named else why
    return " ".join(f"{refused}{remedy}.".split())
