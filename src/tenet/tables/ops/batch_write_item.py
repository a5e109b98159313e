"""BatchWriteItem (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Final

import orjson

from tenet.store.contract import Delete, Limits, Put
from tenet.store.errors import StoreUnavailable
from tenet.store.landing import land
from tenet.tables.context import Caller, Context
from tenet.tables.errors import ProvisionedThroughputExceededException, ValidationException
from tenet.tables.model import Item, Table
from tenet.tables.ops.delete_item import delete_plan
from tenet.tables.ops.put_item import put_plan
from tenet.tables.ops.writing import TURN_BYTES, Plan, Written, charge, collection_metrics, write
from tenet.tables.rules.attributes import check_item, check_item_size
from tenet.tables.rules.capacity import Consumed
from tenet.tables.rules.images import ABSENT
from tenet.tables.rules.indexes import NOTHING, indexes_of
from tenet.tables.rules.key_values import KEY_MISMATCH, place_of_key

#: The most writes of one call, over all tables.
WRITES_MAX: Final = 25
#: Blind writes are committed in portions of so many bytes, half of what a commit may carry.
_PART_BYTES_MAX: Final = Limits.commit_bytes_max // 2
_KINDS: Final = ("PutRequest", "DeleteRequest")
_NOT_YET: Final = Written(ABSENT, ABSENT, NOTHING)


class _Wanted:
    """One write of a batch.

    Args:
        name: the table's name as the request gives it.
        request: the WriteRequest.
        plan: what it means.
        item: the item or its key.
    """

    __slots__ = ("item", "name", "plan", "request")

    def __init__(self, name: str, request: dict[str, Any], plan: Plan, item: Item) -> None:
        self.name = name
        self.request = request
        self.plan = plan
        self.item = item


async def batch_write_item(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Puts and deletes up to 25 items, each by itself; one round trip where the engine has cheap commits.

    Raises:
        ValidationException: an item or a key is wrong; nothing was written.
        ResourceNotFoundException: there is no such table; nothing was written.
        ProvisionedThroughputExceededException: no table has capacity left; nothing was written.
    """
    sizes = await _check(request["RequestItems"])
    wanted = await _plans(context, caller, request["RequestItems"], sizes)
    admitted, refused = _admit(context, wanted)
    looks = any(one.plan.table.is_limited for one in admitted) or _asks_for_figures(request)
    outcomes = await _carry_out(context, caller, admitted, look=looks)
    written: list[tuple[_Wanted, Written]] = []
    for one, outcome in zip(admitted, outcomes, strict=True):
        if isinstance(outcome, Written):
            charge(context, one.plan.table, outcome)
            written.append((one, outcome))
        else:
            refused.append(one)
    failures = [outcome for outcome in outcomes if isinstance(outcome, StoreUnavailable)]
    if failures and not written:
        raise failures[0]
    return _answer(request, written, refused)


async def _check(tables: dict[str, list[dict[str, Any]]]) -> list[int]:
    """Checks what needs no table; returns the size of each put, 0 for deletes, in order."""
    sizes = []
    for requests in tables.values():
        for one in requests:
            if len(one) != 1 or one.keys().isdisjoint(_KINDS):
                raise ValidationException(
                    "Supplied AttributeValue has more than one datatypes set, "
                    "must contain exactly one of the supported datatypes"
                )
            if "PutRequest" in one:
                size = check_item(one["PutRequest"]["Item"])
                check_item_size(size)
                sizes.append(size)
                if size > TURN_BYTES:
                    await asyncio.sleep(0)
            else:
                check_item(one["DeleteRequest"]["Key"])
                sizes.append(0)
    if len(sizes) > WRITES_MAX:
        raise ValidationException("Too many items requested for the BatchWriteItem call")
    return sizes


async def _plans(
    context: Context, caller: Caller, tables: dict[str, list[dict[str, Any]]], sizes: list[int]
) -> list[_Wanted]:
    wanted: list[_Wanted] = []
    keys = set()
    of_put = iter(sizes)
    found = {}
    for name in tables:
        found[name] = await context.catalog.table(caller.account, name, deadline=caller.deadline)
    for name, requests in tables.items():
        table = found[name]
        caller.notes["table"] = table.name
        for one in requests:
            size = next(of_put)
            if "PutRequest" in one:
                item = one["PutRequest"]["Item"]
                plan = _put(table, item, size)
            else:
                item = one["DeleteRequest"]["Key"]
                plan = delete_plan(table, place_of_key(table, item), None, return_old=False)
            if plan.key in keys:
                raise ValidationException("Provided list of item keys contains duplicates")
            keys.add(plan.key)
            wanted.append(_Wanted(name, one, plan, item))
    return wanted


def _put(table: Table, item: Item, size: int) -> Plan:
    for attribute in (table.keys.partition, table.keys.sort):
        if attribute is not None and attribute.type not in item.get(attribute.name, ()):
            raise ValidationException(KEY_MISMATCH)
    return put_plan(table, item, size, None, return_old=False)


def _admit(context: Context, wanted: list[_Wanted]) -> tuple[list[_Wanted], list[_Wanted]]:
    """Returns the writes that there is capacity for, and the others; raises where there is none for any."""
    admitted, refused = [], []
    refusal: ProvisionedThroughputExceededException | None = None
    for one in wanted:
        try:
            table = one.plan.table
            context.throttle.admit_write(table, indexes_of(table, one.item) if "PutRequest" in one.request else ())
            admitted.append(one)
        except ProvisionedThroughputExceededException as error:
            refusal = error
            refused.append(one)
    if refusal is not None and not admitted:
        raise refusal
    return admitted, refused


async def _carry_out(
    context: Context, caller: Caller, wanted: list[_Wanted], *, look: bool
) -> list[Written | StoreUnavailable]:
    """Carries out blind writes in one commit where that is cheap, and every other one by itself.

    Returns:
        What became of each: the store's refusal where it was not written.
    """
    together = not look and context.store.capabilities.cheap_commits_across_partitions
    blind: list[int] = []
    single: list[int] = []
    for at, one in enumerate(wanted):
        plan = one.plan
        if not together or plan.blind is None or plan.table.looks_back or context.combiner.is_busy(plan.key):
            single.append(at)
        else:
            blind.append(at)
    jobs: list[tuple[list[int], Coroutine[Any, Any, Sequence[Written]]]] = [
        *((part, _write_blindly(context, caller, [wanted[at].plan for at in part])) for part in _parts(wanted, blind)),
        *(([at], _write_one(context, caller, wanted[at].plan, look=look)) for at in single),
    ]
    outcomes: list[Written | StoreUnavailable] = [_NOT_YET] * len(wanted)
    answers = await asyncio.gather(*(job for _, job in jobs), return_exceptions=True)
    for (part, _), answer in zip(jobs, answers, strict=True):
        if isinstance(answer, BaseException) and not isinstance(answer, StoreUnavailable):
            raise answer
        for index, at in enumerate(part):
            outcomes[at] = answer if isinstance(answer, StoreUnavailable) else answer[index]
    return outcomes


async def _write_one(context: Context, caller: Caller, plan: Plan, *, look: bool) -> Sequence[Written]:
    return [await write(context, caller, plan, look=look)]


async def _write_blindly(context: Context, caller: Caller, plans: Sequence[Plan]) -> Sequence[Written]:
    written = [Written(ABSENT, plan.blind or ABSENT, NOTHING) for plan in plans]
    writes = [
        Delete(plan.key) if done.new.value is None else Put(plan.key, done.new.value)
        for plan, done in zip(plans, written, strict=True)
    ]
    await land(context.store, writes, clock=context.clock, ids=context.ids, deadline=caller.deadline)
    return written


def _parts(wanted: list[_Wanted], blind: list[int]) -> Iterator[list[int]]:
    """Returns blind writes in portions that a commit has room for."""
    part: list[int] = []
    room = _PART_BYTES_MAX
    for at in blind:
        size = (wanted[at].plan.blind or ABSENT).stored_bytes
        if part and size > room:
            yield part
            part, room = [], _PART_BYTES_MAX
        part.append(at)
        room -= size
    if part:
        yield part


def _asks_for_figures(request: dict[str, Any]) -> bool:
    return bool(request.get("ReturnConsumedCapacity", "NONE") != "NONE")


def _answer(request: dict[str, Any], written: list[tuple[_Wanted, Written]], refused: list[_Wanted]) -> bytes:
    unprocessed: dict[str, list[dict[str, Any]]] = {}
    for one in refused:
        unprocessed.setdefault(one.name, []).append(one.request)
    answer: dict[str, Any] = {"UnprocessedItems": unprocessed}
    mode = request.get("ReturnConsumedCapacity", "NONE")
    if mode != "NONE":
        consumed: dict[str, Consumed] = {}
        for one, done in written:
            consumed.setdefault(one.name, Consumed(one.plan.table)).merge(done.consumed(one.plan.table))
        answer["ConsumedCapacity"] = [of_table.answer(mode) for of_table in consumed.values()]
    if request.get("ReturnItemCollectionMetrics") == "SIZE":
        metrics: dict[str, list[dict[str, Any]]] = {}
        for one, _ in written:
            if one.plan.table.local_indexes:
                metrics.setdefault(one.name, []).append(collection_metrics(one.plan.table, one.item))
        if metrics:
            answer["ItemCollectionMetrics"] = metrics
    return orjson.dumps(answer)
