"""A real Cassandra cluster on this machine, as tests and tools use it.

    with cluster.use(Spec()) as nodes:
        nodes.start_all(print)
        nodes.kill9(2)

Processes that use the same network share one cluster; it ends when the last of them does, however it ends.
"""

from __future__ import annotations

import fcntl
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.conformance.packages import CASSANDRA, cache
from tools.cluster.java import find_java
from tools.cluster.node import CannotStart, check_free
from tools.cluster.spec import CQL_PORT, FILES, JMX_PORT, Spec

ROOT = Path(__file__).resolve().parents[2]
#: Where the clusters of test runs look for room; 127.0.0 comes last, as it is a developer's.
NETWORKS = (*(f"127.0.{number}" for number in range(1, 10)), "127.0.0")
#: The variable by which a run tells its tests which network its cluster is on.
NETWORK = "TENET_TEST_CLUSTER"
START_S_MAX = 300
#: Longer than the keeper waits for an earlier one.
KEEPER_S_MAX = 70
#: Longer than a node may drain.
ANSWER_S_MAX = 60
PROBE_S_MAX = 2.0
#: OPTIONS of the native protocol, version 4, without a body; any server answers it, before any authentication.
_OPTIONS = bytes((4, 0, 0, 0, 5, 0, 0, 0, 0))
#: What Cassandra's gossip says in a node's log.
_SEEN = re.compile(r"^INFO .*?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) .* /(\d[\d.]+):\d+ is now (UP|DOWN)", re.MULTILINE)
#: Keepers that were started here. They may outlive this process, so that nobody waits for them.
_keepers: list[subprocess.Popen[bytes]] = []


class ClusterFailed(Exception):
    """A cluster or a node did not do what it was asked for; the message holds the end of its log."""


class Cluster:
    """A hold on a cluster, for one process; may be used from several threads.

    Args:
        network: where it runs.
        connection: to its keeper; while it is open, the cluster lives.
    """

    def __init__(self, network: str, connection: socket.socket) -> None:
        self._network = network
        self._connection = connection
        self._answers = connection.makefile("rb")
        self._lock = threading.Lock()
        #: What the keeper runs.
        self.spec = Spec(**self._ask("spec"))

    @property
    def contact_points(self) -> tuple[str, ...]:
        """Addresses of all nodes; all listen on port 9042."""
        return self.spec.addresses

    # ---- one node ----

    def start(self, number: int) -> None:
        """Starts a node that is down, with its data, and waits until it answers.

        Raises:
            ClusterFailed: it did not come up.
        """
        self.launch(number)
        self.wait_up(number)

    def launch(self, number: int) -> None:
        """Starts a node that is down, and does not wait."""
        self._do("start", number)

    def stop(self, number: int) -> None:
        """Lets a node drain, and waits until its process has ended."""
        self._do("stop", number)

    def kill9(self, number: int) -> None:
        """Ends a node between two instructions, and waits until its process has ended."""
        self._do("kill9", number)

    def pause(self, number: int) -> None:
        """Freezes a node (SIGSTOP): its connections stay open, and nothing answers."""
        self._do("pause", number)

    def resume(self, number: int) -> None:
        """Lets a frozen node go on."""
        self._do("resume", number)

    def is_up(self, number: int) -> bool:
        """Whether a node answers a client within two seconds."""
        return self.state(number)["state"] == "running" and _answers(
            self.spec.address(number), is_encrypted=self.spec.is_encrypted
        )

    def state(self, number: int) -> dict[str, Any]:
        """What the keeper knows of it.

        Returns:
            ``state``: running, paused or down; ``pid``; ``exit_code`` of the last end; ``started_at`` in seconds of
            Unix time, and ``log_offset`` in bytes: when and where in system.log the last start was.
        """
        state: dict[str, Any] = self._ask("status")["nodes"][number - 1]
        return state

    def logs(self, number: int) -> Path:
        """The folder of system.log, which is Cassandra's, and output.log, which is Java's."""
        return self.spec.node_folder(number) / "logs"

    def seen_up(self, number: int) -> set[int]:
        """Which other nodes a node believes to be up, each in its present life; none where it does not run."""
        states = self._ask("status")["nodes"]
        if states[number - 1]["state"] == "down":
            return set()
        last: dict[str, tuple[datetime, str]] = {}
        with (self.logs(number) / "system.log").open("rb") as file:
            file.seek(states[number - 1]["log_offset"])
            for when, address, what in _SEEN.findall(file.read().decode(errors="replace")):
                last[address] = (datetime.strptime(when, "%Y-%m-%d %H:%M:%S,%f").astimezone(), what)
        never = (datetime.min.replace(tzinfo=UTC), "DOWN")
        return {
            other
            for other, state in zip(self.spec.numbers, states, strict=True)
            for when, what in [last.get(self.spec.address(other), never)]
            if what == "UP" and when.timestamp() >= state["started_at"]
        }

    def wait_up(self, number: int, timeout_s: float = START_S_MAX) -> None:
        """Waits until a node answers clients.

        Raises:
            ClusterFailed: its process ended, or the time is up.
        """
        until = time.monotonic() + timeout_s
        while not self.is_up(number):
            if self.state(number)["state"] == "down":
                raise ClusterFailed(f"node {number} ended:\n{self._tail(number)}")
            if time.monotonic() > until:
                raise ClusterFailed(f"node {number} does not answer after {timeout_s:.0f} s:\n{self._tail(number)}")
            time.sleep(0.1)

    def nodetool(self, number: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs Cassandra's nodetool on a node; takes two seconds."""
        library = CASSANDRA.ensure() / "lib"
        access = [option for option in self.spec.command(number, Path(), library) if option.startswith("--add-")]
        home = [f"-Duser.home={self.spec.folder}", f"-Dlogback.configurationFile={FILES / 'logback-tools.xml'}"]
        tool = ["-cp", f"{library}/*", "org.apache.cassandra.tools.NodeTool"]
        node = ["-h", self.spec.address(number), "-p", str(JMX_PORT)]
        return subprocess.run(
            [str(find_java()), "-Xmx128m", *access, *home, *tool, *node, *arguments],
            cwd=self.spec.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    # ---- all of it ----

    def start_all(self, progress: Callable[[str], object] = lambda _line: None) -> None:
        """Makes the cluster whole: resumes what is paused, starts what is down, waits until all see each other.

        Args:
            progress: called with a line for each node.

        Raises:
            ClusterFailed: a node did not come up, or the nodes do not see each other.
        """
        began = time.monotonic()
        for number in self.spec.numbers:
            self._do("resume" if self.state(number)["state"] == "paused" else "start", number)
        for number in self.spec.numbers:
            self.wait_up(number)
            pid, elapsed_s = self.state(number)["pid"], time.monotonic() - began
            address = self.spec.address(number)
            progress(
                f"node {number} of {self.spec.nodes}: {address} rack r{number} is up, {elapsed_s:.1f} s (pid {pid})"
            )
        self.wait_whole()

    def wait_whole(self, timeout_s: float = START_S_MAX) -> None:
        """Waits until every node answers clients and believes all others to be up.

        Raises:
            ClusterFailed: the time is up.
        """
        until = time.monotonic() + timeout_s
        for number in self.spec.numbers:
            self.wait_up(number, timeout_s)
            others = set(self.spec.numbers) - {number}
            while self.seen_up(number) < others:
                if time.monotonic() > until:
                    seen = sorted(self.seen_up(number))
                    raise ClusterFailed(f"node {number} sees only {seen} up:\n{self._tail(number)}")
                time.sleep(0.1)

    def stay(self) -> None:
        """Lets the cluster live on when nobody uses it any more, until it is shut down."""
        self._ask("stay")

    def shutdown(self) -> None:
        """Lets all nodes drain and ends the cluster for everybody."""
        self._ask("shutdown")

    def close(self) -> None:
        """Lets go of the cluster."""
        self._answers.close()
        self._connection.close()

    def _do(self, operation: str, number: int) -> None:
        if number not in self.spec.numbers:
            raise ValueError(f"there is no node {number}, only 1 to {self.spec.nodes}")
        self._ask(operation, number)

    def _ask(self, operation: str, number: int = 0) -> Any:
        try:
            with self._lock:
                self._connection.sendall(json.dumps({"op": operation, "node": number}).encode() + b"\n")
                line = self._answers.readline()
        except OSError:
            line = b""
        if not line:
            log = Spec(self._network).folder / "keeper.log"
            raise ClusterFailed(f"the keeper of {self._network} has ended or does not answer; see {log}")
        answer = json.loads(line)
        if "error" in answer:
            raise ClusterFailed(answer["error"])
        return answer["result"]

    def _tail(self, number: int) -> str:
        ends = []
        for name in ("output.log", "system.log"):
            path = self.logs(number) / name
            if path.exists():
                ends.append(f"{path}:\n{path.read_text(encoding='utf-8', errors='replace')[-2_000:]}")
        return "\n".join(ends)


def find(network: str) -> Cluster | None:
    """Takes hold of the cluster that runs on a network; None where none does."""
    connection = _connect(Spec(network))
    if connection is None:
        return None
    try:
        return Cluster(network, connection)
    except ClusterFailed:  # it was ending, and answers nobody any more
        connection.close()
        return None


def open_cluster(spec: Spec, *, is_fresh: bool = True) -> Cluster:
    """Takes hold of a cluster; where none runs on that network, makes a keeper with all nodes down.

    Args:
        spec: the cluster.
        is_fresh: whether data of an earlier cluster on this network is thrown away, where none runs.

    Raises:
        ToolMissing: Java or Maven is not installed.
        FetchFailed: Cassandra could not be fetched.
        ClusterFailed: another cluster runs there, or the keeper did not start.
    """
    # One process at a time looks for a keeper and makes one.
    with _locked(spec.folder / "start.lock"):
        found = find(spec.network)
        if found is None:
            return Cluster(spec.network, _spawn(spec, is_fresh=is_fresh))
    # What makes it quick makes it no other cluster.
    if replace(found.spec, is_optimized=spec.is_optimized, never_stops=spec.never_stops) != spec:
        found.close()
        raise ClusterFailed(f"on {spec.network} runs a cluster with other settings, {found.spec}; stop it first")
    return found


def free_network(nodes: int = Spec.nodes) -> str:
    """Returns the first of the NETWORKS on which nobody has a cluster or listens.

    Args:
        nodes: how many addresses are needed.

    Raises:
        ClusterFailed: none is free; the message says for each network why.
    """
    reasons = []
    for network in NETWORKS:
        try:
            for address in Spec(network, nodes).addresses:
                check_free(address, CQL_PORT)
        except CannotStart as error:
            reasons.append(str(error))
            continue
        found = find(network)
        if found is None:
            return network
        found.close()
        reasons.append(f"{network} has a cluster")
    raise ClusterFailed(f"No room for a cluster: {'; '.join(reasons)}")


def open_free(spec: Spec) -> Cluster:
    """Makes a fresh cluster, with all nodes down, on a network that nobody uses.

    Args:
        spec: the cluster; its network is not looked at.

    Raises:
        ToolMissing: Java or Maven is not installed.
        FetchFailed: Cassandra could not be fetched.
        ClusterFailed: there is no room.
    """
    with _locked(cache() / "clusters" / "free.lock"):  # for whoever looks for room at the same time
        return open_cluster(replace(spec, network=free_network(spec.nodes)))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def use(spec: Spec, *, is_fresh: bool = True) -> Iterator[Cluster]:
    """A hold on a cluster for the length of a block; see `open_cluster`."""
    cluster = open_cluster(spec, is_fresh=is_fresh)
    try:
        yield cluster
    finally:
        cluster.close()


def _spawn(spec: Spec, *, is_fresh: bool) -> socket.socket:
    java, library = find_java(), CASSANDRA.ensure() / "lib"
    arguments = [json.dumps(spec.to_json()), str(java), str(library), "fresh" if is_fresh else "kept"]
    log = spec.folder / "keeper.log"
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tools.cluster.keeper", *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A Ctrl-C at the terminal is for whoever waits; the keeper notices that nobody uses it.
            start_new_session=True,
        )
    _keepers.append(keeper)
    until = time.monotonic() + KEEPER_S_MAX
    while keeper.poll() is None and time.monotonic() < until:
        connection = _connect(spec)
        if connection is not None:
            return connection
        time.sleep(0.05)
    keeper.kill()
    raise ClusterFailed(f"{spec.network}: {log.read_text(encoding='utf-8', errors='replace')[-2_000:].strip()}")


def _connect(spec: Spec) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(ANSWER_S_MAX)
    try:
        connection.connect(str(spec.socket))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    return connection


def _answers(address: str, *, is_encrypted: bool) -> bool:
    """Asks a node for its options: a frozen process accepts connections too, by its kernel's hand."""
    try:
        with socket.create_connection((address, CQL_PORT), timeout=PROBE_S_MAX) as connection:
            if is_encrypted:
                return _greets(connection)
            connection.sendall(_OPTIONS)
            return bool(connection.recv(9))
    except OSError:
        return False


def _greets(connection: socket.socket) -> bool:
    """Whether a server takes part in a TLS handshake; that it asks for a certificate is an answer."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(connection):
        return True
