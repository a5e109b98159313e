"""The window: the front of a queue is in memory, what lies behind it is not, and is read ahead of need.

While everything fits, messages go from their commit straight into memory. Once they do not, those that come later
stay in the store alone, and are read page by page when the line gets short. A message of a group of which nothing
lies behind the window is taken into memory at once all the same (*express*): it is behind nobody, so that a long
backlog of one group holds up no other one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

import structlog

from tenet.base.clock import NEVER
from tenet.queues import keys
from tenet.queues.ops.owning.items import IN_FLIGHT, Segment
from tenet.queues.rules import stored
from tenet.store.errors import StoreError

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.queues.ops.owning.items import Item
    from tenet.queues.ops.owning.state import State
    from tenet.store.contract import Record, Store

#: The window is full with so many messages that are ready, so many that are delayed, or so many bytes of either.
READY_MAX: Final = 20_000
DELAYED_MAX: Final = 100_000
WEIGHT_MAX: Final = 32 * 1024 * 1024
#: So many bytes of messages in flight are in memory as a whole; of the rest the bodies are not.
FLYING_WEIGHT_MAX: Final = 64 * 1024 * 1024
#: What the windows of all queues of a process may hold together, about bytes; beyond it each has as much as it needs.
ALL_WEIGHT_MAX: Final = 512 * 1024 * 1024
SMALL_WEIGHT_MAX: Final = 256 * 1024
#: With fewer ready ones than this, more are read.
READY_LOW: Final = 10_000
#: Where all groups of a FIFO queue that are in memory are blocked, more are read, up to so many messages.
BLOCKED_MAX: Final = 120_000
#: How much is read at a time: records, and bytes of them. A page is decoded in one go, in some 2 ms.
_PAGE_RECORDS: Final = 1_000
_PAGE_BYTES: Final = 512 * 1024
#: How many groups behind the window are told apart, and how many segments there may be in memory for single messages.
_GROUPS_MAX: Final = 50_000
_EXPRESS_SEGMENTS_MAX: Final = 20_000
#: How many segments behind the window may be remembered at all, those included that are gone: some 200 bytes each.
_BEYOND_MAX: Final = 200_000
#: How many messages of a group may wait in memory for the next one to be taken into it as well.
_EXPRESS_GROUP_MAX: Final = 64
#: How long it waits before it reads again after a failure, seconds; twice as long each time.
#: So many segments that are gone are remembered before they are looked through.
_BURIED_MAX: Final = 1_000
#: How many segments are read together for messages whose bodies are not in memory.
_BARE_SEGMENTS: Final = 16
_PAUSE_S_MIN: Final = 0.05
_PAUSE_S_MAX: Final = 2.0
#: How long a queue that is taken over waits for its window, seconds.
_FILL_S: Final = 2.0

_log = structlog.get_logger(__name__)


class Budget:
    """How much the windows of all queues of a process hold."""

    __slots__ = ("weight",)

    def __init__(self) -> None:
        self.weight = 0

    @property
    def is_used_up(self) -> bool:
        """Whether they hold as much as they may."""
        return self.weight >= ALL_WEIGHT_MAX


class Window:
    """What of a queue is in memory.

    Args:
        store: where the rest is.
        state: of the queue.
        budget: shared with all queues.
        clock: time.
        on_read: called when messages were read.
        on_expired: called with messages that were found to be older than the queue keeps them.
    """

    def __init__(
        self,
        store: Store,
        state: State,
        budget: Budget,
        *,
        clock: Clock,
        on_read: Callable[[], None],
        on_expired: Callable[[Sequence[Item]], None],
    ) -> None:
        self._store = store
        self._state = state
        self._budget = budget
        #: What of the budget is this queue's.
        self._weight = 0
        self._clock = clock
        self._on_read = on_read
        self._on_expired = on_expired
        self._task: asyncio.Task[None] | None = None
        #: Whether it reads no more: it was closed, or a bug of ours keeps it from reading.
        self._is_stuck = False
        #: Where the window ends: what was sent with this number or a larger one is not in memory, but for express.
        self.end = state.working.first
        #: How many messages of each group lie behind the window; None: nobody knows.
        self._groups: dict[str, int] | None = {} if not state.working.live else None
        #: How many messages behind it are delayed, by the second at whose end they are visible at the latest. What a
        #: former owner has left is not known before it is read.
        self._delayed: dict[int, int] = {}

    def place(self, segments: Sequence[tuple[Segment, list[stored.Message]]], now_ms: int) -> None:
        """Takes up segments that were just committed: into memory if there is room, else behind the window.

        Args:
            segments: in their order, counted in ``Working.live`` already.
            now_ms: milliseconds since 1970-01-01 UTC.
        """
        working = self._state.working
        count = sum(len(messages) for _, messages in segments)
        if working.unread == count and self._has_room():
            self._close_up()
            for segment, messages in segments:
                working.reach(segment)
                working.arrive(messages, segment, now_ms)
            last = segments[-1][0]
            self.end = last.first + last.count
            self._know_all()
            return
        if working.buried > _BURIED_MAX and not working.readers:
            working.forget_gone()
        for segment, messages in segments:
            self._place_behind(segment, messages, now_ms)
        self.read_ahead()

    def _close_up(self) -> None:
        """Has the window reach over what lay behind it, where all of that is in memory or gone."""
        working = self._state.working
        if working.beyond:
            for first in sorted(working.beyond):
                if not working.beyond[first].is_gone:
                    working.reach(working.beyond[first])
            working.beyond = {}
            working.buried = 0

    def _has_room(self) -> bool:
        working = self._state.working
        return working.ready < READY_MAX and working.delayed < DELAYED_MAX and self._is_light()

    @property
    def first(self) -> int:
        """A number below which every message is gone, durably."""
        front = self._state.working.front
        return self.end if front is None else front.first

    def weigh(self) -> None:
        """Tells the budget how much this queue holds."""
        working = self._state.working
        weight = working.waiting_weight + working.flying_weight
        self._budget.weight += weight - self._weight
        self._weight = weight

    def _is_light(self) -> bool:
        """Whether its messages may take more memory."""
        self.weigh()
        return self._state.working.waiting_weight < (SMALL_WEIGHT_MAX if self._budget.is_used_up else WEIGHT_MAX)

    def strip(self, items: Sequence[Item]) -> None:
        """Keeps bodies of messages that were given to a consumer in the store alone, if there are too many."""
        working = self._state.working
        if working.flying_weight > SMALL_WEIGHT_MAX:
            self.weigh()
            working.strip(items, SMALL_WEIGHT_MAX if self._budget.is_used_up else FLYING_WEIGHT_MAX)

    def _place_behind(self, segment: Segment, messages: list[stored.Message], now_ms: int) -> None:
        working, groups = self._state.working, self._groups
        is_express = False
        has_room = (
            groups is not None
            and len(working.beyond) - working.buried < _EXPRESS_SEGMENTS_MAX
            and len(working.beyond) < _BEYOND_MAX
            and working.ready < 2 * READY_MAX
            and working.waiting_weight < 2 * WEIGHT_MAX
            and not self._budget.is_used_up
        )
        for message in messages:
            if has_room and self._is_express(message, now_ms):
                is_express = True
                # In memory before the next one of its group is looked at.
                working.arrive((message,), segment, now_ms)
            else:
                self._count(message, now_ms)
        if is_express:
            working.beyond[segment.first] = segment
        if groups is not None and len(groups) > _GROUPS_MAX:
            self._groups = None

    def _is_express(self, message: stored.Message, now_ms: int) -> bool:
        """Whether a message passes those behind the window."""
        working, group = self._state.working, message.group
        is_first = bool(group) and self._groups is not None and group not in self._groups
        if is_first and working.line.waiting(group) < _EXPRESS_GROUP_MAX:
            return True
        # Where the window is full of delayed messages, those that are not delayed do not wait for them.
        return not working.is_fifo and working.delayed >= DELAYED_MAX and message.visible_ms <= now_ms

    def _count(self, message: stored.Message, now_ms: int) -> None:
        """Notes that a message lies behind the window."""
        if self._groups is not None:
            self._groups[message.group] = self._groups.get(message.group, 0) + 1
        if message.visible_ms > now_ms:
            at_s = _second(message.visible_ms)
            self._delayed[at_s] = self._delayed.get(at_s, 0) + 1

    def delayed(self, now_ms: int) -> int:
        """Returns how many messages behind the window are delayed, of those that were sent to this owner.

        They count until the second ends in which they become visible, so that there are 900 counts at the most.
        """
        delayed = self._delayed
        if not delayed:
            return 0
        for at_s in [at_s for at_s in delayed if at_s * 1000 <= now_ms]:
            del delayed[at_s]
        return sum(delayed.values())

    def take_in(self, segment: Segment, message: stored.Message, now_ms: int) -> Item | None:
        """Takes a message of a standard queue into memory that lies behind the window; None: it is gone by now.

        Args:
            segment: where it is stored, as it was read.
            message: as it was read, while nothing was forgotten (``Working.readers``).
            now_ms: milliseconds since 1970-01-01 UTC.
        """
        working = self._state.working
        segment = working.beyond.setdefault(segment.first, segment)
        if segment.gone >> (message.sequence - segment.first) & 1:
            return None
        (item,) = working.arrive((message,), segment, now_ms)
        self._uncount((message,))
        return item

    def restart(self, end: int) -> None:
        """Takes up that nothing is left below a number, and nothing above it either."""
        self.end = end
        self._know_all()

    def _know_all(self) -> None:
        """Takes up that nothing lies behind the window."""
        self._groups = {}
        self._delayed.clear()

    # ---- reading -----------------------------------------------------------------------------------------------------

    @property
    def is_reading(self) -> bool:
        """Whether messages are on their way into memory."""
        return self._task is not None

    def read_ahead(self) -> None:
        """Begins to read if there is something to read and the line is getting short."""
        if self._task is None and not self._is_stuck and self._is_needed():
            self._task = asyncio.get_running_loop().create_task(self._read())

    def close(self) -> None:
        """Stops reading, and leaves the budget to others."""
        self._is_stuck = True
        self._budget.weight -= self._weight
        self._weight = 0
        if self._task is not None:
            self._task.cancel()

    async def closed(self) -> None:
        """Waits until nothing is read any more."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def _is_needed(self) -> bool:
        working = self._state.working
        if working.bare:
            # Where a group waits for them, nothing may be taken from memory until they are there.
            return self._is_light() or not working.line.has_turn
        return (
            (working.ready < READY_LOW or (working.ready < BLOCKED_MAX and not working.line.has_turn))
            and working.unread > 0
            and working.delayed < DELAYED_MAX
            and self._is_light()
        )

    async def _read(self) -> None:
        pause_s = _PAUSE_S_MIN
        try:
            while self._is_needed():
                if await self._try_to_read():
                    pause_s = _PAUSE_S_MIN
                    self._on_read()
                else:
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _PAUSE_S_MAX)
        except asyncio.CancelledError:
            # Whoever ends it wants no other one to begin.
            self._is_stuck = True
            raise
        except Exception:  # noqa: BLE001 - whatever it is, those who wait are not to hang on it
            self._is_stuck = True
            _log.exception("the backlog of a queue cannot be read")
        finally:
            self._task = None
            self._on_read()

    async def _try_to_read(self) -> bool:
        """Reads the next page; returns False where the store could not serve."""
        working = self._state.working
        working.readers += 1
        try:
            if working.bare:
                await self._read_bare()
            else:
                await self._read_page()
        except StoreError as error:
            if not error.retryable:
                _log.warning("the backlog of a queue cannot be read for now", reason=error.message)
            return False
        finally:
            working.readers -= 1
        return True

    async def filled(self) -> None:
        """Waits until as much is in memory as there is room for, or a while."""
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=_FILL_S)

    async def _read_bare(self) -> None:
        """Reads the bodies of messages whose time has come."""
        state, bare = self._state, self._state.working.bare
        items: dict[int, list[Item]] = {}
        while bare and len(items) < _BARE_SEGMENTS:
            item = bare.popleft()
            if item.is_bare and item.state == IN_FLIGHT:
                items.setdefault(item.segment.first, []).append(item)
        wanted = [keys.numbered_key(state.queue.id, keys.SEGMENT, first) for first in items]
        try:
            records = await self._store.get(wanted, deadline=NEVER)
        except StoreError:
            for group in items.values():
                bare.extend(group)
            raise
        now_ms = self._clock.wall_ms()
        for record in records:
            if record is None:
                # It was purged meanwhile.
                continue
            messages = stored.decode_segment(record.value)
            first = messages[0].sequence
            for item in items[first]:
                state.working.clothe(item, messages[item.message.sequence - first], now_ms)

    async def _read_page(self) -> None:
        """Reads the next segments, and which of their messages are gone."""
        state, working = self._state, self._state.working
        end, behind = self.end, working.next
        page = await self._store.query(
            keys.MESSAGES_SPACE,
            state.queue.id,
            keys.numbers_of(keys.SEGMENT, end, behind),
            limit=_PAGE_RECORDS,
            limit_bytes=_PAGE_BYTES,
            deadline=NEVER,
        )
        gone: dict[int, int] = {}
        if page.records:
            last = keys.number_of(page.records[-1].sort)
            gone = await read_gone(self._store, state.queue.id, end, last + 1)
        if self.end != end or working.first > end:
            # The queue was purged meanwhile.
            self.end = max(self.end, working.first)
            return
        for record in page.records:
            self._take_up(record, gone)
        if not page.more:
            self._pass_over(behind)
        if working.buried > (_BURIED_MAX if page.more else 0):
            working.forget_buried(self.end)

    def _take_up(self, record: Record, gone: dict[int, int]) -> None:
        working = self._state.working
        messages = stored.decode_segment(record.value)
        first = messages[0].sequence
        last_sent_ms = max(message.sent_ms for message in messages)
        segment = working.beyond.pop(first, None)
        if segment is None:
            segment = Segment(first, len(messages), last_sent_ms, gone.get(first, 0))
        if segment.gone:
            working.lose(message.sequence for message in messages if segment.gone >> message.sequence - first & 1)
        items = working.items
        fresh = [
            message
            for message in messages
            if message.sequence not in items and not segment.gone >> (message.sequence - first) & 1
        ]
        if not segment.is_gone:
            working.reach(segment)
        self.end = first + len(messages)
        now_ms = self._clock.wall_ms()
        arrived = working.arrive(fresh, segment, now_ms)
        self._uncount(fresh)
        oldest_ms = now_ms - self._state.queue.settings.retention_s * 1000
        if arrived and min(message.sent_ms for message in fresh) <= oldest_ms:
            self._on_expired([item for item in arrived if item.message.sent_ms <= oldest_ms])

    def _uncount(self, messages: Iterable[stored.Message]) -> None:
        """Notes that messages do not lie behind the window any more."""
        delayed, groups = self._delayed, self._groups
        if delayed:
            for message in messages:
                at_s = _second(message.visible_ms)
                if delayed.get(at_s, 0) > 0:
                    delayed[at_s] -= 1
        if groups is None:
            return
        for message in messages:
            left = groups.get(message.group, 0) - 1
            if left > 0:
                groups[message.group] = left
            else:
                groups.pop(message.group, None)

    def _pass_over(self, behind: int) -> None:
        """Takes up that there is nothing more below a number: what was not found is gone."""
        working = self._state.working
        self.end = max(self.end, behind)
        if self.end >= working.next:
            working.lose(list(working.found))
            self._know_all()
            if working.unread:
                _log.warning("a queue held fewer messages than its head said", missing=working.unread)
                working.live = len(working.items)


def _second(visible_ms: int) -> int:
    return -(-visible_ms // 1000)


async def read_gone(store: Store, queue_id: bytes, lower: int, upper: int) -> dict[int, int]:
    """Returns which messages of some segments are gone, by the segments' first numbers.

    Args:
        store: where it is stored.
        queue_id: of the queue.
        lower: the first number of the first segment.
        upper: a number behind that of the last one.
    """
    gone: dict[int, int] = {}
    within = keys.numbers_of(keys.GONE, lower, upper)
    while True:
        page = await store.query(
            keys.MESSAGES_SPACE, queue_id, within, limit=_PAGE_RECORDS, limit_bytes=_PAGE_BYTES, deadline=NEVER
        )
        for record in page.records:
            gone[keys.number_of(record.sort)] = stored.decode_gone(record.value)
        if not page.more:
            return gone
        within = keys.numbers_of(keys.GONE, keys.number_of(page.records[-1].sort) + 1, upper)
