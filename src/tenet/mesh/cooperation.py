"""What a node does together with the others, assembled: its store with hints, membership, leases, and its supervisor.

The order of a life: open the engine; start the channel; make a ``Cooperation``; open the services on its ``store`` with
its ``supervisor``; ``begin``. And backwards: close the services, ``end``, close the channel, close the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from tenet.base.clock import Clock
from tenet.base.ids import Ids
from tenet.mesh.channel import Channel
from tenet.mesh.hinting import HintingStore
from tenet.mesh.hints import Hints
from tenet.mesh.jobs import Supervisor
from tenet.mesh.leases import Leases
from tenet.mesh.membership import Membership
from tenet.mesh.observing import Timings
from tenet.store.contract import Engine
from tenet.store.errors import StoreError

_DEFAULTS: Final = Timings()

_log = structlog.get_logger(__name__)


class Cooperation:
    """This node's part in the cluster.

    Args:
        engine: the store that all nodes share.
        channel: how they talk to each other; it has been started.
        clock: time.
        ids: randomness.
        address: ``HOST:PORT`` at which other nodes reach this one.
        release: the version of Tenet, for people.
        timings: how fast nodes watch each other; the same on all of them.
    """

    def __init__(
        self,
        engine: Engine,
        channel: Channel,
        *,
        clock: Clock,
        ids: Ids,
        address: str,
        release: str = "",
        timings: Timings = _DEFAULTS,
    ) -> None:
        self.hints = Hints(channel)
        #: The engine, whose commits wake watches on other nodes. To close it closes the engine.
        self.store = HintingStore(engine, self.hints)
        self.membership = Membership(
            self.store, channel, clock=clock, ids=ids, address=address, release=release, timings=timings
        )
        self.leases = Leases(self.store, self.membership, clock=clock, ids=ids)
        #: Runs the background jobs that are this node's; services add theirs to it.
        self.supervisor = Supervisor(self.store, clock=clock, ids=ids, leases=self.leases, cluster=self.membership)

    async def begin(self) -> None:
        """Becomes a member, and does its part of the background jobs from now on.

        Raises:
            StoreError: the store could not serve; it has not begun, and may be called again.
        """
        await self.membership.join(self.supervisor.declared)
        self.supervisor.start()

    async def drain(self, *, is_draining: bool) -> None:
        """Gives all background jobs away, or takes its part again.

        Raises:
            StoreError: the store could not serve; it is said as soon as this node says anything else.
        """
        await self.membership.declare(is_draining=is_draining)

    async def end(self) -> None:
        """Stops all jobs, gives their leases back, and leaves, so that others go on at once.

        Where the store cannot serve, it ends all the same, and the others find out by themselves.
        """
        await self.supervisor.close()
        try:
            await self.membership.leave()
        except StoreError as error:
            _log.warning("this node leaves without saying so", reason=error.message)
        await self.hints.close()

    def figures(self) -> Mapping[str, int]:
        """What it did, for metrics, by names that begin with the part that it is a figure of."""
        parts = {
            "members": self.membership.figures(),
            "jobs": self.supervisor.figures(),
            "hints": self.hints.figures(),
        }
        return {f"{name}_{figure}": value for name, part in parts.items() for figure, value in part.items()}
