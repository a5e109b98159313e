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
from benchmarks.options import Names
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
    return report.tell(found, how, DOCUMENT if asked.write else None)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Returns what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queues", description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=Names("parts", PARTS), default=COMPARED, metavar="PART,…", help=", ".join(PARTS))
    parser.add_argument("--seconds", type=float, default=3.0, help="how long one measurement takes")
    parser.add_argument("--rounds", type=int, default=3, help="how many measurements a figure is the median of")
    peers = tuple(servers.PEERS)
    parser.add_argument(
        "--peers", type=Names("peers", peers, or_none=True), default=peers, metavar="PEER,…", help="or none"
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
