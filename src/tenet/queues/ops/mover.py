"""Carries out message movement tasks in the background.

It promises:

* A queue has at most one task that goes on; which one, a record says that is written with the task's own.
* A message is written to the queue that it goes to before it is removed from the one that it comes from. A crash in
  between leaves it in both, and it is moved again: a FIFO queue knows it by where it came from and takes it once, a
  standard queue has it twice.
* A task goes on after a restart; what it says it has moved may then be a second old.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from tenet.base.clock import NEVER
from tenet.base.errors import TenetError
from tenet.queues import keys
from tenet.queues.errors import InvalidParameterValue, ResourceNotFoundException
from tenet.queues.rules.move_tasks import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    FAILED,
    KEPT_MAX,
    Task,
    decode_task,
    encode_task,
)
from tenet.queues.rules.stored import message_weight
from tenet.store.contract import Committed, Delete, IsVersion, Key, Put, Record, Write
from tenet.store.landing import land

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.queues.model import Queue
    from tenet.queues.ops.owning.items import Item
    from tenet.queues.ops.owning.owners import Owners
    from tenet.queues.rules.stored import Message
    from tenet.store.contract import Check, Record, Store

#: Messages that are moved together.
_BATCH: Final = 100
#: A task with a rate moves so often a second, in smaller batches.
_STEPS_A_SECOND: Final = 10
#: Characters of messages that are moved in one commit; at least one message is.
_BATCH_CHARACTERS: Final = 1_500_000
#: How often a task looks again that found nothing although something is there.
_EMPTY_MAX: Final = 10
#: How often a task writes down how far it is, seconds.
_NOTE_S: Final = 1.0
#: How long a batch may take, and how long it waits where the store cannot serve, seconds.
_BATCH_S: Final = 20.0
_PAUSE_S: Final = 1.0
#: The longest that a task goes on (Developer Guide, "Message movement task quotas").
_TASK_MS_MAX: Final = 36 * 3_600_000
_SCAN_LIMIT: Final = 200
#: How often it looks for tasks that nobody carries out, where there are other nodes, and how long it waits for more
#: queues to become this one's, seconds.
_LOOK_S: Final = 60.0
_TOGETHER_S: Final = 0.2

_NO_QUEUE: Final = "AWS.SimpleQueueService.NonExistentQueue"
_NO_SOURCE: Final = "CouldNotDetermineMessageSource"

_log = structlog.get_logger(__name__)


class _Stopped(Exception):
    """The task cannot go on; its text says why, as clients see it."""


class Mover:
    """Moves messages between queues.

    Args:
        store: where tasks are written down.
        owners: hold the messages.
        find: finds a queue by its ARN; None: there is none.
        clock: time.
        ids: for commit ids.
    """

    def __init__(
        self,
        store: Store,
        owners: Owners,
        find: Callable[[str], Awaitable[Queue | None]],
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store = store
        self._owners = owners
        self._find = find
        self._clock = clock
        self._ids = ids
        #: What goes on, by the id of the source: the task as it is, and who works on it.
        self._active: dict[bytes, _Run] = {}
        #: Among several nodes: looks for tasks of queues that have become this one's.
        self._looking: asyncio.Task[None] | None = None
        self._look = asyncio.Event()
        self._is_closed = False

    async def open(self) -> None:
        """Makes the space of tasks where there is none, and goes on with those that an earlier process left."""
        await self._store.ensure_space(keys.MOVES_SPACE)
        await self._resume_all()

    async def _resume_all(self) -> None:
        """Goes on with the tasks of all queues of this process that nobody carries out."""
        after: tuple[bytes, bytes] | None = None
        while True:
            page = await self._store.scan(keys.MOVES_SPACE, keys.ACTIVES, limit=_SCAN_LIMIT, after=after)
            for record in page.records:
                after = (record.partition, record.sort)
                if self._owners.is_here(record.partition):
                    await self._resume(record)
            if not page.more:
                return

    async def _resume(self, active: Record) -> None:
        queue_id = active.partition
        (stored,) = await self._store.get((Key(keys.MOVES_SPACE, queue_id, active.value),))
        if stored is None or queue_id in self._active:
            return
        task = decode_task(stored.value)
        source = await self._find(task.source)
        if source is None or source.id != queue_id:
            await self.forget(queue_id)
        elif queue_id not in self._active and self._owners.is_here(queue_id):
            self._run(source, task)

    async def close(self) -> None:
        """Stops all tasks; the next start goes on with them."""
        self._is_closed = True
        tasks = [run.working for run in self._active.values() if run.working is not None]
        if self._looking is not None:
            tasks.append(self._looking)
        for working in tasks:
            working.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- among several nodes -----------------------------------------------------------------------------------------

    def take_up(self) -> None:
        """Goes on, a little later, with the tasks of queues that have become this node's."""
        self._look.set()
        if self._looking is None and not self._is_closed:
            self._looking = asyncio.get_running_loop().create_task(self._keep_looking())

    async def _keep_looking(self) -> None:
        """Goes on with tasks whenever this node has got more queues, and once in a while."""
        while True:
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._look.wait()
            except TimeoutError:
                pass
            # Slots come together.
            await asyncio.sleep(_TOGETHER_S)
            self._look.clear()
            try:
                await self._resume_all()
            except TenetError as error:
                _log.info("tasks of queues are not looked for now", reason=error.message)
                self._look.set()
                await asyncio.sleep(_PAUSE_S)

    async def resume(self, queue_id: bytes) -> None:
        """Begins with the task of a queue of this node that was written down, unless it goes on."""
        (active,) = await self._store.get((keys.active_task_key(queue_id),))
        if active is not None:
            await self._resume(active)

    async def stop(self, is_of: Callable[[bytes], bool]) -> None:
        """Stops the tasks of some queues, which another node goes on with."""
        runs = [self._active.pop(queue_id) for queue_id in tuple(self._active) if is_of(queue_id)]
        tasks = [run.working for run in runs if run.working is not None]
        for working in tasks:
            working.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def forget(self, queue_id: bytes) -> None:
        """Ends the task of a queue that was deleted, and removes what is known of its tasks."""
        run = self._active.pop(queue_id, None)
        if run is not None and run.working is not None:
            run.working.cancel()
            await asyncio.gather(run.working, return_exceptions=True)
        await self._store.discard(keys.MOVES_SPACE, queue_id)

    # ---- what operations ask for -------------------------------------------------------------------------------------

    async def start(self, source: Queue, task: Task, *, deadline: float) -> None:
        """Writes a task down and begins with it; three round trips.

        Raises:
            InvalidParameterValue: another one goes on.
        """
        former = await self._latest(source.id, deadline)
        if former:
            # Whatever the clock says, a later task stands behind an earlier one.
            latest_ms = decode_task(former[0].value).started_ms
            task = msgspec.structs.replace(task, started_ms=max(task.started_ms, latest_ms + 1))
        key, active = keys.task_key(source.id, task.started_ms), keys.active_task_key(source.id)
        writes: list[Write] = [Put(key, encode_task(task)), Put(active, key.sort)]
        # The oldest, which are too many.
        writes += [Delete(Key(keys.MOVES_SPACE, source.id, record.sort)) for record in former[KEPT_MAX - 1 :]]
        outcome = await self._land(writes, (IsVersion(active, None), IsVersion(key, None)), deadline)
        if not isinstance(outcome, Committed):
            raise InvalidParameterValue(
                "There is already a task running. "
                "Only one active task is allowed for a source queue arn at a given time."
            )
        shared = self._owners.shared(source)
        if shared is None:
            self._run(source, task)
            return
        try:
            await shared.begin_move(deadline=deadline)
        except TenetError as error:
            # It is written down, and whoever has the queue looks for it.
            _log.info("a task begins later", queue=source.name, reason=error.message)

    async def cancel(self, source: Queue, task_id: str, *, deadline: float) -> Task:
        """Has a task end, and returns it as it is now.

        Raises:
            ResourceNotFoundException: there is no such task.
            InvalidParameterValue: it does not go on.
        """
        shared = self._owners.shared(source)
        if shared is not None:
            return await shared.cancel_move(task_id, deadline=deadline)
        return await self.cancel_here(source, task_id, deadline=deadline)

    async def cancel_here(self, source: Queue, task_id: str, *, deadline: float) -> Task:
        """Does the same where the task goes on."""
        run = self._active.get(source.id)
        if run is not None and run.task.id == task_id:
            if run.is_cancelled:
                raise InvalidParameterValue("Only active tasks can be cancelled.")
            run.is_cancelled = True
            run.task = msgspec.structs.replace(run.task, status=CANCELLING)
            run.hurry.set()
            return run.task
        if any(task.id == task_id for task in await self.tasks_here(source, limit=KEPT_MAX, deadline=deadline)):
            raise InvalidParameterValue("Only active tasks can be cancelled.")
        raise ResourceNotFoundException("Task does not exist.")

    async def tasks(self, source: Queue, *, limit: int, deadline: float) -> Sequence[Task]:
        """Returns the latest tasks of a queue, the newest first; one round trip."""
        shared = self._owners.shared(source)
        if shared is not None:
            return await shared.moves(limit, deadline=deadline)
        return await self.tasks_here(source, limit=limit, deadline=deadline)

    async def tasks_here(self, source: Queue, *, limit: int, deadline: float) -> Sequence[Task]:
        """Does the same where tasks go on."""
        page = await self._store.query(
            keys.MOVES_SPACE, source.id, keys.TASKS, limit=limit, reverse=True, deadline=deadline
        )
        tasks = [decode_task(record.value) for record in page.records]
        run = self._active.get(source.id)
        if run is None:
            return tasks
        return [run.task if task.id == run.task.id else task for task in tasks]

    async def _latest(self, queue_id: bytes, deadline: float) -> Sequence[Record]:
        """Returns the records of a queue's tasks, the newest first; a few more than are kept."""
        page = await self._store.query(
            keys.MOVES_SPACE, queue_id, keys.TASKS, limit=2 * KEPT_MAX, reverse=True, deadline=deadline
        )
        return page.records

    # ---- moving ------------------------------------------------------------------------------------------------------

    def _run(self, source: Queue, task: Task) -> None:
        run = self._active[source.id] = _Run(task)
        run.working = asyncio.get_running_loop().create_task(self._carry_out(source, run))

    async def _carry_out(self, source: Queue, run: _Run) -> None:
        """Moves until nothing is left, and writes down what came of it; waits while the store cannot serve."""
        status, failure = COMPLETED, ""
        while True:
            try:
                while not run.is_cancelled and await self._step(source, run):
                    pass
                if run.is_cancelled:
                    status = CANCELLED
                await self._end(source, run, status, failure)
            except _Stopped as stopped:
                status, failure = FAILED, str(stopped)
                run.is_cancelled = False
                await self._end_in_time(source, run, failure)
            except TenetError as error:
                _log.warning("messages are not moved for now", queue=source.name, reason=error.message)
                await asyncio.sleep(_PAUSE_S)
                if await self._is_gone(source):
                    self._active.pop(source.id, None)
                    return
                continue
            return

    async def _step(self, source: Queue, run: _Run) -> bool:
        """Moves some messages, and returns whether there may be more.

        Raises:
            _Stopped: they cannot be moved.
        """
        task = run.task
        began_s = self._clock.monotonic_s()
        if self._clock.wall_ms() - task.started_ms > _TASK_MS_MAX:
            raise _Stopped("TaskTookTooLong")
        owner = self._owners.local(source)
        most = min(_BATCH, max(1, task.rate // _STEPS_A_SECOND)) if task.rate else _BATCH
        items = list(await owner.take_out(most))
        if not items:
            return await self._may_have_more(source, run)
        run.empty = 0
        moved = len(items)
        try:
            for target, group in await self._targets(source, task, items):
                for chunk in _chunks(group):
                    await self._move(source, target, task, chunk)
                    del items[: len(chunk)]
                    run.task = msgspec.structs.replace(run.task, moved=run.task.moved + len(chunk))
        finally:
            # What is somewhere else by now has been removed.
            owner.give_back(items)
        await self._note(source, run)
        if task.rate:
            await run.pause(began_s + moved / task.rate - self._clock.monotonic_s())
        return True

    async def _may_have_more(self, source: Queue, run: _Run) -> bool:
        """Whether to look again: a slow store may not have given out what there is."""
        figures = await self._owners.local(source).figures()
        run.empty += 1
        if not figures.visible or run.empty > _EMPTY_MAX:
            return False
        await run.pause(_PAUSE_S)
        return True

    async def _targets(self, source: Queue, task: Task, items: list[Item]) -> Sequence[tuple[Queue, list[Item]]]:
        """Returns where messages go, and puts them in the order in which they do; all of them can be moved, or none.

        Raises:
            _Stopped: a target is not known, or not there.
        """
        by_target: dict[str, list[Item]] = {}
        for item in items:
            by_target.setdefault(task.destination or item.message.source, []).append(item)
        if "" in by_target:
            raise _Stopped(_NO_SOURCE)
        found = []
        for arn, group in by_target.items():
            target = await self._find(arn)
            if target is None or target.is_fifo != source.is_fifo:
                raise _Stopped(_NO_QUEUE)
            found.append((target, group))
        items[:] = [item for _, group in found for item in group]
        return found

    async def _move(self, source: Queue, target: Queue, task: Task, items: Sequence[Item]) -> None:
        """Writes messages to the queue that they go to, and removes them from the one that they come from."""
        messages = [_moved(item.message) for item in items]
        tokens = [f"{source.id.hex()}/{item.message.sequence}/{task.id}" for item in items]
        await self._owners.of(target).transfer(messages, tokens, deadline=self._clock.monotonic_s() + _BATCH_S)
        await self._owners.local(source).let_go(items, deadline=self._clock.monotonic_s() + _BATCH_S)

    async def _is_gone(self, source: Queue) -> bool:
        try:
            found = await self._find(source.arn)
        except TenetError:
            return False
        return found is None or found.id != source.id

    # ---- writing down ------------------------------------------------------------------------------------------------

    async def _note(self, source: Queue, run: _Run) -> None:
        """Writes down how far a task is, about once a second."""
        now_s = self._clock.monotonic_s()
        if now_s < run.noted_s + _NOTE_S:
            return
        run.noted_s = now_s
        key = keys.task_key(source.id, run.task.started_ms)
        outcome = await self._land([Put(key, encode_task(run.task))], (), NEVER)
        assert isinstance(outcome, Committed)

    async def _end(self, source: Queue, run: _Run, status: str, failure: str) -> None:
        ended = msgspec.structs.replace(run.task, status=status, failure=failure)
        key, active = keys.task_key(source.id, ended.started_ms), keys.active_task_key(source.id)
        outcome = await self._land([Put(key, encode_task(ended)), Delete(active)], (), NEVER)
        assert isinstance(outcome, Committed)
        run.task = ended
        self._active.pop(source.id, None)
        _log.info("message movement task ended", queue=source.name, status=status, moved=ended.moved)

    async def _end_in_time(self, source: Queue, run: _Run, failure: str) -> None:
        """Notes that a task has failed, as soon as the store can serve."""
        while True:
            try:
                await self._end(source, run, FAILED, failure)
            except TenetError as error:
                _log.warning("what came of a task is not written yet", queue=source.name, reason=error.message)
                await asyncio.sleep(_PAUSE_S)
            else:
                return

    async def _land(self, writes: Sequence[Write], checks: Sequence[Check], deadline: float) -> object:
        return await land(self._store, writes, checks, clock=self._clock, ids=self._ids, deadline=deadline)


class _Run:
    """A task that goes on in this process.

    Args:
        task: as it was written down.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.working: asyncio.Task[None] | None = None
        self.is_cancelled = False
        #: Set when it is not to wait any more.
        self.hurry = asyncio.Event()
        self.noted_s = 0.0
        #: How often it has found nothing in a row.
        self.empty = 0

    async def pause(self, pause_s: float) -> None:
        """Waits for some time, unless the task is cancelled meanwhile."""
        if pause_s > 0:
            try:
                async with asyncio.timeout(pause_s):
                    await self.hurry.wait()
            except TimeoutError:
                pass


def _moved(message: Message) -> Message:
    """Returns a message as a new one of the queue that it goes to: with another id, never received."""
    return msgspec.structs.replace(message, sequence=0, sent_ms=0, visible_ms=0, id="", source="", receives=0)


def _chunks(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Yields messages in their order, so many at a time as go into one commit."""
    chunk: list[Item] = []
    characters = 0
    for item in items:
        weight = message_weight(item.message)
        if chunk and characters + weight > _BATCH_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
        chunk.append(item)
        characters += weight
    if chunk:
        yield chunk
