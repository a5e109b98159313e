"""Nodes as real processes over TLS that share background jobs: killed and stopped, with what their leases promise."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenet.store.contract import Range
from tests.e2e.shared_store import SharedStore
from tests.e2e.work_process import SHARDS, SPACE, partition_of
from tests.nodes import Cluster, on_loop, until
from tests.servers import clean_environment

ROOT = Path(__file__).resolve().parents[2]
Event = dict[str, Any]


class Worker:
    """A node in a process of its own, and what it has said."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        cluster.certify(node)
        self.node = node
        self.said: list[Event] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.work_process", str(cluster.directory), node],
            cwd=ROOT,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith('{"event": "'):
                self.said.append(json.loads(line))

    def wrote_since(self, moment_s: float) -> set[int]:
        """The shards into which it has written since then."""
        return {one["shard"] for one in [*self.said] if one["event"] == "wrote" and one["at_s"] > moment_s}

    def end(self) -> None:
        self.process.kill()
        self.process.wait(timeout=30)
        self._listening.join(timeout=30)
        assert self.process.stdout is not None
        self.process.stdout.close()


async def all_written(workers: list[Worker], shards: set[int], since_s: float) -> float:
    """Waits until these workers have written into all of the shards since a moment; returns how long after it."""
    await until(lambda: shards <= set().union(*(worker.wrote_since(since_s) for worker in workers)), 60.0)
    first: dict[int, float] = {}
    for one in sorted((one for w in workers for one in [*w.said] if one["event"] == "wrote"), key=lambda e: e["at_s"]):
        if one["at_s"] > since_s:
            first.setdefault(one["shard"], one["at_s"])
    return max(first[shard] for shard in shards) - since_s


async def check_ledger(store: SharedStore, workers: list[Worker]) -> None:
    """Every line that was acknowledged is there as it was, once; later leases' lines are behind those of earlier."""
    for shard in range(SHARDS):
        within = Range(b"line/", b"line0")
        page = await store.engine.query(SPACE, partition_of(shard), within, limit=10_000)
        lines = [int(record.value) for record in page.records]
        assert lines == sorted(lines)
        wrote = [
            (e["line"], e["number"]) for w in workers for e in w.said if e["event"] == "wrote" and e["shard"] == shard
        ]
        assert len({line for line, _ in wrote}) == len(wrote), "a line was written twice"
        assert all(lines[line] == number for line, number in wrote), "a line is another's"


def play(directory: Path, scene: Callable[[SharedStore, list[Worker]], Any]) -> None:
    cluster = Cluster(directory)

    async def main() -> None:
        store = SharedStore()
        await store.engine.ensure_space(SPACE)
        await store.start(directory / "store")
        workers = [Worker(cluster, node) for node in ("a", "b", "c")]
        try:
            await until(lambda: all(any(one["event"] == "joined" for one in w.said) for w in workers), 60.0)
            await asyncio.sleep(2.0)
            held = [worker.wrote_since(time.monotonic() - 0.5) for worker in workers]
            assert sorted(map(len, held)) == [2, 2, 2]
            await scene(store, workers)
            for worker in workers:
                worker.end()
            await check_ledger(store, workers)
        finally:
            for worker in workers:
                worker.end()
            await store.close()

    on_loop(main)


@pytest.mark.alone
def test_jobs_of_a_killed_process_go_on_elsewhere_within_two_seconds(tmp_path: Path) -> None:
    async def scene(_: SharedStore, workers: list[Worker]) -> None:
        victim, *others = workers
        shards = victim.wrote_since(time.monotonic() - 0.5)
        killed_s = time.monotonic()
        victim.process.send_signal(signal.SIGKILL)
        took_s = await all_written(others, shards, killed_s)
        print(f"jobs went on {took_s:.2f} s after kill -9")
        assert took_s <= 2.0

    play(tmp_path, scene)


@pytest.mark.alone
def test_jobs_of_a_stopped_process_go_on_elsewhere_and_it_does_no_harm_when_it_goes_on(tmp_path: Path) -> None:
    async def scene(_: SharedStore, workers: list[Worker]) -> None:
        victim, *others = workers
        shards = victim.wrote_since(time.monotonic() - 0.5)
        stopped_s = time.monotonic()
        victim.process.send_signal(signal.SIGSTOP)
        took_s = await all_written(others, shards, stopped_s)
        print(f"jobs went on {took_s:.2f} s after SIGSTOP")
        assert took_s <= 4.0
        await asyncio.sleep(5.0)
        went_on_s = time.monotonic()
        victim.process.send_signal(signal.SIGCONT)
        # It has its share again before long, and only under leases that it took anew.
        await until(lambda: len(victim.wrote_since(went_on_s + 1.0)) == 2, 30.0)
        numbers = {(e["shard"], e["number"]) for w in others for e in w.said if e["event"] == "runs"}
        for one in victim.said:
            if one["event"] == "runs" and one["at_s"] > went_on_s:
                assert (one["shard"], one["number"]) not in numbers

    play(tmp_path, scene)
