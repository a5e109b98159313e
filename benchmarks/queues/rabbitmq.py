"""RabbitMQ as a process of its own on loopback, from Debian's package without being installed; it stops with its block.

Erlang's nodes find each other by a daemon, epmd, which a node starts and leaves behind. Here it is a child as well.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.conformance.packages import RABBITMQ
from tests.conformance.peers import PeerDidNotStart, free_port

START_S_MAX: Final = 90.0
STOP_S_MAX: Final = 20.0


@contextmanager
def running(folder: Path) -> Iterator[tuple[str, int]]:
    """A broker with its data in a folder: its URL and its process.

    Raises:
        ToolMissing: Debian's tools are not here.
        FetchFailed: it could not be downloaded.
        PeerDidNotStart: it did not come up.
    """
    package = RABBITMQ.ensure()
    port, log = free_port(), folder / "rabbitmq.log"
    environment = _environment(package, folder, port)
    erlang = package / "usr" / "lib" / "erlang" / "bin"
    broker = next(package.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"))
    with log.open("ab") as output:
        finder = _start([str(erlang / "epmd"), "-address", "127.0.0.1"], environment, output.fileno())
        try:
            server = _start([str(broker)], environment, output.fileno())
            try:
                if not _listens(server, port):
                    raise PeerDidNotStart(f"rabbitmq: {log.read_text(encoding='utf-8', errors='replace')[-3_000:]}")
                yield f"amqp://127.0.0.1:{port}", server.pid
            finally:
                _stop(server)
        finally:
            _stop(finder)


def _environment(package: Path, folder: Path, port: int) -> dict[str, str]:
    """What the broker's script reads; no file of the system is among it."""
    places = {
        "RABBITMQ_MNESIA_BASE": "mnesia",
        "RABBITMQ_LOG_BASE": "log",
        "RABBITMQ_ENABLED_PLUGINS_FILE": "plugins",
        "RABBITMQ_CONF_ENV_FILE": "none",
        "RABBITMQ_CONFIG_FILE": "rabbitmq",
        "RABBITMQ_ADVANCED_CONFIG_FILE": "advanced.config",
        "RABBITMQ_GENERATED_CONFIG_DIR": "generated",
        "RABBITMQ_PID_FILE": "pid",
    }
    return {
        **{name: str(folder / place) for name, place in places.items()},
        "PATH": f"{package / 'usr' / 'lib' / 'erlang' / 'bin'}:{os.environ['PATH']}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(free_port()),
        "RABBITMQ_NODENAME": "benchmark@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_LOGS": "-",
        # With input allowed the script becomes Erlang, instead of waiting for it; then it is taken away again.
        "RABBITMQ_ALLOW_INPUT": "1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput -kernel inet_dist_use_interface {127,0,0,1}",
    }


def _start(command: list[str], environment: dict[str, str], output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)


def _listens(server: subprocess.Popen[bytes], port: int) -> bool:
    until = time.monotonic() + START_S_MAX
    while time.monotonic() < until and server.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        time.sleep(0.1)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=STOP_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
