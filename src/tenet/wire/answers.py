"""The beginning of answers, made once a second: status line, date and type. Also the second itself, and request ids."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from time import gmtime, strftime
from typing import Final

from tenet.base.clock import Clock
from tenet.base.ids import Ids

_FRONTS_MAX: Final = 100
#: A request id has 208 bits of randomness, as those of AWS JSON services.
_ID_BYTES: Final = 26
#: Request ids that are drawn at a time.
_IDS: Final = 128
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


class Present:
    """The present second of the wall clock, and what answers begin with in it.

    Args:
        clock: time; its wall clock is read once a second.
    """

    __slots__ = ("_clock", "_common", "fronts", "until_s", "wall_s")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._common = ""
        #: What ``front`` returned in this second, by status and type.
        self.fronts: dict[tuple[int, str], str] = {}
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
        self.fronts.clear()

    def front(self, status: int, content_type: str) -> str:
        """Returns the head of an answer up to the number that is its Content-Length.

        Args:
            status: 200 to 599.
            content_type: of the body, or "".
        """
        known = self.fronts.get((status, content_type))
        if known is not None:
            return known
        kind = f"Content-Type: {content_type}\r\n" if content_type else ""
        front = f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n{self._common}{kind}Content-Length: "
        if len(self.fronts) < _FRONTS_MAX:
            self.fronts[status, content_type] = front
        return front


def request_ids(ids: Ids) -> Iterator[str]:
    """Yields request ids without end: 52 capitals and digits each."""
    while True:
        drawn = ids.draw(_ID_BYTES * _IDS).hex().upper()
        for start in range(0, len(drawn), 2 * _ID_BYTES):
            yield drawn[start : start + 2 * _ID_BYTES]
