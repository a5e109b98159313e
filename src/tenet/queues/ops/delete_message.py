"""DeleteMessage and DeleteMessageBatch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenet.queues.errors import MissingParameter, QueuesError
from tenet.queues.ops.access import queue_of
from tenet.queues.rules.batches import batch_answer, check_entries, failed_entry

if TYPE_CHECKING:
    from tenet.queues.context import Caller, Context

_ACTION: Final = "DeleteMessage"
_ENTRY: Final = "DeleteMessageBatchRequestEntry"


async def delete_message(context: Context, caller: Caller, request: dict[str, Any]) -> None:
    """Deletes a message; durable when it returns."""
    queue = await queue_of(context, caller, request, _ACTION)
    handle = request.get("ReceiptHandle")
    if not handle:
        raise MissingParameter.of("ReceiptHandle")
    (error,) = await context.owners.of(queue).delete((handle,), deadline=caller.deadline)
    if error is not None:
        raise error


async def delete_message_batch(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Deletes up to ten messages in one commit; those that cannot be fail by themselves."""
    queue = await queue_of(context, caller, request, _ACTION)
    entries = check_entries(request, _ENTRY)
    failed: list[dict[str, Any]] = []
    ids: list[str] = []
    handles: list[str] = []
    for number, entry in enumerate(entries, 1):
        handle = entry.get("ReceiptHandle")
        if handle:
            ids.append(entry["Id"])
            handles.append(handle)
        else:
            failed.append(failed_entry(entry["Id"], MissingParameter.of(f"{_ENTRY}.{number}.ReceiptHandle")))
    errors: list[QueuesError | None] = []
    if handles:
        errors = list(await context.owners.of(queue).delete(handles, deadline=caller.deadline))
    return outcome_of(ids, errors, failed)


def outcome_of(ids: list[str], errors: list[QueuesError | None], failed: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the answer to a batch whose entries have no result but that they succeeded.

    Args:
        ids: of the entries that were carried out.
        errors: what became of each.
        failed: what is said of entries that were not.
    """
    successful = []
    for entry_id, error in zip(ids, errors, strict=True):
        if error is None:
            successful.append({"Id": entry_id})
        else:
            failed.append(failed_entry(entry_id, error))
    return batch_answer(successful, failed)
