"""A process that writes to a store until it is killed, and says on standard output what was acknowledged.

    python tests/e2e/sqlite_writer.py DIRECTORY ROUND

Every task counts: its n-th commit sets n in records of several partitions and spaces, adds 1 to a cell, and logs n, all
at once. `sent TASK N ID` goes out before the commit, `done TASK N` when it is acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import uvloop

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.contract import (
    Add,
    Append,
    Commit,
    Committed,
    Delete,
    Key,
    LogOptions,
    Put,
    SpaceOptions,
    new_commit_id,
)
from tenet.store.sqlite import upkeep
from tenet.store.sqlite.engine import SqliteEngine, open_engine

TASKS = 12
RECORDS = 5
CLOCK = SystemClock()
IDS = SystemIds()


def keys_of(task: int) -> list[Key]:
    """Where a task writes its number: in five partitions of two spaces."""
    return [Key(("numbers", "logged")[at % 2], b"task%d.%d" % (task, at), b"n") for at in range(RECORDS)]


def sum_key(task: int) -> Key:
    """Where a task adds 1 with every commit."""
    return Key("numbers", b"task%d.sum" % task)


def toggled_key(task: int) -> Key:
    """A record that is there after every odd commit of a task."""
    return Key("numbers", b"task%d.toggle" % task)


def log_key(task: int) -> Key:
    """What a task's log entries are about."""
    return Key("logged", b"task%d.log" % task)


def value_of(task: int, number: int) -> bytes:
    """The value of a task's n-th commit, of a length that makes small and large pages."""
    return b"%d " % number + b"x" * (task * 300 % 2_500)


def commit_of(task: int, number: int) -> Commit:
    """A task's n-th commit."""
    toggle = Put(toggled_key(task), b"odd") if number % 2 else Delete(toggled_key(task))
    puts = [Put(key, value_of(task, number)) for key in keys_of(task)]
    append = Append(log_key(task), None, b"%d" % number)
    return Commit(new_commit_id(CLOCK, IDS), [*puts, Add(sum_key(task), "n", 1), toggle], (), [append])


def say(line: str) -> None:
    """Writes a line at once; what the kernel has got outlives this process."""
    os.write(1, line.encode("ascii") + b"\n")


async def count_on(engine: SqliteEngine, task: int) -> None:
    """Writes number after number."""
    (record,) = await engine.get([keys_of(task)[0]])
    number = 0 if record is None else int(record.value.split()[0])
    while True:
        number += 1
        commit = commit_of(task, number)
        say(f"sent {task} {number} {commit.id.hex()}")
        outcome = await engine.commit(commit)
        assert isinstance(outcome, Committed), outcome
        say(f"done {task} {number}")


async def make_and_drop(engine: SqliteEngine) -> None:
    """Keeps the catalogue and the emptying of tables busy."""
    while True:
        await engine.ensure_space("passing", SpaceOptions(stamps=True, log=LogOptions()))
        puts = [Put(Key("passing", b"%d" % at), b"x" * 500) for at in range(300)]
        outcome = await engine.commit(Commit(new_commit_id(CLOCK, IDS), puts))
        assert isinstance(outcome, Committed), outcome
        await engine.drop_space("passing")


async def main(directory: Path, round_number: int) -> None:
    """Writes until it is killed."""
    # Checkpoints all the time, so that many kills come in the middle of one.
    for name, value in (("_PAGES_TO_CHECKPOINT", 64), ("_PAGES_TO_PAUSE", 256), ("_ROUND_S", 0.01)):
        setattr(upkeep, name, value)
    engine = await open_engine(str(directory), clock=CLOCK, ids=IDS)
    await engine.ensure_space("numbers", SpaceOptions(stamps=True))
    await engine.ensure_space("logged", SpaceOptions(log=LogOptions(readers=("checker",))))
    async with asyncio.TaskGroup() as group:
        for task in range(TASKS):
            group.create_task(count_on(engine, task))
        if round_number % 2:
            group.create_task(make_and_drop(engine))


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2])))
