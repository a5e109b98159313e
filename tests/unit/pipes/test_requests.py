"""Requests of the Pipes API: what is taken, and that all else is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from tenet.pipes.errors import UnknownOperationException, ValidationException
from tenet.pipes.http import parse, read_target
from tenet.pipes.rules.requests import (
    check_members,
    check_name,
    queue_named,
    source_wanted,
    state_wanted,
    table_named,
    tags_wanted,
    target_wanted,
)

ACCOUNT = "1" * 12
ROLE = "arn:aws:iam::111111111111:role/pipes"
STREAM: dict[str, Any] = {"StartingPosition": "LATEST"}


def source(**stream: Any) -> dict[str, Any]:
    return {"SourceParameters": {"DynamoDBStreamParameters": STREAM | stream}}


def test_what_is_left_out_has_its_default() -> None:
    wanted = source_wanted(source(), starting=None)
    assert (wanted.batch_size, wanted.retries_max, wanted.age_s_max, wanted.filters) == (100, -1, -1, ())


def test_what_is_given_is_taken() -> None:
    request = source(BatchSize=10_000, MaximumRetryAttempts=0, MaximumRecordAgeInSeconds=60)
    request["SourceParameters"]["FilterCriteria"] = {"Filters": [{"Pattern": '{"eventName": ["INSERT"]}'}]}
    wanted = source_wanted(request, starting=None)
    assert (wanted.batch_size, wanted.retries_max, wanted.age_s_max) == (10_000, 0, 60)
    assert wanted.filters == ('{"eventName": ["INSERT"]}',)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({}, "SourceParameters.DynamoDBStreamParameters.StartingPosition"),
        (source(StartingPosition="AT_TIMESTAMP"), "SourceParameters.DynamoDBStreamParameters.StartingPosition"),
        (source(BatchSize=0), "SourceParameters.DynamoDBStreamParameters.BatchSize"),
        (source(BatchSize=True), "SourceParameters.DynamoDBStreamParameters.BatchSize"),
        (source(BatchSize=10_001), "SourceParameters.DynamoDBStreamParameters.BatchSize"),
        (source(MaximumRetryAttempts=-2), "SourceParameters.DynamoDBStreamParameters.MaximumRetryAttempts"),
        (source(MaximumRecordAgeInSeconds=59), "SourceParameters.DynamoDBStreamParameters.MaximumRecordAgeInSeconds"),
        (source(ParallelizationFactor=2), "SourceParameters.DynamoDBStreamParameters.ParallelizationFactor"),
        (source(DeadLetterConfig={"Arn": "x"}), "SourceParameters.DynamoDBStreamParameters.DeadLetterConfig"),
        ({"SourceParameters": {"SqsQueueParameters": {"BatchSize": 1}}}, "SourceParameters.SqsQueueParameters"),
        ({"SourceParameters": []}, "SourceParameters"),
        (
            {"SourceParameters": {"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}} | source()["SourceParameters"]},
            "SourceParameters.FilterCriteria.Filters.Pattern",
        ),
        (
            {"SourceParameters": {"FilterCriteria": {"Filters": [{}] * 6}} | source()["SourceParameters"]},
            "SourceParameters.FilterCriteria.Filters",
        ),
    ],
)
def test_what_a_source_cannot_be(request_: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationException) as raised:
        source_wanted(request_, starting=None)
    assert raised.value.members["fieldList"][0]["name"] == field


@pytest.mark.parametrize(
    "name", ["Enrichment", "EnrichmentParameters", "LogConfiguration", "KmsKeyIdentifier", "Anything"]
)
def test_what_pipes_do_not_do_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValidationException, match=name):
        check_members({"RoleArn": ROLE, name: {"x": 1}}, is_new=True)
    check_members({"RoleArn": ROLE, name: {}}, is_new=True)


def test_a_role_is_needed_as_the_service_needs_it() -> None:
    for given in ({}, {"RoleArn": "pipes"}, {"RoleArn": 1}):
        with pytest.raises(ValidationException, match="RoleArn"):
            check_members(given, is_new=True)


def test_targets_have_groups_and_ids() -> None:
    request = {"TargetParameters": {"SqsQueueParameters": {"MessageGroupId": "$.a.b", "MessageDeduplicationId": "x"}}}
    wanted = target_wanted(request, is_fifo=True)
    assert (wanted.group, wanted.deduplication) == ("$.a.b", "x")
    with pytest.raises(ValidationException, match="is for FIFO queues"):
        target_wanted(request, is_fifo=False)
    with pytest.raises(ValidationException, match="InputTemplate"):
        target_wanted({"TargetParameters": {"InputTemplate": "<x>"}}, is_fifo=True)
    with pytest.raises(ValidationException, match="is no path"):
        target_wanted({"TargetParameters": {"SqsQueueParameters": {"MessageGroupId": "$a"}}}, is_fifo=True)


def test_arns_name_a_table_and_a_queue() -> None:
    assert table_named(f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/orders", ACCOUNT) == "orders"
    assert queue_named(f"arn:aws:sqs:us-east-1:{ACCOUNT}:out.fifo") == (ACCOUNT, "out.fifo")
    with pytest.raises(ValidationException, match="without /stream/ behind it"):
        table_named(f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/orders/stream/2026-01-01T00:00:00.000", ACCOUNT)
    with pytest.raises(ValidationException, match="another account"):
        table_named(f"arn:aws:dynamodb:us-east-1:{'2' * 12}:table/orders", ACCOUNT)
    with pytest.raises(ValidationException, match="is no source"):
        table_named(f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/orders", ACCOUNT)
    with pytest.raises(ValidationException, match="is no target"):
        queue_named(f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f")


def test_names_states_and_tags_have_bounds() -> None:
    assert check_name("a.b-c_D1" + "x" * 56)
    for name in ("", "x" * 65, "a b", "a/b"):
        with pytest.raises(ValidationException, match="Name"):
            check_name(name)
    assert state_wanted({}, "STOPPED") == "STOPPED"
    with pytest.raises(ValidationException, match="DesiredState"):
        state_wanted({"DesiredState": "DELETED"}, "RUNNING")
    assert tags_wanted({"a": "b"}, {"c": "d"}) == {"a": "b", "c": "d"}
    wrong: list[Any] = [[], {"": "x"}, {"a": 1}, {"a": "x" * 257}, {str(number): "" for number in range(51)}]
    for tags in wrong:
        with pytest.raises(ValidationException, match="tags"):
            tags_wanted(tags, {})


@pytest.mark.parametrize(
    ("method", "path", "query", "operation", "members"),
    [
        ("GET", "/v1/pipes", "NamePrefix=a%2Fb&Limit=3", "ListPipes", {"NamePrefix": "a/b", "Limit": "3"}),
        ("GET", "/v1/pipes/", "", "ListPipes", {}),
        ("POST", "/v1/pipes/a", "", "CreatePipe", {"Name": "a"}),
        ("GET", "/v1/pipes/a%20b", "", "DescribePipe", {"Name": "a b"}),
        ("PUT", "/v1/pipes/a", "", "UpdatePipe", {"Name": "a"}),
        ("DELETE", "/v1/pipes/a", "", "DeletePipe", {"Name": "a"}),
        ("POST", "/v1/pipes/a/start", "", "StartPipe", {"Name": "a"}),
        ("POST", "/v1/pipes/a/stop", "", "StopPipe", {"Name": "a"}),
        ("GET", "/tags/arn%3Ax", "", "ListTagsForResource", {"resourceArn": "arn:x", "tagKeys": []}),
        ("POST", "/tags/arn%3Ax", "", "TagResource", {"resourceArn": "arn:x", "tagKeys": []}),
        ("DELETE", "/tags/a", "tagKeys=x&tagKeys=y", "UntagResource", {"resourceArn": "a", "tagKeys": ["x", "y"]}),
    ],
)
def test_request_lines_name_operations(
    method: str, path: str, query: str, operation: str, members: dict[str, Any]
) -> None:
    assert read_target(method, path, query) == (operation, members)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/pipes"), ("GET", "/v1/pipes/a/start"), ("POST", "/v1/pipes/a/b"), ("PUT", "/tags/a")],
)
def test_other_request_lines_name_none(method: str, path: str) -> None:
    with pytest.raises(UnknownOperationException):
        read_target(method, path, "")


def test_bodies_are_objects_or_nothing() -> None:
    assert parse(b"") == {}
    assert parse(b'{"a": 1}') == {"a": 1}
    for body in (b"[]", b"{", b"1", b'{"a": NaN}'):
        with pytest.raises(ValidationException):
            parse(body)
