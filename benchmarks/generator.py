"""The load generator (``load/``, a Go program) as Python calls it: built when it is needed, its answers as rows."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "benchmarks" / "load"
BINARY: Final = ROOT / ".cache" / "benchmarks" / "load"

#: The workloads that peers are compared by, in the order of the tables.
WORKLOADS: Final = ("put", "get", "update", "query", "batch", "transaction")
TABLE: Final = "load"
ITEMS: Final = 10_000


class GeneratorError(Exception):
    """The generator cannot be built, or it failed; the message says why."""


class Row(Struct, frozen=True):
    """What one workload did, as the generator's README explains it. CPU and memory are None where there is no /proc."""

    workload: str
    connections: int
    rate_per_s: float
    seconds: float
    operations: int
    operations_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: int
    error_kinds: dict[str, int]
    unsent: int
    lost_updates: int
    operations_of_connection_min: int
    operations_of_connection_max: int
    server_cpu_us: float | None
    server_cores: float | None
    server_memory_mib: float | None
    generator_cpu_us: float
    #: Right answers at any time, the warm-up and what came behind the end included.
    acknowledged: int = 0
    #: CPU of the store's own processes, where the target names them.
    store_cpu_us: float | None = None
    #: Statements that were sent to the store; filled in by those who count them.
    statements: float | None = None


class Request(Struct, frozen=True):
    """What a connection asks, as the service's JSON."""

    connection: int
    operation: str
    body: dict[str, Any]


class Pages(Struct, frozen=True):
    """Page 2 of a long partition beside its last page; milliseconds, medians."""

    pages: int
    rounds: int
    page_2_p50_ms: float
    page_last_p50_ms: float
    ratio: float


@dataclass(frozen=True)
class Target:
    """A server, or several that serve the same, to put under load.

    Args:
        name: what it is called in tables.
        endpoint: its URL, http; those of several with commas between them.
        pids: its process, or theirs.
        access_key_id: signs requests, with the secret.
        secret_access_key: the secret.
        store_pids: the processes of a store below it, which are counted apart.
    """

    name: str
    endpoint: str
    pids: tuple[int, ...]
    access_key_id: str = "benchmark"
    secret_access_key: str = "benchmark"
    store_pids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """A table of the generator's.

    Args:
        table: its name.
        items: in it.
        slots: items in each of its partitions, 1 to 20.
        groups: the most groups of items that one connection goes through, 0 for as many as there are.
    """

    table: str = TABLE
    items: int = ITEMS
    slots: int = 20
    groups: int = 0

    @property
    def partitions(self) -> int:
        """How many partitions it has."""
        return self.items // self.slots

    @property
    def options(self) -> dict[str, object]:
        """As the generator takes them."""
        return {"table": self.table, "items": self.items, "slots": self.slots, "groups": self.groups}


@dataclass(frozen=True)
class QueueLoad:
    """What is done to a queue, which is made for it and deleted afterwards.

    Args:
        workload: ``send``, ``drain`` (receive ten and delete them) or ``deliver`` (send, while others wait for it).
        batch: messages in a request; of a broker, how many may be unconfirmed. 1 to 10.
        body_bytes: of each message.
        is_fifo: whether it is a FIFO queue.
        backlog: messages that a drain begins with, again and again.
        rate_per_s: messages sent per second, for ``deliver``.
        connections: how many.
    """

    workload: str
    batch: int = 1
    body_bytes: int = 256
    is_fifo: bool = False
    backlog: int = 10_000
    rate_per_s: int = 100
    connections: int = 16

    @property
    def options(self) -> dict[str, object]:
        """As the generator takes them."""
        return {
            "workload": self.workload,
            "batch": self.batch,
            "bytes": self.body_bytes,
            "fifo": str(self.is_fifo).lower(),
            "backlog": self.backlog,
            "rate": self.rate_per_s,
            "connections": self.connections,
        }


def build() -> Path:
    """Builds the generator where its source is newer than it, and returns the program.

    Raises:
        GeneratorError: Go is not installed, or the build failed.
    """
    newest = max(path.stat().st_mtime for path in SOURCE.iterdir())
    if BINARY.exists() and BINARY.stat().st_mtime >= newest:
        return BINARY
    if shutil.which("go") is None:
        raise GeneratorError("The load generator is a Go program: install Go 1.22 or later (https://go.dev/dl).")
    # Two builds at once must not write into the same file.
    fresh = BINARY.with_name(f"load.{os.getpid()}")
    fresh.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["go", "build", "-o", str(fresh), "."], cwd=SOURCE, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise GeneratorError(f"The load generator does not build:\n{done.stderr}")
    fresh.replace(BINARY)
    return BINARY


def prepare(
    target: Target,
    *,
    table: str = TABLE,
    items: int = ITEMS,
    slots: int = Dataset.slots,
    indexes: int = 0,
    time_limit_s: int = 600,
) -> None:
    """Makes a table anew and fills it.

    Raises:
        GeneratorError: it could not be filled, or not in time.
    """
    options = {"table": table, "items": items, "slots": slots, "indexes": indexes, "time-limit": f"{time_limit_s}s"}
    _run(target, "prepare", options)


def measure(
    target: Target,
    workloads: Sequence[str],
    *,
    connections: Sequence[int] = (64,),
    seconds: float,
    warm_up_s: float = 0.5,
    rate_per_s: float = 0,
    table: str = TABLE,
    items: int = ITEMS,
    data: Dataset | None = None,
) -> list[Row]:
    """Measures workloads one after another, each with every count of connections, and returns a row for each.

    Raises:
        GeneratorError: it could not be measured.
    """
    options = (data or Dataset(table, items)).options | {
        "workloads": ",".join(workloads),
        "connections": ",".join(map(str, connections)),
        "seconds": seconds,
        "warm-up": warm_up_s,
        "rate": rate_per_s,
        "pid": ",".join(map(str, target.pids)),
        "store-pid": ",".join(map(str, target.store_pids)),
    }
    output = _run(target, "measure", options)
    return [msgspec.json.decode(line, type=Row) for line in output.splitlines()]


def requests(workload: str, *, connections: int, data: Dataset) -> list[Request]:
    """Returns what each connection would ask in one round, in its order.

    Raises:
        GeneratorError: there are too few items.
    """
    options = data.options | {"workloads": workload, "connections": connections}
    output = _run(Target("", "http://127.0.0.1:1", ()), "requests", options)
    return [msgspec.json.decode(line, type=Request) for line in output.splitlines()]


def pages(target: Target, *, count: int = 1_000, rounds: int = 300, table: str = TABLE) -> Pages:
    """Fills one partition with so many pages of 20 items, and compares page 2 with the last.

    Raises:
        GeneratorError: it could not be measured.
    """
    output = _run(target, "pages", {"table": table, "pages": count, "rounds": rounds})
    return msgspec.json.decode(output, type=Pages)


def queue(target: Target, load: QueueLoad, *, seconds: float, warm_up_s: float = 0.5) -> Row:
    """Measures one load on a queue; its operations are messages.

    Raises:
        GeneratorError: it could not be measured.
    """
    options = load.options | {"seconds": seconds, "warm-up": warm_up_s, "pid": ",".join(map(str, target.pids))}
    return msgspec.json.decode(_run(target, "queue", options), type=Row)


def _run(target: Target, command: str, options: Mapping[str, object]) -> str:
    arguments = [f"-{name}={value}" for name, value in options.items()]
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": target.access_key_id,
        "AWS_SECRET_ACCESS_KEY": target.secret_access_key,
    }
    done = subprocess.run(
        [str(build()), command, f"-endpoint={target.endpoint}", "-json", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise GeneratorError(f"{target.name}: {done.stderr.strip()}")
    return done.stdout
