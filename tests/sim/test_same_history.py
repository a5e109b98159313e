"""A seed plays the same history in every process: no set decides an order, whatever the process hashes with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Processes that hash texts otherwise, and lay out their memory otherwise.
HASH_SEEDS = ("1", "2", "10")
SEED = 3
#: Plays a scene in which much waits for the same hints, and prints what happened to every call of its nodes.
PROGRAM = f"""
import hashlib
from tenet.store.faulty import EVERY_FAULT
from tests.sim.harness import Simulation, simulate
from tests.sim.test_tables_filling import RemoteEngine, filled

async def scene(sim: Simulation) -> str:
    await filled(sim, 2)
    return f"{{sim.clock.monotonic_s()}} {{sim.counts()}} {{sim.report()}} {{sim.state.last_version}}"

print(hashlib.sha256(simulate(scene, {SEED}, EVERY_FAULT, RemoteEngine).encode()).hexdigest(), "is the history")
"""


def test_a_seed_plays_the_same_history_whatever_texts_hash_to() -> None:
    playing = [
        subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for seed in HASH_SEEDS
    ]
    printed = [process.communicate(timeout=60)[0] for process in playing]
    assert [process.returncode for process in playing] == [0] * len(playing), printed
    assert len({text.splitlines()[-1] for text in printed}) == 1
    assert all("is the history" in text for text in printed)
