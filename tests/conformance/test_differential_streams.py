"""Tenet's streams tell the same as those of its peers, for random writes, and refuse requests in the same words.

What a peer is known to do otherwise stands in `KNOWN`, with the reason; shards and numbers are each one's own. moto
takes part in the full rounds, and only in what both images of puts and deletes tell: its records are of an older
version, it has records of what changes nothing, two of an update that makes an item, and takes every put of a batch for
an insertion.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from random import Random
from typing import Any

import pytest

from tests.conformance.differential.answers import by_value, canonical_item
from tests.conformance.differential.stream_requests import (
    CHANGES,
    PAGE,
    READS,
    REFUSED,
    VIEWS,
    WRITES,
    changes,
    filled,
    writes,
)
from tests.conformance.differential.targets import STREAMS, Target
from tests.conformance.peers import PEERS, built, start
from tests.rounds import LONG, rounds
from tests.servers import running

Json = dict[str, Any]
READS_MAX = 200
WITNESSES = ("dynamodb-local",)

#: Peers that have a record for a write that changes nothing, which the developer guide rules out.
TELLS_EVERYTHING = frozenset({"dynoxide"})
#: Peers whose streams go with their table; the developer guide has them kept for 24 hours.
FORGETS = frozenset({"dynoxide"})
#: Peers that hardly look at what the requests of streams hold.
CHECKS_NOTHING = TELLS_EVERYTHING
_MODEL = "the API's model has it; the service checks it first"
_CAPTURED = "captured from the service"
#: What peers answer otherwise, by peer and case, where Tenet goes by the API reference: none of them knows the iterator
#: of a time yet, and dynoxide describes no key and always all shards.
KNOWN_READS = frozenset(
    {
        ("dynamodb-local", "AT_TIMESTAMP"),
        ("dynoxide", "AT_TIMESTAMP"),
        ("dynoxide", "a shard"),
        ("dynoxide", "behind the last shard"),
        ("dynoxide", "no children"),
    }
)
#: What DynamoDB Local refuses otherwise, by case, and why Tenet does not.
KNOWN = {
    "no ARN": _MODEL,
    "short ARN": _MODEL,
    "no type": _MODEL,
    "wrong type": _MODEL,
    "no iterator": _MODEL,
    "no view": _CAPTURED,
    "enabled twice": _CAPTURED,
    "view of none": _CAPTURED,
}


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Target]]:
    """Tenet and the witnesses that are at hand."""
    folder = tmp_path_factory.mktemp("streams")
    names = [*WITNESSES, *built("dynoxide")]
    with running(folder / "data", "--plaintext") as server:
        peers = {name: start(PEERS[name], folder) for name in names}
        found = {name: Target(name, peer.endpoint) for name, peer in peers.items()}
        everybody = {"tenet": Target.of_server(server), **found}
        try:
            yield everybody
        finally:
            for target in everybody.values():
                target.close()
            for peer in peers.values():
                peer.stop()


def made(target: Target, name: str, view: str) -> str:
    """Makes a table with a stream; returns the stream's ARN."""
    request: Json = {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": "p", "AttributeType": "S"},
            {"AttributeName": "s", "AttributeType": "N"},
        ],
        "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "s", "KeyType": "RANGE"}],
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": view},
    }
    answer = target.call("CreateTable", request)
    assert answer.is_success, answer
    for _ in range(READS_MAX):
        described = target.call("DescribeTable", {"TableName": name}).body["Table"]
        if described["TableStatus"] == "ACTIVE":
            return str(described["LatestStreamArn"])
    raise AssertionError(f"{target.name} made no table")


def told(target: Target, arn: str) -> dict[str, list[Json]]:
    """What the records of a stream say, by item, in their order."""
    described = target.call("DescribeStream", {"StreamArn": arn}, api=STREAMS)
    assert described.is_success, described
    found: dict[str, list[Json]] = {}
    for shard in described.body["StreamDescription"]["Shards"]:
        request = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        iterator = target.call("GetShardIterator", request, api=STREAMS).body.get("ShardIterator")
        for _ in range(READS_MAX):
            if iterator is None:
                break
            answer = target.call("GetRecords", {"ShardIterator": iterator, "Limit": 7}, api=STREAMS)
            assert answer.is_success, answer
            for record in answer.body["Records"]:
                what = _what(record)
                found.setdefault(str(sorted(what["Keys"].items())), []).append(what)
            iterator = answer.body.get("NextShardIterator")
            if not answer.body["Records"]:
                break
    return found


def _what(record: Json) -> Json:
    """Returns what a record says beside time and place."""
    about = record["dynamodb"]
    items = {name: by_value(canonical_item(about[name])) for name in ("Keys", "NewImage", "OldImage") if name in about}
    rest = {name: record.get(name) for name in ("eventName", "eventVersion", "eventSource", "userIdentity")}
    return {**rest, **items, "StreamViewType": about["StreamViewType"], "members": sorted(about)}


@pytest.mark.parametrize("view", VIEWS)
def test_the_same_writes_are_told_in_the_same_way(targets: dict[str, Target], view: str) -> None:
    for seed in range(rounds(2, 20)):
        name = f"told-{view}-{seed}"
        sequence = writes(Random(f"{view}/{seed}"), name)
        found = {}
        for target in targets.values():
            arn = made(target, name, view)
            for operation, request in sequence:
                answer = target.call(operation, request)
                assert answer.is_success, (target.name, operation, request, answer)
            found[target.name] = told(target, arn)
        ours = found.pop("tenet")
        assert sum(map(len, ours.values())) > WRITES // 3
        for witness, theirs in found.items():
            if witness in TELLS_EVERYTHING:
                # What changed nothing can be told from what did by both images alone.
                if view != VIEWS[-1]:
                    continue
                records = {at: [one for one in every if _tells_a_change(one)] for at, every in theirs.items()}
                assert _first_difference(ours, records) is None, (witness, seed)
            else:
                assert _first_difference(ours, theirs) is None, (witness, seed)


if LONG:

    @pytest.mark.time_limit_s(600)
    def test_puts_and_deletes_are_told_by_moto_too(tmp_path_factory: pytest.TempPathFactory) -> None:
        folder = tmp_path_factory.mktemp("moto")
        peer = start(PEERS["moto"], folder)
        moto = Target("moto", peer.endpoint)
        try:
            with running(folder / "data", "--plaintext") as server:
                tenet = Target.of_server(server)
                for seed in range(20):
                    ours, theirs = (_changes_told(target, seed) for target in (tenet, moto))
                    assert _first_difference(ours, theirs) is None, seed
                tenet.close()
        finally:
            moto.close()
            peer.stop()


def _changes_told(target: Target, seed: int) -> dict[str, list[Json]]:
    """What a target tells of random puts and deletes that change something, in any version of records."""
    name = f"single-{seed}"
    arn = made(target, name, "NEW_AND_OLD_IMAGES")
    for operation, request in writes(Random(seed), name):
        if operation in {"PutItem", "DeleteItem"}:
            assert target.call(operation, request).is_success
    return {
        at: [record | {"eventVersion": ""} for record in records if _tells_a_change(record)]
        for at, records in told(target, arn).items()
    }


def test_streams_outlive_their_table_alike(targets: dict[str, Target]) -> None:
    sequence = writes(Random("outlive"), "outlive")
    found: dict[str, list[dict[str, list[Json]]]] = {}
    for name, target in targets.items():
        if name in FORGETS:
            continue
        arns = []
        for turn in range(2):
            arns.append(made(target, "outlive", VIEWS[-1 - turn]))
            for operation, request in sequence:
                assert target.call(operation, request).is_success
            assert target.call("DeleteTable", {"TableName": "outlive"}).is_success
            for _ in range(READS_MAX):
                if target.call("DescribeTable", {"TableName": "outlive"}).code == "ResourceNotFoundException":
                    break
        listed = target.call("ListStreams", {"TableName": "outlive"}, api=STREAMS).body["Streams"]
        assert sorted(one["StreamArn"] for one in listed) == arns, name
        for arn in arns:
            described = target.call("DescribeStream", {"StreamArn": arn}, api=STREAMS).body["StreamDescription"]
            assert described["StreamStatus"] == "DISABLED", name
            assert all("EndingSequenceNumber" in one["SequenceNumberRange"] for one in described["Shards"]), name
        found[name] = [told(target, arn) for arn in arns]
    ours = found.pop("tenet")
    assert all(ours)
    for witness, theirs in found.items():
        for mine, other in zip(ours, theirs, strict=True):
            assert _first_difference(mine, other) is None, witness


def _tells_a_change(record: Json) -> bool:
    return bool(record.get("OldImage") != record.get("NewImage"))


def _first_difference(ours: dict[str, list[Json]], theirs: dict[str, list[Json]]) -> tuple[Any, ...] | None:
    for at in sorted(ours | theirs):
        for number, (mine, other) in enumerate(zip_longest(ours.get(at, []), theirs.get(at, []))):
            if mine != other:
                return at, number, mine, other
    return None


def _read(target: Target, iterator: str) -> list[str]:
    """Returns the sequence numbers of the records behind an iterator."""
    found: list[str] = []
    following: str | None = iterator
    for _ in range(READS_MAX):
        answer = target.call("GetRecords", {"ShardIterator": following, "Limit": PAGE}, api=STREAMS)
        assert answer.is_success, answer
        assert len(answer.body["Records"]) <= PAGE
        found += [record["dynamodb"]["SequenceNumber"] for record in answer.body["Records"]]
        following = answer.body.get("NextShardIterator")
        if following is None or not answer.body["Records"]:
            break
    return found


def _shards(target: Target, arn: str) -> list[str]:
    described = target.call("DescribeStream", {"StreamArn": arn}, api=STREAMS).body["StreamDescription"]
    return [shard["ShardId"] for shard in described["Shards"]]


def _own(target: Target, name: str, arn: str) -> Json:
    """Returns what stands in `READS` for what a target has of its own."""
    shards = _shards(target, arn)
    for shard in shards:
        request = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
        numbers = _read(target, target.call("GetShardIterator", request, api=STREAMS).body["ShardIterator"])
        if numbers:
            return {"ARN": arn, "LAST": shards[-1], "SHARD": shard, "FIRST": numbers[0], "TABLE": name}
    raise AssertionError(f"{target.name} has no records")


def _answered(target: Target, operation: str, request: Json) -> Json:
    """Returns what can be compared of an answer: how many shards, streams or records, and what they are of."""
    answer = target.call(operation, request, api=STREAMS)
    if not answer.is_success:
        return {"code": answer.code}
    if operation == "GetShardIterator":
        return {"records": len(_read(target, answer.body["ShardIterator"]))}
    if operation == "ListStreams":
        return {"tables": [stream["TableName"] for stream in answer.body["Streams"]]}
    described = answer.body["StreamDescription"]
    names = ("StreamStatus", "StreamViewType", "TableName", "KeySchema")
    return {"shards": len(described["Shards"])} | {name: described.get(name) for name in names}


def test_the_same_requests_are_answered_alike(targets: dict[str, Target]) -> None:
    found: dict[str, dict[str, Json]] = {}
    for target in targets.values():
        arn = made(target, "answered", "NEW_IMAGE")
        for operation, request in changes("answered"):
            assert target.call(operation, request).is_success
        own = _own(target, "answered", arn)
        found[target.name] = {
            case: _answered(target, operation, filled(request, own)) for case, (operation, request) in READS.items()
        }
    ours = found.pop("tenet")
    assert [ours[kind]["records"] for kind in ("TRIM_HORIZON", "LATEST", "AT_SEQUENCE_NUMBER")] == [CHANGES, 0, CHANGES]
    unknown = {
        f"{witness}: {case}": (ours[case], answer)
        for witness, theirs in found.items()
        for case, answer in theirs.items()
        if answer != ours[case] and (witness, case) not in KNOWN_READS
    }
    assert not unknown


def test_the_same_requests_are_refused_in_the_same_words(targets: dict[str, Target]) -> None:
    answers: dict[str, dict[str, tuple[str, str]]] = {}
    for target in targets.values():
        arn = made(target, "refused", "NEW_IMAGE")
        shard = target.call("DescribeStream", {"StreamArn": arn}, api=STREAMS).body["StreamDescription"]["Shards"][0]
        request = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "LATEST"}
        iterator = target.call("GetShardIterator", request, api=STREAMS).body["ShardIterator"]
        other = arn[:-4] + "9999"
        values = {"ARN": arn, "ARN-OTHER": other, "TABLE": "refused", "SHARD": shard["ShardId"], "ITERATOR": iterator}
        for case, (api, operation, wanted) in REFUSED.items():
            answer = target.call(operation, filled(wanted, values), **({"api": api} if api else {}))
            # ARNs and iterators are each one's own.
            text = answer.message.replace(other, "ARN-OTHER").replace(arn, "ARN")
            answers.setdefault(case, {})[target.name] = (answer.code, text)
    unknown = {
        f"{witness}: {case}": (ours, theirs)
        for case, found in answers.items()
        for ours in [found["tenet"]]
        for witness, theirs in found.items()
        if theirs != ours and witness not in CHECKS_NOTHING and case not in KNOWN
    }
    assert not unknown, "\n".join(
        f"{name}\n  ours   {ours}\n  theirs {theirs}" for name, (ours, theirs) in unknown.items()
    )
