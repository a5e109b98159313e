"""Coverage-guided fuzzing of the edge where atheris installs: seconds in the quick run, minutes in the long one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.packages import FetchFailed, libraries
from tests.edges import call
from tests.rounds import LONG

FUZZER = Path(__file__).with_name("fuzz_edge.py")
ROOT = FUZZER.parents[2]
ATHERIS = libraries("atheris==3.0.0")
SECONDS = 240 if LONG else 5


def path_of_atheris() -> str | None:
    """Where it lies; None where the index has none for this machine: it is built for Linux and few Pythons."""
    try:
        return str(ATHERIS.ensure())
    except FetchFailed:
        return None


@pytest.mark.time_limit_s(SECONDS + 120)
@pytest.mark.parametrize("target", ["connection", "signature", "bodies"])
def test_nothing_that_a_fuzzer_finds_breaks_the_edge(target: str, tmp_path: Path, seed: int) -> None:
    atheris = path_of_atheris()
    if atheris is None:
        assert sys.platform != "linux" or sys.version_info >= (3, 14)
        return
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "call").write_bytes(b"\xff" + call("Echo", b'{"a":[1]}'))
    (corpus / "page").write_bytes(b"\x07GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n")
    command = [sys.executable, str(FUZZER), target, str(SECONDS), f"-seed={seed + 1}", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(
        [*command, str(corpus)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), atheris))},
        capture_output=True,
        text=True,
        timeout=SECONDS + 100,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
