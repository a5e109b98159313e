"""What clients asked of a store and were told, as JSON lines: one line per operation, written when it has ended.

Times are nanoseconds on the machine's monotonic clock, which all processes of a machine share. An operation is one
call of an SDK; each of its *attempts* is one request that the SDK sent for it.

===== ==================================================================================================================
ok    it took effect, at some moment between its begin and its end
fail  its last attempt did not take effect, and never will
info  nobody knows: it may have taken effect, may still do so, or never will
===== ==================================================================================================================

An attempt whose answer was lost may land later than the one that the SDK sent after it. So where requests carry no
token that makes them one (``workload`` registers and counters), a checker has to take each attempt of unknown outcome
for an operation of its own that may take effect at any later time, whatever became of the last attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

#: Clients of one process have numbers below it; the last one looks at everything before and after the others.
CLIENTS_MAX = 100

Outcome = Literal["ok", "fail", "info"]
#: What became of one request: answered; refused, so that it has no effect; or nobody knows.
Fate = Literal["ok", "refused", "unknown"]


class Attempt(msgspec.Struct, frozen=True):
    """One request that an SDK sent.

    Args:
        begin_ns: a moment before it was sent.
        end_ns: a moment after its answer came, or was given up.
        fate: what became of it.
        error: code of the error, or name of the exception; empty where there was none.
    """

    begin_ns: int
    end_ns: int
    fate: Fate
    error: str = ""


class Operation(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call of an SDK.

    Args:
        workload: registers, counters, bank or lists.
        kind: what was asked, in the words of the workload.
        client: who asked; a client asks one thing after the other.
        number: counts the client's operations.
        outcome: as above.
        begin_ns: a moment before its first attempt was sent.
        end_ns: a moment after its outcome was known.
        attempts: its requests, oldest first.
        key: what it is about, where that is one thing.
        asked: its arguments, as the workload has them.
        got: its result, as the workload has it.
        error: code of the last attempt's error.
    """

    workload: str
    kind: str
    client: int
    number: int
    outcome: Outcome
    begin_ns: int
    end_ns: int
    attempts: tuple[Attempt, ...] = ()
    key: str = ""
    asked: Any = None
    got: Any = None
    error: str = ""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"{self.client}.{self.number}"

    @property
    def is_last_look(self) -> bool:
        """Whether it was asked when all other clients had ended."""
        return self.client % CLIENTS_MAX == CLIENTS_MAX - 1


class HistoryDamaged(Exception):
    """A history does not hold what its writer had to say; the message names the file."""


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Operation)
#: Ends the file of each process, so that one that ended early is not taken for one that had nothing more to say.
_END = b'{"end":true}'


class HistoryFile:
    """Where one process writes its operations; safe to be used by one thread at a time.

    Args:
        path: a new file.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")

    def write(self, operation: Operation) -> None:
        """Adds an operation."""
        self._file.write(_ENCODER.encode(operation) + b"\n")

    def close(self) -> None:
        """Says that this is all, and closes the file."""
        self._file.write(_END + b"\n")
        self._file.close()


def read(paths: Iterable[Path]) -> list[Operation]:
    """Returns the operations of all files by their begin.

    Raises:
        HistoryDamaged: a file ends without its end mark.
    """
    operations: list[Operation] = []
    for path in paths:
        *lines, last = path.read_bytes().splitlines() or [b""]
        if last != _END:
            raise HistoryDamaged(
                f"{path} has no end mark: its process ended early, and what it last asked is not known"
            )
        operations += map(_DECODER.decode, lines)
    return sorted(operations, key=lambda operation: operation.begin_ns)


def write(path: Path, operations: Sequence[Operation]) -> None:
    """Writes a whole history into a new file."""
    file = HistoryFile(path)
    for operation in operations:
        file.write(operation)
    file.close()
