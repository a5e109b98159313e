"""SendMessage and SendMessageBatch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenet.queues.errors import InvalidParameterValue, MissingParameter, QueuesError
from tenet.queues.ops.access import queue_of
from tenet.queues.rules.batches import batch_answer, check_batch_bytes, check_entries, failed_entry
from tenet.queues.rules.messages import measured, prepare

if TYPE_CHECKING:
    from tenet.queues.context import Caller, Context
    from tenet.queues.model import Prepared, Queue, Sent

_ACTION: Final = "SendMessage"
_ENTRY: Final = "SendMessageBatchRequestEntry"
#: Digits of a sequence number, so that they sort as texts.
_DIGITS: Final = 20


async def send_message(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Sends one message; durable when it returns."""
    queue = await queue_of(context, caller, request, _ACTION)
    prepared = prepare(queue, request, sender=caller.account, trace=caller.trace)
    (sent,) = await context.owners.of(queue).send((prepared.message,), deadline=caller.deadline)
    return _told(prepared, sent)


async def send_message_batch(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Sends up to ten messages in one commit. In a standard queue, those that may not be sent fail by themselves."""
    queue = await queue_of(context, caller, request, _ACTION)
    entries = check_entries(request, _ENTRY)
    check_batch_bytes(sum(measured(entry) for entry in entries))
    prepared: list[tuple[str, Prepared]] = []
    failed: list[dict[str, Any]] = []
    for number, entry in enumerate(entries, 1):
        try:
            prepared.append((entry["Id"], _prepare_entry(queue, caller, entry, number)))
        except QueuesError as error:
            if queue.is_fifo:
                raise
            failed.append(failed_entry(entry["Id"], error))
    if not prepared:
        return batch_answer([], failed)
    messages = [one.message for _, one in prepared]
    sent = await context.owners.of(queue).send(messages, deadline=caller.deadline)
    successful = [{"Id": entry_id, **_told(one, told)} for (entry_id, one), told in zip(prepared, sent, strict=True)]
    return batch_answer(successful, failed)


def _prepare_entry(queue: Queue, caller: Caller, entry: dict[str, Any], number: int) -> Prepared:
    try:
        return prepare(queue, entry, sender=caller.account, trace=caller.trace, place=f"{_ENTRY}.{number}.MessageBody")
    except MissingParameter as error:
        if queue.is_fifo and entry.get("MessageBody"):
            # What a FIFO queue misses is another error in a batch than by itself.
            raise InvalidParameterValue(error.message) from error
        raise


def _told(prepared: Prepared, sent: Sent) -> dict[str, Any]:
    told = {"MD5OfMessageBody": prepared.md5_of_body, "MessageId": sent.message_id}
    if prepared.message.md5_of_attributes:
        told["MD5OfMessageAttributes"] = prepared.message.md5_of_attributes
    if prepared.md5_of_system_attributes:
        told["MD5OfMessageSystemAttributes"] = prepared.md5_of_system_attributes
    if sent.sequence_number:
        told["SequenceNumber"] = sequence_text(sent.sequence_number)
    return told


def sequence_text(number: int) -> str:
    """Returns a sequence number as clients see it."""
    return str(number).zfill(_DIGITS)
