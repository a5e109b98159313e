"""Which policies a queue takes: those that tools write, and none that the service refuses."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tenet.queues.errors import InvalidAttributeValue, InvalidParameterValue, OverLimit
from tenet.queues.rules.policy_checks import check_policy

OWNER, OTHER = "111111111111", "222222222222"
ARN = f"arn:aws:sqs:us-east-1:{OWNER}:orders"
STATEMENT = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": ARN}


def check(*statements: Any, **elements: Any) -> None:
    check_policy(orjson.dumps({"Version": "2012-10-17", "Statement": list(statements)} | elements).decode(), ARN)


def changed(**elements: Any) -> dict[str, Any]:
    """A good statement with other elements; None takes one away."""
    return {name: value for name, value in (STATEMENT | elements).items() if value is not None}


SOURCE = "arn:aws:sns:us-east-1:111111111111:news"
#: What tools write: for topics, buckets and rules that send to a queue, to ask for TLS, and to share it.
OF_TOOLS: dict[str, list[dict[str, Any]]] = {
    "SNS by SDK for Java": [
        changed(Sid="topic", Principal={"AWS": ["*"]}, Action=["sqs:SendMessage"], Resource=[ARN])
        | {"Condition": {"ArnLike": {"aws:SourceArn": [SOURCE]}}}
    ],
    "SNS by CDK": [
        changed(Principal={"Service": "sns.amazonaws.com"}, Condition={"ArnEquals": {"aws:SourceArn": SOURCE}})
    ],
    "many topics": [
        changed(Sid=f"topic{number}", Condition={"ArnLike": {"aws:SourceArn": f"{SOURCE}-{number}"}})
        for number in range(20)
    ],
    "S3": [
        changed(
            Principal={"Service": "s3.amazonaws.com"},
            Condition={
                "ArnLike": {"aws:SourceArn": "arn:aws:s3:::bucket"},
                "StringEquals": {"aws:SourceAccount": OWNER},
            },
        )
    ],
    "S3 by Terraform": [
        changed(Resource="arn:aws:sqs:*:*:orders", Condition={"ArnEquals": {"aws:SourceArn": "arn:aws:s3:::bucket"}})
    ],
    "EventBridge": [
        changed(
            Sid="EventsToMyQueue",
            Principal={"Service": "events.amazonaws.com"},
            Condition={"ArnEquals": {"aws:SourceArn": f"arn:aws:events:us-east-1:{OWNER}:rule/mine"}},
        )
    ],
    "enforceSSL": [
        changed(
            Effect="Deny",
            Principal={"AWS": "*"},
            Action="sqs:*",
            Condition={"Bool": {"aws:SecureTransport": "false"}},
        ),
        changed(Effect="Deny", Action="*", Condition={"Bool": {"aws:SecureTransport": False}}),
    ],
    "console": [
        changed(Sid="__owner_statement", Principal={"AWS": f"arn:aws:iam::{OWNER}:root"}, Action="SQS:*"),
        changed(Sid="__sender_statement", Principal={"AWS": [OTHER]}, Action=["SQS:SendMessage"]),
        changed(
            Sid="__receiver_statement",
            Principal={"AWS": [f"arn:aws:iam::{OTHER}:role/path/reader", f"arn:aws:sts::{OTHER}:assumed-role/r/s"]},
            Action=["SQS:ChangeMessageVisibility", "SQS:DeleteMessage", "SQS:ReceiveMessage"],
        ),
    ],
    "Terraform without labels": [changed(Sid=""), changed(Sid="", Action="sqs:ReceiveMessage")],
    "nobody deletes it": [changed(Effect="Deny", Principal={"AWS": "*"}, Action="sqs:DeleteQueue")],
    "what the owner lists": [
        changed(Principal={"AWS": f"arn:aws:iam::{OWNER}:role/r"}, Action=["sqs:ListQueues", "sqs:CreateQueue"]),
        changed(Principal={"AWS": [OWNER, "*"]}, Action="sqs:ListQueues"),
    ],
    "nobody but one organization": [
        changed(
            Effect="Deny",
            Action="sqs:*",
            Condition={
                "StringNotEqualsIfExists": {"aws:PrincipalOrgID": ["o-1234567890"]},
                "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
                "Null": {"aws:SourceVpce": "true"},
                "ForAllValues:StringLikeIfExists": {"aws:TagKeys": ["a*"]},
                "ForAnyValue:ArnNotLike": {"aws:PrincipalArn": ["arn:aws:iam::*:role/x"]},
            },
        )
    ],
}


@pytest.mark.parametrize("statements", OF_TOOLS.values(), ids=OF_TOOLS)
def test_what_tools_write_is_taken(statements: list[dict[str, Any]]) -> None:
    check(*statements)
    check(*statements, Version="2008-10-17", Id=f"{ARN}/SQSDefaultPolicy")
    check_policy(orjson.dumps({"Statement": statements}).decode(), ARN)
    for statement in statements:
        check_policy(orjson.dumps({"Statement": statement}).decode(), ARN)


@pytest.mark.parametrize(
    "elements",
    [
        {"Resource": "*"},
        {"Resource": ["*", ARN, "arn:aws:sqs:*:111111111111:ord?rs"]},
        {"Resource": "arn:aws:sqs:us-east-1:${aws:PrincipalAccount}:orders"},
        {"Resource": f"/{OWNER}/orders"},
        {"Resource": None, "NotResource": "arn:aws:sqs:us-east-1:111111111111:others"},
        {"Principal": {"Federated": "cognito-identity.amazonaws.com"}},
        {"Principal": {"CanonicalUser": "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"}},
        {"Principal": {"AWS": "arn:aws-cn:iam::111111111111:user/*", "Service": ["sns.amazonaws.com"]}},
        {"Effect": "Deny", "Principal": None, "NotPrincipal": {"AWS": OWNER}},
        {"Action": None, "NotAction": "sqs:PurgeQueue"},
        {"Action": ["SQS:send*", "sqs:*MESSAGE", "sqs:GetQueue???", "sqs:?endMessage"]},
        {"Action": "sqs:List*", "Principal": {"AWS": OTHER}},
        {"Effect": "Deny", "Action": "sqs:ListQueues", "Principal": {"AWS": OTHER}},
        {"Condition": {}},
        {"Condition": {"arnlike": {"aws:SourceArn": SOURCE}}},
        {"Condition": {"BinaryEquals": {"key": "QmluYXJ5"}}},
        {"Condition": {"NumericLessThanEquals": {f"key{number}": 1 for number in range(10)}}},
        {"Action": ["sqs:SendMessage"] * 7},
        {"Principal": {"AWS": [OTHER] * 50}},
    ],
)
def test_what_no_reference_forbids_is_taken(elements: dict[str, Any]) -> None:
    check(changed(**elements))


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[]",
        "{}",
        "[" * 2_000,
        '{"Statement": []}',
        '{"Statement": "x"}',
        '{"Statement": [1]}',
    ],
)
def test_what_is_no_policy(text: str) -> None:
    with pytest.raises(InvalidAttributeValue, match=r"^Invalid value for the parameter Policy\.$"):
        check_policy(text, ARN)


@pytest.mark.parametrize(
    "elements",
    [{"Version": "2012-10-18"}, {"Version": None}, {"Version": []}, {"Version": 1}, {"Id": 5}, {"Other": 1}],
)
def test_a_policy_has_known_elements(elements: dict[str, Any]) -> None:
    with pytest.raises(InvalidAttributeValue, match="Policy"):
        check(STATEMENT, **elements)


@pytest.mark.parametrize(
    "elements",
    [
        {"Other": 1},
        {"Sid": 5},
        {"Effect": "Maybe"},
        {"Effect": "allow"},
        {"Effect": ["Allow"]},
        {"Effect": None},
        {"Principal": None},
        {"Principal": "me"},
        {"Principal": ["*"]},
        {"Principal": {}},
        {"Principal": {"Everybody": "*"}},
        {"Principal": {"Service": []}},
        {"Principal": {"Service": ""}},
        {"Principal": {"AWS": 5}},
        {"Principal": {"AWS": "me"}},
        {"Principal": {"AWS": "11111111111"}},
        {"Principal": {"AWS": [OTHER, "arn:aws:s3:::bucket"]}},
        {"Principal": {"AWS": "arn:aws:iam::222222222222:"}},
        {"NotPrincipal": {"AWS": OTHER}},
        {"Principal": None, "NotPrincipal": {"AWS": OTHER}},
        {"Action": None},
        {"Action": []},
        {"Action": "s3:*"},
        {"Action": "SendMessage"},
        {"Action": ["sqs:SendMessage", 5]},
        {"NotAction": "sqs:PurgeQueue"},
        {"Action": ["sqs:SendMessage", "sqs:ListQueues"], "Principal": {"AWS": [OWNER, OTHER]}},
        {"Action": "SQS:createqueue", "Principal": {"AWS": f"arn:aws:iam::{OTHER}:role/r"}},
        {"Resource": None},
        {"Resource": 5},
        {"Resource": []},
        {"Resource": ARN + "s"},
        {"Resource": [ARN, f"arn:aws:sqs:us-east-1:{OWNER}:others"]},
        {"Resource": f"arn:aws:sqs:us-east-1:{OTHER}:orders"},
        {"Resource": f"/{OTHER}/orders"},
        {"NotResource": "*"},
        {"Resource": None, "NotResource": 5},
        {"Condition": []},
        {"Condition": {"Bool": 1}},
        {"Condition": {"Bool": {"aws:SecureTransport": None}}},
        {"Condition": {"StringNotEquals": {"x": []}}},
        {"Condition": {"StringIs": {"x": "y"}}},
        {"Condition": {"ForSomeValues:StringEquals": {"x": "y"}}},
        {"Condition": {"NullIfExists": {"x": "true"}}},
        {"Condition": {"": {"x": "y"}}},
    ],
)
def test_a_statement_is_whole_and_about_this_queue(elements: dict[str, Any]) -> None:
    with pytest.raises(InvalidAttributeValue, match=r"^Invalid value for the parameter Policy\.$"):
        check(STATEMENT, changed(**elements))


def test_labels_are_told_apart() -> None:
    check(changed(Sid="a"), changed(Sid="b"), STATEMENT)
    with pytest.raises(InvalidAttributeValue, match="Policy"):
        check(changed(Sid="a"), STATEMENT, changed(Sid="a", Effect="Deny"))


@pytest.mark.parametrize("action", ["sqs:Fly", "SQS:SendMessageBatch", "sqs:Sent*", "sqs:", "sqs:SendMessage "])
@pytest.mark.parametrize("element", ["Action", "NotAction"])
def test_there_are_such_actions(action: str, element: str) -> None:
    with pytest.raises(InvalidParameterValue) as raised:
        check(changed(**{"Action": None, element: ["sqs:SendMessage", action]}))
    assert raised.value.message.startswith(
        f"Value {action} for parameter ActionName is invalid. Reason: Please refer to the appropriate WSDL"
    )


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"Action": ["sqs:SendMessage"] * 8}, "8 actions"),
        ({"Principal": {"AWS": [OTHER] * 50, "Service": "sns.amazonaws.com"}}, "51 principals"),
        (
            {"Condition": {"StringEquals": dict.fromkeys("abcdef", "x"), "Bool": dict.fromkeys("abcde", "true")}},
            "11 conditions",
        ),
    ],
)
def test_a_statement_has_quotas(elements: dict[str, Any], words: str) -> None:
    with pytest.raises(
        OverLimit, match=f"^{words} were found in a statement from the submitted policy, max allowed is"
    ):
        check(changed(**elements))


def test_a_policy_has_quotas() -> None:
    check(*[STATEMENT] * 20)
    with pytest.raises(OverLimit, match="21 statements were found in the submitted policy, max allowed is 20"):
        check(*[STATEMENT] * 21)
    text = orjson.dumps({"Statement": STATEMENT}).decode()
    check_policy(text + " " * (8_192 - len(text)), ARN)
    with pytest.raises(OverLimit, match=r"^Submitted policy is over max allowed size\.$"):
        check_policy(text + " " * (8_193 - len(text)), ARN)
