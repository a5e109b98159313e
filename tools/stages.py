"""Runs the tests in stages, cheapest first, and says how long each took.

    python -m tools.stages check      the quick part, with a quarter of the random examples
    python -m tools.stages test       everything that a change has to pass
    python -m tools.stages long       the full rounds, with a report in docs/results/test-long.md
    python -m tools.stages coverage   everything, measured

``--stages NAME,…`` behind the plan runs some of its stages; what else follows is for pytest.

Each stage is one run of pytest, so that each ends with pytest's own summary. Tests marked ``alone`` measure time or
load; they run last, one after the other, while nothing else does. All randomness of a run comes from one seed, which
is printed and can be given again as TENET_TEST_SEED.
"""

from __future__ import annotations

import os
import platform
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from tools import long_report
from tools.cluster.cluster import NETWORK, open_free
from tools.cluster.spec import Spec

ROOT = Path(__file__).resolve().parent.parent
NO_TESTS_COLLECTED = 5
AUDIT, UNANSWERED = "audit", 2


@dataclass(frozen=True)
class Stage:
    """One run of pytest.

    Args:
        name: what is printed.
        paths: files and folders; those that do not exist are left out.
        left_out: files and folders below those that it leaves out.
        workers: how many processes share the tests; 0 runs them in this one.
        marks: pytest's expression for which tests take part.
        compiled: whether compiled modules are tested, here and in servers that are started, or the source.
        cluster: the Cassandra nodes that it needs, which are started for it, and gone when it has ended; None for none.
            Where TENET_TEST_CLUSTER names a cluster, that one is taken.
    """

    name: str
    paths: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    workers: int = 2
    marks: str = "not alone"
    compiled: bool = False
    cluster: Spec | None = None


@dataclass(frozen=True)
class Result:
    """How a stage went: pytest's status and last line, and the time that it took, by the clock and of processors."""

    stage: str
    status: int
    elapsed_s: float
    cpu_s: float
    summary: str

    @property
    def outcome(self) -> str:
        """Passed, failed, or that the vulnerability database gave no answer, which is no fault of the code."""
        if self.stage == AUDIT and self.status == UNANSWERED:
            return "no answer"
        return "passed" if self.status == 0 else "FAILED"


HOUSE = Stage("house", ("tests/house", "tests/test_tidy.py"))
UNIT = Stage("unit", ("tests/unit",))
CONTRACT = Stage("contract", ("tests/contract",))
SIM = Stage("sim", ("tests/sim",))
#: The same once more in the form that is shipped; whatever looks inside can only do so from source.
COMPILED = Stage(
    "compiled", ("tests/unit", "tests/contract", "tests/sim"), marks="not alone and not interpreted", compiled=True
)
DOCS = Stage("docs", ("tests/docs",), compiled=True)
E2E = Stage("e2e", ("tests/e2e",), compiled=True)
CONFORMANCE = Stage("conformance", ("tests/conformance",), compiled=True)
FAULTS = Stage("faults", ("tests/faults",), compiled=True)
#: What runs where there is no C compiler has to answer the same. Placement has no compiled form; programs in
#: Java wait for the most part, and ask for nothing that others do not.
FROM_SOURCE = Stage(
    "from source", ("tests/conformance",), left_out=("tests/conformance/placement", "tests/conformance/test_java.py")
)
#: What is promised over Cassandra, on the real thing.
DISTRIBUTED = Stage("distributed", ("tests/distributed",), cluster=Spec(never_stops=True))
#: The nodes themselves, killed and started again: one after the other, as they are the same for all tests.
CLUSTER = Stage("cluster", ("tests/cluster",), workers=0, cluster=Spec())
ALONE = Stage("alone", ("tests",), workers=0, marks="alone", compiled=True)
#: What needs a cluster takes the longest, and comes last.
ALL = (UNIT, CONTRACT, SIM, COMPILED, DOCS, E2E, CONFORMANCE, FROM_SOURCE, FAULTS, ALONE, DISTRIBUTED, CLUSTER)
PLANS: dict[str, tuple[Stage, ...]] = {
    # Both at once: what the tools take and what tests wait fill each other's gaps. Some tests wait more than they work,
    # so that six processes share two processors well where nobody measures them.
    "check": (Stage("house and unit", HOUSE.paths + UNIT.paths, workers=6, marks="not alone and not thorough"),),
    "test": (HOUSE, *ALL),
    # The differential test answers for both forms in the short rounds; in the full ones it takes the longest of all.
    "long": tuple(stage for stage in ALL if stage is not FROM_SOURCE),
    # Lines are counted by the interpreter.
    "coverage": tuple(replace(stage, compiled=False) for stage in ALL if stage not in (COMPILED, FROM_SOURCE)),
}

#: How many random examples tests try, where it is not the usual number (tests/rounds.py).
ROUNDS = {"check": {"TENET_TEST_BRIEF": "1"}, "long": {"TENET_TEST_LONG": "1"}}


def run(stage: Stage, seed: int, extra: list[str], environment: dict[str, str], prefix: list[str]) -> Result:
    """Runs one stage, its output as it comes, and returns how it went."""
    paths = [path for path in stage.paths if (ROOT / path).exists()]
    command = [*prefix, "-m", "pytest", *paths, "-m", stage.marks, f"--hypothesis-seed={seed}", "-q", *extra]
    command += [f"--ignore={path}" for path in stage.left_out]
    if stage.workers:
        command += ["-n", str(stage.workers), "--dist", "worksteal"]
    print(f"\n==== {stage.name} ====", flush=True)
    started, cpu = time.monotonic(), children_cpu_s()
    last = ""
    form = {"TENET_COMPILED": str(int(stage.compiled))}
    with subprocess.Popen(command, cwd=ROOT, env=environment | form, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
    elapsed_s = time.monotonic() - started
    status = 0 if process.returncode == NO_TESTS_COLLECTED and stage.marks == "alone" else process.returncode
    print(f"==== {stage.name}: {'passed' if status == 0 else 'FAILED'} in {elapsed_s:.1f} s ====", flush=True)
    return Result(stage.name, status, elapsed_s, children_cpu_s() - cpu, last.strip("= "))


@contextmanager
def cluster_for(stage: Stage) -> Iterator[Mapping[str, str]]:
    """Starts the Cassandra nodes of a stage beside those of others, and gives the variable that names their network.

    They end with this process, even if it is killed: nobody holds on to them then.
    """
    if stage.cluster is None or os.environ.get(NETWORK):
        yield {}
        return
    started = time.monotonic()
    with closing(open_free(stage.cluster)) as cluster:
        cluster.start_all(lambda line: print(line, flush=True))
        print(f"==== cluster: up after {time.monotonic() - started:.1f} s ====", flush=True)
        yield {NETWORK: cluster.spec.network}


def children_cpu_s() -> float:
    """Returns the processor time of all processes that were started from here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def text_of(*command: str) -> str:
    """Returns what a command prints."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def write_report(results: list[Result], seed: int) -> None:
    """Writes the results of the full rounds, with what is needed to run them again, into a committed file."""
    dirty = " with uncommitted changes" if text_of("git", "status", "--porcelain", "--untracked-files=no") else ""
    commit = text_of("git", "rev-parse", "--short", "HEAD") + dirty
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    new = [long_report.Row(one.stage, one.outcome, one.summary, str(seed), commit, when, machine) for one in results]
    target = ROOT / "docs" / "results" / "test-long.md"
    old = long_report.read(target.read_text(encoding="utf-8")) if target.exists() else []
    rows = long_report.merged(old, new, [*(stage.name for stage in PLANS["long"]), AUDIT])
    target.write_text(long_report.text_of(rows), encoding="utf-8")


def chosen(plan: str, arguments: list[str]) -> tuple[list[Stage], list[str]]:
    """Returns the stages of a plan that are asked for, all without ``--stages``, and what is left for pytest.

    Raises:
        SystemExit: the plan has no stage of such a name.
    """
    if not arguments or arguments[0] != "--stages":
        return list(PLANS[plan]), arguments
    names, rest = arguments[1].split(",") if len(arguments) > 1 else [], arguments[2:]
    stages = {stage.name: stage for stage in PLANS[plan]}
    unknown = [name for name in names if name not in stages]
    if unknown or not names:
        raise SystemExit(f"--stages takes some of: {', '.join(stages)}; not {', '.join(unknown) or 'none'}")
    return [stages[name] for name in names], rest


def main() -> int:
    """Runs the plan that is named; returns 1 when any stage failed."""
    plan = sys.argv[1]
    stages, extra = chosen(plan, sys.argv[2:])
    seed = int(os.environ.get("TENET_TEST_SEED") or random.randrange(2**32))
    environment = os.environ | {"TENET_TEST_SEED": str(seed)}
    # Else every worker of every stage would compile all tests anew, with their assertions rewritten.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    prefix = [sys.executable]
    environment |= ROUNDS.get(plan, {})
    if plan == "coverage":
        prefix += ["-m", "coverage", "run"]
    print(f"TENET_TEST_SEED={seed}")
    results = []
    for stage in stages:
        with cluster_for(stage) as named:
            results.append(run(stage, seed, extra, {**environment, **named}, prefix))
    if plan == "long":
        if len(stages) == len(PLANS[plan]):
            results.append(audit())
        write_report(results, seed)
        # The compatibility page counts what the differential test has just found.
        subprocess.run([sys.executable, "-m", "tools.generated_docs"], cwd=ROOT, check=False)
    if plan == "coverage":
        subprocess.run([sys.executable, "-m", "coverage", "combine", "--quiet"], cwd=ROOT, check=False)
        subprocess.run([sys.executable, "-m", "coverage", "report"], cwd=ROOT, check=False)
    print("\n==== stages ====")
    for result in results:
        print(f"{result.stage:<12} {result.elapsed_s:7.1f} s  ({result.cpu_s:6.1f} s of CPU)  {result.outcome}")
    print(f"{'all':<12} {sum(result.elapsed_s for result in results):7.1f} s")
    return int(any(result.outcome == "FAILED" for result in results))


def audit() -> Result:
    """Looks the dependencies up in the vulnerability database; without its answer the report says so."""
    started, cpu = time.monotonic(), children_cpu_s()
    done = subprocess.run([sys.executable, "-m", "tools.audit"], cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout)
    summary = " ".join(done.stdout.split())[:300]
    return Result(AUDIT, done.returncode, time.monotonic() - started, children_cpu_s() - cpu, summary)


if __name__ == "__main__":
    sys.exit(main())
