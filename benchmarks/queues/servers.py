"""Tenet and the peers of its queues as servers to measure, all on loopback without encryption."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks import servers
from benchmarks.generator import Target
from benchmarks.queues import rabbitmq
from tests.conformance import peers

TENET: Final = servers.TENET
ELASTICMQ_MEMORY: Final = "ElasticMQ, in memory"
ELASTICMQ_FILE: Final = "ElasticMQ, H2"
RABBITMQ: Final = "RabbitMQ"
#: Names in the tables, by the names that the peers are asked for by.
PEERS: Final = {"elasticmq": ELASTICMQ_MEMORY, "elasticmq-h2": ELASTICMQ_FILE, "rabbitmq": RABBITMQ}


@contextmanager
def beside_peers(folder: Path, names: Sequence[str]) -> Iterator[list[Target]]:
    """Tenet, first, and the named peers."""
    with ExitStack() as stack:
        targets = [stack.enter_context(servers.tenet(folder))]
        for name in names:
            data = folder / name
            data.mkdir()
            if name == "rabbitmq":
                endpoint, pid = stack.enter_context(rabbitmq.running(data))
            else:
                kept = data if name == "elasticmq-h2" else None
                peer = stack.enter_context(peers.running(peers.PEERS["elasticmq"], data, kept))
                endpoint, pid = peer.endpoint, peer.process.pid
            targets.append(Target(PEERS[name], endpoint, (pid,)))
        yield targets
