"""Takes a store through a full disk, or a read-only one, and back; ends with 0 where all of it went as promised.

    python tests/e2e/sqlite_disk.py full|read-only FOLDER

The disk is a small file system in memory, where this process may mount one. Where it may not, a limit on the length of
files stands for the full disk, and the folder's permissions for the read-only one.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections.abc import Awaitable
from pathlib import Path

import apsw
import uvloop

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.store.contract import Commit, Committed, Key, Outcome, Put, new_commit_id
from tenet.store.errors import DiskFull, ReadOnlyStore, StoreError
from tenet.store.sqlite.engine import SqliteEngine, open_engine

CLOCK = SystemClock()
IDS = SystemIds()
DISK_BYTES = 12 * 1024 * 1024
FILLER_BYTES = 4 * 1024 * 1024
VALUE_BYTES = 64 * 1024


class MountedDisk:
    """A file system in memory.

    Args:
        folder: where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], check=True)
        self._filler.write_bytes(bytes(FILLER_BYTES))

    def fill(self) -> None:
        """Takes the room that is left."""
        with self._filler.open("ab", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                return

    def make_room(self) -> None:
        """Gives room."""
        self._filler.unlink()

    def set_writable(self, *, is_writable: bool) -> None:
        """Makes it writable, or not."""
        subprocess.run(["mount", "-o", "remount," + ("rw" if is_writable else "ro"), str(self.folder)], check=True)

    def remove(self) -> None:
        """Ends it."""
        subprocess.run(["umount", str(self.folder)], check=True)


class LimitedDisk:
    """What stands for such a disk where nothing may be mounted.

    Args:
        folder: where the store lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._limit(DISK_BYTES - FILLER_BYTES)

    def _limit(self, byte_count: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (byte_count, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    def fill(self) -> None:
        """Takes the room that is left."""
        self._limit(0)

    def make_room(self) -> None:
        """Gives room."""
        self._limit(resource.RLIM_INFINITY)

    def set_writable(self, *, is_writable: bool) -> None:
        """Makes it writable, or not."""
        for path in (self.folder / "data", *(self.folder / "data").iterdir()):
            path.chmod(0o700 if is_writable else 0o500)

    def remove(self) -> None:
        """Ends it."""
        self.make_room()


def small_disk(folder: Path) -> MountedDisk | LimitedDisk:
    """Returns the best disk that this process may have."""
    try:
        return MountedDisk(folder)
    except (OSError, subprocess.CalledProcessError):
        return LimitedDisk(folder)


async def put(engine: SqliteEngine, number: int) -> Outcome:
    """Puts one record whose value tells it from the others."""
    value = b"%d " % number + IDS.draw(VALUE_BYTES)
    return await engine.commit(Commit(new_commit_id(CLOCK, IDS), [Put(Key("things", b"%d" % number), value)]))


async def error_of(call: Awaitable[object]) -> StoreError:
    """The error that a call must end with."""
    try:
        result = await call
    except StoreError as error:
        return error
    raise AssertionError(f"it should have been refused, but gave {result}")


async def assert_there(engine: SqliteEngine, numbers: list[int]) -> None:
    """All these records can be read."""
    for number in numbers:
        (record,) = await engine.get([Key("things", b"%d" % number)])
        assert record is not None, number
        assert record.value.startswith(b"%d " % number)


async def make_spaces(engine: SqliteEngine, count: int) -> None:
    """Makes spaces, each of which takes a few pages."""
    for number in range(count):
        await engine.ensure_space(f"space{number}")


async def open_at(disk: MountedDisk | LimitedDisk) -> SqliteEngine:
    """Opens the store on the disk."""
    return await open_engine(str(disk.folder / "data"), clock=CLOCK, ids=IDS)


async def go_through_full(disk: MountedDisk | LimitedDisk) -> None:
    """A disk that fills up while the store writes, stays full, and gets room again."""
    engine = await open_at(disk)
    await engine.ensure_space("things")
    acknowledged: list[int] = []
    while True:
        wanted = range(len(acknowledged), len(acknowledged) + 4)
        results = await asyncio.gather(*(put(engine, number) for number in wanted), return_exceptions=True)
        acknowledged += [number for number, one in zip(wanted, results, strict=True) if isinstance(one, Committed)]
        refused = [result for result in results if not isinstance(result, Committed)]
        if refused:
            break
    print(f"full after {len(acknowledged)} records: {refused[0]}")
    for error in refused:
        assert isinstance(error, DiskFull), repr(error)
        assert f"no room is left on the disk of {disk.folder / 'data'}" in str(error)
    disk.fill()
    while len(refused) < 40:
        # What was checkpointed before leaves a little room in the log; so some more may go through.
        number = len(acknowledged) + len(refused)
        try:
            assert isinstance(await put(engine, number), Committed)
            acknowledged.append(number)
        except DiskFull as error:
            refused.append(error)
        await assert_there(engine, acknowledged)
        await asyncio.sleep(0.02)  # Upkeep, too, meets the full disk.
    assert isinstance(await error_of(make_spaces(engine, 200)), DiskFull)
    assert (await engine.health())["can_write"] is False
    disk.make_room()
    assert isinstance(await put(engine, 1_000), Committed)
    await engine.ensure_space("more")
    assert (await engine.health())["can_write"] is True
    await assert_there(engine, [*acknowledged, 1_000])
    await engine.close()
    engine = await open_at(disk)
    await assert_there(engine, [*acknowledged, 1_000])
    assert {"more", "things"} <= {info.name for info in await engine.list_spaces()}
    await engine.close()
    connection = apsw.Connection(str(disk.folder / "data" / "tenet.db"))
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


async def open_on_full(disk: MountedDisk | LimitedDisk) -> None:
    """A store that is opened on a full disk."""
    engine = await open_at(disk)
    await engine.ensure_space("things")
    assert isinstance(await put(engine, 1), Committed)
    await engine.close()
    disk.fill()
    error = await error_of(open_at(disk))
    print(f"opening on the full disk: {error}")
    assert isinstance(error, DiskFull), repr(error)
    disk.make_room()
    engine = await open_at(disk)
    await assert_there(engine, [1])
    assert isinstance(await put(engine, 2), Committed)
    await engine.close()


async def go_through_read_only(disk: MountedDisk | LimitedDisk) -> None:
    """A store that is opened where nothing may be written, and again where it may."""
    disk.make_room()
    engine = await open_at(disk)
    await engine.ensure_space("things")
    assert isinstance(await put(engine, 1), Committed)
    await engine.close()
    disk.set_writable(is_writable=False)
    for _ in range(2):
        error = await error_of(open_at(disk))
        print(f"opening on the read-only disk: {error}")
        assert isinstance(error, ReadOnlyStore), repr(error)
        assert f"the data directory {disk.folder / 'data'} cannot be written to" in str(error)
    disk.set_writable(is_writable=True)
    engine = await open_at(disk)
    await assert_there(engine, [1])
    assert isinstance(await put(engine, 2), Committed)
    await engine.close()


SCENES = {"full": go_through_full, "open-full": open_on_full, "read-only": go_through_read_only}


def main(scene: str, folder: Path) -> None:
    """Plays one scene."""
    disk = small_disk(folder)
    print(f"on a {type(disk).__name__}")
    try:
        uvloop.run(SCENES[scene](disk))
    finally:
        disk.remove()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
