"""The door of the placement room: everything that other rooms may use of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from tenet.placement import keys
from tenet.placement.context import Context
from tenet.placement.http import Edge, PlacementService
from tenet.placement.ops.auditing import audit
from tenet.placement.ops.claims import Claims
from tenet.placement.ops.committing import Committer
from tenet.placement.ops.model_keeping import ModelKeeper
from tenet.placement.ops.names import Names
from tenet.placement.ops.plugins import installed_plugins
from tenet.placement.ops.reading import Reader
from tenet.placement.rules.auditing import Audited
from tenet.placement.rules.policy import Policy
from tenet.placement.senders import Authenticator, Keys, KnownKey, NoProof

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import Store

__all__ = ["Audited", "Authenticator", "Edge", "Keys", "KnownKey", "NoProof", "Placement", "Policy", "audit"]

_DEFAULTS: Final = Policy()


class Placement:
    """The placement service on a store. Made by ``open``.

    Args:
        context: what the operations work with.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    @classmethod
    async def open(
        cls, store: Store, *, clock: Clock, ids: Ids, policy: Policy = _DEFAULTS, is_shared: bool | None = None
    ) -> Self:
        """Opens the service: makes its spaces where there are none, and loads the read model.

        Args:
            store: where everything lies; stays open when the service is closed.
            clock: time.
            ids: randomness.
            policy: who may do what.
            is_shared: whether other processes commit to the store, which this one follows then; None: where it is one
                over a network.
        """
        shared = store.capabilities.remote if is_shared is None else is_shared
        reader, names = Reader(store), Names(store)
        keeper = ModelKeeper(store, reader, clock=clock, ids=ids, is_shared=shared)
        await names.open()
        await store.ensure_space(keys.CONSUMERS_SPACE)
        await store.ensure_space(keys.PROJECTS_SPACE)
        await store.ensure_space(keys.CLAIMS_SPACE)
        await keeper.open()
        context = Context(
            clock=clock,
            ids=ids,
            policy=policy,
            reader=reader,
            committer=Committer(store, keeper, clock=clock, ids=ids, is_logged=shared),
            names=names,
            keeper=keeper,
            plugins=installed_plugins(),
            claims=Claims(store),
        )
        return cls(context)

    async def close(self) -> None:
        """Stops following what others commit."""
        await self._context.keeper.close()

    def service(self, edge: Edge) -> PlacementService:
        """Returns the service for the edge.

        Args:
            edge: how it is reached.
        """
        return PlacementService(self._context, edge)
