"""Clients of a server on a broken engine notice, and the checkers say so; on a right one they say nothing.

The servers are real ones, started as ever; the engines are found by their entry point.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.broken_engines import ENGINES, installed
from tests.faults.clients import Clients, Load, Target
from tests.faults.verdict import Verdict, judge
from tests.rounds import rounds
from tests.servers import Server, running

STEPS = rounds(50, 200)
ITEMS = (Load("registers", 3, steps=2 * STEPS), Load("counters", 3, steps=2 * STEPS))
TRANSACTIONS = (Load("bank", 3, steps=STEPS), Load("lists", 6, keys=4, steps=STEPS))
#: Steps are what ends a round; a machine that is busy with other things takes longer, and no fewer.
SECONDS_MAX = rounds(60.0, 150.0)
#: What is broken now and then may hide from clients for once.
ROUNDS_MAX = 3

#: For each broken engine, who asks, and what has to be found, each by itself.
FINDS: dict[str, tuple[tuple[Load, ...], set[str]]] = {
    "stale_reads": (ITEMS, {"registers", "counters"}),
    "lost_writes": ((*ITEMS, *TRANSACTIONS), {"registers", "counters", "bank", "lost append"}),
    "applied_twice": (ITEMS, {"counters", "registers"}),
    "torn_commits": (TRANSACTIONS, {"bank", "G-single"}),
    "dirty_reads": (TRANSACTIONS, {"bank", "G1a"}),
    "fractured_snapshots": (TRANSACTIONS, {"bank", "G-single"}),
    "lost_updates": (TRANSACTIONS, {"bank", "lost append"}),
}


def play(server: Server, folder: Path, loads: tuple[Load, ...], seed: int) -> Verdict:
    target = Target([server.endpoint], server.exports, server.exports["AWS_CA_BUNDLE"])
    name = f"round-{seed}"
    with Clients(target, folder / "clients", seed=seed).running(loads, seconds=SECONDS_MAX, name=name) as run:
        pass
    assert len(run.history) >= sum(load.clients * load.steps for load in loads)
    return judge(run.history, pictures=folder)


def test_every_broken_engine_is_tried() -> None:
    assert set(FINDS) == set(ENGINES)


@pytest.mark.time_limit_s(600)
@pytest.mark.parametrize("engine", FINDS)
def test_a_broken_engine_is_found_out(engine: str, tmp_path: Path, seed: int) -> None:
    loads, finds = FINDS[engine]
    found: set[str] = set()
    told = ""
    with running(tmp_path / "data", environment=installed(tmp_path / "installed", engine)) as server:
        for round_seed in range(seed, seed + ROUNDS_MAX):
            verdict = play(server, tmp_path, loads, round_seed)
            assert not verdict.is_right, "nothing was found"
            found |= verdict.names
            told = str(verdict)
            if finds <= found:
                return
    raise AssertionError(f"found {sorted(found)}, not {sorted(finds - found)}\n{told}")


@pytest.mark.time_limit_s(300)
@pytest.mark.parametrize("engine", ["sqlite", "memory"])
def test_a_right_engine_is_found_right(engine: str, tmp_path: Path, seed: int) -> None:
    with running(tmp_path / "data", environment={"TENET_STORE_URL": f"{engine}:"}) as server:
        verdict = play(server, tmp_path, (*ITEMS, *TRANSACTIONS), seed)
    assert verdict.is_right, str(verdict)
