"""What the author of an engine hands to the suite: how the engine is opened, and what a test may do to it.

The suite opens an engine at *locations*, which are names. A location that was never opened is empty; one that was
opened before holds what was committed there. What a location becomes (a folder, a keyspace) is the harness's business.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Protocol

from tenet.base.clock import Clock
from tenet.base.ids import Ids
from tenet.store.contract import Commit, CommitId, Engine


class Hold(Protocol):
    """A commit that is to be held up inside the engine, after it was sent and before it takes effect."""

    async def reached(self) -> None:
        """Waits until the commit has come and stands still."""
        ...

    def release(self) -> None:
        """Lets it go on; safe to call twice, and before it has come."""
        ...


class EngineHarness(ABC):
    """Opens an engine for the suite, and declares what the contract leaves open.

    Attributes:
        hints: whether a watch is told of a commit within this process within a second, when nothing is wrong. The
            contract allows every hint to be lost; an engine that says False is tested for nothing but that.
        trim_s_max: seconds within which a log is trimmed once its entries may go.
        held_s: seconds for which a commit is held up while a reader tails the log, where ``hold`` is offered.
        spaces_many: how many spaces the test of many spaces makes.
        takes_clock: whether versions and the window of ``settle`` follow the clock that ``open`` is given, so that
            tests can step it.
        pace: the share of their rounds that the longest tests run, above 0; usually up to 1.
    """

    hints: bool = True
    trim_s_max: float = 5.0
    held_s: float = 10.0
    spaces_many: int = 120
    takes_clock: bool = True
    pace: float = 1.0

    @abstractmethod
    async def open(self, location: str, *, clock: Clock, ids: Ids) -> Engine:
        """Opens the engine.

        Args:
            location: a name of a-z, 0-9 and dashes.
            clock: time; its monotonic time is that of the event loop.
            ids: randomness.
        """

    @property
    def can_crash(self) -> bool:
        """Whether ``crash`` is offered."""
        return False

    async def crash(self, engine: Engine) -> None:
        """Ends an engine as ``kill -9`` would, so that its location can be opened again.

        Args:
            engine: one that ``open`` has returned; commits may be under way.
        """
        raise NotImplementedError

    def hold(self, engine: Engine, commit_id: CommitId) -> Hold | None:
        """Arranges for a commit that is yet to be sent to be held up inside the engine.

        Engines that have no place for it return None; what the test shows with it is then shown without.

        Args:
            engine: one that ``open`` has returned.
            commit_id: of the commit.
        """
        del engine, commit_id
        return None

    async def close(self) -> None:
        """Removes what was made for the tests; the engines are closed by then."""
        return


class Gate:
    """Holds for engines that call a function before a commit takes effect: hand them ``pass_through``."""

    def __init__(self) -> None:
        self._holds: dict[CommitId, _GateHold] = {}

    async def pass_through(self, commit: Commit) -> None:
        """Returns at once, or when the hold of this commit is released."""
        hold = self._holds.pop(commit.id, None)
        if hold is not None:
            await hold.stand()

    def hold(self, commit_id: CommitId) -> Hold:
        """Arranges for a commit to be held up."""
        hold = self._holds[commit_id] = _GateHold()
        return hold


class _GateHold:
    def __init__(self) -> None:
        self._has_come = asyncio.Event()
        self._may_go = asyncio.Event()

    async def stand(self) -> None:
        self._has_come.set()
        await self._may_go.wait()

    async def reached(self) -> None:
        await self._has_come.wait()

    def release(self) -> None:
        self._may_go.set()
