"""Which nodes the cluster has by now: read from the nodes themselves, as they come and go while Tenet runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from acsylla import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.store.cassandra.driver import Driver

#: How many nodes are asked, and how long one may take to answer, seconds.
_ASKED: Final = 3
_ANSWER_S: Final = 2.0
_OWN: Final = "SELECT rpc_address, data_center FROM system.local"
_PEERS: Final = "SELECT native_address, data_center FROM system.peers_v2"


async def addresses_now(driver: Driver) -> Sequence[str]:
    """Returns the addresses of all nodes in the data centre, in their order; empty where nobody can tell.

    Some of the nodes in use are asked. What one of them knows of is there: one that has just joined may not have heard
    of all others yet, and a node that was removed is forgotten by each.
    """
    asked = driver.nodes.in_use[:_ASKED]
    found = await asyncio.gather(*(_known_to(driver, address) for address in asked))
    return sorted(set[str]().union(*found))


async def _known_to(driver: Driver, by: str) -> set[str]:
    rows: list[tuple[Any, ...]] = []
    try:
        for text in (_OWN, _PEERS):
            rows += await driver.told_by(by, text, timeout_s=_ANSWER_S)
    except errors.CassException:
        return set()
    return {str(address) for address, of in rows if address and of == driver.datacenter}
