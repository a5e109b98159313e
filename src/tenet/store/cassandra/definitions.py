"""Definitions of keyspaces and tables: sent through one node, and waited for until the others have them, too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

import acsylla
from acsylla import errors

from tenet.store.cassandra.nodes import only
from tenet.store.cassandra.tries import text_of
from tenet.store.errors import StoreUnavailable

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.store.cassandra.driver import Driver

#: How long a definition of a table may take, seconds.
DEFINITION_S: Final = 30.0
#: How often the nodes are asked whether they know of it, and how long one may take to answer, seconds.
_AGREEMENT_EVERY_S: Final = 0.05
_SCHEMA_S: Final = 2.0
#: How long gossip may take, seconds: about one a node.
_GOSSIP_S: Final = 3.0
_OWN_SCHEMA: Final = "SELECT rpc_address, schema_version FROM system.local"
_PEERS_SCHEMAS: Final = "SELECT native_address, schema_version FROM system.peers_v2"
_NO_KEYSPACE: Final = "doesn't exist"
#: What the driver says where a node was sent something and has not answered.
_UNANSWERED: Final = (errors.CassErrorLibNoHostsAvailable, errors.CassErrorLibRequestTimedOut)


class NodeSilent(StoreUnavailable):
    """The node that was to carry a definition out fell silent; it may carry it out yet, when nobody expects it."""


async def define(driver: Driver, texts: Sequence[str], until: float, clock: Clock) -> None:
    """Sends definitions, one after the other, and waits until the nodes that are in use have them.

    Args:
        driver: the cluster.
        texts: the definitions.
        until: when to give up.
        clock: time.

    Raises:
        StoreUnavailable: one could not be carried out; `NodeSilent` where it may have been.
    """
    # All processes by the same node: two that define the same table at once would each make one.
    while (by := await driver.nodes.first_to_reach_others()) is None:
        if clock.monotonic_s() >= until:
            raise StoreUnavailable("no node of the cluster can reach enough others to define what is needed")
        await asyncio.sleep(_AGREEMENT_EVERY_S)
    # A node that is told by gossip of definitions which were followed by others since fetches all that there are,
    # a minute later. So the next ones wait until gossip has told of the last.
    gossiped = min(until, clock.monotonic_s() + _GOSSIP_S)
    await _until_one(lambda: _gossiped_schemas(driver, by), gossiped, clock)
    for text in texts:
        await _define(driver, text, by, until, clock)
    # Each is asked for its own: what a node knows of the others is as old as gossip is.
    await _until_one(lambda: _own_schemas(driver), until, clock)


async def _define(driver: Driver, text: str, by: str, until: float, clock: Clock) -> None:
    while True:
        statement = acsylla.create_statement(text, timeout=max(0.01, until - clock.monotonic_s()))
        statement.set_execution_profile(only(by))
        try:
            await driver.connected().execute(statement)
        except errors.CassErrorServerAlreadyExists:
            return
        except errors.CassException as error:
            # The node may be behind, where another one made the keyspace; it is told of it by the others.
            is_behind = isinstance(error, errors.CassErrorServerInvalidQuery) and _NO_KEYSPACE in text_of(error)
            if isinstance(error, _UNANSWERED):
                raise NodeSilent(f"the node {by} fell silent over what it was to define: {text_of(error)}") from error
            if not is_behind or clock.monotonic_s() >= until:
                raise StoreUnavailable(f"the cluster could not define what is needed: {text_of(error)}") from error
        else:
            return
        await asyncio.sleep(_AGREEMENT_EVERY_S)


async def _until_one(schemas: Callable[[], Awaitable[set[str]]], until: float, clock: Clock) -> None:
    """Waits until there is but one version of the definitions, or the time has come."""
    while clock.monotonic_s() < until and len(await schemas()) > 1:  # noqa: ASYNC110 - nodes tell nobody
        await asyncio.sleep(_AGREEMENT_EVERY_S)


async def _own_schemas(driver: Driver) -> set[str]:
    """Returns which definitions the nodes that are in use have, each by its own word."""
    found = await asyncio.gather(*(_schemas(driver, address, _OWN_SCHEMA) for address in driver.nodes.in_use))
    return set[str]().union(*found)


async def _gossiped_schemas(driver: Driver, by: str) -> set[str]:
    """Returns which definitions the nodes that are in use have, as one of them has been told."""
    return await _schemas(driver, by, _OWN_SCHEMA) | await _schemas(driver, by, _PEERS_SCHEMAS)


async def _schemas(driver: Driver, address: str, text: str) -> set[str]:
    """Returns versions that a node tells of nodes in use; an empty one where it does not answer."""
    try:
        rows = await driver.told_by(address, text, timeout_s=_SCHEMA_S)
    except errors.CassException:
        return {""}
    # One that is not in use is told of with the definitions that it had.
    return {str(version) for of, version in rows if str(of) in driver.nodes.in_use}
