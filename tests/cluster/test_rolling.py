"""Three Tenets are replaced one after the other by another version, and back, while clients of two SDKs go on.

The former version is a real one: the source before its last change (``tests.previous``). Both write to one store and
talk to each other meanwhile, each in the formats that it has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tenet.base.ids import SystemIds
from tests import previous
from tests.conformance.peers import free_port
from tests.faults import timeline
from tests.faults.clients import Clients, Load
from tests.faults.control import TenetNode
from tests.faults.haproxy import Proxy
from tests.faults.schedule import Schedule
from tests.faults.timeline import Event
from tests.faults.trial import Trial
from tests.faults.verdict import judge
from tests.rounds import rounds
from tools.cluster.cluster import Cluster

NAMES = ("tenet-1", "tenet-2", "tenet-3")
#: What clients begin at most is what a small machine answers without effort, with two nodes of three.
RATE = 2.0
LOADS = (
    Load("registers", 1, rate=RATE),
    Load("counters", 1, rate=RATE),
    Load("bank", 1, rate=RATE),
    Load("lists", 1, rate=RATE),
    Load("lists", 1, rate=RATE, language="javascript"),
)
#: How often all nodes are replaced and back.
TIMES = rounds(1, 3)
#: How long an index may be behind, and how long nodes may take to see each other again, on a busy machine.
SEEN_S_MAX = 30.0
#: How long a node is given to end its connections; versions that keep them open while they drain end them with a stop.
LEFT_S_MAX = 3.0
#: Nothing fails here: a node that starts on a busy machine must not make the others look dead.
CHECK_MS = 5_000
TABLE = "mixed"


class Nodes:
    """Nodes behind a proxy, each of which runs one of two versions.

    Args:
        nodes: all of them.
        proxy: in front of them.
    """

    def __init__(self, nodes: Sequence[TenetNode], proxy: Proxy) -> None:
        self.nodes = nodes
        self.proxy = proxy
        self.events: list[Event] = []
        self._written = 0

    def replace(self, node: TenetNode, version: dict[str, str], told: str) -> None:
        """Lets a node drain and end, and starts another version on its data directory, as the runbook says."""
        begin_ns = time.monotonic_ns()
        self._ask(node, "drain", node.name)
        self.proxy.wait_left(node.name, LEFT_S_MAX)
        assert node.server.stop() == 0
        node.environment = {name: node.environment[name] for name in ("TENET_STORE_URL",)} | version
        node.start()
        self._ask(node, "drain", node.name, "--over")
        self.proxy.wait_up(set(NAMES), SEEN_S_MAX)
        self.events.append(Event(begin_ns, time.monotonic_ns(), f"{node.name} becomes {told}"))
        self.check(node)

    def check(self, node: TenetNode) -> None:
        """Checks that a node sees all others, and that what it writes the jobs of all bring to readers at others."""
        _until(lambda: self._sees_all(node), f"{node.name} does not see all others")
        reader = self.nodes[(self.nodes.index(node) + 1) % len(self.nodes)]
        for writes, reads in ((node, reader), (reader, node)):
            self._written += 1
            number = str(self._written)
            with closing(writes.server.client()) as client:
                client.put_item(TableName=TABLE, Item={"id": {"S": number}, "group": {"S": number}})
            _until(partial(_finds, reads, number), f"{reads.name} does not find in the index what {writes.name} wrote")

    def change_master_key(self) -> None:
        """Changes the master key at all nodes, which are of this version, while clients go on."""
        begin_ns = time.monotonic_ns()
        done = self.nodes[-1].server.command("keys", "rotate-master")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Secrets encrypted under a new master key: ")
        files = {node.server.data.with_name(f"{node.name}.master-key").read_bytes() for node in self.nodes}
        assert len(files) == 1
        self.events.append(Event(begin_ns, time.monotonic_ns(), "the master key changes"))

    def _sees_all(self, node: TenetNode) -> bool:
        lines = self._ask(node, "list").splitlines()
        return len(lines) == len(NAMES) and all(line.endswith("  connected") for line in lines)

    def _ask(self, node: TenetNode, *arguments: str) -> str:
        done = node.server.command("node", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


def _finds(node: TenetNode, number: str) -> bool:
    with closing(node.server.client()) as client:
        page = client.query(
            TableName=TABLE,
            IndexName="by-group",
            KeyConditionExpression="#g = :g",
            ExpressionAttributeNames={"#g": "group"},
            ExpressionAttributeValues={":g": {"S": number}},
        )
    return bool(page["Count"])


def _until(holds: Callable[[], bool], otherwise: str) -> None:
    until_s = time.monotonic() + SEEN_S_MAX
    while not holds():
        assert time.monotonic() < until_s, otherwise
        time.sleep(0.1)


@contextmanager
def three_nodes(url: str, folder: Path, version: dict[str, str]) -> Iterator[Nodes]:
    """Three nodes of a version behind a proxy, with a table that has an index."""
    with ExitStack() as stack:
        environment = {"TENET_STORE_URL": url} | version
        first = TenetNode(NAMES[0], folder / NAMES[0], environment=environment | {"TENET_MESH_NAME": NAMES[0]})
        first.start()
        first.environment = environment  # it keeps the name that it got when it was made
        stack.callback(first.end)
        nodes = [first]
        for name in NAMES[1:]:
            nodes.append(first.joined_by(folder / name))
            nodes[-1].start()
            stack.callback(nodes[-1].end)
        with closing(first.server.client()) as client:
            keys = ({"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "group", "KeyType": "HASH"})
            client.create_table(
                TableName=TABLE,
                KeySchema=[keys[0]],
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("id", "group")],
                GlobalSecondaryIndexes=[
                    {"IndexName": "by-group", "KeySchema": [keys[1]], "Projection": {"ProjectionType": "ALL"}}
                ],
                BillingMode="PAY_PER_REQUEST",
            )
            client.get_waiter("table_exists").wait(TableName=TABLE, WaiterConfig={"Delay": 1})
        proxy = Proxy(
            Path(stack.enter_context(TemporaryDirectory(prefix="haproxy"))),
            {node.name: node.address for node in nodes},
            listen=f"127.0.0.1:{free_port()}",
            ca_file=first.server.exports["AWS_CA_BUNDLE"],
            check_ms=CHECK_MS,
        )
        proxy.start()
        stack.callback(proxy.end)
        yield Nodes(nodes, proxy)


@pytest.mark.time_limit_s(1_200)
def test_nodes_are_replaced_by_the_next_version_and_back_without_an_error(
    cassandra_cluster: Cluster, tmp_path: Path, seed: int
) -> None:
    former = previous.unpack(tmp_path / "former")
    older, newer = (former.environment, f"version {former.revision[:12]}"), ({"TENET_COMPILED": "0"}, "this version")
    url = f"cassandra://{','.join(cassandra_cluster.contact_points)}/test_{SystemIds().draw(6).hex()}"
    with three_nodes(url, tmp_path, former.environment) as cluster:
        target = cluster.proxy.target(cluster.nodes[0].server.exports)
        cluster.check(cluster.nodes[0])
        with Clients(target, tmp_path / "clients", seed=seed).running(LOADS, seconds=0.0) as run:
            for version, told in (newer, older) * TIMES:
                for node in cluster.nodes:
                    cluster.replace(node, version, told)
                if told == newer[1]:
                    cluster.change_master_key()
    trial = Trial(
        Schedule(seed, ()), tuple(cluster.events), run.begin_ns, run.until_ns, run.history, judge(run.history)
    )
    (tmp_path / "report.md").write_text(f"{trial}\n", encoding="utf-8")
    whole = timeline.span(run.history, run.begin_ns, run.until_ns, "all of it")
    print(f"{trial.verdict}\n{whole}")
    for event in cluster.events:
        print(timeline.span(run.history, event.begin_ns, event.end_ns, event.told))
    assert trial.verdict.is_right, str(trial)
    assert len(trial.history) > 100, str(trial)
    assert [f"{one.kind} failed with {one.error}" for one in run.history if timeline.has_failed(one)] == [], str(trial)
    # Whoever drains sends clients elsewhere between two requests: hardly a request has to be sent again.
    assert whole.retries <= len(trial.history) / 100, str(trial)
