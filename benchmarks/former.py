"""What each operation takes, beside what it took in a former version, in one run.

    python -m benchmarks.former REVISION [--seconds 2] [--rounds 5] [--connections 64]

The former version is the source as it was at that commit, compiled as it was, with the libraries of today. Both run as
they ship and are measured in turns, so that what disturbs the machine disturbs both. The status is 1 where an operation
has become slower by more than a twentieth.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Final

from benchmarks import generator, judge, servers
from benchmarks.generator import WORKLOADS, Target
from benchmarks.sections import Pace, compare, table_head, table_line
from tests.servers import running

#: Where former versions are kept that were compiled once.
KEPT: Final = generator.ROOT / ".cache" / "former"
_COMPILE_S_MAX: Final = 900
#: What the rate may be at least, as a ratio of the former one.
_RATE_LEAST: Final = 0.95


def main(arguments: Sequence[str]) -> int:
    """Measures and prints; returns 1 where an operation is slower, 2 where the former version cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.former", description=__doc__.splitlines()[0])
    parser.add_argument("revision", help="a commit")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long one measurement takes")
    parser.add_argument("--rounds", type=int, default=5, help="how many measurements a figure is the median of")
    parser.add_argument("--connections", type=int, default=64, help="how many are busy at a time")
    asked = parser.parse_args(arguments)
    try:
        commit = _output("git", "rev-parse", "--verify", f"{asked.revision}^{{commit}}").decode().strip()
        source = compiled(commit)
    except subprocess.CalledProcessError as error:
        print(f"{asked.revision} cannot be had: {(error.stderr or error.stdout or b'').decode()}", file=sys.stderr)
        return 2
    generator.build()
    data = generator.ROOT / ".cache" / "benchmarks"
    data.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=data) as folder,
        servers.tenet(Path(folder)) as now,
        former(source, Path(folder), commit) as then,
    ):
        for target in (now, then):
            generator.prepare(target)
        return tell(now, then, Pace(asked.rounds, asked.seconds), asked.connections)


def tell(now: Target, then: Target, pace: Pace, connections: int) -> int:
    """Measures every operation on both and prints a table; returns 1 where one is slower than it may be."""
    found = compare([now, then], pace, connections)
    mine, theirs = found[now.name], found[then.name]
    rates = [judge.ratio(mine[name].per_s, theirs[name].per_s) for name in WORKLOADS]
    costs = [judge.ratio(mine[name].cpu_us or 0, theirs[name].cpu_us or 0) for name in WORKLOADS]
    print(table_head([f"this version to {then.name}", *WORKLOADS]))
    print(table_line(["operations per second", *(f"{rate:.2f} x" for rate in rates)]))
    print(table_line(["CPU per operation", *(f"{cost:.2f} x" for cost in costs)]))
    return int(min(rates) < _RATE_LEAST)


def compiled(commit: str) -> Path:
    """Returns the folder with a commit's files, whose source is compiled; made at the first call, in minutes.

    Raises:
        subprocess.CalledProcessError: there is no such commit, or it cannot be compiled.
    """
    folder = KEPT / commit
    done = folder / ".compiled"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=BytesIO(_output("git", "archive", "--format=tar", commit))) as archive:
            archive.extractall(folder, filter="data")
        print(f"compiling {commit[:7]}", flush=True)
        program = [sys.executable, "-m", "tools.compile", "--required"]
        subprocess.run(program, cwd=folder, check=True, capture_output=True, timeout=_COMPILE_S_MAX)
        done.touch()
    return folder


@contextmanager
def former(source: Path, folder: Path, commit: str) -> Iterator[Target]:
    """A former version as it ships, in one process on the embedded engine."""
    environment = {"PYTHONPATH": str(source / "src"), "TENET_COMPILED": "1"}
    with running(folder / "former", "--plaintext", environment=environment) as server:
        loaded = Path(f"/proc/{server.process.pid}/maps")
        if loaded.exists() and str(source) not in loaded.read_text(encoding="utf-8"):
            raise RuntimeError(f"the server does not run the source in {source}")
        yield replace(servers.target_of(server), name=commit[:7])


def _output(*command: str) -> bytes:
    done = subprocess.run(
        command, cwd=generator.ROOT, check=True, capture_output=True, timeout=60, env=os.environ | {"LC_ALL": "C"}
    )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
