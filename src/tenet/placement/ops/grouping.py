"""Commits of one process that meet in a partition go together, where commits over several partitions are dear.

Claims of one project, or of one provider, meet in a partition. One after the other they would each wait for all rounds
of those before; so whoever would have to wait is put together with the others that do, and one commit carries out all
of them. What does not meet anything goes at once, and by itself.

Only such commits are put together as would all take effect one after the other wherever the one does, and the other way
round: no one puts or checks what another one writes, and what they add to the same cell goes in one direction, within
the same bounds. Where the one commit is refused, those that were in the way are told so or tried in smaller groups, and
the others go on without them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeAlias

from tenet.base.clock import NEVER
from tenet.placement import keys
from tenet.placement.rules.uses import uses_left
from tenet.store.contract import Add, Committed, Conflict, IsStamp, Limits, Put
from tenet.store.errors import DeadlineExceeded, InvalidRequest, LimitExceeded, OutcomeUnknown
from tenet.store.landing import land

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import Append, Check, Key, Store, Write

#: How many go together: more would hold their partitions for longer than others wait for them.
MEMBERS_MAX: Final = 16
#: The most that the values of a group have together, bytes; a commit may have twice as much, keys included.
_GROUP_BYTES_MAX: Final = Limits.commit_bytes_max // 2

_Cell: TypeAlias = tuple["Key", str]


class Landed:
    """A commit that took effect, as all those are told whose writes it carried out.

    Args:
        committed: as the store told it.
        writes: of the commit.
    """

    __slots__ = ("taken", "uses", "version")

    def __init__(self, committed: Committed, writes: Iterable[Write]) -> None:
        self.version: Final = committed.version
        #: What it left of providers; those of which that is not known are missing.
        self.uses: Final = uses_left(committed.cells, writes) if committed.cells else {}
        #: The providers that the read model has as it left them, or newer.
        self.taken: Final[set[str]] = set()


class Asked:
    """A commit that somebody waits for.

    Args:
        writes: as in ``Commit``.
        checks: as in ``Commit``.
        appends: as in ``Commit``.
        deadline: when he gives up, in seconds on the monotonic clock.
        return_cells: as in ``Commit``.
    """

    __slots__ = (
        "adds",
        "appends",
        "checked",
        "checks",
        "deadline",
        "done",
        "fewest",
        "is_alone",
        "is_under_way",
        "places",
        "put",
        "return_cells",
    )

    def __init__(
        self,
        writes: Sequence[Write],
        checks: Sequence[Check],
        appends: Sequence[Append],
        deadline: float,
        *,
        return_cells: bool = False,
    ) -> None:
        self.adds: dict[_Cell, Add] = {}
        self.put: dict[Key, Write] = {}
        for write in writes:
            if isinstance(write, Add):
                self.adds[write.key, write.cell] = write
            else:
                self.put[write.key] = write
        self.checks = checks
        self.checked = {check.of if isinstance(check, IsStamp) else check.key for check in checks}
        self.appends = appends
        self.deadline = deadline
        self.return_cells = return_cells
        #: Of cells that had no room for all of a group: how many may add to one together.
        self.fewest: dict[_Cell, int] = {}
        #: Whether it goes by itself, because the store could not make anything of a group with it.
        self.is_alone = False
        self.is_under_way = False
        self.done: asyncio.Future[Landed | Conflict] = asyncio.get_running_loop().create_future()
        self.places = {(one.space, one.partition) for one in (*self.put, *(key for key, _ in self.adds), *self.checked)}
        self.places |= {(append.key.space, append.key.partition) for append in appends}

    @property
    def value_bytes(self) -> int:
        """Of all that is put."""
        return sum(len(write.value) for write in self.put.values() if isinstance(write, Put))


class Group:
    """Commits that go together.

    Args:
        first: one of them.
        partitions_max: how many partitions one commit may touch.
    """

    def __init__(self, first: Asked, partitions_max: int) -> None:
        self.members: list[Asked] = []
        self.places: set[tuple[str, bytes]] = set()
        self._partitions_max = partitions_max
        self._sharing: Counter[_Cell] = Counter()
        self._fewest: dict[_Cell, int] = {}
        self._put: dict[Key, Write] = {}
        self._adds: dict[_Cell, Add] = {}
        self._added: set[Key] = set()
        self._checks: dict[Check, None] = {}
        self._checked: set[object] = set()
        self._appends: dict[tuple[Key, bytes | None, bytes | None], Append] = {}
        self._bytes = 0
        self._take(first)

    def takes(self, one: Asked) -> bool:
        """Adds one to the group where that changes nothing for anybody; returns whether it did."""
        if not self._is_apart(one) or self._is_full_with(one):
            return False
        self._take(one)
        return True

    def _is_apart(self, one: Asked) -> bool:
        """Returns whether no one writes what another one puts or checks, and adds to the same cells agree."""
        added = {key for key, _ in one.adds}
        if one.put.keys() & (self._put.keys() | self._added | self._checked):
            return False
        if self._put.keys() & (added | one.checked) or one.checked & self._added or added & self._checked:
            return False
        return all(_agree(add, self._adds[cell]) for cell, add in one.adds.items() if cell in self._adds)

    def _is_full_with(self, one: Asked) -> bool:
        for cell in one.adds:
            if self._sharing[cell] >= min(self._fewest.get(cell, MEMBERS_MAX), one.fewest.get(cell, MEMBERS_MAX)):
                return True
        return (
            len(self.members) == MEMBERS_MAX
            or one.is_alone
            or self.members[0].is_alone
            or len(self._checks) + len(one.checks) > Limits.checks_max
            or len(self.places | one.places) > self._partitions_max
            or len(self._put) + len(self._adds) + len(one.put) + len(one.adds) > Limits.writes_max
            or self._bytes + one.value_bytes > _GROUP_BYTES_MAX
        )

    def _take(self, one: Asked) -> None:
        self.members.append(one)
        self.places |= one.places
        self._sharing.update(one.adds.keys())
        for cell, most in one.fewest.items():
            self._fewest[cell] = min(most, self._fewest.get(cell, most))
        self._put.update(one.put)
        for cell, add in one.adds.items():
            before = self._adds.get(cell)
            amount = add.amount + (before.amount if before is not None else 0)
            self._adds[cell] = Add(add.key, add.cell, amount, add.at_least, add.at_most)
            self._added.add(add.key)
        self._checks.update(dict.fromkeys(one.checks))
        self._checked |= one.checked
        for append in one.appends:
            self._appends[append.key, append.old, append.new] = append
        self._bytes += one.value_bytes

    def written(self) -> tuple[list[Write], list[Check], list[Append]]:
        """Returns what one commit writes, checks and appends for all of them.

        What projects have comes first, since more meet there than anywhere: the first partition of a commit is held for
        the shortest time.
        """
        writes: list[Write] = [*self._adds.values(), *self._put.values()]
        writes.sort(key=lambda write: write.key.space != keys.PROJECTS_SPACE)
        return writes, list(self._checks), list(self._appends.values())

    def refused(self, conflict: Conflict) -> tuple[list[Asked], list[Asked]]:
        """Returns who is refused, and who is to be tried again, in fewer at a time where they were too many together.

        Args:
            conflict: what the one commit was answered.
        """
        if len(self.members) == 1:
            return self.members, []
        writes, checks, _ = self.written()
        failed = {checks[index] for index in conflict.failed}
        passed = {
            (write.key, write.cell) for index in conflict.out_of_bounds if isinstance(write := writes[index], Add)
        }
        refused: list[Asked] = []
        again: list[Asked] = []
        for one in self.members:
            mine = passed & one.adds.keys()
            if failed.intersection(one.checks) or any(
                self._sharing[cell] == 1 or not _fits(one.adds[cell], conflict) for cell in mine
            ):
                refused.append(one)
                continue
            one.fewest |= {cell: self._sharing[cell] // 2 for cell in mine}
            again.append(one)
        return refused, again


def _fits(add: Add, conflict: Conflict) -> bool:
    """Returns whether an add that a group could not make may be made by itself, as far as the refusal tells."""
    if add.key not in conflict.records:
        return True
    record = conflict.records[add.key]
    total = add.amount + (0 if record is None else record.cells.get(add.cell, 0))
    return (add.at_least is None or add.at_least <= total) and (add.at_most is None or total <= add.at_most)


def _agree(one: Add, other: Add) -> bool:
    """Returns whether a sum of two adds fits wherever both do one after the other, and the other way round.

    The bounds are the same. Where nothing is added, that is all; where both add, what is there is not below the lower
    bound before; where both take away, only that one is looked at.
    """
    if (one.at_least, one.at_most) != (other.at_least, other.at_most):
        return False
    if one.amount >= 0 and other.amount >= 0:
        return one.amount == other.amount == 0 or one.at_least is None or one.at_least <= 0
    return one.amount <= 0 and other.amount <= 0 and one.at_most is None


def _adds_twice(writes: Sequence[Write]) -> bool:
    """Returns whether a cell is added to more than once."""
    cells = [(write.key, write.cell) for write in writes if isinstance(write, Add)]
    return len(set(cells)) != len(cells)


def _tell(members: Sequence[Asked], outcome: Landed | Conflict) -> None:
    for one in members:
        if not one.done.done():
            one.done.set_result(outcome)


class Grouping:
    """Commits, together with others where they meet.

    Args:
        store: where to.
        clock: for commit ids and deadlines.
        ids: for commit ids.
    """

    def __init__(self, store: Store, *, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._is_dear = not store.capabilities.cheap_commits_across_partitions
        #: Partitions of the commits that are under way.
        self._busy: set[tuple[str, bytes]] = set()
        self._waiting: list[Asked] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def land(
        self,
        writes: Sequence[Write],
        checks: Sequence[Check],
        appends: Sequence[Append],
        deadline: float,
        *,
        return_cells: bool = False,
    ) -> Landed | Conflict:
        """Commits, as ``land`` does; a conflict may be that of the group in which it went.

        Args:
            writes: as in ``Commit``.
            checks: as in ``Commit``.
            appends: as in ``Commit``.
            deadline: when to give up, in seconds on the monotonic clock.
            return_cells: whether to tell what the commit left of providers.

        Raises:
            StoreUnavailable: nothing was written.
            OutcomeUnknown: the store could not say before the deadline whether it was.
        """
        if not self._is_dear or _adds_twice(writes):
            return await self._land(writes, checks, appends, deadline, return_cells=return_cells)
        one = Asked(writes, checks, appends, deadline, return_cells=return_cells)
        self._waiting.append(one)
        self._begin()
        return await self._end_of(one)

    async def _land(
        self,
        writes: Sequence[Write],
        checks: Sequence[Check],
        appends: Sequence[Append],
        deadline: float,
        *,
        return_cells: bool,
    ) -> Landed | Conflict:
        outcome = await land(
            self._store,
            writes,
            checks,
            appends,
            clock=self._clock,
            ids=self._ids,
            deadline=deadline,
            return_cells=return_cells,
        )
        return Landed(outcome, writes) if isinstance(outcome, Committed) else outcome

    async def _end_of(self, one: Asked) -> Landed | Conflict:
        timeout_s = None if one.deadline == NEVER else max(0.0, one.deadline - self._clock.monotonic_s())
        try:
            async with asyncio.timeout(timeout_s):
                return await one.done
        except TimeoutError as error:
            if one.is_under_way:
                raise OutcomeUnknown("the deadline passed before the store could say whether it was written") from error
            raise DeadlineExceeded("the deadline passed while others changed the same; nothing was written") from error
        finally:
            if one in self._waiting:
                self._waiting.remove(one)

    def _begin(self) -> None:
        """Begins what meets nothing that is under way, in the order of arrival; what meets something waits."""
        waiting, self._waiting = self._waiting, []
        groups: list[Group] = []
        # What is under way, and what those wait for that came before.
        held = set(self._busy)
        for one in waiting:
            if not one.places.isdisjoint(held) or not self._placed(groups, one):
                held |= one.places
                self._waiting.append(one)
        for group in groups:
            self._busy |= group.places
            for one in group.members:
                one.is_under_way = True
            task = asyncio.get_running_loop().create_task(self._run(group))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, group: Group) -> None:
        again: Sequence[Asked] = ()
        try:
            again = await self._carry_out(group)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is told to those that wait)
            for one in group.members:
                if not one.done.done():
                    one.done.set_exception(error)
        self._busy -= group.places
        for one in again:
            one.is_under_way = False
        self._waiting[:0] = [one for one in again if not one.done.done()]
        self._begin()

    async def _carry_out(self, group: Group) -> Sequence[Asked]:
        """Commits a group and tells what came of it; returns who is to be tried again."""
        writes, checks, appends = group.written()
        deadline = max(one.deadline for one in group.members)
        try:
            return_cells = any(one.return_cells for one in group.members)
            outcome = await self._land(writes, checks, appends, deadline, return_cells=return_cells)
        except (InvalidRequest, LimitExceeded):
            # Before anything was written. It is told to whose commit is no good; the others have done nothing wrong.
            if len(group.members) == 1:
                raise
            for one in group.members:
                one.is_alone = True
            return group.members
        if isinstance(outcome, Landed):
            _tell(group.members, outcome)
            return []
        refused, again = group.refused(outcome)
        _tell(refused, outcome)
        return again

    def _placed(self, groups: list[Group], one: Asked) -> bool:
        """Puts one with the groups that it meets into one group; False where they do not all go together."""
        whole = Group(one, self._store.capabilities.partitions_max)
        met = [group for group in groups if not one.places.isdisjoint(group.places)]
        if not all(whole.takes(member) for group in met for member in group.members):
            return False
        groups[:] = [group for group in groups if group not in met]
        groups.append(whole)
        return True
