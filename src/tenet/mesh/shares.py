"""Many small jobs that come and go, divided among the nodes by their names, under a fixed number of leases.

A job for each of a thousand tables would make a thousand leases. Here the shards of one job stand for all of them: a
name belongs to a shard by its hash, and to the node that has the shard. What is done under a name is not fenced by
that; whoever needs it to be fences it by what it writes.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Protocol

from tenet.mesh.jobs import Job, Tenure


class Assignment(Protocol):
    """Says which of many names are this process's; what has them is in the background of a service."""

    def owns(self, name: str, /) -> bool:
        """Whether what has a name is this process's now."""
        ...


class Everything:
    """The assignment of a process that is alone."""

    def owns(self, _name: str, /) -> bool:
        """Whether what has a name is this process's: it always is."""
        return True


class Shares:
    """Which of many names are this node's.

    Args:
        name: of the job that stands for them.
        shares: into how many shares they are divided.
        changed: called whenever this node gets a share, or gives one up.
    """

    def __init__(self, name: str, *, shares: int = 64, changed: Callable[[], None] = lambda: None) -> None:
        self.changed = changed
        self.job = Job(name, self._hold, shards=shares, is_fenced=False)
        self._held: set[int] = set()

    def owns(self, name: str) -> bool:
        """Whether what has this name is this node's now."""
        return zlib.crc32(name.encode()) % self.job.shards in self._held

    async def _hold(self, tenure: Tenure) -> None:
        self._held.add(tenure.shard)
        self.changed()
        try:
            await asyncio.Event().wait()
        finally:
            self._held.discard(tenure.shard)
            self.changed()
