"""What holds for the entries of every batch.

Source: Amazon SQS API Reference, the errors of SendMessageBatch, DeleteMessageBatch and ChangeMessageVisibilityBatch.
"""

from __future__ import annotations

import re
from typing import Any, Final

from tenet.queues.errors import (
    BatchEntryIdsNotDistinct,
    BatchRequestTooLong,
    EmptyBatchRequest,
    InvalidBatchEntryId,
    MissingParameter,
    QueuesError,
    TooManyEntriesInBatchRequest,
)
from tenet.queues.model import MESSAGE_BYTES_MAX

ENTRIES_MAX: Final = 10
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")


def check_entries(request: dict[str, Any], place: str) -> list[dict[str, Any]]:
    """Returns the entries of a batch.

    Args:
        request: of the right types.
        place: what an entry is called in the Query protocol, and in messages.

    Raises:
        QueuesError: the batch as a whole is refused.
    """
    entries: list[dict[str, Any]] = request.get("Entries") or []
    if not entries:
        raise EmptyBatchRequest(f"There should be at least one {place} in the request.")
    if len(entries) > ENTRIES_MAX:
        raise TooManyEntriesInBatchRequest(
            f"Maximum number of entries per request are {ENTRIES_MAX}. You have sent {len(entries)}."
        )
    seen: set[str] = set()
    for number, entry in enumerate(entries, 1):
        entry_id = entry.get("Id")
        if entry_id is None:
            raise MissingParameter.of(f"{place}.{number}.Id")
        if not _ID.fullmatch(entry_id):
            raise InvalidBatchEntryId
        if entry_id in seen:
            raise BatchEntryIdsNotDistinct(f"Id {entry_id} repeated.")
        seen.add(entry_id)
    return entries


def check_batch_bytes(size_bytes: int) -> None:
    """Refuses a batch whose messages are together too large.

    Raises:
        BatchRequestTooLong: they are.
    """
    if size_bytes > MESSAGE_BYTES_MAX:
        raise BatchRequestTooLong(
            f"Batch requests cannot be longer than {MESSAGE_BYTES_MAX} bytes. You have sent {size_bytes} bytes."
        )


def failed_entry(entry_id: str, error: QueuesError) -> dict[str, Any]:
    """Returns what the answer says of an entry that failed by itself."""
    return {
        "Id": entry_id,
        "SenderFault": error.is_senders_fault,
        "Code": error.query_code,
        "Message": error.message,
    }


def batch_answer(successful: list[dict[str, Any]], failed: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the answer to a batch; lists without entries are left out."""
    answer: dict[str, Any] = {}
    if successful:
        answer["Successful"] = successful
    if failed:
        answer["Failed"] = failed
    return answer
