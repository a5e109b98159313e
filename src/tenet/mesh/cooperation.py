"""What a node does together with the others, assembled: its store with hints, membership, leases, and its supervisor.

The order of a life: open the engine; start the channel; make a ``Cooperation``; open the services on its ``store`` with
its ``supervisor``; ``begin``. And backwards: close the services, ``end``, close the channel, close the store. After it
has ended it may begin again.
"""

from __future__ import annotations

import asyncio
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
from tenet.mesh.places import Places
from tenet.mesh.tasks import Tasks
from tenet.store.contract import Engine
from tenet.store.errors import StoreError

_DEFAULTS: Final = Timings()
_AGAIN_S: Final = 1.0

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
        self._tasks = Tasks()
        self._is_draining = False
        self._channel = channel
        self.hints = Hints(channel)
        #: The engine, whose commits wake watches on other nodes. To close it ends the hints and
        #: closes the engine.
        self.store = HintingStore(engine, self.hints)
        self.membership = Membership(
            self.store, channel, clock=clock, ids=ids, address=address, release=release, timings=timings
        )
        self.leases = Leases(self.store, self.membership, clock=clock, ids=ids)
        #: Runs the background jobs that are this node's; services add theirs to it.
        self.supervisor = Supervisor(self.store, clock=clock, ids=ids, leases=self.leases, cluster=self.membership)

    def places(self, name: str) -> Places:
        """Returns the places of many things, for a service that opens them.

        Args:
            name: of the job that stands for the things.
        """
        return Places(name, self.supervisor, self.membership, self._channel)

    async def begin(self) -> None:
        """Becomes a member, and does its part of the background jobs from now on.

        Raises:
            StoreError: the store could not serve; it has not begun, and may be called again.
        """
        await self.membership.join(self.supervisor.declared)
        self.supervisor.start()

    def drain(self, *, is_draining: bool) -> None:
        """Gives all background jobs away, or takes its part again; said as soon as the store can take it."""
        self._is_draining = is_draining
        self._tasks.start("drain", self._say_draining())

    def leave_for_good(self) -> None:
        """Lets go of everything now: an operator has removed this node, and the others hang up on it.

        As a member it would soon find them silent, and tell the store that they are dead.
        """
        self._tasks.start("leave", self._leave())

    async def _leave(self) -> None:
        try:
            await self.membership.leave()
        except StoreError as error:
            _log.warning("this node leaves without saying so", reason=error.message)

    async def _say_draining(self) -> None:
        said: bool | None = None
        while said is not self._is_draining:
            said = self._is_draining
            try:
                await self.membership.declare(is_draining=said)
            except StoreError as error:
                said = None
                _log.info("whether this node drains is not said yet", reason=error.message)
                await asyncio.sleep(_AGAIN_S)

    async def end(self) -> None:
        """Stops all jobs, gives their leases back, and leaves, so that others go on at once.

        Where the store cannot serve, it ends all the same, and the others find out by themselves.
        """
        await self._tasks.close()
        await self.supervisor.close()
        self.leases.tell()
        await self._leave()

    def figures(self) -> Mapping[str, int]:
        """What it did, for metrics, by names that begin with the part that it is a figure of."""
        parts = {
            "members": self.membership.figures(),
            "jobs": self.supervisor.figures(),
            "hints": self.hints.figures(),
        }
        return {f"{name}_{figure}": value for name, part in parts.items() for figure, value in part.items()}
