"""CreatePipe, UpdatePipe, DeletePipe, StartPipe and StopPipe.

Each commits what is wanted, rings for whoever carries it out, and waits a moment for that; the answer says what the
service would say meanwhile.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from tenet.pipes.errors import ConflictException, NotFoundException
from tenet.pipes.model import Pipe
from tenet.pipes.ops.catalog import not_found
from tenet.pipes.rules import requests
from tenet.pipes.rules.description import current_state, summary
from tenet.tables.api import TablesError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenet.pipes.context import Caller, Context
    from tenet.pipes.model import Desired

#: How long an operation waits for what it has begun, and how often it looks, seconds.
_WAIT_S: Final = 1.0
_LOOK_S: Final = 0.02
_ID_BYTES: Final = 16
_UNKNOWN: Final = (
    "A node of the cluster does not know of pipes, so that its writes would tell nobody: it is of a former version, or"
    " about to start. Try again when all nodes are upgraded."
)


async def create_pipe(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Makes a pipe; it runs when its state is RUNNING. Five round trips, and what following the table costs.

    Raises:
        ValidationException: the request asks for what cannot be.
        NotFoundException: there is no such table, or no such queue.
        ConflictException: there is a pipe of that name, or a node that knows no pipes.
        ServiceQuotaExceededException: the account has as many pipes as it may have.
    """
    name = requests.check_name(request["Name"])
    requests.check_members(_body(request), is_new=True)
    table = requests.table_named(requests.text_of(request, "Source"), caller.account)
    target = requests.text_of(request, "Target")
    requests.queue_named(target)
    from_table = requests.source_wanted(request, starting=None)
    to_queue = requests.target_wanted(request, is_fifo=target.endswith(".fifo"))
    desired = requests.state_wanted(request, "RUNNING")
    description = requests.description_wanted(request, "")
    tags = requests.tags_wanted(request.get("Tags") or {}, {})
    try:
        source = await context.following.find(caller.account, table, deadline=caller.deadline)
    except TablesError as error:
        raise NotFoundException(f"The source {request['Source']} cannot be read: {error.message}") from error
    await _check_target(context, caller, target)
    if not context.is_known_to_all():
        raise ConflictException.of(name, _UNKNOWN)
    now_ms = context.clock.wall_ms()
    pipe = Pipe(
        id=context.ids.draw(_ID_BYTES).hex(),
        account=caller.account,
        name=name,
        region=caller.region or source.region,
        source=source,
        target=target,
        role=request["RoleArn"],
        created_ms=now_ms,
        modified_ms=now_ms,
        desired=cast("Desired", desired),
        description=description,
        starting=from_table.starting,
        batch_size=from_table.batch_size,
        retries_max=from_table.retries_max,
        age_s_max=from_table.age_s_max,
        filters=from_table.filters,
        group=to_queue.group,
        deduplication=to_queue.deduplication,
        source_parameters=from_table.given,
        target_parameters=to_queue.given,
        tags=tags,
    )

    def decide(now: Pipe | None) -> Pipe:
        if now is not None:
            raise ConflictException.of(name, f"Pipe {name} already exists.")
        return pipe

    await context.catalog.change(caller.account, name, decide, deadline=caller.deadline)
    await _carried(context, pipe)
    return summary(pipe, state="CREATING")


async def update_pipe(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Changes a pipe; records that were taken from the log before may still go as it was. Three round trips.

    What is left out stays, but for structures of parameters, which are taken as a whole (UpdatePipe).

    Raises:
        ValidationException: the request asks for what cannot be.
        NotFoundException: there is no such pipe, or no such queue.
        ConflictException: the pipe is being made or deleted.
    """
    name = requests.check_name(request["Name"])
    requests.check_members(_body(request), is_new=False)
    before = await context.catalog.pipe(caller.account, name, deadline=caller.deadline)
    target = requests.text_of(request, "Target", default=before.target)
    requests.queue_named(target)
    if target != before.target:
        await _check_target(context, caller, target)

    def change(now: Pipe) -> Pipe:
        given = {"TargetParameters": now.target_parameters, **_body(request)}
        to_queue = requests.target_wanted(given, is_fifo=target.endswith(".fifo"))
        after = msgspec.structs.replace(
            now,
            target=target,
            role=request["RoleArn"],
            desired=cast("Desired", requests.state_wanted(request, now.desired)),
            description=requests.description_wanted(request, now.description),
            group=to_queue.group,
            deduplication=to_queue.deduplication,
            target_parameters=to_queue.given,
        )
        return _with_source(after, request)

    return await _change(context, caller, name, change, "UPDATING")


def _with_source(pipe: Pipe, request: dict[str, Any]) -> Pipe:
    """Returns a pipe with what a request says about its source."""
    if not request.get("SourceParameters"):
        return pipe
    kept = {"FilterCriteria": pipe.source_parameters.get("FilterCriteria")}
    given = {**kept, **requests.structure_of(request, "SourceParameters")}
    wanted = requests.source_wanted({"SourceParameters": given}, starting=pipe.starting)
    return msgspec.structs.replace(
        pipe,
        batch_size=wanted.batch_size,
        retries_max=wanted.retries_max,
        age_s_max=wanted.age_s_max,
        filters=wanted.filters,
        source_parameters={name: value for name, value in wanted.given.items() if value is not None},
    )


async def start_pipe(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Lets a pipe deliver, from where it was stopped on.

    Raises:
        NotFoundException: there is no such pipe.
        ConflictException: it is being made or deleted.
    """
    name = requests.check_name(request["Name"])
    return await _change(context, caller, name, lambda now: msgspec.structs.replace(now, desired="RUNNING"), "STARTING")


async def stop_pipe(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Lets a pipe deliver nothing; changes are kept for it for a day.

    Raises:
        NotFoundException: there is no such pipe.
        ConflictException: it is being made or deleted.
    """
    name = requests.check_name(request["Name"])
    return await _change(context, caller, name, lambda now: msgspec.structs.replace(now, desired="STOPPED"), "STOPPING")


async def delete_pipe(context: Context, caller: Caller, request: dict[str, Any]) -> dict[str, Any]:
    """Deletes a pipe; what it has not delivered is lost to it.

    Raises:
        NotFoundException: there is no such pipe.
    """
    name = requests.check_name(request["Name"])

    def decide(now: Pipe | None) -> Pipe:
        if now is None:
            raise not_found(name)
        return now if now.phase == "DELETING" else msgspec.structs.replace(now, phase="DELETING")

    pipe = await context.catalog.change(caller.account, name, decide, deadline=caller.deadline)
    assert pipe is not None, "deleting leaves the record for whoever carries it out"
    await _carried(context, pipe)
    return summary(pipe)


# ---- what they share -------------------------------------------------------------------------------------------------


async def _change(
    context: Context, caller: Caller, name: str, change: Callable[[Pipe], Pipe], state: str
) -> dict[str, Any]:
    now_ms = context.clock.wall_ms()

    def decide(now: Pipe | None) -> Pipe:
        if now is None:
            raise not_found(name)
        if now.phase != "ACTIVE":
            raise ConflictException.of(name, f"Pipe {name} is in the state {current_state(now)}.")
        return msgspec.structs.replace(change(now), modified_ms=now_ms)

    pipe = await context.catalog.change(caller.account, name, decide, deadline=caller.deadline)
    assert pipe is not None, "a change removes nothing"
    context.runners.look_again()
    return summary(pipe, state=state)


async def _check_target(context: Context, caller: Caller, target: str) -> None:
    if not await context.sender.exists(caller.account, target):
        raise NotFoundException(f"The target {target} does not exist.")


async def _carried(context: Context, pipe: Pipe) -> None:
    """Waits a moment until a pipe is in its next phase, which it gets to without that as well."""
    context.runners.look_again()
    until_s = context.clock.monotonic_s() + _WAIT_S
    while context.clock.monotonic_s() < until_s:
        await asyncio.sleep(_LOOK_S)
        now = await context.catalog.find(pipe.account, pipe.name)
        if now is None or now.id != pipe.id or now.phase != pipe.phase:
            return


def _body(request: dict[str, Any]) -> dict[str, Any]:
    """Returns the members of a request that stand in its body."""
    return {name: value for name, value in request.items() if name != "Name"}
