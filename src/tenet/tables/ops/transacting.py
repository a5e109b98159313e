"""Carries out many plans in one commit: the core of TransactWriteItems.

The items are read as one snapshot, every plan decides on it, and one commit checks that nothing of what was looked at
has changed. Whoever loses a race tries again on what is there then, holding the lines of its keys, so that writers of
this process cannot overtake it a second time. A conflict reaches the caller only when the deadline is used up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from tenet.store.contract import Committed, Conflict, IsVersion, Key, Limits, Record, Write
from tenet.store.errors import LineNotFree
from tenet.store.landing import land
from tenet.tables.context import Caller, Context
from tenet.tables.errors import (
    ConditionalCheckFailedException,
    DuplicateItemException,
    ItemCollectionSizeLimitExceededException,
    TablesError,
    TransactionCanceledException,
    ValidationException,
)
from tenet.tables.ops.writing import Plan, Written, carried_out, carried_out_logged, writes_of
from tenet.tables.rules.images import UNSEEN, Image
from tenet.tables.rules.indexes import NOTHING
from tenet.tables.rules.key_values import EmptyKeyValue

_CODES: Final = {
    ConditionalCheckFailedException.code: "ConditionalCheckFailed",
    DuplicateItemException.code: "DuplicateItem",
    ItemCollectionSizeLimitExceededException.code: "ItemCollectionSizeLimitExceeded",
    ValidationException.code: "ValidationError",
}
#: The reason of an item that nothing speaks against.
NO_REASON: Final = {"Code": "None"}
#: The most that the items of a transaction may take together, in bytes by the service's rules.
COLLECTION_BYTES_MAX: Final = 4 * 1024 * 1024
#: Beyond it, values are squeezed; the rest of what a commit may carry is for keys.
_VALUES_BYTES_MAX: Final = Limits.commit_bytes_max - 1024 * 1024
#: The reason of a statement whose table is not there.
NO_TABLE: Final = {"Code": "ResourceNotFound", "Message": "Requested resource not found"}
_CONFLICT: Final = {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}


class Attempt:
    """What became of one try.

    Args:
        written: what was carried out, an entry per plan, if the commit landed.
        conflict: what refused it, else.
    """

    __slots__ = ("conflict", "written")

    def __init__(self, written: Sequence[Written], conflict: Conflict | None) -> None:
        self.written = written
        self.conflict = conflict


async def transact(
    context: Context, caller: Caller, plans: Sequence[Plan], *, extra: Sequence[Write] = (), look: bool
) -> Sequence[Written] | Conflict:
    """Carries out all plans or none; two round trips where nobody is in the way.

    Args:
        context: the service.
        caller: who writes.
        plans: 1 to 100, each of another item.
        extra: further writes of the same commit. An add of theirs that is out of bounds ends the transaction.
        look: whether the caller wants to know what was there before, for blind writes too.

    Returns:
        What was carried out, in the order of the plans; or the conflict in which an add of `extra` was out of bounds.

    Raises:
        TransactionCanceledException: a plan refused, or the deadline passed while others were in the way.
    """
    keys = [plan.key for plan in plans]
    try:
        if not any(map(context.combiner.is_busy, keys)):
            attempt = await _attempt(context, caller, plans, extra, look=look)
            if attempt.conflict is None:
                return attempt.written
            if attempt.conflict.out_of_bounds:
                return attempt.conflict
        async with context.combiner.hold(keys, deadline=caller.deadline):
            while True:
                attempt = await _attempt(context, caller, plans, extra, look=look)
                if attempt.conflict is None:
                    return attempt.written
                if attempt.conflict.out_of_bounds:
                    return attempt.conflict
                if context.clock.monotonic_s() > caller.deadline:
                    raise canceled([_CONFLICT if key in attempt.conflict.records else NO_REASON for key in keys])
    except LineNotFree as error:
        raise canceled([_CONFLICT for _ in keys]) from error


async def _attempt(
    context: Context, caller: Caller, plans: Sequence[Plan], extra: Sequence[Write], *, look: bool
) -> Attempt:
    looked_at = [plan for plan in plans if look or plan.blind is None or plan.table.looks_back]
    keys = [plan.key for plan in looked_at]
    found = await context.store.read_together(keys, deadline=caller.deadline) if keys else ()
    records = {key: record for key, record in zip(keys, found, strict=True) if isinstance(record, Record | None)}
    is_logging = context.is_logging
    written = decided(plans, records, is_logging=is_logging)
    check_collection_bytes(done.new.size for done in written)
    logged_bytes = sum(done.changes.logged_bytes for done in written)
    if logged_bytes + sum(done.new.stored_bytes + done.changes.value_bytes for done in written) > _VALUES_BYTES_MAX:
        written = [done.squeezed(plan, is_logged=is_logging) for plan, done in zip(plans, written, strict=True)]
    writes: list[Write] = [write for plan, done in zip(plans, written, strict=True) for write in writes_of(plan, done)]
    checks = [IsVersion(key, None if record is None else record.version) for key, record in records.items()]
    outcome = await land(
        context.store,
        (*writes, *extra),
        checks,
        [append for done in written for append in done.changes.appends],
        clock=context.clock,
        ids=context.ids,
        deadline=caller.deadline,
    )
    return Attempt(written, None if isinstance(outcome, Committed) else outcome)


def decided(plans: Sequence[Plan], records: dict[Key, Record | None], *, is_logging: bool = False) -> list[Written]:
    """Returns what the plans make of what was read.

    Args:
        plans: the plans.
        records: what was read; a plan whose key is missing is carried out blindly.
        is_logging: whether global indexes are kept from the log.

    Raises:
        TransactionCanceledException: a plan refused; its reasons name each one that did.
        ValidationException: an update makes a key of an index empty.
    """
    written: list[Written] = []
    reasons: list[dict[str, Any]] = []
    carry_out = carried_out_logged if is_logging else carried_out
    for plan in plans:
        try:
            if plan.key in records:
                written.append(carry_out(plan, Image.of_record(records[plan.key])))
            else:
                assert plan.blind is not None
                written.append(Written(UNSEEN, plan.blind, NOTHING))
            reasons.append(NO_REASON)
        except EmptyKeyValue:
            raise
        except TablesError as error:
            reasons.append(reason_of(error))
    if len(written) < len(plans):
        raise canceled(reasons)
    return written


def reason_of(error: TablesError) -> dict[str, Any]:
    """Returns the cancellation reason for the refusal of one item."""
    return {"Code": _CODES.get(error.code, error.code), "Message": error.message, **error.members}


def canceled(reasons: Sequence[dict[str, Any]]) -> TransactionCanceledException:
    """Returns the error that says why each item of a transaction was not written."""
    codes = ", ".join(reason["Code"] for reason in reasons)
    return TransactionCanceledException(
        f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]",
        {"CancellationReasons": list(reasons)},
    )


def check_collection_bytes(sizes: Iterable[int]) -> None:
    """Refuses a transaction whose items are too large together.

    Args:
        sizes: of the items, in bytes by the service's rules.

    Raises:
        ValidationException: they are over 4 MB.
    """
    if sum(sizes) > COLLECTION_BYTES_MAX:
        raise ValidationException("Collection size of items exceeded 4MB limit")


def check_distinct(keys: Sequence[Key]) -> None:
    """Refuses a transaction in which an item stands twice.

    Raises:
        ValidationException: one does.
    """
    if len(set(keys)) < len(keys):
        raise ValidationException("Transaction request cannot include multiple operations on one item")
