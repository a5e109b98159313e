"""Tenet as a process of its own, the way that a user starts it, for tests of every kind."""

from __future__ import annotations

import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TENET = Path(sys.executable).parent / "tenet"
START_S_MAX = 30
#: The same where nodes that have just come up make the tables of a keyspace, all of which share two cores.
START_ON_CLUSTER_S_MAX = 240.0
STOP_S_MAX = 30
_EXPORT = re.compile(r"^export ([A-Z_]+)=(.*)$")


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without anything that Tenet or an AWS SDK reads, but for whether compiled modules are run."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TENET_", "AWS_"))}
    if "TENET_COMPILED" in os.environ:
        kept["TENET_COMPILED"] = os.environ["TENET_COMPILED"]
    return kept | more


class Server:
    """A running ``tenet up``.

    Args:
        process: the process.
        data: its data directory.
        exports: the variables that it printed.
        log: where its standard error goes.
    """

    def __init__(self, process: subprocess.Popen[str], data: Path, exports: dict[str, str], log: Path) -> None:
        self.process = process
        self.data = data
        self.exports = exports
        self.log = log

    @property
    def endpoint(self) -> str:
        """URL of the listener."""
        return self.exports["AWS_ENDPOINT_URL"]

    def client(self, service: str = "dynamodb", **more: Any) -> Any:
        """An unchanged boto3 client that knows nothing but what was printed."""
        import boto3

        session = boto3.Session(
            aws_access_key_id=more.pop("access_key_id", self.exports["AWS_ACCESS_KEY_ID"]),
            aws_secret_access_key=more.pop("secret_access_key", self.exports["AWS_SECRET_ACCESS_KEY"]),
            region_name=more.pop("region", self.exports["AWS_DEFAULT_REGION"]),
        )
        verify = self.exports.get("AWS_CA_BUNDLE", False)
        return session.client(service, endpoint_url=self.endpoint, verify=verify, **more)

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of ``tenet`` on this server's data directory."""
        return tenet(*arguments, "--data", str(self.data), **environment)

    def variables(self, runtime: str) -> dict[str, str]:
        """What ``tenet env --for RUNTIME`` makes a shell export."""
        done = self.command("env", "--for", runtime)
        assert done.returncode == 0, done.stderr
        return {match[1]: shlex.split(match[2])[0] for match in map(_EXPORT.match, done.stdout.splitlines()) if match}

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Asks it to stop, waits, and returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=STOP_S_MAX)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def kill(self) -> None:
        """Ends it between two instructions."""
        self.stop(signal.SIGKILL)


def tenet(*arguments: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command of ``tenet`` to its end, with what is given as its standard input."""
    return subprocess.run(
        [str(TENET), *arguments],
        env=clean_environment(**environment),
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def join(first: Server, data: Path) -> None:
    """Makes a data directory that of a further node of a server's cluster, which has the directory's name."""
    address = next(line.split("  ")[2] for line in first.command("node", "list").stdout.splitlines())
    token = first.command("node", "invite").stdout.strip()
    done = tenet("node", "join", address, token, "--name", data.name, "--data", str(data))
    assert done.returncode == 0, done.stderr


def start(
    data: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    start_s_max: float = START_S_MAX,
    listens_by_settings: bool = False,
) -> Server:
    """Starts a server on a free port and returns it once it answers; raises with its output where it does not.

    Args:
        data: its data directory.
        arguments: further ones of ``tenet up``.
        environment: further variables.
        prefix: a command that becomes the one that it is given, as ``ip netns exec NAME``.
        start_s_max: how long it may take; where it makes the tables of a cluster, ``START_ON_CLUSTER_S_MAX`` at least.
        listens_by_settings: whether its settings say where it listens; else it takes a free port.
    """
    if any(text.startswith("cassandra://") for text in [*arguments, *(environment or {}).values()]):
        start_s_max = max(start_s_max, START_ON_CLUSTER_S_MAX)
    log = data.with_name(data.name + ".log")
    listener = [] if listens_by_settings else _listener(arguments)
    with log.open("a", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [*prefix, str(TENET), "up", "--data", str(data), *listener, *arguments],
            env=clean_environment(**(environment or {})),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    exports: dict[str, str] = {}
    for line in _lines(process, start_s_max):
        match = _EXPORT.match(line)
        if match:
            exports[match[1]] = match[2].strip("'")
        elif exports:
            break
    if "AWS_ENDPOINT_URL" not in exports:
        process.kill()
        process.communicate()
        raise AssertionError(f"tenet up did not start:\n{log.read_text(encoding='utf-8')[-4000:]}")
    return Server(process, data, exports, log)


@contextmanager
def hung(server: Server) -> Iterator[None]:
    """Stops a server's process for the length of a block: it accepts connections, and answers none."""
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


@contextmanager
def running(data: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server for the length of a block; it is ended whatever happens, and drains where it is still there."""
    server = start(data, *arguments, environment=environment)
    try:
        yield server
    finally:
        end(server)


def end(server: Server) -> None:
    """Lets a server drain and end; ends it and raises where it does not."""
    try:
        server.stop()
    except subprocess.TimeoutExpired:
        server.kill()
        raise


def _listener(arguments: Sequence[str]) -> list[str]:
    return [] if "--listen" in arguments else ["--listen", "127.0.0.1:0"]


def _lines(process: subprocess.Popen[str], timeout_s: float) -> Iterator[str]:
    """Lines of the process's output until it ends or the time is up."""
    assert process.stdout is not None
    descriptor, unread, until = process.stdout.fileno(), b"", time.monotonic() + timeout_s
    while time.monotonic() < until:
        ready, _, _ = select.select([descriptor], [], [], 0.2)
        chunk = os.read(descriptor, 65_536) if ready else None
        if chunk == b"":
            return
        *whole, unread = (unread + (chunk or b"")).split(b"\n")
        yield from (line.decode() for line in whole)
