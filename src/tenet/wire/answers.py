"""The beginning of answers, made once a second: status line, date and type. Also the second itself."""

from __future__ import annotations

from http import HTTPStatus
from time import gmtime, strftime
from typing import Final

from tenet.base.clock import Clock

_FRONTS_MAX: Final = 100
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


class Present:
    """The present second of the wall clock, and what answers begin with in it.

    Args:
        clock: time; its wall clock is read once a second.
    """

    __slots__ = ("_clock", "_common", "_fronts", "until_s", "wall_s")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._common = ""
        self._fronts: dict[tuple[int, str], str] = {}
        #: Until when all this holds, in seconds on the monotonic clock; then ``renew`` is due.
        self.until_s = 0.0
        #: Seconds since 1970.
        self.wall_s = 0

    def renew(self, now_s: float) -> None:
        """Looks at the wall clock.

        Args:
            now_s: seconds on the monotonic clock.
        """
        wall_ms = self._clock.wall_ms()
        self.wall_s = wall_ms // 1000
        self.until_s = now_s + (1000 - wall_ms % 1000) / 1000
        date = strftime("%a, %d %b %Y %H:%M:%S GMT", gmtime(self.wall_s))
        self._common = f"Server: Server\r\nDate: {date}\r\n"
        self._fronts.clear()

    def front(self, status: int, content_type: str) -> str:
        """Returns the head of an answer up to the number that is its Content-Length.

        Args:
            status: 200 to 599.
            content_type: of the body, or "".
        """
        known = self._fronts.get((status, content_type))
        if known is not None:
            return known
        kind = f"Content-Type: {content_type}\r\n" if content_type else ""
        front = f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n{self._common}{kind}Content-Length: "
        if len(self._fronts) < _FRONTS_MAX:
            self._fronts[status, content_type] = front
        return front
