"""Overload: every request is answered, what is admitted is answered in time, memory stays, and it is over at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.edges import Signature, call
from tests.rounds import LONG, rounds

pytestmark = [pytest.mark.alone, pytest.mark.time_limit_s(180)]

LOAD = Path(__file__).with_name("load.py")
EDGE = Path(__file__).with_name("edge_process.py")
SECONDS = 20
#: Connections beyond which more bring no more answers: the engine then commits as many at once as it can.
SATURATING = 32
#: Of resident memory that overload may add.
GROWTH_BYTES_MAX = 64 * 1024 * 1024
#: What "no slower" means where everything is over within a few milliseconds: about one fsync.
FLOOR_MS = 5.0


class Edge:
    """A running ``edge_process``.

    Args:
        directory: its data.
        limits: what it takes on.
        tls: whether it speaks https.
    """

    def __init__(self, directory: Path, limits: dict[str, float], *, tls: bool) -> None:
        self._directory = directory
        self._tls = tls
        command = [sys.executable, str(EDGE), str(directory), json.dumps(limits), *(["tls"] if tls else [])]
        with (directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        self.address = json.loads(self.process.stdout.readline())

    def limit(self, **limits: float) -> None:
        """Changes its limits while it runs."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(limits) + "\n")
        self.process.stdin.flush()

    def load(self, *, connections: int, seconds: float, rate: float = 0) -> dict[str, Any]:
        """Loads it from another process, half with gets and half with durable puts."""
        requests: list[str] = []
        for number in range(500):
            body = f"{number:032}".encode() + b"x" * 400
            calls = (call(operation, body, target="Records", by=Signature()) for operation in ("Get", "Put"))
            requests.extend(made.decode("latin-1") for made in calls)
        options: dict[str, Any] = {
            "address": self.address, "connections": connections, "seconds": seconds, "rate": rate,
        }  # fmt: skip
        if self._tls:
            options["ca"] = str(self._directory / "ca.pem")
        done = subprocess.run(
            [sys.executable, str(LOAD), json.dumps(options)],
            input=json.dumps(requests),
            capture_output=True,
            text=True,
            timeout=seconds + 60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        figures: dict[str, Any] = json.loads(done.stdout)
        print(f"{connections} connections, {rate or 'as many as possible'}/s, {seconds} s: {figures}")
        return figures

    def memory_bytes(self) -> int:
        """Its resident memory."""
        shown = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(self.process.pid)], capture_output=True, text=True, check=True
        )
        return int(shown.stdout) * 1024

    def stop(self) -> None:
        """Drains and ends it."""
        self.process.communicate(timeout=30)
        assert self.process.returncode == 0


# With TLS, the generator's handshakes and ciphers take half of the two cores that the server needs, and the p99 of the
# closed loop is above the bound; the full rounds show by how much.
@pytest.fixture(params=rounds([False], [False, True]), ids=rounds(["http"], ["http", "https"]))
def edge(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Edge]:
    started = Edge(tmp_path, {}, tls=request.param)
    yield started
    started.stop()


def check_answers(figures: dict[str, Any], unloaded: dict[str, Any]) -> None:
    """Every request was answered, admitted or throttled, and the admitted in time."""
    assert set(figures) <= {"ok", "ThrottlingException", "sent", "unanswered", "load_cpu_s"}
    assert figures.get("unanswered", {"count": 0})["count"] == 0
    assert figures["ok"]["count"] + figures["ThrottlingException"]["count"] == figures["sent"]
    # Latency is judged in the full rounds: it depends on what else the two cores do, and is not reached everywhere yet
    # (DESIGN.md of the edge, "Not reached").
    if LONG:
        assert figures["ok"]["p99_ms"] <= 3 * max(unloaded["ok"]["p99_ms"], FLOOR_MS)


def check_recovery(edge: Edge, unloaded: dict[str, Any], before_bytes: int) -> None:
    """It is as before at once: nothing refused, nothing slower, no memory kept."""
    after = edge.load(connections=20, rate=100, seconds=3)
    assert after["ok"]["count"] == after["sent"]
    if LONG:
        assert after["ok"]["p99_ms"] <= 3 * max(unloaded["ok"]["p99_ms"], FLOOR_MS)
    assert edge.memory_bytes() - before_bytes <= GROWTH_BYTES_MAX


def test_ten_times_the_rate_that_is_admitted(edge: Edge) -> None:
    unloaded = edge.load(connections=20, rate=100, seconds=5)
    before_bytes = edge.memory_bytes()
    edge.limit(requests_per_s_max=500)
    figures = edge.load(connections=200, rate=5_000, seconds=SECONDS)
    check_answers(figures, unloaded)
    assert figures["ok"]["count"] >= 500 * SECONDS * 0.9
    assert figures["ok"]["count"] <= 500 * (SECONDS + 1) + 50
    check_recovery(edge, unloaded, before_bytes)


def test_ten_times_the_connections_that_saturate_it(edge: Edge) -> None:
    unloaded = edge.load(connections=20, rate=100, seconds=5)
    edge.load(connections=SATURATING, seconds=3)
    before_bytes = edge.memory_bytes()
    edge.limit(in_flight_max=SATURATING // 2, waiting_max=0)
    figures = edge.load(connections=10 * SATURATING, seconds=SECONDS)
    check_answers(figures, unloaded)
    check_recovery(edge, unloaded, before_bytes)
