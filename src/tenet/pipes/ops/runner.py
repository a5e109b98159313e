"""Runs a pipe as far as one shard of its table's log goes.

It takes changes from the log, in their order; lets the filters decide; sends what passes; and only when the queue has
acknowledged all of it moves its cursor, and begins with the next ones. So a change is delivered at least once, and none
of an item overtakes an earlier one. Whoever comes next, after a kill or on another node, begins at the cursor: what was
sent and not noted is sent again, with the same deduplication ids.

What the queue refuses stays in front, and is tried again, less and less often; the cursor says why. It is discarded
when the pipe says so (``MaximumRetryAttempts``, ``MaximumRecordAgeInSeconds``) or when it is older than
``RECORD_S_MAX``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog
from msgspec import Struct

from tenet.base.errors import TenetError
from tenet.pipes.model import Cursor
from tenet.pipes.ops.cursors import Superseded
from tenet.pipes.ops.sending import Refused
from tenet.pipes.rules.paths import NothingThere
from tenet.pipes.rules.patterns import compile_pattern
from tenet.pipes.rules.records import addressed, outgoing
from tenet.store.errors import LogTrimmed, SpaceNotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.base.clock import Clock
    from tenet.pipes.model import Pipe
    from tenet.pipes.ops.cursors import Cursors
    from tenet.pipes.ops.sending import Sender
    from tenet.pipes.rules.patterns import Test
    from tenet.pipes.rules.records import Outgoing
    from tenet.store.contract import Version
    from tenet.tables.api import Change, Following

#: No change is kept for longer, seconds: as long as a stream of DynamoDB keeps its records.
RECORD_S_MAX: Final = 86_400
#: The most changes that are taken from the log at a time, whatever BatchSize says.
PAGE_MAX: Final = 1_000
#: How often the log is told how far a pipe is while more comes, seconds; that costs some engines commits.
_GIVE_BACK_S: Final = 1.0
#: A log that had nothing is read again after twice as long each time, up to this; then when somebody rings.
_QUIET_S_MIN: Final = 0.02
_QUIET_S_MAX: Final = 1.0
_RETRY_S_MIN: Final = 0.1
_RETRY_S_MAX: Final = 30.0
#: How long a runner rests that another one has taken the place of, or whose table is gone, seconds.
_STAND_BY_S: Final = 2.0
_STOPPED_S: Final = 60.0
#: After so many changes others have a turn of the loop.
_TURN: Final = 32
_GONE: Final = "The table was deleted."

_log = structlog.get_logger(__name__)


#: Is told of a pipe, by its ARN, what happened to it.
Notify: TypeAlias = Callable[[str, str], None]


def nobody(_arn: str, _words: str) -> None:
    """Is told, and tells nobody."""


class Tools(Struct, frozen=True):
    """What all runners of a process work with.

    Args:
        following: reads changes of tables.
        cursors: how far pipes are.
        sender: sends records.
        clock: time.
        notify: called with a pipe's ARN and a sentence when it stops getting on, gets on again, or gives records up.
    """

    following: Following
    cursors: Cursors
    sender: Sender
    clock: Clock
    notify: Notify = nobody


class Tally(Struct):
    """What a runner has done since it was made, in records."""

    sent: int = 0
    filtered: int = 0
    failed: int = 0
    discarded: int = 0
    reduced: int = 0


class Runner:
    """Runs a pipe as far as one shard goes.

    Args:
        pipe: the pipe; may be replaced by a newer description.
        shard: of the table's log.
        tools: what it works with.
    """

    def __init__(self, pipe: Pipe, shard: int, tools: Tools) -> None:
        self.pipe = pipe
        self.shard = shard
        self.tally = Tally()
        #: Changes that were taken from the log and are not done, the oldest first.
        self.pending: list[Change] = []
        self._tools = tools
        self._cursor = Cursor()
        self._version: Version | None = None
        self._given_back = -1
        self._given_back_s = 0.0
        self._quiet_s = _QUIET_S_MIN
        self._attempts = 0
        self._bell = asyncio.Event()
        self._filters: tuple[tuple[str, ...], list[Test]] = ((), [])

    @property
    def lag_ms(self) -> int:
        """How old the oldest change is that was taken from the log and is not done, milliseconds; 0 for none."""
        return max(0, self._tools.clock.wall_ms() - self.pending[0].at_ms) if self.pending else 0

    def ring(self, *, is_hint: bool) -> None:
        """Has it read the log, and look at its description.

        Args:
            is_hint: whether somebody has written, so that it is worth looking again if there is nothing yet.
        """
        if is_hint:
            self._quiet_s = _QUIET_S_MIN
        self._bell.set()

    async def run(self) -> None:
        """Runs until it is cancelled."""
        pause_s = _RETRY_S_MIN
        while True:
            try:
                await self._begin()
                while True:
                    await self._go_on()
                    pause_s = _RETRY_S_MIN
            except Superseded:
                _log.info("another process runs the pipe", pipe=self.pipe.arn, shard=self.shard)
                await asyncio.sleep(_STAND_BY_S)
            except SpaceNotFound:
                await self._say(_GONE)
                await asyncio.sleep(_STOPPED_S)
            except LogTrimmed as error:
                self._report("changes are lost: the log does not have them any more", error)
                self._tools.notify(self.pipe.arn, f"Changes of shard {self.shard} are lost: {error.message}")
                await self._skip_to(error.first - 1)
            except TenetError as error:
                self._report("a pipe does not get on and will be tried again", error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _RETRY_S_MAX)

    def _report(self, words: str, error: TenetError) -> None:
        _log.warning(words, pipe=self.pipe.arn, shard=self.shard, error=error.code, reason=error.message)

    # ---- the cursor --------------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Finds out how far the pipe is."""
        cursor, version = await self._tools.cursors.read(self.pipe.id, self.shard)
        self.pending, self._attempts = [], 0
        if cursor is None:
            # The store was moved, and the log with its positions was not.
            cursor = await self._first_cursor()
            version = await self._tools.cursors.write(self.pipe.id, self.shard, cursor, None)
        self._cursor, self._version = cursor, version
        self._given_back = -1

    async def _first_cursor(self) -> Cursor:
        try:
            page = await self._tools.following.changes(
                self.pipe.source, self.shard, after=0, limit=1, reader=self.pipe.reader
            )
        except LogTrimmed as error:
            return Cursor(error.first - 1)
        return Cursor(page.first - 1)

    async def _move(self, cursor: Cursor) -> None:
        if cursor == self._cursor:
            return
        self._version = await self._tools.cursors.write(self.pipe.id, self.shard, cursor, self._version)
        self._cursor = cursor

    async def _skip_to(self, position: int) -> None:
        """Goes on behind what is lost."""
        try:
            await self._move(Cursor(position))
        except (Superseded, TenetError):
            await asyncio.sleep(_RETRY_S_MIN)

    async def _say(self, reason: str) -> None:
        """Notes why the pipe does not get on, or that it does, where that is new."""
        reason = reason[:512]
        if reason == self._cursor.reason:
            return
        since_ms = self._tools.clock.wall_ms() if reason else 0
        try:
            await self._move(Cursor(self._cursor.position, reason, self._cursor.since_ms or since_ms))
        except (Superseded, TenetError) as error:
            _log.info("why a pipe does not get on is not noted", pipe=self.pipe.arn, error=repr(error))
        if reason:
            _log.warning("a pipe does not get on", pipe=self.pipe.arn, shard=self.shard, reason=reason)
        self._tools.notify(self.pipe.arn, reason or "It gets on again.")

    # ---- the log -----------------------------------------------------------------------------------------------------

    async def _go_on(self) -> None:
        """Does what was taken from the log, and where that is done takes more, or waits for it."""
        if not self.pending:
            await self._take()
        if not self.pipe.is_wanted:
            await self._stand_still()
        elif self.pending:
            await self._deliver()
        else:
            await self._idle()

    async def _stand_still(self) -> None:
        """Delivers nothing for a while, unless that changes; what gets too old in the log goes all the same."""
        await self._drop_old(RECORD_S_MAX)
        self.pending, self._attempts = [], 0
        until_s = self._tools.clock.monotonic_s() + _STOPPED_S
        while not self.pipe.is_wanted and (left_s := until_s - self._tools.clock.monotonic_s()) > 0:
            await self._rung(left_s)

    async def _take(self) -> None:
        """Takes changes from the log; tells it now and then what is done."""
        position, now_s = self._cursor.position, self._tools.clock.monotonic_s()
        is_due = self._quiet_s > _QUIET_S_MIN or now_s - self._given_back_s >= _GIVE_BACK_S
        gives_back = position != self._given_back and is_due
        page = await self._tools.following.changes(
            self.pipe.source,
            self.shard,
            after=position,
            limit=min(self.pipe.batch_size, PAGE_MAX),
            reader=self.pipe.reader if gives_back else None,
        )
        if gives_back:
            self._given_back, self._given_back_s = position, now_s
        self.pending = list(page.changes)

    async def _idle(self) -> None:
        """Waits for more: for a moment, then twice as long each time, and in the end for somebody who rings."""
        is_last = self._quiet_s > _QUIET_S_MAX and self._given_back == self._cursor.position
        if not await self._rung(None if is_last else self._quiet_s):
            self._quiet_s *= 2

    async def _rung(self, timeout_s: float | None) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._bell.wait()
        except TimeoutError:
            return False
        self._bell.clear()
        return True

    # ---- delivering --------------------------------------------------------------------------------------------------

    async def _deliver(self) -> None:
        """Sends what was taken from the log, as far as the queue takes it."""
        self._quiet_s = _QUIET_S_MIN
        age_s = RECORD_S_MAX if self.pipe.age_s_max < 0 else min(self.pipe.age_s_max, RECORD_S_MAX)
        await self._drop_old(age_s)
        # What was refused goes alone, so that what follows it is not sent again each time.
        taken = self.pending[:1] if self._attempts else self.pending[:]
        wanted, refused = await self._prepared(taken)
        sendable = wanted if refused is None else wanted[: refused.at]
        refused = await self._tools.sender.send(self.pipe, sendable) or refused
        if refused is not None:
            await self._refused(wanted, refused)
            return
        self.tally.sent += len(wanted)
        self.tally.filtered += len(taken) - len(wanted)
        await self._done(len(taken))

    async def _prepared(self, taken: Sequence[Change]) -> tuple[list[Outgoing], Refused | None]:
        """Returns the records that pass the filters, up to the first that has no group or deduplication id."""
        tests = self._tests()
        wanted: list[Outgoing] = []
        for number, change in enumerate(taken, 1):
            one = outgoing(self.pipe, self.shard, change)
            if not tests or any(test(one.record) for test in tests):
                try:
                    wanted.append(addressed(self.pipe, one))
                except NothingThere as error:
                    wanted.append(one)
                    return wanted, Refused(len(wanted) - 1, "NothingThere", str(error))
            if number % _TURN == 0:
                await asyncio.sleep(0)
        return wanted, None

    def _tests(self) -> Sequence[Test]:
        if self._filters[0] != self.pipe.filters:
            self._filters = (self.pipe.filters, [compile_pattern(text) for text in self.pipe.filters])
        return self._filters[1]

    async def _done(self, count: int) -> None:
        """Notes that so many changes are done, and that the pipe gets on."""
        if not count:
            return
        position = self.pending[count - 1].position
        if self._cursor.reason:
            _log.info("a pipe gets on again", pipe=self.pipe.arn, shard=self.shard)
            self._tools.notify(self.pipe.arn, "It gets on again.")
        await self._move(Cursor(position))
        del self.pending[:count]
        self._attempts = 0

    async def _refused(self, wanted: list[Outgoing], refused: Refused) -> None:
        """Notes what was sent, and does with the record that was refused what can be done."""
        culprit = wanted[refused.at]
        before = self.pending.index(culprit.change)
        if before:
            self.tally.sent += refused.at
            self.tally.filtered += before - refused.at
            await self._done(before)
        if refused.is_too_large and culprit.change.has_images and await self._send_keys(culprit):
            return
        self._attempts += 1
        self.tally.failed += 1
        if 0 <= self.pipe.retries_max < self._attempts:
            await self._discard(1, f"the queue refused it: {refused.message or refused.code}")
            return
        await self._say(f"{refused.code}: {refused.message} (record {self._name_of(culprit.change)})")
        await self._rung(min(_RETRY_S_MIN * 2 ** min(self._attempts, 12), _RETRY_S_MAX))

    async def _send_keys(self, culprit: Outgoing) -> bool:
        """Tells a change by its keys alone, because its images are larger than the queue takes; returns whether."""
        smaller = addressed_or_none(self.pipe, outgoing(self.pipe, self.shard, culprit.change, with_images=False))
        if smaller is None or await self._tools.sender.send(self.pipe, (smaller,)) is not None:
            return False
        _log.warning("a record is told by its keys alone: it is larger than its queue takes", pipe=self.pipe.arn)
        self.tally.sent += 1
        self.tally.reduced += 1
        await self._done(1)
        return True

    async def _drop_old(self, age_s: int) -> None:
        """Discards what is older than it may be."""
        before_ms = self._tools.clock.wall_ms() - age_s * 1000
        count = 0
        while count < len(self.pending) and self.pending[count].at_ms < before_ms:
            count += 1
        if count:
            await self._discard(count, f"it is older than {age_s} seconds")

    async def _discard(self, count: int, why: str) -> None:
        first = self._name_of(self.pending[0])
        words = f"{count} of its records were discarded, from {first} on, because {why}"
        _log.error("records of a pipe were discarded", pipe=self.pipe.arn, shard=self.shard, count=count, why=why)
        self.tally.discarded += count
        await self._done(count)
        self._tools.notify(self.pipe.arn, words)

    def _name_of(self, change: Change) -> str:
        return f"{self.shard}/{change.position}"


def addressed_or_none(pipe: Pipe, one: Outgoing) -> Outgoing | None:
    """Returns a message with its group and its deduplication id, or None where a path leads to nothing in it."""
    try:
        return addressed(pipe, one)
    except NothingThere:
        return None
