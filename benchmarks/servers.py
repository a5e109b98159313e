"""Tenet and its peers as servers to measure, all with their data in files, all on loopback without encryption."""

from __future__ import annotations

import http.client
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.generator import Target
from tests import servers
from tests.conformance import peers

TENET = "Tenet"
#: The first node makes tables in a cluster, which takes a second each.
NODE_START_S_MAX = 180.0
#: Names in the tables, by the names that the peers are started by.
PEERS = {"dynoxide": "dynoxide", "dynamodb-local": "DynamoDB Local"}


class NodeDidNotStart(Exception):
    """A Tenet node could not be started; the message has the end of its log."""


@contextmanager
def tenet(folder: Path) -> Iterator[Target]:
    """Tenet as it ships, logging and metrics on, in one process on the embedded engine."""
    with servers.running(folder / "tenet", "--plaintext") as server:
        yield target_of(server)


@contextmanager
def beside_peers(folder: Path, names: Sequence[str]) -> Iterator[list[Target]]:
    """Tenet, first, and the named peers."""
    with ExitStack() as stack:
        targets = [stack.enter_context(tenet(folder))]
        for name in names:
            data = folder / name
            data.mkdir()
            peer = stack.enter_context(peers.running(peers.PEERS[name], folder, data))
            targets.append(Target(PEERS[name], peer.endpoint, (peer.process.pid,)))
        yield targets


@contextmanager
def nodes(folder: Path, store_url: str, count: int) -> Iterator[list[Target]]:
    """So many Tenet nodes of one cluster, as they ship; the second and later ones have joined the first.

    Raises:
        NodeDidNotStart: one did not, and says why.
    """
    with ExitStack() as stack:
        started: list[servers.Server] = []
        for number in range(1, count + 1):
            data = folder / f"tenet-{number}"
            try:
                if started:
                    servers.join(started[0], data)
                server = servers.start(data, "--plaintext", "--store", store_url, start_s_max=NODE_START_S_MAX)
            except AssertionError as error:
                raise NodeDidNotStart(str(error)) from error
            stack.callback(servers.end, server)
            started.append(server)
            print(f"  Tenet node {number} of {count}: {server.endpoint}", flush=True)
        yield [target_of(server) for server in started]


def start_to_first_answer_s(folder: Path, rounds: int) -> tuple[float, float]:
    """Seconds from the start of the process to the first answer: of the very first start, and the median of others."""
    elapsed = []
    for _ in range(1 + rounds):
        began = time.monotonic()
        with servers.running(folder / "started", "--plaintext") as server:
            _ask(server.endpoint)
            elapsed.append(time.monotonic() - began)
    return elapsed[0], statistics.median(elapsed[1:])


def target_of(server: servers.Server) -> Target:
    """Returns a server as the load generator sees it."""
    exports = server.exports
    return Target(
        TENET, server.endpoint, (server.process.pid,), exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"]
    )


def _ask(endpoint: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=10)
    try:
        connection.request("GET", "/")
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != http.client.OK:
        raise RuntimeError(f"GET / is answered {status}")
