"""What the operations of streams share: finding a stream, and where its shards stand."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, NamedTuple

from tenet.base.clock import NEVER
from tenet.tables.errors import ResourceNotFoundException
from tenet.tables.ops.catalog import table_name
from tenet.tables.rules.stream_settings import readable
from tenet.tables.rules.stream_shards import no_shard, no_stream, parse_arn
from tenet.tables.rules.stream_splits import shard_numbered

if TYPE_CHECKING:
    from tenet.store.contract import LogPage, Store
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Stream, Table
    from tenet.tables.rules.stream_splits import Shard


class Found(NamedTuple):
    """A shard of a stream of a table."""

    table: Table
    stream: Stream
    shard: Shard


#: Behind every position that there is.
_FAR: Final = 2**63 - 1


async def find_stream(context: Context, caller: Caller, arn: str, *, fresh: bool = False) -> tuple[Table, Stream]:
    """Returns a stream that can be read, with its table; no round trip where that is cached, else one.

    Args:
        context: the service.
        caller: who asks.
        arn: of the stream.
        fresh: whether it has to be as it is in the store.

    Raises:
        ValidationException: the ARN is none of a stream.
        AccessDeniedException: it is of another tenant.
        ResourceNotFoundException: there is no such stream, or it was switched off more than 24 hours ago.
    """
    of_table, label = parse_arn(arn)
    name = table_name(caller.account, of_table)
    caller.notes["table"] = name
    now_ms = context.clock.wall_ms()
    known = None
    if not fresh:
        with contextlib.suppress(ResourceNotFoundException):
            known = await context.catalog.table(caller.account, name, deadline=caller.deadline)
        if known is None:
            known = context.departed.known(caller.account, arn)
    found = None if known is None else _stream_of(known, of_table, label, now_ms)
    if found is None:
        table = await context.catalog.find(caller.account, name, deadline=caller.deadline)
        found = None if table is None else _stream_of(table, of_table, label, now_ms)
    if found is None:
        table = await context.departed.find(caller.account, name, arn, deadline=caller.deadline)
        found = None if table is None else _stream_of(table, of_table, label, now_ms)
    if found is None:
        raise no_stream(arn)
    return found


async def find_shard(context: Context, caller: Caller, arn: str, number: int) -> Found:
    """Returns a shard of a stream that can be read; no round trip where the stream is cached, else one or two.

    Args:
        context: the service.
        caller: who asks.
        arn: of the stream.
        number: of the shard.

    Raises:
        ResourceNotFoundException: there is no such shard, or no such stream.
        ValidationException, AccessDeniedException: as of `find_stream`.
    """
    for fresh in (False, True):
        # Children that others were told of may be younger than what is cached here.
        table, stream = await find_stream(context, caller, arn, fresh=fresh)
        shard = shard_numbered(stream, number)
        if shard is not None:
            return Found(table, stream, shard)
    raise no_shard()


async def changed(context: Context, caller: Caller, arn: str, found: Found) -> Found | None:
    """Returns a shard anew that was open when its log was read, and may have begun to be split since; else None.

    What was read of a shard that is open is its own only if this says None afterwards: whoever splits it waits, before
    he decides where it ends, until no process takes it for open any more. What ends or is held stays so, and need not
    be asked about. No round trip where the stream is cached, else one.

    Raises:
        ResourceNotFoundException: the stream is gone.
    """
    if not found.shard.is_open:
        return None
    table = found.table
    if context.catalog.known(table.account, table.name) is table:
        return None
    now = await find_shard(context, caller, arn, found.shard.number)
    return None if now.shard == found.shard else now


def _stream_of(table: Table, arn: str, label: str, now_ms: int) -> tuple[Table, Stream] | None:
    """Returns the stream with a label, where the table is the one that is meant and has it to be read."""
    if table.arn != arn:
        return None
    return next(((table, stream) for stream in readable(table, now_ms) if stream.label == label), None)


async def stand_of(store: Store, table: Table, shard: int, *, deadline: float = NEVER) -> LogPage:
    """Returns where a shard of a table's log begins and ends at this moment, without entries; one round trip.

    Args:
        store: where the log is.
        table: the table.
        shard: of its log.
        deadline: when to give up.

    Raises:
        SpaceNotFound: the table is gone.
    """
    return await store.read_log(table.space, shard, after=_FAR, limit=1, deadline=deadline)
