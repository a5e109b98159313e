"""Boot storms: schedulers in processes of their own fill a cloud exactly, while the server is killed in between.

Whatever they pick, no more is given out than there is, nothing that is free stays unfound, nobody is answered with an
error of the server's, and the audit of the store that is left finds that every sum is right.
"""

from __future__ import annotations

import http.client
import json
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from tests.rounds import LONG, rounds
from tests.servers import Server, end, start, tenet

PROGRAM = Path(__file__).with_name("placement_scheduler.py")
HOSTS, SLOTS_OF_HOST = rounds((20, 10), (1_000, 20))
SLOTS = HOSTS * SLOTS_OF_HOST
KILLS = rounds(1, 6)
PICKS = {"first": 10, "random": 100, "most-free": 100}
#: A storm of the long rounds places 20,000 instances.
TIME_LIMIT_S = 3_000 if LONG else 120

Json = dict[str, Any]


class Cloud:
    """A server with hosts, and what schedulers did to it.

    Args:
        folder: where its data lies.
        seed: of when it is killed.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.data = folder / "data"
        self._random = random.Random(seed)
        self.server: Server = start(self.data, "--plaintext")
        self._listen = urlsplit(self.server.endpoint).netloc
        self.token = f"{self.server.exports['AWS_ACCESS_KEY_ID']}:{self.server.exports['AWS_SECRET_ACCESS_KEY']}"

    def ask(self, method: str, path: str, body: Json | None = None) -> Json:
        """Sends a request that has to succeed; returns the document of the answer."""
        connection = http.client.HTTPConnection(self._listen, timeout=30)
        headers = {"X-Auth-Token": self.token, "OpenStack-API-Version": "placement 1.39"}
        headers["Content-Type"] = "application/json"
        connection.request(method, f"/placement{path}", None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        assert response.status in {200, 201, 204}, data
        found: Json = json.loads(data) if data else {}
        return found

    def furnish(self) -> None:
        """Makes the hosts; memory would do for one slot more than there are processors."""
        half, odd = divmod(SLOTS_OF_HOST, 2)
        assert not odd
        for number in range(1, HOSTS + 1):
            uuid = str(UUID(int=number))
            self.ask("POST", "/resource_providers", {"name": f"host-{number}", "uuid": uuid})
            inventories = {
                "VCPU": {"total": half, "allocation_ratio": 2.0},
                "MEMORY_MB": {"total": 512 * (SLOTS_OF_HOST + 2), "reserved": 512},
            }
            body = {"resource_provider_generation": 0, "inventories": inventories}
            self.ask("PUT", f"/resource_providers/{uuid}/inventories", body)

    def placed(self) -> int:
        """Returns how many instances there are."""
        usages = self.ask("GET", "/usages?project_id=storm")["usages"]
        return int(usages.get("INSTANCE", {}).get("consumer_count", 0))

    def storm(self, schedulers: int, pick: str, kills: int) -> list[Json]:
        """Lets schedulers boot a tenth more than there is room for; returns what each of them met."""
        wanted = SLOTS * 11 // 10 // schedulers + 1
        host, _, port = self._listen.rpartition(":")
        with ExitStack() as stack:
            running: list[subprocess.Popen[str]] = []
            for number in range(schedulers):
                process = subprocess.Popen(
                    [sys.executable, "-S", str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
                stack.callback(process.kill)
                told = {"host": host, "port": int(port), "token": self.token, "pick": pick, "limit": PICKS[pick]}
                _tell(process, json.dumps({**told, "seed": number, "instances": wanted}))
                running.append(process)
            for process in running:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
            for process in running:
                _tell(process, "go")
            # While at least half of it is still to be done, however quick the machine is.
            for placed in sorted(self._random.randrange(SLOTS // 2) for _ in range(kills)):
                while self.placed() < placed:
                    time.sleep(0.002)
                self.server.kill()
                self.server = start(self.data, "--plaintext", "--listen", self._listen)
            outputs = [process.communicate()[0] for process in running]
        assert all(process.returncode == 0 for process in running), outputs
        return [json.loads(output.splitlines()[-1]) for output in outputs]


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


@pytest.mark.time_limit_s(TIME_LIMIT_S)
@pytest.mark.parametrize("pick", PICKS)
@pytest.mark.parametrize("schedulers", rounds((1, 4), (1, 16, 64)))
def test_a_storm_fills_the_cloud_exactly(tmp_path: Path, schedulers: int, pick: str, seed: int) -> None:
    cloud = Cloud(tmp_path, seed)
    try:
        cloud.furnish()
        began_s = time.monotonic()
        told = cloud.storm(schedulers, pick, KILLS)
        elapsed_s = time.monotonic() - began_s
        shown = cloud.ask("GET", "/usages?project_id=storm")["usages"]["INSTANCE"]
        free = cloud.ask("GET", "/allocation_candidates?resources=VCPU:1")["allocation_requests"]
    finally:
        end(cloud.server)
    met: Counter[str] = sum((Counter(one["met"]) for one in told), Counter())
    print(f"{schedulers} schedulers, {pick}, {SLOTS} slots: {elapsed_s:.1f} s, {dict(met)}")
    assert [wrong for one in told for wrong in one["wrong"]] == []
    assert not [answer for answer in met if answer.split()[1].startswith("5")]
    assert sum(count for answer, count in met.items() if answer.endswith("lost")) >= KILLS
    placed = [consumer for one in told for consumer in one["placed"]]
    assert len(placed) == len(set(placed)) == SLOTS
    assert shown == {"VCPU": SLOTS, "MEMORY_MB": 512 * SLOTS, "consumer_count": SLOTS}
    assert free == []
    audited = tenet("placement", "audit", "--data", str(cloud.data))
    assert audited.returncode == 0, audited.stdout + audited.stderr
    figures = f"{HOSTS:,} providers, {SLOTS:,} allocations, {SLOTS:,} consumers, 1 projects, {HOSTS:,} names"
    assert audited.stdout == f"{figures}: everything adds up.\n"
