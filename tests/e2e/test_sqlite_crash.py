"""kill -9 at any moment loses nothing that was acknowledged, and leaves no half of a commit."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import pytest
import uvloop

from tenet.store.contract import (
    Commit,
    CommitId,
    Committed,
    Key,
    LogEntry,
    NeverCommitted,
    Put,
    Record,
    Version,
    new_commit_id,
)
from tenet.store.sqlite.engine import SqliteEngine, open_engine
from tenet.store.sqlite.schema import FILE_NAME
from tests.e2e import sqlite_writer as writer
from tests.rounds import rounds

#: 20 kills of one store in every run, 200 of ten stores in the full rounds.
KILLS = 20
STORES = rounds(1, 10)
WRITER = Path(writer.__file__)


@dataclass
class Told:
    """What a writer said before it was killed."""

    sent: dict[int, tuple[int, CommitId]] = field(default_factory=dict)
    done: dict[int, int] = field(default_factory=dict)

    def take(self, line: str) -> None:
        """Takes up a line."""
        what, task, number, *commit_id = line.split()
        if what == "sent":
            self.sent[int(task)] = (int(number), CommitId(bytes.fromhex(commit_id[0])))
        else:
            self.done[int(task)] = int(number)


def write_and_kill(directory: Path, round_number: int, after_s: float) -> Told:
    """Runs a writer and kills it so many seconds after its first commit was acknowledged."""
    said = directory / "said"
    command = [sys.executable, str(WRITER), str(directory), str(round_number)]
    # A file, because it takes everything at once: a pipe would make the writer wait for whoever reads it.
    with said.open("wb") as output, subprocess.Popen(command, stdout=output, cwd=WRITER.parents[2]) as process:
        while b"done" not in said.read_bytes():
            assert process.poll() is None, "the writer ended by itself"
            time.sleep(0.005)
        time.sleep(after_s)
        assert process.poll() is None, "the writer ended by itself"
        process.kill()
    told = Told()
    # A line that was cut off was not said.
    for line in said.read_text(encoding="ascii").split("\n")[:-1]:
        told.take(line)
    return told


async def log_of(engine: SqliteEngine) -> list[LogEntry]:
    """Everything that the log holds."""
    entries: list[LogEntry] = []
    while True:
        page = await engine.read_log("logged", 0, after=entries[-1].position if entries else 0, limit=1_000)
        if not page.entries:
            return entries
        entries += page.entries


class Checker:
    """Compares what the store holds with what was acknowledged, round after round.

    Args:
        directory: the data directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._acknowledged = dict.fromkeys(range(writer.TASKS), 0)
        self._last_version = Version(b"")

    async def check(self, told: Told) -> int:
        """Opens the store after a kill and looks at everything; returns how many commits it has seen."""
        check_integrity(self._directory)
        engine = await open_engine(str(self._directory), clock=writer.CLOCK, ids=writer.IDS)
        try:
            await engine.ensure_space("numbers", (await engine.list_spaces("numbers"))[0].options)
            log = await log_of(engine)
            for task in range(writer.TASKS):
                await self._check_task(engine, task, told, log)
            await self._check_versions(engine, log)
        finally:
            await engine.close()
        return sum(self._acknowledged.values())

    async def _check_task(self, engine: SqliteEngine, task: int, told: Told, log: list[LogEntry]) -> None:
        acknowledged = max(self._acknowledged[task], told.done.get(task, 0))
        found = await engine.get([*writer.keys_of(task), writer.sum_key(task), writer.toggled_key(task)])
        *numbers, total, toggled = found
        state = {0 if record is None else int(record.value.split()[0]) for record in numbers}
        assert len(state) == 1, f"task {task} has half of a commit: {sorted(state)}"
        (number,) = state
        assert acknowledged <= number <= acknowledged + 1, f"task {task}: {acknowledged} acknowledged, {number} there"
        assert _sum(total) == number
        assert (toggled is not None) == bool(number % 2)
        entries = [int(entry.new or b"") for entry in log if entry.partition == writer.log_key(task).partition]
        assert entries == list(range(1, number + 1))
        if number:
            assert numbers[0] is not None
            assert numbers[0].value == writer.value_of(task, number)
        await self._check_settled(engine, task, told, number)
        self._acknowledged[task] = number

    async def _check_settled(self, engine: SqliteEngine, task: int, told: Told, number: int) -> None:
        """What was under way when the writer was killed is settled as the records have it."""
        if task not in told.sent:
            return
        sent, commit_id = told.sent[task]
        settled = await engine.settle(Commit(commit_id, writer.commit_of(task, sent).writes))
        if sent <= number:
            assert isinstance(settled, Committed)
        else:
            assert settled == NeverCommitted(commit_id)

    async def _check_versions(self, engine: SqliteEngine, log: list[LogEntry]) -> None:
        """Versions and positions go on above everything that was."""
        positions = [entry.position for entry in log]
        assert positions == sorted(set(positions))
        put = Put(Key("numbers", b"versions"), b"x")
        outcome = await engine.commit(Commit(new_commit_id(writer.CLOCK, writer.IDS), [put]))
        assert isinstance(outcome, Committed)
        assert outcome.version > max([self._last_version, *(entry.version for entry in log)])
        self._last_version = outcome.version


def _sum(record: Record | None) -> int:
    return 0 if record is None else record.cells["n"]


def check_integrity(directory: Path) -> None:
    """Has SQLite look at every page, as the kill left them."""
    connection = apsw.Connection(str(directory / FILE_NAME))
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


@pytest.mark.time_limit_s(200)
@pytest.mark.parametrize("store", range(STORES))
def test_nothing_that_was_acknowledged_is_lost(tmp_path: Path, seed: int, store: int) -> None:
    dice = random.Random(f"{seed} {store}")
    checker = Checker(tmp_path)
    commits = 0
    for round_number in range(KILLS):
        told = write_and_kill(tmp_path, round_number, dice.uniform(0, 0.5))
        seen = uvloop.run(checker.check(told))
        assert seen > commits, "the writer wrote nothing in this round"
        commits = seen
    print(f"{commits} commits, {KILLS} kills, seed {seed}, store {store}")
