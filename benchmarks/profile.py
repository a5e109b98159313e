"""Says where Tenet's CPU goes under a workload, by room and by function, from samples of a running server.

    python -m benchmarks.profile                              every workload, into docs/performance.md
    python -m benchmarks.profile --workloads put --no-write   one, with the functions that cost most

py-spy looks at the server's stacks from outside; the server runs from source, since compiled modules have no Python
stack. A sample counts for the innermost function of Tenet on it: what a library does in C (JSON, hashes, SQLite) counts
for the function that called it. Samples without one are the event loop with the system calls that it makes. How much
CPU each thread had, the system tells; its samples only say how that is divided, since a thread that waits is sampled
too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import generator, report, servers
from benchmarks.generator import WORKLOADS, GeneratorError, Row, Target
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
        functions: CPU of the server in µs per operation (percent of it where the machine does not tell), by function as
            ``path:function`` within the package, ``EVENT_LOOP`` or ``OTHER``.
        unit: of those figures.
    """

    workload: str
    functions: dict[str, float]
    unit: str

    @property
    def rooms(self) -> dict[str, float]:
        """The same by room, with the parts of tables and of the store apart."""
        rooms: defaultdict[str, float] = defaultdict(float)
        for name, cost in self.functions.items():
            rooms[room_of(name)] += cost
        return rooms


def main(arguments: Sequence[str]) -> int:
    """Profiles the workloads that are asked for; returns 2 when that is not possible."""
    asked = _parse(arguments)
    os.environ["TENET_COMPILED"] = "0"
    try:
        DATA.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=DATA) as folder, servers.tenet(Path(folder)) as target:
            generator.prepare(target)
            found = [profile(target, workload, asked.seconds, Path(folder)) for workload in asked.workloads]
    except GeneratorError as error:
        print(error, file=sys.stderr)
        return 2
    command = " ".join(["python -m benchmarks.profile", *arguments])
    tell(found, asked.top, command, report.DOCUMENT if asked.write else None)
    return 0


def tell(found: Sequence[Profile], top: int, command: str, document: Path | None) -> None:
    """Prints profiles, and keeps their table.

    Args:
        found: the profiles.
        top: how many functions of each are printed.
        command: by which they were made.
        document: where the table is kept; None for nowhere.
    """
    for one in found:
        print(f"\n{one.workload}, {one.unit}")
        for name, cost in sorted(one.functions.items(), key=lambda entry: -entry[1])[:top]:
            print(f"  {cost:8.1f}  {name}")
    section = Section("profile", table(found))
    print(f"\n{section.table}")
    if document is not None:
        report.write(section, report.provenance(command), document)


def profile(target: Target, workload: str, seconds: float, folder: Path) -> Profile:
    """Samples the server while a workload is on it.

    Raises:
        GeneratorError: py-spy may not look at the server, or the workload failed.
    """

    def run() -> Row:
        (row,) = generator.measure(target, [workload], connections=[CONNECTIONS], seconds=seconds, warm_up_s=0)
        return row

    return sampled(target, workload, seconds, folder, run)


def sampled(target: Target, workload: str, seconds: float, folder: Path, run: Callable[[], Row]) -> Profile:
    """Samples the server while something that takes so long is run against it.

    Raises:
        GeneratorError: py-spy may not look at the server, or what was run failed.
    """
    output = folder / f"{workload}.folded"
    command = [
        *(str(Path(sys.executable).parent / "py-spy"), "record", "--pid", str(target.pids[0]), "--output", str(output)),
        *("--format", "raw", "--function", "--full-filenames", "--threads"),
        *("--rate", str(SAMPLES_PER_S), "--duration", str(max(1, round(seconds)))),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as sampler:
        time.sleep(0.3)  # py-spy reads the server's symbols first
        before = thread_cpu_us(target.pids[0])
        row = run()
        after = thread_cpu_us(target.pids[0])
        _, errors = sampler.communicate()
    if sampler.returncode or not output.exists():
        raise GeneratorError(
            f"py-spy could not sample the server: {errors.strip()}\n"
            "On Linux it needs to be root or the sysctl kernel.yama.ptrace_scope=0, on macOS sudo."
        )
    if row.errors:
        raise GeneratorError(f"{workload}: {row.error_kinds}")
    samples = count(output.read_text(encoding="utf-8").splitlines())
    spent = {
        thread: (cpu - before.get(thread, 0)) / max(row.acknowledged or row.operations, 1)
        for thread, cpu in after.items()
    }
    return Profile(workload, weigh(samples, spent), "µs per operation" if spent else "% of the CPU")


def thread_cpu_us(pid: int) -> dict[str, float]:
    """Returns the CPU that each thread of a process has had so far, in µs; empty where there is no /proc."""
    found = {}
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            found[file.parent.name] = int(file.read_text(encoding="ascii").split()[0]) / 1_000
    return found


def count(folded: Iterable[str]) -> dict[str, Counter[str]]:
    """Counts folded stacks (frames joined by semicolons, a space, the samples) by thread and function."""
    counted: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in folded:
        stack, _, samples = line.rpartition(" ")
        thread, *frames = stack.split(";")
        counted[thread.partition("(")[2].partition(")")[0]][innermost(frames)] += int(samples)
    return counted


def weigh(samples: Mapping[str, Counter[str]], spent_us: Mapping[str, float]) -> dict[str, float]:
    """Divides what each thread spent among the functions that it was seen in.

    Args:
        samples: by thread and function.
        spent_us: by thread; empty where that is not known: then all samples weigh the same, and add up to 100.
    """
    total = sum(functions.total() for functions in samples.values())
    costs: defaultdict[str, float] = defaultdict(float)
    for thread, functions in samples.items():
        weight = spent_us.get(thread, 0) / functions.total() if spent_us else 100 / total
        for name, seen in functions.items():
            costs[name] += weight * seen
    return dict(costs)


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
    rooms = [one.rooms for one in profiles]
    names = sorted({name for of in rooms for name in of}, key=lambda name: -sum(of.get(name, 0) for of in rooms))
    lines = [f"| CPU, {profiles[0].unit} | " + " | ".join(one.workload for one in profiles) + " |"]
    lines.append("|---" * (len(profiles) + 1) + "|")
    lines += [f"| {name} | " + " | ".join(f"{of.get(name, 0):.1f}" for of in rooms) + " |" for name in names]
    lines.append("| **all** | " + " | ".join(f"{sum(of.values()):.1f}" for of in rooms) + " |")
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
