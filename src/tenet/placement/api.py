"""The door of the placement room: everything that other rooms may use of it.

What is imported here is small: the service itself is opened, and imported, when it is first asked for something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from tenet.placement.http import Edge, PlacementService
from tenet.placement.keystone import Keystone, KeystoneSettings
from tenet.placement.loading import Loader
from tenet.placement.rules.policy import Policy
from tenet.placement.rules.tokens import Account, Meanings
from tenet.placement.senders import Authenticator, Keys, KeysAndTokens, KnownKey, NoProof
from tenet.wire.door import Measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
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
        opened = self._loader.opened
        if opened is None:
            return ()
        keeper = opened.context.keeper
        return (
            Measured(
                "tenet_placement_behind_seconds",
                "For how long this node may have missed what others changed of the providers that it lists.",
                (),
                {(): keeper.behind_s},
            ),
            Measured(
                "tenet_placement_providers", "Resource providers that this node lists.", (), {(): len(keeper.fleet)}
            ),
        )


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
