"""What commands say about placement: the audit of a store, and the doctor of a server."""

from __future__ import annotations

import asyncio
import http.client
import json
import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.placement import keys
from tenet.store.contract import Add, Commit, Committed, new_commit_id
from tenet.store.sqlite.engine import open_engine
from tests.servers import Server, running, tenet
from tests.unit.placement.world import uuid_of

TAKEN, SETTINGS = 4, 3


async def spoil(data: Path) -> None:
    """Counts as in use what nobody has."""
    clock, ids = SystemClock(), SystemIds()
    store = await open_engine(str(data / "store"), clock=clock, ids=ids)
    try:
        add = Add(keys.used_key(uuid_of(1), "VCPU"), keys.USED, 1)
        assert isinstance(await store.commit(Commit(new_commit_id(clock, ids), [add])), Committed)
    finally:
        await store.close()


def test_an_audit_says_what_is_wrong(tmp_path: Path) -> None:
    data = tmp_path / "data"
    none = tenet("placement", "audit", "--data", str(data))
    assert none.returncode == SETTINGS
    assert "there is no store" in none.stderr
    with running(data, "--plaintext") as server:
        # Nothing of it is there before somebody has asked for something.
        assert send(server, "PUT", "/traits/CUSTOM_ANY", {}) == 201
        assert send(server, "DELETE", "/traits/CUSTOM_ANY", {}) == 204
        held = server.command("placement", "audit")
        assert (held.returncode, held.stdout) == (TAKEN, "")
    clean = tenet("placement", "audit", "--data", str(data))
    nothing = "0 providers, 0 allocations, 0 consumers, 0 projects, 0 names"
    assert (clean.returncode, clean.stdout) == (0, f"{nothing}: everything adds up.\n")
    asyncio.run(spoil(data))
    wrong = tenet("placement", "audit", "--store", f"sqlite:{data / 'store'}")
    assert wrong.returncode == 1
    assert wrong.stdout.splitlines() == [
        f"inventory-missing: provider {uuid_of(1)}: VCPU: 1 in use of an inventory that does not exist",
        f"use-differs: provider {uuid_of(1)}: VCPU: 1 in use by the count, 0 by the sum of allocations",
        f"{nothing}: mistakes: 2.",
    ]


def send(server: Server, method: str, path: str, body: dict[str, Any]) -> int:
    """Returns the status of an answer."""
    connection = http.client.HTTPConnection(urlsplit(server.endpoint).netloc, timeout=30)
    token = f"{server.exports['AWS_ACCESS_KEY_ID']}:{server.exports['AWS_SECRET_ACCESS_KEY']}"
    headers = {"X-Auth-Token": token, "OpenStack-API-Version": "placement 1.39", "Content-Type": "application/json"}
    connection.request(method, f"/placement{path}", json.dumps(body), headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_the_doctor_the_metrics_and_the_log_say_what_placement_is_like(tmp_path: Path) -> None:
    host, archive = uuid_of(1), tmp_path / "doctor.tar.gz"
    inventories = f"/resource_providers/{host}/inventories"
    with running(tmp_path / "data", "--plaintext") as server:
        before = server.command("doctor", "--output", str(tmp_path / "before.tar.gz"))
        assert "Nothing looks wrong." in before.stdout
        assert send(server, "POST", "/resource_providers", {"name": "host-1", "uuid": host}) == 200
        body: dict[str, Any] = {"resource_provider_generation": 0, "inventories": {"VCPU": {"total": 4}}}
        assert send(server, "PUT", inventories, body) == 200
        consumer = {"uuid": uuid_of(7), "project_id": "p", "user_id": "u"}
        claim = {"consumers": [consumer], "request": {"groups": [{"resources": {"VCPU": 4}}]}}
        assert send(server, "POST", "/v1/claims", claim) == 201
        assert send(server, "POST", "/v1/claims", {**claim, "consumers": [{**consumer, "uuid": uuid_of(8)}]}) == 409
        body = {"resource_provider_generation": 2, "inventories": {"VCPU": {"total": 3}}}
        assert send(server, "PUT", inventories, body) == 200
        done = server.command("doctor", "--output", str(archive))
        log = [json.loads(line) for line in server.log.read_text(encoding="utf-8").splitlines() if line[0] == "{"]
    assert f"More is in use of 1 provider of placement than there is: {host} (VCPU)." in done.stdout
    with tarfile.open(archive) as opened:
        files = {member.name.rpartition("/")[2]: opened.extractfile(member) for member in opened.getmembers()}
        told, page = files["placement.json"], files["metrics.txt"]
        assert told is not None
        assert page is not None
        assert json.loads(told.read())["over_capacity"] == 1
        assert b'tenet_placement_shortages_total{condition="resources",name="VCPU"} 1.0' in page.read()
    (refused,) = [line for line in log if line.get("status") == 409]
    assert refused["reason"] == "claim.no_place"
    assert "missing is resource VCPU: 4 wanted; the most that one provider can give is 0" in refused["message"]
