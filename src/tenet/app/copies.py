"""What ``tenet store copy`` does: has a store copied, and says how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tenet.app.configuration import ConfigurationError
from tenet.app.data_directory import DataDirectory
from tenet.app.engines import mistakes_in
from tenet.app.messages import CopyNamed, CopyShown
from tenet.app.moving import full_name
from tenet.app.reach import reach_copies
from tenet.base.errors import TenetError

if TYPE_CHECKING:
    from tenet.app.configuration import Configuration

#: How often it is asked, and how often a line is written where the phase stays the same.
ASK_S: Final = 0.2
SAY_S: Final = 2.0
_MEGABYTE: Final = 1_000_000


class NotCopied(TenetError):
    """The store was not copied, or not switched to.

    Args:
        shown: how far it came, and why it ended.
    """

    def __init__(self, shown: CopyShown) -> None:
        super().__init__(shown.message)
        self.code = shown.code


def named(configuration: Configuration, source: str, target: str) -> tuple[Configuration, CopyNamed]:
    """Returns the settings with the store FROM, and both names.

    Args:
        configuration: the settings as they are.
        source: FROM.
        target: TO.

    Raises:
        ConfigurationError: one of them is no URL of a store; the message says which.
    """
    problems: list[str] = []
    found, full = configuration, []
    for name, url in (("TO", target), ("FROM", source)):
        try:
            found = configuration.with_store(url)
            problems += [f"{name}: {mistake.text}" for mistake in mistakes_in(found.settings)]
            full.append(full_name(DataDirectory(found.settings)))
        except ConfigurationError as error:
            problems += [f"{name}: {problem}" for problem in error.problems]
    if problems:
        raise ConfigurationError(problems)
    return found, CopyNamed(source=full[1], target=full[0])


async def carry_out(configuration: Configuration, wanted: CopyNamed, say: Callable[[str], None]) -> CopyShown:
    """Copies a store, or follows the copy that a server makes, until it is complete.

    Args:
        configuration: with the store FROM.
        wanted: which copy.
        say: is told a line now and then.

    Raises:
        TenetError: it could not be copied; the message says why. What was copied stays.
    """
    async with reach_copies(configuration) as (copies, is_server):
        shown, said = await copies.begin_copy(wanted), _Said(say)
        try:
            while shown.state == "running":
                said.note(shown)
                await asyncio.sleep(ASK_S)
                shown = await copies.show_copy()
        except asyncio.CancelledError:
            goes_on = "the server goes on copying" if is_server else "what was copied stays"
            say(f"{goes_on}; the same command resumes it, and with --abort gives it up")
            raise
    if shown.state == "failed":
        raise NotCopied(shown)
    return shown


async def give_up(configuration: Configuration, wanted: CopyNamed) -> None:
    """Gives a copy up, or takes a move back.

    Args:
        configuration: with the store FROM.
        wanted: which copy.

    Raises:
        TenetError: there is no such copy, or it has been served since.
    """
    async with reach_copies(configuration) as (copies, _):
        await copies.end_copy(wanted)


class _Said:
    """What was said last, and when."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last: CopyShown | None = None

    def note(self, shown: CopyShown) -> None:
        last = self._last
        if last is None or last.phase != shown.phase or shown.elapsed_ms - last.elapsed_ms >= SAY_S * 1_000:
            self._say(line_of(shown, last))
            self._last = shown


def line_of(shown: CopyShown, last: CopyShown | None = None) -> str:
    """Returns a line that says how far a copy is.

    Args:
        shown: how far it is.
        last: how far it was when a line was written last, for the rate since.
    """
    done = shown.records + shown.changed + shown.verified
    elapsed_ms = shown.elapsed_ms - (last.elapsed_ms if last else 0)
    before = last.records + last.changed + last.verified if last else done
    rate = round((done - before) * 1_000 / elapsed_ms) if elapsed_ms > 0 else 0
    parts = [
        f"{shown.space or '-'} ({shown.spaces_done} of {shown.spaces} spaces copied)",
        f"{shown.records:,} records, {shown.value_bytes / _MEGABYTE:,.1f} MB",
        f"{rate:,} records/s",
    ]
    if shown.changed or shown.left:
        parts.append(f"{shown.changed:,} copied again, {shown.left:,} changes left")
    if shown.verified:
        parts.append(f"{shown.verified:,} of {shown.records:,} verified")
    return f"{shown.phase}: " + ", ".join(parts)
