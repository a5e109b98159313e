"""Schedulers in processes of their own fill a cloud exactly, while the server is killed and started again.

Nothing is given out twice, nothing is lost: every slot has one instance, every instance that a scheduler saw placed has
its slot, and what is in use is the sum of what instances have, in every place that tells of it.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.rounds import rounds
from tests.servers import clean_environment, end, start

SCHEDULER = Path(__file__).parent / "scheduler.py"
ENVIRONMENT = {"TENET_PLACEMENT_AUTHENTICATION": "none"}
HOSTS, SLOTS_EACH = rounds(20, 100), 10
SLOTS = HOSTS * SLOTS_EACH
KILLS = rounds(3, 20)
STORM_S_MAX = 100
PICKS = ("first", "random", "most-free")


class Cloud:
    """A server with hosts, which is killed now and then.

    Args:
        folder: for its data.
    """

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self._server = start(self._data, "--plaintext", environment=ENVIRONMENT)
        self.url = self._server.endpoint
        self._listen = urlsplit(self.url).netloc
        self.hosts = [self._make_host(number) for number in range(HOSTS)]

    def _make_host(self, number: int) -> str:
        host = str(self.ask("POST", "/resource_providers", {"name": f"host-{number}"})["uuid"])
        inventory = {"resource_class": "VCPU", "total": SLOTS_EACH}
        self.ask("POST", f"/resource_providers/{host}/inventories", inventory)
        return host

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Sends a request, which has to succeed."""
        connection = HTTPConnection(self._listen, timeout=20)
        headers = {
            "x-auth-token": "admin",
            "openstack-api-version": "placement 1.39",
            "content-type": "application/json",
        }
        connection.request(method, f"/placement{path}", None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status < 300, text
        return json.loads(text) if text else None

    def kill(self) -> None:
        """Ends the server between two instructions, and starts it where it was."""
        self._server.kill()
        self._server = start(self._data, "--plaintext", "--listen", self._listen, environment=ENVIRONMENT)

    def close(self) -> None:
        """Ends the server."""
        end(self._server)

    def held(self) -> dict[str, str]:
        """Returns which host each instance is on; what is in use of every host is the sum of that."""
        found: dict[str, str] = {}
        for host in self.hosts:
            held = self.ask("GET", f"/resource_providers/{host}/allocations")["allocations"]
            used = self.ask("GET", f"/resource_providers/{host}/usages")["usages"]["VCPU"]
            assert used == sum(one["resources"]["VCPU"] for one in held.values()) <= SLOTS_EACH
            assert not found.keys() & held.keys()
            found |= dict.fromkeys(held, host)
        return found


def storm(cloud: Cloud, schedulers: int, picks: tuple[str, ...], kills: int, seed: int) -> list[dict[str, Any]]:
    """Runs schedulers that want more slots than there are; returns what each says."""
    each = SLOTS // schedulers + 5
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, str(SCHEDULER), cloud.url, picks[number % len(picks)]),
                *(str(1 + number * each), str(each), str(seed + number)),
            ],
            env=clean_environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(schedulers)
    ]
    chance = random.Random(seed)
    try:
        for _ in range(kills):
            time.sleep(chance.uniform(0.3, 1.0))
            cloud.kill()
        said = [process.communicate(timeout=STORM_S_MAX)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [json.loads(one) for one in said]


@pytest.mark.parametrize(
    ("schedulers", "picks", "kills"),
    [(1, ("first",), 0), (8, ("first",), 0), (8, ("random",), 0), (8, PICKS, KILLS)],
)
@pytest.mark.time_limit_s(STORM_S_MAX + 60)
def test_a_storm_fills_the_cloud_exactly(tmp_path: Path, schedulers: int, picks: tuple[str, ...], kills: int) -> None:
    cloud = Cloud(tmp_path)
    try:
        said = storm(cloud, schedulers, picks, kills, seed=schedulers * 1000 + kills)
        outcomes = {result for one in said for result in one["results"]}
        assert outcomes <= {"placed", "full"}, said
        placed = [instance for one in said for instance in one["placed"]]
        held = cloud.held()
        assert len(placed) == len(held) == SLOTS
        assert set(placed) == held.keys()
        usages = cloud.ask("GET", "/usages?project_id=storm")["usages"]
        assert usages == {"INSTANCE": {"VCPU": SLOTS, "consumer_count": SLOTS}}
        for instance in random.Random(0).sample(placed, SLOTS):
            cloud.ask("DELETE", f"/allocations/{instance}")
        assert cloud.held() == {}
    finally:
        cloud.close()
