"""The gabbi suite that is inside the openstack-placement package, live against Tenet.

One server for each way in which the suite sets up the service. Between files everything is deleted over the API, so
that what is deleted and made again is tried as well.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.packages import OPENSTACK_PLACEMENT
from tests.servers import clean_environment, running

PROGRAM = Path(__file__).parent / "programs" / "gabbits.py"
BASE = {"TENET_PLACEMENT_PATH": "", "TENET_PLACEMENT_AUTHENTICATION": "none"}
#: The servers, in the order that the program takes them in.
SERVERS = {
    "default": {},
    "open": {"TENET_PLACEMENT_OPEN_POLICY": "true"},
    "secure": {"TENET_PLACEMENT_ENFORCE_NEW_DEFAULTS": "true"},
    "cors": {
        "TENET_PLACEMENT_CORS_ORIGINS": "http://valid.example.com",
        "TENET_PLACEMENT_CORS_HEADERS": "openstack-api-version",
    },
}
TESTS = 1316
#: Its client refuses to send a Content-Length that is no number; the service itself fails it as well when it is live.
CANNOT_BE_SENT = "basic-http"
SUITE_S_MAX = 900


@pytest.mark.time_limit_s(SUITE_S_MAX + 120)
def test_the_suite_of_the_service_passes(tmp_path: Path) -> None:
    with ExitStack() as servers:
        urls = [
            servers.enter_context(running(tmp_path / name, "--plaintext", environment=BASE | more)).endpoint
            for name, more in SERVERS.items()
        ]
        found = carried_out(tmp_path, urls, SUITE_S_MAX)
    assert found["run"] == TESTS
    check(found)


def carried_out(folder: Path, urls: Sequence[str], timeout_s: float, files: Sequence[str] = ()) -> Any:
    """Runs the suite, and returns what came of it.

    Args:
        folder: for its results.
        urls: of the servers, in the order of ``SERVERS``.
        timeout_s: how long it may take.
        files: which of its files; all where none is named.
    """
    results = folder / "results.json"
    python = OPENSTACK_PLACEMENT.ensure() / "bin" / "python"
    done = subprocess.run(
        [str(python), str(PROGRAM), str(results), *urls, *files],
        env=clean_environment(PYTHONPATH=""),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(results.read_text(encoding="utf-8"))


def check(found: Any) -> None:
    """Makes sure that all passed but the one that cannot be sent, where it was among them."""
    failed = found["failed"]
    expected = [CANNOT_BE_SENT] if CANNOT_BE_SENT in found["elapsed_s"] else []
    assert [name.partition(":")[0] for name in failed] == expected, json.dumps(failed, indent=1)[:6000]
    assert all("bad Content-Length" in why for why in failed.values())
    assert found["passed"] == found["run"] - len(failed)
