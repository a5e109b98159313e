"""PynamoDB: a program of models, in an environment of its own, with nothing but what Tenet printed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conformance.packages import PYNAMODB
from tests.servers import Server, clean_environment

pytestmark = pytest.mark.time_limit_s(300)

PROGRAM = Path(__file__).parent / "programs" / "workshop.py"


def test_program_passes(server: Server) -> None:
    done = subprocess.run(
        [str(PYNAMODB.ensure() / "bin" / "python"), str(PROGRAM)],
        env=clean_environment(**server.exports),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    parts = re.findall(
        r"^    (\w+),$", PROGRAM.read_text(encoding="utf-8").rpartition("for part in (")[2], re.MULTILINE
    )
    assert done.stdout.split() == parts
    assert len(parts) == 7
