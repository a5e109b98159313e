"""Admission: what the server takes on, decided before any work is done for a request.

In this order: its deadline, the size of its body, how deep the body nests, how many requests are in flight, and how
many a second, in all and for its tenant. What is refused costs a small part of what it would cost to serve.

Requests that find every place taken wait a short time; the youngest is served first, because the oldest is the one
whose client gives up next. A server that is busy for longer than that thus answers some requests fast and refuses the
others, instead of answering all of them late.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from itertools import accumulate
from typing import Final

from tenet.base.clock import Clock
from tenet.base.json_text import without_strings
from tenet.wire.errors import MalformedBody, Throttled
from tenet.wire.limits import EdgeLimits

#: DynamoDB's words for ThrottlingException.
THROTTLED: Final = "Rate of requests exceeds the allowed throughput."

#: Refusals that may come at once, as the time that they have at their rate.
_REFUSAL_BURST_S: Final = 0.05
#: The longest that one is kept back, however many there are.
_REFUSAL_S_MAX: Final = 1.0

#: Levels of brackets taken away as text before the rest is counted one by one.
_PEELED: Final = 10
_AS_BRACES: Final = bytes.maketrans(b"[]", b"{}")
_STEP: Final = tuple(1 if byte == ord("{") else -1 for byte in range(256))
_NOT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"{}[]")


class TokenBucket:
    """Lets through so many a second, and a burst at once.

    Args:
        rate: a second, above 0.
        burst: at once, at least 1.
        now_s: seconds on the monotonic clock.
    """

    __slots__ = ("_at_s", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now_s: float) -> None:
        self._rate = rate
        self._burst = max(burst, 1.0)
        self._tokens = self._burst
        self._at_s = now_s

    def take(self, now_s: float) -> bool:
        """Takes one, if there is one."""
        tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        if tokens < 1.0:
            self._tokens = tokens
            return False
        self._tokens = tokens - 1.0
        return True


class Admission:
    """Decides which requests are taken on.

    Args:
        limits: the limits in force.
        clock: time.
    """

    def __init__(self, limits: EdgeLimits, clock: Clock) -> None:
        self._clock = clock
        #: Seconds on the monotonic clock.
        self.now_s = clock.monotonic_s
        self._tenants: dict[str, TokenBucket] = {}
        self._waiting: deque[tuple[asyncio.Future[bool], float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        #: When the refusal before had its turn, in seconds on the monotonic clock.
        self._refusal_s = 0.0
        self.in_flight = 0
        #: Requests refused, by what refused them.
        self.shed: dict[str, int] = {}
        self.limits = limits

    @property
    def limits(self) -> EdgeLimits:
        """The limits in force."""
        return self._limits

    @limits.setter
    def limits(self, limits: EdgeLimits) -> None:
        now_s = self._clock.monotonic_s()
        rate = limits.requests_per_s_max
        self._limits = limits
        #: Of the limits in force, what every request is checked against.
        self.deadline_s = limits.deadline_s
        self.nesting_max = limits.nesting_max
        self._delay_s_max = limits.loop_delay_ms_max / 1000 or math.inf
        self._in_flight_max = limits.in_flight_max
        self._bucket = TokenBucket(rate, limits.requests_burst or rate / 10, now_s) if rate > 0 else None
        self._tenants.clear()
        #: Whether ``enter_tenant`` may refuse anybody.
        self.has_tenant_limits = limits.tenant_requests_per_s_max > 0 or bool(limits.tenant_requests_per_s)
        self._let_in()

    @property
    def waiting(self) -> int:
        """How many requests wait for a place."""
        return len(self._waiting)

    def hold_s(self, now_s: float) -> float:
        """Returns how long the answer to a refused request has to wait for its turn: so many are given out a second.

        Clients that try again at once would otherwise take from the admitted what refusing them was to save.

        Args:
            now_s: seconds on the monotonic clock.
        """
        turn_s = max(self._refusal_s, now_s - _REFUSAL_BURST_S) + 1 / self._limits.refusals_per_s_max
        self._refusal_s = min(turn_s, now_s + _REFUSAL_S_MAX)
        return max(self._refusal_s - now_s, 0.0)

    def enter(self, now_s: float, delay_s: float) -> bool:
        """Takes a place for a request, before anything is known of its sender.

        Args:
            now_s: seconds on the monotonic clock.
            delay_s: how long ago the loop's turn began that read it; it may have waited for as long.

        Returns:
            Whether it has a place; where not, it may ``wait`` for one.

        Raises:
            Throttled: the server takes on no more.
        """
        if delay_s > self._delay_s_max:
            raise self._refuse("delay")
        if self._bucket is not None and not self._bucket.take(now_s):
            raise self._refuse("rate")
        if self.in_flight < self._in_flight_max:
            self.in_flight += 1
            return True
        limits = self._limits
        if len(self._waiting) >= limits.waiting_max or limits.waiting_ms_max <= 0:
            raise self._refuse("concurrency")
        return False

    async def wait(self, now_s: float) -> bool:
        """Waits for a place, and returns True once it has one.

        Raises:
            Throttled: none became free in time.
        """
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((place, now_s + self._limits.waiting_ms_max / 1000))
        self._set_timer(now_s)
        try:
            has_place = await place
        except asyncio.CancelledError:
            # It may have been given a place in the moment in which it was ended.
            if not place.cancelled() and place.result():
                self.leave()
            raise
        if not has_place:
            raise self._refuse("concurrency")
        return True

    def enter_tenant(self, tenant: str, now_s: float) -> None:
        """Counts a request, now that its sender is known, against its tenant's share.

        Raises:
            Throttled: the share is used up.
        """
        bucket = self._tenants.get(tenant)
        if bucket is None:
            limits = self._limits
            rate = limits.tenant_requests_per_s.get(tenant, limits.tenant_requests_per_s_max)
            if rate <= 0:
                return
            bucket = self._tenants[tenant] = TokenBucket(rate, rate, now_s)
        if not bucket.take(now_s):
            raise self._refuse("tenant")

    def leave(self) -> None:
        """Gives a place back."""
        self.in_flight -= 1
        if self._waiting:
            self._let_in()

    def enter_again(self) -> None:
        """Takes a place for a request that had given its own back for a while, whether one is free or not.

        It has been admitted, and what it waited for is on its way; so many as come back at once are few, or done soon.
        """
        self.in_flight += 1

    def _let_in(self) -> None:
        while self._waiting and self.in_flight < self._limits.in_flight_max:
            place, _ = self._waiting.pop()
            if not place.done():
                self.in_flight += 1
                place.set_result(True)

    def _set_timer(self, now_s: float) -> None:
        if self._timer is None and self._waiting:
            _, until_s = self._waiting[0]
            self._timer = asyncio.get_running_loop().call_later(max(until_s - now_s, 0.001), self._expire)

    def _expire(self) -> None:
        self._timer = None
        now_s = self._clock.monotonic_s()
        while self._waiting and self._waiting[0][1] <= now_s:
            place, _ = self._waiting.popleft()
            if not place.done():
                place.set_result(False)
        self._set_timer(now_s)

    def _refuse(self, what: str) -> Throttled:
        self.shed[what] = self.shed.get(what, 0) + 1
        return Throttled(THROTTLED)


def check_nesting(body: bytes, nesting_max: int) -> None:
    """Refuses a JSON body whose objects and arrays are nested too deeply, without decoding it.

    Args:
        body: of any content; what is no JSON is judged somehow, and refused later.
        nesting_max: brackets open at once.

    Raises:
        MalformedBody: it is nested too deeply.
    """
    if _count(body, b"{", nesting_max) + _count(body, b"[", nesting_max) > nesting_max and nesting(body) > nesting_max:
        raise MalformedBody


def _count(body: bytes, bracket: bytes, most: int) -> int:
    """Returns how often a bracket occurs, up to one more than `most`, jumping from one to the next."""
    return len(body) - len(body.replace(bracket, b"", most + 1))


def nesting(body: bytes) -> int:
    """Returns how many brackets are open at once in a JSON text; brackets in its strings do not count.

    Costs about a nanosecond a byte: text is taken away in few passes before anything is counted one by one.
    """
    brackets = without_strings(body).translate(_AS_BRACES, _NOT_BRACKETS)
    levels = 0
    while brackets and levels < _PEELED:
        peeled = brackets.replace(b"{}", b"")
        if len(peeled) == len(brackets):
            break
        brackets = peeled
        levels += 1
    return levels + max(accumulate(map(_STEP.__getitem__, brackets), initial=0))
