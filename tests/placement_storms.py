"""Boot storms: schedulers in processes of their own fill a cloud, and what has to be true when nothing is free."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from tests.servers import Server

PROGRAM = Path(__file__).parent / "e2e" / "placement_scheduler.py"
#: How a scheduler picks one of the candidates, and how many it asks for.
PICKS = {"first": 10, "random": 100, "most-free": 100}
#: Hosts that are made at the same time.
FURNISHED_AT_ONCE = 8
#: How often it is looked how far a storm is, seconds.
LOOK_S = 0.002

Json = dict[str, Any]


@dataclass(frozen=True)
class Cloud:
    """A cloud that servers give out.

    Args:
        hosts: how many it has.
        slots_of_host: how many instances each has room for; an even number.
        listens: where the servers are, each as ``HOST:PORT``.
        token: shown with every request.
    """

    hosts: int
    slots_of_host: int
    listens: tuple[str, ...]
    token: str

    @property
    def slots(self) -> int:
        """How many instances there is room for."""
        return self.hosts * self.slots_of_host

    def ask(self, method: str, path: str, body: Json | None = None) -> Json:
        """Sends a request that has to succeed to the first server; returns the document of the answer."""
        connection = http.client.HTTPConnection(self.listens[0], timeout=60)
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
        assert not self.slots_of_host % 2
        with ThreadPoolExecutor(FURNISHED_AT_ONCE) as threads:
            list(threads.map(self._furnish, range(1, self.hosts + 1)))

    def _furnish(self, number: int) -> None:
        uuid = str(UUID(int=number))
        self.ask("POST", "/resource_providers", {"name": f"host-{number}", "uuid": uuid})
        inventories = {
            "VCPU": {"total": self.slots_of_host // 2, "allocation_ratio": 2.0},
            "MEMORY_MB": {"total": 512 * (self.slots_of_host + 2), "reserved": 512},
        }
        body = {"resource_provider_generation": 0, "inventories": inventories}
        self.ask("PUT", f"/resource_providers/{uuid}/inventories", body)

    def placed(self) -> int:
        """Returns how many instances there are."""
        usages = self.ask("GET", "/usages?project_id=storm")["usages"]
        return int(usages.get("INSTANCE", {}).get("consumer_count", 0))

    def wait_for(self, placed: int) -> None:
        """Waits until so many instances are there."""
        while self.placed() < placed:
            time.sleep(LOOK_S)

    def storm(self, schedulers: int, pick: str, meanwhile: Callable[[], None]) -> list[Json]:
        """Lets schedulers boot a tenth more than there is room for; returns what each of them met.

        Args:
            schedulers: how many.
            pick: one of ``PICKS``.
            meanwhile: done while they are at it.
        """
        wanted = self.slots * 11 // 10 // schedulers + 1
        with ExitStack() as stack:
            running: list[subprocess.Popen[str]] = []
            for number in range(schedulers):
                process = subprocess.Popen(
                    [sys.executable, "-S", str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
                stack.callback(process.kill)
                told = {"listens": self.listens, "token": self.token, "pick": pick, "limit": PICKS[pick]}
                _tell(process, json.dumps({**told, "seed": number, "instances": wanted}))
                running.append(process)
            for process in running:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
            for process in running:
                _tell(process, "go")
            meanwhile()
            outputs = [process.communicate()[0] for process in running]
        assert all(process.returncode == 0 for process in running), outputs
        return [json.loads(output.splitlines()[-1]) for output in outputs]

    def check(self, told: Sequence[Json]) -> Counter[str]:
        """Makes sure that the cloud is exactly full, and that nobody met an error; returns the answers by their kind.

        Args:
            told: what the schedulers met.
        """
        shown = self.ask("GET", "/usages?project_id=storm")["usages"]["INSTANCE"]
        free = self.ask("GET", "/allocation_candidates?resources=VCPU:1")["allocation_requests"]
        met: Counter[str] = sum((Counter(one["met"]) for one in told), Counter())
        assert [wrong for one in told for wrong in one["wrong"]] == []
        assert not [answer for answer in met if answer.split()[1].startswith("5")]
        placed = [consumer for one in told for consumer in one["placed"]]
        assert len(placed) == len(set(placed)) == self.slots
        assert shown == {"VCPU": self.slots, "MEMORY_MB": 512 * self.slots, "consumer_count": self.slots}
        assert free == []
        return met

    @property
    def audited(self) -> str:
        """What an audit prints when everything was given out, and once."""
        providers = f"{self.hosts:,} providers, {self.slots:,} allocations, {self.slots:,} consumers"
        return f"{providers}, 1 projects, {self.hosts:,} names: everything adds up.\n"


def listen_of(server: Server) -> str:
    """Returns where a server listens, as ``HOST:PORT``."""
    return urlsplit(server.endpoint).netloc


def token_of(server: Server) -> str:
    """Returns what shows a request to be an administrator's."""
    return f"{server.exports['AWS_ACCESS_KEY_ID']}:{server.exports['AWS_SECRET_ACCESS_KEY']}"


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
