"""The gabbi suite that is inside the openstack-placement package, live against Tenet.

One server for each way in which the suite sets up the service. Between files everything is deleted over the API, so
that what is deleted and made again is tried as well.
"""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack
from pathlib import Path

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
    results = tmp_path / "results.json"
    python = OPENSTACK_PLACEMENT.ensure() / "bin" / "python"
    with ExitStack() as servers:
        urls = [
            servers.enter_context(running(tmp_path / name, "--plaintext", environment=BASE | more)).endpoint
            for name, more in SERVERS.items()
        ]
        done = subprocess.run(
            [str(python), str(PROGRAM), str(results), *urls],
            env=clean_environment(PYTHONPATH=""),
            capture_output=True,
            text=True,
            timeout=SUITE_S_MAX,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(results.read_text(encoding="utf-8"))
    assert found["run"] == TESTS
    failed = found["failed"]
    assert [name.partition(":")[0] for name in failed] == [CANNOT_BE_SENT], json.dumps(failed, indent=1)[:6000]
    assert "bad Content-Length" in next(iter(failed.values()))
    assert found["passed"] == TESTS - 1
