"""Namespaces that can be cut from each other; where they cannot be made, that is said clearly and nothing is left."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.faults.control import TenetNode
from tests.faults.network import Network, NetworkFailed, why_not

PORT = 8_000
SERVE = f"import http.server as h; h.HTTPServer(('', {PORT}), h.SimpleHTTPRequestHandler).serve_forever()"
#: Prints how the attempt to reach an address ends.
REACH = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])).close()
except OSError as error:
    print(type(error).__name__)
else:
    print("reached")
"""
#: Makes a network and says which.
LEAVE = """
import time
from tests.faults.network import Network
print(Network(["left"]).tag, flush=True)
time.sleep(60)
"""

is_possible = why_not() == ""


def reach(address: str, prefix: tuple[str, ...] = (), timeout_s: float = 0.5) -> str:
    command = [*prefix, sys.executable, "-c", REACH, address, str(PORT), str(timeout_s)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def comes_to_be_reached(address: str, prefix: tuple[str, ...] = ()) -> bool:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if reach(address, prefix) == "reached":
            return True
    return False


@contextmanager
def network() -> Iterator[Network]:
    made = Network(["a", "b", "c"])
    try:
        yield made
    finally:
        made.close()


def namespaces() -> str:
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


def test_a_cut_separates_the_sides_and_nothing_else() -> None:
    if not is_possible:
        # Here the lack of the right is what can be tested.
        with pytest.raises((NetworkFailed, OSError)):
            Network(["a"])
        return
    with network() as made, ExitStack() as stack:
        for name in "abc":
            process = subprocess.Popen(
                [*made.prefix(name), sys.executable, "-c", SERVE], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
        assert all(comes_to_be_reached(made.inside(other), made.prefix(one)) for one in "abc" for other in "abc")
        made.cut(["c"])
        assert reach(made.inside("b"), made.prefix("a")) == "reached"
        # Silence, as where a switch has died; not a refusal, which would tell the other side at once.
        assert reach(made.inside("c"), made.prefix("a")) == "TimeoutError"
        assert reach(made.inside("b"), made.prefix("c")) == "TimeoutError"
        assert [reach(made.outside(name)) for name in "abc"] == ["reached"] * 3
        assert [reach(made.inside(name)) for name in "abc"] == ["reached", "reached", "TimeoutError"]
        made.heal()
        assert comes_to_be_reached(made.inside("c"), made.prefix("a"))
        assert comes_to_be_reached(made.inside("a"), made.prefix("c"))
    assert f"{made.tag}-" not in namespaces()


def test_a_server_lives_in_a_namespace_and_comes_back_after_kill_9(tmp_path: Path) -> None:
    if not is_possible:
        assert why_not()
        return
    with network() as made:
        node = TenetNode("a", tmp_path / "data", listen=f"{made.outside('a')}:{PORT}", prefix=made.prefix("a"))
        node.start()
        try:
            client = node.server.client()
            assert client.list_tables()["TableNames"] == []
            node.kill9()
            node.start()
            assert client.list_tables()["TableNames"] == []
        finally:
            node.end()


def test_one_network_follows_another_at_once() -> None:
    if not is_possible:
        assert why_not()
        return
    for _ in range(5):
        with network() as made:
            holder = subprocess.Popen([*made.prefix("a"), "sleep", "60"])
        # A process that has not ended yet keeps its namespace, and would keep what is in it.
        with network():
            holder.kill()
            holder.wait()


def test_what_a_process_that_was_killed_has_left_stands_in_nobodys_way() -> None:
    if not is_possible:
        assert why_not()
        return
    with network() as held:
        with subprocess.Popen([sys.executable, "-c", LEAVE], stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            tag = other.stdout.readline().strip()
            assert tag != held.tag
            other.kill()
        assert f"{tag}-left" in namespaces()
        with ExitStack() as stack:
            # One of the next has the number of the one that was killed; it is made, and goes with all its names.
            made = {stack.enter_context(network()).tag for _ in range(2)}
        assert held.tag not in made
        assert f"{held.tag}-switch" in namespaces()
    assert f"{tag}-left" not in namespaces()
