"""Nodes for tests of the mesh: an authority, certificates from it, and networks that listen on loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from tenet.base.clock import Clock, SystemClock
from tenet.base.ids import SystemIds
from tenet.mesh.channel import NodeId
from tenet.mesh.credentials import CredentialFiles, Credentials, ensure_key, keep, wanted_of
from tenet.mesh.link import LinkLimits
from tenet.mesh.network import Network
from tenet.wire.issuing import Authority, Issuer, pem_certificate

IDS = SystemIds()
HOUR_S = 3600.0


def on_loop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def until(is_so: Callable[[], object], timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not is_so():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


async def anybody(_: NodeId, __: str) -> str:
    return ""


class Cluster:
    """An authority, and directories with the credentials of nodes that it has certified."""

    def __init__(self, directory: Path, clock: Clock | None = None) -> None:
        self.directory = directory
        self.clock = clock or SystemClock()
        self.issuer = Issuer(clock=self.clock, ids=IDS)
        self.authority: Authority = self.issuer.new_authority("test")

    def certify(self, node: str, lifetime_s: float = HOUR_S, *, as_node: str | None = None) -> CredentialFiles:
        directory = self.directory / node
        directory.mkdir(parents=True, exist_ok=True)
        files = CredentialFiles.within(directory)
        key = ensure_key(files.private_key)
        wanted = wanted_of(NodeId(as_node or node), lifetime_s)
        keep(files.authority, pem_certificate(self.authority.certificate))
        keep(files.certificate, pem_certificate(self.issuer.issue(self.authority, key.public_key(), wanted)))
        return files

    def credentials(
        self, node: str, lifetime_s: float = HOUR_S, protocols: dict[str, int] | None = None
    ) -> Credentials:
        return Credentials(NodeId(node), self.certify(node, lifetime_s), protocols)

    @asynccontextmanager
    async def node(
        self,
        node: str,
        *,
        admit: Callable[[NodeId, str], Awaitable[str]] = anybody,
        limits: LinkLimits | None = None,
        lifetime_s: float = HOUR_S,
        port: int = 0,
        protocols: dict[str, int] | None = None,
    ) -> AsyncIterator[Network]:
        credentials = self.credentials(node, lifetime_s, protocols)
        network = Network(credentials, "1.0", admit, clock=self.clock, ids=IDS, limits=limits)
        await network.start("127.0.0.1", port)
        try:
            yield network
        finally:
            await network.close()


def connected(*networks: Network) -> bool:
    """Whether each of them has all others as its peers."""
    nodes = {network.node for network in networks}
    return all({peer.node for peer in network.peers()} == nodes - {network.node} for network in networks)


async def dial(address: str, context: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connects as a program of somebody else's would."""
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port), ssl=context, server_hostname="node.tenet")
