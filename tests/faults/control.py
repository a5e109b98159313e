"""Processes that faults happen to, behind an interface narrow enough for every kind of them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.faults.clients import Target
from tests.servers import Server, join, start

#: How long a Tenet may take until it serves, on a machine that is busy with other things.
START_S_MAX = 120.0


class Node(Protocol):
    """One process. A fault is begun and mended by one thread at a time."""

    @property
    def name(self) -> str:
        """What it is called in schedules and reports."""
        ...

    def kill9(self) -> None:
        """Ends it between two instructions."""
        ...

    def pause(self) -> None:
        """Freezes it (SIGSTOP): its connections stay open, and nothing answers."""
        ...

    def resume(self) -> None:
        """Lets it go on (SIGCONT)."""
        ...

    def start(self) -> None:
        """Starts it with the data that it had, and returns once it serves; one that runs is left as it is."""
        ...


class Numbered(Protocol):
    """A cluster whose nodes have numbers, as ``tools.cluster`` runs them."""

    def kill9(self, number: int) -> None:
        """Ends a node between two instructions."""
        ...

    def pause(self, number: int) -> None:
        """Freezes a node."""
        ...

    def resume(self, number: int) -> None:
        """Lets a frozen node go on."""
        ...

    def start(self, number: int) -> None:
        """Starts a node, and waits until it answers."""
        ...


class NumberedNode:
    """A node of a cluster whose nodes have numbers.

    Args:
        cluster: the cluster.
        number: which node.
        kind: what its name begins with.
    """

    def __init__(self, cluster: Numbered, number: int, kind: str = "cassandra") -> None:
        self._cluster = cluster
        self._number = number
        self.name = f"{kind}-{number}"

    def kill9(self) -> None:
        """See ``Node``."""
        self._cluster.kill9(self._number)

    def pause(self) -> None:
        """See ``Node``."""
        self._cluster.pause(self._number)

    def resume(self) -> None:
        """See ``Node``."""
        self._cluster.resume(self._number)

    def start(self) -> None:
        """See ``Node``."""
        self._cluster.start(self._number)


class TenetNode:
    """A ``tenet up`` that comes back under the address that it had.

    Args:
        name: what it is called.
        data: its data directory.
        listen: ``HOST:PORT``; port 0 takes one, and keeps it.
        environment: further variables, settings among them.
        prefix: a command that runs it, as ``ip netns exec NAME``.
    """

    def __init__(
        self,
        name: str,
        data: Path,
        *,
        listen: str = "127.0.0.1:0",
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.name = name
        self._data = data
        self._listen = listen
        #: Further variables of what is started next.
        self.environment = dict(environment or {})
        self._prefix = prefix
        self._server: Server | None = None

    @property
    def server(self) -> Server:
        """The process that was started last."""
        assert self._server is not None, f"{self.name} was not started"
        return self._server

    @property
    def address(self) -> str:
        """Where it listens, ``HOST:PORT``."""
        return self.server.endpoint.partition("://")[2]

    @property
    def target(self) -> Target:
        """How clients speak to it alone."""
        exports = self.server.exports
        return Target([self.server.endpoint], exports, exports.get("AWS_CA_BUNDLE"))

    def start(self) -> None:
        """See ``Node``."""
        if self._server is not None and self._server.process.poll() is None:
            return
        listen = f"--listen={self._listen}" if self._server is None else f"--listen={self.address}"
        self._server = start(
            self._data, *listen.split("="), environment=self.environment, prefix=self._prefix, start_s_max=START_S_MAX
        )

    def joined_by(self, data: Path) -> TenetNode:
        """Returns a further node of the cluster that this one is of, which is started with the same variables.

        Args:
            data: its data directory, which is made; its name is the node's.
        """
        join(self.server, data)
        return TenetNode(data.name, data, environment=self.environment)

    def kill9(self) -> None:
        """See ``Node``."""
        self.server.kill()

    def pause(self) -> None:
        """See ``Node``."""
        os.kill(self.server.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """See ``Node``."""
        os.kill(self.server.process.pid, signal.SIGCONT)

    def end(self) -> None:
        """Lets it drain and end, or ends it where it does not."""
        if self._server is None:
            return
        try:
            self._server.stop()
        except subprocess.TimeoutExpired:
            self._server.kill()
