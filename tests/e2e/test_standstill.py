"""A real server is stopped and wakes: what lay in its sockets is not carried out, and a busy one loses nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.wire.pulse import BEAT_S, STILL_S, STILL_UNKNOWN_S
from tenet.wire.tls import LocalAuthority
from tests.edges import call

ROOT = Path(__file__).parent.parent.parent
#: How long it is stopped for: surely longer than what passes for standing still, on every system.
STOPPED_S = 0.2 + BEAT_S + (STILL_S if sys.platform == "linux" else STILL_UNKNOWN_S)


class Peer:
    """A client that reads and writes what it is told to.

    Args:
        address: of the server.
        tls: for https; None for http.
    """

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext | None) -> None:
        self.socket = socket.create_connection(address, timeout=20)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self) -> bytes:
        """Reads an answer, and returns its body; only answers of one byte are expected."""
        answer = b""
        while b"\r\n\r\n" not in answer or answer.endswith(b"\r\n\r\n"):
            piece = self.socket.recv(4096)
            assert piece, f"the connection has ended behind {answer!r}"
            answer += piece
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        return answer.rpartition(b"\r\n\r\n")[2]

    def ask(self, operation: str, body: str) -> bytes:
        self.send(call(operation, body.encode()))
        return self.read()

    def is_cut_off(self) -> bool:
        """Whether the connection ends without a byte."""
        try:
            return self.socket.recv(1) == b""
        except (ConnectionResetError, ssl.SSLEOFError):
            return True


class Server:
    """The process, and what it has said.

    Args:
        arguments: as the process takes them.
        tls: for its clients.
    """

    def __init__(self, arguments: list[str], tls: ssl.SSLContext | None) -> None:
        command = [sys.executable, "-m", "tests.e2e.still_process", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self._peers: list[Peer] = []
        self._tls = tls
        line = self._line()
        while not line.startswith("["):  # log lines come first
            line = self._line()
        self.address: tuple[str, int] = tuple(json.loads(line))

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def connect(self, *, tls: bool = True) -> Peer:
        """Connects; without a handshake where it is to be so."""
        self._peers.append(Peer(self.address, self._tls if tls else None))
        return self._peers[-1]

    def await_line(self, wanted: str) -> None:
        """Waits until it has said something."""
        while (line := self._line()) and line.strip() != wanted:
            pass
        assert line

    def stop(self) -> None:
        """Stops it, as SIGSTOP does."""
        os.kill(self.process.pid, signal.SIGSTOP)
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def wake(self) -> None:
        """Lets it go on."""
        os.kill(self.process.pid, signal.SIGCONT)

    def end(self) -> list[str]:
        """Kills it, and returns what it has said since the last line that was waited for."""
        for peer in self._peers:
            peer.socket.close()
        self.process.kill()
        said, _ = self.process.communicate(timeout=20)
        return [line for line in said.splitlines() if line.startswith(("begun ", "done "))]


@pytest.fixture(params=["uvloop", "asyncio", "uvloop tls", "asyncio tls"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    loop, _, tls = request.param.partition(" ")
    arguments, context = [loop], None
    if tls:
        local = LocalAuthority(tmp_path, clock=SystemClock(), ids=SystemIds())
        local.ensure(["localhost"])
        context = ssl.create_default_context(cafile=local.files.authority)
        arguments += [str(local.files.certificate), str(local.files.private_key)]
    server = Server(arguments, context)
    yield server
    server.end()


def test_what_came_before_and_while_it_was_stopped_is_not_carried_out(server: Server) -> None:
    used, under_way, half, idle = [server.connect() for _ in range(4)]
    for peer in (used, under_way, half, idle):
        assert peer.ask("Note", "first") == b"0"
    long = call("Note", b"half" * 1_000)
    half.send(long[:-1_000])
    under_way.send(call("Later", b"under way"))
    server.await_line("begun under way")
    server.stop()
    used.send(call("Note", b"old"))
    half.send(long[-1_000:])
    new = server.connect(tls=False)
    new.send(call("Note", b"old as well"))
    time.sleep(STOPPED_S)
    server.wake()
    for peer in (used, half, under_way, idle, new):
        assert peer.is_cut_off()
    fresh = server.connect()
    assert fresh.ask("Note", "fresh") == b"1"
    # By the end of this, the one that was under way would have come to its end too.
    assert fresh.ask("Later", "last") == b"1"
    assert server.end() == ["begun fresh", "done fresh", "begun last", "done last"]


def test_a_loop_that_is_kept_busy_loses_no_connection(server: Server) -> None:
    used, busy, under_way = [server.connect() for _ in range(3)]
    assert used.ask("Note", "first") == b"0"
    under_way.send(call("Later", b"under way"))
    server.await_line("begun under way")
    busy.send(call("Burn", b"busy"))
    server.await_line("begun busy")
    used.send(call("Note", b"meanwhile"))
    for peer in (busy, used, under_way):
        assert peer.read() == b"0"
    said = server.end()
    assert sorted(said) == ["begun meanwhile", "done busy", "done meanwhile", "done under way"]
