"""Nova's own client of Placement, in several processes at once: hosts that report, instances that come, move and go.

What everybody has in the end is known to those who claimed it, and is compared with what Tenet says and stores.
"""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.placement.novas import PART_S_MAX, Nova
from tests.rounds import rounds
from tests.servers import Server, end, start

PROJECT = "a" * 32
HOSTS = 6
SCHEDULERS, ROUNDS = rounds((3, 40), (8, 400))
COMPUTES, UPDATES = rounds((2, 30), (4, 300))
#: What every process of Nova is told of Placement; the token is an access key.
CONFIGURATION = """
[placement]
auth_type = admin_token
endpoint = {endpoint}/placement
token = {key}
cafile = {authority}
"""

Usages = dict[str, dict[str, int]]


def key_of(server: Server) -> str:
    return f"{server.exports['AWS_ACCESS_KEY_ID']}:{server.exports['AWS_SECRET_ACCESS_KEY']}"


def told(server: Server, path: str) -> Any:
    headers = {"x-auth-token": key_of(server), "openstack-api-version": "placement 1.37"}
    request = urllib.request.Request(f"{server.endpoint}/placement{path}", headers=headers)
    context = ssl.create_default_context(cafile=server.exports["AWS_CA_BUNDLE"])
    with urllib.request.urlopen(request, timeout=30, context=context) as answer:
        return json.loads(answer.read())


def sums(results: dict[str, Any]) -> Usages:
    """Returns what those who schedule gave out, by provider and class."""
    found: Usages = {}
    for result in results.values():
        for allocations in result.get("have", {}).values():
            for uuid, resources in allocations.items():
                of_provider = found.setdefault(uuid, {})
                for name, amount in resources.items():
                    of_provider[name] = of_provider.get(name, 0) + amount
    return found


def check_usages(server: Server, expected: Usages) -> None:
    providers = told(server, "/resource_providers")["resource_providers"]
    assert len(providers) == 1 + 3 * HOSTS
    total: Counter[str] = Counter()
    for provider in providers:
        path = f"/resource_providers/{provider['uuid']}"
        used = {name: count for name, count in told(server, f"{path}/usages")["usages"].items() if count}
        assert used == expected.get(provider["uuid"], {}), provider["name"]
        for name, one in told(server, f"{path}/inventories")["inventories"].items():
            assert used.get(name, 0) <= (one["total"] - one["reserved"]) * one["allocation_ratio"]
        total.update(used)
    assert told(server, f"/usages?project_id={PROJECT}")["usages"] == total


@pytest.mark.time_limit_s(3 * PART_S_MAX)
def test_hosts_report_and_instances_come_move_and_go(tmp_path: Path, seed: int) -> None:
    server = start(tmp_path / "data")
    try:
        authority = server.exports["AWS_CA_BUNDLE"]
        nova = Nova(tmp_path, CONFIGURATION.format(endpoint=server.endpoint, key=key_of(server), authority=authority))
        nova.run("fleet", HOSTS)
        assert nova.run("conflicts")["done"] == {"of providers": 1, "of consumers": 1}
        processes = {
            f"scheduler-{number}": nova.begin(f"scheduler-{number}", "schedule", seed + number, ROUNDS)
            for number in range(SCHEDULERS)
        }
        for number in range(COMPUTES):
            # All of them report the same hosts, which is more than Nova does.
            name = f"compute-{number}"
            processes[name] = nova.begin(name, "compute", seed + number, UPDATES, HOSTS)
        results = nova.results(processes)
        done: Counter[str] = sum((Counter(result["done"]) for result in results.values()), Counter())
        for kind in ("boot", "delete", "resize", "resize taken back", "evacuate", "attach", "updates", "traits"):
            assert done[kind], done
        check_usages(server, sums(results))
    finally:
        end(server)
    audited = server.command("placement", "audit")
    assert audited.returncode == 0, audited.stdout
