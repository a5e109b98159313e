"""Checks registers and counters for linearizability; the search is Porcupine's, in the program in ``porcupine/``.

Each register and each counter is checked by itself. Of an operation whose SDK sent several requests, each one without
an answer counts as an operation of its own, which may take effect at any later time or never (see ``history``).
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.packages import Package
from tests.faults.history import Operation

PROGRAM = Path(__file__).parent / "porcupine"
#: How long the search may take for one key.
KEY_S_MAX = 60


class CheckerFailed(Exception):
    """The program ended with an error of its own; the message holds what it printed."""


@dataclass(frozen=True)
class Unexplained:
    """A key whose operations have no order that explains them, or for which none was found in time.

    Args:
        key: workload and key.
        verdict: ``not linearizable`` or ``undecided``.
        operations: how many there are.
        explained: the last operations of the longest order that explains all in it.
        stuck: the first ones that could not follow.
        picture: a page that shows all of them, if pictures were asked for.
    """

    key: str
    verdict: str
    operations: int
    explained: tuple[str, ...]
    stuck: tuple[str, ...]
    picture: str

    def __str__(self) -> str:
        lines = [f"{self.key}: {self.verdict} ({self.operations} operations)", "  after"]
        lines += [f"    {line}" for line in self.explained]
        lines += ["  none of these can be next"]
        lines += [f"    {line}" for line in self.stuck]
        return "\n".join(lines + ([f"  picture: {self.picture}"] if self.picture else []))


def _build(folder: Path) -> None:
    done = subprocess.run(
        ["go", "build", "-o", str(folder / "linearizability"), "."],
        cwd=PROGRAM,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise CheckerFailed(f"go build ended with {done.returncode}:\n{done.stderr[-3_000:]}")


def _digest() -> str:
    sources = b"".join((PROGRAM / name).read_bytes() for name in ("go.mod", "go.sum", "main.go"))
    return hashlib.sha256(sources).hexdigest()[:12]


#: The program, built where it was not built before.
CHECKER = Package("linearizability", _digest(), {"go": "the Go toolchain, 1.24 or later"}, _build)


def check(
    history: Iterable[Operation], *, pictures: Path | None = None, key_s_max: int = KEY_S_MAX
) -> list[Unexplained]:
    """Returns the registers and counters that are not linearizable; other workloads are left out.

    Args:
        history: operations, in any order.
        pictures: a folder for a page about each; None for none.
        key_s_max: how long the search may take for one key, seconds.

    Raises:
        ToolMissing: there is no Go to build the program with.
        CheckerFailed: the program could not be built, or ended with an error.
    """
    program = CHECKER.ensure() / "linearizability"
    lines = "\n".join(json.dumps(request) for operation in history for request in _requests(operation))
    command = [str(program), "-timeout", f"{key_s_max}s", *(["-pictures", str(pictures)] if pictures else [])]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CheckerFailed(done.stderr[-3_000:])
    *found, _figures = map(json.loads, done.stdout.splitlines())
    return [_unexplained(one) for one in found]


def _unexplained(told: dict[str, Any]) -> Unexplained:
    explained, stuck = (tuple(told[name] or ()) for name in ("explained", "stuck"))
    return Unexplained(told["key"], told["verdict"], told["operations"], explained, stuck, told.get("picture", ""))


def _requests(operation: Operation) -> Iterator[dict[str, Any]]:
    """Gives what the checker has to explain: each request that had, or may have had, an effect or an answer."""
    if operation.workload not in {"registers", "counters"}:
        return
    *earlier, last = operation.attempts
    if operation.kind != "read":
        unknown = [*earlier, *([last] if operation.outcome == "info" else [])]
        for at, attempt in enumerate(attempt for attempt in unknown if attempt.fate == "unknown"):
            yield {
                **_request(operation, operation.kind),
                "name": f"{operation.name}/{at}",
                "unknown": True,
                "call": attempt.begin_ns,
                **({"value": None} if operation.kind == "add" else {}),
            }
    answered = {"call": last.begin_ns, "return": operation.end_ns}
    if operation.outcome == "ok":
        yield _request(operation, operation.kind) | answered
    elif operation.error == "ConditionalCheckFailedException":
        yield _request(operation, "refused") | answered | {"value": operation.got}


def _request(operation: Operation, kind: str) -> dict[str, Any]:
    of_kind: dict[str, Any] = {
        "read": lambda: {"value": operation.got},
        "write": lambda: {"value": operation.asked},
        "cas": lambda: {"expected": operation.asked[0], "value": operation.asked[1]},
        "refused": lambda: {"expected": operation.asked[0]},
        "add": lambda: {"amount": operation.asked, "value": operation.got},
    }[kind]()
    named = {"key": f"{operation.workload}-{operation.key}", "client": operation.client, "name": operation.name}
    return named | {"kind": kind} | of_kind


def report(found: Sequence[Unexplained], *, shown: int = 3) -> str:
    """Returns what was found, for a person; empty where it was nothing."""
    lines = [str(one) for one in found[:shown]]
    return "\n".join(lines + ([f"and {len(found) - shown} more keys"] if len(found) > shown else []))
