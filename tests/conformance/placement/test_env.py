"""What ``tenet env --for openstack`` prints is all that clients of OpenStack need, whatever else was set."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tenet.app.exports import LEFT_OVER_OF_OPENSTACK
from tests.conformance.packages import OPENSTACK_PLACEMENT
from tests.servers import TENET, clean_environment, running

#: With the latest microversion, asked for by nobody: the parent of a provider is told from 1.14 on.
PROGRAM = """
import openstack

placement = openstack.connect().placement
(one,) = placement.get("/resource_providers").json()["resource_providers"]
print(one["name"], one["parent_provider_uuid"])
"""
COMMANDS = """
eval "$(tenet env --for openstack --data "$DATA")"
openstack resource provider create host-1 -f value -c name
openstack resource provider list -f value -c name -c root_provider_uuid | wc -w
python -c "$PROGRAM"
"""
TIME_LIMIT_S = 300


@pytest.mark.time_limit_s(TIME_LIMIT_S)
@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        ((), {}),
        (("--plaintext",), {"TENET_PLACEMENT_AUTHENTICATION": "none", "TENET_PLACEMENT_PATH": "/at/home"}),
    ],
    ids=["keys", "none"],
)
def test_two_commands_point_openstack_here(
    tmp_path: Path, arguments: tuple[str, ...], settings: dict[str, str]
) -> None:
    programs = OPENSTACK_PLACEMENT.ensure() / "bin"
    with running(tmp_path / "data", *arguments, environment=settings) as server:
        environment = clean_environment(
            **dict.fromkeys(LEFT_OVER_OF_OPENSTACK, "elsewhere"),
            **settings,
            TENET_TLS_PLAINTEXT=str("--plaintext" in arguments).lower(),
            PATH=os.pathsep.join([str(programs), str(TENET.parent), os.environ["PATH"]]),
            DATA=str(server.data),
            PROGRAM=PROGRAM,
        )
        done = subprocess.run(
            ["/bin/sh", "-euc", COMMANDS],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT_S,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    created, words, *rest = done.stdout.splitlines()
    assert (created, int(words)) == ("host-1", 2)
    assert rest[-1] == "host-1 None"
