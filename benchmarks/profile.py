"""Says where Tenet's CPU goes under a workload, by room and by function, from samples of a running server.

    python -m benchmarks.profile                              every workload, into docs/performance.md
    python -m benchmarks.profile --workloads put --no-write   one, with the functions that cost most

py-spy looks at the server's stacks from outside, so that what is measured is the server as it ships. A sample counts
for the innermost function of Tenet on its stack: what a library does in C (JSON, hashes, SQLite) counts for the
function that called it. Samples without one are the event loop with the system calls that it makes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import generator, report, servers
from benchmarks.generator import WORKLOADS, GeneratorError, Target
from benchmarks.run import DATA
from benchmarks.sections import CONNECTIONS, Section

SAMPLES_PER_S: Final = 250
PACKAGE: Final = "/src/tenet/"
#: What runs below these frames is a task's step; without a function of Tenet above them, the loop itself.
LOOP: Final = ("asyncio/runners.py", "asyncio/base_events.py", "uvloop/")
EVENT_LOOP: Final = "event loop"
OTHER: Final = "threads' libraries"


@dataclass(frozen=True)
class Profile:
    """Where the CPU of one workload went.

    Args:
        workload: its name.
        cpu_us: of the server per operation while it was sampled, or None where the machine does not tell.
        functions: samples by function, as ``path:function`` within the package, ``EVENT_LOOP`` or ``OTHER``.
    """

    workload: str
    cpu_us: float | None
    functions: Counter[str]

    @property
    def rooms(self) -> Counter[str]:
        """Samples by room, tables and wire alike, with the parts of tables and of the store apart."""
        rooms: Counter[str] = Counter()
        for name, samples in self.functions.items():
            rooms[room_of(name)] += samples
        return rooms

    def share(self, samples: int) -> str:
        """Returns samples as microseconds per operation, or as a share where the machine does not tell."""
        part = samples / max(self.functions.total(), 1)
        return f"{part:.0%}" if self.cpu_us is None else f"{part * self.cpu_us:.1f}"


def main(arguments: Sequence[str]) -> int:
    """Profiles the workloads that are asked for; returns 2 when that is not possible."""
    asked = _parse(arguments)
    try:
        DATA.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=DATA) as folder, servers.tenet(Path(folder)) as target:
            generator.prepare(target)
            found = [profile(target, workload, asked.seconds, Path(folder)) for workload in asked.workloads]
    except GeneratorError as error:
        print(error, file=sys.stderr)
        return 2
    for one in found:
        print(f"\n{one.workload}: {one.functions.total()} samples")
        for name, samples in one.functions.most_common(asked.top):
            print(f"  {one.share(samples):>8}  {name}")
    section = Section("profile", table(found))
    print(f"\n{section.table}")
    if asked.write:
        report.write(section, report.provenance(" ".join(["python -m benchmarks.profile", *arguments])))
    return 0


def profile(target: Target, workload: str, seconds: float, folder: Path) -> Profile:
    """Samples the server while a workload is on it.

    Raises:
        GeneratorError: py-spy may not look at the server, or the workload failed.
    """
    output = folder / f"{workload}.folded"
    command = [
        *(str(Path(sys.executable).parent / "py-spy"), "record", "--pid", str(target.pid), "--output", str(output)),
        *("--format", "raw", "--function", "--full-filenames", "--threads"),
        *("--rate", str(SAMPLES_PER_S), "--duration", str(max(1, round(seconds)))),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as sampler:
        time.sleep(0.3)  # py-spy reads the server's symbols first
        (row,) = generator.measure(target, [workload], connections=[CONNECTIONS], seconds=seconds)
        _, errors = sampler.communicate()
    if sampler.returncode or not output.exists():
        raise GeneratorError(
            f"py-spy could not sample the server: {errors.strip()}\n"
            "On Linux it needs to be root or the sysctl kernel.yama.ptrace_scope=0, on macOS sudo."
        )
    if row.errors:
        raise GeneratorError(f"{workload}: {row.error_kinds}")
    return Profile(workload, row.server_cpu_us, count(output.read_text(encoding="utf-8").splitlines()))


def count(folded: Iterable[str]) -> Counter[str]:
    """Counts folded stacks (frames joined by semicolons, a space, the samples) by the function that they count for."""
    functions: Counter[str] = Counter()
    for line in folded:
        stack, _, samples = line.rpartition(" ")
        functions[innermost(stack.split(";"))] += int(samples)
    return functions


def innermost(stack: Sequence[str]) -> str:
    """Returns the function that a stack, outermost frame first, counts for."""
    for frame in reversed(stack):
        function, _, where = frame.partition(" (")
        if PACKAGE in where:
            return f"{where.rpartition(PACKAGE)[2].rstrip(')')}:{function}"
        if any(mark in where for mark in LOOP):
            return EVENT_LOOP
    return OTHER


def room_of(function: str) -> str:
    """Returns the room of a function, or its part where the room has several."""
    parts = function.partition(":")[0].split("/")
    if len(parts) == 1:
        return function
    return "/".join(parts[:-1] if len(parts) > 2 else parts[:1])


def table(profiles: Sequence[Profile]) -> str:
    """Returns CPU by room and workload as a Markdown table, what costs most first."""
    total: Counter[str] = Counter()
    for one in profiles:
        total.update(one.rooms)
    unit = "µs per operation" if all(one.cpu_us is not None for one in profiles) else "share"
    lines = [
        f"| CPU, {unit} | " + " | ".join(one.workload for one in profiles) + " |",
        "|---" * (len(profiles) + 1) + "|",
    ]
    lines += [
        f"| {room} | " + " | ".join(one.share(one.rooms[room]) for one in profiles) + " |"
        for room, _ in total.most_common()
    ]
    lines.append("| **all** | " + " | ".join(one.share(one.functions.total()) for one in profiles) + " |")
    return "\n".join(lines)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", type=lambda text: text.split(","), default=WORKLOADS, metavar="NAME,…")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each workload is sampled")
    parser.add_argument("--top", type=int, default=25, help="how many functions of each are printed")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave docs/performance.md as it is")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
