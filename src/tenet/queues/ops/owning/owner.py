"""The owner of one queue: everything that is done with its messages.

It promises, beside what ``flushing`` and ``working`` do:

* What a send returned for is durable; it is received at least once, unless it is deleted or expires.
* A message that was deleted is never received again.
* A standard queue hides what was received in memory: after a crash it may be received again at once. A FIFO queue hides
  it durably before it is answered.
* Messages are given only to a receive that still waits for them; otherwise they are ready again at once.
* A queue that nothing happens to, and of which nothing becomes due, costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog

from tenet.queues import keys
from tenet.queues.errors import InvalidParameterValue, OverLimit, PurgeQueueInProgress, QueueDoesNotExist, QueuesError
from tenet.queues.model import Figures, NewMessage, Queue, Received, Sent
from tenet.queues.ops.owning.flushing import COMMIT_MESSAGES_MAX, Flusher, QueueGivenUp, Work
from tenet.queues.ops.owning.handles import Changes, find_changes, find_deletions, read_messages
from tenet.queues.ops.owning.held import Held, Tenancy, figures_of
from tenet.queues.ops.owning.items import IN_FLIGHT, READY, Item
from tenet.queues.ops.owning.leaving import Leave, Purge
from tenet.queues.ops.owning.receiving import Change, Hide, count_receive, put_back, received
from tenet.queues.ops.owning.sending import Send, Transfer, parts
from tenet.queues.ops.owning.state import State
from tenet.queues.ops.owning.taking_over import discard_purged, take_over
from tenet.queues.ops.owning.upkeep import Upkeep
from tenet.queues.ops.owning.waiting import Waiter
from tenet.queues.ops.owning.window import Budget, Window
from tenet.store.errors import StoreError

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.queues.ops.owning.dead_letters import DeadLetters
    from tenet.queues.rules.stored import Message
    from tenet.store.contract import Store

#: How many messages may be in flight at once.
IN_FLIGHT_MAX: Final = 120_000
#: How long a purge keeps the next one off.
PURGE_MS: Final = 60_000
#: How long it may take to take a queue over.
_OPEN_S: Final = 30.0
#: How long a receive that does not wait waits for messages that are known to be there.
_SHORT_WAIT_S: Final = 1.0
#: How long a message stays hidden that has expired and could not be removed.
_AGAIN_MS: Final = 1_000
#: How many messages a receive passes over at the most that have expired, or go to the dead letters.
_PASSED_MAX: Final = 100
#: How long a queue that is closed waits for what is being written.
_CLOSE_S: Final = 10.0

_log = structlog.get_logger(__name__)


class Owner:
    """A queue in the hands of this process.

    Args:
        store: where it is.
        queue: its description.
        clock: time.
        ids: for commit ids.
        dead_letters: takes what is received too often.
        budget: how much the windows of all queues hold.
        tenancy: among several nodes, whether it is this one's; None: it is this process's, always.

    Attributes:
        is_used: set by who hands it out, and taken back by who looks whether it can rest.
        on_ready: called when there is something to receive that nobody here takes, with how many messages; None: nobody
            has to know.
    """

    def __init__(
        self,
        store: Store,
        queue: Queue,
        *,
        clock: Clock,
        ids: Ids,
        dead_letters: DeadLetters,
        budget: Budget,
        tenancy: Tenancy | None = None,
    ) -> None:
        self.queue = queue
        self._store = store
        self._clock = clock
        self._ids = ids
        self._dead_letters = dead_letters
        self._budget = budget
        self._tenancy = tenancy
        self.is_used = True
        self.on_ready: Callable[[Owner, int], None] | None = None
        self._held: Held | None = None
        #: What it held when it was let go to rest; None: it was not, or not since it was taken over.
        self._rested: Figures | None = None
        self._opening: asyncio.Task[Held] | None = None
        #: How many wait until it is taken over, and have not begun with what they want of it.
        self._coming = 0
        self._waiters: dict[Waiter, None] = {}
        #: How many of them do not wait long.
        self._short = 0
        self._tasks: set[asyncio.Task[None]] = set()
        #: Receives that are being answered, by their ReceiveRequestAttemptIds.
        self._attempts: dict[str, asyncio.Future[Sequence[Received]]] = {}
        self._is_closed = False
        self._is_deleted = False

    # ---- messages ----------------------------------------------------------------------------------------------------

    async def send(self, messages: Sequence[NewMessage], *, deadline: float) -> Sequence[Sent]:
        """Takes messages in; they are durable when it returns. One commit, shared with all that come meanwhile.

        Args:
            messages: 1 to 10, valid and measured.
            deadline: when to give up, in seconds on the monotonic clock.

        Raises:
            StoreUnavailable: nothing was written.
            OutcomeUnknown: the store could not say in time whether it was.
        """
        held = self._held or await self._open()
        future = asyncio.get_running_loop().create_future()
        held.flusher.submit(Send(held.state, messages, deadline, future))
        sent: Sequence[Sent] = await future
        return sent

    async def receive(
        self, *, most: int, visibility_s: int | None, wait_s: float, attempt_id: str = "", deadline: float
    ) -> Sequence[Received]:
        """Returns messages that nobody else is given meanwhile; none where there are none in time.

        A standard queue writes nothing; a FIFO queue one commit, shared with all that come meanwhile.

        Args:
            most: 1 to 10.
            visibility_s: for how long they are hidden, 0 to 43,200; None: as the queue has it.
            wait_s: how long it waits for the first one, 0 to 20.
            attempt_id: the ReceiveRequestAttemptId; empty for none.
            deadline: when to give up, in seconds on the monotonic clock.

        Raises:
            InvalidParameterValue: the attempt was made before, and cannot be repeated any more.
            OverLimit: too many messages are in flight, and it does not wait.
            StoreUnavailable: nothing was received.
        """
        held = self._held or await self._open()
        now_ms = self._clock.wall_ms()
        if held.working.due.is_past(now_ms):
            held.working.show_due(now_ms)
        hidden_s = self.queue.settings.visibility_s if visibility_s is None else visibility_s
        if held.state.deduplication is None:
            if held.working.in_flight >= IN_FLIGHT_MAX and not wait_s:
                raise OverLimit(
                    "Too many messages have been received without being deleted.\n"
                    "Please delete your received messages or let them timeout before receiving more."
                )
            items = self._pick(held, most, now_ms)
            if items:
                return self._give(held, items, hidden_s, now_ms)
        if attempt_id:
            await self._attempted(attempt_id)
        is_short = not wait_s
        future: asyncio.Future[Sequence[Received]] = asyncio.get_running_loop().create_future()
        waiter = Waiter(future, most, hidden_s, attempt_id, deadline, is_short=is_short)
        if held.state.deduplication is not None:
            self._serve_fifo(held, waiter, now_ms)
        has_more = held.working.unread or held.working.bare
        if not waiter.is_served and is_short and not (has_more and held.state.window.is_reading):
            return ()
        return await self._wait(waiter, _SHORT_WAIT_S if is_short else wait_s)

    async def delete(self, handles: Sequence[str], *, deadline: float) -> Sequence[QueuesError | None]:
        """Deletes messages; they are gone durably when it returns. One commit, shared with all that come meanwhile.

        Args:
            handles: receipt handles, whatever a client has sent.
            deadline: when to give up, in seconds on the monotonic clock.

        Returns:
            For each handle None, or why nothing was deleted by it.

        Raises:
            StoreUnavailable: nothing was deleted.
            OutcomeUnknown: the store could not say in time whether it was.
        """
        held = self._held or await self._open()
        found = find_deletions(held.state, handles, self._clock.wall_ms())
        unread = await found.read(self._store, deadline) if found.unread else ()
        if not found.items and not unread:
            return found.results
        future = asyncio.get_running_loop().create_future()
        work = Leave(held.state, found.items, future, results=found.results, deadline=deadline, unread=unread)
        self._submit(held, work)
        results: Sequence[QueuesError | None] = await future
        return results

    async def change_visibility(
        self, changes: Sequence[tuple[str, int]], *, deadline: float
    ) -> Sequence[QueuesError | None]:
        """Changes for how long messages are hidden, from now on.

        A standard queue writes nothing; a FIFO queue one commit.

        Args:
            changes: receipt handles with 0 to 43,200 seconds.
            deadline: when to give up, in seconds on the monotonic clock.

        Returns:
            For each change None, or why it was not made.

        Raises:
            StoreUnavailable: nothing was changed.
        """
        held = self._held or await self._open()
        now_ms = self._clock.wall_ms()
        found = find_changes(held.state, changes, now_ms)
        if found.unread:
            now_ms, found = await self._look_behind(held, changes, found.unread, deadline)
        if not found.items and not found.hidden:
            return found.results
        if held.state.deduplication is not None:
            future = asyncio.get_running_loop().create_future()
            change = Change(
                held.state, found.items, future, results=found.results, deadline=deadline, hidden=found.hidden
            )
            self._submit(held, change)
            written: Sequence[QueuesError | None] = await future
            return written
        for item, visible_ms in found.items:
            if item.state == READY:
                held.working.withdraw(item)
            held.working.hide((item,), visible_ms)
            held.upkeep.expect(visible_ms)
        held.state.window.strip([item for item, _ in found.items])
        if any(visible_ms <= now_ms for _, visible_ms in found.items):
            held.working.show_due(now_ms)
            self._wake()
        return found.results

    async def _look_behind(
        self, held: Held, changes: Sequence[tuple[str, int]], unread: Sequence[int], deadline: float
    ) -> tuple[int, Changes]:
        """Looks messages up that are not in memory, and returns what is to be changed, and the time of that."""
        held.working.readers += 1
        try:
            read = await read_messages(self._store, held.state, unread, deadline)
            if self._held is not held:
                raise QueueGivenUp("the queue was given up meanwhile")
            now_ms = self._clock.wall_ms()
            return now_ms, find_changes(held.state, changes, now_ms, read)
        finally:
            held.working.readers -= 1

    async def purge(self, *, deadline: float) -> None:
        """Removes everything that was sent before, in flight or not; durable when it returns.

        Raises:
            PurgeQueueInProgress: the last purge was less than 60 s ago.
            StoreUnavailable: nothing was removed.
        """
        held = self._held or await self._open()
        if held.working.purged_ms + PURGE_MS > self._clock.wall_ms():
            raise PurgeQueueInProgress(
                f"Only one PurgeQueue operation on {self.queue.name} is allowed every 60 seconds."
            )
        future = asyncio.get_running_loop().create_future()
        held.flusher.submit(Purge(deadline, future))
        await future
        self._spawn(self._discard(held.state))

    async def figures(self) -> Figures:
        """Returns what the queue holds, and what went through it."""
        return figures_of(self._held or await self._open(), self._clock.wall_ms())

    def known_figures(self) -> Figures | None:
        """Returns the same where the queue is in memory, or rests, and is this node's; else None."""
        if self._tenancy is not None and not self._tenancy.is_ours():
            return None
        return self._rested if self._held is None else figures_of(self._held, self._clock.wall_ms())

    def update(self, queue: Queue) -> None:
        """Takes up a new description of the queue."""
        self.queue = queue
        if self._held is not None:
            self._held.state.queue = queue
            self._held.upkeep.look()
            self._wake()

    # ---- messages that come from other queues, and go there -------------------------------------------------------

    async def transfer(self, messages: Sequence[Message], tokens: Sequence[str], *, deadline: float) -> None:
        """Takes in messages of another queue; they are durable when it returns. A commit for each megabyte of them.

        Args:
            messages: as they are to be stored, but for their numbers.
            tokens: for each, what keeps a FIFO queue from taking it twice; never the same for two messages.
            deadline: when to give up.

        Raises:
            StoreUnavailable: nothing was written, or only the first of them.
            OutcomeUnknown: the store could not say in time whether it was.
        """
        held = self._held or await self._open()
        for first, last in parts(messages):
            future = asyncio.get_running_loop().create_future()
            held.flusher.submit(Transfer(held.state, messages[first:last], tokens[first:last], deadline, future))
            await future

    async def take_out(self, most: int) -> Sequence[Item]:
        """Returns messages that are ready, to be moved elsewhere; nobody is given them meanwhile."""
        held = self._held or await self._open()
        if self._tenancy is not None and not self._tenancy.is_ours():
            raise QueueGivenUp("another node may have the queue by now")
        now_ms = self._clock.wall_ms()
        if held.working.due.is_past(now_ms):
            held.working.show_due(now_ms)
        items = held.working.take(most, 0)
        if not items and held.working.unread:
            held.state.window.read_ahead()
            await held.state.window.filled()
            items = held.working.take(most, 0)
        held.state.window.read_ahead()
        return items

    async def let_go(self, items: Sequence[Item], *, deadline: float) -> None:
        """Removes messages that were taken out, and are somewhere else by now."""
        held = self._held or await self._open()
        # The queue may have been taken over anew since then.
        here = [held.working.items.get(item.message.sequence) for item in items]
        leaving = [item for item in here if item is not None]
        future = asyncio.get_running_loop().create_future()
        self._submit(held, Leave(held.state, leaving, future, deadline=deadline))
        await future

    def give_back(self, items: Sequence[Item]) -> None:
        """Makes messages ready again that were taken out."""
        held = self._held
        if held is None:
            return
        for item in items:
            if held.working.items.get(item.message.sequence) is item and item.state == IN_FLIGHT:
                held.working.show(item)
        self._wake()

    # ---- receiving ---------------------------------------------------------------------------------------------------

    def _pick(self, held: Held, most: int, now_ms: int) -> list[Item]:
        """Returns messages for a consumer, which are in flight from now on.

        Those that have been received too often go to the dead letters, those that are too old go away.
        """
        if self._tenancy is not None and not self._tenancy.is_ours():
            # Who has it by now may have deleted what is in memory here.
            return []
        working = held.working
        settings = self.queue.settings
        most = min(most, IN_FLIGHT_MAX - working.in_flight)
        receives_max = settings.redrive.receives_max if settings.redrive is not None else 0
        if receives_max and not self._dead_letters.takes(self):
            receives_max = 0
        oldest_ms = now_ms - settings.retention_s * 1000
        picked: list[Item] = []
        worn: list[Item] = []
        expired: list[Item] = []
        while most > 0 and not picked and len(worn) + len(expired) < _PASSED_MAX:
            items = working.take(most, receives_max)
            held.state.window.read_ahead()
            if not items:
                break
            for item in items:
                if item.message.sent_ms <= oldest_ms:
                    # If it cannot leave now, it is looked at again a little later.
                    item.visible_ms = now_ms + _AGAIN_MS
                    expired.append(item)
                elif 0 < receives_max <= item.receives - item.message.receives:
                    worn.append(item)
                else:
                    picked.append(item)
        if expired:
            held.upkeep.expire(expired)
        if worn:
            self._spawn(self._dead_letters.move(self, worn))
        return picked

    def _give(self, held: Held, items: list[Item], hidden_s: int, now_ms: int) -> list[Received]:
        """Hides messages of a standard queue in memory, and returns what a consumer is told of them."""
        count_receive(items, now_ms)
        until_ms = now_ms + hidden_s * 1000
        working = held.working
        working.hide(items, until_ms)
        working.received += len(items)
        held.upkeep.note_receive(items, now_ms)
        held.upkeep.expect(until_ms)
        queue_id = self.queue.id
        given = [received(queue_id, item, is_fifo=False) for item in items]
        held.state.window.strip(items)
        if not hidden_s:
            working.show_due(now_ms)
        return given

    def _serve_fifo(self, held: Held, waiter: Waiter, now_ms: int) -> None:
        """Has messages of a FIFO queue on their way to a receive, if there are any."""
        state = held.state
        items: list[Item] = []
        if waiter.attempt_id:
            try:
                items = state.attempts.find(
                    waiter.attempt_id, held.working.items, now_ms, read_to=held.state.window.end
                )
            except InvalidParameterValue as error:
                waiter.is_served = True
                waiter.future.set_exception(error)
                return
        is_repeated = bool(items)
        if not items:
            items = self._pick(held, waiter.most, now_ms)
            if not items:
                return
            count_receive(items, now_ms)
        waiter.is_served = True
        if waiter.attempt_id:
            self._attempts[waiter.attempt_id] = waiter.future
            waiter.future.add_done_callback(lambda _done: self._attempts.pop(waiter.attempt_id, None))
        work = Hide(
            state,
            items,
            waiter.visibility_s,
            waiter.attempt_id,
            is_repeated=is_repeated,
            deadline=waiter.deadline,
            future=waiter.future,
        )
        self._submit(held, work)

    async def _wait(self, waiter: Waiter, wait_s: float) -> Sequence[Received]:
        """Waits until a receive is answered; gives back what nobody takes any more."""
        timer = None
        if not waiter.is_served:
            self._waiters[waiter] = None
            self._short += waiter.is_short
            timer = asyncio.get_running_loop().call_later(wait_s, waiter.end)
        try:
            return await waiter.future
        except asyncio.CancelledError:
            future = waiter.future
            if future.done() and not future.cancelled() and future.exception() is None:
                self.take_back(future.result(), waiter.attempt_id)
            raise
        finally:
            if timer is not None:
                timer.cancel()
                self._waiters.pop(waiter, None)
                self._short -= waiter.is_short

    async def _attempted(self, attempt_id: str) -> None:
        """Waits while another receive of the same attempt is being answered; it is repeated then."""
        while (first := self._attempts.get(attempt_id)) is not None and not first.done():
            await asyncio.wait((first,))

    def take_back(self, given: Sequence[Received], attempt_id: str = "") -> None:
        """Makes messages ready again that were given to a receive which had just gone away.

        Args:
            given: what it was given, or a part of that.
            attempt_id: its ReceiveRequestAttemptId, where that is known; it finds them no more.
        """
        held = self._held
        if held is None:
            return
        held.state.attempts.forget(attempt_id)
        found = find_changes(held.state, [(message.receipt_handle, 0) for message in given], self._clock.wall_ms())
        items = [item for item, _ in found.items if item.state == IN_FLIGHT]
        put_back(held.state, items)
        self._wake()

    def _wake(self) -> None:
        """Gives what is ready to those who wait."""
        held = self._held
        if held is None:
            return
        if held.working.bare:
            held.state.window.read_ahead()
        if self._waiters:
            self._serve_waiters(held)
            if self._short and not held.state.window.is_reading:
                for waiter in tuple(self._waiters):
                    if waiter.is_short:
                        waiter.end()
        if self.on_ready is not None and held.working.ready and held.working.line.has_turn:
            self.on_ready(self, held.working.ready)

    def look(self) -> None:
        """Gives what is ready to those who wait, here or elsewhere."""
        self._wake()

    def _serve_waiters(self, held: Held) -> None:
        """Gives messages to those who wait, in the order in which they came, as long as there are any."""
        working, waiters = held.working, self._waiters
        now_ms = self._clock.wall_ms()
        while waiters and working.line.has_turn:
            waiter = next(iter(waiters))
            if waiter.future.done():
                del waiters[waiter]
                continue
            if held.state.deduplication is not None:
                self._serve_fifo(held, waiter, now_ms)
            else:
                items = self._pick(held, waiter.most, now_ms)
                if items:
                    waiter.is_served = True
                    waiter.future.set_result(self._give(held, items, waiter.visibility_s, now_ms))
            if not waiter.is_served:
                # What was there is on its way elsewhere, or too much is in flight. It keeps its place.
                return
            waiters.pop(waiter, None)

    # ---- taking over, and losing -------------------------------------------------------------------------------------

    async def _open(self) -> Held:
        """Takes the queue over, once for all that wait for it.

        Raises:
            StoreUnavailable: it could not be; the next call tries again.
        """
        if self._is_deleted:
            raise QueueDoesNotExist
        if self._is_closed:
            raise QueueGivenUp("the server is being stopped, or the queue moved")
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._take_over())
            self._opening.add_done_callback(_look_at)
        self._coming += 1
        try:
            return await asyncio.shield(self._opening)
        finally:
            self._coming -= 1

    async def _take_over(self) -> Held:
        try:
            deadline = self._clock.monotonic_s() + _OPEN_S
            state, version = await take_over(
                self._store, self.queue, clock=self._clock, ids=self._ids, deadline=deadline
            )
            if self._tenancy is not None and not await self._tenancy.exists():
                # It was deleted, perhaps at another node, before it was taken over, which has to leave nothing behind.
                await self._store.discard(keys.MESSAGES_SPACE, self.queue.id, deadline=deadline)
                raise QueueDoesNotExist
            state.queue = self.queue
            flusher = Flusher(
                self._store,
                state,
                version,
                clock=self._clock,
                ids=self._ids,
                on_flushed=self._on_changed,
                on_lost=self._on_lost,
            )
            upkeep = Upkeep(state, flusher, clock=self._clock, on_due=self._wake)
            held = Held(state, flusher, upkeep)
            state.window = Window(
                self._store, state, self._budget, clock=self._clock, on_read=self._on_changed, on_expired=upkeep.expire
            )
            state.window.read_ahead()
            await state.window.filled()
            self._held, self._rested = held, None
            upkeep.look()
            if held.working.purged_ms:
                self._spawn(self._discard(state))
            return held
        finally:
            self._opening = None

    def _on_changed(self) -> None:
        """Called after a commit, and after messages were read."""
        held = self._held
        if held is None:
            return
        if self._waiters or self.on_ready is not None:
            self._wake()
        held.state.window.weigh()
        if held.working.unread or held.working.bare:
            held.state.window.read_ahead()
        held.upkeep.look()

    def _on_lost(self, reason: str) -> None:
        """Forgets what is in memory; the next call takes the queue over again."""
        held, self._held = self._held, None
        if held is None:
            return
        _log.warning("a queue was given up", queue=self.queue.name, reason=reason)
        held.upkeep.close()
        held.state.window.close()
        self._spawn(held.state.window.closed())
        for waiter in tuple(self._waiters):
            waiter.end()

    async def _discard(self, state: State) -> None:
        """Removes what was purged; what cannot be removed now is when the queue is taken over next."""
        try:
            await discard_purged(self._store, state)
        except StoreError as error:
            _log.info("a purged queue was not emptied yet", queue=self.queue.name, reason=error.message)

    def end_waits(self) -> None:
        """Ends the receives that wait, with empty answers."""
        for waiter in tuple(self._waiters):
            waiter.end()

    @property
    def is_in_memory(self) -> bool:
        """Whether it holds anything of the queue in memory."""
        return self._held is not None

    def rest(self) -> bool:
        """Lets go of a queue that is empty and that nobody uses; the next call takes it over again. Nothing is written.

        Returns:
            Whether nothing of it is in memory.
        """
        held = self._held
        if held is None or self._coming or self._waiters or self._tasks or self._attempts or not held.is_at_rest:
            return held is None and self._opening is None
        self._held, self._rested = None, figures_of(held, self._clock.wall_ms())
        held.let_go("the queue has to be taken over again")
        return True

    async def delete_queue(self) -> None:
        """Closes for good: every call from now on finds no queue."""
        self._is_deleted = True
        await self.close()

    def drop(self, reason: str) -> None:
        """Forgets everything, as another node may own the queue; it cannot be used any more."""
        self._is_closed = True
        for task in tuple(self._tasks):
            task.cancel()
        if self._held is not None:
            self._held.flusher.give_up(reason)
            self._on_lost(reason)

    async def close(self, *, hands_over: bool = False) -> None:
        """Ends the receives that wait with empty answers, writes what is in line, and stops.

        Args:
            hands_over: whether what is hidden in memory alone is written as well, for whoever owns the queue next.
        """
        self._is_closed = True
        self.end_waits()
        if self._opening is not None:
            await asyncio.wait((self._opening,))
        held, self._held = self._held, None
        if held is not None:
            if hands_over and held.state.deduplication is None:
                self._write_hidden(held)
            await held.flusher.drained(_CLOSE_S)
            held.upkeep.close()
            held.state.window.close()
            await held.state.window.closed()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _write_hidden(self, held: Held) -> None:
        """Has it written until when messages of a standard queue are hidden, and how often they were received."""
        flying = [item for item in held.working.items.values() if item.state == IN_FLIGHT and not item.is_leaving]
        for at in range(0, len(flying), COMMIT_MESSAGES_MAX):
            changes = [(item, item.visible_ms) for item in flying[at : at + COMMIT_MESSAGES_MAX]]
            held.upkeep.submit(Change(held.state, changes, is_count=True))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _submit(self, held: Held, work: Work) -> None:
        """Puts in line what has changed memory already; where that is refused, memory is as before."""
        try:
            held.flusher.submit(work)
        except StoreError as error:
            # Who asked hears of it by the future.
            work.undo(error)


def _look_at(opening: asyncio.Task[Held]) -> None:
    """Takes up why a queue could not be taken over, if nobody waits for it any more."""
    if not opening.cancelled():
        opening.exception()
