"""The pipes of this process: which are its own, who runs them, and who carries them from one phase to the next.

All pipes of a table belong to one process at a time (``mesh.shares``), which also begins and ends them: so of those who
follow a table one at a time comes or goes. An operation commits what is wanted and nothing else; whatever dies in
between is found in the catalog, by any process, and every step can be done twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from tenet.base.errors import TenetError
from tenet.pipes.model import Cursor
from tenet.pipes.ops.cursors import Superseded
from tenet.pipes.ops.runner import Runner, Tally
from tenet.store.errors import LogTrimmed, SpaceNotFound
from tenet.tables.api import TablesError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.mesh.shares import Assignment
    from tenet.pipes.model import Phase, Pipe
    from tenet.pipes.ops.catalog import Catalog
    from tenet.pipes.ops.runner import Tools

#: How often the catalog is looked through where no hint came, and how soon after something failed, seconds.
LOOK_S: Final = 10.0
_AGAIN_S: Final = 1.0
#: A log that nobody hints at is looked at every two seconds, or less often: all of them together so often a second.
_POLL_S: Final = 2.0
_POLLS_PER_S: Final = 50
_PREFIX: Final = "pipes/"

_log = structlog.get_logger(__name__)


class _Working:
    """A runner at work."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.task = asyncio.get_running_loop().create_task(runner.run())

    async def end(self) -> None:
        """Ends it; what it has not noted is done again by whoever comes next."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def report(self) -> None:
        """Says why it ended, where that was a fault of its own."""
        if not self.task.cancelled() and self.task.exception() is not None:
            _log.error("a runner of a pipe failed", pipe=self.runner.pipe.arn, exc_info=self.task.exception())


class Runners:
    """The runners of this process.

    Args:
        catalog: where pipes are found.
        tools: what runners work with.
        assignment: what is this process's.
    """

    def __init__(self, catalog: Catalog, tools: Tools, assignment: Assignment) -> None:
        self._catalog = catalog
        self._tools = tools
        self._assignment = assignment
        #: By id of the pipe and shard.
        self._working: dict[tuple[str, int], _Working] = {}
        #: By TableId: who wakes the runners of its pipes.
        self._ringing: dict[str, asyncio.Task[None]] = {}
        self._of_table: dict[str, list[Runner]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()

    def open(self) -> None:
        """Begins to run pipes in the background."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._tend()), loop.create_task(self._listen())]

    async def close(self) -> None:
        """Ends all runners."""
        for task in (*self._tasks, *self._ringing.values()):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._ringing.values(), return_exceptions=True)
        await asyncio.gather(*(working.end() for working in self._working.values()))
        self._working.clear()
        self._ringing.clear()

    def look_again(self) -> None:
        """Says that pipes have come, gone or changed, or that other ones are this process's."""
        self._wake.set()

    def running(self) -> Sequence[Runner]:
        """Returns the runners that there are."""
        return [working.runner for working in self._working.values()]

    # ---- which there are ---------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        watch = self._catalog.watch()
        try:
            while True:
                if await watch.wait(LOOK_S):
                    self._wake.set()
        finally:
            watch.close()

    async def _tend(self) -> None:
        while True:
            self._wake.clear()
            wait_s = LOOK_S
            try:
                if not await self._look():
                    wait_s = _AGAIN_S
            except TenetError as error:
                _log.warning("pipes are not looked after for now", error=error.code, reason=error.message)
                wait_s = _AGAIN_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def _look(self) -> bool:
        """Sees to it that those pipes run that are to, and carries those on that are on their way; returns whether."""
        pipes = [one for one in await self._catalog.everything() if self._assignment.owns(_PREFIX + one.source.id)]
        wanted = {(pipe.id, shard): pipe for pipe in pipes if pipe.phase == "ACTIVE" for shard in _shards(pipe)}
        for place in [place for place in self._working if place not in wanted]:
            await self._working.pop(place).end()
        for place, pipe in wanted.items():
            self._run(place, pipe)
        self._ring_for({pipe.source.id: pipe for pipe in wanted.values()})
        return all([await self._carry(pipe) for pipe in pipes if pipe.phase in {"CREATING", "DELETING"}])

    def _run(self, place: tuple[str, int], pipe: Pipe) -> None:
        working = self._working.get(place)
        if working is not None and not working.task.done():
            if working.runner.pipe.revision != pipe.revision:
                working.runner.pipe = pipe
                working.runner.ring(is_hint=True)
            return
        runner = Runner(pipe, place[1], self._tools)
        if working is not None:
            working.report()
            runner.tally = working.runner.tally
        self._working[place] = _Working(runner)

    # ---- phases ------------------------------------------------------------------------------------------------------

    async def _carry(self, pipe: Pipe) -> bool:
        """Carries a pipe on, and returns whether it has come to the end of its phase; else it is tried again."""
        try:
            if pipe.phase == "CREATING":
                await self._begin(pipe)
            else:
                await self._end(pipe)
        except Superseded:
            # Another process does the same.
            return False
        except TenetError as error:
            if pipe.phase == "CREATING" and isinstance(error, TablesError | SpaceNotFound):
                await self._become(pipe, "FAILED", error.message)
                return True
            _log.warning("a pipe waits for its next phase", pipe=pipe.arn, error=error.code, reason=error.message)
            return False
        return True

    async def _begin(self, pipe: Pipe) -> None:
        """Follows the table from now on, notes from where, and lets the pipe run."""
        tools = self._tools
        await tools.following.follow(pipe.source, pipe.reader)
        for shard in _shards(pipe):
            cursor, _ = await tools.cursors.read(pipe.id, shard)
            if cursor is None:
                await tools.cursors.write(pipe.id, shard, Cursor(await self._start_of(pipe, shard)), None)
        await self._become(pipe, "ACTIVE")

    async def _start_of(self, pipe: Pipe, shard: int) -> int:
        """Returns the position behind which a pipe begins."""
        after = 0
        while True:
            try:
                page = await self._tools.following.changes(pipe.source, shard, after=after, limit=1)
            except LogTrimmed as error:
                after = error.first - 1
                continue
            return page.closed if pipe.starting == "LATEST" else page.first - 1

    async def _end(self, pipe: Pipe) -> None:
        """Removes what there is of a pipe, the record last."""
        await self._tools.following.unfollow(pipe.source, pipe.reader)
        await self._tools.cursors.discard(pipe.id)
        await self._catalog.change(
            pipe.account, pipe.name, lambda now: now if now is None or now.id != pipe.id else None
        )

    async def _become(self, pipe: Pipe, phase: Phase, reason: str = "") -> None:
        def decide(now: Pipe | None) -> Pipe | None:
            if now is None or now.id != pipe.id or now.phase != pipe.phase:
                return now
            return msgspec.structs.replace(now, phase=phase, reason=reason)

        await self._catalog.change(pipe.account, pipe.name, decide)
        self._wake.set()

    # ---- hints -------------------------------------------------------------------------------------------------------

    def _ring_for(self, pipes: dict[str, Pipe]) -> None:
        """Sees to it that the runners of these tables are woken, and nobody else."""
        self._of_table = {}
        for working in self._working.values():
            self._of_table.setdefault(working.runner.pipe.source.id, []).append(working.runner)
        for table_id in [one for one in self._ringing if one not in pipes]:
            self._ringing.pop(table_id).cancel()
        for table_id, pipe in pipes.items():
            if table_id not in self._ringing:
                self._ringing[table_id] = asyncio.get_running_loop().create_task(self._ring(pipe))

    async def _ring(self, pipe: Pipe) -> None:
        """Wakes the runners of a table: at once when somebody has written, and now and then as hints may be lost."""
        watch = self._tools.following.watch(pipe.source)
        try:
            while True:
                is_hint = await watch.wait(max(_POLL_S, len(self._working) / _POLLS_PER_S))
                for runner in self._of_table.get(pipe.source.id, ()):
                    runner.ring(is_hint=is_hint)
        finally:
            watch.close()


def _shards(pipe: Pipe) -> range:
    return range(pipe.source.shards)


def tally_of(runners: Sequence[Runner]) -> Tally:
    """Returns what several runners have done together."""
    total = Tally()
    for runner in runners:
        for name in Tally.__struct_fields__:
            setattr(total, name, getattr(total, name) + getattr(runner.tally, name))
    return total
