"""What the operations of streams share: finding a stream, and where its shards stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tenet.base.clock import NEVER
from tenet.tables.ops.catalog import table_name
from tenet.tables.rules.stream_settings import readable
from tenet.tables.rules.stream_shards import no_stream, parse_arn

if TYPE_CHECKING:
    from tenet.store.contract import LogPage, Store
    from tenet.tables.context import Caller, Context
    from tenet.tables.model import Stream, Table

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
    known = None if fresh else context.catalog.known(caller.account, name)
    for table in (known, None):
        found = table or await context.catalog.find(caller.account, name, deadline=caller.deadline)
        if found is None or found.arn != of_table or found.status == "DELETING":
            break
        for stream in readable(found, now_ms):
            if stream.label == label:
                return found, stream
    raise no_stream(arn)


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
