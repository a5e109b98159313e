"""A store whose every commit stands under a lease: what was written for a store is fenced without knowing of it."""

from __future__ import annotations

from tenet.base.clock import NEVER
from tenet.mesh.errors import LeaseLost
from tenet.mesh.leases import Lease
from tenet.store.contract import Capabilities, Commit, Conflict, Outcome, Settled, Store
from tenet.store.errors import StoreUnavailable


class FencedStore:
    """Passes everything on to a store, and adds the check of a lease to each commit that writes.

    A commit may so have 99 checks instead of 100. ``discard``, ``ensure_space`` and ``drop_space`` are not fenced: what
    they remove is what nobody reads or writes any more.

    Args:
        store: the store.
        lease: which one.
    """

    def __init__(self, store: Store, lease: Lease) -> None:
        self._store = store
        self._lease = lease
        # What is passed on as it is costs nothing that way.
        self.ensure_space = store.ensure_space
        self.drop_space = store.drop_space
        self.list_spaces = store.list_spaces
        self.get = store.get
        self.query = store.query
        self.scan = store.scan
        self.read_together = store.read_together
        self.read_log = store.read_log
        self.discard = store.discard
        self.watch = store.watch

    @property
    def capabilities(self) -> Capabilities:
        """Those of the store."""
        return self._store.capabilities

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        """Commits, if the lease is still this node's; see ``Store``.

        Raises:
            LeaseLost: it is not. Nothing was written, and nothing ever will be under this lease.
        """
        if self._lease.is_lost:
            raise self._lost()
        outcome = await self._store.commit(self._lease.guarded(commit), deadline=deadline)
        at = len(commit.checks)
        if not isinstance(outcome, Conflict) or at not in outcome.failed:
            return outcome
        if self._lease.key in outcome.records:
            self._lease.note(outcome.records[self._lease.key])
        else:
            # A conflict leaves out records where all of them together are too much.
            (record,) = await self._store.get((self._lease.key,), deadline=deadline)
            self._lease.note(record)
        if self._lease.is_lost:
            raise self._lost()
        failed = tuple(index for index in outcome.failed if index != at)
        if not failed and not outcome.out_of_bounds:
            raise StoreUnavailable("the record of the lease was written anew; nothing else stands against the commit")
        return Conflict(failed, outcome.out_of_bounds, outcome.records, outcome.stamps)

    async def settle(self, commit: Commit, *, deadline: float = NEVER) -> Settled:
        """Settles a commit that was sent under the lease; see ``Store``."""
        return await self._store.settle(self._lease.guarded(commit), deadline=deadline)

    def _lost(self) -> LeaseLost:
        return LeaseLost(f"the lease that was taken as number {self._lease.number} is another node's now")
