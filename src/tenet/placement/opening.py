"""Puts the service together: what its operations work with, and which of them answers what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from tenet.placement import keys
from tenet.placement.context import Context
from tenet.placement.ops.claims import Claims
from tenet.placement.ops.committing import Committer
from tenet.placement.ops.expiring import Deadlines
from tenet.placement.ops.journal import Journal
from tenet.placement.ops.model_keeping import ModelKeeper
from tenet.placement.ops.names import Names
from tenet.placement.ops.pieces import Held
from tenet.placement.ops.plugins import installed_plugins
from tenet.placement.ops.quota_keeping import Quotas
from tenet.placement.ops.reading import Reader
from tenet.placement.ops.resource_plugins import installed_classes
from tenet.placement.routes import ROUTES
from tenet.placement.rules.routing import Paths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.placement.counts import Counts
    from tenet.placement.routes import Route
    from tenet.placement.rules.policy import Policy
    from tenet.store.contract import Store

_PATHS: Final = Paths(ROUTES)


class Opened(Struct, frozen=True):
    """The service, open.

    Args:
        context: what the operations work with.
    """

    context: Context

    def find(self, path: str) -> tuple[str, Mapping[str, tuple[Route, ...]], dict[str, str]] | None:
        """Returns the form of a path, its routes by method, and the values of its named parts; None where it has none.

        Args:
            path: percent-encoded.
        """
        found = _PATHS.find(path)
        return None if found is None else (found[0], ROUTES[found[0]], found[1])


async def open_service(
    store: Store, *, clock: Clock, ids: Ids, policy: Policy, is_shared: bool, refused_max: int, counts: Counts
) -> Opened:
    """Makes the spaces of the service where there are none, and loads the read model.

    Args:
        store: where everything lies.
        clock: time.
        ids: randomness.
        policy: who may do what.
        is_shared: whether other processes commit to the store, which this one follows then.
        refused_max: how many refused claims are kept of a project, about.
        counts: what is told to the page of metrics.

    Raises:
        StoreError: the store could not serve.
    """
    reader, names = Reader(store), Names(store)
    keeper = ModelKeeper(store, reader, clock=clock, ids=ids, is_shared=is_shared)
    await names.open()
    await store.ensure_space(keys.CONSUMERS_SPACE)
    await store.ensure_space(keys.PROJECTS_SPACE)
    await store.ensure_space(keys.CLAIMS_SPACE)
    expiry = Deadlines(store, clock=clock, ids=ids)
    await expiry.open()
    plugins = installed_plugins()
    quotas = Quotas(store)
    await keeper.open()
    return Opened(
        Context(
            clock=clock,
            ids=ids,
            policy=policy,
            reader=reader,
            committer=Committer(
                store,
                keeper,
                reader,
                quotas,
                clock=clock,
                ids=ids,
                is_logged=is_shared,
                tries=counts.write_tries,
            ),
            names=names,
            keeper=keeper,
            plugins=plugins,
            classes=installed_classes(),
            claims=Claims(store),
            quotas=quotas,
            journal=Journal(store, clock=clock, ids=ids, refused_max=refused_max),
            expiry=expiry,
            held=Held(),
            counts=counts,
        )
    )
