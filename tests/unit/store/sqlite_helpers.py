"""What the tests of the embedded engine share: an open engine, short ways to write, and a disk that misbehaves."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import apsw
import uvloop

from tenet.base.clock import NEVER, Clock, SystemClock
from tenet.base.ids import SystemIds
from tenet.store.contract import Append, Check, Commit, Committed, Key, Outcome, Put, Record, Write, new_commit_id
from tenet.store.sqlite.engine import SqliteEngine, open_engine
from tenet.store.sqlite.opened import OpenFile
from tenet.store.sqlite.schema import FILE_NAME, PAGE_BYTES

T = TypeVar("T")

CLOCK = SystemClock()
IDS = SystemIds()


def run(test: Coroutine[Any, Any, T]) -> T:
    """Runs a test on the loop that the server runs on."""
    return uvloop.run(test)


@asynccontextmanager
async def opened(directory: Path, clock: Clock = CLOCK, space: str = "things") -> AsyncIterator[SqliteEngine]:
    """An open engine with a space."""
    engine = await open_engine(str(directory), clock=clock, ids=IDS)
    try:
        await engine.ensure_space(space)
        yield engine
    finally:
        await engine.close()


def file_of(engine: SqliteEngine) -> OpenFile:
    """The open file of an engine."""
    assert engine._serving.file is not None
    return engine._serving.file


def damage_leaves(directory: Path) -> None:
    """Damages the file of a closed engine: all pages but those that hold the schema and the roots of the tables."""
    path = directory / FILE_NAME
    data = bytearray(path.read_bytes())
    for page in range(20, len(data) // PAGE_BYTES):
        data[page * PAGE_BYTES : page * PAGE_BYTES + 16] = b"\xff" * 16
    path.write_bytes(data)


def commit_of(
    *writes: Write, checks: Sequence[Check] = (), appends: Sequence[Append] = (), clock: Clock = CLOCK
) -> Commit:
    """A commit with a new id."""
    return Commit(new_commit_id(clock, IDS), writes, checks, appends)


def key(number: int, sort: bytes = b"") -> Key:
    """A key in a partition of its own."""
    return Key("things", b"p%d" % number, sort)


async def put(engine: SqliteEngine, number: int, value: bytes = b"x", *, deadline: float = NEVER) -> Outcome:
    """Puts one record."""
    return await engine.commit(commit_of(Put(key(number), value)), deadline=deadline)


async def put_surely(engine: SqliteEngine, number: int, value: bytes = b"x") -> Committed:
    """Puts one record, which nothing stands against."""
    outcome = await put(engine, number, value)
    assert isinstance(outcome, Committed)
    return outcome


async def value_of(engine: SqliteEngine, number: int) -> bytes | None:
    """The value of a record."""
    (record,) = await engine.get((key(number),))
    return None if record is None else record.value


async def eventually(condition: Any, timeout_s: float = 10.0) -> None:
    """Waits until a condition holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


def values(records: Any) -> list[bytes | None]:
    """The values of records."""
    return [record.value if isinstance(record, Record) else None for record in records]


class Disk(apsw.VFS):
    """A disk below SQLite that does as it is told with the log and with reads; all else is the machine's."""

    def __init__(self) -> None:
        self.name = "misbehaving"
        self.base = "unix"
        #: Raised by every write to the log.
        self.write_error: type[apsw.Error] | None = None
        #: Raised by every synchronisation of the log, after it was done.
        self.sync_error: type[apsw.Error] | None = None
        #: Raised by every read of the file.
        self.read_error: apsw.Error | None = None
        #: How often the log was synchronised, and in which threads.
        self.syncs = 0
        self.syncing: list[str] = []
        #: How long that takes longer than on the machine's disk, seconds.
        self.slow_s = 0.0
        self._may_sync = threading.Event()
        self._may_sync.set()
        super().__init__(self.name, self.base, makedefault=True)

    def hold(self) -> None:
        """Makes synchronising the log wait."""
        self._may_sync.clear()

    def release(self) -> None:
        """Lets it go on."""
        self._may_sync.set()

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> DiskFile:  # noqa: N802 - SQLite's name
        """Opens a file."""
        return DiskFile(self, name, flags)

    def before_write(self) -> None:
        """Called before the log is written to."""
        if self.write_error is not None:
            raise self.write_error("told so by a test")

    def before_read(self) -> None:
        """Called before the file is read."""
        if self.read_error is not None:
            raise self.read_error

    def after_sync(self) -> None:
        """Called after the log was synchronised."""
        self.syncs += 1
        self.syncing.append(threading.current_thread().name)
        self._may_sync.wait(20)
        time.sleep(self.slow_s)
        if self.sync_error is not None:
            raise self.sync_error("told so by a test")


class DiskFile(apsw.VFSFile):
    """A file on such a disk."""

    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        text = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._is_log = text is not None and text.endswith("-wal")
        self._is_file = text is not None and text.endswith(FILE_NAME)
        super().__init__(disk.base, name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's name
        """Reads."""
        if self._is_file:
            self._disk.before_read()
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        """Writes."""
        if self._is_log:
            self._disk.before_write()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        """Synchronises."""
        super().xSync(flags)
        if self._is_log:
            self._disk.after_sync()


@contextmanager
def misbehaving_disk() -> Iterator[Disk]:
    """A disk that every engine uses which is opened meanwhile."""
    disk = Disk()
    try:
        yield disk
    finally:
        disk.release()
        disk.unregister()
