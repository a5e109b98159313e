"""One Cassandra process: its files, its start, its signals. Only the keeper, which is its parent, uses this.

A process is known by being a child that nobody has waited for yet; its number can belong to nobody else, so that a
signal cannot meet another process.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tools.cluster.spec import CQL_PORT, JMX_PORT, STORAGE_PORT, Spec

_PR_SET_PDEATHSIG = 1
#: What a fresh start throws away; logs are moved aside, configuration is written anew.
_DATA = ("data", "commitlog", "hints", "saved_caches", "cdc_raw", "tmp")
STALE_S_MAX = 10
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class CannotStart(Exception):
    """An address is missing on this machine or in use by others."""


class Node:
    """A node and, while it runs, its process.

    Args:
        spec: the cluster.
        number: which node, from 1.
        java: the Java program.
        library: the folder of Cassandra's jars.
    """

    def __init__(self, spec: Spec, number: int, java: Path, library: Path) -> None:
        self.spec = spec
        self.number = number
        self.folder = spec.node_folder(number)
        self._command = spec.command(number, java, library)
        self._process: subprocess.Popen[bytes] | None = None
        self._is_paused = False
        self._log_offset = 0
        self._started_at = 0.0

    @property
    def is_running(self) -> bool:
        """Whether its process exists, paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def state(self) -> dict[str, Any]:
        """What the keeper tells of it, see `tools.cluster.cluster.Cluster.state`."""
        running = self.is_running
        return {
            "state": ("paused" if self._is_paused else "running") if running else "down",
            "pid": self._process.pid if running and self._process else None,
            "exit_code": self._process.returncode if self._process else None,
            "started_at": self._started_at,
            "log_offset": self._log_offset,
        }

    def end_stale(self) -> None:
        """Ends the process that an earlier keeper left behind, known by its number and its command line together."""
        file = self.folder / "pid"
        if not file.exists():
            return
        pid = int(file.read_text(encoding="ascii"))
        until = time.monotonic() + STALE_S_MAX
        while self._is_ours(pid):
            if time.monotonic() > until:
                raise CannotStart(f"process {pid} of an earlier cluster does not end")
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        file.unlink()

    def _is_ours(self, pid: int) -> bool:
        command = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
        return (
            f"-Dcassandra.storagedir={self.folder} "
            in subprocess.run(command, capture_output=True, text=True, check=False).stdout
        )

    def clear(self) -> None:
        """Throws its data away and moves its logs aside."""
        for name in _DATA:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        if (self.folder / "logs").exists():
            shutil.rmtree(self.folder / "logs.previous", ignore_errors=True)
            (self.folder / "logs").rename(self.folder / "logs.previous")

    def start(self) -> None:
        """Starts the process, unless it runs; does not wait until it answers.

        Raises:
            CannotStart: its address is missing, or one of its ports is taken.
        """
        if self.is_running:
            return
        # What another network namespace has, cannot be looked at from here.
        for port in () if self.spec.prefix else (CQL_PORT, STORAGE_PORT, JMX_PORT):
            check_free(self.spec.address(self.number), port)
        for name in (*_DATA, "logs", "conf"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for name, text in self.spec.files(self.number).items():
            (self.folder / "conf" / name).write_text(text, encoding="utf-8")
        log = self.folder / "logs" / "system.log"
        self._log_offset = log.stat().st_size if log.exists() else 0
        with (self.folder / "logs" / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env={
                    name: value
                    for name, value in os.environ.items()
                    if not name.startswith(("AWS_", "TENET_", "JAVA_", "JDK_"))
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_keeper,  # noqa: PLW1509  the keeper has one thread
            )
        self._is_paused, self._started_at = False, time.time()
        (self.folder / "pid").write_text(str(self._process.pid), encoding="ascii")

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the process, if it still runs."""
        if self._process is not None:
            self._process.send_signal(number)
            self._is_paused = number == signal.SIGSTOP or (
                self._is_paused and number not in (signal.SIGCONT, signal.SIGKILL)
            )


def _die_with_keeper() -> None:
    """On Linux the kernel kills the node when the keeper ends, however it ends; elsewhere the next start does."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def check_free(address: str, port: int) -> None:
    """Raises CannotStart where this machine does not have an address, or another program listens there."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
            listener.listen()
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise CannotStart(
                    f"this machine has no address {address}. On macOS: sudo ifconfig lo0 alias {address} up"
                ) from None
            raise CannotStart(f"{address}:{port} cannot be listened on: {error.strerror}") from None
