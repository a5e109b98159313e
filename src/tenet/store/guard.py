"""An engine as a process's services have it: what they write can be followed, and refused, while a copy is made.

The guard promises whoever copies the store (``copying``):

* From ``follow`` on, every key that a commit may have changed is in the ``Changes`` before that commit can be seen,
  and again after it was answered or settled: whoever takes the keys and then reads the store misses nothing.
* After ``stand_still`` nothing changes any more: what had begun has ended, and a commit whose caller got no answer was
  settled, so that it has taken effect or never will.

Both hold for what goes through this guard. Where other processes may have the same store open, the guards of all of
them keep to the marks of a copy (``copy_fence``): to whoever copies, nobody else's write is acknowledged meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tenet.base.clock import NEVER, Clock
from tenet.store.contract import (
    EVERYTHING,
    Capabilities,
    Commit,
    CommitId,
    Committed,
    Engine,
    Key,
    Limits,
    Outcome,
    Range,
    Settled,
    SpaceInfo,
    SpaceOptions,
    Unknown,
    commit_id_ms,
)
from tenet.store.copy_fence import Fence
from tenet.store.errors import SettleWindowPassed, SpaceNotFound, StoreError, StoreMoved, StoreUnavailable

#: So many changed keys are kept; beyond them their spaces are compared as a whole.
CHANGES_MAX: Final = 1_000_000
#: So many commits without an answer are remembered, newest first.
_DOUBTFUL_MAX: Final = 1_000
_WINDOW_MS: Final = Limits.settle_window_s * 1_000
_SETTLE_S: Final = 30.0
_DEFAULT_OPTIONS: Final = SpaceOptions()


class Changes:
    """What may have changed and was not looked at yet."""

    def __init__(self) -> None:
        #: In the order in which they changed first, so that a copy is made in the same one each time.
        self.keys: dict[Key, None] = {}
        #: Partitions of which a range was discarded: space and partition key.
        self.partitions: set[tuple[str, bytes]] = set()
        #: Spaces in which more changed than is kept, to be compared as a whole.
        self.spaces: set[str] = set()
        #: Spaces that were dropped, and perhaps made again.
        self.dropped: set[str] = set()

    def note(self, keys: Iterable[Key]) -> None:
        """Notes that keys may have changed."""
        self.keys.update(dict.fromkeys(keys))
        if len(self.keys) > CHANGES_MAX:
            self.spaces.update({key.space for key in self.keys})
            self.keys.clear()

    def count(self) -> int:
        """Returns how much there is to look at; a whole space counts as more than any number of keys."""
        whole = len(self.spaces) + len(self.dropped) + len(self.partitions)
        return len(self.keys) + whole * CHANGES_MAX


class Guard:
    """Passes everything on to an engine; see ``contract.Engine``.

    Args:
        engine: the engine.
        clock: time.
        fence: keeps to the marks of copies that other processes make; None where none can have the store open.
    """

    def __init__(self, engine: Engine, clock: Clock, fence: Fence | None = None) -> None:
        self.engine = engine
        self.fence = fence
        self._clock = clock
        self._changes: Changes | None = None
        self._refusal = ""
        self._under_way: dict[CommitId, Commit] = {}
        self._other_under_way = 0
        #: Commits that ended without an answer, oldest first, and when one was last forgotten for there being too many.
        self._doubtful: dict[CommitId, Commit] = {}
        self._forgotten_ms = 0
        self._quiet = asyncio.Event()
        # What is passed on as it is costs nothing that way.
        self.list_spaces = engine.list_spaces
        self.get = engine.get
        self.query = engine.query
        self.scan = engine.scan
        self.read_together = engine.read_together
        self.read_log = engine.read_log
        self.watch = engine.watch

    @property
    def capabilities(self) -> Capabilities:
        """Those of the engine."""
        return self.engine.capabilities

    @property
    def refusal(self) -> str:
        """Why writes are refused; empty where they are not."""
        return self._refusal or ("" if self.fence is None else self.fence.refusal)

    # ---- for whoever copies ------------------------------------------------------------------------------------------

    def follow(self) -> Changes:
        """Notes every change from now on, those included that are under way.

        Raises:
            StoreUnavailable: so many commits have ended without an answer lately that what may come is not known.
        """
        if self._clock.wall_ms() - self._forgotten_ms < _WINDOW_MS:
            raise StoreUnavailable(
                f"more than {_DOUBTFUL_MAX} writes ended without an answer; wait {Limits.settle_window_s} s, then try"
                " again"
            )
        self._changes = changes = Changes()
        self.note_doubtful()
        for commit in self._under_way.values():
            changes.note(_keys(commit))
        return changes

    def note_doubtful(self) -> None:
        """Notes what commits without an answer would write, which may come at any time."""
        if self._changes is not None:
            for commit in self._doubtful.values():
                self._changes.note(_keys(commit))

    def unfollow(self) -> None:
        """Notes no changes any more."""
        self._changes = None

    async def stand_still(self, refusal: str) -> None:
        """Refuses every write from now on, and returns when all that had begun has ended for good.

        Args:
            refusal: why, and where to: what a caller is told.

        Raises:
            StoreError: what became of a commit cannot be found out. Writes are refused until ``allow``.
        """
        self._refusal = refusal
        self._look_whether_quiet()
        await self._quiet.wait()
        for commit in list(self._doubtful.values()):
            # What is too old to be settled cannot come any more; nor can what would write to a space that is gone.
            with contextlib.suppress(SettleWindowPassed, SpaceNotFound):
                _ = await self.engine.settle(commit, deadline=self._clock.monotonic_s() + _SETTLE_S)
            self._note(commit)
            self._doubtful.pop(commit.id, None)

    def allow(self) -> None:
        """Lets writes through again."""
        self._refusal = ""

    # ---- what writes -------------------------------------------------------------------------------------------------

    async def commit(self, commit: Commit, *, deadline: float = NEVER) -> Outcome:
        """Commits; see ``Store``."""
        if self.fence is not None and not self.fence.is_open():
            await self.fence.enter()
        self._check()
        self._under_way[commit.id] = commit
        self._note(commit)
        is_doubtful = True
        try:
            outcome = await self.engine.commit(commit, deadline=deadline)
            if self.fence is not None and not isinstance(outcome, Unknown) and not self.fence.holds():
                outcome = await self._confirmed(commit, outcome, self.fence)
            is_doubtful = isinstance(outcome, Unknown)
        except StoreError:
            is_doubtful = False  # nothing was written
            raise
        else:
            return outcome
        finally:
            if is_doubtful:
                self._doubt(commit)
            self._note(commit)
            self._under_way.pop(commit.id, None)
            if self._refusal:
                self._look_whether_quiet()

    async def settle(self, commit: Commit, *, deadline: float = NEVER) -> Settled:
        """Settles, which is refused only where what landed may not be acknowledged; see ``Store``."""
        settled = await self.engine.settle(commit, deadline=deadline)
        if self.fence is not None and not self.fence.holds() and isinstance(settled, Committed):
            await self.fence.confirm()
        self._note(commit)
        self._doubtful.pop(commit.id, None)
        return settled

    async def ensure_space(
        self, name: str, options: SpaceOptions = _DEFAULT_OPTIONS, *, deadline: float = NEVER
    ) -> SpaceInfo:
        """Creates or changes a space; see ``Store``."""
        await self._begin()
        try:
            info = await self.engine.ensure_space(name, options, deadline=deadline)
            await self._confirm()
            return info
        finally:
            self._end()

    async def drop_space(self, name: str, *, deadline: float = NEVER) -> None:
        """Drops a space; see ``Store``."""
        await self._begin()
        try:
            await self.engine.drop_space(name, deadline=deadline)
            await self._confirm()
        finally:
            if self._changes is not None:
                self._changes.dropped.add(name)
            self._end()

    async def discard(
        self, space: str, partition: bytes, within: Range = EVERYTHING, *, deadline: float = NEVER
    ) -> None:
        """Discards a range of a partition; see ``Store``."""
        await self._begin()
        try:
            await self.engine.discard(space, partition, within, deadline=deadline)
            await self._confirm()
        finally:
            if self._changes is not None:
                self._changes.partitions.add((space, partition))
            self._end()

    async def health(self) -> Mapping[str, str | int | float | bool]:
        """Returns the engine's figures; where writes are refused, they say so."""
        if self.fence is not None:
            self.fence.look_soon()
        figures, refusal = await self.engine.health(), self.refusal
        return {**figures, "can_write": False, "write_refusal": refusal} if refusal else figures

    async def close(self) -> None:
        """Closes the engine; see ``Engine``."""
        if self.fence is not None:
            self.fence.close()
        await self.engine.close()

    def _check(self) -> None:
        if self._refusal:
            raise StoreMoved(self._refusal)

    async def _confirmed(self, commit: Commit, outcome: Outcome, fence: Fence) -> Outcome:
        """Returns what may be told of a commit whose outcome the engine knows.

        Raises:
            StoreError: nothing was written, and what the store holds may not be told either.
        """
        try:
            await fence.confirm()
        except StoreError:
            if isinstance(outcome, Committed) and (commit.writes or commit.appends):
                return Unknown(commit.id)
            raise
        return outcome

    async def _confirm(self) -> None:
        if self.fence is not None and not self.fence.holds():
            await self.fence.confirm()

    async def _begin(self) -> None:
        if self.fence is not None and not self.fence.is_open():
            await self.fence.enter()
        self._check()
        self._other_under_way += 1

    def _end(self) -> None:
        self._other_under_way -= 1
        if self._refusal:
            self._look_whether_quiet()

    def _look_whether_quiet(self) -> None:
        if self._under_way or self._other_under_way:
            self._quiet.clear()
        else:
            self._quiet.set()

    def _note(self, commit: Commit) -> None:
        if self._changes is not None:
            self._changes.note(_keys(commit))

    def _doubt(self, commit: Commit) -> None:
        """Remembers a commit that may come later; those that are too old to come are forgotten."""
        if not commit.writes:
            return
        now_ms = self._clock.wall_ms()
        while self._doubtful:
            oldest = next(iter(self._doubtful))
            is_over = now_ms - commit_id_ms(oldest) > 2 * _WINDOW_MS
            if not is_over and len(self._doubtful) < _DOUBTFUL_MAX:
                break
            del self._doubtful[oldest]
            if not is_over:
                self._forgotten_ms = now_ms
        self._doubtful[commit.id] = commit


def _keys(commit: Commit) -> Sequence[Key]:
    return [write.key for write in commit.writes]


def guarded(engine: Engine, clock: Clock) -> Guard:
    """Returns the guard of an engine, with a fence where other processes may have the same store open.

    Args:
        engine: the engine.
        clock: time.
    """
    return Guard(engine, clock, Fence(engine, clock) if engine.capabilities.remote else None)
