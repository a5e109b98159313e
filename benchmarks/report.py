"""Writes what a run found into the document that keeps it, with what is needed to run it again."""

from __future__ import annotations

import os
import platform
import re
import shlex
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.generator import ROOT
from benchmarks.judge import Verdict
from benchmarks.sections import Section

DOCUMENT: Final = ROOT / "docs" / "performance.md"


class NoPlaceForSection(Exception):
    """The document has no marks for a section."""


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """Returns verdicts as a Markdown table; empty where there are none."""
    if not verdicts:
        return ""
    rows = [
        f"| {verdict.what} | {verdict.measured} | {verdict.target} | {'reached' if verdict.passed else '**missed**'} |"
        for verdict in verdicts
    ]
    return "\n".join(["| target | measured | wanted | |", "|---|---|---|---|", *rows])


def bench_command(arguments: Sequence[str], target: str = "bench") -> str:
    """Returns the command that runs the benchmarks of a make target with these arguments."""
    return f"make {target} ARGS={shlex.quote(' '.join(arguments))}" if arguments else f"make {target}"


def provenance(command: str) -> str:
    """Returns the sentence that says how, when, on which commit and on what machine."""
    return f"`{command}`, {_commit()}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, on {machine()}."


def write(section: Section, how: str, document: Path = DOCUMENT) -> None:
    """Puts a section between its marks in the document.

    Raises:
        NoPlaceForSection: the marks are not there.
    """
    begin, end = f"<!-- {section.name}: begin -->", f"<!-- {section.name}: end -->"
    parts = [part for part in (section.table, verdict_table(section.verdicts), how) if part]
    text = document.read_text(encoding="utf-8")
    between = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not between.search(text):
        raise NoPlaceForSection(f"{document} lacks {begin} and {end}")
    content = "\n\n".join([begin, *parts, end])
    document.write_text(between.sub(lambda _match: content, text), encoding="utf-8")


def tell(found: Sequence[Section], how: str, document: Path | None) -> int:
    """Prints what was found, and keeps it.

    Args:
        found: the sections.
        how: where they come from; see ``provenance``.
        document: where they are kept; None for nowhere.

    Returns:
        The status of the command: 1 when a target was missed.

    Raises:
        NoPlaceForSection: the document lacks the marks of one.
    """
    for section in found:
        print(f"\n{section.name}\n{section.table}\n\n{verdict_table(section.verdicts)}")
        if document is not None:
            write(section, how, document)
    print(f"\n{how}")
    return int(any(not verdict.passed for section in found for verdict in section.verdicts))


def machine() -> str:
    """Returns what the machine is, as far as it changes figures."""
    load = f"load average {os.getloadavg()[0]:.1f} at the end"
    return (
        f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} cores{_cpu_model()}, "
        f"Python {platform.python_version()}, {_fsync_ms():.2f} ms for an fsync, {load}"
    )


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return f" ({found[1]})" if found else ""


def _fsync_ms(rounds: int = 50) -> float:
    """Median milliseconds of appending 4 KiB to a file and syncing it: what a durable write waits for at the least."""
    elapsed = []
    with tempfile.TemporaryFile(dir=ROOT / ".cache") as file:
        for _ in range(rounds):
            file.write(bytes(4_096))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            elapsed.append((time.perf_counter() - began) * 1_000)
    return statistics.median(elapsed)


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src")
    return f"commit {git('rev-parse', '--short', 'HEAD')}{' with uncommitted changes' if changed else ''}"
