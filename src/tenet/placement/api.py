"""The door of the placement room: everything that other rooms may use of it.

What is imported here is small: the service itself is opened, and imported, when it is first asked for something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from tenet.mesh.jobs import Job, Supervisor, Tenure
from tenet.placement import keys
from tenet.placement.http import Edge, PlacementService
from tenet.placement.keystone import Keystone, KeystoneSettings
from tenet.placement.loading import REFUSED_MAX, Loader
from tenet.placement.rules.policy import Policy
from tenet.placement.rules.tokens import Account, Meanings
from tenet.placement.senders import Authenticator, Keys, KeysAndTokens, KnownKey, NoProof

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.placement.context import Context
    from tenet.placement.ops.expiring import Expired
    from tenet.placement.ops.model_keeping import ModelKeeper
    from tenet.placement.rules.auditing import Audited as Audited  # noqa: PLC0414 (others take it from here)
    from tenet.store.contract import Store
    from tenet.wire.door import Measure

__all__ = [
    "Account",
    "Authenticator",
    "Edge",
    "Keys",
    "KeysAndTokens",
    "Keystone",
    "KeystoneSettings",
    "KnownKey",
    "Meanings",
    "NoProof",
    "Placement",
    "Policy",
    "audit",
]

_DEFAULTS: Final = Policy()
#: The background job that frees claims which were not confirmed in time.
EXPIRING: Final = "placement.claims"
#: The background job that removes what projects leave behind that have nothing any more.
TIDYING: Final = "placement.projects"
_MS: Final = 1000


class Placement:
    """The placement service on a store. Made by ``open``.

    Args:
        store: where everything lies.
        clock: time.
        ids: randomness.
        policy: who may do what.
        is_shared: whether other processes commit to the store.
        refused_max: how many refused claims are kept of a project, about.
        supervisor: runs the jobs of the background.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        ids: Ids,
        policy: Policy,
        is_shared: bool,
        refused_max: int,
        supervisor: Supervisor,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._supervisor = supervisor
        self._expired: Expired | None = None
        self._is_closed = False
        self._loader = Loader(
            store,
            clock=clock,
            ids=ids,
            policy=policy,
            is_shared=is_shared,
            refused_max=refused_max,
            when_open=self._begin_to_sweep,
        )

    @classmethod
    async def open(
        cls,
        store: Store,
        *,
        clock: Clock,
        ids: Ids,
        policy: Policy = _DEFAULTS,
        is_shared: bool | None = None,
        refused_max: int = REFUSED_MAX,
        supervisor: Supervisor | None = None,
    ) -> Self:
        """Makes the service ready for its first request, which opens it. Nothing is written before that.

        Where the store was ever used for placement, claims that expire are swept from now on.

        Args:
            store: where everything lies; stays open when the service is closed.
            clock: time.
            ids: randomness.
            policy: who may do what.
            is_shared: whether other processes commit to the store, which this one follows then; None: where it is one
                over a network.
            refused_max: how many refused claims are kept of a project, about; 0: none are.
            supervisor: runs the jobs of the background, as the process shares them with others. By default it is one
                that runs all of them.
        """
        shared = store.capabilities.remote if is_shared is None else is_shared
        if supervisor is None:
            supervisor = Supervisor(store, clock=clock, ids=ids)
            supervisor.start()
        placement = cls(
            store,
            clock=clock,
            ids=ids,
            policy=policy,
            is_shared=shared,
            refused_max=refused_max,
            supervisor=supervisor,
        )
        if await store.list_spaces(keys.EXPIRY_SPACE):
            await placement._begin_to_sweep()
        return placement

    async def _begin_to_sweep(self) -> None:
        """Frees from now on, in the background, what was not confirmed in time, and tidies up; safe to repeat."""
        if self._expired is None and not self._is_closed:
            from tenet.placement.ops.expiring import Expired  # noqa: PLC0415 (nobody may need it at a start)

            self._expired = Expired(self._context, clock=self._clock)
            await self._supervisor.add(Job(EXPIRING, self._sweep, is_fenced=False))
            await self._supervisor.add(Job(TIDYING, self._tidy, is_fenced=False))

    async def _context(self) -> Context:
        return (await self._loader.open()).context

    async def _sweep(self, tenure: Tenure) -> None:
        """Frees claims until it is cancelled. Not fenced: whoever frees one checks that nobody has changed it."""
        from tenet.placement.ops.expiring import sweeper  # noqa: PLC0415 (see above)

        del tenure
        assert self._expired is not None
        await sweeper(self._store, self._expired, clock=self._clock, ids=self._ids).run()

    async def _tidy(self, tenure: Tenure) -> None:
        """Removes counts at 0 until it is cancelled. Not fenced: whoever removes one checks that nothing was added."""
        from tenet.placement.ops.project_upkeep import ProjectUpkeep  # noqa: PLC0415 (see above)

        del tenure
        await ProjectUpkeep(self._store, clock=self._clock, ids=self._ids).run()

    async def load(self) -> None:
        """Opens the service before the first request: makes its spaces where there are none, loads the read model.

        Raises:
            StoreError: the store could not serve. The first request tries again.
        """
        _ = await self._loader.open()

    async def close(self) -> None:
        """Stops following what others commit, and the work in the background."""
        self._is_closed = True
        await self._supervisor.remove(EXPIRING)
        await self._supervisor.remove(TIDYING)
        await self._loader.close()

    def service(self, edge: Edge) -> PlacementService:
        """Returns the service for the edge.

        Args:
            edge: how it is reached.
        """
        return PlacementService(self._loader, edge)

    def measures(self) -> Sequence[Measure]:
        """Returns what the service says about itself; nothing before its first request."""
        from tenet.placement.ops.measures import measures_of  # noqa: PLC0415 (only where it is asked for)

        counts = self._loader.counts
        is_used = counts.requests or self._loader.opened is not None
        return measures_of(counts, self._keeper(), self._expired) if is_used else ()

    def health(self) -> Mapping[str, Any]:
        """Returns what a diagnosis has to know; empty where nobody has used the service."""
        from tenet.placement.ops.measures import health_of  # noqa: PLC0415 (only where it is asked for)

        return health_of(self._loader.trouble, self._keeper())

    def _keeper(self) -> ModelKeeper | None:
        opened = self._loader.opened
        return None if opened is None else opened.context.keeper


async def audit(store: Store) -> Audited:
    """Adds up everything that is stored a second time.

    Costs a scan of each space, and a read of each consumer and each allocation.

    Args:
        store: where everything lies; nobody else writes to it.

    Raises:
        StoreError: the store could not serve.
    """
    from tenet.placement.ops import auditing  # noqa: PLC0415 (of a command alone)

    return await auditing.audit(store)
