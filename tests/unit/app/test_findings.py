"""The doctor says what looks wrong, what to do about it, and nothing where nothing is wrong."""

from __future__ import annotations

import msgspec
import pytest

from tenet.app.findings import Facts, findings

HEALTHY = Facts(
    running=True,
    command_version="1.0",
    server_version="1.0",
    disk_free_bytes=50 * 1024**3,
    modes={"/data/root-key.json": 0o600},
    store={"transactions": 3, "can_write": True},
    certificate_days=300,
    requests=[{"operation": "GetItem", "status": 200, "ms": 900}],
    connections_max=10_000,
    files_max=65_536,
)


def test_a_healthy_server_has_nothing_wrong() -> None:
    assert findings(HEALTHY) == []


def test_a_certificate_of_a_day_is_no_trouble_while_it_is_renewed_in_time() -> None:
    assert findings(msgspec.structs.replace(HEALTHY, certificate_days=0.4, certificate_life_days=1.04)) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"running": False}, "Start it with `tenet up`"),
        (
            {"running": False, "held": True, "problem": "timed out"},
            "holds the data directory and does not answer: timed",
        ),
        (
            {"running": False, "problem": "x is damaged"},
            "Nothing could be found out about the installation: x is damaged",
        ),
        ({"disk_free_bytes": 1024**3 // 2}, "has 0.50 GiB left"),
        (
            {"store": {"can_write": False, "write_refusal": "no room"}},
            "The store takes no writes: no room. It is tried",
        ),
        ({"store": {"can_write": False, "write_refusal": "x", "is_restoring": True}}, "A backup is being restored"),
        (
            {"store": {"can_write": True, "is_damaged": True, "last_failure": "page 7"}},
            "never wrote (last failure: page",
        ),
        ({"store": {"error": "locked by 5"}}, "cannot be examined: locked by 5"),
        ({"certificate_days": 12.2}, "ends in 12 days"),
        ({"certificate_days": -1.0}, "has ended"),
        ({"certificate_days": 0.2, "certificate_life_days": 1.04}, "ends within a day"),
        ({"nodes_not_connected": {"two": "it does not answer in time"}}, "two is not connected: it does not answer in"),
        ({"nodes_not_connected": {"two": ""}}, "two is not connected. Look whether it runs"),
        ({"modes": {"/data/root-key.json": 0o644}}, "chmod 600 /data/root-key.json"),
        ({"files_max": 1024}, "raise LimitNOFILE"),
        ({"server_version": "0.9"}, "The server is version 0.9, this command 1.0"),
        (
            {"requests": [{"operation": "PutItem", "status": 500, "code": "InternalServerError"}] * 3},
            "PutItem failed 3 times with InternalServerError",
        ),
        ({"requests": [{"operation": "GetItem", "status": 400, "code": "ThrottlingException"}]}, "1 of the recent"),
    ],
)
def test_each_trouble_is_said_alone(change: dict[str, object], says: str) -> None:
    found = findings(msgspec.structs.replace(HEALTHY, **change))
    assert len(found) == 1
    assert says in found[0]


def test_errors_of_clients_are_no_findings() -> None:
    mistaken = {"operation": "PutItem", "status": 400, "code": "ValidationException"}
    assert findings(msgspec.structs.replace(HEALTHY, requests=[mistaken] * 9)) == []


def test_a_server_without_tls_has_no_certificate_to_look_at() -> None:
    assert findings(msgspec.structs.replace(HEALTHY, certificate_days=None)) == []
