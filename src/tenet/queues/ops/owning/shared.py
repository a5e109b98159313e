"""A queue among several nodes: what is asked of it goes to the node that has it, wherever that is now.

A request that meets a queue on the move, or a node that has just died, is tried again until it is answered or its time
is up: clients see a delay and no error. What is tried again may have been done the first time:

* a send on a standard queue is delivered twice then, as it may be; on a FIFO queue its deduplication id keeps it from
  that;
* a receive of a FIFO queue that another node was asked for has an id of its own, by which the queue's next owner finds
  what it was given; a standard queue's messages are visible again after their time;
* deleting, hiding and purging again changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tenet.mesh.places import AnswerLost, NotAsked
from tenet.queues.errors import PurgeQueueInProgress, QueuesError
from tenet.queues.model import Figures, NewMessage, Queue, Received, Sent
from tenet.queues.ops.owning.flushing import QueueGivenUp
from tenet.queues.ops.owning.receiving import NODE_ATTEMPT
from tenet.queues.rules import asked
from tenet.queues.rules.move_tasks import Task
from tenet.store.errors import DeadlineExceeded, OutcomeUnknown, StoreUnavailable

if TYPE_CHECKING:
    from tenet.queues.ops.owning.owner import Owner
    from tenet.queues.ops.owning.sharing import Sharing
    from tenet.queues.rules.stored import Message

T = TypeVar("T")

#: How long a request is tried again, seconds.
PATIENCE_S: Final = 10.0
#: How long it waits before it looks again who has the queue, seconds; twice as long each time.
_PAUSE_S_MIN: Final = 0.01
_PAUSE_S_MAX: Final = 0.2
_ATTEMPT_BYTES: Final = 9


class Elsewhere(Exception):
    """The node that was asked does not have the queue."""


class _Tries:
    """How often something was tried."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class SharedOwner:
    """A queue in the hands of one of several nodes; for who uses it, like an `Owner`.

    Args:
        sharing: this node's part in it.
        queue: its description.
    """

    __slots__ = ("_queue", "_sharing", "_slot")

    def __init__(self, sharing: Sharing, queue: Queue) -> None:
        self._sharing = sharing
        self._queue = queue
        self._slot = sharing.places.slot_of(queue.id)

    # ---- messages; arguments and errors as those of ``Owner`` --------------------------------------------------------

    async def send(self, messages: Sequence[NewMessage], *, deadline: float) -> Sequence[Sent]:
        """Sends messages; see ``Owner.send``."""

        async def here(owner: Owner, until_s: float) -> Sequence[Sent]:
            return await owner.send(messages, deadline=until_s)

        return await self._carry_out(asked.SEND, messages, list[Sent], here, deadline)

    async def delete(self, handles: Sequence[str], *, deadline: float) -> Sequence[QueuesError | None]:
        """Deletes messages; see ``Owner.delete``."""

        async def here(owner: Owner, until_s: float) -> asked.Outcomes:
            return asked.outcomes_of(await owner.delete(handles, deadline=until_s))

        return asked.results_of(await self._carry_out(asked.DELETE, handles, asked.Outcomes, here, deadline))

    async def change_visibility(
        self, changes: Sequence[tuple[str, int]], *, deadline: float
    ) -> Sequence[QueuesError | None]:
        """Changes for how long messages are hidden; see ``Owner.change_visibility``."""

        async def here(owner: Owner, until_s: float) -> asked.Outcomes:
            return asked.outcomes_of(await owner.change_visibility(changes, deadline=until_s))

        outcomes = await self._carry_out(asked.CHANGE_VISIBILITY, changes, asked.Outcomes, here, deadline)
        return asked.results_of(outcomes)

    async def purge(self, *, deadline: float) -> None:
        """Removes everything; see ``Owner.purge``."""
        tries = _Tries()

        async def here(owner: Owner, until_s: float) -> None:
            await owner.purge(deadline=until_s)

        try:
            await self._carry_out(asked.PURGE, None, type(None), here, deadline, tries=tries)
        except PurgeQueueInProgress:
            if tries.count < 2:  # noqa: PLR2004 - the second try may have met the first
                raise

    async def figures(self) -> Figures:
        """Returns what the queue holds, and what went through it."""

        async def here(owner: Owner, _: float) -> Figures:
            return await owner.figures()

        return await self._carry_out(asked.FIGURES, None, Figures, here, self._sharing.now() + PATIENCE_S)

    async def transfer(self, messages: Sequence[Message], tokens: Sequence[str], *, deadline: float) -> None:
        """Takes in messages of another queue; see ``Owner.transfer``. Where it fails, some may have been taken in."""
        for part in asked.parts(messages, tokens):
            await self._transfer(part, deadline)

    async def _transfer(self, part: asked.TransferArgument, deadline: float) -> None:
        async def here(owner: Owner, until_s: float) -> None:
            await owner.transfer(part.messages, part.tokens, deadline=until_s)

        await self._carry_out(asked.TRANSFER, part, type(None), here, deadline)

    def update(self, queue: Queue) -> None:
        """Takes up a new description of the queue, wherever it is; what is lost comes with the next request."""
        self._queue = queue
        self._sharing.spread(queue)

    async def forget(self, *, within_s: float) -> None:
        """Ends what is done with a queue that was deleted, at the node that has it."""

        async def here(owner: Owner, _: float) -> None:
            await self._sharing.forget(owner.queue.id)

        await self._carry_out(asked.FORGET, None, type(None), here, self._sharing.now() + within_s)

    # ---- tasks that move messages ------------------------------------------------------------------------------------

    async def begin_move(self, *, deadline: float) -> None:
        """Has the task begin that was written down."""

        async def here(_: Owner, __: float) -> None:
            await self._sharing.moves.resume(self._queue.id)

        await self._carry_out(asked.BEGIN_MOVE, None, type(None), here, deadline)

    async def cancel_move(self, task_id: str, *, deadline: float) -> Task:
        """Has a task end; see ``Mover.cancel``."""

        async def here(_: Owner, until_s: float) -> Task:
            return await self._sharing.moves.cancel_here(self._queue, task_id, deadline=until_s)

        return await self._carry_out(asked.CANCEL_MOVE, task_id, Task, here, deadline)

    async def moves(self, limit: int, *, deadline: float) -> Sequence[Task]:
        """Returns the latest tasks; see ``Mover.tasks``."""

        async def here(_: Owner, until_s: float) -> Sequence[Task]:
            return await self._sharing.moves.tasks_here(self._queue, limit=limit, deadline=until_s)

        return await self._carry_out(asked.LIST_MOVES, limit, list[Task], here, deadline)

    # ---- receiving ---------------------------------------------------------------------------------------------------

    async def receive(
        self, *, most: int, visibility_s: int | None, wait_s: float, attempt_id: str = "", deadline: float
    ) -> Sequence[Received]:
        """Receives messages; see ``Owner.receive``."""
        argument = asked.ReceiveArgument(most, visibility_s, attempt_id, waits=wait_s > 0)
        if wait_s <= 0:
            return await self._receive(argument, 0.0, deadline)
        sharing = self._sharing
        until_s = sharing.now() + wait_s
        with sharing.waits.line(self._queue.id) as line:
            while True:
                signals = line.signals
                left_s = max(until_s - sharing.now(), 0.0)
                given = await self._receive(argument, left_s, deadline)
                left_s = until_s - sharing.now()
                if given or left_s <= 0 or sharing.is_ending:
                    if given and line.waiting:
                        # Perhaps there is more.
                        line.wake(1)
                    return given
                if sharing.places.is_here(self._slot):
                    await sharing.places.changed(min(left_s, _PAUSE_S_MIN))
                else:
                    await line.wait(signals, left_s)

    async def _receive(self, argument: asked.ReceiveArgument, wait_s: float, deadline: float) -> Sequence[Received]:
        """Asks once, and waits only where the queue is here."""
        elsewhere = argument
        if self._queue.is_fifo and not argument.attempt_id:
            # Whoever has the queue next, be it this node, finds by it what was hidden for an answer that did not come.
            attempt_id = NODE_ATTEMPT + self._sharing.ids.draw(_ATTEMPT_BYTES).hex()
            elsewhere = asked.ReceiveArgument(argument.most, argument.visibility_s, attempt_id, waits=argument.waits)
        tries = _Tries()

        async def here(owner: Owner, until_s: float) -> Sequence[Received]:
            given = await owner.receive(
                most=argument.most,
                visibility_s=argument.visibility_s,
                wait_s=wait_s,
                # The first try of all has nobody before it, and nobody asks again where this process dies.
                attempt_id=(argument if tries.count == 1 else elsewhere).attempt_id,
                deadline=until_s,
            )
            if not given and not wait_s and not self._sharing.places.is_here(self._slot):
                raise QueueGivenUp("another node may have the queue by now")
            return given

        asking = self._carry_out(asked.RECEIVE, elsewhere, list[Received], here, deadline, tries=tries)
        if self._sharing.places.is_here(self._slot):
            return await asking
        receiving = asyncio.get_running_loop().create_task(asking)
        try:
            return await asyncio.shield(receiving)
        except asyncio.CancelledError:
            # Who asked is gone: what comes is given back.
            self._sharing.follow(receiving, self._give_back)
            raise

    def _give_back(self, given: Sequence[Received]) -> None:
        self._sharing.give_back(self._queue, given)

    # ---- wherever it is ----------------------------------------------------------------------------------------------

    async def _carry_out(
        self,
        operation: str,
        argument: object,
        of: type[T],
        here: Callable[[Owner, float], Awaitable[Any]],
        deadline: float,
        *,
        tries: _Tries | None = None,
    ) -> T:
        """Has something done by who has the queue.

        Args:
            operation: what, as other nodes know it.
            argument: what for.
            of: the result's type.
            here: does it on this node.
            deadline: when to give up.
            tries: is told of each try before it is made.

        Raises:
            StoreUnavailable: nobody could do it in time; it was not done.
            OutcomeUnknown: nobody knows whether it was.
        """
        sharing = self._sharing
        until_s = min(deadline, sharing.now() + PATIENCE_S)
        pause_s, is_lost, reason = _PAUSE_S_MIN, False, ""
        while True:
            if tries is not None:
                tries.count += 1
            try:
                if sharing.places.is_here(self._slot):
                    result: T = await here(sharing.local(self._queue), deadline)
                    return result
                return await self._ask(operation, argument, of, until_s)
            except (QueueGivenUp, NotAsked, Elsewhere) as error:
                reason = str(error)
            except AnswerLost as error:
                is_lost, reason = True, str(error)
            except StoreUnavailable as error:
                if isinstance(error, DeadlineExceeded) or sharing.places.is_here(self._slot):
                    raise
                reason = error.message
            left_s = until_s - sharing.now()
            if left_s <= 0 or sharing.is_closed:
                if is_lost:
                    raise OutcomeUnknown(f"the node that had the queue has not answered: {reason}")
                raise StoreUnavailable(f"no node has the queue at the moment: {reason}")
            await sharing.places.changed(min(pause_s, left_s))
            pause_s = min(2 * pause_s, _PAUSE_S_MAX)

    async def _ask(self, operation: str, argument: object, of: type[T], until_s: float) -> T:
        """Asks the node that has the queue."""
        sharing = self._sharing
        node = sharing.places.place_of(self._slot)
        if node is None or node == sharing.places.node:
            raise NotAsked("it is nobody's yet")
        within_s = until_s - sharing.now()
        if within_s <= 0:
            raise NotAsked("there was no time left")
        return asked.decode(await sharing.ask(node, operation, self._queue, argument, within_s), of)
