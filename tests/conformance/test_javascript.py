"""The AWS SDK for JavaScript, version 3: the programs in ``node/``, with nothing but what Tenet printed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.packages import NODE, NODE_PROGRAMS
from tests.servers import Server, clean_environment

pytestmark = pytest.mark.time_limit_s(300)


def run(program: str, server: Server, folder: Path, table: str) -> str:
    """Runs a program beside the packages that it imports; returns what it prints."""
    (folder / "node_modules").symlink_to(NODE_PROGRAMS.ensure() / "node_modules")
    shutil.copy(NODE / program, folder)
    exports = dict(server.exports)
    environment = clean_environment(**exports, NODE_EXTRA_CA_CERTS=exports["AWS_CA_BUNDLE"])
    done = subprocess.run(
        ["node", program, table],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("program", ["chat.mjs", "shop.mjs", "jobs.mjs"])
def test_program_passes(program: str, server: Server, tmp_path: Path, fresh_name: Callable[[str], str]) -> None:
    assert run(program, server, tmp_path, fresh_name(program.partition(".")[0])).splitlines()[-1] == "ok"
