"""The door of the placement room: everything that other rooms may use of it.

What is imported here is small: the service itself is opened, and imported, when it is first asked for something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from tenet.placement.http import Edge, PlacementService
from tenet.placement.loading import Loader
from tenet.placement.rules.policy import Policy
from tenet.placement.senders import Authenticator, Keys, KnownKey, NoProof

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.placement.ops.model_keeping import ModelKeeper
    from tenet.placement.rules.auditing import Audited as Audited  # noqa: PLC0414 (others take it from here)
    from tenet.store.contract import Store
    from tenet.wire.door import Measure

__all__ = ["Authenticator", "Edge", "Keys", "KnownKey", "NoProof", "Placement", "Policy", "audit"]

_DEFAULTS: Final = Policy()


class Placement:
    """The placement service on a store. Made by ``open``.

    Args:
        loader: opens what answers requests.
    """

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    @classmethod
    async def open(
        cls, store: Store, *, clock: Clock, ids: Ids, policy: Policy = _DEFAULTS, is_shared: bool | None = None
    ) -> Self:
        """Makes the service ready for its first request, which opens it. Nothing is read or written before that.

        Args:
            store: where everything lies; stays open when the service is closed.
            clock: time.
            ids: randomness.
            policy: who may do what.
            is_shared: whether other processes commit to the store, which this one follows then; None: where it is one
                over a network.
        """
        shared = store.capabilities.remote if is_shared is None else is_shared
        return cls(Loader(store, clock=clock, ids=ids, policy=policy, is_shared=shared))

    async def load(self) -> None:
        """Opens the service before the first request: makes its spaces where there are none, loads the read model.

        Raises:
            StoreError: the store could not serve. The first request tries again.
        """
        _ = await self._loader.open()

    async def close(self) -> None:
        """Stops following what others commit."""
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
        return measures_of(counts, self._keeper()) if counts.requests or self._loader.opened is not None else ()

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
