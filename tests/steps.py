"""A process that ends at one of its steps, for tests that let it end at each of them in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenet.store import landing


class Died(Exception):
    """The process ended at this step."""


class Steps:
    """Counts steps, and ends the process at one of them; at none where that is 0.

    Args:
        last: the step at which it ends, from 1.
    """

    def __init__(self, last: int = 0) -> None:
        self.count = 0
        self.last = last

    def take(self) -> None:
        self.count += 1
        if self.count == self.last:
            raise Died

    async def land(self, *arguments: Any, **options: Any) -> Any:
        """In place of ``landing.land``: a step before each commit, and one after it."""
        self.take()
        outcome = await landing.land(*arguments, **options)
        self.take()
        return outcome

    def around(self, call: Callable[..., None]) -> Callable[..., None]:
        """Returns a call with a step before it, and one after it."""

        def stepping(*arguments: Any) -> None:
            self.take()
            call(*arguments)
            self.take()

        return stepping
