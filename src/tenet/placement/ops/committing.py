"""Commits of the placement service: landed, told to the log of providers, and taken into the read model.

A write is built by a function from what was read, so that it can be built again: where a commit meets a conflict, it is
read anew and tried again, a bounded number of times. Only what a client would see as a conflict is one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from tenet.placement import keys
from tenet.placement.errors import Conflict, Contended, QuotaExceeded
from tenet.placement.ops.grouping import Grouping, Landed
from tenet.store.contract import Append

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.placement.counts import Tally
    from tenet.placement.ops.model_keeping import ModelKeeper
    from tenet.placement.ops.quota_keeping import Quotas
    from tenet.placement.ops.reading import Reader
    from tenet.placement.rules.claims import Move
    from tenet.store.contract import Check, Store, Write
    from tenet.store.contract import Conflict as CommitConflict

T = TypeVar("T")

#: How often a write is tried with fresh reads before its client is told that others are in the way.
TRIES_MAX: Final = 50
#: From which try on it waits before the next one, and how long, seconds; longer by as much each time.
_PAUSE_AFTER: Final = 3
_PAUSE_S: Final = 0.002
_TOLD: Final = b""


class Plan(Struct, frozen=True):
    """What to commit.

    Args:
        writes: puts, deletes and adds; none: there is nothing to do.
        checks: what must hold.
        changed: uuids of the providers that it changes.
        moves: what consumers get and leave by it, which the quotas of their projects are about.
        only_uses: whether it changes nothing of them but what is in use.
    """

    writes: Sequence[Write]
    checks: Sequence[Check] = ()
    changed: Sequence[str] = ()
    moves: Sequence[Move] = ()
    only_uses: bool = False


class PlanAgain(Exception):
    """Raised where a plan was decided by things of different moments; the planner is called again."""


#: Reads, decides and returns what to commit and what to answer; raises to refuse. Called again after a conflict.
Planner: TypeAlias = Callable[[], Awaitable[tuple[Plan, T]]]


class Committer:
    """Commits plans.

    Args:
        store: where to.
        keeper: of the read model.
        reader: reads consumers.
        quotas: of projects.
        clock: for commit ids and pauses.
        ids: for commit ids.
        is_logged: whether the space of providers has a log.
        tries: counts how often writes were tried.
    """

    def __init__(
        self,
        store: Store,
        keeper: ModelKeeper,
        reader: Reader,
        quotas: Quotas,
        *,
        clock: Clock,
        ids: Ids,
        is_logged: bool,
        tries: Tally,
    ) -> None:
        self._grouping = Grouping(store, clock=clock, ids=ids)
        self._keeper = keeper
        self._reader = reader
        self._quotas = quotas
        self._ids = ids
        self._is_logged = is_logged
        self._tries = tries

    async def carry_out(self, planner: Planner[T], *, deadline: float) -> T:
        """Plans and commits, again where others were faster; what was committed is in the read model then.

        Args:
            planner: reads and decides.
            deadline: when to give up, in seconds on the monotonic clock.

        Returns:
            What the planner returned at last.

        Raises:
            PlacementError: what the planner refused with.
            Contended: others were faster every time.
            StoreError: the store could not serve, or does not know the outcome.
        """
        for tried in range(TRIES_MAX):
            try:
                plan, result = await planner()
                plan = await self._within_quotas(plan, is_fresh=tried > 0, deadline=deadline)
            except PlanAgain:
                await self._pause(tried)
                continue
            if not plan.writes:
                return result
            try:
                outcome = await self._commit(plan, deadline)
            except BaseException:
                # Its answer is lost, also where the request is ended: it may have landed, or be about to.
                self._keeper.doubt(plan.changed)
                raise
            if isinstance(outcome, Landed):
                self._tries.count(tried + 1)
                if self._is_logged:
                    self._keeper.note(outcome.version)
                await self._take_in(plan, outcome)
                return result
            await self._pause(tried)
        self._tries.count(TRIES_MAX)
        raise Contended("Too many others changed the same providers at the same time. Nothing was written; try again.")

    async def _within_quotas(self, plan: Plan, *, is_fresh: bool, deadline: float) -> Plan:
        """Returns a plan that keeps to the quotas of all projects concerned.

        Raises:
            QuotaExceeded: it cannot be carried out within them.
            PlanAgain: it could not, but it was planned for consumers that have changed since.
        """
        if not plan.moves or not plan.writes:
            return plan
        try:
            more = await self._quotas.writes(plan.moves, is_fresh=is_fresh, deadline=deadline)
        except QuotaExceeded:
            if not await self._reader.are_unchanged(plan.moves, deadline=deadline):
                raise PlanAgain from None
            raise
        return replace(plan, writes=[*plan.writes, *more])

    async def _pause(self, tried: int) -> None:
        if tried >= _PAUSE_AFTER:
            await asyncio.sleep(_PAUSE_S * tried * (1 + self._ids.draw(1)[0] / 256))

    async def _take_in(self, plan: Plan, landed: Landed) -> None:
        if plan.only_uses:
            await self._keeper.take_in(plan.changed, landed)
        else:
            await self._keeper.refresh(plan.changed)

    async def _commit(self, plan: Plan, deadline: float) -> Landed | CommitConflict:
        appends = [Append(keys.provider_key(uuid), None, _TOLD) for uuid in plan.changed] if self._is_logged else ()
        return await self._grouping.land(plan.writes, plan.checks, appends, deadline, return_cells=plan.only_uses)


def check_generation(found: int, given: int, message: str) -> None:
    """Refuses a request that was made for another generation than the present one.

    Raises:
        Conflict: they differ.
    """
    if found != given:
        raise Conflict.generation(message)
