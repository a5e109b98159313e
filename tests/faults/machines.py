"""Machines that fail for real: a Cassandra and a Tenet in each, a network that can be cut, HAProxy before them.

with machines(tmp_path) as up:
    trial = conduct(up.target, up.nodes, schedule, LOADS, ..., partitions=up.network)

Each machine has a network namespace of its own (``network``), so that one of them can be separated from the others
while the proxy, and with it the clients, still reach all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.clusters import new_store_url
from tests.conformance.peers import free_port
from tests.faults.clients import Target
from tests.faults.control import Node, NumberedNode, TenetNode
from tests.faults.haproxy import Proxy
from tests.faults.network import Network
from tests.servers import join
from tools.cluster.cluster import use
from tools.cluster.spec import Spec

COUNT = 3
CLIENT_PORT, MESH_PORT = 8_000, 7_900


@dataclass(frozen=True)
class Machines:
    """Three machines that are up.

    Args:
        network: cuts machines off; a machine's name is its number.
        tenets: the Tenet of each.
        cassandras: the Cassandra of each.
        target: how clients speak to all of them.
    """

    network: Network
    tenets: Sequence[TenetNode]
    cassandras: Sequence[Node]
    target: Target

    @property
    def nodes(self) -> list[Node]:
        """All processes."""
        return [*self.tenets, *self.cassandras]

    @property
    def racks(self) -> dict[str, list[str]]:
        """The processes of each machine, which is a rack of its own."""
        pairs = zip(self.tenets, self.cassandras, strict=True)
        return {f"rack {number}": [one.name for one in pair] for number, pair in enumerate(pairs, 1)}


@contextmanager
def machines(folder: Path) -> Iterator[Machines]:
    """Starts three machines with empty disks, and ends them.

    Args:
        folder: where the Tenets keep their data.
    """
    names = [str(number) for number in range(1, COUNT + 1)]
    with ExitStack() as stack:
        network = Network(names)
        stack.callback(network.close)
        # What becomes a node in a namespace is the namespace's own command, with the number at its end.
        prefix = " ".join(network.prefix(names[0])).removesuffix("1") + "$number"
        cluster = stack.enter_context(use(Spec(network.inside_prefix, COUNT, prefix=prefix), is_fresh=True))
        cluster.start_all()
        url = new_store_url(cluster)
        tenets: list[TenetNode] = []
        for name in names:
            data = folder / f"tenet-{name}"
            environment = {"TENET_STORE_URL": url, "TENET_MESH_LISTEN": f"{network.inside(name)}:{MESH_PORT}"}
            listen = f"{network.outside(name)}:{CLIENT_PORT}"
            node = TenetNode(f"tenet-{name}", data, listen=listen, environment=environment, prefix=network.prefix(name))
            if tenets:
                join(tenets[0].server, data)
            node.start()
            stack.callback(node.end)
            tenets.append(node)
        exports = tenets[0].server.exports
        proxy = Proxy(
            Path(stack.enter_context(TemporaryDirectory(prefix="haproxy"))),
            {node.name: node.address for node in tenets},
            listen=f"127.0.0.1:{free_port()}",
            ca_file=exports["AWS_CA_BUNDLE"],
        )
        proxy.start()
        stack.callback(proxy.end)
        cassandras = [NumberedNode(cluster, number) for number in range(1, COUNT + 1)]
        yield Machines(network, tenets, cassandras, proxy.target(exports))
