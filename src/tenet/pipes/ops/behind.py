"""Whether pipes have delivered all that there is, for whoever wants to leave the logs behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenet.pipes import keys
from tenet.pipes.ops.catalog import Catalog
from tenet.pipes.ops.cursors import Cursors
from tenet.store.errors import SpaceNotFound
from tenet.tables.api import has_changes

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.pipes.model import Pipe
    from tenet.store.contract import Store


async def pipe_behind(store: Store, *, clock: Clock, ids: Ids) -> str:
    """Returns the ARN of a pipe that has not taken all changes of its table; empty where there is none.

    Args:
        store: the store; it need not have pipes.
        clock: time.
        ids: for commit ids.
    """
    if not any(info.name == keys.CATALOG_SPACE for info in await store.list_spaces(keys.CATALOG_SPACE)):
        return ""
    cursors = Cursors(store, clock=clock, ids=ids)
    for pipe in await Catalog(store, clock=clock, ids=ids).everything():
        if pipe.phase == "ACTIVE" and await _is_behind(store, cursors, pipe):
            return pipe.arn
    return ""


async def _is_behind(store: Store, cursors: Cursors, pipe: Pipe) -> bool:
    known = await cursors.of(pipe.id)
    for shard in range(pipe.source.shards):
        position = known[shard].position if shard in known else 0
        try:
            if await has_changes(store, pipe.source, shard, after=position):
                return True
        except SpaceNotFound:
            return False
    return False
