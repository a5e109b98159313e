"""Measures Tenet's queues with their peers beside them in one run, and says whether they reach their targets.

    make bench-queues                                            everything but the long backlog; about eight minutes
    make bench-queues ARGS="--seconds 1 --rounds 1 --no-write"   a quick look
    make bench-queues ARGS="--only backlog"                      drains of a million messages; some minutes

Every part goes into docs/performance-queues.md. The status is 1 where a target was missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import generator, report
from benchmarks.queues import sections, servers
from benchmarks.run import DATA
from benchmarks.sections import Pace, Section
from tests.conformance.packages import FetchFailed, ToolMissing
from tests.conformance.peers import PeerDidNotStart

COMPARED: Final = ("throughput", "delivery")
PARTS: Final = (*COMPARED, "backlog")
DOCUMENT: Final = generator.ROOT / "docs" / "performance-queues.md"


def main(arguments: Sequence[str]) -> int:
    """Runs the parts that are asked for; returns 1 when a target was missed, 2 when a part could not be measured."""
    asked = parse(arguments)
    pace = Pace(asked.rounds, asked.seconds)
    try:
        generator.build()
        DATA.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=DATA) as folder:
            found = measure(asked.only, pace, asked.peers, asked.messages, Path(folder))
    except (generator.GeneratorError, ToolMissing, FetchFailed, PeerDidNotStart) as error:
        print(error, file=sys.stderr)
        return 2
    how = report.provenance(report.bench_command(arguments, "bench-queues"))
    for section in found:
        print(f"\n{section.name}\n{section.table}\n\n{report.verdict_table(section.verdicts)}")
        if asked.write:
            report.write(section, how, DOCUMENT)
    print(f"\n{how}")
    return int(any(not verdict.passed for section in found for verdict in section.verdicts))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Returns what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queues", description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=_Names(PARTS), default=COMPARED, metavar="PART,…", help=", ".join(PARTS))
    parser.add_argument("--seconds", type=float, default=3.0, help="how long one measurement takes")
    parser.add_argument("--rounds", type=int, default=3, help="how many measurements a figure is the median of")
    parser.add_argument(
        "--peers", type=_Names(tuple(servers.PEERS)), default=tuple(servers.PEERS), metavar="PEER,…", help="or none"
    )
    parser.add_argument("--messages", type=int, default=1_000_000, help="messages in the long backlog")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave the document as it is")
    return parser.parse_args(arguments)


def measure(parts: Sequence[str], pace: Pace, peers: Sequence[str], messages: int, folder: Path) -> list[Section]:
    """Measures the parts, in the order in which they stand in ``PARTS``."""
    found = []
    if any(part in COMPARED for part in parts):
        with servers.beside_peers(folder, peers) as targets:
            print("warming up", flush=True)
            sections.warm_up(targets)
            ways = {"throughput": sections.throughput, "delivery": sections.delivery}
            for part in COMPARED:
                if part in parts:
                    print(part, flush=True)
                    found.append(ways[part](targets, pace))
    if "backlog" in parts:
        print("backlog", flush=True)
        (folder / "backlog").mkdir()
        found.append(sections.backlog(folder / "backlog", pace, messages))
    return found


class _Names:
    """Reads a list with commas of known names.

    Args:
        known: the names.
    """

    def __init__(self, known: Sequence[str]) -> None:
        self._known = known

    def __call__(self, text: str) -> tuple[str, ...]:
        names = () if text == "none" else tuple(text.split(","))
        unknown = [name for name in names if name not in self._known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: there are {', '.join(self._known)}")
        return names
