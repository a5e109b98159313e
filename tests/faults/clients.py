"""Clients of several workloads at the same time, in processes of their own, against one endpoint or several.

with Clients(target, folder, seed=7).running([Load("lists", clients=6)], seconds=30) as run:
    ...                      # break things
history = run.history       # everything that was asked and told
"""

from __future__ import annotations

import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from tests.conformance.packages import NODE_PROGRAMS
from tests.faults import history
from tests.faults.history import CLIENTS_MAX, Operation
from tests.faults.worker import Orders
from tests.servers import clean_environment

#: An AWS SDK: boto3, or that for JavaScript, version 3.
Language = Literal["python", "javascript"]
ROOT = Path(__file__).resolve().parents[2]
JAVASCRIPT = Path(__file__).parent / "node" / "worker.mjs"
#: How long what is under way may take after the time of a run is up.
LAST_S = 120.0
#: How long clients go on when nothing will be broken any more.
AFTER_S = 2.0


class ClientsFailed(Exception):
    """A process of clients ended with an error of its own; the message holds what it printed."""


@dataclass(frozen=True)
class Target:
    """What clients speak to.

    Args:
        endpoints: URLs; clients are spread over them.
        credentials: ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``.
        ca_file: certificates to trust; None where the endpoints speak http.
        region: the region that is signed for.
    """

    endpoints: Sequence[str]
    credentials: Mapping[str, str]
    ca_file: str | None = None
    region: str = "us-east-1"


@dataclass(frozen=True)
class Load:
    """Clients of one workload, in one process.

    Several loads may have the same workload, if one of them is of Python, which prepares it and takes the last look.

    Args:
        workload: registers, counters, bank or lists.
        clients: how many.
        rate: steps that each begins per second at the most; 0 for as many as are answered. A step is one operation, or
            two where one follows from the other.
        steps: how many each takes at the most; 0 for as many as there is time for.
        keys: how many keys are in use at a time.
        key_s: how many seconds a key is in use.
        language: whose SDK is used.
    """

    workload: str
    clients: int = 4
    rate: float = 0.0
    steps: int = 0
    keys: int = 5
    key_s: float = 2.0
    language: Language = "python"


@dataclass
class Run:
    """A run of clients; its history is whole once it has ended.

    Args:
        begin_ns: when it began, on the monotonic clock.
        until_ns: when clients stopped asking; 0 while that is not known.
        history: everything, by begin; empty while it runs.
    """

    begin_ns: int
    until_ns: int = 0
    history: list[Operation] = field(default_factory=list)


class Clients:
    """Starts and collects clients.

    Args:
        target: what they speak to.
        folder: where their histories go; new files for each run.
        seed: determines what each client does.
        sdk: further settings of the SDK (``botocore.config.Config``).
    """

    def __init__(self, target: Target, folder: Path, *, seed: int, sdk: Mapping[str, Any] | None = None) -> None:
        self._target = target
        self._folder = folder
        self._seed = seed
        self._sdk = dict(sdk or {})
        folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def running(self, loads: Sequence[Load], *, seconds: float, name: str = "run") -> Iterator[Run]:
        """Prepares the tables, runs clients, waits for them, and looks at everything at the end.

        Clients go on for a while after the block, so that it shows whether all is well again. Whatever breaks things
        must have mended them when the block ends: the last look needs answers.

        Args:
            loads: the clients.
            seconds: how long they ask, unless they have taken all of their steps; longer where the block takes longer.
            name: goes into names of tables and files, so that runs do not meet.

        Raises:
            ClientsFailed: a process of clients ended with an error.
        """
        led = {load.workload for load in loads if load.language == "python"}
        assert led == {load.workload for load in loads}, "nobody would prepare a workload and take the last look"
        processes = [
            _Process(self._orders(load, at, name), self._command(load), self._environment)
            for at, load in enumerate(loads)
        ]
        try:
            _all(processes, "prepared", LAST_S)
            run = Run(begin_ns=time.monotonic_ns() + 20_000_000)
            for process in processes:
                process.tell(run.begin_ns)
            yield run
            run.until_ns = max(run.begin_ns + int(seconds * 1e9), time.monotonic_ns() + int(AFTER_S * 1e9))
            for process in processes:
                process.tell(run.until_ns)
            _all(processes, "ended", max(0.0, (run.until_ns - time.monotonic_ns()) / 1e9) + LAST_S)
            run.until_ns = min(run.until_ns, time.monotonic_ns())
            for process in processes:
                process.tell("finish")
            _all(processes, "finished", LAST_S)
            run.history = history.read(process.history for process in processes)
        finally:
            for process in processes:
                process.end()

    def _orders(self, load: Load, at: int, name: str) -> Orders:
        return Orders(
            workload=load.workload,
            table=f"{name}-{load.workload}",
            keys=load.keys,
            key_s=load.key_s,
            endpoints=list(self._target.endpoints),
            ca_file=self._target.ca_file,
            region=self._target.region,
            first_client=at * CLIENTS_MAX,
            clients=load.clients,
            seed=self._seed,
            rate=load.rate,
            steps=load.steps,
            history=str(self._folder / f"{name}-{at}-{load.workload}.jsonl"),
            sdk=self._sdk,
            credentials=dict(self._target.credentials),
        )

    @property
    def _environment(self) -> dict[str, str]:
        # Node takes the certificates that it trusts from here alone.
        return clean_environment(**({"NODE_EXTRA_CA_CERTS": self._target.ca_file} if self._target.ca_file else {}))

    def _command(self, load: Load) -> list[str]:
        if load.language == "python":
            return [sys.executable, "-m", "tests.faults.worker"]
        # Node looks for packages from where a program lies.
        program = self._folder / "node" / JAVASCRIPT.name
        program.parent.mkdir(exist_ok=True)
        shutil.copy(JAVASCRIPT, program)
        packages = program.parent / "node_modules"
        if not packages.is_symlink():
            packages.symlink_to(NODE_PROGRAMS.ensure() / "node_modules")
        return ["node", str(program)]


class _Process:
    """One process of clients.

    Args:
        orders: what it is to do.
        command: the program that does it.
        environment: its variables.
    """

    def __init__(self, orders: Orders, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.history = Path(orders.history)
        self._log = self.history.with_suffix(".log")
        with self._log.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self.tell(orders)

    def tell(self, what: object) -> None:
        """Sends a line; one that has ended does not hear it, which `hear` will say."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(msgspec.json.encode(what) + b"\n")
            self._process.stdin.flush()

    def hear(self, word: str, until_s: float) -> None:
        """Waits until it says a word.

        Raises:
            ClientsFailed: it ended instead, or said nothing in time.
        """
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, until_s - time.monotonic()))
        said = self._process.stdout.readline().decode().strip() if ready else "nothing in time"
        if said != word:
            log = self._log.read_text(encoding="utf-8", errors="replace")[-3_000:]
            raise ClientsFailed(f"clients said {said or 'nothing and ended'} instead of {word}: {self.history}\n{log}")

    def end(self) -> None:
        """Ends it, whatever it does."""
        if self._process.poll() is None and self._process.stdin is not None:
            self._process.kill()
        self._process.communicate()


def _all(processes: Sequence[_Process], word: str, timeout_s: float) -> None:
    until_s = time.monotonic() + timeout_s
    for process in processes:
        process.hear(word, until_s)
