"""Measures Tenet with its peers beside it in one run, says whether it reaches its targets, and keeps the figures.

    make bench                                      everything but the large table; about ten minutes
    make bench ARGS="--seconds 1 --rounds 1 --no-write"   a quick look
    make bench ARGS="--only throughput"             one part
    make bench ARGS="--only large --items 5000000"  the large table

Every part goes into docs/performance.md. The status is 1 where a target was missed. Servers are measured in turns, in
short rounds: what else the machine does then meets all of them, and the ratios stay. Idle machines give better figures.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks import generator, report, sections, servers
from benchmarks.options import Names
from benchmarks.sections import Pace, Section
from tests.conformance.packages import FetchFailed, ToolMissing
from tests.conformance.peers import PeerDidNotStart

COMPARED: Final = ("throughput", "single", "hot", "indexes", "pages", "memory")
PARTS: Final = ("start", *COMPARED, "large")
#: The folder that the servers' data lie in; a folder in memory would make every fsync free.
DATA: Final = generator.ROOT / ".cache" / "benchmarks"


def main(arguments: Sequence[str]) -> int:
    """Runs the parts that are asked for; returns 1 when a target was missed, 2 when a part could not be measured."""
    asked = parse(arguments)
    pace = Pace(asked.rounds, asked.seconds)
    try:
        generator.build()
        DATA.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=DATA) as folder:
            found = measure(asked.only, pace, asked.peers, asked.items, Path(folder))
    except (generator.GeneratorError, ToolMissing, FetchFailed, PeerDidNotStart) as error:
        print(error, file=sys.stderr)
        return 2
    how = report.provenance(report.bench_command(arguments))
    return report.tell(found, how, report.DOCUMENT if asked.write else None)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Returns what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", type=Names("parts", PARTS), default=PARTS[:-1], metavar="PART,…", help=", ".join(PARTS)
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="how long one measurement takes")
    parser.add_argument("--rounds", type=int, default=3, help="how many measurements a figure is the median of")
    peers = tuple(servers.PEERS)
    parser.add_argument(
        "--peers", type=Names("peers", peers, or_none=True), default=peers, metavar="PEER,…", help="or none"
    )
    parser.add_argument("--items", type=int, default=5_000_000, help="items in the large table")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave docs/performance.md as it is")
    return parser.parse_args(arguments)


def measure(parts: Sequence[str], pace: Pace, peers: Sequence[str], items: int, folder: Path) -> list[Section]:
    """Measures the parts, in the order in which they stand in ``PARTS``."""
    found = []
    if "start" in parts:
        print("start", flush=True)
        found.append(sections.start(folder))
    wanted = [part for part in COMPARED if part in parts]
    if wanted:
        with servers.beside_peers(folder, peers) as targets:
            for target in targets:
                generator.prepare(target)
            tenet = targets[0]
            ways: dict[str, Callable[[], Section]] = {
                "throughput": lambda: sections.throughput(targets, pace),
                "single": lambda: sections.single(targets, pace),
                "hot": lambda: sections.hot(tenet, pace),
                "indexes": lambda: sections.indexes(tenet, pace),
                "pages": lambda: sections.pages(tenet, pace),
                "memory": lambda: sections.memory(tenet),
            }
            for part in wanted:
                print(part, flush=True)
                found.append(ways[part]())
    if "large" in parts:
        print("large", flush=True)
        (folder / "large").mkdir()
        found.append(sections.large(folder / "large", pace, items))
    return found
