"""The one writer: jobs wait in line, many share one transaction, and one fsync makes all of them durable.

Statements run on the event loop, some microseconds each; a thread of their own would spend more on the interpreter's
lock than on SQLite. Only COMMIT, which waits for the disk, runs in a thread, and the loop goes on meanwhile: requests
are read, further jobs queue up, reads see the last durable transaction. Nobody gets an answer before COMMIT returned.

To wake that thread, and the loop behind it, takes about half as long as a fast disk does. Where there is one job and no
other, as of one client that waits for each answer, nobody would use the time; so COMMIT runs on the loop then, as long
as the disk has been fast for ``CALM_COMMITS`` in a row and no checkpoint writes. One that turns out to be slow holds
the loop up once, and the next ones are the thread's again.

Promises: jobs are carried out in order of arrival; a job never holds the loop for much longer than ``TURN_COST`` takes;
what waits is bounded; a job whose deadline passes while it waits is not carried out.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Any, Final

import apsw
import structlog

from tenet.base.clock import NEVER, Clock
from tenet.base.errors import TenetError
from tenet.base.ids import Ids
from tenet.store.contract import Commit, Unknown
from tenet.store.errors import DeadlineExceeded, StoreUnavailable
from tenet.store.sqlite.apply import Transaction, apply
from tenet.store.sqlite.faults import is_of_the_disk, is_surely_undone, translate
from tenet.store.sqlite.figures import Figures
from tenet.store.sqlite.outcomes import Outcomes
from tenet.store.sqlite.pool import ReaderPool
from tenet.store.sqlite.spaces import Catalogue
from tenet.store.sqlite.works import Work

#: What waits at the most; beyond it a job is refused.
QUEUE_JOBS_MAX: Final = 10_000
QUEUE_BYTES_MAX: Final = 64 * 1024 * 1024
#: What one transaction carries at the most, if more than one job has to share it.
GROUP_COST_MAX: Final = 4_000
GROUP_BYTES_MAX: Final = 8 * 1024 * 1024
#: What is carried out before the loop gets a turn: some 2 ms. The unit is a statement.
TURN_COST: Final = 256
#: How many COMMITs in a row have to have taken less than so many seconds before one may run on the loop.
CALM_COMMITS: Final = 32
CALM_S: Final = 0.002
#: How many transactions in a row have to have been of one job before the next job is carried out when it comes.
ALONE_TRANSACTIONS: Final = 64
#: How often jobs are looked through for deadlines that have passed.
_SWEEP_S: Final = 0.05

_log = structlog.get_logger(__name__)


class _Order(Enum):
    """What the commit thread is told."""

    COMMIT = "commit"
    STOP = "stop"


class Job:
    """Something that waits for the writer.

    Args:
        future: gets the result once it is durable.
        cost: about how many statements it takes.
        commit: the commit that it is, or None.
        work: what to do, where it is no commit.
        byte_count: how much memory it holds.
        deadline: when it is of no use any more, in seconds on the monotonic clock.
        on_durable: called with the result before the future gets it.
    """

    __slots__ = ("byte_count", "commit", "cost", "deadline", "future", "on_durable", "result", "work")

    def __init__(
        self,
        future: asyncio.Future[Any],
        cost: int = 1,
        commit: Commit | None = None,
        work: Work[Any] | None = None,
        *,
        byte_count: int = 0,
        deadline: float = NEVER,
        on_durable: Callable[[Any], None] | None = None,
    ) -> None:
        self.future = future
        self.cost = cost
        self.commit = commit
        self.work = work
        self.byte_count = byte_count
        self.deadline = deadline
        self.on_durable = on_durable
        #: What came of it.
        self.result: Any = None

    def resolve(self) -> None:
        """Gives the result to whoever waits for it."""
        if self.future.done():
            return
        if isinstance(self.result, Exception):
            self.future.set_exception(self.result)
        else:
            self.future.set_result(self.result)


#: The cost of a job that shares its transaction with nobody, because it changes what the others rely on.
ALONE: Final = GROUP_COST_MAX + 1


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
        pool: whose reads have to see every commit.
        on_commit: called with the jobs of every transaction that became durable, before they are answered.
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
        pool: ReaderPool,
        on_commit: Callable[[list[Job]], None],
    ) -> None:
        self._connection = connection
        self._directory = directory
        self._catalogue = catalogue
        self._outcomes = outcomes
        self._clock = clock
        self._ids = ids
        self._site = site.to_bytes(2, "big")
        self._pool = pool
        self._on_commit = on_commit
        self._loop = asyncio.get_running_loop()
        self._line: deque[Job] = deque()
        self._line_bytes = 0
        self._group: list[Job] = []
        self._group_cost = 0
        self._group_bytes = 0
        self._transaction: Transaction | None = None
        self._unfinished: tuple[Job, Iterator[Any]] | None = None
        self._is_running = False
        self._is_committing = False
        #: How many COMMITs in a row were fast, and whether the disk has other things to do.
        self._calm = 0
        self._is_disk_slow = False
        #: How many transactions in a row were of one job, and whether one was in this turn of the loop.
        self._alone = 0
        self._was_at_once = False
        self._is_closed = False
        #: Why no more is taken until the store is opened anew; empty as long as all is well.
        self._broken = ""
        self._pauses: deque[asyncio.Future[None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._committer = threading.Thread(target=self._commit_forever, name="tenet-commit", daemon=True)
        self._committer.start()
        self.figures = Figures()
        connection.set_wal_hook(self._note_wal)

    # ---- the line ----------------------------------------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Puts a job in line.

        Raises:
            StoreUnavailable: the line is full, or the engine is closed.
        """
        if self._is_closed or self._broken:
            raise StoreUnavailable(self._broken or "the store is closed")
        line = self._line
        if len(line) >= QUEUE_JOBS_MAX or self._line_bytes + job.byte_count > QUEUE_BYTES_MAX:
            raise StoreUnavailable(f"{len(line)} writes wait for the disk; no more are taken until it has caught up")
        line.append(job)
        self._line_bytes += job.byte_count
        if self._is_running:
            return
        if self._is_calm and self._alone >= ALONE_TRANSACTIONS and not self._was_at_once:
            self._run_at_once()
        else:
            self._start_running()

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._line)

    def paused(self) -> _Pause:
        """Keeps transactions from beginning, once the one that is open has ended, for as long as a block runs."""
        return _Pause(self)

    @contextmanager
    def slow_disk(self) -> Iterator[None]:
        """Keeps COMMITs off the loop for as long as a block has the disk write other things."""
        self._is_disk_slow = True
        try:
            yield
        finally:
            self._is_disk_slow = False

    async def close(self) -> None:
        """Carries out what waits, then stops for good."""
        self._is_closed = True
        await self._ask_for_pause()
        self._orders.put(_Order.STOP)
        await self._loop.run_in_executor(None, self._committer.join)
        if self._sweeper is not None:
            self._sweeper.cancel()

    @property
    def _is_calm(self) -> bool:
        return self._calm >= CALM_COMMITS and not self._is_disk_slow

    def _ask_for_pause(self) -> asyncio.Future[None]:
        turn: asyncio.Future[None] = self._loop.create_future()
        self._pauses.append(turn)
        if not self._is_running:
            self._start_running()
        return turn

    def _end_pause(self) -> None:
        self._loop.call_soon(self._run)

    def _run_at_once(self) -> None:
        """Carries the one job out before whoever submitted it waits: to come back to it costs as much as to do it.

        A second one in the same turn of the loop is a sign that there are more to share a transaction with.
        """
        self._is_running = self._was_at_once = True
        self._pool.is_at_rest = False
        self._loop.call_soon(self._turn_over)
        self._run()
        if self._is_running:
            self._watch_deadlines()

    def _turn_over(self) -> None:
        self._was_at_once = False

    def _start_running(self) -> None:
        self._is_running = True
        self._pool.is_at_rest = False
        # In the next turn of the loop: what arrived together is committed together.
        self._loop.call_soon(self._run)
        self._watch_deadlines()

    def _watch_deadlines(self) -> None:
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Answers the jobs whose deadline has passed: those that wait, and those whose COMMIT takes too long."""
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep) if self._is_running else None
        now = self._clock.monotonic_s()
        for job in self._line:
            if job.deadline < now:
                _refuse_late(job)
        if not self._is_committing or self._transaction is None:
            return
        for job in self._group:
            if job.deadline < now and not job.future.done():
                in_doubt = job.commit is not None and job.commit.id in self._transaction.committed
                # The result stays: what becomes durable has to be noted, whoever still waits for it.
                if in_doubt and job.commit is not None:
                    job.future.set_result(Unknown(job.commit.id))
                else:
                    job.future.set_exception(DeadlineExceeded("the disk took too long; it may still take effect"))

    # ---- a transaction -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Carries jobs out for one turn of the loop."""
        try:
            if self._transaction is None and not self._begin():
                return
            if not self._carry_out():
                self._loop.call_soon(self._run)
                return
        except Exception as error:  # noqa: BLE001 - whatever it is, the jobs of this transaction have to hear of it
            self._give_up(error)
            return
        try:
            is_to_commit_here = self._finish()
        except Exception as error:  # noqa: BLE001 - as above
            self._give_up(error, is_of_all=True)
            return
        if is_to_commit_here:
            self._committed(*self._commit())

    def _begin(self) -> bool:
        """Opens a transaction; false where there is nothing to do, or somebody wants a pause."""
        while self._pauses and not (self._is_closed and self._line):
            turn = self._pauses.popleft()
            if not turn.done():
                turn.set_result(None)
                return False
        if not self._line:
            self._rest()
            return False
        self._connection.execute("BEGIN IMMEDIATE")
        time = max(self._outcomes.last_time + 1, self._clock.wall_ms() << 16)
        self._transaction = Transaction(
            self._connection, self._catalogue, self._outcomes, time=time, tail=self._site + self._ids.draw(6)
        )
        self._group_cost = self._group_bytes = 0
        return True

    def _carry_out(self) -> bool:
        """Carries jobs out for one turn; true when the transaction can be ended."""
        transaction, line = self._transaction, self._line
        assert transaction is not None
        turn_cost = 0
        now = self._clock.monotonic_s()
        while turn_cost < TURN_COST:
            if self._unfinished is not None:
                job, progress = self._unfinished
            elif line and self._has_room_for(line[0]):
                job = line.popleft()
                self._line_bytes -= job.byte_count
                if job.future.done() or (job.deadline < now and _refuse_late(job)):
                    continue
                self._group.append(job)
                progress = apply(transaction, job.commit) if job.commit is not None else _begin_work(job, transaction)
            else:
                return True
            try:
                job.result = next(progress)
            except TenetError as error:
                # Refused before it wrote anything; the others of the transaction are not concerned.
                job.result = error
            if job.result is None:
                self._unfinished = (job, progress)
                return False
            self._unfinished = None
            turn_cost += job.cost
        return False

    def _has_room_for(self, job: Job) -> bool:
        cost, byte_count = self._group_cost + job.cost, self._group_bytes + job.byte_count
        if self._group and (cost > GROUP_COST_MAX or byte_count > GROUP_BYTES_MAX):
            return False
        self._group_cost, self._group_bytes = cost, byte_count
        return True

    def _finish(self) -> bool:
        """Ends the transaction: by COMMIT in the thread where something was written, at once where not.

        Returns:
            Whether COMMIT is not the thread's, but to be made here and now.
        """
        transaction = self._transaction
        assert transaction is not None
        if transaction.has_written:
            transaction.write_ids()
            self._pool.begin_change()
            self._is_committing = True
            if self._is_calm and len(self._group) == 1 and not self._line:
                return True
            self._orders.put(_Order.COMMIT)
            return False
        self._connection.execute("ROLLBACK")
        self._answer(transaction)
        return False

    def _commit_forever(self) -> None:
        """The commit thread."""
        while self._orders.get() is _Order.COMMIT:
            self._loop.call_soon_threadsafe(self._committed, *self._commit())

    def _commit(self) -> tuple[Exception | None, float]:
        """Ends the transaction; returns what went wrong, if something did, and how long it took, seconds."""
        began = self._clock.monotonic_s()
        error: Exception | None = None
        try:
            self._connection.execute("COMMIT")
        except Exception as raised:  # noqa: BLE001 - it is looked at on the loop; without this thread nothing is
            error = raised
        return error, self._clock.monotonic_s() - began

    def _committed(self, error: Exception | None, elapsed_s: float) -> None:
        """Takes up the end of a COMMIT."""
        transaction = self._transaction
        assert transaction is not None
        self._is_committing = False
        self._calm = self._calm + 1 if elapsed_s < CALM_S else 0
        self._alone = self._alone + 1 if len(self._group) == 1 and not self._line else 0
        try:
            self._pool.end_change()
            if error is not None:
                self._doubt(transaction, error)
                return
            self.figures.note_transaction(len(self._group), elapsed_s)
            self._outcomes.remember(transaction.committed, transaction.fenced, transaction.time)
        except Exception as lost:  # noqa: BLE001 - whatever it is, those who wait are answered
            self._lose_track(transaction, lost)
            return
        try:
            self._on_commit(self._group)
        except Exception:  # noqa: BLE001 - whatever it is, the writer goes on
            # Nobody may rely on a hint; the commits are durable, and those who wait for them are answered.
            _log.exception("hints about commits could not be given")
        self._answer(transaction)

    def _answer(self, transaction: Transaction) -> None:
        """Answers the jobs of a transaction that is durable, or changed nothing, and goes on with the next."""
        group, self._group = self._group, []
        self._transaction = None
        self._outcomes.last_time = max(self._outcomes.last_time, transaction.time)
        for job in group:
            try:
                if job.on_durable is not None and not isinstance(job.result, TenetError):
                    job.on_durable(job.result)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told
                _log.exception("what became durable could not be taken up; the store takes no more writes")
                job.result = error
                self._stop_taking(error)
            job.resolve()
        self._next()

    def _stop_taking(self, error: Exception) -> None:
        """Refuses all writes from now on: memory no longer tells what the file holds, and must not be built upon."""
        self._broken = f"the store must be opened anew, because a change could not be taken up: {error!r}"
        refusal = StoreUnavailable(self._broken)
        self.figures.note_refusal(refusal)
        while self._line:
            job = self._line.popleft()
            job.result = refusal
            job.resolve()
        self._line_bytes = 0

    def _next(self) -> None:
        if self._line or self._pauses:
            self._loop.call_soon(self._run)
        else:
            self._rest()

    def _rest(self) -> None:
        self._is_running = False
        # After trouble readers see for themselves what the file holds.
        self._pool.is_at_rest = self._calm > 0 and not self._broken

    def _note_wal(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self.figures.wal_pages = pages
        return apsw.SQLITE_OK

    # ---- failures ----------------------------------------------------------------------------------------------------

    def _give_up(self, error: Exception, *, is_of_all: bool = False) -> None:
        """Undoes a transaction that nothing is left of, and tells its jobs; or the one whose own fault it was.

        Args:
            error: what went wrong.
            is_of_all: whether it befell what the jobs share, so that it is the fault of none.
        """
        group, self._group = self._group, []
        self._transaction = None
        self._unfinished = None
        refused = self._refusal(error)
        self._roll_back()
        try:
            # The change may have been announced to the readers before the commit thread could be told.
            self._pool.end_change()
        except Exception as lost:  # noqa: BLE001 - the jobs have to hear of the first trouble
            _log.exception("the readers could not be told; the store takes no more writes")
            self._stop_taking(lost)
        if not group and self._line:
            # Not even BEGIN went through: whoever is first in line hears of it.
            group = [self._line.popleft()]
            self._line_bytes -= group[0].byte_count
        elif group and not is_of_all and not is_of_the_disk(error):
            # The others are carried out once more, in their places.
            *others, culprit = group
            self._line.extendleft(reversed(others))
            self._line_bytes += sum(job.byte_count for job in others)
            group = [culprit]
        for job in group:
            job.result = refused
            job.resolve()
        if is_of_the_disk(error):
            self.figures.note_refusal(refused)
        else:
            self.figures.note_failure(refused)
        self._next()

    def _doubt(self, transaction: Transaction, error: Exception) -> None:
        """Answers the jobs of a transaction whose COMMIT failed.

        Where a write failed, the last page, which makes all of them valid, is not in the file. Otherwise only the file
        can say; the next transaction that goes through overwrites whatever was left of this one.
        """
        if is_surely_undone(error):
            self._give_up(error)
            return
        refused = self._refusal(error)
        self._outcomes.doubt(transaction.committed, transaction.time)
        self._roll_back()
        self._answer_in_doubt(transaction, refused)
        self.figures.note_refusal(refused)
        self._next()

    def _answer_in_doubt(self, transaction: Transaction, refused: Exception) -> None:
        """Answers the jobs of a transaction of which nobody can say whether it is durable."""
        group, self._group = self._group, []
        self._transaction = None
        for job in group:
            if job.commit is not None and job.commit.id in transaction.committed:
                job.result = Unknown(job.commit.id)
            elif not isinstance(job.result, TenetError):
                job.result = refused
            job.resolve()

    def _lose_track(self, transaction: Transaction, error: Exception) -> None:
        """Answers the jobs of a transaction whose end could not be taken up, and refuses all writes from now on."""
        _log.exception("the end of a transaction could not be taken up; the store takes no more writes")
        self._roll_back()
        self._stop_taking(error)
        self._answer_in_doubt(transaction, StoreUnavailable(self._broken))
        self._next()

    def _refusal(self, error: Exception) -> Exception:
        return translate(error, self._connection, self._directory) if isinstance(error, apsw.Error) else error

    def _roll_back(self) -> None:
        self._calm = 0
        # After some errors SQLite has done it by itself; what it cannot undo, the next BEGIN will tell of.
        with suppress(apsw.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


class _Pause:
    """A block during which no transaction begins."""

    __slots__ = ("_writer",)

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def __aenter__(self) -> None:
        turn = self._writer._ask_for_pause()  # noqa: SLF001 (of one piece with it)
        try:
            await turn
        except BaseException:
            # The turn may have come in the moment in which whoever waited for it was cancelled.
            if not turn.cancelled():
                self._writer._end_pause()  # noqa: SLF001 (the same)
            raise

    async def __aexit__(self, *_raised: object) -> None:
        self._writer._end_pause()  # noqa: SLF001 (the same)


def _begin_work(job: Job, transaction: Transaction) -> Iterator[Any]:
    assert job.work is not None
    return job.work(transaction)


def _late() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline passed while the write waited for its turn; nothing was written")


def _refuse_late(job: Job) -> bool:
    job.result = _late()
    job.resolve()
    return True
