"""What is fetched once serves every checkout, also behind the one that fetched it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.packages import free_programs

BODY = "import sys\nprint(sys.prefix)\n"
GONE = "/removed since/bin/python"


@pytest.mark.parametrize("head", [f"#!{GONE}\n", f"#!/bin/sh\n'''exec' \"{GONE}\" \"$0\" \"$@\"\n' '''\n"])
def test_a_program_outlives_the_environment_that_fetched_it(tmp_path: Path, head: str) -> None:
    program = tmp_path / "program"
    program.write_text(head + BODY, encoding="utf-8")
    program.chmod(0o755)
    free_programs(tmp_path)
    printed = subprocess.run(
        [program], env={"PATH": str(Path(sys.executable).parent)}, capture_output=True, text=True, check=True
    )
    assert Path(printed.stdout.strip()).samefile(sys.prefix)


def test_what_no_python_runs_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"#!/bin/sh\necho here\n")
    (tmp_path / "data").write_bytes(b"\x7fELF\xff")
    (tmp_path / "__pycache__").mkdir()
    free_programs(tmp_path)
    assert (tmp_path / "program").read_bytes() == b"#!/bin/sh\necho here\n"
    assert (tmp_path / "data").read_bytes() == b"\x7fELF\xff"
