"""HAProxy as it is configured here, in front of two real servers: who is killed or frozen is out within two seconds."""

from __future__ import annotations

import http.client
import ssl
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conformance.peers import free_port
from tests.faults.control import TenetNode
from tests.faults.haproxy import Proxy

NODES = ("one", "two")


class Front:
    """Two servers behind a proxy."""

    def __init__(self, folder: Path) -> None:
        self.nodes = {
            name: TenetNode(name, folder / name, environment={"TENET_STORE_URL": "memory:"}) for name in NODES
        }
        for node in self.nodes.values():
            node.start()
        # Each has an authority of its own; nodes of one installation share one.
        authorities = folder / "ca.pem"
        bundles = [Path(str(node.target.ca_file)).read_text(encoding="utf-8") for node in self.nodes.values()]
        authorities.write_text("\n".join(bundles), encoding="utf-8")
        addresses = {name: node.address for name, node in self.nodes.items()}
        self.tls = ssl.create_default_context(cafile=str(authorities))
        self.port = free_port()
        self.proxy = Proxy(folder, addresses, listen=f"127.0.0.1:{self.port}", ca_file=str(authorities))
        self.proxy.start()

    def connect(self) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=self.tls)
        connection.connect()
        return connection

    def end(self) -> None:
        self.proxy.end()
        for node in self.nodes.values():
            node.end()


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    # A control socket's path has at most 108 bytes.
    with tempfile.TemporaryDirectory(prefix="front-") as folder:
        made = Front(Path(folder))
        try:
            yield made
        finally:
            made.end()


def ask(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    answer.read()
    return answer.status


def asks_a_new(front: Front) -> int:
    with closing(front.connect()) as connection:
        return ask(connection)


def held(front: Front, name: str) -> http.client.HTTPSConnection:
    """A connection through the proxy that leads to a node: the one that ends when the other is there alone."""
    certificate = ssl.get_server_certificate(("127.0.0.1", int(front.nodes[name].address.split(":")[1])))
    for _ in range(20):
        connection = front.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        shown = connection.sock.getpeercert(binary_form=True)
        if shown == ssl.PEM_cert_to_DER_cert(certificate):
            return connection
        connection.close()
    raise AssertionError(f"no connection led to {name}")


def test_every_node_is_used(front: Front) -> None:
    assert front.proxy.states() == dict.fromkeys(NODES, "UP")
    for name in NODES:
        with closing(held(front, name)) as connection:
            assert ask(connection) == 200


@pytest.mark.alone
@pytest.mark.parametrize("action", ["kill9", "pause"])
def test_a_node_that_is_gone_or_frozen_is_out_within_two_seconds(front: Front, action: str) -> None:
    node = front.nodes["one"]
    with closing(held(front, "one")) as connection:
        assert ask(connection) == 200
        begin_s = time.monotonic()
        node.kill9() if action == "kill9" else node.pause()
        try:
            # Who waits for an answer of it is told that none will come, and finds the other node.
            with pytest.raises((http.client.HTTPException, OSError)):
                ask(connection)
            front.proxy.wait_up({"two"}, timeout_s=5)
            assert time.monotonic() - begin_s < 2
            assert [asks_a_new(front) for _ in range(4)] == [200] * 4
            assert time.monotonic() - begin_s < 3
        finally:
            node.start() if action == "kill9" else node.resume()
    front.proxy.wait_up(set(NODES))
    assert asks_a_new(front) == 200
