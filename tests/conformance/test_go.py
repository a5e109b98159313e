"""The AWS SDK for Go, version 2: the program in ``go/tables``, with nothing but what Tenet printed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.packages import GO_TABLES
from tests.servers import Server, clean_environment

pytestmark = pytest.mark.time_limit_s(400)


def test_program_passes(server: Server, tmp_path: Path, fresh_name: Callable[[str], str]) -> None:
    built = tmp_path / "tables"
    subprocess.run(["go", "build", "-o", str(built), "."], cwd=GO_TABLES, check=True, timeout=300)
    done = subprocess.run(
        [str(built), fresh_name("parcels")],
        env=clean_environment(**server.exports),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    parts = re.findall(r'^\t\t\{"(\w+)", \w+\},$', (GO_TABLES / "main.go").read_text(encoding="utf-8"), re.MULTILINE)
    assert done.stdout.split() == parts
    assert len(parts) == 13
