"""Starts the peers: other implementations of the APIs, each a process of its own on a free loopback port.

    with running(PEERS["dynalite"], folder) as peer:
        peer.endpoint

They are witnesses of how the service answers and rivals in benchmarks; Tenet needs none of them.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.packages import DYNALITE, DYNAMODB_LOCAL, DYNOXIDE, ELASTICMQ, MOTO, Package
from tests.rounds import LONG

START_S_MAX = 60
STOP_S_MAX = 10
ATTEMPTS = 3


class PeerDidNotStart(Exception):
    """A peer ended, or did not answer in time; the message holds the end of what it printed."""


@dataclass(frozen=True)
class Peer:
    """A kind of peer.

    Args:
        name: what it is called.
        package: what it runs from.
        command: its command line from its folder, a port, and the data directory or None for one in memory.
        is_durable: whether it can keep its data in files.
    """

    name: str
    package: Package
    command: Callable[[Path, int, Path | None], list[str]]
    is_durable: bool = True


def _dynamodb_local(folder: Path, port: int, data: Path | None) -> list[str]:
    library = folder / "lib"
    return [
        *("java", "-XX:+UseSerialGC", "-Xmx600m", f"-Djava.library.path={library}", "-cp", f"{library}/*"),
        "software.amazon.dynamodb.services.local.main.ServerRunner",
        *("-port", str(port), "-sharedDb", "-disableTelemetry"),
        *(["-inMemory"] if data is None else ["-dbPath", str(data)]),
    ]


def _dynalite(folder: Path, port: int, data: Path | None) -> list[str]:
    return [
        *("node", str(folder / "node_modules" / "dynalite" / "cli.js"), "--port", str(port)),
        *("--createTableMs", "0", "--deleteTableMs", "0", "--updateTableMs", "0"),
        *([] if data is None else ["--path", str(data)]),
    ]


def _moto(folder: Path, port: int, _data: Path | None) -> list[str]:
    return [str(folder / "bin" / "python"), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]


def _dynoxide(folder: Path, port: int, data: Path | None) -> list[str]:
    return [
        *(str(folder / "bin" / "dynoxide"), "--host", "127.0.0.1", "--port", str(port)),
        *([] if data is None else ["--db-path", str(data / "dynoxide.db")]),
    ]


def _elasticmq(folder: Path, port: int, data: Path | None) -> list[str]:
    return [
        *("java", "-XX:+UseSerialGC", "-Xmx600m", "-Drest-sqs.bind-hostname=127.0.0.1", f"-Drest-sqs.bind-port={port}"),
        *("-Dnode-address.host=127.0.0.1", f"-Dnode-address.port={port}", "-Drest-stats.enabled=false"),
        *([] if data is None else _elasticmq_storage(data)),
        *("-cp", f"{folder / 'lib'}/*", "org.elasticmq.server.Main"),
    ]


def _elasticmq_storage(data: Path) -> list[str]:
    """Has ElasticMQ keep messages in a file of H2, and its queues beside it."""
    return [
        *("-Dqueues-storage.enabled=true", f"-Dqueues-storage.path={data / 'queues.conf'}"),
        *("-Dmessages-storage.enabled=true", f"-Dmessages-storage.uri=jdbc:h2:{data / 'messages'}"),
    ]


#: By name. Building dynoxide takes minutes: `make bench` and `make test-long` do it, `make test` uses what is there.
PEERS = {
    peer.name: peer
    for peer in (
        Peer("dynamodb-local", DYNAMODB_LOCAL, _dynamodb_local),
        Peer("dynalite", DYNALITE, _dynalite),
        Peer("dynoxide", DYNOXIDE, _dynoxide),
        Peer("moto", MOTO, _moto, is_durable=False),
        Peer("elasticmq", ELASTICMQ, _elasticmq),
    )
}


def built(name: str) -> list[str]:
    """Returns a peer's name where it takes part in a differential test, and nothing where it was not built before.

    It always takes part in the full rounds, which build it. A warning says that it does not.

    Args:
        name: of a peer whose build takes minutes.
    """
    if LONG or PEERS[name].package.is_here:
        return [name]
    warnings.warn(f"{name} takes no part as a witness: it is not built; `make test-long` builds it", stacklevel=2)
    return []


class RunningPeer:
    """A peer that answers.

    Args:
        peer: which one.
        process: its process.
        port: where it listens on 127.0.0.1.
        log: what it prints.
    """

    def __init__(self, peer: Peer, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.peer = peer
        self.process = process
        self.port = port
        self.log = log

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_alive(self) -> bool:
        """Whether its process runs."""
        return self.process.poll() is None

    def stop(self) -> None:
        """Ends its process, gently and then by force."""
        if self.is_alive:
            self.process.terminate()
        try:
            self.process.wait(timeout=STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(peer: Peer, folder: Path, data: Path | None = None) -> RunningPeer:
    """Fetches a peer where needed, starts it and waits until it answers.

    Args:
        peer: which one.
        folder: where its output goes.
        data: where it keeps its data; None for memory.

    Raises:
        ToolMissing: a program that it needs is not installed.
        FetchFailed: it could not be fetched.
        PeerDidNotStart: it did not come up.
    """
    if data is not None and not peer.is_durable:
        raise ValueError(f"{peer.name} keeps nothing in files")
    where = peer.package.ensure()
    log = folder / f"{peer.name}.log"
    # Another process may take the port between the moment it was found free and the peer's start.
    for _attempt in range(ATTEMPTS):
        port = free_port()
        with log.open("ab") as output:
            process = subprocess.Popen(
                peer.command(where, port, data),
                cwd=folder,
                env={name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TENET_"))},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        started = RunningPeer(peer, process, port, log)
        if _comes_up(started):
            return started
        started.stop()
    raise PeerDidNotStart(f"{peer.name}: {log.read_text(encoding='utf-8', errors='replace')[-3_000:]}")


@contextmanager
def running(peer: Peer, folder: Path, data: Path | None = None) -> Iterator[RunningPeer]:
    """A peer for the length of a block."""
    started = start(peer, folder, data)
    try:
        yield started
    finally:
        started.stop()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _comes_up(started: RunningPeer) -> bool:
    """Waits until any answer comes over HTTP, or its process ends, or the time is up."""
    until = time.monotonic() + START_S_MAX
    while time.monotonic() < until and started.is_alive:
        connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=5)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
        else:
            return True
        finally:
            connection.close()
    return False
