"""How long to wait for an answer before something is done about it: longer where all answers take longer.

A statement that is late because the cluster is busy comes sooner if nothing more is asked of the cluster; one that is
late because a node is frozen never comes. What tells them apart is how long the others took.
"""

from __future__ import annotations

from typing import Final

#: How much one answer counts. Smaller than in the RFC, as there are many at a time (RFC 7323, appendix G).
_OF_MEAN: Final = 1 / 64
_OF_DEVIATION: Final = 1 / 32
_DEVIATIONS: Final = 4


class Patience:
    """The retransmission timer of RFC 6298, section 2: the mean of what answers took, and four times its deviation.

    Answers that came too late to count are not told to it, as in its section 3: whoever is silent makes nobody patient.

    Args:
        at_least_s: the shortest that it comes to.
        at_most_s: the longest.
    """

    __slots__ = ("_at_least_s", "_at_most_s", "_deviation_s", "_mean_s")

    def __init__(self, at_least_s: float, at_most_s: float) -> None:
        self._at_least_s = at_least_s
        self._at_most_s = max(at_least_s, at_most_s)
        self._mean_s = self._deviation_s = 0.0

    @property
    def seconds(self) -> float:
        """How long to wait at present."""
        return min(self._at_most_s, max(self._at_least_s, self._mean_s + _DEVIATIONS * self._deviation_s))

    def note(self, took_s: float) -> None:
        """Takes over how long an answer took that was waited for."""
        self._deviation_s += _OF_DEVIATION * (abs(took_s - self._mean_s) - self._deviation_s)
        self._mean_s += _OF_MEAN * (took_s - self._mean_s)
