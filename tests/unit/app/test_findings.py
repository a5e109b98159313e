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
    placement = {"behind_s": 2.0, "unreadable": 0, "unreadable_named": [], "over_capacity": 0}
    assert findings(msgspec.structs.replace(HEALTHY, placement=placement)) == []


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
        ({"store": {"nodes_not_answering": "h2"}}, "do not answer: h2. Requests go through the others. Look at"),
        ({"store": {"nodes_left_alone": "h3"}}, "do not answer: h3. Requests go through the others. Look at"),
        ({"certificate_days": 12.2}, "ends in 12 days"),
        ({"certificate_days": -1.0}, "has ended"),
        ({"certificate_days": 0.2, "certificate_life_days": 1.04}, "ends within a day"),
        ({"nodes_not_connected": {"two": "it does not answer in time"}}, "two is not connected: it does not answer in"),
        ({"nodes_not_connected": {"two": ""}}, "two is not connected. Look whether it runs"),
        ({"unusable_keys": "2 of 3 access keys cannot be read"}, "2 of 3 access keys"),
        ({"placement": {"trouble": "no disk"}}, "The placement service does not open: no disk. Its requests"),
        ({"placement": {"behind_s": 61.2}}, "This node has not heard for 61 s what other nodes changed"),
        (
            {"placement": {"unreadable": 2, "unreadable_named": ["u1", "u2"]}},
            "2 providers of placement cannot be read and are left out of all lists: u1, u2. Stop",
        ),
        (
            {"placement": {"over_capacity": 1, "over_capacity_named": {"u1": ["DISK_GB", "VCPU"]}}},
            "More is in use of 1 provider of placement than there is: u1 (DISK_GB, VCPU). Nothing",
        ),
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


def test_where_a_majority_is_silent_nothing_is_said_of_the_others_or_of_a_disk() -> None:
    store = {"can_write": False, "write_refusal": "no majority", "nodes": "h1,h2,h3", "nodes_not_answering": "h2,h3"}
    refused, silent = findings(msgspec.structs.replace(HEALTHY, store=store))
    assert refused.startswith("The store takes no writes: no majority. It is tried again every second")
    assert "disk" not in refused
    assert silent.startswith("Nodes of the cluster do not answer: h2,h3. Too few are left for requests.")


@pytest.mark.parametrize(
    ("ago_s", "said"),
    [(0, "0 s ago"), (119, "119 s ago"), (120, "2 min ago"), (7_199, "120 min ago"), (3 * 3_600, "3 h ago"),
     (60 * 3_600, "2 days ago")],
)  # fmt: skip
def test_it_is_said_when_requests_failed_last(ago_s: int, said: str) -> None:
    now_ms = 1_800_000_000_000
    requests = [
        {"operation": "PutItem", "status": 500, "code": "ServiceUnavailable", "at_ms": now_ms - age_s * 1000}
        for age_s in (ago_s, ago_s + 500)
    ]
    requests.append({"operation": "", "path": "/readyz", "status": 503, "code": "StoreUnavailable", "at_ms": now_ms})
    put, page = findings(msgspec.structs.replace(HEALTHY, requests=requests, now_ms=now_ms))
    assert put.startswith(f"PutItem failed 2 times with ServiceUnavailable among the recent requests, last {said};")
    assert page.startswith("/readyz failed once with StoreUnavailable among the recent requests, last 0 s ago;")


def test_a_request_of_which_an_earlier_version_says_no_more_is_not_a_question_mark() -> None:
    (found,) = findings(msgspec.structs.replace(HEALTHY, requests=[{"operation": "", "status": 503, "code": "X"}]))
    assert found.startswith("A request without an operation failed once with X among the recent requests;")


def test_errors_of_clients_are_no_findings() -> None:
    mistaken = {"operation": "PutItem", "status": 400, "code": "ValidationException"}
    assert findings(msgspec.structs.replace(HEALTHY, requests=[mistaken] * 9)) == []


def test_a_server_without_tls_has_no_certificate_to_look_at() -> None:
    assert findings(msgspec.structs.replace(HEALTHY, certificate_days=None)) == []
