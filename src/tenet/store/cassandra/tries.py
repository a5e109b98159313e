"""The tries of a statement: through a replica of its key first, then through other nodes, and what errors say of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from acsylla import errors

from tenet.base.clock import NEVER
from tenet.store.cassandra.nodes import PROBE_S, Nodes, is_only, only
from tenet.store.cassandra.patience import Patience
from tenet.store.cassandra.waits import Waits
from tenet.store.errors import DeadlineExceeded, StoreCorrupt, StoreError, StoreFault, StoreSlow, StoreUnavailable

if TYPE_CHECKING:
    from tenet.base.clock import Clock

#: Sends a statement by a profile, and gives its answer; the second is how long that may take, seconds.
Send: TypeAlias = Callable[[str, float], Awaitable[Any]]

#: The shortest and the longest that one node is waited for, the longest that a statement is tried, seconds; and how
#: often every way is tried.
_TRY_S_MIN: Final = 0.01
_TRY_S_MAX: Final = 5.0
_TRIED_S_MAX: Final = 20.0
_ROUNDS_MAX: Final = 10
#: How long to wait when every node was asked, before they are asked again; seconds.
_ROUND_PAUSE_S: Final = 0.1
#: How long the driver below may take to say that the time of a statement is over, seconds.
_LATE_S: Final = 0.1


class Unsure(Exception):
    """A conditional statement was sent, and nobody knows whether it took effect."""


class Unanswered(StoreSlow):
    """A read was sent, and no node had an answer in time: it may have been too much for them."""


class Doubt:
    """Whether some batch of a commit was not answered, and may still take effect."""

    __slots__ = ("is_there",)

    def __init__(self) -> None:
        self.is_there = False


class TableMissing(Exception):
    """A statement names a table that is not there, or no more."""


class _Story:
    """What became of the tries of one statement so far.

    Args:
        doubt: told where a try may have been carried out, or may still be.
    """

    __slots__ = ("asked", "doubt", "instead", "is_unsure", "unable")

    def __init__(self, doubt: Doubt | None) -> None:
        self.doubt = doubt
        self.is_unsure = False
        #: Why the last one could not be carried out; None where it may have been.
        self.unable: Exception | None = None
        #: Through which nodes it was sent, of those that can be told, and which one is next, where that is known.
        self.asked: set[str] = set()
        self.instead: str | None = None

    def note_failed(self, unable: Exception | None) -> None:
        """Takes over what is said of a try that failed, by ``explained``; raises it where another one would fail so."""
        self.unable = unable
        if isinstance(unable, StoreUnavailable | TableMissing):
            return
        self.is_unsure = True
        if self.doubt is not None:
            self.doubt.is_there = True
        if unable is not None:
            raise unable

    def next(self, ways: Iterator[tuple[str, float]]) -> tuple[str, float] | None:
        """Returns by which profile to send next, and for how long; None where there is none left."""
        for planned, timeout_s in ways:
            profile = planned if self.instead is None else only(self.instead)
            if profile not in self.asked:
                self.note_sent(profile)
                return profile, timeout_s
        return None

    def note_sent(self, profile: str) -> None:
        """Takes over by which profile it is sent."""
        if is_only(profile):
            self.asked.add(profile)


class Tries:
    """Sends statements again that are not answered.

    Args:
        nodes: to send through.
        clock: time.
        try_s: how long one try is waited for before there is another, seconds; longer while all take long.
        sent: where tries behind the first are counted, under ``second``.
    """

    def __init__(self, nodes: Nodes, clock: Clock, try_s: float, sent: MutableMapping[str, int]) -> None:
        self._nodes = nodes
        nodes.on_silent = self.wait_no_more
        self._clock = clock
        self._sent = sent
        self._patience = Patience(try_s, _TRY_S_MAX)
        #: What is waited for, since it was sent.
        self._waits = Waits()
        #: Why nothing is sent at present, empty where nothing stands against it; see ``cut`` and ``supervision``.
        self.cut_off = ""
        #: How many statements were answered; each says that a majority of some key's replicas is there.
        self.answered = 0

    def cut(self, why: str) -> None:
        """Sends nothing more, and ends the wait for what was sent, until it is called again.

        Args:
            why: what callers are told; empty where a majority answers again.
        """
        self.cut_off = why
        if why:
            self.wait_no_more(for_s=-NEVER)

    def wait_no_more(self, for_s: float = PROBE_S) -> None:
        """Ends the wait for what was sent some time ago: it may have been to a node that is known to be silent now.

        Args:
            for_s: how long ago, seconds; below 0 for whatever there is.
        """
        self._waits.end_those(self._clock.monotonic_s() - for_s)

    async def run(self, send: Send, deadline: float, doubt: Doubt | None = None, *, even_cut_off: bool = False) -> Any:
        """Sends through a replica of the key, and if that is silent or cannot, through one node after the other.

        Args:
            send: takes a profile and how long it may take, in seconds; it may come to be called several times.
            deadline: when to give up.
            doubt: told where a try may have been carried out, or may still be.
            even_cut_off: whether to try while nothing else is.

        Raises:
            Unsure: a try may have been carried out.
            StoreUnavailable: none was, and none will be.
            TableMissing: the same, as no node knows of a table.
            StoreFault: the same; it would be refused each time.
            StoreCorrupt: there is an answer that cannot be read.
        """
        begun, try_s, story = self._clock.monotonic_s(), self._patience.seconds, None
        left_s = min(deadline - begun, _TRIED_S_MAX)
        if left_s > 0 and (even_cut_off or not self.cut_off):
            profile = self._nodes.usual()
            try:
                # Nearly every statement is answered here.
                return await self._waited(send, profile, max(_TRY_S_MIN, min(try_s, left_s)))
            except (errors.CassException, TimeoutError) as error:
                unable = explained(error)
            story = _Story(doubt)
            story.note_sent(profile)
            ways = self._others(begun + left_s, try_s, even_cut_off=even_cut_off)
            while await self._goes_on(story, unable, deadline, even_cut_off=even_cut_off):
                way = story.next(ways)
                if way is None:
                    break
                try:
                    return await self._waited(send, *way)
                except (errors.CassException, TimeoutError) as error:
                    unable = explained(error)
        raise self._given_up(deadline, story)

    async def _goes_on(self, story: _Story, unable: Exception | None, deadline: float, *, even_cut_off: bool) -> bool:
        """Weighs a try that failed, and returns whether there is to be another one; then it is known by which node."""
        story.note_failed(unable)
        self._sent["second"] += 1
        if not story.is_unsure and self._are_all(story.asked):
            return False
        story.instead = None
        if even_cut_off or not self.cut_off:
            story.instead = await self._next(story.asked, deadline, has_answered=unable is not None)
        return True

    def _given_up(self, deadline: float, story: _Story | None) -> Exception:
        if story is not None and story.is_unsure:
            return Unsure()
        if self.cut_off:
            return StoreUnavailable(self.cut_off)
        if story is not None and story.unable is not None:
            return story.unable
        if deadline <= self._clock.monotonic_s():
            return DeadlineExceeded("the deadline passed before a node of the cluster answered")
        return StoreUnavailable("too few nodes of the cluster can be reached")

    def _are_all(self, asked: Collection[str]) -> bool:
        return all(only(address) in asked for address in self._nodes.in_use)

    async def _next(self, asked: set[str], deadline: float, *, has_answered: bool) -> str | None:
        """Returns through whom to send next; None where that is not known before the deadline, or when it is cut off.

        Which node was silent is not known: whoever answers something small first gets the next try. Where none was, the
        next one may be able to do what this one is not.
        """
        if self._are_all(asked):
            asked.clear()
            await asyncio.sleep(_ROUND_PAUSE_S)
        if has_answered:
            return None
        wait = self._waits.begin(NEVER, begun=NEVER)
        try:
            return await self._nodes.quickest(but=asked, until=deadline)
        except asyncio.CancelledError:
            if not wait.was_ended():
                raise
        finally:
            self._waits.close(wait)
        return None

    async def _waited(self, send: Send, profile: str, timeout_s: float) -> Any:
        """Sends, and waits as long as it makes sense."""
        begun = self._clock.monotonic_s()
        wait = self._waits.begin(timeout_s + _LATE_S, begun)
        try:
            answer = await send(profile, timeout_s)
        except asyncio.CancelledError:
            if wait.was_ended():
                raise TimeoutError from None
            raise
        finally:
            self._waits.close(wait)
        self.answered += 1
        self._patience.note(self._clock.monotonic_s() - begun)
        return answer

    def _others(self, until: float, try_s: float, *, even_cut_off: bool) -> Iterator[tuple[str, float]]:
        """Gives by which profile to send when the first try has failed, and how long to wait for an answer, seconds.

        Args:
            until: when to try no more.
            try_s: how long the first one was waited for.
            even_cut_off: whether to try while nothing else is.
        """
        for profile in self._nodes.others(_ROUNDS_MAX):
            left_s = until - self._clock.monotonic_s()
            if left_s <= 0 or (self.cut_off and not even_cut_off):
                return
            try_s = min(1.5 * try_s, _TRY_S_MAX)
            yield profile, max(_TRY_S_MIN, min(try_s, left_s))


_MISSING: Final = ("unconfigured table", "does not exist", "unknown keyspace", "Undefined")
_NOT_SENT: Final = (errors.CassErrorServerUnavailable, errors.CassErrorServerOverloaded)
#: A node asks for the rights of a user as for other records, and fails so where too few others answer.
_RIGHTS_UNKNOWN: Final = ("Unable to perform", "Cannot achieve consistency level")


def explained(error: errors.CassException | TimeoutError) -> StoreError | TableMissing | None:
    """Returns why a node cannot carry a statement out; None where it may have been carried out.

    Raises:
        StoreFault: it would be refused by every node.
    """
    text = text_of(error)
    if isinstance(error, _NOT_SENT):
        return StoreUnavailable(f"too few replicas of the key are up: {text}")
    if isinstance(error, errors.CassErrorServerInvalidQuery | errors.CassErrorServerServerError) and any(
        part in text for part in _MISSING
    ):
        return TableMissing(text)
    if isinstance(error, errors.CassErrorServerUnauthorized | errors.CassErrorServerBadCredentials):
        if any(part in text for part in _RIGHTS_UNKNOWN):
            return StoreUnavailable(f"too few nodes answer to tell what this user may do: {text}")
        raise StoreFault(f"the cluster does not let this user do it: {text}") from error
    if isinstance(error, errors.CassErrorServerInvalidQuery | errors.CassErrorServerSyntaxError):
        raise StoreFault(f"the cluster refuses a statement: {text}") from error
    if isinstance(error, errors.CassErrorLibInvalidData | errors.CassErrorLibNotEnoughData):
        return StoreCorrupt(f"the cluster's answer cannot be read: {text}")
    return None


def text_of(error: BaseException) -> str:
    """Returns what an error says, or its name where it says nothing."""
    return str(error).strip() or type(error).__name__
