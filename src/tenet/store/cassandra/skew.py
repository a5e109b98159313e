"""Whether the clocks of the cluster's nodes and of this process agree, as well as can be told over the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tenet.store.cassandra.nodes import only
from tenet.store.cassandra.schema import REMEMBERED_S
from tenet.store.contract import Limits
from tenet.store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tenet.base.clock import Clock
    from tenet.store.cassandra.driver import Driver

#: How far clocks may be apart before it is worth a word; and how far before what Tenet promises is in danger: what
#: became of a commit is remembered for so much longer than anybody may ask. Milliseconds.
SKEW_MS_MAX: Final = 2_000
SKEW_MS_PROMISED: Final = 1000 * (REMEMBERED_S - Limits.settle_window_s)
_NOW: Final = "SELECT toUnixTimestamp(now()) FROM system.local"


async def skews(driver: Driver, clock: Clock) -> Mapping[str, int]:
    """Returns by how many milliseconds each node's clock is surely ahead of this process's, by address.

    Negative is behind. What the answer took on its way is taken off, so that a slow network is not told as a wrong
    clock (Cristian, "Probabilistic clock synchronization", 1989). Nodes that do not answer are left out.

    Args:
        driver: the cluster.
        clock: of this process.
    """
    found: dict[str, int] = {}
    for address in driver.nodes.in_use:
        sent_ms = clock.wall_ms()
        try:
            rows = await driver.select(_NOW, (), is_serial=False, counts_as="beat", by=only(address))
        except StoreError:
            continue
        found[address] = _surely_ahead(int(rows[0][0]), sent_ms, clock.wall_ms())
    return found


def _surely_ahead(there_ms: int, sent_ms: int, answered_ms: int) -> int:
    """Returns the least by which another clock is ahead, or behind, that was read between two moments of ours."""
    if there_ms > answered_ms:
        return there_ms - answered_ms
    return min(0, there_ms - sent_ms)


def advice_on_clocks(found: Mapping[str, int]) -> Iterator[str]:
    """Returns what should be done about clocks, for what ``skews`` found: a sentence or two for each one that is wrong.

    Two nodes that are wrong in opposite directions are each told against this process's clock, which may be the one
    that is wrong: where all are off by the same, it is.
    """
    for address, ahead_ms in sorted(found.items()):
        if abs(ahead_ms) <= SKEW_MS_MAX:
            continue
        apart = f"{abs(ahead_ms) / 1000:.1f} s {'ahead of' if ahead_ms > 0 else 'behind'}"
        yield (
            f"Node {address}: its clock is {apart} this machine's, more than {SKEW_MS_MAX // 1000} s. Transactions cost"
            " more tries, and things expire early or late; from"
            f" {SKEW_MS_PROMISED // 1000} s on, a commit may be forgotten before everybody knows what became of it. Let"
            " NTP or chrony keep the clocks of both."
        )
