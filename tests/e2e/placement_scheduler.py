"""A scheduler in a process of its own: boots instances on what the placement service says is free, until all is full.

Reads one JSON object from its standard input, says ``ready``, waits for another line, and begins. At the end it writes
what it met as one JSON object. It is as careful as a scheduler has to be: where an answer is lost, it asks what the
consumer has before it tries again, at the next of the servers.
"""

from __future__ import annotations

import http.client
import json
import random
import sys
import time
import uuid
from collections import Counter
from typing import Any

RESOURCES = {"VCPU": 1, "MEMORY_MB": 512}
#: How long it tries to reach a server that is down, seconds.
DOWN_S_MAX = 60.0
AGAIN_S = 0.02

Json = dict[str, Any]


class Scheduler:
    """Boots instances.

    Args:
        listens: where the servers are, each as ``HOST:PORT``; all serve the same.
        token: shown with every request.
        pick: ``first``, ``random`` or ``most-free``.
        limit: how many candidates it asks for.
        seed: of its choices.
    """

    def __init__(self, *, listens: list[str], token: str, pick: str, limit: int, seed: int) -> None:
        self._connections = [http.client.HTTPConnection(listen, timeout=60) for listen in listens]
        #: The number of the server that is asked.
        self._at = seed % len(listens)
        self._headers = {"X-Auth-Token": token, "OpenStack-API-Version": "placement 1.39"}
        self._headers["Content-Type"] = "application/json"
        self._pick = pick
        self._limit = limit
        self._random = random.Random(seed)
        #: Answers by method and status, and how often there was none.
        self.met: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.placed: list[str] = []
        self.refused = 0

    def boot(self) -> None:
        """Places one instance, or finds that everything is full."""
        consumer = str(uuid.UUID(int=self._random.getrandbits(128)))
        while True:
            candidates = self._ask("GET", self._query())
            if not candidates["allocation_requests"]:
                self.refused += 1
                return
            if self._claim(consumer, self._chosen(candidates)):
                self.placed.append(consumer)
                return

    def _query(self) -> str:
        asked = ",".join(f"{name}:{amount}" for name, amount in RESOURCES.items())
        return f"/placement/allocation_candidates?resources={asked}&limit={self._limit}"

    def _chosen(self, candidates: Json) -> Json:
        """Returns the allocations of one of the candidates."""
        requests = candidates["allocation_requests"]
        if self._pick == "first":
            chosen = requests[0]
        elif self._pick == "random":
            chosen = self._random.choice(requests)
        else:
            summaries = candidates["provider_summaries"]

            def free(request: Json) -> int:
                (host,) = request["allocations"]
                vcpu = summaries[host]["resources"]["VCPU"]
                return int(vcpu["capacity"] - vcpu["used"])

            chosen = max(requests, key=free)
        return {name: {"resources": one["resources"]} for name, one in chosen["allocations"].items()}

    def _claim(self, consumer: str, allocations: Json) -> bool:
        """Claims; returns whether the consumer has it now, and not what others have taken meanwhile."""
        path = f"/placement/allocations/{consumer}"
        owner = {"project_id": "storm", "user_id": "scheduler", "consumer_type": "INSTANCE"}
        body = {"allocations": allocations, "consumer_generation": None, **owner}
        answer = self._send("PUT", path, body)
        if answer is None:
            # Whether it took effect nobody knows.
            return bool(self._ask("GET", path)["allocations"])
        status, data = answer
        if status != 204 and (status != 409 or b"exceed the capacity" not in data):
            self.wrong.append(f"PUT {status}: {data[:300]!r}")
        return status == 204

    def _ask(self, method: str, path: str) -> Json:
        """Asks until there is an answer."""
        until = time.monotonic() + DOWN_S_MAX
        while time.monotonic() < until:
            answer = self._send(method, path)
            if answer is None:
                time.sleep(AGAIN_S)
                continue
            status, data = answer
            if status != 200:
                self.wrong.append(f"{method} {path} {status}: {data[:300]!r}")
                raise SystemExit("refused")
            found: Json = json.loads(data)
            return found
        raise SystemExit("the server is down")

    def _send(self, method: str, path: str, body: Json | None = None) -> tuple[int, bytes] | None:
        """Returns status and body, or None where the connection was lost."""
        connection = self._connections[self._at]
        try:
            connection.request(method, path, None if body is None else json.dumps(body), self._headers)
            response = connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self._at = (self._at + 1) % len(self._connections)
            self.met[f"{method} lost"] += 1
            return None
        self.met[f"{method} {response.status}"] += 1
        return response.status, data


def main() -> None:
    given = json.loads(sys.stdin.readline())
    instances = given.pop("instances")
    scheduler = Scheduler(**given)
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        for _ in range(instances):
            scheduler.boot()
    finally:
        told = {"placed": scheduler.placed, "refused": scheduler.refused, "met": scheduler.met}
        print(json.dumps({**told, "wrong": scheduler.wrong}), flush=True)


if __name__ == "__main__":
    main()
