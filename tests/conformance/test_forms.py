"""Whatever a request holds, compiled modules answer it as the source does, and never with an internal error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def answers(compiled: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.conformance.mutations"],
        cwd=ROOT,
        # Texts name the members of sets and maps in the order of their hashes.
        env=os.environ | {"TENET_COMPILED": compiled, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stderr}\n(`make compile` makes the compiled modules)"
    return done.stdout.splitlines()


def test_mutated_requests_are_answered_alike_in_both_forms() -> None:
    source, compiled = answers("0"), answers("1")
    assert len(source) == len(compiled) > 5_000
    assert [pair for pair in zip(source, compiled, strict=True) if pair[0] != pair[1]] == []
    assert [line for line in source if "UNEXPECTED" in line] == []
