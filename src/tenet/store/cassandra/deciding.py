"""The batches of a commit in one partition: sent, made again where a belief was wrong, and their refusals weighed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tenet.store.cassandra.ages import Age
from tenet.store.cassandra.encoding import (
    CARRIED_OUT,
    NEVER,
    NONCE_BYTES,
    TIME_BYTES,
    committed,
    encode_cells,
    hybrid_time,
    nonce_of,
    version_of,
)
from tenet.store.cassandra.rows import Row, decode_lock, encode_intent
from tenet.store.cassandra.tries import Doubt, Unsure
from tenet.store.cassandra.unit import Believed, Refusals, Seen, Unit
from tenet.store.contract import Committed, IsOlderThan, Key, Limits, Version, commit_id_ms
from tenet.store.errors import InvalidRequest, StoreUnavailable

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.cassandra.driver import Driver
    from tenet.store.cassandra.locks import Locks
    from tenet.store.cassandra.partitions import Partitions
    from tenet.store.cassandra.pointers import Pointers
    from tenet.store.cassandra.reads import Reads
    from tenet.store.cassandra.sending import Bound
    from tenet.store.contract import Commit
    from tenet.store.versions import VersionSource

#: How often one batch is made again, for a belief that was wrong or a lock that was met.
_TRIES_MAX: Final = 200
#: How long to wait when no node answered, before it is sent again; seconds.
_UNANSWERED_PAUSE_S: Final = 0.1
NO_NONCE: Final = bytes(NONCE_BYTES)
#: The version of a record of which only the cells are remembered: there is one.
_REMEMBERED: Final = b""


class Try(Enum):
    """What became of a try that neither took effect nor was refused by a check or a bound."""

    PREPARED = "prepared"
    GIVEN_UP = "given up by others"
    BEHIND = "lets go of what it holds, because an older commit has a partition that it needs"
    OVER = "ended, because it is over in another partition"


class Decided:
    """The commit took effect; by this try, or by another one of the same id."""

    __slots__ = ("committed", "is_mine")

    def __init__(self, committed: Committed, *, is_mine: bool) -> None:
        self.committed: Final = committed
        self.is_mine: Final = is_mine


class _Asked:
    """What a batch is for: a try of a commit in one of its partitions, and what is believed of that."""

    __slots__ = ("age", "begun", "believed", "commit", "has_waited", "nonce", "over", "unit")

    def __init__(
        self,
        commit: Commit,
        nonce: bytes,
        unit: Unit,
        believed: Believed,
        *,
        over: asyncio.Event | None,
        age: Age | None,
    ) -> None:
        self.commit: Final = commit
        self.nonce: Final = nonce
        self.unit: Final = unit
        self.believed: Final = believed
        #: Of a commit over several partitions: whether its try is over in another one.
        self.over: Final = over
        #: Beside others that it meets; of a commit in one partition it is made when that meets one.
        self.age = age
        #: The version that was drawn first.
        self.begun = Version(b"")
        #: Whether it has waited for a younger commit already.
        self.has_waited = False


class Deciding:
    """Sends the batches of commits.

    Args:
        driver: the cluster.
        partitions: beliefs, and the lines of commits.
        locks: resolves what is met.
        reads: looks at partitions.
        pointers: of partitions with entries for logs.
        versions: gives versions.
        clock: time.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        partitions: Partitions,
        locks: Locks,
        reads: Reads,
        pointers: Pointers,
        versions: VersionSource,
        clock: Clock,
    ) -> None:
        self._driver = driver
        self._partitions = partitions
        self._locks = locks
        self._reads = reads
        self._pointers = pointers
        self._versions = versions
        self._clock = clock

    def believed(self, unit: Unit) -> Believed:
        """Returns what is believed of a partition before anything is sent."""
        return Believed(*self._partitions.believed(unit.place))

    def age(self, commit: Commit) -> Age:
        """Returns the age of a commit that begins now."""
        return Age(commit.id, hybrid_time(self._versions.draw()))

    # ---- the batch that decides --------------------------------------------------------------------------------------

    def decide(
        self, commit: Commit, unit: Unit, nonce: bytes, deadline: float, doubt: Doubt, *, age: Age | None = None
    ) -> Coroutine[Any, Any, Decided | Refusals | Try]:
        """Sends the batch that decides a commit, until it took effect, or is refused by a check or a bound.

        Args:
            commit: the commit.
            unit: its anchor.
            nonce: of the try, for one over several partitions; else ``NO_NONCE``.
            deadline: when to give up.
            doubt: told of batches that are not answered.
            age: of a commit over several partitions.

        Raises:
            Unsure: the deadline passed, and a batch was not answered.
            StoreUnavailable: nothing more was sent.
        """
        believed = self.believed(unit)
        version = Version(b"")
        over = None if nonce == NO_NONCE else asyncio.Event()
        asked = _Asked(commit, nonce, unit, believed, over=over, age=age)

        def batch() -> list[Bound]:
            nonlocal version
            version = self._versions.draw()
            asked.begun = asked.begun or version
            return self._decision(commit, unit, believed, nonce, version)

        def took_effect() -> Decided:
            pointer = self._pointers.standing(unit, believed) if unit.appends else believed.pointer
            time = hybrid_time(version)
            self._partitions.learn(unit.place, time, pointer)
            for sort, cells in unit.cells_written(believed).items():
                self._partitions.learn_cells(unit.place, sort, encode_cells(time, cells))
            return Decided(Committed(version, self.cells_left(commit, unit, believed)), is_mine=True)

        return self._until_known(asked, batch, took_effect, deadline=deadline, doubt=doubt)

    def _decision(self, commit: Commit, unit: Unit, believed: Believed, nonce: bytes, version: Version) -> list[Bound]:
        statements, time, key = unit.space.statements, hybrid_time(version), unit.key
        condition, values = unit.time_condition(believed, time)
        fate = committed(nonce, version)
        batch: list[Bound] = [(statements.time + condition, [time, key, *values]), (statements.header, [key])]
        if nonce == NO_NONCE:
            batch.append((statements.fate, [fate, key, commit.id]))
        else:
            # Kept until everything that it decides has been carried out.
            batch += [(statements.fate_kept, [fate, key, commit.id]), (statements.no_fate, [key, commit.id + nonce])]
        if unit.appends:
            batch.append(self._pointers.condition(unit, believed))
        return batch + unit.decision(believed, commit.id, version)

    # ---- the batch that prepares -------------------------------------------------------------------------------------

    async def prepare(
        self,
        commit: Commit,
        unit: Unit,
        believed: Believed,
        lock: tuple[bytes, bytes],
        age: Age,
        *,
        deadline: float,
        doubt: Doubt,
        over: asyncio.Event,
    ) -> Decided | Refusals | Try:
        """Checks one of several partitions, locks it and leaves there what is intended.

        Args:
            commit: the commit.
            unit: its part there.
            believed: what is believed of the partition; what was learnt stands in it afterwards.
            lock: the nonce of the try, and the lock.
            age: of the commit.
            deadline: when to give up.
            doubt: told of batches that are not answered.
            over: whether the try is over in another partition; then nothing is waited for here any more.

        Raises:
            Unsure: whether the lock was laid is not known.
            StoreUnavailable: it was not.
        """
        nonce, data = lock
        return await self._until_known(
            _Asked(commit, nonce, unit, believed, over=over, age=age),
            lambda: self._preparation(commit, unit, believed, lock, age),
            lambda: Try.PREPARED,
            deadline=deadline,
            doubt=doubt,
            lock=data,
        )

    def _preparation(
        self, commit: Commit, unit: Unit, believed: Believed, lock: tuple[bytes, bytes], age: Age
    ) -> list[Bound]:
        statements, key = unit.space.statements, unit.key
        nonce, data = lock
        # The version comes later, and is drawn behind every time that was seen here.
        time = hybrid_time(self._versions.draw())
        condition, values = unit.time_condition(believed, time)
        batch: list[Bound] = [
            (statements.lock + condition, [data, key, *values]),
            (statements.header_kept, [key]),
            (statements.no_fate, [key, commit.id]),
            (statements.intent, [encode_intent(unit.intent(believed)), age.time, key, nonce]),
        ]
        if unit.appends:
            batch.append(self._pointers.condition(unit, believed))
        return batch + unit.preparation(believed)

    # ---- both --------------------------------------------------------------------------------------------------------

    async def _until_known(
        self,
        asked: _Asked,
        batch: Callable[[], list[Bound]],
        took_effect: Callable[[], Decided | Try],
        *,
        deadline: float,
        doubt: Doubt,
        lock: bytes | None = None,
    ) -> Decided | Refusals | Try:
        """Sends a batch, made again with what each refusal shows, until it is known what became of it.

        Args:
            asked: what it is for.
            batch: makes it, of what is believed by then.
            took_effect: called when it took effect; returns the answer.
            deadline: when to give up.
            doubt: told of batches that are not answered.
            lock: that the batch lays; found there, it was laid by one that was not answered.
        """
        commit = asked.commit
        for _ in range(_TRIES_MAX):
            if asked.unit.adds or asked.unit.appends:
                found = await self._made_ready(asked, deadline)
                if found is not None:
                    return _known(found, asked.nonce) if isinstance(found, bytes) else found
            shown = await self._sent(asked, batch, deadline, doubt)
            if shown is _UNANSWERED:
                await asyncio.sleep(_UNANSWERED_PAUSE_S)
                continue
            if shown is None:
                return took_effect()
            seen = Seen.of(shown)
            if lock is not None and seen.lock == lock:
                return took_effect()
            fate = seen.fates.get(commit.id)
            if fate is not None:
                return _known(fate, asked.nonce)
            answer = await self._weighed(asked, seen, deadline, doubt)
            if answer is not None:
                return answer
        raise StoreUnavailable("the partition is being written to by too many at once; nothing was written")

    async def _made_ready(self, asked: _Asked, deadline: float) -> Refusals | bytes | None:
        """Does what must come before the batch; returns what refuses the commit already, or the fate that it has."""
        commit, unit, believed = asked.commit, asked.unit, asked.believed
        if unit.adds and not all(sort in believed.rows for sort in unit.adds) and not self._remembers(unit, believed):
            seen = await self._reads.look(unit, deadline, fate_of=commit.id)
            self._believe(unit, believed, seen)
            if known := seen.fates.get(commit.id) or unit.refusals(seen):
                return known
        if unit.appends:
            await self._pointers.point(unit, believed, deadline)
        return None

    def _remembers(self, unit: Unit, believed: Believed) -> bool:
        """Believes what is remembered of the cells that are added to.

        Returns:
            False where that is not all of them, is older than what is believed, or refuses the commit.
        """
        rows: dict[bytes, Row] = {}
        for sort in unit.adds:
            cells = self._partitions.cells(unit.place, sort)
            if cells is None:
                return False
            before = believed.rows.get(sort)
            if before is not None and before.cells is not None and before.cells[:TIME_BYTES] > cells[:TIME_BYTES]:
                return False
            rows[sort] = Row(_REMEMBERED, None, cells)
        if not unit.is_in_bounds(rows):
            return False
        believed.rows.update(rows)
        return True

    def _believe_newer(self, unit: Unit, believed: Believed) -> None:
        """Believes what commits of this process, for which this one has waited, have left."""
        time = self._partitions.believed(unit.place)[0]
        if time is not None and (believed.time is None or time > believed.time):
            believed.time = time
            if unit.adds:
                self._remembers(unit, believed)

    def _check_age(self, commit: Commit) -> None:
        """Makes sure each time that a batch is sent that what others have written against it is still remembered.

        A process may have stood still since it was last sent, for longer than that.

        Raises:
            InvalidRequest: the commit is too old to be sent.
        """
        if self._clock.wall_ms() - commit_id_ms(commit.id) > Limits.settle_window_s * 1000:
            raise InvalidRequest(
                f"the commit was made more than {Limits.settle_window_s} s ago, and is not sent any more"
            )

    async def _sent(
        self, asked: _Asked, batch: Callable[[], list[Bound]], deadline: float, doubt: Doubt
    ) -> Sequence[Mapping[str, object]] | None:
        place = asked.unit.place
        if not self._partitions.take(place):
            await self._partitions.wait(place, deadline)
            self._believe_newer(asked.unit, asked.believed)
        try:
            return await self._driver.decide(
                batch(), deadline=deadline, doubt=doubt, before=partial(self._check_age, asked.commit)
            )
        except Unsure:
            if self._clock.monotonic_s() >= deadline or self._driver.tries.cut_off:
                raise
            return _UNANSWERED
        finally:
            self._partitions.give(place)

    async def _weighed(self, asked: _Asked, seen: Seen, deadline: float, doubt: Doubt) -> Refusals | Try | None:
        """Finds out what a refusal means; None where the batch is to be made again with what is known now."""
        commit_id, unit, believed = asked.commit.id, asked.unit, asked.believed
        if commit_id + asked.nonce in seen.fates:
            return Try.GIVEN_UP
        self._believe(unit, believed, seen)
        if seen.lock is None:
            return unit.refusals(seen) or None
        answer = await self._met(asked, seen, seen.lock, deadline, doubt)
        believed.rows.clear()
        believed.time = self.believed(unit).time
        return answer

    async def _met(
        self, asked: _Asked, seen: Seen, lock: bytes, deadline: float, doubt: Doubt
    ) -> Refusals | Try | None:
        """Meets the lock of another commit; None when it is gone."""
        refused, place = asked.unit.refusals(seen), asked.unit.place
        if refused:
            # What is locked and not decided is as it was.
            return refused if await self._locks.is_pending(*place, lock, deadline) else None
        age = asked.age = asked.age or Age(asked.commit.id, hybrid_time(asked.begun))
        time = await self._locks.time_of(*place, lock, deadline)
        if time is None:
            return None
        is_behind = age.is_behind(time, decode_lock(lock).commit_id)
        found = await self._held_up(asked, lock, deadline, doubt, is_behind=is_behind)
        if found is Try.BEHIND or (asked.over is None and is_behind):
            age.lost_to(time, seen.time)
        if asked.over is None:
            age.begin_again()
        return found

    async def _held_up(
        self, asked: _Asked, lock: bytes, deadline: float, doubt: Doubt, *, is_behind: bool
    ) -> Try | None:
        """Waits for a lock, or lets go for it; None when it is gone.

        Who holds locks waits for none but a younger commit's: an older one that he waited for might wait for him, or
        for one who does. So he lets go, unless a batch that was not answered may have decided already.
        """
        place = asked.unit.place
        if asked.over is None or doubt.is_there:
            await self._locks.clear(*place, lock, deadline, is_older=not is_behind)
            return None
        if is_behind and not await self._locks.is_pending(*place, lock, deadline):
            return None
        if is_behind:
            return Try.BEHIND
        was_beaten, asked.has_waited = asked.has_waited, True
        is_gone = await self._locks.clear(*place, lock, deadline, is_older=True, over=asked.over, was_beaten=was_beaten)
        return None if is_gone else Try.OVER

    def _believe(self, unit: Unit, believed: Believed, seen: Seen) -> None:
        """Takes over what was seen."""
        self._partitions.learn_seen(unit.place, seen)
        believed.time, believed.pointer = seen.time, seen.pointer
        if seen.time is not None:
            self._versions.observe(Version(seen.time.to_bytes(8, "big") + bytes(8)))
        for sort in unit.adds:
            row = believed.rows[sort] = seen.row(sort)
            # What is locked is about to change.
            self._partitions.learn_cells(unit.place, sort, row.cells if seen.lock is None else None)
        for sort, checks in unit.checks.items():
            is_absent = seen.row(sort).version is None
            older = {index for index, check in checks if isinstance(check, IsOlderThan)}
            believed.absent = believed.absent | older if is_absent else believed.absent - older

    def cells_left(self, commit: Commit, unit: Unit, believed: Believed) -> Mapping[Key, Mapping[str, int]]:
        """Returns the cells that a commit leaves, where it asks for them."""
        if not commit.return_cells:
            return {}
        after = unit.cells_after(believed)
        return {Key(unit.space.name, unit.partition, sort): cells for sort, cells in after.items()}


#: Stands for the rows of a refusal where no answer came.
_UNANSWERED: Final[Sequence[Mapping[str, object]]] = ({"unanswered": True},)


def _known(fate: bytes, nonce: bytes) -> Decided:
    """Returns what the fate in an anchor says.

    Raises:
        InvalidRequest: the commit was settled as one that never took effect.
    """
    if fate.startswith(NEVER):
        raise InvalidRequest("the commit was settled as one that never took effect")
    if fate.startswith(CARRIED_OUT):
        return Decided(Committed(Version(fate[1:])), is_mine=False)
    return Decided(Committed(version_of(fate)), is_mine=nonce != NO_NONCE and nonce_of(fate) == nonce)
