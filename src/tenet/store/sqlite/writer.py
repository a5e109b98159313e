"""The one writer: jobs wait in line, many share one transaction, and one fsync makes all of them durable.

Statements run on the event loop, some microseconds each; a thread of their own would spend more on the interpreter's
lock than on SQLite. Only COMMIT, which waits for the disk, runs in a thread, and the loop goes on meanwhile: requests
are read, further jobs queue up, reads see the last durable transaction. Nobody gets an answer before COMMIT returned.

Promises: jobs are carried out in order of arrival; a job never holds the loop for much longer than ``TURN_COST`` takes;
what waits is bounded; a job whose deadline passes while it waits is not carried out.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import apsw

from tenet.base.clock import NEVER
from tenet.base.errors import TenetError
from tenet.store.contract import Commit, Unknown
from tenet.store.errors import DeadlineExceeded, StoreUnavailable
from tenet.store.sqlite.apply import Transaction, apply
from tenet.store.sqlite.faults import translate
from tenet.store.sqlite.figures import Figures

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.sqlite.outcomes import Outcomes
    from tenet.store.sqlite.spaces import Catalogue

#: What waits at the most; beyond it a job is refused.
QUEUE_JOBS_MAX: Final = 10_000
QUEUE_BYTES_MAX: Final = 64 * 1024 * 1024
#: What one transaction carries at the most, if more than one job has to share it.
GROUP_JOBS_MAX: Final = 1_000
GROUP_BYTES_MAX: Final = 8 * 1024 * 1024
#: What is carried out before the loop gets a turn: about 3 ms.
TURN_COST: Final = 256

#: Carries a job out; yields None whenever the loop should have a turn, and at last the result.
Work = Callable[[Transaction], Iterator[Any]]


class _Order(Enum):
    """What the commit thread is told."""

    COMMIT = "commit"
    STOP = "stop"


class Job:
    """Something that waits for the writer.

    Args:
        future: gets the result once it is durable.
        commit: the commit that it is, or None.
        work: what to do, where it is no commit.
        byte_count: how much memory it holds.
        deadline: when it is of no use any more, in seconds on the monotonic clock.
        on_durable: called with the result before the future gets it.
    """

    __slots__ = ("byte_count", "commit", "deadline", "future", "on_durable", "result", "work")

    def __init__(
        self,
        future: asyncio.Future[Any],
        *,
        commit: Commit | None = None,
        work: Work | None = None,
        byte_count: int = 0,
        deadline: float = NEVER,
        on_durable: Callable[[Any], None] | None = None,
    ) -> None:
        self.future = future
        self.commit = commit
        self.work = work
        self.byte_count = byte_count
        self.deadline = deadline
        self.on_durable = on_durable
        self.result: Any = None


class Writer:
    """Carries jobs out, many to a transaction.

    Args:
        connection: the connection that only the writer uses.
        directory: the data directory, for messages.
        catalogue: the spaces.
        outcomes: what became of commits.
        clock: time.
        ids: nonces of versions.
        site: the site's number, 0 to 65,535.
        on_commit: called with the commits of every transaction that became durable.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        *,
        directory: str,
        catalogue: Catalogue,
        outcomes: Outcomes,
        clock: Clock,
        ids: Ids,
        site: int,
        on_commit: Callable[[list[Job]], None],
    ) -> None:
        self._connection = connection
        self._directory = directory
        self._catalogue = catalogue
        self._outcomes = outcomes
        self._clock = clock
        self._ids = ids
        self._site = site.to_bytes(2, "big")
        self._on_commit = on_commit
        self._loop = asyncio.get_running_loop()
        self._line: deque[Job] = deque()
        self._line_bytes = 0
        self._group: list[Job] = []
        self._transaction: Transaction | None = None
        self._unfinished: tuple[Job, Iterator[Any]] | None = None
        self._is_running = False
        self._is_closed = False
        self._pauses: deque[asyncio.Future[None]] = deque()
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._commit_forever, name="tenet-commit", daemon=True)
        self._thread.start()
        self.figures = Figures()

    # ---- the line ----------------------------------------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Puts a job in line.

        Raises:
            StoreUnavailable: the line is full, or the engine is closed.
        """
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        line = self._line
        if len(line) >= QUEUE_JOBS_MAX or self._line_bytes + job.byte_count > QUEUE_BYTES_MAX:
            raise StoreUnavailable(f"{len(line)} writes wait for the disk; no more are taken until it has caught up")
        line.append(job)
        self._line_bytes += job.byte_count
        if not self._is_running:
            self._is_running = True
            # In the next turn of the loop: what arrived together is committed together.
            self._loop.call_soon(self._run)

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._line)

    async def pause(self) -> None:
        """Waits until no transaction is open, and keeps the next one from beginning until ``go_on``."""
        turn: asyncio.Future[None] = self._loop.create_future()
        self._pauses.append(turn)
        if not self._is_running:
            self._is_running = True
            self._loop.call_soon(self._run)
        await turn

    def go_on(self) -> None:
        """Ends a pause."""
        self._loop.call_soon(self._run)

    async def close(self) -> None:
        """Carries out what waits, then stops."""
        self._is_closed = True
        await self.pause()
        self._orders.put(_Order.STOP)
        await self._loop.run_in_executor(None, self._thread.join)

    # ---- a transaction -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Carries jobs out for one turn of the loop."""
        try:
            if self._transaction is None and not self._begin():
                return
            if self._carry_out():
                self._finish()
            else:
                self._loop.call_soon(self._run)
        except Exception as error:  # noqa: BLE001 - whatever it is, the jobs of this transaction have to hear of it
            self._give_up(error)

    def _begin(self) -> bool:
        """Opens a transaction; false where there is nothing to do, or somebody wants a pause."""
        if self._pauses and (not self._is_closed or not self._line):
            turn = self._pauses.popleft()
            if not turn.done():
                turn.set_result(None)
                return False
        if not self._line:
            self._is_running = False
            return False
        self._connection.execute("BEGIN IMMEDIATE")
        time = max(self._outcomes.last_time + 1, self._clock.wall_ms() << 16)
        self._transaction = Transaction(
            self._connection, self._catalogue, self._outcomes, time=time, tail=self._site + self._ids.draw(6)
        )
        return True

    def _carry_out(self) -> bool:
        """Carries jobs out until the line is empty, the transaction is full, or the loop should have a turn."""
        transaction, line, group = self._transaction, self._line, self._group
        assert transaction is not None
        group_bytes = sum(job.byte_count for job in group)
        cost = 0
        now = self._clock.monotonic_s()
        while line or self._unfinished:
            if cost >= TURN_COST:
                return False
            if self._unfinished:
                job, progress = self._unfinished
                self._unfinished = None
            else:
                job = line[0]
                if group and (len(group) >= GROUP_JOBS_MAX or group_bytes + job.byte_count > GROUP_BYTES_MAX):
                    return True
                line.popleft()
                self._line_bytes -= job.byte_count
                if job.future.done() or _is_late(job, now):
                    continue
                group.append(job)
                group_bytes += job.byte_count
                progress = self._start(job, transaction)
            commit = job.commit
            cost += 2 if commit is None else len(commit.writes) + len(commit.checks) + len(commit.appends)
            try:
                job.result = next(progress)
            except TenetError as error:
                # Refused before it wrote anything; the others of the transaction are not concerned.
                job.result = error
            if job.result is None:
                self._unfinished = (job, progress)
                return False
        return True

    def _start(self, job: Job, transaction: Transaction) -> Iterator[Any]:
        if job.commit is not None:
            return apply(transaction, job.commit)
        assert job.work is not None
        return job.work(transaction)

    def _finish(self) -> None:
        """Ends the transaction: by COMMIT in the thread where something was written, at once where not."""
        transaction = self._transaction
        assert transaction is not None
        transaction.write_ids()
        if transaction.has_written:
            self._orders.put(_Order.COMMIT)
            return
        self._connection.execute("ROLLBACK")
        self._answer()

    def _commit_forever(self) -> None:
        """The commit thread."""
        execute = self._connection.execute
        while self._orders.get() is _Order.COMMIT:
            began = self._clock.monotonic_s()
            error: apsw.Error | None = None
            try:
                execute("COMMIT")
            except apsw.Error as raised:
                error = raised
            self._loop.call_soon_threadsafe(self._committed, error, self._clock.monotonic_s() - began)

    def _committed(self, error: apsw.Error | None, elapsed_s: float) -> None:
        """Takes up the end of a COMMIT."""
        if error is None:
            self.figures.note_commit(len(self._group), elapsed_s)
            self._answer()
        else:
            self._doubt(error)

    def _answer(self) -> None:
        """Answers the jobs of a transaction that is durable, and goes on with the next."""
        transaction, group = self._transaction, self._group
        assert transaction is not None
        self._transaction, self._group = None, []
        if transaction.has_written:
            self._outcomes.remember(transaction.committed, transaction.time)
            self._on_commit(group)
        else:
            self._outcomes.last_time = max(self._outcomes.last_time, transaction.time)
        for job in group:
            if job.on_durable is not None and not isinstance(job.result, TenetError):
                job.on_durable(job.result)
            _resolve(job)
        self._next()

    def _next(self) -> None:
        if self._line or self._pauses:
            self._loop.call_soon(self._run)
        else:
            self._is_running = False

    # ---- failures ----------------------------------------------------------------------------------------------------

    def _give_up(self, error: Exception) -> None:
        """Undoes a transaction that a statement failed in; nothing of it was written."""
        group, self._group = self._group, []
        self._transaction = None
        self._unfinished = None
        self._roll_back()
        refused = self._refusal(error)
        if not group and self._line:
            # Not even BEGIN went through: whoever is first in line hears of it.
            job = self._line.popleft()
            self._line_bytes -= job.byte_count
            group = [job]
        for job in group:
            job.result = refused
            _resolve(job)
        self.figures.failed_transactions += 1
        self._next()

    def _doubt(self, error: apsw.Error) -> None:
        """Answers the jobs of a transaction whose COMMIT failed.

        Where the disk was full, its last page, which makes it valid, was not written. Otherwise only the file can say;
        the next transaction that goes through overwrites whatever was left of it.
        """
        transaction, group = self._transaction, self._group
        assert transaction is not None
        if isinstance(error, apsw.FullError):
            self._give_up(error)
            return
        self._transaction, self._group = None, []
        self._outcomes.doubt(transaction.committed, transaction.first, transaction.time)
        self._roll_back()
        refused = self._refusal(error)
        for job in group:
            if job.commit is not None and job.commit.id in transaction.committed:
                job.result = Unknown(job.commit.id)
            elif not isinstance(job.result, TenetError):
                job.result = refused
            _resolve(job)
        self.figures.failed_transactions += 1
        self._next()

    def _refusal(self, error: Exception) -> Exception:
        return translate(error, self._connection, self._directory) if isinstance(error, apsw.Error) else error

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def _is_late(job: Job, now: float) -> bool:
    if job.deadline >= now:
        return False
    job.result = DeadlineExceeded("the deadline passed while the write waited for its turn; nothing was written")
    _resolve(job)
    return True


def _resolve(job: Job) -> None:
    if job.future.done():
        return
    if isinstance(job.result, Exception):
        job.future.set_exception(job.result)
    else:
        job.future.set_result(job.result)
