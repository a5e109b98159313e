"""Versions of records: hybrid logical time, site and nonce in 16 bytes that order as the commits did.

Hybrid logical time follows the wall clock and never goes back: where the clock stands still or steps backwards, a
counter carries on (Kulkarni et al., "Logical Physical Clocks", 2014).
"""

from __future__ import annotations

from typing import Final

from tenet.base.clock import Clock
from tenet.base.ids import Ids
from tenet.store.contract import Version

#: Lower than every version that a commit can have.
LOWEST: Final = Version(bytes(16))

_COUNTER_BITS: Final = 16


class VersionSource:
    """Gives versions, each larger than all before it and than every one that it was shown.

    Args:
        clock: the wall clock that the time follows.
        ids: where nonces come from.
        site: the site's number, 0 to 65,535.
    """

    __slots__ = ("_clock", "_ids", "_site", "_time")

    def __init__(self, clock: Clock, ids: Ids, *, site: int = 0) -> None:
        self._clock = clock
        self._ids = ids
        self._site = site.to_bytes(2, "big")
        self._time = 0

    def observe(self, version: Version) -> None:
        """Makes every later version larger than this one."""
        self._time = max(self._time, int.from_bytes(version[:8], "big"))

    def draw(self) -> Version:
        """Returns the next version."""
        self._time = max(self._time + 1, self._clock.wall_ms() << _COUNTER_BITS)
        return Version(self._time.to_bytes(8, "big") + self._site + self._ids.draw(6))


def version_ms(version: Version) -> int:
    """Returns the hybrid time of a version, milliseconds since 1970-01-01 UTC; never before its commit was begun."""
    return int.from_bytes(version[:6], "big")
