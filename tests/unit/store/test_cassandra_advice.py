"""What a cluster's settings are found wanting in, each in a sentence that says what to do."""

from __future__ import annotations

import pytest

from tenet.store.cassandra.advice import advice_on, advice_on_copies, advice_on_racks

GOOD = {
    "commitlog_sync": "batch",
    "paxos_variant": "v2",
    "paxos_repair_enabled": "true",
    "disk_failure_policy": "stop",
    "commit_failure_policy": "die",
    "commitlog_segment_size": "32MiB",
}


def test_a_good_node_gets_none() -> None:
    assert list(advice_on(GOOD, "5.0.9")) == []
    assert list(advice_on({**GOOD, "commitlog_sync": "group", "commitlog_segment_size": "1GiB"}, "5.0.2")) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"commitlog_sync": "periodic"}, "commitlog_sync is periodic"),
        ({"paxos_variant": "v1"}, "paxos_variant is v1"),
        ({"paxos_repair_enabled": "false"}, "paxos_repair_enabled is false"),
        ({"disk_failure_policy": "ignore"}, "disk_failure_policy is ignore"),
        ({"commit_failure_policy": "best_effort"}, "commit_failure_policy is best_effort"),
        ({"auto_snapshot": "true"}, "auto_snapshot is true"),
        ({"commitlog_segment_size": "16MiB"}, "commitlog_segment_size is 16MiB"),
    ],
)
def test_each_wrong_setting_is_named_with_what_to_do(change: dict[str, str], told: str) -> None:
    (advice,) = advice_on({**GOOD, **change}, "5.0.9")
    assert advice.startswith(told)
    assert "Set it to" in advice


def test_another_release_is_named() -> None:
    (advice,) = advice_on(GOOD, "4.1.7")
    assert "4.1.7" in advice


@pytest.mark.parametrize(("copies", "told"), [("1", "1 copy in dc1"), ("2", "2 copies in dc1")])
def test_too_few_copies_are_told_with_the_statement_that_makes_more(copies: str, told: str) -> None:
    (advice,) = advice_on_copies("tenet", {"class": "…NetworkTopologyStrategy", "dc1": copies})
    assert told in advice
    assert "ALTER KEYSPACE tenet" in advice
    assert list(advice_on_copies("tenet", {"class": "x", "dc1": "3", "dc2": "5"})) == []


def test_two_racks_for_three_copies_are_told_and_one_or_three_are_not() -> None:
    (advice,) = advice_on_racks({"a": "r1", "b": "r2", "c": "r1"})
    assert "2 racks (r1, r2)" in advice
    for racks in ("r1 r1 r1", "r1 r2 r3", "r1 r2 r3 r1", "r1 r2"):
        assert list(advice_on_racks(dict(zip("abcd", racks.split(), strict=False)))) == []
