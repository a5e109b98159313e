"""Machines of their own on one machine: network namespaces of Linux, two networks between them, and cuts.

Every node has a namespace with two addresses. Over the *inside* network nodes speak to each other, and it is what a
partition cuts: nodes on one side hear nothing from the other, not even a refusal, as where a switch has died. Over the
*outside* network proxy and clients, who live where the test lives, reach every node at any time, so that they can see
what the minority says.

    inside     10.N.1.n    a bridge for each side of a cut; the test has 10.N.1.254, on the side of the majority
    outside    10.N.2.n    a bridge; the test has 10.N.2.254

N, 100 to 199, is a network's number, and its names begin with it. A network holds its number by the lock of a file,
which ends with its process, however that ends: what a process that was killed has left behind is taken away by the
next that takes the number, and nobody touches what another is using.

It takes the right to make namespaces, which is root's, and ``ip`` of iproute2; ``why_not`` says what is missing.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

#: Second byte of addresses.
_NUMBERS = range(100, 200)
#: Where ``ip`` keeps the names of namespaces, which are the whole machine's as these locks are.
_LOCKS = Path("/run/tenet-networks")
_TIMEOUT_S = 30


class NetworkFailed(Exception):
    """A command of ``ip`` failed; the message holds it and what it printed."""


def why_not() -> str:
    """Says why namespaces cannot be made here; empty where they can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are a part of Linux"
    if shutil.which("ip") is None:
        return "ip is not on the PATH: install iproute2"
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    probe = f"tenet-probe-{os.getpid()}"
    try:
        _ip("netns", "add", probe)
    except NetworkFailed as error:
        return str(error)
    _ip("netns", "delete", probe)
    return ""


class Network:
    """Namespaces for nodes; ``close`` removes all of it, and what still runs in it must have ended.

    Args:
        names: the nodes, at most 200.

    Raises:
        NetworkFailed: it cannot be made, or all numbers are in use; nothing is left of it.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._numbers = {name: number for number, name in enumerate(names, 1)}
        self._net, self._lock = _take_a_number()
        self._tag = f"tn{self._net}"
        self._is_cut: set[str] = set()
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    @property
    def tag(self) -> str:
        """What the names of all its namespaces and cables begin with."""
        return self._tag

    @property
    def inside_prefix(self) -> str:
        """The first three bytes of the addresses under which nodes reach each other."""
        return f"10.{self._net}.1"

    def inside(self, name: str) -> str:
        """Address under which other nodes reach a node."""
        return f"10.{self._net}.1.{self._numbers[name]}"

    def outside(self, name: str) -> str:
        """Address under which proxy and clients reach a node."""
        return f"10.{self._net}.2.{self._numbers[name]}"

    def prefix(self, name: str) -> tuple[str, ...]:
        """The command that runs another one in a node's namespace; it becomes that command and keeps its pid."""
        return ("ip", "netns", "exec", self._namespace(name))

    def cut(self, names: Sequence[str]) -> None:
        """Separates these nodes from all others; among themselves they go on."""
        for name in names:
            self._plug(name, f"{self._tag}b")
            self._is_cut.add(name)

    def heal(self) -> None:
        """Connects all nodes again."""
        for name in sorted(self._is_cut):
            self._plug(name, f"{self._tag}a")
        self._is_cut.clear()

    def close(self) -> None:
        """Removes namespaces and bridges; safe to call twice, and where a part was never made."""
        if self._lock is None:
            return
        _take_away(self._tag)
        os.close(self._lock)
        self._lock = None

    def _namespace(self, name: str) -> str:
        return f"{self._tag}-{name}"

    def _build(self) -> None:
        # Bridges of the inside network lie in a namespace that has no address: nothing leads around a cut.
        switch = f"{self._tag}-switch"
        _ip("netns", "add", switch)
        for side in "ab":
            _ip("-n", switch, "link", "add", f"{self._tag}{side}", "type", "bridge", "forward_delay", "0")
            _ip("-n", switch, "link", "set", f"{self._tag}{side}", "up")
        _ip("link", "add", f"{self._tag}out", "type", "bridge", "forward_delay", "0")
        _ip("address", "add", f"10.{self._net}.2.254/24", "dev", f"{self._tag}out")
        _ip("link", "set", f"{self._tag}out", "up")
        self._look_inside(switch)
        for name, number in self._numbers.items():
            self._add(name, number, switch)

    def _look_inside(self, switch: str) -> None:
        """Gives the test an address on the inside network, for whoever asks nodes there whether they are up."""
        here, there = f"{self._tag}x", f"{self._tag}y"
        _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", switch)
        _ip("-n", switch, "link", "set", there, "master", f"{self._tag}a", "up")
        _ip("address", "add", f"10.{self._net}.1.254/24", "dev", here)
        _ip("link", "set", here, "up")

    def _add(self, name: str, number: int, switch: str) -> None:
        namespace = self._namespace(name)
        _ip("netns", "add", namespace)
        _ip("-n", namespace, "link", "set", "lo", "up")
        ports = {"in": f"{self._tag}i{number}", "out": f"{self._tag}o{number}"}
        for end, port in ports.items():
            _ip("link", "add", port, "type", "veth", "peer", "name", end, "netns", namespace)
        _ip("link", "set", ports["in"], "netns", switch)
        self._plug(name, f"{self._tag}a")
        _ip("link", "set", ports["out"], "master", f"{self._tag}out", "up")
        for end, address in (("in", self.inside(name)), ("out", self.outside(name))):
            _ip("-n", namespace, "address", "add", f"{address}/24", "dev", end)
            _ip("-n", namespace, "link", "set", end, "up")

    def _plug(self, name: str, bridge: str) -> None:
        port = f"{self._tag}i{self._numbers[name]}"
        _ip("-n", f"{self._tag}-switch", "link", "set", port, "master", bridge, "up")


def _take_a_number() -> tuple[int, int | None]:
    """A number that nobody holds, and the descriptor that holds it; what was left under it is taken away."""
    _LOCKS.mkdir(parents=True, exist_ok=True)
    for number in _NUMBERS:
        lock = os.open(_LOCKS / str(number), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        _take_away(f"tn{number}")
        return number, lock
    raise NetworkFailed(f"all of the networks {_NUMBERS[0]} to {_NUMBERS[-1]} are in use: {_LOCKS}")


def _take_away(tag: str) -> None:
    """Deletes the namespaces and cables whose names begin with a network's tag."""
    # A namespace goes some time after it was deleted, and what is in it with it; cables are gone at once, and the next
    # network may have the same names.
    for link in _names_of("link", "ifname", tag):
        _try_ip("link", "delete", link)
    for namespace in _names_of("netns", "name", f"{tag}-"):
        _try_ip("netns", "delete", namespace)


def _names_of(kind: str, member: str, start: str) -> list[str]:
    listed = subprocess.run(
        ["ip", "-json", kind, "list"], capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
    ).stdout
    return [one[member] for one in json.loads(listed or "[]") if one[member].startswith(start)]


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    if done.returncode:
        raise NetworkFailed(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def _try_ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], capture_output=True, check=False, timeout=_TIMEOUT_S)
