"""Claims that have to be confirmed, and quotas, in a server that is killed: what nobody confirms is free in time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.placement_storms import Cloud, listen_of, token_of
from tests.servers import end, start, tenet

#: How long what has to be confirmed waits, and how much later it may be free, seconds.
EXPIRES_S, LATE_S = 4, 5
HOST = str(UUID(int=1))


def consumer(number: int) -> str:
    return str(UUID(int=100 + number))


def claim(number: int, **more: Any) -> dict[str, Any]:
    owner = {"uuid": consumer(number), "project_id": "demo", "user_id": "ann"}
    return {"consumers": [owner], "request": {"groups": [{"resources": {"VCPU": 1}}]}, **more}


def test_what_nobody_confirms_is_free_in_time_after_kill_9(tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = start(data, "--plaintext")
    cloud = Cloud(1, 10, (listen_of(server),), token_of(server))
    try:
        cloud.ask("POST", "/resource_providers", {"name": "host", "uuid": HOST})
        inventories = {"resource_provider_generation": 0, "inventories": {"VCPU": {"total": 10}}}
        cloud.ask("PUT", f"/resource_providers/{HOST}/inventories", inventories)
        cloud.ask("PUT", "/v1/quotas/demo", {"resources": {"VCPU": 3}})
        for number in range(3):
            cloud.ask("POST", "/v1/claims", claim(number, expires_in_seconds=EXPIRES_S))
        began_s = time.monotonic()
        cloud.ask("POST", f"/v1/claims/{consumer(0)}/confirm")
        server.kill()
        server = start(data, "--plaintext", "--listen", cloud.listens[0])
        # Nobody asks for anything until then: whoever frees it has to begin by itself.
        time.sleep(max(0.0, began_s + EXPIRES_S + LATE_S - time.monotonic()))
        assert cloud.ask("GET", f"/resource_providers/{HOST}/usages")["usages"] == {"VCPU": 1}
        shown = [cloud.ask("GET", f"/v1/claims/{consumer(number)}")["states"] for number in range(3)]
        assert [state for one in shown for state in one.values()] == ["held", "expired", "expired"]
        for number in (3, 4):
            cloud.ask("POST", "/v1/claims", claim(number))
        listed = cloud.ask("GET", "/v1/claims?project_id=demo&result=claimed")["claims"]
        assert [entry["request"]["consumers"][0]["uuid"] for entry in listed] == [consumer(one) for one in range(5)]
        assert cloud.ask("PUT", "/v1/quotas/demo", {"consumers": 2})["consumers"] == {"limit": 2, "used": 3, "left": 0}
    finally:
        end(server)
    audited = tenet("placement", "audit", "--data", str(data))
    assert audited.returncode == 0, audited.stdout + audited.stderr
    remark, verdict = audited.stdout.splitlines()
    above = "consumers of all types: 3 in use, 2 allowed; nothing is added until it fits"
    assert remark == f"remark: above-quota: project demo: {above}"
    assert verdict.endswith("everything adds up.")
