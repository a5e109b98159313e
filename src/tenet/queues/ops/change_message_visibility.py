"""ChangeMessageVisibility and ChangeMessageVisibilityBatch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenet.queues.errors import InvalidParameterValue, MissingParameter, QueuesError
from tenet.queues.ops.access import queue_of
from tenet.queues.ops.delete_message import outcome_of
from tenet.queues.rules.batches import check_entries, failed_entry

if TYPE_CHECKING:
    from tenet.queues.context import Caller, Context

VISIBILITY_S_MAX: Final = 43_200
_ACTION: Final = "ChangeMessageVisibility"
_ENTRY: Final = "ChangeMessageVisibilityBatchRequestEntry"


async def change_message_visibility(context: Context, caller: Caller, request: dict[str, Any]) -> None:
    """Changes how long a message that is in flight stays hidden."""
    queue = await queue_of(context, caller, request, _ACTION)
    change = _read(request, "", f"Must be between 0 and {VISIBILITY_S_MAX}.")
    (error,) = await context.owners.of(queue).change_visibility((change,), deadline=caller.deadline)
    if error is not None:
        raise error


async def change_message_visibility_batch(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Does the same for up to ten messages; those for which it cannot be done fail by themselves."""
    queue = await queue_of(context, caller, request, _ACTION)
    entries = check_entries(request, _ENTRY)
    failed: list[dict[str, Any]] = []
    ids: list[str] = []
    changes: list[tuple[str, int]] = []
    reason = f"VisibilityTimeout must be an integer between 0 and {VISIBILITY_S_MAX}."
    for number, entry in enumerate(entries, 1):
        try:
            changes.append(_read(entry, f"{_ENTRY}.{number}.", reason))
        except QueuesError as error:
            failed.append(failed_entry(entry["Id"], error))
        else:
            ids.append(entry["Id"])
    errors: list[QueuesError | None] = []
    if changes:
        errors = list(await context.owners.of(queue).change_visibility(changes, deadline=caller.deadline))
    return outcome_of(ids, errors, failed)


def _read(request: dict[str, Any], place: str, reason: str) -> tuple[str, int]:
    handle = request.get("ReceiptHandle")
    if not handle:
        raise MissingParameter.of(f"{place}ReceiptHandle")
    visibility_s: int | None = request.get("VisibilityTimeout")
    if visibility_s is None:
        raise MissingParameter.of(f"{place}VisibilityTimeout")
    if not 0 <= visibility_s <= VISIBILITY_S_MAX:
        raise InvalidParameterValue.of("VisibilityTimeout", visibility_s, reason)
    return handle, visibility_s
