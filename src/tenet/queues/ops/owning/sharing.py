"""A node's part in queues that several nodes share: it has those of its slots, and answers the others' questions.

It promises:

* What is done here is done while the slot is this node's, as far as it can know; what it is wrong about, the queue's
  head keeps from harm (``flushing``), and no message is given away (``Owner``).
* A slot that is given up while it is ours is handed over: everything in line is written, and so is what standard queues
  hide in memory, before another node can have it.
* A slot that comes back to this node when no other could have it meanwhile goes on with what is in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
import structlog

from tenet.base.errors import TenetError
from tenet.queues.errors import OverLimit
from tenet.queues.model import NewMessage, Queue, Received
from tenet.queues.ops.owning.flushing import QueueGivenUp
from tenet.queues.ops.owning.shared import Elsewhere
from tenet.queues.ops.owning.watching import Interests, Waits
from tenet.queues.rules import asked

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.mesh.places import NodeId, Places
    from tenet.queues.ops.owning.owner import Owner
    from tenet.queues.rules.move_tasks import Task

_ASK: Final = "queues.ask"
_CHANGED: Final = "queues.changed"
_GIVEN_BACK: Final = "queues.given_back"
#: How long a slot's handover may take, seconds.
_HAND_OVER_S: Final = 3.0
#: How many queues are handed over side by side.
_SIDE_BY_SIDE: Final = 32

_log = structlog.get_logger(__name__)


class Holding(Protocol):
    """The owners of this node's queues."""

    def local(self, queue: Queue) -> Owner:
        """Returns the owner of a queue that is this node's."""
        ...

    def known(self) -> Sequence[Owner]:
        """Returns those that there are."""
        ...

    def get(self, queue_id: bytes) -> Owner | None:
        """Returns the owner of a queue, if there is one."""
        ...

    def drop(self, queue_id: bytes) -> Owner | None:
        """Takes one out, if it is there."""
        ...


class Moves(Protocol):
    """The tasks that move messages out of this node's queues."""

    async def resume(self, queue_id: bytes) -> None:
        """Begins with the task of a queue that was written down, unless it goes on."""
        ...

    async def cancel_here(self, source: Queue, task_id: str, *, deadline: float) -> Task:
        """Has a task end."""
        ...

    async def tasks_here(self, source: Queue, *, limit: int, deadline: float) -> Sequence[Task]:
        """Returns the latest tasks of a queue."""
        ...

    def take_up(self) -> None:
        """Called when this node has got more queues."""
        ...

    async def stop(self, is_of: Callable[[bytes], bool]) -> None:
        """Stops the tasks of queues that this node gives up."""
        ...


class GivenBack(msgspec.Struct, array_like=True, gc=False):
    """Messages that were received for somebody who was gone by then.

    Args:
        queue_id: of their queue.
        messages: as they were received, without their bodies.
    """

    queue_id: bytes
    messages: list[Received]


class Sharing:
    """This node's part.

    Args:
        places: who has which queues.
        holding: the owners of those that this node has.
        clock: time.
        ids: randomness.
    """

    moves: Moves

    def __init__(self, places: Places, holding: Holding, *, clock: Clock, ids: Ids) -> None:
        self.places = places
        self.now = clock.monotonic_s
        self.ids = ids
        self.waits = Waits(places, clock)
        self._interests = Interests(places, clock)
        self._holding = holding
        #: Under which number this node has had its slots last.
        self._numbers: dict[int, int] = {}
        self._following: set[asyncio.Task[Any]] = set()
        #: Whether nobody may wait any more; whether nothing is done any more.
        self.is_ending = False
        self.is_closed = False
        self._operations: dict[str, Callable[[Owner, asked.Question, NodeId], Awaitable[object]]] = {
            asked.SEND: self._send,
            asked.RECEIVE: self._receive,
            asked.DELETE: self._delete,
            asked.CHANGE_VISIBILITY: self._change_visibility,
            asked.PURGE: self._purge,
            asked.FIGURES: self._figures,
            asked.TRANSFER: self._transfer,
            asked.FORGET: self._forget,
            asked.BEGIN_MOVE: self._begin_move,
            asked.CANCEL_MOVE: self._cancel_move,
            asked.LIST_MOVES: self._list_moves,
        }

    async def open(self) -> None:
        """Takes part from now on."""
        self.places.handle(_ASK, self._answer)
        self.places.receive(_CHANGED, self._take_change)
        self.places.receive(_GIVEN_BACK, self._take_back)
        self.places.on_change(self._drop_lost)
        await self.places.open(self)

    async def close(self) -> None:
        """Hands everything over, and takes no part any more."""
        self.end_waits()
        await self.places.close()
        self.is_closed = True
        self.waits.close()
        for task in tuple(self._following):
            task.cancel()

    def end_waits(self) -> None:
        """Has nobody wait any more."""
        self.is_ending = True
        self.waits.end()

    def local(self, queue: Queue) -> Owner:
        """Returns the owner of a queue that is this node's."""
        return self._holding.local(queue)

    # ---- slots -------------------------------------------------------------------------------------------------------

    def taken(self, slot: int, number: int) -> None:
        """Takes up a slot; see ``Tenant``."""
        if self._numbers.get(slot) != number:
            self._drop(slot, "another node may have had the queue")
            self._numbers[slot] = number
        self.moves.take_up()

    async def given_up(self, slot: int, *, is_ours: bool) -> None:
        """Hands a slot over, where nobody else has it yet; see ``Tenant``."""
        await self.moves.stop(lambda queue_id: self.places.slot_of(queue_id) == slot)
        owners = self._of_slot(slot)
        for owner in owners:
            self._interests.forget(owner)
            owner.end_waits()
        if not is_ours:
            # Perhaps it comes back, and nobody else has had it.
            return
        turns = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def hand_over(owner: Owner) -> None:
            async with turns:
                await owner.close(hands_over=True)

        for owner in owners:
            self._holding.drop(owner.queue.id)
        try:
            async with asyncio.timeout(_HAND_OVER_S):
                await asyncio.gather(*map(hand_over, owners))
        except TimeoutError:
            _log.warning("queues were not handed over in time", slot=slot, queues=len(owners))
            for owner in owners:
                owner.drop("the queue was given up")

    def _drop_lost(self) -> None:
        """Forgets queues that are another node's by now, as the members' records say."""
        for slot in tuple(self._numbers):
            place = self.places.place_of(slot)
            if place is not None and place != self.places.node and not self.places.has(slot):
                del self._numbers[slot]
                self._drop(slot, "another node has the queue")

    def _drop(self, slot: int, reason: str) -> None:
        for owner in self._of_slot(slot):
            self._holding.drop(owner.queue.id)
            self._interests.forget(owner)
            owner.drop(reason)

    def _of_slot(self, slot: int) -> list[Owner]:
        return [owner for owner in self._holding.known() if self.places.slot_of(owner.queue.id) == slot]

    # ---- asking ------------------------------------------------------------------------------------------------------

    async def ask(self, node: NodeId, operation: str, queue: Queue, argument: object, within_s: float) -> msgspec.Raw:
        """Asks a node about a queue, and returns the result, encoded.

        Raises:
            NotAsked: the node cannot be reached.
            AnswerLost: it may have done it.
            Elsewhere: the queue is not there.
            TenetError: it failed there.
        """
        question = asked.Question(operation, queue, within_s, msgspec.Raw(asked.encode(argument)))
        answer = asked.decode_answer(await self.places.ask(node, _ASK, asked.encode(question), within_s))
        if answer.status == asked.DONE:
            return answer.result
        if answer.status == asked.ELSEWHERE:
            raise Elsewhere(f"{node} does not have it")
        raise asked.error_of(answer.code, answer.text)

    def spread(self, queue: Queue) -> None:
        """Tells who has a queue that its description has changed."""
        slot = self.places.slot_of(queue.id)
        if self.places.is_here(slot):
            self.local(queue)
            return
        node = self.places.place_of(slot)
        if node is not None and node != self.places.node:
            self.places.notify(node, _CHANGED, asked.encode(queue))

    def give_back(self, queue: Queue, given: Sequence[Received]) -> None:
        """Has messages be visible again that were received for somebody who is gone."""
        slot = self.places.slot_of(queue.id)
        messages = [msgspec.structs.replace(message, body="", attributes=b"") for message in given]
        node = self.places.place_of(slot)
        if not messages or node is None:
            return
        if self.places.is_here(slot):
            self.local(queue).take_back(messages)
        elif node != self.places.node:
            self.places.notify(node, _GIVEN_BACK, asked.encode(GivenBack(queue.id, messages)))

    def follow(self, work: asyncio.Task[Any], done: Callable[[Any], None]) -> None:
        """Has something be done with the result of a task that nobody waits for any more."""

        def ended(task: asyncio.Task[Any]) -> None:
            self._following.discard(task)
            if not task.cancelled() and task.exception() is None:
                done(task.result())

        self._following.add(work)
        work.add_done_callback(ended)

    # ---- answering ---------------------------------------------------------------------------------------------------

    async def _answer(self, sender: NodeId, body: bytes) -> bytes:
        question = asked.decode_question(body)
        slot = self.places.slot_of(question.queue.id)
        operation = self._operations.get(question.operation)
        if not self.places.is_here(slot) or operation is None:
            return asked.elsewhere()
        try:
            result = await operation(self.local(question.queue), question, sender)
        except QueueGivenUp:
            return asked.elsewhere()
        except TenetError as error:
            if not self.places.is_here(slot) and error.retryable and error.code == "StoreUnavailable":
                return asked.elsewhere()
            return asked.failed(error)
        return asked.done(result)

    def _deadline(self, question: asked.Question) -> float:
        return self.now() + question.within_s

    async def _send(self, owner: Owner, question: asked.Question, _: NodeId) -> object:
        messages = asked.decode(question.argument, list[NewMessage])
        return await owner.send(messages, deadline=self._deadline(question))

    async def _receive(self, owner: Owner, question: asked.Question, sender: NodeId) -> object:
        argument = asked.decode(question.argument, asked.ReceiveArgument)
        try:
            given = await owner.receive(
                most=argument.most,
                visibility_s=argument.visibility_s,
                wait_s=0,
                attempt_id=argument.attempt_id if owner.queue.is_fifo else "",
                deadline=self._deadline(question),
            )
        except OverLimit:
            if not argument.waits:
                raise
            given = ()
        fitting = asked.fitting(given)
        if fitting < len(given):
            owner.take_back(given[fitting:], argument.attempt_id)
        if not given and not self.places.is_here(self.places.slot_of(owner.queue.id)):
            raise QueueGivenUp("another node may have the queue by now")
        if not given and argument.waits:
            self._interests.add(owner, sender)
        return given[:fitting]

    async def _delete(self, owner: Owner, question: asked.Question, _: NodeId) -> object:
        handles = asked.decode(question.argument, list[str])
        return asked.outcomes_of(await owner.delete(handles, deadline=self._deadline(question)))

    async def _change_visibility(self, owner: Owner, question: asked.Question, _: NodeId) -> object:
        changes = asked.decode(question.argument, list[tuple[str, int]])
        return asked.outcomes_of(await owner.change_visibility(changes, deadline=self._deadline(question)))

    async def _purge(self, owner: Owner, question: asked.Question, _: NodeId) -> object:
        await owner.purge(deadline=self._deadline(question))
        return None

    async def _figures(self, owner: Owner, _: asked.Question, __: NodeId) -> object:
        return await owner.figures()

    async def _transfer(self, owner: Owner, question: asked.Question, _: NodeId) -> object:
        part = asked.decode(question.argument, asked.TransferArgument)
        await owner.transfer(part.messages, part.tokens, deadline=self._deadline(question))
        return None

    async def _forget(self, owner: Owner, _: asked.Question, __: NodeId) -> object:
        await self.forget(owner.queue.id)
        return None

    async def forget(self, queue_id: bytes) -> None:
        """Ends what is done here with a queue that was deleted."""
        await self.moves.stop(lambda other: other == queue_id)
        owner = self._holding.drop(queue_id)
        if owner is not None:
            self._interests.forget(owner)
            await owner.delete_queue()

    async def _begin_move(self, owner: Owner, _: asked.Question, __: NodeId) -> object:
        await self.moves.resume(owner.queue.id)
        return None

    async def _cancel_move(self, owner: Owner, question: asked.Question, _: NodeId) -> object:
        task_id = asked.decode(question.argument, str)
        return await self.moves.cancel_here(owner.queue, task_id, deadline=self._deadline(question))

    async def _list_moves(self, owner: Owner, question: asked.Question, _: NodeId) -> object:
        limit = asked.decode(question.argument, int)
        return await self.moves.tasks_here(owner.queue, limit=limit, deadline=self._deadline(question))

    # ---- notices -----------------------------------------------------------------------------------------------------

    def _take_change(self, _: NodeId, body: bytes) -> None:
        try:
            queue = asked.decode(body, Queue)
        except msgspec.MsgspecError:
            return
        if self._holding.get(queue.id) is not None:
            self.local(queue)

    def _take_back(self, _: NodeId, body: bytes) -> None:
        try:
            given = asked.decode(body, GivenBack)
        except msgspec.MsgspecError:
            return
        owner = self._holding.get(given.queue_id)
        if owner is not None and self.places.is_here(self.places.slot_of(given.queue_id)):
            owner.take_back(given.messages)
