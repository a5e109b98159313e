"""HAProxy in front of several nodes, as an operator would run it; from Debian, without being installed.

Where there is a ``haproxy`` on the PATH, it is taken. Else its package and the libraries that Debian 12 does not have
by itself are downloaded by apt-get and unpacked into the cache of fetched things: nothing of the system changes.
"""

from __future__ import annotations

import csv
import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from string import Template

from tests.conformance.packages import Package, fetch_debian
from tests.faults.clients import Target

TEMPLATE = Path(__file__).with_name("haproxy.cfg")
PACKAGES = ("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1")
START_S_MAX = 15


class ProxyFailed(Exception):
    """HAProxy did not start, or does not see what it should; the message holds what it printed."""


def _fetch(folder: Path) -> None:
    fetch_debian(folder, *PACKAGES)


#: HAProxy of Debian, unpacked.
HAPROXY = Package(
    "haproxy",
    f"debian-{platform.machine()}",
    {"apt-get": "Debian or Ubuntu; elsewhere install haproxy 2.6 or later", "dpkg": "comes with apt-get"},
    _fetch,
)


def command() -> tuple[str, dict[str, str]]:
    """Returns the program and the environment that it needs.

    Raises:
        ToolMissing: there is neither haproxy nor apt-get.
        FetchFailed: it could not be downloaded.
    """
    installed = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    if installed:
        return installed, dict(os.environ)
    folder = HAPROXY.ensure()
    libraries = next(folder.glob("usr/lib/*/liblua5.3.so.0")).parent
    return str(folder / "usr" / "sbin" / "haproxy"), os.environ | {"LD_LIBRARY_PATH": str(libraries)}


class Proxy:
    """A running HAProxy.

    Args:
        folder: where configuration, control socket and log lie; its path is short, as sockets ask for.
        servers: address ``HOST:PORT`` of each node by its name.
        listen: ``HOST:PORT``; the port is a free one.
        ca_file: certificates to trust when nodes are checked, as PEM; None where they speak http.
        check_ms: how long a node may take to answer a check; the second one in a row that is not answered takes it out.
    """

    def __init__(
        self, folder: Path, servers: Mapping[str, str], *, listen: str, ca_file: str | None, check_ms: int = 500
    ) -> None:
        self._folder = folder
        self._servers = servers
        self._listen = listen
        self._ca_file = ca_file
        self._check_ms = check_ms
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """What clients speak to."""
        return f"{'https' if self._ca_file else 'http'}://{self._listen}"

    def target(self, credentials: Mapping[str, str]) -> Target:
        """How clients speak to all nodes through it."""
        return Target([self.endpoint], credentials, self._ca_file)

    def configuration(self) -> str:
        """The text of its configuration."""
        check = f"check-ssl verify required ca-file {self._ca_file}" if self._ca_file else ""
        servers = "\n".join(f"    server {name} {address}" for name, address in self._servers.items())
        values = {
            "stats": str(self._socket),
            "listen": self._listen,
            "check": check,
            "check_ms": self._check_ms,
            "servers": servers,
        }
        return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(values)

    @property
    def _socket(self) -> Path:
        return self._folder / "haproxy.sock"

    def start(self) -> None:
        """Starts it and waits until every node is up for it.

        Raises:
            ProxyFailed: it did not come up, or not every node is ready.
        """
        program, environment = command()
        file = self._folder / "haproxy.cfg"
        file.write_text(self.configuration(), encoding="utf-8")
        with (self._folder / "haproxy.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-db", "-f", str(file)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self.wait_up(self._servers)
        except ProxyFailed:
            self.end()
            raise

    def states(self) -> dict[str, str]:
        """Returns what it holds of each node: ``UP``, ``DOWN``, ``NOLB`` or on the way; empty if it does not say."""
        return {name: row["status"] for name, row in self._rows().items()}

    def wait_left(self, name: str, timeout_s: float = START_S_MAX) -> int:
        """Waits until a node that drains gets no new connections and has none any more.

        Returns:
            How many are left when the time is up; those are idle.

        Raises:
            ProxyFailed: it would still be given new ones.
        """
        until = time.monotonic() + timeout_s
        while True:
            row = self._rows().get(name, {"status": "unknown", "scur": "-1"})
            is_out, left = row["status"] == "NOLB", int(row["scur"])
            if is_out and left == 0:
                return 0
            if time.monotonic() >= until:
                if is_out:
                    return left
                raise ProxyFailed(f"haproxy has {name} as {row['status']}, and it should get no new connections")
            time.sleep(0.05)

    def _rows(self) -> dict[str, dict[str, str]]:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(2)
                connection.connect(str(self._socket))
                connection.sendall(b"show stat\n")
                text = b"".join(iter(lambda: connection.recv(65_536), b"")).decode()
        except OSError:
            return {}
        rows = csv.DictReader(text.removeprefix("# ").strip().splitlines())
        return {row["svname"]: row for row in rows if row["svname"] in self._servers}

    def wait_up(self, names: Mapping[str, str] | set[str], timeout_s: float = START_S_MAX) -> None:
        """Waits until it sees exactly these nodes as up.

        Raises:
            ProxyFailed: it does not in time.
        """
        assert self._process is not None
        until = time.monotonic() + timeout_s
        while {name for name, state in self.states().items() if state == "UP"} != set(names):
            if time.monotonic() >= until or self._process.poll() is not None:
                log = (self._folder / "haproxy.log").read_text(encoding="utf-8", errors="replace")[-2_000:]
                raise ProxyFailed(f"haproxy sees {self.states()}, and {sorted(names)} should be up\n{log}")
            time.sleep(0.05)

    def end(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
