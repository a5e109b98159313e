"""The bytes of an answer: status line, headers and body in one buffer."""

from __future__ import annotations

from http import HTTPStatus
from time import gmtime, strftime
from typing import Final

from tenet.base.clock import Clock

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


class Heads:
    """Makes the heads of answers.

    Args:
        clock: time, for the Date header.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._common = ""
        self._good_until_s = 0.0

    def head(self, status: int, content_type: str, length: int, now_s: float) -> str:
        """Returns status line and first headers, each ended by CR LF; what follows is the caller's.

        Args:
            status: 200 to 599.
            content_type: of the body, or "".
            length: of the body, in bytes.
            now_s: seconds on the monotonic clock.
        """
        if now_s >= self._good_until_s:
            self._renew(now_s)
        kind = f"Content-Type: {content_type}\r\n" if content_type else ""
        return (
            f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n{self._common}{kind}Content-Length: {length}\r\n"
        )

    def _renew(self, now_s: float) -> None:
        wall_ms = self._clock.wall_ms()
        date = strftime("%a, %d %b %Y %H:%M:%S GMT", gmtime(wall_ms // 1000))
        self._common = f"Server: Server\r\nDate: {date}\r\n"
        self._good_until_s = now_s + (1000 - wall_ms % 1000) / 1000
