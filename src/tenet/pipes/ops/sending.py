"""Sends records to queues through the door of the queues room, as any client does: in batches, and each as its own.

What a queue refuses comes back with the words of the API, and with what of a batch it took all the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct

from tenet.pipes.rules.requests import queue_named
from tenet.queues.api import Caller, QueuesError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tenet.base.clock import Clock
    from tenet.pipes.model import Pipe
    from tenet.pipes.rules.records import Outgoing

#: Carries out an operation of the SQS API: its name, the request, who calls.
Call: TypeAlias = Callable[[str, dict[str, Any], Caller], Awaitable[dict[str, Any] | None]]

#: What one call takes (SendMessageBatch).
ENTRIES_MAX: Final = 10
BODIES_BYTES_MAX: Final = 1_048_576
#: How long one call may take, seconds.
CALL_S: Final = 20.0
#: What a queue says of a message that is longer than it takes.
_TOO_LARGE: Final = "Message must be shorter than"


class Refused(Struct, frozen=True):
    """A record that a queue did not take.

    Args:
        at: its place among those that were to be sent.
        code: of the error.
        message: the queue's words.
    """

    at: int
    code: str
    message: str

    @property
    def is_too_large(self) -> bool:
        """Whether the queue takes none that is so long."""
        return _TOO_LARGE in self.message


class Sender:
    """Sends records of pipes.

    Args:
        call: the door of the queues room.
        clock: for deadlines.
    """

    def __init__(self, call: Call, clock: Clock) -> None:
        self._call = call
        self._clock = clock

    async def exists(self, pipe_account: str, target: str) -> bool:
        """Whether there is a queue; of another account's nothing is said, its policy decides about each message.

        Args:
            pipe_account: of the pipe.
            target: ARN of the queue.
        """
        account, name = queue_named(target)
        if account != pipe_account:
            return True
        try:
            await self._call("GetQueueUrl", {"QueueName": name}, self._caller(account))
        except QueuesError:
            return False
        return True

    async def send(self, pipe: Pipe, records: Sequence[Outgoing]) -> Refused | None:
        """Sends records in their order; those before the one that is refused first have been sent, none behind it has.

        Where the queue is no FIFO queue, and refuses one of a batch, others of that batch are sent as well; they may
        come again.

        Args:
            pipe: whose they are.
            records: what to send.

        Raises:
            StoreError: the store could not serve; any of them may have been sent.
        """
        for first, batch in batches(records):
            refused = await self._send_batch(pipe, batch)
            if refused is not None:
                return Refused(first + refused.at, refused.code, refused.message)
        return None

    async def _send_batch(self, pipe: Pipe, batch: Sequence[Outgoing]) -> Refused | None:
        caller = self._caller(pipe.account)
        url = _url_of(pipe)
        if len(batch) > 1:
            entries = [{"Id": str(at), **_message(one)} for at, one in enumerate(batch)]
            try:
                answer = await self._call("SendMessageBatch", {"QueueUrl": url, "Entries": entries}, caller) or {}
            except QueuesError:
                pass  # one by one, to find out which it is about
            else:
                failed = sorted(answer.get("Failed", ()), key=lambda one: int(one["Id"]))
                if not failed:
                    return None
                return Refused(int(failed[0]["Id"]), failed[0]["Code"], failed[0].get("Message", ""))
        for at, one in enumerate(batch):
            try:
                await self._call("SendMessage", {"QueueUrl": url, **_message(one)}, self._caller(pipe.account))
            except QueuesError as error:
                return Refused(at, error.code, error.message)
        return None

    def _caller(self, account: str) -> Caller:
        return Caller(account, deadline=self._clock.monotonic_s() + CALL_S)


def batches(records: Sequence[Outgoing]) -> Iterator[tuple[int, Sequence[Outgoing]]]:
    """Returns records in portions that one call takes, each with the place of its first one."""
    first, size = 0, 0
    for at, one in enumerate(records):
        body = len(one.body) if one.body.isascii() else len(one.body.encode())
        if at > first and (at - first == ENTRIES_MAX or size + body > BODIES_BYTES_MAX):
            yield first, records[first:at]
            first, size = at, 0
        size += body
    if first < len(records):
        yield first, records[first:]


def _message(one: Outgoing) -> dict[str, str]:
    message = {"MessageBody": one.body}
    if one.group:
        message["MessageGroupId"] = one.group
    if one.deduplication:
        message["MessageDeduplicationId"] = one.deduplication
    return message


def _url_of(pipe: Pipe) -> str:
    account, name = queue_named(pipe.target)
    return f"/{account}/{name}"
