"""What a cluster is: addresses, nodes, tokens, settings, and where its files lie."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template
from typing import Any

from tests.conformance.packages import cache

FILES = Path(__file__).parent / "files"
CQL_PORT = 9042
STORAGE_PORT = 7000
JMX_PORT = 7199
NODES_MAX = 9
TOKENS_PER_NODE = 16
_NETWORK = re.compile(r"(127|10)\.(\d{1,3})\.(\d{1,3})")
#: The longest path of a socket that both Linux (108) and macOS (104) take, with the byte that ends it.
SOCKET_PATH_BYTES_MAX = 103


@dataclass(frozen=True)
class Spec:
    """A cluster to run.

    Args:
        network: the first three numbers of its addresses; node n listens on ``network.n``. Within 127.0.0.0/8, or,
            where nodes have network namespaces of their own, within 10.0.0.0/8.
        nodes: how many, 1 to 9; each in a rack of its own of one data centre, dc1.
        heap_mb: MiB of heap of each node, and of memory beside the heap.
        settings: lines of cassandra.yaml that take the place of those with the same names; ``$folder`` is the node's.
        is_encrypted: whether these settings make clients speak TLS, so that the probe does so too.
        is_optimized: whether the JVM compiles what runs often a second time, for speed that lasts. That takes most of
            the processors for minutes, which nodes that live for as long as some tests never get back.
        never_stops: that all nodes stay up until the cluster is thrown away. So none flushes the definitions of tables
            whenever there is one more, and none fetches those of the others, which takes seconds where there are many.
        prefix: a command that becomes the node that it is given, as ``ip netns exec NAME-$number``.

    Raises:
        ValueError: the network or the number of nodes is out of bounds.
    """

    network: str = "127.0.0"
    nodes: int = 3
    heap_mb: int = 1_000
    settings: str = ""
    is_encrypted: bool = False
    is_optimized: bool = False
    never_stops: bool = False
    prefix: str = ""

    def __post_init__(self) -> None:
        match = _NETWORK.fullmatch(self.network)
        if match is None or any(int(number) > 255 for number in match.groups()):
            raise ValueError(f"network {self.network!r} is not of the form 127.x.y or 10.x.y")
        if not 1 <= self.nodes <= NODES_MAX:
            raise ValueError(f"nodes is {self.nodes}, and has to be 1 to {NODES_MAX}")
        if len(bytes(self.socket)) > SOCKET_PATH_BYTES_MAX:
            raise ValueError(f"{self.socket} has over {SOCKET_PATH_BYTES_MAX} bytes: set TENET_CACHE to a shorter path")

    @property
    def folder(self) -> Path:
        """Everything of this cluster; a machine has each address once, and so each folder."""
        return cache() / "clusters" / self.network

    @property
    def socket(self) -> Path:
        """Where its keeper listens."""
        return self.folder / "keeper.sock"

    @property
    def numbers(self) -> range:
        """The nodes, counted from 1."""
        return range(1, self.nodes + 1)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The nodes' addresses."""
        return tuple(self.address(number) for number in self.numbers)

    def address(self, number: int) -> str:
        """Where a node listens."""
        return f"{self.network}.{number}"

    def node_folder(self, number: int) -> Path:
        """Data, logs and configuration of a node."""
        return self.folder / f"n{number}"

    def to_json(self) -> dict[str, Any]:
        """For the keeper's command line, and to be compared."""
        return asdict(self)

    def files(self, number: int) -> dict[str, str]:
        """The configuration of a node: text by file name."""
        values = {
            "address": self.address(number),
            "cluster": f"tenet {self.network}",
            "folder": str(self.node_folder(number)),
            "rack": f"r{number}",
            "seeds": ",".join(self.addresses),
            "token_count": str(TOKENS_PER_NODE),
            "tokens": ",".join(str(token) for token in self._tokens(number)),
        }
        yaml = replace_settings((FILES / "cassandra.yaml").read_text(encoding="utf-8"), self.settings)
        texts = {
            name: (FILES / name).read_text(encoding="utf-8") for name in ("cassandra-rackdc.properties", "logback.xml")
        }
        return {name: Template(text).substitute(values) for name, text in (texts | {"cassandra.yaml": yaml}).items()}

    def command(self, number: int, java: Path, library: Path) -> list[str]:
        """The command line of a node."""
        folder = self.node_folder(number)
        values = {
            "address": self.address(number),
            "folder": str(folder),
            "compilation_level": "4" if self.is_optimized else "1",
            "heap_mb": str(self.heap_mb),
            "jamm": str(next(library.glob("jamm-*.jar"))),
        }
        lines = Template((FILES / "java.options").read_text(encoding="utf-8")).substitute(values).splitlines()
        options = [line for line in lines if line and not line.startswith("#")]
        if self.never_stops:
            options.append("-Dcassandra.test.flush_local_schema_changes=false")
            options.append(f"-Dcassandra.skip_schema_check_for_endpoints={','.join(self.addresses)}")
        return [
            *Template(self.prefix).substitute(number=number).split(),
            str(java),
            *options,
            "-cp",
            f"{folder}/conf:{library}/*",
            "org.apache.cassandra.service.CassandraDaemon",
        ]

    def _tokens(self, number: int) -> list[int]:
        """Every ``nodes``-th of evenly spaced tokens of Murmur3Partitioner, so that neighbours are in other racks."""
        count = TOKENS_PER_NODE * self.nodes
        return [-(2**63) + 1 + place * 2**64 // count for place in range(number - 1, count, self.nodes)]


def replace_settings(yaml: str, settings: str) -> str:
    """Returns a YAML text of which whole top-level entries are replaced by those of another, and new ones appended."""
    names = set(re.findall(r"^(\w+):", settings, re.MULTILINE))
    kept, is_replaced = [], False
    for line in yaml.splitlines():
        match = re.match(r"(\w+):", line)
        if match:
            is_replaced = match[1] in names
        elif line.startswith("#"):
            is_replaced = False
        if not is_replaced:
            kept.append(line)
    return "\n".join([*kept, settings, ""])
