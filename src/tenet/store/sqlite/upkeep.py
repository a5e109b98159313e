"""What the engine does beside its callers' requests: checkpoints, and forgetting what is no longer needed.

All of it is done in small pieces, which queue up with everybody else's writes, or in a thread of its own. Checkpoints
follow https://www.sqlite.org/wal.html: passive ones wait for nobody, and nobody waits for them. Under constant writing
they never reach the very last page, without which the write-ahead log would grow for ever; so when it has grown enough,
one runs while the writer pauses between two transactions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import apsw
import structlog

from tenet.store.errors import StoreError
from tenet.store.sqlite.faults import translate
from tenet.store.sqlite.logs import Trimming
from tenet.store.sqlite.removals import prune, sweep
from tenet.store.sqlite.schema import PAGE_BYTES, Execute, connect
from tenet.store.sqlite.works import probe

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.sqlite.opened import OpenFile

T = TypeVar("T")

_ROUND_S: Final = 0.25
#: Every so many rounds it is also looked for what can be forgotten.
_ROUNDS_TO_FORGET: Final = 4
_PAGES_TO_CHECKPOINT: Final = 16 * 1024 * 1024 // PAGE_BYTES
#: Where more than so many pages come in a round, many of them are the same: more are waited for, to copy those once.
_PAGES_OF_BUSY_ROUND: Final = 32 * 1024 * 1024 // PAGE_BYTES
_PAGES_TO_CHECKPOINT_BUSY: Final = 128 * 1024 * 1024 // PAGE_BYTES
_PAGES_TO_PAUSE: Final = 256 * 1024 * 1024 // PAGE_BYTES
#: Of a log that has grown by so much, what was copied is brought to the disk before a pause has to.
_PAGES_TO_WRITE_BACK: Final = _PAGES_TO_CHECKPOINT
#: A write-ahead log that has been idle for so many rounds is brought into the file and begun anew.
_IDLE_ROUNDS: Final = 20
#: What it may take on the disk then: to write over it is a third faster than to let a file grow.
_KEPT_BYTES: Final = 512 * 1024 * 1024
_CACHE_BYTES: Final = 1024 * 1024

_log = structlog.get_logger(__name__)


class Upkeep:
    """The upkeep of one open file.

    Args:
        file: the file.
        directory: the data directory, for messages.
        clock: time.
    """

    def __init__(self, file: OpenFile, *, directory: str, clock: Clock) -> None:
        self._file = file
        self._directory = directory
        self._wal = Path(file.path + "-wal")
        self._clock = clock
        self._connection = connect(file.path, cache_bytes=_CACHE_BYTES)
        self._connection.set_busy_timeout(50)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="tenet-upkeep")
        self._checkpointed = (0, 0)
        self._idle_rounds = 0
        self._seen_transactions = -1
        self._seen_pages = 0
        #: How many pages the log had when what it held was last brought to the disk.
        self._written_back = 0
        self._trimmed: dict[tuple[int, int], int] = {}
        #: Why the last checkpoint failed; empty where it did not.
        self._told = ""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Ends it."""
        self._task.cancel()
        self._file.writeback.stop()
        await asyncio.wait((self._task,))
        await asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)
        self._connection.close()

    async def _run(self) -> None:
        round_number = 0
        while True:
            await asyncio.sleep(_ROUND_S)
            round_number += 1
            await self._try(self._keep_log_short)
            if round_number % _ROUNDS_TO_FORGET == 0:
                # Nobody may write while it is known that the disk takes nothing; so it is found out here.
                await self._try(self._probe if self._file.writer.figures.write_refusal else self._forget)

    async def _try(self, piece: Callable[[], Awaitable[object]]) -> None:
        try:
            await piece()
        except Exception as error:  # noqa: BLE001 - the operator sees it in the figures; the next round tries again
            self._file.writer.figures.note_failure(error)

    async def _probe(self) -> None:
        with suppress(StoreError):  # The writer has counted it.
            await self._file.write(probe)

    async def _in_thread(self, call: Callable[[Execute], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, call, self._connection.execute)
        except apsw.Error as error:
            raise translate(error, self._connection, self._directory) from error

    # ---- checkpoints -------------------------------------------------------------------------------------------------

    async def _keep_log_short(self) -> None:
        figures = self._file.writer.figures
        now = (figures.transactions, figures.wal_pages)
        if now[0] == self._seen_transactions:
            self._idle_rounds += 1
        else:
            self._idle_rounds, self._seen_transactions = 0, now[0]
        if self._idle_rounds == _IDLE_ROUNDS and (wal_bytes := self._wal_bytes()):
            await self._checkpoint_alone("RESTART" if wal_bytes <= _KEPT_BYTES else "TRUNCATE")
        elif now[1] >= self._pages_to_checkpoint(now[1]) and now != self._checkpointed:
            self._checkpointed = now
            with self._file.writer.slow_disk():
                await self._checkpoint("PASSIVE")
                await self._write_back()
            if figures.wal_pages >= _PAGES_TO_PAUSE:
                await self._checkpoint_alone("PASSIVE")

    async def _write_back(self) -> None:
        """Brings what was copied to the disk, as soon as it is worth it and until the next checkpoint is due."""
        figures = self._file.writer.figures
        if figures.wal_pages < self._written_back:
            self._written_back = 0  # The log has begun anew.
        if figures.wal_pages - self._written_back < _PAGES_TO_WRITE_BACK:
            return
        self._written_back = figures.wal_pages
        await asyncio.get_running_loop().run_in_executor(
            self._executor, self._file.writeback.run, lambda: figures.wal_pages >= _PAGES_TO_PAUSE
        )

    def _pages_to_checkpoint(self, pages: int) -> int:
        came = pages - self._seen_pages if pages >= self._seen_pages else pages
        self._seen_pages = pages
        return _PAGES_TO_CHECKPOINT_BUSY if came > _PAGES_OF_BUSY_ROUND else _PAGES_TO_CHECKPOINT

    async def _checkpoint(self, mode: str) -> None:
        try:
            ((_, frames, copied),) = await self._in_thread(
                lambda execute: execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
            )
        except StoreError as error:
            if error.message != self._told:
                # Once: it is tried again every round.
                _log.error("a checkpoint failed; see the runbook on disks", reason=error.message)
            self._told = error.message
            raise
        if copied == frames:
            # One that does not reach the end of the log synchronises nothing.
            self._told = ""

    async def _checkpoint_alone(self, mode: str) -> None:
        """Runs a checkpoint between two transactions, so that it reaches the end of the log."""
        async with self._file.writer.paused():
            self._file.pool.let_go()
            if mode == "TRUNCATE":
                await self._file.runway.halt()
            try:
                await self._checkpoint(mode)
            finally:
                if mode == "TRUNCATE":
                    self._file.runway.begin_anew()
            # Whoever began to read before its end would keep the log from beginning anew.
            self._file.pool.let_go()

    def _wal_bytes(self) -> int:
        try:
            return self._wal.stat().st_size
        except FileNotFoundError:
            return 0

    # ---- forgetting --------------------------------------------------------------------------------------------------

    async def _forget(self) -> None:
        await self._prune_outcomes()
        await self._trim_logs()
        for (table,) in await self._in_thread(lambda execute: execute("SELECT name FROM garbage").fetchall()):
            await self._file.remove_all(sweep(table))

    async def _prune_outcomes(self) -> None:
        now_ms = self._clock.wall_ms()
        self._file.outcomes.prune(now_ms)
        oldest = await self._in_thread(
            lambda execute: execute(
                "SELECT min(until_ms) FROM commits WHERE first < (SELECT max(first) FROM commits)"
                " UNION ALL SELECT min(until_ms) FROM fences"
            ).fetchall()
        )
        if any(until_ms is not None and until_ms < now_ms for (until_ms,) in oldest):
            await self._file.remove_all(prune(now_ms))

    async def _trim_logs(self) -> None:
        now_ms, closed = self._clock.wall_ms(), self._file.outcomes.closed_time
        trimmings: list[Trimming] = []
        for space in self._file.catalogue:
            for shard in range(space.log.shards if space.log is not None else 0):
                floor = self._file.releases.floor(space, shard, closed=closed, now_ms=now_ms)
                if floor > self._trimmed.get((space.number, shard), 0):
                    trimmings.append(Trimming(space, shard, floor))
        if not trimmings:
            return
        needed = await self._in_thread(lambda execute: [one for one in trimmings if one.is_needed(execute)])
        for trimming in needed:
            await self._file.remove_all(trimming.work)
        for trimming in trimmings:
            self._trimmed[(trimming.space.number, trimming.shard)] = trimming.floor
