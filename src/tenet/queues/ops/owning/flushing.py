"""What a queue's owner writes: one commit at a time, and whatever comes meanwhile goes into the next one.

Every request that changes something is a ``Work``: it waits in line, is staged together with all others that wait,
takes effect in memory once the commit is durable, and is answered then. It promises:

* Nothing is answered before the commit that it is in; an unknown outcome is settled first.
* A commit checks that the head is as this owner wrote it last. Where it is not, somebody else owns the queue: nothing
  of this owner takes effect any more, and everything that waits is refused.
* What is refused has left nothing behind, in the store as in memory. Where an outcome could not be found out in time,
  its callers are told so; what it did is taken up as soon as it is known.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog

from tenet.base.clock import NEVER
from tenet.queues import keys
from tenet.queues.ops.owning.items import GONE, Segment
from tenet.queues.rules import stored
from tenet.store.contract import Commit, Committed, Delete, IsVersion, NeverCommitted, Put, Unknown, new_commit_id
from tenet.store.errors import DeadlineExceeded, InvalidRequest, OutcomeUnknown, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.queues.ops.owning.items import Item
    from tenet.queues.ops.owning.state import State
    from tenet.store.contract import Conflict, Store, Version, Write

#: What one commit carries at the most, if more than one request shares it: characters of messages, and messages of any
#: kind. With four bytes a character, and a request of 1 MiB more, it stays below the store's 8 MiB.
COMMIT_WEIGHT_MAX: Final = 1_500_000
COMMIT_MESSAGES_MAX: Final = 2_000
#: What waits at the most; beyond it a request is refused.
LINE_WEIGHT_MAX: Final = 64 * 1024 * 1024
#: How many records that nobody needs are removed with one commit.
_OBSOLETE_MAX: Final = 128
#: How many turns of the loop in a row may bring nothing before a commit waits no longer for those that may share it.
_IDLE_TURNS_MAX: Final = 4
#: How long it waits before it settles again, seconds; twice as long each time.
_PAUSE_S_MIN: Final = 0.02
_PAUSE_S_MAX: Final = 1.0

_log = structlog.get_logger(__name__)


class QueueGivenUp(StoreUnavailable):
    """This process does not own the queue any more. Nothing was done; who owns it now can do it."""

    code = "QueueGivenUp"


class _NotOurs(Exception):
    """The head is not as this owner wrote it."""


class Staged:
    """What goes into one commit.

    Args:
        state: of the queue.
        now_ms: milliseconds since 1970-01-01 UTC.

    Attributes:
        works: whose it is.
        deadline: when the last of them is of no use any more, in seconds on the monotonic clock.
        messages: to be added, with their sequence numbers.
        next: the sequence number of the next one.
        first: the lowest sequence number that a message may have.
        keys: of the deduplication ids that are taken up, with the sequence numbers of their messages.
        leaving: messages that leave.
        gone: which messages of segments leave, by their segments' first numbers: bit n stands for the n-th.
        receives: to be written.
        attempts: to be written with them.
        received: whose receives they are, in the same order; None for those that are not in memory.
        purges: whether everything goes that was sent so far.
    """

    def __init__(self, state: State, now_ms: int) -> None:
        self.state = state
        self.now_ms = now_ms
        self.works: list[Work] = []
        self.deadline = 0.0
        self.messages: list[stored.Message] = []
        self.next = state.working.next
        self.first = state.working.first
        self.keys: dict[bytes, int] = {}
        self.leaving: list[Item] = []
        self.gone: dict[int, tuple[Segment, int]] = {}
        self.receives: list[stored.Receive] = []
        self.attempts: list[stored.Attempt] = []
        self.received: list[Item | None] = []
        self.purges = False
        self.segments: list[tuple[Segment, list[stored.Message]]] = []
        self.obsolete: list[int] = []
        self.forgotten: list[int] = []
        #: Sequence numbers of messages that leave although they are not in memory.
        self.leaving_unread: list[int] = []

    @property
    def has_writes(self) -> bool:
        """Whether anything has to be written."""
        return bool(self.messages or self.gone or self.receives or self.purges)

    def take_away(self, segment: Segment, sequence: int) -> bool:
        """Has a message leave the store; returns False where it does already."""
        found = self.gone.get(segment.first)
        bit = 1 << (sequence - segment.first)
        if found is None:
            self.gone[segment.first] = (segment, bit)
            return True
        if found[1] & bit:
            return False
        self.gone[segment.first] = (segment, found[1] | bit)
        return True

    def writes(self) -> list[Write]:
        """Returns what is to be written, the head first."""
        state, queue_id = self.state, self.state.queue.id
        obsolete = self._take_obsolete()
        self.first = self.next if self.purges else state.window.first
        writes: list[Write] = [Put(state.head_key, stored.encode(self._head()))]
        if self.messages:
            for messages in stored.cut(self.messages):
                first = messages[0].sequence
                last_sent_ms = max([message.sent_ms for message in messages])
                self.segments.append((Segment(first, len(messages), last_sent_ms), messages))
                writes.append(Put(keys.numbered_key(queue_id, keys.SEGMENT, first), stored.encode(messages)))
        if self.keys:
            writes.append(Put(self._deduplication_key(), stored.encode(self.taken_up())))
        for segment, bits in self.gone.values():
            writes += self._gone_writes(segment, segment.gone | bits)
        if self.receives:
            record = keys.numbered_key(queue_id, keys.RECEIVES, state.receives_next)
            writes.append(Put(record, stored.encode(stored.Receives(self.receives, self.attempts))))
        return writes + obsolete

    def _head(self) -> stored.Head:
        state, working = self.state, self.state.working
        count = len(self.messages)
        leaving = len(self.leaving) + len(self.leaving_unread)
        return stored.Head(
            epoch=state.epoch,
            next=self.next,
            first=self.first,
            live=0 if self.purges else working.live + count - leaving,
            sent=working.sent + count,
            received=working.received,
            deleted=working.deleted + leaving,
            purged_ms=self.now_ms if self.purges else working.purged_ms,
            receives_next=state.receives_next + bool(self.receives),
            receives_first=working.first_record(state.receives_next),
            ids_first=1 if state.deduplication is None else state.deduplication.first_record(working.next),
        )

    def _deduplication_key(self) -> Any:
        return keys.numbered_key(self.state.queue.id, keys.DEDUPLICATION, self.messages[0].sequence)

    def taken_up(self) -> stored.Deduplicated:
        """Returns the deduplication ids that are taken up."""
        return stored.Deduplicated(self.now_ms, list(self.keys), list(self.keys.values()))

    def _gone_writes(self, segment: Segment, gone: int) -> list[Write]:
        queue_id, first = self.state.queue.id, segment.first
        gone_key = keys.numbered_key(queue_id, keys.GONE, first)
        if gone != (1 << segment.count) - 1:
            return [Put(gone_key, stored.encode_gone(gone))]
        writes: list[Write] = [Delete(keys.numbered_key(queue_id, keys.SEGMENT, first))]
        if segment.gone:
            writes.append(Delete(gone_key))
        return writes

    def _take_obsolete(self) -> list[Write]:
        """Returns what removes records that nobody needs any more."""
        state = self.state
        queue_id, obsolete = state.queue.id, state.working.obsolete
        writes: list[Write] = []
        if obsolete:
            self.obsolete = obsolete[:_OBSOLETE_MAX]
            del obsolete[:_OBSOLETE_MAX]
            writes += [Delete(keys.numbered_key(queue_id, keys.RECEIVES, number)) for number in self.obsolete]
        if state.deduplication is not None:
            self.forgotten = state.deduplication.obsolete()
            writes += [Delete(keys.numbered_key(queue_id, keys.DEDUPLICATION, number)) for number in self.forgotten]
        return writes

    # ---- once it is known what became of it --------------------------------------------------------------------------

    def take_effect(self) -> None:
        """Takes up in memory what is durable, and answers."""
        state, working = self.state, self.state.working
        if self.purges:
            working.purged_ms = self.now_ms
            working.clear(self.next)
            state.purged_receives = state.receives_next
            state.window.restart(self.next)
        working.first = self.first
        if self.receives:
            self._hold_receives()
        working.next = self.next
        working.sent += len(self.messages)
        if self.gone:
            self._let_go()
        if self.keys and state.deduplication is not None:
            state.deduplication.remember(self.messages[0].sequence, self.taken_up())
        if self.segments:
            working.live += len(self.messages)
            state.window.place(self.segments, self.now_ms)
        for work in self.works:
            work.take_effect(self)

    def _hold_receives(self) -> None:
        state = self.state
        number = state.receives_next
        state.receives_next += 1
        working = state.working
        for receive, known in zip(self.receives, self.received, strict=True):
            # One that was not in memory may have come into it while the commit was under way.
            item = known or working.items.get(receive.sequence)
            if item is None:
                if receive.sequence in working.found:
                    working.find(receive, number)
            elif item.state != GONE:
                working.hold(item, number)
        working.spare(number)

    def _let_go(self) -> None:
        working = self.state.working
        working.deleted += len(self.leaving) + len(self.leaving_unread)
        for item in self.leaving:
            working.leave(item)
        for sequence in self.leaving_unread:
            read = working.items.get(sequence)
            if read is not None:
                # It came into memory while the commit was under way.
                working.leave(read)
            else:
                working.lose((sequence,))
                working.live -= 1
        for segment, bits in self.gone.values():
            working.bury(segment, bits)

    def undo(self, error: Exception) -> bool:
        """Has memory as if nothing of it had been asked for, and tells those who asked.

        Returns:
            Whether memory is so; where a bug of ours kept it from that, the queue has to be taken over anew.
        """
        state = self.state
        state.working.keep_records(self.obsolete)
        if state.deduplication is not None:
            state.deduplication.put_back(self.forgotten)
        return undo_all(self.works, error)


class Work:
    """Something that waits for the next commit.

    Args:
        deadline: when it is of no use any more, in seconds on the monotonic clock.
        future: gets the answer; None: nobody waits for one.

    Attributes:
        weight: characters of its messages.
        count: its messages.
    """

    __slots__ = ("count", "deadline", "future", "weight")

    def __init__(self, deadline: float, future: asyncio.Future[Any] | None, *, count: int, weight: int = 0) -> None:
        self.deadline = deadline
        self.future = future
        self.count = count
        self.weight = weight

    #: Whether it shares its commit with nobody.
    is_alone = False

    def stage(self, staged: Staged) -> None:
        """Adds what it writes to a commit."""
        raise NotImplementedError

    def take_effect(self, staged: Staged) -> None:
        """Takes up what became durable, and answers."""
        raise NotImplementedError

    def undo(self, error: Exception) -> None:
        """Has memory as before, and tells who asked."""
        self.refuse(error)

    def refuse(self, error: Exception) -> None:
        """Tells who asked that it came to nothing, or that nobody knows."""
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)

    def answer(self, result: object) -> None:
        """Answers who asked, if somebody still waits."""
        if self.future is not None and not self.future.done():
            self.future.set_result(result)


def undo_all(works: Sequence[Work], error: Exception) -> bool:
    """Undoes works, and tells all who asked, whatever becomes of one of them; returns whether each could be undone."""
    is_undone = True
    for work in works:
        try:
            work.undo(error)
        except Exception:  # noqa: BLE001 - whatever it is, those who wait have to hear of it
            _log.exception("what was asked of a queue could not be undone")
            work.refuse(error)
            is_undone = False
    return is_undone


class Flusher:
    """Writes what waits, one commit at a time.

    Args:
        store: where to.
        state: of the queue.
        version: of the head, as this owner wrote it.
        clock: time.
        ids: for commit ids.
        on_flushed: called after every commit that took effect.
        on_lost: called when somebody else owns the queue, or nobody knows what the store holds; nothing waits by then.
    """

    def __init__(
        self,
        store: Store,
        state: State,
        version: Version,
        *,
        clock: Clock,
        ids: Ids,
        on_flushed: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._store = store
        self._state = state
        self._version = version
        self._clock = clock
        self._ids = ids
        self._on_flushed = on_flushed
        self._on_lost = on_lost
        self._line: deque[Work] = deque()
        self._line_weight = 0
        self._task: asyncio.Task[None] | None = None
        self._lost = ""
        #: For how many requests the next commit may be: those that the last one answered, and those that waited then.
        self._expected = 0

    def submit(self, work: Work) -> None:
        """Puts something in line.

        Raises:
            StoreUnavailable: too much waits already, or the queue is somebody else's by now.
        """
        if self._lost:
            raise QueueGivenUp(self._lost)
        if self._line_weight + work.weight > LINE_WEIGHT_MAX:
            raise StoreUnavailable(f"{len(self._line)} requests wait to be written to the queue")
        self._line.append(work)
        self._line_weight += work.weight
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and no commit is under way."""
        return self._task is None

    async def drained(self, wait_s: float) -> None:
        """Waits until nothing waits any more, or so many seconds; what is left then is refused."""
        task = self._task
        if task is None:
            return
        await asyncio.wait((task,), timeout=wait_s)
        if not task.done():
            task.cancel()
            self._lost = "the server is being stopped"
            self.refuse_all(QueueGivenUp(self._lost))

    async def _run(self) -> None:
        """Writes until nothing waits."""
        try:
            while self._line:
                await self._gather()
                await self._flush()
        finally:
            self._task = None

    async def _gather(self) -> None:
        """Lets those come that share commits with what waits, as long as the loop's next turns bring some of them.

        Clients that were answered together come back together, while as many others wait already: without this they
        would take turns for ever, half of them in each commit. A client that is alone waits for nobody.
        """
        idle = 0
        while (count := len(self._line)) < self._expected and idle < _IDLE_TURNS_MAX:
            await asyncio.sleep(0)
            idle = idle + 1 if len(self._line) == count else 0

    async def _flush(self) -> None:
        staged = Staged(self._state, self._clock.wall_ms())
        try:
            self._stage(staged)
            if not staged.works:
                return
            await self._write(staged)
            staged.take_effect()
        except InvalidRequest as error:
            # Two of its records are one: what is in memory is not what the store holds, of which the check would tell.
            self._lose(staged, QueueGivenUp(f"the queue has to be taken over anew: {error.message}"))
            return
        except StoreError as error:
            if not staged.undo(error):
                self._lose(Staged(self._state, staged.now_ms), QueueGivenUp("the queue has to be taken over anew"))
                return
        except _NotOurs:
            self._lose(staged, QueueGivenUp("the queue has another owner by now"))
            return
        except asyncio.CancelledError:
            staged.undo(OutcomeUnknown("the server was stopped before the store said whether the write took effect"))
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait have to hear of it
            _log.exception("what a queue's owner writes could not be written")
            self._lose(staged, StoreUnavailable(f"it is not known what the store holds: {error!r}"))
            return
        self._expected = len(staged.works) + len(self._line)
        self._on_flushed()

    async def _write(self, staged: Staged) -> None:
        """Writes what was staged, if there is anything to write.

        Raises:
            StoreError: nothing was written.
            _NotOurs: somebody else owns the queue.
        """
        if not staged.has_writes:
            return
        outcome = await self._commit(staged)
        if isinstance(outcome, Committed):
            self._version = outcome.version
            return
        if isinstance(outcome, NeverCommitted):
            raise StoreUnavailable("the write did not take effect")
        raise _NotOurs

    def _stage(self, staged: Staged) -> None:
        """Puts together what goes into the next commit."""
        if self._state.deduplication is not None:
            self._state.deduplication.forget(staged.now_ms)
        now_s = self._clock.monotonic_s()
        line = self._line
        weight = count = 0
        while line:
            work = line[0]
            weight += work.weight
            count += work.count
            if staged.works and (weight > COMMIT_WEIGHT_MAX or count > COMMIT_MESSAGES_MAX or work.is_alone):
                break
            line.popleft()
            self._line_weight -= work.weight
            if work.deadline < now_s:
                work.undo(DeadlineExceeded("the deadline passed before anything was written"))
                continue
            staged.works.append(work)
            work.stage(staged)
            staged.deadline = max(staged.deadline, work.deadline)
            if work.is_alone:
                break

    async def _commit(self, staged: Staged) -> Committed | Conflict | NeverCommitted:
        """Commits; settles an unknown outcome, however long it takes."""
        state = self._state
        check = IsVersion(state.head_key, self._version)
        commit = Commit(new_commit_id(self._clock, self._ids), staged.writes(), (check,))
        outcome = await self._store.commit(commit, deadline=staged.deadline)
        if not isinstance(outcome, Unknown):
            return outcome
        pause_s = _PAUSE_S_MIN
        while True:
            try:
                return await self._store.settle(commit, deadline=NEVER)
            except StoreError as error:
                if not error.retryable:
                    raise RuntimeError(f"the outcome of a commit cannot be found out: {error.message}") from error
            self._refuse_late(staged)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_S_MAX)

    def _refuse_late(self, staged: Staged) -> None:
        """Tells those whose deadline has passed that nobody knows yet, and those in line that it came to nothing."""
        now_s = self._clock.monotonic_s()
        unknown = OutcomeUnknown("the deadline passed before the store could say whether the write took effect")
        for work in staged.works:
            if work.deadline < now_s:
                work.refuse(unknown)
        late = [work for work in self._line if work.deadline < now_s]
        if late:
            self._line = deque(work for work in self._line if work.deadline >= now_s)
            self._line_weight = sum(work.weight for work in self._line)
            for work in late:
                work.undo(DeadlineExceeded("the deadline passed before anything was written"))

    def _lose(self, staged: Staged, error: StoreUnavailable) -> None:
        """Refuses everything: what is in memory is not what the store holds."""
        self._lost = error.message
        staged.undo(error)
        self.refuse_all(error)
        self._on_lost(error.message)

    def give_up(self, reason: str) -> None:
        """Refuses everything from now on, as another process may own the queue; the commit under way ends by itself."""
        self._lost = reason
        self.refuse_all(QueueGivenUp(reason))

    def refuse_all(self, error: Exception) -> None:
        """Refuses everything that is in line."""
        line: Sequence[Work] = tuple(self._line)
        self._line.clear()
        self._line_weight = 0
        undo_all(line, error)
