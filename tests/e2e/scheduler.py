"""A scheduler as a process of its own: boots instances until its list is done or the cloud is full.

    python scheduler.py URL PICK FIRST_INSTANCE COUNT SEED

It asks for candidates, picks one (``first``, ``random`` or ``most-free``), and claims it; where another was faster
it asks again. While the server is away it waits. At the end it writes one JSON object: what came of its instances.
"""

from __future__ import annotations

import json
import sys
import time
from http.client import HTTPConnection, HTTPException
from random import Random
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

TRIES_MAX = 400
AWAY_S_MAX = 60.0
LIMIT = 20
OK, NO_CONTENT, CONFLICT, NOTHING_WRITTEN = 200, 204, 409, 503


class Service:
    """The placement service, which may be away for a while."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._connection: HTTPConnection | None = None

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any, bool]:
        """Returns the status, the document, and whether an earlier try may have been carried out."""
        data = None if body is None else json.dumps(body)
        headers = {"x-auth-token": "admin", "openstack-api-version": "placement 1.39", "accept": "application/json"}
        if data is not None:
            headers["content-type"] = "application/json"
        until, was_lost = time.monotonic() + AWAY_S_MAX, False
        while True:
            try:
                if self._connection is None:
                    self._connection = HTTPConnection(str(self._url.hostname), self._url.port, timeout=20)
                self._connection.request(method, f"/placement{path}", data, headers)
                answer = self._connection.getresponse()
                text = answer.read()
            except (OSError, HTTPException):
                self._connection, was_lost = None, True
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
                continue
            if answer.status != NOTHING_WRITTEN:
                return answer.status, json.loads(text) if text else None, was_lost
            time.sleep(0.02)


def pick(how: str, document: Any, chance: Random) -> dict[str, Any]:
    """Returns one of the candidates."""
    requests: list[dict[str, Any]] = document["allocation_requests"]
    if how == "first":
        return requests[0]
    if how == "random":
        return chance.choice(requests)
    summaries = document["provider_summaries"]

    def free(request: dict[str, Any]) -> int:
        resources = [summaries[uuid]["resources"]["VCPU"] for uuid in request["allocations"]]
        return sum(one["capacity"] - one["used"] for one in resources)

    return max(requests, key=free)


def boot(service: Service, how: str, instance: str, chance: Random) -> str:
    """Boots an instance; returns ``placed``, ``full``, or what else came of it."""
    for _ in range(TRIES_MAX):
        status, document, _ = service.ask("GET", f"/allocation_candidates?resources=VCPU:1&limit={LIMIT}")
        if status != OK:
            return f"candidates: {status} {document}"
        if not document["allocation_requests"]:
            return "full"
        chosen = pick(how, document, chance)
        body = {
            "allocations": chosen["allocations"],
            "project_id": "storm",
            "user_id": how,
            "consumer_generation": None,
            "consumer_type": "INSTANCE",
        }
        status, answer, was_lost = service.ask("PUT", f"/allocations/{instance}", body)
        if status == NO_CONTENT:
            return "placed"
        if status != CONFLICT:
            return f"claim: {status} {answer}"
        if was_lost and "consumer generation conflict" in answer["errors"][0]["detail"]:
            return "placed"  # by the try whose answer was lost
    return "gave up"


def main() -> None:
    """Boots all instances of the list."""
    url, how, first, count, seed = sys.argv[1:]
    service, chance = Service(url), Random(int(seed))
    results: dict[str, int] = {}
    placed: list[str] = []
    for number in range(int(first), int(first) + int(count)):
        instance = str(UUID(int=number))
        result = boot(service, how, instance, chance)
        results[result] = results.get(result, 0) + 1
        if result == "placed":
            placed.append(instance)
    json.dump({"results": results, "placed": placed}, sys.stdout)


if __name__ == "__main__":
    main()
