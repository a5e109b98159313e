"""Clocks that are apart are told, by which node's it is and by how much, and a slow network is not taken for one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tenet.base.clock import ManualClock
from tenet.store.cassandra.driver import Driver
from tenet.store.cassandra.location import Location
from tenet.store.cassandra.nodes import Nodes, only
from tenet.store.cassandra.skew import SKEW_MS_MAX, SKEW_MS_PROMISED, advice_on_clocks, skews
from tenet.store.errors import StoreUnavailable


class Answering(Driver):
    """Nodes whose clocks are ahead of ours by so much, and which answer after so long; one may be silent."""

    def __init__(self, clock: ManualClock, ahead_ms: Mapping[str, int | None], takes_ms: int) -> None:
        super().__init__(Location(("127.0.0.1",), "skewed"), clock)
        self._manual, self._ahead_ms, self._takes_ms = clock, ahead_ms, takes_ms

        async def probe(_: str) -> bool:
            return True

        self.nodes = Nodes(tuple(ahead_ms), probe, probe)

    async def select(self, text: str, values: Sequence[Any], **more: Any) -> list[tuple[Any, ...]]:
        (address,) = [address for address in self._ahead_ms if only(address) == more["by"]]
        ahead_ms = self._ahead_ms[address]
        self._manual.advance_ms(self._takes_ms // 2)
        now_ms = self._manual.wall_ms()
        self._manual.advance_ms(self._takes_ms - self._takes_ms // 2)
        if ahead_ms is None:
            raise StoreUnavailable("it is silent")
        return [(now_ms + ahead_ms,)]


def found(ahead_ms: Mapping[str, int | None], takes_ms: int = 10) -> Mapping[str, int]:
    clock = ManualClock()
    return asyncio.run(skews(Answering(clock, ahead_ms, takes_ms), clock))


def test_what_is_told_is_what_is_sure() -> None:
    apart = found({"10.0.0.1": 60_000, "10.0.0.2": -60_000, "10.0.0.3": 3, "10.0.0.4": None})
    assert apart == {"10.0.0.1": 59_995, "10.0.0.2": -59_995, "10.0.0.3": 0}


def test_a_slow_network_is_no_wrong_clock() -> None:
    assert list(advice_on_clocks(found({"10.0.0.1": 4_000, "10.0.0.2": -4_000}, takes_ms=9_000))) == []


@pytest.mark.parametrize(("ahead_ms", "told"), [(SKEW_MS_MAX + 500, "2.5 s ahead of"), (-180_000, "180.0 s behind")])
def test_a_wrong_clock_is_named_with_the_limits_and_what_to_do(ahead_ms: int, told: str) -> None:
    (advice,) = advice_on_clocks({"10.0.0.1": 0, "10.0.0.2": ahead_ms})
    assert advice.startswith(f"Node 10.0.0.2: its clock is {told} this machine's")
    assert f"from {SKEW_MS_PROMISED // 1000} s on" in advice
    assert "NTP or chrony" in advice
