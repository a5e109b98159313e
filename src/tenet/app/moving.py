"""Moves the store of an installation to another one: the copy in the background of the process that has the store open.

It may be that of a server, which goes on serving, or of a command where no server runs. There is one at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import structlog

from tenet.app.data_directory import DataDirectory
from tenet.app.engines import open_store
from tenet.app.messages import CopyNamed, CopyShown
from tenet.base.errors import TenetError
from tenet.mesh.member_store import MemberStore
from tenet.mesh.members import SPACE as MEMBERS
from tenet.pipes.api import SPACES_ABOUT_LOGS as SPACES_OF_PIPES
from tenet.pipes.api import pipe_behind
from tenet.store.copying import Copying, LeftOut, Progress, abort
from tenet.store.errors import CopyRefused, StoreUnavailable
from tenet.tables.api import SPACES_ABOUT_LOGS, indexes_behind, is_about_logs

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import Engine
    from tenet.store.guard import Guard

#: What is about who serves the source, and about its logs.
LEFT_OUT: Final = LeftOut(SPACES_ABOUT_LOGS | SPACES_OF_PIPES | {MEMBERS}, is_about_logs)
#: How long keepers of indexes may take to come to the ends of the logs, once nothing is added to them.
CATCH_UP_S: Final = 60.0
#: How long pipes may take to the same, seconds; nobody runs them where no server runs.
PIPES_S: Final = 10.0
#: So many looks in a row have to find the logs read to their ends. A look moves what waits into the logs first; where
#: another look does so at the same time, it may see less than there is.
LOOKS: Final = 3
#: How long a store that cannot be opened is tried again, and how often.
OPEN_S: Final = 180.0
_OPEN_AGAIN_S: Final = 1.0
_LOOK_S: Final = 0.05
_CALL_S: Final = 30.0

_log = structlog.get_logger(__name__)


class NoCopy(TenetError):
    """No copy was begun in this process."""

    code = "NoCopy"
    http_status = 404


class Mover:
    """Copies the store that this process has open, and says how far it is.

    Args:
        directory: says where the store is.
        guard: the store, as everything in this process writes to it.
        clock: time.
        ids: randomness.
        node: the id of this process in its cluster; empty where it is no node.
        owner: the node whose data directory this is, though no server of it runs; a server of it may end the claim of
            this process, should that be killed.
        quiet: keeps requests out while writes are about to be refused, where logs have to come to their ends.
    """

    def __init__(
        self,
        directory: DataDirectory,
        guard: Guard,
        *,
        clock: Clock,
        ids: Ids,
        node: str = "",
        owner: str = "",
        quiet: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        self._directory = directory
        self._guard = guard
        self._clock = clock
        self._ids = ids
        self._node = node
        self._owner = node or owner
        self._quiet = quiet
        self._named: CopyNamed
        self._progress = Progress()
        self._began_s = 0.0
        self._error: TenetError | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether a copy is being made."""
        return self._task is not None and not self._task.done()

    async def begin(self, named: CopyNamed) -> CopyShown:
        """Begins a copy, or resumes it; returns how far the one is that runs already, where it is the same.

        Raises:
            CopyRefused: it may not be made, or another one runs.
            StoreError: one of the stores cannot serve.
        """
        named = self._checked(named)
        if self.is_running:
            if named != self._named:
                raise CopyRefused(f"another copy is being made, to {self._named.target}")
            return self.shown()
        await self._check_alone()
        target = await self._open_target(named)
        copy = Copying(
            self._guard,
            target,
            (named.source, named.target),
            left_out=LEFT_OUT,
            clock=self._clock,
            ids=self._ids,
            node=self._owner,
            quiet=self._caught_up,
            step=self._step,
        )
        try:
            is_complete = await copy.begin()
            # Who begins to serve it from now on sees that it is copied; who has begun before is seen here.
            if not is_complete:
                await self._check_alone()
        except BaseException:
            await self._end(copy, target)
            raise
        self._named, self._progress, self._error = named, copy.progress, None
        self._began_s = self._clock.monotonic_s()
        self._task = asyncio.create_task(self._carry_out(copy, target, is_complete=is_complete))
        self._task.add_done_callback(self._note_fault)
        # A task that is cancelled before it has begun would not close what it was handed.
        await asyncio.sleep(0)
        return self.shown()

    async def _carry_out(self, copy: Copying, target: Engine, *, is_complete: bool) -> None:
        try:
            if not is_complete:
                await copy.follow()
                await copy.switch()
            _log.warning("the store was moved", target=self._named.target)
        except TenetError as error:
            self._error = error
            _log.error("the store was not moved", target=self._named.target, error=error.code, reason=error.message)
        finally:
            await self._end(copy, target)

    async def _end(self, copy: Copying, target: Engine) -> None:
        """Lets others write to the source again, unless it was moved; where that fails, the log says what helps."""
        try:
            await copy.leave_off()
        except TenetError as error:
            why = "the store is still claimed for its copy: start this server again, or repeat the command"
            _log.error(why, error=error.code, reason=error.message)
        self._guard.unfollow()
        await target.close()

    def _note_fault(self, task: asyncio.Task[None]) -> None:
        """Says of a copy that ended by a fault of our own, or was left off, that it did."""
        if task.cancelled():
            self._error = TenetError("it was left off; the same command resumes it")
        elif (fault := task.exception()) is not None:
            self._error = TenetError(f"a fault of Tenet's own: {fault!r}")
            _log.error("the store was not moved", target=self._named.target, exc_info=fault)

    def shown(self) -> CopyShown:
        """Returns how far the copy is that was begun last.

        Raises:
            NoCopy: none was.
        """
        if self._task is None:
            raise NoCopy("no copy was begun since the server was started")
        progress, error = self._progress, self._error
        state: Literal["running", "complete", "failed"] = "running" if error is None else "failed"
        if error is None and not self.is_running:
            state = "complete"
        return CopyShown(
            source=self._named.source,
            target=self._named.target,
            state=state,
            phase=progress.phase,
            space=progress.space,
            spaces=progress.spaces,
            spaces_done=progress.spaces_done,
            records=progress.records,
            value_bytes=progress.value_bytes,
            changed=progress.changed,
            left=progress.left,
            verified=progress.verified,
            elapsed_ms=round((self._clock.monotonic_s() - self._began_s) * 1000),
            code="" if error is None else error.code,
            message="" if error is None else error.message,
        )

    async def end(self, named: CopyNamed) -> None:
        """Gives a copy up, whether it runs, was interrupted or was switched to and not served since.

        Raises:
            CopyRefused: there is no such copy, or it has been served since.
        """
        named = self._checked(named)
        if self.is_running and named != self._named:
            raise CopyRefused(f"another copy is being made, to {self._named.target}")
        await self.close()
        target = await self._open_target(named)
        try:
            names = (named.source, named.target)
            await abort(self._guard.engine, target, names, clock=self._clock, ids=self._ids)
        finally:
            await target.close()
        self._guard.allow()
        self._task = None

    async def close(self) -> None:
        """Leaves off; what was copied stays, and the copy can be resumed."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,))

    # ---- what has to hold --------------------------------------------------------------------------------------------

    def _checked(self, named: CopyNamed) -> CopyNamed:
        """Returns the two names in their full form.

        Raises:
            CopyRefused: FROM is not the store that this process has open, or TO is the same.
        """
        own, source = full_name(self._directory), full_name(_directory_of(self._directory, named.source))
        target = full_name(_directory_of(self._directory, named.target))
        if source != own:
            raise CopyRefused(f"FROM is {source}, and the store of {self._directory.path} is {own}: name that one")
        if target == own:
            raise CopyRefused(f"FROM and TO are the same store, {own}")
        return CopyNamed(source, target)

    async def _open_target(self, named: CopyNamed) -> Engine:
        """Opens the copy; a cluster that makes a keyspace may need more than one try."""
        directory, until_s = _directory_of(self._directory, named.target), self._clock.monotonic_s() + OPEN_S
        while True:
            try:
                return await open_store(directory, clock=self._clock, ids=self._ids)
            except StoreUnavailable:
                if self._clock.monotonic_s() > until_s:
                    raise
            await asyncio.sleep(_OPEN_AGAIN_S)

    async def _step(self, name: str) -> None:
        if name in {"refuse writes", "mark the source as moved"}:
            await self._check_alone()

    async def _check_alone(self) -> None:
        """Finds out whether others serve the store, whose writes nobody here would notice.

        Raises:
            CopyRefused: they do.
        """
        store = self._guard.engine
        if not any(info.name == MEMBERS for info in await store.list_spaces(MEMBERS)):
            return
        members = MemberStore(store, clock=self._clock, ids=self._ids)
        view = await members.load(deadline=self._clock.monotonic_s() + _CALL_S)
        others = sorted(view.up - {self._node})
        if not others:
            return
        if self._node:
            raise CopyRefused(
                f"other nodes serve the store as well: stop all but this one; there is {', '.join(others)}"
            )
        raise CopyRefused(
            f"nodes serve the store, or were killed: {', '.join(others)}. Start one of them, stop the others, and"
            " repeat the command with the data directory of the one that runs"
        )

    @asynccontextmanager
    async def _caught_up(self) -> AsyncIterator[None]:
        """Brings about that nothing is in the logs that is not in the indexes too.

        Raises:
            CopyRefused: it does not come about.
        """
        async with self._quiet():
            until_s = self._clock.monotonic_s() + CATCH_UP_S
            looks = 0
            while looks < LOOKS:
                is_behind = await indexes_behind(self._guard.engine, clock=self._clock, ids=self._ids)
                looks = 0 if is_behind else looks + 1
                if is_behind and (not self._node or self._clock.monotonic_s() > until_s):
                    raise CopyRefused(
                        "global indexes are behind their tables: start a server on FROM, which brings them up to date,"
                        " and repeat the command while it runs"
                    )
                await asyncio.sleep(_LOOK_S if is_behind else 0)
            await self._pipes_caught_up()
            yield

    async def _pipes_caught_up(self) -> None:
        """Waits until pipes have taken all changes from the logs, which are not copied.

        Raises:
            CopyRefused: one does not get there.
        """
        until_s = self._clock.monotonic_s() + PIPES_S
        while pipe := await pipe_behind(self._guard.engine, clock=self._clock, ids=self._ids):
            if self._clock.monotonic_s() > until_s:
                raise CopyRefused(
                    f"the pipe {pipe} has changes that it has not delivered: let a server on FROM deliver them, or"
                    " delete the pipe, and repeat the command"
                )
            await asyncio.sleep(_LOOK_S)


def full_name(directory: DataDirectory) -> str:
    """Returns the URL of the store of a data directory, with its place, whatever directory a process works in."""
    engine, location = directory.engine_and_location
    return f"{engine}:{location if location.startswith('//') else Path(location).absolute()}"


def _directory_of(directory: DataDirectory, url: str) -> DataDirectory:
    """Returns the same data directory with another store."""
    settings = directory.settings
    store = msgspec.structs.replace(settings.store, url=url)
    return DataDirectory(msgspec.structs.replace(settings, store=store))
