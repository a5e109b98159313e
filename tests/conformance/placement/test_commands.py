"""The functional tests that are inside the osc-placement package: the ``openstack`` command as a client of Tenet."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.conformance.packages import OPENSTACK_PLACEMENT
from tests.servers import clean_environment, running

PROGRAM = Path(__file__).parent / "programs" / "commands.py"
ENVIRONMENT = {"TENET_PLACEMENT_PATH": "", "TENET_PLACEMENT_AUTHENTICATION": "none"}
TESTS = 160
SUITE_S_MAX = 600


@pytest.mark.time_limit_s(SUITE_S_MAX + 120)
def test_the_command_of_openstack_works(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    programs = OPENSTACK_PLACEMENT.ensure() / "bin"
    with running(tmp_path / "data", "--plaintext", environment=ENVIRONMENT) as server:
        done = subprocess.run(
            [str(programs / "python"), str(PROGRAM), str(results), server.endpoint],
            env=clean_environment(PYTHONPATH="", PATH=f"{programs}{os.pathsep}{os.environ['PATH']}"),
            capture_output=True,
            text=True,
            timeout=SUITE_S_MAX,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(results.read_text(encoding="utf-8"))
    assert not found["failed"], json.dumps(found["failed"], indent=1)[:6000]
    assert (found["run"], found["passed"]) == (TESTS, TESTS)
