"""Dials other nodes: with growing pauses until they are connected, and anew before a connection ends."""

from __future__ import annotations

import asyncio
import ssl
from itertools import count
from typing import TYPE_CHECKING, Final

import structlog

from tenet.base.ids import Ids
from tenet.mesh.channel import NodeId
from tenet.mesh.link import Link

if TYPE_CHECKING:
    from tenet.mesh.network import Network

#: How long it waits after an attempt that failed: twice as long each time, and from half of it to all of it.
PAUSE_S_MIN: Final = 0.1
PAUSE_S_MAX: Final = 5.0
#: A connection that lasted longer is no failure.
_STEADY_S: Final = 1.0
#: How long a connection may take to be made, before its handshake.
_CONNECT_S: Final = 3.0
_GOODBYE_S: Final = 1.0
#: Which part of a connection's time is left when it is dialled anew.
_LEFT: Final = 0.25
#: What a handshake asks for by name; nodes are known by their certificates.
SERVER_NAME: Final = "node.tenet"

_log = structlog.get_logger(__name__)


class Dialler:
    """Keeps a node connected with those that it was told to dial.

    Args:
        network: the node.
        ids: for jitter.
    """

    def __init__(self, network: Network, ids: Ids) -> None:
        self._network = network
        self._ids = ids
        self._attempts = count(1)
        self._targets: dict[tuple[str, NodeId | None], _Target] = {}

    def dial(self, address: str, peer: NodeId | None) -> None:
        """Begins to dial an address for a peer; where that is dialled already, it takes one ``forget`` more to end."""
        known = self._targets.get((address, peer))
        if known is not None:
            known.wishes += 1
            return
        target = self._targets[address, peer] = _Target(address, peer)
        target.task = asyncio.get_running_loop().create_task(self._keep(target))

    def forget(self, address: str, peer: NodeId | None) -> None:
        """Stops dialling an address for a peer, once everybody has said so who wanted it."""
        known = self._targets.get((address, peer))
        if known is None:
            return
        known.wishes -= 1
        if not known.wishes:
            self._end(known)

    def close(self) -> None:
        """Stops dialling."""
        for target in [*self._targets.values()]:
            self._end(target)

    def _end(self, target: _Target) -> None:
        del self._targets[target.address, target.expected]
        if target.task is not None:
            target.task.cancel()

    def look(self) -> None:
        """Looks again who is connected: something has changed, or some time has passed."""
        for target in self._targets.values():
            if self._wants(target):
                target.wanted.set()
            else:
                target.wanted.clear()

    def trouble(self, address: str, peer: NodeId | None) -> str:
        """Returns why the last attempt to reach a peer at an address failed; "" where none has. None: any peer."""
        found = [target for target in self._targets.values() if target.address == address]
        return next((one.trouble for one in found if one.trouble and peer in {None, one.expected}), "")

    def _wants(self, target: _Target) -> bool:
        node = target.expected or target.found
        link = self._network.link_with(node) if node is not None else None
        if link is None or not link.is_dialled:
            return link is None
        if self._network.is_outdated(link):
            return True
        now_s = self._network.clock.monotonic_s()
        return link.until_s - now_s < _LEFT * (link.until_s - link.up_s)

    async def _keep(self, target: _Target) -> None:
        clock, pause_s = self._network.clock, PAUSE_S_MIN
        while True:
            await target.wanted.wait()
            trouble = await self._attempt(target)
            if target.found == self._network.node:
                return
            if trouble and trouble != target.trouble:
                _log.warning("a node is not reached", address=target.address, reason=trouble)
            target.trouble = trouble
            if not trouble:
                connected_s = clock.monotonic_s()
                self.look()
                await target.wanted.wait()
                if clock.monotonic_s() - connected_s > _STEADY_S:
                    pause_s = PAUSE_S_MIN
                    continue
            await asyncio.sleep(self._jittered(pause_s))
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    async def _attempt(self, target: _Target) -> str:
        """Dials once; returns why that failed, "" where the peer is connected."""
        network = self._network
        link = network.adopt(Link(network, attempt=next(self._attempts)))
        host, _, port = target.address.rpartition(":")
        try:
            async with asyncio.timeout(_CONNECT_S + network.limits.greeting_s):
                await asyncio.get_running_loop().create_connection(
                    lambda: link,
                    host.strip("[]"),
                    int(port),
                    ssl=network.credentials.client,
                    server_hostname=SERVER_NAME,
                    ssl_handshake_timeout=network.limits.greeting_s,
                    ssl_shutdown_timeout=_GOODBYE_S,
                )
            target.found = link.node
            if target.expected not in {None, link.node}:
                link.part(f"node {target.expected} is looked for here, not {link.node}")
            await link.settled
        except (OSError, ssl.SSLError, ValueError, OverflowError) as error:  # the last: a port beyond 65,535
            link.hang_up("it was not made")
            return _words(error)
        except BaseException:
            link.hang_up("nobody waits for it any more")
            raise
        return link.reason

    def _jittered(self, pause_s: float) -> float:
        return pause_s * (1 + self._ids.draw(1)[0] / 255) / 2


class _Target:
    """An address that is dialled."""

    def __init__(self, address: str, expected: NodeId | None) -> None:
        self.address = address
        self.expected = expected
        #: How many want it to be dialled.
        self.wishes = 1
        self.found: NodeId | None = None
        self.trouble = ""
        self.wanted = asyncio.Event()
        self.wanted.set()
        self.task: asyncio.Task[None] | None = None


def _words(error: Exception) -> str:
    """Returns what went wrong, for an operator."""
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not believed: {error.verify_message}"
    return str(error) or "the other side ended the connection before anything was said"
