"""TransactWriteItems (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from tenet.store.contract import Conflict
from tenet.tables.context import Caller, Context
from tenet.tables.errors import TablesError, TransactionCanceledException, ValidationException
from tenet.tables.model import Item, Table
from tenet.tables.ops.delete_item import delete_plan
from tenet.tables.ops.put_item import put_plan
from tenet.tables.ops.tokens import Token, replayed
from tenet.tables.ops.transacting import (
    NO_REASON,
    NO_TABLE,
    canceled,
    check_collection_bytes,
    check_distinct,
    reason_of,
    transact,
)
from tenet.tables.ops.update_item import update_plan
from tenet.tables.ops.writing import TURN_BYTES, Plan, Written, charge, check_condition, collection_metrics, wants_old
from tenet.tables.rules.attributes import check_item, check_item_size
from tenet.tables.rules.capacity import Consumed, write_units
from tenet.tables.rules.conditions import Condition
from tenet.tables.rules.images import Image
from tenet.tables.rules.key_values import EmptyKeyValue, check_scalar_access, place_of_key
from tenet.tables.rules.parameters import condition_of, update_of

_ACTIONS: Final = ("ConditionCheck", "Put", "Delete", "Update")


class Action:
    """One action of a transaction, checked as far as it can be without its table.

    Args:
        name: the table's name as the request gives it.
        item: the item or its key.
        size: the bytes of an item that is put, else 0.
        plan: makes the plan when the table is known; raises where the keys do not match its schema. None where it is
            known already that there is no table.
    """

    __slots__ = ("item", "name", "plan", "size")

    def __init__(
        self, name: str, item: Item | None = None, size: int = 0, plan: Callable[[Table], Plan] | None = None
    ) -> None:
        self.name = name
        self.item: Item = {} if item is None else item
        self.size = size
        self.plan = plan


async def transact_write_items(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Carries out up to 100 actions on different items, all or none; two round trips where nobody is in the way.

    Raises:
        ValidationException: an action is wrong, or an item stands twice.
        ResourceNotFoundException: there is no such table.
        TransactionCanceledException: an action cannot be carried out; its reasons name each one.
        IdempotentParameterMismatchException: the client token was used for another request.
    """
    actions = []
    for element in request["TransactItems"]:
        actions.append(_action(element))
        if actions[-1].size > TURN_BYTES:
            await asyncio.sleep(0)
    return await carry_out(context, caller, request, actions)


async def carry_out(
    context: Context,
    caller: Caller,
    request: dict[str, Any],
    actions: Sequence[Action],
    tables: Sequence[Table | None] | None = None,
) -> bytes:
    """Carries out actions that are checked as far as they can be without their tables, all or none.

    Args:
        context: the service.
        caller: who writes.
        request: its token, what it is a digest of, and what the answer is to say.
        actions: 1 to 100.
        tables: those of the actions, if they were looked for already; None where there is none, which cancels it.

    Raises:
        ValidationException: an item stands twice, or they are too large together.
        ResourceNotFoundException: there is no such table.
        TransactionCanceledException: an action cannot be carried out; its reasons name each one.
        IdempotentParameterMismatchException: the client token was used for another request.
    """
    check_collection_bytes(action.size for action in actions)
    token = Token.of(request, context.clock.wall_ms())
    # Before any table is looked at: a token that was used for something else is refused whatever the new request says.
    was_carried_out = token is not None and await replayed(context, caller, token)
    plans = _plans(actions, await _tables(context, caller, actions) if tables is None else tables)
    check_distinct([plan.key for plan in plans])
    if was_carried_out:
        return await _replay(context, caller, request, plans)
    for plan in plans:
        context.throttle.admit_write(plan.table)
    mode = request.get("ReturnConsumedCapacity", "NONE")
    extra = () if token is None else await token.writes(context, caller)
    look = mode != "NONE" or any(plan.table.is_limited for plan in plans)
    done: Sequence[Written] | Conflict | TransactionCanceledException
    try:
        done = await transact(context, caller, plans, extra=extra, look=look)
    except TransactionCanceledException as error:
        done = error
    if isinstance(done, TransactionCanceledException):
        # The first try of this very request may have landed meanwhile, and changed what its conditions look at.
        if token is None or not await replayed(context, caller, token):
            raise done
        return await _replay(context, caller, request, plans)
    if isinstance(done, Conflict):
        # The very token was used between the look and the commit: then the other request did the work.
        assert token is not None
        await replayed(context, caller, token, must_exist=True)
        return await _replay(context, caller, request, plans)
    return _answer(context, request, actions, plans, done)


def _action(element: dict[str, Any]) -> Action:
    given = [name for name in _ACTIONS if name in element]
    if not given:
        raise ValidationException(
            "Invalid Request: TransactWriteRequest should contain Delete or Put or Update request"
        )
    if len(given) > 1:
        raise ValidationException("TransactItems can only contain one of Check, Put, Update or Delete")
    request = element[given[0]]
    return _BY_NAME[given[0]](request)


def _put(request: dict[str, Any]) -> Action:
    item = request["Item"]
    size = check_item(item)
    check_item_size(size)
    condition = condition_of(request, values_alone=True)
    return Action(
        request["TableName"],
        item,
        size,
        lambda table: put_plan(table, item, size, condition, return_old=wants_old(request)),
    )


def _delete(request: dict[str, Any]) -> Action:
    key = request["Key"]
    check_item(key)
    condition = condition_of(request)
    return Action(
        request["TableName"],
        key,
        0,
        lambda table: delete_plan(table, place_of_key(table, key), condition, return_old=wants_old(request)),
    )


def _update(request: dict[str, Any]) -> Action:
    key = request["Key"]
    check_item(key)
    update, condition = update_of(request)
    return Action(
        request["TableName"],
        key,
        0,
        lambda table: update_plan(
            table, place_of_key(table, key), key, update, condition, return_old=wants_old(request)
        ),
    )


def _condition_check(request: dict[str, Any]) -> Action:
    key = request["Key"]
    check_item(key)
    condition = condition_of(request)
    return Action(
        request["TableName"], key, 0, lambda table: _check_plan(table, key, condition, return_old=wants_old(request))
    )


def _check_plan(table: Table, key: Item, condition: Condition | None, *, return_old: bool) -> Plan:
    place = place_of_key(table, key)
    if condition is not None:
        check_scalar_access(condition.nested_names, table)

    def decide(old: Image) -> Image:
        check_condition(condition, old, return_old=return_old)
        return old

    return Plan(table, place, decide)


_BY_NAME: Final[dict[str, Callable[[dict[str, Any]], Action]]] = {
    "ConditionCheck": _condition_check,
    "Put": _put,
    "Delete": _delete,
    "Update": _update,
}


async def _tables(context: Context, caller: Caller, actions: Sequence[Action]) -> list[Table]:
    tables = []
    for action in actions:
        tables.append(await context.catalog.table(caller.account, action.name, deadline=caller.deadline))
        caller.notes["table"] = tables[-1].name
    return tables


def _plans(actions: Sequence[Action], tables: Sequence[Table | None]) -> list[Plan]:
    """Returns the plans; cancels the transaction where keys do not match their schema, refuses it for empty ones."""
    plans: list[Plan] = []
    reasons = []
    for action, table in zip(actions, tables, strict=True):
        if table is None or action.plan is None:
            reasons.append(NO_TABLE)
            continue
        try:
            plans.append(action.plan(table))
            reasons.append(NO_REASON)
        except EmptyKeyValue:
            raise
        except TablesError as error:
            reasons.append(reason_of(error))
    if len(plans) < len(actions):
        raise canceled(reasons)
    return plans


def _answer(
    context: Context,
    request: dict[str, Any],
    actions: Sequence[Action],
    plans: Sequence[Plan],
    written: Sequence[Written],
) -> bytes:
    answer: dict[str, Any] = {}
    for plan, done in zip(plans, written, strict=True):
        charge(context, plan.table, done)
    mode = request.get("ReturnConsumedCapacity", "NONE")
    if mode != "NONE":
        consumed: dict[str, Consumed] = {}
        for plan, done in zip(plans, written, strict=True):
            of_table = consumed.setdefault(plan.table.id, Consumed(plan.table))
            # A transaction doubles the units of the table, not those of its indexes.
            of_table.add(write_units(done.old.size, done.new.size))
            of_table.merge(done.consumed(plan.table))
        answer["ConsumedCapacity"] = [of_table.answer(mode, "Write") for of_table in consumed.values()]
    if request.get("ReturnItemCollectionMetrics") == "SIZE":
        metrics: dict[str, list[dict[str, Any]]] = {}
        for action, plan in zip(actions, plans, strict=True):
            if plan.table.local_indexes:
                metrics.setdefault(action.name, []).append(collection_metrics(plan.table, action.item))
        if metrics:
            answer["ItemCollectionMetrics"] = metrics
    return orjson.dumps(answer)


async def _replay(context: Context, caller: Caller, request: dict[str, Any], plans: Sequence[Plan]) -> bytes:
    """Answers a request whose token says that it was carried out: nothing is written, and the items are read."""
    mode = request.get("ReturnConsumedCapacity", "NONE")
    if mode == "NONE":
        return b"{}"
    found = await context.store.get([plan.key for plan in plans], deadline=caller.deadline)
    consumed: dict[str, Consumed] = {}
    for plan, record in zip(plans, found, strict=True):
        steps = max(1, -(-Image.of_record(record).size // 4096))
        consumed.setdefault(plan.table.id, Consumed(plan.table)).add(2.0 * steps)
    return orjson.dumps({"ConsumedCapacity": [of_table.answer(mode, "Read") for of_table in consumed.values()]})
